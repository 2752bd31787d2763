/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The kernels whose types the server has: the host's, files with BTF, and packs. */
#ifndef AB_SERVE_KERNELS_H
#define AB_SERVE_KERNELS_H

#include <anybpf/check.h>
#include <anybpf/pack.h>
#include <anybpf/types.h>
#include <crypto/crypto.h>
#include "config.h"

/* One kernel's types; lives as long as the server. */
struct types {
	struct ab_kernel kernel;      /* strings belong to the pack, or to `names` */
	char *path;                   /* raw BTF; out of a pack it is made when it is asked for */
	char digest[HEX_DIGEST_SIZE]; /* of that file */
	char *names;
	struct types *next;           /* of those out of packs, the one used last first */
	const struct ab_pack *pack;   /* NULL: a file */
	size_t index;                 /* in the pack */
	struct ab_types *queries;     /* of files; made with them */
	struct ab_check_target *target;
};

struct kernels;
/* `dir`: where types that come out of packs are put. */
int ab_kernels_open(const struct config *config, const char *dir, struct kernels **ret_kernels, struct ab_error *err);
void ab_kernels_close(struct kernels *kernels);
/* `pattern` NULL: the default. `arch` NULL: any. Errors: -ENOENT/NOT_FOUND with the nearest; -ENOTUNIQ/USAGE. */
int ab_kernels_find(struct kernels *kernels, const char *pattern, const char *arch, const struct types **ret_types,
		    struct ab_error *err);
/* The kernel that runs: by build id, else by release and architecture (ab_kernel_fits()). Errors: -ENOENT/NOT_FOUND. */
int ab_kernels_find_running(struct kernels *kernels, const struct ab_kernel *running, const struct types **ret_types,
			    struct ab_error *err);
/* Passes an error on: data of the server's own that are damaged are no fault of the request. */
int ab_kernels_fail(int r, struct ab_error *err);
/* The raw BTF, for free(). */
int ab_kernels_read(struct kernels *kernels, const struct types *types, char **ret_data, size_t *ret_size, struct ab_error *err);
/* Appends the members of GET /v1/kernels. */
void ab_kernels_write(struct kernels *kernels, struct json *j);

/* The packs, and what answers questions about the types in them. */
size_t ab_kernels_pack_count(const struct kernels *kernels);
const struct ab_pack *ab_kernels_pack(const struct kernels *kernels, size_t i);
/*
 * Whose types answer questions: a file or the first pack that has the kernel; with `pattern` NULL the first pack, and where
 * there is none the default. Errors: -ENOENT/NOT_FOUND.
 */
int ab_kernels_queries(struct kernels *kernels, const char *pattern, const char *arch, const struct ab_types **ret_types,
		       struct ab_error *err);
/* The kernels of the configuration that are files; the first is the default. */
size_t ab_kernels_file_count(const struct kernels *kernels);
const struct types *ab_kernels_file(const struct kernels *kernels, size_t i);

#endif
