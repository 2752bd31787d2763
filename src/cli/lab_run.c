/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf lab: kernels of the archive, a shell in one of them, and what each of them can do. Only in anybpf-lab. */
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#include "lab_run.h"

/* ---- what lab and test share ---- */

static void show_progress(const char *what, uint64_t done, uint64_t total, void *ctx)
{
	struct lab_run *run = ctx;

	if (!run->progress)
		return;
	if (!what)
		fputs("\r\033[K", stderr);
	else if (total)
		fprintf(stderr, "\r\033[K%s: %llu of %llu MB", what, (unsigned long long)done / 1000000,
			(unsigned long long)total / 1000000);
	else
		fprintf(stderr, "\r\033[K%s...", what);
}

static void show_warning(const char *message, void *ctx)
{
	struct lab_run *run = ctx;

	if (!run->cli->quiet)
		cli_say("warning", "%s", message);
}

int lab_run_open(struct cli *cli, const struct lab_common *opts, struct lab_run *run, struct ab_error *err)
{
	AB_OPTS(ab_lab_opts, lab_opts, .cache_dir = opts->cache, .arch = opts->arch, .guest_dir = opts->guest_dir,
		.accelerator = opts->accel, .cache_limit = (uint64_t)opts->cache_limit << 20, .offline = opts->offline,
		.progress = show_progress, .warn = show_warning, .ctx = run);

	struct rlimit files;

	/* Each kernel holds what it uses of the cache by some descriptors. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	*run = (struct lab_run){ .cli = cli, .opts = opts };
	cli->json = opts->common.json;
	cli->quiet = opts->common.quiet;
	run->progress = !cli->quiet && isatty(STDERR_FILENO);
	return ab_lab_open(&lab_opts, &run->lab, err);
}

void lab_run_close(struct lab_run *run)
{
	for (size_t i = 0; i < run->image_count; i++)
		ab_image_free(run->images[i]);
	free(run->images);
	ab_lab_close(run->lab);
}

static int add_image(struct lab_run *run, struct ab_image *image, struct ab_error *err)
{
	struct ab_image **images = realloc(run->images, (run->image_count + 1) * sizeof(*images));

	if (!images) {
		ab_image_free(image);
		return ab_fail_memory(err);
	}
	run->images = images;
	images[run->image_count++] = image;
	return 0;
}

/* Where many kernels are tested, one that cannot be had costs its own verdict and no more. */
static int add_or_break(struct lab_run *run, int r, struct ab_image *image, const char *name, struct ab_error *err)
{
	if (r < 0 && (!run->lenient || err->kind == AB_ERROR_USAGE || err->kind == AB_ERROR_NO_MEMORY))
		return r;
	if (r < 0) {
		_free_ char *reason = strdup(err->msg);

		ab_error_clear(err);
		r = ab_image_broken(name, reason ? reason : "memory ran out", &image, err);
	}
	return r < 0 ? r : add_image(run, image, err);
}

int lab_run_add_kernels(struct lab_run *run, const char *spec, struct ab_error *err)
{
	struct ab_kernel_list *list = NULL;
	int r = ab_lab_select(run->lab, spec, &list, err);

	for (size_t i = 0; r == 0 && i < ab_kernel_list_count(list); i++) {
		const struct ab_lab_kernel *kernel = ab_kernel_list_get(list, i);
		struct ab_image *image = NULL;

		r = ab_image_fetch(run->lab, kernel, &image, err);
		r = add_or_break(run, r, image, kernel->name, err);
	}
	ab_kernel_list_free(list);
	return r;
}

int lab_run_add_images(struct lab_run *run, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->opts->kernels.count; i++)
		r = lab_run_add_kernels(run, run->opts->kernels.items[i], err);
	for (size_t i = 0; r == 0 && i < run->opts->kernel_files.count; i++) {
		const char *file = run->opts->kernel_files.items[i];
		struct ab_image *image = NULL;

		r = ab_image_open(run->lab, file, &image, err);
		r = add_or_break(run, r, image, path_base(file), err);
	}
	return r;
}

