/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Parameters: the `const volatile` globals of .rodata, set from text by their BTF type. A copy of .rodata takes the values;
 * object.c puts it into the map before load, as often as loading is tried.
 */
#include <ctype.h>
#include "run.h"

#define PARAM_MAX 4096 /* larger tables are data, not options */

/* Scalars that text can set, after qualifiers and typedefs. */
struct scalar {
	enum { NOT_SCALAR, INTEGER, BOOLEAN, CHARACTER, ENUMERATION } kind;
	const struct btf_type *type;
	uint32_t size;
	bool is_signed;
};

static uint32_t strip_qualifiers(const struct ab_btf *btf, uint32_t id, bool *is_const, bool *is_volatile)
{
	for (;;) {
		const struct btf_type *t = ab_btf_type(btf, id);

		if (ab_btf_kind(t) == BTF_KIND_CONST)
			*is_const = true;
		else if (ab_btf_kind(t) == BTF_KIND_VOLATILE)
			*is_volatile = true;
		else if (ab_btf_kind(t) != BTF_KIND_RESTRICT && ab_btf_kind(t) != BTF_KIND_TYPE_TAG)
			return id;
		id = t->type;
	}
}

static struct scalar read_scalar(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));
	struct scalar s = { .type = t, .size = t->size };
	uint32_t bits;

	switch (ab_btf_kind(t)) {
	case BTF_KIND_INT:
		bits = *(const uint32_t *)ab_btf_data(t);
		s.is_signed = BTF_INT_ENCODING(bits) & BTF_INT_SIGNED;
		if (BTF_INT_ENCODING(bits) & BTF_INT_BOOL)
			s.kind = BOOLEAN;
		else
			s.kind = t->size == 1 && !strcmp(ab_btf_name(btf, t), "char") ? CHARACTER : INTEGER;
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		s.kind = ENUMERATION;
		s.is_signed = ab_btf_kflag(t);
		break;
	}
	if (s.size != 1 && s.size != 2 && s.size != 4 && s.size != 8)
		s.kind = NOT_SCALAR;
	return s;
}

/* The innermost element of (nested) arrays. */
static uint32_t element_type(const struct ab_btf *btf, uint32_t id)
{
	for (int depth = 0; depth < 16; depth++) {
		const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));

		if (ab_btf_kind(t) != BTF_KIND_ARRAY)
			return id;
		id = ((const struct btf_array *)ab_btf_data(t))->type;
	}
	return 0;
}

/* ---- text ---- */

static uint64_t load_bits(const void *p, uint32_t size, bool is_signed)
{
	uint64_t v = 0;

	memcpy((char *)&v + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 - size : 0), p, size);
	if (is_signed && size < 8 && v >> (size * 8 - 1))
		v |= ~0ULL << (size * 8);
	return v;
}

static void store_bits(void *p, uint32_t size, uint64_t v)
{
	memcpy(p, (const char *)&v + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 - size : 0), size);
}

/* The value of enumerator `i`, sign-extended as its type says. */
static uint64_t enumerator(const struct scalar *s, uint32_t i, uint32_t *ret_name)
{
	if (ab_btf_kind(s->type) == BTF_KIND_ENUM64) {
		const struct btf_enum64 *e = (const struct btf_enum64 *)ab_btf_data(s->type) + i;

		*ret_name = e->name_off;
		return (uint64_t)e->val_hi32 << 32 | e->val_lo32;
	}
	const struct btf_enum *e = (const struct btf_enum *)ab_btf_data(s->type) + i;

	*ret_name = e->name_off;
	return s->is_signed ? (uint64_t)(int64_t)e->val : (uint32_t)e->val;
}

