/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf build: sources to objects, shared libraries and skeletons, all with one warm builder. */
#include <sys/stat.h>
#include <unistd.h>
#include <anybpf/anybpf.h>
#include "btf_file.h"
#include "build.h"

#define O(field) offsetof(struct build_opts, field)

static const char *const isa_words[] = { "v1", "v2", "v3", "v4", NULL };
static const char *const arch_words[] = {
	"x86_64", "arm64", "arm", "s390x", "ppc64le", "riscv64", "loongarch64", NULL
};

static const struct opt options[] = {
	{ "output", 'o', OPT_STRING, O(output), "OUT",
	  "what to make, by its suffix: NAME.o, NAME.so or NAME.skel.h; a directory; "
	  "- for standard output; default: FILE's name with .o, here",
	  HINT_FILE },
	{ "define", 'D', OPT_LIST, O(defines), "NAME[=VALUE]", "define a macro (repeatable)" },
	{ "include", 'I', OPT_LIST, O(include_dirs), "DIR", "look for #include files here (repeatable)", HINT_DIR },
	{ "arch", 0, OPT_WORD, O(arch), "ARCH", "the machine that the program will trace; default: this one",
	  HINT_WORDS, arch_words },
	{ "btf", 0, OPT_STRING, O(btf), "FILE|KERNEL", "kernel types to compile against: a file with BTF, or a kernel of the pack; "
	  "default: the running kernel's", HINT_FILE },
	{ "isa", 0, OPT_WORD, O(isa), "V", "BPF instruction set, v1 to v4; default: v1, which every kernel runs",
	  HINT_WORDS, isa_words },
	{ "header", 0, OPT_FLAG, O(header), NULL, "print the kernel header that FILE gets, or without FILE all of it" },
	{ "compiler", 0, OPT_STRING, O(compiler), "CLANG", "compile with this clang instead of the built-in one",
	  HINT_FILE },
	{ "full-header", 0, OPT_FLAG, O(full_header), NULL,
	  "compile against all kernel types, not those that FILE names" },
	SERVER_OPTION("compile on", O(server)),
	{ "kernel", 0, OPT_STRING, O(kernel), "KERNEL",
	  "with --server: whose types to compile against, one of the server's; default: its own choice" },
	JSON_OPTION("print one JSON object a file"),
	VERBOSE_OPTION("say what was done: compiler, header, sizes, times"),
	QUIET_OPTION("no warnings"),
	HELP_OPTION,
	{},
};

static bool is_directory(const char *path)
{
	struct stat st;
	size_t n = strlen(path);

	return (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

char *build_output_path(const struct build_opts *opts, const char *source)
{
	const char *base = strcmp(source, "-") ? path_base(source) : "stdin.bpf.c";
	const char *dir = opts->output && is_directory(opts->output) ? opts->output : NULL;
	size_t n = strlen(base) - (str_ends(base, ".c") ? 2 : 0);
	_text_ struct text t = {};

	if (opts->output && !dir)
		return strdup(opts->output);
	if (dir)
		text_printf(&t, "%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/");
	text_printf(&t, "%.*s.o", (int)n, base);
	return text_take(&t);
}

/* Each file is to have an output of its own: of two x.bpf.c in different directories, one would replace the other. */
static int check_outputs(const struct cli *cli, struct ab_error *err)
{
	_strmap_ struct strmap outputs = {};

	for (size_t i = 0; i < cli->operand_count; i++) {
		_free_ char *path = build_output_path(cli->opts, cli->operands[i]);
		bool is_new;

		if (!path || !strmap_put(&outputs, path, strlen(path), &is_new))
			return ab_fail_memory(err);
		if (!is_new)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "build: '%s' would be made of '%s' and of another file of "
				       "that name: build them one by one", path, cli->operands[i]);
	}
	return 0;
}

static int check_usage(const struct cli *cli, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	bool to_stdout = opts->output && !strcmp(opts->output, "-");

	if (opts->header && cli->operand_count > 1)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "build: option '--header' takes one FILE");
	if (opts->header)
		return 0;
	if (!cli->operand_count)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "build: FILE is missing; 'anybpf build --help' shows how it is used");
	if (cli->operand_count > 1 && opts->output && (to_stdout || !is_directory(opts->output)))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "build: with several files, '--output' is a directory, not '%s'", opts->output);
	if (to_stdout && cli->json)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "build: '--json' and '--output -' both want standard output");
	if (to_stdout && cli->out.tty)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "build: an object is nothing for a terminal: redirect the output");
	return check_outputs(cli, err);
}