unsigned lab_run_jobs(const struct lab_run *run)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return run->opts->jobs ? (unsigned)run->opts->jobs : cpus > 0 ? (unsigned)cpus : 1;
}

/* ---- lab kernels, lab fetch ---- */

static void add_kernel_json(struct json *j, const struct ab_lab_kernel *k)
{
	json_open(j, '{');
	json_member_str(j, "name", k->name);
	json_member_str(j, "version", k->version);
	json_member_str(j, "series", k->series);
	json_member_str(j, "flavour", k->flavour);
	json_member_str(j, "arch", k->arch);
	json_member_str(j, "suite", k->suite);
	json_member_uint(j, "size", k->size);
	json_member_bool(j, "fetched", k->fetched);
	json_close(j, '}');
}

static char *join_operands(struct cli *cli, const char *fallback)
{
	struct text t = {};

	for (size_t i = 1; i < cli->operand_count; i++)
		text_printf(&t, "%s%s", i > 1 ? "," : "", cli->operands[i]);
	if (!t.n)
		text_puts(&t, fallback);
	return text_take(&t);
}

static int list_kernels(struct lab_run *run, struct ab_error *err)
{
	_free_ char *spec = join_operands(run->cli, "every");
	struct ab_kernel_list *list = NULL;
	struct out *out = &run->cli->out;
	_text_ struct text t = {};
	struct json j = { &t };
	int r = spec ? ab_lab_select(run->lab, spec, &list, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	if (!run->cli->json)
		out_printf(out, "%-36s %-22s %-26s %7s  %s\n", "KERNEL", "PACKAGE", "SUITE", "MB", "FETCHED");
	else
		json_open(&j, '[');
	for (size_t i = 0; i < ab_kernel_list_count(list); i++) {
		const struct ab_lab_kernel *k = ab_kernel_list_get(list, i);

		if (run->cli->json)
			add_kernel_json(&j, k);
		else
			out_printf(out, "%-36s %-22s %-26s %7llu  %s\n", k->name, k->version, k->suite,
				   (unsigned long long)(k->size + 500000) / 1000000, k->fetched ? "yes" : "");
	}
	ab_kernel_list_free(list);
	if (!run->cli->json)
		return 0;
	json_close(&j, ']');
	return cli_print_json(run->cli, &t, err);
}

static int fetch_kernels(struct lab_run *run, struct ab_error *err)
{
	_free_ char *spec = join_operands(run->cli, "");
	int r = spec ? lab_run_add_kernels(run, spec, err) : ab_fail_memory(err);

	for (size_t i = 0; r == 0 && i < run->image_count; i++)
		out_printf(&run->cli->out, "%s %s\n", ab_image_name(run->images[i]), ab_image_path(run->images[i]));
	return r;
}

/* ---- lab shell ---- */

#define SCRIPT "/lab/script"

/* Where there is no terminal, commands come from standard input, to its end. */
static int read_script(struct text *t, struct ab_error *err)
{
	char data[4096];
	ssize_t n;

	while ((n = read(STDIN_FILENO, data, sizeof(data))) > 0)
		text_add(t, data, n);
	if (n < 0)
		return ab_fail_errno(err, -errno, "commands for the guest");
	return t->failed ? ab_fail_memory(err) : 0;
}

static int run_shell(struct lab_run *run, const struct lab_opts *opts, struct ab_error *err)
{
	static const char *const by_hand[] = { "/bin/sh", "-l", NULL }, *const by_script[] = { "/bin/sh", SCRIPT, NULL };
	bool terminal = isatty(STDIN_FILENO);
	const struct ab_step step = { .kind = AB_STEP_SHELL, .argv = terminal ? by_hand : by_script };
	_text_ struct text script = {};
	_free_ char *here = realpath(opts->share ? opts->share : ".", NULL);
	struct ab_guest_result result;
	_free_ char *own = NULL;
	int r = 0;

	if (!here)
		return ab_fail_errno(err, -errno, "directory '%s'", opts->share ? opts->share : ".");
	if (run->cli->operand_count > 1)
		r = lab_run_add_kernels(run, run->cli->operands[1], err);
	if (r == 0)
		r = lab_run_add_images(run, err);
	if (r == 0 && run->image_count != 1)
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "a shell needs one kernel, as in 'anybpf lab shell 6.1'");
	if (r == 0 && !terminal)
		r = read_script(&script, err);
	if (r == 0) {
		struct ab_guest_file file = { .path = SCRIPT, .data = script.p ? script.p : "", .size = script.n };
		AB_OPTS(ab_guest_opts, guest, .files = &file, .file_count = !terminal, .steps = &step, .step_count = 1,
			.share = here, .tools = true, .modules = opts->modules.items, .hide = opts->lab.hide.items,
			.memory_mb = opts->lab.memory, .timeout_ms = opts->lab.timeout / 1000000, .qemu = opts->lab.qemu);

		if (!run->cli->quiet)
			cli_say(NULL, "%s: this directory is /host%s", ab_image_name(run->images[0]),
				terminal ? "; 'exit' ends the guest, Ctrl-] and x one that hangs" : "");
		r = ab_guest_run(run->lab, run->images[0], &guest, &result, err);
	}
	if (r < 0)
		return r;
	if (*result.notes)
		cli_say("warning", "%s", result.notes);
	if (result.state != AB_GUEST_DONE)
		r = ab_fail(err, AB_ERROR_IO, -EIO, "%s: %s", ab_image_name(run->images[0]), result.reason);
	ab_guest_result_clear(&result);
	return r;
}

