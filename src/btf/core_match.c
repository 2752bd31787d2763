/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Comparing an object's types with a kernel's, by libbpf's three relations: whether a member found by name may stand for the
 * object's (fields_compatible), whether types mean the same (types_compatible), and whether they look the same
 * (types_match). BTF can be made such that each takes for ever, so all of them run on a budget.
 */
#include "core_internal.h"

#define MAX_LEVEL 32
#define BUDGET (1u << 22)

struct compare {
	const struct ab_btf *local, *target;
	uint32_t budget;
	const struct ab_core_visitor *visitor; /* NULL: nobody wants to know */
};

static void visit(struct compare *c, uint32_t id)
{
	if (c->visitor)
		c->visitor->type(c->visitor->ctx, id);
}

static void visit_part(struct compare *c, uint32_t id, uint32_t index)
{
	if (c->visitor)
		c->visitor->part(c->visitor->ctx, id, index);
}

/* That there are at least n parts matters too; several of the object's may have been found in one. */
static void visit_parts(struct compare *c, uint32_t id, uint32_t n)
{
	for (uint32_t i = 0; c->visitor && i < n; i++)
		visit_part(c, id, i);
}

static bool spend(struct compare *c, uint32_t n)
{
	if (n >= c->budget)
		return false;
	c->budget -= n;
	return true;
}

static const struct btf_type *resolve(const struct ab_btf *btf, uint32_t *id)
{
	*id = ab_btf_resolve(btf, *id);
	return ab_btf_type(btf, *id);
}

static uint32_t element_of(const struct btf_type *array)
{
	return ((const struct btf_array *)ab_btf_data(array))->type;
}

static uint32_t length_of(const struct btf_type *array)
{
	return ((const struct btf_array *)ab_btf_data(array))->nelems;
}

static uint32_t int_info(const struct btf_type *t)
{
	return *(const uint32_t *)ab_btf_data(t);
}

static bool are_plain_ints(const struct btf_type *a, const struct btf_type *b)
{
	return !BTF_INT_OFFSET(int_info(a)) && !BTF_INT_OFFSET(int_info(b));
}

static bool fields_compatible(const struct ab_btf *local, uint32_t local_id, const struct ab_btf *target, uint32_t target_id)
{
	for (;;) {
		const struct btf_type *l = resolve(local, &local_id), *t = resolve(target, &target_id);
		const char *l_name = ab_btf_name(local, l), *t_name = ab_btf_name(target, t);

		if (ab_btf_is_struct(l) && ab_btf_is_struct(t))
			return true;
		if (!ab_core_same_kind(l, t))
			return false;
		switch (ab_btf_kind(l)) {
		case BTF_KIND_PTR:
		case BTF_KIND_FLOAT:
			return true;
		case BTF_KIND_FWD:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
			return !*l_name || !*t_name || ab_core_same_name(l_name, t_name);
		case BTF_KIND_INT:
			return are_plain_ints(l, t);
		case BTF_KIND_ARRAY:
			local_id = element_of(l);
			target_id = element_of(t);
			break;
		default:
			return false;
		}
	}
}

/* ---- whether types mean the same: kinds, and what functions take and return ---- */

static enum match types_compatible(struct compare *c, uint32_t local_id, uint32_t target_id, int level);

static enum match params_compatible(struct compare *c, const struct btf_type *l, const struct btf_type *t, int level)
{
	const struct btf_param *lp = ab_btf_data(l), *tp = ab_btf_data(t);

	if (ab_btf_vlen(l) != ab_btf_vlen(t))
		return MATCH_NO;
	for (uint32_t i = 0; i < ab_btf_vlen(l); i++) {
		enum match m = level > 0 ? types_compatible(c, ab_btf_resolve(c->local, lp[i].type),
							    ab_btf_resolve(c->target, tp[i].type), level - 1) :
					   MATCH_BEYOND;

		if (m != MATCH_YES)
			return m;
	}
	return MATCH_YES;
}

static enum match types_compatible(struct compare *c, uint32_t local_id, uint32_t target_id, int level)
{
	if (!ab_core_same_kind(ab_btf_type(c->local, local_id), ab_btf_type(c->target, target_id)))
		return MATCH_NO;
	for (int depth = 0; depth < MAX_LEVEL && spend(c, 1); depth++) {
		const struct btf_type *l = resolve(c->local, &local_id), *t = resolve(c->target, &target_id);
		enum match m;

		visit(c, target_id);
		if (!ab_core_same_kind(l, t))
			return MATCH_NO;
		switch (ab_btf_kind(l)) {
		case BTF_KIND_UNKN:
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_FWD:
			return MATCH_YES;
		case BTF_KIND_INT:
			return are_plain_ints(l, t) ? MATCH_YES : MATCH_NO;
		case BTF_KIND_ARRAY:
			local_id = element_of(l);
			target_id = element_of(t);
			break;
		case BTF_KIND_FUNC_PROTO:
			m = params_compatible(c, l, t, level);
			if (m != MATCH_YES)
				return m;
			/* fall through */
		case BTF_KIND_PTR:
			local_id = l->type;
			target_id = t->type;
			break;
		default:
			return MATCH_NO;
		}
	}
	return MATCH_BEYOND;
}

