/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of the crawler offer each other. */
#ifndef AB_HUB_CRAWL_H
#define AB_HUB_CRAWL_H

/* Both jansson and our JSON writer have a json_null(); jansson's is not used. */
#define json_null jansson_null
#include <jansson.h>
#undef json_null
#include <pthread.h>
#include "hub.h"

#define INDEX_LIMIT (16u << 20)     /* signed files */
#define LIST_LIMIT (1u << 30)       /* lists, inflated */
#define PACKAGE_LIMIT (8ull << 30)

/* ---- sources.c ---- */

enum source_type { SOURCE_DEB, SOURCE_RPM, SOURCE_BTFHUB };

struct source {
	char *name, *url, *keyring, *distribution, *index;
	char **suites, **components, **architectures, **packages, **exclude; /* NULL-terminated */
	enum source_type type;
	int64_t newest;
	bool apt, unsigned_, stale, debug, modules, signed_packages;
};

struct sources {
	struct source *items;
	size_t count;
};

int ab_sources_read(const char *path, struct sources *sources, struct ab_error *err);
/* From text; `path` names it in messages. */
int ab_sources_parse(const char *text, size_t size, const char *path, struct sources *sources, struct ab_error *err);
void ab_sources_clear(struct sources *sources);
bool ab_matches(const char *const *globs, const char *name);

/* ---- items.c: kernels, each with the packages that may hold its types ---- */

struct package_ref {
	char *name, *version, *arch, *release; /* `release` as the name says it: what uname -r will say, or near it */
	char *url;
	char *path;             /* local name, with directories where they mean something */
	char *hash;             /* hexadecimal; NULL: the source has none */
	char algorithm[8];      /* "sha256", as nettle calls it */
	uint64_t size;          /* 0: unknown */
	unsigned rank;          /* the lower, the more promising */
	bool debug;
};

struct item {
	const struct source *source;
	char *key;              /* source, name, version and architecture */
	struct package_ref *packages;
	size_t count;
};

struct items {
	struct item *items;
	size_t count, cap;
	struct strmap by_key;
	struct strmap hashes;   /* a package that several suites have is one */
};

/* Takes what `package` holds over, in any case. */
int ab_items_add(struct items *items, const struct source *source, const char *key, struct package_ref *package,
		 struct ab_error *err);
/* Sorts packages by rank, leaves out what `newest` does; kernels with only debug packages come last. */
int ab_items_finish(struct items *items, struct ab_error *err);
void ab_items_clear(struct items *items);
void ab_item_clear(struct item *item);
void ab_package_ref_clear(struct package_ref *package);
/* What identifies a package in the state: its hash, else its address. */
const char *ab_package_id(const struct package_ref *package);
int ab_item_to_json(const struct item *item, char **ret_json, struct ab_error *err);
int ab_item_from_json(const char *json, size_t size, const struct sources *sources, struct item *item,
		      struct ab_error *err);

/* ---- fetch.c ---- */

struct fetcher {
	const char *cache;      /* directory */
	uint64_t rate;          /* bytes a second for all transfers together; 0: no limit */
	bool (*stopped)(void *ctx);
	void *ctx;
	uint64_t fetched;       /* bytes, by all threads */
	pthread_mutex_t lock;   /* of: */
	uint64_t next_ns;       /* when the next bytes may come */
};

struct fetch {
	const char *url;
	const char *to;         /* path; its directory exists */
	const char *hash, *algorithm; /* NULL: unknown */
	uint64_t size;          /* 0: unknown */
	uint64_t limit;
	bool apt;               /* by apt's downloader */
};

/*
 * Fetches a file; what an earlier try left beside it (TO.part) is continued. Nothing is at `to` unless size and hash
 * are right. Errors: -ENOENT/NOT_FOUND the server has it not; -EBADMSG/FORMAT wrong hash or size; -EFBIG/LIMIT;
 * -EIO/IO; -EINTR when stopped.
 */
int ab_fetch(struct fetcher *fetcher, const struct fetch *fetch, struct ab_error *err);
void ab_fetch_init(void);
/* Whether the file's hash is that. -EBADMSG/FORMAT. */
int ab_hash_check(const char *path, const char *algorithm, const char *hash, struct ab_error *err);
/* "URL/PATH" */
char *ab_url_join(const char *url, const char *path);

