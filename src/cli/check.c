/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf check: on which kernels programs will run, and why not on others. */
#include <anybpf/anybpf.h>
#include <unistd.h>
#include "btf_file.h"
#include "remote.h"

#define OBJECT_LIMIT (64u << 20)
#define MAX_ARCHES 16

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
	/*
	 * One for each operand and architecture. Source is compiled for each, the first has to do; NULL: the first's is taken.
	 */
	struct ab_check **checks;
	const char *arches[MAX_ARCHES];  /* of the kernels; the first is this machine's if they are of it */
	size_t n_arches;
	struct ab_kernel_set *set;       /* NULL: all of the pack */
	struct ab_pack *pack;
	struct ab_check_target **targets;
	size_t n_targets;
	struct ab_check_report *report;
};

/* Whether a kernel of the pack is checked for. */
static bool is_wanted(const struct check_run *run, const struct ab_kernel *kernel)
{
	return !*kernel->module && (!run->set || ab_kernel_set_has(run->set, kernel));
}

/* ---- FILE to object ---- */

struct compiler {
	struct ab_builder *builder; /* NULL until something is to be compiled */
	struct btf_file types;
};

#ifdef ANYBPF_NO_COMPILER
static int build(struct check_run *run, struct compiler *compiler, const char *path, size_t arch,
		 struct ab_check **ret_check, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "'%s' is source, and this anybpf has no compiler: make an object with 'anybpf build' "
		       "elsewhere and check that",
		       path);
}

static void close_compiler(struct compiler *compiler)
{
}
#else
/* The kernel of the pack to compile against where this one has no types: of this machine and plain, if one is checked for. */
static long choose_types(const struct check_run *run)
{
	long best = -1;
	int most = -1;

	for (size_t i = 0; run->pack && i < ab_pack_count(run->pack); i++) {
		const struct ab_kernel *k = ab_pack_kernel(run->pack, i);
		int points = 2 * !strcmp(k->arch, ab_min_running()->arch) + !*k->flavour;

		if (!is_wanted(run, k) || points < most)
			continue;
		best = (long)i;
		most = points;
	}
	return best;
}

static int find_types(struct check_run *run, struct btf_file *types, struct ab_error *err)
{
	const struct ab_kernel *kernel;
	long index;
	int r;

	if (access(KERNEL_BTF, F_OK) == 0)
		return 0;
	index = choose_types(run);
	if (index < 0) {
		types->path = run->opts->btf.count ? run->opts->btf.items[0] : NULL;
		return 0;
	}
	kernel = ab_pack_kernel(run->pack, index);
	r = btf_file_kernel(run->pack, index, types, err);
	if (!r && !run->cli->quiet)
		cli_say(NULL, "this kernel has no types: compiling against those of %s/%s/%s",
			*kernel->distribution ? kernel->distribution : "-", kernel->release, kernel->arch);
	return r;
}

static int open_compiler(struct check_run *run, struct compiler *compiler, struct ab_error *err)
{
	AB_OPTS(ab_builder_opts, opts, .one_shot = run->cli->operand_count * run->n_arches == 1);
	int r = find_types(run, &compiler->types, err);

	opts.btf_path = compiler->types.path;
	return r < 0 ? r : ab_builder_new(&opts, &compiler->builder, err);
}

static int build(struct check_run *run, struct compiler *compiler, const char *path, size_t arch,
		 struct ab_check **ret_check, struct ab_error *err)
{
	AB_OPTS(ab_build_opts, opts, .defines = run->opts->defines.items, .include_dirs = run->opts->include_dirs.items,
		.arch = run->arches[arch], .color = color_wanted(STDERR_FILENO));
	struct ab_artifact *artifact;
	const char *diagnostics;
	const void *object;
	size_t size;
	int r = compiler->builder ? 0 : open_compiler(run, compiler, err);

	if (!r)
		r = ab_builder_build(compiler->builder, path, NULL, 0, &opts, &artifact, err);
	if (r < 0)
		return r;
	diagnostics = ab_artifact_diagnostics(artifact);
	if (*diagnostics && !arch && !run->cli->quiet && !run->cli->json)
		fd_write_all(STDERR_FILENO, diagnostics, strlen(diagnostics));
	object = ab_artifact_object(artifact, &size);
	r = ab_check_new(object, size, ret_check, err);
	if (r < 0)
		ab_error_prefix(err, "%s", path);
	ab_artifact_free(artifact);
	return r;
}

