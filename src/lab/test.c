/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Objects on kernels: which guests to boot, what each has to do, and a verdict for each pair. A guest does all objects of
 * its kernel one after the other; when one of them takes the guest down, the rest goes on in a new one.
 */
#include <unistd.h>
#include "test.h"

/* What `anybpf run --json` prints when everything is attached (anybpf-run(1)). */
#define ATTACHED "{\"type\":\"attached\""
#define START_MS 20000     /* for loading and attaching */
#define SETTLE_MS 300
#define STOP_MS 10000
#define BOOT_MS 40000      /* what a guest may take beside its objects */
#define COMMANDS_MAX 60    /* workload commands of an object: ids are 64 apart */
#define IDS 64
#define COMMAND_TEXT 1000  /* bytes of what a command said, in a failure's detail */
#define OBJECTS_MAX 1000

/* ---- what is tested ---- */

static void clear_object(struct test_object *object)
{
	ab_expect_close(&object->expect);
	free(object->name);
	free(object->guest_path);
	free(object->args);
	free(object->commands);
	free(object->modules);
	globfree(&object->files);
}

/* "a/execsnoop.bpf.o" to "execsnoop". */
static char *name_of(const char *file)
{
	static const char *const endings[] = { ".bpf.c", ".bpf.o", ".o", ".so", ".c" };
	const char *base = path_base(file);

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (str_ends(base, endings[i]) && strlen(base) > strlen(endings[i]))
			return strndup(base, strlen(base) - strlen(endings[i]));
	return strdup(base);
}

/* `setup` and `workload` one behind the other: the guest's programs are numbered in this order. */
static int list_commands(struct test_object *object, const char *path, struct ab_error *err)
{
	_free_ const char **setup = ab_expect_strings(&object->expect, "setup", &object->setup_count);
	_free_ const char **workload = ab_expect_strings(&object->expect, "workload", &object->command_count);

	object->command_count += object->setup_count;
	object->commands = array_new(object->command_count + 1, sizeof(*object->commands));
	if (!setup || !workload || !object->commands)
		return ab_fail_memory(err);
	if (object->command_count > COMMANDS_MAX)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "'%s': more than %d commands in setup and workload", path,
			       COMMANDS_MAX);
	memcpy(object->commands, setup, object->setup_count * sizeof(*setup));
	memcpy(object->commands + object->setup_count, workload, (object->command_count - object->setup_count) * sizeof(*workload));
	return 0;
}

/* `files` are patterns, so that one file serves machines that keep their libraries in different places. */
static int find_files(struct ab_lab *lab, struct test_object *object, const char *path, struct ab_error *err)
{
	size_t count = 0;
	_free_ const char **patterns = ab_expect_strings(&object->expect, "files", &count);

	if (!patterns)
		return ab_fail_memory(err);
	object->foreign = count && !ab_lab_is_native(lab);
	for (size_t i = 0; i < count && !object->foreign; i++) {
		int r = glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &object->files);

		if (r == GLOB_NOSPACE)
			return ab_fail_memory(err);
		if (r)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s': no file of this machine is '%s'", path,
				       patterns[i]);
	}
	return 0;
}

static int open_object(struct ab_lab *lab, struct test_object *object, const char *file, const char *source, size_t index,
		       struct ab_error *err)
{
	_text_ struct text path = {};
	const char *slash = strrchr(source, '/');
	int r;

	object->file = source;
	object->path = file;
	object->name = name_of(source);
	if (!object->name)
		return ab_fail_memory(err);
	if (access(file, R_OK) < 0)
		return ab_fail_errno(err, -errno, "'%s'", file);
	text_printf(&path, "%.*s%s.test.toml", slash ? (int)(slash + 1 - source) : 0, source, object->name);
	if (!path.p)
		return ab_fail_memory(err);
	r = ab_expect_open(path.p, &object->expect, err);
	if (r < 0)
		return r;
	if (asprintf(&object->guest_path, "/lab/%zu/%s%s", index, object->name, str_ends(file, ".so") ? ".so" : ".bpf.o") < 0)
		object->guest_path = NULL;
	object->args = ab_expect_strings(&object->expect, "args", &object->arg_count);
	object->modules = ab_expect_strings(&object->expect, "modules", NULL);
	object->timeout_ms = ab_expect_number(&object->expect, "timeout_s", START_MS / 1000) * 1000;
	if (!object->guest_path || !object->args || !object->modules)
		return ab_fail_memory(err);
	if ((r = list_commands(object, path.p, err)) < 0 || (r = find_files(lab, object, path.p, err)) < 0)
		return r;
	return ab_hash_file(file, object->hash, err);
}

