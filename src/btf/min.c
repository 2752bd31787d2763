/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Minimized BTF. Each relocation is resolved, and what its ways through the candidates touch is kept: the candidate by name, the
 * members on the way, and of their types what compatibility and the answer depend on. A pointer's target, a struct's other members
 * and the names of types that are only members are no part of that. Qualifiers and typedefs are skipped.
 */
#include "core_internal.h"
#include "min.h"

#define KEPT 1
#define NAMED 2

struct min {
	const struct ab_btf *btf;
	uint8_t *flags;    /* by id */
	uint8_t **parts;   /* by id: which members or enumerators are kept, a byte each; NULL: none */
	uint32_t *ids;     /* by id: the new one */
	struct text types, strings;
	struct strmap known; /* strings, with their offsets */
	bool failed;
};

/* ---- what is kept ---- */

static void keep(struct min *m, uint32_t id);

static void keep_part(struct min *m, uint32_t id, uint32_t index)
{
	const struct btf_type *t = ab_btf_type(m->btf, id);

	if (!m->parts[id])
		m->parts[id] = array_new(ab_btf_vlen(t), 1);
	if (!m->parts[id])
		m->failed = true;
	else
		m->parts[id][index] = true;
}

static bool is_open_array(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));

	return ab_btf_kind(t) == BTF_KIND_ARRAY && !((const struct btf_array *)ab_btf_data(t))->nelems;
}

/* An array of no elements is open-ended if it is the last member, so what is not last must not become it. */
static void keep_member(struct min *m, uint32_t id, uint32_t index)
{
	const struct btf_type *t = ab_btf_type(m->btf, id);
	const struct btf_member *members = ab_btf_data(t);
	uint32_t last = ab_btf_vlen(t) - 1;

	keep_part(m, id, index);
	keep(m, members[index].type);
	if (index != last && is_open_array(m->btf, members[index].type)) {
		keep_part(m, id, last);
		keep(m, members[last].type);
	}
}

/* A type as far as its kind and size go. */
static void keep(struct min *m, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(m->btf, id = ab_btf_resolve(m->btf, id));

	if (!id || m->flags[id] & KEPT)
		return;
	m->flags[id] |= KEPT;
	if (ab_btf_kind(t) == BTF_KIND_ARRAY)
		keep(m, ((const struct btf_array *)ab_btf_data(t))->type);
}

static void visit_type(void *ctx, uint32_t id)
{
	struct min *m = ctx;

	keep(m, id);
	m->flags[id] |= NAMED;
}

static void visit_part(void *ctx, uint32_t id, uint32_t index)
{
	struct min *m = ctx;

	if (ab_btf_is_struct(ab_btf_type(m->btf, id)))
		keep_member(m, id, index);
	else
		keep_part(m, id, index);
}

static void keep_way(struct min *m, const struct ab_core_spec *way)
{
	uint32_t id = ab_btf_resolve(m->btf, way->root);

	for (uint32_t i = 1; i < way->n_raw; i++) {
		const struct btf_type *t = ab_btf_type(m->btf, id);

		if (ab_btf_is_struct(t)) {
			keep_member(m, id, way->raw[i]);
			id = ((const struct btf_member *)ab_btf_data(t))[way->raw[i]].type;
		} else {
			id = ((const struct btf_array *)ab_btf_data(t))->type;
		}
		id = ab_btf_resolve(m->btf, id);
	}
}

struct match_ctx {
	struct min *min;
	const struct ab_core_spec *spec;
	bool all;
};

/*
 * The candidate stays one by its name and kind, so that a typedef remains a typedef. Where all give the same answer, one
 * is enough.
 */
