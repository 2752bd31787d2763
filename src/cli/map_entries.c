/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reads and sorts what a map holds. */
#include "map_entries.h"

static size_t align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static int take_entry(const void *key, const void *value, void *ctx)
{
	struct entries *entries = ctx;
	char *entry;

	if (entries->count == entries->cap) {
		size_t cap = entries->cap ? entries->cap * 2 : 256;
		char *data = reallocarray(entries->data, cap, entries->stride);

		if (!data) {
			entries->failed = true;
			return 1;
		}
		entries->data = data;
		entries->cap = cap;
	}
	entry = entries->data + entries->count * entries->stride;
	memcpy(entry, key, entries->key_size);
	if (entries->sum)
		ab_map_sum_cpus(entries->map, value, entry + entries->value_offset);
	else
		memcpy(entry + entries->value_offset, value, entries->value_size);
	if (!entries->skip_zero || !is_zero(entry + entries->value_offset, entries->value_size))
		entries->count++;
	return 0;
}

int entries_read(const struct ab_map *map, bool per_cpu, bool clear, struct entries *entries, struct ab_error *err)
{
	int r;

	*entries = (struct entries){ .map = map, .key_size = ab_map_key_size(map) };
	entries->sum = ab_map_is_per_cpu(map) && !per_cpu;
	entries->value_size = entries->sum ? ab_map_value_size(map) : ab_map_value_bytes(map);
	entries->value_offset = align8(entries->key_size);
	entries->stride = entries->value_offset + align8(entries->value_size);
	entries->skip_zero = ab_map_kind(map) == AB_MAP_ARRAY && ab_map_max_entries(map) > 1;
	r = ab_map_iterate(map, clear, take_entry, entries, err);
	if (entries->failed)
		return ab_fail_memory(err);
	return r < 0 ? r : 0;
}

/* ---- order ---- */

static int compare_part(const struct ab_format *format, const void *a, const void *b, size_t size)
{
	return format ? ab_format_compare(format, a, b) : memcmp(a, b, size);
}

static int by_key(const void *a, const void *b, void *ctx)
{
	const struct entries *entries = ctx;

	return compare_part(ab_map_key_format(entries->map), a, b, entries->key_size);
}

static int by_value(const void *a, const void *b, void *ctx)
{
	const struct entries *entries = ctx;
	size_t at = entries->value_offset;
	int r = compare_part(ab_map_value_format(entries->map), (const char *)b + at, (const char *)a + at,
			     entries->value_size);

	return r ? r : by_key(a, b, ctx);
}

static bool find_column(const struct ab_format *format, const char *name, size_t *ret_column)
{
	for (size_t c = 0; format && c < ab_format_column_count(format); c++) {
		if (!strcasecmp(ab_format_column_name(format, c), name)) {
			*ret_column = c;
			return true;
		}
	}
	return false;
}

static bool find_sort_column(const struct ab_map *map, const char *name, struct sort_column *ret)
{
	const struct ab_format *key = ab_map_key_format(map), *value = ab_map_value_format(map);

	if (find_column(value, name, &ret->column)) {
		ret->format = value;
		ret->in_value = true;
		return true;
	}
	ret->format = key;
	ret->in_value = false;
	return find_column(key, name, &ret->column);
}

/* Numbers have their largest first, text is in alphabetical order. */
static int by_column(const void *a, const void *b, void *ctx)
{
	const struct entries *entries = ctx;
	const struct sort_column *sort = &entries->sort;
	size_t at = sort->in_value ? entries->value_offset : 0;
	int r = ab_format_compare_column(sort->format, sort->column, (const char *)a + at, (const char *)b + at);

	if (r && ab_format_column_is_right(sort->format, sort->column))
		return -r;
	return r ? r : by_key(a, b, ctx);
}

void entries_sort(const struct run *run, struct entries *entries, bool charts)
{
	int (*compare)(const void *a, const void *b, void *ctx) = by_value;
	const char *by = run->opts->sort;

	if (by && find_sort_column(entries->map, by, &entries->sort))
		compare = by_column;
	else if (by ? !strcmp(by, "key") : ab_map_kind(entries->map) == AB_MAP_ARRAY || charts)
		compare = by_key;
	if (entries->count && !(by && !strcmp(by, "none")))
		qsort_r(entries->data, entries->count, entries->stride, compare, entries);
	if (run->opts->top && entries->count > (size_t)run->opts->top)
		entries->count = run->opts->top;
}

bool entries_have_column(const struct ab_map *map, const char *name)
{
	struct sort_column sort;

	return find_sort_column(map, name, &sort);
}
