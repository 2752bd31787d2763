/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What definitions two kernels do not share. */
#include "pack_internal.h"

struct difference {
	const char *name;
	uint32_t def;
	uint8_t rank; /* of its kind, in the order of `kinds` */
	bool old;
};

static const struct { uint8_t kind, alias; const char *word; } kinds[] = {
	{ BTF_KIND_STRUCT, 0, "struct" }, { BTF_KIND_UNION, 0, "union" }, { BTF_KIND_ENUM, BTF_KIND_ENUM64, "enum" },
	{ BTF_KIND_TYPEDEF, 0, "typedef" }, { BTF_KIND_INT, 0, "int" }, { BTF_KIND_FLOAT, 0, "float" },
	{ BTF_KIND_FUNC, 0, "func" }, { BTF_KIND_VAR, 0, "var" }, { BTF_KIND_DATASEC, 0, "section" }, { BTF_KIND_FWD, 0, "fwd" },
};

static int compare(const void *a, const void *b)
{
	const struct difference *x = a, *y = b;
	int r;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	r = strcmp(x->name, y->name);
	if (r == 0)
		r = (int)y->old - x->old;
	return r ? r : x->def < y->def ? -1 : x->def > y->def;
}

static int add(const struct ab_pack *pack, uint32_t def, bool old, struct difference *list, size_t *n, struct ab_error *err)
{
	uint32_t name;
	uint8_t kind;
	size_t size, rank;
	int r = ab_pack_head(pack, def, &kind, &name, err);

	if (r < 0 || !(kind &= PACK_KIND))
		return r;
	for (rank = 0; rank < ARRAY_SIZE(kinds) && kind != kinds[rank].kind && kind != kinds[rank].alias; rank++)
		;
	if (rank == ARRAY_SIZE(kinds))
		return 0;
	list[*n] = (struct difference){ .def = def, .rank = rank, .old = old };
	r = ab_pack_string(pack, name, &list[*n].name, &size, err);
	++*n;
	return r;
}

/* Of one kind and name: what both have is changed, the rest was added or removed. */
static int tell(const struct difference *list, size_t n,
		int (*fn)(void *ctx, enum ab_pack_change change, const char *kind, const char *name), void *ctx)
{
	size_t old = 0;
	int r = 0;

	while (old < n && list[old].old)
		old++;
	for (size_t i = 0; i < MAX(old, n - old) && r == 0; i++) {
		enum ab_pack_change change = i >= old ? AB_PACK_ADDED : i >= n - old ? AB_PACK_REMOVED : AB_PACK_CHANGED;

		r = fn(ctx, change, kinds[list[0].rank].word, list[0].name);
	}
	return r;
}

int ab_pack_diff(const struct ab_pack *pack, size_t old_index, size_t new_index,
		 int (*fn)(void *ctx, enum ab_pack_change change, const char *kind, const char *name), void *ctx,
		 struct ab_error *err)
{
	_free_ uint64_t *old = NULL, *new = NULL;
	_free_ struct difference *list = NULL;
	size_t n = 0, words = PACK_BITS(pack->n_defs), count = 0;
	int r = ab_pack_set(pack, old_index, &old, err);

	if (r == 0)
		r = ab_pack_set(pack, new_index, &new, err);
	for (size_t i = 0; r == 0 && i < words; i++)
		count += __builtin_popcountll(old[i] ^ new[i]);
	list = array_new(count, sizeof(*list));
	if (!list)
		return ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < words; i++)
		for (uint64_t x = old[i] ^ new[i]; x && r == 0; x &= x - 1)
			r = add(pack, 64 * i + __builtin_ctzll(x), old[i] >> __builtin_ctzll(x) & 1, list, &n, err);
	if (r < 0)
		return r;
	if (n) /* of none the list is NULL */
		qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0, end; i < n && r == 0; i = end) {
		for (end = i; end < n && list[end].rank == list[i].rank && !strcmp(list[end].name, list[i].name); end++)
			;
		r = tell(list + i, end - i, fn, ctx);
	}
	return r;
}
