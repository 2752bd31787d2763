/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* One BTF on its way into a pack: its definitions (pack_encode.c) and which of them are the same (pack_refine.c). */
#ifndef AB_BTF_PACK_ENCODE_H
#define AB_BTF_PACK_ENCODE_H

#include "pack_internal.h"

#define NONE UINT32_MAX
/* A reference that a pointer or prototype is around. */
#define BEHIND (1u << 31)

/* A named type, or a root. */
struct node {
	struct table_key key;   /* of body, kind and name as they are in this writer */
	uint32_t id;            /* type id */
	uint32_t name;          /* string number */
	uint32_t body, size;    /* in encoder.bodies */
	uint32_t refs, n_refs;  /* in encoder.refs */
	uint32_t entry, next;   /* the name it shares, the next node with it; NONE */
	uint32_t variant;       /* 0: none */
	uint8_t kind;
	bool in_base;           /* of a module: its kernel has the very same, or what it declares */
};

/* A class and name that nodes are referred to by. */
struct entry {
	uint32_t name, first; /* first: node */
	uint8_t class;
	bool ambiguous, has_full, has_forward;
	bool in_base;         /* a module's kernel has the name */
	bool declared;        /* ambiguous, and something points to the name whichever it means */
	uint32_t copies;      /* full nodes that read like the first */
	uint64_t seen;        /* of a full node; what pack_refine.c compares with */
};

/* A type as what refers to it sees it. */
struct target {
	uint32_t node;  /* plus 1; 0: unnamed, or no type that can be referred to */
	uint32_t plain; /* string number times 16 plus class plus 1; 0: it has a variant from the start, or no class */
};

/* 32 bytes of the strings: which of them begin one, and how many strings begin before. */
struct string_block {
	uint32_t starts, before;
};

struct successor {
	const char *text;
	uint32_t size, number; /* number 0: nothing */
};

/* One of the two BTFs that a module has: its own and its kernel's. */
struct part {
	const uint8_t *types;
	const char *strings;
	uint32_t n_types, n_strings, first_type, first_string;
	size_t types_size;
	struct ab_btf *swapped; /* owns the bytes if they had to be converted */
};

/* What stays of a kernel's BTF for the next of its modules. */
struct base {
	uint64_t hash;
	size_t size, n_refs, n_bodies;
	uint32_t n, n_nodes, n_entries, n_numbers;
	struct entry *entries;
	uint32_t *defs, n_defs; /* numbers of its definitions, ascending */
};

struct encoder {
	struct encoder *next; /* idle ones */
	struct ab_pack_writer *writer;
	struct part base, own;
	struct base kept;
	uint32_t n;           /* type ids with void */
	uint32_t *offsets;    /* by id, into the part's types */
	struct target *targets; /* by id */
	uint8_t *seen;        /* by id: a named type, or an unnamed one that a definition contains */
	struct string_block *blocks; /* by offset / 32 */
	uint32_t *numbers;    /* string numbers, with UNIT_NAME, in the order of the BTF */
	uint32_t n_numbers, cap_numbers;
	struct successor *after; /* by string number: what came behind it the last time */
	uint32_t n_after;
	uint32_t *first_tag, *next_tag; /* decl tags: by type id, by tag id; 0 ends. NULL: there are none */
	size_t cap_types, cap_strings;
	struct node *nodes;
	uint32_t n_nodes, n_base_nodes, cap_nodes;
	struct entry *entries;
	uint32_t n_entries, *entry_slots, entry_mask;
	uint32_t *refs;       /* node numbers, with BEHIND */
	size_t n_refs, cap_refs;
	uint8_t *ambiguous;   /* by node: references to it carry a variant */
	struct buffer bodies;
	bool variants;        /* second time: references carry variants */
	bool bloated;         /* its deduplication failed: what pointers lead to is known by name only */
	uint32_t unit_names;  /* of the definition at hand */
	unsigned depth, behind;
	const char *fault;    /* what is wrong with the BTF */
	uint32_t fault_id;
	int fault_code;       /* 0: damaged */
};

/* In encoder.numbers: a name that RHEL's kABI macros made of __COUNTER__. */
#define UNIT_NAME (1u << 31)
#define UNIT_PREFIX "__UNIQUE_ID_"

static inline bool is_unit_name(const char *s, size_t n)
{
	return n > strlen(UNIT_PREFIX) && !memcmp(s, UNIT_PREFIX, strlen(UNIT_PREFIX)) && s[n - 1] >= '0' && s[n - 1] <= '9';
}

static inline const struct btf_type *type_at(const struct encoder *e, uint32_t id)
{
	const struct part *p = id < e->own.first_type ? &e->base : &e->own;

	return (const struct btf_type *)(p->types + e->offsets[id]);
}

/* Faults: the first is kept, so that encoding needs no checks at every step. */
void ab_encode_fault(struct encoder *e, uint32_t id, const char *what);
void ab_encode_no_memory(struct encoder *e);
/* The number of a string, with UNIT_NAME if it is one. */
uint32_t ab_encode_string(struct encoder *e, uint32_t offset);
/* Notes the numbers of all strings of a part. */
void ab_encode_strings(struct encoder *e, const struct part *p);
/* Encodes a node's body at the end of e->bodies. */
void ab_encode_node(struct encoder *e, struct node *node);
/* Of a module's nodes, from `first` on: which of them its kernel has. True if one has a name that means something else there. */
bool ab_module_match(struct encoder *e, uint32_t first);
/* Tells nodes of one name apart: sets variants, re-encodes what refers to them. */
int ab_pack_refine(struct encoder *e, uint32_t first, struct ab_error *err);

#endif
