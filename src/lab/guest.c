/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One guest from start to end: QEMU as a child that dies with us, its virtio port as a pipe of frames, its console in
 * memory. A guest has passed only if its last frame carries the token that was made up for this run.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "guest_protocol.h"
#include "lab.h"

#define MAX_ARGS 64
#define CONSOLE_LIMIT (4u << 20)
#define TIMEOUT_MS 60000
#define BOOT_MS 60000             /* to the first process, however long the rest may take */

struct guest {
	struct ab_lab *lab;
	const struct ab_image *image;
	const struct ab_guest_opts *opts;
	struct ab_guest_result *result;
	struct guest_said said;
	bool interactive;
	int initramfs, console, errors; /* memory files */
	int port;                       /* the pipe's reading end */
	pid_t pid;
	uint64_t started;
	bool timed_out;
};

/* ---- QEMU's command line ---- */

struct qemu_args {
	const char *argv[MAX_ARGS];
	size_t argc;
	char text[16][768];
	size_t used;
};

static void arg(struct qemu_args *a, const char *s)
{
	if (a->argc + 1 < MAX_ARGS)
		a->argv[a->argc++] = s;
}

PRINTF_LIKE(3, 4) static void option(struct qemu_args *a, const char *name, const char *fmt, ...)
{
	va_list args;

	if (a->used == ARRAY_SIZE(a->text))
		return;
	va_start(args, fmt);
	vsnprintf(a->text[a->used], sizeof(a->text[0]), fmt, args);
	va_end(args);
	arg(a, name);
	arg(a, a->text[a->used++]);
}

/*
 * What makes Debian's kernels boot in 2 s without hardware help, each measured: an ELF kernel entered directly (no guest
 * decompression), no ACPI, no crypto self-tests, no certificates, no patching for SMP on one CPU, no mitigations, no
 * calibration loops. Without ACPI the kernel needs SeaBIOS's MP table: qboot, which is faster, has none.
 */
static void set_machine(struct qemu_args *a, const struct guest *g, const char *accelerator)
{
	bool kvm = !strcmp(accelerator, "kvm");
	unsigned cpus = OPT(g->opts, cpus) ? OPT(g->opts, cpus) : 1;
	const char *common = "panic=-1 oops=panic mitigations=off random.trust_cpu=on cryptomgr.notests nokaslr "
			     "rcupdate.rcu_expedited=1 audit=0 net.ifnames=0 "
			     "initcall_blacklist=load_system_certificate_list,jent_mod_init";

	if (!strcmp(g->lab->arch, "arm64")) {
		option(a, "-machine", "virt");
		option(a, "-cpu", kvm ? "host" : "max,pauth-impdef=on");
		option(a, "-append", "console=ttyAMA0 quiet %s", common);
	} else {
		option(a, "-machine", "pc,usb=off,vmport=off");
		option(a, "-cpu", kvm ? "host" : "max");
		option(a, "-append", "console=ttyS0 quiet reboot=t tsc=reliable no_timer_check acpi=off %s%s", common,
		       cpus > 1 ? "" : " noreplace-smp");
	}
	option(a, "-accel", "%s", accelerator);
	option(a, "-smp", "%u", cpus);
	option(a, "-m", "%uM", OPT(g->opts, memory_mb) ? OPT(g->opts, memory_mb) : 512);
}

/* QEMU takes commas in option values doubled. */
static void escape_commas(const char *s, char *buf, size_t cap)
{
	size_t n = 0;

	for (; *s && n + 2 < cap; s++) {
		buf[n++] = *s;
		if (*s == ',')
			buf[n++] = ',';
	}
	buf[n] = '\0';
}

static void make_args(struct qemu_args *a, const struct guest *g, const char *qemu, const char *accelerator, int port)
{
	char share[600];

	arg(a, qemu);
	arg(a, "-nodefaults");
	arg(a, "-no-user-config");
	arg(a, "-no-reboot");
	option(a, "-display", "none");
	set_machine(a, g, accelerator);
	option(a, "-kernel", "%s", g->image->kernel);
	option(a, "-initrd", "/proc/self/fd/%d", g->initramfs);
	if (g->interactive) {
		/* A guest that hangs has to be left somehow: by Ctrl-] and x. Ctrl-C is the guest's. */
		option(a, "-chardev", "stdio,id=console,signal=off%s", isatty(STDIN_FILENO) ? ",mux=on" : "");
		option(a, "-echr", "0x1d");
		option(a, "-serial", "chardev:console");
	} else {
		option(a, "-serial", "file:/proc/self/fd/%d", g->console);
	}
	option(a, "-chardev", "file,id=lab,path=/proc/self/fd/%d", port);
	arg(a, "-device");
	arg(a, "virtio-serial-pci");
	arg(a, "-device");
	arg(a, "virtserialport,chardev=lab,name=" GUEST_PORT);
	if (OPT(g->opts, share)) {
		escape_commas(g->opts->share, share, sizeof(share));
		option(a, "-virtfs", "local,path=%s,mount_tag=host,security_model=none,readonly=on,multidevs=remap", share);
	}
	a->argv[a->argc] = NULL;
}