/* ---- signature.c: by gpgv ---- */

/* Writes the signed part of a clear-signed file to `out`. -EBADMSG/FORMAT: not signed by any key of the keyring. */
int ab_verify_inline(struct fetcher *fetcher, const char *keyring, const char *path, const char *out,
		     struct ab_error *err);
int ab_verify_detached(struct fetcher *fetcher, const char *keyring, const char *signature, const char *path,
		       struct ab_error *err);
/* The signature in an RPM package's header, and the digest of its payload. */
int ab_verify_rpm(struct fetcher *fetcher, const char *keyring, const char *path, struct ab_error *err);

/* ---- repositories: what a source has ---- */

struct listing {
	struct fetcher *fetcher;
	struct items *items;
	struct strmap keep;     /* files of the cache's lists that were used */
	/* Told what could not be read; the rest goes on. */
	void (*failed)(void *ctx, const struct source *source, const char *what, const struct ab_error *why);
	void *ctx;
};

/* Path of a list in the cache; NULL with err filled: memory ran out. */
char *ab_listing_path(struct listing *listing, const char *name, struct ab_error *err);
int ab_list_deb(struct listing *listing, const struct source *source, struct ab_error *err);
int ab_list_rpm(struct listing *listing, const struct source *source, struct ab_error *err);
int ab_list_btfhub(struct listing *listing, const struct source *source, struct ab_error *err);

/* For tests and fuzzers: the parsers alone. */
int ab_deb_parse_packages(struct items *items, const struct source *source, const char *url, const char *text,
			  size_t size, struct ab_error *err);
int ab_rpm_parse_primary(struct items *items, const struct source *source, const char *xml, size_t size,
			 struct ab_error *err);

struct repomd {
	char href[512], hash[132], algorithm[8];
	uint64_t size;
};

int ab_rpm_parse_repomd(const char *xml, size_t size, struct repomd *repomd, struct ab_error *err);
int ab_btfhub_parse_index(struct items *items, const struct source *source, const char *text, size_t size,
			  struct ab_error *err);

/* ---- state.c ---- */

struct state;

int ab_state_open(const char *path, bool create, struct state **ret_state, struct ab_error *err);
void ab_state_close(struct state *state);
int ab_state_forget(struct state *state, struct ab_error *err);
/* Whether the package has to be looked at: not done, or failed and due. *ret_none: it is known to hold nothing. */
int ab_state_wants(struct state *state, const char *id, bool retry, bool *ret_wanted, bool *ret_none,
		   struct ab_error *err);
/* `why` NULL unless failed. Fills *ret_retry_at. */
int ab_state_note(struct state *state, const char *id, const char *source, const char *name, const char *version,
		  enum ab_crawl_status status, const struct ab_error *why, int64_t *ret_retry_at, struct ab_error *err);
/* Forgets which lists of a source could not be read. */
int ab_state_clear_lists(struct state *state, const char *source, struct ab_error *err);
int ab_state_begin(struct state *state, struct ab_error *err);
int ab_state_commit(struct state *state, struct ab_error *err);

/* ---- queue.c: Redis ---- */

struct queue;

int ab_queue_open(const char *url, struct queue **ret_queue, struct ab_error *err);
void ab_queue_close(struct queue *queue);
/* Adds items that nobody has added yet, or that failed and are due. */
int ab_queue_add(struct queue *queue, const struct item *item, bool retry, bool *ret_added, struct ab_error *err);
/*
 * The next item, its JSON for free(), and its entry's id; 0: taken, -EAGAIN: nothing at the moment, but others work on
 * entries that may come back; -ENOENT: nothing is left. err is filled for other errors only.
 */
int ab_queue_take(struct queue *queue, char **ret_json, char ret_entry[64], struct ab_error *err);
/* Says that entries are still being worked on. */
int ab_queue_keep(struct queue *queue, const char *const *entries, size_t count, struct ab_error *err);
int ab_queue_finish(struct queue *queue, const char *entry, const char *id, enum ab_crawl_status status,
		    const struct ab_error *why, int64_t *ret_retry_at, struct ab_error *err);
/* How long to wait before failure number `attempts` is tried again, in seconds. */
int64_t ab_retry_delay(int64_t attempts);

#endif
