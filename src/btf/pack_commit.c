/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a writer holds, as a segment of a new file that takes the old one's place (docs/format-pack.md, "Segments"). */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "pack_internal.h"

#define CHUNK_SIZE (128u << 10)
#define SETS_SIZE (128u << 10)
#define LEVEL 8
/* In place of an item's final number: it gets one; a definition's place among the fresh ones is taken off. */
#define PENDING UINT32_MAX
#define NEIGHBOURS 24 /* how many kernels a set is tried against */

/* A definition that the segment adds. */
struct fresh {
	uint64_t prefix;  /* the first bytes of its name, for sorting */
	const char *name;
	uint32_t number, size;
	uint64_t series;  /* of its kernels, a bit for each */
	uint32_t first, last; /* of its kernels */
	uint64_t kernels; /* a hash of which they are */
	uint8_t kind;
};

/* A kernel of the new file. */
struct row {
	const struct ab_kernel *key;
	const struct new_kernel *new; /* or */
	uint32_t old;                 /* of the old pack plus 1 */
	uint64_t *bits;
	uint32_t n_defs, chunk, offset, size;
	uint32_t relative;            /* row plus 1 */
	unsigned links;
	uint64_t series;              /* a bit */
};

struct out_chunk {
	struct chunk c;
	uint8_t *bytes; /* compressed; NULL: as it is in the old file */
};

struct commit {
	struct ab_pack_writer *w;
	const struct ab_pack *old; /* whose chunks are kept, or NULL */
	struct row *rows;
	uint32_t n_rows, n_strings, n_defs, old_defs;
	struct fresh *fresh;
	uint32_t n_fresh, cap_fresh;
	struct buffer strings, bodies, heads, sets;
	uint32_t strings_first, bodies_first;
	struct out_chunk *chunks;
	uint32_t n_chunks, n_segments;
	uint64_t at;
	ZSTD_CCtx *zstd;
};

/* ---- chunks ---- */

static int add_chunk(struct commit *c, struct buffer *raw, enum chunk_kind kind, uint32_t first, uint32_t count,
		     struct ab_error *err)
{
	struct out_chunk *chunks = realloc(c->chunks, (c->n_chunks + 1) * sizeof(*chunks)), *chunk;
	size_t bound = ZSTD_compressBound(raw->n), size;

	if (raw->failed || !chunks)
		return ab_fail_memory(err);
	c->chunks = chunks;
	chunk = &chunks[c->n_chunks];
	*chunk = (struct out_chunk){ .bytes = malloc(bound) };
	if (!chunk->bytes)
		return ab_fail_memory(err);
	size = ZSTD_compress2(c->zstd, chunk->bytes, bound, raw->p, raw->n);
	if (ZSTD_isError(size)) {
		free(chunk->bytes);
		return ab_fail_memory(err);
	}
	chunk->c = (struct chunk){ .offset = c->at, .size = size, .raw = raw->n, .kind = kind, .first = first, .count = count,
				   .sum = ab_pack_hash(chunk->bytes, size, 0) };
	c->n_chunks++;
	c->at += size;
	raw->n = 0;
	return 0;
}

static int keep_chunks(struct commit *c, struct ab_error *err)
{
	c->at = PACK_HEADER;
	c->n_strings = 1;
	if (!c->old)
		return 0;
	c->chunks = array_new(c->old->n_chunks, sizeof(*c->chunks));
	if (!c->chunks)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < c->old->n_chunks; i++)
		c->chunks[i].c = c->old->chunks[i];
	c->n_chunks = c->old->n_chunks;
	c->n_strings = c->old->n_strings;
	c->n_defs = c->old_defs = c->old->n_defs;
	c->n_segments = c->old->n_segments;
	c->at = c->old->directory;
	return 0;
}

/* ---- rows: all kernels of the new file, in order ---- */

static int compare_rows(const void *a, const void *b)
{
	return ab_kernel_compare(((const struct row *)a)->key, ((const struct row *)b)->key);
}

