/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Answers of a kernel to CO-RE relocations. Candidates are the types whose name is the object's but for the flavour; they
 * come from the index of names. All that match have to give the same answer.
 */
#include <limits.h>
#include "core_internal.h"

struct candidate {
	const struct ab_btf *btf;
	uint32_t id;
	bool matches; /* the relocation that was asked about last */
};

struct candidates {
	struct candidate *list;
	uint32_t n, cap;
};

struct ab_core_target {
	const struct ab_btf *kernel;
	const struct ab_btf **modules;
	size_t n_modules;
	struct candidates **known; /* by type id of the object */
	size_t n_known;
};

/* One side of an answer: what the object's types or a kernel's have to say. */
struct part {
	uint64_t value;
	uint32_t size, type; /* of the member that a load or store may be adjusted to; 0: none */
	bool checked;
};

/* ---- candidates ---- */

static void free_candidates(struct candidates *c)
{
	if (c)
		free(c->list);
	free(c);
}

static int add_candidate(struct candidates *c, const struct ab_btf *btf, uint32_t id)
{
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? 2 * c->cap : 4;
		struct candidate *more = realloc(c->list, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->list = more;
		c->cap = cap;
	}
	c->list[c->n++] = (struct candidate){ btf, id, false };
	return 0;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* `base` is the object's name of the type without its flavour. */
static int find_candidates(struct candidates *c, const struct ab_btf *btf, const struct btf_type *local, const char *base)
{
	const struct name_index *index = ab_btf_index(btf);
	uint32_t first = c->n;
	int r = index ? 0 : -ENOMEM;

	if (r)
		return r;
	for (const struct name_entry *e = NULL; !r && (e = ab_btf_lookup(btf, index, base, e));)
		if (e->enumerator < 0 && e->id >= ab_btf_start(btf) && ab_core_same_kind(ab_btf_type(btf, e->id), local))
			r = add_candidate(c, btf, e->id);
	for (uint32_t i = 0; !r && i < index->n_flavours; i++) {
		const struct btf_type *t = ab_btf_type(btf, index->flavours[i]);

		if (ab_core_same_kind(t, local) && ab_core_same_name(ab_btf_name(btf, t), base))
			r = add_candidate(c, btf, index->flavours[i]);
	}
	if (c->n > first)
		qsort(c->list + first, c->n - first, sizeof(*c->list), compare_candidates);
	return r;
}

static int make_candidates(const struct ab_core_target *target, const struct ab_core_spec *spec,
			   struct candidates **ret_candidates, struct ab_error *err)
{
	const struct btf_type *local = ab_btf_type(spec->btf, spec->root);
	const char *name = ab_btf_name(spec->btf, local);
	_free_ char *base = strndup(name, ab_core_name_length(name));
	struct candidates *c = array_new(1, sizeof(*c));
	int r = base && c ? 0 : -ENOMEM;

	if (!r && *base) {
		r = find_candidates(c, target->kernel, local, base);
		for (size_t i = 0; !r && (!c->n || c->list[0].btf != target->kernel) && i < target->n_modules; i++)
			r = find_candidates(c, target->modules[i], local, base);
	}
	if (r) {
		free_candidates(c);
		return ab_fail_memory(err);
	}
	*ret_candidates = c;
	return 0;
}

/* ---- answers ---- */

/* Of a member or element, that is of its elements for arrays of arrays: what one load can get. */
static bool get_element_size(const struct ab_btf *btf, uint32_t id, uint32_t *ret_size)
{
	const struct btf_type *t = ab_btf_type(btf, id = ab_btf_resolve(btf, id));
	uint64_t size;

	while (ab_btf_kind(t) == BTF_KIND_ARRAY) {
		id = ab_btf_resolve(btf, ((const struct btf_array *)ab_btf_data(t))->type);
		t = ab_btf_type(btf, id);
	}
	if (!ab_core_size(btf, id, &size))
		return false;
	*ret_size = size;
	return true;
}

static const char *answer_element(const struct ab_core_spec *way, uint32_t type, struct part *part)
{
	uint64_t size;

	part->checked = true;
	switch (way->kind) {
	case BPF_CORE_FIELD_BYTE_OFFSET:
		part->value = way->bit_offset / 8;
		part->type = type;
		return get_element_size(way->btf, type, &part->size) ? NULL : "an element without size";
	case BPF_CORE_FIELD_BYTE_SIZE:
		if (!ab_core_size(way->btf, type, &size))
			return "an element without size";
		part->value = size;
		return NULL;
	default:
		return "relocation can't be applied to array access";
	}
}

/* Where a load of `bytes` (in: at least that many) has to be to get all of a bit-field. */
static bool place_bit_field(uint32_t bit, uint32_t bits, uint32_t *bytes, uint32_t *ret_at)
{
	for (;; *bytes *= 2) {
		uint32_t at = bit / 8 / *bytes * *bytes;

		if (bit + bits - 8 * at <= 8 * *bytes) {
			*ret_at = at;
			return true;
		}
		if (*bytes >= 8)
			return false;
	}
}

static bool is_signed(const struct btf_type *t)
{
	if (ab_btf_is_enum(t))
		return ab_btf_kflag(t);
	return ab_btf_kind(t) == BTF_KIND_INT && BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(t)) & BTF_INT_SIGNED;
}

