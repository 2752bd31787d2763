/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The crawl: lists what the sources have, and lets several threads fetch, check and import what is new. What was done
 * is remembered only after what was found is on disk, so a crawl that is killed loses work and nothing else.
 */
#include <dirent.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "crawl.h"

#define DOWNLOADS 4
#define MAX_THREADS 64
#define BATCH 32
#define BATCH_SECONDS 60
#define KEEP_SECONDS 5

/* A kernel that was given to the caller and is not committed yet. */
struct finished {
	char *id, *source, *name, *version, *arch, *key, *entry;
	uint64_t size;
};

struct crawl {
	const struct ab_crawl_opts *opts;
	struct sources sources;
	struct state *state;
	struct queue *queue;    /* NULL: all is done here */
	struct fetcher fetcher;
	struct items items;
	struct listing listing;
	sem_t jobs;
	pthread_mutex_t lock;   /* of what follows, and of events */
	pthread_mutex_t committing;
	size_t next, done, total;
	struct ab_crawl_result result;
	struct finished *batch;
	size_t batch_count;
	time_t committed_at;
	char active[MAX_THREADS][64]; /* the queue's entries at hand */
	bool over;
	struct ab_error fatal;
};

static bool is_stopped(struct crawl *c)
{
	bool fatal;

	pthread_mutex_lock(&c->lock);
	fatal = c->fatal.code;
	pthread_mutex_unlock(&c->lock);
	return fatal || (OPT(c->opts, stopped) && c->opts->stopped(c->opts->ctx));
}

static bool fetch_stopped(void *ctx)
{
	return is_stopped(ctx);
}

