/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the files of CO-RE resolution share: core.c (parse, describe), core_match.c, core_resolve.c, core_patch.c. */
#ifndef AB_BTF_CORE_INTERNAL_H
#define AB_BTF_CORE_INTERNAL_H

#include <btf/core.h>
#include <btf/internal.h>

/* What a comparison of types says. MATCH_BEYOND: they nest too deep, or are too large, to be followed. */
enum match { MATCH_NO, MATCH_YES, MATCH_BEYOND };

/* sizeof; false for what has none: void, functions, declarations only. */
bool ab_core_size(const struct ab_btf *btf, uint32_t id, uint64_t *ret_size);
/* Goes on by `count` times `bits`; false if the offset would not fit. */
bool ab_core_advance(struct ab_core_spec *spec, uint64_t count, uint64_t bits);
/* Whether an array reached by that accessor is the last member of its struct and open-ended. */
bool ab_core_is_flexible(const struct ab_btf *btf, const struct ab_core_accessor *holder, const struct btf_array *array);
/* Whether types of these kinds can mean the same: the same kind, or both enums. */
bool ab_core_same_kind(const struct btf_type *a, const struct btf_type *b);
/* Whether names are the same but for their flavours. */
bool ab_core_same_name(const char *a, const char *b);

/* Is told which of a target's types, members and enumerators a comparison of whole types looked at. */
struct ab_core_visitor {
	void (*type)(void *ctx, uint32_t id);
	void (*part)(void *ctx, uint32_t id, uint32_t index); /* of a struct, union or enum */
	void *ctx;
};
void ab_core_visit(const struct ab_core_spec *local, const struct ab_btf *target, uint32_t id,
		   const struct ab_core_visitor *visitor);

/* Follows `local` through the candidate `id` of `target`; with MATCH_NO and a `why`, appends what is missing. */
enum match ab_core_match(const struct ab_core_spec *local, const struct ab_btf *target, uint32_t id,
			 struct ab_core_spec *ret_spec, struct text *why);

/* The word for a kind of relocation ("byte_off") and for a kind of type ("struct"), as libbpf's log has them. */
const char *ab_core_relo_word(enum bpf_core_relo_kind kind);
const char *ab_core_kind_word(const struct btf_type *t);

#endif
