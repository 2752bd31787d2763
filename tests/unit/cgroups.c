/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Control groups for compilers. What they hold is seen where this program has a control group for itself: in a guest
 * (tests/lab/test_guests.py), or by `systemd-run --wait -p "Delegate=cpu memory pids" unit-cgroups holds`.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "serve/cgroups.h"
#include "unit.h"

enum { MEMORY = 64 << 20, TASKS = 20, PERCENT = 20 };

static const struct cgroup_limits limits = { .memory = MEMORY, .tasks = TASKS, .cpu_percent = PERCENT };

static void expect_file(const char *dir, const char *name, const char *want)
{
	_free_ char *path = NULL, *got = NULL;
	struct ab_error err = {};
	size_t size;

	ASSERT(asprintf(&path, "%s/%s", dir, name) > 0);
	ASSERT_OK(file_read(path, 4096, &got, &size, &err), err);
	ASSERT_STR(got, want);
}

/* Runs `what` in a process of the group: its wait status, and the time that it had. */
static int run_in(const char *dir, int (*what)(void), double *ret_cpu_seconds)
{
	_free_ char *path = NULL;
	struct rusage used;
	int status;
	pid_t pid;

	ASSERT(asprintf(&path, "%s/cgroup.procs", dir) > 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_WRONLY);

		_exit(fd >= 0 && write(fd, "0", 1) == 1 ? what() : 99);
	}
	ASSERT(pid > 0 && wait4(pid, &status, 0, &used) == pid);
	*ret_cpu_seconds = used.ru_utime.tv_sec + used.ru_utime.tv_usec / 1e6 + used.ru_stime.tv_sec + used.ru_stime.tv_usec / 1e6;
	return status;
}

static int take_memory(void)
{
	char *p = mmap(NULL, 2 * MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 1, 2 * MEMORY);
	return 0;
}

static int take_some_memory(void)
{
	char *p = mmap(NULL, MEMORY / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 1, MEMORY / 2);
	return 0;
}

/* How many processes there can be, this one included. */
static int take_tasks(void)
{
	int n = 1;

	for (pid_t pid; n < 10 * TASKS && (pid = fork()) >= 0; n++)
		if (pid == 0) {
			pause();
			_exit(0);
		}
	return n;
}

static int take_time(void)
{
	struct timespec t;
	time_t end = time(NULL) + 3;

	while (time(NULL) < end)
		clock_gettime(CLOCK_MONOTONIC, &t);
	return 0;
}

TEST(holds)
{
	struct cgroups *all;
	struct ab_error err = {};
	char *dir, *other;
	struct stat st;
	double cpu;
	int r = ab_cgroups_open(&limits, &all, &err), status;

	if (r && !getenv("ANYBPF_TEST_CGROUPS"))
		SKIP("%s", err.msg);
	ASSERT_OK(r, err);
	ASSERT_OK(ab_cgroups_take(all, &dir, &err), err);
	ASSERT_OK(ab_cgroups_take(all, &other, &err), err);
	ASSERT(strcmp(dir, other));
	expect_file(dir, "memory.max", "67108864\n");
	expect_file(dir, "pids.max", "20\n");
	expect_file(dir, "cpu.max", "20000 100000\n");
	expect_file(dir, "cgroup.procs", "");

	status = run_in(dir, take_some_memory, &cpu);
	ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	status = run_in(dir, take_memory, &cpu);
	ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = run_in(dir, take_time, &cpu);
	ASSERT(WIFEXITED(status) && cpu > 0.1 && cpu < 1.2);
	status = run_in(dir, take_tasks, &cpu);
	ASSERT(WIFEXITED(status));
	ASSERT_INT(WEXITSTATUS(status), TASKS);

	ASSERT(stat(dir, &st) == 0);
	ab_cgroups_give(strdup(dir)); /* the processes that wait in it are killed */
	ab_cgroups_give(strdup(other));
	ASSERT(stat(dir, &st) < 0 && stat(other, &st) < 0);
	free(dir);
	free(other);
	ab_cgroups_close(all);
}

/* A group that others are in is left as it is. */
TEST(refuses)
{
	struct cgroups *all = NULL;
	struct ab_error err = {};
	char before[4096] = "", after[4096] = "";
	int fd = open("/proc/self/cgroup", O_RDONLY), r;
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	ASSERT(fd >= 0 && pid > 0 && read(fd, before, sizeof(before) - 1) > 0);
	r = ab_cgroups_open(&limits, &all, &err);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	ASSERT_INT(r, -EOPNOTSUPP);
	ASSERT(*err.msg && !all);
	ASSERT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, after, sizeof(after) - 1) > 0);
	ASSERT_STR(after, before);
}
