/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * From attached programs to the end of the run: one epoll loop over events, signals and standard output's reader, with
 * the duration and the interval as its timeouts; then everything is detached, drained, printed and summed up.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "run.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- signals: the first asks for the end, the second ends at once ---- */

static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	int saved = errno;

	if (interrupted)
		_exit(128 + signal);
	interrupted = 1;
	if (write(signal_pipe[1], "", 1) < 0)
		interrupted = 1;
	errno = saved;
}

int run_catch_signals(struct ab_error *err)
{
	struct sigaction action = { .sa_handler = on_signal }, before;

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return ab_fail_errno(err, -errno, "pipe");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* A terminal that goes away ends the run, too, unless nohup(1) said otherwise. */
	if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	return 0;
}

bool run_interrupted(void)
{
	return interrupted;
}

/* ---- messages that are both talk and JSON lines ---- */

void run_warn(struct run *run, const char *fmt, ...)
{
	_text_ struct text t = {};
	struct json j = { &t };
	char msg[1024];
	va_list args;
	size_t n;

	va_start(args, fmt);
	vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	n = strlen(msg);
	while (n && msg[n - 1] == '\n')
		msg[--n] = '\0';
	if (!run->cli->quiet)
		cli_say("warning", "%s", msg);
	if (!run->cli->json)
		return;
	json_open(&j, '{');
	json_member_str(&j, "type", "warning");
	json_key(&j, "message");
	json_strn(&j, msg, n);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static const char *state_word(enum ab_program_state state)
{
	static const char *const words[] = {
		[AB_PROGRAM_OPEN] = "open", [AB_PROGRAM_LOADED] = "loaded",
		[AB_PROGRAM_ATTACHED] = "attached", [AB_PROGRAM_SKIPPED] = "skipped",
		[AB_PROGRAM_FAILED] = "failed",
	};

	return words[state];
}

/* For programs that wait for it: what happens from now on is seen. */
static int print_attached(struct run *run, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "type", "attached");
	json_member_uint(&j, "programs", run->attached);
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

static void say_attached(struct run *run)
{
	_text_ struct text t = {};

	if (run->cli->quiet || run_interrupted())
		return;
	text_printf(&t, "attached %zu program%s", run->attached, run->attached == 1 ? "" : "s");
	if (run->opts->duration)
		text_printf(&t, "; ends in %.10g s or with Ctrl-C", run->opts->duration / 1e9);
	else
		text_puts(&t, "; Ctrl-C to end");
	for (size_t i = 0; run->cli->verbose && i < ab_object_program_count(run->object); i++) {
		const struct ab_program *program = ab_object_program(run->object, i);

		cli_say(NULL, "program '%s' (%s): %s", ab_program_name(program), ab_program_section(program),
			state_word(ab_program_state(program)));
	}
	if (t.p)
		cli_say(NULL, "%s", t.p);
}

/* ---- iterators ---- */

static int take_text(const char *text, size_t size, void *ctx)
{
	text_add(ctx, text, size);
	return ((struct text *)ctx)->failed ? -ENOMEM : 0;
}

static int print_iterator(struct run *run, struct ab_program *program, struct ab_error *err)
{
	_text_ struct text text = {}, t = {};
	struct json j = { &t };
	int r = ab_program_iterate(program, take_text, &text, err);

	if (r < 0)
		return r;
	if (!run->cli->json) {
		out_safe(&run->cli->out, text.p, text.n);
		return 0;
	}
	json_open(&j, '{');
	json_member_str(&j, "type", "iter");
	json_member_str(&j, "program", ab_program_name(program));
	json_key(&j, "text");
	json_strn(&j, text.p ? text.p : "", text.n);
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

static int print_iterators(struct run *run, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && run->iterators && i < ab_object_program_count(run->object); i++) {
		struct ab_program *program = ab_object_program(run->object, i);

		if (ab_program_is_iterator(program) && ab_program_state(program) == AB_PROGRAM_ATTACHED)
			r = print_iterator(run, program, err);
	}
	return r < 0 ? r : 0;
}

/* ---- the loop ---- */

#define REPORT_NS 500000000

struct clockwork {
	uint64_t deadline, next_print; /* 0: none */
	uint64_t next_report;
	int epoll_fd;
};

static int open_epoll(struct run *run, struct clockwork *c, struct ab_error *err)
{
	struct epoll_event event = { .events = EPOLLIN };

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll_fd < 0)
		return ab_fail_errno(err, -errno, "epoll");
	event.data.fd = signal_pipe[0];
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, signal_pipe[0], &event) < 0)
		return ab_fail_errno(err, -errno, "epoll");
	if (run->events) {
		event.data.fd = ab_events_fd(run->events);
		if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
			return ab_fail_errno(err, -errno, "epoll");
	}
	/* A pipe whose reader went away is told even when nothing is written; files cannot be watched and need not be.
	 */
	event.events = 0;
	event.data.fd = STDOUT_FILENO;
	epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, STDOUT_FILENO, &event);
	return 0;
}

