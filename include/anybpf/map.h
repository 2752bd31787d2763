/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Maps of a loaded object: typed by BTF, read and written by bytes or rendered by format.h.
 *
 * Values of per-CPU maps are arrays of ab_map_cpu_count() values, each at a multiple of ab_map_value_stride() bytes; lookups
 * fill ab_map_value_bytes() bytes in all. Threads: any thread may call these on a loaded object.
 */
#ifndef ANYBPF_MAP_H
#define ANYBPF_MAP_H

#include <stdbool.h>
#include <anybpf/object.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_map;
struct ab_format;
struct ab_hist_opts;

enum ab_map_kind {
	AB_MAP_HASH,   /* keys and values, any hash, LRU, LPM or storage type that can be iterated */
	AB_MAP_ARRAY,  /* index and values */
	AB_MAP_HIST,   /* an array of counters tagged as histogram */
	AB_MAP_STACKS, /* stack traces */
	AB_MAP_EVENTS, /* ring buffer or perf buffer */
	AB_MAP_GLOBAL, /* .data, .bss, .rodata and what else libbpf makes for itself */
	AB_MAP_OTHER,  /* queues, program arrays, socket maps, struct_ops… */
};

AB_API size_t ab_object_map_count(const struct ab_object *object);
AB_API struct ab_map *ab_object_map(const struct ab_object *object, size_t index);
/* The map of that name, or NULL. */
AB_API struct ab_map *ab_object_find_map(const struct ab_object *object, const char *name);

AB_API const char *ab_map_name(const struct ab_map *map);
AB_API enum ab_map_kind ab_map_kind(const struct ab_map *map);
AB_API bool ab_map_is_per_cpu(const struct ab_map *map);
/* Tagged AB_SHOW or made by an AB_ histogram macro: what `anybpf run` prints unasked. */
AB_API bool ab_map_is_shown(const struct ab_map *map);
/* Kept by a macro for itself: not shown, unless it is asked for by its name. */
AB_API bool ab_map_is_scratch(const struct ab_map *map);
/* The line of AB_HELP(), or NULL. */
AB_API const char *ab_map_help(const struct ab_map *map);
/* How to draw the counters of an AB_MAP_HIST with ab_hist_text(); *ret_opts belongs to the caller, its unit to the map. */
AB_API void ab_map_hist_opts(const struct ab_map *map, struct ab_hist_opts *ret_opts);
/* The kernel's file descriptor, borrowed; -1 before load. */
AB_API int ab_map_fd(const struct ab_map *map);
AB_API size_t ab_map_key_size(const struct ab_map *map);
AB_API size_t ab_map_value_size(const struct ab_map *map);   /* of one CPU */
AB_API size_t ab_map_value_stride(const struct ab_map *map); /* distance between CPUs' values */
AB_API size_t ab_map_value_bytes(const struct ab_map *map);  /* what a lookup fills */
AB_API size_t ab_map_cpu_count(const struct ab_map *map);    /* 1 for maps that are not per-CPU */
AB_API size_t ab_map_max_entries(const struct ab_map *map);
/* How to render keys and values, or NULL when the object has no BTF type for them. Belong to the map. */
AB_API const struct ab_format *ab_map_key_format(const struct ab_map *map);
AB_API const struct ab_format *ab_map_value_format(const struct ab_map *map);

/* Before load: how many entries the kernel makes room for. Errors: -EBUSY/USAGE after load. */
AB_API int ab_map_set_max_entries(struct ab_map *map, uint32_t max_entries, struct ab_error *err);

/* `value` has ab_map_value_bytes(). Errors: -ENOENT/NOT_FOUND no such key, without logging anything. */
AB_API int ab_map_lookup(const struct ab_map *map, const void *key, void *ret_value, struct ab_error *err);
/* `flags`: BPF_ANY, BPF_NOEXIST, BPF_EXIST. Errors: -EEXIST/BUSY, -ENOENT/NOT_FOUND, -E2BIG/LIMIT the map is full. */
AB_API int ab_map_update(const struct ab_map *map, const void *key, const void *value, uint64_t flags,
			 struct ab_error *err);
AB_API int ab_map_delete(const struct ab_map *map, const void *key, struct ab_error *err);

/*
 * The same for `count` entries, whose keys stand one behind the other, as do their values of ab_map_value_bytes() each: with one
 * system call where the kernel has batches, and with one for each entry elsewhere. The first entry that fails ends it; those before
 * it are done, and *done says how many, also on failure; it may be NULL. Errors: as for one entry. Lookups: ab_map_iterate().
 */
AB_API int ab_map_update_batch(const struct ab_map *map, const void *keys, const void *values, size_t count, uint64_t flags,
			       size_t *done, struct ab_error *err);
AB_API int ab_map_delete_batch(const struct ab_map *map, const void *keys, size_t count, size_t *done, struct ab_error *err);

/*
 * Calls `each` for every entry, in the kernel's order, until it returns non-zero, which is then returned. `value` has
 * ab_map_value_bytes(). Uses batched lookups where the kernel has them. `clear`: the entries seen are deleted (arrays are
 * zeroed). Returns the number of entries. Entries that come or go meanwhile may or may not be seen; none is seen twice in
 * a row.
 */
AB_API int ab_map_iterate(const struct ab_map *map, bool clear,
			  int (*each)(const void *key, const void *value, void *ctx), void *ctx, struct ab_error *err);

/*
 * Adds up the CPUs' values of a per-CPU map into one value of ab_map_value_size(): integer members are summed by their BTF
 * type, everything else is taken from the first CPU that has it non-zero.
 */
AB_API void ab_map_sum_cpus(const struct ab_map *map, const void *value, void *ret_sum);

#ifdef __cplusplus
}
#endif
#endif
