/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The store on disk: DIR/KIND/XX/HEX. A file is written beside its place and renamed, so a killed server leaves whole files and
 * rubbish with another name, never a half one. There is no sync: what a power cut damages fails its digest and is not there.
 * The order of use is the files' modification time, and the index is made from the directory at every start.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "log.h"
#include "lru.h"
#include "store.h"

enum { TOUCH_SECONDS = 600, FILE_LIMIT = 1 << 30, BLOCK = 4096, NAMED_SIZE = 64 << 10 };

struct file {
	struct lru_entry lru;
	time_t used;
};

struct store {
	char *dir;
	int lock_fd;
	pthread_mutex_t lock;
	struct lru files; /* by "K/HEX" */
	uint64_t limit, evicted, damaged, failed;
	bool is_failing; /* the last file could not be written */
	unsigned temporary;
};

static const char kinds[] = { STORE_ARTIFACT, STORE_RESULT, STORE_SOURCE };

/* ---- blobs ---- */

static struct blob *alloc_blob(size_t size)
{
	struct blob *b = malloc(sizeof(*b) + size + 1);

	if (b) {
		b->refs = 1;
		b->named = NULL;
		b->size = size;
		b->data[size] = '\0';
	}
	return b;
}

struct blob *ab_blob_new(const void *data, size_t size)
{
	struct blob *b = alloc_blob(size);

	if (b && size)
		memcpy(b->data, data, size);
	return b;
}

struct blob *ab_blob_ref(struct blob *b)
{
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

/* A blob with a name: whoever finds it may be the last to hold it, hence the lock around its count. */
struct named {
	struct lru_entry lru;
	struct blob *blob;
};

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lru names;

static void forget_name(struct named *n)
{
	lru_remove(&names, &n->lru);
	free(n);
	if (!names.n)
		lru_clear(&names);
}

void ab_blob_unref(struct blob *b)
{
	bool is_last;

	if (!b)
		return;
	if (b->named)
		pthread_mutex_lock(&names_lock);
	is_last = !__atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL);
	if (b->named) {
		if (is_last)
			forget_name(b->named);
		pthread_mutex_unlock(&names_lock);
	}
	if (is_last)
		free(b);
}

struct blob *ab_blob_find(const char *name)
{
	struct named *n;
	struct blob *b;

	pthread_mutex_lock(&names_lock);
	n = (struct named *)lru_find(&names, name);
	b = n ? ab_blob_ref(n->blob) : NULL;
	pthread_mutex_unlock(&names_lock);
	return b;
}

struct blob *ab_blob_name(struct blob *b, const char *name)
{
	struct named *n = b && b->size >= NAMED_SIZE ? array_new(1, sizeof(*n)) : NULL, *other;

	if (!n)
		return b;
	pthread_mutex_lock(&names_lock);
	other = (struct named *)lru_find(&names, name);
	if (other || lru_add(&names, &n->lru, name, 1)) {
		free(n);
	} else {
		n->blob = b;
		b->named = n;
	}
	if (other) {
		free(b);
		b = ab_blob_ref(other->blob);
	}
	pthread_mutex_unlock(&names_lock);
	return b;
}

/* ---- names ---- */

struct name {
	char key[HEX_DIGEST_SIZE + 2]; /* "K/HEX" */
	char path[HEX_DIGEST_SIZE + 5]; /* "K/XX/HEX" */
};

static struct name make_name(enum store_kind kind, const char *hex)
{
	struct name n;

	snprintf(n.key, sizeof(n.key), "%c/%.64s", kind, hex);
	snprintf(n.path, sizeof(n.path), "%c/%.2s/%.64s", kind, hex, hex);
	return n;
}

static char *full_path(const struct store *s, const char *path)
{
	char *full;

	return asprintf(&full, "%s/%s", s->dir, path) < 0 ? NULL : full;
}

