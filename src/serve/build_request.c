/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reads a build request: every member by a table, nothing that is not in it, and no path that leaves its bundle. */
#include "build_request.h"

const char *const ab_output_names[OUTPUT_COUNT] = { "o", "so", "skel.h" };

#define REFUSE(err, fmt, ...) ab_fail(err, AB_ERROR_USAGE, -EINVAL, fmt, ##__VA_ARGS__)

/* ---- paths ---- */

static bool is_good_path(const char *path, size_t n, bool may_be_top)
{
	if (may_be_top && n == 1 && *path == '.')
		return true;
	if (!n || n > PATH_LIMIT || strlen(path) != n || *path == '-' || *path == '<')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f || path[i] == '\\')
			return false;
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");

		if (!len || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

/* ---- members ---- */

/* Takes object members by name; `take` gives -ENOENT for names that it does not know. */
static int take_members(json_t *object, const char *where, struct build_request *q,
			int (*take)(struct build_request *q, const char *name, json_t *value, struct ab_error *err),
			struct ab_error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return REFUSE(err, "%s has to be an object", where);
	json_object_foreach(object, name, value) {
		int r = take(q, name, value, err);

		if (r == -ENOENT)
			return REFUSE(err, "%s has no member '%.64s'", where, name);
		if (r)
			return r;
	}
	return 0;
}

static int take_text(json_t *value, const char *name, const char **ret, struct ab_error *err)
{
	const char *s = json_string_value(value);

	if (!s || strlen(s) != json_string_length(value))
		return REFUSE(err, "%s has to be a string", name);
	if (strlen(s) > WORD_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "%s is longer than %d bytes", name, WORD_LIMIT);
	*ret = s;
	return 0;
}

static int take_bool(json_t *value, const char *name, bool *ret, struct ab_error *err)
{
	if (!json_is_boolean(value))
		return REFUSE(err, "%s has to be true or false", name);
	*ret = json_is_true(value);
	return 0;
}

static int take_list(json_t *value, const char *name, size_t limit, const char ***ret, struct ab_error *err)
{
	const char **v;
	json_t *element;
	size_t i;

	if (!json_is_array(value))
		return REFUSE(err, "%s has to be an array of strings", name);
	if (json_array_size(value) > limit)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "%s has more than %zu elements", name, limit);
	v = array_new(json_array_size(value) + 1, sizeof(*v));
	if (!v)
		return ab_fail_memory(err);
	*ret = v;
	json_array_foreach(value, i, element) {
		int r = take_text(element, name, &v[i], err);

		if (r)
			return r;
	}
	return 0;
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* NAME, NAME=VALUE, NAME(ARGS)=VALUE would be fine too, but no macro needs it. */
static bool is_define(const char *s)
{
	if (!is_name_start(*s))
		return false;
	while (is_name_start(*s) || (*s >= '0' && *s <= '9'))
		s++;
	return (!*s || *s == '=') && !strpbrk(s, "\r\n");
}

static int take_option(struct build_request *q, const char *name, json_t *value, struct ab_error *err)
{
	int r;

	if (!strcmp(name, "isa"))
		return take_text(value, "options.isa", &q->isa, err);
	if (!strcmp(name, "arch"))
		return take_text(value, "options.arch", &q->arch, err);
	if (!strcmp(name, "full_header"))
		return take_bool(value, "options.full_header", &q->full_header, err);
	if (!strcmp(name, "defines")) {
		r = take_list(value, "options.defines", DEFINES_LIMIT, &q->defines, err);
		for (size_t i = 0; !r && q->defines[i]; i++)
			if (!is_define(q->defines[i]))
				return REFUSE(err, "options.defines: '%.64s' is not NAME or NAME=VALUE", q->defines[i]);
		return r;
	}
	if (!strcmp(name, "include_dirs")) {
		r = take_list(value, "options.include_dirs", INCLUDE_DIRS_LIMIT, &q->include_dirs, err);
		for (size_t i = 0; !r && q->include_dirs[i]; i++)
			if (!is_good_path(q->include_dirs[i], strlen(q->include_dirs[i]), true))
				return REFUSE(err, "options.include_dirs: '%.64s' is not a path within the files",
					      q->include_dirs[i]);
		return r;
	}
	return -ENOENT;
}

static int take_outputs(struct build_request *q, json_t *value, struct ab_error *err)
{
	json_t *element;
	size_t i;

	if (!json_is_array(value) || !json_array_size(value))
		return REFUSE(err, "outputs has to be an array of o, so, skel.h");
	q->outputs[OUTPUT_O] = false;
	json_array_foreach(value, i, element) {
		const char *name = json_string_value(element);
		size_t at = 0;

		while (at < OUTPUT_COUNT && (!name || strcmp(name, ab_output_names[at])))
			at++;
		if (at == OUTPUT_COUNT)
			return REFUSE(err, "outputs: '%.64s' is none of o, so, skel.h", name ? name : "that");
		if (q->outputs[at])
			return REFUSE(err, "outputs has '%s' twice", name);
		q->outputs[at] = true;
	}
	return 0;
}

/* ---- files ---- */

static int take_encoded(struct build_file *f, json_t *value, struct ab_error *err)
{
	json_t *base64 = json_object_get(value, "base64"), *digest = json_object_get(value, "digest");
	const char *hex = json_string_value(digest);

	if (!json_is_object(value) || json_object_size(value) != 1 || (!json_is_string(base64) && !hex))
		return REFUSE(err, "files: '%.64s' has to be text, {\"base64\": …} or {\"digest\": \"sha256:…\"}", f->path);
	if (hex) {
		if (!str_starts(hex, "sha256:") || !ab_is_hex_digest(hex + 7))
			return REFUSE(
				err,
				"files: '%.64s': the digest has to be sha256: and 64 lower-case hexadecimal digits",
				f->path);
		memcpy(f->digest, hex + 7, HEX_DIGEST_SIZE);
		return 0;
	}
	if (ab_base64_decode(json_string_value(base64), json_string_length(base64), &f->decoded, &f->size))
		return REFUSE(err, "files: '%.64s' is not base64", f->path);
	f->data = f->decoded;
	return 0;
}

static int take_file(struct build_file *f, const char *path, json_t *value, struct ab_error *err)
{
	int r = 0;

	if (!is_good_path(path, strlen(path), false))
		return REFUSE(err, "files: '%.64s' is not a relative path without . and ..", path);
	f->path = path;
	if (json_is_string(value)) {
		f->data = json_string_value(value);
		f->size = json_string_length(value);
	} else {
		r = take_encoded(f, value, err);
	}
	if (!r && f->data)
		ab_digest_of(f->data, f->size, f->digest);
	return r;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct build_file *)a)->path, ((const struct build_file *)b)->path);
}

