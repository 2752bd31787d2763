/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What lbc_get_map_types() says: the maps that coolbpf's clients know, with their types as JSON and as C declarations
 * for cffi. That reads plain C89 and no attributes, and lays structs out by itself: where that would come out otherwise
 * than in the object (packed, aligned, 128-bit integers), members are declared as bytes.
 */
#include <sys/utsname.h>
#include "lbc.h"

enum { NESTING_MAX = 32, FORMAT_MAX = 4096 };

/* ---- layout, as a C compiler without attributes makes it ---- */

static bool is_compound(const struct ab_btf *btf, uint32_t id)
{
	uint32_t kind = ab_btf_kind(ab_btf_type(btf, id));

	return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION;
}

static uint32_t element(const struct ab_btf *btf, uint32_t id)
{
	for (;;) {
		const struct btf_type *t = ab_btf_type(btf, id = ab_btf_resolve(btf, id));

		if (ab_btf_kind(t) != BTF_KIND_ARRAY)
			return id;
		id = ((const struct btf_array *)ab_btf_data(t))->type;
	}
}

static bool is_natural(const struct ab_btf *btf, uint32_t id, int depth);

/* The alignment that the declaration of a type will have. */
static size_t declared_align(const struct ab_btf *btf, uint32_t id, int depth)
{
	const struct btf_type *t;
	size_t align = 1, size;

	id = element(btf, id);
	t = ab_btf_type(btf, id);
	size = ab_btf_size(btf, id);
	if (!is_compound(btf, id))
		return size == 16 || size == 0 || (size & (size - 1)) ? 1 : size;
	if (depth >= NESTING_MAX || !is_natural(btf, id, depth))
		return 1;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		align = MAX(align, declared_align(btf, ((const struct btf_member *)ab_btf_data(t))[i].type, depth + 1));
	return align;
}

/* Whether a plain declaration of a struct or union lays its members out as they are. */
static bool is_natural(const struct ab_btf *btf, uint32_t id, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const struct btf_member *m = ab_btf_data(t);
	bool is_union = ab_btf_kind(t) == BTF_KIND_UNION;
	uint64_t at = 0, end = 0; /* in bits */
	size_t align = 1;

	if (depth >= NESTING_MAX)
		return false;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint64_t size = 8 * (uint64_t)ab_btf_size(btf, m[i].type);
		uint64_t own = declared_align(btf, m[i].type, depth + 1);
		uint32_t bits = ab_btf_member_bits(t, i);

		at = is_union ? 0 : at;
		if (!bits)
			at = (at + 8 * own - 1) / (8 * own) * (8 * own);
		else if (!size || at / size != (at + bits - 1) / size)
			at = size ? (at + size - 1) / size * size : at;
		if (at != ab_btf_member_offset(t, i))
			return false;
		at += bits ? bits : size;
		end = MAX(end, at);
		align = MAX(align, own);
	}
	return (end + 8 * align - 1) / (8 * align) * align == ab_btf_size(btf, id);
}

/* ---- C declarations ---- */

static const char *integer_word(size_t size, bool is_signed)
{
	switch (size) {
	case 1: return is_signed ? "signed char" : "unsigned char";
	case 2: return is_signed ? "short" : "unsigned short";
	case 4: return is_signed ? "int" : "unsigned int";
	case 8: return is_signed ? "long long" : "unsigned long long";
	default: return NULL;
	}
}

/* The word for a scalar, NULL for what C89 has none. */
static const char *scalar_word(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	uint32_t encoding;

	switch (ab_btf_kind(t)) {
	case BTF_KIND_INT:
		encoding = BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(t));
		if (encoding & BTF_INT_BOOL)
			return t->size == 1 ? "_Bool" : NULL;
		if (!strcmp(ab_btf_name(btf, t), "char"))
			return "char";
		if (t->size == 8 && (!strcmp(ab_btf_name(btf, t), "long") ||
				     !strcmp(ab_btf_name(btf, t), "unsigned long")))
			return encoding & BTF_INT_SIGNED ? "long" : "unsigned long";
		return integer_word(t->size, encoding & BTF_INT_SIGNED);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return integer_word(t->size, ab_btf_kflag(t));
	case BTF_KIND_FLOAT:
		return t->size == 4 ? "float" : t->size == 8 ? "double" : NULL;
	case BTF_KIND_PTR:
		return "void *";
	default:
		return NULL;
	}
}

