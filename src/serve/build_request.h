/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The body of POST /v1/build (docs/service.md), read from JSON and checked. */
#ifndef AB_SERVE_BUILD_REQUEST_H
#define AB_SERVE_BUILD_REQUEST_H

/* Both jansson and our JSON writer have a json_null(); jansson's is not used. */
#define json_null jansson_null
#include <jansson.h>
#undef json_null
#include <crypto/crypto.h>

enum { OUTPUT_O, OUTPUT_SO, OUTPUT_SKEL, OUTPUT_COUNT };
enum { DEFINES_LIMIT = 256, INCLUDE_DIRS_LIMIT = 64, PATH_LIMIT = 255, WORD_LIMIT = 4096 };

struct build_file {
	const char *path;
	const char *data; /* NULL: named by digest only */
	size_t size;
	char *decoded;    /* what `data` points to when it came as base64 */
	char digest[HEX_DIGEST_SIZE];
};

struct build_request {
	json_t *json; /* owns the strings */
	const char *source;
	struct build_file *files; /* sorted by path */
	size_t n_files;
	const char **defines, **include_dirs; /* NULL-terminated */
	const char *isa, *arch, *kernel;      /* NULL: not given */
	bool full_header, is_inline;
	bool outputs[OUTPUT_COUNT];
};

/* Suffixes of the outputs, "o", "so", "skel.h". */
extern const char *const ab_output_names[OUTPUT_COUNT];

/* Errors: -EBADMSG/USAGE not JSON; -EINVAL/USAGE with the member's name; -E2BIG/LIMIT. */
int ab_build_request_parse(const char *text, size_t size, size_t files_limit, struct build_request **ret_request,
			   struct ab_error *err);
void ab_build_request_free(struct build_request *request);
/* Adds all that decides about the result, but neither the kernel's types nor the compiler. */
void ab_build_request_digest(const struct build_request *request, struct digest *digest);

#endif
