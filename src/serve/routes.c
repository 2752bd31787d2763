/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The table of routes, and those that need a few lines only. */
#include <crypto/crypto.h>
#include "jobs.h"
#include "keyring.h"
#include "openapi.h"
#include "server.h"
#include "shared.h"

#define JSON "application/json"
#define BYTES "application/octet-stream"
#define TEXT "text/plain; charset=utf-8"
#define HTML "text/html; charset=utf-8"

static enum MHD_Result answer_health(struct request *q)
{
	struct text out = {};

	text_puts(&out, "ok\n");
	return ab_answer_text(q, MHD_HTTP_OK, TEXT, &out);
}

/* What does not work as it should; the server does work without it. */
static void write_degraded(struct server *server, struct json *j)
{
	struct store_stats store;

	ab_store_stats(server->store, &store);
	json_key(j, "degraded");
	json_open(j, '[');
	if (store.is_failing)
		json_str(j, "cache: files could not be written");
	if (!ab_tokens_healthy(server->tokens))
		json_str(j, "tokens: the database cannot be read");
	if (server->shared && !ab_shared_connected(server->shared))
		json_str(j, "shared: Redis is away, this server works alone");
	json_close(j, ']');
	if (server->shared)
		json_member_str(j, "shared", ab_shared_connected(server->shared) ? "connected" : "away");
}

static enum MHD_Result answer_ready(struct request *q)
{
	struct text out = {};
	struct json j = { .out = &out };
	struct jobs_stats jobs;

	ab_jobs_stats(q->server->jobs, &jobs);
	json_open(&j, '{');
	json_member_str(&j, "status", "ready");
	json_member_uint(&j, "waiting", jobs.waiting);
	json_member_uint(&j, "running", jobs.running);
	json_key(&j, "cgroups");
	json_str(&j, q->server->cgroups ? "on" : "off");
	write_degraded(q->server, &j);
	json_close(&j, '}');
	text_putc(&out, '\n');
	return ab_answer_text(q, MHD_HTTP_OK, JSON, &out);
}

static enum MHD_Result answer_version(struct request *q)
{
	struct text out = {};
	struct json j = { .out = &out };

	json_open(&j, '{');
	json_member_str(&j, "version", ANYBPF_VERSION);
	json_member_str(&j, "library", ab_version());
	json_member_str(&j, "compiler", ab_jobs_compiler(q->server->jobs));
	json_member_str(&j, "toolchain", ab_jobs_toolchain(q->server->jobs));
	json_close(&j, '}');
	text_putc(&out, '\n');
	return ab_answer_text(q, MHD_HTTP_OK, JSON, &out);
}

static const char *route_name(size_t i)
{
	return i < ab_routes_count ? ab_routes[i].name : i == ab_routes_count ? "none" : NULL;
}

static enum MHD_Result answer_metrics(struct request *q)
{
	struct server *s = q->server;
	struct store_stats store;
	struct jobs_stats jobs;
	uint64_t entries, bytes;
	struct text out = {};

