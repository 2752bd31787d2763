/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Compiles: a bounded queue, a thread for each compile at one time, and builders that stay warm for the kernels that
 * were asked for last. Requests for the same result wait for one compile.
 */
#ifndef AB_SERVE_JOBS_H
#define AB_SERVE_JOBS_H

#include "build_request.h"
#include "kernels.h"
#include "store.h"

struct server;
struct request;
struct job;

/* What became of a build: a record for the cache, or a problem that holds for this time only. */
struct outcome {
	unsigned refs;
	struct blob *record;  /* JSON, build.h; NULL: kind and detail */
	const char *kind;
	char *detail;
};

struct outcome *ab_outcome_new(struct blob *record, const char *kind, const char *detail);
void ab_outcome_unref(struct outcome *outcome);

/* Server-sent events to one client (stream.c). Any thread may send; the client may be gone meanwhile. */
struct stream;
struct stream *ab_stream_new(struct request *q);
struct stream *ab_stream_ref(struct stream *stream);
void ab_stream_unref(struct stream *stream);
void ab_stream_send(struct stream *stream, const char *event, const char *data, size_t size, bool is_last);
/* The answer that the events make up. */
struct MHD_Response *ab_stream_response(struct stream *stream);
/* Comment lines to streams that were quiet for long; once a second. */
void ab_streams_keep_alive(void);
/* Bytes that were sent. */
size_t ab_stream_sent(struct stream *stream);

struct jobs;
int ab_jobs_new(struct server *server, struct jobs **ret_jobs, struct ab_error *err);
/* Ends the threads; work that was not begun is answered with a problem, and no more is taken. */
void ab_jobs_stop(struct jobs *jobs);
void ab_jobs_free(struct jobs *jobs);
/* Identifies whatever shapes a result besides request and types: version, compiler, library. */
const char *ab_jobs_toolchain(const struct jobs *jobs);
const char *ab_jobs_compiler(const struct jobs *jobs);

/*
 * Suspends the request's connection (or, with a stream, does not) and lets it wait for the result `key`; takes over q->build if the
 * compile is new. Errors: -EAGAIN the queue is full; -ENOMEM; -EDQUOT the token's quota is spent.
 */
int ab_jobs_submit(struct jobs *jobs, struct request *q, const char *key, const struct types *types);
/*
 * The same for a thread, which waits: *ret_outcome is its to unref. *build is taken, and NULL then, if the compile is
 * new. No quota, as there is no token.
 */
int ab_jobs_wait(struct jobs *jobs, struct build_request **build, const char *key, const struct types *types,
		 struct outcome **ret_outcome);

/*
 * Suspends the request's connection and has `work` called in a thread of the compiles; then the route runs again, with
 * q->is_worked. Errors: -EAGAIN the queue is full; -ENOMEM.
 */
int ab_jobs_run(struct jobs *jobs, struct request *q, void (*work)(struct request *q));

/* What the shared cache does with a job that it was given: it has the result, or there is none. */
const char *ab_job_key(const struct job *job);
void ab_job_done(struct jobs *jobs, struct job *job, struct outcome *outcome);
void ab_job_compile(struct jobs *jobs, struct job *job);

struct jobs_stats {
	unsigned waiting, running, builders;
};
void ab_jobs_stats(struct jobs *jobs, struct jobs_stats *ret_stats);

#endif
