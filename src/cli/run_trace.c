/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What programs say with bpf_printk(): the lines of trace_pipe that they wrote. trace_pipe's poll() waits for a half
 * full buffer on many kernels, so it is read without blocking, several times a second.
 */
#include <fcntl.h>
#include <unistd.h>
#include "run.h"

#define LINE_LIMIT 4096

int run_open_trace(struct run *run, struct ab_error *err)
{
	static const char *const paths[] = { "/sys/kernel/tracing/trace_pipe", "/sys/kernel/debug/tracing/trace_pipe" };
	char buf[4096];
	int fd = -1;

	if (!run->opts->trace)
		return 0;
	for (size_t i = 0; fd < 0 && i < ARRAY_SIZE(paths); i++)
		fd = open(paths[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "option '--trace': there is no %s: "
			       "mount it with 'mount -t tracefs nodev /sys/kernel/tracing'", paths[0]);
	if (fd < 0)
		return ab_fail_errno(err, -errno, "option '--trace': %s", paths[0]);
	/* What stands there from before is nobody's of this run; a busy writer must not hold us here. */
	for (int i = 0; i < 4096 && read(fd, buf, sizeof(buf)) > 0; i++)
		;
	run->trace_fd = fd;
	return 0;
}

static void print_line(struct run *run, const char *line, size_t n)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!memmem(line, n, "bpf_trace_printk:", 17))
		return;
	if (!run->cli->json) {
		out_safe(&run->cli->out, line, n);
		out_puts(&run->cli->out, "\n");
		run->rows++;
		return;
	}
	json_open(&j, '{');
	json_member_str(&j, "type", "trace");
	json_key(&j, "line");
	json_strn(&j, line, n);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static void print_lines(struct run *run)
{
	struct text *t = &run->trace_line;
	char *p = t->p, *end = t->p + t->n, *newline;

	while (p < end && (newline = memchr(p, '\n', end - p))) {
		print_line(run, p, newline - p);
		p = newline + 1;
	}
	if (end - p > LINE_LIMIT)
		p = end;
	memmove(t->p, p, end - p);
	t->n = end - p;
}

int run_read_trace(struct run *run, struct ab_error *err)
{
	char buf[16384];
	ssize_t n;

	for (int i = 0; run->trace_fd >= 0 && i < 64; i++) {
		n = read(run->trace_fd, buf, sizeof(buf));
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return ab_fail_errno(err, -errno, "trace_pipe");
		if (n <= 0)
			return 0;
		text_add(&run->trace_line, buf, n);
		print_lines(run);
	}
	return 0;
}
