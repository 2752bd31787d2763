/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A flame graph as one SVG file: the root at the bottom, a box as wide as its share of the weight, the same bytes for the
 * same stacks. It is a complete picture without its script, which adds zoom and search in browsers.
 *
 * What a frame is shows in its colour, which comes of the suffix that the field has agreed on: _[k] kernel, _[j] made at run
 * time, _[i] inlined; names in brackets are unknown. Within a kind, the name decides on the shade.
 */
#include "flame.h"
#include "flame_script.h"

#define LEFT 10
#define WIDTH 1180 /* of the root, in 1200 */
#define ROW 17
#define HEAD 52
#define FOOT 30
#define COLUMN_MILLI 6650 /* a character of the 11 pixel font */
#define MIN_MILLI 100     /* narrower boxes are left out */

enum frame_kind { KIND_ROOT, KIND_PROCESS, KIND_USER, KIND_KERNEL, KIND_JIT, KIND_INLINED, KIND_UNKNOWN };

/* Shades go from one colour to the other. */
static const struct {
	uint8_t from[3], to[3];
	const char *legend;
} kinds[] = {
	[KIND_ROOT] = { { 0xd9, 0xdc, 0xe2 }, { 0xd9, 0xdc, 0xe2 }, NULL },
	[KIND_PROCESS] = { { 0xb9, 0xc0, 0xd4 }, { 0xa9, 0xb4, 0xc2 }, NULL },
	[KIND_USER] = { { 0xfb, 0xd0, 0x72 }, { 0xf0, 0x8a, 0x5d }, "user" },
	[KIND_KERNEL] = { { 0x9c, 0xcb, 0xec }, { 0x79, 0xa3, 0xdc }, "kernel" },
	[KIND_JIT] = { { 0xb5, 0xdb, 0x9a }, { 0x7c, 0xc0, 0x92 }, "run-time compiled" },
	[KIND_INLINED] = { { 0x9f, 0xdd, 0xd6 }, { 0x72, 0xc4, 0xc8 }, "inlined" },
	[KIND_UNKNOWN] = { { 0xd2, 0xcf, 0xca }, { 0xbd, 0xb8, 0xb1 }, "unknown" },
};

static const char style[] =
	"text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1d2430}"
	"#frames text{pointer-events:none}#frames g{cursor:pointer}"
	"#frames rect{stroke:#fff;stroke-width:.7}#frames .s rect{stroke:none}"
	"#frames g:hover rect{stroke:#1d2430;stroke-width:1}#frames .hit rect{fill:#d653c8}"
	".title{font-size:16px;font-weight:bold}.dim{fill:#667085}"
	"#search,#reset{display:none;fill:#2457c5;cursor:pointer}";

/* ---- text ---- */

/* Length of the UTF-8 sequence at s; 0 when it isn't one or XML cannot have that character. */
static size_t char_length(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) /* also the end */
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
	    (c & 0xfffe) == 0xfffe)
		return 0;
	return n;
}

static size_t count_chars(const char *s, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; count++)
		i += MAX(char_length(s + i), 1);
	return count;
}

/* At most `max` characters of s[0..n), escaped. */
static void add_escaped(struct text *out, const char *s, size_t n, size_t max)
{
	for (size_t i = 0, len; i < n && max; i += MAX(len, 1), max--) {
		len = char_length(s + i);
		if (!len)
			text_putc(out, '?');
		else if (s[i] == '<')
			text_puts(out, "&lt;");
		else if (s[i] == '>')
			text_puts(out, "&gt;");
		else if (s[i] == '&')
			text_puts(out, "&amp;");
		else if (s[i] == '"')
			text_puts(out, "&quot;");
		else
			text_add(out, s + i, len);
	}
}

/* 1234567 as 1,234,567 */
static void add_grouped(struct text *out, uint64_t v)
{
	char digits[32];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text_putc(out, ',');
		text_putc(out, digits[i]);
	}
}

static void add_milli(struct text *out, uint64_t milli)
{
	text_printf(out, "%llu", (unsigned long long)(milli / 1000));
	if (milli % 1000)
		text_printf(out, ".%03d", (int)(milli % 1000));
}

/* ---- frames ---- */

