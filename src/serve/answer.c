/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Answers: what every one carries, and problem documents (RFC 9457), whose kinds are a table. */
#include "server.h"

struct problem {
	const char *kind;
	unsigned status;
	const char *title;   /* what happened */
	const char *way_out; /* what to do about it */
};

static const struct problem problems[] = {
	{ "usage", 400, "the request makes no sense",
	  "The detail names the member; docs/service.md says what it takes." },
	{ "unauthorized", 401, "a token is needed",
	  "Send Authorization: Bearer TOKEN; `anybpfd token add` makes tokens." },
	{ "forbidden", 403, "the token does not allow this", "The detail names the scope that is missing." },
	{ "client-certificate", 403, "a client certificate is needed",
	  "Connect with a certificate by the CA that the server asks for." },
	{ "permission", 403, "the server may not read or write something",
	  "Its log has the same request id and the path." },
	{ "not-found", 404, "there is no such thing here", "GET /v1/openapi.json lists the routes." },
	{ "method", 405, "the route has no such method", "The Allow header lists the methods." },
	{ "accept", 406, "nothing that the route makes is accepted",
	  "Leave Accept out, or name the type that the detail names." },
	{ "timeout", 408, "the request took too long to arrive",
	  "Send the request faster; the limits are in docs/service.md." },
	{ "missing-files", 409, "files that were named by digest are not here",
	  "Send the files that `missing` lists with their content." },
	{ "conflict", 409, "something else is there already", "The detail names what is in the way." },
	{ "busy", 409, "somebody else holds what is needed", "Try again later." },
	{ "length", 411, "the body needs a Content-Length", "Send the length; chunked bodies are not taken." },
	{ "limit", 413, "a limit is exceeded", "The detail names the limit." },
	{ "media-type", 415, "the body is of a type that the route does not take",
	  "The detail names the type that it takes." },
	{ "range", 416, "no byte of that range exists", "The Content-Range header has the size." },
	{ "expectation", 417, "no such expectation is met", "Expect: 100-continue is the only one." },
	{ "compile", 422, "the compiler refused the source",
	  "`diagnostics` has the places, `log` all that the compiler said." },
	{ "verifier", 422, "the kernel's verifier would refuse the program", "The detail says why." },
	{ "relocation", 422, "a CO-RE relocation has no answer", "The detail names the access and the kernel." },
	{ "format", 422, "the body is damaged or not what it claims to be", "The detail says where." },
	{ "rate", 429, "too many requests", "Wait for the seconds in Retry-After." },
	{ "quota", 429, "the day's compiles are spent",
	  "What is cached is still served; the count starts again at midnight UTC." },
	{ "address-connections", 429, "too many connections from one address",
	  "Use fewer connections, and keep them open." },
	{ "header", 431, "request line and headers are too long", "The detail has the limit." },
	{ "internal", 500, "a defect of anybpfd", "Its log has the same request id." },
	{ "io", 500, "reading or writing failed", "The server's log has the same request id and the path." },
	{ "no-memory", 500, "memory ran out", "Try again later." },
	{ "unsupported", 501, "this server cannot do it", "The detail says what is missing." },
	{ "no-types", 501, "the server has no types for this kernel", "GET /v1/kernels lists those that it has." },
	{ "no-compiler", 501, "the server has no compiler", "Its administrator has to install anybpf-cc or clang." },
	{ "draining", 503, "the server is about to stop", "Try again: another server, or this one after its restart." },
	{ "queue-full", 503, "too many compiles wait", "Wait for the seconds in Retry-After." },
	{ "bodies", 503, "too many large requests at one time", "Wait for the seconds in Retry-After." },
	{ "connections", 503, "too many connections", "Wait for the seconds in Retry-After." },
	{ "compile-time", 504, "the compile was not done in time",
	  "Make the source smaller; macros that expand without end are the usual cause." },
};

static const struct problem *find_problem(const char *kind)
{
	const struct problem *internal = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(problems); i++) {
		if (!strcmp(problems[i].kind, kind))
			return &problems[i];
		if (!strcmp(problems[i].kind, "internal"))
			internal = &problems[i];
	}
	return internal;
}

unsigned ab_problem_status(const char *kind)
{
	return find_problem(kind)->status;
}

const char *ab_problem_of_error(const struct ab_error *err)
{
	if (err->code == -ETIMEDOUT)
		return "compile-time";
	return find_problem(ab_error_word(err->kind))->kind;
}

void ab_problem_write(struct text *out, const char *kind, const char *detail, const char *extra, const char *id)
{
	const struct problem *p = find_problem(kind);
	struct json j = { .out = out };

	text_printf(out, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%u,\"detail\":", p->kind, p->title, p->status);
	j.depth = 1;
	json_str(&j, detail);
	if (id)
		text_printf(out, ",\"instance\":\"/requests/%s\"", id);
	if (extra)
		text_printf(out, ",%s", extra);
	text_puts(out, "}\n");
}

