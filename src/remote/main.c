/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpf-remote: what anybpf has it do. Started by anybpf, which has parsed the command line:
 *	anybpf-remote build SERVER OUTPUT SOURCE [-DNAME]... [-IDIR]... [--arch=A] [--isa=V] [--kernel=K] [--full-header]
 *	anybpf-remote types SERVER RELEASE ARCH BUILD_ID <OBJECT
 *	anybpf-remote verify FILE...
 *	anybpf-remote trust add KEY|SERVER [SERVER] | list | remove KEY
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <signal.h>
#include "remote.h"

static int fail_usage(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "anybpf-remote is started by anybpf");
}

/* ---- build ---- */

/* One option; strings lie in argv. */
static bool take_option(struct remote_options *o, const char *arg, size_t *defines, size_t *dirs)
{
	if (str_starts(arg, "-D"))
		o->defines[(*defines)++] = arg + 2;
	else if (str_starts(arg, "-I"))
		o->include_dirs[(*dirs)++] = arg + 2;
	else if (str_starts(arg, "--arch="))
		o->arch = arg + 7;
	else if (str_starts(arg, "--isa="))
		o->isa = arg + 6;
	else if (str_starts(arg, "--kernel="))
		o->kernel = arg + 9;
	else if (!strcmp(arg, "--full-header"))
		o->full_header = true;
	else
		return false;
	return true;
}

static int run_build(int argc, char **argv, struct ab_error *err)
{
	struct remote_options o = { .defines = array_new(argc, sizeof(char *)),
				    .include_dirs = array_new(argc, sizeof(char *)) };
	size_t defines = 0, dirs = 0;
	int r = argc < 3 ? fail_usage(err) : !o.defines || !o.include_dirs ? ab_fail_memory(err) : 0;

	for (int i = 3; !r && i < argc; i++)
		if (!take_option(&o, argv[i], &defines, &dirs))
			r = fail_usage(err);
	if (!r) {
		o.server = argv[0];
		o.output = argv[1];
		o.path = argv[2];
		r = ab_remote_build(&o, err);
	}
	free(o.defines);
	free(o.include_dirs);
	return r;
}

/* ---- verify ---- */

static int verify_file(struct trust *trust, const char *path, struct ab_error *err)
{
	_free_ char *data = NULL, *signature = NULL, *signature_path = NULL;
	char hex[HEX_DIGEST_SIZE];
	size_t size, n;
	int r;

	if (asprintf(&signature_path, "%s.sig", path) < 0) {
		signature_path = NULL;
		return ab_fail_memory(err);
	}
	r = file_read(path, ANSWER_LIMIT, &data, &size, err);
	if (!r)
		r = file_read(signature_path, 4096, &signature, &n, err);
	if (r < 0)
		return r;
	signature[strcspn(signature, "\n")] = '\0';
	ab_digest_of(data, size, hex);
	r = ab_trust_verify(trust, NULL, NULL, hex, signature, err);
	if (r < 0)
		ab_error_prefix(err, "'%s'", path);
	else
		ab_frame_text("print", "%s: good, signed by key %.16s\n", path, signature + strlen("ed25519:"));
	return r;
}

static int run_verify(int argc, char **argv, struct ab_error *err)
{
	struct trust trust;
	int r = ab_trust_open(&trust, err);

	if (r < 0)
		return r;
	for (int i = 0; !r && i < argc; i++)
		r = verify_file(&trust, argv[i], err);
	ab_trust_close(&trust);
	return r;
}

/* ---- trust ---- */

static bool is_url(const char *s)
{
	return !strncasecmp(s, "https://", 8) || !strncasecmp(s, "http://", 7);
}

/* "http://127.0.0.1:7600"; a name that begins so may be anybody's. */
static bool is_here(const char *origin)
{
	const char *host = origin + strlen("http://");
	_free_ char *name = strndup(host, *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":"));
	struct in_addr address;

	if (!name)
		return false;
	return !strcmp(name, "localhost") || !strcmp(name, "[::1]") ||
	       (inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* The key that a server signs with now. */
static int ask_key(struct http *http, char ret_key[45], struct ab_error *err)
{
	struct http_answer answer = {};
	json_t *json = NULL, *key;
	char id[KEY_ID_SIZE];
	bool found = false;
	size_t i;
	int r = ab_http_ask(http, "/v1/keys", NULL, 0, &answer, err);

	if (!r && answer.status != 200)
		r = ab_http_problem(http, &answer, err);
	if (!r)
		json = json_loadb(answer.body.p ? answer.body.p : "", answer.body.n, 0, NULL);
	json_array_foreach(json_object_get(json, "keys"), i, key) {
		const char *public = json_string_value(json_object_get(key, "public"));

		if (found || !json_is_true(json_object_get(key, "active")) || !public || !ab_key_id(public, id))
			continue;
		snprintf(ret_key, 45, "%s", public);
		found = true;
	}
	if (!r && !found)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "server '%s' names no key that it signs with",
			    ab_http_origin(http));
	json_decref(json);
	ab_http_answer_clear(&answer);
	return r;
}

