/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a map holds at one moment, in the order of --sort. */
#ifndef AB_CLI_MAP_ENTRIES_H
#define AB_CLI_MAP_ENTRIES_H

#include "run.h"

/* Where a map's --sort column lies. */
struct sort_column {
	const struct ab_format *format;
	size_t column;
	bool in_value;
};

struct entries {
	const struct ab_map *map;
	size_t key_size, value_size; /* value_size: summed, or of all CPUs */
	size_t value_offset, stride;
	bool sum, skip_zero;
	struct sort_column sort;
	char *data;
	size_t count, cap;
	bool failed;
};

/* entries->data is for free(), also after a failure. */
int entries_read(const struct ab_map *map, bool per_cpu, bool clear, struct entries *entries, struct ab_error *err);
/* By --sort, where that is given; the first of --top remain. `charts`: they are printed as bars, in the order of keys. */
void entries_sort(const struct run *run, struct entries *entries, bool charts);
/* Whether the map has a column of that name to sort by. */
bool entries_have_column(const struct ab_map *map, const char *name);

static inline const void *entry_key(const struct entries *entries, size_t i)
{
	return entries->data + i * entries->stride;
}

static inline const void *entry_value(const struct entries *entries, size_t i)
{
	return entries->data + i * entries->stride + entries->value_offset;
}

static inline bool is_zero(const void *data, size_t size)
{
	const char *p = data;

	return !size || (!p[0] && !memcmp(p, p + 1, size - 1));
}

#endif
