/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One type for people, laid out as pahole does it: each member with offset and size, holes, padding and cache lines;
 * and the same as JSON (docs/types.md).
 */
#include "types.h"

enum { COMMENT_COLUMN = 56, CACHE_LINE = 64, TAB = 8 };

/* ---- words ---- */

const char *ab_types_kind_word(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_STRUCT: return "struct";
	case BTF_KIND_UNION: return "union";
	case BTF_KIND_ENUM: case BTF_KIND_ENUM64: return "enum";
	case BTF_KIND_TYPEDEF: return "typedef";
	case BTF_KIND_FUNC: return "func";
	case BTF_KIND_VAR: return "var";
	case BTF_KIND_INT: return "int";
	case BTF_KIND_FLOAT: return "float";
	case BTF_KIND_FWD: return "fwd";
	default: return "";
	}
}

void ab_types_put_name(uint32_t kind, const char *name, struct text *out)
{
	bool tagged = kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM ||
		      kind == BTF_KIND_ENUM64;

	text_printf(out, "%s%s%s", tagged ? ab_types_kind_word(kind) : "", tagged && *name ? " " : "", name);
}

void ab_types_prototype(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id), *proto = ab_btf_type(btf, t->type);
	const struct btf_param *p = ab_btf_data(proto);
	_text_ struct text head = {};

	text_printf(&head, "%s(", ab_btf_name(btf, t));
	for (uint32_t i = 0; i < ab_btf_vlen(proto); i++) {
		text_puts(&head, i ? ", " : "");
		if (i && i + 1 == ab_btf_vlen(proto) && !p[i].type)
			text_puts(&head, "...");
		else
			ab_btf_declaration(btf, p[i].type, ab_btf_str(btf, p[i].name_off), &head);
	}
	text_puts(&head, ab_btf_vlen(proto) ? ")" : "void)");
	ab_btf_declaration_around(btf, proto->type, head.p ? head.p : "", out);
}

/* ---- structs as text ---- */

struct layout {
	const struct ab_btf *btf;
	struct text *out;
	unsigned left;           /* members that may still be printed: structs without name multiply */
	unsigned line;           /* the cache line that was last announced */
	uint64_t member_bytes, hole_bytes, field_bits, hole_bits;
	unsigned holes, bit_holes, members;
};

static void put_indent(struct layout *l, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		text_putc(l->out, '\t');
}

/* What was written since `from`, padded so that comments stand below each other. */
static void pad_line(struct layout *l, size_t from, unsigned depth)
{
	size_t width = l->out->n - from + (TAB - 1) * depth;

	do
		text_putc(l->out, ' ');
	while (++width < COMMENT_COLUMN);
}

static void announce_line(struct layout *l, uint64_t bit, unsigned depth)
{
	unsigned line = bit / 8 / CACHE_LINE, past = bit / 8 % CACHE_LINE;

	if (line <= l->line)
		return;
	l->line = line;
	put_indent(l, depth);
	if (past)
		text_printf(l->out, "/* --- cacheline %u boundary (%u bytes) was %u byte%s ago --- */\n", line,
			    line * CACHE_LINE, past, past == 1 ? "" : "s");
	else
		text_printf(l->out, "/* --- cacheline %u boundary (%u bytes) --- */\n", line, line * CACHE_LINE);
}

static void put_members(struct layout *l, uint32_t id, uint64_t base, unsigned depth);

/* The byte at which what holds a member begins: for a bit-field a whole unit of its type. */
static uint64_t find_unit(const struct member *m, uint64_t bit)
{
	return m->bits && m->size ? bit / (8 * m->size) * m->size : bit / 8;
}

static void put_place(struct layout *l, size_t from, uint64_t bit, const struct member *m, unsigned depth)
{
	unsigned long long unit = find_unit(m, bit);

	pad_line(l, from, depth);
	if (m->bits)
		text_printf(l->out, "/* %5llu:%2u %5llu */\n", unit, (unsigned)(bit - 8 * unit),
			    (unsigned long long)m->size);
	else
		text_printf(l->out, "/* %5llu    %5llu */\n", (unsigned long long)(bit / 8),
			    (unsigned long long)m->size);
}

/* Where an unnamed struct or union is the type, or the element of an array that is. */
static uint32_t find_body(const struct ab_btf *btf, uint32_t id, struct text *dimensions)
{
	const struct btf_type *t = ab_btf_type(btf, id = ab_btf_unqualify(btf, id));

	for (; ab_btf_kind(t) == BTF_KIND_ARRAY; t = ab_btf_type(btf, id)) {
		text_printf(dimensions, "[%u]", ((const struct btf_array *)ab_btf_data(t))->nelems);
		id = ab_btf_unqualify(btf, ((const struct btf_array *)ab_btf_data(t))->type);
	}
	return ab_btf_is_struct(t) && !t->name_off ? id : 0;
}

