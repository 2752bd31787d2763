/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf test: compiles what has to be compiled, runs the lab's tests, prints the table and the reports. Only in anybpf-lab. */
#include <anybpf/anybpf.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lab_run.h"

/* An object in memory, so that nothing is left of it however this ends. */
struct made {
	int fd;         /* 0: the operand is an object */
	char path[32];
};

struct test_run {
	struct lab_run lab;
	const struct test_opts *opts;
	const char **files;   /* objects, as long as the operands */
	struct made *made;    /* what was compiled, as long as the operands */
	size_t done, total;
};

/* ---- sources to objects ---- */

static int keep(struct made *made, const struct ab_artifact *artifact, struct ab_error *err)
{
	size_t size;
	const void *object = ab_artifact_object(artifact, &size);
	int r;

	made->fd = memfd_create("object", MFD_CLOEXEC);
	if (made->fd < 0) {
		made->fd = 0;
		return ab_fail_errno(err, -errno, "memory for an object");
	}
	snprintf(made->path, sizeof(made->path), "/proc/self/fd/%d", made->fd);
	r = fd_write_all(made->fd, object, size);
	return r < 0 ? ab_fail_errno(err, r, "memory for an object") : 0;
}

static int compile(struct test_run *run, struct ab_builder *builder, size_t index, struct ab_error *err)
{
	const char *source = run->lab.cli->operands[index];
	AB_OPTS(ab_build_opts, opts, .arch = run->opts->lab.arch);
	struct ab_artifact *artifact = NULL;
	_free_ char *text = NULL;
	size_t size;
	int r = file_read(source, 16 << 20, &text, &size, err);

	if (r == 0)
		r = ab_builder_build(builder, source, text, size, &opts, &artifact, err);
	if (r < 0)
		return r;
	r = keep(&run->made[index], artifact, err);
	ab_artifact_free(artifact);
	run->files[index] = run->made[index].path;
	return r;
}

static int compile_sources(struct test_run *run, struct ab_error *err)
{
	struct cli *cli = run->lab.cli;
	struct ab_builder *builder = NULL;
	int r = 0;

	run->files = array_new(cli->operand_count + 1, sizeof(*run->files));
	run->made = array_new(cli->operand_count + 1, sizeof(*run->made));
	if (!run->files || !run->made)
		return ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < cli->operand_count; i++) {
		run->files[i] = cli->operands[i];
		if (!str_ends(cli->operands[i], ".c"))
			continue;
		if (!builder)
			r = ab_builder_new(NULL, &builder, err);
		if (r == 0)
			r = compile(run, builder, i, err);
	}
	ab_builder_free(builder);
	return r;
}

/* ---- output ---- */

static const char *verdict_word(struct cli *cli, enum ab_verdict verdict)
{
	static const char *const plain[] = { "pass", "FAIL", "skip" };
	static const char *const colored[] = { "\033[32mpass\033[0m", "\033[31mFAIL\033[0m", "\033[33mskip\033[0m" };

	return cli->out.color ? colored[verdict] : plain[verdict];
}

static void show_counter(struct test_run *run)
{
	if (run->lab.progress && run->done < run->total)
		fprintf(stderr, "\r\033[K%zu of %zu", run->done, run->total);
}

/* A name, padded; whatever a file is called, this is one line. */
static void put_name(struct out *out, const char *name, size_t columns)
{
	size_t n = strcspn(name, "\n\t");

	out_safe(out, name, n);
	if (name[n])
		out_puts(out, "?");
	for (n = utf8_width(name, n); n < columns; n++)
		out_puts(out, " ");
	out_puts(out, columns ? " " : "");
}

static void print_programs(struct out *out, const struct ab_test_result *result)
{
	for (size_t i = 0; i < result->program_count; i++) {
		const struct ab_test_program *p = &result->programs[i];

		out_puts(out, "      ");
		put_name(out, p->state, 8);
		put_name(out, p->name, 28);
		put_name(out, p->section, 0);
		out_puts(out, *p->reason ? ": " : "");
		put_name(out, p->reason, 0);
		out_puts(out, "\n");
	}
}

