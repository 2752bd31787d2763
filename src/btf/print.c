/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types as C. A declaration is written around its name: put_left() writes what stands before it, put_right() what stands
 * behind it. A header is written in the order that C asks for: what is contained is defined before, what is pointed to
 * is declared before. The layout that clang gives each struct for BPF is the one in BTF: where the natural one differs, the
 * struct is packed, or padded with unnamed bit-fields, which leave no trace in the BTF of a program.
 */
#include <ctype.h>
#include "internal.h"

/* Nesting of definitions within definitions and declarators; real kernels stay below 100. */
#define MAX_DEPTH 500

enum {
	DECLARED = 1,
	DEFINED = 2,
	VISITING = 4,
	VISITED = 8, /* a type without name: what it refers to is declared */
};

enum { CONST = 1, VOLATILE = 2, RESTRICT = 4 };

struct printer {
	const struct ab_btf *btf;
	const struct name_index *index; /* NULL: one type by itself, not as part of a header */
	struct text *out;
	struct ab_error *err;
	uint8_t *state;
	size_t limit;
	unsigned depth, indent, reprints;
	int failed;
};

/* ---- words ---- */

static void put(struct printer *p, const char *s)
{
	text_puts(p->out, s);
	if (p->out->n > p->limit && !p->failed)
		p->failed = ab_fail(p->err, AB_ERROR_LIMIT, -EFBIG, "the types' C header is larger than %zu MiB",
				    p->limit >> 20);
}

static void put_number(struct printer *p, unsigned long long n)
{
	char digits[24], *s = &digits[sizeof(digits) - 1];

	*s = '\0';
	do
		*--s = '0' + n % 10;
	while (n /= 10);
	put(p, s);
}

static void put_indent(struct printer *p)
{
	for (unsigned i = 0; i < p->indent; i++)
		put(p, "\t");
}

/* A space unless what follows belongs to a '*' or '(' that is there. */
static void put_space(struct printer *p)
{
	char last = p->out->n ? p->out->p[p->out->n - 1] : ' ';

	if (last != '*' && last != '(' && last != ' ' && last != '\t')
		put(p, " ");
}

static bool is_keyword(const char *name, size_t n)
{
	static const char *const words[] = {
		"asm", "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
		"extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short",
		"signed", "sizeof", "static", "struct", "switch", "typedef", "typeof", "union", "unsigned", "void",
		"volatile", "while",
	};

	if (n < 2 || n > 8)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i][0] == name[0] && !strcmp(words[i], name))
			return true;
	return false;
}

/* Names come from outside, and maybe from another language: nothing but an identifier may reach the compiler. */
static void put_identifier(struct printer *p, const char *name)
{
	size_t from = p->out->n;

	if (isdigit((unsigned char)*name))
		put(p, "_");
	put(p, name);
	for (size_t i = from; i < p->out->n; i++)
		if (!isalnum((unsigned char)p->out->p[i]))
			p->out->p[i] = '_';
	if (is_keyword(name, p->out->n - from))
		put(p, "_");
}

/* `enumerator`: -1 for the type's own name. */
static void put_name(struct printer *p, uint32_t id, int32_t enumerator)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);
	uint32_t ordinal;

	put_identifier(p, ab_btf_str(p->btf, enumerator < 0 ? t->name_off : ab_btf_enumerator_name(t, enumerator)));
	if (!p->index)
		return;
	ordinal = ab_btf_ordinal(p->index, id, enumerator);
	if (ordinal > 1) {
		put(p, "___");
		put_number(p, ordinal);
	}
}

static bool descend(struct printer *p)
{
	if (p->depth >= MAX_DEPTH && !p->failed)
		p->failed = ab_fail(p->err, AB_ERROR_LIMIT, -E2BIG, "types nest more than %d deep", MAX_DEPTH);
	if (p->failed)
		return false;
	p->depth++;
	return true;
}

/* ---- types and declarations ---- */

static void put_left(struct printer *p, uint32_t id, unsigned quals);
static void put_right(struct printer *p, uint32_t id);

static void put_declaration(struct printer *p, uint32_t id, const char *name)
{
	put_left(p, id, 0);
	if (*name) {
		put_space(p);
		put_identifier(p, name);
	}
	put_right(p, id);
}

static void put_qualifiers(struct printer *p, unsigned quals)
{
	static const char *const words[] = { "const", "volatile", "restrict" };

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		if (quals & 1u << i) {
			put_space(p);
			put(p, words[i]);
		}
}

