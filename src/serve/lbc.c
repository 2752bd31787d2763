/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* coolbpf's commands: from the JSON of a request to the JSON of its answer (docs/format-lbc.md). */
#define json_null jansson_null /* both jansson and our JSON writer have one; jansson's is not used */
#include <jansson.h>
#undef json_null
#include <ctype.h>
#include <pthread.h>
#include <anybpf/library.h>
#include <crypto/crypto.h>
#include "lbc.h"

enum { KERNELS_KEPT = 4, DEFINES_MAX = 256, ECHO_MAX = 4096 };

/* A kernel's types, while it is asked about. */
struct kernel {
	char *key; /* "RELEASE ARCH" */
	struct ab_btf *btf;
	unsigned users;
	uint64_t used;
};

struct lbc {
	struct lbc_backend backend;
	pthread_mutex_t lock;
	struct kernel kernels[KERNELS_KEPT];
	uint64_t clock;
};

int ab_lbc_new(const struct lbc_backend *backend, struct lbc **ret_lbc, struct ab_error *err)
{
	struct lbc *lbc = array_new(1, sizeof(*lbc));

	if (!lbc)
		return ab_fail_memory(err);
	lbc->backend = *backend;
	pthread_mutex_init(&lbc->lock, NULL);
	*ret_lbc = lbc;
	return 0;
}

static void clear_kernel(struct kernel *k)
{
	ab_btf_close(k->btf);
	free(k->key);
	*k = (struct kernel){};
}

void ab_lbc_free(struct lbc *lbc)
{
	if (!lbc)
		return;
	for (size_t i = 0; i < KERNELS_KEPT; i++)
		clear_kernel(&lbc->kernels[i]);
	pthread_mutex_destroy(&lbc->lock);
	free(lbc);
}

/* ---- kernels ---- */

static struct kernel *find_kept(struct lbc *lbc, const char *key)
{
	for (size_t i = 0; i < KERNELS_KEPT; i++)
		if (lbc->kernels[i].key && !strcmp(lbc->kernels[i].key, key))
			return &lbc->kernels[i];
	return NULL;
}

/* The place of the kernel that was used longest ago and that nobody uses, or NULL. */
static struct kernel *find_place(struct lbc *lbc)
{
	struct kernel *place = NULL;

	for (size_t i = 0; i < KERNELS_KEPT; i++)
		if (!lbc->kernels[i].users && (!place || lbc->kernels[i].used < place->used))
			place = &lbc->kernels[i];
	return place;
}

static struct ab_btf *read_kernel(struct lbc *lbc, const char *release, const char *arch)
{
	_free_ void *data = NULL;
	struct ab_btf *btf = NULL;
	struct ab_error err = {};
	size_t size;

	if (!lbc->backend.btf(lbc->backend.ctx, release, arch, &data, &size, &err) &&
	    ab_btf_open_mem(data, size, &btf, &err) < 0)
		btf = NULL;
	ab_error_clear(&err);
	return btf;
}

/*
 * A kernel's types to be given back with put_kernel(); *ret_kept is NULL for one that is not kept, as all places are in
 * use.
 */
static const struct ab_btf *get_kernel(struct lbc *lbc, const char *release, const char *arch, struct kernel **ret_kept)
{
	_text_ struct text key = {};
	struct ab_btf *btf;
	struct kernel *k;

	text_printf(&key, "%s %s", release, arch);
	if (key.failed)
		return NULL;
	pthread_mutex_lock(&lbc->lock);
	k = find_kept(lbc, key.p);
	if (!k) {
		/* Read under the lock: who asks for the same kernel meanwhile would read it as well. */
		btf = read_kernel(lbc, release, arch);
		k = btf ? find_place(lbc) : NULL;
		if (!k) {
			pthread_mutex_unlock(&lbc->lock);
			*ret_kept = NULL;
			return btf;
		}
		clear_kernel(k);
		k->btf = btf;
		k->key = TAKE(key.p);
	}
	k->users++;
	k->used = ++lbc->clock;
	btf = k->btf;
	pthread_mutex_unlock(&lbc->lock);
	*ret_kept = k;
	return btf;
}

static void put_kernel(struct lbc *lbc, struct kernel *kept, const struct ab_btf *btf)
{
	if (!kept) {
		ab_btf_close((struct ab_btf *)btf);
		return;
	}
	pthread_mutex_lock(&lbc->lock);
	kept->users--;
	pthread_mutex_unlock(&lbc->lock);
}

