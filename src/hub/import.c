/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Imports: inputs to (kernel, BTF) pairs, several at a time. */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hub.h"

#define INPUT_LIMIT 10000000
#define MAX_JOBS 256

struct input {
	char *path;
	bool named, deferred;
};

/* Kernels whose modules may follow. */
struct base {
	char release[128], arch[16], distribution[64];
	void *btf;
	size_t size;
	unsigned users;         /* calls that read it now */
};

#define MAX_BASES 64

struct import {
	const struct ab_import_opts *opts;
	struct input *inputs;
	size_t count, cap, next, done;
	struct ab_import_result result;
	struct base bases[MAX_BASES];
	unsigned next_base;
	bool last_round;        /* of what was deferred because its kernel was not there yet */
	pthread_mutex_t lock;
};

const struct ab_import_opts *ab_import_opts(const struct importing *at)
{
	return at->import->opts;
}

/* ---- modules and the kernels they belong to ---- */

static void keep_base(struct import *import, const struct identity *id, const void *btf, size_t size)
{
	void *copy = malloc(size);

	if (!copy)
		return;
	memcpy(copy, btf, size);
	pthread_mutex_lock(&import->lock);
	for (size_t i = 0; copy && i < MAX_BASES; i++) {
		struct base *base = &import->bases[import->next_base++ % MAX_BASES];

		if (base->users)
			continue;
		free(base->btf);
		*base = (struct base){ .btf = copy, .size = size };
		strcpy(base->release, id->release);
		strcpy(base->arch, id->arch);
		strcpy(base->distribution, id->distribution);
		copy = NULL;
	}
	pthread_mutex_unlock(&import->lock);
	free(copy);
}

static struct base *find_kept(struct import *import, const struct identity *id)
{
	struct base *found = NULL;

	pthread_mutex_lock(&import->lock);
	for (size_t i = 0; !found && i < MAX_BASES; i++)
		if (import->bases[i].btf && !strcmp(import->bases[i].release, id->release) &&
		    !strcmp(import->bases[i].arch, id->arch))
			found = &import->bases[i];
	if (found)
		found->users++;
	pthread_mutex_unlock(&import->lock);
	return found;
}

/*
 * Type ids of a module go on where its kernel's end, so only the very BTF that the kernel had will do. -EAGAIN: another
 * input may still have it.
 */
static int find_base(struct importing *at, const struct identity *id, struct base **ret_base, struct ab_error *err)
{
	struct base *base = find_kept(at->import, id);

	if (!base && !at->import->last_round)
		return -EAGAIN;
	if (!base)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "module '%s' needs the types of its kernel %s, which has to be imported with it",
			       id->module, id->release);
	*ret_base = base;
	return 0;
}

/* ---- what was found ---- */

static int override(char *field, size_t cap, const char *value, const char *option, struct ab_error *err)
{
	if (!value || ab_identity_set(field, cap, value, strlen(value)))
		return 0;
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
		       "option '--%s' takes 1 to %zu characters without spaces and slashes, not '%s'", option, cap - 1, value);
}

/* What was found, and what the caller said of it. */
static int complete(struct importing *at, struct identity *id, struct ab_error *err)
{
	const struct ab_import_opts *opts = at->import->opts;
	const char *arch = OPT(opts, arch), *known = arch ? ab_arch_of_word(arch) : NULL;
	int r = override(id->release, sizeof(id->release), OPT(opts, release), "release", err);

	if (!r)
		r = override(id->arch, sizeof(id->arch), known ? known : arch, "arch", err);
	if (!r)
		r = override(id->distribution, sizeof(id->distribution), OPT(opts, distribution), "distribution", err);
	if (!r)
		r = override(id->flavour, sizeof(id->flavour), OPT(opts, flavour), "flavour", err);
	if (r < 0)
		return r;
	ab_identity_finish(id);
	if (!*id->release || !*id->arch)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "nothing says %s these types are for; --%s does",
			       *id->release ? "which architecture" : "which kernel", *id->release ? "arch" : "release");
	return 0;
}

static int tell_found(struct importing *at, struct identity *id, struct ab_found *found, struct ab_error *err)
{
	const struct ab_import_opts *opts = at->import->opts;
	struct base *base = NULL;
	struct ab_kernel kernel;
	int r = *id->module ? find_base(at, id, &base, err) : 0;

	if (r < 0)
		return r;
	if (base) {
		/* A module says nothing of who made it; its kernel did. */
		strcpy(id->distribution, base->distribution);
		found->base = base->btf;
		found->base_size = base->size;
	}
	kernel = ab_identity_kernel(id);
	found->kernel = &kernel;
	r = opts->found(opts->ctx, found, err);
	pthread_mutex_lock(&at->import->lock);
	if (base)
		base->users--;
	at->import->result.found += r >= 0;
	pthread_mutex_unlock(&at->import->lock);
	return r;
}