static void remove_file(struct store *s, struct file *f)
{
	const char *hex = f->lru.key + 2;
	struct name n = make_name(f->lru.key[0], hex);
	_free_ char *path = full_path(s, n.path);

	if (path)
		(void)unlink(path);
	lru_remove(&s->files, &f->lru);
	free(f);
}

static void make_room(struct store *s)
{
	while (s->files.cost > s->limit && s->files.oldest) {
		remove_file(s, (struct file *)s->files.oldest);
		s->evicted++;
	}
}

static int add_file(struct store *s, const char *key, size_t size, time_t used)
{
	struct file *f = array_new(1, sizeof(*f));
	size_t cost = (size + BLOCK - 1) / BLOCK * BLOCK;

	if (!f)
		return -ENOMEM;
	f->used = used;
	if (lru_add(&s->files, &f->lru, key, cost ? cost : BLOCK)) {
		free(f);
		return -ENOMEM;
	}
	return 0;
}

/* ---- opening ---- */

struct found {
	struct name name;
	off_t size;
	time_t used;
};

struct founds {
	struct found *v;
	size_t n, cap;
	bool failed;
};

static int compare_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->used > y->used) - (x->used < y->used);
}

static void take_found(struct store *s, struct founds *all, enum store_kind kind, const char *dir, const char *name)
{
	_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return;
	}
	if (!ab_is_hex_digest(name)) {
		(void)unlink(path);
		return;
	}
	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 256;
		struct found *v = reallocarray(all->v, cap, sizeof(*v));

		all->failed |= !v;
		if (!v)
			return;
		all->v = v;
		all->cap = cap;
	}
	all->v[all->n++] = (struct found){ make_name(kind, name), st.st_size, st.st_mtime };
}

static void find_files(struct store *s, struct founds *all, enum store_kind kind)
{
	for (int i = 0; i < 256; i++) {
		_free_ char *dir = NULL;
		struct dirent *entry;
		DIR *d;

		if (asprintf(&dir, "%s/%c/%02x", s->dir, kind, i) < 0) {
			dir = NULL;
			continue;
		}
		d = opendir(dir);
		while (d && (entry = readdir(d)))
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
				take_found(s, all, kind, dir, entry->d_name);
		if (d)
			closedir(d);
	}
}

static int read_index(struct store *s)
{
	struct founds all = {};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		find_files(s, &all, kinds[i]);
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), compare_found);
	for (size_t i = 0; i < all.n && !all.failed; i++)
		all.failed = add_file(s, all.v[i].name.key, all.v[i].size, all.v[i].used) != 0;
	free(all.v);
	make_room(s);
	return all.failed ? -ENOMEM : 0;
}

static int make_dirs(struct store *s, struct ab_error *err)
{
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return ab_fail_errno(err, -errno, "unable to make '%s'", s->dir);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_free_ char *path = full_path(s, (char[]){ kinds[i], '\0' });

		if (!path)
			return ab_fail_memory(err);
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return ab_fail_errno(err, -errno, "unable to make '%s'", path);
	}
	return 0;
}

