/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Definitions back to BTF. Definitions come first and know their type ids from the start; unnamed types follow, each
 * once: a record that reads like one that is there is that one. What a pack holds is believed only as far as its bounds
 * are checked here.
 */
#include "pack_build.h"

static void fault_memory(struct builder *b)
{
	b->c.bad = true;
	if (!b->fault)
		b->fault = ab_fail_memory(b->err);
}

/* ---- names of definitions ---- */

static uint32_t slot_hash(uint8_t class, uint32_t name, uint32_t variant)
{
	uint64_t h = ((uint64_t)name << 3 | class) * 0x9e3779b97f4a7c15u ^ variant * 0xff51afd7ed558ccdu;

	return h >> 32;
}

static bool grow_slots(struct builder *b)
{
	uint32_t mask = MAX(2 * b->slot_mask + 1, 1023u);
	struct named_slot *slots = calloc((size_t)mask + 1, sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t i = 0; b->slots && i <= b->slot_mask; i++) {
		const struct named_slot *s = &b->slots[i];
		uint32_t at = slot_hash(s->class, s->name, s->variant) & mask;

		if (!s->id)
			continue;
		while (slots[at].id)
			at = (at + 1) & mask;
		slots[at] = *s;
	}
	free(b->slots);
	b->slots = slots;
	b->slot_mask = mask;
	return true;
}

static struct named_slot *find_slot(const struct builder *b, uint8_t class, uint32_t name, uint32_t variant)
{
	uint32_t i = slot_hash(class, name, variant) & b->slot_mask;

	while (b->slots[i].id && (b->slots[i].name != name || b->slots[i].variant != variant || b->slots[i].class != class))
		i = (i + 1) & b->slot_mask;
	return &b->slots[i];
}

/* The id of the definition that is referred to so; 0: there is none. */
static uint32_t find_name(const struct builder *b, uint8_t class, uint32_t name, uint32_t variant)
{
	uint32_t first = b->names[name];

	if (!variant && first && first % PACK_CLASSES == class)
		return first / PACK_CLASSES;
	return find_slot(b, class, name, variant)->id;
}

/* The first definition of a name has it. */
static bool add_name(struct builder *b, const struct pack_def *def, uint32_t id)
{
	uint8_t class = ab_pack_class(def->kind);
	uint32_t variant = def->kind & PACK_VARIANT && def->size >= 4 ? get_le32(def->body) : 0;

	if (class == PACK_CLASSES || find_name(b, class, def->name, variant))
		return true;
	if (!variant && !b->names[def->name]) {
		b->names[def->name] = id * PACK_CLASSES + class;
		return true;
	}
	if (2 * (b->n_slots + 1) > b->slot_mask && !grow_slots(b))
		return false;
	*find_slot(b, class, def->name, variant) = (struct named_slot){ def->name, variant, id, class };
	b->n_slots++;
	return true;
}

/* ---- records ---- */

static void push_words(struct builder *b, const uint32_t *words, size_t n)
{
	uint8_t *p = buffer_room(&b->scratch, n * sizeof(*words));

	if (!p) {
		fault_memory(b);
		return;
	}
	for (size_t i = 0; i < n; i++)
		memcpy(p + 4 * i, &words[i], 4);
	b->scratch.n += 4 * n;
}

static void push_type(struct builder *b, uint32_t name, uint32_t kind, uint32_t vlen, bool kflag, uint32_t size_or_type)
{
	uint32_t words[] = { name, kind << 24 | vlen | (uint32_t)kflag << 31, size_or_type };

	push_words(b, words, 3);
}