/* Of "6.12.74+deb12-amd64": "6.12". Kernels of a series have more in common than others. */
static size_t series_length(const char *release)
{
	size_t n = strcspn(release, ".");

	return n + !!release[n] + strspn(release + n + !!release[n], "0123456789");
}

static bool is_same_series(const struct ab_kernel *a, const struct ab_kernel *b)
{
	size_t n = series_length(a->release);

	return n == series_length(b->release) && !strncmp(a->release, b->release, n) && !strcmp(a->distribution, b->distribution);
}

/* Beyond 64 they share bits, which costs no more than locality. */
static void mark_series(struct commit *c)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < c->n_rows; i++) {
		uint32_t k = i;

		while (k && !is_same_series(c->rows[k - 1].key, c->rows[i].key))
			k--;
		c->rows[i].series = k ? c->rows[k - 1].series : 1ull << n++ % 64;
	}
}

static int make_rows(struct commit *c, struct ab_error *err)
{
	uint32_t n_old = c->old ? c->old->n_kernels : 0;

	c->rows = array_new(n_old + c->w->n_added, sizeof(*c->rows));
	if (!c->rows)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < n_old; i++)
		c->rows[c->n_rows++] = (struct row){ .key = &c->old->kernels[i].key, .old = i + 1 };
	for (size_t i = 0; i < c->w->n_added; i++)
		c->rows[c->n_rows++] = (struct row){ .key = &c->w->added[i].key, .new = &c->w->added[i] };
	qsort(c->rows, c->n_rows, sizeof(*c->rows), compare_rows);
	mark_series(c);
	return 0;
}

static uint32_t row_of_old(const struct commit *c, uint32_t old)
{
	for (uint32_t i = 0; i < c->n_rows; i++)
		if (c->rows[i].old == old)
			return i + 1;
	return 0;
}

static void keep_old_rows(struct commit *c)
{
	for (uint32_t i = 0; i < c->n_rows; i++) {
		struct row *row = &c->rows[i];
		const struct kernel_row *old = row->old ? &c->old->kernels[row->old - 1] : NULL;

		if (!old)
			continue;
		row->n_defs = old->n_defs;
		row->chunk = old->chunk;
		row->offset = old->offset;
		row->size = old->size;
		row->relative = old->relative ? row_of_old(c, old->relative) : 0;
		for (uint32_t k = old->relative; k; k = c->old->kernels[k - 1].relative)
			row->links++;
	}
}

/* ---- definitions ---- */

static void add_kernel(const struct commit *c, struct fresh *f, uint32_t kernel)
{
	f->last = kernel;
	f->kernels = (f->kernels ^ (kernel + 1)) * 0x9e3779b97f4a7c15u;
	f->series |= c->rows[kernel].series;
}

static bool add_fresh(struct commit *c, uint32_t number, uint32_t kernel)
{
	struct item *item = ab_table_item(&c->w->defs, number), *name;
	struct fresh *f;

	if (item->final > PENDING - PACK_MAX_IDS)
		add_kernel(c, &c->fresh[PENDING - item->final], kernel);
	if (item->final)
		return true;
	if (c->n_fresh == c->cap_fresh) {
		uint32_t cap = MAX(2 * c->cap_fresh, 1u << 16);
		struct fresh *fresh = realloc(c->fresh, cap * sizeof(*fresh));

		if (!fresh)
			return false;
		c->fresh = fresh;
		c->cap_fresh = cap;
	}
	item->final = PENDING - c->n_fresh;
	name = ab_table_item(&c->w->strings, item->name);
	f = &c->fresh[c->n_fresh++];
	*f = (struct fresh){ .name = (const char *)name->p, .number = number, .size = name->size, .first = kernel,
			     .kind = item->kind & PACK_KIND };
	add_kernel(c, f, kernel);
	for (unsigned i = 0; i < 8; i++)
		f->prefix |= (uint64_t)(i < name->size ? name->p[i] : 0) << (56 - 8 * i);
	return true;
}

/* qsort() has no context. */
static __thread struct ab_pack_writer *sorting;