static void put_member(struct layout *l, const struct member *m, uint64_t bit, unsigned depth)
{
	_text_ struct text dimensions = {};
	uint32_t body = find_body(l->btf, m->type, &dimensions);
	size_t from = l->out->n;

	put_indent(l, depth);
	if (body && depth < FIELD_DEPTH) {
		text_printf(l->out, "%s {\n", ab_types_kind_word(ab_btf_kind(ab_btf_type(l->btf, body))));
		put_members(l, body, bit, depth + 1);
		from = l->out->n;
		put_indent(l, depth);
		text_printf(l->out, "}%s%s%s;", *m->name ? " " : "", m->name, dimensions.p ? dimensions.p : "");
	} else {
		ab_btf_declaration(l->btf, m->type, m->name, l->out);
		if (m->bits)
			text_printf(l->out, ":%u", m->bits);
		text_putc(l->out, ';');
	}
	put_place(l, from, bit, m, depth);
}

/* Bits that nothing uses between two members: what is left of a bit-field's unit, and whole bytes. */
struct gap {
	uint64_t bits, bytes;
};

static struct gap find_gap(const struct member *m, uint64_t end, uint64_t next)
{
	uint64_t unit = m && m->bits && m->size ? 8 * m->size : 8;
	uint64_t unit_end = (end + unit - 1) / unit * unit, free = MIN(unit_end, next) - MIN(end, next);
	struct gap gap = { .bits = m && m->bits ? free : 0 };

	if (next > end)
		gap.bytes = (next - end - gap.bits) / 8;
	return gap;
}

static void put_gap(struct layout *l, struct gap gap, unsigned depth)
{
	if (!gap.bits && !gap.bytes)
		return;
	if (gap.bits) {
		text_putc(l->out, '\n');
		put_indent(l, depth);
		text_printf(l->out, "/* XXX %llu bit%s hole, try to pack */\n", (unsigned long long)gap.bits,
			    gap.bits == 1 ? "" : "s");
	}
	if (gap.bytes) {
		text_putc(l->out, '\n');
		put_indent(l, depth);
		text_printf(l->out, "/* XXX %llu byte%s hole, try to pack */\n", (unsigned long long)gap.bytes,
			    gap.bytes == 1 ? "" : "s");
	}
	text_putc(l->out, '\n');
}

static void count_member(struct layout *l, const struct member *m, struct gap gap)
{
	l->members++;
	l->member_bytes += m->bits ? 0 : m->size;
	l->field_bits += m->bits;
	l->holes += gap.bytes != 0;
	l->hole_bytes += gap.bytes;
	l->bit_holes += gap.bits != 0;
	l->hole_bits += gap.bits;
}

static void put_members(struct layout *l, uint32_t id, uint64_t base, unsigned depth)
{
	const struct btf_type *t = ab_btf_type(l->btf, id);
	bool is_union = ab_btf_kind(t) == BTF_KIND_UNION;
	uint64_t end = 0;

	for (uint32_t i = 0; i < ab_btf_vlen(t) && !l->out->failed && l->left; i++) {
		struct member m = ab_btf_member(l->btf, t, i);
		struct gap gap = {};

		l->left--;
		if (!is_union)
			announce_line(l, base + m.offset, depth);
		put_member(l, &m, base + m.offset, depth);
		end = MAX(end, m.offset + (m.bits ? m.bits : 8 * m.size));
		if (!is_union && i + 1 < ab_btf_vlen(t)) {
			gap = find_gap(&m, end, ab_btf_member(l->btf, t, i + 1).offset);
			put_gap(l, gap, depth);
		}
		if (depth == 1)
			count_member(l, &m, gap);
	}
}

/* What stays free behind the last member. */
static struct gap find_padding(const struct ab_btf *btf, const struct btf_type *t)
{
	struct member last = {};
	uint64_t end = 0;

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		last = ab_btf_member(btf, t, i);
		end = MAX(end, last.offset + (last.bits ? last.bits : 8 * last.size));
	}
	return find_gap(ab_btf_vlen(t) ? &last : NULL, end, 8 * (uint64_t)t->size);
}

