/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpf-cc: the compiler process behind a builder. Speaks build/protocol.h on its standard input, a stream socket.
 *
 *	anybpf-cc serve   stays; compiles one small program first, so that all of clang is in memory and set up, then
 *	                  each job in a forked child, which is made ahead: a crash, a leak or a loop costs that job only
 *	anybpf-cc confine the same, but no job can do any harm (confine.h); says so before it takes jobs
 *	anybpf-cc once    compiles one job in this process and ends
 *	anybpf-cc version
 *
 * Arguments after the first are what a job's own will most likely begin with: what they say is done before there is one.
 */
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "build/protocol.h"
#include "confine.h"
#include "shim.h"

enum { CHANNEL = 0, DEFAULT_TIMEOUT_MS = 60000, MEMORY_LIMIT_MB = 4096, CONFINED_MEMORY_LIMIT_MB = 1024,
       CONFINED_ANSWER_LIMIT = 32 << 20 };

static const char *const fixed_args[] = {
#include "cc/args.inc"
};

static const char warm_source[] =
#include "cc/warm.inc"
	;

static char *heap_start;
static bool is_confined;

static char clang_headers[4096];
const char *const cc_header_dirs[] = { "/usr/include", clang_headers, NULL };

/* ---- a request, taken apart; what it points to lives until the process ends ---- */

struct request {
	const char **args;
	struct cc_source *files;
	size_t arg_count, file_count;
	char *cwd;
	uint32_t timeout_ms;
};

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

struct answer {
	struct text text;
	volatile bool *leaving; /* if not NULL: set when it begins to leave */
};

static void put_field(void *ctx, uint32_t tag, const void *data, size_t size)
{
	cc_add(&((struct answer *)ctx)->text, tag, data, size);
}

static int send_status(uint32_t status)
{
	_text_ struct text reply = {};
	int r;

	cc_begin(&reply);
	cc_add(&reply, CC_STATUS, &status, sizeof(status));
	r = cc_end(&reply);
	return r ? r : cc_send(CHANNEL, -1, &reply);
}

static int send_hello(uint32_t tag, const char *said)
{
	_text_ struct text hello = {};
	int n;

	cc_begin(&hello);
	cc_add(&hello, tag, said, strlen(said));
	n = cc_end(&hello);
	return n ? n : cc_send(CHANNEL, -1, &hello);
}

static void limit_job(const struct request *r)
{
	rlim_t bytes = (rlim_t)(is_confined ? CONFINED_MEMORY_LIMIT_MB : MEMORY_LIMIT_MB) << 20;
	struct rlimit none = { 0, 0 }, memory = { bytes, bytes };
	struct rlimit time = { r->timeout_ms / 1000 + 2, r->timeout_ms / 1000 + 2 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_CPU, &time);
	(void)setrlimit(RLIMIT_AS, &memory);
}

static int send_answer(struct answer *a, uint32_t status)
{
	int n;

	put_field(a, CC_STATUS, &status, sizeof(status));
	n = cc_end(&a->text);
	if (n || (is_confined && a->text.n > CONFINED_ANSWER_LIMIT))
		return send_status(CC_TOO_LARGE);
	if (a->leaving)
		*a->leaving = true;
	return cc_send(CHANNEL, -1, &a->text);
}

/* The kernel takes memory back faster than clang gives it. */
static void answer_and_exit(void *ctx)
{
	_exit(send_answer(ctx, CC_OK) ? 1 : 0);
}