static void close_compiler(struct compiler *compiler)
{
	ab_builder_free(compiler->builder);
	btf_file_close(&compiler->types);
}
#endif

/* Has a server compile it, if one is named. 1: done; 0: it is to be compiled here, the server is away. */
static int build_remotely(struct check_run *run, const char *path, size_t arch, struct ab_check **ret_check,
			  struct ab_error *err)
{
	const struct check_opts *o = run->opts;
	struct remote_request request = { .server = remote_server(o->server), .output = "o", .path = path,
					  .defines = o->defines.items, .include_dirs = o->include_dirs.items,
					  .arch = run->arches[arch] };
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

static int compile(struct check_run *run, struct compiler *compiler, const char *path, size_t arch,
		   struct ab_check **ret_check, struct ab_error *err)
{
	int r = build_remotely(run, path, arch, ret_check, err);

	return r ? MIN(r, 0) : build(run, compiler, path, arch, ret_check, err);
}

/* Whether other types may be what a source lacks that does not compile. */
static bool is_about_types(const struct ab_error *err)
{
	static const char *const words[] = { "no member named", "incomplete", "undeclared", "unknown type" };

	for (size_t i = 0; err->kind == AB_ERROR_COMPILE && i < ARRAY_SIZE(words); i++)
		if (strstr(err->msg, words[i]))
			return true;
	return false;
}

/* What compiles for the first architecture only is checked as it is there. */
static int compile_for_all(struct check_run *run, struct compiler *compiler, const char *path, struct ab_check **checks,
			   struct ab_error *err)
{
	int r = compile(run, compiler, path, 0, &checks[0], err);

	if (r < 0 && run->pack && !run->cli->quiet && is_about_types(err))
		cli_say(NULL, "source is compiled against one kernel's types; 'anybpf build --btf KERNEL' takes those of another, "
			      "and what it makes can be checked");
	for (size_t i = 1; !r && i < run->n_arches; i++) {
		struct ab_error why = {};

		r = compile(run, compiler, path, i, &checks[i], &why);
		if (r < 0 && why.kind != AB_ERROR_COMPILE && why.kind != AB_ERROR_USAGE) {
			*err = why;
			return r;
		}
		if (r < 0 && !run->cli->quiet)
			cli_say("warning", "not compiled for %s, checked as for %s: %s", run->arches[i], run->arches[0], why.msg);
		ab_error_clear(&why);
		r = 0;
	}
	return r;
}

static int open_object(struct check_run *run, struct compiler *compiler, const char *path, struct ab_check **checks,
		       struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r;

	if (str_ends(path, ".c"))
		return compile_for_all(run, compiler, path, checks, err);
	r = file_read(path, OBJECT_LIMIT, &data, &size, err);
	if (r < 0)
		return r;
	if (size < 4 || memcmp(data, "\177ELF", 4))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'%s' is neither a BPF object nor C source, whose name ends in '.c'", path);
	r = ab_check_new(data, size, &checks[0], err);
	if (r < 0)
		ab_error_prefix(err, "%s", path);
	return r;
}

static int open_objects(struct check_run *run, struct ab_error *err)
{
	struct compiler compiler = { .types = NO_BTF_FILE };
	int r = 0;

	run->checks = array_new(run->cli->operand_count * run->n_arches, sizeof(*run->checks));
	if (!run->checks)
		return ab_fail_memory(err);
	for (size_t i = 0; !r && i < run->cli->operand_count; i++)
		r = open_object(run, &compiler, run->cli->operands[i], &run->checks[i * run->n_arches], err);
	close_compiler(&compiler);
	return r;
}

/* The check of an operand for kernels of an architecture, "" if that is not known. */
static struct ab_check *find_check(const struct check_run *run, size_t operand, const char *arch)
{
	struct ab_check **checks = &run->checks[operand * run->n_arches];

	for (size_t i = 1; i < run->n_arches; i++)
		if (checks[i] && !strcmp(run->arches[i], arch))
			return checks[i];
	return checks[0];
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
		run->n_targets += !r;
	}
	return r;
}

