/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The body of POST /v1/build: whatever it is, it is refused with a message or becomes a request whose paths stay within
 * their bundle and whose digest does not depend on the order of its members.
 */
#include <assert.h>
#include <serve/build_request.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	assert(*path && *path != '/' && *path != '-' && *path != '<' && strlen(path) <= PATH_LIMIT);
	assert(strcmp(path, "..") && strncmp(path, "../", 3) && !strstr(path, "/../") && !str_ends(path, "/.."));
}

static void check_request(const struct build_request *q)
{
	char one[HEX_DIGEST_SIZE], two[HEX_DIGEST_SIZE];
	struct digest *d = ab_digest_begin();
	bool found = false;

	for (size_t i = 0; i < q->n_files; i++) {
		check_path(q->files[i].path);
		assert(ab_is_hex_digest(q->files[i].digest));
		assert(!i || strcmp(q->files[i - 1].path, q->files[i].path) < 0);
		found |= !strcmp(q->files[i].path, q->source);
	}
	assert(found);
	for (size_t i = 0; q->defines && q->defines[i]; i++)
		assert(q->defines[i][0] != '-' && !strchr(q->defines[i], '\n'));
	for (size_t i = 0; q->include_dirs && q->include_dirs[i]; i++)
		if (strcmp(q->include_dirs[i], "."))
			check_path(q->include_dirs[i]);
	ab_build_request_digest(q, d);
	ab_digest_end(d, one);
	d = ab_digest_begin();
	ab_build_request_digest(q, d);
	ab_digest_end(d, two);
	assert(!strcmp(one, two));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct build_request *q = NULL;
	struct ab_error err = {};

	if (ab_build_request_parse((const char *)data, size, 64, &q, &err))
		assert(err.code && *err.msg);
	else
		check_request(q);
	ab_build_request_free(q);
	ab_error_clear(&err);
	return 0;
}
