/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types for a kernel that has none: from the object, from what was kept before, from a pack, from whom the caller knows to ask.
 * What is kept is minimized BTF, one file for each kernel and set of needs, which only its owner can have written.
 */
#include <sys/stat.h>
#include <unistd.h>
#include <btf/btf.h>
#include "min.h"

#define LIMIT ((size_t)256 << 20)
#define USER_PACK "/.local/share/anybpf/kernels.pack"
#define SYSTEM_PACK "/usr/share/anybpf/kernels.pack"

struct find {
	const struct ab_min *min; /* NULL: all types */
	const char *types, *pack, *cache;
	const struct ab_kernel *kernel;
	int (*fetch)(void *ctx, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size, char **ret_source,
		     struct ab_error *err);
	void *ctx;
	void *btf;
	size_t size;
	struct text source, tried;
	struct ab_error *err;
};

/* "'/x/kernels.pack' (debian/5.10.0-8-amd64/x86_64)" */
static void put_pack_source(struct find *f, const char *path, const struct ab_kernel *k)
{
	text_printf(&f->source, "'%s' (%s%s%s%s%s)", path, k->distribution, *k->distribution ? "/" : "", k->release,
		    *k->arch ? "/" : "", k->arch);
}

static int fail_none(struct find *f)
{
	return ab_fail(f->err, AB_ERROR_NO_TYPES, -ENOENT,
		       "no types for kernel %s (%s): looked in %s; 'anybpf pack add' makes a pack, --btf names one or a file, "
		       "--server asks for them",
		       f->kernel->release, f->kernel->arch, f->tried.p ? f->tried.p : "nothing");
}

static void note_tried(struct find *f, const char *what)
{
	text_printf(&f->tried, "%s%s", f->tried.n ? ", " : "", what);
}

/* ---- packs ---- */

static long find_kernel(const struct ab_pack *pack, const struct ab_kernel *kernel)
{
	long found = -ENOENT;
	int best = 0;

	for (size_t i = 0; i < ab_pack_count(pack); i++) {
		int fits = ab_kernel_fits(ab_pack_kernel(pack, i), kernel);

		if (fits > best) {
			best = fits;
			found = i;
		}
	}
	return found;
}

/* 1: taken, as much as is needed; 0: it is not in there. */
static int take_from_pack(struct find *f, const char *path, const char *pattern)
{
	struct ab_pack *pack;
	int r = ab_pack_open(path, &pack, f->err);
	long index;

	if (r < 0)
		return r;
	index = pattern ? ab_pack_find(pack, pattern, NULL, f->err) : find_kernel(pack, f->kernel);
	if (index < 0 && (pattern || index != -ENOENT)) {
		r = index;
	} else if (index >= 0) {
		r = f->min ? ab_min_pack(f->min, pack, index, &f->btf, &f->size, f->err) :
			     ab_pack_extract(pack, index, &f->btf, &f->size, f->err);
		if (!r)
			put_pack_source(f, path, ab_pack_kernel(pack, index));
		r = r < 0 ? r : 1;
	}
	ab_pack_close(pack);
	return r;
}

static char *user_pack(void)
{
	const char *home = getenv("HOME");
	char *path;

	return home && *home == '/' && asprintf(&path, "%s%s", home, USER_PACK) >= 0 ? path : NULL;
}

/* Packs in the usual places; one that is named has to be there. */
static int take_from_packs(struct find *f, const char *pattern)
{
	const char *named = f->pack ? f->pack : getenv("ANYBPF_PACK");
	_free_ char *user = named && *named ? NULL : user_pack();
	const char *places[] = { user, SYSTEM_PACK };
	int r = 0;

	if (named && *named) {
		note_tried(f, named);
		return take_from_pack(f, named, pattern);
	}
	for (size_t i = 0; (!r || r == -ENOENT) && i < ARRAY_SIZE(places); i++) {
		if (!places[i])
			continue;
		note_tried(f, places[i]);
		if (access(places[i], F_OK) < 0)
			continue;
		ab_error_clear(f->err);
		r = take_from_pack(f, places[i], pattern);
	}
	return r;
}

int ab_min_open_pack(const char *path, struct ab_pack **ret_pack, struct ab_error *err)
{
	const char *named = path ? path : getenv("ANYBPF_PACK");
	_free_ char *user = user_pack();

	if (named && *named)
		return ab_pack_open(named, ret_pack, err);
	if (user && access(user, F_OK) == 0)
		return ab_pack_open(user, ret_pack, err);
	if (access(SYSTEM_PACK, F_OK) == 0)
		return ab_pack_open(SYSTEM_PACK, ret_pack, err);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there is no pack in the usual places (~%s, %s); name one with --pack",
		       USER_PACK, SYSTEM_PACK);
}

/* ---- files ---- */

static int copy_raw(struct find *f, const struct ab_btf *btf)
{
	const void *raw = ab_btf_raw(btf, &f->size);

	if (f->min)
		return ab_min_btf(f->min, raw, f->size, &f->btf, &f->size, f->err);
	f->btf = malloc(f->size);
	if (!f->btf)
		return ab_fail_memory(f->err);
	memcpy(f->btf, raw, f->size);
	return 0;
}

/* Raw BTF, or an ELF file with it; as much as is needed. */
static int take_file(struct find *f, const char *path)
{
	struct ab_btf *btf;
	int r = ab_btf_open_file(path, &btf, f->err);

	if (r < 0)
		return r;
	r = copy_raw(f, btf);
	ab_btf_close(btf);
	text_printf(&f->source, "'%s'", path);
	return r < 0 ? r : 1;
}

