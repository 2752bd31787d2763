/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Definitions back to BTF (pack_build.c). */
#ifndef AB_BTF_PACK_BUILD_H
#define AB_BTF_PACK_BUILD_H

#include "pack_internal.h"

struct named_slot {
	uint32_t name, variant, id; /* id 0: free */
	uint8_t class;
};

struct piece {
	const char *p;
	size_t size;
};

struct builder {
	const struct ab_pack *pack;
	struct ab_error *err;
	struct buffer named, unnamed, scratch; /* records of the BTF, named ones behind its header; those at hand, as a stack */
	struct buffer pieces;     /* of strings: struct piece */
	size_t strings_size;
	size_t unnamed_start, pieces_start, strings_start; /* where a module's own begin */
	uint32_t *string_at;      /* by string number: offset in the strings plus 1 */
	const struct loaded *text; /* the chunk of the last string, which has the next one too as a rule */
	uint32_t text_first, text_count;
	struct def_reader reader;
	/* By string number: id of the first definition with that name and no variant, times PACK_CLASSES plus its class. */
	uint32_t *names;
	struct named_slot *slots; /* other definitions that can be referred to */
	uint32_t slot_mask, n_slots;
	struct cons { uint32_t hash, at, id; } *cons; /* unnamed types by their records */
	uint32_t *cons_slots;     /* by hash: number in `cons` plus 1 */
	uint32_t cons_mask, n_cons;
	uint32_t *simple[4], cap_simple;   /* pointers and qualifiers by what they are of: type id */
	uint32_t next_id;         /* of the next unnamed type */
	const uint64_t *bits;     /* the set at hand, and the id of its first definition */
	uint32_t first_id;
	bool functions;           /* functions are among the names too */
	bool partial;             /* structs and unions that are not there are declared only */
	/* Set: called with each reference instead of looking it up; the BTF that comes of it is of no use. */
	void (*collect)(struct builder *b, uint8_t class, uint32_t name, uint32_t variant);
	void *ctx;
	unsigned behind;          /* pointers and prototypes around what is read */
	unsigned depth;
	/* The definition at hand. */
	struct cursor c;
	uint32_t fresh;           /* the last string that was found by a 0 */
	uint32_t def;
	int fault;                /* not damage: memory, or a chunk that cannot be read */
};

int ab_builder_init(struct builder *b, const struct ab_pack *pack, struct ab_error *err);
void ab_builder_clear(struct builder *b);
/* Gives ids to the definitions of a set, whose bits are `bits`, and builds them. */
int ab_builder_add(struct builder *b, const uint64_t *bits);
/* One definition; `id` is its type's, 0 for a root. */
int ab_builder_def(struct builder *b, uint32_t def, uint32_t id);
/* The BTF, which the caller frees; only clearing is left to do then. */
int ab_builder_finish(struct builder *b, void **ret_btf, size_t *ret_size);

#endif