/* A type of that many bytes for a number that C or BPF does not have: a kernel's `long double`, or a 32-bit one's `long`. */
static void put_number_of_size(struct printer *p, uint32_t size, bool is_signed)
{
	static const char *const names[] = {
		[1] = "char", [2] = "short", [4] = "int", [8] = "long long", [16] = "__int128",
	};

	if (size < ARRAY_SIZE(names) && names[size]) {
		put(p, is_signed ? size == 1 ? "signed " : "" : "unsigned ");
		put(p, names[size]);
		return;
	}
	if (!size) { /* an enum that is declared only and has no name: no compiler writes it */
		put(p, "struct {}");
		return;
	}
	put(p, size % 4 == 0 ? "struct { unsigned int words[" : size % 2 == 0 ? "struct { unsigned short words[" :
								      "struct { unsigned char words[");
	put_number(p, size / (size & -size));
	put(p, "]; }");
}

static void put_builtin(struct printer *p, const struct btf_type *t)
{
	const struct builtin *builtin = ab_btf_builtin(ab_btf_name(p->btf, t));
	bool is_signed = false;

	if (ab_btf_kind(t) == BTF_KIND_INT)
		is_signed = BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(t)) & BTF_INT_SIGNED;
	if (builtin && builtin->size == t->size)
		put(p, builtin->name);
	else
		put_number_of_size(p, t->size, is_signed);
}

static void put_padding(struct printer *p, uint64_t from, uint64_t to)
{
	while (from < to && !p->failed) {
		uint64_t next = MIN(to, (from / 64 + 1) * 64);

		put_indent(p);
		put(p, "long: ");
		put_number(p, next - from);
		put(p, ";\n");
		from = next;
	}
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Where clang would place the member after `at` bits. */
static uint64_t natural_offset(const struct ab_btf *btf, const struct member *m, uint64_t at, bool packed)
{
	if (!m->bits)
		return round_up(at, packed ? 8 : 8 * ab_btf_align(btf, m->type));
	return !packed && at % (8 * m->size) + m->bits > 8 * m->size ? round_up(at, 8 * m->size) : at;
}

/* A union is as large as its largest member, so padding is one of them. */
static void put_union_padding(struct printer *p, uint64_t bits)
{
	if (bits <= 64) {
		put_padding(p, 0, bits);
		return;
	}
	put_indent(p);
	put(p, "struct {\n");
	p->indent++;
	put_padding(p, 0, bits);
	p->indent--;
	put_indent(p);
	put(p, "};\n");
}

/* Of a kind that is not known: nothing can be said but where it is. */
static bool is_opaque(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));

	while (ab_btf_kind(t) == BTF_KIND_ARRAY)
		t = ab_btf_type(btf, ab_btf_resolve(btf, ((const struct btf_array *)ab_btf_data(t))->type));
	return ab_btf_kind(t) == BTF_KIND_UNKN;
}

static void put_member(struct printer *p, const struct member *m)
{
	if (is_opaque(p->btf, m->type))
		return;
	put_indent(p);
	put_declaration(p, m->type, m->name);
	if (m->bits) {
		put(p, ": ");
		put_number(p, m->bits);
	}
	put(p, ";\n");
}

static void put_members(struct printer *p, uint32_t id, const struct btf_type *t, bool packed)
{
	bool is_union = ab_btf_kind(t) == BTF_KIND_UNION;
	uint64_t at = 0, align = packed ? 8 : 8 * ab_btf_align(p->btf, id), size = 8 * (uint64_t)t->size;

	for (uint32_t i = 0; i < ab_btf_vlen(t) && !p->failed; i++) {
		struct member m = ab_btf_member(p->btf, t, i);
		uint64_t end = m.offset + (m.bits ? m.bits : 8 * m.size);

		if (!is_union && m.offset > natural_offset(p->btf, &m, at, packed))
			put_padding(p, at, m.offset);
		put_member(p, &m);
		at = MAX(at, end);
	}
	if (round_up(at, align) >= size)
		return;
	if (is_union)
		put_union_padding(p, size);
	else
		put_padding(p, at, size);
}

/* From the brace on. */
static void put_struct_body(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);
	bool packed = ab_btf_packed(p->btf, t);

	if (!p->index) {
		put(p, " {...}");
		return;
	}
	put(p, " {\n");
	p->indent++;
	put_members(p, id, t, packed);
	p->indent--;
	put_indent(p);
	put(p, packed ? "} __attribute__((packed))" : "}");
}

