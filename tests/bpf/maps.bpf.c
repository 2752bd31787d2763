/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A map of each kind that readers tell apart. */
#include "test.h"

struct stats {
	u64 packets;
	u32 errors;
	char name[8];
	u8 flags : 3;
	bool seen;
	u64 slots[3];
};

#define MAP(name, kind, K, V, n)        \
	struct {                        \
		__uint(type, kind);     \
		__uint(max_entries, n); \
		__type(key, K);         \
		__type(value, V);       \
	} name SEC(".maps")

MAP(table, 1, u32, u64, 5000) TAG("show") TAG("help=a table");
MAP(array, 2, u32, u32, 100);
MAP(per_cpu, 5, u32, struct stats, 100);
MAP(per_cpu_array, 6, u32, u64, 4);
MAP(recent, 9, u32, u32, 64);
MAP(sizes, 2, u32, u64, 64) TAG("as=log2") TAG("unit=bytes") TAG("show");
MAP(steps, 2, u32, u64, 16) TAG("as=linear:-10:5") TAG("show");
MAP(scratch, 6, u32, u64, 1) TAG("scratch") TAG("show");
struct {
	__uint(type, 7);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 127 * 8);
} stacks SEC(".maps");
struct {
	__uint(type, 22 /* QUEUE */);
	__uint(max_entries, 8);
	__type(value, u32);
} queue SEC(".maps");
u64 global = 7;

SEC("raw_tp/sys_enter")
int f(void *ctx)
{
	u32 key = 0;

	map_lookup(&table, &key);
	map_lookup(&array, &key);
	map_lookup(&per_cpu, &key);
	map_lookup(&per_cpu_array, &key);
	map_lookup(&recent, &key);
	map_lookup(&sizes, &key);
	map_lookup(&steps, &key);
	map_lookup(&scratch, &key);
	global++;
	return get_stackid(ctx, &stacks, 0);
}

LICENSE;