static enum frame_kind frame_kind(const struct ab_flame_node *node, size_t *ret_len)
{
	size_t n = strlen(node->name);
	const char *end = node->name + n;

	*ret_len = n;
	if (node->depth <= 1)
		return node->depth ? KIND_PROCESS : KIND_ROOT;
	if (n > 4 && !memcmp(end - 4, "_[", 2) && end[-1] == ']' && strchr("kji", end[-2])) {
		*ret_len = n - 4;
		return end[-2] == 'k' ? KIND_KERNEL : end[-2] == 'j' ? KIND_JIT : KIND_INLINED;
	}
	return node->name[0] == '[' || str_starts(node->name, "0x") ? KIND_UNKNOWN : KIND_USER;
}

/* A name has its colour wherever it is drawn: FNV-1a, whose last steps are mixed once more. */
static uint32_t shade_of(const char *name, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return (h * 2654435761u) >> 24;
}

static void add_colour(struct text *out, enum frame_kind kind, const char *name, size_t len)
{
	uint32_t shade = shade_of(name, len); /* 0…255 */

	text_putc(out, '#');
	for (int i = 0; i < 3; i++)
		text_printf(out, "%02x", (unsigned)(kinds[kind].from[i] * (255 - shade) + kinds[kind].to[i] * shade) / 255);
}

/* The place of a weight on the x axis, in thousandths of a pixel. */
static uint64_t scale(uint64_t weight, uint64_t total)
{
	return (unsigned __int128)weight * (WIDTH * 1000) / total;
}

struct box {
	uint64_t start; /* weight left of it */
	uint32_t node;
};

static void add_frame(struct text *out, const struct ab_flame *flame, const struct box *box, size_t rows)
{
	const struct ab_flame_node *node = &flame->nodes[box->node];
	uint64_t total = flame->nodes[0].total, x = scale(box->start, total), w = scale(box->start + node->total, total) - x;
	unsigned y = HEAD + (rows - 1 - node->depth) * ROW;
	unsigned share = (unsigned __int128)node->total * 10000 / total;
	const char *name = box->node ? node->name : "all";
	size_t len, fit = w > 6000 ? (w - 6000) / COLUMN_MILLI : 0;
	enum frame_kind kind = frame_kind(node, &len);

	len = box->node ? len : strlen(name);
	text_puts(out, w < 2000 ? "<g class=\"s\"><title>" : "<g><title>");
	add_escaped(out, name, len, SIZE_MAX);
	text_puts(out, " (");
	add_grouped(out, node->total);
	text_printf(out, ", %u.%02u%%)</title><rect x=\"", share / 100, share % 100);
	add_milli(out, LEFT * 1000 + x);
	text_printf(out, "\" y=\"%u\" width=\"", y);
	add_milli(out, w);
	text_printf(out, "\" height=\"%d\" rx=\"2\" fill=\"", ROW - 1);
	add_colour(out, kind, name, len);
	text_puts(out, "\"/>");
	if (fit >= 3) {
		text_puts(out, "<text x=\"");
		add_milli(out, LEFT * 1000 + x + 4000);
		text_printf(out, "\" y=\"%u\">", y + 12);
		if (count_chars(name, len) <= fit) {
			add_escaped(out, name, len, fit);
		} else {
			add_escaped(out, name, len, fit - 1);
			text_puts(out, "…");
		}
		text_puts(out, "</text>");
	}
	text_puts(out, "</g>\n");
}

/* Boxes from the root up, each level from left to right: parents lie before their children. `order` is sorted by parent. */
static bool place_boxes(const struct ab_flame *flame, struct box *boxes, size_t *ret_n, size_t *ret_rows)
{
	_free_ uint32_t *order = ab_flame_order(flame);
	_free_ uint32_t *first = array_new(flame->n + 1, sizeof(*first));
	uint64_t total = flame->nodes[0].total;
	size_t n = 1, rows = 1;

	if (!order || !first)
		return false;
	for (size_t i = flame->n - 1; i-- > 0;)
		first[flame->nodes[order[i]].parent] = i + 1; /* 0: no child */
	boxes[0] = (struct box){};
	for (size_t i = 0; i < n; i++) {
		uint32_t parent = boxes[i].node;
		uint64_t start = boxes[i].start;

		if (!first[parent])
			continue;
		for (size_t at = first[parent] - 1; at < flame->n - 1 && flame->nodes[order[at]].parent == parent; at++) {
			const struct ab_flame_node *node = &flame->nodes[order[at]];

			if (scale(node->total, total) >= MIN_MILLI) {
				boxes[n++] = (struct box){ start, order[at] };
				rows = MAX(rows, node->depth + 1);
			}
			start += node->total;
		}
	}
	*ret_n = n;
	*ret_rows = rows;
	return true;
}

