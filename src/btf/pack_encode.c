/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A definition's bytes out of BTF (docs/format-pack.md). This decides how many kernels a second can be added: one pass
 * over the types, no allocation for a type, and bounds are checked on the way.
 */
#include "internal.h"
#include "pack_encode.h"

/* ---- faults: the first is kept, so that encoding needs no checks at every step ---- */

void ab_encode_fault(struct encoder *e, uint32_t id, const char *what)
{
	if (!e->fault) {
		e->fault = what;
		e->fault_id = id;
		e->fault_code = 0;
	}
}

void ab_encode_no_memory(struct encoder *e)
{
	if (!e->fault) {
		e->fault = "out of memory";
		e->fault_code = -ENOMEM;
	}
}

/* ---- reading ---- */

static const char *text_at(const struct encoder *e, uint32_t offset)
{
	const struct part *p = offset < e->own.first_string ? &e->base : &e->own;

	return p->strings + (offset - p->first_string);
}

static uint32_t intern(struct encoder *e, const char *s, size_t n)
{
	struct table *t = &e->writer->strings;
	uint32_t number = n ? ab_table_put(t, ab_table_key(t, s, n), s, n, 0, 0) : 0;

	if (number == NONE)
		ab_encode_no_memory(e);
	return number == NONE ? 0 : number;
}

/* The number of a string, with UNIT_NAME if it is one. */
uint32_t ab_encode_string(struct encoder *e, uint32_t offset)
{
	const struct string_block *block;
	const char *s;
	size_t n;

	if (offset >= e->own.first_string + e->own.n_strings) {
		ab_encode_fault(e, 0, "has a name that is out of bounds");
		return 0;
	}
	block = &e->blocks[offset / 32];
	if (block->starts >> offset % 32 & 1)
		return e->numbers[block->before + count_bits(block->starts & ((1u << offset % 32) - 1))];
	s = text_at(e, offset);
	n = strlen(s);
	return intern(e, s, n) | (is_unit_name(s, n) ? UNIT_NAME : 0);
}

static bool grow_after(struct encoder *e, uint32_t n)
{
	uint32_t cap = MAX(2 * e->n_after, n);
	struct successor *after = realloc(e->after, cap * sizeof(*after));

	if (!after)
		return false;
	memset(after + e->n_after, 0, (cap - e->n_after) * sizeof(*after));
	e->after = after;
	e->n_after = cap;
	return true;
}

/*
 * The string that comes behind string `before`. Kernels of a series have most of their strings in the same order, so it is
 * compared with the one that came there the last time before it is searched for.
 */
static struct successor intern_next(struct encoder *e, const char *s, size_t room, uint32_t before)
{
	struct successor next = before < e->n_after ? e->after[before] : (struct successor){};

	if (next.number && next.size < room && !s[next.size] && !memcmp(s, next.text, next.size))
		return next;
	next.size = strlen(s);
	next.number = intern(e, s, next.size);
	next.text = (const char *)ab_table_item(&e->writer->strings, next.number)->p;
	if (before < e->n_after || grow_after(e, MAX(before + 1, 1u << 16)))
		e->after[before] = next;
	return next;
}

static bool add_number(struct encoder *e, uint32_t number)
{
	if (e->n_numbers == e->cap_numbers) {
		uint32_t cap = MAX(2 * e->cap_numbers, 1u << 16);
		uint32_t *numbers = realloc(e->numbers, cap * sizeof(*numbers));

		if (!numbers)
			return false;
		e->numbers = numbers;
		e->cap_numbers = cap;
	}
	e->numbers[e->n_numbers++] = number;
	return true;
}

void ab_encode_strings(struct encoder *e, const struct part *p)
{
	const char *end = p->strings + p->n_strings;
	struct successor next = {};

	for (const char *s = p->strings; s < end && !e->fault; s += next.size + 1) {
		uint32_t offset = p->first_string + (s - p->strings);
		struct string_block *block = &e->blocks[offset / 32];

		next = intern_next(e, s, end - s, next.number);
		if (!block->starts)
			block->before = e->n_numbers;
		block->starts |= 1u << offset % 32;
		if (!add_number(e, next.number | (is_unit_name(s, next.size) ? UNIT_NAME : 0)))
			ab_encode_no_memory(e);
	}
}

