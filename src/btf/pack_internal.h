/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the files of the pack share (format: docs/format-pack.md).
 *
 *	pack.c         a pack as it lies in its file: directory, chunks, sets
 *	pack_find.c    kernels by name, order of kernels
 *	pack_walk.c    a definition's bytes, piece by piece
 *	pack_nodes.c   BTF to definitions; pack_encode.c: their bytes; pack_refine.c: which of them are the same;
 *	               pack_module.c: split BTF
 *	pack_table.c   definitions and strings, each once, while a pack is written; pack_write.c, pack_commit.c: the writer
 *	pack_build.c   definitions to BTF; pack_query.c: questions across kernels
 */
#ifndef AB_BTF_PACK_INTERNAL_H
#define AB_BTF_PACK_INTERNAL_H

#include <pthread.h>
#include <btf/pack.h>

#define PACK_MAGIC "\x89" "ABPACK\n"
#define PACK_VERSION 1
#define PACK_HEADER 64
#define PACK_CHUNK_ROW 40
#define PACK_KERNEL_ROW 72
#define PACK_MAX_IDS (1u << 26)
#define PACK_MAX_BODY (16u << 20)
#define PACK_MAX_NESTING 128
#define PACK_MAX_LINKS 24
#define PACK_MAX_SEGMENTS 16
#define PACK_MAX_CHUNK (64u << 20)
#define PACK_BITS(n) (((size_t)(n) + 63) / 64)

/* The kind byte of a definition: its BTF kind, 0 for an unnamed root, and these. */
#define PACK_KIND 31
#define PACK_VARIANT 32
#define PACK_TAGS 64
#define PACK_KFLAG 128

enum pack_class {
	PACK_INT, PACK_FLOAT, PACK_TYPEDEF, PACK_STRUCT, PACK_UNION, PACK_ENUM, PACK_VAR, PACK_FUNC,
	PACK_CLASSES, /* what is not referred to by name */
};

/* First bytes of type expressions. */
enum pack_op {
	OP_VOID, OP_PTR, OP_CONST, OP_VOLATILE, OP_RESTRICT, OP_TYPE_TAG, OP_TYPE_TAG_KFLAG, OP_ARRAY, OP_FUNC_PROTO,
	OP_STRUCT, OP_UNION, OP_ENUM, OP_ENUM64, OP_STRUCT_KFLAG, OP_UNION_KFLAG, OP_ENUM_KFLAG, OP_ENUM64_KFLAG, OP_TAGGED,
	OP_NAMED = 32, OP_VARIANT = 40, OP_END = 48,
};

/* The class by which a definition of that kind byte is referred to. */
enum pack_class ab_pack_class(uint8_t kind);

/* ---- bytes ---- */

struct cursor {
	const uint8_t *p, *end;
	bool bad; /* it was asked for more than there is, or found what cannot be */
};

uint64_t ab_take_long_varint(struct cursor *c);
static inline uint64_t take_varint(struct cursor *c)
{
	return c->p < c->end && *c->p < 128 ? *c->p++ : ab_take_long_varint(c);
}

static inline uint8_t take_byte(struct cursor *c)
{
	if (c->p < c->end)
		return *c->p++;
	c->bad = true;
	return 0;
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		*p++ = v | 128;
	*p++ = v;
	return p;
}

static inline uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }
static inline int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static inline uint32_t get_le32(const void *p)
{
	const uint8_t *b = p;

	return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t get_le64(const void *p)
{
	return get_le32(p) | (uint64_t)get_le32((const uint8_t *)p + 4) << 32;
}

static inline void put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = v;
	b[1] = v >> 8;
	b[2] = v >> 16;
	b[3] = v >> 24;
}

static inline void put_le64(void *p, uint64_t v)
{
	put_le32(p, v);
	put_le32((uint8_t *)p + 4, v >> 32);
}

static inline uint32_t count_bits(uint32_t v)
{
	v -= v >> 1 & 0x55555555;
	v = (v & 0x33333333) + (v >> 2 & 0x33333333);
	return ((v + (v >> 4)) & 0x0f0f0f0f) * 0x01010101u >> 24;
}

uint64_t ab_pack_hash(const void *p, size_t n, uint64_t seed);

/* Bytes that grow. After a failed allocation `failed` is set and room is not had. */
struct buffer {
	uint8_t *p;
	size_t n, cap;
	bool failed;
};

