/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Questions about kernel types: what a struct looks like, how it differs between kernels, since when a member is there.
 *
 *	ab_types_open("kernels.pack", &types, &err);
 *	AB_OPTS(ab_types_opts, opts, .kernel = "5.10");
 *	ab_types_show(types, "struct task_struct", &opts, &text, &size, &err);
 *
 * An answer is text for people, as pahole prints it, or one JSON document (docs/types.md), which the caller frees with
 * free(). Names are as C writes them, "struct sock", "u32", or without a keyword, "sock", which finds every kind; where
 * the text says so they may be globs, "tcp_*". Members are paths from a type, "task_struct.se.vruntime", through
 * anonymous structs and unions as C does it.
 *
 * Threads: immutable once open; any thread may ask.
 */
#ifndef ANYBPF_TYPES_H
#define ANYBPF_TYPES_H

#include <stdbool.h>
#include <anybpf/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_types;

/*
 * A pack, raw BTF, or an ELF file with .BTF; NULL: the running kernel's. Errors: those of ab_pack_open();
 * -ENOENT/NO_TYPES.
 */
AB_API int ab_types_open(const char *path, struct ab_types **ret_types, struct ab_error *err);
/* An open pack, which stays the caller's and has to outlive this. */
AB_API int ab_types_open_pack(const struct ab_pack *pack, struct ab_types **ret_types, struct ab_error *err);
AB_API void ab_types_close(struct ab_types *types);

enum ab_types_form {
	AB_TYPES_TEXT = 0,
	AB_TYPES_JSON = 1,
};

struct ab_types_opts {
	size_t sz;
	/*
	 * Which kernels, as ab_pack_find() takes them. Where one kernel is asked for and several match, the newest of
	 * them answers and the answer says so. NULL: the newest where one is asked for, else all.
	 */
	const char *kernel;
	const char *arch;        /* as uname -m says; NULL: the machine's if the pack has any of it, else any */
	enum ab_types_form form;
	uint32_t limit;          /* answers to a glob or a search; 0: 1000. The answer says how many were left out */
	const struct ab_types *other; /* ab_types_diff(): whose kernel the second is; NULL: of the same */
	size_t :0;
};

/*
 * One type or function of one kernel: struct and union with offsets, sizes and holes, enum with its values, typedef
 * with what it stands for, function with its prototype. A glob gives a list of names. Errors: -ENOENT/NOT_FOUND with
 * the nearest name.
 */
AB_API int ab_types_show(const struct ab_types *types, const char *name, const struct ab_types_opts *opts,
			 char **ret_text, size_t *ret_size, struct ab_error *err);

/*
 * How a type differs between the kernels `from` and `to`: members that came, went, moved or changed their type. NULL: the newest.
 * Errors: USAGE where one file is all that there is.
 */
AB_API int ab_types_diff(const struct ab_types *types, const char *name, const char *from, const char *to,
			 const struct ab_types_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err);

/* From which kernel to which a type or a member is there, with its type and offset, and where it went. */
AB_API int ab_types_history(const struct ab_types *types, const char *path, const struct ab_types_opts *opts,
			    char **ret_text, size_t *ret_size, struct ab_error *err);

/* The prototype of a function in each kernel, equal ones together; a glob gives the functions of one kernel. */
AB_API int ab_types_func(const struct ab_types *types, const char *name, const struct ab_types_opts *opts,
			 char **ret_text, size_t *ret_size, struct ab_error *err);

/*
 * Functions of one kernel whose result has the type `returns` and one of whose parameters has the type `takes`, as C
 * writes them ("struct sock *"; qualifiers and white space do not count), and whose name matches the glob `name`. NULL:
 * any.
 */
AB_API int ab_types_find(const struct ab_types *types, const char *name, const char *returns, const char *takes,
			 const struct ab_types_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
