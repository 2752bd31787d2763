/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CO-RE relocations as an object has them. An access string, "0:1:2", names members by their index, anonymous structs on the
 * way included; what counts in another kernel are the named ones and the array elements: the accessors.
 */
#include "core_internal.h"

const char *ab_core_relo_word(enum bpf_core_relo_kind kind)
{
	static const char *const words[] = {
		[BPF_CORE_FIELD_BYTE_OFFSET] = "byte_off", [BPF_CORE_FIELD_BYTE_SIZE] = "byte_sz",
		[BPF_CORE_FIELD_EXISTS] = "field_exists", [BPF_CORE_FIELD_SIGNED] = "signed",
		[BPF_CORE_FIELD_LSHIFT_U64] = "lshift_u64", [BPF_CORE_FIELD_RSHIFT_U64] = "rshift_u64",
		[BPF_CORE_TYPE_ID_LOCAL] = "local_type_id", [BPF_CORE_TYPE_ID_TARGET] = "target_type_id",
		[BPF_CORE_TYPE_EXISTS] = "type_exists", [BPF_CORE_TYPE_SIZE] = "type_size",
		[BPF_CORE_ENUMVAL_EXISTS] = "enumval_exists", [BPF_CORE_ENUMVAL_VALUE] = "enumval_value",
		[BPF_CORE_TYPE_MATCHES] = "type_matches",
	};

	return kind < ARRAY_SIZE(words) ? words[kind] : "unknown";
}

const char *ab_core_kind_word(const struct btf_type *t)
{
	static const char *const words[] = {
		[BTF_KIND_INT] = "int", [BTF_KIND_PTR] = "ptr", [BTF_KIND_ARRAY] = "array", [BTF_KIND_STRUCT] = "struct",
		[BTF_KIND_UNION] = "union", [BTF_KIND_ENUM] = "enum", [BTF_KIND_FWD] = "fwd", [BTF_KIND_TYPEDEF] = "typedef",
		[BTF_KIND_VOLATILE] = "volatile", [BTF_KIND_CONST] = "const", [BTF_KIND_RESTRICT] = "restrict",
		[BTF_KIND_FUNC] = "func", [BTF_KIND_FUNC_PROTO] = "func_proto", [BTF_KIND_VAR] = "var",
		[BTF_KIND_DATASEC] = "datasec", [BTF_KIND_FLOAT] = "float", [BTF_KIND_DECL_TAG] = "decl_tag",
		[BTF_KIND_TYPE_TAG] = "type_tag", [BTF_KIND_ENUM64] = "enum64",
	};
	uint32_t kind = ab_btf_kind(t);

	return kind < ARRAY_SIZE(words) && words[kind] ? words[kind] : "unknown";
}

/* A flavour follows the last "___" that has something other than an underscore on both sides. */
size_t ab_core_name_length(const char *name)
{
	size_t n = strlen(name);

	for (size_t end = n; end >= 5; end--) {
		const char *p = name + end - 5;

		if (p[0] != '_' && p[1] == '_' && p[2] == '_' && p[3] == '_' && p[4] != '_')
			return end - 4;
	}
	return n;
}

bool ab_core_same_name(const char *a, const char *b)
{
	size_t n = ab_core_name_length(a);

	return n == ab_core_name_length(b) && !memcmp(a, b, n);
}

bool ab_core_same_kind(const struct btf_type *a, const struct btf_type *b)
{
	return ab_btf_kind(a) == ab_btf_kind(b) || (ab_btf_is_enum(a) && ab_btf_is_enum(b));
}

bool ab_core_size(const struct ab_btf *btf, uint32_t id, uint64_t *ret_size)
{
	uint32_t element = ab_btf_resolve(btf, id), kind;

	while (ab_btf_kind(ab_btf_type(btf, element)) == BTF_KIND_ARRAY)
		element = ab_btf_resolve(btf, ((const struct btf_array *)ab_btf_data(ab_btf_type(btf, element)))->type);
	kind = ab_btf_kind(ab_btf_type(btf, element));
	if (!element || kind == BTF_KIND_FWD || kind == BTF_KIND_FUNC || kind == BTF_KIND_FUNC_PROTO)
		return false;
	*ret_size = ab_btf_size(btf, id);
	return true;
}