static void put_enumerator_value(struct printer *p, const struct btf_type *t, uint32_t i)
{
	const struct btf_enum *e = ab_btf_data(t);
	const struct btf_enum64 *e64 = ab_btf_data(t);
	bool wide = ab_btf_kind(t) == BTF_KIND_ENUM64;
	uint64_t value = wide ? (uint64_t)e64[i].val_hi32 << 32 | e64[i].val_lo32 : (uint32_t)e[i].val;

	if (ab_btf_kflag(t) && !wide)
		value = (uint64_t)(int64_t)e[i].val;
	if (ab_btf_kflag(t) && value == (uint64_t)INT64_MIN) {
		put(p, "-9223372036854775807LL - 1");
		return;
	}
	if (ab_btf_kflag(t) && (int64_t)value < 0) {
		put(p, "-");
		value = -value;
	}
	put_number(p, value);
	if (wide)
		put(p, ab_btf_kflag(t) ? "LL" : "ULL");
}

/*
 * An enum without a tag is written wherever it is used, and kernels' BTF has one copy for equal ones. Enumerators can be
 * there once only, so those of further copies get a suffix of their own.
 */
static void put_enum_body(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);
	bool again = p->index && p->state[id] & DEFINED;

	if (!p->index) {
		put(p, " {...}");
		return;
	}
	p->state[id] |= DEFINED;
	p->reprints += again;
	put(p, " {\n");
	p->indent++;
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !p->failed; i++) {
		put_indent(p);
		put_name(p, id, i);
		if (again) {
			put(p, "___again");
			put_number(p, p->reprints);
		}
		put(p, " = ");
		put_enumerator_value(p, t, i);
		put(p, ",\n");
	}
	p->indent--;
	put_indent(p);
	put(p, "}");
	if (t->size != 4)
		put(p, t->size == 1 ? " __attribute__((mode(QI)))" : t->size == 2 ? " __attribute__((mode(HI)))" :
								   " __attribute__((mode(DI)))");
}

static const char *keyword_of(const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT: return "struct";
	case BTF_KIND_UNION: return "union";
	case BTF_KIND_FWD: return ab_btf_kflag(t) ? "union" : "struct";
	default: return "enum";
	}
}

/* struct, union, enum or a forward declaration: the keyword, and the name or the body. */
static void put_tagged(struct printer *p, uint32_t id)
{
	uint32_t definition = p->index ? ab_btf_definition(p->btf, p->index, id) : id;
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (ab_btf_is_enum(t) && !t->name_off && !ab_btf_vlen(t)) {
		put_number_of_size(p, t->size, ab_btf_kflag(t));
		return;
	}
	put(p, keyword_of(t));
	if (t->name_off) {
		put(p, " ");
		put_name(p, definition == CLASHES || definition == NO_DEFINITION ? id : definition, -1);
		if (definition == CLASHES)
			put(p, "___fwd");
	} else if (ab_btf_is_struct(t)) {
		put_struct_body(p, id);
	} else if (ab_btf_is_enum(t)) {
		put_enum_body(p, id);
	}
}

/* The compiler has it as a builtin, with another layout; what it stands for is written instead. */
static bool is_va_list(const struct ab_btf *btf, const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_TYPEDEF && !strcmp(ab_btf_name(btf, t), "__builtin_va_list");
}

static bool needs_parentheses(const struct ab_btf *btf, uint32_t pointee)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_unqualify(btf, pointee));

	if (is_va_list(btf, t))
		t = ab_btf_type(btf, ab_btf_unqualify(btf, t->type));
	return ab_btf_kind(t) == BTF_KIND_ARRAY || ab_btf_kind(t) == BTF_KIND_FUNC_PROTO;
}

static void put_base(struct printer *p, uint32_t id, const struct btf_type *t, unsigned quals)
{
	put_qualifiers(p, quals & ~(unsigned)RESTRICT);
	if (quals & ~(unsigned)RESTRICT)
		put(p, " ");
	switch (ab_btf_kind(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		put_builtin(p, t);
		break;
	case BTF_KIND_TYPEDEF:
		put_name(p, id, -1);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		put_tagged(p, id);
		break;
	default:
		put(p, "void");
	}
}

/* `quals` were found on the way: they belong to the next pointer or to the base type, through arrays. */
static void put_left(struct printer *p, uint32_t id, unsigned quals)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (!descend(p))
		return;
	switch (ab_btf_kind(t)) {
	case BTF_KIND_CONST:
		put_left(p, t->type, quals | CONST);
		break;
	case BTF_KIND_VOLATILE:
		put_left(p, t->type, quals | VOLATILE);
		break;
	case BTF_KIND_RESTRICT:
		put_left(p, t->type, quals | RESTRICT);
		break;
	case BTF_KIND_TYPE_TAG:
		put_left(p, t->type, quals);
		break;
	case BTF_KIND_PTR:
		put_left(p, t->type, 0);
		put_space(p);
		put(p, needs_parentheses(p->btf, t->type) ? "(*" : "*");
		put_qualifiers(p, quals);
		break;
	case BTF_KIND_ARRAY:
		put_left(p, ((const struct btf_array *)ab_btf_data(t))->type, quals);
		break;
	case BTF_KIND_FUNC_PROTO:
		put_left(p, t->type, 0);
		break;
	default:
		if (is_va_list(p->btf, t))
			put_left(p, t->type, quals);
		else
			put_base(p, id, t, quals);
	}
	p->depth--;
}