static void put_summary(struct layout *l, const struct btf_type *t)
{
	struct gap padding = ab_btf_kind(t) == BTF_KIND_STRUCT ? find_padding(l->btf, t) : (struct gap){};
	unsigned lines = (t->size + CACHE_LINE - 1) / CACHE_LINE, last = t->size % CACHE_LINE;

	text_printf(l->out, "\n\t/* size: %u, cachelines: %u, members: %u */\n", t->size, lines, l->members);
	if (l->holes || l->bit_holes)
		text_printf(l->out, "\t/* sum members: %llu", (unsigned long long)l->member_bytes);
	if (l->holes)
		text_printf(l->out, ", holes: %u, sum holes: %llu", l->holes, (unsigned long long)l->hole_bytes);
	if (l->holes || l->bit_holes)
		text_puts(l->out, " */\n");
	if (l->field_bits && l->bit_holes)
		text_printf(l->out,
			    "\t/* sum bitfield members: %llu bits, bit holes: %u, sum bit holes: %llu bits */\n",
			    (unsigned long long)l->field_bits, l->bit_holes, (unsigned long long)l->hole_bits);
	else if (l->field_bits && l->holes)
		text_printf(l->out, "\t/* sum bitfield members: %llu bits (%llu bytes) */\n",
			    (unsigned long long)l->field_bits, (unsigned long long)(l->field_bits + 7) / 8);
	if (padding.bytes)
		text_printf(l->out, "\t/* padding: %llu */\n", (unsigned long long)padding.bytes);
	if (padding.bits)
		text_printf(l->out, "\t/* bit_padding: %llu bits */\n", (unsigned long long)padding.bits);
	if (last)
		text_printf(l->out, "\t/* last cacheline: %u bytes */\n", last);
}

static void print_struct(const struct ab_btf *btf, uint32_t id, const char *before, const char *after, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	struct layout l = { .btf = btf, .out = out, .left = FIELDS_MAX };

	text_printf(out, "%s%s%s%s {\n", before, ab_types_kind_word(ab_btf_kind(t)), t->name_off ? " " : "",
		    ab_btf_name(btf, t));
	put_members(&l, id, 0, 1);
	put_summary(&l, t);
	text_printf(out, "}%s;\n", after);
}

/* An enumerator's value without the sign that 32-bit ones were extended by. */
static uint64_t unsigned_value(const struct btf_type *t, uint64_t value)
{
	return t->size < 8 ? value & ((1ull << 8 * t->size) - 1) : value;
}

static void print_enum(const struct ab_btf *btf, uint32_t id, const char *before, const char *after, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	_text_ struct text name = {};

	ab_types_put_name(BTF_KIND_ENUM, ab_btf_name(btf, t), &name);
	text_printf(out, "%s%s {\n", before, name.p ? name.p : "enum");
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint64_t value = ab_btf_enumerator_value(t, i);

		text_printf(out, "\t%s = ", ab_btf_str(btf, ab_btf_enumerator_name(t, i)));
		if (ab_btf_kflag(t))
			text_printf(out, "%lld,\n", (long long)value);
		else
			text_printf(out, "%llu,\n", (unsigned long long)unsigned_value(t, value));
	}
	text_printf(out, "\n\t/* size: %u, values: %u */\n}%s;\n", t->size, ab_btf_vlen(t), after);
}

static void print_typedef(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id), *inner;
	uint32_t to = ab_btf_unqualify(btf, t->type);
	_text_ struct text after = {};

	inner = ab_btf_type(btf, to);
	text_printf(&after, " %s", ab_btf_name(btf, t));
	if (ab_btf_is_struct(inner) && !inner->name_off)
		return print_struct(btf, to, "typedef ", after.p, out);
	if (ab_btf_is_enum(inner) && !inner->name_off)
		return print_enum(btf, to, "typedef ", after.p, out);
	text_puts(out, "typedef ");
	ab_btf_declaration(btf, t->type, ab_btf_name(btf, t), out);
	text_printf(out, ";\n\n/* size: %zu */\n", ab_btf_size(btf, id));
}

void ab_types_print(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		print_struct(btf, id, "", "", out);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		print_enum(btf, id, "", "", out);
		break;
	case BTF_KIND_TYPEDEF:
		print_typedef(btf, id, out);
		break;
	case BTF_KIND_FUNC:
		ab_types_prototype(btf, id, out);
		text_puts(out, ";\n");
		break;
	case BTF_KIND_VAR:
		ab_btf_declaration(btf, t->type, ab_btf_name(btf, t), out);
		text_puts(out, ";\n");
		break;
	case BTF_KIND_FWD:
		text_printf(out, "%s %s; /* declared only */\n", ab_btf_kflag(t) ? "union" : "struct",
			    ab_btf_name(btf, t));
		break;
	default:
		ab_btf_type_name(btf, id, out);
		text_printf(out, "; /* size: %zu */\n", ab_btf_size(btf, id));
	}
}

/* ---- JSON ---- */

static void json_type(struct json *j, const char *key, const struct ab_btf *btf, uint32_t id)
{
	_text_ struct text name = {};

	ab_btf_type_name(btf, id, &name);
	json_member_str(j, key, name.p ? name.p : "");
}