/* ---- writing ---- */

static inline uint8_t *room(struct encoder *e, size_t n)
{
	uint8_t *p = buffer_room(&e->bodies, n);

	if (!p)
		ab_encode_no_memory(e);
	return p;
}

static inline void put_byte(struct encoder *e, uint8_t byte)
{
	if (room(e, 1))
		e->bodies.p[e->bodies.n++] = byte;
}

static inline void put_number(struct encoder *e, uint64_t v)
{
	if (room(e, 10))
		e->bodies.n = put_varint(e->bodies.p + e->bodies.n, v) - e->bodies.p;
}

static inline void put_str(struct encoder *e, uint32_t offset)
{
	put_number(e, ab_encode_string(e, offset) & ~UNIT_NAME);
}

static void put_member_name(struct encoder *e, uint32_t offset)
{
	uint32_t number = ab_encode_string(e, offset);
	char name[256];
	const char *s;
	size_t n;

	if (number & UNIT_NAME) {
		s = text_at(e, offset);
		for (n = strlen(s); n && s[n - 1] >= '0' && s[n - 1] <= '9'; n--)
			;
		n = snprintf(name, sizeof(name), "%.*s%u", (int)MIN(n, 200), s, e->unit_names++);
		number = intern(e, name, n);
	}
	put_number(e, number);
}

static void add_ref(struct encoder *e, uint32_t node)
{
	if (e->n_refs == e->cap_refs) {
		size_t cap = MAX(2 * e->cap_refs, 1u << 16);
		uint32_t *refs = realloc(e->refs, cap * sizeof(*refs));

		if (!refs) {
			ab_encode_no_memory(e);
			return;
		}
		e->refs = refs;
		e->cap_refs = cap;
	}
	e->refs[e->n_refs++] = node;
}

static void put_reference(struct encoder *e, uint32_t holder, const struct target *target)
{
	uint32_t n = target->node - 1, variant = 0, name = target->plain / 16;
	uint8_t class = target->plain ? target->plain % 16 - 1 : ab_pack_class(e->nodes[n].kind);
	bool behind = e->behind && (class == PACK_STRUCT || class == PACK_UNION);

	if (class == PACK_CLASSES) {
		ab_encode_fault(e, holder, "refers to a section");
		return;
	}
	if (!target->plain) {
		name = e->nodes[n].name;
		variant = e->nodes[n].variant;
	} else if ((e->variants || n < e->n_base_nodes) && e->ambiguous[n]) {
		/* Of the kernel that a module belongs to, all is known from the start. */
		variant = e->nodes[n].variant;
	}
	if (!e->variants)
		add_ref(e, n | (behind ? BEHIND : 0));
	if (behind && e->bloated)
		variant = 0;
	if (!room(e, 16))
		return;
	if (variant) {
		put_byte(e, OP_VARIANT + class);
		put_le32(e->bodies.p + e->bodies.n, variant);
		e->bodies.n += 4;
	} else {
		put_byte(e, OP_NAMED + class);
	}
	put_number(e, name);
}

/* ---- definitions ---- */

static void encode_expr(struct encoder *e, uint32_t holder, uint32_t id);

static void encode_members(struct encoder *e, uint32_t id, const struct btf_type *t)
{
	const struct btf_member *m = ab_btf_data(t);
	uint32_t vlen = ab_btf_vlen(t);
	bool kflag = ab_btf_kflag(t);
	int64_t before = 0;

	put_number(e, t->size);
	put_number(e, vlen);
	for (uint32_t i = 0; i < vlen && !e->fault; i++, m++) {
		uint32_t offset = kflag ? BTF_MEMBER_BIT_OFFSET(m->offset) : m->offset;
		uint32_t bits = kflag ? BTF_MEMBER_BITFIELD_SIZE(m->offset) : 0;
		int64_t d = offset - before;

		put_member_name(e, m->name_off);
		if (d % 8 || bits) {
			put_number(e, 2 * zigzag(d) + 1);
			put_number(e, bits);
		} else {
			put_number(e, 2 * zigzag(d / 8));
		}
		encode_expr(e, id, m->type);
		before = offset;
	}
}

