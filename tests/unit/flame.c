/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Flame graphs: folded text, and the SVG as text. */
#include <anybpf/symbol.h>
#include "base/base.h"
#include "unit.h"

static struct ab_error error;

static struct ab_flame *new_flame(void)
{
	struct ab_flame *flame;

	ASSERT_OK(ab_flame_new(&flame, &error), error);
	return flame;
}

#define ADD(flame, weight, ...)                                                                                 \
	do {                                                                                                    \
		const char *frames[] = { __VA_ARGS__ };                                                         \
		ASSERT_OK(ab_flame_add(flame, frames, ARRAY_SIZE(frames), weight, &error), error);              \
	} while (0)

static char *folded(const struct ab_flame *flame)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ASSERT_OK(ab_flame_write_folded(flame, out, &error), error);
	fclose(out);
	return text;
}

static char *svg(const struct ab_flame *flame, const char *title)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ASSERT_OK(ab_flame_write_svg(flame, title, out, &error), error);
	fclose(out);
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

TEST(folded_stacks_are_merged_and_sorted)
{
	struct ab_flame *flame = new_flame();
	char *text;

	ADD(flame, 5, "b", "main");
	ADD(flame, 1, "a", "main", "x");
	ADD(flame, 2, "a", "main");
	ADD(flame, 3, "a", "main", "x");
	ADD(flame, 1, "a b", "y;z\n");
	ADD(flame, 0, "nothing");
	ADD(flame, 7, "a", NULL);
	ASSERT_OK(ab_flame_add(flame, NULL, 0, 9, &error), error);
	text = folded(flame);
	ASSERT_STR(text, "a b;y:z  1\n"
			 "a;[unknown] 7\n"
			 "a;main 2\n"
			 "a;main;x 4\n"
			 "b;main 5\n");
	free(text);
	ab_flame_free(flame);
}

TEST(order_of_stacks_does_not_matter)
{
	struct ab_flame *a = new_flame(), *b = new_flame();
	char name[2][16], *text[2];

	for (int i = 0; i < 1000; i++) {
		snprintf(name[0], sizeof(name[0]), "f%d", i * 7919 % 1000 % 37);
		snprintf(name[1], sizeof(name[1]), "g%d", i * 7919 % 1000);
		ADD(a, i * 7919 % 1000 + 1, "p", name[0], name[1]);
		snprintf(name[0], sizeof(name[0]), "f%d", i % 37);
		snprintf(name[1], sizeof(name[1]), "g%d", i);
		ADD(b, i + 1, "p", name[0], name[1]);
	}
	text[0] = svg(a, "t");
	text[1] = svg(b, "t");
	ASSERT_STR(text[0], text[1]);
	free(text[0]);
	free(text[1]);
	text[0] = folded(a);
	text[1] = folded(b);
	ASSERT_INT(count(text[0], "\n"), 1000);
	ASSERT_STR(text[0], text[1]);
	free(text[0]);
	free(text[1]);
	ab_flame_free(a);
	ab_flame_free(b);
}

/* Elements nest and end, attributes are quoted, and nothing but entities starts with '&'. */
static void check_xml(const char *p)
{
	char open[16][16];
	int depth = 0;

	p += strcspn(p, "\n"); /* <?xml …?> */
	for (; *p; p++) {
		ASSERT((unsigned char)*p >= ' ' || *p == '\n');
		if (*p == '&')
			ASSERT(str_starts(p, "&lt;") || str_starts(p, "&gt;") || str_starts(p, "&amp;") || str_starts(p, "&quot;"));
		if (*p != '<')
			continue;
		if (str_starts(p, "<![CDATA[")) {
			p = strstr(p, "]]>");
			ASSERT(p);
		} else if (p[1] == '/') {
			size_t n = strcspn(p + 2, ">");

			ASSERT(depth > 0 && strlen(open[depth - 1]) == n && !memcmp(open[depth - 1], p + 2, n));
			depth--;
		} else {
			size_t n = strcspn(p + 1, " >/");

			ASSERT(n > 0 && n < sizeof(open[0]) && depth < (int)ARRAY_SIZE(open));
			snprintf(open[depth++], sizeof(open[0]), "%.*s", (int)n, p + 1);
			for (p += n; *p != '>'; p++) {
				ASSERT(*p && *p != '<');
				if (*p == '"')
					p = strchr(p + 1, '"');
			}
			depth -= p[-1] == '/';
		}
	}
	ASSERT_INT(depth, 0);
}