/* Where files are named as `anybpf btf min` names them. */
static int take_from_directory(struct find *f)
{
	_text_ struct text path = {};

	text_printf(&path, "%s%s%s.btf", f->types, str_ends(f->types, "/") ? "" : "/", f->kernel->release);
	if (path.failed)
		return ab_fail_memory(f->err);
	if (access(path.p, F_OK) == 0)
		return take_file(f, path.p);
	note_tried(f, path.p);
	return fail_none(f);
}

/* What was named: a pack, a file with types, a directory of such, or a kernel of the packs in the usual places. */
static int take_named(struct find *f)
{
	struct stat st = {};
	bool is_file = stat(f->types, &st) == 0 || *f->types == '/' || *f->types == '.';
	int r;

	if (!is_file) {
		r = take_from_packs(f, f->types);
		return r ? r : ab_fail(f->err, AB_ERROR_NOT_FOUND, -ENOENT,
				       "'%s' is no file, and there is no pack that could have such a kernel (%s)", f->types,
				       f->tried.p ? f->tried.p : "none looked for");
	}
	if (S_ISDIR(st.st_mode))
		return take_from_directory(f);
	if (!ab_is_pack(f->types))
		return take_file(f, f->types);
	note_tried(f, f->types);
	r = take_from_pack(f, f->types, NULL);
	return r ? r : fail_none(f);
}

/* ---- the cache ---- */

/* The file for this kernel and these needs, or NULL if nothing is to be kept. */
static char *cache_path(const struct find *f)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	_text_ struct text path = {};

	if (f->cache && !*f->cache)
		return NULL;
	if (f->cache)
		text_puts(&path, f->cache);
	else if (cache && *cache == '/')
		text_printf(&path, "%s/anybpf/btf", cache);
	else if (home && *home == '/')
		text_printf(&path, "%s/.cache/anybpf/btf", home);
	else
		return NULL;
	text_printf(&path, "/%s-%s-", f->kernel->release, f->kernel->arch);
	for (size_t i = 0; i < f->kernel->build_id_size; i++)
		text_printf(&path, "%02x", f->kernel->build_id[i]);
	text_printf(&path, "-%016llx.btf", (unsigned long long)ab_min_hash(f->min));
	return strchr(f->kernel->release, '/') ? NULL : text_take(&path);
}

/* A file of somebody else, or one that others may write, is not believed. */
static bool is_ours(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
}

static int take_cached(struct find *f, const char *path)
{
	struct ab_btf *btf;
	char *data;

	if (!path || !is_ours(path) || file_read(path, LIMIT, &data, &f->size, NULL) < 0)
		return 0;
	if (ab_btf_open_mem(data, f->size, &btf, NULL) < 0) {
		free(data);
		return 0;
	}
	ab_btf_close(btf);
	f->btf = data;
	text_printf(&f->source, "'%s'", path);
	return 1;
}

static void make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

/* What cannot be kept is found again the next time. */
static void put_cached(const struct find *f, char *path)
{
	if (!path)
		return;
	make_directories(path);
	file_write(path, f->btf, f->size, 0600, NULL);
}

/* ---- finding ---- */

/* Bytes of somebody else: they are types before they are kept. */
static int take_fetched(struct find *f)
{
	_free_ char *source = NULL;
	struct ab_btf *btf;
	int r = f->fetch ? f->fetch(f->ctx, f->kernel, &f->btf, &f->size, &source, f->err) : 0;

	if (!r && source)
		note_tried(f, source);
	if (r <= 0)
		return r ? r : fail_none(f);
	r = ab_btf_open_mem(f->btf, f->size, &btf, f->err);
	if (r < 0) {
		ab_error_prefix(f->err, "types from %s", source);
		return r;
	}
	ab_btf_close(btf);
	text_puts(&f->source, source);
	return 1;
}

static int find_for_object(struct find *f)
{
	_free_ char *path = cache_path(f);
	int r = ab_min_embedded(f->min, f->kernel, &f->btf, &f->size, f->err);

	if (r > 0)
		text_puts(&f->source, "the object");
	if (!r) {
		note_tried(f, "the object");
		r = take_cached(f, path);
	}
	if (r)
		return r;
	r = take_from_packs(f, NULL);
	if (!r)
		r = take_fetched(f);
	if (r < 0)
		return r;
	put_cached(f, path);
	return 1;
}

static int find(struct find *f, void **ret_btf, size_t *ret_size, char **ret_source)
{
	char *source;
	int r;

	if (f->types) {
		r = take_named(f);
	} else if (f->min) {
		r = find_for_object(f);
	} else {
		r = take_from_packs(f, NULL);
		r = r ? r : fail_none(f);
	}
	source = r < 0 ? NULL : text_take(&f->source);
	if (r >= 0 && !source)
		r = ab_fail_memory(f->err);
	text_clear(&f->source);
	text_clear(&f->tried);
	if (r < 0) {
		free(f->btf);
		return r;
	}
	*ret_btf = f->btf;
	*ret_size = f->size;
	*ret_source = source;
	return 0;
}

int ab_min_find(const struct ab_min *min, const struct ab_min_opts *opts, void **ret_btf, size_t *ret_size, char **ret_source,
		struct ab_error *err)
{
	struct find f = { .min = min, .types = OPT(opts, types), .pack = OPT(opts, pack), .cache = OPT(opts, cache),
			  .kernel = OPT(opts, kernel), .fetch = OPT(opts, fetch), .ctx = OPT(opts, ctx), .err = err };

	f.kernel = f.kernel ? f.kernel : ab_min_running();
	return find(&f, ret_btf, ret_size, ret_source);
}

int ab_min_whole(const struct ab_min_opts *opts, void **ret_btf, size_t *ret_size, char **ret_source, struct ab_error *err)
{
	return ab_min_find(NULL, opts, ret_btf, ret_size, ret_source, err);
}
