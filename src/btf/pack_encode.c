/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * BTF to definitions (docs/format-pack.md). This is what decides how many kernels a second can be added, so it makes one pass over the types, allocates
 * nothing for a type, and checks bounds on the way instead of opening the BTF.
 */
#include "internal.h"
#include "pack_encode.h"

#define UNIT_NAME (1u << 31)
#define UNIT_PREFIX "__UNIQUE_ID_"
#define MAX_TYPES (1u << 24)

/* ---- faults: the first is kept, so that encoding needs no checks at every step ---- */

static void fault(struct encoder *e, uint32_t id, const char *what)
{
	if (!e->fault) {
		e->fault = what;
		e->fault_id = id;
		e->fault_code = 0;
	}
}

static void fault_memory(struct encoder *e)
{
	if (!e->fault) {
		e->fault = "out of memory";
		e->fault_code = -ENOMEM;
	}
}

static int report_fault(const struct encoder *e, struct ab_error *err)
{
	if (e->fault_code == -ENOMEM)
		return ab_fail_memory(err);
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: type %u: %s", e->fault_id, e->fault);
}

/* ---- reading ---- */

static inline const struct btf_type *type_at(const struct encoder *e, uint32_t id)
{
	const struct part *p = id < e->own.first_type ? &e->base : &e->own;

	return (const struct btf_type *)(p->types + e->offsets[id]);
}

static const char *text_at(const struct encoder *e, uint32_t offset)
{
	const struct part *p = offset < e->own.first_string ? &e->base : &e->own;

	return p->strings + (offset - p->first_string);
}

/* RHEL's kABI macros make a member's name of __COUNTER__. */
static bool is_unit_name(const char *s, size_t n)
{
	return n > strlen(UNIT_PREFIX) && !memcmp(s, UNIT_PREFIX, strlen(UNIT_PREFIX)) && s[n - 1] >= '0' && s[n - 1] <= '9';
}

static uint32_t intern(struct encoder *e, const char *s, size_t n)
{
	struct table *t = &e->writer->strings;
	uint32_t number = n ? ab_table_put(t, ab_table_key(t, s, n), s, n, 0, 0) : 0;

	if (number == NONE)
		fault_memory(e);
	return number == NONE ? 0 : number;
}

/* The number of a string, with UNIT_NAME if it is one. */
static inline uint32_t string_number(struct encoder *e, uint32_t offset)
{
	uint32_t number;
	const char *s;
	size_t n;

	if (offset >= e->own.first_string + e->own.n_strings) {
		fault(e, 0, "has a name that is out of bounds");
		return 0;
	}
	if (e->strings[offset])
		return e->strings[offset] - 1;
	s = text_at(e, offset);
	n = strlen(s);
	number = intern(e, s, n) | (is_unit_name(s, n) ? UNIT_NAME : 0);
	e->strings[offset] = number + 1;
	return number;
}

/* ---- writing ---- */

static inline uint8_t *room(struct encoder *e, size_t n)
{
	uint8_t *p = buffer_room(&e->bodies, n);

	if (!p)
		fault_memory(e);
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
	put_number(e, string_number(e, offset) & ~UNIT_NAME);
}

static void put_member_name(struct encoder *e, uint32_t offset)
{
	uint32_t number = string_number(e, offset);
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
			fault_memory(e);
			return;
		}
		e->refs = refs;
		e->cap_refs = cap;
	}
	e->refs[e->n_refs++] = node;
}

static void put_reference(struct encoder *e, uint32_t holder, uint32_t n)
{
	const struct node *node = &e->nodes[n];
	uint8_t class = ab_pack_class(node->kind);
	bool behind = e->behind && (class == PACK_STRUCT || class == PACK_UNION);
	uint32_t variant = 0;

	if (class == PACK_CLASSES) {
		fault(e, holder, "refers to a section");
		return;
	}
	if (node->entry == NONE || (e->variants && e->ambiguous[n]))
		variant = node->variant;
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
	put_number(e, node->name);
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
		fault_memory(e);
		return;
	}
	n = 0;
	for (uint32_t tag = e->first_tag[id]; tag; tag = e->next_tag[tag]) {
		const struct btf_type *t = type_at(e, tag);
		const struct btf_decl_tag *d = ab_btf_data(t);
		uint32_t name = string_number(e, t->name_off) & ~UNIT_NAME;

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
		fault(e, id, "is referred to, but is no type");
	}
}

