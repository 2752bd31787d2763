/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Stacks of events (one each) and of maps with stacks in their keys (weighted by the value), as flame graph or folded.
 */
#include "run.h"

bool run_wants_flame(const struct run *run)
{
	return run->flame != NULL;
}

/* Finding out at the end of a long run that the file cannot be written would be late. */
static int check_writable(const char *path, struct ab_error *err)
{
	return path && strcmp(path, "-") ? file_writable(path, err) : 0;
}

int run_open_flame(struct run *run, struct ab_error *err)
{
	int r;

	if (!run->opts->flamegraph && !run->opts->folded)
		return 0;
	if (!run_has_stacks(run))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s' is about stacks, and '%s' has no map of them",
			       run->opts->flamegraph ? "flamegraph" : "folded", ab_object_name(run->object));
	r = check_writable(run->opts->flamegraph, err);
	if (r == 0)
		r = check_writable(run->opts->folded, err);
	return r < 0 ? r : ab_flame_new(&run->flame, err);
}

#define FRAMES_MAX 512

struct frames {
	char *names[FRAMES_MAX];
	size_t count;
};

/* Kernel frames carry the suffix by which flame graphs tell them apart (docs/stacks.md). */
static int take_frame(const char *name, bool kernel, void *ctx)
{
	struct frames *frames = ctx;

	if (frames->count == FRAMES_MAX)
		return 1;
	if (asprintf(&frames->names[frames->count], "%s%s", name, kernel ? "_[k]" : "") < 0)
		return -ENOMEM;
	frames->count++;
	return 0;
}

int run_add_stack(struct run *run, const struct ab_format *format, const void *data, size_t size, uint64_t weight,
		  struct ab_error *err)
{
	struct frames frames = {};
	int r = ab_format_frames(format, data, size, take_frame, &frames);

	if (r < 0)
		r = ab_fail_errno(err, r, "stacks");
	else if (frames.count)
		r = ab_flame_add(run->flame, (const char *const *)frames.names, frames.count, weight, err);
	for (size_t i = 0; i < frames.count; i++)
		free(frames.names[i]);
	return r < 0 ? r : frames.count > 0;
}

/* ---- maps ---- */

struct adder {
	struct run *run;
	const struct ab_map *map;
	void *sum;
	struct ab_error *err;
	size_t found;
};

/* A number, or the first number among a struct's members, as JSON has it. */
static bool value_weight(const struct ab_map *map, const void *value, uint64_t *ret_weight)
{
	const struct ab_format *format = ab_map_value_format(map);
	char text[256], *p = text, *end;

	if (!format)
		return false;
	ab_format_json(format, value, ab_map_value_size(map), text, sizeof(text));
	while (*p == '{' || *p == '"') {
		p = strstr(p, "\":");
		if (!p)
			return false;
		p += 2;
	}
	*ret_weight = strtoull(p, &end, 10);
	return end != p && *p != '-';
}

static int add_entry(const void *key, const void *value, void *ctx)
{
	struct adder *adder = ctx;
	uint64_t weight;
	int r;

	if (ab_map_is_per_cpu(adder->map)) {
		ab_map_sum_cpus(adder->map, value, adder->sum);
		value = adder->sum;
	}
	if (!value_weight(adder->map, value, &weight))
		return 0;
	r = run_add_stack(adder->run, ab_map_key_format(adder->map), key, ab_map_key_size(adder->map), weight,
			  adder->err);
	adder->found += r > 0;
	return r < 0 ? r : 0;
}

int run_add_map_stacks(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err)
{
	struct adder adder = { .run = run, .map = map, .err = err };
	int r;

	if (ab_map_kind(map) != AB_MAP_HASH || !ab_map_key_format(map))
		return 0;
	adder.sum = calloc(1, ab_map_value_size(map));
	if (!adder.sum)
		return ab_fail_memory(err);
	r = ab_map_iterate(map, clear, add_entry, &adder, err);
	free(adder.sum);
	return r < 0 ? r : adder.found > 0;
}

/* The first user frame makes the symbolizer read the process's mappings; more is not needed now. */
static int stop_at_user_frame(const char *name, bool kernel, void *ctx)
{
	int *seen = ctx;

	return ++*seen > 1;
}

static int remember_entry(const void *key, const void *value, void *ctx)
{
	struct ab_map *map = ctx;
	int seen = 0;

	ab_format_frames(ab_map_key_format(map), key, ab_map_key_size(map), stop_at_user_frame, &seen);
	return seen == 0;
}

bool run_has_stacks(const struct run *run)
{
	for (size_t i = 0; i < ab_object_map_count(run->object); i++)
		if (ab_map_kind(ab_object_map(run->object, i)) == AB_MAP_STACKS)
			return true;
	return false;
}

void run_remember_stacks(struct run *run)
{
	for (size_t i = 0; run->has_stacks && i < ab_object_map_count(run->object); i++) {
		struct ab_map *map = ab_object_map(run->object, i);

		if (ab_map_kind(map) == AB_MAP_HASH && ab_map_key_format(map))
			ab_map_iterate(map, false, remember_entry, map, NULL);
	}
}

/* ---- files ---- */

static int write_out(struct run *run, const char *path, bool svg, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&data, &size);
	int r;

	if (!f)
		return ab_fail_memory(err);
	if (svg)
		r = ab_flame_write_svg(run->flame, ab_object_name(run->object), f, err);
	else
		r = ab_flame_write_folded(run->flame, f, err);
	if (fclose(f) != 0 && r >= 0)
		r = ab_fail_memory(err);
	return r < 0 ? r : cli_write(run->cli, path, data, size, 0644, err);
}

int run_write_flame(struct run *run, struct ab_error *err)
{
	int r = 0;

	if (run->opts->folded)
		r = write_out(run, run->opts->folded, false, err);
	if (r >= 0 && run->opts->flamegraph)
		r = write_out(run, run->opts->flamegraph, true, err);
	return r;
}
