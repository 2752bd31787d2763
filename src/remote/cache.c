/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What servers gave, under $XDG_CACHE_HOME/anybpf/remote: KIND/DIGEST, each file with the SHA-256 of the rest in its
 * first 64 bytes, as digits. Small enough that looking at all of it when something is added costs nothing that anybody
 * waits for.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "remote.h"

enum { CACHE_LIMIT = 256 << 20, CHECK_SIZE = HEX_DIGEST_SIZE - 1, KEPT_MAX = 65536 };

static char *cache_path(const char *kind, const char *name)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path;
	int n;

	if ((!xdg || *xdg != '/') && (!home || *home != '/'))
		return NULL;
	if (xdg && *xdg == '/')
		n = asprintf(&path, "%s/anybpf/remote/%s%s%s", xdg, kind, *name ? "/" : "", name);
	else
		n = asprintf(&path, "%s/.cache/anybpf/remote/%s%s%s", home, kind, *name ? "/" : "", name);
	return n < 0 ? NULL : path;
}

/* Makes the directories of a file. */
static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

bool ab_cache_read(const char *kind, const char *hex, char **ret_data, size_t *ret_size)
{
	_free_ char *path = cache_path(kind, hex), *data = NULL;
	char digest[HEX_DIGEST_SIZE];
	size_t size;

	if (!path || file_read(path, ANSWER_LIMIT, &data, &size, NULL) < 0)
		return false;
	if (size >= CHECK_SIZE)
		ab_digest_of(data + CHECK_SIZE, size - CHECK_SIZE, digest);
	if (size < CHECK_SIZE || memcmp(data, digest, CHECK_SIZE)) {
		unlink(path);
		return false;
	}
	utimensat(AT_FDCWD, path, NULL, 0); /* used now: the last to go */
	memmove(data, data + CHECK_SIZE, size - CHECK_SIZE + 1);
	*ret_size = size - CHECK_SIZE;
	*ret_data = TAKE(data);
	return true;
}

struct kept {
	char name[80];
	uint64_t size;
	struct timespec used;
};

static int compare_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct kept *)a)->used, *y = &((const struct kept *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec > y->tv_sec ? 1 : -1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Removes what was used longest ago until half the limit is free for a while. */
static void prune(int dir, struct kept *kept, size_t n, uint64_t total)
{
	if (total <= CACHE_LIMIT)
		return;
	qsort(kept, n, sizeof(*kept), compare_use);
	for (size_t i = 0; i < n && total > CACHE_LIMIT / 2; i++)
		if (unlinkat(dir, kept[i].name, 0) == 0)
			total -= kept[i].size;
}

static void limit_cache(const char *kind)
{
	_free_ char *path = cache_path(kind, "");
	DIR *d = path ? opendir(path) : NULL;
	struct kept *kept = d ? array_new(KEPT_MAX, sizeof(*kept)) : NULL;
	struct dirent *e;
	uint64_t total = 0;
	size_t n = 0;

	while (kept && n < KEPT_MAX && (e = readdir(d))) {
		struct stat st;

		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		    strlen(e->d_name) >= sizeof(kept->name))
			continue;
		strcpy(kept[n].name, e->d_name);
		kept[n].size = st.st_size;
		kept[n].used = st.st_mtim;
		total += kept[n++].size;
	}
	if (kept)
		prune(dirfd(d), kept, n, total);
	free(kept);
	if (d)
		closedir(d);
}

void ab_cache_write(const char *kind, const char *hex, const void *data, size_t size)
{
	_free_ char *path = cache_path(kind, hex);
	_text_ struct text content = {};
	char digest[HEX_DIGEST_SIZE];

	ab_digest_of(data, size, digest);
	text_add(&content, digest, CHECK_SIZE);
	text_add(&content, data, size);
	if (!path || content.failed)
		return;
	make_parents(path);
	if (file_write(path, content.p, content.n, 0600, NULL) == 0)
		limit_cache(kind);
}
