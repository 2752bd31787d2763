/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Whose types there are, and which of them a pattern means (kernels.h). */
#include <fnmatch.h>
#include <pthread.h>
#include <sys/utsname.h>
#include "kernels.h"

#define HOST_BTF "/sys/kernel/btf/vmlinux"
enum { BTF_LIMIT = 256 << 20 };

struct kernels {
	pthread_mutex_t lock;
	struct types **own; /* of the configuration, the default first */
	size_t n_own;
	char *dir;
};

/* ---- types ---- */

static void free_types(struct types *t)
{
	if (!t)
		return;
	free(t->release);
	free(t->arch);
	free(t->distribution);
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

static int read_types(const char *source, struct types **ret_types, struct ab_error *err)
{
	bool is_host = !strcmp(source, "host");
	const char *path = is_host ? HOST_BTF : source;
	_free_ char *data = NULL;
	struct utsname machine;
	struct types *t;
	size_t size;
	int r = file_read(path, BTF_LIMIT, &data, &size, err);

	if (r && is_host && r == -ENOENT) {
		ab_error_clear(err);
		return ab_fail(err, AB_ERROR_NO_TYPES, r, "this kernel has no BTF (%s): name a file with BTF in kernels.btf", HOST_BTF);
	}
	t = r ? NULL : array_new(1, sizeof(*t));
	if (!t)
		return r ? r : ab_fail_memory(err);
	uname(&machine);
	ab_digest_of(data, size, t->digest);
	t->path = strdup(path);
	t->release = is_host ? strdup(machine.release) : release_of_path(path);
	t->arch = strdup(is_host ? machine.machine : "");
	t->distribution = strdup("");
	if (!t->path || !t->release || !t->arch || !t->distribution) {
		free_types(t);
		return ab_fail_memory(err);
	}
	*ret_types = t;
	return 0;
}

/* ---- all of them ---- */

int ab_kernels_open(const struct config *config, const char *dir, struct kernels **ret_kernels, struct ab_error *err)
{
	struct kernels *k = array_new(1, sizeof(*k));
	int r = 0;

	if (!k)
		return ab_fail_memory(err);
	pthread_mutex_init(&k->lock, NULL);
	k->dir = strdup(dir);
	k->own = array_new(config->kernels.n, sizeof(*k->own));
	if (!k->dir || !k->own)
		r = ab_fail_memory(err);
	while (!r && k->n_own < config->kernels.n) {
		r = read_types(config->kernels.v[k->n_own], &k->own[k->n_own], err);
		if (!r)
			k->n_own++;
	}
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
	for (size_t i = 0; i < k->n_own; i++)
		free_types(k->own[i]);
	free(k->own);
	free(k->dir);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static bool is_match(const struct types *t, const char *pattern)
{
	return !strcmp(t->release, pattern) || fnmatch(pattern, t->release, 0) == 0;
}

static const char *nearest_release(const struct kernels *k, const char *pattern)
{
	const char *best = NULL;
	int distance = 8;

	for (size_t i = 0; i < k->n_own; i++) {
		int d = str_distance(pattern, k->own[i]->release, distance);

		if (d < distance) {
			distance = d;
			best = k->own[i]->release;
		}
	}
	return best;
}

int ab_kernels_find(struct kernels *k, const char *pattern, const char *arch, const struct types **ret_types, struct ab_error *err)
{
	const char *near;

	if (!pattern) {
		*ret_types = k->own[0];
		return 0;
	}
	for (size_t i = 0; i < k->n_own; i++)
		if (is_match(k->own[i], pattern)) {
			*ret_types = k->own[i];
			return 0;
		}
	near = nearest_release(k, pattern);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the server has no kernel '%.128s'%s%s", pattern, near ? "; the nearest is " : "",
		       near ? near : ": GET /v1/kernels lists those that it has");
}

static void write_types(struct json *j, const struct types *t)
{
	json_open(j, '{');
	json_key(j, "release");
	json_str(j, t->release);
	json_key(j, "arch");
	json_str(j, t->arch);
	json_key(j, "distribution");
	json_str(j, t->distribution);
	json_close(j, '}');
}

void ab_kernels_write(struct kernels *k, struct json *j)
{
	json_key(j, "default");
	json_str(j, k->own[0]->release);
	json_key(j, "kernels");
	json_open(j, '[');
	for (size_t i = 0; i < k->n_own; i++)
		write_types(j, k->own[i]);
	json_close(j, ']');
}
