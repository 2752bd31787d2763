/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A build on a server: the question with digests in place of files, the files that the server does not have, the answer
 * verified, and what was answered before where the server is away.
 */
#include <unistd.h>
#include "remote.h"

enum { SMALL_FILE = 256, TRIES = 2 };

struct remote {
	const struct remote_options *opts;
	struct http *http;
	struct trust trust;
	struct remote_bundle bundle;
	char *text;                     /* of standard input; NULL: there is a path */
	size_t size;
	char question[HEX_DIGEST_SIZE]; /* what is asked of whom, digested */
	json_t *answer;
	bool was_cached;
};

/* ---- the question ---- */

static void put_strings(struct json *j, const char *key, const char *const *strings)
{
	if (!strings || !*strings)
		return;
	json_key(j, key);
	json_open(j, '[');
	for (; *strings; strings++)
		json_str(j, *strings);
	json_close(j, ']');
}

static void put_word(struct json *j, const char *key, const char *word)
{
	if (word)
		json_member_str(j, key, word);
}

static bool is_utf8(const char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t length = (unsigned char)p[i] < 0x80 ? 1 : utf8_length((const unsigned char *)p + i, n - i);

		if (!length || !p[i])
			return false;
		i += length;
	}
	return true;
}

static int put_file(struct json *j, const struct remote_file *f, bool whole)
{
	char digest[HEX_DIGEST_SIZE + 8];
	int r = 0;

	json_key(j, f->path);
	if (whole && is_utf8(f->data, f->size)) {
		json_strn(j, f->data, f->size);
		return 0;
	}
	json_open(j, '{');
	if (whole) {
		_text_ struct text data = {};

		text_putc(&data, '"');
		r = ab_base64_add(&data, f->data, f->size);
		text_putc(&data, '"');
		json_key(j, "base64");
		json_raw(j, data.p ? data.p : "\"\"", data.p ? data.n : 2);
	} else {
		snprintf(digest, sizeof(digest), "sha256:%s", f->digest);
		put_word(j, "digest", digest);
	}
	json_close(j, '}');
	return r;
}

static bool is_missing(const struct remote_file *f, json_t *missing)
{
	json_t *digest;
	size_t i;

	json_array_foreach(missing, i, digest)
		if (json_is_string(digest) && str_starts(json_string_value(digest), "sha256:") &&
		    !strcmp(json_string_value(digest) + 7, f->digest))
			return true;
	return false;
}

/* The request; files that are `missing`, and those that a digest would be no shorter than, are in it whole. */
static int write_request(const struct remote *r, json_t *missing, bool is_inline, struct text *out)
{
	const struct remote_options *o = r->opts;
	const char *outputs[] = { o->output, NULL };
	struct json j = { out };
	int failed = 0;

	json_open(&j, '{');
	put_word(&j, "source", r->bundle.files[0].path);
	json_key(&j, "files");
	json_open(&j, '{');
	for (size_t i = 0; i < r->bundle.n; i++) {
		const struct remote_file *f = &r->bundle.files[i];

		bool is_small = f->size <= SMALL_FILE && is_utf8(f->data, f->size);

		failed |= put_file(&j, f, is_small || is_missing(f, missing));
	}
	json_close(&j, '}');
	json_key(&j, "options");
	json_open(&j, '{');
	put_strings(&j, "defines", o->defines);
	put_strings(&j, "include_dirs", (const char *const *)r->bundle.include_dirs);
	put_word(&j, "arch", o->arch);
	put_word(&j, "isa", o->isa);
	json_member_bool(&j, "full_header", o->full_header);
	json_close(&j, '}');
	put_word(&j, "kernel", o->kernel);
	put_strings(&j, "outputs", outputs);
	json_member_bool(&j, "inline", is_inline);
	json_close(&j, '}');
	return failed || out->failed ? -ENOMEM : 0;
}

static int digest_question(struct remote *r, struct ab_error *err)
{
	struct digest *d = NULL;
	_text_ struct text request = {};

	if (write_request(r, NULL, false, &request) < 0)
		return ab_fail_memory(err);
	d = ab_digest_begin();
	ab_digest_add_string(d, "anybpf-remote-1");
	ab_digest_add_string(d, ab_http_origin(r->http));
	ab_digest_add(d, request.p, request.n);
	ab_digest_end(d, r->question);
	return 0;
}

/* ---- the answer ---- */

static json_t *parse_body(const struct http_answer *answer)
{
	return json_loadb(answer->body.p ? answer->body.p : "", answer->body.n, 0, NULL);
}

static int bad_answer(const struct remote *r, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "server '%s': an answer that is not anybpfd's",
		       ab_http_origin(r->http));
}