bool ab_core_advance(struct ab_core_spec *spec, uint64_t count, uint64_t bits)
{
	uint64_t all;

	if (__builtin_mul_overflow(count, bits, &all) || all > UINT32_MAX - spec->bit_offset)
		return false;
	spec->bit_offset += all;
	return true;
}

bool ab_core_is_flexible(const struct ab_btf *btf, const struct ab_core_accessor *holder, const struct btf_array *array)
{
	return holder->name && !array->nelems && holder->index + 1 == ab_btf_vlen(ab_btf_type(btf, holder->type));
}

/* ---- parsing ---- */

/* The numbers of an access string; NULL, or what is wrong. */
static const char *parse_numbers(struct ab_core_spec *spec, const char *s)
{
	do {
		uint64_t n = 0;

		if (*s < '0' || *s > '9')
			return "no number";
		for (; *s >= '0' && *s <= '9'; s++) {
			n = 10 * n + (*s - '0');
			if (n > INT32_MAX)
				return "too large a number";
		}
		if (spec->n_raw == AB_CORE_MAX_DEPTH)
			return "too many steps";
		spec->raw[spec->n_raw++] = n;
	} while (*s++ == ':');
	return s[-1] ? "something other than numbers" : NULL;
}

static const char *parse_member(struct ab_core_spec *spec, uint32_t *id, uint32_t index)
{
	const struct btf_type *t = ab_btf_type(spec->btf, *id);
	const struct btf_member *m = (const struct btf_member *)ab_btf_data(t) + index;

	if (index >= ab_btf_vlen(t))
		return "a member beyond the last";
	if (!ab_core_advance(spec, 1, ab_btf_member_offset(t, index)))
		return "too large an offset";
	if (m->name_off) {
		const char *name = ab_btf_str(spec->btf, m->name_off);

		if (!*name)
			return "a member without name";
		spec->accessors[spec->n_accessors++] = (struct ab_core_accessor){ *id, index, name };
	}
	*id = ab_btf_resolve(spec->btf, m->type);
	return NULL;
}

static const char *parse_element(struct ab_core_spec *spec, uint32_t *id, uint32_t index)
{
	const struct btf_array *array = ab_btf_data(ab_btf_type(spec->btf, *id));
	bool flexible = ab_core_is_flexible(spec->btf, &spec->accessors[spec->n_accessors - 1], array);
	uint64_t size;

	if (!flexible && index >= array->nelems)
		return "an element beyond the last";
	*id = ab_btf_resolve(spec->btf, array->type);
	spec->accessors[spec->n_accessors++] = (struct ab_core_accessor){ *id, index, NULL };
	if (!ab_core_size(spec->btf, *id, &size))
		return "an element without size";
	return ab_core_advance(spec, index, 8 * size) ? NULL : "too large an offset";
}

