/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/run/map.c: kinds, tags, entries one by one and all together, sums over CPUs. */
#include "bpf.h"

static struct ab_map *find(struct ab_object *object, const char *name)
{
	struct ab_map *map = ab_object_find_map(object, name);

	if (!map)
		FAIL("no map %s", name);
	return map;
}

static struct ab_object *load_maps(void)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	object = open_object("maps", 0);
	ASSERT_OK(ab_object_load(object, &err), err);
	return object;
}

TEST(tells_kinds_and_tags)
{
	static const struct { const char *name; enum ab_map_kind kind; bool per_cpu, shown; } rows[] = {
		{ "table", AB_MAP_HASH, false, true }, { "array", AB_MAP_ARRAY, false, false },
		{ "per_cpu", AB_MAP_HASH, true, false }, { "per_cpu_array", AB_MAP_ARRAY, true, false },
		{ "recent", AB_MAP_HASH, false, false }, { "sizes", AB_MAP_HIST, false, true },
		{ "steps", AB_MAP_HIST, false, true }, { "scratch", AB_MAP_ARRAY, true, false },
		{ "stacks", AB_MAP_STACKS, false, false }, { "queue", AB_MAP_OTHER, false, false },
	};
	struct ab_object *object = open_object("maps", 0);
	struct ab_hist_opts opts;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ab_map *map = find(object, rows[i].name);

		if (ab_map_kind(map) != rows[i].kind || ab_map_is_per_cpu(map) != rows[i].per_cpu ||
		    ab_map_is_shown(map) != rows[i].shown)
			FAIL("%s: kind %d, per CPU %d, shown %d", rows[i].name, ab_map_kind(map), ab_map_is_per_cpu(map),
			     ab_map_is_shown(map));
		ASSERT_INT(ab_map_fd(map), -1);
	}
	ASSERT_STR(ab_map_help(find(object, "table")), "a table");
	ab_map_hist_opts(find(object, "steps"), &opts);
	ASSERT(opts.linear && !opts.unit);
	ASSERT_INT(opts.base, -10);
	ASSERT_INT(opts.step, 5);
	ab_map_hist_opts(find(object, "sizes"), &opts);
	ASSERT(!opts.linear);
	ASSERT_STR(opts.unit, "bytes");
	ab_object_close(object);
}