/* ---- whether types look the same: all that the object knows of them is there ---- */

static enum match types_match(struct compare *c, uint32_t local_id, uint32_t target_id, bool behind_pointer, int level);

static bool names_match(const char *local, const char *target)
{
	return *target ? ab_core_same_name(local, target) : !*local;
}

static bool has_enumerator(struct compare *c, const char *name, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(c->target, id);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		if (names_match(name, ab_btf_str(c->target, ab_btf_enumerator_name(t, i)))) {
			visit_part(c, id, i);
			return true;
		}
	return false;
}

static enum match enums_match(struct compare *c, const struct btf_type *l, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(c->target, id);

	if (l->size != t->size || ab_btf_vlen(l) > ab_btf_vlen(t))
		return MATCH_NO;
	for (uint32_t i = 0; i < ab_btf_vlen(l); i++) {
		if (!spend(c, ab_btf_vlen(t)))
			return MATCH_BEYOND;
		if (!has_enumerator(c, ab_btf_str(c->local, ab_btf_enumerator_name(l, i)), id))
			return MATCH_NO;
	}
	visit_parts(c, id, ab_btf_vlen(l));
	return MATCH_YES;
}

static enum match has_member(struct compare *c, const struct btf_member *member, uint32_t id, bool behind_pointer, int level)
{
	const char *name = ab_btf_str(c->local, member->name_off);
	const struct btf_type *t = ab_btf_type(c->target, id);
	const struct btf_member *m = ab_btf_data(t);

	if (!spend(c, ab_btf_vlen(t)))
		return MATCH_BEYOND;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		enum match found;

		if (!names_match(name, ab_btf_str(c->target, m[i].name_off)))
			continue;
		visit_part(c, id, i);
		found = types_match(c, member->type, m[i].type, behind_pointer, level - 1);
		if (found != MATCH_NO)
			return found;
	}
	return MATCH_NO;
}

static enum match structs_match(struct compare *c, const struct btf_type *l, uint32_t id, bool behind_pointer, int level)
{
	const struct btf_member *m = ab_btf_data(l);

	if (ab_btf_vlen(l) > ab_btf_vlen(ab_btf_type(c->target, id)))
		return MATCH_NO;
	for (uint32_t i = 0; i < ab_btf_vlen(l); i++) {
		enum match found = has_member(c, &m[i], id, behind_pointer, level);

		if (found != MATCH_YES)
			return found;
	}
	visit_parts(c, id, ab_btf_vlen(l));
	return MATCH_YES;
}

static enum match params_match(struct compare *c, const struct btf_type *l, const struct btf_type *t, bool behind_pointer,
			       int level)
{
	const struct btf_param *lp = ab_btf_data(l), *tp = ab_btf_data(t);

	if (ab_btf_vlen(l) != ab_btf_vlen(t))
		return MATCH_NO;
	for (uint32_t i = 0; i < ab_btf_vlen(l); i++) {
		enum match m = types_match(c, lp[i].type, tp[i].type, behind_pointer, level - 1);

		if (m != MATCH_YES)
			return m;
	}
	return MATCH_YES;
}

static bool is_union(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_UNION || (ab_btf_kind(t) == BTF_KIND_FWD && ab_btf_kflag(t));
}

/* A pointer needs no more of a struct than its being one, declared or defined. */
static bool pointees_match(const struct btf_type *l, const struct btf_type *t)
{
	if (!ab_btf_is_struct(t) && ab_btf_kind(t) != BTF_KIND_FWD)
		return false;
	return is_union(l) == is_union(t);
}

static bool ints_match(const struct btf_type *l, const struct btf_type *t)
{
	return l->size == t->size && !((BTF_INT_ENCODING(int_info(l)) ^ BTF_INT_ENCODING(int_info(t))) & BTF_INT_SIGNED);
}

