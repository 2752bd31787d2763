/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* perf_event programs: EVENT[@FREQUENCY|/PERIOD] on every CPU, on one, or on the threads of a process. */
#include <ctype.h>
#include <dirent.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "run.h"

#define DEFAULT_FREQUENCY 99 /* just off the round number that timers have */

static const struct event {
	const char *name;
	uint32_t type;
	uint64_t config;
	bool each; /* rare enough to take every one unless told otherwise */
} events[] = {
#define SW(name, config, each) { name, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_##config, each }
#define HW(name, config) { name, PERF_TYPE_HARDWARE, PERF_COUNT_HW_##config, false }
	SW("cpu-clock", CPU_CLOCK, false),
	SW("task-clock", TASK_CLOCK, false),
	SW("page-faults", PAGE_FAULTS, true),
	SW("faults", PAGE_FAULTS, true),
	SW("minor-faults", PAGE_FAULTS_MIN, true),
	SW("major-faults", PAGE_FAULTS_MAJ, true),
	SW("context-switches", CONTEXT_SWITCHES, true),
	SW("cs", CONTEXT_SWITCHES, true),
	SW("cpu-migrations", CPU_MIGRATIONS, true),
	SW("migrations", CPU_MIGRATIONS, true),
	SW("alignment-faults", ALIGNMENT_FAULTS, true),
	SW("emulation-faults", EMULATION_FAULTS, true),
	HW("cycles", CPU_CYCLES),
	HW("cpu-cycles", CPU_CYCLES),
	HW("instructions", INSTRUCTIONS),
	HW("cache-references", CACHE_REFERENCES),
	HW("cache-misses", CACHE_MISSES),
	HW("branches", BRANCH_INSTRUCTIONS),
	HW("branch-instructions", BRANCH_INSTRUCTIONS),
	HW("branch-misses", BRANCH_MISSES),
	HW("bus-cycles", BUS_CYCLES),
	HW("stalled-cycles-frontend", STALLED_CYCLES_FRONTEND),
	HW("stalled-cycles-backend", STALLED_CYCLES_BACKEND),
	HW("ref-cycles", REF_CPU_CYCLES),
#undef SW
#undef HW
};

static int unknown_event(struct ab_error *err, const char *name)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		nearest_try(&nearest, events[i].name);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no perf event '%s': did you mean '%s'?", name, nearest.name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no perf event '%s' (docs/attach.md lists them)", name);
}

static int parse_event(const char *target, struct perf_event_attr *attr, struct ab_error *err)
{
	size_t n = strcspn(target, "@/");
	_free_ char *name = strndup(target, n);
	const struct event *event = NULL;
	uint64_t rate = 0;
	char *end;

	if (!name)
		return ab_fail_memory(err);
	for (size_t i = 0; !event && i < ARRAY_SIZE(events); i++)
		if (!strcmp(events[i].name, name))
			event = &events[i];
	if (!event)
		return unknown_event(err, name);
	if (target[n]) {
		errno = 0;
		rate = strtoull(target + n + 1, &end, 10);
		if (!isdigit((unsigned char)target[n + 1]) || *end || errno || !rate)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s': not EVENT@FREQUENCY or EVENT/PERIOD", target);
	}
	*attr = (struct perf_event_attr){ .size = sizeof(*attr), .type = event->type, .config = event->config };
	attr->freq = target[n] == '@' || (!target[n] && !event->each);
	if (attr->freq)
		attr->sample_freq = rate ? rate : DEFAULT_FREQUENCY;
	else
		attr->sample_period = rate ? rate : 1;
	return 0;
}

static int explain(struct ab_error *err, int code, const char *target, const struct perf_event_attr *attr, int cpu)
{
	if (code == -EPERM || code == -EACCES)
		return ab_explain_permission(err, code, target);
	if (code == -ESRCH)
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "%s: no such process", target);
	if (attr->type == PERF_TYPE_HARDWARE && (code == -ENOENT || code == -EOPNOTSUPP || code == -ENODEV))
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "%s: this machine has no such hardware counter "
			       "(virtual machines often have none): cpu-clock works everywhere", target);
	if ((code == -ENODEV && cpu >= 0) || (code == -EINVAL && cpu >= libbpf_num_possible_cpus()))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENODEV, "%s: CPU %d is not online", target, cpu);
	if (code == -EINVAL && attr->freq)
		return ab_fail(err, AB_ERROR_USAGE, code, "%s: frequency not possible "
			       "(/proc/sys/kernel/perf_event_max_sample_rate is the limit)", target);
	return ab_fail_errno(err, code, "%s", target);
}

static int attach_one(struct ab_program *program, const char *target, struct perf_event_attr *attr, int pid, int cpu,
		      struct ab_link *link, struct ab_error *err)
{
	int fd = (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *bpf;
	int r;

	if (fd < 0)
		return explain(err, -errno, target, attr, cpu);
	bpf = bpf_program__attach_perf_event(program->bpf, fd); /* closes fd with the link */
	if (bpf)
		return ab_link_add(link, bpf, err);
	r = explain(err, -errno, target, attr, cpu);
	close(fd);
	return r;
}

/* Threads that the process starts later are counted by inheritance. */
static int attach_threads(struct ab_program *program, const char *target, struct perf_event_attr *attr, int cpu,
			  struct ab_link *link, struct ab_error *err)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", program->object->opts.pid);
	dir = opendir(path);
	if (!dir)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ESRCH, "no process %d", program->object->opts.pid);
	attr->inherit = 1;
	while (!r && (entry = readdir(dir))) {
		struct ab_error why = {};

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		r = attach_one(program, target, attr, atoi(entry->d_name), cpu, link, &why);
		if (r == -ESRCH && link->link_count) /* a thread that ended meanwhile */
			r = 0;
		else if (r < 0 && err && !err->code)
			*err = why;
	}
	closedir(dir);
	return r;
}

int ab_attach_perf_event(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	int only = program->object->opts.cpu - 1, cpus = libbpf_num_possible_cpus(), r;
	struct perf_event_attr attr;

	r = parse_event(target, &attr, err);
	if (r < 0)
		return r;
	if (program->object->opts.pid)
		return attach_threads(program, target, &attr, only, link, err);
	if (only >= 0)
		return attach_one(program, target, &attr, -1, only, link, err);
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct ab_error why = {};

		r = attach_one(program, target, &attr, -1, cpu, link, &why);
		if (r == -ENODEV || r == -ENXIO) /* possible, but not online */
			continue;
		if (r < 0) {
			if (err && !err->code)
				*err = why;
			return r;
		}
	}
	if (!link->link_count)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENODEV, "%s: no CPU is online", target);
	return 0;
}
