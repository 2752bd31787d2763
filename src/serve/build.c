/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Compiles one request, keeps what came of it, and makes answers from what was kept (build.h). */
#include "build.h"
#include "keyring.h"
#include "server.h"

enum { DIAGNOSTICS_LIMIT = 1000, MESSAGE_LIMIT = 4 << 10, LOG_LIMIT = 64 << 10 };

/* ---- input ---- */

/* The request's files as the builder takes them. */
struct input {
	struct ab_build_file *files;
	struct blob **stored; /* of those that were named by digest; NULL where they were sent */
	size_t n;
};

static void clear_input(struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		ab_blob_unref(in->stored[i]);
	free(in->files);
	free(in->stored);
}

static int take_input(struct input *in, const struct build_request *build, struct store *store, struct ab_error *err)
{
	*in = (struct input){ .files = array_new(build->n_files, sizeof(*in->files)),
			      .stored = array_new(build->n_files, sizeof(*in->stored)) };
	if (!in->files || !in->stored)
		return ab_fail_memory(err);
	for (; in->n < build->n_files; in->n++) {
		const struct build_file *f = &build->files[in->n];
		struct blob *blob = f->data ? NULL : ab_store_get(store, STORE_SOURCE, f->digest);

		if (!f->data && !blob)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' is not here any more: send it again", f->path);
		in->stored[in->n] = blob;
		in->files[in->n] = (struct ab_build_file){ f->path, blob ? blob->data : f->data, blob ? blob->size : f->size };
	}
	return 0;
}

/* ---- records ---- */

/* "lib/tool.bpf.c" and "skel.h": "tool.skel.h". */
static char *output_name(const struct build_request *build, int output)
{
	const char *base = path_base(build->source);
	size_t n = strlen(base);
	char *name;

	if (str_ends(base, ".bpf.c"))
		n -= 6;
	else if (str_ends(base, ".c"))
		n -= 2;
	return asprintf(&name, "%.*s.%s", (int)n, base, ab_output_names[output]) < 0 ? NULL : name;
}

static int keep_output(struct server *server, const struct ab_artifact *artifact, const struct build_request *build, int output,
		       struct json *j, struct ab_error *err)
{
	_free_ char *name = output_name(build, output);
	_free_ void *data = NULL;
	char hex[HEX_DIGEST_SIZE], digest[HEX_DIGEST_SIZE + 8];
	struct blob *blob;
	size_t size;
	int r = name ? ab_artifact_encode(artifact, name, &data, &size, err) : ab_fail_memory(err);

	if (r)
		return r;
	ab_digest_of(data, size, hex);
	ab_store_put(server->store, STORE_ARTIFACT, hex, data, size);
	blob = ab_blob_new(data, size);
	if (!blob)
		return ab_fail_memory(err);
	ab_cache_put(server->memory, hex, blob);
	ab_blob_unref(blob);
	snprintf(digest, sizeof(digest), "sha256:%s", hex);
	json_open(j, '{');
	json_member_str(j, "output", ab_output_names[output]);
	json_member_str(j, "name", name);
	json_member_uint(j, "size", size);
	json_member_str(j, "digest", digest);
	json_close(j, '}');
	return 0;
}

/* A name of megabytes is in every message about it, and in the log with each; nobody reads more of it. */
static void write_cut(struct json *j, const char *key, const char *s, size_t limit)
{
	_text_ struct text cut = {};
	size_t n = s ? strlen(s) : 0, keep = limit;

	if (n <= limit) {
		json_member_str(j, key, s);
		return;
	}
	while (keep && ((unsigned char)s[keep] & 0xc0) == 0x80) /* not within a character of UTF-8 */
		keep--;
	text_add(&cut, s, keep);
	text_printf(&cut, "... (%zu more bytes)", n - keep);
	json_member_str(j, key, cut.p ? cut.p : "");
}

static void write_place(struct json *j, const struct ab_diagnostic *d)
{
	static const char *const severities[] = { [AB_SEVERITY_NOTE] = "note",
						  [AB_SEVERITY_REMARK] = "note",
						  [AB_SEVERITY_WARNING] = "warning",
						  [AB_SEVERITY_ERROR] = "error",
						  [AB_SEVERITY_FATAL] = "fatal" };

	json_member_str(j, "file", d->file);
	json_member_uint(j, "line", d->line);
	json_member_uint(j, "column", d->column);
	json_member_str(j, "severity",
			d->severity < ARRAY_SIZE(severities) && severities[d->severity] ? severities[d->severity] : "error");
	write_cut(j, "message", d->message, MESSAGE_LIMIT);
}

