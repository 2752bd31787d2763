/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A definition's bytes, piece by piece: for changing its string numbers, for hashing it, and for checking it. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "pack_internal.h"

uint64_t ab_take_long_varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; c->p < c->end && shift < 64; shift += 7) {
		uint8_t byte = *c->p++;

		v |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return v;
	}
	c->bad = true;
	return 0;
}

uint64_t ab_pack_hash(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

bool ab_buffer_grow(struct buffer *b, size_t more)
{
	size_t cap = MAX(MAX(2 * b->cap, b->n + more), 4096);
	uint8_t *p = b->failed ? NULL : realloc(b->p, cap);

	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

enum pack_class ab_pack_class(uint8_t kind)
{
	switch (kind & PACK_KIND) {
	case BTF_KIND_INT:
		return PACK_INT;
	case BTF_KIND_FLOAT:
		return PACK_FLOAT;
	case BTF_KIND_TYPEDEF:
		return PACK_TYPEDEF;
	case BTF_KIND_STRUCT:
		return PACK_STRUCT;
	case BTF_KIND_UNION:
		return PACK_UNION;
	case BTF_KIND_FWD:
		return kind & PACK_KFLAG ? PACK_UNION : PACK_STRUCT;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return PACK_ENUM;
	case BTF_KIND_VAR:
		return PACK_VAR;
	case BTF_KIND_FUNC:
		return PACK_FUNC;
	default:
		return PACK_CLASSES;
	}
}

static void walk_str(struct walk *w)
{
	uint64_t token;

	if (w->raw)
		w->raw(w, w->kept, w->c.p - w->kept);
	token = take_varint(&w->c);
	w->kept = w->c.p;
	if (!w->c.bad)
		w->str(w, token);
}

/* How often something that takes at least `least` bytes can be there still. */
static uint64_t take_count(struct walk *w, unsigned least)
{
	uint64_t n = take_varint(&w->c);

	if (n > (uint64_t)(w->c.end - w->c.p) / least || n > UINT16_MAX) {
		w->c.bad = true;
		return 0;
	}
	return n;
}

static void walk_expr(struct walk *w);

static void walk_members(struct walk *w)
{
	uint64_t n;

	take_varint(&w->c);
	n = take_count(w, 3);
	for (uint64_t i = 0; i < n && !w->c.bad; i++) {
		walk_str(w);
		if (take_varint(&w->c) & 1)
			take_varint(&w->c);
		walk_expr(w);
	}
}

static void walk_enumerators(struct walk *w)
{
	uint64_t n;

	take_varint(&w->c);
	n = take_count(w, 2);
	for (uint64_t i = 0; i < n && !w->c.bad; i++) {
		walk_str(w);
		take_varint(&w->c);
	}
}

static void walk_tags(struct walk *w)
{
	uint64_t n = take_count(w, 2);

	for (uint64_t i = 0; i < n && !w->c.bad; i++) {
		take_varint(&w->c);
		walk_str(w);
	}
}

static void walk_proto(struct walk *w)
{
	uint64_t n = take_count(w, 2);

	walk_expr(w);
	for (uint64_t i = 0; i < n && !w->c.bad; i++) {
		walk_str(w);
		walk_expr(w);
	}
}

static void walk_datasec(struct walk *w)
{
	uint64_t n;

	take_varint(&w->c);
	n = take_count(w, 3);
	for (uint64_t i = 0; i < n && !w->c.bad; i++) {
		walk_expr(w);
		take_varint(&w->c);
		take_varint(&w->c);
	}
}

static void walk_reference(struct walk *w, uint8_t op)
{
	if (op >= OP_VARIANT) {
		if (w->c.end - w->c.p < 4 || op >= OP_END) {
			w->c.bad = true;
			return;
		}
		w->c.p += 4;
	}
	walk_str(w);
}

/* Qualifiers and pointers follow each other on one level, so that only nesting takes the stack. */
static void walk_expr(struct walk *w)
{
	uint8_t op;

	if (++w->depth > 4 * PACK_MAX_NESTING)
		w->c.bad = true;
	while (!w->c.bad) {
		op = take_byte(&w->c);
		if (op >= OP_NAMED) {
			walk_reference(w, op);
			break;
		}
		if (op == OP_VOID)
			break;
		if (op <= OP_RESTRICT)
			continue;
		if (op <= OP_TYPE_TAG_KFLAG) {
			walk_str(w);
			continue;
		}
		if (op == OP_TAGGED) {
			walk_tags(w);
			continue;
		}
		if (op == OP_ARRAY) {
			take_varint(&w->c);
			walk_expr(w);
			continue;
		}
		if (op == OP_FUNC_PROTO)
			walk_proto(w);
		else if (op == OP_STRUCT || op == OP_UNION || op == OP_STRUCT_KFLAG || op == OP_UNION_KFLAG)
			walk_members(w);
		else if (op == OP_ENUM || op == OP_ENUM64 || op == OP_ENUM_KFLAG || op == OP_ENUM64_KFLAG)
			walk_enumerators(w);
		else
			w->c.bad = true;
		break;
	}
	w->depth--;
}

static void walk_body(struct walk *w, uint8_t kind)
{
	switch (kind & PACK_KIND) {
	case BTF_KIND_INT:
		take_varint(&w->c);
		take_varint(&w->c);
		break;
	case BTF_KIND_FLOAT:
		take_varint(&w->c);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		walk_members(w);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		walk_enumerators(w);
		break;
	case BTF_KIND_FWD:
		break;
	case BTF_KIND_DATASEC:
		walk_datasec(w);
		break;
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR:
		take_varint(&w->c);
		walk_expr(w);
		break;
	case BTF_KIND_TYPEDEF:
	case 0:
		walk_expr(w);
		break;
	default:
		w->c.bad = true;
	}
}

bool ab_pack_walk(struct walk *w, uint8_t kind, const uint8_t *body, size_t size)
{
	w->c = (struct cursor){ body, body + size, false };
	w->kept = body;
	w->depth = 0;
	if (kind & PACK_VARIANT) {
		if (size < 4)
			return false;
		w->c.p += 4;
	}
	walk_body(w, kind);
	if (kind & PACK_TAGS)
		walk_tags(w);
	if (!w->c.bad && w->raw)
		w->raw(w, w->kept, w->c.p - w->kept);
	return !w->c.bad && w->c.p == w->c.end;
}