static uint32_t hash_words(const uint8_t *p, size_t size)
{
	uint64_t h = size;

	for (size_t i = 0; i < size; i += 4) {
		uint32_t word;

		memcpy(&word, p + i, 4);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h >> 16;
}

static bool grow_cons(struct builder *b, uint32_t mask)
{
	uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	struct cons *cons = realloc(b->cons, ((size_t)mask + 1) / 2 * sizeof(*cons));

	if (cons)
		b->cons = cons;
	if (!slots || !cons) {
		free(slots);
		return false;
	}
	for (uint32_t n = 0; n < b->n_cons; n++) {
		uint32_t i = cons[n].hash & mask;

		while (slots[i])
			i = (i + 1) & mask;
		slots[i] = n + 1;
	}
	free(b->cons_slots);
	b->cons_slots = slots;
	b->cons_mask = mask;
	return true;
}

static void add_unnamed(struct builder *b, const void *p, size_t size)
{
	buffer_add(&b->unnamed, p, size);
	if (b->unnamed.failed)
		fault_memory(b);
	b->next_id++;
}

/* The id of the unnamed type whose record is at the top of scratch from `start` on; takes it off. */
static uint32_t pop_record(struct builder *b, size_t start)
{
	const uint8_t *p = b->scratch.p + start;
	size_t size = b->scratch.n - start;
	uint32_t i, hash;

	if (b->c.bad)
		return 0;
	if (b->n_cons == (b->cons_mask + 1) / 2 && !grow_cons(b, 2 * b->cons_mask + 1)) {
		fault_memory(b);
		return 0;
	}
	b->scratch.n = start;
	hash = hash_words(p, size);
	/* A record begins with its kind and number of elements, so those that begin alike are of one size. */
	for (i = hash & b->cons_mask; b->cons_slots[i]; i = (i + 1) & b->cons_mask) {
		const struct cons *other = &b->cons[b->cons_slots[i] - 1];

		if (other->hash == hash && size <= b->unnamed.n - other->at && !memcmp(b->unnamed.p + other->at, p, size))
			return other->id;
	}
	b->cons[b->n_cons] = (struct cons){ hash, b->unnamed.n, b->next_id };
	b->cons_slots[i] = ++b->n_cons;
	add_unnamed(b, p, size);
	return b->next_id - 1;
}

static bool grow_simple(struct builder *b, uint32_t cap)
{
	for (size_t i = 0; i < ARRAY_SIZE(b->simple); i++) {
		uint32_t *simple = array_new(cap, sizeof(*simple));

		if (!simple)
			return false;
		if (b->cap_simple)
			memcpy(simple, b->simple[i], b->cap_simple * sizeof(*simple));
		free(b->simple[i]);
		b->simple[i] = simple;
	}
	b->cap_simple = cap;
	return true;
}

/* A pointer to a type, or the type with a qualifier: most of what is unnamed, so it is found without a search. */
static uint32_t make_simple(struct builder *b, uint8_t op, uint32_t of)
{
	static const uint8_t kinds[] = { BTF_KIND_PTR, BTF_KIND_CONST, BTF_KIND_VOLATILE, BTF_KIND_RESTRICT };
	uint32_t words[] = { 0, (uint32_t)kinds[op - OP_PTR] << 24, of };

	if (b->next_id > b->cap_simple && !grow_simple(b, MAX(2 * b->next_id, 1u << 12))) {
		fault_memory(b);
		return 0;
	}
	if (!b->simple[op - OP_PTR][of]) {
		b->simple[op - OP_PTR][of] = b->next_id;
		add_unnamed(b, words, sizeof(words));
	}
	return b->simple[op - OP_PTR][of];
}

static uint32_t make_record(struct builder *b, uint32_t name, uint32_t kind, bool kflag, uint32_t type)
{
	size_t start = b->scratch.n;

	push_type(b, name, kind, 0, kflag, type);
	return pop_record(b, start);
}

/* ---- strings ---- */

/* Strings stay in their chunks until the end. What lies there one behind the other is one piece. */
static void add_string(struct builder *b, const char *s, size_t n)
{
	struct piece *last = b->pieces.n > b->pieces_start ? (struct piece *)(b->pieces.p + b->pieces.n) - 1 : NULL;

	if (last && last->p + last->size == s) {
		last->size += n;
	} else {
		struct piece piece = { s, n };

		buffer_add(&b->pieces, &piece, sizeof(piece));
		if (b->pieces.failed)
			fault_memory(b);
	}
	b->strings_size += n;
}

/* The offset in the BTF of a string of the pack. */
static uint32_t string_offset(struct builder *b, uint32_t string)
{
	const char *s;
	size_t n;
	int r;

	if (!string)
		return 0;
	if (b->string_at[string])
		return b->string_at[string] - 1;
	if (string - b->text_first >= b->text_count) {
		r = ab_pack_text(b->pack, string, &b->text, &b->text_first, &b->text_count, b->err);
		if (r < 0) {
			b->text_count = 0;
			b->fault = r;
			b->c.bad = true;
			return 0;
		}
	}
	s = (const char *)b->text->data + b->text->at[string - b->text_first];
	n = b->text->at[string - b->text_first + 1] - b->text->at[string - b->text_first] - 1;
	b->string_at[string] = b->strings_size + 1;
	add_string(b, s, n + 1);
	return b->string_at[string] - 1;
}

static uint32_t take_number(struct builder *b)
{
	uint64_t token = take_varint(&b->c), number = token ? token - 1 : ++b->fresh;

	if (number >= b->pack->n_strings) {
		b->c.bad = true;
		return 0;
	}
	return number;
}

static uint32_t take_str(struct builder *b)
{
	return string_offset(b, take_number(b));
}

static uint32_t take_word(struct builder *b)
{
	uint64_t v = take_varint(&b->c);

	if (v > UINT32_MAX)
		b->c.bad = true;
	return v;
}

static uint32_t take_vlen(struct builder *b)
{
	uint64_t v = take_varint(&b->c);

	if (v > UINT16_MAX || v > (size_t)(b->c.end - b->c.p))
		b->c.bad = true;
	return b->c.bad ? 0 : v;
}

/* ---- definitions ---- */

static uint32_t take_expr(struct builder *b);

static void take_members(struct builder *b, uint32_t name, uint32_t kind, bool kflag)
{
	uint32_t size = take_word(b), vlen = take_vlen(b);
	int64_t offset = 0;

	push_type(b, name, kind, vlen, kflag, size);
	for (uint32_t i = 0; i < vlen && !b->c.bad; i++) {
		uint32_t words[3] = { take_str(b) };
		uint64_t placement = take_varint(&b->c), bits = placement & 1 ? take_varint(&b->c) : 0;

		offset += placement & 1 ? unzigzag(placement >> 1) : unzigzag(placement >> 1) * 8;
		if (offset < 0 || offset > (kflag ? 0xffffff : UINT32_MAX) || bits > (kflag ? 255 : 0))
			b->c.bad = true;
		words[1] = take_expr(b);
		words[2] = (uint32_t)offset | (uint32_t)bits << 24;
		push_words(b, words, 3);
	}
}

static void take_enumerators(struct builder *b, uint32_t name, uint32_t kind, bool kflag)
{
	uint32_t size = take_word(b), vlen = take_vlen(b);
	uint64_t value = 0;

	push_type(b, name, kind, vlen, kflag, size);
	for (uint32_t i = 0; i < vlen && !b->c.bad; i++) {
		uint32_t words[3] = { take_str(b) };

		value += (uint64_t)unzigzag(take_varint(&b->c));
		words[1] = value;
		words[2] = value >> 32;
		push_words(b, words, kind == BTF_KIND_ENUM ? 2 : 3);
	}
}

static void take_proto(struct builder *b)
{
	uint32_t vlen = take_vlen(b);

	b->behind++;
	push_type(b, 0, BTF_KIND_FUNC_PROTO, vlen, false, take_expr(b));
	for (uint32_t i = 0; i < vlen && !b->c.bad; i++) {
		uint32_t words[2] = { take_str(b) };

		words[1] = take_expr(b);
		push_words(b, words, 2);
	}
	b->behind--;
}

static void take_section(struct builder *b, uint32_t name)
{
	uint32_t size = take_word(b), vlen = take_vlen(b);
	uint64_t end = 0;

	push_type(b, name, BTF_KIND_DATASEC, vlen, false, size);
	for (uint32_t i = 0; i < vlen && !b->c.bad; i++) {
		uint32_t words[3] = { take_expr(b) };

		words[1] = end + (uint64_t)unzigzag(take_varint(&b->c));
		words[2] = take_word(b);
		end = (uint64_t)words[1] + words[2];
		push_words(b, words, 3);
	}
}

/* Pushes a DECL_TAG for each; what they are on is not known yet. */
static void push_tags(struct builder *b)
{
	uint32_t n = take_vlen(b);

	for (uint32_t i = 0; i < n && !b->c.bad; i++) {
		uint64_t component = take_varint(&b->c);
		uint32_t index = (component >> 1) - 1;

		if (component > (uint64_t)UINT32_MAX * 2)
			b->c.bad = true;
		push_type(b, take_str(b), BTF_KIND_DECL_TAG, 0, component & 1, 0);
		push_words(b, &index, 1);
	}
}

/* Takes them off again, as types that are on type `id`. */
static void pop_tags(struct builder *b, size_t start, uint32_t id)
{
	for (size_t at = start; at < b->scratch.n && !b->c.bad; at += sizeof(struct btf_type) + sizeof(struct btf_decl_tag)) {
		((struct btf_type *)(b->scratch.p + at))->type = id;
		add_unnamed(b, b->scratch.p + at, sizeof(struct btf_type) + sizeof(struct btf_decl_tag));
	}
	b->scratch.n = start;
}

static int name_functions(struct builder *b);

static uint32_t take_reference(struct builder *b, uint8_t op)
{
	uint8_t class = op >= OP_VARIANT ? op - OP_VARIANT : op - OP_NAMED;
	uint32_t variant = 0, name, id;

	if (op >= OP_VARIANT) {
		if (b->c.end - b->c.p < 4) {
			b->c.bad = true;
			return 0;
		}
		variant = get_le32(b->c.p);
		b->c.p += 4;
	}
	name = take_number(b);
	if (b->c.bad)
		return 0;
	if (b->collect) {
		b->collect(b, class, name, variant);
		return 0;
	}
	if (class == PACK_FUNC && !b->functions && name_functions(b) < 0)
		b->c.bad = true;
	id = find_name(b, class, name, variant);
	if (id)
		return id;
	if (b->partial && (class == PACK_STRUCT || class == PACK_UNION))
		return make_record(b, string_offset(b, name), BTF_KIND_FWD, class == PACK_UNION, 0);
	b->c.bad = true;
	return 0;
}

static void take_array(struct builder *b)
{
	uint32_t words[3] = { 0, 0, take_word(b) };

	words[0] = take_expr(b);
	words[1] = take_expr(b);
	push_type(b, 0, BTF_KIND_ARRAY, 0, false, 0);
	push_words(b, words, 3);
}

/* Leaves the record of an unnamed type at the top of scratch. */
static void push_unnamed(struct builder *b, uint8_t op)
{
	static const uint8_t kinds[] = {
		[OP_PTR] = BTF_KIND_PTR, [OP_CONST] = BTF_KIND_CONST, [OP_VOLATILE] = BTF_KIND_VOLATILE,
		[OP_RESTRICT] = BTF_KIND_RESTRICT, [OP_TYPE_TAG] = BTF_KIND_TYPE_TAG, [OP_TYPE_TAG_KFLAG] = BTF_KIND_TYPE_TAG,
		[OP_STRUCT] = BTF_KIND_STRUCT, [OP_UNION] = BTF_KIND_UNION, [OP_ENUM] = BTF_KIND_ENUM,
		[OP_ENUM64] = BTF_KIND_ENUM64,
		[OP_STRUCT_KFLAG] = BTF_KIND_STRUCT, [OP_UNION_KFLAG] = BTF_KIND_UNION, [OP_ENUM_KFLAG] = BTF_KIND_ENUM,
		[OP_ENUM64_KFLAG] = BTF_KIND_ENUM64,
	};
	bool kflag = op >= OP_STRUCT_KFLAG || op == OP_TYPE_TAG_KFLAG;
	uint32_t name = 0;

	switch (op) {
	case OP_TYPE_TAG:
	case OP_TYPE_TAG_KFLAG:
		name = take_str(b);
		push_type(b, name, kinds[op], 0, kflag, take_expr(b));
		break;
	case OP_PTR:
		b->behind++;
		push_type(b, 0, kinds[op], 0, false, take_expr(b));
		b->behind--;
		break;
	case OP_CONST:
	case OP_VOLATILE:
	case OP_RESTRICT:
		push_type(b, 0, kinds[op], 0, false, take_expr(b));
		break;
	case OP_ARRAY:
		take_array(b);
		break;
	case OP_FUNC_PROTO:
		take_proto(b);
		break;
	case OP_STRUCT:
	case OP_UNION:
	case OP_STRUCT_KFLAG:
	case OP_UNION_KFLAG:
		take_members(b, 0, kinds[op], kflag);
		break;
	case OP_ENUM:
	case OP_ENUM64:
	case OP_ENUM_KFLAG:
	case OP_ENUM64_KFLAG:
		take_enumerators(b, 0, kinds[op], kflag);
		break;
	default:
		b->c.bad = true;
	}
}

/*
 * Types with tags are not looked for among those that there are: the tags would have to be compared too, and there are
 * hardly any.
 */
static uint32_t take_tagged(struct builder *b)
{
	size_t tags = b->scratch.n, start;
	uint32_t id;

	push_tags(b);
	start = b->scratch.n;
	push_unnamed(b, take_byte(&b->c));
	if (b->c.bad)
		return 0;
	id = b->next_id;
	add_unnamed(b, b->scratch.p + start, b->scratch.n - start);
	b->scratch.n = start;
	pop_tags(b, tags, id);
	return id;
}

static uint32_t take_expr(struct builder *b)
{
	uint8_t op = take_byte(&b->c);
	size_t start = b->scratch.n;
	uint32_t id = 0;

	if (b->c.bad || op == OP_VOID)
		return 0;
	if (op >= OP_NAMED)
		return take_reference(b, op);
	if (++b->depth > PACK_MAX_NESTING + 1) {
		b->c.bad = true;
	} else if (op == OP_TAGGED) {
		id = take_tagged(b);
	} else if (op <= OP_RESTRICT) {
		b->behind += op == OP_PTR;
		id = take_expr(b);
		b->behind -= op == OP_PTR;
		id = b->c.bad ? 0 : make_simple(b, op, id);
	} else {
		push_unnamed(b, op);
		id = pop_record(b, start);
	}
	b->depth--;
	return id;
}

static void take_body(struct builder *b, const struct pack_def *def)
{
	uint32_t kind = def->kind & PACK_KIND, name = string_offset(b, def->name), word;
	bool kflag = def->kind & PACK_KFLAG;

	switch (kind) {
	case BTF_KIND_INT:
		word = take_word(b);
		push_type(b, name, kind, 0, kflag, word);
		word = take_word(b);
		push_words(b, &word, 1);
		break;
	case BTF_KIND_FLOAT:
		push_type(b, name, kind, 0, kflag, take_word(b));
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		take_members(b, name, kind, kflag);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		take_enumerators(b, name, kind, kflag);
		break;
	case BTF_KIND_FWD:
		push_type(b, name, kind, 0, kflag, 0);
		break;
	case BTF_KIND_FUNC:
		word = take_word(b);
		if (word > UINT16_MAX)
			b->c.bad = true;
		push_type(b, name, kind, word, kflag, take_expr(b));
		break;
	case BTF_KIND_VAR:
		word = take_word(b);
		push_type(b, name, kind, 0, kflag, take_expr(b));
		push_words(b, &word, 1);
		break;
	case BTF_KIND_DATASEC:
		take_section(b, name);
		break;
	case BTF_KIND_TYPEDEF:
		push_type(b, name, kind, 0, kflag, take_expr(b));
		break;
	case 0:
		take_expr(b);
		break;
	default:
		b->c.bad = true;
	}
}

int ab_builder_def(struct builder *b, uint32_t number, uint32_t id)
{
	struct pack_def def;
	int r = ab_pack_read_def(b->pack, &b->reader, number, &def, b->err);

	if (r < 0)
		return r;
	b->c = (struct cursor){ def.body, def.body + def.size, false };
	b->def = number;
	b->fresh = def.name;
	b->depth = 0;
	b->scratch.n = 0;
	if (def.kind & PACK_VARIANT)
		b->c.p += MIN(def.size, 4);
	take_body(b, &def);
	if (!b->c.bad) {
		buffer_add(&b->named, b->scratch.p, b->scratch.n);
		b->scratch.n = 0;
	}
	if (def.kind & PACK_TAGS) {
		push_tags(b);
		pop_tags(b, 0, id);
	}
	if (b->named.failed)
		fault_memory(b);
	if (b->fault)
		return b->fault;
	return b->c.bad || b->c.p != b->c.end ? ab_pack_bad_def(b->pack, number, b->err) : 0;
}

/* ---- sets ---- */

/* Calls for each definition of the set with the id that its type has; 0 for roots. */
static int each_in_set(struct builder *b, const uint64_t *bits, int (*fn)(struct builder *b, uint32_t def, uint32_t id))
{
	uint32_t id = b->first_id;
	int r = 0;

	for (size_t i = 0; i < PACK_BITS(b->pack->n_defs) && r == 0; i++) {
		for (uint64_t word = bits[i]; word && r == 0; word &= word - 1) {
			uint32_t def = 64 * i + __builtin_ctzll(word), name;
			uint8_t kind;

			r = ab_pack_read_head(b->pack, &b->reader, def, &kind, &name, b->err);
			if (r == 0)
				r = fn(b, def, kind & PACK_KIND ? id++ : 0);
		}
	}
	b->next_id = r == 0 && b->next_id < id ? id : b->next_id;
	return r;
}

/* Room for as much as sets of this size have, so that nothing grows on the way. What is not needed is not touched. */
static bool reserve(struct builder *b, const uint64_t *bits)
{
	size_t n = 1; /* a set may be empty, and room for nothing is NULL */

	for (size_t i = 0; i < PACK_BITS(b->pack->n_defs); i++)
		n += __builtin_popcountll(bits[i]);
	while (b->cons_mask < n)
		if (!grow_cons(b, 2 * b->cons_mask + 1))
			return false;
	if (!b->names)
		b->names = array_new(b->pack->n_strings, sizeof(*b->names));
	return b->names && (b->cap_simple >= 3 * n || grow_simple(b, 3 * n)) && buffer_room(&b->named, 96 * n) &&
	       buffer_room(&b->unnamed, 24 * n);
}

static int name_definition(struct builder *b, uint32_t number, uint32_t id)
{
	struct pack_def def = {};
	int r = ab_pack_read_head(b->pack, &b->reader, number, &def.kind, &def.name, b->err);

	if (r < 0 || (ab_pack_class(def.kind) == PACK_FUNC) != b->functions)
		return r;
	if (def.kind & PACK_VARIANT)
		r = ab_pack_read_def(b->pack, &b->reader, number, &def, b->err);
	if (r == 0 && !add_name(b, &def, id))
		r = ab_fail_memory(b->err);
	return r;
}

/* Functions are as many as all else and hardly ever referred to, so they are named only when one is. */
static int name_functions(struct builder *b)
{
	b->functions = true;
	b->fault = b->bits ? each_in_set(b, b->bits, name_definition) : 0;
	return b->fault;
}

int ab_builder_add(struct builder *b, const uint64_t *bits)
{
	int r;

	if (!reserve(b, bits))
		return ab_fail_memory(b->err);
	b->bits = bits;
	b->first_id = b->next_id;
	b->functions = false;
	r = each_in_set(b, bits, name_definition);
	return r < 0 ? r : each_in_set(b, bits, ab_builder_def);
}

int ab_builder_init(struct builder *b, const struct ab_pack *pack, struct ab_error *err)
{
	*b = (struct builder){ .pack = pack, .err = err, .next_id = 1 };
	b->string_at = array_new(pack->n_strings, sizeof(*b->string_at));
	add_string(b, "", 1);
	if (buffer_room(&b->named, sizeof(struct btf_header)))
		b->named.n = sizeof(struct btf_header);
	if (!b->string_at || !b->named.n || b->fault || !grow_slots(b) || !grow_cons(b, 255)) {
		ab_builder_clear(b);
		return ab_fail_memory(err);
	}
	return 0;
}

void ab_builder_clear(struct builder *b)
{
	buffer_clear(&b->named);
	buffer_clear(&b->unnamed);
	buffer_clear(&b->pieces);
	buffer_clear(&b->scratch);
	free(b->string_at);
	free(b->names);
	free(b->slots);
	free(b->cons);
	free(b->cons_slots);
	for (size_t i = 0; i < ARRAY_SIZE(b->simple); i++)
		free(b->simple[i]);
}

/* What follows is a BTF of its own, which extends the one before. */
static void begin_split(struct builder *b)
{
	b->named.n = sizeof(struct btf_header);
	b->unnamed_start = b->unnamed.n;
	b->pieces_start = b->pieces.n;
	b->strings_start = b->strings_size;
}

int ab_builder_finish(struct builder *b, void **ret_btf, size_t *ret_size)
{
	size_t unnamed = b->unnamed.n - b->unnamed_start, types = b->named.n - sizeof(struct btf_header) + unnamed;
	size_t strings = b->strings_size - b->strings_start;
	struct btf_header h = {
		.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(h), .type_len = types,
		.str_off = types, .str_len = strings,
	};
	uint8_t *p;

	if (types + strings > UINT32_MAX || !buffer_room(&b->named, unnamed + strings))
		return ab_fail_memory(b->err);
	memcpy(b->named.p, &h, sizeof(h));
	buffer_add(&b->named, b->unnamed.p + b->unnamed_start, unnamed);
	for (size_t at = b->pieces_start; at < b->pieces.n; at += sizeof(struct piece)) {
		const struct piece *piece = (const struct piece *)(b->pieces.p + at);

		buffer_add(&b->named, piece->p, piece->size);
	}
	p = realloc(b->named.p, b->named.n);
	*ret_btf = p ? p : b->named.p;
	*ret_size = b->named.n;
	b->named = (struct buffer){};
	return 0;
}

/* A module's set is built behind its kernel's. */
int ab_pack_extract(const struct ab_pack *pack, size_t index, void **ret_btf, size_t *ret_size, struct ab_error *err)
{
	uint32_t base = pack->kernels[index].base;
	_free_ uint64_t *bits = NULL, *base_bits = NULL;
	struct builder b;
	int r;

	r = ab_builder_init(&b, pack, err);
	if (r < 0)
		return r;
	r = base ? ab_pack_set(pack, base - 1, &base_bits, err) : 0;
	if (r == 0 && base)
		r = ab_builder_add(&b, base_bits);
	if (base)
		begin_split(&b);
	if (r == 0)
		r = ab_pack_set(pack, index, &bits, err);
	if (r == 0)
		r = ab_builder_add(&b, bits);
	if (r == 0)
		r = ab_builder_finish(&b, ret_btf, ret_size);
	ab_builder_clear(&b);
	return r;
}