#ifdef ANYBPF_NO_COMPILER
static int run_build(struct cli *cli, struct ab_error *err)
{
	size_t done = 0;
	int r = check_usage(cli, err);

	if (r == 0)
		r = build_remotely(cli, &done, err);
	if (r < 0 || done == cli->operand_count)
		return r;
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "this anybpf has no compiler: use 'anybpf build' of a full "
		       "installation, or '--server', and run what it makes with this one");
}
#else
#include <time.h>

struct source {
	const char *path;  /* as diagnostics name it */
	char *text;        /* of standard input; NULL: read path */
	size_t size;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int read_source(const char *operand, struct source *source, struct ab_error *err)
{
	*source = (struct source){ .path = operand };
	if (strcmp(operand, "-"))
		return 0;
	source->path = "<stdin>";
	return file_read_fd(STDIN_FILENO, "standard input", 64u << 20, &source->text, &source->size, err);
}

static void fill_opts(const struct build_opts *opts, struct ab_build_opts *ret)
{
	AB_OPTS(ab_build_opts, build, .defines = opts->defines.items, .include_dirs = opts->include_dirs.items,
		.arch = opts->arch, .isa = opts->isa, .full_header = opts->full_header,
		.color = color_wanted(STDERR_FILENO));

	*ret = build;
}

/* The newest glibc that a library asks for: symbol versions stand in its string table as "GLIBC_2.17". */
static void find_glibc(const char *data, size_t size, int *ret_major, int *ret_minor)
{
	const char *p = data, *end = data + size, *hit;

	*ret_major = *ret_minor = 0;
	while ((hit = memmem(p, end - p, "GLIBC_", 6))) {
		char text[16] = "";
		int major, minor;

		memcpy(text, hit + 6, MIN(sizeof(text) - 1, (size_t)(end - hit - 6)));
		if (sscanf(text, "%d.%d", &major, &minor) == 2 &&
		    (major > *ret_major || (major == *ret_major && minor > *ret_minor))) {
			*ret_major = major;
			*ret_minor = minor;
		}
		p = hit + 6;
	}
}

static void say_header(struct ab_builder *builder, const struct source *source, const struct ab_build_opts *build,
		       bool full)
{
	_free_ char *text = NULL;
	size_t size, lines = 0;

	if (ab_builder_header(builder, full ? NULL : source->path, source->text, source->size, build, &text, &size,
			      NULL) < 0)
		return;
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	cli_say(NULL, "%s: kernel header: %s, %zu lines", source->path, full ? "all types" : "on demand", lines);
}

/* The signature by a server of what was at this place before: with it nothing would load what is there now. */
static void remove_signature(const char *path)
{
	_free_ char *signature_path = NULL, *signature = NULL;
	size_t size;

	if (asprintf(&signature_path, "%s.sig", path) < 0)
		signature_path = NULL;
	else if (file_read(signature_path, 4096, &signature, &size, NULL) == 0 && str_starts(signature, "ed25519:"))
		(void)unlink(signature_path);
}

static int write_output(struct cli *cli, const struct ab_artifact *artifact, const char *path, size_t *ret_size,
			struct ab_error *err)
{
	const char *form = strcmp(path, "-") ? path : "-.o";
	_free_ void *data = NULL;
	int major, minor, r;

