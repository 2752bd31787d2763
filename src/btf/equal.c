/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whether two types are the same. Types refer to each other in circles: what is being compared already is taken for equal, so
 * each pair is looked at once.
 */
#include "internal.h"

#define MAX_PAIRS (1u << 22)

struct pair {
	uint32_t a, b;
};

struct comparison {
	const struct ab_btf *a, *b;
	bool deep;
	struct pair *pairs; /* that were found or are taken to be equal: a hash set, {0, 0} is free */
	uint32_t n, cap;
	struct pair *queue; /* of those, the ones whose inside is still to be compared */
	uint32_t n_queue, cap_queue;
};

static struct pair *find_pair(struct pair *pairs, uint32_t cap, struct pair wanted)
{
	for (uint32_t i = (wanted.a * 0x9e3779b1u ^ wanted.b * 0x85ebca6bu) & (cap - 1);; i = (i + 1) & (cap - 1)) {
		struct pair *p = &pairs[i];

		if ((!p->a && !p->b) || (p->a == wanted.a && p->b == wanted.b))
			return p;
	}
}

static bool grow_pairs(struct comparison *c)
{
	uint32_t cap = c->cap ? 2 * c->cap : 64;
	struct pair *more = c->n < MAX_PAIRS ? array_new(cap, sizeof(*more)) : NULL;

	if (!more)
		return false;
	for (uint32_t i = 0; i < c->cap; i++)
		if (c->pairs[i].a || c->pairs[i].b)
			*find_pair(more, cap, c->pairs[i]) = c->pairs[i];
	free(c->pairs);
	c->pairs = more;
	c->cap = cap;
	return true;
}

/* Notes that the two have to be the same; false only where there is no room for that. */
static bool expect(struct comparison *c, uint32_t a, uint32_t b)
{
	struct pair pair = { a, b }, *p;

	if (2 * (c->n + 1) > c->cap && !grow_pairs(c))
		return false;
	p = find_pair(c->pairs, c->cap, pair);
	if (p->a || p->b)
		return true;
	if (c->n_queue == c->cap_queue) {
		uint32_t cap = c->cap_queue ? 2 * c->cap_queue : 64;
		struct pair *more = realloc(c->queue, cap * sizeof(*more));

		if (!more)
			return false;
		c->queue = more;
		c->cap_queue = cap;
	}
	c->queue[c->n_queue++] = *p = pair;
	c->n++;
	return true;
}

static bool same_names(const struct comparison *c, uint32_t a, uint32_t b)
{
	return !strcmp(ab_btf_str(c->a, a), ab_btf_str(c->b, b));
}

/* What a reference names when it is not followed: 's'truct, 'u'nion, 'e'num, 't'ypedef, or 0. */
static char name_space(const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT: return 's';
	case BTF_KIND_UNION: return 'u';
	case BTF_KIND_FWD: return ab_btf_kflag(t) ? 'u' : 's';
	case BTF_KIND_ENUM: case BTF_KIND_ENUM64: return 'e';
	case BTF_KIND_TYPEDEF: return 't';
	default: return 0;
	}
}

/* A type that another leads to. Deep, a definition and a declaration of the same name are the same: there is no more to compare. */
static bool same_reference(struct comparison *c, uint32_t a, uint32_t b)
{
	const struct btf_type *ta = ab_btf_type(c->a, a), *tb = ab_btf_type(c->b, b);
	char space = name_space(ta);

	if (!a || !b)
		return a == b;
	if (space && (ta->name_off || tb->name_off)) {
		if (space != name_space(tb) || !same_names(c, ta->name_off, tb->name_off))
			return false;
		if (!c->deep || ab_btf_kind(ta) == BTF_KIND_FWD || ab_btf_kind(tb) == BTF_KIND_FWD)
			return true;
	}
	return expect(c, a, b);
}