int ab_import_found(struct importing *at, const struct identity *from, const void *btf, size_t size, const char *member,
		    bool from_dwarf, struct ab_error *err)
{
	struct ab_found found = {
		.btf = btf, .size = size, .input = at->input, .member = member, .from_dwarf = from_dwarf
	};
	struct identity id = *from;
	_free_ void *aligned = NULL;
	int r = complete(at, &id, err);

	/* Sections of damaged or odd files begin anywhere; those who read types want them where the kernel has them. */
	if (r == 0 && (uintptr_t)btf % 8) {
		aligned = malloc(size);
		if (!aligned)
			return ab_fail_memory(err);
		found.btf = memcpy(aligned, btf, size);
	}
	if (r == 0)
		r = tell_found(at, &id, &found, err);
	if (r < 0)
		return r;
	at->found++;
	if (OPT(at->import->opts, modules) && !*id.module)
		keep_base(at->import, &id, btf, size);
	return 0;
}

int ab_import_dwarf(struct importing *at, const struct identity *id, const char *path, bool may_change,
		    const char *member, struct ab_error *err)
{
	_free_ char *btf = NULL;
	size_t size;
	int r = ab_dwarf_convert(path, may_change, OPT(at->import->opts, tmp_dir), &btf, &size, err);

	return r < 0 ? r : ab_import_found(at, id, btf, size, member, true, err);
}

/* ---- one file ---- */

static int import_data(struct importing *at, const char *data, size_t size, struct ab_error *err)
{
	struct image image = {};
	int r = ab_image_scan(data, size, &image, err);

	if (r == 0 && image.btf) {
		ab_identity_path(&image.id, at->input);
		r = ab_import_found(at, &image.id, image.btf, image.btf_size, NULL, false, err);
	} else if (r == 0 && image.has_dwarf && !image.is_module) {
		if (!*image.id.release && str_starts(path_base(at->input), "vmlinux-"))
			identity_set(image.id.release, path_base(at->input) + strlen("vmlinux-"));
		if (image.inner)
			r = ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
				    "it is compressed and has DWARF only; decompress it first");
		else
			r = ab_import_dwarf(at, &image.id, at->input, false, NULL, err);
	}
	ab_image_clear(&image);
	return r;
}

static int import_plain(struct importing *at, struct ab_error *err)
{
	_close_ int fd = open(at->input, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ab_fail_errno(err, -errno, "cannot read it");
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "it is empty, or no regular file");
	if ((uint64_t)st.st_size > DWARF_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "it is larger than %llu GiB", DWARF_LIMIT >> 30);
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return ab_fail_errno(err, -errno, "cannot map it");
	r = import_data(at, data, st.st_size, err);
	munmap(data, st.st_size);
	return r;
}

/* The directory of the running kernel's types, or a file in it. */
static bool is_live(const char *path)
{
	return str_starts(path, LIVE_DIR) && (!path[strlen(LIVE_DIR)] || path[strlen(LIVE_DIR)] == '/');
}

static int import_live(struct importing *at, struct ab_error *err)
{
	const char *file = at->input + strlen(LIVE_DIR);

	file += strspn(file, "/");
	if (access(at->input, R_OK) < 0)
		return ab_fail_errno(err, -errno, "unable to open '%s'", at->input);
	if (*file && strcmp(file, "vmlinux"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "types of a module come with those of its kernel: take all of " LIVE_DIR " with --modules");
	return ab_import_live(at, err);
}

/* One that gave no inputs. */
static int fail_directory(const char *path, struct ab_error *err)
{
	if (access(path, R_OK | X_OK) < 0)
		return ab_fail_errno(err, -errno, "cannot read it");
	return ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "nothing below it is called like a kernel, a package or BTF");
}

static int import_input(struct importing *at, struct ab_error *err)
{
	struct stat st;
	int r;

	/* Files of sysfs have no size to map. */
	if (is_live(at->input))
		return import_live(at, err);
	if (stat(at->input, &st) == 0 && S_ISDIR(st.st_mode))
		return fail_directory(at->input, err);
	r = ab_import_package(at, err);
	if (r == -ENOENT && !(err && err->code))
		r = import_plain(at, err);
	if (r >= 0 && !at->found && at->named)
		r = ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "it holds no kernel with types, neither BTF nor DWARF");
	return r;
}

static struct input *next_input(struct import *import)
{
	struct input *input = NULL;

	pthread_mutex_lock(&import->lock);
	while (!input && import->next < import->count) {
		input = &import->inputs[import->next++];
		if (import->last_round && !input->deferred)
			input = NULL;
	}
	pthread_mutex_unlock(&import->lock);
	return input;
}