/* The shift that puts the member's highest bit at the top of 64, after a load of `bytes` at `at`. */
static uint64_t left_shift(const struct ab_core_spec *way, uint32_t bits, uint32_t bytes, uint32_t at, bool big_endian)
{
	if (big_endian)
		return 8 * (8 - bytes) + (way->bit_offset - 8 * at);
	return 64 - (way->bit_offset + bits - 8 * at);
}

static const char *answer_member(const struct ab_core_spec *way, bool big_endian, struct part *part)
{
	const struct ab_core_accessor *last = &way->accessors[way->n_accessors - 1];
	const struct btf_type *t = ab_btf_type(way->btf, last->type);
	uint32_t type = ab_btf_resolve(way->btf, ((const struct btf_member *)ab_btf_data(t))[last->index].type);
	uint32_t bits = ab_btf_member_bits(t, last->index), bytes, at = way->bit_offset / 8;
	bool bit_field = bits;
	uint64_t size;

	if (!ab_core_size(way->btf, type, &size))
		return "a member without size";
	bytes = size;
	if (!bit_field)
		bits = 8 * bytes;
	else if (!place_bit_field(way->bit_offset, bits, &bytes, &at))
		return "relocation can't be satisfied for bitfield";
	part->checked = !bit_field || way->kind == BPF_CORE_FIELD_SIGNED || way->kind == BPF_CORE_FIELD_RSHIFT_U64;
	switch (way->kind) {
	case BPF_CORE_FIELD_BYTE_OFFSET:
		part->value = at;
		part->type = bit_field ? 0 : type;
		return bit_field || get_element_size(way->btf, type, &part->size) ? NULL : "an element without size";
	case BPF_CORE_FIELD_BYTE_SIZE:
		part->value = bytes;
		return NULL;
	case BPF_CORE_FIELD_SIGNED:
		part->value = is_signed(ab_btf_type(way->btf, type));
		return NULL;
	case BPF_CORE_FIELD_LSHIFT_U64:
		part->value = left_shift(way, bits, bytes, at, big_endian);
		return NULL;
	default: /* BPF_CORE_FIELD_RSHIFT_U64 */
		part->value = 64 - (uint64_t)bits;
		return NULL;
	}
}

static const char *answer_type(const struct ab_core_spec *way, struct part *part)
{
	uint64_t size;

	part->checked = way->kind != BPF_CORE_TYPE_ID_TARGET;
	if (way->kind == BPF_CORE_TYPE_ID_TARGET || way->kind == BPF_CORE_TYPE_ID_LOCAL) {
		part->value = way->root;
	} else if (way->kind == BPF_CORE_TYPE_SIZE) {
		if (!ab_core_size(way->btf, way->root, &size))
			return "a type without size";
		part->value = size;
	} else {
		part->value = 1;
	}
	return NULL;
}

/* Returns NULL, or why there is no answer. */
static const char *answer(const struct ab_core_spec *way, bool big_endian, struct part *ret_part)
{
	const struct ab_core_accessor *last;

	*ret_part = (struct part){ .checked = true };
	if (ab_core_is_type(way->kind))
		return answer_type(way, ret_part);
	last = &way->accessors[way->n_accessors - 1];
	if (way->kind == BPF_CORE_FIELD_EXISTS || way->kind == BPF_CORE_ENUMVAL_EXISTS) {
		ret_part->value = 1;
		return NULL;
	}
	if (way->kind == BPF_CORE_ENUMVAL_VALUE) {
		ret_part->value = ab_btf_enumerator_value(ab_btf_type(way->btf, last->type), last->index);
		return NULL;
	}
	return last->name ? answer_member(way, big_endian, ret_part) : answer_element(way, last->type, ret_part);
}

