/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The queue of compiles, its threads and their builders (jobs.h). */
#include <link.h>
#include <sys/utsname.h>
#include "build.h"
#include "cgroups.h"
#include "server.h"
#include "shared.h"

/* One compile and who waits for it. */
struct job {
	struct lru_entry lru;       /* of jobs->flying, by key */
	struct job *next;           /* of the queue */
	struct build_request *build;
	const struct types *types;
	struct waiter *waiters;
	struct request *request;    /* instead of all these: other work for one request */
	void (*work)(struct request *q);
	uint64_t queued_us;
	bool is_started;
};

struct waiter {
	struct waiter *next;
	struct request *request; /* its connection is suspended; NULL: a stream or a thread */
	struct stream *stream;
	struct patience *patience; /* a thread */
	char id[REQUEST_ID_SIZE];
	bool is_inline;
};

/* A thread that waits for an outcome. */
struct patience {
	struct outcome *outcome; /* NULL: memory ran out */
	bool is_over;
};

struct warm {
	struct warm *next; /* the one used last comes first */
	struct ab_builder *builder;
	const struct types *types;
	char *cgroup; /* of the builder's compiler; NULL: there are none */
};

struct jobs {
	struct server *server;
	pthread_mutex_t lock;
	pthread_cond_t more, over;
	struct lru flying;            /* all jobs that are not done */
	struct job *first, **last;    /* those that wait */
	unsigned waiting, running;
	bool is_ending;
	struct warm *idle;
	unsigned n_builders;
	pthread_t *threads;
	unsigned n_threads;
	char *compiler;
	char toolchain[HEX_DIGEST_SIZE];
};

/* ---- outcomes ---- */

struct outcome *ab_outcome_new(struct blob *record, const char *kind, const char *detail)
{
	struct outcome *o = array_new(1, sizeof(*o));

	if (!o) {
		ab_blob_unref(record);
		return NULL;
	}
	o->refs = 1;
	o->record = record;
	o->kind = kind;
	o->detail = detail ? strdup(detail) : NULL;
	return o;
}