static int open_objects(struct test *t, struct ab_error *err)
{
	const struct ab_test_opts *opts = t->opts;
	int r = 0;

	while (opts->files && opts->files[t->object_count])
		t->object_count++;
	if (!t->object_count || !opts->image_count)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "nothing to test: no %s", t->object_count ? "kernel" : "object");
	if (t->object_count > OBJECTS_MAX)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "more than %d objects at a time", OBJECTS_MAX);
	t->objects = array_new(t->object_count, sizeof(*t->objects));
	if (!t->objects)
		return ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < t->object_count; i++)
		r = open_object(t->lab, &t->objects[i], opts->files[i], OPT(opts, sources) ? opts->sources[i] : opts->files[i], i,
				err);
	return r;
}

/* ---- what a guest has to do ---- */

struct plan {
	struct ab_guest_file *files;
	struct ab_step *steps;
	const char **modules;
	const char ***argvs;  /* to free */
	size_t file_count, step_count, module_count, argv_count;
	unsigned ms;
};

static void clear_plan(struct plan *plan)
{
	for (size_t i = 0; i < plan->argv_count; i++)
		free(plan->argvs[i]);
	free(plan->argvs);
	free(plan->files);
	free(plan->steps);
	free(plan->modules);
}

static const char **new_argv(struct plan *plan, size_t count)
{
	const char **argv = array_new(count + 1, sizeof(*argv));

	if (argv)
		plan->argvs[plan->argv_count++] = argv;
	return argv;
}

/* A file of the host at the same place in the guest, with whatever mode lets programs run. Objects may share files. */
static void add_file(struct plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->file_count; i++)
		if (!strcmp(plan->files[i].path, path))
			return;
	plan->files[plan->file_count++] = (struct ab_guest_file){ .path = path, .host_path = path, .mode = 0755 };
}

/* Runs, or stops, commands `from` to `to` of an object. */
static int plan_commands(struct plan *plan, const struct test_object *object, int id, size_t from, size_t to,
			 enum ab_step_kind kind, struct ab_error *err)
{
	for (size_t i = from; i < to; i++) {
		const char **shell = kind == AB_STEP_RUN ? new_argv(plan, 3) : NULL;

		if (shell) {
			shell[0] = "/bin/sh";
			shell[1] = "-c";
			shell[2] = object->commands[i];
		} else if (kind == AB_STEP_RUN) {
			return ab_fail_memory(err);
		}
		plan->steps[plan->step_count++] = (struct ab_step){
			.kind = kind, .id = id + 1 + (int)i, .ms = object->timeout_ms, .argv = shell
		};
	}
	return 0;
}

static int plan_object(struct plan *plan, const struct test_object *object, size_t index, struct ab_error *err)
{
	static const char *const run[] = { "/bin/anybpf", "run", "--json" };
	int id = (int)(index * IDS + 1);
	const char **argv = new_argv(plan, ARRAY_SIZE(run) + 1 + object->arg_count);
	unsigned settle = ab_expect_number(&object->expect, "settle_ms", SETTLE_MS);
	int r;

	if (!argv)
		return ab_fail_memory(err);
	r = plan_commands(plan, object, id, 0, object->setup_count, AB_STEP_RUN, err);
	if (r < 0)
		return r;
	memcpy(argv, run, sizeof(run));
	argv[ARRAY_SIZE(run)] = object->guest_path;
	memcpy(argv + ARRAY_SIZE(run) + 1, object->args, object->arg_count * sizeof(*argv));
	plan->files[plan->file_count++] = (struct ab_guest_file){ .path = object->guest_path, .host_path = object->path };
	plan->steps[plan->step_count++] = (struct ab_step){ .kind = AB_STEP_START, .id = id, .argv = argv };
	plan->steps[plan->step_count++] = (struct ab_step){
		.kind = AB_STEP_AWAIT, .id = id, .ms = object->timeout_ms, .text = ATTACHED
	};
	r = plan_commands(plan, object, id, object->setup_count, object->command_count, AB_STEP_RUN, err);
	if (r < 0)
		return r;
	if (object->command_count > object->setup_count)
		plan->steps[plan->step_count++] = (struct ab_step){ .kind = AB_STEP_SETTLE, .id = id, .ms = settle };
	plan->steps[plan->step_count++] = (struct ab_step){ .kind = AB_STEP_STOP, .id = id, .ms = STOP_MS };
	r = plan_commands(plan, object, id, 0, object->command_count, AB_STEP_STOP, err);
	for (size_t i = 0; i < object->files.gl_pathc; i++)
		add_file(plan, object->files.gl_pathv[i]);
	for (size_t i = 0; object->modules[i]; i++)
		plan->modules[plan->module_count++] = object->modules[i];
	plan->ms += object->timeout_ms + settle + STOP_MS;
	return r;
}

