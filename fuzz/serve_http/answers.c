/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Answers on the wire: whole, well-formed, and what docs/openapi.json says of their route. */
#include <serve/build_request.h>
#include <serve/openapi.h>
#include <strings.h>
#include "serve_http.h"

struct answer {
	unsigned status;
	const char *head, *body; /* the head ends with an empty line */
	size_t head_size, size;
	bool is_whole;
};

/* ---- reading ---- */

/* The value of a header up to its line's end; NULL: there is none. It may be there once only. */
static const char *find_header(const struct answer *a, const char *name, size_t *ret_size)
{
	const char *found = NULL, *line = memmem(a->head, a->head_size, "\r\n", 2);
	size_t n = strlen(name);

	for (; line; line = memmem(line, a->head + a->head_size - line, "\r\n", 2)) {
		const char *end;

		line += 2;
		end = memmem(line, a->head + a->head_size - line, "\r\n", 2);
		if (!end || end == line)
			break;
		if ((size_t)(end - line) < n + 2 || strncasecmp(line, name, n) || line[n] != ':')
			continue;
		MUST(!found && line[n + 1] == ' ');
		found = line + n + 2;
		*ret_size = end - found;
	}
	return found;
}

static bool has_header(const struct answer *a, const char *name, const char *value)
{
	size_t n;
	const char *found = find_header(a, name, &n);

	return found && (!value || (strlen(value) == n && !memcmp(found, value, n)));
}

/* Puts the chunks of a body together where they stand. */
static size_t join_chunks(char *p, size_t size, size_t *ret_size, bool *ret_whole)
{
	char *in = p, *end = p + size, *out = p;

	*ret_whole = false;
	for (;;) {
		char *digits_end;
		unsigned long n = strtoul(in, &digits_end, 16);

		if (digits_end == in || digits_end + 2 > end || memcmp(digits_end, "\r\n", 2) || n > (size_t)(end - digits_end - 2))
			break;
		in = digits_end + 2;
		memmove(out, in, n);
		out += n;
		in += n;
		if (in + 2 > end || memcmp(in, "\r\n", 2))
			break;
		in += 2;
		if (!n) {
			*ret_whole = true;
			break;
		}
	}
	*ret_size = out - p;
	return in - p;
}

/* Reads the answer at p; returns its length on the wire. `p` is NUL-terminated. */
static size_t read_answer(char *p, size_t size, bool is_head, struct answer *a)
{
	char *end = memmem(p, size, "\r\n\r\n", 4);
	const char *length;
	size_t n, left;

	*a = (struct answer){ .head = p };
	if (!end)
		return size;
	a->head_size = end + 4 - p;
	a->body = end + 4;
	left = size - a->head_size;
	MUST(size > 13 && !memcmp(p, "HTTP/1.", 7) && (p[7] == '0' || p[7] == '1') && p[8] == ' ' && p[12] == ' ');
	for (const char *c = p; c < end; c++)
		MUST((unsigned char)*c >= ' ' || *c == '\t' || (*c == '\r' && c[1] == '\n') || (*c == '\n' && c[-1] == '\r'));
	a->status = strtoul(p + 9, NULL, 10);
	a->is_whole = true;
	length = find_header(a, "Content-Length", &n);
	/* To "HEAD" and a zero byte the library sends a body. */
	if ((is_head && (!left || str_starts(a->body, "HTTP/1."))) || a->status < 200 || a->status == 204 || a->status == 304)
		return a->head_size;
	if (has_header(a, "Transfer-Encoding", "chunked"))
		return a->head_size + join_chunks(end + 4, left, &a->size, &a->is_whole);
	a->size = length ? strtoul(length, NULL, 10) : left;
	a->is_whole = a->size <= left;
	a->size = MIN(a->size, left);
	return a->head_size + a->size;
}

/* ---- judging ---- */

/* What the description says of a route's answers: {"200": …, …}; NULL: nothing of this method. */
static json_t *find_responses(const struct answered *q)
{
	static json_t *document;
	size_t n = strlen(q->route->path);
	const char *path, *method;
	json_t *item, *operation;

	if (!document)
		document = json_loadb((const char *)ab_openapi, ab_openapi_size, 0, NULL);
	json_object_foreach(json_object_get(document, "paths"), path, item) {
		if (strncmp(path, q->route->path, n) || path[n] != (q->route->path[n - 1] == '/' ? '{' : '\0'))
			continue;
		json_object_foreach(item, method, operation)
			if (!strcasecmp(method, q->route->method))
				return json_object_get(operation, "responses");
	}
	return NULL;
}