static void encode_expr(struct encoder *e, uint32_t holder, uint32_t id)
{
	unsigned depth = e->depth, behind = e->behind;

	while (!e->fault) {
		const struct btf_array *array;
		const struct btf_type *t;
		uint32_t kind;

		if (!id) {
			put_byte(e, OP_VOID);
			break;
		}
		if (id >= e->n) {
			fault(e, holder, "refers to no type");
			break;
		}
		if (e->node_of[id]) {
			put_reference(e, holder, e->node_of[id] - 1);
			break;
		}
		e->seen[id] = 1;
		if (++e->depth > PACK_MAX_NESTING || e->bodies.n - e->nodes[e->n_nodes].body > PACK_MAX_BODY) {
			fault(e, id, "nests without end or too deep");
			break;
		}
		t = type_at(e, id);
		kind = ab_btf_kind(t);
		if (e->first_tag && e->first_tag[id]) {
			put_byte(e, OP_TAGGED);
			encode_tags(e, id);
		}
		if (kind == BTF_KIND_ARRAY) {
			array = ab_btf_data(t);
			put_byte(e, OP_ARRAY);
			put_number(e, array->nelems);
			encode_expr(e, id, array->type);
			holder = id;
			id = array->index_type;
			continue;
		}
		switch (kind) {
		case BTF_KIND_PTR:
			put_byte(e, OP_PTR);
			e->behind++;
			break;
		case BTF_KIND_CONST:
			put_byte(e, OP_CONST);
			break;
		case BTF_KIND_VOLATILE:
			put_byte(e, OP_VOLATILE);
			break;
		case BTF_KIND_RESTRICT:
			put_byte(e, OP_RESTRICT);
			break;
		case BTF_KIND_TYPE_TAG:
			put_byte(e, ab_btf_kflag(t) ? OP_TYPE_TAG_KFLAG : OP_TYPE_TAG);
			put_str(e, t->name_off);
			break;
		default:
			encode_unnamed(e, id, t);
			e->depth = depth;
			e->behind = behind;
			return;
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

/* ---- nodes and their names ---- */

static bool grow_nodes(struct encoder *e)
{
	uint32_t cap = MAX(2 * e->cap_nodes, 1u << 16);
	struct node *nodes = realloc(e->nodes, cap * sizeof(*nodes));

	if (!nodes) {
		fault_memory(e);
		return false;
	}
	e->nodes = nodes;
	e->cap_nodes = cap;
	return true;
}

/* One more than is used: ab_encode_node() notes the body it is at behind the last. */
static struct node *add_node(struct encoder *e, uint32_t id, uint8_t kind)
{
	struct node *node;

	if (e->n_nodes + 2 > e->cap_nodes && !grow_nodes(e))
		return NULL;
	node = &e->nodes[e->n_nodes++];
	*node = (struct node){ .id = id, .kind = kind, .entry = NONE, .next = NONE };
	return node;
}

static uint32_t entry_hash(uint32_t name, uint8_t class)
{
	uint64_t h = ((uint64_t)name << 3 | class) * 0x9e3779b97f4a7c15u;

	return h >> 32;
}

static bool grow_entries(struct encoder *e)
{
	uint32_t mask = MAX(2 * e->entry_mask + 1, (1u << 16) - 1);
	uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	struct entry *entries = realloc(e->entries, ((size_t)mask + 1) / 2 * sizeof(*entries));

	if (entries)
		e->entries = entries;
	if (!slots || !entries) {
		free(slots);
		fault_memory(e);
		return false;
	}
	for (uint32_t n = 0; n < e->n_entries; n++) {
		uint32_t i = entry_hash(entries[n].name, entries[n].class) & mask;

		while (slots[i])
			i = (i + 1) & mask;
		slots[i] = n + 1;
	}
	free(e->entry_slots);
	e->entry_slots = slots;
	e->entry_mask = mask;
	return true;
}

/* Joins the node to those of its class and name. */
static void enter(struct encoder *e, uint32_t number)
{
	struct node *node = &e->nodes[number];
	uint8_t class = ab_pack_class(node->kind);
	struct entry *entry;
	uint32_t i;

	/* An INT with a variant of its own is known by that. */
	if (class == PACK_CLASSES || class == PACK_FUNC || node->variant)
		return;
	if (2 * (e->n_entries + 1) > e->entry_mask && !grow_entries(e))
		return;
	for (i = entry_hash(node->name, class) & e->entry_mask; e->entry_slots[i]; i = (i + 1) & e->entry_mask) {
		entry = &e->entries[e->entry_slots[i] - 1];
		if (entry->name == node->name && entry->class == class)
			break;
	}
	if (!e->entry_slots[i]) {
		entry = &e->entries[e->n_entries++];
		*entry = (struct entry){ .name = node->name, .class = class, .first = NONE };
		e->entry_slots[i] = e->n_entries;
	}
	node->entry = e->entry_slots[i] - 1;
	node->next = entry->first;
	entry->first = number;
}

static bool is_definition(uint32_t kind, uint32_t name)
{
	switch (kind) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return name;
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_FWD:
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR:
	case BTF_KIND_DATASEC:
		return true;
	default:
		return false;
	}
}

/* Bit-fields of older compilers have INTs of their own, narrower than their size. */
static uint32_t int_variant(const struct btf_type *t)
{
	uint32_t word = *(const uint32_t *)ab_btf_data(t);

	if (BTF_INT_BITS(word) == 8 * t->size && !BTF_INT_OFFSET(word))
		return 0;
	return (word | t->size << 8) ^ 0x80000000u;
}

/* Decl tags are lists by what they are on. */
static void note_tag(struct encoder *e, uint32_t id, const struct btf_type *t)
{
	if (!t->type || t->type >= e->n) {
		fault(e, id, "is a tag on no type");
		return;
	}
	if (!e->first_tag) {
		e->first_tag = calloc(e->n, sizeof(*e->first_tag));
		e->next_tag = calloc(e->n, sizeof(*e->next_tag));
		if (!e->first_tag || !e->next_tag) {
			fault_memory(e);
			return;
		}
	}
	e->next_tag[id] = e->first_tag[t->type];
	e->first_tag[t->type] = id;
}

static void make_nodes(struct encoder *e, uint32_t first, uint32_t end)
{
	for (uint32_t id = first; id < end && !e->fault; id++) {
		const struct btf_type *t = type_at(e, id);
		uint32_t kind = ab_btf_kind(t);
		struct node *node;

		if (kind == BTF_KIND_DECL_TAG)
			note_tag(e, id, t);
		if (!is_definition(kind, t->name_off))
			continue;
		node = add_node(e, id, kind | (ab_btf_kflag(t) ? PACK_KFLAG : 0));
		if (!node)
			return;
		node->name = string_number(e, t->name_off) & ~UNIT_NAME;
		if (kind == BTF_KIND_INT && (node->variant = int_variant(t)))
			node->kind |= PACK_VARIANT;
		e->node_of[id] = e->n_nodes;
		enter(e, e->n_nodes - 1);
	}
}

static void encode_nodes(struct encoder *e, uint32_t first)
{
	for (uint32_t i = first; i < e->n_nodes && !e->fault; i++) {
		struct node *node = &e->nodes[i];

		if (e->first_tag && e->first_tag[node->id])
			node->kind |= PACK_TAGS;
		ab_encode_node(e, node);
	}
}

/* ---- unnamed types that nothing named contains ---- */

static bool is_unnamed_left(const struct encoder *e, uint32_t id)
{
	return id && id < e->n && !e->node_of[id] && !e->seen[id] && ab_btf_kind(type_at(e, id)) != BTF_KIND_DECL_TAG;
}

#define REFERRED 2

static void mark_referred(struct encoder *e, uint32_t id)
{
	if (id && id < e->n)
		e->seen[id] |= REFERRED;
}

static void mark_targets(struct encoder *e, const struct btf_type *t)
{
	const void *data = ab_btf_data(t);

	switch (ab_btf_kind(t)) {
	case BTF_KIND_ARRAY:
		mark_referred(e, ((const struct btf_array *)data)->type);
		mark_referred(e, ((const struct btf_array *)data)->index_type);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			mark_referred(e, ((const struct btf_member *)data)[i].type);
		break;
	case BTF_KIND_FUNC_PROTO:
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			mark_referred(e, ((const struct btf_param *)data)[i].type);
		mark_referred(e, t->type);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		break;
	default:
		mark_referred(e, t->type);
	}
}

static void encode_roots(struct encoder *e, uint32_t first, uint32_t end)
{
	_free_ uint32_t *left = NULL;
	uint32_t n = 0;

	for (uint32_t id = first; id < end; id++)
		n += is_unnamed_left(e, id);
	if (!n)
		return;
	left = array_new(n, sizeof(*left));
	if (!left) {
		fault_memory(e);
		return;
	}
	n = 0;
	for (uint32_t id = first; id < end; id++)
		if (is_unnamed_left(e, id))
			left[n++] = id;
	for (uint32_t i = 0; i < n; i++)
		mark_targets(e, type_at(e, left[i]));
	for (uint32_t i = 0; i < n && !e->fault; i++) {
		struct node *node;

		if (e->seen[left[i]] & REFERRED)
			continue;
		node = add_node(e, left[i], 0);
		if (node)
			ab_encode_node(e, node);
	}
	for (uint32_t i = 0; i < n && !e->fault; i++)
		if (!(e->seen[left[i]] & 1))
			fault(e, left[i], "contains itself");
}

/* ---- parts: where types begin ---- */

static const struct { uint8_t fixed, element; } layouts[] = {
	[BTF_KIND_INT] = { 4, 0 },
	[BTF_KIND_PTR] = { 0, 0 },
	[BTF_KIND_ARRAY] = { sizeof(struct btf_array), 0 },
	[BTF_KIND_STRUCT] = { 0, sizeof(struct btf_member) },
	[BTF_KIND_UNION] = { 0, sizeof(struct btf_member) },
	[BTF_KIND_ENUM] = { 0, sizeof(struct btf_enum) },
	[BTF_KIND_FUNC_PROTO] = { 0, sizeof(struct btf_param) },
	[BTF_KIND_VAR] = { sizeof(struct btf_var), 0 },
	[BTF_KIND_DATASEC] = { 0, sizeof(struct btf_var_secinfo) },
	[BTF_KIND_DECL_TAG] = { sizeof(struct btf_decl_tag), 0 },
	[BTF_KIND_ENUM64] = { 0, sizeof(struct btf_enum64) },
};

static int fail_part(struct ab_error *err, const char *what)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: %s", what);
}

/* Bytes of the other order are converted by the reader, which checks them too. */
static int open_swapped(struct part *p, const void *data, size_t size, uint32_t type_len, struct ab_error *err)
{
	int r = ab_btf_open_mem(data, size, &p->swapped, err);

	if (r < 0)
		return r;
	p->types = p->swapped->types;
	p->types_size = __builtin_bswap32(type_len);
	p->strings = p->swapped->strings;
	p->n_strings = p->swapped->n_strings;
	return 0;
}

static int open_part(struct part *p, const void *data, size_t size, struct ab_error *err)
{
	struct btf_header h;
	size_t room_left;

	*p = (struct part){};
	if (size < sizeof(h))
		return fail_part(err, "it is too small for a header");
	memcpy(&h, data, sizeof(h));
	if (h.magic == __builtin_bswap16(BTF_MAGIC))
		return open_swapped(p, data, size, h.type_len, err);
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "not BTF of version %u", BTF_VERSION);
	room_left = size - MIN(size, h.hdr_len);
	if (h.hdr_len < sizeof(h) || h.hdr_len > size || h.type_off > room_left || h.type_len > room_left - h.type_off ||
	    h.str_off > room_left || h.str_len > room_left - h.str_off || (h.hdr_len + h.type_off) % 4)
		return fail_part(err, "its header names more than there is");
	p->types = (const uint8_t *)data + h.hdr_len + h.type_off;
	p->types_size = h.type_len;
	p->strings = (const char *)data + h.hdr_len + h.str_off;
	p->n_strings = h.str_len;
	if (!h.str_len || p->strings[h.str_len - 1])
		return fail_part(err, "its strings do not end with NUL");
	return 0;
}

