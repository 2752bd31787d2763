/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whose types there are, and which of them a pattern means (kernels.h). Types out of a pack are put into a file when they are first
 * asked for, and the files that were used last are kept.
 */
#include <pthread.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <anybpf/min.h>
#include <bpf/btf.h>
#include "kernels.h"

#define HOST_BTF "/sys/kernel/btf/vmlinux"
enum { BTF_LIMIT = 256 << 20, EXTRACTED_LIMIT = 64 };

struct kernels {
	pthread_mutex_t lock;
	struct types **files;       /* of the configuration, the default first */
	size_t n_files;
	struct ab_pack **packs;
	struct ab_types **pack_types;
	size_t n_packs;
	struct types *extracted;
	char *dir;
};

/* ---- files ---- */

static void free_types(struct types *t)
{
	if (!t)
		return;
	ab_types_close(t->queries);
	ab_check_target_close(t->target);
	free(t->names);
	free(t->path);
	free(t);
}

/* "/btf/5.10.0-8-amd64.btf": the kernel is named by its file. */
static char *release_of_path(const char *path)
{
	const char *base = path_base(path);
	size_t n = strlen(base);

	return strndup(base, str_ends(base, ".btf") && n > 4 ? n - 4 : n);
}

static char *digest_path(const struct kernels *k, const char *digest)
{
	char *path;

	return asprintf(&path, "%s/%s.btf", k->dir, digest) < 0 ? NULL : path;
}

/* An ELF file's types go into a file of their own, so that all that follows has raw BTF. */
static int unwrap_elf(struct kernels *k, struct types *t, const char *source, struct ab_error *err)
{
	struct btf *btf = btf__parse_elf(source, NULL);
	const void *raw;
	uint32_t size;
	int r;

	if (!btf)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "kernels.btf: '%s' has no BTF", source);
	raw = btf__raw_data(btf, &size);
	ab_digest_of(raw, size, t->digest);
	t->path = digest_path(k, t->digest);
	r = t->path ? file_write(t->path, raw, size, 0600, err) : ab_fail_memory(err);
	btf__free(btf);
	return r;
}

static int name_file(struct types *t, const char *source, bool is_host)
{
	struct utsname machine;
	_free_ char *release = NULL;

	uname(&machine);
	release = is_host ? strdup(machine.release) : release_of_path(source);
	if (!release || asprintf(&t->names, "%s%c%s", release, '\0', is_host ? machine.machine : "") < 0) {
		t->names = NULL;
		return -ENOMEM;
	}
	t->kernel = (struct ab_kernel){ .release = t->names,
					.arch = t->names + strlen(release) + 1,
					.distribution = "",
					.flavour = "",
					.module = "" };
	if (is_host) {
		t->kernel.build_id_size = ab_min_running()->build_id_size;
		memcpy(t->kernel.build_id, ab_min_running()->build_id, sizeof(t->kernel.build_id));
	}
	return 0;
}

static int read_file(struct kernels *k, const char *source, struct types *t, struct ab_error *err)
{
	bool is_host = !strcmp(source, "host");
	const char *path = is_host ? HOST_BTF : source;
	_free_ char *data = NULL;
	size_t size;
	int r = file_read(path, BTF_LIMIT, &data, &size, err);

	if (r && is_host && r == -ENOENT) {
		ab_error_clear(err);
		return ab_fail(err, AB_ERROR_NO_TYPES, r,
			       "this kernel has no BTF (%s): name a file with BTF in kernels.btf", HOST_BTF);
	}
	if (r)
		return r;
	if (name_file(t, source, is_host))
		return ab_fail_memory(err);
	if (size > 4 && !memcmp(data, "\177ELF", 4)) {
		r = unwrap_elf(k, t, source, err);
	} else {
		ab_digest_of(data, size, t->digest);
		t->path = strdup(path);
		r = t->path ? 0 : ab_fail_memory(err);
	}
	if (!r)
		r = ab_types_open(t->path, &t->queries, err);
	return r ? r : ab_check_target_open(t->path, &t->target, err);
}