static void put_body(const struct ab_btf *btf, uint32_t id, struct text *out, int depth);

/*
 * "struct x", "struct { … }", "unsigned int": what stands before a declarator. NULL scalar words become bytes
 * elsewhere.
 */
static void put_specifier(const struct ab_btf *btf, uint32_t id, struct text *out, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const char *keyword = ab_btf_kind(t) == BTF_KIND_UNION ? "union" : "struct";

	if (!is_compound(btf, id))
		text_puts(out, scalar_word(btf, id));
	else if (t->name_off)
		text_printf(out, "%s %s", keyword, ab_btf_name(btf, t));
	else {
		text_printf(out, "%s ", keyword);
		put_body(btf, id, out, depth);
	}
}

static void put_dimensions(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	for (id = ab_btf_resolve(btf, id); ab_btf_kind(ab_btf_type(btf, id)) == BTF_KIND_ARRAY;) {
		const struct btf_array *a = ab_btf_data(ab_btf_type(btf, id));

		text_printf(out, "[%u]", a->nelems);
		id = ab_btf_resolve(btf, a->type);
	}
}

static void put_member(const struct ab_btf *btf, const struct btf_type *t, uint32_t i, struct text *out, int depth)
{
	const struct btf_member *m = (const struct btf_member *)ab_btf_data(t) + i;
	const char *name = ab_btf_str(btf, m->name_off);
	uint32_t bits = ab_btf_member_bits(t, i), base = element(btf, m->type);

	if (!is_compound(btf, base) && !scalar_word(btf, base)) {
		text_printf(out, "unsigned char %s[%zu]; ", name, ab_btf_size(btf, m->type));
		return;
	}
	put_specifier(btf, base, out, depth + 1);
	text_printf(out, " %s", name);
	put_dimensions(btf, m->type, out);
	if (bits)
		text_printf(out, ":%u", bits);
	text_puts(out, "; ");
}

/*
 * Members as bytes, for a layout that a plain declaration would not give. Of bit-fields the first of each byte is
 * declared.
 */
static void put_bytes(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const struct btf_member *m = ab_btf_data(t);
	uint64_t at = 0, size = ab_btf_size(btf, id);
	unsigned pads = 0;

	if (ab_btf_kind(t) == BTF_KIND_UNION) {
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			if (m[i].name_off)
				text_printf(out, "unsigned char %s[%zu]; ", ab_btf_str(btf, m[i].name_off),
					    ab_btf_size(btf, m[i].type));
		text_printf(out, "unsigned char __bytes[%llu]; ", (unsigned long long)size);
		return;
	}
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint64_t offset = ab_btf_member_offset(t, i) / 8, bits = ab_btf_member_bits(t, i);
		uint64_t n = bits ? (ab_btf_member_offset(t, i) % 8 + bits + 7) / 8 : ab_btf_size(btf, m[i].type);

		if (offset < at || !m[i].name_off)
			continue;
		if (offset > at)
			text_printf(out, "unsigned char __pad%u[%llu]; ", pads++, (unsigned long long)(offset - at));
		text_printf(out, "unsigned char %s[%llu]; ", ab_btf_str(btf, m[i].name_off), (unsigned long long)n);
		at = offset + n;
	}
	if (size > at)
		text_printf(out, "unsigned char __pad%u[%llu]; ", pads, (unsigned long long)(size - at));
}

static void put_body(const struct ab_btf *btf, uint32_t id, struct text *out, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	text_puts(out, "{ ");
	if (is_natural(btf, id, depth))
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			put_member(btf, t, i, out, depth);
	else
		put_bytes(btf, id, out);
	text_puts(out, "}");
}