/* For the objects that have no verdict yet. */
static int make_plan(const struct test *t, const bool *done, const char *anybpf, struct plan *plan, bool *ret_tools,
		     struct ab_error *err)
{
	size_t steps = t->object_count * (2 * COMMANDS_MAX + 4), modules = 0, files = 1;
	int r = 0;

	for (size_t i = 0; i < t->object_count; i++) {
		files += 1 + t->objects[i].files.gl_pathc;
		for (size_t k = 0; t->objects[i].modules[k]; k++)
			modules++;
	}
	plan->files = array_new(files, sizeof(*plan->files));
	plan->steps = array_new(steps, sizeof(*plan->steps));
	plan->argvs = array_new(steps, sizeof(*plan->argvs));
	plan->modules = array_new(modules + 1, sizeof(*plan->modules));
	if (!plan->files || !plan->steps || !plan->argvs || !plan->modules)
		return ab_fail_memory(err);
	plan->files[plan->file_count++] = (struct ab_guest_file){ .path = "/bin/anybpf", .host_path = anybpf, .mode = 0755 };
	plan->ms = BOOT_MS;
	for (size_t i = 0; r == 0 && i < t->object_count; i++) {
		if (done[i])
			continue;
		*ret_tools |= t->objects[i].command_count != 0;
		r = plan_object(plan, &t->objects[i], i, err);
	}
	return r;
}

/* ---- verdicts ---- */

static json_t *make_doc(const char *verdict, const char *reason, const char *detail)
{
	return json_pack("{s:s, s:o, s:o, s:[], s:i, s:i, s:i}", "verdict", verdict, "reason", ab_expect_text(reason), "detail",
			 ab_expect_text(detail ? detail : ""), "programs", "events", 0, "lost", 0, "duration_ns", 0);
}

static void settle_verdict(struct test *t, size_t image, size_t object, json_t *doc, bool cached)
{
	struct test_cell *cell = &t->cells[image * t->object_count + object];

	pthread_mutex_lock(&t->lock);
	cell->doc = doc;
	cell->from_cache = cached;
	ab_report_fill(t, image, object);
	if (OPT(t->opts, verdict))
		t->opts->verdict(&cell->result, t->opts->ctx);
	pthread_mutex_unlock(&t->lock);
}

/* A command that ran into its time limit. */
static const char *find_endless(const struct test_object *object, const struct ab_guest_result *result, int id)
{
	for (size_t i = 0; i < object->command_count; i++) {
		const struct ab_guest_program *p = ab_guest_program(result, id + 1 + (int)i);

		if (p && p->killed)
			return object->commands[i];
	}
	return NULL;
}

/*
 * A failure of an object that needs modules which cannot be had for this kernel (the archive drops old builds' modules) says
 * nothing about the object.
 */
static json_t *excuse_modules(struct test *t, size_t image, const struct test_object *object, json_t *doc)
{
	const char *verdict = json_string_value(json_object_get(doc, "verdict"));
	struct module_list list = {};
	struct ab_error err = {};

	if (object->modules[0] && verdict && !strcmp(verdict, "fail") &&
	    ab_modules_find(t->lab, t->opts->images[image], object->modules, MODULE_REQUIRED, &list, &err) == -ENOENT) {
		json_object_set_new(doc, "verdict", json_string("skip"));
		json_object_set_new(doc, "reason", ab_expect_text(err.msg));
	}
	ab_modules_free(&list);
	ab_error_clear(&err);
	return doc;
}

/* What the commands said and how they ended, for a failure's detail: a workload that could not work explains most of them. */
static void add_commands(const struct test_object *object, const struct ab_guest_result *result, int id, json_t *doc)
{
	const char *verdict = json_string_value(json_object_get(doc, "verdict"));
	_text_ struct text t = {};

	if (!verdict || strcmp(verdict, "fail"))
		return;
	text_puts(&t, json_string_value(json_object_get(doc, "detail")));
	for (size_t i = 0; i < object->command_count; i++) {
		const struct ab_guest_program *p = ab_guest_program(result, id + 1 + (int)i);

		if (!p || (!p->status && !p->err_size))
			continue;
		text_printf(&t, "'%s' ended with status %d: %.*s\n", object->commands[i], p->status, COMMAND_TEXT,
			    p->err ? p->err : "");
	}
	if (t.p)
		json_object_set_new(doc, "detail", ab_expect_text(t.p));
}