static int compare_readings(uint32_t a, uint32_t b)
{
	uint64_t x = ab_pack_reading(&sorting->strings, ab_table_item(&sorting->defs, a));
	uint64_t y = ab_pack_reading(&sorting->strings, ab_table_item(&sorting->defs, b));

	return x < y ? -1 : x > y;
}

/* A kernel needs what several series have and what its own has, and of these what later kernels have too. */
static int compare_series(uint64_t a, uint64_t b)
{
	uint32_t x = count_bits(a) + count_bits(a >> 32), y = count_bits(b) + count_bits(b >> 32);

	if (x != y)
		return x > y ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int compare_fresh(const void *a, const void *b)
{
	const struct fresh *x = a, *y = b;
	int r;

	r = compare_series(x->series, y->series);
	if (r)
		return r;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->last != y->last)
		return x->last > y->last ? -1 : 1;
	if (x->kernels != y->kernels)
		return x->kernels < y->kernels ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	r = memcmp(x->name, y->name, MIN(x->size, y->size));
	if (r || x->size != y->size)
		return r ? r : x->size < y->size ? -1 : 1;
	/* Of one name and the same kernels: whatever does not depend on who was first. */
	return compare_readings(x->number, y->number);
}

static int find_fresh(struct commit *c, struct ab_error *err)
{
	for (uint32_t i = 0; i < c->n_rows; i++)
		for (uint32_t d = 0; c->rows[i].new && d < c->rows[i].new->n_defs; d++)
			if (!add_fresh(c, c->rows[i].new->defs[d], i))
				return ab_fail_memory(err);
	if (c->n_fresh > PACK_MAX_IDS - c->n_defs)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "a pack of more than %u definitions", PACK_MAX_IDS);
	sorting = c->w;
	if (c->n_fresh)
		qsort(c->fresh, c->n_fresh, sizeof(*c->fresh), compare_fresh);
	return 0;
}

/* ---- strings and bodies, with the numbers of the file ---- */

struct export {
	struct walk walk;
	struct commit *c;
	uint32_t fresh;
};

/* The number of a string in the file. */
static uint32_t export_string(const struct commit *c, uint32_t number)
{
	return ab_table_item(&c->w->strings, number)->final - 1;
}

static void export_raw(struct walk *w, const uint8_t *p, size_t n)
{
	buffer_add(&((struct export *)w)->c->bodies, p, n);
}

static void export_str(struct walk *w, uint64_t token)
{
	struct export *x = (struct export *)w;
	uint32_t number = export_string(x->c, token);

	if (number == x->fresh + 1) {
		x->fresh++;
		buffer_varint(&x->c->bodies, 0);
	} else {
		buffer_varint(&x->c->bodies, (uint64_t)number + 1);
	}
}

static int flush_strings(struct commit *c, struct ab_error *err)
{
	uint32_t first = c->strings_first;

	if (c->n_strings == first)
		return 0;
	if (c->n_strings > PACK_MAX_IDS)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "a pack of more than %u strings", PACK_MAX_IDS);
	c->strings_first = c->n_strings;
	return add_chunk(c, &c->strings, CHUNK_STRINGS, first, c->n_strings - first, err);
}

static int flush_bodies(struct commit *c, struct ab_error *err)
{
	uint32_t first = c->bodies_first;

	if (c->n_defs == first)
		return 0;
	c->bodies_first = c->n_defs;
	return add_chunk(c, &c->bodies, CHUNK_BODIES, first, c->n_defs - first, err);
}

/* Strings that are new in the file. */
struct used {
	uint64_t series;
	uint32_t number, first; /* in the writer, and in the order of use */
};

struct numbering {
	struct walk walk;
	struct commit *c;
	uint32_t *place;     /* by string: in `used` */
	struct buffer used;
	uint64_t series;     /* of the definition at hand */
};

static void note_string(struct numbering *n, uint32_t string)
{
	struct item *item = ab_table_item(&n->c->w->strings, string);

	if (!item->final) {
		struct used u = { n->series, string, n->used.n / sizeof(u) };

		item->final = PENDING;
		n->place[string] = u.first;
		buffer_add(&n->used, &u, sizeof(u));
	} else if (item->final == PENDING && !n->used.failed) {
		((struct used *)n->used.p)[n->place[string]].series |= n->series;
	}
}