/* ---- starting ---- */

__attribute__((noreturn)) static void exec_qemu(const struct guest *g, const char *qemu, const char *accelerator,
						int port, pid_t parent)
{
	static struct qemu_args args;
	int null = open("/dev/null", O_RDWR);

	ab_command_bind(parent);
	make_args(&args, g, qemu, accelerator, port);
	fcntl(g->initramfs, F_SETFD, 0);
	fcntl(g->console, F_SETFD, 0);
	fcntl(port, F_SETFD, 0);
	if (!g->interactive) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		setpgid(0, 0);
	}
	dup2(g->errors, STDERR_FILENO);
	execv(qemu, (char *const *)args.argv);
	dprintf(STDERR_FILENO, "%s: %s", qemu, strerror(errno));
	_exit(127);
}

int ab_guest_find_qemu(struct ab_lab *lab, const char *wanted, char **ret_path, struct ab_error *err)
{
	bool arm = !strcmp(lab->arch, "arm64");
	int r = ab_command_find(wanted ? wanted : arm ? "qemu-system-aarch64" : "qemu-system-x86_64", ret_path, err);

	if (r < 0)
		ab_error_prefix(err, "guests need QEMU ('apt-get install qemu-system-%s')", arm ? "arm" : "x86");
	return r;
}

static int start_qemu(struct guest *g, const char *accelerator, struct ab_error *err)
{
	_free_ char *qemu = NULL;
	int ends[2], r = ab_guest_find_qemu(g->lab, OPT(g->opts, qemu), &qemu, err);
	pid_t parent = getpid();

	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return ab_fail_errno(err, -errno, "pipe");
	g->started = ab_lab_now_ns();
	g->pid = fork();
	if (g->pid == 0)
		exec_qemu(g, qemu, accelerator, ends[1], parent);
	close(ends[1]);
	g->port = ends[0];
	return g->pid < 0 ? ab_fail_errno(err, -errno, "fork") : 0;
}

static int memory_file(const char *name, const void *data, size_t size, int *ret_fd, struct ab_error *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC), r;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "memfd");
	r = fd_write_all(fd, data, size);
	if (r < 0) {
		close(fd);
		return ab_fail_errno(err, r, "memfd");
	}
	*ret_fd = fd;
	return 0;
}

static int prepare(struct guest *g, struct ab_error *err)
{
	struct cpio cpio = {};
	unsigned char random[16];
	int r;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return ab_fail_errno(err, -errno, "getrandom");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(g->said.token + 2 * i, 3, "%02x", random[i]);
	r = ab_guest_initramfs(g->lab, g->image, g->opts, g->said.token, &cpio, err);
	if (r == 0)
		r = memory_file("initramfs", cpio.text.p, cpio.text.n, &g->initramfs, err);
	if (r == 0)
		r = memory_file("console", "", 0, &g->console, err);
	if (r == 0)
		r = memory_file("errors", "", 0, &g->errors, err);
	ab_cpio_clear(&cpio);
	return r;
}

/* ---- the wait ---- */

static unsigned limit_ms(const struct guest *g)
{
	unsigned ms = OPT(g->opts, timeout_ms) ? OPT(g->opts, timeout_ms) : g->interactive ? UINT_MAX : TIMEOUT_MS;

	return g->result->boot_ns ? ms : MIN(ms, BOOT_MS);
}

static void follow(struct guest *g)
{
	char data[65536];

	while (!g->said.garbage && !g->said.failed) {
		struct pollfd fd = { .fd = g->port, .events = POLLIN };
		uint64_t now = ab_lab_now_ns(), end = g->started + limit_ms(g) * 1000000ull;
		ssize_t n;

		if (now >= end) {
			g->timed_out = true;
			return;
		}
		if (poll(&fd, 1, (int)MIN((end - now) / 1000000 + 1, (uint64_t)INT_MAX)) <= 0)
			continue;
		n = read(g->port, data, sizeof(data));
		if (n == 0)
			return;
		if (n > 0)
			ab_said_take(&g->said, data, n);
		if (g->result->boot_ns && !g->result->ready_ns)
			g->result->ready_ns = ab_lab_now_ns() - g->started;
	}
}

static char *read_memory_file(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	off_t from = size > CONSOLE_LIMIT ? size - CONSOLE_LIMIT : 0;
	char *data = size < 0 ? NULL : calloc(1, size - from + 1);

	if (data && pread(fd, data, size - from, from) < 0)
		*data = '\0';
	/* The console may hold NULs; what follows them counts too. */
	for (off_t i = 0; data && i < size - from; i++)
		data[i] = data[i] ? data[i] : '?';
	return data;
}