/* What the compiler said, as an error with the user's own paths. */
static int refuse_source(const struct remote *r, const struct http_answer *answer, struct ab_error *err)
{
	json_t *json = parse_body(answer);
	const char *detail = json_string_value(json_object_get(json, "detail"));
	const char *log = json_string_value(json_object_get(json, "log"));
	_text_ struct text own_detail = {}, own_log = {};
	int code;

	ab_bundle_translate(&r->bundle, detail ? detail : "the compiler refused it", &own_detail);
	ab_bundle_translate(&r->bundle, log ? log : "", &own_log);
	code = ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s", own_detail.p ? own_detail.p : "the compiler refused it");
	if (own_log.p)
		ab_error_set_log(err, own_log.p);
	json_decref(json);
	return code;
}

/* The digests that a server asks for, or NULL. */
static json_t *read_missing(const struct http_answer *answer)
{
	json_t *json = answer->status == 409 ? parse_body(answer) : NULL;
	json_t *missing = json_object_get(json, "missing");

	json_incref(missing);
	json_decref(json);
	if (!json_is_array(missing)) {
		json_decref(missing);
		return NULL;
	}
	return missing;
}

static int ask(struct remote *r, bool is_inline, struct http_answer *ret, struct ab_error *err)
{
	json_t *missing = NULL;
	int code = 0;

	for (int i = 0; i < TRIES; i++) {
		_text_ struct text request = {};

		ab_http_answer_clear(ret);
		code = write_request(r, missing, is_inline, &request) ? ab_fail_memory(err) : 0;
		if (!code)
			code = ab_http_ask(r->http, "/v1/build", request.p, request.n, ret, err);
		json_decref(missing);
		missing = code ? NULL : read_missing(ret);
		if (!missing)
			break;
	}
	json_decref(missing);
	return code;
}

static int ask_server(struct remote *r, bool is_inline, struct ab_error *err)
{
	struct http_answer answer = {};
	int code = ask(r, is_inline, &answer, err);

	if (!code && answer.status == 422)
		code = refuse_source(r, &answer, err);
	else if (!code && answer.status != 200)
		code = ab_http_problem(r->http, &answer, err);
	else if (!code)
		r->answer = parse_body(&answer);
	ab_http_answer_clear(&answer);
	if (!code && !r->answer)
		code = bad_answer(r, err);
	return code;
}

/* What the server said to the same question before. */
static json_t *read_cached(const struct remote *r)
{
	_free_ char *data = NULL;
	size_t size;

	return ab_cache_read("answers", r->question, &data, &size) ? json_loadb(data, size, 0, NULL) : NULL;
}

static json_t *find_artifact(const struct remote *r)
{
	json_t *artifact;
	size_t i;

	json_array_foreach(json_object_get(r->answer, "artifacts"), i, artifact) {
		const char *output = json_string_value(json_object_get(artifact, "output"));

		if (output && !strcmp(output, r->opts->output))
			return artifact;
	}
	return NULL;
}

/* ---- bytes ---- */

static bool has_digest(const char *data, size_t size, const char *hex)
{
	char own[HEX_DIGEST_SIZE];

	ab_digest_of(data, size, own);
	return !strcmp(own, hex);
}

static int fetch_artifact(const struct remote *r, const char *hex, char **ret_data, size_t *ret_size,
			  struct ab_error *err)
{
	struct http_answer answer = {};
	char path[HEX_DIGEST_SIZE + 32];
	int code;

	snprintf(path, sizeof(path), "/v1/artifacts/sha256:%s", hex);
	code = ab_http_ask(r->http, path, NULL, 0, &answer, err);
	if (!code && answer.status != 200)
		code = ab_http_problem(r->http, &answer, err);
	if (!code) {
		*ret_size = answer.body.n;
		*ret_data = text_take(&answer.body);
		if (!*ret_data)
			code = ab_fail_memory(err);
	}
	ab_http_answer_clear(&answer);
	return code;
}

/* The artifact's bytes: in the answer, in the cache, or asked for. They have the digest, wherever they come from. */
static int get_bytes(const struct remote *r, json_t *artifact, const char *hex, char **ret_data, size_t *ret_size,
		     struct ab_error *err)
{
	const char *base64 = json_string_value(json_object_get(artifact, "data"));
	_free_ char *data = NULL;
	size_t size = 0;
	int code = 0;

	if (base64)
		code = ab_base64_decode(base64, strlen(base64), &data, &size) < 0 ? bad_answer(r, err) : 0;
	else if (!ab_cache_read("artifacts", hex, &data, &size))
		code = fetch_artifact(r, hex, &data, &size, err);
	if (code)
		return code;
	if (!has_digest(data, size, hex))
		return ab_fail(err, AB_ERROR_UNTRUSTED, -EKEYREJECTED,
			       "server '%s': the bytes do not have the digest that the answer names",
			       ab_http_origin(r->http));
	*ret_data = TAKE(data);
	*ret_size = size;
	return 0;
}

