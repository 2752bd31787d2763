/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Requests to a server by libcurl, and what its problems mean. */
#include <ctype.h>
#include <curl/curl.h>
#include "remote.h"

enum { CONNECT_SECONDS = 5, TOTAL_SECONDS = 120 };

struct http {
	CURL *curl;
	struct curl_slist *headers, *bytes_headers; /* the latter for bodies that are bytes */
	char *origin, *base; /* base: with the path of a server that is not at the top */
	char error[CURL_ERROR_SIZE];
};

/* ---- open ---- */

static int bad_url(struct ab_error *err, const char *url)
{
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a server: https://HOST[:PORT] or http://HOST[:PORT]",
		       url);
}

/* The origin in one form for all spellings, and the rest without a slash at its end. */
static int split_url(const char *url, char **ret_origin, char **ret_base, struct ab_error *err)
{
	bool tls = !strncasecmp(url, "https://", 8), plain = !strncasecmp(url, "http://", 7);
	const char *host = url + (tls ? 8 : 7), *end;
	_text_ struct text origin = {}, base = {};
	size_t n;

	if (!tls && !plain)
		return bad_url(err, url);
	n = strcspn(host, "/?#");
	end = host + n;
	if (tls && n > 4 && !memcmp(end - 4, ":443", 4))
		n -= 4;
	if (plain && n > 3 && !memcmp(end - 3, ":80", 3))
		n -= 3;
	if (!n || memchr(host, '@', n) || *end == '?' || *end == '#' || strpbrk(url, " \t\r\n"))
		return bad_url(err, url);
	text_puts(&origin, tls ? "https://" : "http://");
	for (size_t i = 0; i < n; i++)
		text_putc(&origin, tolower((unsigned char)host[i]));
	n = strlen(end);
	while (n && end[n - 1] == '/')
		n--;
	if (!origin.failed)
		text_printf(&base, "%s%.*s", origin.p, (int)n, end);
	if (origin.failed || base.failed)
		return ab_fail_memory(err);
	*ret_origin = TAKE(origin.p);
	*ret_base = TAKE(base.p);
	return 0;
}

static void add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *more = curl_slist_append(*headers, line);

	if (more)
		*headers = more;
}

static struct curl_slist *make_headers(const char *type)
{
	const char *token = getenv("ANYBPF_TOKEN");
	struct curl_slist *headers = NULL;
	_text_ struct text line = {};

	add_header(&headers, type);
	add_header(&headers, "Accept: application/json, application/problem+json, application/octet-stream");
	add_header(&headers, "Expect:");
	if (!token || !*token || strpbrk(token, "\r\n"))
		return headers;
	text_printf(&line, "Authorization: Bearer %s", token);
	if (line.p)
		add_header(&headers, line.p);
	return headers;
}

int ab_http_open(const char *url, struct http **ret_http, struct ab_error *err)
{
	struct http *http = array_new(1, sizeof(*http));
	const char *ca = getenv("ANYBPF_CA");
	int r = http ? split_url(url, &http->origin, &http->base, err) : ab_fail_memory(err);

	if (!r && (curl_global_init(CURL_GLOBAL_DEFAULT) || !(http->curl = curl_easy_init())))
		r = ab_fail_memory(err);
	if (r < 0) {
		ab_http_close(http);
		return r;
	}
	http->headers = make_headers("Content-Type: application/json");
	http->bytes_headers = make_headers("Content-Type: application/octet-stream");
	curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(http->curl, CURLOPT_TIMEOUT, (long)TOTAL_SECONDS);
	curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(http->curl, CURLOPT_USERAGENT, "anybpf/" ANYBPF_VERSION);
	/* No redirects: an answer comes from the server that was named, or not at all. */
	if (ca && *ca)
		curl_easy_setopt(http->curl, CURLOPT_CAINFO, ca);
	*ret_http = http;
	return 0;
}

void ab_http_close(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	curl_slist_free_all(http->headers);
	curl_slist_free_all(http->bytes_headers);
	free(http->origin);
	free(http->base);
	free(http);
}

const char *ab_http_origin(const struct http *http)
{
	return http->origin;
}

/* ---- asking ---- */

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct text *body = ctx;

	if (n * size > ANSWER_LIMIT - MIN((size_t)ANSWER_LIMIT, body->n))
		return 0;
	text_add(body, data, n * size);
	return body->failed ? 0 : n * size;
}