static int open_files(struct kernels *k, const struct config *config, struct ab_error *err)
{
	k->files = array_new(config->kernels.n, sizeof(*k->files));
	if (!k->files)
		return ab_fail_memory(err);
	while (k->n_files < config->kernels.n) {
		struct types *t = array_new(1, sizeof(*t));
		int r = t ? read_file(k, config->kernels.v[k->n_files], t, err) : ab_fail_memory(err);

		if (r) {
			free_types(t);
			return r;
		}
		k->files[k->n_files++] = t;
	}
	return 0;
}

static int open_packs(struct kernels *k, const struct config *config, struct ab_error *err)
{
	k->packs = array_new(config->packs.n, sizeof(*k->packs));
	k->pack_types = array_new(config->packs.n, sizeof(*k->pack_types));
	if (!k->packs || !k->pack_types)
		return ab_fail_memory(err);
	for (; k->n_packs < config->packs.n; k->n_packs++) {
		int r = ab_pack_open(config->packs.v[k->n_packs], &k->packs[k->n_packs], err);

		if (!r)
			r = ab_types_open_pack(k->packs[k->n_packs], &k->pack_types[k->n_packs], err);
		if (r) {
			ab_pack_close(k->packs[k->n_packs]);
			return r;
		}
	}
	return 0;
}

int ab_kernels_open(const struct config *config, const char *dir, struct kernels **ret_kernels, struct ab_error *err)
{
	struct kernels *k = array_new(1, sizeof(*k));
	int r;

	if (!k)
		return ab_fail_memory(err);
	pthread_mutex_init(&k->lock, NULL);
	k->dir = strdup(dir);
	r = k->dir ? open_files(k, config, err) : ab_fail_memory(err);
	if (!r)
		r = open_packs(k, config, err);
	if (r) {
		ab_kernels_close(k);
		return r;
	}
	*ret_kernels = k;
	return 0;
}

void ab_kernels_close(struct kernels *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_files; i++)
		free_types(k->files[i]);
	while (k->extracted) {
		struct types *t = k->extracted;

		k->extracted = t->next;
		free_types(t);
	}
	for (size_t i = 0; i < k->n_packs; i++) {
		ab_types_close(k->pack_types[i]);
		ab_pack_close(k->packs[i]);
	}
	free(k->files);
	free(k->packs);
	free(k->pack_types);
	free(k->dir);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* ---- packs ---- */

int ab_kernels_fail(int r, struct ab_error *err)
{
	if (r == -EBADMSG)
		err->kind = AB_ERROR_IO;
	return r;
}

static int extract(struct kernels *k, struct types *t, struct ab_error *err)
{
	_free_ void *data = NULL;
	size_t size;
	int r = ab_pack_extract(t->pack, t->index, &data, &size, err);

	if (r)
		return ab_kernels_fail(r, err);
	if (!t->path) {
		ab_digest_of(data, size, t->digest);
		t->path = digest_path(k, t->digest);
	}
	return t->path ? file_write(t->path, data, size, 0600, err) : ab_fail_memory(err);
}

/* Files beyond the limit go, the one used longest ago first; another of the list may have the same types. */
static void trim_extracted(struct kernels *k)
{
	unsigned n = 0;

	for (struct types *t = k->extracted; t; t = t->next)
		if (++n > EXTRACTED_LIMIT)
			(void)unlink(t->path);
}

/* With the lock held. */
static int find_extracted(struct kernels *k, const struct ab_pack *pack, size_t index, const struct types **ret,
			  struct ab_error *err)
{
	struct types **at = &k->extracted, *t;
	int r = 0;