static void note_str(struct walk *w, uint64_t token)
{
	note_string((struct numbering *)w, token);
}

static int compare_used(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	int r = compare_series(x->series, y->series);

	return r ? r : x->first < y->first ? -1 : x->first > y->first;
}

static int write_strings(struct commit *c, struct buffer *used, struct ab_error *err)
{
	size_t n = used->n / sizeof(struct used);
	struct used *u = (struct used *)used->p;
	int r = 0;

	if (n)
		qsort(u, n, sizeof(*u), compare_used);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct item *item = ab_table_item(&c->w->strings, u[i].number);

		item->final = ++c->n_strings;
		buffer_add(&c->strings, item->p, item->size);
		buffer_add(&c->strings, "", 1);
		if (c->strings.n >= CHUNK_SIZE)
			r = flush_strings(c, err);
	}
	return r == 0 ? flush_strings(c, err) : r;
}

static int number_strings(struct commit *c, struct ab_error *err)
{
	struct numbering n = { .walk = { .str = note_str }, .c = c };
	int r = 0;

	n.place = array_new(c->w->strings.n, sizeof(*n.place));
	for (uint32_t i = 0; i < c->n_fresh && n.place && r == 0; i++) {
		const struct item *item = ab_table_item(&c->w->defs, c->fresh[i].number);

		n.series = c->fresh[i].series;
		note_string(&n, item->name);
		if (!ab_pack_walk(&n.walk, item->kind, item->p, item->size))
			r = ab_fail(err, AB_ERROR_INTERNAL, -EINVAL, "a definition that cannot be written");
	}
	if (!n.place || n.used.failed)
		r = ab_fail_memory(err);
	if (r == 0)
		r = write_strings(c, &n.used, err);
	buffer_clear(&n.used);
	free(n.place);
	return r;
}

/* The heads come before the bodies in the file, so bodies are made after them, from the same walk over the definitions. */
static int export_defs(struct commit *c, struct buffer *sizes, struct ab_error *err)
{
	struct export x = { .walk = { .str = export_str, .raw = export_raw }, .c = c };
	int64_t before = 0;
	int r = 0;

	for (uint32_t i = 0; i < c->n_fresh && r == 0; i++) {
		struct item *item = ab_table_item(&c->w->defs, c->fresh[i].number);
		size_t start = c->bodies.n;
		uint32_t name = export_string(c, item->name);

		x.fresh = name;
		if (!ab_pack_walk(&x.walk, item->kind, item->p, item->size))
			return ab_fail(err, AB_ERROR_INTERNAL, -EINVAL, "a definition that cannot be written");
		item->final = ++c->n_defs;
		buffer_varint(&c->heads, zigzag((int64_t)name - before));
		buffer_varint(sizes, c->bodies.n - start);
		before = name;
		if (c->bodies.n >= CHUNK_SIZE)
			r = flush_bodies(c, err);
	}
	return r;
}

static int write_defs(struct commit *c, struct ab_error *err)
{
	_buffer_ struct buffer sizes = {};
	uint32_t first = c->n_defs, heads;
	struct out_chunk last;
	int r;

	if (!c->n_fresh)
		return 0;
	c->strings_first = c->n_strings;
	c->bodies_first = first;
	heads = c->n_chunks;
	for (uint32_t i = 0; i < c->n_fresh; i++) {
		uint8_t kind = ab_table_item(&c->w->defs, c->fresh[i].number)->kind;

		buffer_add(&c->heads, &kind, 1);
	}
	r = number_strings(c, err);
	if (r == 0)
		r = export_defs(c, &sizes, err);
	buffer_add(&c->heads, sizes.p, sizes.n);
	if (r == 0 && sizes.failed)
		r = ab_fail_memory(err);
	if (r == 0)
		r = flush_bodies(c, err);
	if (r == 0)
		r = add_chunk(c, &c->heads, CHUNK_HEADS, first, c->n_defs - first, err);
	if (r < 0)
		return r;
	/* Heads first: readers check that bodies follow them. */
	last = c->chunks[c->n_chunks - 1];
	memmove(&c->chunks[heads + 1], &c->chunks[heads], (c->n_chunks - 1 - heads) * sizeof(*c->chunks));
	c->chunks[heads] = last;
	c->at = heads ? c->chunks[heads - 1].c.offset + c->chunks[heads - 1].c.size : PACK_HEADER;
	for (uint32_t i = heads; i < c->n_chunks; i++) {
		c->chunks[i].c.offset = c->at;
		c->at += c->chunks[i].c.size;
	}
	c->n_segments++;
	return 0;
}

