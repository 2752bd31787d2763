/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Control groups by files of cgroup2 (cgroups.h). */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cgroups.h"

enum { GROUPS_MAX = 4096, LIST_LIMIT = 1 << 20, REMOVE_TRIES = 100, REMOVE_WAIT_US = 10000, CPU_PERIOD_US = 100000 };

static const char server_group[] = "server", builder_group[] = "builder-";
static const char *const controllers[] = { "cpu", "memory", "pids" };

struct cgroups {
	char *dir;
	struct cgroup_limits limits;
};

/* ---- files ---- */

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	_close_ int fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

static char *read_list(const char *dir, const char *name)
{
	char path[PATH_MAX], *text;
	size_t size;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return NULL;
	return file_read(path, LIST_LIMIT, &text, &size, NULL) ? NULL : text;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (!p[n] || strchr(" \n", p[n])))
			return true;
	return false;
}

/* ---- where this process is ---- */

/* "0::/system.slice/anybpfd.service" */
static char *own_path(void)
{
	_free_ char *list = read_list("/proc/self", "cgroup");

	for (char *line = list; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (str_starts(line, "0::/"))
			return strndup(line + 3, strcspn(line + 3, "\n"));
	return NULL;
}

/* The directory of a group, by one line of mountinfo(5): "36 35 0:30 ROOT POINT … - cgroup2 …". */
static char *dir_in_mount(const char *line, const char *group)
{
	char root[PATH_MAX], point[PATH_MAX], *dir;
	size_t n;

	if (sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2)
		return NULL;
	n = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(group, root, n) || (n && group[n] && group[n] != '/'))
		return NULL;
	return asprintf(&dir, "%s%s", point, strcmp(group + n, "/") ? group + n : "") < 0 ? NULL : dir;
}

static char *find_own_dir(void)
{
	_free_ char *group = own_path(), *mounts = read_list("/proc/self", "mountinfo");
	char *dir = NULL;

	for (char *line = mounts, *end; group && line && *line && !dir; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		if (strstr(line, " - cgroup2 "))
			dir = dir_in_mount(line, group);
	}
	return dir;
}

/* ---- whether it is this process's own ---- */

static int refuse(struct ab_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int refuse(struct ab_error *err, const char *fmt, ...)
{
	char why[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "%s", why);
}

/* Groups of others would lose their processes' freedom by the controllers; those of a server that was killed are removed. */
static int check_groups(const char *dir, struct ab_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = d ? 0 : refuse(err, "'%s': %s", dir, strerror(errno));

	while (!r && (e = readdir(d))) {
		char path[PATH_MAX];

		if (e->d_type != DT_DIR || *e->d_name == '.')
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= sizeof(path) ||
		    (strcmp(e->d_name, server_group) && !str_starts(e->d_name, builder_group)) || rmdir(path) < 0)
			r = refuse(err, "'%s' has the group '%s', which is not this server's", dir, e->d_name);
	}
	if (d)
		closedir(d);
	return r;
}

static int check_own(const char *dir, struct ab_error *err)
{
	_free_ char *there = read_list(dir, "cgroup.controllers"), *processes = read_list(dir, "cgroup.procs");
	char self[16];

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (!there || !has_word(there, controllers[i]))
			return refuse(err, "'%s' has no controller '%s'", dir, controllers[i]);
	snprintf(self, sizeof(self), "%d\n", (int)getpid());
	if (!processes || strcmp(processes, self))
		return refuse(err, "'%s' is not this server's alone", dir);
	return check_groups(dir, err);
}

/* A group with processes of its own has no controllers for others: it moves down, or back if that was in vain. */
static int move_down(const char *dir, struct ab_error *err)
{
	char server[PATH_MAX];
	int r;

	if ((size_t)snprintf(server, sizeof(server), "%s/%s", dir, server_group) >= sizeof(server) || mkdir(server, 0755) < 0)
		return refuse(err, "'%s' is not writable", dir);
	r = write_file(server, "cgroup.procs", "0");
	if (!r)
		r = write_file(dir, "cgroup.subtree_control", "+cpu +memory +pids");
	if (!r)
		return 0;
	(void)write_file(dir, "cgroup.procs", "0");
	(void)rmdir(server);
	return refuse(err, "'%s' takes no controllers: %s", dir, strerror(-r));
}

int ab_cgroups_open(const struct cgroup_limits *limits, struct cgroups **ret_all, struct ab_error *err)
{
	struct cgroups *all = array_new(1, sizeof(*all));
	int r;

	if (!all)
		return ab_fail_memory(err);
	all->limits = *limits;
	all->dir = find_own_dir();
	r = all->dir ? check_own(all->dir, err) : refuse(err, "there is no cgroup2");
	if (!r)
		r = move_down(all->dir, err);
	if (r) {
		ab_cgroups_close(all);
		return r;
	}
	*ret_all = all;
	return 0;
}

void ab_cgroups_close(struct cgroups *all)
{
	if (all)
		free(all->dir);
	free(all);
}

/* ---- one builder's ---- */

static int limit_group(const char *dir, const struct cgroup_limits *limits)
{
	char text[64];
	int r;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)limits->memory);
	r = write_file(dir, "memory.max", text);
	if (!r)
		r = write_file(dir, "memory.swap.max", "0");
	if (r == -ENOENT) /* a kernel without swap */
		r = 0;
	snprintf(text, sizeof(text), "%u", limits->tasks);
	if (!r)
		r = write_file(dir, "pids.max", text);
	snprintf(text, sizeof(text), "%llu %u", limits->cpu_percent * (CPU_PERIOD_US / 100ull), CPU_PERIOD_US);
	return r ? r : write_file(dir, "cpu.max", text);
}

int ab_cgroups_take(struct cgroups *all, char **ret_dir, struct ab_error *err)
{
	_free_ char *dir = NULL;
	int r = -EEXIST;

	for (unsigned n = 0; r == -EEXIST && n < GROUPS_MAX; n++) {
		free(dir);
		if (asprintf(&dir, "%s/%s%u", all->dir, builder_group, n) < 0) {
			dir = NULL;
			return ab_fail_memory(err);
		}
		r = mkdir(dir, 0755) < 0 ? -errno : 0;
	}
	if (!r && (r = limit_group(dir, &all->limits)))
		(void)rmdir(dir);
	if (r)
		return ab_fail_errno(err, r, "unable to limit a compiler by '%s'", dir);
	*ret_dir = TAKE(dir);
	return 0;
}

void ab_cgroups_give(char *dir)
{
	int tries = 0;

	if (!dir)
		return;
	(void)write_file(dir, "cgroup.kill", "1");
	while (rmdir(dir) < 0 && errno == EBUSY && ++tries < REMOVE_TRIES)
		usleep(REMOVE_WAIT_US);
	free(dir);
}