TEST(picture)
{
	struct ab_flame *flame = new_flame();
	char *text;

	ADD(flame, 750, "app", "main", "vfs_read_[k]");
	ADD(flame, 250, "app", "main", "operator<");
	text = svg(flame, "a <b> & \"c\"\x01\xff");
	check_xml(text);
	ASSERT(str_starts(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "));
	ASSERT(str_ends(text, "</svg>\n"));
	ASSERT(strstr(text, ">a &lt;b&gt; &amp; &quot;c&quot;?" "?</text>"));
	ASSERT(strstr(text, ">total 1,000</text>"));
	ASSERT_INT(count(text, "<title>"), 5); /* all, app, main, two leaves */
	ASSERT(strstr(text, "<title>all (1,000, 100.00%)</title><rect x=\"10\" y=\"103\" width=\"1180\""));
	ASSERT(strstr(text, "<title>vfs_read (750, 75.00%)</title><rect x=\"305\" y=\"52\" width=\"885\""));
	ASSERT(strstr(text, "<title>operator&lt; (250, 25.00%)</title><rect x=\"10\" y=\"52\" width=\"295\""));
	ASSERT(strstr(text, ">operator&lt;</text>"));
	ASSERT(strstr(text, ">user</text>") && strstr(text, ">kernel</text>") && !strstr(text, ">inlined</text>"));
	ASSERT_INT(count(text, "]]>"), 1);
	ASSERT(!strstr(text, "href") && !strstr(text, "src=") && !strstr(text, "url("));
	free(text);
	ab_flame_free(flame);
}

TEST(names_of_any_bytes)
{
	struct ab_flame *flame = new_flame();
	char name[8], *text;

	for (int i = 1; i < 256; i++) {
		snprintf(name, sizeof(name), "%c%c<%c&", i, i ^ 0x55, 255 - i);
		ADD(flame, 1, "]]></script>", name[0] ? name : "zero");
	}
	ADD(flame, 1, "\xed\xa0\x80", "\xef\xbf\xbf", "\xf4\x90\x80\x80", "\xc0\x80", "\xe2\x82"); /* what XML or UTF-8 has not */
	text = svg(flame, "]]></script>");
	check_xml(text);
	ASSERT(!strstr(text, "\xed\xa0") && !strstr(text, "\xef\xbf\xbf") && !strstr(text, "\xc0\x80"));
	free(text);
	ab_flame_free(flame);
}

TEST(names_are_cut_and_slivers_left_out)
{
	struct ab_flame *flame = new_flame();
	char *text;

	ADD(flame, 100000, "app", "wide");
	ADD(flame, 6000, "app", "räksmörgås_och_mer");
	ADD(flame, 5, "app", "sliver");
	text = svg(flame, NULL);
	ASSERT(strstr(text, "<title>räksmörgås_och_mer (6,000, "));
	ASSERT(strstr(text, ">räksmörg…</text>"));
	ASSERT(!strstr(text, "sliver"));
	free(text);
	text = folded(flame);
	ASSERT(strstr(text, "app;sliver 5\n"));
	free(text);
	ab_flame_free(flame);
}

TEST(empty_graph)
{
	struct ab_flame *flame = new_flame();
	char *text = svg(flame, "nothing");

	check_xml(text);
	ASSERT(strstr(text, "no samples"));
	ASSERT_INT(count(text, "<title>"), 0);
	free(text);
	text = folded(flame);
	ASSERT_STR(text, "");
	free(text);
	ab_flame_free(flame);
	ab_flame_free(NULL);
}

TEST(limits)
{
	struct ab_flame *flame = new_flame();
	const char *deep[5000], *one[] = { "a" };
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(deep); i++)
		deep[i] = "f";
	ab_error_clear(&error);
	ASSERT_INT(ab_flame_add(flame, deep, 5000, 1, &error), -E2BIG);
	ASSERT_INT(error.kind, AB_ERROR_LIMIT);
	ASSERT_INT(ab_flame_add(flame, deep, 4096, UINT64_MAX - 1, NULL), 0);
	ASSERT_INT(ab_flame_add(flame, one, 1, 2, NULL), -EOVERFLOW);
	ASSERT_INT(ab_flame_add(flame, one, 1, 1, NULL), 0);
	text = svg(flame, "deep");
	ASSERT_INT(count(text, "<title>"), 4097);
	free(text);
	ab_flame_free(flame);
}

TEST(disk_full)
{
	struct ab_flame *flame = new_flame();
	FILE *out = fopen("/dev/full", "w");

	ab_error_clear(&error);
	ADD(flame, 1, "a");
	if (!out)
		SKIP("no /dev/full");
	setvbuf(out, NULL, _IONBF, 0);
	ASSERT_INT(ab_flame_write_svg(flame, "t", out, &error), -ENOSPC);
	ASSERT_INT(error.kind, AB_ERROR_IO);
	ASSERT_INT(ab_flame_write_folded(flame, out, NULL), -ENOSPC);
	fclose(out);
	ab_flame_free(flame);
}
