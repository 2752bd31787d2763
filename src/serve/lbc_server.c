/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * coolbpf's commands done by this server: builds by the same queue, sandbox and cache as POST /v1/build, types of the
 * same kernels.
 */
#include "build.h"
#include "lbc.h"
#include "server.h"

/* uname's word for an architecture as build requests have it. */
static const char *request_arch(const char *arch)
{
	if (!strcmp(arch, "aarch64"))
		return "arm64";
	return str_starts(arch, "armv") ? "arm" : arch;
}

/* As somebody would have sent it to /v1/build: checked there, and the same result for the same question. */
static int make_request(const struct lbc_build *b, size_t files_limit, struct build_request **ret, struct ab_error *err)
{
	_text_ struct text text = {};
	struct json j = { &text };

	json_open(&j, '{');
	json_member_str(&j, "source", "lbc.bpf.c");
	json_key(&j, "files");
	json_open(&j, '{');
	json_key(&j, "lbc.bpf.c");
	json_strn(&j, b->code, b->size);
	json_close(&j, '}');
	json_key(&j, "options");
	json_open(&j, '{');
	json_member_str(&j, "arch", request_arch(b->arch));
	json_key(&j, "defines");
	json_open(&j, '[');
	for (const char *const *d = b->defines; d && *d; d++)
		json_str(&j, *d);
	json_close(&j, ']');
	json_close(&j, '}');
	json_key(&j, "outputs");
	json_open(&j, '[');
	json_str(&j, b->library ? "so" : "o");
	json_close(&j, ']');
	json_close(&j, '}');
	if (text.failed)
		return ab_fail_memory(err);
	return ab_build_request_parse(text.p, text.n, files_limit, ret, err);
}

/* ---- outcomes ---- */

static int refuse(const json_t *record, struct ab_error *err)
{
	const char *detail = json_string_value(json_object_get(record, "detail")),
			*log = json_string_value(json_object_get(record, "log"));
	int r = ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s", detail ? detail : "the compiler refused it");

	if (log)
		ab_error_set_log(err, log);
	return r;
}

static int copy_artifact(struct server *server, json_t *artifact, struct lbc_built *ret, struct ab_error *err)
{
	const char *digest = json_string_value(json_object_get(artifact, "digest"));
	struct blob *blob = digest && str_starts(digest, "sha256:") ? ab_artifact_get(server, digest + 7) : NULL;

	if (!blob)
		return ab_fail(err, AB_ERROR_INTERNAL, -ESTALE, "the result is not there any more: ask again");
	ret->data = malloc(blob->size ? blob->size : 1);
	ret->size = blob->size;
	if (ret->data)
		memcpy(ret->data, blob->data, blob->size);
	ab_blob_unref(blob);
	return ret->data ? 0 : ab_fail_memory(err);
}

static int take_record(struct server *server, const struct blob *record, const char *note, struct lbc_built *ret,
		       struct ab_error *err)
{
	json_t *json = json_loadb(record->data, record->size, JSON_ALLOW_NUL, NULL);
	const char *log = json_string_value(json_object_get(json, "log"));
	int r;

	if (json_object_get(json, "problem"))
		r = refuse(json, err);
	else
		r = copy_artifact(server, json_array_get(json_object_get(json, "artifacts"), 0), ret, err);
	if (!r && asprintf(&ret->diagnostics, "%s%s", note, log ? log : "") < 0) {
		ret->diagnostics = NULL;
		free(TAKE(ret->data));
		r = ab_fail_memory(err);
	}
	json_decref(json);
	return r;
}

static int compile(struct server *server, struct build_request **request, const char *key, const struct types *types,
		   const char *note, struct lbc_built *ret, struct ab_error *err)
{
	struct outcome *outcome = NULL;
	int r;

	ab_count(COUNT_MISSES);
	r = ab_jobs_wait(server->jobs, request, key, types, &outcome);
	if (r == -EAGAIN)
		r = ab_fail(err, AB_ERROR_BUSY, -EBUSY, "too many compiles wait: ask again later");
	else if (r)
		r = ab_fail_memory(err);
	else if (outcome->kind)
		r = ab_fail(err, AB_ERROR_IO, -EIO, "%s", outcome->detail ? outcome->detail : outcome->kind);
	else
		r = take_record(server, outcome->record, note, ret, err);
	ab_outcome_unref(outcome);
	return r;
}

/* What was built before; false: nothing, or the artifact is gone. */
static bool find_built(struct server *server, const char *key, const char *note, struct lbc_built *ret, int *ret_code,
		       struct ab_error *err)
{
	struct blob *record = ab_store_get(server->store, STORE_RESULT, key);
	struct ab_error why = {};
	int r = record ? take_record(server, record, note, ret, &why) : -ENOENT;

	ab_blob_unref(record);
	if (r == 0 || r == -EINVAL) {
		ab_count(COUNT_HITS_DISK);
		*ret_code = r;
		if (r)
			*err = why;
		return true;
	}
	ab_error_clear(&why);
	return false;
}

/* The kernel that is asked for, else the default, which CO-RE makes do; `note` says so. */
static int find_types(struct server *server, const struct lbc_build *b, const struct types **ret_types,
		      struct text *note, struct ab_error *err)
{
	struct ab_error why = {};
	int r = ab_kernels_find(server->kernels, b->release, NULL, ret_types, &why);

	ab_error_clear(&why);
	if (!r)
		return 0;
	r = ab_kernels_find(server->kernels, NULL, NULL, ret_types, err);
	if (!r)
		text_printf(note, "lbc.bpf.c: note: the types of kernel %s are not here; compiled against those of %s, "
			    "which CO-RE adapts\n", b->release, (*ret_types)->kernel.release);
	return r;
}

static int build(void *ctx, const struct lbc_client *client, const struct lbc_build *b, struct lbc_built *ret, struct ab_error *err)
{
	struct server *server = ctx;
	struct config *config = ab_server_config(server);
	struct build_request *request = NULL;
	const struct types *types;
	_text_ struct text note = {};
	char key[HEX_DIGEST_SIZE];
	int r = make_request(b, config->files, &request, err);

	ab_config_unref(config);
	if (!r)
		r = find_types(server, b, &types, &note, err);
	if (!r) {
		ab_build_key(server, request, types, key);
		if (!find_built(server, key, note.p ? note.p : "", ret, &r, err)) {
			ab_audit("build", NULL, client->address, client->request, key);
			r = compile(server, &request, key, types, note.p ? note.p : "", ret, err);
		}
	}
	ab_build_request_free(request);
	return r;
}

static int read_btf(void *ctx, const char *release, const char *arch, void **ret_data, size_t *ret_size,
		    struct ab_error *err)
{
	struct server *server = ctx;
	const struct types *types;
	char *data;
	int r = ab_kernels_find(server->kernels, release, arch, &types, err);

	if (r)
		return r;
	if (strcmp(types->kernel.release, release) || (*types->kernel.arch && strcmp(types->kernel.arch, arch)))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the server has no kernel '%s' of %s", release, arch);
	r = ab_kernels_read(server->kernels, types, &data, ret_size, err);
	if (!r)
		*ret_data = data;
	return r;
}

struct lbc_backend ab_lbc_backend(struct server *server)
{
	return (struct lbc_backend){ .ctx = server, .build = build, .btf = read_btf };
}
