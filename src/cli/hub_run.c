/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf hub: imports, and what they share with crawls. Only in anybpf-hub. */
#include <pthread.h>
#include <unistd.h>
#include <anybpf/hub.h>
#include "hub_run.h"

/* ---- what is shown ---- */

static void show_found(struct hub_run *run, const struct ab_found *found, bool added)
{
	const struct ab_kernel *k = found->kernel;
	_text_ struct text t = {};
	struct json j = { &t };
	char build_id[41] = "";

	if (!run->cli->json) {
		if (!run->cli->quiet)
			out_printf(&run->cli->out, "%s %s/%s/%s%s%s%s%s\n", added ? "added" : "known",
				   *k->distribution ? k->distribution : "-", k->release, k->arch,
				   *k->flavour ? " " : "", k->flavour, *k->module ? " module " : "", k->module);
		return;
	}
	json_open(&j, '{');
	json_member_str(&j, "release", k->release);
	json_member_str(&j, "arch", k->arch);
	json_member_str(&j, "distribution", k->distribution);
	json_member_str(&j, "flavour", k->flavour);
	if (*k->module)
		json_member_str(&j, "module", k->module);
	json_key(&j, "build_id");
	for (size_t i = 0; i < k->build_id_size; i++)
		sprintf(build_id + 2 * i, "%02x", k->build_id[i]);
	json_str(&j, build_id);
	json_member_uint(&j, "bytes", found->size);
	json_member_str(&j, "input", found->input);
	json_member_str(&j, "member", found->member);
	json_member_bool(&j, "dwarf", found->from_dwarf);
	json_member_bool(&j, "added", added);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static void show_failed(struct hub_run *run, const char *input, const struct ab_error *why)
{
	_text_ struct text t = {};
	struct json j = { &t };

	run->failed++;
	if (strstr(why->msg, input))
		cli_say("error", "%s", why->msg);
	else
		cli_say("error", "%s: %s", input, why->msg);
	if (!run->cli->json)
		return;
	json_open(&j, '{');
	json_member_str(&j, "failed", input);
	json_member_str(&j, "kind", ab_error_word(why->kind));
	json_member_str(&j, "message", why->msg);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

/* ---- where it goes ---- */

static int make_directories(char *path, struct ab_error *err)
{
	char *slash = strrchr(path, '/');
	int r;

	*slash = '\0';
	r = ab_mkdirs(path, err);
	*slash = '/';
	return r;
}

static int write_btf(const char *dir, const struct ab_found *found, bool *ret_added, struct ab_error *err)
{
	const struct ab_kernel *k = found->kernel;
	_text_ struct text path = {};
	int r;

	text_printf(&path, "%s/%s/%s/%s%s%s.btf", dir, *k->distribution ? k->distribution : "unknown", k->arch,
		    k->release, *k->module ? "." : "", k->module);
	if (path.failed)
		return ab_fail_memory(err);
	r = make_directories(path.p, err);
	*ret_added = access(path.p, F_OK) < 0;
	return r < 0 ? r : file_write(path.p, found->btf, found->size, 0644, err);
}

int hub_take_found(void *ctx, const struct ab_found *found, struct ab_error *err)
{
	struct hub_run *run = ctx;
	bool added = true;
	int r = 0;

	if (run->opts->output)
		r = write_btf(run->opts->output, found, &added, err);
	if (r >= 0 && run->writer) {
		r = ab_pack_writer_add(run->writer, found->kernel, found->btf, found->size, found->base,
				       found->base_size, err);
		added = r > 0;
	}
	pthread_mutex_lock(&run->lock);
	if (r >= 0) {
		run->added += added;
		run->known += !added;
		show_found(run, found, added);
	}
	pthread_mutex_unlock(&run->lock);
	return r;
}

static void take_failed(void *ctx, const char *input, const struct ab_error *why)
{
	struct hub_run *run = ctx;

	pthread_mutex_lock(&run->lock);
	show_failed(run, input, why);
	pthread_mutex_unlock(&run->lock);
}

static void show_progress(void *ctx, const char *input, size_t done, size_t total)
{
	struct hub_run *run = ctx;

	pthread_mutex_lock(&run->lock);
	if (run->progress)
		fprintf(stderr, "\r\033[K%zu of %zu files, %zu kernels%s", done, total, run->added + run->known,
			done == total ? "\r\033[K" : "");
	pthread_mutex_unlock(&run->lock);
}

/* ---- import ---- */

static void show_summary(struct hub_run *run, size_t inputs)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!run->cli->json) {
		if (!run->cli->quiet)
			cli_say(NULL, "%zu files: %zu kernels added, %zu known already, %zu files failed", inputs,
				run->added, run->known, run->failed);
		return;
	}
	json_open(&j, '{');
	json_member_uint(&j, "inputs", inputs);
	json_member_uint(&j, "added", run->added);
	json_member_uint(&j, "known", run->known);
	json_member_uint(&j, "failed", run->failed);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static int import_files(struct hub_run *run, const char *const *inputs, size_t count, struct ab_error *err)
{
	const struct hub_opts *o = run->opts;
	AB_OPTS(ab_import_opts, opts, .release = o->release, .arch = o->arch, .distribution = o->distribution,
		.flavour = o->flavour, .modules = o->modules, .jobs = o->jobs, .tmp_dir = o->tmp_dir,
		.found = hub_take_found, .failed = take_failed, .progress = show_progress, .ctx = run);
	struct ab_import_result result;
	int r;

	if (!o->pack && !o->output)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "where to? --pack FILE or --output DIR says it");
	r = o->pack ? ab_pack_writer_open(o->pack, &run->writer, err) : 0;
	if (r == 0)
		r = ab_import(inputs, count, &opts, &result, err);
	if (r == 0 && run->writer && run->added)
		r = ab_pack_writer_commit(run->writer, err);
	ab_pack_writer_free(run->writer);
	run->writer = NULL;
	if (r < 0)
		return r;
	show_summary(run, result.inputs);
	return run->failed ? 1 : 0;
}

int run_hub(struct cli *cli, struct ab_error *err)
{
	struct hub_run run = { .cli = cli, .opts = cli->opts, .progress = !cli->quiet && isatty(STDERR_FILENO) };
	int r = verb_find(cli->command, cli->operands[0], cli->operand_count - 1, err);

	pthread_mutex_init(&run.lock, NULL);
	pthread_rwlock_init(&run.writing, NULL);
	if (r == HUB_IMPORT)
		r = import_files(&run, cli->operands + 1, cli->operand_count - 1, err);
	else if (r == HUB_CRAWL)
		r = hub_crawl(&run, cli->operands[1], err);
	else if (r == HUB_STATUS)
		r = hub_status(&run, err);
	pthread_rwlock_destroy(&run.writing);
	pthread_mutex_destroy(&run.lock);
	return r;
}
