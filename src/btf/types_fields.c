/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A type as a flat list of what can come, go, move and change: members, enumerators, parameters. */
#include "types.h"

/* ---- the list ---- */

static char *type_text(const struct ab_btf *btf, uint32_t id)
{
	struct text t = {};

	ab_btf_type_name(btf, id, &t);
	return text_take(&t);
}

static void add_field(struct fields *f, const char *path, char *type, int64_t at, uint32_t bits, uint64_t size)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct field *v = reallocarray(f->v, cap, sizeof(*v));

		if (!v) {
			f->failed = true;
			free(type);
			return;
		}
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n] = (struct field){ .path = strdup(path), .type = type, .at = at, .bits = bits, .size = size };
	f->failed |= !type || !f->v[f->n].path;
	f->n++;
}

void ab_fields_clear(struct fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		free(f->v[i].type);
	}
	free(f->v);
	*f = (struct fields){};
}

static bool is_unnamed_struct(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_unqualify(btf, id));

	return ab_btf_is_struct(t) && !t->name_off;
}

static void read_members(struct fields *f, const struct ab_btf *btf, uint32_t id, const char *prefix, uint64_t base,
			 int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	for (uint32_t i = 0; i < ab_btf_vlen(t) && depth < FIELD_DEPTH && f->visits++ < FIELDS_MAX && !f->failed; i++) {
		struct member m = ab_btf_member(btf, t, i);
		_text_ struct text path = {};

		text_printf(&path, "%s%s", prefix, m.name);
		if (!is_unnamed_struct(btf, m.type)) {
			add_field(f, path.p, type_text(btf, m.type), base + m.offset, m.bits, m.size);
			continue;
		}
		if (*m.name)
			text_putc(&path, '.');
		read_members(f, btf, ab_btf_unqualify(btf, m.type), path.p ? path.p : "", base + m.offset, depth + 1);
	}
}

static void read_enumerators(struct fields *f, const struct ab_btf *btf, const struct btf_type *t)
{
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !f->failed; i++)
		add_field(f, ab_btf_str(btf, ab_btf_enumerator_name(t, i)), strdup(""), ab_btf_enumerator_value(t, i),
			  0, t->size);
}

static void read_parameters(struct fields *f, const struct ab_btf *btf, const struct btf_type *func)
{
	const struct btf_type *proto = ab_btf_type(btf, func->type);
	const struct btf_param *p = ab_btf_data(proto);
	char number[16];

	if (ab_btf_kind(proto) != BTF_KIND_FUNC_PROTO)
		return;
	add_field(f, "return", type_text(btf, proto->type), -1, 0, 0);
	for (uint32_t i = 0; i < ab_btf_vlen(proto) && !f->failed; i++) {
		const char *name = ab_btf_str(btf, p[i].name_off);

		snprintf(number, sizeof(number), "%u", i + 1);
		add_field(f, *name ? name : number, p[i].type || i == 0 ? type_text(btf, p[i].type) : strdup("..."), i,
			  0, 0);
	}
}

void ab_fields_read(const struct ab_btf *btf, const char *name, struct fields *ret)
{
	uint32_t id = ab_types_find_name(btf, name);
	const struct btf_type *t = ab_btf_type(btf, id);

	*ret = (struct fields){ .kind = id ? ab_btf_kind(t) : 0, .size = ab_btf_size(btf, id) };
	if (!id)
		return;
	if (ab_btf_kind(t) == BTF_KIND_TYPEDEF && is_unnamed_struct(btf, t->type))
		read_members(ret, btf, ab_btf_unqualify(btf, t->type), "", 0, 0);
	else if (ab_btf_is_struct(t))
		read_members(ret, btf, id, "", 0, 0);
	else if (ab_btf_is_enum(t))
		read_enumerators(ret, btf, t);
	else if (ab_btf_kind(t) == BTF_KIND_FUNC)
		read_parameters(ret, btf, t);
	else if (ab_btf_kind(t) == BTF_KIND_TYPEDEF || ab_btf_kind(t) == BTF_KIND_VAR)
		add_field(ret, "", type_text(btf, t->type), 0, 0, ab_btf_size(btf, id));
}

const struct field *ab_fields_find(const struct fields *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].path, path))
			return &f->v[i];
	return NULL;
}

/* ---- paths ---- */

/* A member by one part of a path, in unnamed structs inside too; *base gets the bits before the struct that has it. */
static bool find_member(const struct ab_btf *btf, uint32_t id, const char *name, size_t n, uint64_t *base,
			struct member *ret, int depth, unsigned *visits)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	for (uint32_t i = 0; ab_btf_is_struct(t) && i < ab_btf_vlen(t) && depth < FIELD_DEPTH &&
	     ++*visits < FIELDS_MAX; i++) {
		struct member m = ab_btf_member(btf, t, i);
		uint64_t inner = *base + m.offset;

		if (strlen(m.name) == n && !memcmp(m.name, name, n)) {
			*ret = m;
			return true;
		}
		if (!*m.name && find_member(btf, ab_btf_unqualify(btf, m.type), name, n, &inner, ret, depth + 1,
					    visits)) {
			*base = inner;
			return true;
		}
	}
	return false;
}