/* ---- requests ---- */

struct command {
	struct lbc *lbc;
	const struct lbc_client *client;
	json_t *json;
	const char *release, *arch;
	bool framed;
	struct json *j; /* an open object */
};

static void put_base64(struct json *j, const char *key, const void *data, size_t size)
{
	_text_ struct text t = {};

	text_putc(&t, '"');
	if (ab_base64_add(&t, data, size) < 0)
		t.failed = true;
	text_putc(&t, '"');
	json_key(j, key);
	if (t.failed)
		json_null(j);
	else
		json_raw(j, t.p, t.n);
}

/* A string member, NULL if it is none or has a NUL in it. */
static const char *member(const struct command *c, const char *name)
{
	json_t *value = json_object_get(c->json, name);
	const char *s = json_string_value(value);

	return s && strlen(s) == json_string_length(value) ? s : NULL;
}

static bool has_only(const char *s, const char *more)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(more, *s))
			return false;
	return true;
}

static bool is_name(const char *s)
{
	return *s && strlen(s) <= 128 && has_only(s, "._+~-") && *s != '.' && *s != '-';
}

/* ---- c, obj ---- */

/* The next word of a command line without quotation marks, written to `to`; NULL at the end. */
static const char *next_word(const char *p, char *to)
{
	char quote = 0;

	p += strspn(p, " \t\r\n");
	if (!*p)
		return NULL;
	for (; *p && (quote || !isspace((unsigned char)*p)); p++)
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else
			*to++ = *p;
	*to = '\0';
	return p;
}

static bool is_harmless(const char *flag)
{
	bool warns = str_starts(flag, "-W") && has_only(flag + 1, "-=") && flag[2] != 'l';

	return warns || !strcmp(flag, "-g") || str_starts(flag, "-O");
}

int ab_lbc_defines(const char *env, char ***ret_defines, struct ab_error *err)
{
	size_t n = strlen(env), count = 0;
	char **defines = malloc((DEFINES_MAX + 1) * sizeof(*defines) + n + 1), *to;
	bool is_name_next = false;

	if (!defines)
		return ab_fail_memory(err);
	to = (char *)(defines + DEFINES_MAX + 1);
	for (const char *p = env; (p = next_word(p, to));) {
		bool is_define = is_name_next || str_starts(to, "-D");
		char *word = is_name_next || !is_define ? to : to + 2;

		if (!is_define && is_harmless(to))
			continue;
		if (is_define && !*word && !is_name_next) {
			is_name_next = true; /* "-D NAME" */
			continue;
		}
		is_name_next = false;
		if (!is_define || !(isalpha((unsigned char)*word) || *word == '_') || count == DEFINES_MAX) {
			int r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "env: '%.100s' is not taken; -DNAME[=VALUE] is",
					to);

			free(defines);
			return r;
		}
		defines[count++] = word;
		to += strlen(to) + 1;
	}
	defines[count] = NULL;
	*ret_defines = defines;
	return 0;
}

/* What pylcc knows a library by: the source and the flags as they were sent. */
static void write_labels(const struct command *c, const char *code, const char *env, struct text *out)
{
	struct digest *digest = ab_digest_begin();
	char hash[HEX_DIGEST_SIZE];
	struct json j = { out };

	ab_digest_add(digest, code, strlen(code));
	ab_digest_add(digest, env, strlen(env));
	ab_digest_end(digest, hash);
	json_open(&j, '{');
	json_member_str(&j, "hash", hash);
	json_member_str(&j, "arch", c->arch);
	json_member_str(&j, "kern_version", c->release);
	json_close(&j, '}');
}

static int label_library(const struct command *c, const char *code, const char *env, struct lbc_built *built,
			 struct ab_error *err)
{
	_text_ struct text labels = {};
	size_t size;
	void *data;
	int r;

	write_labels(c, code, env, &labels);
	if (labels.failed)
		return ab_fail_memory(err);
	r = ab_library_add_section(built->data, built->size, ".anybpf.lbc", labels.p, labels.n, &data, &size, err);
	if (r < 0)
		return r;
	free(built->data);
	built->data = data;
	built->size = size;
	return 0;
}

