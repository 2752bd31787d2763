/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* FILE of `anybpf run`: C source that is compiled on the spot, an object, a library, or any of these on standard input.
 */
#include <fcntl.h>
#include <unistd.h>
#include "remote.h"
#include "run.h"

#define INPUT_LIMIT (64u << 20)

static void warn_of_library(const char *message, void *ctx)
{
	run_warn(ctx, "%s", message);
}

static void debug_of_library(const char *message, void *ctx)
{
	size_t n = strlen(message);

	while (n && message[n - 1] == '\n')
		n--;
	cli_say("debug", "%.*s", (int)n, message);
}

static int open_object(struct run *run, const char *path, const void *data, size_t size, const char *name,
		       struct ab_error *err)
{
	AB_OPTS(ab_object_opts, opts, .name = name, .pid = run->opts->pid,
		.cpu = run->opts->cpu + 1, .warn = warn_of_library, .ctx = run);
	_free_ char *file = NULL;
	int r = data ? 0 : file_read(path, INPUT_LIMIT, &file, &size, err);

	if (r == 0)
		r = btf_file_min(run->cli, run->opts->btf, remote_server(run->opts->server), data ? data : file, size, &run->btf,
				 err);
	if (r < 0)
		return r;
	opts.btf_path = run->btf.path;
	if (run->cli->verbose > 1)
		opts.debug = debug_of_library;
	if (data)
		return ab_object_open_mem(data, size, &opts, &run->object, err);
	return ab_object_open_file(path, &opts, &run->object, err);
}

/*
 * Source that a server compiles, if one is named. 1: opened; 0: it is to be compiled here, as no server is named or it is away;
 * what was signed for nobody here is an error, and not compiled here instead.
 */
static int open_remote(struct run *run, const char *path, const char *text, size_t size, const char *name, struct ab_error *err)
{
	const struct run_opts *o = run->opts;
	struct remote_request request = {
		.server = o->btf && !o->server ? NULL : remote_server(o->server), .output = "o", .path = path, .text = text,
		.size = size, .defines = o->defines.items, .include_dirs = o->include_dirs.items,
	};
	struct remote_result result = {};
	struct ab_error why = {};
	int r;

	if (!request.server)
		return 0;
	r = remote_build(run->cli, &request, &result, &why);
#ifndef ANYBPF_NO_COMPILER
	if (r == -EHOSTUNREACH) {
		run_warn(run, "%s; compiling here", why.msg);
		ab_error_clear(&why);
		return 0;
	}
#endif
	if (r < 0) {
		*err = why;
		return r;
	}
	if (*result.log && !run->cli->quiet)
		fd_write_all(STDERR_FILENO, result.log, strlen(result.log));
	if (run->cli->verbose)
		cli_say(NULL, "'%s' compiled by %s", path, result.compiler);
	r = open_object(run, NULL, result.data, result.size, name, err);
	remote_result_clear(&result);
	return r < 0 ? r : 1;
}

#ifdef ANYBPF_NO_COMPILER
static int compile_source(struct run *run, const char *path, const char *text, size_t size, const char *name,
			  struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "'%s' is source, and this anybpf has no compiler: make an object with 'anybpf build' elsewhere "
		       "and run that",
		       path);
}
#else
static void print_diagnostics(struct run *run, const char *text)
{
	if (*text && !run->cli->quiet)
		fd_write_all(STDERR_FILENO, text, strlen(text));
}

static int compile_source(struct run *run, const char *path, const char *text, size_t size, const char *name,
			  struct ab_error *err)
{
	AB_OPTS(ab_builder_opts, builder_opts, .one_shot = true);
	AB_OPTS(ab_build_opts, opts, .defines = run->opts->defines.items, .include_dirs = run->opts->include_dirs.items,
		.color = color_wanted(STDERR_FILENO));
	struct ab_artifact *artifact = NULL;
	struct ab_builder *builder = NULL;
	struct btf_file btf;
	const void *object;
	size_t object_size;
	int r = btf_file_whole(run->cli, run->opts->btf, NULL, &btf, err);

	builder_opts.btf_path = btf.path;
	if (r == 0)
		r = ab_builder_new(&builder_opts, &builder, err);
	if (r == 0)
		r = ab_builder_build(builder, path, text, size, &opts, &artifact, err);
	if (r == 0) {
		print_diagnostics(run, ab_artifact_diagnostics(artifact));
		if (run->cli->verbose)
			cli_say(NULL, "'%s' compiled by %s with %s", path, ab_builder_compiler(builder),
				ab_artifact_used_full_header(artifact) ? "all kernel types"
								       : "the kernel types that it names");
		object = ab_artifact_object(artifact, &object_size);
		r = open_object(run, NULL, object, object_size, name, err);
		if (r == -EBADMSG)
			ab_error_prefix(err, "%s", path);
	}
	ab_artifact_free(artifact);
	ab_builder_free(builder);
	btf_file_close(&btf);
	return r;
}
#endif

static int open_source(struct run *run, const char *path, const char *text, size_t size, const char *name, struct ab_error *err)
{
	int r = open_remote(run, path, text, size, name, err);

	return r ? MIN(r, 0) : compile_source(run, path, text, size, name, err);
}

static bool is_elf(const char *data, size_t size)
{
	return size >= 4 && !memcmp(data, "\177ELF", 4);
}

static int open_stdin(struct run *run, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r = file_read_fd(STDIN_FILENO, "standard input", INPUT_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	if (!size)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "standard input is empty");
	if (is_elf(data, size))
		return open_object(run, NULL, data, size, "stdin", err);
	if (memchr(data, '\0', size))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "standard input is neither a BPF object nor C source");
	return open_source(run, "<stdin>", data, size, "stdin", err);
}

/* What is neither an object nor called source is most likely the wrong file. */
static int check_elf(const char *path, struct ab_error *err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[4] = "";

	if (fd < 0 || read(fd, head, sizeof(head)) < 0)
		return 0; /* whoever opens it next says why */
	if (!is_elf(head, sizeof(head)))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'%s' is neither a BPF object nor C source, whose name ends in '.c'", path);
	return 0;
}

/* "dir/tool.bpf.c" is called "tool". */
static char *object_name(const char *path)
{
	const char *base = path_base(path);

	return strndup(base, strcspn(base, "."));
}

int run_open(struct run *run, const char *file, struct ab_error *err)
{
	_free_ char *name = NULL;
	int r;

	if (!strcmp(file, "-"))
		return open_stdin(run, err);
	name = object_name(file);
	if (!name)
		return ab_fail_memory(err);
	if (str_ends(file, ".c"))
		return open_source(run, file, NULL, 0, *name ? name : "source", err);
	r = check_elf(file, err);
	if (r == 0 && (run->opts->defines.count || run->opts->include_dirs.count))
		run_warn(run, "--%s has no effect: '%s' is compiled already",
			 run->opts->defines.count ? "define" : "include", file);
	if (r == 0)
		r = remote_check_signature(file, err);
	return r < 0 ? r : open_object(run, file, NULL, 0, NULL, err);
}
