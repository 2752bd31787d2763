/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Strings and definitions while a pack is written, each once: hash tables in shards, so that several threads can add kernels. Items never move, so
 * what has a number is read without a lock.
 */
#include <sys/mman.h>
#include "pack_internal.h"

#define BLOCK 4096
#define MAX_BLOCKS (PACK_MAX_IDS / TABLE_SHARDS / BLOCK)
#define ARENA (256u << 10)

struct arena_block {
	struct arena_block *next;
	size_t size;
	uint8_t bytes[];
};

int ab_table_init(struct table *t)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct shard *s = &t->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		s->mask = 255;
		s->slots = calloc(s->mask + 1, sizeof(*s->slots));
		s->blocks = calloc(MAX_BLOCKS, sizeof(*s->blocks));
		if (!s->slots || !s->blocks)
			return -ENOMEM;
	}
	return 0;
}

void ab_table_clear(struct table *t)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct shard *s = &t->shards[i];

		for (uint32_t b = 0; b < s->n_blocks; b++)
			free(s->blocks[b]);
		for (struct arena_block *a = s->arena, *next; a; a = next) {
			next = a->next;
			free(a);
		}
		free(s->blocks);
		free(s->slots);
		pthread_mutex_destroy(&s->lock);
		*s = (struct shard){};
	}
}

struct item *ab_table_item(const struct table *t, uint32_t number)
{
	uint32_t i = number / TABLE_SHARDS;

	return &t->shards[number % TABLE_SHARDS].blocks[i / BLOCK][i % BLOCK];
}

static bool grow_slots(struct shard *s)
{
	uint32_t mask = 2 * s->mask + 1;
	uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t n = 0; n < s->n; n++) {
		uint32_t i = s->blocks[n / BLOCK][n % BLOCK].hash / TABLE_SHARDS & mask;

		while (slots[i])
			i = (i + 1) & mask;
		slots[i] = n + 1;
	}
	free(s->slots);
	s->slots = slots;
	s->mask = mask;
	return true;
}

static uint8_t *copy_bytes(struct shard *s, const void *p, size_t size)
{
	uint8_t *copy;

	if (!s->arena || s->arena->size - s->used < size) {
		size_t room = MAX(ARENA, size);
		struct arena_block *a = malloc(sizeof(*a) + room);

		if (!a)
			return NULL;
		*a = (struct arena_block){ .next = s->arena, .size = room };
		s->arena = a;
		s->used = 0;
	}
	copy = s->arena->bytes + s->used;
	memcpy(copy, p, size);
	s->used += size;
	return copy;
}

static struct item *add_item(struct shard *s, const void *p, size_t size)
{
	struct item *item;

	if (s->n / BLOCK == s->n_blocks) {
		if (s->n_blocks == MAX_BLOCKS)
			return NULL;
		s->blocks[s->n_blocks] = malloc(BLOCK * sizeof(*item));
		if (!s->blocks[s->n_blocks])
			return NULL;
		s->n_blocks++;
	}
	item = &s->blocks[s->n / BLOCK][s->n % BLOCK];
	*item = (struct item){ .p = copy_bytes(s, p, size), .size = size };
	return item->p ? item : NULL;
}

static uint32_t put_locked(struct shard *s, const void *p, size_t size, uint32_t name, uint8_t kind, uint64_t hash)
{
	uint32_t i = hash / TABLE_SHARDS & s->mask;
	struct item *item;

	for (; s->slots[i]; i = (i + 1) & s->mask) {
		uint32_t n = s->slots[i] - 1;

		item = &s->blocks[n / BLOCK][n % BLOCK];
		if (item->hash == hash && item->size == size && item->name == name && item->kind == kind && !memcmp(item->p, p, size))
			return n;
	}
	item = add_item(s, p, size);
	if (!item)
		return UINT32_MAX;
	item->hash = hash;
	item->name = name;
	item->kind = kind;
	s->slots[i] = ++s->n;
	if (s->n > s->mask / 2 && !grow_slots(s))
		return UINT32_MAX;
	return s->n - 1;
}

uint32_t ab_table_put(struct table *t, const void *p, size_t size, uint32_t name, uint8_t kind, uint64_t hash)
{
	struct shard *s = &t->shards[hash % TABLE_SHARDS];
	uint32_t n;

	pthread_mutex_lock(&s->lock);
	n = put_locked(s, p, size, name, kind, hash);
	pthread_mutex_unlock(&s->lock);
	return n == UINT32_MAX ? n : n * TABLE_SHARDS + hash % TABLE_SHARDS;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t ab_def_hash(const void *body, size_t size, uint32_t name, uint8_t kind)
{
	return ab_pack_hash(body, size, (uint64_t)name << 8 | kind);
}

/* By digits of 11 bits: a kernel has 60,000 and more. */
void ab_sort_numbers(uint32_t *numbers, uint32_t n)
{
	uint32_t *other = malloc((n + 1) * sizeof(*other)), *from = numbers, *to = other;

	if (!other) {
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