	while (*at && ((*at)->pack != pack || (*at)->index != index))
		at = &(*at)->next;
	t = *at;
	if (t) {
		*at = t->next;
	} else {
		t = array_new(1, sizeof(*t));
		if (!t)
			return ab_fail_memory(err);
		t->pack = pack;
		t->index = index;
		t->kernel = *ab_pack_kernel(pack, index);
	}
	if (!t->path || access(t->path, R_OK) < 0)
		r = extract(k, t, err);
	if (r && !t->path) {
		free_types(t);
		return r;
	}
	t->next = k->extracted;
	k->extracted = t;
	if (r)
		return r;
	trim_extracted(k);
	*ret = t;
	return 0;
}

static int find_in_packs(struct kernels *k, const char *pattern, const char *arch, const struct types **ret, struct ab_error *err)
{
	for (size_t i = 0; i < k->n_packs; i++) {
		long index;
		int r;

		ab_error_clear(err);
		index = ab_pack_find(k->packs[i], pattern, arch, err);
		if (index == -ENOENT && i + 1 < k->n_packs)
			continue;
		if (index < 0)
			return index;
		pthread_mutex_lock(&k->lock);
		r = find_extracted(k, k->packs[i], index, ret, err);
		pthread_mutex_unlock(&k->lock);
		return r;
	}
	return -ENOENT;
}

/* ---- finding ---- */

static bool is_of_arch(const struct ab_kernel *kernel, const char *arch)
{
	return !arch || !*kernel->arch || !strcmp(arch, kernel->arch);
}

static const char *nearest_release(const struct kernels *k, const char *pattern, const char *arch)
{
	struct nearest nearest = { .wanted = pattern, .limit = (int)MIN(strlen(pattern) / 2 + 1, 16u) };

	for (size_t i = 0; i < k->n_files; i++)
		if (is_of_arch(&k->files[i]->kernel, arch))
			nearest_try(&nearest, k->files[i]->kernel.release);
	for (size_t i = 0; i < k->n_packs; i++)
		for (size_t n = 0; n < ab_pack_count(k->packs[i]); n++) {
			const struct ab_kernel *kernel = ab_pack_kernel(k->packs[i], n);

			if (!*kernel->module && is_of_arch(kernel, arch))
				nearest_try(&nearest, kernel->release);
		}
	return nearest.name;
}

/* Says nothing of where packs are, as their own errors do. */
static int fail_none(const struct kernels *k, const char *pattern, const char *arch, struct ab_error *err)
{
	const char *near = nearest_release(k, pattern, arch);

	ab_error_clear(err);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the server has no kernel '%.128s'%s%.32s%s%s", pattern,
		       arch ? " of " : "", arch ? arch : "", near ? "; the nearest is " : "",
		       near ? near : ": GET /v1/kernels lists those that it has");
}

/* The first of the files that a pattern means best, at least so well. */
static const struct types *find_file(const struct kernels *k, const char *pattern, const char *arch, int least)
{
	const struct types *found = NULL;

	for (size_t i = 0; i < k->n_files; i++) {
		const struct ab_kernel *kernel = &k->files[i]->kernel;
		int fits = is_of_arch(kernel, arch) ? ab_kernel_match(kernel, pattern) : 0;

		if (fits >= least) {
			found = k->files[i];
			least = fits + 1;
		}
	}
	return found;
}

int ab_kernels_find(struct kernels *k, const char *pattern, const char *arch, const struct types **ret_types, struct ab_error *err)
{
	const struct types *file = pattern ? find_file(k, pattern, arch, 2) : k->files[0];
	int r;

	if (file) {
		*ret_types = file;
		return 0;
	}
	r = find_in_packs(k, pattern, arch, ret_types, err);
	if (r != -ENOENT)
		return r;
	file = find_file(k, pattern, arch, 1);
	if (!file)
		return fail_none(k, pattern, arch, err);
	ab_error_clear(err);
	*ret_types = file;
	return 0;
}

/* A pack's answer may be about several of its kernels, so a glob means those of a pack before a file. */
int ab_kernels_queries(struct kernels *k, const char *pattern, const char *arch, const struct ab_types **ret_types,
		       struct ab_error *err)
{
	const struct types *file = pattern || !k->n_packs ? find_file(k, pattern ? pattern : "*", arch, pattern ? 3 : 1) : NULL;