static const char *parse_field(struct ab_core_spec *spec, uint32_t id)
{
	uint64_t size;

	if (!ab_core_size(spec->btf, id, &size))
		return "a type without size";
	if (!ab_core_advance(spec, spec->raw[0], 8 * size))
		return "too large an offset";
	for (uint32_t i = 1; i < spec->n_raw; i++) {
		const struct btf_type *t = ab_btf_type(spec->btf, id);
		const char *wrong;

		if (ab_btf_is_struct(t))
			wrong = parse_member(spec, &id, spec->raw[i]);
		else if (ab_btf_kind(t) == BTF_KIND_ARRAY)
			wrong = parse_element(spec, &id, spec->raw[i]);
		else
			wrong = "a member of what has none";
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const char *parse_enumerator(struct ab_core_spec *spec, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(spec->btf, id);

	if (!ab_btf_is_enum(t) || spec->n_raw > 1)
		return "an enumerator of what is no enum";
	if (spec->raw[0] >= ab_btf_vlen(t))
		return "an enumerator beyond the last";
	spec->accessors[0].name = ab_btf_str(spec->btf, ab_btf_enumerator_name(t, spec->raw[0]));
	return NULL;
}

static const char *parse(struct ab_core_spec *spec, const char *access)
{
	const char *wrong;
	uint32_t id;

	if (spec->kind > BPF_CORE_TYPE_MATCHES)
		return "an unknown kind of relocation";
	if (spec->root >= ab_btf_count(spec->btf))
		return "no such type";
	if (ab_core_is_type(spec->kind))
		return strcmp(access, "0") ? "members of a type asked for as a whole" : NULL;
	wrong = parse_numbers(spec, access);
	if (wrong)
		return wrong;
	id = ab_btf_resolve(spec->btf, spec->root);
	spec->accessors[spec->n_accessors++] = (struct ab_core_accessor){ id, spec->raw[0], NULL };
	return ab_core_is_enumerator(spec->kind) ? parse_enumerator(spec, id) : parse_field(spec, id);
}

int ab_core_parse(const struct ab_btf *local, const struct bpf_core_relo *relo, struct ab_core_spec *ret_spec,
		  struct ab_error *err)
{
	struct ab_core_spec spec = { .btf = local, .kind = relo->kind, .root = relo->type_id };
	const char *access = ab_btf_str(local, relo->access_str_off);
	const char *wrong = parse(&spec, access);
	const struct btf_type *t;

	if (!wrong) {
		*ret_spec = spec;
		return 0;
	}
	t = ab_btf_type(local, relo->type_id);
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged CO-RE relocation: <%s> [%u] %s %s + %s asks for %s",
		       ab_core_relo_word(relo->kind), relo->type_id, ab_core_kind_word(t),
		       *ab_btf_name(local, t) ? ab_btf_name(local, t) : "<anon>", access, wrong);
}

/* ---- describing ---- */

static void describe_enumerator(const struct ab_core_spec *spec, struct text *out)
{
	const struct btf_type *t = ab_btf_type(spec->btf, spec->accessors[0].type);
	uint64_t value = ab_btf_enumerator_value(t, spec->accessors[0].index);
	bool wide = ab_btf_kind(t) == BTF_KIND_ENUM64;

	text_printf(out, "::%s = ", spec->accessors[0].name);
	if (ab_btf_kflag(t))
		text_printf(out, "%lld", (long long)value);
	else
		text_printf(out, "%llu", (unsigned long long)(wide ? value : (uint32_t)value));
}

static void describe_field(const struct ab_core_spec *spec, struct text *out)
{
	for (uint32_t i = 0; i < spec->n_accessors; i++) {
		const struct ab_core_accessor *a = &spec->accessors[i];

		if (a->name)
			text_printf(out, ".%s", a->name);
		else if (i || a->index)
			text_printf(out, "[%u]", a->index);
	}
	for (uint32_t i = 0; i < spec->n_raw; i++)
		text_printf(out, "%s%u", i ? ":" : " (", spec->raw[i]);
	text_printf(out, " @ offset %u", spec->bit_offset / 8);
	if (spec->bit_offset % 8)
		text_printf(out, ".%u", spec->bit_offset % 8);
	text_putc(out, ')');
}

void ab_core_describe(const struct ab_core_spec *spec, struct text *out)
{
	const struct btf_type *t = ab_btf_type(spec->btf, spec->root);
	const char *name = ab_btf_name(spec->btf, t);

	text_printf(out, "<%s> [%u] %s %s", ab_core_relo_word(spec->kind), spec->root, ab_core_kind_word(t),
		    *name ? name : "<anon>");
	if (ab_core_is_enumerator(spec->kind))
		describe_enumerator(spec, out);
	else if (ab_core_is_field(spec->kind))
		describe_field(spec, out);
}