static int wait_ms(const struct run *run, const struct clockwork *c, uint64_t now)
{
	uint64_t until = UINT64_MAX;
	uint64_t ms;

	if (c->deadline)
		until = c->deadline;
	if (c->next_print)
		until = MIN(until, c->next_print);
	if (run->trace_fd >= 0)
		until = MIN(until, now + 50000000);
	/* Losses are counted without waking anybody, and processes end without being named. */
	if (run->channel_count || run->has_stacks)
		until = MIN(until, now + REPORT_NS);
	if (until == UINT64_MAX)
		return -1;
	if (until <= now)
		return 0;
	ms = (until - now + 999999) / 1000000;
	return ms > 60000 ? 60000 : (int)ms;
}

/* When a poll has to come back even though events keep coming. */
static uint64_t break_time(const struct clockwork *c, uint64_t now)
{
	uint64_t until = now + 100000000;

	if (c->deadline)
		until = MIN(until, c->deadline);
	return c->next_print ? MIN(until, c->next_print) : until;
}

static int print_all(struct run *run, bool clear, struct ab_error *err)
{
	char text[16];
	time_t now = time(NULL);
	struct tm tm;
	int r;

	if (!run->cli->json && run->opts->interval && !run->ending && run_shows_maps(run)) {
		strftime(text, sizeof(text), "%H:%M:%S", localtime_r(&now, &tm));
		out_printf(&run->cli->out, "%s\n", text);
	}
	r = print_iterators(run, err);
	if (r >= 0)
		r = run_print_maps(run, clear, err);
	run_repeat_headings(run);
	return r;
}

/*
 * Output waits in the buffer while more comes in at once, and at most 100 ms; terminals get theirs after each poll.
 * Returns whether something is ready.
 */
static int wait_for_work(struct run *run, struct clockwork *c, uint64_t *flushed, struct ab_error *err)
{
	struct out *out = &run->cli->out;
	struct epoll_event event[4];
	uint64_t now = now_ns();
	int n = 0;

	if (out->n && !out->tty && now - *flushed < 100000000)
		n = epoll_wait(c->epoll_fd, event, ARRAY_SIZE(event), 0);
	if (n == 0) {
		out_flush(out);
		*flushed = now;
		n = out->error ? 0 : epoll_wait(c->epoll_fd, event, ARRAY_SIZE(event), wait_ms(run, c, now));
	}
	if (n < 0 && errno != EINTR)
		return ab_fail_errno(err, -errno, "epoll");
	for (int i = 0; i < n; i++)
		if (event[i].data.fd == STDOUT_FILENO)
			out->error = out->error ? out->error : -EPIPE;
	return 0;
}

static int run_until_end(struct run *run, struct clockwork *c, struct ab_error *err)
{
	struct out *out = &run->cli->out;
	uint64_t flushed = 0, now;
	int r = 0;

	while (r >= 0 && !run->done && !run_interrupted() && !out->error) {
		r = wait_for_work(run, c, &flushed, err);
		run->break_ns = break_time(c, now_ns());
		if (r >= 0 && run->events)
			r = run_poll_events(run, err);
		if (r >= 0)
			r = run_read_trace(run, err);
		now = now_ns();
		if (c->deadline && now >= c->deadline)
			break;
		if (now >= c->next_report) {
			run_report_lost(run);
			run_remember_stacks(run);
			out_measure(out);
			c->next_report = now + REPORT_NS;
		}
		if (r >= 0 && c->next_print && now >= c->next_print) {
			r = print_all(run, run->opts->clear, err);
			c->next_print += run->opts->interval * ((now - c->next_print) / run->opts->interval + 1);
		}
	}
	return r;
}

/* ---- the end ---- */

/* Asked before the programs are detached: afterwards none is attached. */
static void add_programs(const struct run *run, struct json *j)
{
	json_open(j, '[');
	for (size_t i = 0; i < ab_object_program_count(run->object); i++) {
		const struct ab_program *program = ab_object_program(run->object, i);

		json_open(j, '{');
		json_member_str(j, "name", ab_program_name(program));
		json_member_str(j, "section", ab_program_section(program));
		json_member_str(j, "state", state_word(ab_program_state(program)));
		json_member_str(j, "reason", ab_program_reason(program));
		json_close(j, '}');
	}
	json_close(j, ']');
}

