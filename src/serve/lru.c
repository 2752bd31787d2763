/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hash table with a list through it (lru.h). */
#include "lru.h"

static struct lru_entry **find_place(const struct lru *lru, const char *key, uint32_t hash)
{
	struct lru_entry **at = &lru->slots[hash & (lru->n_slots - 1)];

	while (*at && ((*at)->hash != hash || strcmp((*at)->key, key)))
		at = &(*at)->chain;
	return at;
}

struct lru_entry *lru_find(const struct lru *lru, const char *key)
{
	return lru->n ? *find_place(lru, key, str_hash(key, strlen(key))) : NULL;
}

static int grow(struct lru *lru)
{
	size_t n = lru->n_slots ? lru->n_slots * 2 : 64;
	struct lru_entry **slots = array_new(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (struct lru_entry *e = lru->oldest; e; e = e->newer) {
		e->chain = slots[e->hash & (n - 1)];
		slots[e->hash & (n - 1)] = e;
	}
	free(lru->slots);
	lru->slots = slots;
	lru->n_slots = n;
	return 0;
}

static void append(struct lru *lru, struct lru_entry *entry)
{
	entry->newer = NULL;
	entry->older = lru->newest;
	if (lru->newest)
		lru->newest->newer = entry;
	else
		lru->oldest = entry;
	lru->newest = entry;
}

static void unlink_entry(struct lru *lru, struct lru_entry *entry)
{
	*(entry->older ? &entry->older->newer : &lru->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &lru->newest) = entry->older;
}

void lru_touch(struct lru *lru, struct lru_entry *entry)
{
	if (lru->newest == entry)
		return;
	unlink_entry(lru, entry);
	append(lru, entry);
}

int lru_add(struct lru *lru, struct lru_entry *entry, const char *key, size_t cost)
{
	struct lru_entry **at;

	if (lru->n >= lru->n_slots && grow(lru))
		return -ENOMEM;
	entry->key = strdup(key);
	if (!entry->key)
		return -ENOMEM;
	entry->hash = str_hash(key, strlen(key));
	entry->cost = cost;
	at = &lru->slots[entry->hash & (lru->n_slots - 1)];
	entry->chain = *at;
	*at = entry;
	append(lru, entry);
	lru->n++;
	lru->cost += cost;
	return 0;
}

void lru_remove(struct lru *lru, struct lru_entry *entry)
{
	*find_place(lru, entry->key, entry->hash) = entry->chain;
	unlink_entry(lru, entry);
	lru->n--;
	lru->cost -= entry->cost;
	free(entry->key);
	entry->key = NULL;
}

void lru_clear(struct lru *lru)
{
	free(lru->slots);
	*lru = (struct lru){};
}
