/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf check: on which kernels programs will run, and why not on others. */
#include <anybpf/anybpf.h>
#include <unistd.h>
#include "remote.h"

#define OBJECT_LIMIT (64u << 20)

struct check_opts {
	struct common_opts common;
	const char *kernels, *pack, *html, *server;
	struct list btf, defines, include_dirs;
};

#define O(field) offsetof(struct check_opts, field)

static const struct opt options[] = {
	{ "pack", 'p', OPT_STRING, O(pack), "PACK",
	  "check for the kernels of this pack; default with --kernels: $ANYBPF_PACK, "
	  "~/.local/share/anybpf/kernels.pack, /usr/share/anybpf/kernels.pack",
	  HINT_FILE },
	{ "kernels", 'k', OPT_STRING, O(kernels), "SET",
	  "those of the pack that are meant: 5.10, 5.4..6.1, *-cloud-*, "
	  "debian/5.10../x86_64, !*-rt-*, separated by commas; default: all",
	  HINT_NONE },
	{ "btf", 0, OPT_LIST, O(btf), "FILE",
	  "check for the kernel that has these types: raw BTF or an ELF file such as a vmlinux "
	  "(repeatable)",
	  HINT_FILE },
	{ "html", 0, OPT_STRING, O(html), "OUT.html", "write a page that shows kernels by programs", HINT_FILE },
	SERVER_OPTION("compile on", O(server)),
	{ "define", 'D', OPT_LIST, O(defines), "NAME[=VALUE]", "define a macro when compiling (repeatable)",
	  .needs_compiler = true },
	{ "include", 'I', OPT_LIST, O(include_dirs), "DIR", "look for #include files here when compiling (repeatable)",
	  HINT_DIR, .needs_compiler = true },
	JSON_OPTION("print one JSON object"),
	QUIET_OPTION("print nothing: the exit status says it"),
	HELP_OPTION,
	{},
};

struct check_run {
	struct cli *cli;
	const struct check_opts *opts;
	struct ab_check **checks;        /* one for each operand */
	struct ab_pack *pack;
	struct ab_check_target **targets;
	size_t n_targets;
	struct ab_check_report *report;
};

/* ---- FILE to object ---- */

#ifdef ANYBPF_NO_COMPILER
static int build(struct check_run *run, struct ab_builder **builder, const char *path, struct ab_check **ret_check,
		 struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "'%s' is source, and this anybpf has no compiler: make an object with 'anybpf build' "
		       "elsewhere and check that",
		       path);
}

static void free_builder(struct ab_builder *builder)
{
}
#else
static int build(struct check_run *run, struct ab_builder **builder, const char *path, struct ab_check **ret_check,
		 struct ab_error *err)
{
	AB_OPTS(ab_builder_opts, builder_opts, .one_shot = run->cli->operand_count == 1);
	AB_OPTS(ab_build_opts, opts, .defines = run->opts->defines.items, .include_dirs = run->opts->include_dirs.items,
		.color = color_wanted(STDERR_FILENO));
	struct ab_artifact *artifact;
	const char *diagnostics;
	const void *object;
	size_t size;
	int r = *builder ? 0 : ab_builder_new(&builder_opts, builder, err);

	if (!r)
		r = ab_builder_build(*builder, path, NULL, 0, &opts, &artifact, err);
	if (r < 0)
		return r;
	diagnostics = ab_artifact_diagnostics(artifact);
	if (*diagnostics && !run->cli->quiet && !run->cli->json)
		fd_write_all(STDERR_FILENO, diagnostics, strlen(diagnostics));
	object = ab_artifact_object(artifact, &size);
	r = ab_check_new(object, size, ret_check, err);
	ab_artifact_free(artifact);
	return r;
}

static void free_builder(struct ab_builder *builder)
{
	ab_builder_free(builder);
}
#endif

/* Has a server compile it, if one is named. 1: done; 0: it is to be compiled here, the server is away. */
static int build_remotely(struct check_run *run, const char *path, struct ab_check **ret_check, struct ab_error *err)
{
	const struct check_opts *o = run->opts;
	struct remote_request request = { .server = remote_server(o->server), .output = "o", .path = path,
					  .defines = o->defines.items, .include_dirs = o->include_dirs.items };
	struct remote_result result = {};
	struct ab_error why = {};
	int r;

	if (!request.server)
		return 0;
	r = remote_build(run->cli, &request, &result, &why);
#ifndef ANYBPF_NO_COMPILER
	if (r == -EHOSTUNREACH) {
		cli_say("warning", "%s; compiling here", why.msg);
		ab_error_clear(&why);
		return 0;
	}
#endif
	if (r < 0) {
		*err = why;
		return r;
	}
	r = ab_check_new(result.data, result.size, ret_check, err);
	remote_result_clear(&result);
	if (r < 0)
		ab_error_prefix(err, "%s", path);
	return r < 0 ? r : 1;
}

static int open_object(struct check_run *run, struct ab_builder **builder, const char *path,
		       struct ab_check **ret_check, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r;

	if (str_ends(path, ".c")) {
		r = build_remotely(run, path, ret_check, err);
		return r ? MIN(r, 0) : build(run, builder, path, ret_check, err);
	}
	r = file_read(path, OBJECT_LIMIT, &data, &size, err);
	if (r < 0)
		return r;
	if (size < 4 || memcmp(data, "\177ELF", 4))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'%s' is neither a BPF object nor C source, whose name ends in '.c'", path);
	r = ab_check_new(data, size, ret_check, err);
	if (r < 0)
		ab_error_prefix(err, "%s", path);
	return r;
}

