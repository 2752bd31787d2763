/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Running programs (apt, busybox, gpgv, pahole), with their output collected. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packages.h"

#define OUTPUT_LIMIT (16u << 20)

int ab_command_find(const char *name, char **ret_path, struct ab_error *err)
{
	const char *path = getenv("PATH");
	struct stat st;

	if (strchr(name, '/'))
		path = "";
	for (path = path ? path : "/usr/bin:/bin"; ; path++) {
		_text_ struct text t = {};
		size_t n = strcspn(path, ":");

		text_printf(&t, "%.*s%s%s", (int)n, path, n ? "/" : "", name);
		if (t.p && stat(t.p, &st) == 0 && S_ISREG(st.st_mode) && access(t.p, X_OK) == 0) {
			*ret_path = text_take(&t);
			return *ret_path ? 0 : ab_fail_memory(err);
		}
		path += n;
		if (!*path)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "program '%s' was not found", name);
	}
}

void ab_command_bind(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
}

__attribute__((noreturn)) static void exec_command(const char *path, const char *const *argv, const struct command_opts *opts,
						   int out, int err, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	ab_command_bind(parent);
	signal(SIGPIPE, SIG_DFL);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	for (const char *const *e = opts ? opts->env : NULL; e && *e; e++)
		putenv((char *)*e);
	execv(path, (char *const *)argv);
	_exit(127);
}

/* Reads what is there; at the end of the pipe it is closed. What is beyond the limit is read and dropped. */
static void take_output(int *fd, struct text *text)
{
	char data[65536];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n > 0) {
		if (text->n < OUTPUT_LIMIT)
			text_add(text, data, n);
	} else if (n == 0 || errno != EINTR) {
		ab__close(fd);
		*fd = -1;
	}
}

static void collect(int out, int err, struct text *out_text, struct text *err_text, const struct command_opts *opts)
{
	while (out >= 0 || err >= 0) {
		struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };

		if (poll(fds, 2, opts && opts->tick ? 100 : -1) == 0) {
			opts->tick(opts->ctx);
			continue;
		}
		if (fds[0].revents)
			take_output(&out, out_text);
		if (fds[1].revents)
			take_output(&err, err_text);
	}
}

static int wait_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int ab_command_run(const char *const *argv, const struct command_opts *opts, char **ret_out, char **ret_err,
		   struct ab_error *err)
{
	_text_ struct text out_text = {}, err_text = {};
	_free_ char *path = NULL;
	int out[2], errs[2], status, r = ab_command_find(argv[0], &path, err);
	pid_t pid, parent = getpid();

	if (r < 0)
		return r;
	if (pipe2(out, O_CLOEXEC) < 0)
		return ab_fail_errno(err, -errno, "pipe");
	if (pipe2(errs, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return ab_fail_errno(err, -errno, "pipe");
	}
	pid = fork();
	if (pid == 0)
		exec_command(path, argv, opts, out[1], errs[1], parent);
	close(out[1]);
	close(errs[1]);
	if (pid < 0) {
		close(out[0]);
		close(errs[0]);
		return ab_fail_errno(err, -errno, "fork");
	}
	collect(out[0], errs[0], &out_text, &err_text, opts);
	status = wait_status(pid);
	if (out_text.failed || err_text.failed)
		return ab_fail_memory(err);
	if (ret_out)
		*ret_out = text_take(&out_text);
	if (ret_err)
		*ret_err = text_take(&err_text);
	return status;
}