	for (size_t i = 0; i < k->n_packs && !file; i++) {
		long found = pattern ? ab_pack_find(k->packs[i], pattern, arch, NULL) : 0;

		if (found >= 0 || found == -ENOTUNIQ) {
			*ret_types = k->pack_types[i];
			return 0;
		}
	}
	if (!file && pattern)
		file = find_file(k, pattern, arch, 1);
	if (!file)
		return fail_none(k, pattern ? pattern : "*", arch, err);
	*ret_types = file->queries;
	return 0;
}

/* Where the types of that kernel are: a file, or in a pack. */
struct place {
	const struct types *file;
	const struct ab_pack *pack;
	size_t index;
	int fits;
};

static void try_place(const struct ab_kernel *running, const struct ab_kernel *kernel, struct place at, struct place *best)
{
	at.fits = ab_kernel_fits(kernel, running);
	if (at.fits > best->fits)
		*best = at;
}

int ab_kernels_find_running(struct kernels *k, const struct ab_kernel *running, const struct types **ret_types,
			    struct ab_error *err)
{
	struct place best = {};
	int r;

	/* Packs first: they may have the kernel's modules. */
	for (size_t i = 0; i < k->n_packs; i++)
		for (size_t n = 0; n < ab_pack_count(k->packs[i]); n++)
			try_place(running, ab_pack_kernel(k->packs[i], n), (struct place){ .pack = k->packs[i], .index = n },
				  &best);
	for (size_t i = 0; i < k->n_files; i++)
		try_place(running, &k->files[i]->kernel, (struct place){ .file = k->files[i] }, &best);
	if (!best.fits)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the server has no types of kernel %.128s (%.64s)",
			       running->release, running->arch);
	if (best.file) {
		*ret_types = best.file;
		return 0;
	}
	pthread_mutex_lock(&k->lock);
	r = find_extracted(k, best.pack, best.index, ret_types, err);
	pthread_mutex_unlock(&k->lock);
	return r;
}

int ab_kernels_read(struct kernels *k, const struct types *t, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	return file_read(t->path, BTF_LIMIT, ret_data, ret_size, err);
}

size_t ab_kernels_pack_count(const struct kernels *k)
{
	return k->n_packs;
}

const struct ab_pack *ab_kernels_pack(const struct kernels *k, size_t i)
{
	return k->packs[i];
}

size_t ab_kernels_file_count(const struct kernels *k)
{
	return k->n_files;
}

const struct types *ab_kernels_file(const struct kernels *k, size_t i)
{
	return k->files[i];
}

/* ---- listing ---- */

static void write_kernel(struct json *j, const struct ab_kernel *kernel)
{
	const struct { const char *name, *value;
	} members[] = {
		{ "release", kernel->release },
		{ "arch", kernel->arch },
		{ "distribution", kernel->distribution },
		{ "flavour", kernel->flavour },
	};
	char build_id[2 * sizeof(kernel->build_id) + 1] = "";

	json_open(j, '{');
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_member_str(j, members[i].name, members[i].value ? members[i].value : "");
	for (size_t i = 0; i < kernel->build_id_size && i < sizeof(kernel->build_id); i++)
		snprintf(build_id + 2 * i, 3, "%02x", kernel->build_id[i]);
	json_member_str(j, "build_id", build_id);
	json_close(j, '}');
}

void ab_kernels_write(struct kernels *k, struct json *j)
{
	json_member_str(j, "default", k->files[0]->kernel.release);
	json_key(j, "kernels");
	json_open(j, '[');
	for (size_t i = 0; i < k->n_files; i++)
		write_kernel(j, &k->files[i]->kernel);
	for (size_t i = 0; i < k->n_packs; i++)
		for (size_t n = 0; n < ab_pack_count(k->packs[i]); n++)
			if (!*ab_pack_kernel(k->packs[i], n)->module)
				write_kernel(j, ab_pack_kernel(k->packs[i], n));
	json_close(j, ']');
}