/* Compiles and answers, and most likely does not return; `leaving`, if not NULL, is set when the answer begins to leave. */
static int do_job(const struct request *r, volatile bool *leaving)
{
	struct answer a = { .leaving = leaving };
	struct cc_job job = { .args = r->args, .arg_count = r->arg_count, .files = r->files, .file_count = r->file_count,
			      .put = put_field, .done = answer_and_exit, .ctx = &a,
			      .only_dirs = is_confined ? cc_header_dirs : NULL };
	bool ok;
	int n;

	limit_job(r);
	if (r->cwd && chdir(r->cwd) < 0)
		(void)0; /* relative includes will be reported as not found, by name */
	cc_begin(&a.text);
	ok = cc_compile(&job);
	n = send_answer(&a, ok ? CC_OK : CC_ERRORS);
	text_clear(&a.text);
	return n;
}

static int receive_job(struct request *r, char **ret_body)
{
	size_t size;
	int n = cc_receive(CHANNEL, -1, ret_body, &size);

	return n ? n : parse_request(r, *ret_body, size);
}

/* ---- memory that a new child will need, touched before its job comes ---- */

enum { PAGE = 4096, AROUND = 64 << 10 /* what one fault maps of a file, aligned */, HEAP_AHEAD = 8 << 20 };

struct range {
	char *from, *to;
};

static char *touched[1 << 14];     /* an address in each part of the files' memory that the first compile used */
static struct range written[64];   /* data of program and libraries */
static size_t touched_count, written_count;

/* Remembers which parts of a file's memory are in use: their pages are not inherited, unlike the heap's. */
static void find_used(FILE *map, char *from, char *to)
{
	uint64_t pages[AROUND / PAGE];

	for (char *p = (char *)((uintptr_t)from & -AROUND); p < to && touched_count < ARRAY_SIZE(touched); p += AROUND) {
		size_t n = fseeko(map, (uintptr_t)p / PAGE * sizeof(*pages), SEEK_SET) ?
				   0 : fread(pages, sizeof(*pages), ARRAY_SIZE(pages), map);

		for (size_t i = 0; i < n; i++)
			if (pages[i] >> 63 && p + i * PAGE >= from && p + i * PAGE < to) {
				touched[touched_count++] = p + i * PAGE;
				break;
			}
	}
}

static int find_segments(struct dl_phdr_info *info, size_t size, void *map)
{
	uintptr_t constant = 0; /* where the part that is constant once it is relocated ends: at the front of the data */

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
			constant = (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz) & -PAGE;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + h->p_vaddr) & -PAGE, to = info->dlpi_addr + h->p_vaddr + h->p_memsz;

		if (h->p_type != PT_LOAD)
			continue;
		if (!(h->p_flags & PF_W))
			find_used(map, (char *)from, (char *)to);
		else if (written_count < ARRAY_SIZE(written))
			written[written_count++] = (struct range){ (char *)MAX(from, constant),
								   (char *)((to + PAGE - 1) & -PAGE) };
	}
	return 0;
}

static void plan_touching(void)
{
	FILE *map = fopen("/proc/self/pagemap", "re");
	void *volatile room = malloc(HEAP_AHEAD);

	free(room); /* the heap has grown, and keeps it */
	if (!map)
		return;
	dl_iterate_phdr(find_segments, map);
	fclose(map);
}

static void touch_memory(void)
{
	for (size_t i = 0; i < touched_count; i++)
		(void)*(volatile char *)touched[i];
	/* Data and heap are shared with the parent until they are written: have them copied now. */
#ifdef MADV_POPULATE_WRITE
	for (size_t i = 0; i < written_count; i++)
		(void)madvise(written[i].from, written[i].to - written[i].from, MADV_POPULATE_WRITE);
	(void)madvise(heap_start, (char *)sbrk(0) - heap_start, MADV_POPULATE_WRITE);
#endif
}

/* ---- serving: a child per job, made before the job comes ---- */

struct child {
	pid_t pid;       /* 0: none */
	int pipe;        /* a byte when its job has come; ends with the process */
	struct shared *shared;
	int64_t deadline;
};

/* What a child tells its parent by memory that both have. */
struct shared {
	volatile uint32_t timeout_ms;
	volatile bool answering, client_gone;
};

