/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* An open-addressing hash map from strings to numbers, kept at most half full, and edit distance. */
#include <ctype.h>
#include "base.h"

uint32_t str_hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h;
}

static struct strmap_entry *find_slot(const struct strmap *m, const char *s, size_t n, uint32_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct strmap_entry *e = &m->entries[i];

		if (!e->key || (e->hash == hash && e->len == n && memcmp(e->key, s, n) == 0))
			return e;
	}
}

struct strmap_entry *strmap_find(const struct strmap *m, const char *s, size_t n)
{
	struct strmap_entry *e;

	if (!m->cap)
		return NULL;
	e = find_slot(m, s, n, str_hash(s, n));
	return e->key ? e : NULL;
}

static bool grow(struct strmap *m)
{
	struct strmap bigger = { .cap = m->cap ? 2 * m->cap : 64 };

	bigger.entries = array_new(bigger.cap, sizeof(*bigger.entries));
	if (!bigger.entries)
		return false;
	for (size_t i = 0; i < m->cap; i++) {
		struct strmap_entry *e = &m->entries[i];

		if (e->key)
			*find_slot(&bigger, e->key, e->len, e->hash) = *e;
	}
	free(m->entries);
	m->entries = bigger.entries;
	m->cap = bigger.cap;
	return true;
}

struct strmap_entry *strmap_put(struct strmap *m, const char *s, size_t n, bool *ret_new)
{
	struct strmap_entry *e;
	uint32_t hash = str_hash(s, n);
	char *key;

	if (2 * (m->n + 1) > m->cap && !grow(m))
		goto failed;
	e = find_slot(m, s, n, hash);
	if (ret_new)
		*ret_new = !e->key;
	if (e->key)
		return e;
	key = strndup(s, n);
	if (!key)
		goto failed;
	*e = (struct strmap_entry){ .key = key, .len = n, .hash = hash };
	m->n++;
	return e;
failed:
	m->failed = true;
	return NULL;
}

void strmap_clear(struct strmap *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->entries[i].key);
	free(m->entries);
	*m = (struct strmap){};
}

int str_distance(const char *a, const char *b, int limit)
{
	size_t na = strlen(a), nb = strlen(b);
	int row[128];

	if (na > nb + limit || nb > na + limit || nb >= ARRAY_SIZE(row))
		return limit + 1;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		int diagonal = row[0], best = row[0] = i;

		for (size_t j = 1; j <= nb; j++) {
			int above = row[j];
			bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);

			row[j] = MIN(MIN(row[j - 1], above) + 1, diagonal + !same);
			diagonal = above;
			best = MIN(best, row[j]);
		}
		if (best > limit)
			return limit + 1;
	}
	return row[nb];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	int far = nearest->limit ? nearest->limit : (int)strlen(nearest->wanted) / 3 + 1;
	int limit = nearest->name ? nearest->distance - 1 : far;
	int distance = limit < 0 ? 0 : str_distance(nearest->wanted, name, limit);

	if (limit >= 0 && distance <= limit) {
		nearest->name = name;
		nearest->distance = distance;
	}
}
