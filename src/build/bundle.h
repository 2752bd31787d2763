/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The headers that come with the library, cut down to what one program uses.
 *
 * A bundled header is a list of chunks: top-level declarations and macro definitions. A chunk counts only if something that
 * the program reaches names what it declares. So bpf_helper_defs.h costs the helpers that are called, and the types that
 * a chunk names are asked of the kernel's types only if the chunk is used. Lines keep their numbers.
 */
#ifndef AB_BUNDLE_H
#define AB_BUNDLE_H

#include <base/base.h>

struct bundled_header {
	const char *name; /* as #include spells it */
	size_t size;
	const char *text;
};

/* Made by embed.py; ends with a NULL name. */
extern const struct bundled_header ab_bundled_headers[];

struct bundle;

/* Cuts the bundled headers into chunks; once per builder. */
int ab_bundle_new(struct bundle **ret_bundle, struct ab_error *err);
void ab_bundle_free(struct bundle *bundle);

/*
 * Adds to `names` what the chunks that it reaches name in their turn, and what stands in the headers named by `includes`, and in
 * those that they include, without being a chunk that can be left out.
 */
int ab_bundle_reach(const struct bundle *bundle, const struct strmap *includes, struct strmap *names, struct ab_error *err);

/* Appends header `index` without the chunks that `names` does not reach, blanked so that lines keep their numbers. */
int ab_bundle_write(const struct bundle *bundle, size_t index, const struct strmap *names, struct text *out,
		    struct ab_error *err);

#endif
