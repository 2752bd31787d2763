/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Confinement by namespaces, or by Landlock where there are none, and by seccomp (confine.h). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/base.h"
#include "confine.h"

enum { NOBODY = 65534, FILTER_LIMIT = 4096, FILES_LIMIT = 64, THREADS_LIMIT = 256 };

/*
 * What has nothing in it that a job could change or find is made once, for all children: an empty root, no network. A
 * child's own are who it is, what processes there are, and what it could leave for another.
 */
enum { SHARED_NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP,
       OWN_NAMESPACES = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC,
       NAMESPACES = SHARED_NAMESPACES | OWN_NAMESPACES };

static bool has_namespaces;
static struct sock_filter filter[FILTER_LIMIT];
static struct sock_fprog program = { .filter = filter };

/* ---- system calls ---- */

/* What a compile asks of the kernel: its memory, its files to read, its answer. All else fails with EPERM. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(close),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fstatfs),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(getdents64), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(times),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const int allowed_fcntl[] = { F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC };

static int allow(scmp_filter_ctx ctx, int call)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
}

static int allow_some(scmp_filter_ctx ctx)
{
	const int write_flags = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, write_flags, O_RDONLY));

	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, write_flags, O_RDONLY));
	/* No code but that which is there. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* No locks, leases or notices of files, which somebody else could see. */
	for (size_t i = 0; i < ARRAY_SIZE(allowed_fcntl) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, allowed_fcntl[i]));
	/* Limits of its own. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
	/* No processes; clang may want a thread with a larger stack. clone3 hides its flags: the C library falls back. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | NAMESPACES, CLONE_THREAD));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

/* The filter as the kernel takes it, made once. */
static int export_filter(scmp_filter_ctx ctx)
{
	_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	ssize_t n;

	if (r)
		return r;
	n = pread(fd, filter, sizeof(filter), 0);
	if (n <= 0 || n == sizeof(filter) || n % sizeof(*filter))
		return -EFBIG;
	program.len = n / sizeof(*filter);
	return 0;
}

static int make_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? allow_some(ctx) : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && !r; i++)
		r = allow(ctx, allowed[i]);
	if (!r)
		r = export_filter(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

/* ---- namespaces ---- */

static int write_file(const char *path, const char *text)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* Root becomes nobody, so that a way out of the namespace leads to nothing. */
static int drop_root(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 1) < 0 ? -errno : 0; /* or its /proc files would stay root's */
}

static int enter_namespaces(void)
{
	unsigned uid, gid;
	char map[64];
	int r = drop_root();

	if (r)
		return r;
	uid = geteuid();
	gid = getegid();
	if (unshare(SHARED_NAMESPACES) < 0)
		return -errno;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	r = write_file("/proc/self/uid_map", map);
	if (!r)
		r = write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return r ? r : write_file("/proc/self/gid_map", map);
}

static int make_parents(char *path, size_t from)
{
	for (char *slash = path + from; (slash = strchr(slash + 1, '/'));) {
		int r;

		*slash = '\0';
		r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (r)
			return r;
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Puts a directory of the machine under `root`, to read only, with all that is mounted in it. */
static int show_dir(const char *root, const char *dir)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	char path[4096];
	int r;

	if (access(dir, R_OK | X_OK) < 0)
		return 0;
	snprintf(path, sizeof(path), "%s%s", root, dir);
	r = make_parents(path, strlen(root));
	if (r)
		return r;
	if (mount(dir, path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attributes, sizeof(attributes)) < 0)
		return -errno;
	return 0;
}

/* An empty root with the headers at their places; what was there before is gone. */
static int enter_root(void)
{
	static const char root[] = "/tmp"; /* any directory that is everywhere */
	int r = 0;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("anybpf", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,nr_inodes=64,mode=0755") < 0)
		return -errno;
	for (const char *const *dir = cc_header_dirs; *dir && !r; dir++)
		r = show_dir(root, *dir);
	if (r)
		return r;
	if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	return 0;
}

/* Tries in a child first, since half of it cannot be taken back. */
static bool namespaces_work(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		int r = enter_namespaces();

		if (!r)
			r = enter_root();
		if (!r) {
			has_namespaces = true;
			pid = cc_confined_fork();
			if (pid == 0)
				_exit(cc_confine_self() ? 0 : 1);
			r = pid < 0 || waitpid(pid, &status, 0) != pid || status;
		}
		_exit(r ? 1 : 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* ---- Landlock ---- */

static int landlock_allow(int rules, const char *dir)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR };
	int r;

	rule.parent_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
	close(rule.parent_fd);
	return r;
}

/* All of the first version: newer kernels know more rights, which the system call filter withholds as well. */
static int landlock(void)
{
	struct landlock_ruleset_attr all = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	_close_ int rules = syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	int r = rules < 0 ? -errno : 0;

	for (const char *const *dir = cc_header_dirs; *dir && !r; dir++)
		r = landlock_allow(rules, *dir);
	if (!r && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		r = -errno;
	return r;
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* ---- what main.c calls ---- */

int cc_confine_start(const char **ret_problem)
{
	int r = make_filter();

	(void)syscall(SYS_close_range, 3, ~0U, 0); /* what the program that started this one left open by mistake */
	if (r) {
		*ret_problem = "libseccomp makes no filter";
		return r;
	}
	if (namespaces_work()) {
		has_namespaces = true;
		r = enter_namespaces();
		if (!r)
			r = enter_root();
		*ret_problem = "namespaces do not work any more";
		return r;
	}
	*ret_problem = "the kernel lets this user have neither namespaces nor Landlock";
	return has_landlock() ? drop_root() : -EPERM;
}

pid_t cc_confined_fork(void)
{
	return has_namespaces ? syscall(SYS_clone, OWN_NAMESPACES | SIGCHLD, NULL, NULL, NULL, 0) : fork();
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	return syscall(SYS_capset, &head, none) == 0;
}

static bool limit_self(int what, rlim_t most)
{
	return setrlimit(what, &(struct rlimit){ most, most }) == 0;
}

bool cc_confine_self(void)
{
	static const struct { int what; rlim_t most; } limits[] = {
		{ RLIMIT_FSIZE, 0 }, { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, FILES_LIMIT }, { RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (!limit_self(limits[i].what, limits[i].most))
			return false;
	/* Without a user namespace the whole machine's processes of this user would count. */
	if (has_namespaces && !limit_self(RLIMIT_NPROC, THREADS_LIMIT))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !drop_capabilities())
		return false;
	if (!has_namespaces && landlock())
		return false;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}
