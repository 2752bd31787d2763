/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What coolbpf kept in a database of each kernel, answered from its BTF: functions, structs and types in the words of
 * that database.
 */
#include <ctype.h>
#include "lbc.h"

enum { FUNCS_MAX = 20, FILTERED_MAX = 100, STRUCTS_MAX = 10, NESTING_MAX = 32, CELLS_MAX = 65536 };

/* ---- names and types as text ---- */

/* SQL's LIKE: '%' is any text, '_' any character, case does not matter. */
static bool is_like(const char *s, const char *pattern)
{
	const char *back_s = NULL, *back_p = NULL;

	while (*s) {
		if (*pattern == '%') {
			back_p = ++pattern;
			back_s = s;
		} else if (*pattern &&
			   (*pattern == '_' || tolower((unsigned char)*pattern) == tolower((unsigned char)*s))) {
			pattern++;
			s++;
		} else if (back_p) {
			pattern = back_p;
			s = ++back_s;
		} else {
			return false;
		}
	}
	while (*pattern == '%')
		pattern++;
	return !*pattern;
}

/* Whether two types are the same but for white space. */
static bool is_same_type(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, " \t");
		b += strspn(b, " \t");
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

static bool has_type(const struct ab_btf *btf, uint32_t id, const char *wanted)
{
	_text_ struct text name = {};

	if (str_starts(wanted, "static "))
		wanted += strlen("static ");
	ab_btf_type_name(btf, id, &name);
	return name.p && is_same_type(name.p, wanted);
}

static void json_type(struct json *j, const struct ab_btf *btf, uint32_t id)
{
	_text_ struct text name = {};

	ab_btf_type_name(btf, id, &name);
	json_str(j, name.p ? name.p : "");
}

/* ---- func ---- */

static void put_func(const struct ab_btf *btf, const struct btf_type *func, struct json *j)
{
	const struct btf_type *proto = ab_btf_type(btf, func->type);
	const struct btf_param *p = ab_btf_data(proto);
	uint32_t n = ab_btf_kind(proto) == BTF_KIND_FUNC_PROTO ? ab_btf_vlen(proto) : 0;

	json_open(j, '{');
	json_member_str(j, "func", ab_btf_name(btf, func));
	json_key(j, "args");
	json_open(j, '[');
	for (uint32_t i = 0; i < n; i++)
		if (i + 1 == n && !p[i].type)
			json_str(j, "...");
		else
			json_type(j, btf, p[i].type);
	if (!n)
		json_str(j, "void");
	json_close(j, ']');
	json_key(j, "ret");
	json_type(j, btf, proto->type);
	json_member_int(j, "line", 0);
	json_member_str(j, "file", "");
	json_close(j, '}');
}

static bool takes_type(const struct ab_btf *btf, const struct btf_type *proto, const char *wanted)
{
	const struct btf_param *p = ab_btf_data(proto);

	for (uint32_t i = 0; i < ab_btf_vlen(proto); i++)
		if (has_type(btf, p[i].type, wanted))
			return true;
	return false;
}

static bool is_wanted(const struct ab_btf *btf, const struct btf_type *func, const struct lbc_func_query *q)
{
	const struct btf_type *proto = ab_btf_type(btf, func->type);
	const char *name = ab_btf_name(btf, func);

	if (ab_btf_kind(proto) != BTF_KIND_FUNC_PROTO)
		return false;
	if (strchr(q->name, '%') ? !is_like(name, q->name) : strcmp(name, q->name))
		return false;
	return (!q->ret || has_type(btf, proto->type, q->ret)) && (!q->arg || takes_type(btf, proto, q->arg));
}

bool ab_lbc_query_func(const struct ab_btf *btf, const struct lbc_func_query *q, struct json *j)
{
	bool filtered = q->ret || q->arg;
	unsigned left = filtered ? FILTERED_MAX : FUNCS_MAX;

	if (filtered && !strchr(q->name, '%'))
		return false;
	json_key(j, "res");
	json_open(j, '[');
	for (uint32_t id = 1; id < ab_btf_count(btf) && left; id++) {
		const struct btf_type *t = ab_btf_type(btf, id);

		if (ab_btf_kind(t) == BTF_KIND_FUNC && is_wanted(btf, t, q)) {
			put_func(btf, t, j);
			left--;
		}
	}
	json_close(j, ']');
	return true;
}

/* ---- struct ---- */

struct cells {
	const struct ab_btf *btf;
	struct json *j;
	unsigned count, visits;
	bool only_count;
};

static bool is_compound(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_STRUCT || ab_btf_kind(t) == BTF_KIND_UNION;
}

/* The element of an array, and its dimensions as text. */
static uint32_t split_array(const struct ab_btf *btf, uint32_t id, struct text *dimensions)
{
	for (;;) {
		const struct btf_type *t = ab_btf_type(btf, ab_btf_unqualify(btf, id));

		if (ab_btf_kind(t) != BTF_KIND_ARRAY)
			return id;
		text_printf(dimensions, "[%u]", ((const struct btf_array *)ab_btf_data(t))->nelems);
		id = ((const struct btf_array *)ab_btf_data(t))->type;
	}
}

