/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Clang as a C function: text in, object bytes and diagnostics out, in this process. */
#ifndef CC_SHIM_H
#define CC_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cc_source {
	const char *name, *text; /* text[size] is 0 */
	size_t size;
};

struct cc_job {
	const char **args; /* of clang -cc1 */
	size_t arg_count;
	const struct cc_source *files;
	size_t file_count;
	const char *const *only_dirs; /* where files on the disk may be read, NULL-terminated; NULL: everywhere */
	/* Called for each piece of the answer with a tag of protocol.h. */
	void (*put)(void *ctx, uint32_t tag, const void *data, size_t size);
	/* If not NULL: called once all pieces of an object are put, and does not return: nothing has to be taken apart then. */
	void (*done)(void *ctx);
	void *ctx;
};

/* Compiles; true if there is an object. When memory runs out the process ends with this status. */
enum { CC_EXIT_MEMORY = 77 };
bool cc_compile(const struct cc_job *job);
/*
 * Does all that can be done before there is a job, for one whose arguments begin with these, `only_dirs` is this, and which
 * goes on with no other than -main-file-name, -fdebug-prefix-map and the source. Other jobs are as without. Keeps the pointers.
 */
void cc_prepare(const char *const *args, size_t count, const char *const *only_dirs);
/* "22.1.8" */
const char *cc_version(void);

#ifdef __cplusplus
}
#endif
#endif
