/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The files that a build needs, as they lie to each other: paths count from the deepest directory that has them all, so
 * that #include "../x.h" finds on the server what it finds here. Which they are the scanner says (src/build/scan.h), by the
 * branches that may be taken.
 */
#include <build/conditions.h>
#include <unistd.h>
#include "remote.h"

enum { FILES_MAX = 1024 };

/* ---- paths ---- */

/* A path from the root without ".", ".." and doubled slashes; links are left as they are. */
static char *absolute_path(const char *path)
{
	_free_ char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);
	_text_ struct text whole = {}, out = {};

	if (*path != '/' && !cwd)
		return NULL;
	text_printf(&whole, "%s/%s", cwd ? cwd : "", path);
	for (const char *p = whole.p; p && *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (out.n && out.p[--out.n] != '/')
				;
			if (out.p)
				out.p[out.n] = '\0';
		} else if (n && !(n == 1 && *p == '.')) {
			text_putc(&out, '/');
			text_add(&out, p, n);
		}
		p += n;
	}
	if (whole.failed)
		return NULL;
	if (!out.n)
		text_putc(&out, '/');
	return text_take(&out);
}

/* Shortens `root`, a directory without a slash at its end, until it has `path` below it. */
static void meet(char *root, const char *path)
{
	size_t n = strlen(root);

	while (n && (strncmp(root, path, n) || (path[n] != '/' && path[n])))
		while (n && root[--n] != '/')
			;
	root[n] = '\0';
}

/* `path` from `root`, which has it below it; "." for itself. */
static char *relative_path(const char *root, const char *path)
{
	path += strlen(root);
	path += strspn(path, "/");
	return strdup(*path ? path : ".");
}

/* ---- gathering ---- */

struct gather {
	struct scan scan;
	struct remote_bundle *bundle;
	const char *const *include_dirs;
	char *root;
};

static int add_file(struct gather *g, const char *path, const char *data, size_t size, struct ab_error *err)
{
	struct remote_bundle *b = g->bundle;
	struct remote_file *more = reallocarray(b->files, b->n + 1, sizeof(*more)), *f;

	if (!more)
		return ab_fail_memory(err);
	b->files = more;
	f = &more[b->n++];
	*f = (struct remote_file){ .own_path = strdup(path), .path = absolute_path(path), .data = malloc(size + 1),
				   .size = size };
	if (!f->own_path || !f->path || !f->data)
		return ab_fail_memory(err);
	if (size)
		memcpy(f->data, data, size);
	f->data[size] = '\0';
	ab_digest_of(data, size, f->digest);
	return 0;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In a fixed order, so that the same files make the same request. */
static int add_included(struct gather *g, struct ab_error *err)
{
	const char **paths = array_new(g->scan.files.n, sizeof(*paths));
	size_t n = 0;
	int r = paths ? 0 : ab_fail_memory(err);

	for (size_t i = 0; !r && i < g->scan.files.n; i++)
		paths[n++] = g->scan.files.entries[i].key;
	if (!r)
		qsort(paths, n, sizeof(*paths), compare_strings);
	if (!r && n > FILES_MAX)
		r = ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "'%s' includes %zu files; a server takes %d",
			    g->bundle->files[0].own_path, n, FILES_MAX);
	for (size_t i = 0; !r && i < n; i++) {
		_free_ char *data = NULL;
		size_t size;

		r = file_read(paths[i], SCAN_LIMIT, &data, &size, err);
		if (!r)
			r = add_file(g, paths[i], data, size, err);
	}
	free(paths);
	return r;
}

/* Whether something was found in an include directory: others need not be there. */
static bool is_used(const struct gather *g, const char *dir)
{
	size_t n = strlen(dir);

	for (size_t i = 1; i < g->bundle->n; i++)
		if (!strncmp(g->bundle->files[i].own_path, dir, n) && g->bundle->files[i].own_path[n] == '/')
			return true;
	return false;
}

static int find_root(struct gather *g, struct ab_error *err)
{
	g->root = strdup(g->bundle->files[0].path);
	if (!g->root)
		return ab_fail_memory(err);
	*strrchr(g->root, '/') = '\0';
	for (size_t i = 1; i < g->bundle->n; i++)
		meet(g->root, g->bundle->files[i].path);
	for (const char *const *d = g->include_dirs; d && *d; d++) {
		_free_ char *path = is_used(g, *d) ? absolute_path(*d) : NULL;

		if (path)
			meet(g->root, path);
	}
	return 0;
}

/* Two names of one file, by links or "..", may be one path in the bundle; the first stays. */
static void drop_duplicates(struct remote_bundle *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++) {
		bool is_there = false;

		for (size_t k = 0; k < kept && !is_there; k++)
			is_there = !strcmp(b->files[k].path, b->files[i].path);
		if (!is_there) {
			struct remote_file f = b->files[i];

			b->files[i] = b->files[kept];
			b->files[kept++] = f;
		}
	}
	while (b->n > kept) {
		struct remote_file *f = &b->files[--b->n];

		free(f->path);
		free(f->own_path);
		free(f->data);
	}
}