static void print_scalar(const struct ab_btf *btf, const struct scalar *s, const void *p, struct text *out)
{
	uint64_t v = load_bits(p, s->size, s->is_signed);
	uint32_t name;

	if (s->kind == BOOLEAN) {
		text_puts(out, v ? "true" : "false");
		return;
	}
	if (s->kind == CHARACTER && isgraph((int)(v & 0xff)) && !isdigit((int)(v & 0xff))) {
		text_putc(out, (char)v);
		return;
	}
	for (uint32_t i = 0; s->kind == ENUMERATION && i < ab_btf_vlen(s->type); i++) {
		if (enumerator(s, i, &name) == v) {
			text_puts(out, ab_btf_str(btf, name));
			return;
		}
	}
	if (s->is_signed)
		text_printf(out, "%lld", (long long)v);
	else
		text_printf(out, "%llu", (unsigned long long)v);
}

/* Arrays of zeros are an empty default: what nobody set needs no list of zeros. */
static char *print_value(const struct ab_btf *btf, const struct param *p, const uint8_t *data)
{
	struct scalar s = read_scalar(btf, element_type(btf, p->type));
	_text_ struct text out = {};
	uint32_t n = p->size / s.size, used = n;

	if (s.kind == CHARACTER && n > 1) {
		text_add(&out, (const char *)data, strnlen((const char *)data, p->size));
		return text_take(&out);
	}
	while (n > 1 && used && !load_bits(data + (used - 1) * s.size, s.size, false))
		used--;
	for (uint32_t i = 0; i < used; i++) {
		if (i)
			text_putc(&out, ',');
		print_scalar(btf, &s, data + i * s.size, &out);
	}
	if (!used)
		text_puts(&out, "");
	return text_take(&out);
}

static int no_value(const struct param *p, const char *value, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a value for '%s' of type %s", value, p->pub.name,
		       p->pub.type);
}

static int no_room(const struct param *p, const char *value, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_USAGE, -ERANGE, "'%s' does not fit '%s' of type %s", value, p->pub.name,
		       p->pub.type);
}

static int parse_integer(const struct param *p, const struct scalar *s, const char *value, uint64_t *ret,
			 struct ab_error *err)
{
	const char *digits = value + (*value == '-' || *value == '+');
	bool negative = *value == '-';
	unsigned bits = s->size * 8;
	uint64_t v, max;
	char *end;

	if (!isdigit((unsigned char)*digits))
		return no_value(p, value, err);
	errno = 0;
	v = strtoull(digits, &end, 0);
	if (*end)
		return no_value(p, value, err);
	max = (bits < 64 ? 1ULL << bits : 0) - 1;
	if (s->is_signed)
		max = (max >> 1) + negative;
	else if (negative && v)
		max = 0;
	if (errno == ERANGE || v > max)
		return no_room(p, value, err);
	*ret = negative ? -v : v;
	return 0;
}

static int parse_enumerator(const struct ab_btf *btf, const struct param *p, const struct scalar *s,
			    const char *value, uint64_t *ret, struct ab_error *err)
{
	struct nearest nearest = { .wanted = value };
	uint32_t name;

	for (uint32_t i = 0; i < ab_btf_vlen(s->type); i++) {
		uint64_t v = enumerator(s, i, &name);
		const char *known = ab_btf_str(btf, name);

		if (!strcmp(known, value)) {
			*ret = v;
			return 0;
		}
		nearest_try(&nearest, known);
	}
	if (isdigit((unsigned char)*value) || *value == '-')
		return parse_integer(p, s, value, ret, err);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a value for '%s' of type %s: did you mean '%s'?",
			       value, p->pub.name, p->pub.type, nearest.name);
	return no_value(p, value, err);
}

static int parse_scalar(const struct ab_btf *btf, const struct param *p, const struct scalar *s, const char *value,
			uint64_t *ret, struct ab_error *err)
{
	if (s->kind == BOOLEAN) {
		if (!strcmp(value, "true") || !strcmp(value, "1"))
			*ret = 1;
		else if (!strcmp(value, "false") || !strcmp(value, "0"))
			*ret = 0;
		else
			return no_value(p, value, err);
		return 0;
	}
	if (s->kind == CHARACTER && strlen(value) == 1 && !isdigit((unsigned char)*value)) {
		*ret = (unsigned char)*value;
		return 0;
	}
	if (s->kind == ENUMERATION)
		return parse_enumerator(btf, p, s, value, ret, err);
	return parse_integer(p, s, value, ret, err);
}

