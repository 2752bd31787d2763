/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the files of the type queries share (include/anybpf/types.h): kernels, the types of one of them, and a type as a
 * list of fields.
 */
#ifndef AB_BTF_TYPES_H
#define AB_BTF_TYPES_H

#include <anybpf/types.h>
#include <btf/internal.h>

struct ab_types {
	const struct ab_pack *pack;    /* or: */
	struct ab_btf *btf;
	struct ab_pack *own_pack;      /* to be closed */
	struct ab_kernel own;          /* what `btf` is of */
	char *release;
	char machine[65];              /* as uname -m says */
};

enum { TYPES_LIMIT = 1000, FIELD_DEPTH = 32, FIELDS_MAX = 1 << 16 };

/* ---- kernels: indices, ordered by version ---- */

struct kernels {
	size_t *v, n;
};
const struct ab_kernel *ab_types_kernel(const struct ab_types *types, size_t index);
/* Those that `pattern` means (NULL: all), at least one. Errors: -ENOENT/NOT_FOUND. The caller frees ret->v. */
int ab_types_select(const struct ab_types *types, const char *pattern, const char *arch, struct kernels *ret,
		    struct ab_error *err);
/* The newest of them. */
int ab_types_select_one(const struct ab_types *types, const char *pattern, const char *arch, size_t *ret_index,
			struct ab_error *err);
/* "5.10.0-8-amd64 (debian, x86_64)", or nothing for a file that does not say what it is. */
void ab_types_put_kernel(const struct ab_kernel *kernel, struct text *out);
void ab_types_json_kernel(struct json *j, const char *key, const struct ab_kernel *kernel);

/*
 * A kernel's types: what `names` name, with what they contain, or with NULL all. `key` (may be NULL): equal keys, equal
 * types; those among the `seen` are not made, *ret_btf is NULL. To be given back.
 */
struct seen_keys {
	uint64_t *v;
	size_t n;
};
int ab_types_get(const struct ab_types *types, size_t index, const char *const *names, size_t n_names,
		 const struct seen_keys *seen, struct ab_btf **ret_btf, uint64_t *ret_key, struct ab_error *err);
void ab_types_put(const struct ab_types *types, struct ab_btf *btf);

/*
 * Calls `fn` with the kind and name of each definition of that kind (0: any that has members, values, a type or a
 * prototype) that matches a glob.
 */
int ab_types_each(const struct ab_types *types, size_t index, uint32_t kind, const char *glob,
		  int (*fn)(void *ctx, uint32_t kind, const char *name), void *ctx, struct ab_error *err);

/*
 * A name as people write it, "struct sock", "u32", "tcp_sendmsg", to an id; 0 if there is none. Definitions before
 * forward declarations.
 */
uint32_t ab_types_find_name(const struct ab_btf *btf, const char *name);
/* The name without "struct", "union", "enum". */
const char *ab_types_bare(const char *name);
bool ab_types_is_glob(const char *name);
/* The kernel's name that is most like one that it does not have, as C writes it, for free(); NULL: none is. */
char *ab_types_nearest(const struct ab_types *types, size_t index, const char *name);
/* -ENOENT: `name` is none of the kernel's, with the nearest, or that other kernels have it. */
int ab_types_missing(const struct ab_types *types, size_t index, const char *name, struct ab_error *err);

/* ---- fields (types_fields.c) ---- */

/* A member, enumerator or parameter; of a typedef what it stands for, of a type by itself its size. */
struct field {
	char *path;       /* through unnamed structs and unions: "sk_backlog.head" */
	char *type;       /* as C writes it, dimensions too; of an enumerator "" */
	int64_t at;       /* offset in bits, value of an enumerator, index of a parameter */
	uint32_t bits;    /* of a bit-field */
	uint64_t size;    /* bytes */
};

struct fields {
	struct field *v;
	size_t n, cap;
	uint32_t kind;    /* BTF_KIND_* of the type; 0: there is none */
	uint64_t size;
	unsigned visits;  /* members that were looked at: structs without name multiply */
	bool failed;
};
/* The fields of a type by name. Members of named structs inside are not among them. */
void ab_fields_read(const struct ab_btf *btf, const char *name, struct fields *ret);
const struct field *ab_fields_find(const struct fields *fields, const char *path);
void ab_fields_clear(struct fields *fields);
/*
 * The member that a path names from a type, through named structs too; false if there is none. The caller frees path
 * and type.
 */
bool ab_field_resolve(const struct ab_btf *btf, uint32_t id, const char *path, struct field *ret);
/* Where a member of `from` may be in `to`, which has none of that path: a path for free(), or NULL. */
char *ab_field_went(const struct ab_btf *from_btf, const struct fields *from, const struct ab_btf *to_btf,
		    const struct fields *to, const char *name, const char *path);

/* ---- types_print.c ---- */

/* A type as text like pahole's, or as members of the JSON object that is open. */
void ab_types_print(const struct ab_btf *btf, uint32_t id, struct text *out);
void ab_types_print_json(const struct ab_btf *btf, uint32_t id, struct json *j);
/* "int tcp_sendmsg(struct sock *sk, …)" */
void ab_types_prototype(const struct ab_btf *btf, uint32_t id, struct text *out);
/* "struct sock", "tcp_sendmsg": kind and name as C writes it. */
void ab_types_put_name(uint32_t kind, const char *name, struct text *out);
const char *ab_types_kind_word(uint32_t kind);

/* Ends an answer: hands its text out, or says that memory ran out. */
int ab_types_finish(struct text *out, char **ret_text, size_t *ret_size, struct ab_error *err);

#endif