static json_t *judge_object(const struct test_object *object, const char *arch, const struct ab_guest_result *result, size_t index,
			    struct ab_error *err)
{
	int id = (int)(index * IDS + 1);
	const struct ab_guest_program *p = ab_guest_program(result, id);
	struct run_output run = { .out = p && p->out ? p->out : "", .out_size = p ? p->out_size : 0,
				  .err = p && p->err ? p->err : "", .ended = p && p->ended && !p->killed,
				  .status = p ? p->status : 0, .timeout_s = object->timeout_ms / 1000,
				  .release = result->release, .arch = arch };
	const char *endless = find_endless(object, result, id);
	char reason[512];
	json_t *doc = NULL;

	if (endless) {
		snprintf(reason, sizeof(reason), "the workload's command '%s' did not end in %u s", endless,
			 object->timeout_ms / 1000);
		return make_doc("fail", reason, result->notes);
	}
	if (!p)
		return make_doc("fail", "anybpf run could not be started", result->notes);
	if (ab_expect_judge(&object->expect, &run, &doc, err) < 0)
		return NULL;
	add_commands(object, result, id, doc);
	return doc;
}

/* ---- logs of guests that failed ---- */

/* "KERNEL.log"; further guests of that kernel have "KERNEL-2.log" and so on. */
static int write_console(const char *dir, const char *name, size_t guest, const struct ab_guest_result *result, struct text *path,
			 struct ab_error *err)
{
	_text_ struct text text = {};
	int r = ab_mkdirs(dir, err);

	if (r < 0)
		return r;
	text_printf(path, "%s/%s", dir, name);
	if (guest > 1)
		text_printf(path, "-%zu", guest);
	text_puts(path, ".log");
	text_printf(&text, "%s\n%s\n%s", result->reason, result->notes ? result->notes : "",
		    result->console ? result->console : "");
	if (path->failed || text.failed)
		return ab_fail_memory(err);
	return file_write(path->p, text.p, text.n, 0644, err);
}

static void keep_console(struct test *t, size_t image, size_t guest, const struct ab_guest_result *result)
{
	const char *name = ab_report_image_name(t->report, image);
	_text_ struct text dir = {}, path = {};
	struct ab_error err = {};

	if (OPT(t->opts, log_dir))
		text_puts(&dir, t->opts->log_dir);
	else
		text_printf(&dir, "%s/log", t->lab->cache);
	if (dir.p && write_console(dir.p, name, guest, result, &path, &err) == 0)
		ab_lab_warn(t->lab, "%s: %s; its console is in '%s'", name, result->reason, path.p);
	else
		ab_lab_warn(t->lab, "%s: %s; its console is lost: %s", name, result->reason, *err.msg ? err.msg : "memory ran out");
	ab_error_clear(&err);
}

/* ---- one kernel ---- */

static void fail_rest(struct test *t, size_t image, bool *done, const char *reason, const char *detail)
{
	for (size_t i = 0; i < t->object_count; i++) {
		if (done[i])
			continue;
		done[i] = true;
		settle_verdict(t, image, i, make_doc("fail", reason, detail), false);
	}
}

/* The object that was at work when the guest went down: the first without an end. */
static size_t find_culprit(const struct test *t, const bool *done, const struct ab_guest_result *result)
{
	for (size_t i = 0; i < t->object_count; i++) {
		const struct ab_guest_program *p = done[i] ? NULL : ab_guest_program(result, (int)(i * IDS + 1));

		if (!done[i] && !(p && p->ended))
			return i;
	}
	return SIZE_MAX;
}

/* The last lines of a console. */
static const char *tail_of(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	return n > 4000 ? text + n - 4000 : text ? text : "";
}

static void take_verdicts(struct test *t, size_t image, bool *done, const struct ab_guest_result *result)
{
	size_t culprit = result->state == AB_GUEST_DONE ? SIZE_MAX : find_culprit(t, done, result);

	for (size_t i = 0; i < t->object_count; i++) {
		struct ab_error err = {};
		json_t *doc;

		if (done[i] || i > culprit || (culprit == SIZE_MAX && result->state != AB_GUEST_DONE))
			continue;
		if (i == culprit) {
			doc = make_doc("fail", result->reason, tail_of(result->console));
		} else {
			doc = judge_object(&t->objects[i], t->lab->arch, result, i, &err);
			if (!doc)
				doc = make_doc("fail", err.msg, "");
			else
				ab_verdict_keep(t, image, i, excuse_modules(t, image, &t->objects[i], doc));
		}
		done[i] = true;
		settle_verdict(t, image, i, doc, false);
		ab_error_clear(&err);
	}
	if (result->state != AB_GUEST_DONE && culprit == SIZE_MAX)
		fail_rest(t, image, done, result->reason, tail_of(result->console));
}