static void encode_enumerators(struct encoder *e, const struct btf_type *t)
{
	const struct btf_enum *v = ab_btf_data(t);
	const struct btf_enum64 *v64 = ab_btf_data(t);
	bool wide = ab_btf_kind(t) == BTF_KIND_ENUM64;
	uint64_t before = 0;

	put_number(e, t->size);
	put_number(e, ab_btf_vlen(t));
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !e->fault; i++) {
		uint64_t value = wide ? (uint64_t)v64[i].val_hi32 << 32 | v64[i].val_lo32 : (uint32_t)v[i].val;

		put_str(e, wide ? v64[i].name_off : v[i].name_off);
		put_number(e, wide ? zigzag(value - before) : zigzag((int32_t)(uint32_t)(value - before)));
		before = value;
	}
}

static void encode_proto(struct encoder *e, uint32_t id, const struct btf_type *t)
{
	const struct btf_param *p = ab_btf_data(t);

	e->behind++;
	put_number(e, ab_btf_vlen(t));
	encode_expr(e, id, t->type);
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !e->fault; i++) {
		put_str(e, p[i].name_off);
		encode_expr(e, id, p[i].type);
	}
	e->behind--;
}

static void encode_section(struct encoder *e, uint32_t id, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = ab_btf_data(t);
	uint64_t end = 0;

	put_number(e, t->size);
	put_number(e, ab_btf_vlen(t));
	for (uint32_t i = 0; i < ab_btf_vlen(t) && !e->fault; i++) {
		encode_expr(e, id, v[i].type);
		put_number(e, zigzag((int64_t)(v[i].offset - end)));
		put_number(e, v[i].size);
		end = (uint64_t)v[i].offset + v[i].size;
	}
}

struct sorted_tag {
	uint64_t component;
	uint32_t name;
	const char *text;
};

static int compare_tags(const void *a, const void *b)
{
	const struct sorted_tag *x = a, *y = b;

	if (x->component != y->component)
		return x->component < y->component ? -1 : 1;
	return strcmp(x->text, y->text);
}

static void encode_tags(struct encoder *e, uint32_t id)
{
	struct sorted_tag *tags;
	uint32_t n = 0;

	for (uint32_t tag = e->first_tag[id]; tag; tag = e->next_tag[tag])
		n++;
	tags = array_new(n, sizeof(*tags));
	if (!tags) {
		ab_encode_no_memory(e);
		return;
	}
	n = 0;
	for (uint32_t tag = e->first_tag[id]; tag; tag = e->next_tag[tag]) {
		const struct btf_type *t = type_at(e, tag);
		const struct btf_decl_tag *d = ab_btf_data(t);
		uint32_t name = ab_encode_string(e, t->name_off) & ~UNIT_NAME;

		if (e->fault)
			break;
		tags[n++] = (struct sorted_tag){ ((uint64_t)d->component_idx + 1) % (1ull << 32) * 2 + ab_btf_kflag(t), name,
						 text_at(e, t->name_off) };
	}
	qsort(tags, n, sizeof(*tags), compare_tags);
	put_number(e, n);
	for (uint32_t i = 0; i < n; i++) {
		put_number(e, tags[i].component);
		put_number(e, tags[i].name);
	}
	free(tags);
}

static void encode_unnamed(struct encoder *e, uint32_t id, const struct btf_type *t)
{
	uint32_t kind = ab_btf_kind(t);
	unsigned kflag = ab_btf_kflag(t) ? OP_STRUCT_KFLAG - OP_STRUCT : 0;

	switch (kind) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		put_byte(e, (kind == BTF_KIND_STRUCT ? OP_STRUCT : OP_UNION) + kflag);
		encode_members(e, id, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		put_byte(e, (kind == BTF_KIND_ENUM ? OP_ENUM : OP_ENUM64) + kflag);
		encode_enumerators(e, t);
		break;
	case BTF_KIND_FUNC_PROTO:
		put_byte(e, OP_FUNC_PROTO);
		encode_proto(e, id, t);
		break;
	default:
		ab_encode_fault(e, id, "is referred to, but is no type");
	}
}