/* ---- around the frames ---- */

static void add_legend(struct text *out, const struct ab_flame *flame, const struct box *boxes, size_t n)
{
	bool used[ARRAY_SIZE(kinds)] = {};
	unsigned right = LEFT + WIDTH;
	size_t len;

	for (size_t i = 0; i < n; i++)
		used[frame_kind(&flame->nodes[boxes[i].node], &len)] = true;
	for (size_t k = ARRAY_SIZE(kinds); k-- > 0;) {
		if (!used[k] || !kinds[k].legend)
			continue;
		right -= strlen(kinds[k].legend) * COLUMN_MILLI / 1000 + 1;
		text_printf(out, "<text class=\"dim\" x=\"%u\" y=\"41\">%s</text>", right, kinds[k].legend);
		right -= 15;
		text_printf(out, "<rect x=\"%u\" y=\"32\" width=\"10\" height=\"10\" rx=\"2\" fill=\"#%02x%02x%02x\"/>\n", right,
			    (kinds[k].from[0] + kinds[k].to[0]) / 2, (kinds[k].from[1] + kinds[k].to[1]) / 2,
			    (kinds[k].from[2] + kinds[k].to[2]) / 2);
		right -= 14;
	}
}

static void add_head(struct text *out, const struct ab_flame *flame, const char *title, unsigned height)
{
	const char *name = title ? title : "";

	text_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" "
		    "height=\"%u\" viewBox=\"0 0 1200 %u\">\n<style>%s</style>\n"
		    "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text class=\"title\" x=\"%d\" y=\"24\">",
		    height, height, style, LEFT);
	add_escaped(out, name, strlen(name), 100);
	text_printf(out, "</text>\n<text class=\"dim\" x=\"%d\" y=\"41\">", LEFT);
	if (flame->nodes[0].total) {
		text_puts(out, "total ");
		add_grouped(out, flame->nodes[0].total);
	} else {
		text_puts(out, "no samples");
	}
	text_printf(out, "</text>\n<text id=\"matched\" class=\"dim\" x=\"%d\" y=\"22\" text-anchor=\"end\"></text>"
		    "<text id=\"reset\" x=\"%d\" y=\"22\" text-anchor=\"end\">Reset zoom</text>"
		    "<text id=\"search\" x=\"%d\" y=\"22\" text-anchor=\"end\">Search</text>\n",
		    LEFT + WIDTH - 150, LEFT + WIDTH - 60, LEFT + WIDTH);
}

AB_API int ab_flame_write_svg(const struct ab_flame *flame, const char *title, FILE *out, struct ab_error *err)
{
	_free_ struct box *boxes = array_new(flame->n, sizeof(*boxes));
	_text_ struct text svg = {};
	size_t n = 0, rows = 0;
	unsigned height;

	if (!boxes || (flame->nodes[0].total && !place_boxes(flame, boxes, &n, &rows)))
		return ab_fail_memory(err);
	height = HEAD + rows * ROW + FOOT;
	add_head(&svg, flame, title, height);
	add_legend(&svg, flame, boxes, n);
	text_puts(&svg, "<g id=\"frames\">\n");
	for (size_t i = 0; i < n; i++)
		add_frame(&svg, flame, &boxes[i], rows);
	text_printf(&svg, "</g>\n<text id=\"detail\" x=\"%d\" y=\"%u\"></text>\n<script><![CDATA[\n", LEFT, height - 10);
	text_puts(&svg, flame_script);
	text_puts(&svg, "]]></script>\n</svg>\n");
	if (svg.failed)
		return ab_fail_memory(err);
	if (fwrite(svg.p, 1, svg.n, out) != svg.n)
		return ab_fail_errno(err, errno ? -errno : -EIO, "cannot write the flame graph");
	return 0;
}