static void do_input(struct import *import, struct input *input)
{
	struct importing at = { .import = import, .input = input->path, .named = input->named };
	const struct ab_import_opts *opts = import->opts;
	struct ab_error err = {};
	int r = import_input(&at, &err);
	size_t done;

	if (r == -EAGAIN && !import->last_round) {
		input->deferred = true;
		return;
	}
	pthread_mutex_lock(&import->lock);
	done = ++import->done;
	import->result.failed += r < 0;
	pthread_mutex_unlock(&import->lock);
	if (r < 0 && !err.code)
		ab_fail(&err, AB_ERROR_INTERNAL, r, "internal error %d", r);
	if (r < 0 && OPT(opts, failed))
		opts->failed(opts->ctx, input->path, &err);
	if (OPT(opts, progress))
		opts->progress(opts->ctx, input->path, done, import->count);
	ab_error_clear(&err);
}

static void *work(void *arg)
{
	struct import *import = arg;
	struct input *input;

	while ((input = next_input(import)))
		do_input(import, input);
	return NULL;
}

/* ---- inputs ---- */

static int add_input(struct import *import, const char *path, bool named)
{
	if (import->count == import->cap) {
		size_t cap = import->cap ? import->cap * 2 : 64;
		struct input *inputs = cap <= INPUT_LIMIT ? realloc(import->inputs, cap * sizeof(*inputs)) : NULL;

		if (!inputs)
			return -ENOMEM;
		import->inputs = inputs;
		import->cap = cap;
	}
	import->inputs[import->count] = (struct input){ .path = strdup(path), .named = named };
	return import->inputs[import->count].path ? (import->count++, 0) : -ENOMEM;
}

static __thread struct import *walking;

/* Whether a file found below a directory is worth opening; what it is, its content says. */
static bool is_candidate(const char *base, bool modules)
{
	static const char *const starts[] = { "vmlinuz", "vmlinux", "bzImage", "Image", "kernel" };
	static const char *const ends[] = {
		".deb", ".ddeb", ".rpm", ".btf", ".tar.xz", ".tar.zst", ".tar.gz", ".btf.xz"
	};
	const char *ko = strstr(base, ".ko");

	if (ko && (!ko[3] || ko[3] == '.'))
		return modules;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (str_starts(base, starts[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (str_ends(base, ends[i]))
			return true;
	return false;
}

static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_DNR)
		return add_input(walking, path, true) < 0 ? -1 : 0;
	if (type != FTW_F || !S_ISREG(st->st_mode) || !st->st_size ||
	    !is_candidate(path + ftw->base, OPT(walking->opts, modules)))
		return 0;
	return add_input(walking, path, false) < 0 ? -1 : 0;
}

static int compare_inputs(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

static int add_directory(struct import *import, const char *path, struct ab_error *err)
{
	size_t before = import->count;
	int r;

	walking = import;
	r = nftw(path, note_file, 32, FTW_PHYS);
	walking = NULL;
	if (r)
		return ab_fail_errno(err, -(errno ? errno : ENOMEM), "'%s'", path);
	if (import->count == before)
		return add_input(import, path, true) < 0 ? ab_fail_memory(err) : 0;
	qsort(import->inputs + before, import->count - before, sizeof(*import->inputs), compare_inputs);
	return 0;
}

static int list_inputs(struct import *import, const char *const *inputs, size_t count, struct ab_error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		int r;

		if (is_live(inputs[i]) || stat(inputs[i], &st) < 0 || !S_ISDIR(st.st_mode))
			r = add_input(import, inputs[i], true) < 0 ? ab_fail_memory(err) : 0;
		else
			r = add_directory(import, inputs[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void run_threads(struct import *import)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t jobs = OPT(import->opts, jobs) ? import->opts->jobs : cpus > 0 ? (size_t)cpus : 1;
	pthread_t threads[MAX_JOBS];
	size_t started = 0;

	jobs = MIN(MIN(jobs, import->count), MAX_JOBS);
	while (started + 1 < jobs && pthread_create(&threads[started], NULL, work, import) == 0)
		started++;
	work(import);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

int ab_import(const char *const *inputs, size_t count, const struct ab_import_opts *opts,
	      struct ab_import_result *ret_result, struct ab_error *err)
{
	struct import import = { .opts = opts };
	int r;

	if (!OPT(opts, found))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "an import needs somebody to tell what was found");
	pthread_mutex_init(&import.lock, NULL);
	r = list_inputs(&import, inputs, count, err);
	import.result.inputs = import.count;
	if (r == 0) {
		run_threads(&import);
		import.next = 0;
		import.last_round = true;
		if (import.done < import.count)
			run_threads(&import);
	}
	for (size_t i = 0; i < import.count; i++)
		free(import.inputs[i].path);
	for (size_t i = 0; i < MAX_BASES; i++)
		free(import.bases[i].btf);
	free(import.inputs);
	pthread_mutex_destroy(&import.lock);
	if (r == 0)
		*ret_result = import.result;
	return r;
}