static int parse_list(const struct ab_btf *btf, const struct param *p, const struct scalar *s, const char *value,
		      uint8_t *data, struct ab_error *err)
{
	uint32_t n = p->size / s->size, i = 0;
	_free_ char *copy = strdup(value);
	char *rest = copy, *word;
	uint64_t v;
	int r;

	if (!copy)
		return ab_fail_memory(err);
	while (*value && (word = strsep(&rest, ","))) {
		if (i == n)
			return no_room(p, value, err);
		r = parse_scalar(btf, p, s, word, &v, err);
		if (r < 0)
			return r;
		store_bits(data + i++ * s->size, s->size, v);
	}
	return 0;
}

static int parse_value(const struct ab_btf *btf, const struct param *p, const char *value, uint8_t *data,
		       struct ab_error *err)
{
	struct scalar s = read_scalar(btf, element_type(btf, p->type));
	bool is_array = ab_btf_kind(ab_btf_type(btf, ab_btf_resolve(btf, p->type))) == BTF_KIND_ARRAY;
	uint64_t v;
	int r;

	if (is_array && s.kind == CHARACTER) {
		if (strlen(value) >= p->size)
			return no_room(p, value, err);
		memcpy(data, value, strlen(value));
		return 0;
	}
	if (is_array)
		return parse_list(btf, p, &s, value, data, err);
	r = parse_scalar(btf, p, &s, value, &v, err);
	if (!r)
		store_bits(data, p->size, v);
	return r;
}

/* ---- the list ---- */

static bool is_pid_name(const char *name)
{
	static const char *const names[] = { "target_pid", "target_tgid", "targ_pid", "targ_tgid" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static char *type_text(const struct ab_btf *btf, uint32_t id)
{
	_text_ struct text out = {};
	bool ignore;

	ab_btf_type_name(btf, strip_qualifiers(btf, element_type(btf, id), &ignore, &ignore), &out);
	for (int depth = 0; depth < 16; depth++) {
		const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));
		const struct btf_array *a = ab_btf_data(t);

		if (ab_btf_kind(t) != BTF_KIND_ARRAY)
			break;
		text_printf(&out, "[%u]", a->nelems);
		id = a->type;
	}
	return text_take(&out);
}

/* 1 when the variable is a parameter. */
static int add_param(struct ab_object *object, const struct btf_var_secinfo *where, struct ab_error *err)
{
	const struct ab_btf *btf = object->btf;
	const struct btf_type *var = ab_btf_type(btf, where->type);
	struct param *p = &object->params[object->param_count];
	bool is_const = false, is_volatile = false;
	struct scalar s;

	*p = (struct param){};
	if (ab_btf_kind(var) != BTF_KIND_VAR || !*ab_btf_name(btf, var))
		return 0;
	p->type = strip_qualifiers(btf, var->type, &is_const, &is_volatile);
	strip_qualifiers(btf, element_type(btf, p->type), &is_const, &is_volatile);
	s = read_scalar(btf, element_type(btf, p->type));
	p->size = (uint32_t)ab_btf_size(btf, p->type);
	p->offset = where->offset;
	p->var = where->type;
	if (!is_const || !is_volatile || s.kind == NOT_SCALAR || !p->size || p->size > PARAM_MAX || p->size % s.size ||
	    p->offset > object->rodata_size || p->size > object->rodata_size - p->offset)
		return 0;
	p->pub.name = ab_btf_name(btf, var);
	p->pub.help = ab_btf_tag(btf, where->type, -1, "anybpf:help=", 0);
	p->pub.is_bool = s.kind == BOOLEAN && p->size == s.size;
	p->pub.is_pid = ab_btf_tag(btf, where->type, -1, "anybpf:pid", 0) || is_pid_name(p->pub.name);
	p->pub.type = type_text(btf, p->type);
	p->pub.default_value = print_value(btf, p, object->rodata + p->offset);
	object->param_count++;
	return p->pub.type && p->pub.default_value ? 1 : ab_fail_memory(err);
}

