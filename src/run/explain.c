/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reasons for people: what a bare errno of bpf(2) and perf_event_open(2) means on this machine, and the way out. */
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run.h"

static const struct {
	int bit;
	const char *name;
} needed[] = { { 39, "CAP_BPF" }, { 38, "CAP_PERFMON" }, { 12, "CAP_NET_ADMIN" } };

#define BIT_SYS_ADMIN 21

static uint64_t read_capabilities(void)
{
	_fclose_ FILE *f = fopen("/proc/self/status", "re");
	unsigned long long caps;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			return caps;
	return 0;
}

int ab_explain_permission(struct ab_error *err, int code, const char *what)
{
	uint64_t caps = read_capabilities();
	_text_ struct text missing = {};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(caps >> needed[i].bit & 1) && !(caps >> BIT_SYS_ADMIN & 1 && i < 2))
			text_printf(&missing, "%s%s", missing.n ? ", " : "", needed[i].name);
	if (missing.n)
		return ab_fail(err, AB_ERROR_PERMISSION, code, "%s: not permitted without %s: run it as root", what,
			       missing.p);
	return ab_fail(err, AB_ERROR_PERMISSION, code,
		       "%s: this kernel does not permit it, even with every capability (lockdown or security policy)",
		       what);
}

static const char *tracefs(void)
{
	static const char *const paths[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(path, sizeof(path), "%s/events", paths[i]);
		if (!access(path, F_OK))
			return paths[i];
	}
	return NULL;
}

void ab_tracefs_mount(struct ab_object *object)
{
	static const char path[] = "/sys/kernel/tracing";

	if (tracefs())
		return;
	if (!mount("tracefs", path, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		ab_object_debug(object, "mounted tracefs at %s", path);
	else if (!mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) /* before 4.1 */
		ab_object_debug(object, "mounted debugfs at /sys/kernel/debug");
	else
		ab_object_debug(object, "tracefs is not mounted at %s: %s", path, strerror(errno));
}

/* Kernels before 4.17 have no perf device for probes: libbpf writes to tracefs there. */
bool ab_has_probes(struct ab_object *object, const char *kind)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s", kind);
	if (!access(path, F_OK))
		return true;
	ab_tracefs_mount(object);
	snprintf(path, sizeof(path), "/sys/kernel/tracing/%s_events", kind);
	if (!access(path, F_OK))
		return true;
	snprintf(path, sizeof(path), "/sys/kernel/debug/tracing/%s_events", kind);
	return !access(path, F_OK);
}

/*
 * The name in a list file, one name a line up to a blank, that is nearest to `name`; of words with `before` in them, what
 * follows it.
 */
static bool find_nearest(const char *path, size_t column, const char *before, const char *name, char *ret, size_t cap)
{
	_fclose_ FILE *f = fopen(path, "re");
	_free_ char *line = NULL;
	int distance = 3;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		char *word = line, *rest = NULL;
		int d;

		word = strtok_r(line, " \t\n", &rest);
		for (size_t i = 0; word && i < column; i++)
			word = strtok_r(NULL, " \t\n", &rest);
		word = word ? strstr(word, before) : NULL;
		word = word ? word + strlen(before) : NULL;
		if (!word || labs((long)strlen(word) - (long)strlen(name)) >= distance)
			continue;
		d = str_distance(word, name, distance - 1);
		if (d < distance) {
			distance = d;
			snprintf(ret, cap, "%s", word);
		}
	}
	return distance < 3;
}

int ab_explain_function(struct ab_error *err, int code, const char *function)
{
	char near[128], path[96];
	const char *root = tracefs();

	snprintf(path, sizeof(path), "%s/available_filter_functions", root ? root : "");
	if ((root && find_nearest(path, 0, "", function, near, sizeof(near))) ||
	    find_nearest("/proc/kallsyms", 2, "", function, near, sizeof(near)))
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no function '%s': did you mean '%s'?",
			       function, near);
	return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no function '%s' (it may be inlined or renamed)",
		       function);
}

/* What of the kernel programs attach to by name alone, and where the names are listed. */
static const struct {
	const char *section, *what;
	const char *before; /* the name, in a line of tracefs' events or the kernel's symbols */
	bool in_tracefs;
} named[] = {
	{ "raw_tp", "raw tracepoint", ":", true }, { "raw_tracepoint", "raw tracepoint", ":", true },
	{ "tp_btf", "tracepoint", ":", true },
	{ "lsm", "LSM hook", "bpf_lsm_", false },
	{ "iter", "iterator", "bpf_iter_", false },
};

int ab_explain_target(struct ab_error *err, int code, const char *section, const char *target)
{
	char near[128], path[96] = "/proc/kallsyms";
	size_t i = 0;

	while (i < ARRAY_SIZE(named) && !str_starts(section, named[i].section))
		i++;
	if (i == ARRAY_SIZE(named))
		return ab_explain_function(err, code, target);
	if (named[i].in_tracefs)
		snprintf(path, sizeof(path), "%s/available_events", tracefs() ?: "");
	if (find_nearest(path, named[i].in_tracefs ? 0 : 2, named[i].before, target, near, sizeof(near)))
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no %s '%s': did you mean '%s'?", named[i].what,
			       target, near);
	return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no %s '%s'", named[i].what, target);
}

int ab_explain_tracepoint(struct ab_error *err, int code, const char *category, const char *name)
{
	const char *root = tracefs();
	char want[256], near[256], path[96];

	if (!root)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "tracepoint %s/%s: tracefs is not mounted: "
			       "mount -t tracefs tracefs /sys/kernel/tracing", category, name);
	snprintf(want, sizeof(want), "%s:%s", category, name);
	snprintf(path, sizeof(path), "%s/available_events", root);
	if (find_nearest(path, 0, "", want, near, sizeof(near))) {
		char *colon = strchr(near, ':');

		if (colon)
			*colon = '/';
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no tracepoint '%s/%s': did you mean '%s'?",
			       category, name, near);
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, code, "this kernel has no tracepoint '%s/%s'", category, name);
}
