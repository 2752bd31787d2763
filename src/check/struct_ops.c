/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Whether a struct_ops map is what the kernel calls by that name, member for member, as libbpf compares it when it
 * loads. */
#include "check.h"

static uint32_t find_member(const struct ab_btf *btf, const struct btf_type *t, const char *name)
{
	const struct btf_member *m = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		if (!strcmp(ab_btf_str(btf, m[i].name_off), name))
			return i;
	return NONE;
}

static void compare_member(const struct ab_btf *ours, uint32_t our_type, const struct ab_btf *theirs,
			   uint32_t their_type, const char *type, const char *name, struct text *out)
{
	const struct btf_type *a = ab_btf_type(ours, ab_btf_resolve(ours, our_type));
	const struct btf_type *b = ab_btf_type(theirs, ab_btf_resolve(theirs, their_type));

	if (ab_btf_kind(a) != ab_btf_kind(b))
		text_printf(out, "struct %s's member '%s' is of another kind", type, name);
	else if (ab_btf_kind(a) != BTF_KIND_PTR && ab_btf_size(ours, our_type) != ab_btf_size(theirs, their_type))
		text_printf(out, "struct %s's member '%s' has %zu bytes, not %zu", type, name,
			    ab_btf_size(theirs, their_type), ab_btf_size(ours, our_type));
}

int ab_check_compare_ops(const struct ab_check *check, const struct map *map, const struct ab_btf *types,
			 struct answer *ret, struct ab_error *err)
{
	const struct btf_type *ours = ab_btf_type(check->btf, map->struct_ops), *theirs;
	const struct btf_member *m = ab_btf_data(ours), *other;
	const char *type = ab_btf_name(check->btf, ours);
	uint32_t id = ab_btf_find(types, type, BTF_KIND_STRUCT);
	_text_ struct text why = {};

	theirs = ab_btf_type(types, id);
	other = ab_btf_data(theirs);
	if (!id)
		text_printf(&why, "there is no struct %s", type);
	for (uint32_t i = 0; !why.n && ab_btf_kind(ours) == BTF_KIND_STRUCT && i < ab_btf_vlen(ours); i++) {
		const char *name = ab_btf_str(check->btf, m[i].name_off);
		uint32_t at = find_member(types, theirs, name);

		if (at == NONE)
			text_printf(&why, "struct %s has no member '%s'", type, name);
		else
			compare_member(check->btf, m[i].type, types, other[at].type, type, name, &why);
	}
	ret->value = (struct ab_core_value){ .status = why.n ? AB_CORE_MISSING : AB_CORE_OK };
	if (why.failed)
		return ab_fail_memory(err);
	ret->message = why.n ? text_take(&why) : NULL;
	return 0;
}
