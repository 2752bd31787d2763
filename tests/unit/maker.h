/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A BTF by hand, for unit tests: types as words, names at known offsets. */
#ifndef MAKER_H
#define MAKER_H

#include <byteswap.h>
#include <btf/internal.h>
#include "unit.h"

struct maker {
	uint32_t words[8192];
	uint32_t n, n_types;
	char strings[4096];
	uint32_t n_strings, first_string; /* in front of a split BTF's are those of its base */
};

static struct maker maker;

static inline void start(void)
{
	memset(&maker, 0, sizeof(maker));
	maker.n_strings = 1;
}

/* Types and strings go on where those of the BTF that was made before end. */
static inline void start_split(void)
{
	uint32_t n_types = maker.n_types, first = maker.first_string + maker.n_strings;

	memset(&maker, 0, sizeof(maker));
	maker.n_types = n_types;
	maker.first_string = first;
}

static inline uint32_t name(const char *s)
{
	uint32_t at = maker.n_strings;

	if (!*s)
		return 0;
	memcpy(maker.strings + at, s, strlen(s) + 1);
	maker.n_strings += strlen(s) + 1;
	return maker.first_string + at;
}

static inline void word(uint32_t w)
{
	maker.words[maker.n++] = w;
}

#define KFLAG 0x80000000u

/* The id of a type of that kind; `kind` may have KFLAG; its elements follow as words. */
static inline uint32_t type(const char *type_name, uint32_t kind, uint32_t vlen, uint32_t size_or_type)
{
	word(name(type_name));
	word((kind & ~KFLAG) << 24 | vlen | (kind & KFLAG));
	word(size_or_type);
	return ++maker.n_types;
}

static inline uint32_t integer(const char *type_name, uint32_t size, uint32_t encoding)
{
	uint32_t id = type(type_name, BTF_KIND_INT, 0, size);

	word(encoding << 24 | 8 * size);
	return id;
}

static inline void member(const char *member_name, uint32_t member_type, uint32_t offset)
{
	word(name(member_name));
	word(member_type);
	word(offset);
}

static inline uint32_t array(uint32_t element, uint32_t n)
{
	uint32_t id = type("", BTF_KIND_ARRAY, 0, 0);

	word(element);
	word(1);
	word(n);
	return id;
}

struct bytes {
	uint8_t p[65536];
	size_t n;
};

static inline struct bytes raw(void)
{
	struct btf_header h = { .magic = BTF_MAGIC, .version = 1, .hdr_len = sizeof(h), .type_len = 4 * maker.n,
				.str_off = 4 * maker.n, .str_len = maker.n_strings };
	struct bytes b = { .n = sizeof(h) + 4 * maker.n + maker.n_strings };

	memcpy(b.p, &h, sizeof(h));
	memcpy(b.p + sizeof(h), maker.words, 4 * maker.n);
	memcpy(b.p + sizeof(h) + 4 * maker.n, maker.strings, maker.n_strings);
	return b;
}

static inline struct ab_btf *opened_split(const struct ab_btf *base)
{
	struct bytes b = raw();
	struct ab_error err = {};
	struct ab_btf *btf = NULL;

	ASSERT_OK(ab_btf_open_split_mem(b.p, b.n, base, &btf, &err), err);
	return btf;
}

static inline struct ab_btf *opened(void)
{
	struct bytes b = raw();
	struct ab_error err = {};
	struct ab_btf *btf = NULL;

	ASSERT_OK(ab_btf_open_mem(b.p, b.n, &btf, &err), err);
	return btf;
}

#define ASSERT_REFUSED(damaged, part)                                                                   \
	do {                                                                                            \
		struct bytes _b = (damaged);                                                            \
		struct ab_error _err = {};                                                              \
		struct ab_btf *_btf = NULL;                                                             \
		ASSERT_INT(ab_btf_open_mem(_b.p, _b.n, &_btf, &_err), -EBADMSG);                        \
		ASSERT(!_btf);                                                                          \
		ASSERT_INT(_err.kind, AB_ERROR_FORMAT);                                                 \
		if (!strstr(_err.msg, part))                                                            \
			FAIL("\"%s\" does not say \"%s\"", _err.msg, part);                             \
	} while (0)

#endif
