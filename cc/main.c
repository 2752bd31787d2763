/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpf-cc: the compiler process behind a builder. Speaks build/protocol.h on its standard input, a stream socket.
 *
 *	anybpf-cc serve   stays; compiles one small program first, so that all of clang is in memory and relocated, then
 *	                  each job in a forked child: a crash, a leak or a loop costs that job only
 *	anybpf-cc once    compiles one job in this process and ends
 *	anybpf-cc version
 */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "build/protocol.h"
#include "shim.h"

enum { CHANNEL = 0, DEFAULT_TIMEOUT_MS = 60000, MEMORY_LIMIT_MB = 4096 };

static const char *const fixed_args[] = {
#include "cc/args.inc"
};

static const char warm_source[] =
#include "cc/warm.inc"
	;

/* ---- a request, taken apart; everything points into the message ---- */

struct request {
	const char **args;
	struct cc_source *files;
	size_t arg_count, file_count;
	char *cwd;
	uint32_t timeout_ms;
};

static void free_request(struct request *r)
{
	for (size_t i = ARRAY_SIZE(fixed_args); i < r->arg_count; i++)
		free((char *)r->args[i]);
	free(r->args);
	free(r->files);
	free(r->cwd);
}

static int take_field(struct request *r, const struct cc_field *f)
{
	struct cc_source *s = &r->files[r->file_count];

	switch (f->tag) {
	case CC_CWD:
		free(r->cwd);
		r->cwd = strndup(f->data, f->size);
		return r->cwd ? 0 : -ENOMEM;
	case CC_ARG:
		r->args[r->arg_count] = strndup(f->data, f->size);
		return r->args[r->arg_count] ? (r->arg_count++, 0) : -ENOMEM;
	case CC_FILE:
		r->file_count++;
		return cc_file(f, &s->name, &s->text, &s->size);
	case CC_TIMEOUT:
		if (f->size != sizeof(uint32_t))
			return -EBADMSG;
		r->timeout_ms = cc_u32(f->data);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int parse_request(struct request *r, const char *body, size_t size)
{
	struct cc_field f;
	size_t pos = 0, fields = 0;
	int n;

	while ((n = cc_next(body, size, &pos, &f)) > 0)
		fields++;
	if (n < 0)
		return n;
	*r = (struct request){ .timeout_ms = DEFAULT_TIMEOUT_MS, .arg_count = ARRAY_SIZE(fixed_args) };
	r->args = array_new(fields + ARRAY_SIZE(fixed_args), sizeof(*r->args));
	r->files = array_new(fields, sizeof(*r->files));
	if (!r->args || !r->files)
		return -ENOMEM;
	memcpy(r->args, fixed_args, sizeof(fixed_args));
	pos = 0;
	n = 0;
	while (!n && cc_next(body, size, &pos, &f) > 0)
		n = take_field(r, &f);
	return n;
}

/* ---- compiling ---- */

static void put_field(void *ctx, uint32_t tag, const void *data, size_t size)
{
	cc_add(ctx, tag, data, size);
}

static void put_status(struct text *reply, uint32_t status)
{
	cc_add(reply, CC_STATUS, &status, sizeof(status));
}

static void run_job(const struct request *r, struct text *reply)
{
	struct cc_job job = { .args = r->args, .arg_count = r->arg_count, .files = r->files,
			      .file_count = r->file_count, .put = put_field, .ctx = reply };

	if (r->cwd && chdir(r->cwd) < 0)
		(void)0; /* relative includes will be reported as not found, by name */
	put_status(reply, cc_compile(&job) ? CC_OK : CC_ERRORS);
}

static int send_status(uint32_t status)
{
	_text_ struct text reply = {};
	int r;

	cc_begin(&reply);
	put_status(&reply, status);
	r = cc_end(&reply);
	return r ? r : cc_send(CHANNEL, -1, &reply);
}

static void limit_job(const struct request *r)
{
	struct rlimit none = { 0, 0 }, memory = { (rlim_t)MEMORY_LIMIT_MB << 20, (rlim_t)MEMORY_LIMIT_MB << 20 };
	struct rlimit time = { r->timeout_ms / 1000 + 2, r->timeout_ms / 1000 + 2 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_CPU, &time);
	(void)setrlimit(RLIMIT_AS, &memory);
}

/* Compiles and answers; `started`, if not NULL, is set when the answer has begun to leave. */
static int do_job(const struct request *r, volatile bool *started)
{
	_text_ struct text reply = {};
	int n;

	limit_job(r);
	cc_begin(&reply);
	run_job(r, &reply);
	n = cc_end(&reply);
	if (n)
		return send_status(CC_CRASHED);
	if (started)
		*started = true;
	return cc_send(CHANNEL, -1, &reply);
}

/* ---- serving: a child per job ---- */

/*
 * Waits until the job's pipe closes, which it does when the child is gone, or until time is up or our own client has
 * hung up; then no child is left.
 */
static bool wait_job(pid_t child, int ended, const struct request *r, int *ret_status)
{
	struct pollfd p[2] = { { .fd = ended, .events = POLLIN }, { .fd = CHANNEL, .events = POLLRDHUP } };
	int64_t deadline = cc_now() + r->timeout_ms;
	bool timed_out = false;

	while (!p[0].revents) {
		int64_t left = deadline - cc_now();

		if (left <= 0 || p[1].revents) {
			timed_out = true;
			break;
		}
		if (poll(p, 2, MIN(left, INT32_MAX)) < 0 && errno != EINTR)
			break;
	}
	if (!p[0].revents)
		(void)kill(child, SIGKILL);
	while (waitpid(child, ret_status, 0) < 0 && errno == EINTR)
		;
	return timed_out;
}

static int serve_job(const struct request *r, volatile bool *started)
{
	int ended[2], status = 0;
	bool timed_out;
	pid_t child;

	if (pipe(ended) < 0)
		return -errno;
	*started = false;
	child = fork();
	if (child < 0) {
		close(ended[0]);
		close(ended[1]);
		return send_status(CC_CRASHED);
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ended[0]);
		_exit(do_job(r, started) ? 1 : 0);
	}
	close(ended[1]);
	timed_out = wait_job(child, ended[0], r, &status);
	close(ended[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (*started)
		return -EPIPE; /* half an answer is out: the client can only hear the stream end */
	return send_status(timed_out ? CC_TIMED_OUT : CC_CRASHED);
}

static void warm_up(void)
{
	_text_ struct text reply = {};
	static const char *const extra[] = { "-triple", "bpfel", "-target-cpu", "v1", "-main-file-name", "warm.bpf.c",
					     "-fdebug-compilation-dir=/", "-x", "c", "warm.bpf.c" };
	struct cc_source file = { "warm.bpf.c", warm_source, sizeof(warm_source) - 1 };
	const char *args[ARRAY_SIZE(fixed_args) + ARRAY_SIZE(extra)];
	struct cc_job job = { .args = args, .arg_count = ARRAY_SIZE(args), .files = &file, .file_count = 1,
			      .put = put_field, .ctx = &reply };

	memcpy(args, fixed_args, sizeof(fixed_args));
	memcpy(args + ARRAY_SIZE(fixed_args), extra, sizeof(extra));
	if (!cc_compile(&job) && getenv("ANYBPF_CC_DEBUG"))
		fprintf(stderr, "%.*s\n", (int)reply.n, reply.p);
}

static int serve(bool once)
{
	volatile bool *started = mmap(NULL, sizeof(*started), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int n = 0;

	if (started == MAP_FAILED)
		return -errno;
	if (!once)
		warm_up();
	while (!n) {
		_free_ char *body = NULL;
		struct request r = {};
		size_t size;

		n = cc_receive(CHANNEL, -1, &body, &size);
		if (n)
			break;
		n = parse_request(&r, body, size);
		if (n)
			n = send_status(CC_BAD_REQUEST);
		else
			n = once ? do_job(&r, NULL) : serve_job(&r, started);
		if (once)
			_exit(n ? 1 : 0); /* the kernel takes memory back faster than free() does */
		free_request(&r);
	}
	return n == -EPIPE ? 0 : n;
}

static int send_hello(void)
{
	_text_ struct text hello = {};
	int n;

	cc_begin(&hello);
	cc_add(&hello, CC_VERSION, cc_version(), strlen(cc_version()));
	n = cc_end(&hello);
	return n ? n : cc_send(CHANNEL, -1, &hello);
}

int main(int argc, char **argv)
{
	const char *verb = argc == 2 ? argv[1] : "";
	int r;

	if (!strcmp(verb, "version"))
		return printf("clang %s\n", cc_version()) < 0;
	if (strcmp(verb, "serve") && strcmp(verb, "once")) {
		fputs("usage: anybpf-cc serve|once|version   (anybpf starts it)\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = send_hello();
	if (!r)
		r = serve(!strcmp(verb, "once"));
	return r ? 1 : 0;
}