	r = ab_artifact_encode(artifact, form, &data, ret_size, err);
	if (r < 0)
		return r;
	if (!strcmp(path, "-")) {
		out_add(&cli->out, data, *ret_size);
		return 0;
	}
	r = ab_artifact_write(artifact, path, err);
	if (r == 0)
		remove_signature(path);
	if (r == 0 && cli->verbose && str_ends(path, ".so")) {
		find_glibc(data, *ret_size, &major, &minor);
		if (major)
			cli_say(NULL, "%s: needs glibc %d.%d or newer", path, major, minor);
	}
	return r;
}

static int print_json(struct cli *cli, struct ab_builder *builder, const struct ab_artifact *artifact,
		      const struct source *source, const char *path, size_t size, uint64_t ns, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "source", source->path);
	json_member_str(&j, "output", path);
	json_member_uint(&j, "size", size);
	json_member_uint(&j, "duration_ns", ns);
	json_member_str(&j, "compiler", ab_builder_compiler(builder));
	json_member_bool(&j, "full_header", ab_artifact_used_full_header(artifact));
	json_member_str(&j, "diagnostics", ab_artifact_diagnostics(artifact));
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

static int finish_build(struct cli *cli, struct ab_builder *builder, const struct ab_artifact *artifact,
			const struct source *source, const struct ab_build_opts *build, const char *path,
			uint64_t began, struct ab_error *err)
{
	const char *diagnostics = ab_artifact_diagnostics(artifact);
	uint64_t ns = now_ns() - began;
	size_t size;
	int r;

	if (*diagnostics && !cli->quiet && !cli->json)
		fd_write_all(STDERR_FILENO, diagnostics, strlen(diagnostics));
	r = write_output(cli, artifact, path, &size, err);
	if (r < 0)
		return r;
	if (cli->verbose) {
		say_header(builder, source, build, ab_artifact_used_full_header(artifact));
		cli_say(NULL, "%s: %zu bytes, %.1f ms, %s", path, size, ns / 1e6, ab_builder_compiler(builder));
	}
	return cli->json ? print_json(cli, builder, artifact, source, path, size, ns, err) : 0;
}

static int build_one(struct cli *cli, struct ab_builder *builder, const char *operand, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	_free_ char *path = build_output_path(opts, operand);
	struct ab_artifact *artifact = NULL;
	uint64_t began = now_ns();
	struct ab_build_opts build;
	struct source source;
	int r = path ? read_source(operand, &source, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	fill_opts(opts, &build);
	r = ab_builder_build(builder, source.path, source.text, source.size, &build, &artifact, err);
	if (r == 0)
		r = finish_build(cli, builder, artifact, &source, &build, path, began, err);
	ab_artifact_free(artifact);
	free(source.text);
	return r;
}

static int print_header(struct cli *cli, struct ab_builder *builder, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	struct source source = {};
	_free_ char *text = NULL;
	struct ab_build_opts build;
	size_t size;
	int r = 0;

	fill_opts(opts, &build);
	if (cli->operand_count)
		r = read_source(cli->operands[0], &source, err);
	if (r == 0)
		r = ab_builder_header(builder, source.path, source.text, source.size, &build, &text, &size, err);
	free(source.text);
	return r < 0 ? r : cli_write(cli, opts->output, text, size, 0644, err);
}

static int run_build(struct cli *cli, struct ab_error *err)
{
	const struct build_opts *opts = cli->opts;
	AB_OPTS(ab_builder_opts, builder_opts, .compiler = opts->compiler, .one_shot = cli->operand_count == 1);
	struct btf_file btf = NO_BTF_FILE;
	struct ab_builder *builder = NULL;
	size_t done = 0;
	int r = check_usage(cli, err);

	if (r == 0)
		r = build_remotely(cli, &done, err);
	if (r < 0 || (done && done == cli->operand_count))
		return r;
	if (r == 0)
		r = btf_file_whole(cli, opts->btf, NULL, &btf, err);
	builder_opts.btf_path = btf.path;
	if (r == 0)
		r = ab_builder_new(&builder_opts, &builder, err);
	if (r == 0 && opts->header)
		r = print_header(cli, builder, err);
	for (size_t i = done; r == 0 && !opts->header && i < cli->operand_count; i++)
		r = build_one(cli, builder, cli->operands[i], err);
	ab_builder_free(builder);
	btf_file_close(&btf);
	return r;
}
#endif

const struct command cli_build = {
	.name = "build",
	.summary = "compile BPF programs to objects, shared libraries or skeletons",
	.operands = "FILE.bpf.c...",
	.max_operands = SIZE_MAX,
	.hint = HINT_SOURCE,
	.options = options,
	.opts_size = sizeof(struct build_opts),
	.run = run_build,
};