static int keep_match(void *ctx, const struct ab_core_spec *way)
{
	struct match_ctx *match = ctx;
	struct min *m = match->min;
	const struct ab_core_visitor visitor = { visit_type, visit_part, m };

	m->flags[way->root] |= KEPT | NAMED;
	keep(m, way->root);
	if (ab_core_is_type(way->kind))
		ab_core_visit(match->spec, m->btf, way->root, &visitor);
	else if (ab_core_is_enumerator(way->kind))
		keep_part(m, way->accessors[0].type, way->accessors[0].index);
	else
		keep_way(m, way);
	return !match->all;
}

/* ---- writing ---- */

static void put_word(struct min *m, uint32_t word)
{
	text_add(&m->types, (const char *)&word, sizeof(word));
}

static uint32_t put_string(struct min *m, const char *s)
{
	struct strmap_entry *e;
	bool is_new;

	if (!*s)
		return 0;
	e = strmap_put(&m->known, s, strlen(s), &is_new);
	if (!e) {
		m->failed = true;
		return 0;
	}
	if (is_new) {
		e->value = m->strings.n;
		text_add(&m->strings, s, strlen(s) + 1);
	}
	return e->value;
}

/* The new id of what a type refers to: void where it is not kept, as behind most pointers. */
static uint32_t new_id(const struct min *m, uint32_t id)
{
	return m->ids[ab_btf_resolve(m->btf, id)];
}

static bool is_kept(const struct min *m, uint32_t id, uint32_t part)
{
	return m->parts[id] && m->parts[id][part];
}

static uint32_t count_parts(const struct min *m, uint32_t id, const struct btf_type *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; m->parts[id] && i < ab_btf_vlen(t); i++)
		n += m->parts[id][i];
	return n;
}

static void put_members(struct min *m, uint32_t id, const struct btf_type *t)
{
	const struct btf_member *members = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		if (!is_kept(m, id, i))
			continue;
		put_word(m, put_string(m, ab_btf_str(m->btf, members[i].name_off)));
		put_word(m, new_id(m, members[i].type));
		put_word(m, members[i].offset);
	}
}

static void put_enumerators(struct min *m, uint32_t id, const struct btf_type *t)
{
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint64_t value = ab_btf_enumerator_value(t, i);

		if (!is_kept(m, id, i))
			continue;
		put_word(m, put_string(m, ab_btf_str(m->btf, ab_btf_enumerator_name(t, i))));
		put_word(m, (uint32_t)value);
		if (ab_btf_kind(t) == BTF_KIND_ENUM64)
			put_word(m, value >> 32);
	}
}

static void put_params(struct min *m, const struct btf_type *t)
{
	const struct btf_param *params = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		put_word(m, 0);
		put_word(m, new_id(m, params[i].type));
	}
}

static void put_body(struct min *m, uint32_t id, const struct btf_type *t)
{
	const struct btf_array *array = ab_btf_data(t);

	switch (ab_btf_kind(t)) {
	case BTF_KIND_INT:
		put_word(m, *(const uint32_t *)ab_btf_data(t));
		break;
	case BTF_KIND_ARRAY:
		put_word(m, new_id(m, array->type));
		put_word(m, 0);
		put_word(m, array->nelems);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		put_members(m, id, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		put_enumerators(m, id, t);
		break;
	case BTF_KIND_FUNC_PROTO:
		put_params(m, t);
		break;
	}
}

static void put_type(struct min *m, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(m->btf, id);
	bool has_parts = ab_btf_is_struct(t) || ab_btf_is_enum(t);
	/* Enums as members are told apart by their names, and a declaration is nothing else. */
	bool is_named = m->flags[id] & NAMED || ab_btf_is_enum(t) || ab_btf_kind(t) == BTF_KIND_FWD;
	uint32_t vlen = has_parts ? count_parts(m, id, t) : ab_btf_vlen(t);

	put_word(m, is_named ? put_string(m, ab_btf_name(m->btf, t)) : 0);
	put_word(m, (t->info & ~0xffffffu) | vlen);
	switch (ab_btf_kind(t)) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_FUNC_PROTO:
		put_word(m, new_id(m, t->type));
		break;
	default:
		put_word(m, t->size);
	}
	put_body(m, id, t);
}