/* ---- responses ---- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	(void)MHD_add_response_header(response, name, value);
}

enum MHD_Result ab_answer(struct request *q, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	add_header(response, "X-Request-Id", q->id);
	add_header(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
	if (q->cache_status)
		add_header(response, "Cache-Status", q->cache_status);
	if (!MHD_get_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL))
		add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (q->connection->refusal || __atomic_load_n(&q->server->draining, __ATOMIC_RELAXED))
		add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	q->status = status;
	q->is_answered = true;
	(void)ab_connection_enter(q->connection, PHASE_SEND);
	r = MHD_queue_response(q->mhd, status, response);
	MHD_destroy_response(response);
	return r;
}

static void release_blob(void *blob)
{
	ab_blob_unref(blob);
}

enum MHD_Result ab_answer_blob(struct request *q, unsigned status, const char *type, struct blob *blob)
{
	struct MHD_Response *response;

	if (!blob)
		return ab_problem(q, "no-memory", NULL, "the answer");
	response = MHD_create_response_from_buffer_with_free_callback_cls(blob->size, blob->data, release_blob, blob);
	if (!response) {
		ab_blob_unref(blob);
		return MHD_NO;
	}
	q->size = blob->size;
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (q->work_signature.n)
		add_header(response, "Anybpf-Signature", q->work_signature.p);
	return ab_answer(q, status, response);
}

enum MHD_Result ab_answer_text(struct request *q, unsigned status, const char *type, struct text *text)
{
	struct MHD_Response *response;
	size_t size = text->n;

	if (text->failed) {
		text_clear(text);
		return ab_problem(q, "no-memory", NULL, "the answer");
	}
	response = MHD_create_response_from_buffer(size, text->p ? TAKE(text->p) : strdup(""), MHD_RESPMEM_MUST_FREE);
	*text = (struct text){};
	if (!response)
		return MHD_NO;
	q->size = size;
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return ab_answer(q, status, response);
}

/* ---- problems ---- */

void ab_allow_write(const struct request *q, struct MHD_Response *response)
{
	_text_ struct text methods = {};

	for (size_t i = 0; i < ab_routes_count; i++)
		if (q->route && !strcmp(ab_routes[i].path, q->route->path))
			text_printf(&methods, "%s%s%s", methods.n ? ", " : "", ab_routes[i].method,
				    strcmp(ab_routes[i].method, "GET") ? "" : ", HEAD");
	text_puts(&methods, ", OPTIONS");
	add_header(response, MHD_HTTP_HEADER_ALLOW, methods.p ? methods.p : "OPTIONS");
}

static enum MHD_Result send_problem(struct request *q, const char *kind, const char *detail, const char *extra)
{
	const struct problem *p = find_problem(kind);
	struct MHD_Response *response;
	struct text body = {};
	size_t size;

	ab_problem_write(&body, kind, detail, extra, q->id);
	if (body.failed) {
		text_clear(&body);
		return MHD_NO;
	}
	size = body.n;
	response = MHD_create_response_from_buffer(size, body.p, MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	q->size = size;
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json");
	if (p->status == 405)
		ab_allow_write(q, response);
	if (p->status == 401)
		add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"anybpfd\"");
	if (p->status == 503)
		add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	if (*q->content_range)
		add_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, q->content_range);
	if (p->status == 429) {
		char seconds[16];

		snprintf(seconds, sizeof(seconds), "%u", q->retry_seconds ? q->retry_seconds : RETRY_SECONDS);
		add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	return ab_answer(q, p->status, response);
}

enum MHD_Result ab_problem(struct request *q, const char *kind, const char *extra, const char *fmt, ...)
{
	_free_ char *detail = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&detail, fmt, args) < 0)
		detail = NULL;
	va_end(args);
	return send_problem(q, kind, detail, extra);
}

enum MHD_Result ab_problem_error(struct request *q, struct ab_error *err)
{
	enum MHD_Result r = send_problem(q, ab_problem_of_error(err), err->msg, NULL);

	ab_error_clear(err);
	return r;
}

/* GET /problems/{kind}: what `type` points to. */
enum MHD_Result ab_route_problem(struct request *q)
{
	struct text out = {};

	for (size_t i = 0; i < ARRAY_SIZE(problems); i++)
		if (!strcmp(problems[i].kind, q->argument)) {
			text_printf(&out, "%s (%u): %s.\n%s\n", problems[i].kind, problems[i].status, problems[i].title,
				    problems[i].way_out);
			return ab_answer_text(q, MHD_HTTP_OK, "text/plain; charset=utf-8", &out);
		}
	return ab_problem(q, "not-found", NULL, "there is no kind of problem '%.64s'", q->argument);
}