static void run_child(struct shared *shared, int out)
{
	_free_ char *body = NULL;
	struct request r = {};
	int n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	touch_memory();
	n = receive_job(&r, &body);
	if (n == -EPIPE) {
		shared->client_gone = true;
		_exit(0);
	}
	shared->timeout_ms = r.timeout_ms;
	if (write(out, "j", 1) != 1)
		_exit(1);
	_exit((n ? send_status(CC_BAD_REQUEST) : do_job(&r, &shared->answering)) ? 1 : 0);
}

static int make_child(struct child *c, struct shared *shared)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*shared = (struct shared){};
	*c = (struct child){ .pipe = ends[0], .shared = shared, .deadline = -1 };
	c->pid = fork();
	if (c->pid == 0) {
		close(ends[0]);
		run_child(shared, ends[1]);
	}
	close(ends[1]);
	if (c->pid > 0)
		return 0;
	close(ends[0]);
	c->pid = 0;
	return -EAGAIN;
}

static bool ran_out_of_memory(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == CC_EXIT_MEMORY;
}

/* Waits for a child to end, or makes it end; answers in its place if it could not. */
static int end_child(struct child *c, bool by_force, uint32_t status_if_dead)
{
	int status = 0;

	if (!c->pid)
		return 0;
	if (by_force)
		(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(c->pipe);
	c->pid = 0;
	if (c->shared->client_gone)
		return -EPIPE;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (c->shared->answering)
		return -EPIPE; /* half an answer is out: the client can only hear the stream end */
	return send_status(ran_out_of_memory(status) ? CC_TOO_LARGE : status_if_dead);
}

/* The spare child has got a job, so it is the running one now, and the next spare is made while it works. */
static int start_job(struct child *spare, struct child *running)
{
	struct shared *unused;
	char byte;
	int r;

	if (read(spare->pipe, &byte, 1) != 1)
		return end_child(spare, false, CC_CRASHED); /* it died while it waited: at the end of the stream, mostly */
	/* The client sends a job when it has the answer to the last, so this one is about to exit. */
	r = end_child(running, false, CC_CRASHED);
	if (r)
		return r;
	unused = running->shared;
	*running = *spare;
	running->deadline = cc_now() + running->shared->timeout_ms;
	return make_child(spare, unused);
}

static int supervise(struct child *spare, struct child *running)
{
	int r = make_child(spare, spare->shared);

	while (!r) {
		struct pollfd p[] = { { .fd = spare->pipe, .events = POLLIN }, { .fd = CHANNEL, .events = POLLRDHUP },
				      { .fd = running->pid ? running->pipe : -1, .events = POLLIN } };
		int64_t left = running->pid ? MAX(running->deadline - cc_now(), 0) : -1;

		if (poll(p, ARRAY_SIZE(p), MIN(left, INT32_MAX)) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -EPIPE;
		if (p[2].revents)
			r = end_child(running, false, CC_CRASHED);
		else if (running->pid && cc_now() >= running->deadline)
			r = end_child(running, true, CC_TIMED_OUT);
		else if (p[0].revents)
			r = start_job(spare, running);
		if (!r && !spare->pid)
			r = make_child(spare, spare->shared);
	}
	return r;
}

/* ---- serving strangers: a child has a socket of its own, sees one job, and is killed before its answer goes on ---- */

struct confined {
	pid_t pid;
	int fd;
};

static void run_confined(int fd)
{
	_free_ char *body = NULL;
	struct request r = {};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, CHANNEL) < 0 || syscall(SYS_close_range, 3, ~0U, 0) < 0)
		_exit(1);
	touch_memory();
	if (!cc_confine_self())
		_exit(1);
	_exit((receive_job(&r, &body) ? send_status(CC_BAD_REQUEST) : do_job(&r, NULL)) ? 1 : 0);
}

