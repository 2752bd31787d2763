/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The definitions of one BTF: where types begin, which of them are definitions, what they are called, and what no
 * definition contains. pack_encode.c makes their bytes, pack_refine.c tells those of one name apart, pack_module.c does
 * split BTF.
 */
#include "internal.h"
#include "pack_encode.h"

#define MAX_TYPES (1u << 24)

static int report_fault(const struct encoder *e, struct ab_error *err)
{
	if (e->fault_code == -ENOMEM)
		return ab_fail_memory(err);
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: type %u: %s", e->fault_id, e->fault);
}

/* ---- nodes and their names ---- */

static bool grow_nodes(struct encoder *e)
{
	uint32_t cap = MAX(2 * e->cap_nodes, 1u << 16);
	struct node *nodes = realloc(e->nodes, cap * sizeof(*nodes));

	if (!nodes) {
		ab_encode_no_memory(e);
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
		ab_encode_no_memory(e);
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

static bool is_definition(struct encoder *e, const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return ab_encode_string(e, t->name_off); /* "" may have any offset */
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
		ab_encode_fault(e, id, "is a tag on no type");
		return;
	}
	if (!e->first_tag) {
		e->first_tag = calloc(e->n, sizeof(*e->first_tag));
		e->next_tag = calloc(e->n, sizeof(*e->next_tag));
		if (!e->first_tag || !e->next_tag) {
			ab_encode_no_memory(e);
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
		if (!is_definition(e, t))
			continue;
		node = add_node(e, id, kind | (ab_btf_kflag(t) ? PACK_KFLAG : 0));
		if (!node)
			return;
		node->name = ab_encode_string(e, t->name_off) & ~UNIT_NAME;
		if (kind == BTF_KIND_INT && (node->variant = int_variant(t)))
			node->kind |= PACK_VARIANT;
		e->seen[id] = 1;
		e->targets[id].node = e->n_nodes;
		enter(e, e->n_nodes - 1);
		if (node->entry != NONE)
			e->targets[id].plain = node->name * 16 + ab_pack_class(node->kind) + 1;
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
	return id && !e->seen[id] && ab_btf_kind(type_at(e, id)) != BTF_KIND_DECL_TAG;
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
		ab_encode_no_memory(e);
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
			ab_encode_fault(e, left[i], "contains itself");
}

/* ---- parts: where types begin ---- */

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

static bool resize(void *array, size_t n, size_t size)
{
	void *p = realloc(*(void **)array, n * size);

	if (p)
		*(void **)array = p;
	return p;
}

/* Scratch by type and by string offset, zeroed behind what the base has. */
static int make_scratch(struct encoder *e, size_t types, size_t strings, struct ab_error *err)
{
	size_t first_string = e->own.first_string, whole = (first_string + 31) / 32;

	if (types > e->cap_types) {
		size_t cap = types + types / 4;

		e->cap_types = 0;
		if (!resize(&e->offsets, cap, sizeof(*e->offsets)) || !resize(&e->targets, cap, sizeof(*e->targets)) ||
		    !resize(&e->seen, cap, 1))
			return ab_fail_memory(err);
		e->cap_types = cap;
	}
	if (strings > e->cap_strings) {
		size_t cap = strings + strings / 4;

		if (!resize(&e->blocks, cap / 32 + 1, sizeof(*e->blocks)))
			return ab_fail_memory(err);
		e->cap_strings = cap;
	}
	/* The base's last string may end within a block. */
	memset(e->blocks + whole, 0, (strings / 32 + 1 - whole) * sizeof(*e->blocks));
	if (first_string % 32)
		e->blocks[first_string / 32].starts &= (1u << first_string % 32) - 1;
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
		if (!kind || kind >= KNOWN_KINDS)
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "BTF has a type of unknown kind %u (type %u)", kind, e->n);
		need = sizeof(*t) + ab_btf_layouts[kind].fixed + ab_btf_layouts[kind].element * ab_btf_vlen(t);
		if (left < need)
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged BTF: type %u is cut off", e->n);
		e->offsets[e->n] = at;
		at += need;
	}
	p->n_types = e->n - p->first_type;
	return 0;
}

/* The BTF at hand, whose types and strings are numbered from where the base's end. */
static int open_own(struct encoder *e, const void *btf, size_t size, struct ab_error *err)
{
	struct part *p = &e->own;
	bool split = e->base.n_strings;
	size_t types;
	int r = open_part(p, btf, size, err);

	if (r == 0 && !split && *p->strings)
		r = fail_part(err, "its strings do not begin with NUL");
	if (r < 0)
		return r;
	p->first_string = e->base.n_strings;
	/* The smallest type has 12 bytes. */
	types = e->n + p->types_size / sizeof(struct btf_type) + 1;
	if (types > MAX_TYPES || (uint64_t)p->first_string + p->n_strings > UINT32_MAX)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "BTF of more than %u types", MAX_TYPES);
	r = make_scratch(e, types, (size_t)p->first_string + p->n_strings, err);
	if (r == 0)
		r = index_part(e, p, err);
	if (r < 0)
		return r;
	memset(e->targets + p->first_type, 0, p->n_types * sizeof(*e->targets));
	memset(e->seen + p->first_type, 0, p->n_types);
	return 0;
}