void run_print_failed(struct run *run)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!run->cli->json)
		return;
	json_open(&j, '{');
	json_member_str(&j, "type", "failed");
	json_key(&j, "programs");
	add_programs(run, &j);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static int print_summary_json(struct run *run, const struct text *programs, uint64_t duration, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "type", "summary");
	json_member_uint(&j, "events", run->event_count);
	json_member_uint(&j, "lost", run->lost_count);
	json_member_uint(&j, "duration_ns", duration);
	json_key(&j, "programs");
	json_raw(&j, programs->p ? programs->p : "[]", programs->p ? programs->n : 2);
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

/* The reason mostly begins with the program's name, which stands in this line already. */
static void say_skipped(const struct ab_program *program)
{
	const char *reason = ab_program_reason(program), *name = ab_program_name(program);
	char prefix[256];

	snprintf(prefix, sizeof(prefix), "program '%s' ", name);
	if (str_starts(reason, prefix))
		reason += strlen(prefix);
	cli_say(NULL, "skipped program '%s' (%s): %s", name, ab_program_section(program), reason);
}

static void say_summary(struct run *run, uint64_t duration)
{
	_text_ struct text t = {};

	if (run->channel_count) {
		text_printf(&t, "%llu event%s, %llu lost in %.1f s", (unsigned long long)run->event_count,
			    run->event_count == 1 ? "" : "s", (unsigned long long)run->lost_count, duration / 1e9);
	} else if (run->attached) {
		text_printf(&t, "ended after %.1f s", duration / 1e9);
	}
	if (t.p)
		cli_say(NULL, "%s", t.p);
	for (size_t i = 0; i < ab_object_program_count(run->object); i++) {
		const struct ab_program *program = ab_object_program(run->object, i);

		if (ab_program_state(program) == AB_PROGRAM_SKIPPED)
			say_skipped(program);
	}
}

/* Iterators run while they are attached; what events and maps hold stays readable after the programs are gone. */
static int print_last(struct run *run, struct ab_error *err)
{
	int r;

	run->ending = true;
	r = print_iterators(run, err);
	ab_object_detach(run->object);
	if (r >= 0 && run->events && !run->done)
		r = run_poll_events(run, err);
	/* Closing the reader tells of the last losses, which belong before the summary. */
	ab_events_close(run->events);
	run->events = NULL;
	if (r >= 0)
		r = run_read_trace(run, err);
	if (r >= 0)
		r = run_print_maps(run, false, err);
	if (r >= 0 && run_wants_flame(run))
		r = run_write_flame(run, err);
	return r;
}

static int finish(struct run *run, struct ab_error *err)
{
	_text_ struct text programs = {};
	struct json j = { &programs };
	uint64_t duration = now_ns() - run->started_ns;
	int r;

	if (run->cli->out.error && !run_wants_flame(run)) /* which goes to a file */
		return 0;
	/* The terminal shows ^C where the cursor was. */
	if (run_interrupted() && isatty(STDERR_FILENO))
		fd_write_all(STDERR_FILENO, "\n", 1);
	add_programs(run, &j);
	r = print_last(run, err);
	run_report_lost(run);
	if (r >= 0 && run->cli->json && !run->cli->out.error)
		r = print_summary_json(run, &programs, duration, err);
	if (out_flush(&run->cli->out) == 0 && r >= 0 && !run->cli->json && !run->cli->quiet)
		say_summary(run, duration);
	return r;
}

int run_loop(struct run *run, struct ab_error *err)
{
	struct clockwork c = { .epoll_fd = -1 };
	int r = open_epoll(run, &c, err);

	run->started_ns = now_ns();
	run->has_stacks = run_has_stacks(run);
	if (run->opts->duration)
		c.deadline = run->started_ns + run->opts->duration;
	if (run->opts->interval)
		c.next_print = run->started_ns + run->opts->interval;
	/* A run of nothing but iterators is over when they were printed, unless it shall repeat. */
	if (r == 0 && run->iterators && !run->attached && !run->opts->interval)
		run->done = true;
	else if (r == 0 && run->cli->json)
		r = print_attached(run, err);
	if (r == 0 && !run->done)
		say_attached(run);
	if (r == 0)
		r = run_until_end(run, &c, err);
	if (r == 0)
		r = finish(run, err);
	ab__close(&c.epoll_fd);
	return r;
}