static int open_objects(struct check_run *run, struct ab_error *err)
{
	struct ab_builder *builder = NULL;
	int r = 0;

	run->checks = array_new(run->cli->operand_count, sizeof(*run->checks));
	if (!run->checks)
		return ab_fail_memory(err);
	for (size_t i = 0; !r && i < run->cli->operand_count; i++)
		r = open_object(run, &builder, run->cli->operands[i], &run->checks[i], err);
	free_builder(builder);
	return r;
}

/* ---- kernels ---- */

static int open_targets(struct check_run *run, struct ab_error *err)
{
	bool running = !run->opts->btf.count && !run->pack;
	size_t n = running ? 1 : run->opts->btf.count;
	int r = 0;

	run->targets = array_new(n, sizeof(*run->targets));
	if (!run->targets)
		return ab_fail_memory(err);
	for (size_t i = 0; !r && i < n; i++) {
		r = ab_check_target_open(running ? NULL : run->opts->btf.items[i], &run->targets[i], err);
		if (r < 0)
			ab_error_prefix(err, "%s", running ? "the running kernel" : run->opts->btf.items[i]);
		else
			run->n_targets++;
	}
	return r;
}

static int check_on_targets(struct check_run *run, size_t object, struct ab_error *err)
{
	const struct ab_check_verdict *verdict;
	int r = 0;

	for (size_t i = 0; !r && i < run->n_targets; i++) {
		r = ab_check_target_verdict(run->checks[object], run->targets[i], &verdict, err);
		if (!r)
			r = ab_check_report_add(run->report, run->cli->operands[object],
						ab_check_target_kernel(run->targets[i]), verdict, err);
	}
	return r;
}

static int check_on_pack(struct check_run *run, const struct ab_kernel_set *set, size_t object, struct ab_error *err)
{
	size_t n = run->pack ? ab_pack_count(run->pack) : 0;
	const struct ab_check_verdict *verdict;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const struct ab_kernel *kernel = ab_pack_kernel(run->pack, i);

		if (*kernel->module || (set && !ab_kernel_set_has(set, kernel)))
			continue;
		r = ab_check_pack(run->checks[object], run->pack, i, &verdict, err);
		if (!r)
			r = ab_check_report_add(run->report, run->cli->operands[object], kernel, verdict, err);
	}
	return r;
}

static int open_kernels(struct check_run *run, struct ab_kernel_set **ret_set, struct ab_error *err)
{
	int r = 0;

	if (run->opts->kernels)
		r = ab_kernel_set_parse(run->opts->kernels, ret_set, err);
	if (!r && (run->opts->kernels || run->opts->pack))
		r = ab_min_open_pack(run->opts->pack, &run->pack, err);
	return r < 0 ? r : open_targets(run, err);
}

/* ---- the command ---- */

static int write_html(struct check_run *run, struct ab_error *err)
{
	_free_ char *text = NULL;
	size_t size;
	int r = ab_check_report_write(run->report, AB_CHECK_HTML, &text, &size, err);

	return r < 0 ? r : file_write(run->opts->html, text, size, 0644, err);
}

static int print_report(struct check_run *run, struct ab_error *err)
{
	_free_ char *text = NULL;
	size_t size;
	int r = 0;

	if (run->opts->html)
		r = write_html(run, err);
	if (r < 0 || (run->cli->quiet && !run->cli->json))
		return r;
	r = ab_check_report_write(run->report, run->cli->json ? AB_CHECK_JSON : AB_CHECK_TEXT, &text, &size, err);
	if (r < 0)
		return r;
	if (run->cli->json)
		out_add(&run->cli->out, text, size);
	else
		out_safe(&run->cli->out, text, size);
	if (run->cli->json)
		out_puts(&run->cli->out, "\n");
	return 0;
}

static int check_all(struct check_run *run, const struct ab_kernel_set *set, struct ab_error *err)
{
	int r = ab_check_report_new(&run->report, err);
	size_t n = 0;

	for (size_t i = 0; !r && i < run->cli->operand_count; i++) {
		r = check_on_targets(run, i, err);
		if (!r)
			r = check_on_pack(run, set, i, err);
		if (r < 0)
			ab_error_prefix(err, "%s", run->cli->operands[i]);
	}
	if (r < 0)
		return r;
	for (int result = AB_CHECK_NATIVE; result <= AB_CHECK_FAILS; result++)
		n += ab_check_report_count(run->report, result);
	if (!n)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel of the pack is in '%s'",
			       run->opts->kernels ? run->opts->kernels : "*");
	r = print_report(run, err);
	return r < 0 ? r : ab_check_report_count(run->report, AB_CHECK_FAILS) != 0;
}

static void free_run(struct check_run *run)
{
	ab_check_report_free(run->report);
	for (size_t i = 0; run->checks && i < run->cli->operand_count; i++)
		ab_check_free(run->checks[i]);
	free(run->checks);
	for (size_t i = 0; i < run->n_targets; i++)
		ab_check_target_close(run->targets[i]);
	free(run->targets);
	ab_pack_close(run->pack);
}

static int run_check(struct cli *cli, struct ab_error *err)
{
	struct check_run run = { .cli = cli, .opts = cli->opts };
	struct ab_kernel_set *set = NULL;
	int r = open_kernels(&run, &set, err);

	if (!r)
		r = open_objects(&run, err);
	if (!r)
		r = check_all(&run, set, err);
	ab_kernel_set_free(set);
	free_run(&run);
	return r;
}

const struct command cli_check = {
	.name = "check",
	.summary = "say on which kernels programs will run, and why not on others",
	.operands = "FILE...",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_BPF,
	.options = options,
	.opts_size = sizeof(struct check_opts),
	.run = run_check,
};
