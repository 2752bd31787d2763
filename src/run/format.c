/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Makes formats: walks a type once and writes the plan that rendering follows.
 *
 * Types come from outside, so a walk is bounded three ways: operations, nesting, and members looked at (a struct
 * of empty structs makes no operations). Offsets are kept below 2^31. What a plan reads is checked when it runs,
 * against the size of the data: BTF may place members where it likes.
 */
#include "format_plan.h"

#define OPS_MAX 16384
#define DEPTH_MAX 32
#define VISITS_MAX (1u << 18)
#define OFFSET_MAX (INT32_MAX / 2)

enum word_kind {
	WORD_NUMBER,  /* an integer of at most 8 bytes, or each element of an array */
	WORD_ADDRESS, /* anything of exactly `size` bytes */
	WORD_BYTES,   /* array of bytes */
	WORD_HIST,    /* array of counters */
};

struct word {
	const char *name;
	uint8_t code, kind;
	uint8_t size; /* WORD_ADDRESS; of WORD_HIST the scale */
};

static const struct word words_of_as[] = {
	{ "ipv4", OP_IPV4, WORD_ADDRESS, 4 },
	{ "ipv6", OP_IPV6, WORD_ADDRESS, 16 },
	{ "ip", OP_IP, WORD_ADDRESS, 16 },
	{ "mac", OP_MAC, WORD_ADDRESS, 6 },
	{ "port", OP_PORT, WORD_ADDRESS, 2 },
	{ "errno", OP_ERRNO, WORD_NUMBER, 0 },
	{ "result", OP_RESULT, WORD_NUMBER, 0 },
	{ "signal", OP_SIGNAL, WORD_NUMBER, 0 },
	{ "syscall", OP_SYSCALL, WORD_NUMBER, 0 },
	{ "ktime", OP_KTIME, WORD_NUMBER, 0 },
	{ "boottime", OP_BOOTTIME, WORD_NUMBER, 0 },
	{ "time", OP_TIME, WORD_NUMBER, 0 },
	{ "duration", OP_DURATION, WORD_NUMBER, 0 },
	{ "size", OP_SIZE, WORD_NUMBER, 0 },
	{ "hex", OP_HEX, WORD_NUMBER, 0 },
	{ "mode", OP_MODE, WORD_NUMBER, 0 },
	{ "dev", OP_DEV, WORD_NUMBER, 0 },
	{ "enum", OP_ENUM, WORD_NUMBER, 0 },
	{ "flags", OP_FLAGS, WORD_NUMBER, 0 },
	{ "ksym", OP_KSYM, WORD_NUMBER, 0 },
	{ "usym", OP_USYM, WORD_NUMBER, 0 },
	{ "kstack", OP_KSTACK, WORD_NUMBER, 0 },
	{ "ustack", OP_USTACK, WORD_NUMBER, 0 },
	{ "text", OP_TEXT, WORD_BYTES, 0 },
	{ "bytes", OP_BYTES, WORD_BYTES, 0 },
	{ "log2", OP_HIST, WORD_HIST, SCALE_LOG2 },
	{ "log10", OP_HIST, WORD_HIST, SCALE_LOG10 },
	{ "linear", OP_HIST, WORD_HIST, SCALE_LINEAR },
};

struct maker {
	struct ab_format *f;
	const struct ab_btf *btf;
	struct text strings;
	const char *unit; /* of what is around the type: of its histograms that have none of their own */
	uint32_t op_cap, visits;
	int code; /* of the failure of add_op() */
	struct ab_error *err;
};

/* The struct that a member stands in, for tags that name a sibling. */
struct scope {
	const struct scope *up;
	uint32_t struct_id;
	uint64_t offset;
};

/* A value to be compiled: a member, an element, or the whole. */
struct place {
	uint32_t type_id;
	uint64_t offset;
	uint64_t bit;       /* of a bit-field: its first bit, counted from offset 0 */
	uint32_t bits;      /* of a bit-field: its width */
	const char *words, *unit;
	const char *name;   /* of a member, or NULL */
	bool last;          /* nothing lies behind it, so an array of no elements is flexible */
	int depth;
	const struct scope *scope;
};