static void json_members(struct json *j, const struct ab_btf *btf, uint32_t id, uint64_t base, unsigned depth,
			 unsigned *left)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	json_key(j, "members");
	json_open(j, '[');
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !j->out->failed && *left; i++) {
		struct member m = ab_btf_member(btf, t, i);
		_text_ struct text dimensions = {};
		uint32_t body = depth < FIELD_DEPTH ? find_body(btf, m.type, &dimensions) : 0;
		uint64_t unit = find_unit(&m, base + m.offset);

		--*left;
		json_open(j, '{');
		json_member_str(j, "name", m.name);
		json_type(j, "type", btf, m.type);
		json_member_uint(j, "offset", unit);
		json_member_uint(j, "size", m.size);
		if (m.bits) {
			json_member_uint(j, "bit", base + m.offset - 8 * unit);
			json_member_uint(j, "bits", m.bits);
		}
		if (body)
			json_members(j, btf, body, base + m.offset, depth + 1, left);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void json_holes(struct json *j, const struct ab_btf *btf, const struct btf_type *t)
{
	uint64_t end = 0;

	json_key(j, "holes");
	json_open(j, '[');
	for (uint32_t i = 0; i + 1 < ab_btf_vlen(t) && ab_btf_kind(t) == BTF_KIND_STRUCT; i++) {
		struct member m = ab_btf_member(btf, t, i);
		uint64_t next = ab_btf_member(btf, t, i + 1).offset;
		struct gap gap;

		end = MAX(end, m.offset + (m.bits ? m.bits : 8 * m.size));
		gap = find_gap(&m, end, next);
		if (!gap.bytes)
			continue;
		json_open(j, '{');
		json_member_uint(j, "offset", next / 8 - gap.bytes);
		json_member_uint(j, "size", gap.bytes);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_member_uint(j, "padding", ab_btf_kind(t) == BTF_KIND_STRUCT ? find_padding(btf, t).bytes : 0);
}

static void json_values(struct json *j, const struct ab_btf *btf, const struct btf_type *t)
{
	json_key(j, "values");
	json_open(j, '[');
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint64_t value = ab_btf_enumerator_value(t, i);

		json_open(j, '{');
		json_member_str(j, "name", ab_btf_str(btf, ab_btf_enumerator_name(t, i)));
		json_key(j, "value");
		if (ab_btf_kflag(t))
			json_int(j, value);
		else
			json_uint(j, unsigned_value(t, value));
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void json_func(struct json *j, const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *proto = ab_btf_type(btf, ab_btf_type(btf, id)->type);
	const struct btf_param *p = ab_btf_data(proto);
	_text_ struct text text = {};

	ab_types_prototype(btf, id, &text);
	json_member_str(j, "prototype", text.p ? text.p : "");
	json_type(j, "returns", btf, proto->type);
	json_key(j, "params");
	json_open(j, '[');
	for (uint32_t i = 0; i < ab_btf_vlen(proto); i++) {
		json_open(j, '{');
		json_member_str(j, "name", ab_btf_str(btf, p[i].name_off));
		if (i && i + 1 == ab_btf_vlen(proto) && !p[i].type) {
			json_member_str(j, "type", "...");
		} else {
			json_type(j, "type", btf, p[i].type);
		}
		json_close(j, '}');
	}
	json_close(j, ']');
}

void ab_types_print_json(const struct ab_btf *btf, uint32_t id, struct json *j)
{
	const struct btf_type *t = ab_btf_type(btf, id), *inner;
	_text_ struct text name = {};
	unsigned left = FIELDS_MAX;
	bool refers;

	ab_types_put_name(ab_btf_kind(t), ab_btf_name(btf, t), &name);
	json_member_str(j, "name", name.p ? name.p : "");
	json_member_str(j, "kind", ab_types_kind_word(ab_btf_kind(t)));
	if (ab_btf_kind(t) == BTF_KIND_FUNC)
		return json_func(j, btf, id);
	json_member_uint(j, "size", ab_btf_size(btf, id));
	refers = ab_btf_kind(t) == BTF_KIND_TYPEDEF || ab_btf_kind(t) == BTF_KIND_VAR;
	inner = ab_btf_type(btf, ab_btf_unqualify(btf, refers ? t->type : id));
	if (inner != t)
		json_type(j, "type", btf, t->type);
	if (inner != t && inner->name_off)
		return;
	if (ab_btf_is_struct(inner)) {
		json_members(j, btf, inner == t ? id : ab_btf_unqualify(btf, t->type), 0, 0, &left);
		json_holes(j, btf, inner);
	} else if (ab_btf_is_enum(inner)) {
		json_values(j, btf, inner);
	}
}

int ab_types_finish(struct text *out, char **ret_text, size_t *ret_size, struct ab_error *err)
{
	size_t size = out->n;
	char *text = out->failed ? NULL : text_take(out);

	if (!text)
		return ab_fail_memory(err);
	*ret_size = size;
	*ret_text = text;
	return 0;
}