/* Scratch by type and by string offset, zeroed. */
static int make_scratch(struct encoder *e, size_t types, size_t strings, struct ab_error *err)
{
	if (types > e->cap_types) {
		size_t cap = types + types / 4;

		free(e->offsets);
		free(e->node_of);
		free(e->seen);
		e->offsets = malloc(cap * sizeof(*e->offsets));
		e->node_of = malloc(cap * sizeof(*e->node_of));
		e->seen = malloc(cap);
		e->cap_types = e->offsets && e->node_of && e->seen ? cap : 0;
	}
	if (strings > e->cap_strings) {
		size_t cap = strings + strings / 4;

		free(e->strings);
		e->strings = malloc(cap * sizeof(*e->strings));
		e->cap_strings = e->strings ? cap : 0;
	}
	if (!e->cap_types || !e->cap_strings)
		return ab_fail_memory(err);
	memset(e->strings, 0, strings * sizeof(*e->strings));
	return 0;
}

/* Notes where each type begins and that all of it is there. */
static int index_part(struct encoder *e, struct part *p, struct ab_error *err)
{
	e->offsets[0] = 0;
	p->first_type = e->n;
	for (size_t at = 0; at < p->types_size; e->n++) {
		const struct btf_type *t = (const struct btf_type *)(p->types + at);
		size_t left = p->types_size - at;
		uint32_t kind, need;

		if (left < sizeof(*t))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: type %u is cut off", e->n);
		kind = ab_btf_kind(t);
		if (!kind || kind >= ARRAY_SIZE(layouts))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "BTF has a type of unknown kind %u (type %u)", kind, e->n);
		need = sizeof(*t) + layouts[kind].fixed + layouts[kind].element * ab_btf_vlen(t);
		if (left < need)
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: type %u is cut off", e->n);
		e->offsets[e->n] = at;
		at += need;
	}
	p->n_types = e->n - p->first_type;
	return 0;
}