static int make_value(struct maker *m, struct place at);

static int fail_limit(struct maker *m, const char *what)
{
	return ab_fail(m->err, AB_ERROR_LIMIT, -E2BIG, "unable to show type '%.100s': %s", m->f->type, what);
}

static int visit(struct maker *m)
{
	return ++m->visits > VISITS_MAX ? fail_limit(m, "it has more than 262144 members") : 0;
}

static int fail_tag(struct maker *m, const struct place *at, const char *why)
{
	return ab_fail(m->err, AB_ERROR_FORMAT, -EINVAL, "tag 'anybpf:as=%.64s' of '%.64s' in type '%.100s' %s", at->words,
		       at->name ? at->name : "the value", m->f->type, why);
}

/* Adds a string with its NUL; names are identifiers, and what is not in hostile BTF becomes harmless here, once. */
static uint32_t add_bare(struct maker *m, const char *s)
{
	uint32_t start = m->strings.n;

	for (; *s; s++)
		text_putc(&m->strings, (unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
	text_add(&m->strings, "", 1);
	if (m->strings.n > OFFSET_MAX)
		m->strings.failed = true;
	return start;
}

static struct op *add_op(struct maker *m, const struct place *at, int code)
{
	const char *unit = at->unit ? at->unit : code == OP_HIST ? m->unit : NULL;
	struct ab_format *f = m->f;
	struct op *op;

	if (f->op_count == OPS_MAX || at->offset > OFFSET_MAX) {
		m->code = fail_limit(m, f->op_count == OPS_MAX ? "it has more than 16384 members" : "it is larger than 1 GiB");
		return NULL;
	}
	if (f->op_count == m->op_cap) {
		uint32_t cap = m->op_cap ? 2 * m->op_cap : 16;

		op = realloc(f->ops, cap * sizeof(*op));
		if (!op) {
			m->code = ab_fail_memory(m->err);
			return NULL;
		}
		f->ops = op;
		m->op_cap = cap;
	}
	op = &f->ops[f->op_count++];
	*op = (struct op){ .code = code, .offset = at->offset, .end = at->offset, .next = f->op_count };
	if (at->name) {
		op->key = m->strings.n;
		text_putc(&m->strings, ',');
		json_quote(&m->strings, at->name, strlen(at->name));
		text_putc(&m->strings, ':');
		op->key_size = m->strings.n - op->key;
		add_bare(m, at->name); /* op_name() finds it there */
	}
	if (unit)
		op->unit = add_bare(m, unit);
	return op;
}

/* ---- enums ---- */

static int compare_enum_names(const void *a, const void *b)
{
	const struct enum_name *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->name < y->name ? -1 : 1; /* declared first comes first */
}

static void add_enumerator(struct maker *m, struct enum_names *names, uint64_t value, const char *name)
{
	struct enum_name *item = &names->items[names->count++];

	item->value = value;
	item->name = m->strings.n;
	json_quote(&m->strings, name, strlen(name));
	item->size = m->strings.n - item->name;
	if (m->strings.n > OFFSET_MAX)
		m->strings.failed = true;
}

static void sort_names(struct enum_names *names)
{
	uint32_t n = 0;

	qsort(names->items, names->count, sizeof(names->items[0]), compare_enum_names);
	for (uint32_t i = 0; i < names->count; i++)
		if (!n || names->items[i].value != names->items[n - 1].value)
			names->items[n++] = names->items[i];
	names->count = n;
}

/* Enumerators of 32 bits are kept zero-extended whatever their sign, which older compilers do not tell. */
static int make_names(struct maker *m, uint32_t enum_id, const struct enum_names **ret_names)
{
	const struct btf_type *t = ab_btf_type(m->btf, enum_id);
	uint32_t n = ab_btf_vlen(t);
	struct enum_names *names;

	for (names = m->f->enums; names; names = names->next)
		if (names->type_id == enum_id) {
			*ret_names = names;
			return 0;
		}
	names = calloc(1, sizeof(*names) + n * sizeof(names->items[0]));
	if (!names)
		return ab_fail_memory(m->err);
	names->next = m->f->enums;
	m->f->enums = names;
	names->type_id = enum_id;
	names->wide = ab_btf_kind(t) == BTF_KIND_ENUM64;
	for (uint32_t i = 0; i < n; i++) {
		const struct btf_enum *e = (const struct btf_enum *)ab_btf_data(t) + i;
		const struct btf_enum64 *e64 = (const struct btf_enum64 *)ab_btf_data(t) + i;

		if (visit(m) < 0)
			return -E2BIG;
		if (names->wide)
			add_enumerator(m, names, (uint64_t)e64->val_hi32 << 32 | e64->val_lo32,
				       ab_btf_str(m->btf, e64->name_off));
		else
			add_enumerator(m, names, (uint32_t)e->val, ab_btf_str(m->btf, e->name_off));
	}
	sort_names(names);
	*ret_names = names;
	return 0;
}

static int find_enum(struct maker *m, const struct place *at, const char *name, const struct enum_names **ret_names)
{
	uint32_t id = ab_btf_find(m->btf, name, BTF_KIND_ENUM);

	if (!id)
		id = ab_btf_find(m->btf, name, BTF_KIND_ENUM64);
	if (id)
		return make_names(m, id, ret_names);
	return ab_fail(m->err, AB_ERROR_NOT_FOUND, -ENOENT,
		       "tag 'anybpf:as=%.64s' of '%.64s' in type '%.100s': the object has no 'enum %.64s'; "
		       "declare a variable of it", at->words, at->name ? at->name : "the value", m->f->type, name);
}

/* ---- scalars ---- */

static int make_integer(struct maker *m, const struct place *at, int code, size_t size, bool is_signed,
			struct op **ret_op)
{
	static const uint8_t loads[9][2] = {
		[1] = { LOAD_U8, LOAD_S8 },
		[2] = { LOAD_U16, LOAD_S16 },
		[4] = { LOAD_U32, LOAD_S32 },
		[8] = { LOAD_U64, LOAD_U64 },
	};
	struct place here = *at;
	struct op *op;

	if (at->bits > 64)
		return fail_limit(m, "it has a bit-field of more than 64 bits");
	if (at->bits)
		here.offset = at->bit / 8;
	op = add_op(m, &here, code);
	if (!op)
		return m->code;
	op->load = at->bits ? is_signed ? LOAD_SBITS : LOAD_BITS : loads[size][is_signed];
	op->bits = at->bits;
	op->shift = at->bit % 8;
	op->size = at->bits ? (op->shift + at->bits + 7) / 8 : size;
	op->end = op->offset + op->size;
	op->is_signed = is_signed;
	if (ret_op)
		*ret_op = op;
	return 0;
}

static int make_bytes(struct maker *m, const struct place *at, int code, size_t size, bool flexible)
{
	struct op *op = add_op(m, at, code);

	if (!op)
		return m->code;
	op->count = MIN(size, OFFSET_MAX);
	op->flexible = flexible;
	op->end = op->offset + (flexible || !size ? 0 : 1);
	return 0;
}

static bool is_integer_size(size_t size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static int make_int(struct maker *m, struct place *at, const struct btf_type *t)
{
	uint32_t info = *(const uint32_t *)ab_btf_data(t);
	bool is_signed = BTF_INT_ENCODING(info) & BTF_INT_SIGNED;
	struct op *op;

	/* The way of compilers before BTF's kind_flag: an integer type for each width and place of a bit-field. */
	if (!at->bits && BTF_INT_BITS(info) && (BTF_INT_BITS(info) < 8 * t->size || BTF_INT_OFFSET(info))) {
		at->bits = BTF_INT_BITS(info);
		at->bit = 8 * at->offset + BTF_INT_OFFSET(info);
	}
	if (!at->bits && t->size == 16) {
		op = add_op(m, at, is_signed ? OP_INT128 : OP_UINT128);
		if (!op)
			return m->code;
		op->size = 16;
		op->end = op->offset + 16;
		return 0;
	}
	if (!at->bits && !is_integer_size(t->size))
		return make_bytes(m, at, OP_BYTES, t->size, false);
	if (BTF_INT_ENCODING(info) & BTF_INT_BOOL)
		return make_integer(m, at, OP_BOOL, t->size, false, NULL);
	return make_integer(m, at, is_signed ? OP_INT : OP_UINT, t->size, is_signed, NULL);
}

static int make_enum(struct maker *m, const struct place *at, uint32_t id, const struct btf_type *t)
{
	const struct enum_names *names;
	struct op *op;
	int r;

	if (!t->size)
		return 0; /* declared only */
	r = make_names(m, id, &names);
	if (r >= 0)
		r = make_integer(m, at, OP_ENUM, t->size, ab_btf_kflag(t), &op);
	if (r >= 0)
		op->names = names;
	return r;
}

static int make_float(struct maker *m, const struct place *at, size_t size)
{
	struct op *op;

	if (size != 4 && size != 8)
		return make_bytes(m, at, OP_BYTES, size, false);
	op = add_op(m, at, OP_FLOAT);
	if (!op)
		return m->code;
	op->size = size;
	op->end = op->offset + size;
	return 0;
}

/* ---- tags ---- */

static const struct word *find_word(const char *words)
{
	size_t n = strcspn(words, ":");

	for (size_t i = 0; i < ARRAY_SIZE(words_of_as); i++)
		if (strlen(words_of_as[i].name) == n && !strncmp(words_of_as[i].name, words, n))
			return &words_of_as[i];
	return NULL;
}

/* Copies argument `index` of "word:a:b" and says whether there is one that is not empty. */
static bool word_argument(const char *words, int index, char ret[64])
{
	size_t n;

	for (; index >= 0; index--) {
		words = strchr(words, ':');
		if (!words)
			return false;
		words++;
	}
	n = MIN(strcspn(words, ":"), 63);
	memcpy(ret, words, n);
	ret[n] = '\0';
	return n > 0;
}

/* Finds an integer member by name, in anonymous members too. */
static int find_sibling(struct maker *m, uint32_t struct_id, const char *name, int depth, uint64_t *offset,
			size_t *size)
{
	const struct btf_type *t = ab_btf_type(m->btf, struct_id);
	const struct btf_member *members = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const char *member = ab_btf_str(m->btf, members[i].name_off);
		uint32_t id = ab_btf_resolve(m->btf, members[i].type), kind = ab_btf_kind(ab_btf_type(m->btf, id));
		uint32_t bit = ab_btf_member_offset(t, i);
		int r = visit(m);

		if (r < 0)
			return r;
		if (!*member && (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION) && depth < DEPTH_MAX) {
			r = find_sibling(m, id, name, depth + 1, offset, size);
			if (r)
				*offset += bit / 8;
		} else if (kind == BTF_KIND_INT && !strcmp(member, name) && !ab_btf_member_bits(t, i)) {
			*offset = bit / 8;
			*size = ab_btf_size(m->btf, id);
			r = is_integer_size(*size);
		}
		if (r)
			return r;
	}
	return 0;
}

static int find_pid(struct maker *m, const struct place *at, int argument, struct op *op)
{
	static const char *const defaults[] = { "tgid", "pid" };
	char named[64];
	bool given = word_argument(at->words, argument, named);
	uint64_t offset;
	size_t size;

	for (int i = 0; i < (given ? 1 : 2); i++)
		for (const struct scope *s = at->scope; s; s = s->up) {
			int r = find_sibling(m, s->struct_id, given ? named : defaults[i], 0, &offset, &size);

			if (r < 0)
				return r;
			if (r && s->offset + offset < OFFSET_MAX) {
				op->pid_offset = s->offset + offset;
				op->pid_size = MIN(size, 4);
				return 0;
			}
		}
	return given ? fail_tag(m, at, "names no integer member beside it") : 0;
}

/* What a word needs beside its operation. */
static int make_arguments(struct maker *m, const struct place *at, uint32_t op_index)
{
	struct op *op = &m->f->ops[op_index];
	const struct enum_names *names;
	char argument[64];
	int r;

	switch (op->code) {
	case OP_ENUM:
	case OP_FLAGS:
		if (!word_argument(at->words, 0, argument))
			return fail_tag(m, at, "needs the name of an enum behind a colon");
		r = find_enum(m, at, argument, &names);
		if (r >= 0)
			op->names = names;
		return r;
	case OP_KSTACK:
	case OP_USTACK:
		if (word_argument(at->words, 0, argument))
			op->map = add_bare(m, argument);
		return op->code == OP_USTACK ? find_pid(m, at, 1, op) : 0;
	case OP_USYM:
		return find_pid(m, at, 0, op);
	default:
		return 0;
	}
}

static int make_number_word(struct maker *m, const struct place *at, const struct word *w, const struct btf_type *t,
			    size_t size)
{
	uint32_t kind = ab_btf_kind(t), index = m->f->op_count;
	bool is_signed = false;
	int r;

	if (kind == BTF_KIND_INT)
		is_signed = BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(t)) & BTF_INT_SIGNED;
	else if (kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64)
		is_signed = ab_btf_kflag(t);
	else if (kind != BTF_KIND_PTR)
		return fail_tag(m, at, "needs an integer");
	if (!at->bits && !is_integer_size(size))
		return fail_tag(m, at, "needs an integer of at most 8 bytes");
	r = make_integer(m, at, w->code, size, is_signed, NULL);
	return r < 0 ? r : make_arguments(m, at, index);
}

static int make_hist_word(struct maker *m, const struct place *at, const struct word *w, const struct btf_type *t)
{
	const struct btf_array *array = ab_btf_data(t);
	uint32_t element = ab_btf_resolve(m->btf, array->type);
	char base[64], step[64];
	struct op *op;

	if (ab_btf_kind(ab_btf_type(m->btf, element)) != BTF_KIND_INT || !is_integer_size(ab_btf_size(m->btf, element)))
		return fail_tag(m, at, "needs an array of integers");
	op = add_op(m, at, w->code);
	if (!op)
		return m->code;
	op->stride = ab_btf_size(m->btf, element);
	op->count = MIN(array->nelems, OFFSET_MAX / 8);
	op->end = op->offset + op->stride;
	op->scale = w->size;
	op->base = word_argument(at->words, 0, base) ? strtoull(base, NULL, 0) : 0;
	op->step = word_argument(at->words, 1, step) ? strtoull(step, NULL, 0) : 1;
	if (!op->step)
		op->step = 1;
	return 0;
}

/* The tag on the typedefs, or the struct, that a type is written with. */
static const char *tag_of_chain(struct maker *m, uint32_t id, const char *prefix)
{
	for (; id; id = ab_btf_type(m->btf, id)->type) {
		uint32_t kind = ab_btf_kind(ab_btf_type(m->btf, id));
		const char *tag = kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION ?
			ab_btf_tag(m->btf, id, -1, prefix, 0) : NULL;

		if (tag || visit(m) < 0)
			return tag;
		if (kind != BTF_KIND_TYPEDEF && kind != BTF_KIND_CONST && kind != BTF_KIND_VOLATILE &&
		    kind != BTF_KIND_RESTRICT && kind != BTF_KIND_TYPE_TAG)
			break;
	}
	return NULL;
}

static bool is_byte(const struct maker *m, uint32_t type_id)
{
	const struct btf_type *t = ab_btf_type(m->btf, ab_btf_resolve(m->btf, type_id));

	return ab_btf_kind(t) == BTF_KIND_INT && t->size == 1;
}

/* Compiles a tagged value: 1 when done, 0 when the tag is for the elements of an array, or unknown (*ret_known). */
static int make_word(struct maker *m, const struct place *at, const struct btf_type *t, size_t size, bool *ret_known)
{
	const struct word *w = find_word(at->words);
	const struct btf_array *array = ab_btf_kind(t) == BTF_KIND_ARRAY ? ab_btf_data(t) : NULL;
	struct op *op;
	int r;

	*ret_known = w;
	if (!w)
		return 0;
	if (w->kind == WORD_ADDRESS && size == w->size && !at->bits) {
		op = add_op(m, at, w->code);
		if (!op)
			return m->code;
		op->size = size;
		op->end = op->offset + size;
		return 1;
	}
	if (array) {
		uint32_t kind = ab_btf_kind(ab_btf_type(m->btf, ab_btf_resolve(m->btf, array->type)));

		if (w->kind == WORD_NUMBER || w->kind == WORD_ADDRESS || kind == BTF_KIND_ARRAY)
			return 0;
		if (w->kind == WORD_HIST)
			r = make_hist_word(m, at, w, t);
		else if (is_byte(m, array->type))
			r = make_bytes(m, at, w->code, array->nelems, !array->nelems && at->last);
		else
			return fail_tag(m, at, "needs an array of bytes");
	} else if (w->kind == WORD_ADDRESS) {
		return ab_fail(m->err, AB_ERROR_FORMAT, -EINVAL,
			       "tag 'anybpf:as=%.64s' of '%.64s' in type '%.100s' needs %u bytes, not %zu", at->words,
			       at->name ? at->name : "the value", m->f->type, w->size, size);
	} else if (w->kind == WORD_NUMBER) {
		r = make_number_word(m, at, w, t, size);
	} else if (w->kind == WORD_BYTES && !at->bits && (w->code == OP_BYTES || size == 1)) {
		r = make_bytes(m, at, w->code, size, false);
	} else if (w->kind == WORD_HIST && ab_btf_kind(t) == BTF_KIND_INT) {
		*ret_known = false; /* one slot of an array map: a number */
		return 0;
	} else {
		return fail_tag(m, at, "needs an array");
	}
	return r < 0 ? r : 1;
}

/* ---- structs and arrays ---- */

static int make_members(struct maker *m, uint32_t struct_id, uint64_t offset, bool last, int depth, const struct scope *scope);

static int make_member(struct maker *m, uint32_t struct_id, uint32_t i, uint64_t offset, bool last, int depth,
		       const struct scope *scope)
{
	const struct btf_type *t = ab_btf_type(m->btf, struct_id);
	const struct btf_member *member = (const struct btf_member *)ab_btf_data(t) + i;
	uint32_t resolved = ab_btf_resolve(m->btf, member->type), kind = ab_btf_kind(ab_btf_type(m->btf, resolved));
	struct place at = {
		.type_id = member->type, .name = ab_btf_str(m->btf, member->name_off), .depth = depth + 1, .scope = scope,
		.bit = 8 * offset + ab_btf_member_offset(t, i), .bits = ab_btf_member_bits(t, i),
		.words = ab_btf_tag(m->btf, struct_id, i, "anybpf:as=", 0),
		.unit = ab_btf_tag(m->btf, struct_id, i, "anybpf:unit=", 0),
	};

	at.offset = at.bit / 8;
	at.last = last && (ab_btf_kind(t) == BTF_KIND_UNION || i == ab_btf_vlen(t) - 1);
	if (ab_btf_tag(m->btf, struct_id, i, "anybpf:hide", 0))
		return 0;
	if (!*at.name) {
		if (kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION)
			return 0; /* padding */
		return make_members(m, resolved, at.offset, at.last, depth + 1, scope);
	}
	if (!at.bits && at.bit % 8)
		return ab_fail(m->err, AB_ERROR_FORMAT, -EBADMSG, "member '%.64s' of type '%.100s' begins within a byte",
			       at.name, m->f->type);
	return make_value(m, at);
}

static int make_members(struct maker *m, uint32_t struct_id, uint64_t offset, bool last, int depth, const struct scope *up)
{
	const struct btf_type *t = ab_btf_type(m->btf, struct_id);
	struct scope scope = { up, struct_id, offset };

	if (depth > DEPTH_MAX)
		return fail_limit(m, "it nests more than 32 deep");
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		int r = visit(m);

		if (r >= 0)
			r = make_member(m, struct_id, i, offset, last, depth, &scope);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Ends a struct or array: where its first shown byte is decides whether short data has any of it. */
static void close_op(struct ab_format *f, uint32_t index)
{
	struct op *op = &f->ops[index];
	uint32_t end = UINT32_MAX;

	op->next = f->op_count;
	if (op->code == OP_ARRAY) {
		op->end = op->flexible ? op->offset : MIN((uint64_t)op->offset + op[1].end, UINT32_MAX);
		return;
	}
	OP_EACH(f, op, child)
		end = MIN(end, child->end);
	if (end != UINT32_MAX)
		op->end = end;
}

static int make_struct(struct maker *m, const struct place *at, uint32_t id)
{
	uint32_t index = m->f->op_count;
	int r;

	if (!add_op(m, at, OP_STRUCT))
		return m->code;
	r = make_members(m, id, at->offset, at->last, at->depth, at->scope);
	close_op(m->f, index);
	return r;
}

/* Global variables: what a .data or .bss map holds. The members' offsets are right once libbpf has opened the object. */
static int make_section(struct maker *m, const struct place *at, const struct btf_type *t)
{
	const struct btf_var_secinfo *vars = ab_btf_data(t);
	uint32_t index = m->f->op_count;

	if (!add_op(m, at, OP_STRUCT))
		return m->code;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const struct btf_type *var = ab_btf_type(m->btf, vars[i].type);
		struct place here = {
			.type_id = var->type, .name = ab_btf_name(m->btf, var), .offset = vars[i].offset, .depth = 1,
			.words = ab_btf_tag(m->btf, vars[i].type, -1, "anybpf:as=", 0),
			.unit = ab_btf_tag(m->btf, vars[i].type, -1, "anybpf:unit=", 0),
		};
		int r = visit(m);

		if (r >= 0 && ab_btf_kind(var) == BTF_KIND_VAR && !ab_btf_tag(m->btf, vars[i].type, -1, "anybpf:hide", 0))
			r = make_value(m, here);
		if (r < 0)
			return r;
	}
	close_op(m->f, index);
	return 0;
}

static bool is_char(const struct maker *m, uint32_t type_id)
{
	const struct btf_type *t = ab_btf_type(m->btf, ab_btf_resolve(m->btf, type_id));

	return ab_btf_kind(t) == BTF_KIND_INT && t->size == 1 && !strcmp(ab_btf_name(m->btf, t), "char");
}

static int make_array(struct maker *m, const struct place *at, const struct btf_type *t)
{
	const struct btf_array *array = ab_btf_data(t);
	size_t stride = ab_btf_size(m->btf, array->type);
	struct place element = { .type_id = array->type, .words = at->words, .depth = at->depth + 1 };
	uint32_t index = m->f->op_count;
	struct op *op;
	int r;

	if (!array->nelems && !at->last)
		return 0;
	if (!at->words && is_char(m, array->type) && !tag_of_chain(m, array->type, "anybpf:as="))
		return make_bytes(m, at, OP_TEXT, array->nelems, !array->nelems);
	if (!stride)
		return 0;
	if (stride > OFFSET_MAX)
		return fail_limit(m, "an array's element is larger than 1 GiB");
	op = add_op(m, at, OP_ARRAY);
	if (!op)
		return m->code;
	op->count = MIN(array->nelems, OFFSET_MAX);
	op->stride = stride;
	op->flexible = !array->nelems;
	r = make_value(m, element);
	if (r < 0)
		return r;
	if (m->f->op_count == index + 1)
		m->f->op_count = index; /* elements of which nothing shows */
	else
		close_op(m->f, index);
	return 0;
}

static int make_kind(struct maker *m, struct place *at, uint32_t id, const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_INT:
		return make_int(m, at, t);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return make_enum(m, at, id, t);
	case BTF_KIND_FLOAT:
		return make_float(m, at, t->size);
	case BTF_KIND_PTR:
		return make_integer(m, at, OP_POINTER, ab_btf_pointer_size(m->btf), false, NULL);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return make_struct(m, at, id);
	case BTF_KIND_ARRAY:
		return make_array(m, at, t);
	case BTF_KIND_DATASEC:
		return at->depth ? 0 : make_section(m, at, t);
	default:
		return 0; /* no bytes: void, functions, forward declarations */
	}
}