static int place_files(struct gather *g, struct ab_error *err)
{
	struct remote_bundle *b = g->bundle;
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		char *path = relative_path(g->root, b->files[i].path);

		if (!path)
			return ab_fail_memory(err);
		free(b->files[i].path);
		b->files[i].path = path;
	}
	drop_duplicates(b);
	while (g->include_dirs && g->include_dirs[n])
		n++;
	b->include_dirs = array_new(n + 1, sizeof(*b->include_dirs));
	if (!b->include_dirs)
		return ab_fail_memory(err);
	n = 0;
	for (const char *const *d = g->include_dirs; d && *d; d++) {
		_free_ char *path = is_used(g, *d) ? absolute_path(*d) : NULL;

		if (path && !(b->include_dirs[n++] = relative_path(g->root, path)))
			return ab_fail_memory(err);
	}
	return 0;
}

/* An #include of an absolute path that is here would not be there. */
static int check_includes(const struct gather *g, struct ab_error *err)
{
	for (size_t i = 0; i < g->scan.files.n; i++) {
		const char *path = g->scan.files.entries[i].key;
		bool from_dir = false;

		for (const char *const *d = g->include_dirs; d && *d; d++)
			from_dir |= str_starts(path, *d);
		if (*path == '/' && !from_dir && *g->bundle->files[0].own_path != '/')
			return ab_fail(err, AB_ERROR_COMPILE, -EINVAL,
				       "%s: #include of '%s', an absolute path, cannot be sent to a server",
				       g->bundle->files[0].own_path, path);
	}
	return 0;
}

int ab_bundle_gather(const char *path, const char *text, size_t size, const char *const *include_dirs,
		     const char *const *defines, bool all_branches, struct remote_bundle *ret, struct ab_error *err)
{
	struct remote_bundle bundle = {};
	struct conditions conditions = {};
	struct gather g = { .bundle = &bundle, .include_dirs = include_dirs, .scan.include_dirs = include_dirs,
			    .scan.conditions = all_branches ? NULL : &conditions };
	_free_ char *data = NULL;
	int r = text ? 0 : file_read(path, SCAN_LIMIT, &data, &size, err);

	if (!r && ab_conditions_define(&conditions, defines))
		r = ab_fail_memory(err);

	if (!r)
		r = add_file(&g, path, text ? text : data, size, err);
	if (!r)
		r = ab_scan_text(&g.scan, path, bundle.files[0].data, size, err);
	if (!r)
		r = check_includes(&g, err);
	if (!r)
		r = add_included(&g, err);
	if (!r)
		r = find_root(&g, err);
	if (!r)
		r = place_files(&g, err);
	bundle.left_out = conditions.left_out;
	ab_conditions_clear(&conditions);
	ab_scan_clear(&g.scan);
	free(g.root);
	if (r < 0)
		ab_bundle_clear(&bundle);
	else
		*ret = bundle;
	return r;
}

void ab_bundle_clear(struct remote_bundle *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->files[i].path);
		free(b->files[i].own_path);
		free(b->files[i].data);
	}
	for (char **d = b->include_dirs; d && *d; d++)
		free(*d);
	free(b->include_dirs);
	free(b->files);
	*b = (struct remote_bundle){};
}

/* ---- diagnostics ---- */

/*
 * The file that a line of diagnostics begins with, and how much of the line that is: "lib/x.h:3:7: …", "In file
 * included from x.c:1:".
 */
static const struct remote_file *find_file(const struct remote_bundle *b, const char *line, size_t *ret_n)
{
	for (size_t i = 0; i < b->n; i++) {
		size_t n = strlen(b->files[i].path);

		if (!strncmp(line, b->files[i].path, n) && line[n] == ':') {
			*ret_n = n;
			return &b->files[i];
		}
	}
	return NULL;
}

void ab_bundle_translate(const struct remote_bundle *b, const char *log, struct text *out)
{
	static const char *const openings[] = { "", "In file included from ", "                 from " };

	while (*log) {
		const struct remote_file *f = NULL;
		size_t n = strcspn(log, "\n") + 1, skip = 0, length = 0;

		for (size_t i = 0; !f && i < ARRAY_SIZE(openings); i++)
			if (str_starts(log, openings[i])) {
				skip = strlen(openings[i]);
				f = find_file(b, log + skip, &length);
			}
		n = MIN(n, strlen(log));
		if (f) {
			text_add(out, log, skip);
			text_puts(out, f->own_path);
			text_add(out, log + skip + length, n - skip - length);
		} else {
			text_add(out, log, n);
		}
		log += n;
	}
}
