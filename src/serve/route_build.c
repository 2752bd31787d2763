/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* POST /v1/build and GET /v1/artifacts/{digest}. */
#include "build.h"
#include "keyring.h"
#include "server.h"

#define HIT "anybpfd; hit"
#define MISS "anybpfd; fwd=miss"

/* ---- the key ---- */

void ab_build_key(const struct server *server, const struct build_request *build, const struct types *types,
		  char key[HEX_DIGEST_SIZE])
{
	struct digest *d = ab_digest_begin();

	ab_digest_add_string(d, "anybpfd-build-1");
	ab_digest_add_string(d, ab_jobs_toolchain(server->jobs));
	ab_digest_add_string(d, types->digest);
	ab_digest_add_string(d, types->kernel.release);
	ab_build_request_digest(build, d);
	ab_digest_end(d, key);
}

/* ---- sending ---- */

/* Sends a body that is whole, as an answer or as the last event. */
static enum MHD_Result send_body(struct request *q, const char *problem, struct blob *body)
{
	enum MHD_Result r;

	if (!q->wants_stream)
		return ab_answer_blob(q, problem ? ab_problem_status(problem) : MHD_HTTP_OK,
				      problem ? "application/problem+json" : "application/json", body);
	q->stream = ab_stream_new(q);
	if (!q->stream) {
		ab_blob_unref(body);
		return MHD_NO;
	}
	ab_stream_send(q->stream, problem ? "problem" : "result", body->data, body->size, true);
	ab_blob_unref(body);
	r = ab_answer(q, MHD_HTTP_OK, ab_stream_response(q->stream));
	return r;
}

enum { MEMORY_KEY_SIZE = HEX_DIGEST_SIZE + 16 + KEY_ID_SIZE };

/* With the key that signs: an answer that somebody is still sent may be from before a reload. */
static void memory_key(struct server *server, char out[MEMORY_KEY_SIZE], const char *key, bool is_inline)
{
	struct keyring *keyring = ab_server_keyring(server);

	snprintf(out, MEMORY_KEY_SIZE, "answer/%s/%d/%s", key, is_inline, ab_keyring_active(keyring));
	ab_keyring_unref(keyring);
}

/* Makes the body from a record; -ENOENT when an artifact of it is gone. */
static int take_record(struct request *q, const char *key, const struct blob *record, bool is_inline, const char **ret_problem,
		       struct blob **ret_body)
{
	char name[MEMORY_KEY_SIZE];
	_text_ struct text body = {};
	int r = ab_build_answer(q->server, key, q->id, record, is_inline, &body, ret_problem);

	if (r)
		return r;
	*ret_body = ab_blob_new(body.p, body.n);
	if (!*ret_body)
		return -ENOMEM;
	if (*ret_problem)
		return 0;
	memory_key(q->server, name, key, is_inline);
	*ret_body = ab_blob_name(*ret_body, name);
	ab_cache_put(q->server->memory, name, *ret_body);
	return 0;
}

/* Looks in memory and on disk. */
static bool find_answer(struct request *q, const char *key, const char **ret_problem, struct blob **ret_body)
{
	char name[MEMORY_KEY_SIZE];
	struct blob *record;
	int r;

	*ret_problem = NULL;
	memory_key(q->server, name, key, q->build->is_inline);
	*ret_body = ab_cache_get(q->server->memory, name);
	if (!*ret_body)
		*ret_body = ab_blob_find(name);
	if (*ret_body) {
		ab_count(COUNT_HITS_MEMORY);
		return true;
	}
	record = ab_store_get(q->server->store, STORE_RESULT, key);
	if (!record)
		return false;
	r = take_record(q, key, record, q->build->is_inline, ret_problem, ret_body);
	ab_blob_unref(record);
	if (!r)
		ab_count(COUNT_HITS_DISK);
	return !r;
}

/* ---- the route ---- */

/* Answers when files that were named by digest are not here. */
static bool refuse_missing(struct request *q, enum MHD_Result *ret)
{
	_text_ struct text extra = {};
	struct json j = { .out = &extra, .depth = 1 };
	size_t missing = 0;

	json_key(&j, "missing");
	json_open(&j, '[');
	for (size_t i = 0; i < q->build->n_files; i++) {
		const struct build_file *f = &q->build->files[i];
		char digest[HEX_DIGEST_SIZE + 8];

		if (f->data || ab_store_has(q->server->store, STORE_SOURCE, f->digest))
			continue;
		snprintf(digest, sizeof(digest), "sha256:%s", f->digest);
		json_str(&j, digest);
		missing++;
	}
	json_close(&j, ']');
	if (!missing)
		return false;
	*ret = ab_problem(q, "missing-files", extra.p, "%zu of %zu files have to be sent whole", missing, q->build->n_files);
	return true;
}

