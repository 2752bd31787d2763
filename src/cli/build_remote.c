/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf build on a server: asks, writes what comes back and its signature, and says when it has to be done here. */
#include <time.h>
#include <unistd.h>
#include "build.h"

/* "tool.so" is a library; what goes to standard output is an object. */
static const char *output_word(const char *path, struct ab_error *err)
{
	if (!strcmp(path, "-") || str_ends(path, ".o"))
		return "o";
	if (str_ends(path, ".so"))
		return "so";
	if (str_ends(path, ".skel.h"))
		return "skel.h";
	ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s': the name has to end in .o, .so or .skel.h", path);
	return NULL;
}

/* The signature goes with what can be loaded. */
static int write_result(struct cli *cli, const char *path, const char *word, const struct remote_result *result,
			struct ab_error *err)
{
	_free_ char *signature_path = NULL, *signature = NULL;
	int r;

	r = cli_write(cli, path, result->data, result->size, !strcmp(word, "so") ? 0755 : 0644, err);
	if (r < 0 || !strcmp(path, "-") || !strcmp(word, "skel.h"))
		return r;
	if (asprintf(&signature_path, "%s.sig", path) < 0 || asprintf(&signature, "%s\n", result->signature) < 0)
		return ab_fail_memory(err);
	return file_write(signature_path, signature, strlen(signature), 0644, err);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int print_json(struct cli *cli, const char *source, const char *path, const struct remote_result *result,
		      uint64_t ns, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "source", source);
	json_member_str(&j, "output", path);
	json_member_uint(&j, "size", result->size);
	json_member_uint(&j, "duration_ns", ns);
	json_member_str(&j, "compiler", result->compiler);
	json_member_bool(&j, "full_header", result->full_header);
	json_member_str(&j, "signature", result->signature);
	json_member_str(&j, "diagnostics", result->log);
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

static int finish(struct cli *cli, const char *source, const char *path, const char *word,
		  const struct remote_result *result, uint64_t ns, struct ab_error *err)
{
	int r;

	if (*result->log && !cli->quiet && !cli->json)
		fd_write_all(STDERR_FILENO, result->log, strlen(result->log));
	r = write_result(cli, path, word, result, err);
	if (r < 0)
		return r;
	if (cli->verbose)
		cli_say(NULL, "%s: %zu bytes, %.1f ms, %s", path, result->size, ns / 1e6, result->compiler);
	return cli->json ? print_json(cli, source, path, result, ns, err) : 0;
}

static int build_one(struct cli *cli, const char *server, const char *operand, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	_free_ char *path = build_output_path(opts, operand), *text = NULL;
	const char *word = path ? output_word(path, err) : NULL;
	struct remote_request request = {
		.server = server, .output = word, .path = operand, .defines = opts->defines.items,
		.include_dirs = opts->include_dirs.items,
		.arch = opts->arch, .isa = opts->isa, .kernel = opts->kernel, .full_header = opts->full_header,
	};
	struct remote_result result = {};
	uint64_t began = now_ns();
	int r = !path ? ab_fail_memory(err) : word ? 0 : -EINVAL;

	if (!r && !strcmp(operand, "-"))
		r = file_read_fd(STDIN_FILENO, "standard input", 64u << 20, &text, &request.size, err);
	request.text = text;
	if (!r)
		r = remote_build(cli, &request, &result, err);
	if (!r)
		r = finish(cli, strcmp(operand, "-") ? operand : "<stdin>", path, word, &result,
			   now_ns() - began, err);
	remote_result_clear(&result);
	return r;
}

static bool may_fall_back(const struct cli *cli, const char *operand)
{
#ifdef ANYBPF_NO_COMPILER
	return false;
#else
	const struct build_opts *opts = cli->opts;

	return !opts->kernel && strcmp(operand, "-"); /* standard input is read already */
#endif
}

int build_remotely(struct cli *cli, size_t *ret_done, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	bool is_local = opts->header || opts->btf || opts->compiler;
	const char *server = is_local && !opts->server ? NULL : remote_server(opts->server);

	*ret_done = 0;
	if (!server)
		return opts->kernel ? ab_fail(err, AB_ERROR_USAGE, -EINVAL,
					      "build: option '--kernel' is for '--server'") : 0;
	if (is_local)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "build: option '--%s' is for compiling here, '--server' for elsewhere",
			       opts->header ? "header" : opts->btf ? "btf" : "compiler");
	for (size_t i = 0; i < cli->operand_count; i++) {
		struct ab_error why = {};
		int r = build_one(cli, server, cli->operands[i], &why);

		if (r == -EHOSTUNREACH && may_fall_back(cli, cli->operands[i])) {
			cli_say("warning", "%s; compiling here", why.msg);
			ab_error_clear(&why);
			return 0;
		}
		if (r < 0) {
			*err = why;
			return r;
		}
		++*ret_done;
	}
	return 0;
}
