/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Strings and definitions while a pack is written, each once. Most of what a kernel has is there already, and finding it
 * costs one miss of the cache: a slot holds 96 bits of the hash, which decide. The hash is seeded at random for each
 * writer, so nobody can make two things that have the same.
 *
 * Looking up takes no lock: a slot's number is written last. Tables that have been outgrown are kept until the end, for
 * who still reads them.
 */
#define XXH_INLINE_ALL
#include <sys/random.h>
#include <xxhash.h>
#include "pack_internal.h"

#define BLOCK 4096
#define MAX_BLOCKS (PACK_MAX_IDS / BLOCK)
#define ARENA (1u << 20)

struct slot {
	uint64_t hash;
	uint32_t more, number; /* more bits of the hash; number plus 1, 0: free */
};

struct slots {
	struct slots *before;
	uint32_t mask;
	struct slot slot[];
};

struct arena_block {
	struct arena_block *next;
	size_t size;
	uint8_t bytes[];
};

static struct slots *new_slots(struct slots *before, uint32_t mask)
{
	struct slots *s = calloc(1, sizeof(*s) + ((size_t)mask + 1) * sizeof(s->slot[0]));

	if (s) {
		s->before = before;
		s->mask = mask;
	}
	return s;
}

int ab_table_init(struct table *t)
{
	*t = (struct table){ .blocks = calloc(MAX_BLOCKS, sizeof(*t->blocks)), .slots = new_slots(NULL, (1u << 16) - 1) };
	pthread_mutex_init(&t->lock, NULL);
	if (getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		t->seed = (uintptr_t)t->slots;
	return t->blocks && t->slots ? 0 : -ENOMEM;
}

void ab_table_clear(struct table *t)
{
	for (uint32_t b = 0; b < t->n_blocks; b++)
		free(t->blocks[b]);
	for (struct arena_block *a = t->arena, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	for (struct slots *s = t->slots, *before; s; s = before) {
		before = s->before;
		free(s);
	}
	free(t->blocks);
	pthread_mutex_destroy(&t->lock);
	*t = (struct table){};
}

struct item *ab_table_item(const struct table *t, uint32_t number)
{
	return &t->blocks[number / BLOCK][number % BLOCK];
}

struct table_key ab_table_key(const struct table *t, const void *p, size_t size)
{
	XXH128_hash_t h = XXH3_128bits_withSeed(p, size, t->seed);

	return (struct table_key){ h.low64, h.high64 };
}

struct table_key ab_table_def_key(const struct table *t, uint8_t *body, size_t size, uint32_t name, uint8_t kind)
{
	uint8_t *head = body - TABLE_HEAD;

	head[0] = kind;
	put_le32(head + 1, name);
	return ab_table_key(t, head, TABLE_HEAD + size);
}

void ab_table_prefetch(const struct table *t, struct table_key key)
{
	const struct slots *s = __atomic_load_n(&t->slots, __ATOMIC_ACQUIRE);

	__builtin_prefetch(&s->slot[key.hash & s->mask]);
}

/* Number plus 1, or 0 and the free slot where it would be. */
static uint32_t find(struct slots *s, struct table_key key, struct slot **ret_slot)
{
	for (uint32_t i = key.hash & s->mask;; i = (i + 1) & s->mask) {
		struct slot *slot = &s->slot[i];
		uint32_t number = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE);

		if (!number || (slot->hash == key.hash && slot->more == key.more)) {
			*ret_slot = slot;
			return number;
		}
	}
}

static void fill(struct slot *slot, struct table_key key, uint32_t number)
{
	slot->hash = key.hash;
	slot->more = key.more;
	__atomic_store_n(&slot->number, number, __ATOMIC_RELEASE);
}

static bool grow_slots(struct table *t)
{
	struct slots *s = new_slots(t->slots, 2 * t->slots->mask + 1);
	struct slot *free_slot;

	if (!s)
		return false;
	for (uint32_t i = 0; i <= t->slots->mask; i++) {
		const struct slot *slot = &t->slots->slot[i];

		if (!slot->number)
			continue;
		find(s, (struct table_key){ slot->hash, slot->more }, &free_slot);
		fill(free_slot, (struct table_key){ slot->hash, slot->more }, slot->number);
	}
	__atomic_store_n(&t->slots, s, __ATOMIC_RELEASE);
	return true;
}

static uint8_t *copy_bytes(struct table *t, const void *p, size_t size)
{
	uint8_t *copy;

	if (!t->arena || t->arena->size - t->used < size) {
		size_t room = MAX(ARENA, size);
		struct arena_block *a = malloc(sizeof(*a) + room);

		if (!a)
			return NULL;
		a->next = t->arena;
		a->size = room;
		t->arena = a;
		t->used = 0;
	}
	copy = t->arena->bytes + t->used;
	memcpy(copy, p, size);
	t->used += size;
	return copy;
}

static struct item *add_item(struct table *t, const void *p, size_t size)
{
	struct item *item;

	if (t->n / BLOCK == t->n_blocks) {
		if (t->n_blocks == MAX_BLOCKS)
			return NULL;
		t->blocks[t->n_blocks] = malloc(BLOCK * sizeof(*item));
		if (!t->blocks[t->n_blocks])
			return NULL;
		t->n_blocks++;
	}
	item = &t->blocks[t->n / BLOCK][t->n % BLOCK];
	*item = (struct item){ .p = copy_bytes(t, p, size), .size = size };
	return item->p ? item : NULL;
}

static uint32_t put_locked(struct table *t, struct table_key key, const void *p, size_t size, uint32_t name, uint8_t kind)
{
	struct slot *slot;
	struct item *item;
	uint32_t number = find(t->slots, key, &slot);

	if (number)
		return number - 1;
	item = add_item(t, p, size);
	if (!item)
		return UINT32_MAX;
	item->name = name;
	item->kind = kind;
	fill(slot, key, ++t->n);
	if (t->n > t->slots->mask / 2 && !grow_slots(t))
		return UINT32_MAX;
	return t->n - 1;
}

uint32_t ab_table_put(struct table *t, struct table_key key, const void *p, size_t size, uint32_t name, uint8_t kind)
{
	struct slot *slot;
	uint32_t number = find(__atomic_load_n(&t->slots, __ATOMIC_ACQUIRE), key, &slot);

	if (number)
		return number - 1;
	pthread_mutex_lock(&t->lock);
	number = put_locked(t, key, p, size, name, kind);
	pthread_mutex_unlock(&t->lock);
	return number;
}

/* ---- what a definition reads like ---- */

struct reading {
	struct walk walk;
	const struct table *strings;
	XXH3_state_t state;
};

static void read_raw(struct walk *w, const uint8_t *p, size_t n)
{
	XXH3_64bits_update(&((struct reading *)w)->state, p, n);
}

static void read_str(struct walk *w, uint64_t token)
{
	struct reading *r = (struct reading *)w;
	const struct item *text = ab_table_item(r->strings, token);
	uint8_t size[4];

	put_le32(size, text->size);
	XXH3_64bits_update(&r->state, size, sizeof(size));
	XXH3_64bits_update(&r->state, text->p, text->size);
}

uint64_t ab_pack_reading(const struct table *strings, const struct item *def)
{
	struct reading r = { .walk = { .str = read_str, .raw = read_raw }, .strings = strings };

	XXH3_64bits_reset(&r.state);
	XXH3_64bits_update(&r.state, &def->kind, 1);
	read_str(&r.walk, def->name);
	ab_pack_walk(&r.walk, def->kind, def->p, def->size);
	return XXH3_64bits_digest(&r.state);
}

/* ---- sorting ---- */

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* By digits of 11 bits: a kernel has 60,000 and more. */
void ab_sort_numbers(uint32_t *numbers, uint32_t n)
{
	uint32_t *other = n < 256 ? NULL : malloc((n + 1) * sizeof(*other)), *from = numbers, *to = other;

	if (!other) {
		if (n) /* none may be NULL */
			qsort(numbers, n, sizeof(*numbers), compare_numbers);
		return;
	}
	for (unsigned shift = 0; shift < 33; shift += 11) {
		uint32_t count[2049] = {}, *swap;

		for (uint32_t i = 0; i < n; i++)
			count[(from[i] >> shift & 2047) + 1]++;
		for (unsigned i = 1; i < 2048; i++)
			count[i] += count[i - 1];
		for (uint32_t i = 0; i < n; i++)
			to[count[from[i] >> shift & 2047]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != numbers)
		memcpy(numbers, from, n * sizeof(*numbers));
	free(other);
}

uint32_t ab_sort_unique(uint32_t *numbers, uint32_t n)
{
	uint32_t unique = 0;

	ab_sort_numbers(numbers, n);
	for (uint32_t i = 0; i < n; i++)
		if (!i || numbers[i] != numbers[i - 1])
			numbers[unique++] = numbers[i];
	return unique;
}
