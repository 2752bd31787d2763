/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Sets of kernels, as commands take them with --kernels: which of a pack's kernels are meant.
 *
 *	ab_kernel_set_parse("debian/5.10..6.1,!*-rt-*", &set, &err);
 *	if (ab_kernel_set_has(set, ab_pack_kernel(pack, i))) …
 *
 * A set is a list of items separated by commas; a kernel is in it when one of the items names it and none that begins
 * with '!' does. A list of nothing but '!' items begins with all kernels. An item is [DISTRIBUTION/]WHICH[/ARCH], whose
 * parts match without regard to what they leave out; DISTRIBUTION and ARCH are globs, and WHICH is one of
 *
 *	5.10            a version as far as it is given: 5.10, 5.10.7, 5.10.0-8-amd64
 *	5.4..6.1        versions from to, both ends included as far as they are given; either may be left out
 *	*-cloud-*       a glob of the release
 *	debian          a distribution, a flavour or an architecture
 *	*               every kernel
 *
 * Threads: a set is immutable.
 */
#ifndef ANYBPF_KERNELS_H
#define ANYBPF_KERNELS_H

#include <anybpf/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_kernel_set;

/* Errors: -EINVAL/USAGE what is no item. */
AB_API int ab_kernel_set_parse(const char *text, struct ab_kernel_set **ret_set, struct ab_error *err);
AB_API bool ab_kernel_set_has(const struct ab_kernel_set *set, const struct ab_kernel *kernel);
/* NULL is allowed. */
AB_API void ab_kernel_set_free(struct ab_kernel_set *set);

#ifdef __cplusplus
}
#endif
#endif
