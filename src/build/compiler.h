/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The compiler of a builder: the warm worker (cc/), or a clang of the system run once per compile. Both are child
 * processes and both give the same bytes when they are of the same release.
 */
#ifndef AB_COMPILER_H
#define AB_COMPILER_H

#include <anybpf/build.h>
#include <base/base.h>

/* The directory that bundled headers seem to be in, in diagnostics too. */
#define BUNDLE_DIR "<anybpf>"

struct compiler;

struct compile_request {
	const char *main_name;           /* one of the files */
	const char *triple, *isa;        /* "bpfel", "v1" */
	const char *const *args;         /* -D, -I, -W…: the same for clang and clang -cc1; the usual ones first */
	size_t arg_count;
	const struct ab_build_file *files;
	size_t file_count;
	uint32_t timeout_ms;             /* of the whole build, for messages */
	int64_t deadline;                /* when it is over, by cc_now() */
};

struct compile_result {
	bool ok;
	void *object;
	size_t object_size;
	struct text log; /* as clang prints it */
	struct ab_diagnostic *diagnostics; /* own their strings */
	size_t diagnostic_count;
	char **inputs;   /* paths of files that were read */
	size_t input_count;
};

/*
 * `clang`: a program to use in place of the worker, or NULL. Starts the worker at once but does not wait for it. `cgroup`: the
 * directory of the control group to put it into, or NULL. `usual`: triple, isa and first arguments that most requests will have;
 * the worker is ready for such. It must live as long as the compiler.
 */
int ab_compiler_new(const char *clang, bool one_shot, bool sandbox, const char *cgroup, const struct compile_request *usual,
		    struct compiler **ret_compiler, struct ab_error *err);
/* Waits until it is ready: -EPERM/UNSUPPORTED if it cannot be confined as it should be. */
int ab_compiler_wait(struct compiler *compiler, struct ab_error *err);
void ab_compiler_free(struct compiler *compiler);
const char *ab_compiler_name(struct compiler *compiler);

/*
 * 0 when the compiler gave its verdict, which is result->ok; the result is the caller's to clear in every case.
 * Errors: -ETIMEDOUT/LIMIT, -EFBIG/LIMIT too much memory or output, -EINVAL/COMPILE the compiler crashed, -ENOENT/NO_COMPILER, IO.
 */
int ab_compiler_run(struct compiler *compiler, const struct compile_request *request, struct compile_result *result,
		    struct ab_error *err);
/* Takes over the strings; -ENOMEM if one is NULL or memory runs out. */
int ab_compile_result_add(struct compile_result *result, size_t index, struct ab_diagnostic diagnostic);
int ab_compile_result_add_input(struct compile_result *result, char *path);
void ab_compile_result_clear(struct compile_result *result);

/* clang.c: a clang of the system. `wanted`: its name or path; NULL: the newest clang-N in PATH. */
struct clang;
int ab_clang_new(const char *wanted, struct clang **ret_clang, struct ab_error *err);
void ab_clang_free(struct clang *clang);
const char *ab_clang_name(const struct clang *clang);
int ab_clang_run(const struct clang *clang, const struct compile_request *request, struct compile_result *result,
		 struct ab_error *err);

/* Splits "file:line:column: error: message" lines into records, for a compiler that gives text only. */
int ab_diagnostics_parse(struct compile_result *result);

#endif