/* Declares the named structs and unions that a type contains, inner ones first. */
static void declare_inner(struct lbc_declarations *d, uint32_t type, int depth)
{
	uint32_t id = element(d->btf, type);
	const struct btf_type *t = ab_btf_type(d->btf, id);
	const struct btf_member *m = ab_btf_data(t);
	_text_ struct text name = {};
	bool is_new = true;

	if (depth >= NESTING_MAX || !is_compound(d->btf, id))
		return;
	if (t->name_off) {
		text_printf(&name, "%s %s", ab_btf_kind(t) == BTF_KIND_UNION ? "union" : "struct",
			    ab_btf_name(d->btf, t));
		if (name.failed || !strmap_put(&d->done, name.p, name.n, &is_new))
			d->out.failed = true;
	}
	if (!is_new || d->out.failed)
		return;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		declare_inner(d, m[i].type, depth + 1);
	if (!t->name_off)
		return;
	text_printf(&d->out, "%s ", name.p);
	put_body(d->btf, id, &d->out, depth);
	text_puts(&d->out, ";\n");
}

/* Names that cffi has itself, as they are everywhere. */
static bool is_known(const char *name)
{
	static const char *const known[] = { "bool", "size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t",
					     "int8_t", "uint8_t",
		"int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t", "uint64_t" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static void declare_typedef(struct lbc_declarations *d, const char *name, uint32_t id)
{
	bool is_new = false;

	if (is_known(name))
		return;
	if (!strmap_put(&d->done, name, strlen(name), &is_new))
		d->out.failed = true;
	if (!is_new)
		return;
	text_puts(&d->out, "typedef ");
	put_specifier(d->btf, element(d->btf, id), &d->out, 0);
	text_printf(&d->out, " %s", name);
	put_dimensions(d->btf, id, &d->out);
	text_puts(&d->out, ";\n");
}

/*
 * Declares the type of a map's key or value; appends its name to `ret_name`. Of an array, the element's name and the
 * dimensions.
 */
static int declare_type(struct lbc_declarations *d, uint32_t type, struct text *ret_name, struct ab_error *err)
{
	uint32_t id = ab_btf_unqualify(d->btf, type), base = element(d->btf, id), named = id;
	const struct btf_type *t;

	declare_inner(d, id, 0);
	if (!is_compound(d->btf, base) && !scalar_word(d->btf, base)) {
		text_printf(ret_name, "unsigned char[%zu]", ab_btf_size(d->btf, id));
		return ret_name->failed || d->out.failed ? ab_fail_memory(err) : 0;
	}
	for (t = ab_btf_type(d->btf, named); ab_btf_kind(t) == BTF_KIND_ARRAY; t = ab_btf_type(d->btf, named))
		named = ab_btf_unqualify(d->btf, ((const struct btf_array *)ab_btf_data(t))->type);
	if (ab_btf_kind(t) == BTF_KIND_TYPEDEF) {
		declare_typedef(d, ab_btf_name(d->btf, t), named);
		text_puts(ret_name, ab_btf_name(d->btf, t));
	} else {
		put_specifier(d->btf, base, ret_name, 0);
	}
	if (named != id)
		put_dimensions(d->btf, id, ret_name);
	return ret_name->failed || d->out.failed ? ab_fail_memory(err) : 0;
}

/* ---- JSON ---- */

/* A scalar's letter in Python's struct module, or 0. */
static char format_letter(const struct ab_btf *btf, uint32_t id)
{
	static const struct { const char *word; char letter; } letters[] = {
		{ "char", 'c' }, { "signed char", 'b' }, { "unsigned char", 'B' }, { "_Bool", '?' }, { "short", 'h' },
		{ "unsigned short", 'H' }, { "int", 'i' }, { "unsigned int", 'I' }, { "long", 'l' },
		{ "unsigned long", 'L' },
		{ "long long", 'q' }, { "unsigned long long", 'Q' }, { "float", 'f' }, { "double", 'd' },
		{ "void *", 'P' },
	};
	const char *word = scalar_word(btf, id);

	for (size_t i = 0; word && i < ARRAY_SIZE(letters); i++)
		if (!strcmp(word, letters[i].word))
			return letters[i].letter;
	return 0;
}

static uint64_t element_count(const struct ab_btf *btf, uint32_t id)
{
	uint64_t n = 0;

	for (id = ab_btf_resolve(btf, id); ab_btf_kind(ab_btf_type(btf, id)) == BTF_KIND_ARRAY;) {
		const struct btf_array *a = ab_btf_data(ab_btf_type(btf, id));

		n = (n ? n : 1) * a->nelems;
		id = ab_btf_resolve(btf, a->type);
	}
	return n;
}

/* The name of a type without its dimensions. */
static void json_type_name(struct json *j, const struct ab_btf *btf, uint32_t id)
{
	_text_ struct text name = {};

	for (id = ab_btf_unqualify(btf, id); ab_btf_kind(ab_btf_type(btf, id)) == BTF_KIND_ARRAY;)
		id = ab_btf_unqualify(btf, ((const struct btf_array *)ab_btf_data(ab_btf_type(btf, id)))->type);
	ab_btf_type_name(btf, id, &name);
	json_member_str(j, "type", name.p ? name.p : "");
}

static void describe_value(struct json *j, const struct ab_btf *btf, uint32_t id, const char *member, int64_t offset,
			   uint32_t bits, uint32_t bit_offset, int depth);

static void describe_cells(struct json *j, const struct ab_btf *btf, uint32_t id, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const struct btf_member *m = ab_btf_data(t);

	json_key(j, "cells");
	json_open(j, '[');
	for (uint32_t i = 0; i < ab_btf_vlen(t) && depth < NESTING_MAX; i++) {
		uint32_t at = ab_btf_member_offset(t, i), bits = ab_btf_member_bits(t, i);

		describe_value(j, btf, m[i].type, ab_btf_str(btf, m[i].name_off), at / 8, bits, at % 8, depth + 1);
	}
	json_close(j, ']');
}

/* `offset` below 0: the value itself, which is called "value" and has no offset unless it is a struct. */
static void describe_value(struct json *j, const struct ab_btf *btf, uint32_t id, const char *member, int64_t offset,
			   uint32_t bits, uint32_t bit_offset, int depth)
{
	uint32_t base = element(btf, id);
	uint64_t n = element_count(btf, id);
	char letter = format_letter(btf, base);
	_text_ struct text format = {};

	json_open(j, '{');
	json_type_name(j, btf, id);
	if (member)
		json_member_str(j, "member", member);
	json_member_uint(j, "array", n);
	if (letter && n <= FORMAT_MAX) {
		for (uint64_t i = 0; i < (n ? n : 1); i++)
			text_putc(&format, letter);
		json_member_str(j, "format", format.p);
	}
	if (offset >= 0)
		json_member_uint(j, "offset", offset);
	json_member_uint(j, "size", ab_btf_size(btf, base));
	if (bits) {
		_text_ struct text where = {};

		text_printf(&where, "%u:%u", bit_offset, bits);
		json_member_str(j, "bits", where.p);
	}
	if (is_compound(btf, base))
		describe_cells(j, btf, base, depth);
	json_close(j, '}');
}

static void describe_top(struct json *j, const struct ab_btf *btf, const char *key, uint32_t type)
{
	bool compound = is_compound(btf, element(btf, type));

	json_key(j, key);
	describe_value(j, btf, type, compound ? NULL : "value", compound ? 0 : -1, 0, 0, 0);
}

/* coolbpf's word for a kind of map, NULL for maps that its clients do not know. */
static const char *map_word(const struct ab_map *map)
{
	const char *as = ab_map_tag(map, "as=");

	if (bpf_map__is_internal(map->bpf) || ab_map_is_scratch(map))
		return NULL;
	switch (bpf_map__type(map->bpf)) {
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case BPF_MAP_TYPE_RINGBUF: return "event";
	case BPF_MAP_TYPE_HASH: return "hash";
	case BPF_MAP_TYPE_LRU_HASH: return "lruHash";
	case BPF_MAP_TYPE_PERCPU_HASH: return "perHash";
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return "lruPerHash";
	case BPF_MAP_TYPE_PERCPU_ARRAY: return "perArray";
	case BPF_MAP_TYPE_STACK_TRACE: return "stack";
	case BPF_MAP_TYPE_ARRAY:
		return as && !strcmp(as, "log2") ? "hist2" : as && !strcmp(as, "log10") ? "hist10" : "array";
	default: return NULL;
	}
}

/* A number, or an array of them, without a BTF type. */
static void describe_plain(struct json *j, const char *key, const char *type, char letter, size_t size, unsigned count)
{
	_text_ struct text format = {};

	for (unsigned i = 0; i < MAX(count, 1u) && i < FORMAT_MAX; i++)
		text_putc(&format, letter);
	json_key(j, key);
	json_open(j, '{');
	json_member_str(j, "type", type);
	json_member_str(j, "member", "value");
	json_member_uint(j, "array", count);
	json_member_str(j, "format", format.p);
	json_member_uint(j, "size", size);
	json_close(j, '}');
}

/* A stack map has sizes and no types. */
static void describe_stack(struct json *j, const struct ab_map *map)
{
	unsigned depth = ab_map_value_size(map) / 8;
	char type[64];

	snprintf(type, sizeof(type), "long long unsigned int[%u]", depth);
	json_member_str(j, "fktype", "unsigned int");
	describe_plain(j, "ktype", "unsigned int", 'I', 4, 0);
	json_member_str(j, "fvtype", type);
	describe_plain(j, "vtype", "long long unsigned int", 'Q', 8, depth);
}

static int declare_as(struct json *j, struct lbc_declarations *d, const char *key, uint32_t type, struct ab_error *err)
{
	_text_ struct text name = {};
	int r = declare_type(d, type, &name, err);

	if (!r)
		json_member_str(j, key, name.p);
	return r;
}

static int describe_map(struct json *j, struct lbc_declarations *d, const struct ab_map *map, const char *word,
			struct ab_error *err)
{
	bool is_event = !strcmp(word, "event");
	uint32_t value = is_event ? ab_map_event_type(map) : map->value_type;
	int r = 0;

	json_key(j, ab_map_name(map));
	json_open(j, '{');
	json_member_str(j, "type", word);
	if (!strcmp(word, "stack")) {
		describe_stack(j, map);
	} else if (is_event) {
		json_member_str(j, "fktype", "");
		json_key(j, "ktype");
		json_null(j);
	} else {
		r = declare_as(j, d, "fktype", map->key_type, err);
		describe_top(j, d->btf, "ktype", map->key_type);
	}
	if (!r && strcmp(word, "stack")) {
		r = declare_as(j, d, "fvtype", value, err);
		describe_top(j, d->btf, "vtype", value);
	}
	json_close(j, '}');
	return r;
}

static bool is_described(const struct ab_map *map, const char *word)
{
	if (!word || !strcmp(word, "stack"))
		return word != NULL;
	return strcmp(word, "event") ? map->key_type && map->value_type : ab_map_event_type(map) != 0;
}

/* What a library says that no server made: it belongs to no source that a client could compare it with. */
static void put_own_labels(struct json *j)
{
	struct utsname machine = {};

	uname(&machine);
	json_member_str(j, "hash", "");
	json_member_str(j, "arch", machine.machine);
	json_member_str(j, "kern_version", machine.release);
}

int ab_lbc_describe(const struct ab_object *object, const char *labels, struct text *out, struct ab_error *err)
{
	struct lbc_declarations d = { .btf = object->btf };
	struct json j = { out };
	size_t n = labels ? strlen(labels) : 0;
	int r = 0;

	/* The labels are an object: its members stand first. */
	json_open(&j, '{');
	if (n > 2 && labels[0] == '{' && labels[n - 1] == '}') {
		text_add(out, labels + 1, n - 2);
		text_putc(out, ',');
	} else {
		put_own_labels(&j);
	}
	json_key(&j, "maps");
	json_open(&j, '{');
	for (size_t i = 0; !r && i < object->map_count; i++) {
		const char *word = map_word(&object->maps[i]);

		if (is_described(&object->maps[i], word))
			r = describe_map(&j, &d, &object->maps[i], word, err);
	}
	json_close(&j, '}');
	json_member_str(&j, "ffi", d.out.p ? d.out.p : "");
	json_close(&j, '}');
	if (!r && (out->failed || d.out.failed || d.done.failed))
		r = ab_fail_memory(err);
	text_clear(&d.out);
	strmap_clear(&d.done);
	return r;
}