/* ---- all of it ---- */

/* A forward declaration of what is defined once is that definition. */
static bool is_left_out(const struct encoder *e, const struct node *node)
{
	const struct entry *entry = node->entry == NONE ? NULL : &e->entries[node->entry];

	return node->in_base || ((node->kind & PACK_KIND) == BTF_KIND_FWD && entry && !entry->ambiguous && entry->has_full);
}

/* What pointers lead to by name only, where the name has several meanings. */
static void add_declarations(struct encoder *e, size_t first_ref)
{
	if (!e->bloated)
		return;
	for (size_t i = first_ref; i < e->n_refs; i++)
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
		node->name = entry->name;
		e->entries[i].has_forward = true;
		ab_encode_node(e, node);
	}
}

#define AHEAD 8

static int put_nodes(struct encoder *e, uint32_t first, uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	_free_ uint32_t *defs = array_new(e->n_nodes - first, sizeof(*defs));
	struct table *t = &e->writer->defs;
	uint32_t n = 0;

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
	*ret_n = ab_sort_unique(defs, n);
	*ret_defs = TAKE(defs);
	return 0;
}

static void reset(struct encoder *e)
{
	e->n = 1;
	e->n_nodes = e->n_base_nodes = e->n_entries = 0;
	e->n_refs = e->bodies.n = e->n_numbers = 0;
	e->bloated = false;
	if (e->entry_slots)
		memset(e->entry_slots, 0, ((size_t)e->entry_mask + 1) * sizeof(*e->entry_slots));
}

/* What of earlier BTF must not be seen in the one at hand. */
static void begin(struct encoder *e)
{
	e->variants = false;
	e->behind = e->depth = 0;
	e->fault = NULL;
	free(e->first_tag);
	free(e->next_tag);
	e->first_tag = e->next_tag = NULL;
	e->own = (struct part){};
}

/* The definitions of the BTF at hand, which extends the base if there is one. */
static int encode(struct encoder *e, const void *btf, size_t size, uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	uint32_t first = e->n_nodes;
	size_t first_ref = e->n_refs;
	int r;

	begin(e);
	r = open_own(e, btf, size, err);
	if (r == 0) {
		ab_encode_strings(e, &e->own);
		make_nodes(e, e->own.first_type, e->n);
		encode_nodes(e, first);
		encode_roots(e, e->own.first_type, e->n);
		r = e->fault ? report_fault(e, err) : ab_pack_refine(e, first, err);
	}
	if (r == 0)
		add_declarations(e, first_ref);
	if (r == 0 && e->fault)
		r = report_fault(e, err);
	if (r == 0)
		r = put_nodes(e, first, ret_defs, ret_n, err);
	return r;
}

/* ---- split BTF: the base is encoded once for all modules of a kernel ---- */