bool ab_buffer_grow(struct buffer *b, size_t more);
/* Room for `more` bytes behind the n that are there; NULL when memory ran out. */
static inline uint8_t *buffer_room(struct buffer *b, size_t more)
{
	return b->cap - b->n >= more || ab_buffer_grow(b, more) ? b->p + b->n : NULL;
}
static inline void buffer_add(struct buffer *b, const void *p, size_t n)
{
	if (n && buffer_room(b, n)) {
		memcpy(b->p + b->n, p, n);
		b->n += n;
	}
}
static inline void buffer_varint(struct buffer *b, uint64_t v)
{
	if (buffer_room(b, 10))
		b->n = put_varint(b->p + b->n, v) - b->p;
}
static inline void buffer_clear(struct buffer *b) { free(b->p); *b = (struct buffer){}; }
#define _buffer_ __attribute__((cleanup(buffer_clear)))

/* ---- a definition's bytes (pack_walk.c) ---- */

/* Goes through a body: `str` is called with each string token, `raw` with the bytes between them. */
struct walk {
	struct cursor c;
	const uint8_t *kept;
	unsigned depth;
	void (*str)(struct walk *w, uint64_t token);
	void (*raw)(struct walk *w, const uint8_t *p, size_t n);
};

/* False: the bytes are no body of that kind. */
bool ab_pack_walk(struct walk *w, uint8_t kind, const uint8_t *body, size_t size);

/* ---- a pack as it lies in its file (pack.c) ---- */

enum chunk_kind { CHUNK_STRINGS = 1, CHUNK_HEADS, CHUNK_BODIES, CHUNK_SETS };

struct chunk {
	uint64_t offset, sum;
	uint32_t size, raw;
	uint32_t kind, first, count;
};

/* A chunk in memory, with the starts of what is in it. */
struct loaded {
	uint8_t *data;
	uint32_t *at;     /* strings: offset of each and the end. heads: start of each body within its segment and the end */
	uint32_t *name;   /* heads: string number */
	const uint8_t *kind; /* heads: kind byte, in data */
};

struct kernel_row {
	struct ab_kernel key;
	uint32_t n_defs, chunk, offset, size;
	uint32_t relative, base; /* kernel number plus 1, 0 for none */
};

/* The set that was asked for last. */
struct recent_set {
	uint32_t kernel;
	bool is_empty; /* of no kernel yet */
	uint64_t bits[];
};

struct ab_pack {
	char *path;
	const uint8_t *map;
	size_t size, directory; /* size of the file; offset of the directory */
	bool mapped;
	uint32_t n_chunks, n_kernels, n_strings, n_defs, n_segments;
	struct chunk *chunks;
	struct loaded **loaded; /* by chunk, made when first asked for; atomic */
	struct kernel_row *kernels;
	uint8_t *raw;           /* the directory, decompressed */
	/* Chunks by what they hold, in order of `first`, for searches. */
	uint32_t *lists, n_of_kind[CHUNK_SETS + 1];
	const uint32_t *of_kind[CHUNK_SETS + 1];
	struct pack_names *names; /* definitions by name, made when first asked for; atomic */
	struct ZSTD_DCtx_s *zstd; /* what chunks are decompressed with while nobody does; atomic */
	struct recent_set *recent; /* where the next set is reached from, NULL while a thread has it; atomic */
};

struct pack_def {
	uint32_t name; /* string number */
	uint8_t kind;
	const uint8_t *body;
	uint32_t size;
};

/* Maps bytes that stay for the pack's life; for fuzzing. */
int ab_pack_open_mem(const void *data, size_t size, struct ab_pack **ret_pack, struct ab_error *err);
int ab_pack_load(const struct ab_pack *pack, uint32_t chunk, const struct loaded **ret, struct ab_error *err);
int ab_pack_def(const struct ab_pack *pack, uint32_t def, struct pack_def *ret, struct ab_error *err);
/* Kind byte and name only: loads no body. */
int ab_pack_head(const struct ab_pack *pack, uint32_t def, uint8_t *ret_kind, uint32_t *ret_name, struct ab_error *err);
int ab_pack_string(const struct ab_pack *pack, uint32_t string, const char **ret, size_t *ret_size, struct ab_error *err);
/* Where the last definition was found: the next one is there too, as a rule. Begins as zeros. */
struct def_reader {
	const struct loaded *heads, *bodies;
	uint32_t heads_first, heads_count, bodies_first, bodies_count, bodies_size;
};
int ab_pack_read_head(const struct ab_pack *pack, struct def_reader *at, uint32_t def, uint8_t *ret_kind, uint32_t *ret_name,
		      struct ab_error *err);