	ab_store_stats(s->store, &store);
	ab_jobs_stats(s->jobs, &jobs);
	ab_cache_stats(s->memory, &entries, &bytes);
	struct gauge gauges[] = {
		{ "anybpfd_connections", "open connections", ab_connections_count(s->connections) },
		{ "anybpfd_requests_active", "requests that are not answered yet", __atomic_load_n(&s->active, __ATOMIC_RELAXED) },
		{ "anybpfd_queue_length", "compiles that wait", jobs.waiting },
		{ "anybpfd_compiles_running", "compiles at this time", jobs.running },
		{ "anybpfd_builders", "warm compilers", jobs.builders },
		{ "anybpfd_cache_files", "files of the cache on disk", store.files },
		{ "anybpfd_cache_bytes", "size of the cache on disk", store.bytes },
		{ "anybpfd_cache_evicted_total", "files that made room", store.evicted, true },
		{ "anybpfd_cache_damaged_total", "files that did not verify", store.damaged, true },
		{ "anybpfd_cache_failed_total", "files that could not be written", store.failed, true },
		{ "anybpfd_memory_cache_entries", "blobs in memory", entries },
		{ "anybpfd_memory_cache_bytes", "size of the cache in memory", bytes },
		{ "anybpfd_shared_connected", "1 while the shared cache is there", ab_shared_connected(s->shared) },
		{ "anybpfd_draining", "1 while the server takes no new work", __atomic_load_n(&s->draining, __ATOMIC_RELAXED) },
	};
	ab_metrics_write(&out, route_name, gauges, ARRAY_SIZE(gauges));
	return ab_answer_text(q, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static enum MHD_Result answer_keys(struct request *q)
{
	struct keyring *keyring = ab_server_keyring(q->server);
	const struct text *json = ab_keyring_json(keyring);
	struct text out = {};

	text_add(&out, json->p, json->n);
	text_putc(&out, '\n');
	ab_keyring_unref(keyring);
	return ab_answer_text(q, MHD_HTTP_OK, JSON, &out);
}

static enum MHD_Result answer_kernels(struct request *q)
{
	static const struct header headers[] = { { MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache" }, {} };
	char digest[HEX_DIGEST_SIZE], etag[HEX_DIGEST_SIZE + 16];
	_text_ struct text out = {};
	struct json j = { .out = &out };
	struct blob *blob;

	json_open(&j, '{');
	ab_kernels_write(q->server->kernels, &j);
	json_close(&j, '}');
	text_putc(&out, '\n');
	blob = out.failed ? NULL : ab_blob_new(out.p, out.n);
	if (!blob)
		return ab_problem(q, "no-memory", NULL, "the list");
	ab_digest_of(out.p, out.n, digest);
	snprintf(etag, sizeof(etag), "\"sha256:%s\"", digest);
	return ab_answer_bytes(q, blob, JSON, etag, headers);
}

static enum MHD_Result answer_openapi(struct request *q)
{
	struct text out = {};

	text_add(&out, (const char *)ab_openapi, ab_openapi_size);
	return ab_answer_text(q, MHD_HTTP_OK, JSON, &out);
}

const struct route ab_routes[] = {
	{ "build", "POST", "/v1/build", SCOPE_BUILD, JSON, JSON, true, ab_route_build },
	{ "artifacts", "GET", "/v1/artifacts/", SCOPE_READ, NULL, BYTES, false, ab_route_artifact },
	{ "keys", "GET", "/v1/keys", 0, NULL, JSON, false, answer_keys },
	{ "kernels", "GET", "/v1/kernels", SCOPE_READ, NULL, JSON, false, answer_kernels },
	{ "btf", "GET", "/v1/btf/", SCOPE_READ, NULL, BYTES, false, ab_route_btf },
	{ "min-btf", "POST", "/v1/btf/", SCOPE_READ, BYTES, BYTES, false, ab_route_min_btf },
	{ "check", "POST", "/v1/check", SCOPE_READ, BYTES, JSON, false, ab_route_check },
	{ "types", "GET", "/v1/types/", SCOPE_READ, NULL, JSON, false, ab_route_types },
	{ "openapi", "GET", "/v1/openapi.json", 0, NULL, JSON, false, answer_openapi },
	{ "problems", "GET", "/problems/", 0, NULL, TEXT, false, ab_route_problem },
	{ "healthz", "GET", "/healthz", 0, NULL, TEXT, false, answer_health },
	{ "readyz", "GET", "/readyz", 0, NULL, JSON, false, answer_ready },
	{ "metrics", "GET", "/metrics", SCOPE_METRICS, NULL, TEXT, false, answer_metrics },
	{ "version", "GET", "/version", 0, NULL, JSON, false, answer_version },
	{ "page", "GET", "/", 0, NULL, HTML, false, ab_route_page },
	{ "page-types", "GET", "/types", 0, NULL, HTML, false, ab_route_page },
	{ "page-check", "GET", "/check", 0, NULL, HTML, false, ab_route_page },
	{ "page-build", "GET", "/build", 0, NULL, HTML, false, ab_route_page },
	{ "page-kernels", "GET", "/kernels", 0, NULL, HTML, false, ab_route_page },
	{ "page-file", "GET", "/web/", 0, NULL, NULL, false, ab_route_page_file },
};
const size_t ab_routes_count = ARRAY_SIZE(ab_routes);