static void put_parameters(struct printer *p, const struct btf_type *t)
{
	const struct btf_param *params = ab_btf_data(t);
	uint32_t n = ab_btf_vlen(t);

	put(p, "(");
	for (uint32_t i = 0; i < n && !p->failed; i++) {
		if (i)
			put(p, ", ");
		if (i && i == n - 1 && !params[i].type && !params[i].name_off)
			put(p, "...");
		else
			put_declaration(p, params[i].type, "");
	}
	put(p, n ? ")" : "void)");
}

static void put_right(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);
	const struct btf_array *array = ab_btf_data(t);

	if (!descend(p))
		return;
	switch (ab_btf_kind(t)) {
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		put_right(p, t->type);
		break;
	case BTF_KIND_PTR:
		if (needs_parentheses(p->btf, t->type))
			put(p, ")");
		put_right(p, t->type);
		break;
	case BTF_KIND_ARRAY:
		put(p, "[");
		put_number(p, array->nelems);
		put(p, "]");
		put_right(p, array->type);
		break;
	case BTF_KIND_FUNC_PROTO:
		put_parameters(p, t);
		put_right(p, t->type);
		break;
	default:
		if (is_va_list(p->btf, t))
			put_right(p, t->type);
	}
	p->depth--;
}

void ab_btf_type_name(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	struct printer p = { .btf = btf, .out = out, .limit = out->n + (64 << 10) };

	put_declaration(&p, id, "");
}

void ab_btf_declaration(const struct ab_btf *btf, uint32_t id, const char *name, struct text *out)
{
	struct printer p = { .btf = btf, .out = out, .limit = out->n + (64 << 10) };

	put_declaration(&p, id, name);
}

void ab_btf_declaration_around(const struct ab_btf *btf, uint32_t id, const char *inner, struct text *out)
{
	struct printer p = { .btf = btf, .out = out, .limit = out->n + (64 << 10) };

	put_left(&p, id, 0);
	put_space(&p);
	put(&p, inner);
	put_right(&p, id);
}

/* ---- a header in order ---- */

static void define(struct printer *p, uint32_t id);
static void declare_struct(struct printer *p, uint32_t id);
static void declare_typedef(struct printer *p, uint32_t id);
static void prepare(struct printer *p, uint32_t id, bool by_value, uint32_t self);

static void prepare_members(struct printer *p, const struct btf_type *t, uint32_t self)
{
	const struct btf_member *m = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t) && !p->failed; i++)
		prepare(p, m[i].type, true, self);
}

static void prepare_proto(struct printer *p, const struct btf_type *t)
{
	const struct btf_param *params = ab_btf_data(t);

	prepare(p, t->type, false, 0);
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !p->failed; i++)
		prepare(p, params[i].type, false, 0);
}

static void prepare_tagged(struct printer *p, uint32_t id, const struct btf_type *t, bool by_value, uint32_t self)
{
	if (ab_btf_is_forward(t) && t->name_off) {
		uint32_t definition = ab_btf_definition(p->btf, p->index, id);

		if (definition != NO_DEFINITION && definition != CLASHES) {
			id = definition;
			t = ab_btf_type(p->btf, id);
		}
	}
	if (ab_btf_is_enum(t)) {
		if (t->name_off)
			define(p, id);
	} else if (!t->name_off) {
		if (ab_btf_is_struct(t) && !(p->state[id] & VISITED)) {
			p->state[id] |= VISITED;
			prepare_members(p, t, 0);
		}
	} else if (by_value) {
		define(p, id);
	} else if (id != self) {
		declare_struct(p, id);
	}
}

/*
 * Writes what has to stand before something that uses `id`: its definition when it is contained (`by_value`), its
 * declaration otherwise. `self` is the struct whose member asks: within its braces it is declared.
 */