static bool same_members(struct comparison *c, const struct btf_type *ta, const struct btf_type *tb)
{
	const struct btf_member *ma = ab_btf_data(ta), *mb = ab_btf_data(tb);

	for (uint32_t i = 0; i < ab_btf_vlen(ta); i++) {
		struct member a = ab_btf_member(c->a, ta, i), b = ab_btf_member(c->b, tb, i);

		if (a.offset != b.offset || a.bits != b.bits || strcmp(a.name, b.name) ||
		    !same_reference(c, ma[i].type, mb[i].type))
			return false;
	}
	return true;
}

static bool same_enumerators(struct comparison *c, const struct btf_type *ta, const struct btf_type *tb)
{
	for (uint32_t i = 0; i < ab_btf_vlen(ta); i++)
		if (ab_btf_enumerator_value(ta, i) != ab_btf_enumerator_value(tb, i) ||
		    !same_names(c, ab_btf_enumerator_name(ta, i), ab_btf_enumerator_name(tb, i)))
			return false;
	return true;
}

static bool same_proto(struct comparison *c, const struct btf_type *ta, const struct btf_type *tb)
{
	const struct btf_param *pa = ab_btf_data(ta), *pb = ab_btf_data(tb);

	for (uint32_t i = 0; i < ab_btf_vlen(ta); i++)
		if (!same_reference(c, pa[i].type, pb[i].type))
			return false;
	return same_reference(c, ta->type, tb->type);
}

static bool same_array(struct comparison *c, const struct btf_type *ta, const struct btf_type *tb)
{
	const struct btf_array *a = ab_btf_data(ta), *b = ab_btf_data(tb);

	return a->nelems == b->nelems && same_reference(c, a->type, b->type);
}

static bool same_section(struct comparison *c, const struct btf_type *ta, const struct btf_type *tb)
{
	const struct btf_var_secinfo *a = ab_btf_data(ta), *b = ab_btf_data(tb);

	for (uint32_t i = 0; i < ab_btf_vlen(ta); i++)
		if (a[i].offset != b[i].offset || a[i].size != b[i].size || !same_reference(c, a[i].type, b[i].type))
			return false;
	return true;
}

/* The two themselves; what they refer to is queued. */
static bool same_type(struct comparison *c, uint32_t a, uint32_t b)
{
	const struct btf_type *ta = ab_btf_type(c->a, a), *tb = ab_btf_type(c->b, b);
	bool same_head = ab_btf_kind(ta) == ab_btf_kind(tb) && ab_btf_vlen(ta) == ab_btf_vlen(tb) &&
			 same_names(c, ta->name_off, tb->name_off);

	if (!same_head)
		return false;
	switch (ab_btf_kind(ta)) {
	case BTF_KIND_INT:
		return ta->size == tb->size && *(const uint32_t *)ab_btf_data(ta) == *(const uint32_t *)ab_btf_data(tb);
	case BTF_KIND_FLOAT:
		return ta->size == tb->size;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return ta->size == tb->size && same_members(c, ta, tb);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return ta->size == tb->size && ab_btf_kflag(ta) == ab_btf_kflag(tb) && same_enumerators(c, ta, tb);
	case BTF_KIND_FWD:
		return ab_btf_kflag(ta) == ab_btf_kflag(tb);
	case BTF_KIND_ARRAY:
		return same_array(c, ta, tb);
	case BTF_KIND_FUNC_PROTO:
		return same_proto(c, ta, tb);
	case BTF_KIND_DATASEC:
		return ta->size == tb->size && same_section(c, ta, tb);
	case BTF_KIND_UNKN:
		return !a && !b;
	default:
		return same_reference(c, ta->type, tb->type);
	}
}

bool ab_btf_equal(const struct ab_btf *a, uint32_t a_id, const struct ab_btf *b, uint32_t b_id, bool deep)
{
	struct comparison c = { .a = a, .b = b, .deep = deep };
	bool same = (!a_id && !b_id) || expect(&c, a_id, b_id);

	while (same && c.n_queue) {
		struct pair next = c.queue[--c.n_queue];

		same = same_type(&c, next.a, next.b);
	}
	free(c.pairs);
	free(c.queue);
	return same;
}