/* ---- sets ---- */

static int make_bits(struct commit *c, struct row *row, struct ab_error *err)
{
	if (row->bits)
		return 0;
	row->bits = array_new(PACK_BITS(c->n_defs), sizeof(*row->bits));
	if (!row->bits)
		return ab_fail_memory(err);
	if (row->old) {
		uint64_t *bits;
		int r = ab_pack_set(c->old, row->old - 1, &bits, err);

		if (r < 0)
			return r;
		memcpy(row->bits, bits, PACK_BITS(c->old_defs) * sizeof(*bits));
		free(bits);
		return 0;
	}
	for (uint32_t i = 0; i < row->new->n_defs; i++) {
		uint32_t number = ab_table_item(&c->w->defs, row->new->defs[i])->final - 1;

		row->bits[number / 64] |= 1ull << number % 64;
	}
	row->n_defs = row->new->n_defs;
	return 0;
}

/* How many runs the difference of two sets has. */
static uint32_t count_runs(const uint64_t *a, const uint64_t *b, size_t n)
{
	uint64_t carry = 0;
	uint32_t runs = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = a[i] ^ (b ? b[i] : 0);

		runs += __builtin_popcountll(x & ~(x << 1 | carry));
		carry = x >> 63;
	}
	return runs;
}

/* Neighbours in the order of kernels are candidates, as far as their own sets are known. */
static int choose_relative(struct commit *c, uint32_t row, struct ab_error *err)
{
	uint32_t best = count_runs(c->rows[row].bits, NULL, PACK_BITS(c->n_defs)), tried = 0;
	int r;

	for (uint32_t distance = 1; distance < c->n_rows && tried < NEIGHBOURS; distance++) {
		for (int side = 0; side < 2; side++) {
			int64_t i = side ? (int64_t)row + distance : (int64_t)row - distance;
			struct row *other = i < 0 || i >= c->n_rows ? NULL : &c->rows[i];
			uint32_t runs;

			/* What comes later in the segment is not written yet. */
			if (!other || other->links >= PACK_MAX_LINKS || (!other->old && i > row))
				continue;
			r = make_bits(c, other, err);
			if (r < 0)
				return r;
			tried++;
			runs = count_runs(c->rows[row].bits, other->bits, PACK_BITS(c->n_defs));
			if (runs >= best)
				continue;
			best = runs;
			c->rows[row].relative = i + 1;
			c->rows[row].links = other->links + 1;
		}
	}
	return 0;
}

static uint64_t next_bit(const uint64_t *a, const uint64_t *b, uint64_t from, uint64_t end, bool set)
{
	while (from < end) {
		uint64_t x = a[from / 64] ^ (b ? b[from / 64] : 0);

		x = (set ? x : ~x) >> from % 64;
		if (x)
			return MIN(end, from + __builtin_ctzll(x));
		from = (from | 63) + 1;
	}
	return end;
}

static void write_set(struct commit *c, struct row *row)
{
	const uint64_t *a = row->bits, *b = row->relative ? c->rows[row->relative - 1].bits : NULL;
	uint64_t at = 0, end = c->n_defs;

	row->offset = c->sets.n;
	while (at < end) {
		uint64_t start = next_bit(a, b, at, end, true), stop = next_bit(a, b, start, end, false);

		if (start == end)
			break;
		buffer_varint(&c->sets, start - at);
		buffer_varint(&c->sets, stop - start);
		at = stop;
	}
	row->size = c->sets.n - row->offset;
	row->chunk = c->n_chunks;
}

