/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf hub crawl and anybpf hub status. Only in anybpf-hub. */
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include "hub_run.h"

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
	stop_asked = 1;
}

static bool is_stopped(void *ctx)
{
	return stop_asked;
}

/* ---- events ---- */

static void show_event_json(struct hub_run *run, const struct ab_crawl_event *e)
{
	static const char *const words[] = { "listed", "done", "none", "failed" };
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "status", words[e->status]);
	json_member_str(&j, "source", e->source);
	json_member_str(&j, "package", e->name);
	json_member_str(&j, "version", e->version);
	json_member_str(&j, "arch", e->arch);
	json_member_uint(&j, "size", e->size);
	if (e->why) {
		json_member_str(&j, "kind", ab_error_word(e->why->kind));
		json_member_str(&j, "message", e->why->msg);
		json_member_int(&j, "retry_at", e->retry_at);
	}
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

static void clear_progress(struct hub_run *run)
{
	if (run->progress)
		fputs("\r\033[K", stderr);
}

static void show_event(void *ctx, const struct ab_crawl_event *e)
{
	struct hub_run *run = ctx;
	char when[32] = "with the next crawl";
	time_t at = e->retry_at;
	struct tm tm;

	pthread_mutex_lock(&run->lock);
	clear_progress(run);
	if (at && localtime_r(&at, &tm))
		strftime(when, sizeof(when), "after %F %H:%M", &tm);
	if (run->cli->json)
		show_event_json(run, e);
	if (e->status == AB_CRAWL_FAILED)
		cli_say("warning", "%s: %s%s%s: %s; tried again %s", e->source, e->name, *e->version ? " " : "",
			e->version, e->why->msg, when);
	else if (e->status == AB_CRAWL_LISTED && !run->cli->json)
		out_printf(&run->cli->out, "%-16s %-48s %-24s %-8s %6.1f MB\n", e->source, e->name, e->version, e->arch,
			   e->size / 1e6);
	/* A crawl takes hours; what it did is worth reading meanwhile. */
	out_flush(&run->cli->out);
	pthread_mutex_unlock(&run->lock);
}

static void show_progress(void *ctx, size_t done, size_t total, uint64_t fetched)
{
	struct hub_run *run = ctx;

	pthread_mutex_lock(&run->lock);
	if (run->progress)
		fprintf(stderr, "\r\033[K%zu of %zu packages, %.1f MB fetched, %zu kernels added", done, total,
			fetched / 1e6, run->added);
	pthread_mutex_unlock(&run->lock);
}

/* ---- the pack ---- */

static int take_found(void *ctx, const struct ab_found *found, struct ab_error *err)
{
	struct hub_run *run = ctx;
	int r;

	pthread_rwlock_rdlock(&run->writing);
	r = hub_take_found(ctx, found, err);
	pthread_rwlock_unlock(&run->writing);
	return r;
}

/* A writer ends with its commit; the next goes on with what it left. */
static int commit_pack(void *ctx, struct ab_error *err)
{
	struct hub_run *run = ctx;
	int r = 0;

	pthread_rwlock_wrlock(&run->writing);
	if (run->writer) {
		r = ab_pack_writer_commit(run->writer, err);
		if (r >= 0) {
			ab_pack_writer_free(run->writer);
			run->writer = NULL;
			r = ab_pack_writer_open(run->opts->pack, &run->writer, err);
		}
	}
	pthread_rwlock_unlock(&run->writing);
	return r;
}

static bool is_known(void *ctx, const char *release, const char *arch)
{
	struct hub_run *run = ctx;
	struct ab_pack *pack;
	bool known = false;

	if (!run->opts->pack || access(run->opts->pack, R_OK) < 0 || ab_pack_open(run->opts->pack, &pack, NULL) < 0)
		return false;
	for (size_t i = 0; !known && i < ab_pack_count(pack); i++) {
		const struct ab_kernel *k = ab_pack_kernel(pack, i);

		known = !*k->module && !strcmp(k->release, release) && (!arch || !strcmp(k->arch, arch));
	}
	ab_pack_close(pack);
	return known;
}