/* QEMU closes the pipe a moment before it ends; one that does not end is killed. */
static int wait_qemu(pid_t pid, bool patient)
{
	uint64_t until = ab_lab_now_ns() + 3000000000ull;
	int status = 0;

	while (patient && ab_lab_now_ns() < until) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* ---- the verdict ---- */

static void judge(struct guest *g, int status, const char *errors)
{
	struct ab_guest_result *result = g->result;
	char cause[160], qemu[160];

	ab_said_last(result->console ? result->console : "", cause, sizeof(cause));
	ab_said_copy_line(qemu, sizeof(qemu), errors ? errors : "");
	if (g->timed_out && !result->boot_ns) {
		result->state = AB_GUEST_UNBOOTABLE;
		snprintf(result->reason, sizeof(result->reason), "did not boot in %.6g s%s%s",
			 limit_ms(g) / 1e3, *cause ? ": " : "", cause);
	} else if (g->timed_out) {
		result->state = AB_GUEST_TIMEOUT;
		snprintf(result->reason, sizeof(result->reason), "did not finish in %.6g s",
			 limit_ms(g) / 1e3);
	} else if (g->said.token_seen && !g->said.garbage) {
		result->state = AB_GUEST_DONE;
	} else if (g->interactive && WIFEXITED(status) && !WEXITSTATUS(status)) {
		/* Its console went to the terminal, so who sits there has seen why. */
		result->state = AB_GUEST_CRASHED;
		snprintf(result->reason, sizeof(result->reason), "the guest ended without 'exit'");
	} else if (!result->boot_ns) {
		result->state = AB_GUEST_UNBOOTABLE;
		if (WIFEXITED(status) && WEXITSTATUS(status))
			snprintf(result->reason, sizeof(result->reason), "QEMU failed: %s", qemu);
		else
			snprintf(result->reason, sizeof(result->reason), "the kernel did not reach the lab's init%s%s",
				 *cause ? ": " : "", cause);
	} else {
		result->state = AB_GUEST_CRASHED;
		snprintf(result->reason, sizeof(result->reason), "%s%s%s", g->said.garbage ? "sent garbage" : "the guest crashed",
			 *cause ? ": " : "", cause);
	}
}

static void close_guest(struct guest *g)
{
	ab_said_clear(&g->said);
	ab__close(&g->port);
	ab__close(&g->initramfs);
	ab__close(&g->console);
	ab__close(&g->errors);
}

static int run_to_end(struct guest *g, const char *accelerator, struct ab_error *err)
{
	_free_ char *errors = NULL;
	struct termios terminal;
	bool tty = g->interactive && tcgetattr(STDIN_FILENO, &terminal) == 0;
	int status, r = start_qemu(g, accelerator, err);

	if (r < 0)
		return r;
	follow(g);
	status = wait_qemu(g->pid, !g->timed_out && !g->said.garbage);
	if (tty)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal);
	g->result->total_ns = ab_lab_now_ns() - g->started;
	g->result->console = read_memory_file(g->console);
	errors = read_memory_file(g->errors);
	judge(g, status, errors);
	return ab_said_finish(&g->said, err);
}

int ab_guest_run_with(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts, const char *accelerator,
		      struct ab_guest_result *ret_result, struct ab_error *err)
{
	struct guest g = { .lab = lab, .image = image, .opts = opts, .result = ret_result, .initramfs = -1, .console = -1,
			   .errors = -1, .port = -1, .said.result = ret_result };
	int r;

	*ret_result = (struct ab_guest_result){};
	for (size_t i = 0; i < OPT(opts, step_count); i++)
		g.interactive |= opts->steps[i].kind == AB_STEP_SHELL;
	r = prepare(&g, err);
	if (r == 0)
		r = run_to_end(&g, accelerator, err);
	close_guest(&g);
	if (r < 0)
		ab_guest_result_clear(ret_result);
	return r;
}

int ab_guest_run(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts,
		 struct ab_guest_result *ret_result, struct ab_error *err)
{
	int r;

	if (image->broken)
		return ab_fail(err, AB_ERROR_IO, -EIO, "%s", image->broken);
	r = ab_guest_run_with(lab, image, opts, ab_guest_accelerator(lab, image, OPT(opts, qemu)), ret_result, err);
	ab_guest_learn(lab, image, r == 0 && ret_result->boot_ns);
	return r;
}

void ab_guest_result_clear(struct ab_guest_result *result)
{
	for (size_t i = 0; i < result->program_count; i++) {
		free(result->programs[i].out);
		free(result->programs[i].err);
	}
	free(result->programs);
	free(result->notes);
	free(result->console);
	*result = (struct ab_guest_result){};
}

const struct ab_guest_program *ab_guest_program(const struct ab_guest_result *result, int id)
{
	for (size_t i = 0; i < result->program_count; i++)
		if (result->programs[i].id == id)
			return &result->programs[i];
	return NULL;
}
