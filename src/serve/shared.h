/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Several servers, one cache: results and what is being compiled are shared through Redis. Whatever Redis does, a server answers:
 * when it is away each compiles for itself.
 */
#ifndef AB_SERVE_SHARED_H
#define AB_SERVE_SHARED_H

#include "jobs.h"

struct shared;
/* Whether it is a URL that says where Redis is. Errors: -EINVAL/USAGE. */
int ab_shared_check(const char *url, struct ab_error *err);
/* Starts the thread that speaks to Redis, which need not be there yet. Errors: -EINVAL/USAGE the URL. */
int ab_shared_new(struct server *server, struct shared **ret_shared, struct ab_error *err);
/* Hands all jobs that it has back for compiling, and ends. NULL is allowed, here and below. */
void ab_shared_stop(struct shared *shared);
void ab_shared_free(struct shared *shared);
bool ab_shared_connected(const struct shared *shared);

/*
 * Looks for the result of a job, and waits for it while another server compiles it; then calls ab_job_done() or ab_job_compile().
 * False: it is not looked for, the job stays the caller's.
 */
bool ab_shared_find(struct shared *shared, struct job *job);
/* Gives a result to the others; NULL when there is none, so that they compile for themselves. */
void ab_shared_publish(struct shared *shared, const char *key, struct blob *record);

#endif
