/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Entries by key, in the order of their last use, with a cost each: what caches, buckets and jobs in flight are kept in. */
#ifndef AB_SERVE_LRU_H
#define AB_SERVE_LRU_H

#include <base/base.h>

/* Embed it first in the entry's struct. */
struct lru_entry {
	struct lru_entry *chain;       /* of one hash slot */
	struct lru_entry *newer, *older;
	char *key;
	uint32_t hash;
	size_t cost;
};

struct lru {
	struct lru_entry **slots;
	size_t n_slots; /* a power of two, or 0 */
	size_t n, cost; /* entries and the sum of their costs */
	struct lru_entry *newest, *oldest;
};

/* NULL if there is none; does not count as a use. */
struct lru_entry *lru_find(const struct lru *lru, const char *key);
void lru_touch(struct lru *lru, struct lru_entry *entry);
/* Adds an entry whose key is not there yet as the newest; the key is copied. */
int lru_add(struct lru *lru, struct lru_entry *entry, const char *key, size_t cost);
/* Takes it out; the entry is the caller's to free, its key is freed. */
void lru_remove(struct lru *lru, struct lru_entry *entry);
/* Frees the table, which is empty. */
void lru_clear(struct lru *lru);

#endif
