/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Maps as sorted tables, bar charts and stacks, or as one JSON line each. */
#include "map_entries.h"

/* ---- which maps ---- */

static bool is_printable(const struct ab_map *map)
{
	enum ab_map_kind kind = ab_map_kind(map);

	return kind == AB_MAP_HASH || kind == AB_MAP_ARRAY || kind == AB_MAP_HIST;
}

/* What is printed when no map is named: not what a macro keeps for itself. */
static bool is_of_interest(const struct ab_map *map)
{
	return is_printable(map) && !ab_map_is_scratch(map);
}

static bool has_shown_maps(const struct run *run)
{
	for (size_t i = 0; i < ab_object_map_count(run->object); i++)
		if (ab_map_is_shown(ab_object_map(run->object, i)))
			return true;
	return false;
}

static bool has_channels(const struct run *run)
{
	for (size_t i = 0; i < ab_object_map_count(run->object); i++)
		if (ab_map_kind(ab_object_map(run->object, i)) == AB_MAP_EVENTS)
			return true;
	return false;
}

static bool is_chosen(const struct run *run, const struct ab_map *map)
{
	const struct list *names = &run->opts->maps;

	if (names->count)
		return list_has(names, ab_map_name(map)) || (list_has(names, "all") && is_of_interest(map));
	if (run_wants_flame(run))
		return false;
	if (has_shown_maps(run))
		return ab_map_is_shown(map);
	return !has_channels(run) && is_of_interest(map);
}

bool run_shows_maps(const struct run *run)
{
	for (size_t i = 0; i < ab_object_map_count(run->object); i++)
		if (is_chosen(run, ab_object_map(run->object, i)))
			return true;
	return false;
}

static int fail_map(struct run *run, const char *name, struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; i < ab_object_map_count(run->object); i++)
		nearest_try(&nearest, ab_map_name(ab_object_map(run->object, i)));
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no map '%s' in '%s'%s%s%s", name, ab_object_name(run->object),
		       DID_YOU_MEAN(nearest.name));
}

int run_check_maps(struct run *run, struct ab_error *err)
{
	for (size_t i = 0; i < run->opts->maps.count; i++) {
		const char *name = run->opts->maps.items[i];
		struct ab_map *map = ab_object_find_map(run->object, name);

		if (!strcmp(name, "all"))
			continue;
		if (!map)
			return fail_map(run, name, err);
		if (!is_printable(map) && ab_map_kind(map) != AB_MAP_STACKS)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "map '%s' is of a kind that cannot be printed",
				       name);
	}
	return 0;
}

static bool is_sort_word(const char *s)
{
	return !strcmp(s, "key") || !strcmp(s, "value") || !strcmp(s, "none");
}

/* Maps have no formats before load; what is known by then is checked when it is known. */
int run_check_sort(struct run *run, struct ab_error *err)
{
	const char *by = run->opts->sort;

	if (!by || is_sort_word(by))
		return 0;
	for (size_t i = 0; i < ab_object_map_count(run->object); i++) {
		const struct ab_map *map = ab_object_map(run->object, i);

		if (is_chosen(run, map) && entries_have_column(map, by))
			return 0;
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "option '--sort': no map that is printed has a column '%s'; "
		       "'value', 'key' and 'none' always work", by);
}

/* ---- JSON ---- */

static void begin_line(struct json *j, const char *type, const struct ab_map *map)
{
	json_open(j, '{');
	json_member_str(j, "type", type);
	json_member_str(j, "map", ab_map_name(map));
}

static void add_value_json(struct json *j, const struct entries *entries, const void *value)
{
	const struct ab_map *map = entries->map;
	const struct ab_format *format = ab_map_value_format(map);

	if (entries->sum || !ab_map_is_per_cpu(map)) {
		json_key(j, "value");
		format_json(j, format, value, entries->value_size);
		return;
	}
	json_key(j, "values");
	json_open(j, '[');
	for (size_t cpu = 0; cpu < ab_map_cpu_count(map); cpu++)
		format_json(j, format, (const char *)value + cpu * ab_map_value_stride(map), ab_map_value_size(map));
	json_close(j, ']');
}

