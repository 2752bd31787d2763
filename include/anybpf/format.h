/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Rendering of bytes by their BTF type and its decl tags (docs/format-tags.md), as JSON, as table cells or as bar charts.
 *
 * A format is made once per type and used for every value; it is immutable and any thread may use it, each with a text
 * buffer of its own. Formats of events and maps belong to their object; ab_format_new() makes more.
 *
 * The functions that produce text work like snprintf(): they write at most `cap` bytes including a final NUL and return
 * the length that the whole text has, so a return >= cap means that it was cut. `data` may be shorter than the
 * type: members beyond it are left out.
 */
#ifndef ANYBPF_FORMAT_H
#define ANYBPF_FORMAT_H

#include <anybpf/object.h>
#include <anybpf/symbol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_format;

/* Makes the format of a type of the object, named as in C: "struct event", "u32", "enum state". -ENOENT/NOT_FOUND. */
AB_API int ab_format_new(struct ab_object *object, const char *type, struct ab_format **ret_format, struct ab_error *err);
AB_API void ab_format_free(struct ab_format *format);

/* The type's name in C, and its size in bytes. */
AB_API const char *ab_format_type(const struct ab_format *format);
AB_API size_t ab_format_size(const struct ab_format *format);

/*
 * One JSON value: structs are objects, arrays arrays, char[] strings (bytes that are not UTF-8 as \u00XX), enums their
 * enumerator's name, integers exact, addresses "1.2.3.4", ktime as ns since 1970, errno {"errno":"ENOENT","value":-2},
 * stack ids arrays of frames.
 */
AB_API size_t ab_format_json(const struct ab_format *format, const void *data, size_t size, char *buf, size_t cap);

/* As a table: top-level members are columns, nested ones are one cell in C-like notation. A scalar is one column. */
AB_API size_t ab_format_column_count(const struct ab_format *format);
/* "" for a scalar, which has no name of its own. */
AB_API const char *ab_format_column_name(const struct ab_format *format, size_t column);
/* From AB_UNIT(), for the heading: "us"; "" when there is none. */
AB_API const char *ab_format_column_unit(const struct ab_format *format, size_t column);
/* The width that fits nearly all values, and whether it is right-aligned, as numbers are. */
AB_API int ab_format_column_width(const struct ab_format *format, size_t column);
AB_API bool ab_format_column_is_right(const struct ab_format *format, size_t column);
AB_API size_t ab_format_cell(const struct ab_format *format, size_t column, const void *data, size_t size, char *buf,
			     size_t cap);
/* The whole value on one line: "pid=42 comm=bash". */
AB_API size_t ab_format_line(const struct ab_format *format, const void *data, size_t size, char *buf, size_t cap);

/*
 * A value's order for sorting tables: < 0, 0, > 0. Scalars numerically (by sign of the type), structs member by member,
 * text bytewise. Both have ab_format_size() bytes.
 */
AB_API int ab_format_compare(const struct ab_format *format, const void *a, const void *b);
/* The same by one column. */
AB_API int ab_format_compare_column(const struct ab_format *format, size_t column, const void *a, const void *b);

/* ---- histograms ---- */

struct ab_hist_opts {
	size_t sz;
	bool linear;        /* slots have equal width; default: slot i holds [2^i, 2^(i+1)), slot 0 also 0 */
	uint64_t base;      /* linear: where slot 0 begins */
	uint64_t step;      /* linear: slot width; 0: 1 */
	const char *unit;   /* heading of the value column; NULL: "value" */
	bool log10;         /* slot i holds [10^i, 10^(i+1)), slot 0 also 0 */
	size_t :0;
};

/* The bar chart that every tracer prints, from the first to the last slot in use; "" when all are zero. */
AB_API size_t ab_hist_text(const uint64_t *slots, size_t count, const struct ab_hist_opts *opts, char *buf, size_t cap);
/* The same as JSON, used slots only, as members tagged log2 and linear render: [{"from":4,"to":8,"count":2},...]. */
AB_API size_t ab_hist_json(const uint64_t *slots, size_t count, const struct ab_hist_opts *opts, char *buf, size_t cap);

/* ---- stacks ---- */

/*
 * Resolves AB_AS(kstack)/AB_AS(ustack) ids when the object's formats render: `symbols` is borrowed and has to outlive them;
 * NULL: ids stay numbers.
 */
AB_API void ab_object_set_symbols(struct ab_object *object, struct ab_symbols *symbols);

/*
 * The call path that a value's AB_AS(kstack) and AB_AS(ustack) members name, for flame graphs: calls `frame` for each frame, root
 * first: the process (member `comm`, else `tgid` or `pid` as text), user frames, kernel frames; a name is valid during the
 * call only. Stops when `frame` returns non-zero, and returns that if negative; else the number of frames, 0 when the type
 * has no stack member. Needs ab_object_set_symbols() before.
 */
AB_API int ab_format_frames(const struct ab_format *format, const void *data, size_t size,
			    int (*frame)(const char *name, bool kernel, void *ctx), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