static void put_failure(const struct command *c, const char *key, const struct ab_error *err)
{
	const char *said = err->log && *err->log ? err->log : err->msg;
	_text_ struct text log = {};

	json_key(c->j, key);
	json_null(c->j);
	text_printf(&log, "setup %s report: %s", key, err->msg);
	if (!c->framed)
		json_member_str(c->j, "clog", said);
	json_member_str(c->j, "log", c->framed ? said : log.p);
}

static void run_compile(struct command *c, const char *key)
{
	const char *code = member(c, "code"), *env = member(c, "env");
	struct lbc_build build = { .code = code, .release = c->release, .arch = c->arch,
				   .library = !strcmp(key, "so") };
	struct lbc_built built = {};
	struct ab_error err = {};
	char **defines = NULL;
	int r;

	if (!code) {
		json_member_str(c->j, "log", c->framed ? "not code." : "no code.");
		return;
	}
	env = env ? env : "";
	build.size = strlen(code);
	r = ab_lbc_defines(env, &defines, &err);
	build.defines = (const char *const *)defines;
	if (!r)
		r = c->lbc->backend.build(c->lbc->backend.ctx, c->client, &build, &built, &err);
	if (!r && build.library)
		r = label_library(c, code, env, &built, &err);
	if (r < 0) {
		put_failure(c, key, &err);
	} else {
		put_base64(c->j, key, built.data, built.size);
		if (!c->framed)
			json_member_str(c->j, "clog", built.diagnostics ? built.diagnostics : "");
		json_member_str(c->j, "log", "ok.");
	}
	free(defines);
	free(built.data);
	free(built.diagnostics);
	ab_error_clear(&err);
}

static void run_c(struct command *c)
{
	run_compile(c, "so");
}

static void run_obj(struct command *c)
{
	run_compile(c, "obj");
}

/* ---- btf, func, struct, type ---- */

static void run_btf(struct command *c)
{
	_free_ void *data = NULL;
	struct ab_error err = {};
	size_t size;

	json_member_str(c->j, "ver", c->release);
	json_member_str(c->j, "arch", c->arch);
	if (!is_name(c->release) ||
	    c->lbc->backend.btf(c->lbc->backend.ctx, c->release, c->arch, &data, &size, &err) < 0) {
		json_member_str(c->j, "log", "read btf file failed.");
	} else {
		put_base64(c->j, "btf", data, size);
		json_member_str(c->j, "log", c->framed ? "get btf file ok." : "ok.");
	}
	ab_error_clear(&err);
}

static bool ask_func(struct command *c, const struct ab_btf *btf, const char *name)
{
	struct lbc_func_query q = { .name = name, .ret = member(c, "ret"), .arg = member(c, "arg") };

	return ab_lbc_query_func(btf, &q, c->j);
}

static bool ask_struct(struct command *c, const struct ab_btf *btf, const char *name)
{
	ab_lbc_query_struct(btf, name, c->j);
	return true;
}

static bool ask_type(struct command *c, const struct ab_btf *btf, const char *name)
{
	ab_lbc_query_type(btf, name, c->j);
	return true;
}

static void run_query(struct command *c, const char *key,
		      bool (*ask)(struct command *c, const struct ab_btf *btf, const char *name))
{
	const char *name = member(c, key);
	const struct ab_btf *btf;
	struct kernel *kept;
	_text_ struct text bad = {};

	if (!name || !*name || strlen(name) > 256 || !has_only(name, "_% ")) {
		text_printf(&bad, "bad %s key.", key);
		json_member_str(c->j, "log", bad.p);
		return;
	}
	btf = is_name(c->release) ? get_kernel(c->lbc, c->release, c->arch, &kept) : NULL;
	if (!btf) {
		json_member_str(c->j, "log", "version not support.");
		return;
	}
	json_member_str(c->j, "log", ask(c, btf, name) ? "ok." : "query value error.");
	put_kernel(c->lbc, kept, btf);
}

static void run_func(struct command *c)
{
	run_query(c, "func", ask_func);
}

static void run_struct(struct command *c)
{
	run_query(c, "struct", ask_struct);
}

static void run_type(struct command *c)
{
	run_query(c, "type", ask_type);
}

/* ---- what is no longer needed ---- */

static void run_ko(struct command *c)
{
	json_member_str(c->j, "log",
			"ko: module types come from BTF; add the modules to a pack (anybpf pack add) and ask func, struct, type.");
}