/*
 * Whether a load may become wider or narrower: a pointer of 32 bits is read into one of 64, and an unsigned number fills
 * up with zeros; anything else would be read wrongly.
 */
static bool may_resize(const struct btf_type *local, const struct btf_type *target)
{
	if (ab_btf_kind(local) == BTF_KIND_PTR && ab_btf_kind(target) == BTF_KIND_PTR)
		return true;
	return ab_btf_kind(local) == BTF_KIND_INT && ab_btf_kind(target) == BTF_KIND_INT &&
	       BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(local)) != BTF_INT_SIGNED &&
	       BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(target)) != BTF_INT_SIGNED;
}

static void say_unsuited(struct ab_core_value *value, const struct ab_core_spec *spec, const char *wrong, struct text *why)
{
	value->status = AB_CORE_UNSUITED;
	if (!why)
		return;
	ab_core_describe(spec, why);
	text_printf(why, ": %s", wrong);
}

/* What happens where no candidate matches: questions are answered by 0, values cannot be given. */
static void say_missing(struct ab_core_value *value, const struct ab_core_spec *spec, const struct candidates *c,
			struct text *why)
{
	const struct btf_type *t = ab_btf_type(spec->btf, spec->root);
	const char *name = ab_btf_name(spec->btf, t);
	struct ab_core_spec way;

	value->status = AB_CORE_MISSING;
	value->poison = !ab_core_is_type(spec->kind) && spec->kind != BPF_CORE_FIELD_EXISTS &&
			spec->kind != BPF_CORE_ENUMVAL_EXISTS;
	if (!why)
		return;
	if (c->n)
		ab_core_match(spec, c->list[0].btf, c->list[0].id, &way, why);
	else
		text_printf(why, "no %s %.*s", ab_btf_is_enum(t) ? "enum" : ab_core_kind_word(t),
			    (int)ab_core_name_length(name), name);
}

static void say_found(struct ab_core_value *value, const struct ab_core_spec *spec, const struct part *local,
		      const struct ab_core_spec *way, const struct part *target)
{
	value->value = target->value;
	value->target = way->root;
	value->local_size = local->size;
	value->target_size = target->size;
	value->fixed_size = local->size != target->size && !may_resize(ab_btf_type(spec->btf, local->type),
								       ab_btf_type(way->btf, target->type));
}

static bool is_big_endian(const struct ab_btf *btf)
{
	return btf->swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* Whether another candidate says the same as the first. */
static bool agrees(const struct ab_core_spec *first, const struct ab_core_value *value, const struct ab_core_spec *way,
		   const struct part *part, struct text *why)
{
	if (way->bit_offset != first->bit_offset) {
		if (why)
			text_printf(why, "field offset ambiguity: %u != %u", way->bit_offset, first->bit_offset);
		return false;
	}
	if (part->value != value->value) {
		if (why)
			text_printf(why, "relocation decision ambiguity: success %llu != success %llu",
				    (unsigned long long)part->value, (unsigned long long)value->value);
		return false;
	}
	return true;
}

/* Those that do not match are dropped where others do. */
static void drop_others(struct candidates *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->list[i].matches)
			c->list[n++] = c->list[i];
	c->n = n ? n : c->n;
}

/* Asks all candidates. */
static void decide(const struct ab_core_spec *spec, struct candidates *c, struct ab_core_value *value, struct text *why)
{
	bool big_endian = is_big_endian(spec->btf);
	struct ab_core_spec first = {}, way;
	struct part local, target;
	const char *wrong = answer(spec, big_endian, &local);
	uint32_t n = 0;

	value->local = local.value;
	value->checked = local.checked;
	if (wrong) {
		say_unsuited(value, spec, wrong, why);
		return;
	}
	for (uint32_t i = 0; i < c->n; i++) {
		struct ab_core_spec *this = n ? &way : &first;
		enum match match = ab_core_match(spec, c->list[i].btf, c->list[i].id, this, NULL);

		c->list[i].matches = match == MATCH_YES;
		if (match == MATCH_NO)
			continue;
		wrong = match == MATCH_YES ? answer(this, big_endian, &target) : "nests too deep to be followed";
		if (wrong) {
			say_unsuited(value, this, wrong, why);
			return;
		}
		if (!n++) {
			say_found(value, spec, &local, this, &target);
		} else if (!agrees(&first, value, this, &target, why)) {
			value->status = AB_CORE_AMBIGUOUS;
			return;
		}
	}
	drop_others(c);
	if (!n)
		say_missing(value, spec, c, why);
}