/* ---- lab clean ---- */

static int clean_cache(struct lab_run *run, struct ab_error *err)
{
	uint64_t kept, removed;
	_text_ struct text t = {};
	struct json j = { &t };
	int r = ab_lab_clean(run->lab, (uint64_t)run->opts->cache_limit << 20, &kept, &removed, err);

	if (r < 0)
		return r;
	if (!run->cli->json) {
		out_printf(&run->cli->out, "removed %llu MB, %llu MB are left\n", (unsigned long long)removed / 1000000,
			   (unsigned long long)kept / 1000000);
		return 0;
	}
	json_open(&j, '{');
	json_member_uint(&j, "removed", removed);
	json_member_uint(&j, "kept", kept);
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

/* ---- lab survey ---- */

struct survey {
	struct lab_run *run;
	pthread_mutex_t lock;
	size_t next;
	struct text *lines; /* a JSON object for each image */
	bool *failed;
};

static void survey_image(struct survey *s, size_t i)
{
	static const char *const argv[] = { "/bin/anybpf", "doctor", "--json", NULL };
	const struct ab_step step = { .kind = AB_STEP_RUN, .id = 1, .ms = 40000, .argv = argv };
	struct ab_guest_file file = { .path = "/bin/anybpf", .host_path = s->run->guest_anybpf, .mode = 0755 };
	const struct lab_common *opts = s->run->opts;
	AB_OPTS(ab_guest_opts, guest, .files = &file, .file_count = 1, .steps = &step, .step_count = 1, .hide = opts->hide.items,
		.memory_mb = opts->memory, .qemu = opts->qemu, .timeout_ms = opts->timeout / 1000000);
	const struct ab_guest_program *doctor;
	struct ab_guest_result result = {};
	struct ab_error err = {};
	struct json j = { &s->lines[i] };
	const char *reason = "";

	if (ab_guest_run(s->run->lab, s->run->images[i], &guest, &result, &err) < 0)
		reason = err.msg;
	else if (result.state != AB_GUEST_DONE)
		reason = result.reason;
	doctor = ab_guest_program(&result, 1);
	if (!*reason && (!doctor || !doctor->out_size || doctor->out[0] != '{'))
		reason = doctor && doctor->err_size ? doctor->err : "anybpf doctor said nothing";
	json_open(&j, '{');
	json_member_str(&j, "kernel", ab_image_name(s->run->images[i]));
	json_member_str(&j, "release", result.release);
	json_member_str(&j, "arch", ab_lab_arch(s->run->lab));
	json_member_str(&j, "image", ab_image_hash(s->run->images[i]));
	json_member_str(&j, "error", *reason ? reason : NULL);
	json_key(&j, "doctor");
	if (*reason)
		json_null(&j);
	else
		json_raw(&j, doctor->out, strcspn(doctor->out, "\n"));
	json_close(&j, '}');
	s->failed[i] = *reason;
	ab_guest_result_clear(&result);
	ab_error_clear(&err);
}

static void *survey_some(void *arg)
{
	struct survey *s = arg;

	for (;;) {
		size_t i;

		pthread_mutex_lock(&s->lock);
		i = s->next++;
		pthread_mutex_unlock(&s->lock);
		if (i >= s->run->image_count)
			return NULL;
		survey_image(s, i);
	}
}

static int print_survey(struct survey *s, const char *output, struct ab_error *err)
{
	_text_ struct text all = {};
	size_t failed = 0;
	int r;

	for (size_t i = 0; i < s->run->image_count; i++) {
		text_printf(&all, "%s\n", s->lines[i].p ? s->lines[i].p : "");
		all.failed |= s->lines[i].failed;
		failed += s->failed[i];
	}
	if (all.failed)
		return ab_fail_memory(err);
	r = cli_write(s->run->cli, output, all.p ? all.p : "", all.n, 0644, err);
	return r < 0 ? r : failed != 0;
}

static int run_survey(struct lab_run *run, const struct lab_opts *opts, struct ab_error *err)
{
	struct survey s = { .run = run, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t threads[1024];
	size_t count = 0;
	int r;

	run->lenient = true;
	r = opts->output && strcmp(opts->output, "-") ? file_writable(opts->output, err) : 0;
	if (r == 0)
		r = lab_run_add_images(run, err);
	for (size_t i = 1; r == 0 && i < run->cli->operand_count; i++)
		r = lab_run_add_kernels(run, run->cli->operands[i], err);
	if (r == 0 && !run->image_count)
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "which kernels? 'anybpf lab survey --kernels all'");
	if (r == 0)
		r = ab_lab_guest_program(run->lab, &run->guest_anybpf, err);
	if (r < 0)
		return r;
	s.lines = array_new(run->image_count, sizeof(*s.lines));
	s.failed = array_new(run->image_count, sizeof(*s.failed));
	if (s.lines && s.failed) {
		while (count < MIN(MIN(lab_run_jobs(run), run->image_count), ARRAY_SIZE(threads)) &&
		       pthread_create(&threads[count], NULL, survey_some, &s) == 0)
			count++;
		if (!count)
			survey_some(&s);
		for (size_t i = 0; i < count; i++)
			pthread_join(threads[i], NULL);
		r = print_survey(&s, opts->output, err);
	} else {
		r = ab_fail_memory(err);
	}
	for (size_t i = 0; s.lines && i < run->image_count; i++)
		text_clear(&s.lines[i]);
	free(s.lines);
	free(s.failed);
	return r;
}

/* ---- the command ---- */

int run_lab(struct cli *cli, struct ab_error *err)
{
	const struct lab_opts *opts = cli->opts;
	int verb = verb_find(cli->command, cli->operands[0], cli->operand_count - 1, err), r;
	struct lab_run run;

	if (verb < 0)
		return verb;
	r = lab_run_open(cli, &opts->lab, &run, err);
	if (r < 0)
		return r;
	switch (verb) {
	case LAB_KERNELS:
		r = list_kernels(&run, err);
		break;
	case LAB_FETCH:
		r = fetch_kernels(&run, err);
		break;
	case LAB_SHELL:
		r = run_shell(&run, opts, err);
		break;
	case LAB_SURVEY:
		r = run_survey(&run, opts, err);
		break;
	case LAB_CLEAN:
		r = clean_cache(&run, err);
		break;
	}
	lab_run_close(&run);
	free(run.guest_anybpf);
	return r;
}
