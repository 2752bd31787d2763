/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One request from its headers to its answer. Everything that can refuse it looks at the headers alone and comes before the body:
 * route, method, types, length, token, rate. Then the body is collected and the route runs.
 */
#include <arpa/inet.h>
#include <strings.h>
#include "build_request.h"
#include "jobs.h"
#include "server.h"
#include "tls.h"

static const char *header(const struct request *q, const char *name)
{
	return MHD_lookup_connection_value(q->mhd, MHD_HEADER_KIND, name);
}

/* ---- who asks ---- */

static bool is_request_id(const char *id)
{
	return *id && strlen(id) < REQUEST_ID_SIZE &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(id);
}

static void choose_id(struct request *q)
{
	const char *id = header(q, "X-Request-Id");

	if (id && is_request_id(id))
		strcpy(q->id, id);
	else
		ab_random_hex(q->id, 8);
}

bool ab_is_trusted_proxy(const struct config *config, const char *address)
{
	for (size_t i = 0; i < config->trusted_proxies.n; i++)
		if (!strcmp(config->trusted_proxies.v[i], address))
			return true;
	return false;
}

/* The address that a trusted proxy put last into X-Forwarded-For; what stands before it is the client's own claim. */
void ab_client_address(const struct config *config, struct MHD_Connection *mhd, const struct connection *connection,
		       char out[INET6_ADDRSTRLEN])
{
	const char *list = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "X-Forwarded-For"), *last;
	struct in6_addr parsed;
	char one[INET6_ADDRSTRLEN];

	strcpy(out, connection->address);
	if (!list || !ab_is_trusted_proxy(config, connection->address))
		return;
	last = strrchr(list, ',');
	last = last ? last + 1 : list;
	last += strspn(last, " \t");
	snprintf(one, sizeof(one), "%.*s", (int)strcspn(last, " \t"), last);
	if (inet_pton(AF_INET, one, &parsed) == 1 || inet_pton(AF_INET6, one, &parsed) == 1)
		strcpy(out, one);
}

/* ---- what is asked ---- */

static bool is_path_of(const struct route *route, const char *path)
{
	size_t n = strlen(route->path);

	return route->path[n - 1] == '/' && n > 1 ? !strncmp(route->path, path, n) && path[n] : !strcmp(route->path, path);
}

static bool is_method_of(const struct route *route, const char *method)
{
	return !strcmp(route->method, method) || (!strcmp(method, "HEAD") && !strcmp(route->method, "GET"));
}

/* Sets q->route; false when it is only one of another method. */
static bool find_route(struct request *q)
{
	for (size_t i = 0; i < ab_routes_count; i++) {
		if (!is_path_of(&ab_routes[i], q->path))
			continue;
		q->route = &ab_routes[i];
		q->argument = q->path + strlen(q->route->path);
		if (is_method_of(q->route, q->method))
			return true;
	}
	return false;
}

/* Whether a media range ("text/html;q=0.8") covers a type. */
static bool is_range_of(const char *range, size_t n, const char *type)
{
	size_t name = 0, slash = strcspn(type, "/") + 1;

	while (name < n && range[name] != ';' && range[name] != ' ' && range[name] != '\t')
		name++;
	for (const char *p = range + name; p + 3 <= range + n; p++)
		if ((p[0] == 'q' || p[0] == 'Q') && p[1] == '=' && p[2] == '0' && strspn(p + 2, "0.") == strcspn(p + 2, ",; \t"))
			return false;
	if (name == 3 && !memcmp(range, "*/*", 3))
		return true;
	if (name == slash + 1 && range[slash] == '*' && !strncasecmp(range, type, slash))
		return true;
	return name == strcspn(type, ";") && !strncasecmp(range, type, name);
}

static bool accepts(const char *accept, const char *type)
{
	if (!accept || !type)
		return true;
	while (*accept) {
		size_t n;

		accept += strspn(accept, " \t,");
		n = strcspn(accept, ",");
		if (n && is_range_of(accept, n, type))
			return true;
		accept += n;
	}
	return false;
}

static bool is_content_type(const char *given, const char *type)
{
	size_t n = given ? strcspn(given, "; \t") : 0;

	return n == strlen(type) && !strncasecmp(given, type, n);
}