static int add_key(struct trust *trust, const char *origin, const char *key, struct ab_error *err)
{
	char id[KEY_ID_SIZE] = "";
	int r = ab_trust_add(trust, origin, key, "added", err);

	ab_key_id(key, id);
	if (!r)
		ab_frame_text("print", "pinned key %s for %s\n", id, strcmp(origin, "*") ? origin : "any server");
	return r;
}

static int add_server(struct trust *trust, const char *url, struct ab_error *err)
{
	struct http *http = NULL;
	char key[45];
	int r = ab_http_open(url, &http, err);

	if (!r && str_starts(ab_http_origin(http), "http://") && !is_here(ab_http_origin(http)))
		r = ab_fail(err, AB_ERROR_UNTRUSTED, -EKEYREJECTED,
			    "'%s' without TLS could be anybody: use https://, or pin the key by its text: "
			    "anybpf trust add ed25519:… %s", url, url);
	if (!r)
		r = ask_key(http, key, err);
	if (!r)
		r = add_key(trust, ab_http_origin(http), key, err);
	ab_http_close(http);
	return r;
}

static int run_add(struct trust *trust, int argc, char **argv, struct ab_error *err)
{
	struct http *http = NULL;
	char key[45];
	int r;

	if (argc == 1 && is_url(argv[0]))
		return add_server(trust, argv[0], err);
	r = ab_key_read(argv[0], key, err);
	if (!r && argc > 1)
		r = ab_http_open(argv[1], &http, err);
	if (!r)
		r = add_key(trust, http ? ab_http_origin(http) : "*", key, err);
	ab_http_close(http);
	return r;
}

static int run_list(const struct trust *trust, bool as_json)
{
	_text_ struct text out = {};
	struct json j = { &out };

	if (as_json)
		json_open(&j, '[');
	for (size_t i = 0; i < trust->n; i++) {
		const struct pin *pin = &trust->pins[i];

		if (!as_json) {
			text_printf(&out, "%s  ed25519:%s  %s  %s\n", pin->id, pin->key,
				    strcmp(pin->origin, "*") ? pin->origin : "any server", pin->remark);
			continue;
		}
		json_open(&j, '{');
		json_member_str(&j, "id", pin->id);
		json_member_str(&j, "key", pin->key);
		json_member_str(&j, "server", strcmp(pin->origin, "*") ? pin->origin : NULL);
		json_member_str(&j, "remark", pin->remark);
		json_close(&j, '}');
	}
	if (as_json) {
		json_close(&j, ']');
		text_putc(&out, '\n');
	}
	if (out.n)
		ab_frame("print", out.p, out.n);
	return out.failed ? -ENOMEM : 0;
}

static int run_trust(int argc, char **argv, struct ab_error *err)
{
	struct trust trust;
	int r = argc < 1 ? fail_usage(err) : ab_trust_open(&trust, err);

	if (r < 0)
		return r;
	if (!strcmp(argv[0], "add") && argc >= 2)
		r = run_add(&trust, argc - 1, argv + 1, err);
	else if (!strcmp(argv[0], "remove") && argc == 2)
		r = ab_trust_remove(&trust, argv[1], err);
	else if (!strcmp(argv[0], "list"))
		r = run_list(&trust, argc == 2);
	else
		r = fail_usage(err);
	ab_trust_close(&trust);
	return r;
}

int main(int argc, char **argv)
{
	struct ab_error err = {};
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && !strcmp(argv[1], "build"))
		r = run_build(argc - 2, argv + 2, &err);
	else if (argc == 6 && !strcmp(argv[1], "types"))
		r = ab_remote_types(argv[2], argv[3], argv[4], argv[5], &err);
	else if (argc > 1 && !strcmp(argv[1], "verify"))
		r = run_verify(argc - 2, argv + 2, &err);
	else if (argc > 1 && !strcmp(argv[1], "trust"))
		r = run_trust(argc - 2, argv + 2, &err);
	else
		r = fail_usage(&err);
	if (r < 0 && !err.code)
		ab_fail_memory(&err);
	return r < 0 ? ab_frame_error(&err) : 0;
}
