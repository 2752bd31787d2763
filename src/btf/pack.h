/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What queries and check ask a pack beside include/anybpf/pack.h: definitions, which are shared between kernels, by name.
 *
 * A definition is a named type, function, variable or section with everything unnamed inside it; it refers to other
 * definitions by kind and name (docs/format-pack.md). Its id is the same for every kernel that has it, so an answer about
 * a set of ids holds for all kernels with that set.
 */
#ifndef AB_BTF_PACK_H
#define AB_BTF_PACK_H

#include <anybpf/pack.h>
#include <btf/btf.h>

/* A set of definition ids of one kernel, cheap to make (well under a millisecond) and to ask. */
struct ab_pack_defs;
int ab_pack_defs_open(const struct ab_pack *pack, size_t kernel, struct ab_pack_defs **ret_defs, struct ab_error *err);
void ab_pack_defs_close(struct ab_pack_defs *defs);

/*
 * Calls `fn` with each definition of that kind (BTF_KIND_*, 0: any) and name in any kernel of the pack; `name` may be a
 * glob. Forward declarations are kind BTF_KIND_FWD. Stops when fn returns non-zero and returns that.
 */
int ab_pack_each_def(const struct ab_pack *pack, uint32_t kind, const char *name,
		     int (*fn)(void *ctx, uint32_t def, uint32_t kind, const char *name), void *ctx, struct ab_error *err);
bool ab_pack_defs_has(const struct ab_pack_defs *defs, uint32_t def);

/* The module of a kernel that follows `after` (the kernel itself, or one of its modules) in the pack; 0: there are no more. */
size_t ab_pack_next_module(const struct ab_pack *pack, size_t kernel, size_t after);

/* A type as CO-RE looks for it: its kind (BTF_KIND_*), and its name, whose flavour does not count. */
struct ab_pack_type {
	uint32_t kind;
	const char *name;
};
/* The modules that define any of those types that their kernel does not: where loaders look too. The caller frees the list. */
int ab_pack_modules(const struct ab_pack_defs *kernel, const struct ab_pack_type *types, size_t n_types,
		    size_t **ret_modules, size_t *ret_n, struct ab_error *err);

/*
 * A small BTF of one kernel: the definitions named by `names` (C names as in ab_btf_find_c, or plain names of functions,
 * variables and types of any kind; "task_struct" finds every kind) and what they need by value; what they only point to
 * is there as a forward declaration (structs, unions) or under its name (typedefs, enums, ints: themselves). With `deep`,
 * everything reachable. `ret_key` (may be NULL): a hash of the definitions in it: equal keys, equal BTF, so that callers
 * resolve once for many kernels. Pass a non-zero `skip_key` array to learn the key only: when the key is among the n_skip
 * ones, *ret_btf is NULL and 0 is returned.
 * `memory` (may be NULL) is for asking the same of one kernel after the other: it starts as NULL, belongs to one pack, one list of
 * names and one `deep`, and is freed by the caller. A kernel that has what one before it had, wherever that was looked for, has the
 * same key and is not looked through again.
 */
struct ab_pack_memory;
struct ab_pack_subset_opts {
	const char *const *names;
	size_t n_names;
	bool deep;
	const uint64_t *skip_keys;
	size_t n_skip;
	struct ab_pack_memory **memory;
};
void ab_pack_memory_free(struct ab_pack_memory *memory);
int ab_pack_subset(const struct ab_pack *pack, const struct ab_pack_defs *defs, const struct ab_pack_subset_opts *opts,
		   struct ab_btf **ret_btf, uint64_t *ret_key, struct ab_error *err);

#endif
