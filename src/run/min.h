/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Minimized BTF of objects beside include/anybpf/min.h: for its files, and for the finding of types. */
#ifndef AB_RUN_MIN_H
#define AB_RUN_MIN_H

#include <anybpf/min.h>
#include <base/base.h>
#include "run.h"

struct ab_min {
	char *data; /* of the file */
	size_t size;
	bool is_library;
	struct ab_elf_info info;
	const void *object; /* in data */
	size_t object_size;
	struct ab_btf *btf;
	struct ab_ext *ext;
};

/* The types that the bytes of an object carry for a kernel, as ab_min_embedded(). */
int ab_min_embedded_in(const void *object, size_t size, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size,
		       struct ab_error *err);
/* A checksum of all that the object asks of a kernel. */
uint64_t ab_min_hash(const struct ab_min *min);

#endif
