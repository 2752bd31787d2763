/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Minimized BTF. Each relocation is resolved, and what its ways through the candidates touch is kept: the candidate by name, the
 * members on the way, and of their types what compatibility and the answer depend on. A pointer's target, a struct's other members
 * and the names of types that are only members are no part of that. Qualifiers and typedefs are skipped. What a module's types
 * answer is among it, as if the kernel had it: loaders ask the one BTF that they are given, and no modules.
 */
#include "core_internal.h"
#include "min.h"

#define KEPT 1
#define NAMED 2

struct min {
	const struct ab_btf *kernel;
	const struct ab_btf *const *modules;
	size_t n_modules;
	const struct ab_btf *btf; /* whose ids those at hand are: the kernel's, or a module's, which has the kernel's too */
	uint32_t shift;    /* of a module's own ids in the arrays */
	uint32_t n;        /* slots: types of the kernel and of all modules */
	uint8_t *flags;    /* by slot */
	uint8_t **parts;   /* by slot: which members or enumerators are kept, a byte each; NULL: none */
	uint32_t *ids;     /* by slot: the new one */
	struct text types, strings;
	struct strmap known; /* strings, with their offsets */
	bool failed;
};

/* Where an id of m->btf is in the arrays: behind the kernel's types are those of its modules. */
static uint32_t slot(const struct min *m, uint32_t id)
{
	return id < ab_btf_count(m->kernel) ? id : id + m->shift;
}

static uint32_t own_count(const struct ab_btf *module)
{
	return ab_btf_count(module) - ab_btf_start(module);
}

/* What follows is about ids of the kernel or of one of its modules. */
static void look_at(struct min *m, const struct ab_btf *btf)
{
	m->btf = btf;
	m->shift = 0;
	for (size_t i = 0; btf != m->kernel && m->modules[i] != btf; i++)
		m->shift += own_count(m->modules[i]);
}

/* ---- what is kept ---- */

static void keep(struct min *m, uint32_t id);

static void keep_part(struct min *m, uint32_t id, uint32_t index)
{
	uint8_t **parts = &m->parts[slot(m, id)];

	if (!*parts)
		*parts = array_new(ab_btf_vlen(ab_btf_type(m->btf, id)), 1);
	if (!*parts)
		m->failed = true;
	else
		(*parts)[index] = true;
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

	if (!id || m->flags[slot(m, id)] & KEPT)
		return;
	m->flags[slot(m, id)] |= KEPT;
	if (ab_btf_kind(t) == BTF_KIND_ARRAY)
		keep(m, ((const struct btf_array *)ab_btf_data(t))->type);
}

static void visit_type(void *ctx, uint32_t id)
{
	struct min *m = ctx;

	keep(m, id);
	m->flags[slot(m, id)] |= NAMED;
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

	look_at(m, way->btf);
	m->flags[slot(m, way->root)] |= KEPT | NAMED;
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
	return m->ids[slot(m, ab_btf_resolve(m->btf, id))];
}

static bool is_kept(const struct min *m, uint32_t id, uint32_t part)
{
	const uint8_t *parts = m->parts[slot(m, id)];

	return parts && parts[part];
}

static uint32_t count_parts(const struct min *m, uint32_t id, const struct btf_type *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		n += is_kept(m, id, i);
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

/*
 * Enums as members are told apart by their names, and a declaration is nothing else. Where the kernel has an enum of the name, a
 * module's must not become a candidate beside it.
 */
static bool has_name(const struct min *m, uint32_t id, const struct btf_type *t)
{
	const char *name = ab_btf_name(m->btf, t);

	if (m->flags[slot(m, id)] & NAMED || ab_btf_kind(t) == BTF_KIND_FWD)
		return true;
	return ab_btf_is_enum(t) && (m->btf == m->kernel || !(ab_btf_find(m->kernel, name, BTF_KIND_ENUM) ||
							      ab_btf_find(m->kernel, name, BTF_KIND_ENUM64)));
}

static void put_type(struct min *m, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(m->btf, id);
	bool has_parts = ab_btf_is_struct(t) || ab_btf_is_enum(t);
	uint32_t vlen = has_parts ? count_parts(m, id, t) : ab_btf_vlen(t);

	put_word(m, has_name(m, id, t) ? put_string(m, ab_btf_name(m->btf, t)) : 0);
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
	put_word(m, ab_btf_pointer_size(m->kernel));
	put_word(m, 8 * ab_btf_pointer_size(m->kernel));
}

static void put_types(struct min *m, const struct ab_btf *btf)
{
	look_at(m, btf);
	for (uint32_t id = ab_btf_start(btf); id < ab_btf_count(btf); id++)
		if (m->flags[slot(m, id)] & KEPT)
			put_type(m, id);
}

static int write_types(struct min *m, struct ab_error *err)
{
	uint32_t next = 1;

	text_add(&m->strings, "", 1);
	for (uint32_t i = 1; i < m->n; i++)
		if (m->flags[i] & KEPT)
			m->ids[i] = next++;
	put_types(m, m->kernel);
	for (size_t i = 0; i < m->n_modules; i++)
		put_types(m, m->modules[i]);
	if (ab_btf_pointer_size(m->kernel) != 8)
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
	int r = has_answer ? ab_core_target_new(m->kernel, m->modules, m->n_modules, &target, err) : ab_fail_memory(err);

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

int ab_btf_minimize(const struct ab_btf *object, const struct ab_ext *ext, const struct ab_btf *kernel,
		    const struct ab_btf *const *modules, size_t n_modules, void **ret_btf, size_t *ret_size,
		    struct ab_error *err)
{
	struct min m = { .kernel = kernel, .modules = modules, .n_modules = n_modules, .n = ab_btf_count(kernel) };
	int r;

	for (size_t i = 0; i < n_modules; i++)
		m.n += own_count(modules[i]);
	m.flags = array_new(m.n, 1);
	m.parts = array_new(m.n, sizeof(*m.parts));
	m.ids = array_new(m.n, sizeof(*m.ids));
	r = m.flags && m.parts && m.ids ? keep_all(&m, object, ext, err) : ab_fail_memory(err);
	if (!r)
		r = write_types(&m, err);
	if (!r)
		r = join(&m, ret_btf, ret_size, err);
	for (uint32_t i = 0; m.parts && i < m.n; i++)
		free(m.parts[i]);
	free(m.flags);
	free(m.parts);
	free(m.ids);
	text_clear(&m.types);
	text_clear(&m.strings);
	strmap_clear(&m.known);
	return r;
}
