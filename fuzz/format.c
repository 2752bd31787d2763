/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Formats of hostile types over short data: every type of the BTF is rendered in every form, with buffers that end where
 * they are said to. Input: the data's size, the index of a word, the data, BTF.
 */
#include <run/format.h>

static const char *const words[] = {
	NULL, "ipv4", "ipv6", "ip", "mac", "port", "errno", "signal", "syscall", "ktime", "boottime", "time", "duration",
	"size", "hex", "mode", "dev", "enum:e", "flags:e", "text", "bytes", "ksym", "usym", "usym:pid", "kstack",
	"ustack:stacks:pid", "log2", "log10",
	"linear:10:18446744073709551615",
};

#define CHECK(cond) ((cond) ? (void)0 : (fprintf(stderr, "failed: %s\n", #cond), abort()))

/* ---- is it JSON? ---- */

static const char *skip_value(const char *s);

static const char *skip_string(const char *s)
{
	CHECK(*s == '"');
	for (s++; *s != '"'; s++) {
		CHECK((unsigned char)*s >= ' ');
		if (*s == '\\' && *++s == 'u') {
			CHECK(strspn(s + 1, "0123456789abcdef") >= 4);
			s += 4;
		}
	}
	return s + 1;
}

static const char *skip_list(const char *s, char close)
{
	if (*s == close)
		return s + 1;
	for (;; s++) {
		if (close == '}') {
			s = skip_string(s);
			CHECK(*s++ == ':');
		}
		s = skip_value(s);
		if (*s != ',')
			break;
	}
	CHECK(*s == close);
	return s + 1;
}

static const char *skip_value(const char *s)
{
	size_t n = strspn(s, "0123456789+-.e");

	if (*s == '{' || *s == '[')
		return skip_list(s + 1, *s + 2);
	if (*s == '"')
		return skip_string(s);
	if (n && strcspn(s, "0123456789") < n)
		return s + n;
	for (int i = 0; i < 3; i++) {
		const char *literal = i == 0 ? "null" : i == 1 ? "true" : "false";

		if (str_starts(s, literal))
			return s + strlen(literal);
	}
	CHECK(!"a JSON value");
	return s;
}

/* ---- rendering ---- */

static size_t render(const struct ab_format *f, int form, const void *data, size_t size, char *buf, size_t cap)
{
	return form == 0 ? ab_format_json(f, data, size, buf, cap) : form == 1 ? ab_format_line(f, data, size, buf, cap) :
			   ab_format_cell(f, form - 2, data, size, buf, cap);
}

static void render_cut(const struct ab_format *f, int form, const void *data, size_t size, const char *whole, size_t n,
		       size_t cap)
{
	char *buf = malloc(cap ? cap : 1);

	/* Two calls may see two measurements of the clocks. */
	CHECK(render(f, form, data, size, buf, cap) - n + 32 < 64);
	CHECK(!cap || strlen(buf) < cap);
	if (cap)
		CHECK(strnlen(buf, cap) <= n + 32 && (!*whole || *buf == *whole || cap == 1 || n < 2));
	free(buf);
}

static void render_form(const struct ab_format *f, int form, const void *data, size_t size)
{
	static char whole[1 << 20];
	size_t n = render(f, form, data, size, whole, sizeof(whole));

	CHECK(strlen(whole) == MIN(n, sizeof(whole) - 1));
	if (form == 0 && n < sizeof(whole))
		CHECK(!*skip_value(whole));
	if (n > 4096)
		return;
	for (int i = 0; i < 4; i++)
		render_cut(f, form, data, size, whole, n, i == 0 ? 0 : i == 1 ? 1 : i == 2 ? n / 2 : n);
}

static void compare(const struct ab_format *f)
{
	size_t size = ab_format_size(f);
	char *a, *b;

	if (size > 65536)
		return;
	a = calloc(1, size ? size : 1);
	b = malloc(size ? size : 1);
	memset(b, 0x81, size);
	CHECK(ab_format_compare(f, a, a) == 0);
	CHECK((ab_format_compare(f, a, b) > 0) == (ab_format_compare(f, b, a) < 0));
	for (size_t i = 0; i < MIN(ab_format_column_count(f), 8u); i++)
		ab_format_compare_column(f, i, a, b);
	free(a);
	free(b);
}

static void use(const struct ab_format *f, const void *data, size_t size)
{
	size_t columns = ab_format_column_count(f);

	render_form(f, 0, data, size);
	render_form(f, 1, data, size);
	for (size_t i = 0; i < MIN(columns, 16u); i++) {
		render_form(f, 2 + i, data, size);
		CHECK(ab_format_column_width(f, i) > 0);
		CHECK(ab_format_column_name(f, i) && ab_format_column_unit(f, i));
		ab_format_column_is_right(f, i);
	}
	compare(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	size_t size = n ? input[0] : 0;
	struct ab_btf *btf;
	void *data;

	if (n < size + 2 || ab_btf_open_mem(input + 2 + size, n - 2 - size, &btf, NULL) < 0)
		return 0;
	data = malloc(size ? size : 1);
	memcpy(data, input + 2, size);
	for (uint32_t id = 0; id < MIN(ab_btf_count(btf), 48u); id++) {
		struct ab_error err = {};
		struct ab_format *f;
		int r = ab_format_make(NULL, btf, id, words[input[1] % ARRAY_SIZE(words)], NULL, &f, &err);

		CHECK(r < 0 ? err.code == r && *err.msg : !err.code);
		if (r >= 0) {
			use(f, data, size);
			ab_format_free(f);
		}
		ab_error_clear(&err);
	}
	free(data);
	ab_btf_close(btf);
	return 0;
}