static enum match types_match(struct compare *c, uint32_t local_id, uint32_t target_id, bool behind_pointer, int level)
{
	for (int depth = 0; level > 0 && depth < MAX_LEVEL && spend(c, 1); depth++) {
		const struct btf_type *l = resolve(c->local, &local_id), *t = resolve(c->target, &target_id);
		uint32_t kind = ab_btf_kind(l);
		enum match m;

		visit(c, target_id);
		if (!names_match(ab_btf_name(c->local, l), ab_btf_name(c->target, t)))
			return MATCH_NO;
		if (behind_pointer && (ab_btf_is_struct(l) || kind == BTF_KIND_FWD))
			return pointees_match(l, t) ? MATCH_YES : MATCH_NO;
		if (!ab_core_same_kind(l, t))
			return MATCH_NO;
		switch (kind) {
		case BTF_KIND_UNKN:
			return MATCH_YES;
		case BTF_KIND_FWD:
			return is_union(l) == is_union(t) ? MATCH_YES : MATCH_NO;
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
			return enums_match(c, l, target_id);
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			return structs_match(c, l, target_id, behind_pointer, level);
		case BTF_KIND_INT:
			return ints_match(l, t) ? MATCH_YES : MATCH_NO;
		case BTF_KIND_ARRAY:
			if (length_of(l) != length_of(t))
				return MATCH_NO;
			local_id = element_of(l);
			target_id = element_of(t);
			break;
		case BTF_KIND_FUNC_PROTO:
			m = params_match(c, l, t, behind_pointer, level);
			if (m != MATCH_YES)
				return m;
			local_id = l->type;
			target_id = t->type;
			break;
		case BTF_KIND_PTR:
			behind_pointer = true;
			local_id = l->type;
			target_id = t->type;
			break;
		default:
			return MATCH_NO;
		}
	}
	return MATCH_BEYOND;
}

bool ab_core_type_matches(const struct ab_btf *local, uint32_t local_id, const struct ab_btf *target, uint32_t target_id)
{
	struct compare c = { .local = local, .target = target, .budget = BUDGET };

	return types_match(&c, local_id, target_id, false, MAX_LEVEL) == MATCH_YES;
}

/* ---- the way through a candidate ---- */

struct walk {
	struct compare c;
	struct ab_core_spec *way;
	uint32_t other; /* a member of the name that is of another kind */
	struct text *why;
};

/* "struct task_struct" */
static void put_root(struct walk *w)
{
	const struct btf_type *t = ab_btf_type(w->way->btf, w->way->root);

	if (ab_btf_is_struct(t) || ab_btf_is_enum(t))
		text_printf(w->why, "%s ", ab_btf_is_enum(t) ? "enum" : ab_core_kind_word(t));
	text_puts(w->why, ab_btf_name(w->way->btf, t));
}

/* The same with the members up to and with accessor n of the object's way: "struct task_struct has no member 'se.x'". */
static void put_path(struct walk *w, const struct ab_core_spec *local, uint32_t n, const char *what)
{
	put_root(w);
	text_printf(w->why, " %s '", what);
	for (uint32_t i = 1; i <= n; i++) {
		const struct ab_core_accessor *a = &local->accessors[i];

		if (a->name)
			text_printf(w->why, "%s%s", i > 1 ? "." : "", a->name);
		else
			text_printf(w->why, "[%u]", a->index);
	}
	text_putc(w->why, '\'');
}

/* Steps into the member of that name, also one in an anonymous struct; the way holds it then, and *id is its type. */
static enum match enter_member(struct walk *w, const struct ab_core_accessor *wanted, uint32_t wanted_type, uint32_t *id)
{
	struct ab_core_spec *way = w->way;
	const struct btf_type *t = resolve(way->btf, id);
	const struct btf_member *m = ab_btf_data(t);
	uint32_t before = way->bit_offset;

	if (!ab_btf_is_struct(t))
		return MATCH_NO;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const char *name = ab_btf_str(way->btf, m[i].name_off);
		uint32_t inner = m[i].type;
		enum match found;

		if (way->n_raw == AB_CORE_MAX_DEPTH || !spend(&w->c, 1) || !ab_core_advance(way, 1, ab_btf_member_offset(t, i)))
			return MATCH_BEYOND;
		way->raw[way->n_raw++] = i;
		if (!*name) {
			found = enter_member(w, wanted, wanted_type, &inner);
			if (found != MATCH_NO || w->other) {
				*id = inner;
				return found;
			}
		} else if (!strcmp(name, wanted->name)) {
			if (!fields_compatible(w->c.local, wanted_type, way->btf, inner)) {
				w->other = inner;
				return MATCH_NO;
			}
			way->accessors[way->n_accessors++] = (struct ab_core_accessor){ *id, i, name };
			*id = inner;
			return MATCH_YES;
		}
		way->bit_offset = before;
		way->n_raw--;
	}
	return MATCH_NO;
}

static enum match match_member(struct walk *w, const struct ab_core_spec *local, uint32_t n, uint32_t *id)
{
	const struct ab_core_accessor *wanted = &local->accessors[n];
	const struct btf_member *member = ab_btf_data(ab_btf_type(local->btf, wanted->type));
	enum match found = enter_member(w, wanted, member[wanted->index].type, id);
	uint32_t local_type = member[wanted->index].type;

