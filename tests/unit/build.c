/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The builder: files in memory, diagnostics and inputs as data, with the worker and with a clang of the system. */
#include <anybpf/anybpf.h>
#include <limits.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <unistd.h>
#include "build/internal.h"
#include "unit.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define START "#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n"
#define LICENSE "char LICENSE[] SEC(\"license\") = \"GPL\";\n"
#define PROGRAM(body) "SEC(\"tp/sched/sched_process_exec\")\nint handle(void *ctx)\n{\n\treturn " body ";\n}\n"

/* That which the environment names, or that of this build. */
static const char *worker(void)
{
	static char path[PATH_MAX];
	const char *named = getenv("ANYBPF_CC");
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *end = n > 0 ? strstr(path, "/tests/unit/") : NULL;

	if (named)
		return named;
	if (!end)
		return NULL;
	strcpy(end, "/anybpf-cc");
	return access(path, X_OK) == 0 ? path : NULL;
}

static struct ab_builder *start(struct ab_builder_opts *opts)
{
	struct ab_builder *builder = NULL;
	struct ab_error err = {};

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("the kernel has no BTF");
	if (!opts->compiler) {
		if (!worker())
			SKIP("anybpf-cc is not built");
		setenv("ANYBPF_CC", worker(), 0);
	}
	ASSERT_OK(ab_builder_new(opts, &builder, &err), err);
	return builder;
}

static struct ab_build_file file(const char *path, const char *text)
{
	return (struct ab_build_file){ path, text, strlen(text) };
}

static bool has_input(const struct ab_builder *builder, const char *path)
{
	for (size_t i = 0; i < ab_builder_input_count(builder); i++)
		if (!strcmp(ab_builder_input(builder, i), path))
			return true;
	return false;
}

static void check_memory(struct ab_builder *builder)
{
	const struct ab_build_file files[] = {
		file("src/program.bpf.c", START "#include \"../inc/one.h\"\n#include <two.h>\n" PROGRAM("ONE + TWO") LICENSE),
		file("inc/one.h", "#pragma once\n#include \"./deep/three.h\"\n#define ONE THREE\n"),
		file("inc/deep/three.h", "#define THREE ((int)sizeof(struct task_struct) * 0 + 1)\n"),
		file("lib/two.h", "#define TWO 2\n"),
		file("lib/unused.h", "#error never read\n"),
	};
	static const char *const dirs[] = { "lib", NULL };
	AB_OPTS(ab_build_opts, opts, .files = files, .file_count = LENGTH(files), .include_dirs = dirs);
	struct ab_artifact *artifact = NULL;
	struct ab_error err = {};
	size_t size;

	ASSERT_OK(ab_builder_build(builder, "src/program.bpf.c", NULL, 0, &opts, &artifact, &err), err);
	ASSERT(!memcmp(ab_artifact_object(artifact, &size), "\177ELF", 4));
	ASSERT(!ab_artifact_used_full_header(artifact)); /* the scan found what the files in memory name */
	ASSERT_INT(ab_builder_diagnostic_count(builder), 0);
	ASSERT_STR(ab_builder_input(builder, 0), "src/program.bpf.c");
	ASSERT_INT(ab_builder_input_count(builder), 4);
	ASSERT(has_input(builder, "lib/two.h"));
	ASSERT(ab_builder_input(builder, 4) == NULL);
	ab_artifact_free(artifact);
}

static void check_diagnostics(struct ab_builder *builder)
{
	const struct ab_build_file files[] = {
		file("bad.bpf.c", START "#warning look\n#include \"x.h\"\n" PROGRAM("f(1, 2)") LICENSE),
		file("x.h", "static int f(int x) { return x; }\nstatic struct task_structt *p;\n"),
	};
	AB_OPTS(ab_build_opts, opts, .files = files, .file_count = LENGTH(files));
	struct ab_artifact *artifact = NULL;
	const struct ab_diagnostic *d;
	struct ab_error err = {};
	size_t i = 0;

	ASSERT_INT(ab_builder_build(builder, "bad.bpf.c", NULL, 0, &opts, &artifact, &err), -22);
	ASSERT_INT(err.kind, AB_ERROR_COMPILE);
	d = ab_builder_diagnostic(builder, i++);
	ASSERT_INT(d->severity, AB_SEVERITY_WARNING);
	ASSERT_STR(d->file, "bad.bpf.c");
	ASSERT_STR(d->message, "look");
	ASSERT_INT(d->line, 3);
	ASSERT_INT(d->column, 2);
	while ((d = ab_builder_diagnostic(builder, i)) && d->severity < AB_SEVERITY_ERROR)
		i++;
	ASSERT(d && strstr(d->message, "too many arguments"));
	ASSERT_INT(d->line, 8);
	d = ab_builder_diagnostic(builder, i + 1);
	ASSERT_INT(d->severity, AB_SEVERITY_NOTE);
	ASSERT_STR(d->file, "x.h");
	ASSERT_INT(d->line, 1);
	ASSERT(has_input(builder, "x.h"));
	ab_error_clear(&err);
}