/* Notes stand within what they belong to. */
static void write_diagnostics(struct json *j, const struct ab_builder *builder)
{
	size_t n = MIN(ab_builder_diagnostic_count(builder), DIAGNOSTICS_LIMIT);
	const struct ab_diagnostic *d;

	json_key(j, "diagnostics");
	json_open(j, '[');
	for (size_t i = 0; i < n; i++) {
		json_open(j, '{');
		write_place(j, ab_builder_diagnostic(builder, i));
		json_key(j, "notes");
		json_open(j, '[');
		for (; i + 1 < n && (d = ab_builder_diagnostic(builder, i + 1))->severity <= AB_SEVERITY_REMARK; i++) {
			json_open(j, '{');
			write_place(j, d);
			json_close(j, '}');
		}
		json_close(j, ']');
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void write_common(struct json *j, struct server *server, const struct ab_builder *builder,
			 const struct types *types, const char *log)
{
	json_member_str(j, "compiler", ab_jobs_compiler(server->jobs));
	json_member_str(j, "kernel", types->kernel.release);
	write_diagnostics(j, builder);
	write_cut(j, "log", log, LOG_LIMIT);
}

/* What the compiler accepted. */
static int write_record(struct text *out, struct server *server, const struct ab_builder *builder,
			const struct build_request *build, const struct types *types,
			const struct ab_artifact *artifact, struct ab_error *err)
{
	struct json j = { .out = out };
	int r = 0;

	json_open(&j, '{');
	write_common(&j, server, builder, types, ab_artifact_diagnostics(artifact));
	json_member_bool(&j, "full_header", ab_artifact_used_full_header(artifact));
	json_key(&j, "artifacts");
	json_open(&j, '[');
	for (int i = 0; i < OUTPUT_COUNT && !r; i++)
		if (build->outputs[i])
			r = keep_output(server, artifact, build, i, &j, err);
	json_close(&j, ']');
	json_close(&j, '}');
	return r ? r : out->failed ? ab_fail_memory(err) : 0;
}

/* What it refused: as certain as what it accepted, so it is kept too. */
static int write_refusal(struct text *out, struct server *server, const struct ab_builder *builder, const struct types *types,
			 const struct ab_error *why)
{
	struct json j = { .out = out };

	json_open(&j, '{');
	json_member_str(&j, "problem", "compile");
	write_cut(&j, "detail", why->msg, MESSAGE_LIMIT);
	write_common(&j, server, builder, types, why->log ? why->log : "");
	json_close(&j, '}');
	return out->failed ? -ENOMEM : 0;
}

static struct outcome *keep_record(struct server *server, const char *key, struct text *record)
{
	struct blob *blob = ab_blob_new(record->p, record->n);

	ab_store_put(server->store, STORE_RESULT, key, record->p, record->n);
	return blob ? ab_outcome_new(blob, NULL, NULL) : NULL;
}

static void keep_sources(struct server *server, const struct build_request *build)
{
	for (size_t i = 0; i < build->n_files; i++)
		if (build->files[i].data)
			ab_store_put(server->store, STORE_SOURCE, build->files[i].digest, build->files[i].data,
				     build->files[i].size);
}

/* A compiler that crashed or ran out of time may do better the next time: only its verdict on the source is kept. */
static bool is_verdict(const struct ab_error *err)
{
	return err->kind == AB_ERROR_COMPILE && err->log;
}

static struct outcome *compile(struct server *server, struct ab_builder *builder, const struct build_request *build,
			       const struct types *types, const char *key, const struct input *in, struct ab_error *err)
{
	struct config *config = ab_server_config(server);
	AB_OPTS(ab_build_opts, opts, .defines = build->defines, .include_dirs = build->include_dirs,
		.arch = build->arch, .isa = build->isa, .full_header = build->full_header,
		.timeout_ms = config->compile_seconds * 1000, .files = in->files, .file_count = in->n);
	struct ab_artifact *artifact = NULL;
	_text_ struct text record = {};
	int r = ab_builder_build(builder, build->source, NULL, 0, &opts, &artifact, err);

	ab_config_unref(config);
	if (!r)
		r = write_record(&record, server, builder, build, types, artifact, err);
	else if (is_verdict(err))
		r = write_refusal(&record, server, builder, types, err);
	ab_count(!artifact ? r ? COUNT_COMPILER_FAILED : COUNT_REFUSED_SOURCE : COUNT_COMPILED);
	ab_artifact_free(artifact);
	return r ? NULL : keep_record(server, key, &record);
}

struct outcome *ab_build_run(struct server *server, struct ab_builder *builder, const struct build_request *build,
			     const struct types *types, const char *key)
{
	struct outcome *outcome = NULL;
	struct ab_error err = {};
	struct input in;

	/* Those that are here first: what is kept may push them out. */
	if (!take_input(&in, build, server->store, &err)) {
		keep_sources(server, build);
		outcome = compile(server, builder, build, types, key, &in, &err);
	}
	clear_input(&in);
	if (!outcome)
		outcome = ab_outcome_new(NULL, err.code ? ab_problem_of_error(&err) : "no-memory", err.msg);
	ab_error_clear(&err);
	return outcome;
}

/* ---- answers ---- */

struct blob *ab_artifact_get(struct server *server, const char *hex)
{
	struct blob *blob = ab_cache_get(server->memory, hex);

	if (!blob)
		blob = ab_blob_find(hex);
	if (blob)
		return blob;
	blob = ab_blob_name(ab_store_get(server->store, STORE_ARTIFACT, hex), hex);
	if (blob)
		ab_cache_put(server->memory, hex, blob);
	return blob;
}

static int add_data(struct json *j, const struct blob *blob)
{
	int r;

	json_key(j, "data");
	json_raw(j, "\"", 1);
	r = ab_base64_add(j->out, blob->data, blob->size);
	text_putc(j->out, '"');
	return r;
}

static int add_artifact(struct server *server, struct json *j, json_t *artifact, bool is_inline)
{
	const char *digest = json_string_value(json_object_get(artifact, "digest"));
	struct keyring *keyring;
	_text_ struct text signature = {};
	struct blob *blob;
	int r;

	if (!digest || !str_starts(digest, "sha256:") || !ab_is_hex_digest(digest + 7))
		return -EBADMSG;
	blob = ab_artifact_get(server, digest + 7);
	if (!blob)
		return -ENOENT;
	keyring = ab_server_keyring(server);
	r = ab_keyring_sign(keyring, digest + 7, &signature);
	ab_keyring_unref(keyring);
	if (!r) {
		json_open(j, '{');
		json_member_str(j, "output", json_string_value(json_object_get(artifact, "output")));
		json_member_str(j, "name", json_string_value(json_object_get(artifact, "name")));
		json_member_int(j, "size", json_integer_value(json_object_get(artifact, "size")));
		json_member_str(j, "digest", digest);
		json_member_str(j, "signature", signature.p);
		if (is_inline)
			r = add_data(j, blob);
		json_close(j, '}');
	}
	ab_blob_unref(blob);
	return r;
}

/* Copies a member as it is. */
static void copy_member(struct json *j, json_t *record, const char *name)
{
	_free_ char *value = json_dumps(json_object_get(record, name), JSON_COMPACT | JSON_ENCODE_ANY);

	json_key(j, name);
	json_raw(j, value ? value : "null", value ? strlen(value) : 4);
}

static int write_success(struct server *server, const char *key, json_t *record, bool is_inline, struct text *out)
{
	static const char *const members[] = { "compiler", "kernel", "full_header", "diagnostics", "log" };
	struct json j = { .out = out };
	char name[HEX_DIGEST_SIZE + 8];
	json_t *artifact;
	size_t i;
	int r = 0;

	snprintf(name, sizeof(name), "sha256:%s", key);
	json_open(&j, '{');
	json_member_str(&j, "key", name);
	for (i = 0; i < ARRAY_SIZE(members); i++)
		copy_member(&j, record, members[i]);
	json_key(&j, "artifacts");
	json_open(&j, '[');
	json_array_foreach(json_object_get(record, "artifacts"), i, artifact) {
		r = add_artifact(server, &j, artifact, is_inline);
		if (r)
			return r;
	}
	json_close(&j, ']');
	json_close(&j, '}');
	text_putc(out, '\n');
	return out->failed ? -ENOMEM : 0;
}

static int write_problem(const char *kind, const char *request_id, json_t *record, struct text *out)
{
	static const char *const members[] = { "compiler", "kernel", "diagnostics", "log" };
	_text_ struct text extra = {};
	struct json j = { .out = &extra, .depth = 1 };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		copy_member(&j, record, members[i]);
	ab_problem_write(out, kind, json_string_value(json_object_get(record, "detail")), extra.p, request_id);
	return extra.failed || out->failed ? -ENOMEM : 0;
}

int ab_build_answer(struct server *server, const char *key, const char *request_id, const struct blob *record, bool is_inline,
		    struct text *out, const char **ret_problem)
{
	json_t *json = json_loadb(record->data, record->size, JSON_ALLOW_NUL, NULL);
	const char *problem = json_string_value(json_object_get(json, "problem"));
	int r = -EBADMSG;

	if (problem && !strcmp(problem, "compile")) {
		r = write_problem("compile", request_id, json, out);
		*ret_problem = "compile";
	} else if (json && !problem) {
		r = write_success(server, key, json, is_inline, out);
		*ret_problem = NULL;
	}
	json_decref(json);
	return r;
}