static void check_described(const struct answer *a, const struct answered *q)
{
	json_t *responses = q->route ? find_responses(q) : NULL;
	char status[8];

	snprintf(status, sizeof(status), "%u", a->status);
	/* People's pages are not in it. */
	if (!q->route || !strcmp(q->method, "OPTIONS") || str_starts(q->route->name, "page"))
		return;
	MUST(responses);
	if (!json_object_get(responses, status))
		fprintf(stderr, "%s %s: %s\n", q->method, q->route->path, status);
	MUST(json_object_get(responses, status));
}

static json_t *read_json(const struct answer *a)
{
	json_error_t error;
	json_t *json = json_loadb(a->body, a->size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

	if (!json)
		fprintf(stderr, "%s: %.*s\n", error.text, (int)a->size, a->body);
	MUST(json);
	return json;
}

static void check_problem(const struct answer *a)
{
	json_t *json = read_json(a);
	const char *type = json_string_value(json_object_get(json, "type"));

	MUST(type && str_starts(type, "/problems/") && ab_problem_status(type + 10) == a->status);
	MUST(json_integer_value(json_object_get(json, "status")) == a->status);
	MUST(json_is_string(json_object_get(json, "detail")) && json_is_string(json_object_get(json, "instance")));
	MUST(strcmp(type, "/problems/compile") || json_is_array(json_object_get(json, "diagnostics")));
	json_decref(json);
}

static void check_range(const struct answer *a)
{
	unsigned long long first, last, size;
	size_t n;
	const char *range = find_header(a, "Content-Range", &n);
	_free_ char *copy = range ? strndup(range, n) : NULL;

	MUST(copy && sscanf(copy, "bytes %llu-%llu/%llu", &first, &last, &size) == 3);
	MUST(first <= last && last < size && (!a->size || a->size == last - first + 1));
}

/* An answer of the server's own. */
static void check_one(const struct answer *a, const struct answered *q)
{
	bool is_head = !strcmp(q->method, "HEAD") && !a->size, is_problem = a->status >= 400;

	MUST(a->status == q->status && a->status >= 200);
	MUST(has_header(a, "X-Request-Id", q->id) && has_header(a, "X-Content-Type-Options", "nosniff"));
	MUST(has_header(a, "Cache-Control", NULL));
	MUST(a->status != 500);
	check_described(a, q);
	MUST(a->status != 401 || has_header(a, "WWW-Authenticate", NULL));
	MUST(a->status != 405 || has_header(a, "Allow", NULL));
	MUST((a->status != 429 && a->status != 503) || has_header(a, "Retry-After", NULL));
	MUST(is_problem == has_header(a, "Content-Type", "application/problem+json"));
	if (a->status == 206)
		check_range(a);
	if (is_problem && !is_head)
		check_problem(a);
	else if (!is_head && a->status == 200 && has_header(a, "Content-Type", "application/json"))
		json_decref(read_json(a));
}

/* The HTTP library answers by itself what is no HTTP, and the clock what comes too late. */
static void check_last(const struct answer *a)
{
	static const unsigned allowed[] = { 400, 408, 411, 413, 414, 431, 500, 501, 505 };
	size_t i = 0;

	while (i < ARRAY_SIZE(allowed) && allowed[i] != a->status)
		i++;
	if (i == ARRAY_SIZE(allowed))
		fprintf(stderr, "%.*s\n", (int)a->head_size, a->head);
	MUST(i < ARRAY_SIZE(allowed));
}

void check_answers(const char *data, size_t size, const struct answered *answered, size_t n, bool is_cut)
{
	_free_ char *copy = malloc(size + 1);
	size_t i = 0;
	char *p = copy;

	MUST(copy);
	memcpy(copy, data, size);
	copy[size] = '\0';
	while (p < copy + size) {
		struct answer a;
		bool is_head = i < n && !strcmp(answered[i].method, "HEAD");

		p += read_answer(p, copy + size - p, is_head, &a);
		if (a.status == 100)
			continue;
		if (i == n) {
			check_last(&a);
			break; /* of the library's own answers one has its head twice */
		}
		MUST(a.is_whole || (is_cut && p == copy + size));
		if (a.is_whole)
			check_one(&a, &answered[i++]);
	}
	MUST(i == n || is_cut);
}

void check_lines(const char *text, size_t size)
{
	while (size) {
		const char *end = memchr(text, '\n', size);
		json_t *json;

		MUST(end);
		json = json_loadb(text, end - text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		if (!json)
			fprintf(stderr, "%.*s\n", (int)(end - text), text);
		MUST(json_is_object(json));
		json_decref(json);
		size -= end + 1 - text;
		text = end + 1;
	}
}