void ab_outcome_unref(struct outcome *o)
{
	if (!o || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ab_blob_unref(o->record);
	free(o->detail);
	free(o);
}

/* ---- builders ---- */

static void free_warm(struct warm *w)
{
	if (!w)
		return;
	ab_builder_free(w->builder);
	ab_cgroups_give(w->cgroup);
	free(w);
}

static int make_warm(struct jobs *jobs, const struct types *types, struct warm **ret_warm, struct ab_error *err)
{
	struct config *config = ab_server_config(jobs->server);
	struct warm *w = array_new(1, sizeof(*w));
	int r = w ? 0 : ab_fail_memory(err);

	if (!r && jobs->server->cgroups)
		r = ab_cgroups_take(jobs->server->cgroups, &w->cgroup, err);
	if (!r) {
		AB_OPTS(ab_builder_opts, opts, .btf_path = types->path, .sandbox = config->sandbox, .cgroup = w->cgroup);

		w->types = types;
		r = ab_builder_new(&opts, &w->builder, err);
	}
	ab_config_unref(config);
	if (r)
		free_warm(w);
	else
		*ret_warm = w;
	return r;
}

/* Takes a warm builder for these types, or makes one, for which the one that was idle longest may have to go. */
static int take_warm(struct jobs *jobs, const struct types *types, struct warm **ret_warm, struct ab_error *err)
{
	struct config *config = ab_server_config(jobs->server);
	unsigned limit = jobs->n_threads + config->builders;
	struct warm **at, *found = NULL, *surplus = NULL;
	int r = 0;

	ab_config_unref(config);
	pthread_mutex_lock(&jobs->lock);
	for (at = &jobs->idle; *at && (*at)->types != types; at = &(*at)->next)
		;
	found = *at;
	if (!found && jobs->n_builders >= limit) {
		for (at = &jobs->idle; *at && (*at)->next; at = &(*at)->next)
			;
		surplus = *at;
	}
	if (*at)
		*at = (*at)->next;
	jobs->n_builders += !found && !surplus;
	pthread_mutex_unlock(&jobs->lock);
	free_warm(surplus);
	if (found)
		*ret_warm = found;
	else
		r = make_warm(jobs, types, ret_warm, err);
	if (r) {
		pthread_mutex_lock(&jobs->lock);
		jobs->n_builders--;
		pthread_mutex_unlock(&jobs->lock);
	}
	return r;
}

static void give_warm(struct jobs *jobs, struct warm *w)
{
	pthread_mutex_lock(&jobs->lock);
	w->next = jobs->idle;
	jobs->idle = w;
	pthread_mutex_unlock(&jobs->lock);
}

/* ---- doing one ---- */

static void end_waiter(struct jobs *jobs, struct job *job, struct waiter *w, struct outcome *outcome)
{
	_text_ struct text body = {};
	const char *problem = outcome ? outcome->kind : "no-memory";

	if (w->patience) {
		if (outcome)
			__atomic_add_fetch(&outcome->refs, 1, __ATOMIC_RELAXED);
		pthread_mutex_lock(&jobs->lock);
		*w->patience = (struct patience){ outcome, true };
		pthread_cond_broadcast(&jobs->over);
		pthread_mutex_unlock(&jobs->lock);
	} else if (w->request) {
		if (outcome)
			__atomic_add_fetch(&outcome->refs, 1, __ATOMIC_RELAXED);
		w->request->outcome = outcome;
		MHD_resume_connection(w->request->mhd);
	} else {
		if (!outcome || !outcome->record ||
		    ab_build_answer(jobs->server, job->lru.key, w->id, outcome->record, w->is_inline, &body, &problem)) {
			text_clear(&body);
			ab_problem_write(&body, problem ? problem : "internal", outcome ? outcome->detail : NULL, NULL, w->id);
			problem = "";
		}
		ab_stream_send(w->stream, problem ? "problem" : "result", body.p ? body.p : "{}", body.p ? body.n : 2, true);
		ab_stream_unref(w->stream);
	}
	free(w);
}

/* Takes the job out of flight and tells everybody; frees it. */
static void end_job(struct jobs *jobs, struct job *job, struct outcome *outcome)
{
	_free_ char *key = strdup(job->lru.key);
	struct waiter *w;

	pthread_mutex_lock(&jobs->lock);
	lru_remove(&jobs->flying, &job->lru);
	w = TAKE(job->waiters);
	pthread_mutex_unlock(&jobs->lock);
	job->lru.key = key;
	while (w) {
		struct waiter *next = w->next;

		end_waiter(jobs, job, w, outcome);
		w = next;
	}
	ab_outcome_unref(outcome);
	ab_build_request_free(job->build);
	free(job);
}

static void tell_started(struct jobs *jobs, struct job *job)
{
	pthread_mutex_lock(&jobs->lock);
	job->is_started = true;
	for (struct waiter *w = job->waiters; w; w = w->next)
		if (w->stream)
			ab_stream_send(w->stream, "started", "{}", 2, false);
	pthread_mutex_unlock(&jobs->lock);
}

static struct outcome *outcome_of_error(struct ab_error *err)
{
	struct outcome *o = ab_outcome_new(NULL, ab_problem_of_error(err), err->msg);

	ab_error_clear(err);
	return o;
}

static struct outcome *do_job(struct jobs *jobs, struct job *job)
{
	struct warm *warm;
	struct outcome *outcome;
	struct ab_error err = {};
	uint64_t begun = ab_now_us();

	ab_observe(TIME_QUEUE, begun - job->queued_us);
	tell_started(jobs, job);
	if (take_warm(jobs, job->types, &warm, &err))
		return outcome_of_error(&err);
	outcome = ab_build_run(jobs->server, warm->builder, job->build, job->types, job->lru.key);
	give_warm(jobs, warm);
	ab_observe(TIME_COMPILE, ab_now_us() - begun);
	return outcome;
}

/* Other work than a compile. */
static void do_work(struct jobs *jobs, struct job *job)
{
	struct request *q = job->request;

	ab_observe(TIME_QUEUE, ab_now_us() - job->queued_us);
	if (jobs->is_ending)
		q->work_problem = "draining";
	else
		job->work(q);
	q->is_worked = true;
	free(job);
	MHD_resume_connection(q->mhd);
}

static void run_job(struct jobs *jobs, struct job *job)
{
	struct outcome *outcome;

	if (job->work) {
		do_work(jobs, job);
		return;
	}
	outcome = jobs->is_ending ? ab_outcome_new(NULL, "draining", "the server stopped first") : do_job(jobs, job);
	ab_shared_publish(jobs->server->shared, job->lru.key, outcome ? outcome->record : NULL);
	end_job(jobs, job, outcome);
}

static struct job *take_job(struct jobs *jobs)
{
	struct job *job;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->first && !jobs->is_ending)
		pthread_cond_wait(&jobs->more, &jobs->lock);
	job = jobs->first;
	if (job) {
		jobs->first = job->next;
		if (!jobs->first)
			jobs->last = &jobs->first;
		jobs->waiting--;
		jobs->running++;
	}
	pthread_mutex_unlock(&jobs->lock);
	return job;
}