static int write_sets(struct commit *c, struct ab_error *err)
{
	bool open = false;
	int r = 0;

	for (uint32_t i = 0; i < c->n_rows && r == 0; i++) {
		if (c->rows[i].old)
			continue;
		r = make_bits(c, &c->rows[i], err);
		if (r == 0)
			r = choose_relative(c, i, err);
		if (r < 0)
			break;
		write_set(c, &c->rows[i]);
		open = true;
		if (c->sets.n >= SETS_SIZE) {
			r = add_chunk(c, &c->sets, CHUNK_SETS, 0, 0, err);
			open = false;
		}
	}
	/* A kernel with the very types of another takes no byte of the chunk that its row names, but the chunk has to be there. */
	if (r == 0 && open && !c->sets.n)
		buffer_varint(&c->sets, 0);
	if (r == 0 && open)
		r = add_chunk(c, &c->sets, CHUNK_SETS, 0, 0, err);
	return r;
}

/* ---- the file ---- */

static uint32_t find_base(const struct commit *c, const struct ab_kernel *module)
{
	for (uint32_t i = 0; i < c->n_rows; i++)
		if (ab_kernel_is_base(c->rows[i].key, module))
			return i + 1;
	return 0;
}

static uint32_t add_text(struct buffer *text, const char *s)
{
	uint32_t at = text->n;

	buffer_add(text, s, strlen(s) + 1);
	return at;
}

static void add_row(const struct commit *c, const struct row *row, struct buffer *out, struct buffer *text)
{
	const struct ab_kernel *k = row->key;
	uint8_t p[PACK_KERNEL_ROW] = {};

	put_le32(p, add_text(text, k->release));
	put_le32(p + 4, add_text(text, k->arch));
	put_le32(p + 8, add_text(text, k->distribution));
	put_le32(p + 12, add_text(text, k->flavour));
	put_le32(p + 16, add_text(text, k->module));
	memcpy(p + 20, k->build_id, k->build_id_size);
	put_le32(p + 40, k->build_id_size);
	put_le32(p + 44, row->n_defs);
	put_le32(p + 48, row->chunk);
	put_le32(p + 52, row->offset);
	put_le32(p + 56, row->size);
	put_le32(p + 60, row->relative);
	put_le32(p + 64, *k->module ? find_base(c, k) : 0);
	buffer_add(out, p, sizeof(p));
}

static void add_chunk_row(const struct chunk *k, struct buffer *out)
{
	uint8_t p[PACK_CHUNK_ROW] = {};

	put_le64(p, k->offset);
	put_le32(p + 8, k->size);
	put_le32(p + 12, k->raw);
	put_le64(p + 16, k->sum);
	put_le32(p + 24, k->kind);
	put_le32(p + 28, k->first);
	put_le32(p + 32, k->count);
	buffer_add(out, p, sizeof(p));
}

static void make_directory(const struct commit *c, struct buffer *out)
{
	_buffer_ struct buffer text = {};
	uint8_t head[24];

	add_text(&text, "");
	put_le32(head, c->n_chunks);
	put_le32(head + 4, c->n_rows);
	put_le32(head + 8, c->n_strings);
	put_le32(head + 12, c->n_defs);
	put_le32(head + 16, c->n_segments);
	put_le32(head + 20, 0);
	buffer_add(out, head, sizeof(head));
	for (uint32_t i = 0; i < c->n_chunks; i++)
		add_chunk_row(&c->chunks[i].c, out);
	for (uint32_t i = 0; i < c->n_rows; i++)
		add_row(c, &c->rows[i], out, &text);
	buffer_add(out, text.p, text.n);
	if (!out->failed)
		put_le32(out->p + 20, text.n);
	out->failed |= text.failed;
}