/* Compiles a value; one of which nothing shows adds no operation. */
static int make_value(struct maker *m, struct place at)
{
	uint32_t id = ab_btf_resolve(m->btf, at.type_id);
	const struct btf_type *t = ab_btf_type(m->btf, id);
	bool known = false;
	int r = visit(m);

	if (r < 0)
		return r;
	if (at.depth > DEPTH_MAX)
		return fail_limit(m, "it nests more than 32 deep");
	if (!at.words)
		at.words = tag_of_chain(m, at.type_id, "anybpf:as=");
	if (!at.unit)
		at.unit = tag_of_chain(m, at.type_id, "anybpf:unit=");
	if (at.words) {
		r = make_word(m, &at, t, ab_btf_size(m->btf, id), &known);
		if (r)
			return MIN(r, 0);
	}
	if (!known)
		at.words = NULL;
	return make_kind(m, &at, id, t);
}

static int make_columns(struct ab_format *f, struct ab_error *err)
{
	f->columns = array_new(f->op_count, sizeof(*f->columns));
	if (!f->columns)
		return ab_fail_memory(err);
	if (format_is_struct(f))
		OP_EACH(f, f->ops, child)
			f->columns[f->column_count++] = child - f->ops;
	else
		f->columns[f->column_count++] = 0;
	return 0;
}