/* ---- commands ---- */

static int default_path(const char *given, const char *pack, const char *suffix, char **ret_path, struct ab_error *err)
{
	if (given)
		*ret_path = strdup(given);
	else if (asprintf(ret_path, "%s%s", pack, suffix) < 0)
		*ret_path = NULL;
	return *ret_path ? 0 : ab_fail_memory(err);
}

static void say_summary(struct hub_run *run, const struct ab_crawl_result *result, bool is_crawl)
{
	_text_ struct text t = {};

	if (is_crawl)
		text_printf(&t, "%zu kernels listed, %zu done before or not due again, ", result->listed, result->skipped);
	text_printf(&t, "%zu packages read, %zu without types, %zu failed", result->done, result->none, result->failed);
	if (result->sources_failed)
		text_printf(&t, ", %zu list%s failed", result->sources_failed, result->sources_failed == 1 ? "" : "s");
	if (is_crawl)
		text_printf(&t, "; %zu kernels added, %.1f MB fetched", run->added, result->fetched / 1e6);
	cli_say(NULL, "%s", t.p ? t.p : "");
}

static void show_summary(struct hub_run *run, const struct ab_crawl_result *result, bool is_crawl)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "listed", result->listed },   { "skipped", result->skipped },
		{ "done", result->done },       { "none", result->none },
		{ "failed", result->failed },   { "sources_failed", result->sources_failed },
		{ "fetched", result->fetched }, { "added", run->added },
		{ "known", run->known },
	};
	_text_ struct text t = {};
	struct json j = { &t };

	clear_progress(run);
	if (!run->cli->json) {
		if (!run->cli->quiet)
			say_summary(run, result, is_crawl);
		return;
	}
	json_open(&j, '{');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_member_uint(&j, rows[i].name, rows[i].value);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

int hub_crawl(struct hub_run *run, const char *sources, struct ab_error *err)
{
	const struct hub_opts *o = run->opts;
	_free_ char *state = NULL, *cache = NULL;
	struct ab_crawl_result result;
	int r;

	if (!o->pack)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "which pack? 'anybpf hub crawl SOURCES --pack FILE'");
	r = default_path(o->state, o->pack, ".state", &state, err);
	if (r == 0)
		r = default_path(o->cache, o->pack, ".cache", &cache, err);
	if (r == 0 && !o->list)
		r = ab_pack_writer_open(o->pack, &run->writer, err);
	if (r < 0)
		return r;
	AB_OPTS(ab_crawl_opts, opts, .state = state, .cache = cache, .queue = o->queue, .only = o->only.items,
		.downloads = o->downloads, .jobs = o->jobs, .rate = o->rate * 1024, .tmp_dir = o->tmp_dir,
		.list = o->list, .retry = o->retry, .forget = access(o->pack, F_OK) < 0, .found = take_found,
		.commit = commit_pack, .known = is_known, .stopped = is_stopped, .event = show_event,
		.progress = show_progress, .ctx = run);
	signal(SIGINT, ask_to_stop);
	signal(SIGTERM, ask_to_stop);
	r = ab_crawl(sources, &opts, &result, err);
	ab_pack_writer_free(run->writer);
	run->writer = NULL;
	if (r < 0)
		return r;
	show_summary(run, &result, true);
	return result.failed || result.sources_failed || stop_asked ? 1 : 0;
}

int hub_status(struct hub_run *run, struct ab_error *err)
{
	struct ab_crawl_result result;
	_free_ char *state = NULL;
	int r;

	if (!run->opts->pack && !run->opts->state)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "of which pack? 'anybpf hub status --pack FILE'");
	r = default_path(run->opts->state, run->opts->pack ? run->opts->pack : "", ".state", &state, err);
	if (r == 0)
		r = ab_crawl_status(state, show_event, run, &result, err);
	if (r < 0)
		return r;
	show_summary(run, &result, false);
	return 0;
}
