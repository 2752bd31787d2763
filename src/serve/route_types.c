/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Kernels' types: whole, minimized for an object, asked about, and checked against. The work is done in the threads of
 * the compiles.
 */
#include <anybpf/check.h>
#include <anybpf/kernels.h>
#include <anybpf/min.h>
#include "jobs.h"
#include "keyring.h"
#include "server.h"

#define JSON "application/json"

static const char *argument(const struct request *q, const char *name)
{
	return MHD_lookup_connection_value(q->mhd, MHD_GET_ARGUMENT_KIND, name);
}

/* Runs `work` once in another thread, then answers with what it left in the request. */
static enum MHD_Result run_work(struct request *q, void (*work)(struct request *q))
{
	int r;

	if (!q->is_worked) {
		r = ab_jobs_run(q->server->jobs, q, work);
		return r ? ab_refuse_submission(q, r) : MHD_YES;
	}
	if (q->work_problem)
		return ab_problem(q, q->work_problem, NULL, "the server stopped first");
	if (!q->work_result)
		return ab_problem_error(q, &q->work_error);
	return ab_answer_blob(q, MHD_HTTP_OK, q->work_type, TAKE(q->work_result));
}

static void take_result(struct request *q, int r, const char *type, const void *data, size_t size)
{
	if (!r) {
		q->work_result = ab_blob_new(data, size);
		q->work_type = type;
		if (!q->work_result)
			ab_fail_memory(&q->work_error);
	}
}

/* ---- BTF ---- */

enum MHD_Result ab_route_btf(struct request *q)
{
	static const struct header headers[] = { { MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache" }, {} };
	char etag[HEX_DIGEST_SIZE + 16];
	struct ab_error err = {};
	const struct types *types;
	_free_ char *data = NULL;
	struct blob *blob;
	size_t size;

	if (ab_kernels_find(q->server->kernels, q->argument, argument(q, "arch"), &types, &err))
		return ab_problem_error(q, &err);
	blob = ab_blob_find(types->digest);
	if (!blob && ab_kernels_read(q->server->kernels, types, &data, &size, &err))
		return ab_problem_error(q, &err);
	if (!blob)
		blob = ab_blob_name(ab_blob_new(data, size), types->digest);
	if (!blob)
		return ab_problem(q, "no-memory", NULL, "the types");
	snprintf(etag, sizeof(etag), "\"sha256:%s\"", types->digest);
	return ab_answer_bytes(q, blob, "application/octet-stream", etag, headers);
}

/* "c0ffee…" of an even number of digits, or nothing. */
static int parse_build_id(const char *hex, struct ab_kernel *kernel, struct ab_error *err)
{
	size_t n = strlen(hex);

	if (n % 2 || n > 2 * sizeof(kernel->build_id) || strspn(hex, "0123456789abcdef") != n)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "build_id: '%.64s' is none", hex);
	for (size_t i = 0; i < n; i += 2) {
		const char digits[] = { hex[i], hex[i + 1], '\0' };

		kernel->build_id[i / 2] = (uint8_t)strtoul(digits, NULL, 16);
	}
	kernel->build_id_size = (uint8_t)(n / 2);
	return 0;
}

/* With a build id, even one that is not known, the kernel that runs; without, the one that a pattern means. */
static int find_kernel(struct request *q, const struct types_question *asked, const struct types **ret, struct ab_error *err)
{
	struct ab_kernel kernel = { .release = asked->kernel, .arch = asked->arch ? asked->arch : "", .distribution = "",
				    .flavour = "", .module = "" };
	int r;

	if (!asked->build_id)
		return ab_kernels_find(q->server->kernels, asked->kernel, asked->arch, ret, err);
	r = parse_build_id(asked->build_id, &kernel, err);
	return r ? r : ab_kernels_find_running(q->server->kernels, &kernel, ret, err);
}

/* What the client asked goes into the signature, a line each. */
static int check_question(const struct types_question *asked, struct ab_error *err)
{
	const char *const parts[] = { asked->kernel, asked->arch, asked->build_id };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i] && strpbrk(parts[i], "\r\n"))
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "the name of a kernel has one line");
	return 0;
}