static int make_plan(struct maker *m, uint32_t type_id, const char *words)
{
	struct ab_format *f = m->f;
	const struct btf_type *t = ab_btf_type(m->btf, type_id);
	_text_ struct text name = {};
	int r;

	if (ab_btf_kind(t) == BTF_KIND_VAR)
		type_id = t->type;
	if (ab_btf_kind(t) == BTF_KIND_DATASEC || ab_btf_kind(t) == BTF_KIND_FUNC || ab_btf_kind(t) == BTF_KIND_DECL_TAG)
		text_puts(&name, ab_btf_name(m->btf, t)); /* no C type */
	else
		ab_btf_type_name(m->btf, type_id, &name);
	f->type = text_take(&name);
	if (!f->type)
		return ab_fail_memory(m->err);
	f->size = ab_btf_size(m->btf, type_id);
	text_add(&m->strings, "", 1); /* offset 0 means none */
	r = make_value(m, (struct place){ .type_id = type_id, .words = words, .unit = m->unit, .last = true });
	if (r < 0)
		return r;
	if (!f->op_count)
		return ab_fail(m->err, AB_ERROR_FORMAT, -EINVAL, "type '%.100s' has no size, so there is nothing to show",
			       f->type);
	text_add(&m->strings, (char[KEY_FAST]){ 0 }, KEY_FAST);
	if (m->strings.failed)
		return ab_fail_memory(m->err);
	f->strings = TAKE(m->strings.p);
	return make_columns(f, m->err);
}

int ab_format_make(struct ab_object *owner, const struct ab_btf *btf, uint32_t type_id, const char *words,
		   const char *unit, struct ab_format **ret_format, struct ab_error *err)
{
	struct ab_format *f = calloc(1, sizeof(*f));
	struct maker m = { .f = f, .btf = btf, .unit = unit, .err = err };
	int r;

	if (!f)
		return ab_fail_memory(err);
	f->owner = owner;
	r = make_plan(&m, type_id, words && *words ? words : NULL);
	text_clear(&m.strings);
	if (r < 0) {
		ab_format_free(f);
		return r;
	}
	*ret_format = f;
	return 0;
}

void ab_format_free(struct ab_format *f)
{
	if (!f)
		return;
	while (f->enums) {
		struct enum_names *next = f->enums->next;

		free(f->enums);
		f->enums = next;
	}
	free(f->columns);
	free(f->strings);
	free(f->ops);
	free(f->type);
	free(f);
}

const char *ab_format_type(const struct ab_format *f)
{
	return f->type;
}

size_t ab_format_size(const struct ab_format *f)
{
	return f->size;
}