static bool needs_no_candidates(const struct ab_core_spec *spec, struct ab_core_value *value, struct text *why)
{
	const char *name = ab_btf_name(spec->btf, ab_btf_type(spec->btf, spec->root));

	*value = (struct ab_core_value){};
	if (spec->kind == BPF_CORE_TYPE_ID_LOCAL) {
		value->value = value->local = spec->root;
		return true;
	}
	if (*name)
		return false;
	say_unsuited(value, spec, "relocation doesn't support anonymous types", why);
	return true;
}

int ab_core_resolve(const struct ab_core_spec *spec, const struct ab_btf *target, struct ab_core_value *ret_value,
		    struct text *why, struct ab_error *err)
{
	struct ab_core_target once = { .kernel = target };
	struct candidates *c;
	int r;

	if (needs_no_candidates(spec, ret_value, why))
		return 0;
	r = make_candidates(&once, spec, &c, err);
	if (r < 0)
		return r;
	decide(spec, c, ret_value, why);
	free_candidates(c);
	return 0;
}

/* ---- targets that remember ---- */

int ab_core_target_new(const struct ab_btf *kernel, const struct ab_btf *const *modules, size_t n_modules,
		       struct ab_core_target **ret_target, struct ab_error *err)
{
	struct ab_core_target *target = array_new(1, sizeof(*target));
	const struct ab_btf **copy = array_new(n_modules, sizeof(*copy));

	if (!target || !copy) {
		free(target);
		free(copy);
		return ab_fail_memory(err);
	}
	if (n_modules)
		memcpy(copy, modules, n_modules * sizeof(*copy));
	*target = (struct ab_core_target){ .kernel = kernel, .modules = copy, .n_modules = n_modules };
	*ret_target = target;
	return 0;
}

void ab_core_target_free(struct ab_core_target *target)
{
	if (!target)
		return;
	for (size_t i = 0; i < target->n_known; i++)
		free_candidates(target->known[i]);
	free(target->known);
	free(target->modules);
	free(target);
}

static int get_candidates(struct ab_core_target *target, const struct ab_core_spec *spec, struct candidates **ret_candidates,
			  struct ab_error *err)
{
	size_t n = MAX(ab_btf_count(spec->btf), target->n_known);
	int r = 0;

	if (n > target->n_known) {
		struct candidates **more = realloc(target->known, n * sizeof(*more));

		if (!more)
			return ab_fail_memory(err);
		memset(more + target->n_known, 0, (n - target->n_known) * sizeof(*more));
		target->known = more;
		target->n_known = n;
	}
	if (!target->known[spec->root])
		r = make_candidates(target, spec, &target->known[spec->root], err);
	if (!r)
		*ret_candidates = target->known[spec->root];
	return r;
}

int ab_core_target_resolve(struct ab_core_target *target, const struct ab_core_spec *spec, struct ab_core_value *ret_value,
			   struct text *why, struct ab_error *err)
{
	struct candidates *c;
	int r;

	if (needs_no_candidates(spec, ret_value, why))
		return 0;
	r = get_candidates(target, spec, &c, err);
	if (r < 0)
		return r;
	decide(spec, c, ret_value, why);
	return 0;
}

int ab_core_target_trace(struct ab_core_target *target, const struct ab_core_spec *spec,
			 int (*fn)(void *ctx, const struct ab_core_spec *match), void *ctx, struct ab_error *err)
{
	struct ab_core_spec way;
	struct ab_core_value none;
	struct candidates *c;
	int r;

	if (needs_no_candidates(spec, &none, NULL))
		return 0;
	r = get_candidates(target, spec, &c, err);
	for (uint32_t i = 0; !r && i < c->n; i++)
		if (ab_core_match(spec, c->list[i].btf, c->list[i].id, &way, NULL) == MATCH_YES)
			r = fn(ctx, &way);
	return r;
}