static void run_elf_so(struct command *c)
{
	json_member_str(c->j, "log", "elf_so: libraries and anybpf find symbols themselves (ab_symbols_new).");
}

/* ---- dispatch ---- */

static const struct {
	const char *name;
	bool framed; /* may come in a frame */
	void (*run)(struct command *c);
} commands[] = {
	{ "c", true, run_c }, { "obj", false, run_obj }, { "btf", true, run_btf }, { "func", true, run_func },
	{ "struct", true, run_struct }, { "type", true, run_type }, { "ko", false, run_ko },
	{ "elf_so", false, run_elf_so },
};

/* A refused command comes back as it was, with the reason. */
static void refuse(json_t *json, const char *reason, struct json *j)
{
	char *text;

	json_object_del(json, "code");
	json_object_del(json, "kos");
	json_object_set_new(json, "log", json_string(reason));
	text = json_dumps(json, JSON_COMPACT);
	json_raw(j, text ? text : "{}", text ? strlen(text) : 2);
	free(text);
}

static void run_command(struct lbc *lbc, const struct lbc_client *client, json_t *json, bool framed, struct json *j)
{
	struct command c = { .lbc = lbc, .client = client, .json = json, .framed = framed, .j = j };
	const char *cmd = member(&c, "cmd");
	size_t i = 0;

	while (cmd && i < ARRAY_SIZE(commands) && (strcmp(commands[i].name, cmd) || (framed && !commands[i].framed)))
		i++;
	c.release = member(&c, "ver");
	c.arch = member(&c, "arch") ? member(&c, "arch") : "x86_64";
	if (!json_object_get(json, "cmd"))
		return refuse(json, "unknown request.", j);
	if (!cmd || i == ARRAY_SIZE(commands))
		return refuse(json, "unknown cmd.", j);
	if (!c.release)
		return refuse(json, "no kernel version info.", j);
	json_open(j, '{');
	if (is_name(c.arch)) {
		commands[i].run(&c);
	} else {
		_text_ struct text log = {};

		text_printf(&log, "arch %.64s not support.", c.arch);
		json_member_str(j, "log", log.p);
	}
	json_close(j, '}');
}

static void put_result(struct json *j, const char *result, bool status, int code)
{
	json_member_str(j, "result", result);
	json_member_bool(j, "status", status);
	json_member_int(j, "code", code);
	json_key(j, "res");
	json_open(j, '[');
}

static void answer_commands(struct lbc *lbc, const struct lbc_client *client, json_t *root, struct json *j)
{
	json_t *command;
	size_t i;

	put_result(j, "success", true, 200);
	if (json_is_object(root))
		run_command(lbc, client, root, false, j);
	else
		json_array_foreach(root, i, command)
			run_command(lbc, client, command, false, j);
}

static bool is_request(const json_t *root)
{
	json_t *command;
	size_t i;

	if (json_is_object(root))
		return true;
	if (!json_is_array(root) || json_array_size(root) > LBC_COMMANDS_MAX)
		return false;
	json_array_foreach(root, i, command)
		if (!json_is_object(command))
			return false;
	return true;
}

void ab_lbc_answer(struct lbc *lbc, const struct lbc_client *client, const char *body, size_t size, struct text *out)
{
	json_t *root = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
	struct json j = { out };

	json_open(&j, '{');
	if (is_request(root)) {
		answer_commands(lbc, client, root, &j);
	} else {
		put_result(&j, "failed", false, 500);
		json_open(&j, '{');
		json_key(&j, "log");
		json_strn(&j, body, MIN(size, (size_t)ECHO_MAX));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_decref(root);
}

bool ab_lbc_answer_frame(struct lbc *lbc, const struct lbc_client *client, const char *text, size_t size, struct text *out)
{
	json_t *root = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
	bool good = json_is_object(root);
	struct json j = { out };

	if (good)
		run_command(lbc, client, root, true, &j);
	json_decref(root);
	return good;
}

long ab_lbc_frame_size(const char *head)
{
	long size = 0;

	if (memcmp(head, "LBC", 3))
		return -1;
	for (int i = 3; i < LBC_FRAME_HEAD; i++) {
		unsigned char c = head[i];

		if (!isxdigit(c))
			return -1;
		size = 16 * size + (isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	return size > LBC_FRAME_MAX - LBC_FRAME_HEAD ? -1 : size;
}