static void set_fatal(struct crawl *c, struct ab_error *why)
{
	pthread_mutex_lock(&c->lock);
	if (!c->fatal.code) {
		c->fatal = *why;
		why->log = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	ab_error_clear(why);
}

static void tell(struct crawl *c, const struct ab_crawl_event *event)
{
	pthread_mutex_lock(&c->lock);
	c->result.done += event->status == AB_CRAWL_DONE;
	c->result.none += event->status == AB_CRAWL_NONE;
	c->result.failed += event->status == AB_CRAWL_FAILED;
	if (OPT(c->opts, event))
		c->opts->event(c->opts->ctx, event);
	pthread_mutex_unlock(&c->lock);
}

static struct ab_crawl_event event_of(const struct item *item, const struct package_ref *p, enum ab_crawl_status status)
{
	return (struct ab_crawl_event){ .status = status,
					.source = item->source->name,
					.name = p->name,
					.version = p->version,
					.arch = p->arch,
					.size = p->size };
}

/* ---- commits ---- */

static void clear_finished(struct finished *f)
{
	free(f->id);
	free(f->source);
	free(f->name);
	free(f->version);
	free(f->arch);
	free(f->key);
	free(f->entry);
}

static int note_batch(struct crawl *c, const struct finished *batch, size_t count, struct ab_error *err)
{
	int64_t retry_at;
	int r = ab_state_begin(c->state, err);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = ab_state_note(c->state, batch[i].id, batch[i].source, batch[i].name, batch[i].version,
				  AB_CRAWL_DONE, NULL, &retry_at, err);
	if (r == 0)
		r = ab_state_commit(c->state, err);
	for (size_t i = 0; r == 0 && c->queue && i < count; i++)
		r = ab_queue_finish(c->queue, batch[i].entry, batch[i].key, AB_CRAWL_DONE, NULL, &retry_at, err);
	return r;
}

static void commit(struct crawl *c)
{
	struct ab_error err = {};
	struct finished *batch;
	size_t count;
	int r = 0;

	pthread_mutex_lock(&c->committing);
	pthread_mutex_lock(&c->lock);
	batch = c->batch;
	count = c->batch_count;
	c->batch = NULL;
	c->batch_count = 0;
	c->committed_at = time(NULL);
	pthread_mutex_unlock(&c->lock);
	if (count) {
		r = OPT(c->opts, commit) ? c->opts->commit(c->opts->ctx, &err) : 0;
		if (r >= 0)
			r = note_batch(c, batch, count, &err);
	}
	for (size_t i = 0; i < count; i++) {
		struct ab_crawl_event event = { .status = AB_CRAWL_DONE,
						.source = batch[i].source,
						.name = batch[i].name,
						.version = batch[i].version,
						.arch = batch[i].arch,
						.size = batch[i].size };

		if (r >= 0)
			tell(c, &event);
		clear_finished(&batch[i]);
	}
	free(batch);
	if (r < 0)
		set_fatal(c, &err);
	pthread_mutex_unlock(&c->committing);
}

static void commit_when_due(struct crawl *c)
{
	bool due;

	pthread_mutex_lock(&c->lock);
	due = c->batch_count >= BATCH || (c->batch_count && time(NULL) - c->committed_at >= BATCH_SECONDS);
	pthread_mutex_unlock(&c->lock);
	if (due)
		commit(c);
}

static int add_finished(struct crawl *c, const struct item *item, const struct package_ref *p, const char *entry,
			struct ab_error *err)
{
	struct finished f = { .id = strdup(ab_package_id(p)),
			      .source = strdup(item->source->name),
			      .name = strdup(p->name),
			      .version = strdup(p->version),
			      .arch = strdup(p->arch),
			      .key = strdup(item->key),
			      .entry = strdup(entry),
			      .size = p->size };
	struct finished *grown = NULL;

	pthread_mutex_lock(&c->lock);
	if (f.id && f.source && f.name && f.version && f.arch && f.key && f.entry)
		grown = realloc(c->batch, (c->batch_count + 1) * sizeof(*grown));
	if (grown) {
		c->batch = grown;
		c->batch[c->batch_count++] = f;
	}
	pthread_mutex_unlock(&c->lock);
	if (grown)
		return 0;
	clear_finished(&f);
	return ab_fail_memory(err);
}

/* ---- one package ---- */

struct outcome {
	struct crawl *c;
	struct ab_error why;    /* of a failed import */
	size_t found;
};

static int take_found(void *ctx, const struct ab_found *found, struct ab_error *err)
{
	struct outcome *outcome = ctx;
	int r = outcome->c->opts->found(outcome->c->opts->ctx, found, err);

	outcome->found += r >= 0;
	return r;
}

static void take_failure(void *ctx, const char *input, const struct ab_error *why)
{
	struct outcome *outcome = ctx;

	ab_fail(&outcome->why, why->kind, why->code, "%s", why->msg);
}

static int import_one(struct crawl *c, const struct source *source, const char *path, size_t *ret_found,
		      struct ab_error *err)
{
	struct outcome outcome = { .c = c };
	AB_OPTS(ab_import_opts, opts, .distribution = source->distribution, .modules = source->modules, .jobs = 1,
		.tmp_dir = OPT(c->opts, tmp_dir), .found = take_found, .failed = take_failure, .ctx = &outcome);
	struct ab_import_result result;
	int r;

	sem_wait(&c->jobs);
	r = ab_import(&path, 1, &opts, &result, err);
	sem_post(&c->jobs);
	*ret_found = outcome.found;
	if (r == 0 && outcome.why.code && outcome.why.kind != AB_ERROR_NO_TYPES)
		r = ab_fail(err, outcome.why.kind, outcome.why.code, "%s", outcome.why.msg);
	return r;
}

static int fetch_one(struct crawl *c, const struct source *source, const struct package_ref *p, const char *dir,
		     char **ret_path, struct ab_error *err)
{
	_free_ char *path = NULL;
	struct fetch fetch = { .url = p->url,
			       .hash = p->hash,
			       .algorithm = p->algorithm,
			       .size = p->size,
			       .limit = PACKAGE_LIMIT,
			       .apt = source->apt };
	char *slash;
	int r;

	if (asprintf(&path, "%s/%s", dir, p->path) < 0)
		return ab_fail_memory(err);
	slash = strrchr(path, '/');
	*slash = '\0';
	r = ab_mkdirs(path, err);
	*slash = '/';
	fetch.to = path;
	if (r == 0)
		r = ab_fetch(&c->fetcher, &fetch, err);
	if (r == 0 && source->signed_packages && !source->unsigned_)
		r = ab_verify_rpm(&c->fetcher, source->keyring, path, err);
	if (r == 0)
		*ret_path = TAKE(path);
	return r;
}

/* *ret_found 0: it holds no types. */
static int fetch_and_import(struct crawl *c, const struct source *source, const struct package_ref *p,
			    size_t *ret_found, struct ab_error *err)
{
	_free_ char *dir = NULL, *path = NULL;
	char hash[HASH_TEXT];
	int r;

	/* A file of a directory on this machine is read where it is. */
	if (*p->url == '/')
		return import_one(c, source, p->url, ret_found, err);
	ab_hash_text(ab_package_id(p), strlen(ab_package_id(p)), hash);
	if (asprintf(&dir, "%s/packages/%.32s", c->fetcher.cache, hash) < 0)
		return ab_fail_memory(err);
	r = fetch_one(c, source, p, dir, &path, err);
	if (r == 0)
		r = import_one(c, source, path, ret_found, err);
	/* A download that was cut goes on later. */
	if (path || (r < 0 && r != -EIO && r != -EINTR))
		ab_remove_tree(dir);
	return r;
}

/* ---- one kernel ---- */

/* Which of a kernel's packages is next; NULL: none, it is done, or it has to wait. */
static struct package_ref *next_package(struct crawl *c, const struct item *item, bool retry, struct ab_error *err)
{
	for (size_t i = 0; i < item->count; i++) {
		struct package_ref *p = &item->packages[i];
		const char *arch = ab_arch_of_word(p->arch);
		bool wanted, none;

		if (ab_state_wants(c->state, ab_package_id(p), retry, &wanted, &none, err) < 0)
			return NULL;
		if (none)
			continue;
		if (p->debug && OPT(c->opts, known) && c->opts->known(c->opts->ctx, p->release, arch ? arch : p->arch))
			return NULL;
		return wanted ? p : NULL;
	}
	return NULL;
}

static void note_package(struct crawl *c, const struct item *item, const struct package_ref *p,
			 enum ab_crawl_status status, const struct ab_error *why)
{
	struct ab_crawl_event event = event_of(item, p, status);
	struct ab_error err = {};

	event.why = why;
	if (ab_state_note(c->state, ab_package_id(p), item->source->name, p->name, p->version, status, why,
			  &event.retry_at, &err) < 0)
		set_fatal(c, &err);
	tell(c, &event);
}

/* What became of a kernel whose entry is not finished by a commit. */
static void finish_entry(struct crawl *c, const struct item *item, const char *entry, enum ab_crawl_status status,
			 const struct ab_error *why)
{
	struct ab_error err = {};
	int64_t retry_at;

	if (c->queue && *entry && ab_queue_finish(c->queue, entry, item->key, status, why, &retry_at, &err) < 0)
		set_fatal(c, &err);
}

static void crawl_item(struct crawl *c, const struct item *item, const char *entry)
{
	struct ab_error err = {}, lookup = {};
	struct package_ref *p;
	size_t found = 0;
	int r = 0;

	while (r == 0 && !found && (p = next_package(c, item, c->queue || OPT(c->opts, retry), &lookup))) {
		r = fetch_and_import(c, item->source, p, &found, &err);
		if (r == -EINTR)
			break;
		if (r < 0)
			note_package(c, item, p, AB_CRAWL_FAILED, &err);
		else if (!found)
			note_package(c, item, p, AB_CRAWL_NONE, NULL);
		else if (add_finished(c, item, p, entry, &err) < 0)
			set_fatal(c, &err);
	}
	/* What was stopped on the way, or could not be looked up, is given to somebody else by the queue. */
	if (lookup.code)
		set_fatal(c, &lookup);
	else if (r != -EINTR && !found)
		finish_entry(c, item, entry, r < 0 ? AB_CRAWL_FAILED : AB_CRAWL_NONE, r < 0 ? &err : NULL);
	ab_error_clear(&err);
	commit_when_due(c);
	pthread_mutex_lock(&c->lock);
	c->done++;
	c->result.fetched = c->fetcher.fetched;
	if (OPT(c->opts, progress))
		c->opts->progress(c->opts->ctx, c->done, MAX(c->total, c->done), c->fetcher.fetched);
	pthread_mutex_unlock(&c->lock);
}

/* ---- threads ---- */

static void work_alone(struct crawl *c)
{
	while (!is_stopped(c)) {
		const struct item *item = NULL;

		pthread_mutex_lock(&c->lock);
		if (c->next < c->items.count)
			item = &c->items.items[c->next++];
		pthread_mutex_unlock(&c->lock);
		if (!item)
			return;
		crawl_item(c, item, "");
	}
}

static void crawl_entry(struct crawl *c, char active[64], const char *json, const char *entry)
{
	struct ab_error err = {};
	struct item item;

	pthread_mutex_lock(&c->lock);
	strcpy(active, entry);
	pthread_mutex_unlock(&c->lock);
	if (ab_item_from_json(json, strlen(json), &c->sources, &item, &err) < 0) {
		/* Some other machine may know the source; this one cannot do it. */
		set_fatal(c, &err);
	} else {
		crawl_item(c, &item, entry);
		ab_item_clear(&item);
	}
	pthread_mutex_lock(&c->lock);
	*active = '\0';
	pthread_mutex_unlock(&c->lock);
}

static void work_from_queue(struct crawl *c, size_t thread)
{
	while (!is_stopped(c)) {
		struct ab_error err = {};
		_free_ char *json = NULL;
		char entry[64];
		int r = ab_queue_take(c->queue, &json, entry, &err);

		if (r == 0) {
			crawl_entry(c, c->active[thread], json, entry);
		} else if (r == -EAGAIN || r == -ENOENT) {
			/* What this machine holds back for its next commit is pending too. */
			commit(c);
			if (r == -ENOENT)
				return;
			usleep(200000);
		} else {
			set_fatal(c, &err);
		}
	}
}

struct worker {
	struct crawl *c;
	size_t number;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	if (w->c->queue)
		work_from_queue(w->c, w->number);
	else
		work_alone(w->c);
	return NULL;
}

/* Tells the queue from time to time what is being worked on. */
static void *keep_entries(void *arg)
{
	struct crawl *c = arg;
	unsigned ticks = 0;
	bool over = false;

	while (!over) {
		const char *entries[MAX_THREADS + BATCH * 2];
		char copies[MAX_THREADS + BATCH * 2][64];
		struct ab_error err = {};
		size_t count = 0;

		usleep(100000);
		pthread_mutex_lock(&c->lock);
		over = c->over;
		for (size_t i = 0; i < MAX_THREADS; i++)
			if (*c->active[i])
				strcpy(copies[count++], c->active[i]);
		for (size_t i = 0; i < c->batch_count && count < ARRAY_SIZE(copies); i++)
			snprintf(copies[count++], 64, "%s", c->batch[i].entry);
		pthread_mutex_unlock(&c->lock);
		for (size_t i = 0; i < count; i++)
			entries[i] = copies[i];
		if (++ticks % (KEEP_SECONDS * 10) == 0 && ab_queue_keep(c->queue, entries, count, &err) < 0)
			set_fatal(c, &err);
	}
	return NULL;
}

static void run_threads(struct crawl *c)
{
	struct worker workers[MAX_THREADS];
	size_t count = OPT(c->opts, downloads) ? MIN(c->opts->downloads, MAX_THREADS) : DOWNLOADS, started = 0;
	pthread_t keeper;
	bool keeping = c->queue && pthread_create(&keeper, NULL, keep_entries, c) == 0;

	for (size_t i = 0; i < count; i++) {
		workers[i] = (struct worker){ c, i };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			break;
		started++;
	}
	for (size_t i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	commit(c);
	pthread_mutex_lock(&c->lock);
	c->over = true;
	pthread_mutex_unlock(&c->lock);
	if (keeping)
		pthread_join(keeper, NULL);
}

/* ---- listing ---- */

char *ab_listing_path(struct listing *listing, const char *name, struct ab_error *err)
{
	char *path = NULL;
	bool new;

	if (asprintf(&path, "%s/lists/%s", listing->fetcher->cache, name) < 0)
		path = NULL;
	for (char *c = path ? path + strlen(path) - strlen(name) : NULL; c && *c; c++)
		if (*c == '/')
			*c = '_';
	if (!path || !strmap_put(&listing->keep, path_base(path), strlen(path_base(path)), &new)) {
		free(path);
		ab_fail_memory(err);
		return NULL;
	}
	return path;
}

static void list_failed(void *ctx, const struct source *source, const char *what, const struct ab_error *why)
{
	struct crawl *c = ctx;
	struct ab_crawl_event event = {
		.status = AB_CRAWL_FAILED, .source = source->name, .name = what, .version = "", .arch = "", .why = why
	};
	_free_ char *id = NULL;
	struct ab_error err = {};
	int64_t retry_at;

	if (asprintf(&id, "list %s %s", source->name, what) < 0 ||
	    ab_state_note(c->state, id, source->name, what, "", AB_CRAWL_FAILED, why, &retry_at, &err) < 0)
		set_fatal(c, &err);
	c->result.sources_failed++;
	if (OPT(c->opts, event))
		c->opts->event(c->opts->ctx, &event);
}

static bool is_chosen(const struct crawl *c, const struct source *source)
{
	const char *const *only = OPT(c->opts, only);

	if (!only || !*only)
		return true;
	for (; *only; only++)
		if (!strcmp(*only, source->name))
			return true;
	return false;
}

/* Lists that no source means any more are of no use to the next crawl. */
static void remove_old_lists(struct crawl *c)
{
	_free_ char *dir = NULL;
	struct dirent *entry;
	DIR *d;

	if (asprintf(&dir, "%s/lists", c->fetcher.cache) < 0 || !(d = opendir(dir)))
		return;
	while ((entry = readdir(d)))
		if (*entry->d_name != '.' && !strmap_find(&c->listing.keep, entry->d_name, strlen(entry->d_name)))
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
}

static int list_sources(struct crawl *c, struct ab_error *err)
{
	static int (*const list[])(struct listing *, const struct source *, struct ab_error *) = {
		[SOURCE_DEB] = ab_list_deb,
		[SOURCE_RPM] = ab_list_rpm,
		[SOURCE_BTFHUB] = ab_list_btfhub,
	};
	bool all = true;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->sources.count; i++) {
		struct source *source = &c->sources.items[i];

		if (!is_chosen(c, source)) {
			all = false;
			continue;
		}
		r = ab_state_clear_lists(c->state, source->name, err);
		if (r == 0)
			r = list[source->type](&c->listing, source, err);
	}
	if (r == 0 && all && !c->result.sources_failed)
		remove_old_lists(c);
	return r < 0 ? r : ab_items_finish(&c->items, err);
}

/* Keeps what has to be done; with a queue, gives it there. */
static int choose(struct crawl *c, struct ab_error *err)
{
	size_t kept = 0;

	c->result.listed = c->items.count;
	for (size_t i = 0; i < c->items.count; i++) {
		struct item *item = &c->items.items[i];
		struct package_ref *p = next_package(c, item, OPT(c->opts, retry), err);
		bool wanted = p;

		if (err && err->code)
			return err->code;
		if (p && OPT(c->opts, list)) {
			struct ab_crawl_event event = event_of(item, p, AB_CRAWL_LISTED);

			tell(c, &event);
		} else if (p && c->queue && ab_queue_add(c->queue, item, OPT(c->opts, retry), &wanted, err) < 0) {
			return err && err->code ? err->code : -EIO;
		}
		if (!wanted) {
			c->result.skipped++;
			ab_item_clear(item);
			continue;
		}
		if (kept != i) {
			c->items.items[kept] = *item;
			*item = (struct item){};
		}
		kept++;
	}
	c->items.count = c->total = kept;
	return 0;
}

/* ---- all of it ---- */

static int open_crawl(struct crawl *c, const char *path, struct ab_error *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	_free_ char *lists = NULL, *packages = NULL;
	int r;

	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->committing, NULL);
	sem_init(&c->jobs, 0, OPT(c->opts, jobs) ? c->opts->jobs : cpus > 0 ? cpus : 1);
	c->committed_at = time(NULL);
	c->fetcher = (struct fetcher){
		.cache = c->opts->cache, .lock = PTHREAD_MUTEX_INITIALIZER, .stopped = fetch_stopped, .ctx = c
	};
	if (OPT(c->opts, rate))
		c->fetcher.rate = c->opts->rate;
	c->listing = (struct listing){ .fetcher = &c->fetcher, .items = &c->items, .failed = list_failed, .ctx = c };
	r = ab_sources_read(path, &c->sources, err);
	for (const char *const *only = OPT(c->opts, only); r == 0 && only && *only; only++) {
		size_t i = 0;

		while (i < c->sources.count && strcmp(c->sources.items[i].name, *only))
			i++;
		if (i == c->sources.count)
			r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no source '%s'", path, *only);
	}
	if (r == 0 && (asprintf(&lists, "%s/lists", c->opts->cache) < 0 ||
		       asprintf(&packages, "%s/packages", c->opts->cache) < 0))
		r = ab_fail_memory(err);
	if (r == 0)
		r = ab_mkdirs(lists, err);
	if (r == 0)
		r = ab_mkdirs(packages, err);
	if (r == 0)
		r = ab_state_open(c->opts->state, true, &c->state, err);
	if (r == 0 && OPT(c->opts, forget))
		r = ab_state_forget(c->state, err);
	if (r == 0 && OPT(c->opts, queue))
		r = ab_queue_open(c->opts->queue, &c->queue, err);
	return r;
}