static int sign_types(struct request *q, const struct types_question *asked, const void *btf, size_t size, struct ab_error *err)
{
	struct keyring *keyring = ab_server_keyring(q->server);
	_text_ struct text message = {};
	int r = ab_types_message(asked, btf, size, &message);

	if (!r)
		r = ab_keyring_sign_types(keyring, message.p, &q->work_signature);
	ab_keyring_unref(keyring);
	return r == -ENOMEM ? ab_fail_memory(err) : r ? ab_fail(err, AB_ERROR_INTERNAL, r, "signing failed") : 0;
}

static int minimize_types(struct request *q, const struct ab_min *min, const struct types *types, void **ret_btf, size_t *ret_size,
			  struct ab_error *err)
{
	_free_ char *whole = NULL;
	size_t size;
	int r;

	if (types->pack)
		return ab_min_pack(min, types->pack, types->index, ret_btf, ret_size, err);
	r = ab_kernels_read(q->server->kernels, types, &whole, &size, err);
	return r ? r : ab_min_btf(min, whole, size, ret_btf, ret_size, err);
}

static void minimize(struct request *q)
{
	const struct types_question asked = { .kernel = q->argument, .arch = argument(q, "arch"),
					      .build_id = argument(q, "build_id"), .object = q->body.p ? q->body.p : "",
					      .object_size = q->body.n };
	struct ab_error *err = &q->work_error;
	const struct types *types;
	_free_ void *btf = NULL;
	struct ab_min *min = NULL;
	size_t size = 0;
	int r = check_question(&asked, err);

	if (!r)
		r = find_kernel(q, &asked, &types, err);
	if (!r)
		r = ab_min_new(asked.object, asked.object_size, &min, err);
	if (!r)
		r = minimize_types(q, min, types, &btf, &size, err);
	if (!r)
		r = sign_types(q, &asked, btf, size, err);
	ab_min_free(min);
	take_result(q, r, "application/octet-stream", btf, size);
}

enum MHD_Result ab_route_min_btf(struct request *q)
{
	return run_work(q, minimize);
}

/* ---- check ---- */

struct checking {
	struct request *q;
	struct ab_kernel_set *set;   /* NULL: all */
	const char *arch, *name;
	struct ab_check *check;
	struct ab_check_report *report;
};

static bool is_wanted(const struct checking *c, const struct ab_kernel *kernel)
{
	return !*kernel->module && (!c->arch || !strcmp(c->arch, kernel->arch)) && (!c->set || ab_kernel_set_has(c->set, kernel));
}

static int check_files(struct checking *c, struct ab_error *err)
{
	struct kernels *k = c->q->server->kernels;
	int r = 0;

	for (size_t i = 0; i < ab_kernels_file_count(k) && !r; i++) {
		const struct types *t = ab_kernels_file(k, i);
		const struct ab_check_verdict *verdict;

		if (!is_wanted(c, &t->kernel))
			continue;
		r = ab_check_target_verdict(c->check, t->target, &verdict, err);
		if (!r)
			r = ab_check_report_add(c->report, c->name, &t->kernel, verdict, err);
	}
	return r;
}

static int check_packs(struct checking *c, struct ab_error *err)
{
	struct kernels *k = c->q->server->kernels;
	int r = 0;

	for (size_t i = 0; i < ab_kernels_pack_count(k); i++) {
		const struct ab_pack *pack = ab_kernels_pack(k, i);

		for (size_t n = 0; n < ab_pack_count(pack) && !r; n++) {
			const struct ab_check_verdict *verdict;

			if (!is_wanted(c, ab_pack_kernel(pack, n)))
				continue;
			r = ab_kernels_fail(ab_check_pack(c->check, pack, n, &verdict, err), err);
			if (!r)
				r = ab_check_report_add(c->report, c->name, ab_pack_kernel(pack, n), verdict, err);
		}
	}
	return r;
}