/* ---- results ---- */

/* Keeps the answer without the bytes, which are kept by digest. */
static void keep(const struct remote *r, json_t *artifact, const char *hex, const char *data, size_t size)
{
	char *text;

	ab_cache_write("artifacts", hex, data, size);
	json_object_del(artifact, "data");
	text = json_dumps(r->answer, JSON_COMPACT);
	if (text)
		ab_cache_write("answers", r->question, text, strlen(text));
	free(text);
}

static void tell(const struct remote *r, json_t *artifact, const char *data, size_t size)
{
	const char *log = json_string_value(json_object_get(r->answer, "log"));
	const char *compiler = json_string_value(json_object_get(r->answer, "compiler"));
	const char *kernel = json_string_value(json_object_get(r->answer, "kernel"));
	const char *signature = json_string_value(json_object_get(artifact, "signature"));
	_text_ struct text own = {};

	ab_bundle_translate(&r->bundle, log ? log : "", &own);
	if (own.p)
		ab_frame("log", own.p, own.n);
	ab_frame_text("compiler", "%s on %s, types of %s", compiler ? compiler : "a compiler", ab_http_origin(r->http),
		      kernel ? kernel : "a kernel");
	if (json_is_true(json_object_get(r->answer, "full_header")))
		ab_frame("full-header", "", 0);
	ab_frame("signature", signature, strlen(signature));
	ab_frame("data", data, size);
}

static int take_result(struct remote *r, struct ab_error *err)
{
	json_t *artifact = find_artifact(r);
	const char *digest = json_string_value(json_object_get(artifact, "digest"));
	const char *signature = json_string_value(json_object_get(artifact, "signature"));
	_free_ char *data = NULL;
	size_t size = 0;
	int code;

	if (!digest || !str_starts(digest, "sha256:") || !ab_is_hex_digest(digest + 7))
		return bad_answer(r, err);
	code = ab_trust_verify(&r->trust, ab_http_origin(r->http), r->was_cached ? NULL : r->http, digest + 7,
			       signature, err);
	if (!code)
		code = get_bytes(r, artifact, digest + 7, &data, &size, err);
	if (code)
		return code;
	if (!r->was_cached)
		keep(r, artifact, digest + 7, data, size);
	tell(r, artifact, data, size);
	return 0;
}

static int build(struct remote *r, struct ab_error *err)
{
	json_t *cached = read_cached(r);
	struct ab_error why = {};
	int code = ask_server(r, !cached, &why);

	if (code == -EHOSTUNREACH && cached) {
		ab_frame_text("say", "%s; what it made of the same sources before is used", why.msg);
		ab_error_clear(&why);
		r->answer = cached;
		r->was_cached = true;
		return take_result(r, err);
	}
	json_decref(cached);
	if (code) {
		*err = why;
		return code;
	}
	return take_result(r, err);
}

/* What is sent, and its digest. */
static int gather(struct remote *r, bool all_branches, struct ab_error *err)
{
	const struct remote_options *o = r->opts;
	int code;

	ab_bundle_clear(&r->bundle);
	code = ab_bundle_gather(r->text ? "stdin.bpf.c" : o->path, r->text, r->size, (const char *const *)o->include_dirs,
				(const char *const *)o->defines, all_branches, &r->bundle, err);
	return code ? code : digest_question(r, err);
}

static int read_input(struct remote *r, struct ab_error *err)
{
	return strcmp(r->opts->path, "-") ? 0 :
		       file_read_fd(STDIN_FILENO, "standard input", 64u << 20, &r->text, &r->size, err);
}

/* A macro of some header that is not here may have decided otherwise about a branch: then all there is goes. */
static bool is_too_little(const struct remote *r, int code, const struct ab_error *err)
{
	return code < 0 && err->kind == AB_ERROR_COMPILE && r->bundle.left_out && err->log && strstr(err->log, "file not found");
}

int ab_remote_build(const struct remote_options *opts, struct ab_error *err)
{
	struct remote r = { .opts = opts };
	int code = ab_http_open(opts->server, &r.http, err);

	if (!code)
		code = ab_trust_open(&r.trust, err);
	if (!code)
		code = ab_trust_expect(&r.trust, ab_http_origin(r.http), err);
	if (!code)
		code = read_input(&r, err);
	if (!code)
		code = gather(&r, false, err);
	if (!code)
		code = build(&r, err);
	if (is_too_little(&r, code, err)) {
		ab_error_clear(err);
		code = gather(&r, true, err);
		if (!code)
			code = build(&r, err);
	}
	json_decref(r.answer);
	free(r.text);
	ab_bundle_clear(&r.bundle);
	ab_trust_close(&r.trust);
	ab_http_close(r.http);
	return code;
}
