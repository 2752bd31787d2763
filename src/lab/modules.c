/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Kernel modules for a guest, in the order of loading. Packages ship no modules.dep, so each module is asked what it
 * depends on.
 */
#include <ftw.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab.h"

#define MODULE_LIMIT (64u << 20)
#define DEPTH_LIMIT 32

void ab_modules_free(struct module_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].name);
		free(list->items[i].data);
	}
	free(list->items);
	*list = (struct module_list){};
}

static bool has_module(const struct module_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->items[i].name, name))
			return true;
	return false;
}

/* Compares "9p-virtio.ko.xz" with "9p_virtio". */
static bool is_module_file(const char *file, const char *name)
{
	for (; *name; file++, name++)
		if ((*file == '-' ? '_' : *file) != *name)
			return false;
	return str_starts(file, ".ko") && (!file[3] || file[3] == '.' || file[3] == '\n');
}

struct finder {
	struct ab_lab *lab;
	const struct ab_image *image;
	struct strmap files;   /* name to an index of paths */
	char **paths;
	size_t path_count;
	char *builtin;
	struct module_list *list;
	enum module_need need;
};

static __thread struct finder *walking;

static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *base = path + ftw->base, *ko = strstr(base, ".ko");
	struct finder *f = walking;
	struct strmap_entry *entry;
	char name[96];
	bool new;
	char **paths;

	if (type != FTW_F || !ko || (size_t)(ko - base) >= sizeof(name) || (ko[3] && ko[3] != '.'))
		return 0;
	for (size_t i = 0; i <= ko - base; i++)
		name[i] = base + i == ko ? '\0' : base[i] == '-' ? '_' : base[i];
	entry = strmap_put(&f->files, name, strlen(name), &new);
	paths = realloc(f->paths, (f->path_count + 1) * sizeof(*paths));
	if (paths)
		f->paths = paths;
	if (!entry || !paths || !(paths[f->path_count] = strdup(path)))
		return -1;
	entry->value = f->path_count++;
	return 0;
}

static int list_files(struct finder *f, struct ab_error *err)
{
	int r;

	for (size_t i = 0; i < f->path_count; i++)
		free(f->paths[i]);
	f->path_count = 0;
	strmap_clear(&f->files);
	if (!f->image->modules || access(f->image->modules, R_OK) < 0)
		return 0;
	walking = f;
	r = nftw(f->image->modules, note_file, 32, FTW_PHYS);
	walking = NULL;
	return r ? ab_fail_errno(err, -(errno ? errno : ENOMEM), "'%s'", f->image->modules) : 0;
}

static __thread uint64_t stamp;

/* A sum, because folders are read in any order. */
static int add_stamp(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char text[HASH_TEXT], about[96];
	uint64_t part;

	if (type != FTW_F || !strstr(path + ftw->base, ".ko"))
		return 0;
	snprintf(about, sizeof(about), "%.40s %lld %lld.%09ld", path + ftw->base, (long long)st->st_size,
		 (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	ab_hash_text(about, strlen(about), text);
	sscanf(text, "%16" SCNx64, &part);
	stamp += part;
	return 0;
}

uint64_t ab_modules_stamp(const char *dir)
{
	stamp = 0;
	nftw(dir, add_stamp, 32, FTW_PHYS);
	return stamp;
}

static bool is_builtin(const struct finder *f, const char *name)
{
	for (const char *p = f->builtin; p && *p;) {
		size_t n = strcspn(p, "\n");
		const char *base = p + n;

		while (base > p && base[-1] != '/')
			base--;
		if (is_module_file(base, name))
			return true;
		p += n + (p[n] == '\n');
	}
	return false;
}

/* Looks into the packages again for a module that was not unpacked with the kernel. */
static int unpack_more(struct finder *f, const char *name, struct ab_error *err)
{
	const char *const names[] = { name, NULL };
	_free_ char *dir = strdup(f->image->modules ? f->image->modules : "");
	struct unpack unpack = { .modules = names };
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int r = 0;

	if (!f->image->packages || !slash)
		return 0;
	*slash = '\0';
	unpack.dir = dir;
	for (size_t i = 0; r == 0 && f->image->packages[i]; i++)
		r = ab_package_unpack(f->image->packages[i], &unpack, err);
	free(unpack.kernel);
	free(unpack.release);
	if (r == 0 && unpack.module_count)
		r = list_files(f, err);
	return r;
}

static int add_module(struct finder *f, const char *name, int depth, struct ab_error *err);

/* "depends=a,b" stands in the module's .modinfo, where strings are between NULs. */
static int add_dependencies(struct finder *f, const char *data, size_t size, int depth, struct ab_error *err)
{
	const char *p = memmem(data, size, "\0depends=", 9);
	_free_ char *names = NULL;
	int r = 0;

	if (!p || !memchr(p + 9, '\0', size - (p + 9 - data)))
		return 0;
	names = strdup(p + 9);
	if (!names)
		return ab_fail_memory(err);
	for (char *q = names, *name; r == 0 && (name = strsep(&q, ","));) {
		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : *c;
		if (*name)
			r = add_module(f, name, depth + 1, err);
	}
	return r;
}

static int append(struct module_list *list, const char *name, char *data, size_t size, struct ab_error *err)
{
	struct module *items = realloc(list->items, (list->count + 1) * sizeof(*items));
	char *copy = strdup(name);

	if (items)
		list->items = items;
	if (!items || !copy) {
		free(copy);
		return ab_fail_memory(err);
	}
	items[list->count++] = (struct module){ copy, data, size };
	return 0;
}

static int add_module(struct finder *f, const char *name, int depth, struct ab_error *err)
{
	struct strmap_entry *entry = strmap_find(&f->files, name, strlen(name));
	_free_ char *data = NULL;
	size_t size;
	int r;

	if (has_module(f->list, name) || depth > DEPTH_LIMIT)
		return 0;
	if (!entry) {
		if (is_builtin(f, name))
			return 0;
		if (f->need != MODULE_IF_UNPACKED || depth) {
			r = unpack_more(f, name, err);
			if (r < 0)
				return r;
			entry = strmap_find(&f->files, name, strlen(name));
		}
		if (!entry)
			return f->need == MODULE_REQUIRED
				       ? ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel '%s' has no module '%s'",
						 f->image->name, name)
				       : 0;
	}
	r = ab_inflate_file(f->paths[entry->value], MODULE_LIMIT, &data, &size, err);
	if (r == 0)
		r = add_dependencies(f, data, size, depth, err);
	if (r == 0 && !(r = append(f->list, name, data, size, err)))
		data = NULL;
	return r;
}

int ab_modules_find(struct ab_lab *lab, const struct ab_image *image, const char *const *names, enum module_need need,
		    struct module_list *list, struct ab_error *err)
{
	struct finder f = { .lab = lab, .image = image, .list = list, .need = need };
	size_t size;
	int r;

	pthread_mutex_lock(&lab->lock);
	if (image->builtin && access(image->builtin, R_OK) == 0)
		r = file_read(image->builtin, MODULE_LIMIT, &f.builtin, &size, err);
	else
		r = 0;
	if (r == 0)
		r = list_files(&f, err);
	for (; r == 0 && *names; names++)
		r = add_module(&f, *names, 0, err);
	pthread_mutex_unlock(&lab->lock);
	for (size_t i = 0; i < f.path_count; i++)
		free(f.paths[i]);
	free(f.paths);
	free(f.builtin);
	strmap_clear(&f.files);
	return r;
}