static void *run_jobs(void *arg)
{
	struct jobs *jobs = arg;
	struct job *job;

	pthread_setname_np(pthread_self(), "job");
	while ((job = take_job(jobs))) {
		run_job(jobs, job);
		pthread_mutex_lock(&jobs->lock);
		jobs->running--;
		pthread_mutex_unlock(&jobs->lock);
	}
	return NULL;
}

/* ---- submitting ---- */

/* All with the lock held. */
static void enqueue(struct jobs *jobs, struct job *job)
{
	*jobs->last = job;
	jobs->last = &job->next;
	pthread_cond_signal(&jobs->more);
}

static void accept_job(struct jobs *jobs, struct job *job)
{
	job->queued_us = ab_now_us();
	jobs->waiting++;
}

static bool is_full(const struct jobs *jobs, const struct config *config)
{
	return jobs->is_ending || jobs->waiting >= (unsigned)config->queue;
}

/* Takes over the request if it does not fail. */
static struct job *new_job(struct jobs *jobs, struct build_request *build, const char *key, const struct types *types)
{
	struct job *job = array_new(1, sizeof(*job));

	if (!job || lru_add(&jobs->flying, &job->lru, key, 1)) {
		free(job);
		return NULL;
	}
	job->build = build;
	job->types = types;
	accept_job(jobs, job);
	if (!ab_shared_find(jobs->server->shared, job))
		enqueue(jobs, job);
	return job;
}

static void tell_queued(struct jobs *jobs, const struct job *job, struct stream *stream)
{
	char data[64];
	int n = snprintf(data, sizeof(data), "{\"position\": %u}", job->is_started ? 0 : jobs->waiting);

	ab_stream_send(stream, "queued", data, n, false);
	if (job->is_started)
		ab_stream_send(stream, "started", "{}", 2, false);
}

static int wait_for(struct jobs *jobs, struct job *job, struct request *q, struct waiter *w)
{
	snprintf(w->id, sizeof(w->id), "%s", q->id);
	if (q->stream) {
		w->stream = ab_stream_ref(q->stream);
		tell_queued(jobs, job, w->stream);
	} else {
		w->request = q;
		MHD_suspend_connection(q->mhd);
	}
	w->next = job->waiters;
	job->waiters = w;
	return 0;
}

int ab_jobs_submit(struct jobs *jobs, struct request *q, const char *key, const struct types *types)
{
	struct waiter *w = array_new(1, sizeof(*w));
	struct job *job;
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->is_inline = q->build->is_inline;
	pthread_mutex_lock(&jobs->lock);
	job = (struct job *)lru_find(&jobs->flying, key);
	if (job) {
		ab_count(COUNT_JOINED);
	} else if (is_full(jobs, q->config)) {
		r = -EAGAIN;
	} else {
		r = ab_tokens_spend(q->server->tokens, &q->token);
		job = r ? NULL : new_job(jobs, q->build, key, types);
		r = r ? r : job ? 0 : -ENOMEM;
		if (job)
			q->build = NULL;
	}
	if (!r)
		r = wait_for(jobs, job, q, w);
	pthread_mutex_unlock(&jobs->lock);
	if (r)
		free(w);
	return r;
}

int ab_jobs_wait(struct jobs *jobs, struct build_request **build, const char *key, const struct types *types,
		 struct outcome **ret_outcome)
{
	struct config *config = ab_server_config(jobs->server);
	struct waiter *w = array_new(1, sizeof(*w));
	struct patience patience = {};
	struct job *job = NULL;
	int r = 0;

	pthread_mutex_lock(&jobs->lock);
	if (w)
		job = (struct job *)lru_find(&jobs->flying, key);
	if (w && !job && is_full(jobs, config)) {
		r = -EAGAIN;
	} else if (w && !job) {
		job = new_job(jobs, *build, key, types);
		if (job)
			*build = NULL;
	}
	if (job) {
		*w = (struct waiter){ .next = job->waiters, .patience = &patience };
		job->waiters = w;
		while (!patience.is_over)
			pthread_cond_wait(&jobs->over, &jobs->lock);
	}
	pthread_mutex_unlock(&jobs->lock);
	ab_config_unref(config);
	if (!job)
		free(w);
	if (!r && !patience.outcome)
		r = -ENOMEM;
	*ret_outcome = patience.outcome;
	return r;
}

