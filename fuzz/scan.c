/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the build part reads of others: a source (the scanner must end, and find every identifier that a plain look finds when
 * there is nothing to skip), the worker's messages, the output of a foreign clang, BTF to be put in order, and the
 * header of a made library. Input: one byte that chooses, then the bytes.
 */
#include <build/bundle.h>
#include <build/compiler.h>
#include <build/conditions.h>
#include <build/internal.h>
#include <build/protocol.h>
#include <build/scan.h>
#include <run/embedded.h>

#define CHECK(cond) ((cond) ? (void)0 : (fprintf(stderr, "failed: %s\n", #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_source(const char *p, size_t n)
{
	const struct ab_build_file given = { "/nowhere/./y/../x.h", p, n };
	struct conditions conditions = {};
	struct scan s = { .given_only = true };
	struct lexer l = lexer_start(p, n);
	struct token t;
	const char *last = p;
	static struct bundle *bundle; /* the same for every input */

	while ((t = lexer_next(&l)).kind != TOKEN_END) {
		CHECK(t.p >= last && t.n > 0 && t.p + t.n <= p + n);
		last = t.p + t.n;
	}
	s.depth = SCAN_DEPTH - 2; /* the file in memory may include itself once */
	CHECK(ab_scan_give(&s, &given, 1, NULL) == 0 && ab_scan_given(&s, "/nowhere//x.h") == &given);
	CHECK(bundle || ab_bundle_new(&bundle, NULL) == 0);
	if (ab_scan_text(&s, "/nowhere/x.c", p, n, NULL) == 0) {
		_text_ struct text out = {};

		CHECK(ab_bundle_reach(bundle, &s.includes, &s.names, NULL) == 0);
		CHECK(ab_bundle_write(bundle, 0, &s.names, &out, NULL) == 0);
	}
	ab_scan_clear(&s);
	/* The same file by its conditions. */
	s = (struct scan){ .given_only = true, .conditions = &conditions, .depth = SCAN_DEPTH - 2 };
	CHECK(ab_scan_give(&s, &given, 1, NULL) == 0);
	ab_scan_text(&s, "/nowhere/x.c", p, n, NULL);
	CHECK(!conditions.depth);
	ab_conditions_clear(&conditions);
	ab_scan_clear(&s);
}

static void fuzz_message(const char *p, size_t n)
{
	struct cc_field f;
	size_t pos = 0, content_size;
	const char *name, *content;

	while (cc_next(p, n, &pos, &f) > 0) {
		CHECK(f.data >= p && f.data + f.size <= p + n);
		if (cc_file(&f, &name, &content, &content_size) == 0)
			CHECK(content > name && content + content_size < p + n && !content[content_size]);
	}
}

static void fuzz_log(const char *p, size_t n)
{
	struct compile_result result = {};

	text_add(&result.log, p, n);
	ab_diagnostics_parse(&result);
	ab_compile_result_clear(&result);
}

static void fuzz_types(const char *p, size_t n)
{
	size_t btf_size = n ? n - (unsigned char)p[0] * n / 512 : 0, ext_size = n - btf_size;
	char *btf = malloc(btf_size + 1), *ext = malloc(ext_size + 1);

	memcpy(btf, p, btf_size);
	memcpy(ext, p + btf_size, ext_size);
	ab_btf_normalize(btf, &btf_size, ext, ext_size);
	free(btf);
	free(ext);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1); /* so that reading one byte too many is seen */
	const void *object;
	size_t object_size;

	if (!size) {
		free(copy);
		return 0;
	}
	memcpy(copy, data + 1, size - 1);
	copy = realloc(copy, size - 1 ? size - 1 : 1);
	switch (data[0] % 5) {
	case 0: fuzz_source(copy, size - 1); break;
	case 1: fuzz_message(copy, size - 1); break;
	case 2: fuzz_log(copy, size - 1); break;
	case 3: fuzz_types(copy, size - 1); break;
	case 4: ab_embedded_object(copy, size - 1, &object, &object_size, NULL); break;
	}
	free(copy);
	return 0;
}