static char *header_value(const char *line, size_t n, const char *name)
{
	size_t skip = strlen(name);

	if (n <= skip || strncasecmp(line, name, skip))
		return NULL;
	while (skip < n && (line[skip] == ' ' || line[skip] == '\t'))
		skip++;
	while (n > skip && isspace((unsigned char)line[n - 1]))
		n--;
	return strndup(line + skip, n - skip);
}

static size_t take_header(char *data, size_t size, size_t n, void *ctx)
{
	struct http_answer *answer = ctx;
	char *value = header_value(data, n * size, "Anybpf-Signature:");

	if (value) {
		free(answer->signature);
		answer->signature = value;
	}
	value = header_value(data, n * size, "Content-Type:");
	if (value) {
		free(answer->type);
		answer->type = value;
	}
	return n * size;
}

static int ask(struct http *http, struct curl_slist *headers, const char *path, const char *body, size_t size,
	       struct http_answer *ret, struct ab_error *err)
{
	struct http_answer answer = {};
	_text_ struct text url = {};
	CURLcode code;

	text_printf(&url, "%s%s", http->base, path);
	if (url.failed)
		return ab_fail_memory(err);
	*http->error = '\0';
	curl_easy_setopt(http->curl, CURLOPT_URL, url.p);
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
	if (body) {
		curl_easy_setopt(http->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
		curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body);
	} else {
		curl_easy_setopt(http->curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, &answer.body);
	curl_easy_setopt(http->curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, &answer);
	code = curl_easy_perform(http->curl);
	if (code) {
		ab_http_answer_clear(&answer);
		return ab_fail(err, AB_ERROR_IO, -EHOSTUNREACH, "server '%s': %s", http->origin,
			       *http->error ? http->error : curl_easy_strerror(code));
	}
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &answer.status);
	*ret = answer;
	return 0;
}

int ab_http_ask(struct http *http, const char *path, const char *body, size_t size, struct http_answer *ret,
		struct ab_error *err)
{
	return ask(http, http->headers, path, body, size, ret, err);
}

int ab_http_post(struct http *http, const char *path, const void *bytes, size_t size, struct http_answer *ret,
		 struct ab_error *err)
{
	return ask(http, http->bytes_headers, path, bytes, size, ret, err);
}

int ab_http_escape(struct http *http, const char *s, struct text *out, struct ab_error *err)
{
	char *escaped = curl_easy_escape(http->curl, s, 0);

	if (escaped)
		text_puts(out, escaped);
	curl_free(escaped);
	return !escaped || out->failed ? ab_fail_memory(err) : 0;
}

void ab_http_answer_clear(struct http_answer *answer)
{
	text_clear(&answer->body);
	free(answer->signature);
	free(answer->type);
	*answer = (struct http_answer){};
}

/* ---- problems ---- */

static enum ab_error_kind kind_of(long status, const char *type)
{
	const char *word = type ? strrchr(type, '/') : NULL;

	for (uint32_t kind = 1; word && kind < 32; kind++)
		if (!strcmp(ab_error_word(kind), word + 1))
			return kind;
	switch (status) {
	case 401: case 403: return AB_ERROR_PERMISSION;
	case 404: return AB_ERROR_NOT_FOUND;
	case 413: case 429: return AB_ERROR_LIMIT;
	case 400: case 405: case 406: case 411: case 415: return AB_ERROR_USAGE;
	default: return AB_ERROR_IO;
	}
}

/* A server that is full or ending may be gone for a moment: that is like not being there. */
int ab_http_problem(const struct http *http, const struct http_answer *answer, struct ab_error *err)
{
	json_t *json = json_loadb(answer->body.p ? answer->body.p : "", answer->body.n, 0, NULL);
	const char *type = json_string_value(json_object_get(json, "type"));
	const char *title = json_string_value(json_object_get(json, "title"));
	const char *detail = json_string_value(json_object_get(json, "detail"));
	bool is_away = answer->status == 502 || answer->status == 503 || answer->status == 504;
	int r = ab_fail(err, kind_of(answer->status, type), is_away ? -EHOSTUNREACH : -EREMOTEIO,
			"server '%s': %s%s%s (status %ld)", http->origin,
			title ? title : "an answer that is not anybpfd's", detail && *detail ? ": " : "",
			detail ? detail : "", answer->status);

	json_decref(json);
	return r;
}
