/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Minimized BTF: of a kernel's types, what an object's relocations look at, with the same answers. */
#ifndef AB_BTF_MIN_H
#define AB_BTF_MIN_H

#include <btf/ext.h>

/*
 * Raw BTF, in this machine's byte order, in which each of the object's relocations finds what it finds in `kernel`, or else in
 * its modules (split BTF): members, enumerators, sizes and kinds; type ids are others. Of candidates that agree one is kept.
 * What nothing asks for is left out, so it is good for no other object. The caller frees it.
 */
int ab_btf_minimize(const struct ab_btf *object, const struct ab_ext *ext, const struct ab_btf *kernel,
		    const struct ab_btf *const *modules, size_t n_modules, void **ret_btf, size_t *ret_size,
		    struct ab_error *err);

#endif