static void close_crawl(struct crawl *c)
{
	for (size_t i = 0; i < c->batch_count; i++)
		clear_finished(&c->batch[i]);
	free(c->batch);
	ab_items_clear(&c->items);
	strmap_clear(&c->listing.keep);
	ab_sources_clear(&c->sources);
	ab_queue_close(c->queue);
	ab_state_close(c->state);
	sem_destroy(&c->jobs);
	pthread_mutex_destroy(&c->committing);
	pthread_mutex_destroy(&c->lock);
}

int ab_crawl(const char *sources, const struct ab_crawl_opts *opts, struct ab_crawl_result *ret_result,
	     struct ab_error *err)
{
	struct crawl c = { .opts = opts };
	int r;

	if (!OPT(opts, state) || !OPT(opts, cache) || (!OPT(opts, found) && !OPT(opts, list)))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "a crawl needs a state file, a cache directory and somebody to tell what was found");
	ab_fetch_init();
	r = open_crawl(&c, sources, err);
	if (r == 0)
		r = list_sources(&c, err);
	if (r == 0)
		r = choose(&c, err);
	if (r == 0 && !OPT(opts, list)) {
		run_threads(&c);
		if (c.fatal.code)
			r = ab_fail(err, c.fatal.kind, c.fatal.code, "%s", c.fatal.msg);
	}
	ab_error_clear(&c.fatal);
	c.result.fetched = c.fetcher.fetched;
	close_crawl(&c);
	if (r == 0)
		*ret_result = c.result;
	return r;
}