static int take_lock(struct store *s, struct ab_error *err)
{
	_free_ char *path = full_path(s, "lock");

	if (!path)
		return ab_fail_memory(err);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return ab_fail_errno(err, -errno, "unable to open '%s'", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return ab_fail(err, AB_ERROR_BUSY, -EBUSY, "'%s' is used by another anybpfd: give each its own --state", s->dir);
	return 0;
}

int ab_store_open(const char *dir, uint64_t limit, struct store **ret_store, struct ab_error *err)
{
	struct store *s = array_new(1, sizeof(*s));
	int r;

	if (!s)
		return ab_fail_memory(err);
	s->lock_fd = -1;
	s->limit = limit;
	pthread_mutex_init(&s->lock, NULL);
	s->dir = strdup(dir);
	r = s->dir ? make_dirs(s, err) : ab_fail_memory(err);
	if (!r)
		r = take_lock(s, err);
	if (!r && read_index(s))
		r = ab_fail_memory(err);
	if (r) {
		ab_store_close(s);
		return r;
	}
	*ret_store = s;
	return 0;
}

void ab_store_close(struct store *s)
{
	if (!s)
		return;
	while (s->files.oldest) {
		struct lru_entry *e = s->files.oldest;

		lru_remove(&s->files, e);
		free(e);
	}
	lru_clear(&s->files);
	ab__close(&s->lock_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->dir);
	free(s);
}

void ab_store_set_limit(struct store *s, uint64_t limit)
{
	pthread_mutex_lock(&s->lock);
	s->limit = limit;
	make_room(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- putting and getting ---- */

/* Results have the digest of their bytes in front, as their name is another one. */
static int write_file(struct store *s, const struct name *n, enum store_kind kind, const void *data, size_t size)
{
	char digest[HEX_DIGEST_SIZE] = "";
	_free_ char *path = full_path(s, n->path), *temporary = NULL, *dir = NULL;
	_close_ int fd = -1;
	int r = 0;

	if (!path || asprintf(&temporary, "%s.%u", path, __atomic_add_fetch(&s->temporary, 1, __ATOMIC_RELAXED)) < 0)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) {
		dir = strndup(path, path_base(path) - path);
		if (dir)
			(void)mkdir(dir, 0700);
		fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return -errno;
	if (kind == STORE_RESULT) {
		ab_digest_of(data, size, digest);
		digest[HEX_DIGEST_SIZE - 1] = '\n';
		r = fd_write_all(fd, digest, HEX_DIGEST_SIZE);
	}
	if (!r)
		r = fd_write_all(fd, data, size);
	if (!r && rename(temporary, path) < 0)
		r = -errno;
	if (r)
		(void)unlink(temporary);
	return r;
}

void ab_store_put(struct store *s, enum store_kind kind, const char *hex, const void *data, size_t size)
{
	struct name n = make_name(kind, hex);
	int r;

	if (ab_store_has(s, kind, hex))
		return;
	r = write_file(s, &n, kind, data, size);
	pthread_mutex_lock(&s->lock);
	if (!r && !lru_find(&s->files, n.key))
		r = add_file(s, n.key, size, time(NULL));
	s->failed += r != 0;
	s->is_failing = r != 0;
	make_room(s);
	pthread_mutex_unlock(&s->lock);
	if (r)
		ab_log("warning", "cache", "unable to keep %s: %s", n.path, strerror(-r));
}

static bool is_sound(enum store_kind kind, const char *hex, const char *data, size_t size)
{
	char digest[HEX_DIGEST_SIZE];

	if (kind != STORE_RESULT) {
		ab_digest_of(data, size, digest);
		return !strcmp(digest, hex);
	}
	if (size < HEX_DIGEST_SIZE || data[HEX_DIGEST_SIZE - 1] != '\n')
		return false;
	ab_digest_of(data + HEX_DIGEST_SIZE, size - HEX_DIGEST_SIZE, digest);
	return !memcmp(digest, data, HEX_DIGEST_SIZE - 1);
}

static void forget(struct store *s, const struct name *n, bool is_damaged)
{
	struct lru_entry *e;

	pthread_mutex_lock(&s->lock);
	e = lru_find(&s->files, n->key);
	if (e)
		remove_file(s, (struct file *)e);
	s->damaged += is_damaged;
	pthread_mutex_unlock(&s->lock);
}

/* Notes the use, on the disk only now and then. */
static bool touch(struct store *s, const struct name *n)
{
	time_t now = time(NULL);
	bool stamp = false;
	struct file *f;

	pthread_mutex_lock(&s->lock);
	f = (struct file *)lru_find(&s->files, n->key);
	if (f) {
		lru_touch(&s->files, &f->lru);
		stamp = f->used + TOUCH_SECONDS < now;
		if (stamp)
			f->used = now;
	}
	pthread_mutex_unlock(&s->lock);
	if (stamp) {
		_free_ char *path = full_path(s, n->path);

		if (path)
			(void)utimensat(AT_FDCWD, path, NULL, 0);
	}
	return f != NULL;
}

struct blob *ab_store_get(struct store *s, enum store_kind kind, const char *hex)
{
	struct name n = make_name(kind, hex);
	_free_ char *path = NULL, *data = NULL;
	size_t size, skip = kind == STORE_RESULT ? HEX_DIGEST_SIZE : 0;

	if (!touch(s, &n))
		return NULL;
	path = full_path(s, n.path);
	if (!path)
		return NULL;
	if (file_read(path, FILE_LIMIT, &data, &size, NULL)) {
		forget(s, &n, false);
		return NULL;
	}
	if (!is_sound(kind, hex, data, size)) {
		ab_log("warning", "cache", "%s is damaged and was removed", n.path);
		forget(s, &n, true);
		return NULL;
	}
	return ab_blob_new(data + skip, size - skip);
}

bool ab_store_has(struct store *s, enum store_kind kind, const char *hex)
{
	struct name n = make_name(kind, hex);

	return touch(s, &n);
}

void ab_store_stats(struct store *s, struct store_stats *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = (struct store_stats){ s->files.n, s->files.cost, s->evicted, s->damaged, s->failed, s->is_failing };
	pthread_mutex_unlock(&s->lock);
}

/* ---- memory ---- */

struct held {
	struct lru_entry lru;
	struct blob *blob;
};

struct cache {
	pthread_mutex_t lock;
	struct lru held;
	uint64_t limit;
};

struct cache *ab_cache_new(uint64_t limit)
{
	struct cache *c = array_new(1, sizeof(*c));

	if (c) {
		c->limit = limit;
		pthread_mutex_init(&c->lock, NULL);
	}
	return c;
}

static void drop_oldest(struct cache *c)
{
	struct held *h = (struct held *)c->held.oldest;

	lru_remove(&c->held, &h->lru);
	ab_blob_unref(h->blob);
	free(h);
}

void ab_cache_reset(struct cache *c, uint64_t limit)
{
	pthread_mutex_lock(&c->lock);
	while (c->held.oldest)
		drop_oldest(c);
	c->limit = limit;
	pthread_mutex_unlock(&c->lock);
}

void ab_cache_free(struct cache *c)
{
	if (!c)
		return;
	ab_cache_reset(c, 0);
	lru_clear(&c->held);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct blob *ab_cache_get(struct cache *c, const char *key)
{
	struct blob *blob = NULL;
	struct held *h;

	pthread_mutex_lock(&c->lock);
	h = (struct held *)lru_find(&c->held, key);
	if (h) {
		lru_touch(&c->held, &h->lru);
		blob = ab_blob_ref(h->blob);
	}
	pthread_mutex_unlock(&c->lock);
	return blob;
}

void ab_cache_put(struct cache *c, const char *key, struct blob *blob)
{
	struct held *h = array_new(1, sizeof(*h));

	if (!h)
		return;
	pthread_mutex_lock(&c->lock);
	/* One blob may not empty the cache. */
	if (blob->size > c->limit / 4 || lru_find(&c->held, key) ||
	    lru_add(&c->held, &h->lru, key, blob->size + sizeof(*h) + 256)) {
		free(h);
	} else {
		h->blob = ab_blob_ref(blob);
		while (c->held.cost > c->limit && c->held.oldest)
			drop_oldest(c);
	}
	pthread_mutex_unlock(&c->lock);
}

void ab_cache_stats(struct cache *c, uint64_t *ret_entries, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&c->lock);
	*ret_entries = c->held.n;
	*ret_bytes = c->held.cost;
	pthread_mutex_unlock(&c->lock);
}
