/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What definitions two kernels do not share, of one pack by their numbers, of two packs by what they read like. */
#include "pack_internal.h"

struct difference {
	const char *name;
	uint64_t hash; /* of what it reads like; between packs only */
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
	if (r == 0 && x->hash != y->hash)
		r = x->hash < y->hash ? -1 : 1;
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

typedef int (*diff_fn)(void *ctx, enum ab_pack_change change, const char *kind, const char *name);

/* Of one kind and name: what both have is changed, the rest was added or removed. */
static int tell(const struct difference *list, size_t n, diff_fn fn, void *ctx)
{
	size_t old = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		old += list[i].old;
	for (size_t i = 0; i < MAX(old, n - old) && r == 0; i++) {
		enum ab_pack_change change = i >= old ? AB_PACK_ADDED : i >= n - old ? AB_PACK_REMOVED : AB_PACK_CHANGED;

		r = fn(ctx, change, kinds[list[0].rank].word, list[0].name);
	}
	return r;
}

static int tell_all(struct difference *list, size_t n, diff_fn fn, void *ctx)
{
	int r = 0;

	if (n) /* of none the list is NULL */
		qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0, end; i < n && r == 0; i = end) {
		for (end = i; end < n && list[end].rank == list[i].rank && !strcmp(list[end].name, list[i].name); end++)
			;
		r = tell(list + i, end - i, fn, ctx);
	}
	return r;
}

int ab_pack_diff(const struct ab_pack *pack, size_t old_index, size_t new_index, diff_fn fn, void *ctx, struct ab_error *err)
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
	return r < 0 ? r : tell_all(list, n, fn, ctx);
}

/* ---- two packs ---- */

/* What a definition reads like: its bytes with the text of strings in the place of their numbers, which are the pack's own. */
struct reading {
	struct walk walk;
	const struct ab_pack *pack;
	uint32_t fresh;
	struct buffer out;
	struct ab_error *err;
	int fault;
};

static void read_raw(struct walk *w, const uint8_t *p, size_t n)
{
	buffer_add(&((struct reading *)w)->out, p, n);
}

static void read_str(struct walk *w, uint64_t token)
{
	struct reading *r = (struct reading *)w;
	uint64_t number = token ? token - 1 : ++r->fresh;
	const char *s = "";
	size_t size = 0;

	if (number >= r->pack->n_strings)
		w->c.bad = true;
	else if (!r->fault)
		r->fault = ab_pack_string(r->pack, (uint32_t)number, &s, &size, r->err);
	buffer_add(&r->out, s, size + 1);
}

static int hash_def(struct reading *r, uint32_t number, uint64_t *ret_hash)
{
	struct pack_def def;
	const char *name;
	size_t size;
	int code = ab_pack_def(r->pack, number, &def, r->err);

	if (code == 0)
		code = ab_pack_string(r->pack, def.name, &name, &size, r->err);
	if (code < 0)
		return code;
	r->out.n = 0;
	r->fresh = def.name;
	r->walk = (struct walk){ .str = read_str, .raw = read_raw };
	buffer_add(&r->out, &def.kind, 1);
	buffer_add(&r->out, name, size + 1);
	if (!ab_pack_walk(&r->walk, def.kind, def.body, def.size))
		return ab_pack_bad_def(r->pack, number, r->err);
	if (r->fault || r->out.failed)
		return r->fault ? r->fault : ab_fail_memory(r->err);
	*ret_hash = ab_pack_hash(r->out.p, r->out.n, 0);
	return 0;
}

int ab_pack_digests(const struct ab_pack *pack, uint64_t **ret_digests, struct ab_error *err)
{
	_free_ uint64_t *digests = array_new(pack->n_kernels, sizeof(*digests));
	_free_ uint64_t *hashes = array_new(pack->n_defs, sizeof(*hashes));
	struct reading reading = { .pack = pack, .err = err };
	int r = digests && hashes ? 0 : ab_fail_memory(err);

	for (uint32_t i = 0; i < pack->n_defs && r == 0; i++)
		r = hash_def(&reading, i, &hashes[i]);
	for (uint32_t k = 0; k < pack->n_kernels && r == 0; k++) {
		_free_ uint64_t *bits = NULL;

		r = ab_pack_set(pack, k, &bits, err);
		for (size_t i = 0; r == 0 && i < PACK_BITS(pack->n_defs); i++)
			for (uint64_t x = bits[i]; x; x &= x - 1)
				digests[k] += hashes[64 * i + __builtin_ctzll(x)];
	}
	buffer_clear(&reading.out);
	if (r == 0)
		*ret_digests = TAKE(digests);
	return r;
}

static int add_kernel(const struct ab_pack *pack, size_t index, bool old, struct difference **list, size_t *n, struct ab_error *err)
{
	struct reading reading = { .pack = pack, .err = err };
	size_t words = PACK_BITS(pack->n_defs), count = *n;
	_free_ uint64_t *bits = NULL;
	struct difference *more;
	int r = ab_pack_set(pack, index, &bits, err);

	for (size_t i = 0; r == 0 && i < words; i++)
		count += __builtin_popcountll(bits[i]);
	more = r < 0 ? NULL : reallocarray(*list, count + 1, sizeof(*more));
	if (r == 0 && !more)
		r = ab_fail_memory(err);
	*list = more ? more : *list;
	for (size_t i = 0; r == 0 && i < words; i++)
		for (uint64_t x = bits[i]; x && r == 0; x &= x - 1) {
			uint32_t def = 64 * i + __builtin_ctzll(x);
			size_t before = *n;

			r = add(pack, def, old, *list, n, err);
			if (r == 0 && *n > before)
				r = hash_def(&reading, def, &(*list)[before].hash);
		}
	buffer_clear(&reading.out);
	return r;
}

/* Leaves out what both have; returns how many are left. */
static size_t drop_common(struct difference *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0; i < n; i++) {
		const struct difference *last = kept ? &list[kept - 1] : NULL;

		if (last && last->old && !list[i].old && last->rank == list[i].rank && last->hash == list[i].hash &&
		    !strcmp(last->name, list[i].name))
			kept--;
		else
			list[kept++] = list[i];
	}
	return kept;
}

int ab_pack_diff_packs(const struct ab_pack *old, size_t old_index, const struct ab_pack *new, size_t new_index, diff_fn fn,
		       void *ctx, struct ab_error *err)
{
	_free_ struct difference *list = NULL;
	size_t n = 0;
	int r = add_kernel(old, old_index, true, &list, &n, err);

	if (r == 0)
		r = add_kernel(new, new_index, false, &list, &n, err);
	return r < 0 ? r : tell_all(list, n ? drop_common(list, n) : 0, fn, ctx);
}