static int boot_once(struct test *t, size_t index, bool *done, struct ab_error *err)
{
	struct ab_image *image = t->opts->images[index];
	struct ab_guest_result result = {};
	struct plan plan = {};
	size_t guest_number;
	bool tools = false;
	int r = make_plan(t, done, t->anybpf, &plan, &tools, err);

	if (r == 0) {
		AB_OPTS(ab_guest_opts, guest, .files = plan.files, .file_count = plan.file_count, .steps = plan.steps,
			.step_count = plan.step_count, .modules = plan.modules, .lenient = true,
			.hide = OPT(t->opts, hide), .tools = tools,
			.timeout_ms = OPT(t->opts, timeout_ms) ? OPT(t->opts, timeout_ms) : plan.ms,
			.memory_mb = OPT(t->opts, memory_mb), .qemu = OPT(t->opts, qemu));

		r = ab_guest_run(t->lab, image, &guest, &result, err);
	}
	clear_plan(&plan);
	if (r < 0)
		return r;
	guest_number = ab_report_guest(t, index, &result);
	if (result.state != AB_GUEST_DONE)
		keep_console(t, index, guest_number, &result);
	if (result.state == AB_GUEST_UNBOOTABLE)
		fail_rest(t, index, done, result.reason, tail_of(result.console));
	else
		take_verdicts(t, index, done, &result);
	ab_guest_result_clear(&result);
	return 0;
}

static bool all_done(const struct test *t, const bool *done)
{
	for (size_t i = 0; i < t->object_count; i++)
		if (!done[i])
			return false;
	return true;
}

static void test_image(struct test *t, size_t index)
{
	_free_ bool *done = array_new(t->object_count, sizeof(*done));
	struct ab_error err = {};

	if (!done)
		return;
	for (size_t i = 0; i < t->object_count; i++) {
		json_t *doc = OPT(t->opts, cached) ? ab_verdict_recall(t, index, i) : NULL;
		bool cached = doc;

		if (!doc && t->objects[i].foreign)
			doc = make_doc("skip", "needs files of a machine of the guest's architecture", "");
		if (!doc)
			continue;
		done[i] = true;
		settle_verdict(t, index, i, doc, cached);
	}
	/* Each round settles at least one object, so this ends. */
	while (!all_done(t, done))
		if (boot_once(t, index, done, &err) < 0)
			fail_rest(t, index, done, err.msg, "");
	ab_error_clear(&err);
}

/* ---- all kernels ---- */

static void *work(void *arg)
{
	struct test *t = arg;

	for (;;) {
		size_t i;

		pthread_mutex_lock(&t->lock);
		i = t->next++;
		pthread_mutex_unlock(&t->lock);
		if (i >= t->opts->image_count)
			return NULL;
		test_image(t, i);
	}
}

static void run_workers(struct test *t)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t jobs = MIN(OPT(t->opts, jobs) ? OPT(t->opts, jobs) : cpus > 0 ? (size_t)cpus : 1, t->opts->image_count), started = 0;
	pthread_t *threads = array_new(jobs, sizeof(*threads));

	while (threads && started < jobs && pthread_create(&threads[started], NULL, work, t) == 0)
		started++;
	if (!started)
		work(t);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

static int check_guest(struct test *t, struct ab_error *err)
{
	_free_ char *qemu = NULL;
	int r = ab_lab_guest_program(t->lab, &t->anybpf, err);

	if (r == 0)
		r = ab_hash_file(t->anybpf, t->anybpf_hash, err);
	return r < 0 ? r : ab_guest_find_qemu(t->lab, OPT(t->opts, qemu), &qemu, err);
}

static void free_test(struct test *t)
{
	for (size_t i = 0; t->objects && i < t->object_count; i++)
		clear_object(&t->objects[i]);
	free(t->objects);
	free(t->anybpf);
	pthread_mutex_destroy(&t->lock);
}

int ab_test_run(struct ab_lab *lab, const struct ab_test_opts *opts, struct ab_report **ret_report, struct ab_error *err)
{
	struct test t = { .lab = lab, .opts = opts };
	struct ab_report *report = NULL;
	int r;

	pthread_mutex_init(&t.lock, NULL);
	r = open_objects(&t, err);
	if (r == 0)
		r = check_guest(&t, err);
	if (r == 0)
		r = ab_report_new(&t, &report, err);
	if (r == 0) {
		run_workers(&t);
		*ret_report = report;
	}
	free_test(&t);
	return r;
}