static void check_object(struct request *q)
{
	struct checking c = { .q = q, .arch = argument(q, "arch"), .name = argument(q, "name") };
	const char *set = argument(q, "kernels"), *form = argument(q, "form");
	bool is_html = form && !strcmp(form, "html");
	struct ab_error *err = &q->work_error;
	_free_ char *text = NULL;
	size_t size = 0;
	int r = set ? ab_kernel_set_parse(set, &c.set, err) : 0;

	c.name = c.name ? c.name : "object";
	if (!r && form && !is_html && strcmp(form, "json"))
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "form: '%.64s' is neither json nor html", form);
	if (!r)
		r = ab_check_new(q->body.p ? q->body.p : "", q->body.n, &c.check, err);
	if (!r)
		r = ab_check_report_new(&c.report, err);
	if (!r)
		r = check_files(&c, err);
	if (!r)
		r = check_packs(&c, err);
	if (!r)
		r = ab_check_report_write(c.report, is_html ? AB_CHECK_HTML : AB_CHECK_JSON, &text, &size, err);
	take_result(q, r, is_html ? "text/html; charset=utf-8" : JSON, text, size);
	ab_check_report_free(c.report);
	ab_check_free(c.check);
	ab_kernel_set_free(c.set);
}

enum MHD_Result ab_route_check(struct request *q)
{
	return run_work(q, check_object);
}

/* ---- questions ---- */

static int ask(struct request *q, char **ret_text, size_t *ret_size, struct ab_error *err)
{
	const char *slash = strchrnul(q->argument, '/'), *name = *slash ? slash + 1 : NULL, *form = argument(q, "form");
	struct ab_types_opts opts = { .sz = sizeof(opts), .kernel = argument(q, "kernel"), .arch = argument(q, "arch"),
				      .form = form && !strcmp(form, "text") ? AB_TYPES_TEXT : AB_TYPES_JSON };
	const char *from = argument(q, "from"), *to = argument(q, "to");
	const struct ab_types *types;
	size_t n = slash - q->argument;
	int r = ab_kernels_queries(q->server->kernels, opts.kernel ? opts.kernel : from, opts.arch, &types, err);

	if (r)
		return r;
	if (n == 4 && !memcmp(q->argument, "find", n) && (!name || !*name))
		return ab_types_find(types, argument(q, "name"), argument(q, "returns"), argument(q, "takes"), &opts,
				     ret_text, ret_size, err);
	if (!name || !*name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "ask /v1/types/show/NAME, diff/NAME, history/PATH, func/NAME or find");
	if (n == 4 && !memcmp(q->argument, "show", n))
		return ab_types_show(types, name, &opts, ret_text, ret_size, err);
	if (n == 7 && !memcmp(q->argument, "history", n))
		return ab_types_history(types, name, &opts, ret_text, ret_size, err);
	if (n == 4 && !memcmp(q->argument, "func", n))
		return ab_types_func(types, name, &opts, ret_text, ret_size, err);
	if (n != 4 || memcmp(q->argument, "diff", n))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%.*s' is no question: show, diff, history, func, find",
			       (int)MIN(n, 64u), q->argument);
	if (!from || !to)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "diff needs from and to, which name kernels");
	return ab_types_diff(types, name, from, to, &opts, ret_text, ret_size, err);
}

static void answer_question(struct request *q)
{
	const char *form = argument(q, "form");
	bool is_text = form && !strcmp(form, "text");
	_free_ char *text = NULL;
	size_t size = 0;
	int r = form && !is_text && strcmp(form, "json") ?
			ab_fail(&q->work_error, AB_ERROR_USAGE, -EINVAL, "form: '%.64s' is neither json nor text", form) :
			ab_kernels_fail(ask(q, &text, &size, &q->work_error), &q->work_error);

	take_result(q, r, is_text ? "text/plain; charset=utf-8" : JSON, text, size);
}

enum MHD_Result ab_route_types(struct request *q)
{
	return run_work(q, answer_question);
}