bool ab_field_resolve(const struct ab_btf *btf, uint32_t id, const char *path, struct field *ret)
{
	struct member m = {};
	uint64_t base = 0;
	unsigned visits = 0;

	for (const char *part = path;; part++) {
		size_t n = strcspn(part, ".");

		id = ab_btf_resolve(btf, id);
		if (!n || !find_member(btf, id, part, n, &base, &m, 0, &visits))
			return false;
		base += m.offset;
		id = m.type;
		part += n;
		if (!*part)
			break;
	}
	*ret = (struct field){ .path = strdup(path), .type = type_text(btf, m.type), .at = base, .bits = m.bits,
			       .size = m.size };
	return true;
}

/* ---- where a member went ---- */

static const char *skip_underscores(const char *s)
{
	return s + strspn(s, "_");
}

static bool is_same_name(const char *a, const char *b)
{
	return !strcmp(skip_underscores(a), skip_underscores(b));
}

/* Names of which one is a good part of the other, or nearly the other: fs and fsbase. */
static bool is_similar(const char *a, const char *b)
{
	size_t na, nb;

	a = skip_underscores(a);
	b = skip_underscores(b);
	na = strlen(a);
	nb = strlen(b);
	if (MIN(na, nb) >= 2 && (str_starts(a, b) || str_starts(b, a)))
		return true;
	return MIN(na, nb) >= 5 && str_distance(a, b, 2) <= 2;
}

static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/*
 * The field of `to` that stands where `old` stood: of the same type, or behind the same and before the same neighbour.
 */
static const struct field *find_successor(const struct fields *from, const struct field *old, const struct fields *to)
{
	size_t i = old - from->v;
	const char *before = i ? from->v[i - 1].path : NULL, *after = i + 1 < from->n ? from->v[i + 1].path : NULL;

	for (size_t k = 0; k < to->n; k++) {
		const struct field *f = &to->v[k];
		bool same_before = before && k && !strcmp(to->v[k - 1].path, before);
		bool same_after = after && k + 1 < to->n && !strcmp(to->v[k + 1].path, after);

		if (!ab_fields_find(from, f->path) && same_before && same_after)
			return f;
	}
	return NULL;
}

/* The same name in a struct that the type contains, where it was not before. */
static char *find_inside(const struct ab_btf *from_btf, const struct ab_btf *to_btf, const char *type_name,
			 const struct fields *to, const char *part)
{
	uint32_t from_id = ab_btf_resolve(from_btf, ab_types_find_name(from_btf, type_name));
	uint32_t to_id = ab_btf_resolve(to_btf, ab_types_find_name(to_btf, type_name));

	for (size_t i = 0; i < to->n; i++) {
		_text_ struct text path = {};
		struct field found, before;

		text_printf(&path, "%s.%s", to->v[i].path, part);
		if (path.failed || !ab_field_resolve(to_btf, to_id, path.p, &found))
			continue;
		free(found.type);
		if (!ab_field_resolve(from_btf, from_id, path.p, &before))
			return found.path;
		free(before.type);
		free(before.path);
		free(found.path);
	}
	return NULL;
}

/* The new field that `is_it` says is like the old one, best one of the same type. */
static const struct field *find_like(const struct fields *from, const struct field *old, const struct fields *to,
				     const char *part, bool (*is_it)(const char *a, const char *b))
{
	const struct field *best = NULL;

	for (size_t i = 0; i < to->n; i++) {
		const struct field *f = &to->v[i];

		if (!is_it(last_part(f->path), part) || ab_fields_find(from, f->path))
			continue;
		if (old && !strcmp(f->type, old->type))
			return f;
		best = best ? best : f;
	}
	return best;
}

char *ab_field_went(const struct ab_btf *from_btf, const struct fields *from, const struct ab_btf *to_btf,
		    const struct fields *to, const char *name, const char *path)
{
	const struct field *old = ab_fields_find(from, path), *found;
	const char *part = last_part(path);
	char *inside;

	found = find_like(from, old, to, part, is_same_name);
	if (found)
		return strdup(found->path);
	inside = find_inside(from_btf, to_btf, name, to, part);
	if (inside)
		return inside;
	found = find_like(from, old, to, part, is_similar);
	if (!found && old)
		found = find_successor(from, old, to);
	return found ? strdup(found->path) : NULL;
}
