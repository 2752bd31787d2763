/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The warm worker's client: finds it, starts it, gives it jobs, and survives its death (compiler.h). */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "build/build-config.h"
#include "compiler.h"
#include "protocol.h"

/* The worker ends a job that takes too long; only if that fails too is the worker itself given up, this much later. */
enum { GRACE_MS = 5000 };

struct compiler {
	struct clang *clang; /* NULL: the worker */
	char *path;       /* of anybpf-cc */
	char *name;       /* "clang 22.1.8 (worker)"; NULL: not known yet */
	char *cgroup;     /* a directory, or NULL */
	const struct compile_request *usual; /* what the worker gets ready for */
	bool one_shot, sandbox;
	pid_t pid;        /* 0: not running */
	int fd;
	bool greeted;     /* its CC_VERSION was read */
};

extern char **environ;

/* ---- finding and starting ---- */

static char *beside_self(const char *name)
{
	char self[PATH_MAX], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	if (asprintf(&path, "%.*s%s", (int)(path_base(self) - self), self, name) < 0)
		return NULL;
	return path;
}

static char *find_worker(void)
{
	const char *env = getenv("ANYBPF_CC");
	char *path;

	if (env && *env)
		return access(env, X_OK) == 0 ? strdup(env) : NULL;
	path = beside_self("anybpf-cc");
	if (path && access(path, X_OK) == 0)
		return path;
	free(path);
	path = strdup(ANYBPF_LIBEXECDIR "/anybpf-cc");
	if (path && access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* What a worker in a sandbox is told of the environment; the rest is not for a source that takes over the compiler. */
static const char *const kept_variables[] = { "ANYBPF_CC_DEBUG=", "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=" };

static void keep_variables(char *kept[ARRAY_SIZE(kept_variables) + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept_variables); i++)
		for (char **v = environ; *v; v++)
			if (str_starts(*v, kept_variables[i])) {
				kept[n++] = *v;
				break;
			}
	kept[n] = NULL;
}

/* Before it has made another process. */
static int enter_cgroup(const struct compiler *c)
{
	char path[PATH_MAX], pid[16];
	_close_ int fd = -1;

	if (!c->cgroup)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/cgroup.procs", c->cgroup) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(pid, sizeof(pid), "%d", (int)c->pid);
	return fd < 0 ? -errno : fd_write_all(fd, pid, strlen(pid));
}

static void stop_worker(struct compiler *c, bool by_force)
{
	if (!c->pid)
		return;
	ab__close(&c->fd);
	if (by_force)
		(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
	c->fd = -1;
}

/* A request's arguments in the order in which the worker expects them; those of one source only come after these. */
static const char **list_arguments(const struct compile_request *q, size_t *ret_count)
{
	const char *first[] = { "-triple", q->triple, "-target-cpu", q->isa, "-x", "c" };
	const char **words = array_new(ARRAY_SIZE(first) + q->arg_count, sizeof(*words));

	if (!words)
		return NULL;
	memcpy(words, first, sizeof(first));
	for (size_t i = 0; i < q->arg_count; i++)
		words[ARRAY_SIZE(first) + i] = q->args[i];
	*ret_count = ARRAY_SIZE(first) + q->arg_count;
	return words;
}

static char **worker_command(const struct compiler *c)
{
	size_t n = 0;
	_free_ const char **usual = c->usual ? list_arguments(c->usual, &n) : NULL;
	char **argv = array_new(n + 3, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[0] = c->path;
	argv[1] = (char *)(c->sandbox ? "confine" : c->one_shot ? "once" : "serve");
	for (size_t i = 0; i < n; i++)
		argv[2 + i] = (char *)usual[i];
	return argv;
}

/* Runs it with one end of a socket for its standard input. */
static int spawn_worker(struct compiler *c, int channel)
{
	char *kept[ARRAY_SIZE(kept_variables) + 1];
	_free_ char **argv = worker_command(c);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	if (!argv)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, channel, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (!getenv("ANYBPF_CC_DEBUG"))
		posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	/* A process group of its own: Ctrl-C at a terminal is for us, and the worker ends when its socket closes. */
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	keep_variables(kept);
	r = posix_spawn(&c->pid, c->path, &actions, &attributes, argv, c->sandbox ? kept : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start_worker(struct compiler *c, struct ab_error *err)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return ab_fail_errno(err, -errno, "unable to talk to a compiler");
	r = spawn_worker(c, ends[1]);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		c->pid = 0;
		return ab_fail_errno(err, r, "unable to start '%s'", c->path);
	}
	c->fd = ends[0];
	c->greeted = false;
	r = enter_cgroup(c);
	if (!r)
		return 0;
	stop_worker(c, true);
	return ab_fail_errno(err, r, "unable to put '%s' into the control group '%s'", c->path, c->cgroup);
}

int ab_compiler_new(const char *clang, bool one_shot, bool sandbox, const char *cgroup, const struct compile_request *usual,
		    struct compiler **ret_compiler, struct ab_error *err)
{
	struct compiler *c = array_new(1, sizeof(*c));
	int r = 0;

	if (!c)
		return ab_fail_memory(err);
	c->fd = -1;
	c->one_shot = one_shot;
	c->sandbox = sandbox;
	c->usual = usual;
	c->path = clang ? NULL : find_worker();
	c->cgroup = cgroup ? strdup(cgroup) : NULL;
	if (cgroup && !c->cgroup)
		r = ab_fail_memory(err);
	else if (sandbox && !c->path)
		r = ab_fail(err, AB_ERROR_NO_COMPILER, -ENOENT, "only anybpf-cc compiles in a sandbox, and it is not there");
	else
		r = c->path ? start_worker(c, err) : ab_clang_new(clang, &c->clang, err);
	if (r) {
		ab_compiler_free(c);
		return r;
	}
	*ret_compiler = c;
	return 0;
}

void ab_compiler_free(struct compiler *c)
{
	if (!c)
		return;
	stop_worker(c, true);
	ab_clang_free(c->clang);
	free(c->path);
	free(c->cgroup);
	free(c->name);
	free(c);
}

/* ---- one job ---- */

/* Clang calls a file that lies beside another in no directory "./NAME". */
static void drop_dot(char *path)
{
	if (path && str_starts(path, "./"))
		memmove(path, path + 2, strlen(path + 2) + 1);
}

/* That of a stack that is too large ends in an empty line. */
static void drop_end(char *message)
{
	size_t n = strlen(message);

	while (n && isspace((unsigned char)message[n - 1]))
		message[--n] = '\0';
}

int ab_compile_result_add(struct compile_result *result, size_t index, struct ab_diagnostic d)
{
	struct ab_diagnostic *v = reallocarray(result->diagnostics, result->diagnostic_count + 1, sizeof(*v));

	if (v)
		result->diagnostics = v;
	if (!v || !d.file || !d.message) {
		free((char *)d.file);
		free((char *)d.message);
		return -ENOMEM;
	}
	drop_dot((char *)d.file);
	drop_end((char *)d.message);
	memmove(v + index + 1, v + index, (result->diagnostic_count - index) * sizeof(*v));
	v[index] = d;
	result->diagnostic_count++;
	return 0;
}

int ab_compile_result_add_input(struct compile_result *result, char *path)
{
	char **v = reallocarray(result->inputs, result->input_count + 1, sizeof(*v));

	if (v)
		result->inputs = v;
	if (!v || !path) {
		free(path);
		return -ENOMEM;
	}
	drop_dot(path);
	v[result->input_count++] = path;
	return 0;
}

static int add_diagnostic(struct compile_result *result, const struct cc_field *f)
{
	const char *file = f->data + 12;
	size_t n;

	if (f->size < 13)
		return -EBADMSG;
	n = strnlen(file, f->size - 12);
	if (n == f->size - 12)
		return -EBADMSG;
	return ab_compile_result_add(result, result->diagnostic_count,
				     (struct ab_diagnostic){ .severity = cc_u32(f->data), .line = cc_u32(f->data + 4),
							     .column = cc_u32(f->data + 8), .file = strndup(file, n),
							     .message = strndup(file + n + 1, f->size - 13 - n) });
}

/* Not the bundled headers, which lie nowhere. */
static int add_input(struct compile_result *result, const struct cc_field *f)
{
	if (f->size > strlen(BUNDLE_DIR) && !memcmp(f->data, BUNDLE_DIR "/", strlen(BUNDLE_DIR) + 1))
		return 0;
	return ab_compile_result_add_input(result, strndup(f->data, f->size));
}

static int take_reply(const char *body, size_t size, struct compile_result *result, uint32_t *ret_status)
{
	uint32_t status = CC_CRASHED;
	struct cc_field f;
	size_t pos = 0;
	int r;

	while ((r = cc_next(body, size, &pos, &f)) > 0) {
		r = 0;
		if (f.tag == CC_STATUS && f.size == sizeof(status))
			status = cc_u32(f.data);
		else if (f.tag == CC_TEXT)
			text_add(&result->log, f.data, f.size);
		else if (f.tag == CC_DIAGNOSTIC)
			r = add_diagnostic(result, &f);
		else if (f.tag == CC_INPUT)
			r = add_input(result, &f);
		else if (f.tag == CC_OBJECT && !result->object) {
			result->object = malloc(f.size + 1);
			if (!result->object)
				return -ENOMEM;
			memcpy(result->object, f.data, f.size);
			result->object_size = f.size;
		}
		if (r)
			return r;
	}
	*ret_status = status;
	return r < 0 ? r : result->log.failed ? -ENOMEM : 0;
}

static void add_arg(struct text *m, const char *arg)
{
	cc_add(m, CC_ARG, arg, strlen(arg));
}

static int build_request(const struct compiler *c, struct text *m, const struct compile_request *q)
{
	uint32_t left = MAX(q->deadline - cc_now(), 1);
	_free_ char *cwd = c->sandbox ? NULL : getcwd(NULL, 0);
	size_t n = 0;
	_free_ const char **words = list_arguments(q, &n);

	if (!words)
		return -ENOMEM;
	cc_begin(m);
	if (cwd)
		cc_add(m, CC_CWD, cwd, strlen(cwd));
	cc_add(m, CC_TIMEOUT, &left, sizeof(left));
	for (size_t i = 0; i < n; i++)
		add_arg(m, words[i]);
	add_arg(m, "-main-file-name");
	add_arg(m, path_base(q->main_name));
	add_arg(m, q->main_name);
	for (size_t i = 0; i < q->file_count; i++)
		cc_add_file(m, q->files[i].path, q->files[i].text, q->files[i].size);
	return cc_end(m);
}

static int read_hello(struct compiler *c, struct ab_error *err)
{
	_free_ char *body = NULL;
	struct cc_field f;
	size_t size, pos = 0;
	int r;

	if (c->greeted)
		return 0;
	r = cc_receive(c->fd, cc_now() + 60000, &body, &size);
	if (r)
		return r;
	if (cc_next(body, size, &pos, &f) != 1 || (f.tag != CC_VERSION && f.tag != CC_PROBLEM) || f.size > 256)
		return -EBADMSG;
	if (f.tag == CC_PROBLEM)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EPERM, "no sandbox for the compiler: %.*s", (int)f.size, f.data);
	c->greeted = true;
	if (!c->name && asprintf(&c->name, "clang %.*s (worker)", (int)f.size, f.data) < 0) {
		c->name = NULL;
		return -ENOMEM;
	}
	return 0;
}

int ab_compiler_wait(struct compiler *c, struct ab_error *err)
{
	int r = c->clang ? 0 : read_hello(c, err);

	return r ? ab_fail_errno(err, r, "no answer from '%s'", c->path) : 0;
}

const char *ab_compiler_name(struct compiler *c)
{
	if (c->clang)
		return ab_clang_name(c->clang);
	if (c->pid)
		(void)read_hello(c, NULL);
	return c->name ? c->name : "clang (worker)";
}

static int exchange(struct compiler *c, const struct compile_request *q, struct compile_result *result,
		    uint32_t *ret_status, struct ab_error *err)
{
	int64_t deadline = q->deadline + GRACE_MS;
	_text_ struct text request = {};
	_free_ char *body = NULL;
	size_t size;
	int r = build_request(c, &request, q);

	if (!r && !c->pid) {
		r = start_worker(c, err);
		if (r)
			return r;
	}
	if (!r)
		r = cc_send(c->fd, deadline, &request);
	if (!r)
		r = read_hello(c, err);
	if (!r)
		r = cc_receive(c->fd, deadline, &body, &size);
	return r ? r : take_reply(body, size, result, ret_status);
}

int ab_compiler_run(struct compiler *c, const struct compile_request *q, struct compile_result *result,
		    struct ab_error *err)
{
	uint32_t status = CC_CRASHED;
	int r;

	if (c->clang)
		return ab_clang_run(c->clang, q, result, err);
	r = exchange(c, q, result, &status, err);
	if (r || c->one_shot)
		stop_worker(c, r != 0);
	if (r == -ENOMEM)
		return ab_fail_memory(err);
	if (r == -ETIMEDOUT || (!r && status == CC_TIMED_OUT))
		return ab_fail(err, AB_ERROR_LIMIT, -ETIMEDOUT, "%s: the compiler was not done after %u ms", q->main_name,
			       q->timeout_ms);
	if (!r && status == CC_TOO_LARGE)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "%s: its compile needs more memory or makes more output than it may",
			       q->main_name);
	if (r == -EPIPE || (!r && status == CC_CRASHED))
		return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s: the compiler crashed on this source", q->main_name);
	if (!r && status == CC_BAD_REQUEST)
		r = -EBADMSG;
	if (r)
		return ab_fail_errno(err, r, "no answer from '%s'", c->path);
	result->ok = status == CC_OK && result->object;
	return 0;
}

void ab_compile_result_clear(struct compile_result *result)
{
	for (size_t i = 0; i < result->diagnostic_count; i++) {
		free((char *)result->diagnostics[i].file);
		free((char *)result->diagnostics[i].message);
	}
	free(result->diagnostics);
	for (size_t i = 0; i < result->input_count; i++)
		free(result->inputs[i]);
	free(result->inputs);
	free(result->object);
	text_clear(&result->log);
	*result = (struct compile_result){};
}
