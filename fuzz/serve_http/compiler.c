/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The fuzzer's compiler (include/anybpf/build.h, the part that anybpfd uses): what it does is in the source's first word,
 * what it says in the lines behind.
 */
#include <anybpf/build.h>
#include "serve_http.h"

enum { DIAGNOSTICS_MAX = 32 };

struct ab_builder {
	struct ab_diagnostic diagnostics[DIAGNOSTICS_MAX];
	size_t n;
	char *said;
};

struct ab_artifact {
	char *log, *text;
	size_t size;
};

int ab_builder_new(const struct ab_builder_opts *opts, struct ab_builder **ret_builder, struct ab_error *err)
{
	*ret_builder = array_new(1, sizeof(**ret_builder));
	return *ret_builder ? 0 : ab_fail_memory(err);
}

void ab_builder_free(struct ab_builder *builder)
{
	if (builder)
		free(builder->said);
	free(builder);
}

const char *ab_builder_compiler(const struct ab_builder *builder)
{
	return "fuzz 1";
}

size_t ab_builder_diagnostic_count(const struct ab_builder *builder)
{
	return builder->n;
}

const struct ab_diagnostic *ab_builder_diagnostic(const struct ab_builder *builder, size_t index)
{
	return index < builder->n ? &builder->diagnostics[index] : NULL;
}

/* Each line is a diagnostic whose first byte decides how bad it is. */
static void say(struct ab_builder *builder, const char *text)
{
	char *line = NULL, *rest;

	free(builder->said);
	builder->said = rest = strdup(text);
	for (builder->n = 0; rest && builder->n < DIAGNOSTICS_MAX && (line = strsep(&rest, "\n"));)
		builder->diagnostics[builder->n++] = (struct ab_diagnostic){
			.severity = *line % 7, .line = strlen(line), .column = builder->n, .file = line, .message = line,
		};
}

static const struct ab_build_file *find_source(const struct ab_build_opts *opts, const char *path)
{
	for (size_t i = 0; i < opts->file_count; i++)
		if (!strcmp(opts->files[i].path, path))
			return &opts->files[i];
	return NULL;
}

int ab_builder_build(struct ab_builder *builder, const char *path, const char *text, size_t size, const struct ab_build_opts *opts,
		     struct ab_artifact **ret_artifact, struct ab_error *err)
{
	const struct ab_build_file *source = find_source(opts, path);
	_free_ char *copy = NULL;
	struct ab_artifact *a;

	MUST(source);
	copy = strndup(source->text, source->size);
	MUST(copy);
	builder->n = 0;
	if (str_starts(copy, "late"))
		return ab_fail(err, AB_ERROR_LIMIT, -ETIMEDOUT, "%s: too late", path);
	if (str_starts(copy, "big"))
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "%s: too much", path);
	if (str_starts(copy, "crash"))
		return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s: the compiler crashed", path);
	say(builder, copy);
	if (str_starts(copy, "error")) {
		ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s", copy);
		ab_error_set_log(err, copy);
		return -EINVAL;
	}
	a = array_new(1, sizeof(*a));
	MUST(a);
	*a = (struct ab_artifact){ .log = TAKE(copy), .text = malloc(source->size + 1), .size = source->size };
	MUST(a->text);
	if (a->size)
		memcpy(a->text, source->text, a->size);
	*ret_artifact = a;
	return 0;
}

const char *ab_artifact_diagnostics(const struct ab_artifact *artifact)
{
	return artifact->log;
}

bool ab_artifact_used_full_header(const struct ab_artifact *artifact)
{
	return artifact->size % 2;
}

int ab_artifact_encode(const struct ab_artifact *artifact, const char *name, void **ret_data, size_t *ret_size,
		       struct ab_error *err)
{
	size_t n = strlen(name);
	char *data = malloc(n + artifact->size + 1);

	MUST(data);
	memcpy(data, name, n);
	memcpy(data + n, artifact->text, artifact->size);
	*ret_data = data;
	*ret_size = n + artifact->size;
	return 0;
}

void ab_artifact_free(struct ab_artifact *artifact)
{
	if (artifact) {
		free(artifact->log);
		free(artifact->text);
	}
	free(artifact);
}
