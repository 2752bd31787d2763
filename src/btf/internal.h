/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the files of src/btf/ share: the opened BTF, its index of names, and how a type is laid out and printed. */
#ifndef AB_BTF_INTERNAL_H
#define AB_BTF_INTERNAL_H

#include "btf.h"

struct tag_entry {
	uint32_t target, id;
	int32_t component;
};

/* What is asked most about a type. Sizes and alignments are computed bottom up at open: on demand it could take for ever. */
struct slot {
	uint32_t offset; /* into the type section */
	uint32_t size;
	uint8_t kind, align, height;
	bool named;
};

#define OPAQUE UINT32_MAX /* offset of a type whose kind is not known: its kind is BTF_KIND_UNKN, as of void */

struct ab_btf {
	const struct ab_btf *base; /* which a split BTF goes on from, or NULL */
	const uint8_t *data;       /* the whole BTF, in the machine's byte order */
	size_t size;
	bool mapped;
	const uint8_t *types;      /* the type section */
	const char *strings;
	uint32_t n, start;         /* types with void and those of the base; those of the base */
	uint32_t n_strings, strings_start; /* the same of bytes of strings */
	struct slot *slots;        /* by id - start */
	const uint8_t (*layout)[4]; /* by kind, if it comes with it: bytes of the fixed part and of an element, flags */
	uint32_t n_layout;
	struct tag_entry *tags; /* by target, component, id */
	uint32_t n_tags;
	uint8_t pointer_size;
	bool swapped;        /* it came in the other byte order */
	bool old_bit_fields; /* there are INTs with fewer bits than their size */
	struct name_index *index; /* made by the first ab_btf_index(); atomic */
};

/* Of an id that exists. */
static inline const struct slot *ab_btf_slot(const struct ab_btf *btf, uint32_t id)
{
	while (id < btf->start)
		btf = btf->base;
	return &btf->slots[id - btf->start];
}

/* A member as the compiler sees it: `bits` is the width of a bit-field (also of the old encoding in an INT), else 0. */
struct member {
	const char *name;
	uint32_t type;
	uint32_t offset; /* in bits */
	uint32_t bits;
	uint64_t size; /* of its type, in bytes */
};

/*
 * Names of types and of enumerators, in chains by hash with the highest id first. C has two name spaces that matter here,
 * tags (struct, union, enum) and identifiers (typedef, enumerator); a kernel may use a name more than once in each, since
 * it has many translation units. The n-th of them by id is printed as NAME___n; which is the n-th is settled here, for all
 * headers that are made of this BTF.
 */
struct name_entry {
	uint32_t hash, name_off, id, next; /* next: index + 1 of the next in the chain */
	int32_t enumerator;                /* which of the enum `id` has the name, or -1: the type itself */
	uint32_t ordinal;                  /* from 1 within its name space; 0: in neither */
};

/* What is not the first of its name, by id and enumerator (-1: the type itself). */
struct duplicate {
	uint32_t id;
	int32_t enumerator;
	uint32_t ordinal;
};

/* A forward declaration and what it declares; NO_DEFINITION, or CLASHES if its name means something else besides. */
struct alias {
	uint32_t id, definition;
};
#define NO_DEFINITION 0
#define CLASHES UINT32_MAX

struct name_index {
	const struct name_index *base; /* of the BTF that it goes on from; ids below `start` are there */
	uint32_t start;
	uint32_t n, mask, n_duplicates, n_aliases, n_flavours;
	uint32_t *heads; /* index + 1 of a chain's first entry */
	struct name_entry *entries;
	struct duplicate *duplicates;
	struct alias *aliases;
	uint32_t *flavours; /* types whose names have a flavour of CO-RE, "x___y", by id */
};

/* Made on first use; NULL when memory ran out. A process that forks workers calls it before, so that they share it. */
const struct name_index *ab_btf_index(const struct ab_btf *btf);
void ab_btf_index_free(struct name_index *index);
/* The first entry of that name behind `after` (NULL: from the start), or NULL. */
const struct name_entry *ab_btf_lookup(const struct ab_btf *btf, const struct name_index *index, const char *name,
				       const struct name_entry *after);
/* The number that its name ends in if it is not 1. */
uint32_t ab_btf_ordinal(const struct name_index *index, uint32_t id, int32_t enumerator);
/* The type that a forward declaration means, NO_DEFINITION or CLASHES; `id` itself for what is none. */
uint32_t ab_btf_definition(const struct ab_btf *btf, const struct name_index *index, uint32_t id);
/* A FWD, or an enum without enumerators. */
bool ab_btf_is_forward(const struct btf_type *t);

/* How far a header needs a type: its name only, its size and members, and what a pointer to it points to. */
enum need { NEED_NOTHING, NEED_NAME, NEED_VALUE, NEED_FOLLOW };
/* Appends the header with the types that are needed, `need` by id, or with all if it is NULL. */
int ab_btf_print(const struct ab_btf *btf, const uint8_t *need, struct text *out, struct ab_error *err);

/* An enumerator of either kind of enum. */
uint32_t ab_btf_enumerator_name(const struct btf_type *t, uint32_t i);
/* Its value in 64 bits; 32-bit ones are extended as if signed. */
uint64_t ab_btf_enumerator_value(const struct btf_type *t, uint32_t i);

/* How C spells an INT or FLOAT of one of the names that compilers write; NULL for other names. Sizes as on BPF. */
struct builtin {
	const char *name, *other; /* clang's spelling and GCC's */
	uint8_t size;
	bool is_signed;
};
const struct builtin *ab_btf_builtin(const char *name);

struct member ab_btf_member(const struct ab_btf *btf, const struct btf_type *t, uint32_t i);
/* Whether clang needs __attribute__((packed)) to lay out the struct or union as BTF says. */
bool ab_btf_packed(const struct ab_btf *btf, const struct btf_type *t);
static inline bool ab_btf_is_struct(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_STRUCT || ab_btf_kind(t) == BTF_KIND_UNION;
}

static inline bool ab_btf_is_enum(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_ENUM || ab_btf_kind(t) == BTF_KIND_ENUM64;
}

#endif