static int make_confined(struct confined *c)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	c->pid = cc_confined_fork();
	if (c->pid == 0)
		run_confined(ends[1]);
	close(ends[1]);
	c->fd = ends[0];
	if (c->pid > 0)
		return 0;
	close(c->fd);
	return -EAGAIN;
}

/* It runs no more and nobody listens to it any more; that its memory is gone takes longer. */
static void kill_confined(const struct confined *c)
{
	(void)kill(c->pid, SIGKILL);
	close(c->fd);
}

/* Waits for a killed child, if there is one. */
static int bury(pid_t *pid)
{
	int status = 0;

	while (*pid && waitpid(*pid, &status, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
	return status;
}

/* A message as it is passed on, in memory that children do not get: the next one must not see the last one's job. */
struct passing {
	char *body;
	size_t size;
};

static void forget(struct passing *p)
{
	if (p->body)
		(void)munmap(p->body, p->size + 1);
}

static int take_passing(int fd, int64_t deadline, size_t limit, struct passing *ret)
{
	struct passing p;
	int r = cc_receive_size(fd, deadline, &p.size);

	if (r || p.size > limit)
		return r ? r : -EFBIG;
	p.body = mmap(NULL, p.size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p.body == MAP_FAILED)
		return -ENOMEM;
	r = madvise(p.body, p.size + 1, MADV_DONTFORK) < 0 ? -errno : cc_receive_body(fd, deadline, p.body, p.size);
	if (r)
		forget(&p);
	else
		*ret = p;
	return r;
}

static int pass_on(int fd, int64_t deadline, const struct passing *p)
{
	uint32_t head[] = { CC_MAGIC, p->size };
	int r = cc_send(fd, deadline, &(struct text){ .p = (char *)head, .n = sizeof(head) });

	return r ? r : cc_send(fd, deadline, &(struct text){ .p = p->body, .n = p->size });
}

static uint32_t find_timeout(const struct passing *p)
{
	struct cc_field f;
	size_t pos = 0;

	while (cc_next(p->body, p->size, &pos, &f) > 0)
		if (f.tag == CC_TIMEOUT && f.size == sizeof(uint32_t))
			return cc_u32(f.data);
	return DEFAULT_TIMEOUT_MS;
}

static int say_failure(int r, int status)
{
	bool too_large = r == -EFBIG || r == -ENOMEM || ran_out_of_memory(status);

	return send_status(r == -ETIMEDOUT ? CC_TIMED_OUT : too_large ? CC_TOO_LARGE : CC_CRASHED);
}

/* While one child compiles the next is made, and the last one is done with dying. */
static int serve_confined(struct confined *spare, pid_t *dying)
{
	struct confined running = *spare;
	struct passing request = {}, answer = {};
	int r = take_passing(CHANNEL, -1, CC_LIMIT, &request), made;
	int64_t deadline;

	if (r)
		return r;
	deadline = cc_now() + find_timeout(&request);
	r = pass_on(running.fd, deadline, &request);
	forget(&request);
	(void)bury(dying);
	made = make_confined(spare);
	if (!r)
		r = take_passing(running.fd, deadline, CONFINED_ANSWER_LIMIT, &answer);
	kill_confined(&running);
	*dying = running.pid;
	r = r ? say_failure(r, bury(dying)) : pass_on(CHANNEL, -1, &answer);
	forget(&answer);
	return r ? r : made;
}

/* Now that all of clang's own files are read. */
static int confine(void)
{
	struct confined spare;
	pid_t dying = 0;
	const char *problem = NULL;
	int r = cc_confine_start(&problem);

	if (r) {
		(void)send_hello(CC_PROBLEM, problem);
		return r;
	}
	r = send_hello(CC_VERSION, cc_version());
	if (!r)
		r = make_confined(&spare);
	while (!r)
		r = serve_confined(&spare, &dying);
	return r;
}

/* ---- starting ---- */

static void warm_up(void)
{
	struct answer a = {};
	static const char *const extra[] = { "-triple", "bpfel", "-target-cpu", "v1", "-main-file-name", "warm.bpf.c",
					     "-fdebug-compilation-dir=/", "-x", "c", "warm.bpf.c" };
	struct cc_source file = { "warm.bpf.c", warm_source, sizeof(warm_source) - 1 };
	const char *args[ARRAY_SIZE(fixed_args) + ARRAY_SIZE(extra)];
	struct cc_job job = { .args = args, .arg_count = ARRAY_SIZE(args), .files = &file, .file_count = 1,
			      .put = put_field, .ctx = &a };

	memcpy(args, fixed_args, sizeof(fixed_args));
	memcpy(args + ARRAY_SIZE(fixed_args), extra, sizeof(extra));
	if (!cc_compile(&job) && getenv("ANYBPF_CC_DEBUG"))
		fprintf(stderr, "%.*s\n", (int)a.text.n, a.text.p);
	text_clear(&a.text);
}

/* For a job with the arguments that are expected. */
static void prepare(char *const *expected, size_t n)
{
	const char **args = array_new(ARRAY_SIZE(fixed_args) + n, sizeof(*args));

	if (!args)
		return;
	memcpy(args, fixed_args, sizeof(fixed_args));
	memcpy(args + ARRAY_SIZE(fixed_args), expected, n * sizeof(*args));
	cc_prepare(args, ARRAY_SIZE(fixed_args) + n, is_confined ? cc_header_dirs : NULL);
}

static int compile_once(char *const *expected, size_t expected_count)
{
	_free_ char *body = NULL;
	struct request r = {};
	int n;

	prepare(expected, expected_count);
	n = receive_job(&r, &body);
	if (n == -EPIPE)
		return 0;
	n = n ? send_status(CC_BAD_REQUEST) : do_job(&r, NULL);
	_exit(n ? 1 : 0); /* the kernel takes memory back faster than free() does */
}

static int serve(char *const *expected, size_t expected_count)
{
	struct shared *shared = mmap(NULL, 2 * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct child spare = { .shared = shared }, running = { .shared = shared + 1 };
	int n;

	if (shared == MAP_FAILED)
		return -errno;
	warm_up();
	prepare(expected, expected_count);
	plan_touching();
	if (is_confined)
		return confine() == -EPIPE ? 0 : 1;
	n = supervise(&spare, &running);
	for (struct child *c = &spare; c; c = c == &spare ? &running : NULL)
		if (c->pid)
			(void)kill(c->pid, SIGKILL);
	return n == -EPIPE ? 0 : n;
}

static void find_headers(void)
{
	for (size_t i = 0; i + 1 < ARRAY_SIZE(fixed_args); i++)
		if (!strcmp(fixed_args[i], "-resource-dir"))
			snprintf(clang_headers, sizeof(clang_headers), "%s/include", fixed_args[i + 1]);
}

int main(int argc, char **argv)
{
	const char *verb = argc >= 2 ? argv[1] : "";
	int r;

	if (!strcmp(verb, "version"))
		return printf("clang %s\n", cc_version()) < 0;
	if (strcmp(verb, "serve") && strcmp(verb, "once") && strcmp(verb, "confine")) {
		fputs("usage: anybpf-cc serve|confine|once|version   (anybpf starts it)\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	/* All memory from the heap, so that it can be touched ahead, and none of it given back. */
	mallopt(M_MMAP_THRESHOLD, HEAP_AHEAD * 2);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	heap_start = (char *)(((uintptr_t)sbrk(0) + PAGE - 1) & -PAGE);
	is_confined = !strcmp(verb, "confine");
	find_headers();
	r = is_confined ? 0 : send_hello(CC_VERSION, cc_version());
	if (!r)
		r = strcmp(verb, "once") ? serve(argv + 2, argc - 2) : compile_once(argv + 2, argc - 2);
	return r ? 1 : 0;
}