/* ---- admission ---- */

/* Each of these answers and returns true when the request ends here. `*ret` is what MHD gets. */
static bool refuse_connection(struct request *q, enum MHD_Result *ret)
{
	bool needs_no_work = q->route && !q->route->scope && strcmp(q->route->path, "/readyz");

	if (q->connection->is_tls && !q->connection->is_client_checked && !q->connection->refusal) {
		q->connection->is_client_checked = true;
		if (!ab_tls_is_client_known(q->config, q->mhd))
			q->connection->refusal = "client-certificate";
	}
	if (q->connection->refusal && !strcmp(q->connection->refusal, "client-certificate"))
		*ret = ab_problem(q, "client-certificate", NULL,
				  "the client has shown no certificate by the CA that this server asks for");
	else if (q->connection->refusal)
		*ret = ab_problem(q, q->connection->refusal, NULL, "%u connections are open",
				  ab_connections_count(q->server->connections));
	else if (__atomic_load_n(&q->server->draining, __ATOMIC_RELAXED) && !needs_no_work)
		*ret = ab_problem(q, "draining", NULL, "this server takes no new work");
	else
		return false;
	return true;
}

static enum MHD_Result answer_options(struct request *q)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	ab_allow_write(q, response);
	return ab_answer(q, MHD_HTTP_NO_CONTENT, response);
}

static bool refuse_target(struct request *q, enum MHD_Result *ret)
{
	bool found = find_route(q);
	const char *accept = header(q, MHD_HTTP_HEADER_ACCEPT);

	if (!strcmp(q->method, "OPTIONS") && (q->route || !strcmp(q->path, "*"))) {
		*ret = answer_options(q);
		return true;
	}
	if (!q->route)
		*ret = ab_problem(q, "not-found", NULL, "there is nothing at this path");
	else if (!found)
		*ret = ab_problem(q, "method", NULL, "%.64s does not take %s", q->route->path, q->method);
	else if (!accepts(accept, q->route->makes) && !(q->route->streams && accepts(accept, "text/event-stream")))
		*ret = ab_problem(q, "accept", NULL, "this makes %s%s", q->route->makes,
				  q->route->streams ? " and text/event-stream" : "");
	else
		return false;
	return true;
}

