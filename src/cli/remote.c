/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Starts anybpf-remote and reads what it writes: frames of a word, a length and bytes (src/remote/remote.h). */
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "remote.h"

enum { FRAMES_LIMIT = 512 << 20 };

const char *remote_server(const char *option)
{
	const char *env = getenv("ANYBPF_SERVER");

	if (option)
		return *option ? option : NULL;
	return env && *env ? env : NULL;
}

/* ---- the program ---- */

static int make_input(const char *text, size_t size, struct ab_error *err)
{
	int fd = text ? memfd_create("source", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && text && (fd_write_all(fd, text, size) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		ab__close(&fd);
	return fd < 0 ? ab_fail_errno(err, -errno, "anybpf-remote") : fd;
}

static int spawn(const char *const *args, int in, int out, pid_t *ret_pid, struct ab_error *err)
{
	posix_spawn_file_actions_t actions;
	char path[4200];
	int r;

	if (cli_find_program("anybpf-remote", "src/remote/", path, sizeof(path)) < 0)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
			       "this build of anybpf cannot ask servers: anybpf-remote is not beside it");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	r = posix_spawn(ret_pid, path, &actions, NULL, (char *const *)args, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r ? ab_fail_errno(err, -r, "%s", path) : 0;
}

/* All that it writes; its exit status says nothing that the frames do not. */
static int read_frames(const char *const *args, const char *text, size_t size, char **ret_frames, size_t *ret_size,
		       struct ab_error *err)
{
	int pipe_fds[2], in = make_input(text, size, err), r;
	pid_t pid = 0;

	if (in < 0)
		return in;
	r = pipe2(pipe_fds, O_CLOEXEC) < 0 ? ab_fail_errno(err, -errno, "anybpf-remote") : 0;
	if (!r) {
		r = spawn(args, in, pipe_fds[1], &pid, err);
		close(pipe_fds[1]);
		if (!r)
			r = file_read_fd(pipe_fds[0], "anybpf-remote", FRAMES_LIMIT, ret_frames, ret_size, err);
		close(pipe_fds[0]);
	}
	close(in);
	while (pid && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

/* ---- frames ---- */

struct frame {
	const char *word;
	size_t word_size;
	const char *data;
	size_t size;
};

static bool next_frame(const char **p, const char *end, struct frame *ret)
{
	const char *space = memchr(*p, ' ', end - *p), *newline = space ? memchr(space, '\n', end - space) : NULL;
	unsigned long long size;
	char *stop;

	if (!newline)
		return false;
	size = strtoull(space + 1, &stop, 10);
	if (stop != newline || size > (size_t)(end - newline - 1))
		return false;
	*ret = (struct frame){ *p, space - *p, newline + 1, size };
	*p = newline + 1 + size;
	return true;
}

static bool is_frame(const struct frame *f, const char *word)
{
	return f->word_size == strlen(word) && !memcmp(f->word, word, f->word_size);
}

/* "KIND CODE MESSAGE" */
static int take_error(const struct frame *f, const char *log, struct ab_error *err)
{
	_free_ char *text = strndup(f->data, f->size);
	unsigned kind;
	int code, skip = 0, r;

	if (!text || sscanf(text, "%u %d %n", &kind, &code, &skip) < 2 || code >= 0)
		return ab_fail(err, AB_ERROR_INTERNAL, -EPROTO, "anybpf-remote failed without a reason");
	r = ab_fail(err, kind, code, "%s", text + skip);
	if (log)
		ab_error_set_log(err, log);
	return r;
}

static void replace(char **to, const struct frame *f)
{
	free(*to);
	*to = strndup(f->data, f->size);
}

/* `cli` NULL: nothing is said. */
static int take_frames(struct cli *cli, const char *p, size_t n, struct remote_result *ret, struct ab_error *err)
{
	_free_ char *log = NULL;
	const char *end = p + n;
	struct frame f;
	int r = 0;

	while (next_frame(&p, end, &f)) {
		if (is_frame(&f, "error")) {
			r = take_error(&f, log, err);
		} else if (is_frame(&f, "error-log")) {
			replace(&log, &f);
		} else if (is_frame(&f, "say")) {
			if (cli && !cli->quiet)
				cli_say(NULL, "%.*s", (int)f.size, f.data);
		} else if (is_frame(&f, "print")) {
			if (cli)
				out_add(&cli->out, f.data, f.size);
		} else if (is_frame(&f, "log")) {
			replace(&ret->log, &f);
		} else if (is_frame(&f, "compiler")) {
			replace(&ret->compiler, &f);
		} else if (is_frame(&f, "full-header")) {
			ret->full_header = true;
		} else if (is_frame(&f, "signature")) {
			replace(&ret->signature, &f);
		} else if (is_frame(&f, "data")) {
			free(ret->data);
			ret->data = malloc(f.size + 1);
			ret->size = f.size;
			if (!ret->data)
				return ab_fail_memory(err);
			memcpy(ret->data, f.data, f.size);
		}
	}
	return r || p == end ? r : ab_fail(err, AB_ERROR_INTERNAL, -EPROTO, "anybpf-remote ended before it was done");
}

void remote_result_clear(struct remote_result *result)
{
	free(result->data);
	free(result->signature);
	free(result->compiler);
	free(result->log);
	*result = (struct remote_result){};
}

static int run(struct cli *cli, const char *const *args, const char *text, size_t size, struct remote_result *ret,
	       struct ab_error *err)
{
	_free_ char *frames = NULL;
	size_t n;
	int r = read_frames(args, text, size, &frames, &n, err);

	return r ? r : take_frames(cli, frames, n, ret, err);
}

/* ---- what it is asked ---- */

static bool add_prefixed(struct list *args, struct list *owned, const char *prefix, const char *value)
{
	char *text;

	if (!value)
		return true;
	if (asprintf(&text, "%s%s", prefix, value) < 0)
		return false;
	if (list_add(owned, text, NULL) < 0) {
		free(text);
		return false;
	}
	return list_add(args, text, NULL) == 0;
}

static bool make_args(const struct remote_request *q, struct list *args, struct list *owned)
{
	const char *const first[] = { "anybpf-remote", "build", q->server, q->output, q->text ? "-" : q->path };
	bool good = true;

	for (size_t i = 0; good && i < ARRAY_SIZE(first); i++)
		good = list_add(args, first[i], NULL) == 0;
	for (const char *const *d = q->defines; good && d && *d; d++)
		good = add_prefixed(args, owned, "-D", *d);
	for (const char *const *d = q->include_dirs; good && d && *d; d++)
		good = add_prefixed(args, owned, "-I", *d);
	good = good && add_prefixed(args, owned, "--arch=", q->arch) && add_prefixed(args, owned, "--isa=", q->isa) &&
	       add_prefixed(args, owned, "--kernel=", q->kernel);
	return good && (!q->full_header || list_add(args, "--full-header", NULL) == 0);
}

int remote_build(struct cli *cli, const struct remote_request *request, struct remote_result *ret, struct ab_error *err)
{
	struct remote_result result = {};
	struct list args = {}, owned = {};
	int r = make_args(request, &args, &owned) ? 0 : ab_fail_memory(err);

	if (!r)
		r = run(cli, args.items, request->text, request->size, &result, err);
	for (size_t i = 0; i < owned.count; i++)
		free((char *)owned.items[i]);
	free(owned.items);
	free(args.items);
	if (!r && (!result.data || !result.signature || !result.compiler))
		r = ab_fail(err, AB_ERROR_INTERNAL, -EPROTO, "anybpf-remote ended before it was done");
	if (!r && !result.log && !(result.log = strdup("")))
		r = ab_fail_memory(err);
	if (r < 0)
		remote_result_clear(&result);
	else
		*ret = result;
	return r;
}

int remote_types(struct cli *cli, const char *server, const struct ab_kernel *kernel, const void *object, size_t size,
		 void **ret_btf, size_t *ret_size, struct ab_error *err)
{
	char build_id[2 * sizeof(kernel->build_id) + 1] = "";
	const char *const args[] = { "anybpf-remote", "types", server, kernel->release, kernel->arch, build_id, NULL };
	struct remote_result result = {};
	int r;

	for (size_t i = 0; i < kernel->build_id_size; i++)
		snprintf(build_id + 2 * i, 3, "%02x", kernel->build_id[i]);
	r = run(cli, args, object, size, &result, err);
	if (!r && !result.data)
		r = ab_fail(err, AB_ERROR_INTERNAL, -EPROTO, "anybpf-remote ended before it was done");
	if (!r) {
		*ret_size = result.size;
		*ret_btf = TAKE(result.data);
	}
	remote_result_clear(&result);
	return r;
}

int remote_run(struct cli *cli, const char *const *args, struct ab_error *err)
{
	struct remote_result result = {};
	int r = run(cli, args, NULL, 0, &result, err);

	remote_result_clear(&result);
	return r;
}

int remote_check_signature(const char *path, struct ab_error *err)
{
	const char *const args[] = { "anybpf-remote", "verify", path, NULL };
	struct remote_result result = {};
	_free_ char *signature = NULL;
	int r;

	if (asprintf(&signature, "%s.sig", path) < 0) {
		signature = NULL;
		return ab_fail_memory(err);
	}
	if (access(signature, F_OK) < 0)
		return 0;
	r = run(NULL, args, NULL, 0, &result, err);
	remote_result_clear(&result);
	return r;
}