static void print_verdict(const struct ab_test_result *result, void *ctx)
{
	struct test_run *run = ctx;
	struct cli *cli = run->lab.cli;
	size_t attached = 0;

	run->done++;
	if (run->lab.progress)
		fputs("\r\033[K", stderr);
	for (size_t i = 0; i < result->program_count; i++)
		attached += !strcmp(result->programs[i].state, "attached");
	if (!cli->json) {
		out_printf(&cli->out, "%s  ", verdict_word(cli, result->verdict));
		put_name(&cli->out, result->kernel, 28);
		put_name(&cli->out, result->name, 20);
		if (result->verdict == AB_VERDICT_PASS)
			out_printf(&cli->out, "%zu of %zu attached, %llu events", attached, result->program_count,
				   (unsigned long long)result->events);
		out_puts(&cli->out, result->verdict == AB_VERDICT_PASS && *result->reason ? "; " : "");
		out_safe(&cli->out, result->reason, strlen(result->reason));
		out_puts(&cli->out, result->from_cache ? " (cached)\n" : "\n");
		if (run->opts->lab.common.verbose)
			print_programs(&cli->out, result);
		if (result->verdict == AB_VERDICT_FAIL && run->opts->lab.common.verbose)
			out_safe(&cli->out, result->detail, strlen(result->detail));
		out_flush(&cli->out);
	}
	show_counter(run);
}

static int write_report(const struct ab_report *report, const char *path,
			int (*write)(const struct ab_report *, FILE *, struct ab_error *), struct ab_error *err)
{
	_free_ char *text = NULL;
	size_t size;
	FILE *memory;
	int r;

	if (!path)
		return 0;
	memory = open_memstream(&text, &size);
	if (!memory)
		return ab_fail_memory(err);
	r = write(report, memory, err);
	fclose(memory);
	return r < 0 ? r : file_write(path, text, size, 0644, err);
}

static int print_json(struct cli *cli, const struct ab_report *report, struct ab_error *err)
{
	_free_ char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);
	int r;

	if (!memory)
		return ab_fail_memory(err);
	r = ab_report_write_json(report, memory, err);
	fclose(memory);
	if (r == 0)
		out_add(&cli->out, text, size);
	return r;
}

static int finish(struct test_run *run, const struct ab_report *report, struct ab_error *err)
{
	struct cli *cli = run->lab.cli;
	int r = write_report(report, run->opts->junit, ab_report_write_junit, err);

	if (r == 0)
		r = write_report(report, run->opts->html, ab_report_write_html, err);
	if (r == 0 && cli->json)
		r = print_json(cli, report, err);
	else if (r == 0)
		out_printf(&cli->out, "%zu passed, %zu failed, %zu skipped\n", ab_report_verdicts(report, AB_VERDICT_PASS),
			   ab_report_verdicts(report, AB_VERDICT_FAIL), ab_report_verdicts(report, AB_VERDICT_SKIP));
	return r < 0 ? r : ab_report_verdicts(report, AB_VERDICT_FAIL) != 0;
}

/* ---- the command ---- */

static int test_objects(struct test_run *run, struct ab_error *err)
{
	const struct test_opts *opts = run->opts;
	AB_OPTS(ab_test_opts, test, .files = run->files, .sources = run->lab.cli->operands, .images = run->lab.images,
		.image_count = run->lab.image_count, .hide = opts->lab.hide.items, .jobs = lab_run_jobs(&run->lab),
		.timeout_ms = opts->lab.timeout / 1000000, .memory_mb = opts->lab.memory, .cached = opts->cached,
		.log_dir = opts->log_dir, .verdict = print_verdict, .ctx = run, .qemu = opts->lab.qemu);
	struct ab_report *report = NULL;
	int r;

	run->total = run->lab.cli->operand_count * run->lab.image_count;
	r = ab_test_run(run->lab.lab, &test, &report, err);
	if (r < 0)
		return r;
	r = finish(run, report, err);
	ab_report_free(report);
	return r;
}

static void free_run(struct test_run *run)
{
	for (size_t i = 0; run->made && i < run->lab.cli->operand_count; i++)
		if (run->made[i].fd)
			close(run->made[i].fd);
	free(run->made);
	free(run->files);
	lab_run_close(&run->lab);
}

int run_test(struct cli *cli, struct ab_error *err)
{
	struct test_run run = { .opts = cli->opts };
	int r = lab_run_open(cli, &run.opts->lab, &run.lab, err);

	if (r < 0)
		return r;
	if (!run.opts->lab.kernels.count && !run.opts->lab.kernel_files.count)
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "on which kernels? '--kernels oldest,6.1,latest', or --kernel FILE");
	if (r == 0 && run.opts->junit)
		r = file_writable(run.opts->junit, err);
	if (r == 0 && run.opts->html)
		r = file_writable(run.opts->html, err);
	if (r == 0)
		r = compile_sources(&run, err);
	run.lab.lenient = true;
	if (r == 0)
		r = lab_run_add_images(&run.lab, err);
	if (r == 0)
		r = test_objects(&run, err);
	free_run(&run);
	return r;
}