/* A file may not be where another has its directory. Sorted, "a/b" need not follow "a" at once ("a-b" stands between). */
static int refuse_nested(const struct build_request *q, struct ab_error *err)
{
	_strmap_ struct strmap paths = {};

	for (size_t i = 0; i < q->n_files; i++)
		if (!strmap_put(&paths, q->files[i].path, strlen(q->files[i].path), NULL))
			return ab_fail_memory(err);
	for (size_t i = 0; i < q->n_files; i++)
		for (const char *slash = strchr(q->files[i].path, '/'); slash; slash = strchr(slash + 1, '/'))
			if (strmap_find(&paths, q->files[i].path, slash - q->files[i].path))
				return REFUSE(err, "files: '%.64s' lies in what is a file", q->files[i].path);
	return 0;
}

static int take_files(struct build_request *q, json_t *value, struct ab_error *err)
{
	const char *path;
	json_t *content;

	if (!json_is_object(value))
		return REFUSE(err, "files has to be an object");
	q->files = array_new(json_object_size(value), sizeof(*q->files));
	if (!q->files)
		return ab_fail_memory(err);
	json_object_foreach(value, path, content) {
		int r = take_file(&q->files[q->n_files++], path, content, err);

		if (r)
			return r;
	}
	qsort(q->files, q->n_files, sizeof(*q->files), compare_files);
	return refuse_nested(q, err);
}

static int take_member(struct build_request *q, const char *name, json_t *value, struct ab_error *err)
{
	if (!strcmp(name, "source"))
		return take_text(value, "source", &q->source, err);
	if (!strcmp(name, "files"))
		return take_files(q, value, err);
	if (!strcmp(name, "options"))
		return take_members(value, "options", q, take_option, err);
	if (!strcmp(name, "kernel"))
		return take_text(value, "kernel", &q->kernel, err);
	if (!strcmp(name, "outputs"))
		return take_outputs(q, value, err);
	if (!strcmp(name, "inline"))
		return take_bool(value, "inline", &q->is_inline, err);
	return -ENOENT;
}

static int check_source(const struct build_request *q, struct ab_error *err)
{
	struct build_file wanted = { .path = q->source };

	if (!q->source || !q->files)
		return REFUSE(err, "the request has no '%s'", q->source ? "files" : "source");
	if (!bsearch(&wanted, q->files, q->n_files, sizeof(wanted), compare_files))
		return REFUSE(err, "source: '%.64s' is not among the files", q->source);
	return 0;
}

int ab_build_request_parse(const char *text, size_t size, size_t files_limit, struct build_request **ret_request,
			   struct ab_error *err)
{
	struct build_request *q = array_new(1, sizeof(*q));
	json_error_t error;
	int r;

	if (!q)
		return ab_fail_memory(err);
	q->is_inline = true;
	q->outputs[OUTPUT_O] = true;
	q->json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!q->json)
		r = ab_fail(err, AB_ERROR_USAGE, -EBADMSG, "the body is not JSON: line %d, column %d: %s", error.line,
			    error.column, error.text);
	else if (json_is_object(q->json) && json_object_size(json_object_get(q->json, "files")) > files_limit)
		r = ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "more than %zu files", files_limit);
	else
		r = take_members(q->json, "the request", q, take_member, err);
	if (!r)
		r = check_source(q, err);
	if (r) {
		ab_build_request_free(q);
		return r;
	}
	*ret_request = q;
	return 0;
}

void ab_build_request_free(struct build_request *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n_files; i++)
		free(q->files[i].decoded);
	free(q->files);
	free(q->defines);
	free(q->include_dirs);
	json_decref(q->json);
	free(q);
}

static void digest_list(struct digest *d, const char *const *list)
{
	for (; list && *list; list++)
		ab_digest_add_string(d, *list);
	ab_digest_add_string(d, NULL);
}

void ab_build_request_digest(const struct build_request *q, struct digest *d)
{
	ab_digest_add_string(d, q->source);
	for (size_t i = 0; i < q->n_files; i++) {
		ab_digest_add_string(d, q->files[i].path);
		ab_digest_add_string(d, q->files[i].digest);
	}
	ab_digest_add_string(d, NULL);
	digest_list(d, q->defines);
	digest_list(d, q->include_dirs);
	ab_digest_add_string(d, q->isa ? q->isa : "v1");
	ab_digest_add_string(d, q->arch);
	ab_digest_add(d, &q->full_header, 1);
	ab_digest_add(d, q->outputs, sizeof(q->outputs));
}
