/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The first and only system process of a lab guest: mounts what programs expect, loads modules, does what the manifest says
 * (guest_protocol.h), reports through a virtio port, and resets the machine. It is static and needs nothing else in the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "init.h"

#define MAX_FIELDS 256
#define MAX_PROGRAMS 64 /* at a time */
#define AWAIT_TEXT 256

struct program {
	int id;
	pid_t pid;           /* 0: ended */
	pid_t group;         /* it and what it started */
	int out, err;        /* -1: closed */
	bool killed;
	/* await: the text looked for, and the end of what was seen, for a text that two reads cut. */
	const char *await;
	bool await_seen;
	char tail[AWAIT_TEXT];
	size_t tail_size;
};

static struct program programs[MAX_PROGRAMS];
static size_t program_count;
static int port = -1;
static char token[80];

/* ---- reporting ---- */

static void write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		size -= n;
	}
}

static void send_frame(int type, int id, const void *data, size_t size)
{
	struct {
		struct guest_frame head;
		char data[GUEST_CHUNK];
	} frame = { .head = { GUEST_MAGIC, type, 0, id, size } };

	if (port < 0 || size > sizeof(frame.data))
		return;
	memcpy(frame.data, data, size);
	write_all(port, &frame, sizeof(frame.head) + size);
}

void init_note(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	send_frame(GUEST_NOTE, 0, text, strlen(text));
	dprintf(STDERR_FILENO, "anybpf-lab: %s\n", text);
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* ---- the machine ---- */

static const struct {
	const char *type, *path, *data;
} mounts[] = {
	{ "devtmpfs", "/dev", NULL },
	{ "proc", "/proc", NULL },
	{ "sysfs", "/sys", NULL },
	{ "tmpfs", "/tmp", NULL },
	{ "tmpfs", "/run", NULL },
	{ "tmpfs", "/dev/shm", NULL },
	{ "devpts", "/dev/pts", NULL },
	{ "bpf", "/sys/fs/bpf", NULL },
	{ "cgroup2", "/sys/fs/cgroup", NULL },
	{ "debugfs", "/sys/kernel/debug", NULL },
	{ "tracefs", "/sys/kernel/tracing", NULL },
};

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].path, 0755);
		mount(mounts[i].type, mounts[i].path, mounts[i].type, 0, mounts[i].data);
	}
	if (symlink("/proc/self/fd", "/dev/fd") < 0 && errno != EEXIST)
		init_note("/dev/fd: %s", strerror(errno));
}

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		init_note("no loopback interface: %s", strerror(errno));
	close(fd);
}