const char *ab_job_key(const struct job *job)
{
	return job->lru.key;
}

void ab_job_done(struct jobs *jobs, struct job *job, struct outcome *outcome)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->waiting--;
	pthread_mutex_unlock(&jobs->lock);
	end_job(jobs, job, outcome);
}

void ab_job_compile(struct jobs *jobs, struct job *job)
{
	pthread_mutex_lock(&jobs->lock);
	enqueue(jobs, job);
	pthread_mutex_unlock(&jobs->lock);
}

int ab_jobs_run(struct jobs *jobs, struct request *q, void (*work)(struct request *q))
{
	struct job *job = array_new(1, sizeof(*job));
	int r = 0;

	if (!job)
		return -ENOMEM;
	job->request = q;
	job->work = work;
	pthread_mutex_lock(&jobs->lock);
	if (is_full(jobs, q->config)) {
		r = -EAGAIN;
	} else {
		MHD_suspend_connection(q->mhd);
		accept_job(jobs, job);
		enqueue(jobs, job);
	}
	pthread_mutex_unlock(&jobs->lock);
	if (r)
		free(job);
	return r;
}

/* ---- life ---- */

/* The build id of libanybpf, which has the headers, the library template's other half and all that shapes an object. */
static int add_build_id(struct dl_phdr_info *info, size_t size, void *digest)
{
	if (!strstr(info->dlpi_name, "libanybpf"))
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_NOTE)
			ab_digest_add(digest, (const char *)info->dlpi_addr + p->p_vaddr, p->p_memsz);
	}
	return 0;
}

static int identify_toolchain(struct jobs *jobs, struct ab_error *err)
{
	const struct types *types;
	struct warm *warm;
	struct digest *digest;
	struct utsname machine;
	int r = ab_kernels_find(jobs->server->kernels, NULL, NULL, &types, err);

	if (!r)
		r = take_warm(jobs, types, &warm, err);
	if (r)
		return r;
	jobs->compiler = strdup(ab_builder_compiler(warm->builder));
	give_warm(jobs, warm);
	uname(&machine);
	digest = ab_digest_begin();
	ab_digest_add_string(digest, machine.machine);
	ab_digest_add_string(digest, ab_version());
	ab_digest_add_string(digest, jobs->compiler);
	dl_iterate_phdr(add_build_id, digest);
	ab_digest_end(digest, jobs->toolchain);
	return jobs->compiler ? 0 : ab_fail_memory(err);
}

int ab_jobs_new(struct server *server, struct jobs **ret_jobs, struct ab_error *err)
{
	struct jobs *jobs = array_new(1, sizeof(*jobs));
	int r;

	if (!jobs)
		return ab_fail_memory(err);
	jobs->server = server;
	jobs->last = &jobs->first;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->more, NULL);
	pthread_cond_init(&jobs->over, NULL);
	jobs->threads = array_new(server->config->jobs, sizeof(*jobs->threads));
	r = jobs->threads ? identify_toolchain(jobs, err) : ab_fail_memory(err);
	while (!r && jobs->n_threads < server->config->jobs) {
		r = pthread_create(&jobs->threads[jobs->n_threads], NULL, run_jobs, jobs);
		if (r)
			r = ab_fail_errno(err, -r, "unable to start a thread");
		else
			jobs->n_threads++;
	}
	if (r) {
		ab_jobs_free(jobs);
		return r;
	}
	*ret_jobs = jobs;
	return 0;
}

void ab_jobs_stop(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->is_ending = true;
	pthread_cond_broadcast(&jobs->more);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->n_threads; i++)
		pthread_join(jobs->threads[i], NULL);
	jobs->n_threads = 0;
}

void ab_jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	ab_jobs_stop(jobs);
	while (jobs->idle) {
		struct warm *w = jobs->idle;

		jobs->idle = w->next;
		free_warm(w);
	}
	lru_clear(&jobs->flying);
	pthread_cond_destroy(&jobs->more);
	pthread_cond_destroy(&jobs->over);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs->threads);
	free(jobs->compiler);
	free(jobs);
}

const char *ab_jobs_toolchain(const struct jobs *jobs)
{
	return jobs->toolchain;
}

const char *ab_jobs_compiler(const struct jobs *jobs)
{
	return jobs->compiler;
}

void ab_jobs_stats(struct jobs *jobs, struct jobs_stats *ret)
{
	pthread_mutex_lock(&jobs->lock);
	*ret = (struct jobs_stats){ jobs->waiting, jobs->running, jobs->n_builders };
	pthread_mutex_unlock(&jobs->lock);
}