static void put_cell(struct cells *c, const char *name, uint32_t type, uint32_t element, uint64_t bit, uint32_t bits)
{
	_text_ struct text where = {};

	c->count++;
	if (c->only_count)
		return;
	if (bits)
		text_printf(&where, "%u:%u", (unsigned)(bit % 8), bits);
	json_open(c->j, '{');
	json_key(c->j, "type");
	json_type(c->j, c->btf, element);
	json_member_uint(c->j, "offset", bit / 8);
	json_member_uint(c->j, "size", ab_btf_size(c->btf, type));
	json_member_str(c->j, "bits", where.p ? where.p : "");
	json_member_str(c->j, "name", name);
	json_close(c->j, '}');
}

static void walk_cells(struct cells *c, uint32_t id, const char *prefix, uint64_t base, int depth)
{
	const struct btf_type *t = ab_btf_type(c->btf, id);
	const struct btf_member *m = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t) && c->visits++ < CELLS_MAX && depth < NESTING_MAX; i++) {
		_text_ struct text name = {}, dimensions = {};
		uint32_t element = split_array(c->btf, m[i].type, &dimensions);
		uint32_t inner = ab_btf_unqualify(c->btf, element);
		uint64_t bit = base + ab_btf_member_offset(t, i);

		text_printf(&name, "%s%s%s", prefix, ab_btf_str(c->btf, m[i].name_off),
			    dimensions.p ? dimensions.p : "");
		if (!is_compound(ab_btf_type(c->btf, inner)) || ab_btf_type(c->btf, inner)->name_off) {
			put_cell(c, name.p ? name.p : "", m[i].type, element, bit, ab_btf_member_bits(t, i));
			continue;
		}
		if (m[i].name_off)
			text_putc(&name, '.');
		walk_cells(c, inner, name.p ? name.p : "", bit, depth + 1);
	}
}

static uint32_t find_struct(const struct ab_btf *btf, const char *name)
{
	uint32_t id = ab_btf_resolve(btf, ab_btf_find_c(btf, name));

	return is_compound(ab_btf_type(btf, id)) ? id : 0;
}

static void put_struct(const struct ab_btf *btf, const char *name, uint32_t id, bool with_cells, struct json *j)
{
	struct cells count = { .btf = btf, .only_count = true }, c = { .btf = btf, .j = j };

	walk_cells(&count, id, "", 0, 0);
	json_open(j, '{');
	json_member_str(j, "name", name);
	json_member_uint(j, "members", count.count);
	json_member_uint(j, "size", ab_btf_size(btf, id));
	if (with_cells) {
		json_key(j, "cell");
		json_open(j, '[');
		walk_cells(&c, id, "", 0, 0);
		json_close(j, ']');
	}
	json_close(j, '}');
}

static void put_structs_like(const struct ab_btf *btf, const char *pattern, struct json *j)
{
	unsigned left = STRUCTS_MAX;

	json_open(j, '[');
	for (uint32_t id = 1; id < ab_btf_count(btf) && left; id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		_text_ struct text name = {};

		if (!is_compound(t) || !t->name_off)
			continue;
		text_printf(&name, "%s %s", ab_btf_kind(t) == BTF_KIND_UNION ? "union" : "struct", ab_btf_name(btf, t));
		if (name.p && is_like(name.p, pattern)) {
			put_struct(btf, name.p, id, false, j);
			left--;
		}
	}
	json_close(j, ']');
}

void ab_lbc_query_struct(const struct ab_btf *btf, const char *name, struct json *j)
{
	uint32_t id = find_struct(btf, name);

	json_key(j, "res");
	if (strchr(name, '%'))
		put_structs_like(btf, name, j);
	else if (id)
		put_struct(btf, name, id, true, j);
	else
		json_null(j);
}

/* ---- type ---- */

static void put_type(struct json *j, const char *name, const char *alias, size_t size)
{
	json_open(j, '{');
	json_member_str(j, "name", name);
	json_member_str(j, "type", alias);
	json_member_uint(j, "size", size);
	json_close(j, '}');
}

void ab_lbc_query_type(const struct ab_btf *btf, const char *name, struct json *j)
{
	bool is_pointer = !strcmp(name, "_") || strchr(name, '*');
	uint32_t id = is_pointer ? 0 : ab_btf_find_c(btf, name), base = ab_btf_resolve(btf, id);
	_text_ struct text alias = {};

	json_key(j, "res");
	if (is_pointer) {
		put_type(j, "void *", "void *", ab_btf_pointer_size(btf));
	} else if (!id) {
		json_null(j);
	} else {
		/* What a typedef names without a name of its own is called by the typedef. */
		if (ab_btf_kind(ab_btf_type(btf, id)) == BTF_KIND_TYPEDEF &&
		    (ab_btf_type(btf, base)->name_off || !is_compound(ab_btf_type(btf, base))))
			ab_btf_type_name(btf, base, &alias);
		put_type(j, name, alias.p ? alias.p : name, ab_btf_size(btf, id));
	}
}
