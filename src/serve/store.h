/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the server keeps: bytes by their digest and answers by the digest of the question, on disk within a limit, and blobs
 * that are in use or were lately, in memory.
 */
#ifndef AB_SERVE_STORE_H
#define AB_SERVE_STORE_H

#include <crypto/crypto.h>

/* Bytes that several threads may hold; immutable. */
struct blob {
	unsigned refs;
	struct named *named; /* NULL: it has no name */
	size_t size;
	char data[];
};

struct blob *ab_blob_new(const void *data, size_t size);
struct blob *ab_blob_ref(struct blob *blob);
void ab_blob_unref(struct blob *blob);
/*
 * Large bytes that many clients are sent at one time are in memory once: the blob of that name, if somebody holds it, else NULL;
 * and a name for a new one, in place of which an equal one may come back. Small ones get none.
 */
struct blob *ab_blob_find(const char *name);
struct blob *ab_blob_name(struct blob *blob, const char *name);

/* What a file of the store is; the name of its directory. */
enum store_kind { STORE_ARTIFACT = 'a', STORE_RESULT = 'r', STORE_SOURCE = 's' };

struct store;
/* Takes the directory for this process alone (-EBUSY), removes what a killed one left half-written, and looks up what there is. */
int ab_store_open(const char *dir, uint64_t limit, struct store **ret_store, struct ab_error *err);
void ab_store_close(struct store *store);
void ab_store_set_limit(struct store *store, uint64_t limit);

/*
 * Keeps bytes under 64 hexadecimal digits: their own digest, or for results the digest of the question. The least recently
 * used files make room. Failing is logged and harms nobody: the file is not there later.
 */
void ab_store_put(struct store *store, enum store_kind kind, const char *hex, const void *data, size_t size);
/* Reads and verifies; what does not verify is removed and not there. NULL: not there. */
struct blob *ab_store_get(struct store *store, enum store_kind kind, const char *hex);
/* That is a use, too. */
bool ab_store_has(struct store *store, enum store_kind kind, const char *hex);

struct store_stats {
	uint64_t files, bytes, evicted, damaged, failed;
	bool is_failing; /* the last file could not be written */
};
void ab_store_stats(struct store *store, struct store_stats *ret_stats);

/* Blobs by key in memory. */
struct cache;
struct cache *ab_cache_new(uint64_t limit);
void ab_cache_free(struct cache *cache);
struct blob *ab_cache_get(struct cache *cache, const char *key);
void ab_cache_put(struct cache *cache, const char *key, struct blob *blob);
/* Forgets all, and keeps to the new limit from now on. */
void ab_cache_reset(struct cache *cache, uint64_t limit);
void ab_cache_stats(struct cache *cache, uint64_t *ret_entries, uint64_t *ret_bytes);

#endif