static bool refuse_body(struct request *q, enum MHD_Result *ret)
{
	const char *length = header(q, MHD_HTTP_HEADER_CONTENT_LENGTH), *type = header(q, MHD_HTTP_HEADER_CONTENT_TYPE);
	const char *encoding = header(q, MHD_HTTP_HEADER_CONTENT_ENCODING), *expect = header(q, MHD_HTTP_HEADER_EXPECT);
	int64_t limit = q->route->takes ? q->config->body : 0;

	q->expected = length ? strtoull(length, NULL, 10) : 0; /* MHD has refused what is no number */
	if (header(q, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (q->route->takes && !length))
		*ret = ab_problem(q, "length", NULL, "%.64s needs a Content-Length", q->route->path);
	else if (expect && strcasecmp(expect, "100-continue"))
		*ret = ab_problem(q, "expectation", NULL, "'%.64s' is not met", expect);
	else if (q->expected > (uint64_t)limit)
		*ret = ab_problem(q, "limit", NULL, "the body has %zu bytes; %lld are taken", q->expected, (long long)limit);
	else if (q->route->takes && !is_content_type(type, q->route->takes))
		*ret = ab_problem(q, "media-type", NULL, "the Content-Type has to be %s", q->route->takes);
	else if (encoding && strcasecmp(encoding, "identity"))
		*ret = ab_problem(q, "media-type", NULL,
				  "the Content-Encoding '%.64s' is not taken: send the body as it is", encoding);
	else
		return false;
	return true;
}

static bool refuse_token(struct request *q, enum MHD_Result *ret)
{
	const char *given = header(q, MHD_HTTP_HEADER_AUTHORIZATION);
	unsigned scopes = q->config->anonymous_scopes, needed = q->route->scope;
	struct ab_error err = {};
	_text_ struct text name = {};

	if (!needed || (needed == SCOPE_METRICS && q->connection->is_loopback && !header(q, "X-Forwarded-For")))
		return false;
	if (given && (strncasecmp(given, "Bearer ", 7) || ab_tokens_find(q->server->tokens, given + 7, &q->token, &err))) {
		ab_count(COUNT_UNAUTHORIZED);
		ab_audit("unauthorized", NULL, q->address, q->id, *err.msg ? err.msg : "not a bearer token");
		*ret = ab_problem(q, err.code == -EIO ? "io" : "unauthorized", NULL, "%s",
				  *err.msg ? err.msg : "the server takes bearer tokens");
		ab_error_clear(&err);
		return true;
	}
	scopes |= q->token.scopes;
	if ((scopes & needed) == needed)
		return false;
	ab_count(COUNT_UNAUTHORIZED);
	ab_scopes_write(needed, &name);
	ab_audit("forbidden", q->token.id ? q->token.name : NULL, q->address, q->id, q->route->path);
	if (q->token.id)
		*ret = ab_problem(q, "forbidden", NULL, "the token '%s' has no scope '%s'", q->token.name, name.p ? name.p : "");
	else
		*ret = ab_problem(q, "unauthorized", NULL, "%s needs a token with the scope '%s'", q->route->path,
				  name.p ? name.p : "");
	return true;
}

static bool refuse_rate(struct request *q, enum MHD_Result *ret)
{
	int64_t rate = q->token.id ? q->token.rate : q->connection->is_unix ? 0 : q->config->rate;

	if (!q->route->scope)
		return false;
	q->retry_seconds = ab_tokens_take(q->server->tokens, &q->token, q->address, rate);
	if (!q->retry_seconds)
		return false;
	ab_count(COUNT_RATE_LIMITED);
	*ret = ab_problem(q, "rate", NULL, "%lld requests a minute are allowed", (long long)rate);
	return true;
}

/* A body alone always has room. */
static bool refuse_bodies(struct request *q, enum MHD_Result *ret)
{
	size_t limit = (size_t)q->config->bodies_megabytes << 20, all;

	q->reserved = q->expected;
	all = __atomic_add_fetch(&q->server->bodies, q->reserved, __ATOMIC_RELAXED);
	if (all <= limit || all == q->reserved)
		return false;
	__atomic_sub_fetch(&q->server->bodies, q->reserved, __ATOMIC_RELAXED);
	q->reserved = 0;
	*ret = ab_problem(q, "bodies", NULL, "the bodies of all requests would have %zu bytes; %zu are held", all, limit);
	return true;
}

static bool has_body(const struct request *q)
{
	const char *length = header(q, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return header(q, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0"));
}

static bool refuse_header(struct request *q, enum MHD_Result *ret)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(q->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	if (!info || info->header_size <= (size_t)q->config->header)
		return false;
	*ret = ab_problem(q, "header", NULL, "request line and headers have %zu bytes; %lld are taken", info->header_size,
			  (long long)q->config->header);
	return true;
}

static enum MHD_Result admit(struct request *q)
{
	enum MHD_Result r = MHD_YES;

	if (refuse_header(q, &r) || refuse_target(q, &r) || refuse_connection(q, &r) || refuse_token(q, &r) ||
	    refuse_rate(q, &r) || refuse_body(q, &r) || refuse_bodies(q, &r))
		return r;
	q->wants_stream = q->route->streams && header(q, MHD_HTTP_HEADER_ACCEPT) &&
			  !accepts(header(q, MHD_HTTP_HEADER_ACCEPT), q->route->makes);
	if (q->expected && !text_reserve(&q->body, q->expected))
		return ab_problem(q, "no-memory", NULL, "a body of %zu bytes", q->expected);
	return MHD_YES;
}

/* ---- the library's callbacks ---- */

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* %00 stays as it is: as a byte it would end the path, and what stands behind it would pass unseen. */
size_t ab_request_unescape(void *server, struct MHD_Connection *mhd, char *text)
{
	char *out = text;

	for (const char *in = text; *in;) {
		int high = *in == '%' ? hex_value(in[1]) : -1, low = high < 0 ? -1 : hex_value(in[2]);

		if (low >= 0 && high + low) {
			*out++ = high << 4 | low;
			in += 3;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	return out - text;
}

static struct request *new_request(struct server *server, struct MHD_Connection *mhd, const char *url, const char *method)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *q = array_new(1, sizeof(*q));

	if (!q || !info || !info->socket_context) {
		free(q);
		return NULL;
	}
	q->path = strdup(url);
	if (!q->path) {
		free(q);
		return NULL;
	}
	q->argument = "";
	q->server = server;
	q->mhd = mhd;
	q->connection = info->socket_context;
	q->config = ab_server_config(server);
	q->started_us = ab_now_us();
	snprintf(q->method, sizeof(q->method), "%s", method);
	choose_id(q);
	ab_client_address(q->config, mhd, q->connection, q->address);
	__atomic_add_fetch(&server->active, 1, __ATOMIC_RELAXED);
	return q;
}

/*
 * The request is whole. Its route runs one turn of the library's later, if it may suspend the connection: the library is done with
 * reading only then. A connection that is suspended while it is being read is read again when it is resumed, and closed
 * without an answer if its client has ended its side meanwhile.
 */
static enum MHD_Result start(struct request *q)
{
	enum MHD_Result r;

	if (!ab_connection_enter(q->connection, PHASE_WORK))
		return MHD_NO;
	r = has_body(q) ? MHD_YES : admit(q);
	if (r != MHD_YES || q->is_answered)
		return r;
	q->is_started = true;
	return q->route->scope ? MHD_YES : q->route->run(q);
}

enum MHD_Result ab_request_handle(void *server, struct MHD_Connection *mhd, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **request)
{
	struct request *q = *request;

	if (!q) {
		*request = q = new_request(server, mhd, url, method);
		if (!q || !ab_connection_enter(q->connection, PHASE_BODY))
			return MHD_NO;
		/* An answer at this point ends the connection, as it leaves the body unread. Where there is none it can wait. */
		return has_body(q) ? admit(q) : MHD_YES;
	}
	if (*upload_size) {
		if (q->body.n + *upload_size > q->expected)
			return MHD_NO;
		text_add(&q->body, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	if (q->is_answered)
		return MHD_YES;
	if (!q->is_started)
		return start(q);
	return q->route->run(q);
}

static void log_request(const struct request *q, enum MHD_RequestTerminationCode code, uint64_t us)
{
	struct log_line line;

	ab_log_begin(&line, "info", "request");
	json_member_str(&line.json, "id", q->id);
	json_member_str(&line.json, "address", q->address);
	if (q->token.id)
		json_member_str(&line.json, "token", q->token.name);
	json_member_str(&line.json, "method", q->method);
	json_key(&line.json, "path");
	json_strn(&line.json, q->path, strnlen(q->path, 256));
	json_member_uint(&line.json, "status", q->status);
	json_member_uint(&line.json, "in", q->body.n);
	json_member_uint(&line.json, "out", q->size);
	json_member_uint(&line.json, "us", us);
	if (q->cache_status)
		json_member_str(&line.json, "cache", q->cache_status);
	if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		json_member_bool(&line.json, "aborted", true);
	ab_log_end(&line);
}

void ab_request_done(void *server, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode code)
{
	struct request *q = *request;
	uint64_t us;

	if (!q)
		return;
	us = ab_now_us() - q->started_us;
	if (q->stream)
		q->size = ab_stream_sent(q->stream);
	*request = NULL;
	(void)ab_connection_enter(q->connection, PHASE_IDLE);
	ab_count_request(q->route ? (size_t)(q->route - ab_routes) : ab_routes_count, q->status);
	ab_observe(TIME_REQUEST, us);
	if (q->config->log_requests)
		log_request(q, code, us);
	__atomic_sub_fetch(&q->server->active, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&q->server->bodies, q->reserved, __ATOMIC_RELAXED);
	ab_outcome_unref(q->outcome);
	ab_stream_unref(q->stream);
	ab_build_request_free(q->build);
	ab_blob_unref(q->work_result);
	text_clear(&q->work_signature);
	ab_error_clear(&q->work_error);
	ab_config_unref(q->config);
	text_clear(&q->body);
	free(q->key);
	free(q->path);
	free(q);
}
