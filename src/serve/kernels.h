/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The kernels whose types the server has: the host's, files with BTF, and packs. */
#ifndef AB_SERVE_KERNELS_H
#define AB_SERVE_KERNELS_H

#include "config.h"
#include "crypto.h"

/* One kernel's types; lives as long as the server. */
struct types {
	char *release, *arch, *distribution;
	char *path;                   /* raw BTF or an ELF file */
	char digest[HEX_DIGEST_SIZE]; /* of that file */
};

struct kernels;
/* `dir`: where types that come out of packs are put. */
int ab_kernels_open(const struct config *config, const char *dir, struct kernels **ret_kernels, struct ab_error *err);
void ab_kernels_close(struct kernels *kernels);
/* `pattern` NULL: the default. Errors: -ENOENT/NOT_FOUND with the nearest; -ENOTUNIQ/USAGE. */
int ab_kernels_find(struct kernels *kernels, const char *pattern, const char *arch, const struct types **ret_types, struct ab_error *err);
/* Appends the members of GET /v1/kernels. */
void ab_kernels_write(struct kernels *kernels, struct json *j);

#endif
