/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* BTFHub's tree: a directory of this machine, or files at an address with a list of their hashes. */
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crawl.h"

static bool is_btf(const char *path)
{
	return strstr(path_base(path), ".btf") && !strstr(path, "..") && *path != '/';
}

/* DISTRIBUTION/VERSION/ARCH/RELEASE.btf.tar.xz; the path is kept, for the import reads it. */
static int add_file(struct items *items, const struct source *source, const char *url, const char *path,
		    const char *hash, uint64_t size, struct ab_error *err)
{
	struct package_ref p = { .algorithm = "sha256", .size = size };
	const char *base = path_base(path), *end = strstr(base, ".btf");
	_free_ char *key = NULL, *dir = strndup(path, base > path ? base - path - 1 : 0);

	p.name = strdup(path);
	p.version = strdup("");
	p.arch = dir ? strdup(path_base(dir)) : NULL;
	p.release = strndup(base, end - base);
	p.url = ab_url_join(url, path);
	p.path = strdup(path);
	p.hash = hash ? strdup(hash) : NULL;
	if (asprintf(&key, "%s %s", source->name, path) < 0 || (hash && !p.hash)) {
		ab_package_ref_clear(&p);
		return ab_fail_memory(err);
	}
	return ab_items_add(items, source, key, &p, err);
}

/* Lines "HASH  PATH" or "HASH *PATH", as sha256sum(1) writes them. */
int ab_btfhub_parse_index(struct items *items, const struct source *source, const char *text, size_t size,
			  struct ab_error *err)
{
	const char *p = text, *end = text + size;
	int r = 0;

	while (r == 0 && p < end) {
		const char *stop = memchr(p, '\n', end - p), *path = p + 66;
		_free_ char *name = NULL, *hash = NULL;

		stop = stop ? stop : end;
		if (stop - p > 66 && stop - p < 400 && p[64] == ' ' && (p[65] == ' ' || p[65] == '*')) {
			if (stop - path > 2 && !strncmp(path, "./", 2))
				path += 2;
			name = strndup(path, stop - path);
			hash = strndup(p, 64);
			if (!name || !hash)
				return ab_fail_memory(err);
			if (strspn(hash, "0123456789abcdef") == 64 && is_btf(name))
				r = add_file(items, source, source->url, name, hash, 0, err);
		}
		p = stop + 1;
	}
	return r;
}

/* ---- directories ---- */

struct walk {
	struct items *items;
	const struct source *source;
	const char *root;
	struct ab_error *err;
};

static __thread struct walk *walking;

static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *below = path + strlen(walking->root);
	_free_ char *id = NULL;

	below += strspn(below, "/");
	if (type != FTW_F || !S_ISREG(st->st_mode) || !is_btf(below) || strlen(below) > 400)
		return 0;
	/* A file that changes is another one; nothing has to be read to see it. */
	if (asprintf(&id, "%s@%lld+%lld", path, (long long)st->st_mtime, (long long)st->st_size) < 0)
		return -1;
	return add_file(walking->items, walking->source, walking->root, below, id, st->st_size, walking->err) < 0 ? -1
														  : 0;
}

static int list_directory(struct listing *listing, const struct source *source, const char *path, struct ab_error *err)
{
	_free_ char *root = strdup(path);
	struct walk walk = { listing->items, source, root, err };

	if (!root)
		return ab_fail_memory(err);
	for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
		root[n - 1] = '\0';
	if (access(root, R_OK) < 0)
		return ab_fail_errno(err, -errno, "'%s'", root);
	walking = &walk;
	if (nftw(root, note_file, 32, FTW_PHYS) && !(err && err->code))
		ab_fail_errno(err, -(errno ? errno : ENOMEM), "'%s'", root);
	walking = NULL;
	return err && err->code ? err->code : 0;
}

/* ---- addresses ---- */

static int fetch_signed(struct listing *listing, const struct source *source, const char *index, const char *to,
			struct ab_error *err)
{
	_free_ char *url = ab_url_join(source->url, index), *sig_url = NULL, *sig = NULL;
	struct fetch fetch = { .url = url, .to = to, .limit = INDEX_LIMIT };
	int r;

	if (!url || asprintf(&sig_url, "%s.gpg", url) < 0 || asprintf(&sig, "%s.gpg", to) < 0)
		return ab_fail_memory(err);
	r = ab_fetch(listing->fetcher, &fetch, err);
	if (r < 0 || source->unsigned_)
		return r;
	fetch.url = sig_url;
	fetch.to = sig;
	r = ab_fetch(listing->fetcher, &fetch, err);
	if (r == 0)
		r = ab_verify_detached(listing->fetcher, source->keyring, sig, to, err);
	unlink(sig);
	return r;
}

static int list_tree(struct listing *listing, const struct source *source, struct ab_error *err)
{
	const char *index = source->index ? source->index : "SHA256SUMS";
	_free_ char *name = NULL, *to = NULL, *text = NULL;
	size_t size;
	int r;

	if (*source->url == '/')
		return list_directory(listing, source, source->url, err);
	if (asprintf(&name, "%s-index", source->name) < 0)
		return ab_fail_memory(err);
	to = ab_listing_path(listing, name, err);
	if (!to)
		return -ENOMEM;
	r = fetch_signed(listing, source, index, to, err);
	if (r == 0)
		r = file_read(to, INDEX_LIMIT, &text, &size, err);
	return r < 0 ? r : ab_btfhub_parse_index(listing->items, source, text, size, err);
}

int ab_list_btfhub(struct listing *listing, const struct source *source, struct ab_error *err)
{
	struct ab_error why = {};
	int r = list_tree(listing, source, &why);

	if (r == -ENOMEM || r == -EINTR)
		return ab_fail(err, why.kind, r, "%s", why.msg);
	if (r < 0)
		listing->failed(listing->ctx, source, "index", &why);
	ab_error_clear(&why);
	return 0;
}