	if (found != MATCH_NO || !w->why)
		return found;
	if (w->other) {
		put_path(w, local, n, "has another kind of");
		text_printf(w->why, ": %s, not %s", ab_core_kind_word(resolve(w->way->btf, &w->other)),
			    ab_core_kind_word(resolve(local->btf, &local_type)));
	} else {
		put_path(w, local, n, "has no member");
	}
	return MATCH_NO;
}

static enum match match_element(struct walk *w, const struct ab_core_spec *local, uint32_t n, uint32_t *id)
{
	struct ab_core_spec *way = w->way;
	uint32_t index = local->accessors[n].index;
	uint64_t size;

	if (n) { /* the first is an element of what the pointer points to */
		const struct btf_type *t = resolve(way->btf, id);
		const struct btf_array *array = ab_btf_data(t);

		if (ab_btf_kind(t) != BTF_KIND_ARRAY ||
		    (index >= array->nelems && !ab_core_is_flexible(way->btf, &way->accessors[way->n_accessors - 1], array))) {
			if (w->why) {
				put_path(w, local, n, "has no element");
				if (ab_btf_kind(t) == BTF_KIND_ARRAY)
					text_printf(w->why, ", the array has %u", array->nelems);
			}
			return MATCH_NO;
		}
		*id = array->type;
	}
	resolve(way->btf, id);
	if (way->n_raw == AB_CORE_MAX_DEPTH)
		return MATCH_BEYOND;
	way->accessors[way->n_accessors++] = (struct ab_core_accessor){ *id, index, NULL };
	way->raw[way->n_raw++] = index;
	return ab_core_size(way->btf, *id, &size) && ab_core_advance(way, index, 8 * size) ? MATCH_YES : MATCH_BEYOND;
}

static enum match match_field(struct walk *w, const struct ab_core_spec *local, uint32_t id)
{
	for (uint32_t n = 0; n < local->n_accessors; n++) {
		enum match found = local->accessors[n].name ? match_member(w, local, n, &id) : match_element(w, local, n, &id);

		if (found != MATCH_YES)
			return found;
	}
	return MATCH_YES;
}

static enum match match_enumerator(struct walk *w, const struct ab_core_spec *local, uint32_t id)
{
	const struct btf_type *t = resolve(w->way->btf, &id);
	const char *wanted = local->accessors[0].name;

	for (uint32_t i = 0; ab_btf_is_enum(t) && i < ab_btf_vlen(t); i++) {
		const char *name = ab_btf_str(w->way->btf, ab_btf_enumerator_name(t, i));

		if (!ab_core_same_name(wanted, name))
			continue;
		w->way->accessors[w->way->n_accessors++] = (struct ab_core_accessor){ id, i, name };
		w->way->raw[w->way->n_raw++] = i;
		return MATCH_YES;
	}
	if (w->why) {
		put_root(w);
		text_printf(w->why, " has no enumerator '%.*s'", (int)ab_core_name_length(wanted), wanted);
	}
	return MATCH_NO;
}

static enum match match_type(struct walk *w, const struct ab_core_spec *local, uint32_t id)
{
	enum match found;

	if (local->kind == BPF_CORE_TYPE_MATCHES)
		found = types_match(&w->c, local->root, id, false, MAX_LEVEL);
	else
		found = types_compatible(&w->c, local->root, id, MAX_LEVEL);
	if (found == MATCH_NO && w->why) {
		put_root(w);
		text_puts(w->why, " is not what the object takes it for");
	}
	return found;
}

enum match ab_core_match(const struct ab_core_spec *local, const struct ab_btf *target, uint32_t id,
			 struct ab_core_spec *ret_spec, struct text *why)
{
	struct walk w = { .c = { .local = local->btf, .target = target, .budget = BUDGET }, .way = ret_spec, .why = why };

	ret_spec->btf = target;
	ret_spec->kind = local->kind;
	ret_spec->root = id;
	ret_spec->n_raw = ret_spec->n_accessors = ret_spec->bit_offset = 0;
	if (ab_core_is_type(local->kind))
		return match_type(&w, local, id);
	return ab_core_is_enumerator(local->kind) ? match_enumerator(&w, local, id) : match_field(&w, local, id);
}

void ab_core_visit(const struct ab_core_spec *local, const struct ab_btf *target, uint32_t id,
		   const struct ab_core_visitor *visitor)
{
	struct compare c = { .local = local->btf, .target = target, .budget = BUDGET, .visitor = visitor };

	if (local->kind == BPF_CORE_TYPE_MATCHES)
		types_match(&c, local->root, id, false, MAX_LEVEL);
	else
		types_compatible(&c, local->root, id, MAX_LEVEL);
}