static void prepare(struct printer *p, uint32_t id, bool by_value, uint32_t self)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (!descend(p))
		return;
	switch (ab_btf_kind(t)) {
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		prepare(p, t->type, by_value, self);
		break;
	case BTF_KIND_PTR:
		prepare(p, t->type, false, self);
		break;
	case BTF_KIND_ARRAY:
		prepare(p, ((const struct btf_array *)ab_btf_data(t))->type, true, self);
		break;
	case BTF_KIND_FUNC_PROTO:
		if (p->state[id] & VISITED)
			break;
		p->state[id] |= VISITED;
		prepare_proto(p, t);
		break;
	case BTF_KIND_TYPEDEF:
		if (by_value)
			prepare(p, t->type, true, self);
		declare_typedef(p, id);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		prepare_tagged(p, id, t, by_value, self);
		break;
	}
	p->depth--;
}

static void define(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (p->state[id] & (DEFINED | VISITING) || p->failed)
		return;
	p->state[id] |= VISITING;
	if (ab_btf_is_struct(t))
		prepare_members(p, t, id);
	put_tagged(p, id);
	if (ab_btf_is_struct(t))
		put_struct_body(p, id);
	else if (ab_btf_is_enum(t) && ab_btf_vlen(t))
		put_enum_body(p, id);
	put(p, ";\n\n");
	p->state[id] |= DEFINED;
}

static void declare_struct(struct printer *p, uint32_t id)
{
	if (p->state[id] & (DECLARED | DEFINED) || p->failed)
		return;
	p->state[id] |= DECLARED;
	put_tagged(p, id);
	put(p, ";\n\n");
}

static void declare_typedef(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (p->state[id] & (DECLARED | VISITING) || p->failed)
		return;
	p->state[id] |= VISITING;
	prepare(p, t->type, false, 0);
	p->state[id] |= DECLARED;
	if (is_va_list(p->btf, t) || p->failed)
		return;
	put(p, "typedef ");
	put_left(p, t->type, 0);
	put_space(p);
	put_name(p, id, -1);
	put_right(p, t->type);
	put(p, ";\n\n");
}

static bool is_needed(const uint8_t *need, uint32_t id, enum need at_least)
{
	return !need || need[id] >= at_least;
}

static void print_type(struct printer *p, const uint8_t *need, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		if (t->name_off && is_needed(need, id, NEED_VALUE))
			define(p, id);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		if (t->name_off)
			prepare(p, id, false, 0);
		break;
	case BTF_KIND_TYPEDEF:
		declare_typedef(p, id);
		break;
	}
}

/* Enums without a tag that no type has: their enumerators are constants. */
static void print_constants(struct printer *p, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(p->btf, id);

	if (!ab_btf_is_enum(t) || t->name_off || !ab_btf_vlen(t) || p->state[id] & DEFINED)
		return;
	put(p, "enum");
	put_enum_body(p, id);
	put(p, ";\n\n");
}

/* The next type after `id` to print, or btf->n. Most programs need few of a kernel's types, so the others are passed by eights. */
static uint32_t next_needed(const struct ab_btf *btf, const uint8_t *need, uint32_t id)
{
	static const uint8_t none[8];

	while (++id < btf->n && !is_needed(need, id, NEED_NAME))
		while (btf->n - id > sizeof(none) && !memcmp(need + id + 1, none, sizeof(none)))
			id += sizeof(none);
	return id;
}

int ab_btf_print(const struct ab_btf *btf, const uint8_t *need, struct text *out, struct ab_error *err)
{
	_free_ uint8_t *state = array_new(btf->n, 1);
	/* Real headers are at most twice as large as the BTF; anonymous types and padding could grow without end. */
	struct printer p = { .btf = btf, .index = ab_btf_index(btf), .out = out, .err = err, .state = state,
			     .limit = out->n + ((size_t)4 << 20) + 8 * (btf->size + (btf->base ? btf->base->size : 0)) };

	if (!state || !p.index)
		return ab_fail_memory(err);
	put(&p, "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n"
		"#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
		"#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
		"#endif\n\n");
	for (uint32_t id = 0; !p.failed && (id = next_needed(btf, need, id)) < btf->n;)
		print_type(&p, need, id);
	for (uint32_t id = 0; !p.failed && (id = next_needed(btf, need, id)) < btf->n;)
		print_constants(&p, id);
	put(&p, "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n"
		"#endif /* __VMLINUX_H__ */\n");
	if (!p.failed && out->failed)
		p.failed = ab_fail_memory(err);
	return p.failed;
}