static void close_parts(struct encoder *e)
{
	ab_btf_close(e->base.swapped);
	ab_btf_close(e->own.swapped);
	e->base = e->own = (struct part){};
}

static int open_parts(struct encoder *e, const void *btf, size_t size, const void *base, size_t base_size, struct ab_error *err)
{
	size_t types;
	int r;

	e->n = 1;
	r = base ? open_part(&e->base, base, base_size, err) : 0;
	if (r == 0)
		r = open_part(&e->own, btf, size, err);
	/* Strings of split BTF go on where its base's end. */
	if (r == 0 && *(base ? e->base : e->own).strings)
		r = fail_part(err, "its strings do not begin with NUL");
	if (r < 0)
		return r;
	/* The smallest type has 12 bytes. */
	types = (e->base.types_size + e->own.types_size) / sizeof(struct btf_type) + 1;
	if (types > MAX_TYPES)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "BTF of more than %u types", MAX_TYPES);
	e->own.first_string = e->base.n_strings;
	r = make_scratch(e, types, (size_t)e->base.n_strings + e->own.n_strings, err);
	if (r == 0 && base)
		r = index_part(e, &e->base, err);
	if (r == 0)
		r = index_part(e, &e->own, err);
	if (r < 0)
		return r;
	memset(e->node_of, 0, e->n * sizeof(*e->node_of));
	memset(e->seen, 0, e->n);
	return 0;
}

