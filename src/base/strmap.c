/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A map from strings to numbers: entries in order, and a table of open addressing, at most half full. And edit distance. */
#include <ctype.h>
#include <sys/auxv.h>
#include "base.h"

/* ---- SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), with a round for each eight bytes ---- */

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint32_t str_hash(const char *s, size_t n)
{
	/* Sixteen random bytes that the kernel gives each program (getauxval(3)). */
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t key[2] = {}, word = 0;

	if (random)
		memcpy(key, random, sizeof(key));
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
			  key[1] ^ 0x7465646279746573 };

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&word, s, 8);
		sip_word(v, word);
	}
	word = (uint64_t)n << 56;
	memcpy(&word, s, n);
	sip_word(v, word);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ---- the map ---- */

/* Where an entry's number is, or is to be. */
static uint32_t *find_slot(const struct strmap *m, const char *s, size_t n, uint32_t hash)
{
	for (size_t i = hash;; i++) {
		uint32_t *slot = &m->slots[i & (2 * m->cap - 1)];
		const struct strmap_entry *e = &m->entries[*slot - 1];

		if (!*slot || (e->hash == hash && e->len == n && memcmp(e->key, s, n) == 0))
			return slot;
	}
}

struct strmap_entry *strmap_find(const struct strmap *m, const char *s, size_t n)
{
	uint32_t number = m->cap ? *find_slot(m, s, n, str_hash(s, n)) : 0;

	return number ? &m->entries[number - 1] : NULL;
}

static bool grow(struct strmap *m)
{
	size_t cap = m->cap ? 2 * m->cap : 32;
	struct strmap_entry *entries = cap > UINT32_MAX / 2 ? NULL : reallocarray(m->entries, cap, sizeof(*entries));
	uint32_t *slots = array_new(2 * cap, sizeof(*slots));

	if (entries)
		m->entries = entries;
	if (!entries || !slots) {
		free(slots);
		return false;
	}
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	for (size_t i = 0; i < m->n; i++)
		*find_slot(m, entries[i].key, entries[i].len, entries[i].hash) = (uint32_t)i + 1;
	return true;
}

struct strmap_entry *strmap_put(struct strmap *m, const char *s, size_t n, bool *ret_new)
{
	uint32_t hash = str_hash(s, n), *slot;
	char *key;

	if (m->n == m->cap && !grow(m))
		goto failed;
	slot = find_slot(m, s, n, hash);
	if (ret_new)
		*ret_new = !*slot;
	if (*slot)
		return &m->entries[*slot - 1];
	key = strndup(s, n);
	if (!key)
		goto failed;
	m->entries[m->n] = (struct strmap_entry){ .key = key, .len = n, .hash = hash };
	*slot = (uint32_t)++m->n;
	return &m->entries[m->n - 1];
failed:
	m->failed = true;
	return NULL;
}

void strmap_clear(struct strmap *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->entries[i].key);
	free(m->entries);
	free(m->slots);
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
