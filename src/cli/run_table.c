/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Text tables whose columns are as wide as their widest cell, and values rendered into strings of their own. */
#include <ctype.h>
#include "run.h"

int table_new(struct table *table, size_t columns)
{
	*table = (struct table){ .columns = columns };
	table->widths = array_new(columns, sizeof(*table->widths));
	table->right = array_new(columns, sizeof(*table->right));
	return table->widths && table->right ? 0 : -ENOMEM;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table->widths);
	free(table->right);
	*table = (struct table){};
}

bool table_add(struct table *table, char *cell)
{
	size_t column = table->columns ? table->count % table->columns : 0;

	if (cell && table->count == table->cap) {
		size_t cap = table->cap ? table->cap * 2 : 64;
		char **cells = realloc(table->cells, cap * sizeof(*cells));

		if (!cells) {
			free(cell);
			return false;
		}
		table->cells = cells;
		table->cap = cap;
	}
	if (!cell)
		return false;
	table->cells[table->count++] = cell;
	table->widths[column] = MAX(table->widths[column], (int)utf8_width(cell, strlen(cell)));
	return true;
}

/* The first row is the heading. */
static void print_row(struct out *out, const struct table *table, size_t row)
{
	_text_ struct text line = {};
	bool bold = row == 0 && out->color;
	size_t fit;

	for (size_t c = 0; c < table->columns; c++) {
		const char *cell = table->cells[row * table->columns + c];
		int pad = table->widths[c] - (int)utf8_width(cell, strlen(cell));

		if (table->right[c])
			text_printf(&line, "%s%*s%s", c ? "  " : "", pad, "", cell);
		else
			text_printf(&line, "%s%s%*s", c ? "  " : "", cell, c + 1 < table->columns ? pad : 0, "");
	}
	if (!line.p)
		return;
	fit = out->columns ? utf8_fit(line.p, line.n, out->columns) : line.n;
	out_puts(out, bold ? "\033[1m" : "");
	out_safe(out, line.p, fit);
	out_puts(out, bold ? "\033[0m\n" : "\n");
}

void table_print(struct out *out, const struct table *table)
{
	for (size_t row = 0; (row + 1) * table->columns <= table->count; row++)
		print_row(out, table, row);
}

/* ---- headings ---- */

size_t column_heading(const struct ab_format *format, size_t column, const char *scalar, char *buf, size_t cap)
{
	const char *name = format ? ab_format_column_name(format, column) : "";
	const char *unit = format ? ab_format_column_unit(format, column) : "";
	size_t n, i;

	n = snprintf(buf, cap, "%s", *name ? name : scalar);
	for (i = 0; i < n && i < cap - 1; i++)
		buf[i] = toupper((unsigned char)buf[i]);
	if (*unit)
		snprintf(buf + i, cap - i, "(%s)", unit);
	return strlen(buf);
}

/* ---- rendered values; a type that is unknown shows its bytes ---- */

static char *hex_string(const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;
	char *s = malloc(2 * size + 1);

	for (size_t i = 0; s && i < size; i++) {
		s[2 * i] = digits[p[i] >> 4];
		s[2 * i + 1] = digits[p[i] & 15];
	}
	if (s)
		s[2 * size] = '\0';
	return s;
}

char *format_cell(const struct ab_format *format, size_t column, const void *data, size_t size)
{
	char small[256], *big;
	size_t n;

	if (!format)
		return hex_string(data, size);
	n = ab_format_cell(format, column, data, size, small, sizeof(small));
	if (n < sizeof(small))
		return strdup(small);
	big = malloc(n + 1);
	if (big)
		ab_format_cell(format, column, data, size, big, n + 1);
	return big;
}

char *format_line(const struct ab_format *format, const void *data, size_t size)
{
	size_t n;
	char *s;

	if (!format)
		return hex_string(data, size);
	n = ab_format_line(format, data, size, NULL, 0);
	s = malloc(n + 1);
	if (s)
		ab_format_line(format, data, size, s, n + 1);
	return s;
}

void format_json(struct json *j, const struct ab_format *format, const void *data, size_t size)
{
	_free_ char *s = NULL;
	size_t n;

	if (!format) {
		s = hex_string(data, size);
		json_str(j, s);
		return;
	}
	n = ab_format_json(format, data, size, NULL, 0);
	s = malloc(n + 1);
	if (!s) {
		j->out->failed = true;
		return;
	}
	ab_format_json(format, data, size, s, n + 1);
	json_raw(j, s, n);
}