static int write_file(struct commit *c, int fd, struct ab_error *err)
{
	_buffer_ struct buffer raw = {};
	uint8_t header[PACK_HEADER] = PACK_MAGIC;
	struct out_chunk directory;
	uint64_t offset = c->at;
	int r;

	make_directory(c, &raw);
	r = add_chunk(c, &raw, 0, 0, 0, err);
	if (r < 0)
		return r;
	directory = c->chunks[--c->n_chunks];
	put_le32(header + 8, PACK_VERSION);
	put_le32(header + 12, PACK_HEADER);
	put_le64(header + 16, offset + directory.c.size);
	put_le64(header + 24, offset);
	put_le32(header + 32, directory.c.size);
	put_le32(header + 36, directory.c.raw);
	put_le64(header + 40, directory.c.sum);
	put_le64(header + 56, ab_pack_hash(header, 56, 0));
	r = fd_write_all(fd, header, sizeof(header));
	if (r == 0 && c->old)
		r = fd_write_all(fd, c->old->map + PACK_HEADER, c->old->directory - PACK_HEADER);
	for (uint32_t i = 0; i < c->n_chunks && r == 0; i++)
		if (c->chunks[i].bytes)
			r = fd_write_all(fd, c->chunks[i].bytes, c->chunks[i].c.size);
	if (r == 0)
		r = fd_write_all(fd, directory.bytes, directory.c.size);
	free(directory.bytes);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? ab_fail_errno(err, r, "'%s'", c->w->path) : 0;
}

static void sync_directory(const char *path)
{
	_free_ char *dir = strndup(path, path_base(path) - path);
	_close_ int fd = open(dir && *dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		fsync(fd);
}

/* The name is the lock's own business, so what a killed writer left is written over. */
static int replace_file(struct commit *c, struct ab_error *err)
{
	_free_ char *temporary = NULL;
	_close_ int fd = -1;
	struct stat st;
	int r;

	if (asprintf(&temporary, "%s.new", c->w->path) < 0) {
		temporary = NULL;
		return ab_fail_memory(err);
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return ab_fail_errno(err, -errno, "'%s'", temporary);
	if (stat(c->w->path, &st) == 0)
		fchmod(fd, st.st_mode & 0777);
	r = write_file(c, fd, err);
	if (r == 0 && rename(temporary, c->w->path) < 0)
		r = ab_fail_errno(err, -errno, "'%s'", c->w->path);
	if (r < 0)
		unlink(temporary);
	else
		sync_directory(c->w->path);
	return r;
}

/* ---- all of it ---- */

static void clear(struct commit *c)
{
	for (uint32_t i = 0; i < c->n_chunks; i++)
		free(c->chunks[i].bytes);
	for (uint32_t i = 0; i < c->n_rows; i++)
		free(c->rows[i].bits);
	free(c->chunks);
	free(c->rows);
	free(c->fresh);
	buffer_clear(&c->strings);
	buffer_clear(&c->bodies);
	buffer_clear(&c->heads);
	buffer_clear(&c->sets);
	ZSTD_freeCCtx(c->zstd);
}

static void forget_numbers(struct table *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		ab_table_item(t, i)->final = 0;
}

static int prepare(struct commit *c, struct ab_error *err)
{
	struct ab_pack_writer *w = c->w;
	int r = 0;

	w->rewrite |= w->old && w->old->n_segments >= PACK_MAX_SEGMENTS;
	if (w->rewrite) {
		r = ab_writer_take_old(w, err);
		forget_numbers(&w->defs);
		forget_numbers(&w->strings);
		ab_table_item(&w->strings, 0)->final = 1;
	} else {
		c->old = w->old;
	}
	c->zstd = ZSTD_createCCtx();
	if (r == 0 && !c->zstd)
		r = ab_fail_memory(err);
	if (r == 0) {
		ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, LEVEL);
		r = keep_chunks(c, err);
	}
	return r;
}

int ab_pack_commit(struct ab_pack_writer *w, struct ab_error *err)
{
	struct commit c = { .w = w };
	int r = prepare(&c, err);

	if (r == 0)
		r = make_rows(&c, err);
	if (r == 0) {
		keep_old_rows(&c);
		r = find_fresh(&c, err);
	}
	if (r == 0)
		r = write_defs(&c, err);
	if (r == 0)
		r = write_sets(&c, err);
	if (r == 0)
		r = replace_file(&c, err);
	clear(&c);
	return r;
}