/* ---- all of it ---- */

/* A forward declaration of what is defined once is that definition. */
static bool is_left_out(const struct encoder *e, const struct node *node)
{
	const struct entry *entry = node->entry == NONE ? NULL : &e->entries[node->entry];

	return (node->kind & PACK_KIND) == BTF_KIND_FWD && entry && !entry->ambiguous && entry->has_full;
}

/* What pointers lead to by name only, where the name has several meanings. */
static void add_declarations(struct encoder *e)
{
	if (!e->bloated)
		return;
	for (size_t i = 0; i < e->n_refs; i++)
		if (e->refs[i] & BEHIND && e->ambiguous[e->refs[i] & ~BEHIND])
			e->entries[e->nodes[e->refs[i] & ~BEHIND].entry].declared = true;
	for (uint32_t i = 0; i < e->n_entries && !e->fault; i++) {
		const struct entry *entry = &e->entries[i];
		struct node *node;

		if (!entry->declared || entry->has_forward)
			continue;
		node = add_node(e, 0, BTF_KIND_FWD | (entry->class == PACK_UNION ? PACK_KFLAG : 0));
		if (!node)
			return;
		node->name = e->entries[i].name;
		ab_encode_node(e, node);
	}
}

#define AHEAD 8

static int put_nodes(struct encoder *e, uint32_t first, uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	_free_ uint32_t *defs = array_new(e->n_nodes - first, sizeof(*defs));
	struct table *t = &e->writer->defs;
	uint32_t n = 0, unique = 0;

	if (!defs)
		return ab_fail_memory(err);
	for (uint32_t i = first; i < e->n_nodes; i++) {
		const struct node *node = &e->nodes[i];

		if (i + AHEAD < e->n_nodes)
			ab_table_prefetch(t, node[AHEAD].key);
		if (is_left_out(e, node))
			continue;
		defs[n] = ab_table_put(t, node->key, e->bodies.p + node->body, node->size, node->name, node->kind);
		if (defs[n++] == NONE)
			return ab_fail_memory(err);
	}
	ab_sort_numbers(defs, n);
	for (uint32_t i = 0; i < n; i++)
		if (!i || defs[i] != defs[i - 1])
			defs[unique++] = defs[i];
	*ret_n = unique;
	*ret_defs = TAKE(defs);
	return 0;
}