int ab_pack_read_def(const struct ab_pack *pack, struct def_reader *at, uint32_t def, struct pack_def *ret, struct ab_error *err);
/* The chunk that has a string, which there is, and which strings that has. */
int ab_pack_text(const struct ab_pack *pack, uint32_t string, const struct loaded **ret, uint32_t *ret_first, uint32_t *ret_count,
		 struct ab_error *err);
/* The kernel's set, a bit for each definition of the pack: PACK_BITS(n_defs) words, which the caller frees. */
int ab_pack_set(const struct ab_pack *pack, uint32_t kernel, uint64_t **ret_bits, struct ab_error *err);
int ab_pack_damaged(const struct ab_pack *pack, uint64_t offset, const char *what, struct ab_error *err);
void ab_pack_names_free(struct pack_names *names);
int ab_pack_bad_def(const struct ab_pack *pack, uint32_t def, struct ab_error *err);

struct ab_pack_defs {
	const struct ab_pack *pack;
	uint32_t kernel;
	uint64_t *bits; /* a module's with those of its kernel */
};

/* Whether a module belongs to the kernel; its build id is its own. */
bool ab_kernel_is_base(const struct ab_kernel *kernel, const struct ab_kernel *module);
int ab_version_order(const char *a, const char *b);

/* ---- writing: definitions and strings, each once (pack_table.c) ---- */

struct item {
	const uint8_t *p;
	uint32_t size, name; /* definitions: name is the number of a string */
	uint32_t final;      /* number in the file plus 1; 0: none yet */
	uint8_t kind;
};

struct table {
	pthread_mutex_t lock;    /* of additions */
	struct slots *slots;
	struct item **blocks;    /* items never move */
	struct arena_block *arena;
	size_t used;
	uint64_t seed;
	uint32_t n, n_blocks;
};

struct table_key {
	uint64_t hash;
	uint32_t more;
};

int ab_table_init(struct table *t);
void ab_table_clear(struct table *t);
struct table_key ab_table_key(const struct table *t, const void *p, size_t size);
/*
 * Of a definition, whose body has TABLE_HEAD bytes of room before it: name and kind are written there, because they
 * belong into the hash. Not into its seed: of short inputs, XXH3 has the same for related seeds.
 */
#define TABLE_HEAD 5
struct table_key ab_table_def_key(const struct table *t, uint8_t *body, size_t size, uint32_t name, uint8_t kind);
/* Soon this will be looked up. */
void ab_table_prefetch(const struct table *t, struct table_key key);
/* The number of the item with that key, which is made of these bytes if there is none; UINT32_MAX when memory ran out. */
uint32_t ab_table_put(struct table *t, struct table_key key, const void *p, size_t size, uint32_t name, uint8_t kind);
struct item *ab_table_item(const struct table *t, uint32_t number);

/* ---- writing ---- */

struct new_kernel {
	struct ab_kernel key;   /* strings are the writer's */
	uint32_t *defs, n_defs; /* numbers in writer->defs, ascending */
};

struct ab_pack_writer {
	char *path, *lock_path;
	int lock;
	struct ab_pack *old;
	uint32_t *old_defs;     /* old definition to number in `defs` */
	struct table strings, defs;
	pthread_mutex_t mutex;  /* of what follows */
	struct new_kernel *added;
	size_t n_added, cap_added;
	bool *dropped;          /* by old kernel */
	bool rewrite;
	struct encoder *idle;   /* for the next add: scratch memory, and the base of the last module */
};

/* BTF to the numbers of its definitions (pack_encode.c); the caller frees *ret_defs. */
struct encoder;
int ab_pack_encode(struct ab_pack_writer *w, struct encoder *e, const void *btf, size_t size, const void *base, size_t base_size,
		   uint32_t **ret_defs, uint32_t *ret_n, struct ab_error *err);
/* The definitions of the base that was encoded last. */
const uint32_t *ab_encoder_base_defs(const struct encoder *e, uint32_t *ret_n);
struct encoder *ab_encoder_new(void);
void ab_encoder_free(struct encoder *e);
/* A hash of what a definition reads like, with texts and not their numbers: the same in every writer. */
uint64_t ab_pack_reading(const struct table *strings, const struct item *def);
void ab_sort_numbers(uint32_t *numbers, uint32_t n);
/* Leaves each once; how many that are. */
uint32_t ab_sort_unique(uint32_t *numbers, uint32_t n);
int ab_writer_take_old(struct ab_pack_writer *w, struct ab_error *err);
int ab_pack_commit(struct ab_pack_writer *w, struct ab_error *err);

#endif
