/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The cache's size: packages, unpacked kernels, verdicts and what was left of downloads go, longest unused first, when there
 * is too much of them. Whoever uses an entry holds a shared lock on a file of it (ab_cache_hold); what is held stays, in this
 * process and in others. The times of those files say when they were last used.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lab.h"

#define STALE_SECONDS (24 * 3600) /* after that, nobody will finish what was begun */

struct entry {
	char *path;     /* file or folder */
	char *lock;     /* what its users lock */
	uint64_t size;
	struct timespec used;
};

struct entries {
	struct entry *items;
	size_t count;
	uint64_t size;
	bool failed;
};

int ab_cache_hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	/* A file system that knows no locks has caches that nothing is removed from. */
	while (flock(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	/* While this waited, it may have been removed. */
	if (fstat(fd, &st) < 0 || !st.st_nlink) {
		close(fd);
		return -ENOENT;
	}
	futimens(fd, NULL);
	return fd;
}

/* ---- what there is ---- */

static uint64_t disk_size(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static void add_entry(struct entries *all, const char *path, const char *lock, uint64_t size, struct timespec used)
{
	struct entry *items = realloc(all->items, (all->count + 1) * sizeof(*items)), *e;

	if (items)
		all->items = items;
	e = items ? &items[all->count] : NULL;
	if (e)
		*e = (struct entry){ strdup(path), strdup(lock), size, used };
	if (!e || !e->path || !e->lock) {
		all->failed = true;
		return;
	}
	all->count++;
	all->size += size;
}

typedef void visit_fn(struct entries *all, const char *path, const struct stat *st);

/* Calls for everything in a folder of the cache whose name ends so. */
static void visit(struct entries *all, const char *dir, const char *ending, visit_fn *fn)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		_text_ struct text path = {};
		struct stat st;

		if (entry->d_name[0] == '.' || !str_ends(entry->d_name, ending))
			continue;
		text_printf(&path, "%s/%s", dir, entry->d_name);
		if (!path.p)
			all->failed = true;
		else if (lstat(path.p, &st) == 0)
			fn(all, path.p, &st);
	}
	if (d)
		closedir(d);
}

static void add_file(struct entries *all, const char *path, const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		add_entry(all, path, path, disk_size(st), st->st_mtim);
}

/* A download that was cut: its lock is another file, which the one who downloads holds (archive.c). */
static void add_partial(struct entries *all, const char *path, const struct stat *st)
{
	_text_ struct text lock = {};

	text_printf(&lock, "%.*s.lock", (int)(strlen(path) - strlen(".deb")), path);
	if (lock.p && S_ISREG(st->st_mode))
		add_entry(all, path, lock.p, disk_size(st), st->st_mtim);
	all->failed |= !lock.p;
}

static void add_size(struct entries *sum, const char *path, const struct stat *st)
{
	sum->size += disk_size(st);
	if (S_ISDIR(st->st_mode))
		visit(sum, path, "", add_size);
}

/* A folder that was made whole has a file "about"; one that was begun has not, and is somebody's for a while. */
static void add_folder(struct entries *all, const char *path, const struct stat *st)
{
	_text_ struct text about = {};
	struct entries sum = {};
	struct stat used;

	text_printf(&about, "%s/about", path);
	if (!about.p || !S_ISDIR(st->st_mode)) {
		all->failed |= !about.p;
		return;
	}
	visit(&sum, path, "", add_size);
	if (stat(about.p, &used) == 0 && !str_starts(path_base(path), "new-"))
		add_entry(all, path, about.p, sum.size, used.st_mtim);
	else if (time(NULL) - st->st_mtime > STALE_SECONDS)
		add_entry(all, path, path, sum.size, (struct timespec){});
}

static void add_verdicts(struct entries *all, const char *path, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		visit(all, path, "", add_file);
}

static void list_entries(struct ab_lab *lab, struct entries *all)
{
	static const struct { const char *dir, *ending; visit_fn *fn; } places[] = {
		{ "deb", ".deb", add_file }, { "partial", ".deb", add_partial }, { "kernel", "", add_folder },
		{ "busybox", "", add_file }, { "verdict", "", add_verdicts }, { "log", ".log", add_file },
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_text_ struct text dir = {};

		text_printf(&dir, "%s/%s", lab->cache, places[i].dir);
		if (dir.p)
			visit(all, dir.p, places[i].ending, places[i].fn);
		all->failed |= !dir.p;
	}
}

static int compare_use(const void *a, const void *b)
{
	const struct timespec *ua = &((const struct entry *)a)->used, *ub = &((const struct entry *)b)->used;

	if (ua->tv_sec != ub->tv_sec)
		return ua->tv_sec < ub->tv_sec ? -1 : 1;
	return ua->tv_nsec < ub->tv_nsec ? -1 : ua->tv_nsec > ub->tv_nsec;
}

/* ---- removing ---- */

/* False: somebody uses it. */
static bool remove_entry(const struct entry *e)
{
	_close_ int fd = open(e->lock, O_RDONLY | O_CLOEXEC);
	_text_ struct text gone = {};
	struct stat st;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return false;
	if (!strcmp(e->lock, e->path) && S_ISREG(st.st_mode))
		return unlink(e->path) == 0;
	if (lstat(e->path, &st) < 0 || S_ISREG(st.st_mode))
		return unlink(e->path) == 0;
	/* Under another name it is no kernel any more, however much of it is removed. */
	text_printf(&gone, "%.*snew-gone-%s", (int)(path_base(e->path) - e->path), e->path, path_base(e->path));
	if (!gone.p || rename(e->path, gone.p) < 0)
		return false;
	ab_remove_tree(gone.p);
	return true;
}

int ab_lab_clean(struct ab_lab *lab, uint64_t limit, uint64_t *ret_kept, uint64_t *ret_removed, struct ab_error *err)
{
	struct entries all = {};
	uint64_t removed = 0;

	list_entries(lab, &all);
	if (!all.failed)
		qsort(all.items, all.count, sizeof(*all.items), compare_use);
	for (size_t i = 0; i < all.count; i++) {
		if (!all.failed && all.size - removed > limit && remove_entry(&all.items[i]))
			removed += all.items[i].size;
		free(all.items[i].path);
		free(all.items[i].lock);
	}
	free(all.items);
	if (all.failed)
		return ab_fail_memory(err);
	if (ret_kept)
		*ret_kept = all.size - removed;
	if (ret_removed)
		*ret_removed = removed;
	return 0;
}

void ab_cache_trim(struct ab_lab *lab)
{
	struct ab_error err = {};

	if (ab_lab_clean(lab, lab->cache_limit, NULL, NULL, &err) < 0)
		ab_lab_warn(lab, "the cache cannot be kept within its limit: %s", err.msg);
	ab_error_clear(&err);
}
