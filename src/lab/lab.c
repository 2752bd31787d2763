/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The lab itself: its cache directory, its own files, and small things that its parts share. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lab.h"

#define CACHE_LIMIT (8ull << 30) /* some forty kernels with their packages */

uint64_t ab_lab_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void ab_lab_warn(struct ab_lab *lab, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (!lab->warn)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	lab->warn(text, lab->ctx);
}

int ab_lab_path(struct ab_lab *lab, char **ret_path, struct ab_error *err, const char *fmt, ...)
{
	_text_ struct text t = {};
	char part[512], *slash;
	va_list args;
	int r;

	va_start(args, fmt);
	vsnprintf(part, sizeof(part), fmt, args);
	va_end(args);
	text_printf(&t, "%s/%s", lab->cache, part);
	if (t.failed || !t.p)
		return ab_fail_memory(err);
	slash = strrchr(t.p, '/');
	*slash = '\0';
	r = ab_mkdirs(t.p, err);
	*slash = '/';
	if (r == 0)
		*ret_path = text_take(&t);
	return r;
}

int ab_lab_temporary(struct ab_lab *lab, char **ret_dir, struct ab_error *err)
{
	_free_ char *dir = NULL;
	int r = ab_lab_path(lab, &dir, err, "kernel/new-XXXXXX");

	if (r < 0)
		return r;
	if (!mkdtemp(dir))
		return ab_fail_errno(err, -errno, "'%s'", dir);
	*ret_dir = TAKE(dir);
	return 0;
}

static char *default_cache(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	struct text t = {};

	if (xdg && *xdg == '/')
		text_printf(&t, "%s/anybpf/lab", xdg);
	else
		text_printf(&t, "%s/.cache/anybpf/lab", home && *home ? home : "/root");
	return text_take(&t);
}

static const char *own_arch(void)
{
#ifdef __aarch64__
	return "arm64";
#else
	return "amd64";
#endif
}

bool ab_lab_is_native(const struct ab_lab *lab)
{
	return !strcmp(lab->arch, own_arch());
}

int ab_lab_open(const struct ab_lab_opts *opts, struct ab_lab **ret_lab, struct ab_error *err)
{
	const char *arch = OPT(opts, arch) ? opts->arch : own_arch();
	const char *dir = OPT(opts, guest_dir), *accelerator = OPT(opts, accelerator);
	struct ab_lab *lab;
	int r;

	if (strcmp(arch, "amd64") && strcmp(arch, "arm64"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "architecture '%s': the lab knows amd64 and arm64", arch);
	if (accelerator && strcmp(accelerator, "kvm") && strcmp(accelerator, "tcg"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "accelerator '%s': there are kvm and tcg", accelerator);
	lab = calloc(1, sizeof(*lab));
	if (!lab)
		return ab_fail_memory(err);
	if (accelerator)
		lab->accelerator = strcmp(accelerator, "kvm") ? "tcg" : "kvm";
	pthread_mutex_init(&lab->lock, NULL);
	lab->cache = OPT(opts, cache_dir) ? strdup(opts->cache_dir) : default_cache();
	lab->arch = strdup(arch);
	lab->guest_dir = dir ? strdup(dir) : NULL;
	lab->offline = OPT(opts, offline);
	lab->cache_limit = OPT(opts, cache_limit) ? opts->cache_limit : CACHE_LIMIT;
	lab->busybox_hold = -1;
	lab->progress = OPT(opts, progress);
	lab->warn = OPT(opts, warn);
	lab->ctx = OPT(opts, ctx);
	r = !lab->cache || !lab->arch || (dir && !lab->guest_dir) ? ab_fail_memory(err) : ab_mkdirs(lab->cache, err);
	if (r < 0) {
		ab_lab_close(lab);
		return r;
	}
	*ret_lab = lab;
	return 0;
}

void ab_lab_close(struct ab_lab *lab)
{
	if (!lab)
		return;
	pthread_mutex_destroy(&lab->lock);
	free(lab->cache);
	free(lab->arch);
	free(lab->guest_dir);
	free(lab->rows);
	free(lab->row_text);
	free(lab->busybox);
	ab__close(&lab->busybox_hold);
	free(lab);
}

const char *ab_lab_arch(const struct ab_lab *lab)
{
	return lab->arch;
}

/* For another architecture than this machine's, the name has that behind it. */
static bool try_own(const struct ab_lab *lab, const char *dir, const char *place, const char *name, char **ret_path)
{
	_text_ struct text t = {};

	text_printf(&t, "%s%s/%s%s%s", dir, place, name, ab_lab_is_native(lab) ? "" : "-",
		    ab_lab_is_native(lab) ? "" : lab->arch);
	if (!t.p || access(t.p, R_OK) < 0)
		return false;
	*ret_path = text_take(&t);
	return *ret_path;
}

int ab_lab_find_own(struct ab_lab *lab, const char *name, char **ret_path, struct ab_error *err)
{
	static const char *const places[] = { "", "/../libexec/anybpf", "/../lib/anybpf", "/src/lab", "/../.." };
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	const char *dir = lab->guest_dir ? lab->guest_dir : own;
	char *slash;

	own[n > 0 ? n : 0] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (try_own(lab, dir, places[i], name, ret_path))
			return 0;
	if (!ab_lab_is_native(lab))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "'%s-%s', which guests of that architecture need, is not in '%s'; 'scripts/deps --lab' and "
			       "'make static' build it", name, lab->arch, dir);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
		       "'%s', which guests need, is not in '%s'; 'make' and 'make static' build it", name, dir);
}

int ab_lab_guest_program(struct ab_lab *lab, char **ret_path, struct ab_error *err)
{
	return ab_lab_find_own(lab, "anybpf-static", ret_path, err);
}