enum MHD_Result ab_refuse_submission(struct request *q, int r)
{
	struct jobs_stats stats;

	ab_jobs_stats(q->server->jobs, &stats);
	if (r == -EAGAIN)
		return ab_problem(q, "queue-full", NULL, "%u jobs wait", stats.waiting);
	if (r == -EDQUOT) {
		ab_count(COUNT_RATE_LIMITED);
		return ab_problem(q, "quota", NULL, "the token '%s' may have %lld compiles a day", q->token.name,
				  (long long)q->token.quota);
	}
	return ab_problem(q, "no-memory", NULL, "a job");
}

static enum MHD_Result submit(struct request *q, const char *key, const struct types *types)
{
	int r;

	ab_count(COUNT_MISSES);
	q->cache_status = MISS;
	q->key = strdup(key);
	q->is_inline = q->build->is_inline;
	if (!q->key)
		return ab_problem(q, "no-memory", NULL, "a compile");
	ab_audit("build", q->token.id ? q->token.name : NULL, q->address, q->id, key);
	if (q->wants_stream) {
		q->stream = ab_stream_new(q);
		if (!q->stream)
			return ab_problem(q, "no-memory", NULL, "a stream");
	}
	r = ab_jobs_submit(q->server->jobs, q, key, types);
	if (r)
		return ab_refuse_submission(q, r);
	return q->stream ? ab_answer(q, MHD_HTTP_OK, ab_stream_response(q->stream)) : MHD_YES;
}

/* The connection was resumed: the work is done. */
static enum MHD_Result finish(struct request *q)
{
	const struct outcome *outcome = q->outcome;
	const char *problem = NULL;
	struct blob *body;

	if (outcome->kind)
		return ab_problem(q, outcome->kind, NULL, "%s", outcome->detail ? outcome->detail : "");
	if (take_record(q, q->key, outcome->record, q->is_inline, &problem, &body))
		return ab_problem(q, "internal", NULL, "the result is not there any more: ask again");
	return send_body(q, problem, body);
}

/* As uname -m says, what kernels are listed by. */
static const char *machine_of(const char *arch)
{
	return arch && !strcmp(arch, "arm64") ? "aarch64" : arch;
}

enum MHD_Result ab_route_build(struct request *q)
{
	const struct types *types;
	char key[HEX_DIGEST_SIZE];
	struct ab_error err = {};
	const char *problem;
	enum MHD_Result ret;
	struct blob *body;

	if (q->key)
		return q->outcome ? finish(q) : ab_problem(q, "no-memory", NULL, "a compile");
	if (ab_build_request_parse(q->body.p ? q->body.p : "", q->body.n, q->config->files, &q->build, &err) ||
	    ab_kernels_find(q->server->kernels, q->build->kernel, machine_of(q->build->arch), &types, &err))
		return ab_problem_error(q, &err);
	ab_build_key(q->server, q->build, types, key);
	if (find_answer(q, key, &problem, &body)) {
		q->cache_status = HIT;
		return send_body(q, problem, body);
	}
	if (refuse_missing(q, &ret))
		return ret;
	return submit(q, key, types);
}

/* ---- artifacts ---- */

enum MHD_Result ab_route_artifact(struct request *q)
{
	const char *hex = str_starts(q->argument, "sha256:") ? q->argument + 7 : q->argument;
	struct keyring *keyring;
	_text_ struct text signature = {};
	struct header headers[] = { { MHD_HTTP_HEADER_CACHE_CONTROL, "max-age=31536000, immutable" }, { "Anybpf-Signature" }, {} };
	char etag[HEX_DIGEST_SIZE + 16];
	struct blob *blob;
	int r;

	if (!ab_is_hex_digest(hex))
		return ab_problem(q, "usage", NULL,
				  "'%.80s' is not a digest: sha256: and 64 lower-case hexadecimal digits", q->argument);
	blob = ab_artifact_get(q->server, hex);
	if (!blob)
		return ab_problem(q, "not-found", NULL, "no artifact sha256:%s is here: build it again", hex);
	snprintf(etag, sizeof(etag), "\"sha256:%s\"", hex);
	keyring = ab_server_keyring(q->server);
	r = ab_keyring_sign(keyring, hex, &signature);
	ab_keyring_unref(keyring);
	if (r) {
		ab_blob_unref(blob);
		return ab_problem(q, "internal", NULL, "the artifact cannot be signed");
	}
	headers[1].value = signature.p;
	return ab_answer_bytes(q, blob, "application/octet-stream", etag, headers);
}