/* In the order of the source, which the variables' ids have; the section puts those that begin as zero last. */
static int compare_params(const void *a, const void *b)
{
	const struct param *p = a, *q = b;

	return p->var < q->var ? -1 : p->var > q->var;
}

static int copy_rodata(struct ab_object *object, struct ab_error *err)
{
	struct bpf_map *map;
	const void *image = NULL;
	size_t size = 0;

	bpf_object__for_each_map(map, object->bpf)
		if (bpf_map__is_internal(map) && str_ends(bpf_map__name(map), ".rodata"))
			image = bpf_map__initial_value(map, &size);
	if (!image || !size)
		return 0;
	object->rodata = malloc(size);
	if (!object->rodata)
		return ab_fail_memory(err);
	memcpy(object->rodata, image, size);
	object->rodata_size = size;
	return 0;
}

int ab_params_find(struct ab_object *object, struct ab_error *err)
{
	uint32_t id = ab_btf_find(object->btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = ab_btf_type(object->btf, id);
	const struct btf_var_secinfo *vars = ab_btf_data(section);
	int r = copy_rodata(object, err);

	if (r < 0 || !id || !object->rodata)
		return r;
	object->params = array_new(ab_btf_vlen(section), sizeof(*object->params));
	if (!object->params)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < ab_btf_vlen(section); i++) {
		r = add_param(object, &vars[i], err);
		if (r < 0)
			return r;
	}
	qsort(object->params, object->param_count, sizeof(*object->params), compare_params);
	return 0;
}

void ab_params_free(struct ab_object *object)
{
	for (size_t i = 0; i < object->param_count; i++) {
		free((char *)object->params[i].pub.type);
		free((char *)object->params[i].pub.default_value);
	}
	free(object->params);
	free(object->rodata);
}

size_t ab_object_param_count(const struct ab_object *object)
{
	return object->param_count;
}

const struct ab_param *ab_object_param(const struct ab_object *object, size_t index)
{
	return index < object->param_count ? &object->params[index].pub : NULL;
}

static int no_param(const struct ab_object *object, const char *name, struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; i < object->param_count; i++)
		nearest_try(&nearest, object->params[i].pub.name);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no parameter '%s': did you mean '%s'?",
			       object->name, name, nearest.name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no parameter '%s'%s", object->name, name,
		       object->param_count ? "" : ", nor any other");
}

int ab_object_set_param(struct ab_object *object, const char *name, const char *value, struct ab_error *err)
{
	_free_ uint8_t *fresh = NULL;

	if (object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EBUSY, "parameter '%s' cannot change: '%s' is loaded already", name,
			       object->name);
	for (size_t i = 0; i < object->param_count; i++) {
		const struct param *p = &object->params[i];
		int r;

		if (strcmp(p->pub.name, name))
			continue;
		fresh = calloc(1, p->size);
		if (!fresh)
			return ab_fail_memory(err);
		r = parse_value(object->btf, p, value, fresh, err);
		if (!r)
			memcpy(object->rodata + p->offset, fresh, p->size);
		return r;
	}
	return no_param(object, name, err);
}

int ab_params_set_pid(struct ab_object *object, struct ab_error *err)
{
	char pid[16];
	int r = 0;

	snprintf(pid, sizeof(pid), "%d", object->opts.pid);
	for (size_t i = 0; !r && object->opts.pid && i < object->param_count; i++)
		if (object->params[i].pub.is_pid)
			r = ab_object_set_param(object, object->params[i].pub.name, pid, err);
	return r;
}