/* Which pointers are 32 bits wide is known from the size of `long`. */
static void put_long(struct min *m)
{
	put_word(m, put_string(m, "long unsigned int"));
	put_word(m, BTF_KIND_INT << 24);
	put_word(m, ab_btf_pointer_size(m->btf));
	put_word(m, 8 * ab_btf_pointer_size(m->btf));
}

static int write_types(struct min *m, struct ab_error *err)
{
	uint32_t next = 1;

	text_add(&m->strings, "", 1);
	for (uint32_t id = 1; id < ab_btf_count(m->btf); id++)
		if (m->flags[id] & KEPT)
			m->ids[id] = next++;
	for (uint32_t id = 1; id < ab_btf_count(m->btf); id++)
		if (m->flags[id] & KEPT)
			put_type(m, id);
	if (ab_btf_pointer_size(m->btf) != 8)
		put_long(m);
	return m->failed || m->types.failed || m->strings.failed ? ab_fail_memory(err) : 0;
}

static int join(struct min *m, void **ret_btf, size_t *ret_size, struct ab_error *err)
{
	struct btf_header h = { .magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(h), .type_len = m->types.n,
				.str_off = m->types.n, .str_len = m->strings.n };
	char *btf = malloc(sizeof(h) + m->types.n + m->strings.n);

	if (!btf)
		return ab_fail_memory(err);
	memcpy(btf, &h, sizeof(h));
	if (m->types.n)
		memcpy(btf + sizeof(h), m->types.p, m->types.n);
	memcpy(btf + sizeof(h) + m->types.n, m->strings.p, m->strings.n);
	*ret_btf = btf;
	*ret_size = sizeof(h) + m->types.n + m->strings.n;
	return 0;
}

/*
 * Twice: after the first pass, the candidates that are left of a type are those that matched all its relocations, so that the
 * first of them stands for the others.
 */
static int keep_all(struct min *m, const struct ab_btf *object, const struct ab_ext *ext, struct ab_error *err)
{
	_free_ bool *has_answer = array_new(ext->n_relos, sizeof(*has_answer));
	struct ab_core_target *target;
	int r = has_answer ? ab_core_target_new(m->btf, NULL, 0, &target, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	for (size_t pass = 0; pass < 2; pass++)
		for (size_t i = 0; r >= 0 && i < ext->n_relos; i++) {
			struct ab_core_spec spec;
			struct match_ctx ctx = { m, &spec, !has_answer[i] };
			struct ab_core_value value;

			r = ab_core_parse(object, &ext->relos[i].relo, &spec, err);
			if (r < 0)
				break;
			r = pass ? ab_core_target_trace(target, &spec, keep_match, &ctx, err) :
				   ab_core_target_resolve(target, &spec, &value, NULL, err);
			if (!pass && !r)
				has_answer[i] = value.status == AB_CORE_OK;
		}
	ab_core_target_free(target);
	return MIN(r, 0);
}

int ab_btf_minimize(const struct ab_btf *object, const struct ab_ext *ext, const struct ab_btf *kernel, void **ret_btf,
		    size_t *ret_size, struct ab_error *err)
{
	uint32_t n = ab_btf_count(kernel);
	struct min m = { .btf = kernel, .flags = array_new(n, 1), .parts = array_new(n, sizeof(*m.parts)),
			 .ids = array_new(n, sizeof(*m.ids)) };
	int r = m.flags && m.parts && m.ids ? keep_all(&m, object, ext, err) : ab_fail_memory(err);

	if (!r)
		r = write_types(&m, err);
	if (!r)
		r = join(&m, ret_btf, ret_size, err);
	for (uint32_t id = 0; m.parts && id < n; id++)
		free(m.parts[id]);
	free(m.flags);
	free(m.parts);
	free(m.ids);
	text_clear(&m.types);
	text_clear(&m.strings);
	strmap_clear(&m.known);
	return r;
}
