/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Types of a kernel that has none of its own, minimized by a server for the object that is to run on it. */
#include <unistd.h>
#include "remote.h"

enum { OBJECT_LIMIT = 64 << 20 };

static int make_path(struct http *http, const struct types_question *asked, struct text *out, struct ab_error *err)
{
	const struct { const char *before, *value; } parts[] = {
		{ "/v1/btf/", asked->kernel }, { "?arch=", asked->arch }, { "&build_id=", asked->build_id },
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(parts); i++) {
		text_puts(out, parts[i].before);
		r = *parts[i].value ? ab_http_escape(http, parts[i].value, out, err) : 0;
	}
	return r;
}

static int ask(struct http *http, const struct types_question *asked, struct http_answer *ret, struct ab_error *err)
{
	_text_ struct text path = {};
	int r = make_path(http, asked, &path, err);

	if (!r)
		r = ab_http_post(http, path.p, asked->object, asked->object_size, ret, err);
	return !r && ret->status != 200 ? ab_http_problem(http, ret, err) : r;
}

/* The signature is over the question too, so that no answer to another one can stand for it. */
static int take_answer(struct trust *trust, struct http *http, const struct types_question *asked,
		       const struct http_answer *answer, struct ab_error *err)
{
	const char *types = answer->body.p ? answer->body.p : "";
	_text_ struct text message = {};
	int r = ab_types_message(asked, types, answer->body.n, &message);

	if (r < 0)
		return ab_fail_memory(err);
	r = ab_trust_verify_message(trust, ab_http_origin(http), http, message.p, message.n, answer->signature, err);
	if (!r)
		ab_frame("data", types, answer->body.n);
	return r;
}

int ab_remote_types(const char *server, const char *release, const char *arch, const char *build_id, struct ab_error *err)
{
	struct types_question asked = { .kernel = release, .arch = arch, .build_id = build_id };
	struct http_answer answer = {};
	_free_ char *object = NULL;
	struct http *http = NULL;
	struct trust trust = {};
	int r = ab_http_open(server, &http, err);

	if (!r)
		r = ab_trust_open(&trust, err);
	if (!r)
		r = ab_trust_expect(&trust, ab_http_origin(http), err);
	if (!r)
		r = file_read_fd(STDIN_FILENO, "standard input", OBJECT_LIMIT, &object, &asked.object_size, err);
	asked.object = object;
	if (!r)
		r = ask(http, &asked, &answer, err);
	if (!r)
		r = take_answer(&trust, http, &asked, &answer, err);
	ab_http_answer_clear(&answer);
	ab_trust_close(&trust);
	ab_http_close(http);
	return r;
}