/* All strings in one go, each looked up a while after its hash is known. Those that begin within another one come when they are asked for. */
static void intern_all(struct encoder *e, const struct part *p)
{
	struct { struct table_key key; const char *s; uint32_t n; } ring[AHEAD];
	struct table *t = &e->writer->strings;
	const char *s = p->strings, *end = s + p->n_strings;
	unsigned in = 0, out = 0;

	if (!p->n_strings)
		return;
	while (s < end || out < in) {
		if (s < end) {
			unsigned i = in++ % AHEAD;

			ring[i].s = s;
			ring[i].n = strlen(s);
			ring[i].key = ab_table_key(t, s, ring[i].n);
			ab_table_prefetch(t, ring[i].key);
			s += ring[i].n + 1;
		}
		if (in - out == AHEAD || s == end) {
			unsigned i = out++ % AHEAD;
			uint32_t number = ring[i].n ? ab_table_put(t, ring[i].key, ring[i].s, ring[i].n, 0, 0) : 0;

			if (number == NONE) {
				fault_memory(e);
				return;
			}
			e->strings[p->first_string + (ring[i].s - p->strings)] =
				(number | (is_unit_name(ring[i].s, ring[i].n) ? UNIT_NAME : 0)) + 1;
		}
	}
}

static void reset(struct encoder *e, struct ab_pack_writer *w)
{
	e->writer = w;
	e->n_nodes = e->n_base_nodes = e->n_entries = 0;
	e->n_refs = e->bodies.n = 0;
	e->variants = e->bloated = false;
	e->behind = 0;
	e->fault = NULL;
	e->depth = 0;
	free(e->first_tag);
	free(e->next_tag);
	e->first_tag = e->next_tag = NULL;
	if (e->entry_slots)
		memset(e->entry_slots, 0, ((size_t)e->entry_mask + 1) * sizeof(*e->entry_slots));
}

static int encode(struct encoder *e, uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	int r;

	intern_all(e, &e->base);
	intern_all(e, &e->own);
	make_nodes(e, 1, e->n);
	encode_nodes(e, 0);
	if (!e->fault)
		encode_roots(e, 1, e->n);
	if (e->fault)
		return report_fault(e, err);
	r = ab_pack_refine(e, 0, err);
	add_declarations(e);
	if (r == 0 && e->fault)
		r = report_fault(e, err);
	return r < 0 ? r : put_nodes(e, 0, ret_defs, ret_n, err);
}

int ab_pack_encode(struct ab_pack_writer *w, struct encoder *e, const void *btf, size_t size, const void *base, size_t base_size,
		   uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	int r;

	reset(e, w);
	r = open_parts(e, btf, size, base, base_size, err);
	if (r == 0)
		r = encode(e, ret_defs, ret_n, err);
	close_parts(e);
	return r;
}

struct encoder *ab_encoder_new(void)
{
	return calloc(1, sizeof(struct encoder));
}

void ab_encoder_free(struct encoder *e)
{
	if (!e)
		return;
	free(e->offsets);
	free(e->node_of);
	free(e->seen);
	free(e->strings);
	free(e->first_tag);
	free(e->next_tag);
	free(e->nodes);
	free(e->entries);
	free(e->entry_slots);
	free(e->refs);
	free(e->ambiguous);
	buffer_clear(&e->bodies);
	free(e);
}