TEST(reads_and_writes_entries)
{
	struct ab_object *object = load_maps();
	struct ab_map *table = find(object, "table"), *recent = find(object, "recent");
	uint32_t key = 5, full = 5000;
	uint64_t value = 99, got = 0;
	struct ab_error err = {};

	ASSERT_INT(ab_map_lookup(table, &key, &got, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
	ab_error_clear(&err);
	ASSERT_OK(ab_map_update(table, &key, &value, BPF_NOEXIST, &err), err);
	ASSERT_OK(ab_map_lookup(table, &key, &got, &err), err);
	ASSERT_INT(got, 99);
	ASSERT_INT(ab_map_update(table, &key, &value, BPF_NOEXIST, &err), -EEXIST);
	ASSERT_INT(err.kind, AB_ERROR_BUSY);
	ab_error_clear(&err);
	ASSERT_OK(ab_map_delete(table, &key, &err), err);
	ASSERT_INT(ab_map_delete(table, &key, &err), -ENOENT);
	ab_error_clear(&err);
	for (uint32_t i = 0; i < full; i++)
		ASSERT_OK(ab_map_update(table, &i, &value, BPF_ANY, &err), err);
	ASSERT_INT(ab_map_update(table, &full, &value, BPF_ANY, &err), -E2BIG);
	ASSERT_INT(err.kind, AB_ERROR_LIMIT);
	ab_error_clear(&err);
	ASSERT_INT(ab_map_set_max_entries(recent, 5, &err), -EBUSY);
	ab_object_close(object);
}

TEST(writes_and_deletes_many)
{
	struct ab_object *object = load_maps();
	struct ab_map *table = find(object, "table"), *per_cpu = find(object, "per_cpu_array"), *array = find(object, "array");
	static uint32_t keys[5001];
	static uint64_t values[5001];
	uint64_t got = 0, *cpus = calloc(4, ab_map_value_bytes(per_cpu));
	struct ab_error err = {};
	size_t done = 77;

	for (uint32_t i = 0; i < 5001; i++) {
		keys[i] = i;
		values[i] = i + 3;
	}
	ASSERT_OK(ab_map_update_batch(table, keys, values, 0, BPF_ANY, &done, &err), err);
	ASSERT_INT(done, 0);
	ASSERT_OK(ab_map_update_batch(table, keys, values, 10, BPF_NOEXIST, &done, &err), err); /* a flag that batches refuse */
	ASSERT_INT(ab_map_update_batch(table, keys + 5, values, 10, BPF_NOEXIST, &done, &err), -EEXIST);
	ASSERT_INT(done, 0);
	ab_error_clear(&err);
	ASSERT_INT(ab_map_update_batch(table, keys, values, 5001, BPF_ANY, &done, &err), -E2BIG); /* one too many */
	ASSERT_INT(err.kind, AB_ERROR_LIMIT);
	ASSERT_INT(done, 5000);
	ab_error_clear(&err);
	ASSERT_OK(ab_map_lookup(table, &keys[4999], &got, &err), err);
	ASSERT_INT(got, 5002);
	ASSERT_OK(ab_map_delete_batch(table, keys, 4000, NULL, &err), err);
	keys[4500] = 3;
	ASSERT_INT(ab_map_delete_batch(table, keys + 4000, 1000, &done, &err), -ENOENT);
	ASSERT_INT(done, 500);
	ab_error_clear(&err);
	ASSERT_INT(ab_map_delete_batch(array, keys, 1, &done, &err) < 0, 1);
	ASSERT_INT(done, 0);
	ab_error_clear(&err);
	for (size_t i = 0; i < 4 * ab_map_cpu_count(per_cpu); i++)
		cpus[i] = i;
	ASSERT_OK(ab_map_update_batch(per_cpu, keys, cpus, 4, BPF_ANY, &done, &err), err);
	memset(cpus, 0xff, ab_map_value_bytes(per_cpu));
	ASSERT_OK(ab_map_lookup(per_cpu, &keys[3], cpus, &err), err);
	ASSERT_INT(cpus[0], 3 * ab_map_cpu_count(per_cpu));
	free(cpus);
	ab_object_close(object);
}

static int add_up(const void *key, const void *value, void *ctx)
{
	((uint64_t *)ctx)[0] += *(const uint32_t *)key;
	((uint64_t *)ctx)[1] += *(const uint64_t *)value;
	return 0;
}

static int stop_at_three(const void *key, const void *value, void *ctx)
{
	return ++*(int *)ctx == 3 ? 42 : 0;
}

TEST(iterates_all_and_clears)
{
	struct ab_object *object = load_maps();
	struct ab_map *table = find(object, "table"), *sizes = find(object, "sizes");
	uint64_t sums[2] = {}, value;
	struct ab_error err = {};
	int seen = 0;

	for (uint32_t i = 0; i < 5000; i++) {
		value = i * 2;
		ASSERT_OK(ab_map_update(table, &i, &value, BPF_ANY, &err), err);
	}
	ASSERT_INT(ab_map_iterate(table, false, add_up, sums, &err), 5000);
	ASSERT_INT(sums[0], 5000 * 4999 / 2);
	ASSERT_INT(sums[1], 5000 * 4999);
	ASSERT_INT(ab_map_iterate(table, false, stop_at_three, &seen, &err), 42);
	ASSERT_INT(seen, 3);
	memset(sums, 0, sizeof(sums));
	ASSERT_INT(ab_map_iterate(table, true, add_up, sums, &err), 5000);
	ASSERT_INT(sums[0], 5000 * 4999 / 2);
	ASSERT_INT(ab_map_iterate(table, false, add_up, sums, &err), 0);
	for (uint32_t i = 0; i < 64; i++) {
		value = 3;
		ASSERT_OK(ab_map_update(sizes, &i, &value, BPF_ANY, &err), err);
	}
	memset(sums, 0, sizeof(sums));
	ASSERT_INT(ab_map_iterate(sizes, true, add_up, sums, &err), 64);
	ASSERT_INT(sums[1], 192);
	memset(sums, 0, sizeof(sums));
	ASSERT_INT(ab_map_iterate(sizes, false, add_up, sums, &err), 64);
	ASSERT_INT(sums[1], 0);
	ASSERT(ab_map_iterate(find(object, "queue"), false, add_up, sums, &err) < 0);
	ab_object_close(object);
}

struct stats {
	uint64_t packets;
	uint32_t errors;
	char name[8];
	uint8_t flags : 3;
	bool seen;
	uint64_t slots[3];
};

TEST(sums_cpus_by_type)
{
	struct ab_object *object = load_maps();
	struct ab_map *map = find(object, "per_cpu");
	size_t stride = ab_map_value_stride(map), cpus = ab_map_cpu_count(map);
	uint8_t *values = calloc(1, ab_map_value_bytes(map)), *got = calloc(1, ab_map_value_bytes(map));
	struct ab_error err = {};
	struct stats sum;
	uint32_t key = 1;

	ASSERT_INT(ab_map_value_size(map), sizeof(struct stats));
	ASSERT_INT(stride, (sizeof(struct stats) + 7) / 8 * 8);
	ASSERT_INT(ab_map_value_bytes(map), stride * cpus);
	for (size_t cpu = 0; cpu < cpus; cpu++) {
		struct stats s = { .packets = 10, .errors = 1, .slots = { 1, 0, cpu } };

		if (cpu == cpus - 1)
			s.flags = 5, s.seen = true, strcpy(s.name, "last");
		memcpy(values + cpu * stride, &s, sizeof(s));
	}
	ASSERT_OK(ab_map_update(map, &key, values, BPF_ANY, &err), err);
	ASSERT_OK(ab_map_lookup(map, &key, got, &err), err);
	ab_map_sum_cpus(map, got, &sum);
	ASSERT_INT(sum.packets, 10 * cpus);
	ASSERT_INT(sum.errors, cpus);
	ASSERT_STR(sum.name, "last");
	ASSERT_INT(sum.flags, 5);
	ASSERT(sum.seen);
	ASSERT_INT(sum.slots[0], cpus);
	ASSERT_INT(sum.slots[2], cpus * (cpus - 1) / 2);
	free(values);
	free(got);
	ab_object_close(object);
}

TEST(sizes_are_set_before_load)
{
	struct ab_object *object;
	struct ab_error err = {};
	uint32_t key = 1;
	uint64_t value = 1;

	need_bpf();
	object = open_object("maps", 0);
	ASSERT_INT(ab_map_set_max_entries(find(object, "table"), 0, &err), -EINVAL);
	ab_error_clear(&err);
	ASSERT_OK(ab_map_set_max_entries(find(object, "table"), 1, &err), err);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_INT(ab_map_max_entries(find(object, "table")), 1);
	ASSERT_OK(ab_map_update(find(object, "table"), &key, &value, BPF_ANY, &err), err);
	key = 2;
	ASSERT_INT(ab_map_update(find(object, "table"), &key, &value, BPF_ANY, &err), -E2BIG);
	ab_object_close(object);
}

TEST(formats_come_from_types)
{
	struct ab_object *object = open_object("maps", 0);
	char buf[256];
	uint64_t value = 77;

	ASSERT(ab_map_value_format(find(object, "table")));
	ab_format_json(ab_map_value_format(find(object, "table")), &value, sizeof(value), buf, sizeof(buf));
	ASSERT_STR(buf, "77");
	ASSERT_STR(ab_format_type(ab_map_value_format(find(object, "per_cpu"))), "struct stats");
	ASSERT(!ab_map_key_format(find(object, "stacks")));
	ab_object_close(object);
}