static int print_json(struct run *run, const struct entries *entries, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	begin_line(&j, "map", entries->map);
	json_key(&j, "entries");
	json_open(&j, '[');
	for (size_t i = 0; i < entries->count; i++) {
		json_open(&j, '{');
		json_key(&j, "key");
		format_json(&j, ab_map_key_format(entries->map), entry_key(entries, i), entries->key_size);
		add_value_json(&j, entries, entry_value(entries, i));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

/* A value that is nothing but a histogram: its slots, without the struct around them. */
static void add_slots_json(struct json *j, const struct ab_format *format, const void *value, size_t size)
{
	_text_ struct text t = {}, before = {};
	struct json inner = { &t };

	format_json(&inner, format, value, size);
	json_quote(&before, ab_format_column_name(format, 0), strlen(ab_format_column_name(format, 0)));
	if (t.failed || before.failed || !t.p || !before.p)
		j->out->failed = true;
	else if (t.p[0] == '{' && !strncmp(t.p + 1, before.p, before.n) && t.p[before.n + 1] == ':')
		json_raw(j, t.p + before.n + 2, t.n - before.n - 3);
	else
		json_raw(j, t.p, t.n);
}

static int print_keyed_hists_json(struct run *run, const struct entries *entries, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < entries->count; i++) {
		_text_ struct text t = {};
		struct json j = { &t };

		begin_line(&j, "hist", entries->map);
		json_key(&j, "key");
		format_json(&j, ab_map_key_format(entries->map), entry_key(entries, i), entries->key_size);
		json_key(&j, "slots");
		add_slots_json(&j, ab_map_value_format(entries->map), entry_value(entries, i), entries->value_size);
		json_close(&j, '}');
		r = cli_print_json(run->cli, &t, err);
	}
	return r;
}

/* ---- text ---- */

static void print_title(struct run *run, const struct ab_map *map)
{
	struct out *out = &run->cli->out;
	const char *help = ab_map_help(map);

	out_printf(out, "%s%s%s%s%s\n", out->color ? "\033[1m" : "", ab_map_name(map), out->color ? "\033[0m" : "",
		   help ? ": " : "", help ? help : "");
}

static size_t column_count(const struct ab_format *format)
{
	return format ? ab_format_column_count(format) : 1;
}

static bool add_headings(struct table *table, const struct ab_format *format, const char *scalar, size_t first)
{
	for (size_t c = 0; c < column_count(format); c++) {
		char name[64];

		column_heading(format, c, scalar, name, sizeof(name));
		table->right[first + c] = format && ab_format_column_is_right(format, c);
		if (!table_add(table, strdup(name)))
			return false;
	}
	return true;
}

static bool add_cells(struct table *table, const struct ab_format *format, const void *data, size_t size)
{
	for (size_t c = 0; c < column_count(format); c++)
		if (!table_add(table, format_cell(format, c, data, size)))
			return false;
	return true;
}

/* A row, or a row for each CPU that has something. */
static bool add_entry(struct table *table, const struct entries *entries, size_t i, bool each_cpu)
{
	const struct ab_map *map = entries->map;
	const char *value = entry_value(entries, i);

	for (size_t cpu = 0; cpu < (each_cpu ? ab_map_cpu_count(map) : 1); cpu++) {
		const char *own = value + cpu * ab_map_value_stride(map);
		char text[24];

		if (each_cpu && is_zero(own, ab_map_value_size(map)))
			continue;
		snprintf(text, sizeof(text), "%zu", cpu);
		if (!add_cells(table, ab_map_key_format(map), entry_key(entries, i), entries->key_size) ||
		    (each_cpu && !table_add(table, strdup(text))) ||
		    !add_cells(table, ab_map_value_format(map), own, ab_map_value_size(map)))
			return false;
	}
	return true;
}

static int print_table(struct run *run, const struct entries *entries, struct ab_error *err)
{
	const struct ab_map *map = entries->map;
	const struct ab_format *key = ab_map_key_format(map), *value = ab_map_value_format(map);
	bool each_cpu = ab_map_is_per_cpu(map) && !entries->sum;
	size_t keys = column_count(key);
	struct table table;
	bool ok;

	ok = table_new(&table, keys + each_cpu + column_count(value)) == 0 &&
	     add_headings(&table, key, ab_map_kind(map) == AB_MAP_ARRAY ? "INDEX" : "KEY", 0) &&
	     (!each_cpu || table_add(&table, strdup("CPU"))) && add_headings(&table, value, "VALUE", keys + each_cpu);
	if (ok && each_cpu)
		table.right[keys] = true;
	for (size_t i = 0; ok && i < entries->count; i++)
		ok = add_entry(&table, entries, i, each_cpu);
	if (ok)
		table_print(&run->cli->out, &table);
	table_free(&table);
	return ok ? 0 : ab_fail_memory(err);
}

/* Values with a chart in them do not fit into a table: key, scalar columns, then the charts. */
static int print_blocks(struct run *run, const struct entries *entries, struct ab_error *err)
{
	const struct ab_format *format = ab_map_value_format(entries->map);
	struct out *out = &run->cli->out;

	for (size_t i = 0; i < entries->count; i++) {
		_free_ char *key =
			format_line(ab_map_key_format(entries->map), entry_key(entries, i), entries->key_size);

		if (!key)
			return ab_fail_memory(err);
		out_puts(out, i ? "\n" : "");
		out_safe(out, key, strlen(key));
		for (int charts = 0; charts < 2; charts++) {
			for (size_t c = 0; c < ab_format_column_count(format); c++) {
				_free_ char *cell =
					format_cell(format, c, entry_value(entries, i), entries->value_size);

				if (!cell)
					return ab_fail_memory(err);
				if (!*cell || (strchr(cell, '\n') != NULL) != charts)
					continue;
				out_puts(out, charts ? "" : "  ");
				out_safe(out, cell, strlen(cell));
			}
			out_puts(out, charts ? "" : "\n");
		}
	}
	return 0;
}

/* Leaf first, as stacks are read. */
struct stack_text {
	char *frames[512];
	size_t count;
};

static int take_frame(const char *name, bool kernel, void *ctx)
{
	struct stack_text *stack = ctx;

	if (stack->count == ARRAY_SIZE(stack->frames))
		return 1;
	stack->frames[stack->count] = strdup(name);
	return stack->frames[stack->count++] ? 0 : -ENOMEM;
}

static int print_stack_entry(struct run *run, const struct entries *entries, size_t i, struct ab_error *err)
{
	const struct ab_map *map = entries->map;
	const struct ab_format *key = ab_map_key_format(map);
	_free_ char *value = format_line(ab_map_value_format(map), entry_value(entries, i), entries->value_size);
	struct stack_text stack = {};
	struct out *out = &run->cli->out;
	int r = ab_format_frames(key, entry_key(entries, i), entries->key_size, take_frame, &stack);

	if (r >= 0 && value) {
		out_puts(out, i ? "\n" : "");
		for (size_t f = stack.count; f > 1; f--) {
			out_puts(out, "    ");
			out_safe(out, stack.frames[f - 1], strlen(stack.frames[f - 1]));
			out_puts(out, "\n");
		}
		out_safe(out, stack.frames[0], stack.count ? strlen(stack.frames[0]) : 0);
		out_puts(out, "  ");
		out_safe(out, value, strlen(value));
		out_puts(out, "\n");
	}
	for (size_t f = 0; f < stack.count; f++)
		free(stack.frames[f]);
	return r < 0 ? ab_fail_errno(err, r, "stacks of map '%s'", ab_map_name(map)) : value ? 0 : ab_fail_memory(err);
}

static int ignore_frame(const char *name, bool kernel, void *ctx)
{
	return 0;
}

static bool has_stacks(const struct entries *entries)
{
	const struct ab_format *key = ab_map_key_format(entries->map);

	return key && entries->count && (entries->sum || !ab_map_is_per_cpu(entries->map)) &&
	       ab_format_frames(key, entry_key(entries, 0), entries->key_size, ignore_frame, NULL) > 0;
}

static bool has_charts(const struct entries *entries)
{
	const struct ab_format *format = ab_map_value_format(entries->map);

	if (!format || (ab_map_is_per_cpu(entries->map) && !entries->sum))
		return false;
	for (size_t i = 0; i < entries->count; i++) {
		for (size_t c = 0; c < ab_format_column_count(format); c++) {
			_free_ char *cell = format_cell(format, c, entry_value(entries, i), entries->value_size);

			if (cell && strchr(cell, '\n'))
				return true;
		}
	}
	return false;
}

static int print_text(struct run *run, const struct entries *entries, bool charts, struct ab_error *err)
{
	int r = 0;

	/* A map that nobody asked for by name and that is empty is not worth its lines. */
	if (!entries->count && !run->opts->maps.count)
		return 0;
	print_title(run, entries->map);
	if (!entries->count)
		out_puts(&run->cli->out, "(empty)\n");
	else if (charts)
		r = print_blocks(run, entries, err);
	else if (has_stacks(entries))
		for (size_t i = 0; r == 0 && i < entries->count; i++)
			r = print_stack_entry(run, entries, i, err);
	else
		r = print_table(run, entries, err);
	out_puts(&run->cli->out, "\n");
	return r;
}

static int print_entries(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err)
{
	struct entries entries;
	bool charts;
	int r = entries_read(map, run->opts->per_cpu, clear, &entries, err);

	if (r == 0) {
		charts = has_charts(&entries);
		entries_sort(run, &entries, charts);
		if (!run->cli->json)
			r = print_text(run, &entries, charts, err);
		else if (charts && ab_format_column_count(ab_map_value_format(map)) == 1)
			r = print_keyed_hists_json(run, &entries, err);
		else
			r = print_json(run, &entries, err);
	}
	free(entries.data);
	return r;
}

/* ---- histograms ---- */

static uint64_t read_counter(const void *p, size_t size)
{
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;

	if (size >= 8)
		return memcpy(&v8, p, 8), v8;
	if (size >= 4)
		return memcpy(&v4, p, 4), v4;
	if (size >= 2)
		return memcpy(&v2, p, 2), v2;
	return *(const uint8_t *)p;
}

/* The map is an array of counters, one a slot, or one entry that holds them all. */
static uint64_t *read_slots(const struct entries *entries, size_t *ret_count, struct ab_error *err)
{
	size_t size = entries->value_size > 8 ? 8 : entries->value_size;
	size_t max = ab_map_max_entries(entries->map), each = size ? entries->value_size / size : 0;
	uint64_t *slots = array_new(max * each, sizeof(*slots));

	for (size_t i = 0; slots && i < entries->count; i++) {
		uint32_t index;

		memcpy(&index, entry_key(entries, i), sizeof(index));
		for (size_t k = 0; index < max && k < each; k++)
			slots[index * each + k] = read_counter((const char *)entry_value(entries, i) + k * size, size);
	}
	if (!slots)
		ab_fail_memory(err);
	else
		*ret_count = max * each;
	return slots;
}

static int print_hist_json(struct run *run, const struct ab_map *map, const uint64_t *slots, size_t count,
			   const struct ab_hist_opts *opts, struct ab_error *err)
{
	size_t n = ab_hist_json(slots, count, opts, NULL, 0);
	_free_ char *chart = malloc(n + 1);
	_text_ struct text t = {};
	struct json j = { &t };

	if (!chart)
		return ab_fail_memory(err);
	ab_hist_json(slots, count, opts, chart, n + 1);
	begin_line(&j, "hist", map);
	json_key(&j, "slots");
	json_raw(&j, chart, n);
	json_close(&j, '}');
	return cli_print_json(run->cli, &t, err);
}

static int print_hist_text(struct run *run, const struct ab_map *map, const uint64_t *slots, size_t count,
			   const struct ab_hist_opts *opts, struct ab_error *err)
{
	size_t n = ab_hist_text(slots, count, opts, NULL, 0);
	_free_ char *chart = malloc(n + 1);

	if (!chart)
		return ab_fail_memory(err);
	ab_hist_text(slots, count, opts, chart, n + 1);
	if (!n && !run->opts->maps.count)
		return 0;
	print_title(run, map);
	out_puts(&run->cli->out, n ? "" : "(empty)\n");
	out_safe(&run->cli->out, chart, n);
	out_puts(&run->cli->out, "\n");
	return 0;
}

static int print_hist(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err)
{
	AB_OPTS(ab_hist_opts, opts);
	_free_ uint64_t *slots = NULL;
	struct entries entries;
	size_t count;
	int r = entries_read(map, false, clear, &entries, err);

	if (r == 0)
		slots = read_slots(&entries, &count, err);
	free(entries.data);
	if (!slots)
		return r < 0 ? r : -ENOMEM;
	ab_map_hist_opts(map, &opts);
	if (run->cli->json)
		return print_hist_json(run, map, slots, count, &opts, err);
	return print_hist_text(run, map, slots, count, &opts, err);
}

/* ---- stack maps ---- */

static void name_address(struct run *run, uint64_t address, struct text *t)
{
	struct ab_symbol symbol = {};

	t->n = 0;
	if (address >> 63 && ab_symbols_kernel(run->symbols, address, &symbol, NULL) == 0)
		text_printf(t, "%s+0x%llx", symbol.name, (unsigned long long)symbol.offset);
	else
		text_printf(t, "0x%llx", (unsigned long long)address);
}

/* A stack map alone does not say whose stacks it holds: kernel addresses get names, user addresses stay numbers. */
static int print_stacks(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err)
{
	struct out *out = &run->cli->out;
	struct entries entries;
	int r = entries_read(map, false, clear, &entries, err);

	if (r == 0 && !run->cli->json)
		print_title(run, map);
	for (size_t i = 0; r == 0 && i < entries.count; i++) {
		_text_ struct text t = {}, name = {};
		struct json j = { &t };
		uint64_t address;

		begin_line(&j, "stack", map);
		json_member_uint(&j, "id", read_counter(entry_key(&entries, i), entries.key_size));
		json_key(&j, "frames");
		json_open(&j, '[');
		if (!run->cli->json)
			out_printf(out, "%llu:\n",
				   (unsigned long long)read_counter(entry_key(&entries, i), entries.key_size));
		for (size_t at = 0; at + 8 <= entries.value_size; at += 8) {
			memcpy(&address, (const char *)entry_value(&entries, i) + at, 8);
			if (!address)
				break;
			name_address(run, address, &name);
			json_strn(&j, name.p ? name.p : "", name.n);
			if (!run->cli->json)
				out_printf(out, "    %s\n", name.p ? name.p : "");
		}
		json_close(&j, ']');
		json_close(&j, '}');
		if (run->cli->json)
			r = cli_print_json(run->cli, &t, err);
	}
	free(entries.data);
	return r;
}

/* ---- all ---- */

static int print_map(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err)
{
	switch (ab_map_kind(map)) {
	case AB_MAP_HIST:
		return print_hist(run, map, clear, err);
	case AB_MAP_STACKS:
		return print_stacks(run, map, clear, err);
	default:
		return print_entries(run, map, clear, err);
	}
}

int run_print_maps(struct run *run, bool clear, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ab_object_map_count(run->object); i++) {
		const struct ab_map *map = ab_object_map(run->object, i);
		bool chosen = is_chosen(run, map);

		/* Stacks are folded at the last look at a map, or at each look that empties it. */
		if (run_wants_flame(run) && (clear || run->ending))
			r = run_add_map_stacks(run, map, clear && !chosen, err);
		if (r >= 0 && chosen)
			r = print_map(run, map, clear, err);
	}
	return r < 0 ? r : 0;
}