/* ---- their architectures ---- */

static void note_arch(struct check_run *run, const struct ab_kernel *kernel)
{
	const char *machine = ab_min_running()->arch, *arch = *kernel->arch ? kernel->arch : machine;

	for (size_t i = 0; i < run->n_arches; i++)
		if (!strcmp(run->arches[i], arch))
			return;
	if (run->n_arches == MAX_ARCHES)
		return;
	run->arches[run->n_arches++] = arch;
	if (!strcmp(arch, machine)) {
		run->arches[run->n_arches - 1] = run->arches[0];
		run->arches[0] = arch;
	}
}

static void note_arches(struct check_run *run)
{
	for (size_t i = 0; i < run->n_targets; i++)
		note_arch(run, ab_check_target_kernel(run->targets[i]));
	for (size_t i = 0; run->pack && i < ab_pack_count(run->pack); i++) {
		const struct ab_kernel *kernel = ab_pack_kernel(run->pack, i);

		if (is_wanted(run, kernel))
			note_arch(run, kernel);
	}
}

/* ---- verdicts ---- */

static int check_on_targets(struct check_run *run, size_t object, struct ab_error *err)
{
	const struct ab_check_verdict *verdict;
	int r = 0;

	for (size_t i = 0; !r && i < run->n_targets; i++) {
		const struct ab_kernel *kernel = ab_check_target_kernel(run->targets[i]);

		r = ab_check_target_verdict(find_check(run, object, kernel->arch), run->targets[i], &verdict, err);
		if (!r)
			r = ab_check_report_add(run->report, run->cli->operands[object], kernel, verdict, err);
	}
	return r;
}

static int check_on_pack(struct check_run *run, size_t object, struct ab_error *err)
{
	size_t n = run->pack ? ab_pack_count(run->pack) : 0;
	const struct ab_check_verdict *verdict;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const struct ab_kernel *kernel = ab_pack_kernel(run->pack, i);

		if (!is_wanted(run, kernel))
			continue;
		r = ab_check_pack(find_check(run, object, kernel->arch), run->pack, i, &verdict, err);
		if (!r)
			r = ab_check_report_add(run->report, run->cli->operands[object], kernel, verdict, err);
	}
	return r;
}

static int open_kernels(struct check_run *run, struct ab_error *err)
{
	int r = 0;

	if (run->opts->kernels)
		r = ab_kernel_set_parse(run->opts->kernels, &run->set, err);
	if (!r && (run->opts->kernels || run->opts->pack))
		r = ab_min_open_pack(run->opts->pack, &run->pack, err);
	if (!r)
		r = open_targets(run, err);
	if (r < 0)
		return r;
	note_arches(run);
	return run->n_arches ? 0 : ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel of the pack is in '%s'",
					   run->opts->kernels ? run->opts->kernels : "*");
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

static int check_all(struct check_run *run, struct ab_error *err)
{
	int r = ab_check_report_new(&run->report, err);

	for (size_t i = 0; !r && i < run->cli->operand_count; i++) {
		r = check_on_targets(run, i, err);
		if (!r)
			r = check_on_pack(run, i, err);
		if (r < 0)
			ab_error_prefix(err, "%s", run->cli->operands[i]);
	}
	if (!r)
		r = print_report(run, err);
	return r < 0 ? r : ab_check_report_count(run->report, AB_CHECK_FAILS) != 0;
}

static void free_run(struct check_run *run)
{
	ab_check_report_free(run->report);
	for (size_t i = 0; run->checks && i < run->cli->operand_count * run->n_arches; i++)
		ab_check_free(run->checks[i]);
	free(run->checks);
	for (size_t i = 0; i < run->n_targets; i++)
		ab_check_target_close(run->targets[i]);
	free(run->targets);
	ab_kernel_set_free(run->set);
	ab_pack_close(run->pack);
}

static int run_check(struct cli *cli, struct ab_error *err)
{
	struct check_run run = { .cli = cli, .opts = cli->opts };
	int r = open_kernels(&run, err);

	if (!r)
		r = open_objects(&run, err);
	if (!r)
		r = check_all(&run, err);
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