static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		if (fd >= 0 && fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

__attribute__((noreturn)) static void end_machine(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		init_note("module %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Finds the port by its name: /sys/class/virtio-ports/vportNpM/name. */
static int find_port(const char *name)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		char path[300], text[64] = "";
		int fd;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		fd = *entry->d_name == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0 && !strncmp(text, name, strlen(name))) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			found = open(path, O_RDWR | O_CLOEXEC);
		}
		close(fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void open_port(const char *name)
{
	long long until = now_ms() + 10000;
	struct utsname about = {};
	struct timespec t;
	char text[128];

	while ((port = find_port(name)) < 0 && now_ms() < until)
		usleep(2000);
	if (port < 0) {
		init_note("no virtio port '%s': nobody to report to", name);
		end_machine();
	}
	clock_gettime(CLOCK_BOOTTIME, &t);
	uname(&about);
	snprintf(text, sizeof(text), "%lld %s", t.tv_sec * 1000000000ll + t.tv_nsec, about.release);
	send_frame(GUEST_BOOT, 0, text, strlen(text));
}

static void mount_share(const char *tag, const char *path)
{
	mkdir(path, 0755);
	if (mount(tag, path, "9p", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=131072") < 0)
		init_note("no host directory at %s: %s", path, strerror(errno));
}

static void seal_copy(const char *path)
{
	if (mount(path, path, NULL, MS_BIND, NULL) < 0 || mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		init_note("%s: %s", path, strerror(errno));
	init_note("this kernel has no 9p: %s is a copy of the directory as it was at the start", path);
}

/* ---- programs ---- */

static struct program *find_program(int id)
{
	for (size_t i = 0; i < program_count; i++)
		if (programs[i].id == id)
			return &programs[i];
	return NULL;
}

__attribute__((noreturn)) static void exec_program(char **argv, int out, int err)
{
	static const char *const environment[] = { "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/tmp", "TERM=linux",
						   "LANG=C", NULL };
	int null = open("/dev/null", O_RDONLY);

	if (null >= 0)
		dup2(null, 0);
	dup2(out, 1);
	dup2(err, 2);
	setpgid(0, 0);
	if (chdir("/tmp") < 0)
		dprintf(2, "/tmp: %s\n", strerror(errno));
	execve(argv[0], argv, (char *const *)environment);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static struct program *start_program(int id, char **argv)
{
	struct program *p = &programs[program_count];
	int out[2], err[2];

	if (program_count == MAX_PROGRAMS || !argv[0] || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		init_note("program %d cannot start", id);
		return NULL;
	}
	*p = (struct program){ .id = id, .out = out[0], .err = err[0], .pid = fork() };
	if (p->pid == 0)
		exec_program(argv, out[1], err[1]);
	p->group = p->pid;
	close(out[1]);
	close(err[1]);
	if (p->pid < 0) {
		init_note("fork: %s", strerror(errno));
		return NULL;
	}
	program_count++;
	return p;
}

static void look_for_text(struct program *p, const char *data, size_t size)
{
	char joined[AWAIT_TEXT + GUEST_CHUNK];
	size_t n = p->tail_size + size, keep;

	if (!p->await || p->await_seen)
		return;
	memcpy(joined, p->tail, p->tail_size);
	memcpy(joined + p->tail_size, data, size);
	if (memmem(joined, n, p->await, strlen(p->await)))
		p->await_seen = true;
	keep = n < sizeof(p->tail) ? n : sizeof(p->tail);
	memcpy(p->tail, joined + n - keep, keep);
	p->tail_size = keep;
}

/* Forwards what a pipe has; closes it at its end. */
static void drain_pipe(struct program *p, int *fd, int type)
{
	char data[GUEST_CHUNK];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n > 0) {
		look_for_text(p, data, n);
		send_frame(type, p->id, data, n);
	} else if (n == 0 || errno != EINTR) {
		close(*fd);
		*fd = -1;
	}
}

/* Whatever the pipe holds when the program is gone; a child that outlives it may hold the pipe open, so not to its end. */
static void drain_rest(struct program *p)
{
	for (;;) {
		struct pollfd fds[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };

		if ((p->out < 0 && p->err < 0) || poll(fds, 2, 0) <= 0)
			return;
		if (fds[0].revents)
			drain_pipe(p, &p->out, GUEST_STDOUT);
		if (fds[1].revents)
			drain_pipe(p, &p->err, GUEST_STDERR);
	}
}

static void reap_programs(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < program_count; i++) {
			struct program *p = &programs[i];
			char text[32];

			if (p->pid != pid)
				continue;
			drain_rest(p);
			p->pid = 0;
			snprintf(text, sizeof(text), "%d%s", status, p->killed ? " killed" : "");
			send_frame(GUEST_EXIT, p->id, text, strlen(text));
		}
	}
}

/* One round: forwards output, serves the seccomp listener, collects the dead. Waits at most `ms`. */
static void pump(int ms)
{
	struct pollfd fds[2 * MAX_PROGRAMS + 1];
	struct program *owner[2 * MAX_PROGRAMS];
	size_t n = 0;

	for (size_t i = 0; i < program_count; i++) {
		for (int e = 0; e < 2; e++) {
			int fd = e ? programs[i].err : programs[i].out;

			if (fd < 0)
				continue;
			owner[n] = &programs[i];
			fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
	}
	fds[n] = (struct pollfd){ .fd = hide_listener(), .events = POLLIN };
	if (poll(fds, n + 1, ms) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct program *p = owner[i];

			if (!fds[i].revents)
				continue;
			if (fds[i].fd == p->out)
				drain_pipe(p, &p->out, GUEST_STDOUT);
			else if (fds[i].fd == p->err)
				drain_pipe(p, &p->err, GUEST_STDERR);
		}
		if (fds[n].revents & POLLIN)
			hide_serve();
	}
	reap_programs();
}

/* Until the program ended, its awaited text came, or the time is over; false: the time is over. */
static bool wait_program(struct program *p, long long ms)
{
	long long until = now_ms() + ms;

	while (p->pid && !(p->await && p->await_seen)) {
		long long left = until - now_ms();

		if (left <= 0)
			return false;
		/* SIGCHLD interrupts poll(2); one that comes just before it costs this much. */
		pump(left < 20 ? (int)left : 20);
	}
	return true;
}

static void kill_program(struct program *p)
{
	p->killed = true;
	kill(-p->pid, SIGKILL);
	kill(p->pid, SIGKILL);
	wait_program(p, 5000);
}

static void stop_program(struct program *p, long long ms)
{
	p->await = NULL;
	if (p->pid) {
		kill(p->pid, SIGINT);
		if (!wait_program(p, ms))
			kill_program(p);
	}
	/* What it left in the background would be in the way of whoever comes next. */
	kill(-p->group, SIGKILL);
}

/* Its place is another's from now on. */
static void forget_program(struct program *p)
{
	if (p->pid)
		return;
	drain_rest(p);
	if (p->out >= 0)
		close(p->out);
	if (p->err >= 0)
		close(p->err);
	*p = programs[--program_count];
}

static void await_text(struct program *p, long long ms, const char *text)
{
	p->await = text;
	if (strlen(text) < AWAIT_TEXT && !wait_program(p, ms))
		init_note("program %d did not say '%s' in %lld ms", p->id, text, ms);
	p->await = NULL;
}

static void run_shell(char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fd;

		setsid();
		fd = open("/dev/console", O_RDWR);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		ioctl(0, TIOCSCTTY, 1);
		setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
		setenv("HOME", "/tmp", 1);
		if (chdir("/host") < 0 && chdir("/") < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* ---- the manifest ---- */

static void act_on_program(char **field, size_t count)
{
	const char *verb = field[0];
	int id = atoi(field[1]);
	struct program *p;

	if (!strcmp(verb, "start")) {
		start_program(id, field + 2);
		return;
	}
	if (!strcmp(verb, "run")) {
		p = start_program(id, count > 3 ? field + 3 : field + count);
		if (p && !wait_program(p, atoll(field[2])))
			kill_program(p);
		return;
	}
	p = find_program(id);
	if (!p)
		return;
	if (!strcmp(verb, "await") && count > 3)
		await_text(p, atoll(field[2]), field[3]);
	else if (!strcmp(verb, "settle"))
		wait_program(p, atoll(field[2]));
	if (strcmp(verb, "stop"))
		return;
	stop_program(p, atoll(field[2]));
	forget_program(p);
}

/* What was tested with the feature there would be a wrong verdict. */
static void hide(const char *feature)
{
	if (hide_feature(feature))
		return;
	init_note("'%s' cannot be hidden", feature);
	end_machine();
}

static void act(char **field, size_t count)
{
	const char *verb = field[0];

	if (!strcmp(verb, "shell"))
		run_shell(field + 1);
	else if (!strcmp(verb, "token") && count > 1)
		snprintf(token, sizeof(token), "%s", field[1]);
	else if (!strcmp(verb, "module") && count > 1)
		load_module(field[1]);
	else if (!strcmp(verb, "port") && count > 1)
		open_port(field[1]);
	else if (!strcmp(verb, "hide") && count > 1)
		hide(field[1]);
	else if (!strcmp(verb, "copied") && count > 1)
		seal_copy(field[1]);
	else if (!strcmp(verb, "share") && count > 2)
		mount_share(field[1], field[2]);
	else if (count > 2)
		act_on_program(field, count);
	else
		init_note("'%s' in the manifest is not understood", verb);
}

static void follow_manifest(char *p, char *end)
{
	while (p < end) {
		char *field[MAX_FIELDS + 1];
		size_t count = 0;

		while (p < end && *p) {
			if (count < MAX_FIELDS)
				field[count++] = p;
			p += strlen(p) + 1;
		}
		p++;
		field[count] = NULL;
		if (count)
			act(field, count);
	}
}

static char *read_manifest(size_t *ret_size)
{
	int fd = open(GUEST_MANIFEST, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	data = calloc(1, st.st_size + 2);
	if (data && read(fd, data, st.st_size) == st.st_size)
		*ret_size = st.st_size;
	close(fd);
	return data;
}

static void on_child(int signal)
{
}

int main(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_NOCLDSTOP };
	size_t size = 0;
	char *manifest;

	if (getpid() != 1) {
		fputs("anybpf-lab-init: runs as the first process of a lab guest only\n", stderr);
		return 2;
	}
	mount_all();
	open_console();
	raise_loopback();
	sigaction(SIGCHLD, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Kernels before 5.11 charge maps and programs to this limit. */
	setrlimit(RLIMIT_MEMLOCK, &limit);
	manifest = read_manifest(&size);
	if (!manifest || !size)
		init_note("no manifest");
	else
		follow_manifest(manifest, manifest + size);
	for (size_t i = 0; i < program_count; i++)
		stop_program(&programs[i], 2000);
	send_frame(GUEST_SUCCESS, 0, token, strlen(token));
	end_machine();
}