/* Of what is one step to another type; false if it is something else. */
static inline bool encode_step(struct encoder *e, const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_PTR:
		put_byte(e, OP_PTR);
		e->behind++;
		return true;
	case BTF_KIND_CONST:
		put_byte(e, OP_CONST);
		return true;
	case BTF_KIND_VOLATILE:
		put_byte(e, OP_VOLATILE);
		return true;
	case BTF_KIND_RESTRICT:
		put_byte(e, OP_RESTRICT);
		return true;
	case BTF_KIND_TYPE_TAG:
		put_byte(e, ab_btf_kflag(t) ? OP_TYPE_TAG_KFLAG : OP_TYPE_TAG);
		put_str(e, t->name_off);
		return true;
	}
	return false;
}

static void encode_expr(struct encoder *e, uint32_t holder, uint32_t id)
{
	unsigned depth = e->depth, behind = e->behind;

	while (!e->fault) {
		const struct btf_array *array;
		const struct btf_type *t;

		if (!id) {
			put_byte(e, OP_VOID);
			break;
		}
		if (id >= e->n) {
			ab_encode_fault(e, holder, "refers to no type");
			break;
		}
		if (e->targets[id].node) {
			put_reference(e, holder, &e->targets[id]);
			break;
		}
		e->seen[id] = 1;
		if (++e->depth > PACK_MAX_NESTING || e->bodies.n - e->nodes[e->n_nodes].body > PACK_MAX_BODY) {
			ab_encode_fault(e, id, "nests without end or too deep");
			break;
		}
		t = type_at(e, id);
		if (e->first_tag && e->first_tag[id]) {
			put_byte(e, OP_TAGGED);
			encode_tags(e, id);
		}
		if (ab_btf_kind(t) == BTF_KIND_ARRAY) {
			array = ab_btf_data(t);
			put_byte(e, OP_ARRAY);
			put_number(e, array->nelems);
			encode_expr(e, id, array->type);
			holder = id;
			id = array->index_type;
			continue;
		}
		if (!encode_step(e, t)) {
			encode_unnamed(e, id, t);
			break;
		}
		holder = id;
		id = t->type;
	}
	e->depth = depth;
	e->behind = behind;
}

static void encode_body(struct encoder *e, const struct node *node, const struct btf_type *t)
{
	switch (node->kind & PACK_KIND) {
	case BTF_KIND_INT:
		put_number(e, t->size);
		put_number(e, *(const uint32_t *)ab_btf_data(t));
		break;
	case BTF_KIND_FLOAT:
		put_number(e, t->size);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		encode_members(e, node->id, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		encode_enumerators(e, t);
		break;
	case BTF_KIND_FWD:
		break;
	case BTF_KIND_DATASEC:
		encode_section(e, node->id, t);
		break;
	case BTF_KIND_FUNC:
		put_number(e, ab_btf_vlen(t));
		encode_expr(e, node->id, t->type);
		break;
	case BTF_KIND_VAR:
		put_number(e, *(const uint32_t *)ab_btf_data(t));
		encode_expr(e, node->id, t->type);
		break;
	case BTF_KIND_TYPEDEF:
		encode_expr(e, node->id, t->type);
		break;
	default:
		encode_expr(e, node->id, node->id);
	}
}

void ab_encode_node(struct encoder *e, struct node *node)
{
	const struct btf_type *t = type_at(e, node->id);

	if (!room(e, TABLE_HEAD))
		return;
	e->bodies.n += TABLE_HEAD;
	/* Where the nesting check finds the body's start. */
	e->nodes[e->n_nodes].body = node->body = e->bodies.n;
	e->unit_names = 0;
	if (!e->variants) {
		node->refs = e->n_refs;
	} else if (node->variant && !(node->kind & PACK_VARIANT)) {
		node->kind |= PACK_VARIANT;
	}
	if (node->variant && room(e, 4)) {
		put_le32(e->bodies.p + e->bodies.n, node->variant);
		e->bodies.n += 4;
	}
	encode_body(e, node, t);
	if (node->kind & PACK_TAGS)
		encode_tags(e, node->id);
	if (e->fault)
		return;
	if (!e->variants)
		node->n_refs = e->n_refs - node->refs;
	node->size = e->bodies.n - node->body;
	node->key = ab_table_def_key(&e->writer->defs, e->bodies.p + node->body, node->size, node->name, node->kind);
}