static void check_nearest(struct ab_builder *builder)
{
	const struct ab_build_file files[] = { file("near.bpf.c", START PROGRAM("sizeof(struct task_structt)") LICENSE) };
	AB_OPTS(ab_build_opts, opts, .files = files, .file_count = 1);
	struct ab_artifact *artifact = NULL;
	const struct ab_diagnostic *d;
	struct ab_error err = {};

	ASSERT(ab_builder_build(builder, "near.bpf.c", NULL, 0, &opts, &artifact, &err) < 0);
	ASSERT_INT(ab_builder_diagnostic_count(builder), 3); /* clang itself notes the forward declaration */
	d = ab_builder_diagnostic(builder, 1);
	ASSERT_INT(d->severity, AB_SEVERITY_NOTE);
	ASSERT(strstr(d->message, "the nearest name is 'struct task_struct'"));
	ASSERT_INT(d->line, ab_builder_diagnostic(builder, 0)->line);
	ASSERT(strstr(err.log, d->message));
	ab_error_clear(&err);
}

static void check_all(const char *compiler)
{
	AB_OPTS(ab_builder_opts, opts, .compiler = compiler);
	struct ab_builder *builder = start(&opts);

	check_memory(builder);
	check_diagnostics(builder);
	check_nearest(builder);
	check_memory(builder);
	ab_builder_free(builder);
}

TEST(with_worker)
{
	check_all(NULL);
}

TEST(with_clang)
{
	char name[32];

	for (int v = 40; v >= 15; v--) {
		snprintf(name, sizeof(name), "/usr/bin/clang-%d", v);
		if (access(name, X_OK) == 0) {
			check_all(name);
			return;
		}
	}
	SKIP("no clang");
}

TEST(memory_hides_disk)
{
	struct ab_builder_opts builder_opts = { .sz = sizeof(builder_opts) };
	struct ab_builder *builder = start(&builder_opts);
	char dir[] = "/tmp/unit-build-XXXXXX", path[64], other[64];
	struct ab_build_file files[2];
	AB_OPTS(ab_build_opts, opts, .files = files, .file_count = 1);
	struct ab_artifact *artifact = NULL;
	struct ab_error err = {};
	FILE *f;

	ASSERT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/value.h", dir);
	snprintf(other, sizeof(other), "%s/program.bpf.c", dir);
	f = fopen(path, "w");
	ASSERT(f && fputs("#error the one on the disk\n", f) >= 0 && !fclose(f));
	files[0] = file(path, "#define VALUE 7\n");
	ASSERT_OK(ab_builder_build(builder, other, START "#include \"value.h\"\n" PROGRAM("VALUE") LICENSE,
				   strlen(START "#include \"value.h\"\n" PROGRAM("VALUE") LICENSE), &opts, &artifact, &err), err);
	ab_artifact_free(artifact);
	remove(path);
	rmdir(dir);
	ab_builder_free(builder);
}

TEST(bad_files)
{
	const struct ab_build_file twice[] = { file("a/x.h", ""), file("a/./b/../x.h", "") }, nameless[] = { file("", "") };
	struct ab_builder_opts builder_opts = { .sz = sizeof(builder_opts) };
	struct ab_builder *builder = start(&builder_opts);
	AB_OPTS(ab_build_opts, opts, .files = twice, .file_count = 2);
	struct ab_artifact *artifact = NULL;
	struct ab_error err = {};

	ASSERT_INT(ab_builder_build(builder, "x.c", "int x;", 6, &opts, &artifact, &err), -22);
	ASSERT_INT(err.kind, AB_ERROR_USAGE);
	ASSERT_STR(err.msg, "two files in memory are 'a/./b/../x.h'");
	ab_error_clear(&err);
	opts.files = nameless;
	opts.file_count = 1;
	ASSERT_INT(ab_builder_build(builder, "x.c", "int x;", 6, &opts, &artifact, &err), -22);
	ASSERT_INT(err.kind, AB_ERROR_USAGE);
	ASSERT_INT(ab_builder_input_count(builder), 0);
	ab_error_clear(&err);
	ab_builder_free(builder);
}

/* BTF without types and with one string; and the lines of as many instructions, each of which names it, or a part of it. */
static bool normalize_lines(size_t text_size, uint32_t lines, uint32_t step)
{
	const size_t head = sizeof(struct btf_header), strings = text_size + 2, ext_size = 24 + 4 + 8 + 16 * (size_t)lines;
	struct btf_header btf_head = { .magic = BTF_MAGIC, .version = 1, .hdr_len = head, .str_len = strings };
	uint32_t ext_head[] = { 1u << 16 | BTF_MAGIC, 24, 0, 0, 0, 12 + 16 * lines, 16, 1, lines };
	uint8_t *btf = calloc(1, head + strings), *ext = calloc(1, ext_size);
	size_t size = head + strings;
	bool good;

	memcpy(btf, &btf_head, head);
	memset(btf + head + 1, ' ', text_size);
	memcpy(ext, ext_head, sizeof(ext_head));
	for (uint32_t i = 0; i < lines; i++)
		memcpy(ext + 36 + 16 * (size_t)i + 8, &(uint32_t){ 1 + i * step }, 4);
	good = ab_btf_normalize(btf, &size, ext, ext_size);
	ASSERT(!good || size == head + strings);
	free(btf);
	free(ext);
	return good;
}

/* Reading the line for each instruction would take minutes, and nobody stops that in a server. */
TEST(a_line_of_megabytes_is_read_once)
{
	ASSERT(normalize_lines(8 << 20, 100000, 0));
	ASSERT(!normalize_lines(8 << 20, 100000, 64));
}
