/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What this process may do, and which tools there are. */
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <base/clang.h>
#include "features.h"

/* Larger maps are not made just to see whether they could be. */
#define MEMLOCK_TRY_MAX (64 << 20)

static int probe_cap(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_free_ char *last = NULL;
	size_t size;

	if (ab_probe_has_cap(p, row->arg))
		return 1;
	/* Older kernels keep what CAP_BPF and CAP_PERFMON allow under CAP_SYS_ADMIN. */
	if (file_read("/proc/sys/kernel/cap_last_cap", 64, &last, &size, NULL) == 0 && row->arg > atoi(last)) {
		text_puts(detail, "this kernel has CAP_SYS_ADMIN for it");
		return ab_probe_has_cap(p, CAP_SYS_ADMIN);
	}
	return 0;
}

static int probe_memlock(struct probe *p, const struct feature_row *row, struct text *detail)
{
	struct rlimit limit;
	int fd = -1;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return -errno;
	if (limit.rlim_max == RLIM_INFINITY || ab_probe_has_cap(p, CAP_SYS_RESOURCE)) {
		text_puts(detail, "can be raised");
		return 1;
	}
	text_printf(detail, "at most %llu KiB", (unsigned long long)limit.rlim_max >> 10);
	/* Newer kernels count maps as memory of the cgroup: a map above the limit shows it. */
	if (p->may_load > 0 && limit.rlim_max <= MEMLOCK_TRY_MAX)
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, (limit.rlim_max / 8 | 7) + 1, 9, NULL);
	if (fd < 0)
		return 0;
	text_puts(detail, ", but maps do not count");
	return close_yes(fd);
}

/* ---- tools ---- */

static char *find_in_path(const char *name)
{
	const char *dir = getenv("PATH");
	_text_ struct text path = {};

	for (dir = dir ? dir : "/usr/bin:/bin"; *dir; dir += strspn(dir, ":")) {
		size_t n = strcspn(dir, ":");

		path.n = 0;
		text_add(&path, dir, n);
		text_printf(&path, "/%s", name);
		if (!path.failed && access(path.p, X_OK) == 0)
			return text_take(&path);
		dir += n;
	}
	return NULL;
}

/* The first line that a program prints, waiting for at most some seconds. */
static int read_first_line(const char *path, const char *arg, char *line, size_t size)
{
	char *argv[] = { (char *)path, (char *)arg, NULL };
	posix_spawn_file_actions_t actions;
	int pipe_fd[2], ret, status;
	size_t n = 0;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	ret = -posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fd[1]);
	while (ret == 0 && n + 1 < size && !memchr(line, '\n', n)) {
		struct pollfd pollfd = { .fd = pipe_fd[0], .events = POLLIN };
		ssize_t got = poll(&pollfd, 1, 5000) > 0 ? read(pipe_fd[0], line + n, size - 1 - n) : -1;

		if (got <= 0)
			break;
		n += got;
	}
	close(pipe_fd[0]);
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (ret == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return ret == 0 && !*line ? -EIO : ret;
}

/* "Debian clang version 19.1.7 (…)", "clang 19.1.7" → 19.1.7 */
static void add_version(struct text *detail, const char *line, const char *path)
{
	const char *version = line + strcspn(line, "0123456789");

	text_printf(detail, "%.*s, %s", (int)strspn(version, "0123456789."), version, path);
}

static int probe_clang(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_free_ char *path = NULL;
	char name[32], line[256] = "";

	for (int release = CLANG_NEWEST; release >= CLANG_OLDEST && !path; release--) {
		snprintf(name, sizeof(name), "clang-%d", release);
		path = find_in_path(name);
	}
	if (!path)
		path = find_in_path("clang");
	if (!path)
		return 0;
	if (read_first_line(path, "--version", line, sizeof(line)) < 0) {
		text_printf(detail, "%s does not run", path);
		return 0;
	}
	add_version(detail, line, path);
	return atoi(detail->p) >= CLANG_OLDEST;
}

/* Lies beside the program that asks. */
static int probe_worker(struct probe *p, const struct feature_row *row, struct text *detail)
{
	char self[4096], line[256] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	_free_ char *path = NULL;

	self[MAX(n, 0)] = '\0';
	if (asprintf(&path, "%.*s%s", (int)(path_base(self) - self), self, row->name) < 0)
		return -ENOMEM;
	if (access(path, X_OK) < 0) {
		free(path);
		path = find_in_path(row->name);
	}
	if (!path)
		return 0;
	if (read_first_line(path, "version", line, sizeof(line)) < 0) {
		text_printf(detail, "%s does not run", path);
		return 0;
	}
	text_puts(detail, "clang ");
	add_version(detail, line, path);
	return 1;
}

#define CAP(name, cap, advice) { "capability", name, probe_cap, advice, NEED_NOTHING, cap }

const struct feature_row ab_machine_rows[] = {
	CAP("bpf", CAP_BPF, "to load programs and make maps: run as root, or with CAP_BPF"),
	CAP("perfmon", CAP_PERFMON, "to trace and to read kernel memory: run as root, or with CAP_PERFMON"),
	CAP("net_admin", CAP_NET_ADMIN, "to attach to interfaces and cgroups: run as root, or with CAP_NET_ADMIN"),
	CAP("sys_admin", CAP_SYS_ADMIN, "to reach objects by their id, and uprobes: run as root, or with CAP_SYS_ADMIN"),
	CAP("sys_ptrace", CAP_SYS_PTRACE, "to name addresses of other users' processes: run as root, or with CAP_SYS_PTRACE"),
	CAP("sys_resource", CAP_SYS_RESOURCE, "to raise the limit of locked memory: run as root, or with CAP_SYS_RESOURCE"),
	CAP("syslog", CAP_SYSLOG, "to name kernel addresses: run as root, or with CAP_SYSLOG"),
	{ "capability", "memlock", probe_memlock, "kernels that count maps as locked memory need it: ulimit -l unlimited" },
	{ "tools", "clang", probe_clang, "compiling needs clang 15 or newer: apt-get install clang, or dnf install clang" },
	{ "tools", "anybpf-cc", probe_worker, "the fast compiler worker is not installed: compiling starts clang each time" },
	{},
};