static void add_slot(struct encoder *e, uint32_t entry)
{
	uint32_t i = entry_hash(e->entries[entry].name, e->entries[entry].class) & e->entry_mask;

	while (e->entry_slots[i])
		i = (i + 1) & e->entry_mask;
	e->entry_slots[i] = entry + 1;
}

/* Forgets what the last module has added. */
static void rewind_base(struct encoder *e)
{
	const struct base *b = &e->kept;

	e->n = b->n;
	e->n_nodes = e->n_base_nodes = b->n_nodes;
	e->n_refs = b->n_refs;
	e->n_numbers = b->n_numbers;
	e->bodies.n = b->n_bodies;
	e->n_entries = b->n_entries;
	memcpy(e->entries, b->entries, b->n_entries * sizeof(*e->entries));
	memset(e->entry_slots, 0, ((size_t)e->entry_mask + 1) * sizeof(*e->entry_slots));
	for (uint32_t i = 0; i < e->n_entries; i++)
		add_slot(e, i);
}

static void drop_base(struct encoder *e)
{
	ab_btf_close(e->base.swapped);
	e->base = (struct part){};
	free(e->kept.entries);
	free(e->kept.defs);
	e->kept = (struct base){};
}

static int keep_base(struct encoder *e, const void *base, size_t size, uint64_t hash, struct ab_error *err)
{
	struct base *b = &e->kept;
	int r;

	reset(e);
	r = encode(e, base, size, &b->defs, &b->n_defs, err);
	if (r == 0 && !e->n_entries)
		r = fail_part(err, "the kernel's types that the module's extend have no names");
	if (r == 0 && !(b->entries = malloc(e->n_entries * sizeof(*b->entries))))
		r = ab_fail_memory(err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < e->n_entries; i++)
		e->entries[i].in_base = true;
	memcpy(b->entries, e->entries, e->n_entries * sizeof(*b->entries));
	b->hash = hash;
	b->size = size;
	b->n = e->n;
	b->n_nodes = e->n_nodes;
	b->n_refs = e->n_refs;
	b->n_numbers = e->n_numbers;
	b->n_bodies = e->bodies.n;
	b->n_entries = e->n_entries;
	e->base = e->own;
	e->own = (struct part){};
	return 0;
}

/* The base at hand is this one, in the memory where it is now. */
static int take_base(struct encoder *e, const void *base, size_t size, struct ab_error *err)
{
	uint64_t hash = ab_pack_hash(base, size, 0);
	struct part p = {};
	int r;

	if (e->kept.size != size || e->kept.hash != hash) {
		drop_base(e);
		return keep_base(e, base, size, hash, err);
	}
	r = open_part(&p, base, size, err);
	if (r < 0)
		return r;
	ab_btf_close(e->base.swapped);
	p.first_type = e->base.first_type;
	p.n_types = e->base.n_types;
	e->base = p;
	return 0;
}

int ab_pack_encode(struct ab_pack_writer *w, struct encoder *e, const void *btf, size_t size, const void *base, size_t base_size,
		   uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err)
{
	int r = 0;

	if (!base || e->writer != w)
		drop_base(e);
	if (e->writer != w)
		e->n_after = 0;
	e->writer = w;
	if (base) {
		r = take_base(e, base, base_size, err);
		if (r == 0)
			rewind_base(e);
	} else {
		reset(e);
	}
	if (r == 0)
		r = encode(e, btf, size, ret_defs, ret_n, err);
	ab_btf_close(e->own.swapped);
	e->own = (struct part){};
	if (r < 0)
		drop_base(e);
	return r;
}

const uint32_t *ab_encoder_base_defs(const struct encoder *e, uint32_t *ret_n)
{
	*ret_n = e->kept.n_defs;
	return e->kept.defs;
}

struct encoder *ab_encoder_new(void)
{
	return calloc(1, sizeof(struct encoder));
}

void ab_encoder_free(struct encoder *e)
{
	if (!e)
		return;
	drop_base(e);
	free(e->offsets);
	free(e->targets);
	free(e->blocks);
	free(e->numbers);
	free(e->after);
	free(e->seen);
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
