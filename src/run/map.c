/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Maps of an object: what they are by type and tag, and reading and writing them. */
#include <run/format.h>
#include <unistd.h>
#include "run.h"

#define BATCH 512
#define KERNEL_ENOTSUPP 524 /* what the kernel says where a map has no batches; not for user space, but it leaks */

/* ---- the list ---- */

int ab_maps_find(struct ab_object *object, struct ab_error *err)
{
	struct bpf_map *bpf;
	size_t n = 0;

	bpf_object__for_each_map(bpf, object->bpf)
		n++;
	object->maps = array_new(n, sizeof(*object->maps));
	if (!object->maps)
		return ab_fail_memory(err);
	bpf_object__for_each_map(bpf, object->bpf) {
		struct ab_map *map = &object->maps[object->map_count++];

		map->object = object;
		map->bpf = bpf;
		map->key_type = bpf_map__btf_key_type_id(bpf);
		map->value_type = bpf_map__btf_value_type_id(bpf);
		map->var = ab_btf_find(object->btf, bpf_map__name(bpf), BTF_KIND_VAR);
	}
	return 0;
}

void ab_maps_free(struct ab_object *object)
{
	for (size_t i = 0; i < object->map_count; i++) {
		ab_format_free(object->maps[i].key_format);
		ab_format_free(object->maps[i].value_format);
		ab_format_free(object->maps[i].event_format);
		free(object->maps[i].event_type);
	}
	free(object->maps);
}

size_t ab_object_map_count(const struct ab_object *object)
{
	return object->map_count;
}

struct ab_map *ab_object_map(const struct ab_object *object, size_t index)
{
	return index < object->map_count ? &object->maps[index] : NULL;
}

struct ab_map *ab_object_find_map(const struct ab_object *object, const char *name)
{
	for (size_t i = 0; i < object->map_count; i++)
		if (!strcmp(bpf_map__name(object->maps[i].bpf), name))
			return &object->maps[i];
	return NULL;
}

/* ---- what a map is ---- */

const char *ab_map_tag(const struct ab_map *map, const char *word)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "anybpf:%s", word);
	return map->var ? ab_btf_tag(map->object->btf, map->var, -1, prefix, 0) : NULL;
}

const char *ab_map_name(const struct ab_map *map)
{
	return bpf_map__name(map->bpf);
}

static bool is_histogram(const struct ab_map *map)
{
	const char *as = ab_map_tag(map, "as=");

	return as && (!strcmp(as, "log2") || !strcmp(as, "log10") || str_starts(as, "linear"));
}

enum ab_map_kind ab_map_kind(const struct ab_map *map)
{
	if (bpf_map__is_internal(map->bpf))
		return AB_MAP_GLOBAL;
	switch (bpf_map__type(map->bpf)) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE: return AB_MAP_HASH;
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return is_histogram(map) ? AB_MAP_HIST : AB_MAP_ARRAY;
	case BPF_MAP_TYPE_STACK_TRACE: return AB_MAP_STACKS;
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY: return AB_MAP_EVENTS;
	default: return AB_MAP_OTHER;
	}
}

bool ab_map_is_per_cpu(const struct ab_map *map)
{
	switch (bpf_map__type(map->bpf)) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return true;
	default: return false;
	}
}

bool ab_map_is_scratch(const struct ab_map *map)
{
	return ab_map_tag(map, "scratch") != NULL;
}

bool ab_map_is_shown(const struct ab_map *map)
{
	return !ab_map_is_scratch(map) && (ab_map_tag(map, "show") || ab_map_kind(map) == AB_MAP_HIST);
}

const char *ab_map_help(const struct ab_map *map)
{
	return ab_map_tag(map, "help=");
}

void ab_map_hist_opts(const struct ab_map *map, struct ab_hist_opts *ret_opts)
{
	const char *as = ab_map_tag(map, "as=");
	unsigned long long base = 0, step = 1;

	*ret_opts = (struct ab_hist_opts){ .sz = sizeof(*ret_opts), .unit = ab_map_tag(map, "unit=") };
	ret_opts->log10 = as && !strcmp(as, "log10");
	ret_opts->log10 = as && !strcmp(as, "log10");
	if (!as || !str_starts(as, "linear"))
		return;
	sscanf(as, "linear:%lli:%lli", (long long *)&base, (long long *)&step);
	ret_opts->linear = true;
	ret_opts->base = base;
	ret_opts->step = step ? step : 1;
}

int ab_map_fd(const struct ab_map *map)
{
	int fd = map->object->loaded ? bpf_map__fd(map->bpf) : -1;

	return fd < 0 ? -1 : fd;
}

size_t ab_map_key_size(const struct ab_map *map)
{
	return bpf_map__key_size(map->bpf);
}

size_t ab_map_value_size(const struct ab_map *map)
{
	return bpf_map__value_size(map->bpf);
}

size_t ab_map_value_stride(const struct ab_map *map)
{
	size_t size = ab_map_value_size(map);

	return ab_map_is_per_cpu(map) ? (size + 7) / 8 * 8 : size;
}

size_t ab_map_cpu_count(const struct ab_map *map)
{
	int n = ab_map_is_per_cpu(map) ? libbpf_num_possible_cpus() : 1;

	return n > 0 ? (size_t)n : 1;
}

size_t ab_map_value_bytes(const struct ab_map *map)
{
	return ab_map_value_stride(map) * ab_map_cpu_count(map);
}

size_t ab_map_max_entries(const struct ab_map *map)
{
	return map->max_entries ? map->max_entries : bpf_map__max_entries(map->bpf);
}

/* A format is made when it is first asked for: most maps are never printed. One that cannot be made leaves bytes. */
static const struct ab_format *find_format(const struct ab_map *map, struct ab_format *const *slot, uint32_t type,
					   const char *words, const char *unit)
{
	static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
	struct ab_format *format = NULL;

	if (!type)
		return NULL;
	pthread_mutex_lock(&making);
	if (!*slot && !ab_format_make(map->object, map->object->btf, type, words, unit, &format, NULL))
		*(struct ab_format **)slot = format;
	pthread_mutex_unlock(&making);
	return *slot;
}

const struct ab_format *ab_map_key_format(const struct ab_map *map)
{
	return find_format(map, &map->key_format, map->key_type, NULL, NULL);
}

/* The slots of a histogram are counters; what its tag says is about all of them together. */
const struct ab_format *ab_map_value_format(const struct ab_map *map)
{
	return find_format(map, &map->value_format, map->value_type,
			   ab_map_kind(map) == AB_MAP_HIST ? NULL : ab_map_tag(map, "as="),
			   ab_map_kind(map) == AB_MAP_HIST ? NULL : ab_map_tag(map, "unit="));
}

int ab_map_set_max_entries(struct ab_map *map, uint32_t max_entries, struct ab_error *err)
{
	if (map->object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EBUSY, "map '%s' is made already", ab_map_name(map));
	if (!max_entries)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "map '%s' needs room for one entry at least",
			       ab_map_name(map));
	map->max_entries = max_entries;
	return 0;
}

/* ---- one entry ---- */

static int fail_map(const struct ab_map *map, int code, const char *what, struct ab_error *err)
{
	const char *name = ab_map_name(map);

	switch (code) {
	case -ENOENT:
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "map '%s' has no such key", name);
	case -EEXIST:
		return ab_fail(err, AB_ERROR_BUSY, code, "map '%s' has that key already", name);
	case -E2BIG:
		return ab_fail(err, AB_ERROR_LIMIT, code, "map '%s' is full or the key is out of range", name);
	case -EBADF:
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "map '%s' is not loaded", name);
	case -KERNEL_ENOTSUPP:
	case -EOPNOTSUPP:
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "map '%s' cannot be %s", name, what);
	default:
		return ab_fail_errno(err, code, "map '%s' cannot be %s", name, what);
	}
}

int ab_map_lookup(const struct ab_map *map, const void *key, void *ret_value, struct ab_error *err)
{
	return bpf_map_lookup_elem(ab_map_fd(map), key, ret_value) < 0 ? fail_map(map, -errno, "read", err) : 0;
}

int ab_map_update(const struct ab_map *map, const void *key, const void *value, uint64_t flags, struct ab_error *err)
{
	return bpf_map_update_elem(ab_map_fd(map), key, value, flags) < 0 ? fail_map(map, -errno, "written", err) : 0;
}

int ab_map_delete(const struct ab_map *map, const void *key, struct ab_error *err)
{
	return bpf_map_delete_elem(ab_map_fd(map), key) < 0 ? fail_map(map, -errno, "deleted from", err) : 0;
}

/* ---- many entries ---- */

/* How many entries the kernel's batches did; that of a failing call is as it was given if it failed before the first. */
static size_t write_batches(const struct ab_map *map, const uint8_t *keys, const uint8_t *values, size_t count, uint64_t flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	size_t key_size = ab_map_key_size(map), bytes = ab_map_value_bytes(map), at = 0;
	int fd = ab_map_fd(map), r = 0;

	while (!r && at < count) {
		uint32_t wanted = (uint32_t)MIN(count - at, (size_t)1 << 20), n = wanted;

		r = values ? bpf_map_update_batch(fd, keys + at * key_size, values + at * bytes, &n, &opts) :
			     bpf_map_delete_batch(fd, keys + at * key_size, &n, &opts);
		if (!r || n < wanted)
			at += r ? n : wanted;
	}
	return at;
}

/* What batches leave is done one by one: by kernels without them, with flags that they refuse, and to hear why an entry fails. */
static int write_entries(const struct ab_map *map, const uint8_t *keys, const uint8_t *values, size_t count, uint64_t flags,
			 size_t *done, struct ab_error *err)
{
	size_t key_size = ab_map_key_size(map), bytes = ab_map_value_bytes(map);
	size_t at = ab_map_fd(map) < 0 ? 0 : write_batches(map, keys, values, count, flags);
	int r = 0;

	for (; at < count; at++) {
		const uint8_t *key = keys + at * key_size;

		r = values ? ab_map_update(map, key, values + at * bytes, flags, err) : ab_map_delete(map, key, err);
		if (r < 0)
			break;
	}
	if (done)
		*done = at;
	return r;
}

int ab_map_update_batch(const struct ab_map *map, const void *keys, const void *values, size_t count, uint64_t flags, size_t *done,
			struct ab_error *err)
{
	return write_entries(map, keys, values, count, flags, done, err);
}

int ab_map_delete_batch(const struct ab_map *map, const void *keys, size_t count, size_t *done, struct ab_error *err)
{
	return write_entries(map, keys, NULL, count, 0, done, err);
}

/* ---- all entries ---- */

struct walk {
	const struct ab_map *map;
	bool clear, is_array;
	int (*each)(const void *key, const void *value, void *ctx);
	void *ctx;
	uint8_t *keys, *values, *zero; /* room for `room` entries; zero: one value of zeros, for arrays that are cleared */
	uint32_t room;
	int count;
};

static int give(struct walk *w, uint32_t n)
{
	size_t key_size = ab_map_key_size(w->map), bytes = ab_map_value_bytes(w->map);
	int r = 0;

	for (uint32_t i = 0; !r && i < n; i++) {
		w->count++;
		r = w->each(w->keys + i * key_size, w->values + i * bytes, w->ctx);
	}
	return r;
}

static int make_room(struct walk *w, uint32_t room)
{
	size_t key_size = ab_map_key_size(w->map), bytes = ab_map_value_bytes(w->map);

	free(w->keys);
	free(w->values);
	w->keys = array_new(room, key_size);
	w->values = array_new(room, bytes);
	w->room = room;
	return w->keys && w->values ? 0 : -ENOMEM;
}

/* Deletes or zeroes the first `n` entries that were read. */
static void clear_entries(struct walk *w, uint32_t n)
{
	size_t key_size = ab_map_key_size(w->map);
	int fd = ab_map_fd(w->map);

	for (uint32_t i = 0; i < n; i++) {
		const void *key = w->keys + i * key_size;

		if (w->is_array)
			bpf_map_update_elem(fd, key, w->zero, BPF_ANY);
		else
			bpf_map_delete_elem(fd, key);
	}
}

/*
 * -EOPNOTSUPP when the kernel has no batches for such maps, before any entry was given. Hash tables hand out whole buckets: when
 * one has more entries than there is room for, more room is made and the same place asked again.
 */
static int walk_batches(struct walk *w)
{
	bool take = w->clear && !w->is_array;
	int fd = ab_map_fd(w->map), r, said;
	_free_ uint8_t *place = calloc(1, MAX(ab_map_key_size(w->map), sizeof(uint64_t)));
	bool first = true;
	uint32_t n;

	if (!place)
		return -ENOMEM;
	for (;;) {
		n = w->room;
		r = take ? bpf_map_lookup_and_delete_batch(fd, first ? NULL : place, place, w->keys, w->values, &n, NULL) :
			   bpf_map_lookup_batch(fd, first ? NULL : place, place, w->keys, w->values, &n, NULL);
		said = r < 0 ? errno : 0;
		if (said == ENOSPC && w->room < (1u << 24)) {
			r = make_room(w, w->room * 2);
			if (r < 0)
				return r;
			continue;
		}
		if (said && said != ENOENT)
			return first && (said == EINVAL || said == KERNEL_ENOTSUPP || said == EOPNOTSUPP) ? -EOPNOTSUPP : -said;
		if (w->clear && !take)
			clear_entries(w, n);
		r = give(w, n);
		if (r || said == ENOENT)
			return r;
		first = false;
	}
}

/* All keys first: deleting while going on from a key would start again from the first. */
static int collect_keys(struct walk *w, uint8_t **ret_keys, uint32_t *ret_count)
{
	size_t key_size = ab_map_key_size(w->map), cap = 64, limit = ab_map_max_entries(w->map);
	uint8_t *keys = array_new(cap, key_size), *more;
	int fd = ab_map_fd(w->map);
	size_t n = 0;

	while (keys && n < limit && !bpf_map_get_next_key(fd, n ? keys + (n - 1) * key_size : NULL, keys + n * key_size)) {
		if (++n < cap)
			continue;
		more = reallocarray(keys, cap *= 2, key_size);
		if (!more)
			free(keys);
		keys = more;
	}
	if (!keys)
		return -ENOMEM;
	if (n < limit && errno != ENOENT) {
		free(keys);
		return -errno;
	}
	*ret_keys = keys;
	*ret_count = (uint32_t)n;
	return 0;
}

static int walk_keys(struct walk *w)
{
	size_t key_size = ab_map_key_size(w->map);
	int fd = ab_map_fd(w->map), r;
	_free_ uint8_t *keys = NULL;
	uint32_t n = 0;

	r = collect_keys(w, &keys, &n);
	for (uint32_t i = 0; !r && i < n; i++) {
		memcpy(w->keys, keys + i * key_size, key_size);
		if (bpf_map_lookup_elem(fd, w->keys, w->values) < 0) {
			if (errno != ENOENT)
				r = -errno;
			continue; /* gone meanwhile */
		}
		if (w->clear)
			clear_entries(w, 1);
		r = give(w, 1);
	}
	return r;
}

int ab_map_iterate(const struct ab_map *map, bool clear, int (*each)(const void *key, const void *value, void *ctx),
		   void *ctx, struct ab_error *err)
{
	enum ab_map_kind kind = ab_map_kind(map);
	struct walk w = { .map = map, .clear = clear, .each = each, .ctx = ctx };
	int r;

	if (ab_map_fd(map) < 0)
		return fail_map(map, -EBADF, "read", err);
	w.is_array = kind == AB_MAP_ARRAY || kind == AB_MAP_HIST || kind == AB_MAP_GLOBAL;
	w.zero = calloc(1, ab_map_value_bytes(map));
	r = w.zero ? make_room(&w, (uint32_t)MIN(ab_map_max_entries(map) ?: 1, (size_t)BATCH)) : -ENOMEM;
	if (!r)
		r = walk_batches(&w);
	if (r == -EOPNOTSUPP && !w.count)
		r = walk_keys(&w);
	free(w.keys);
	free(w.values);
	free(w.zero);
	if (r < 0)
		return fail_map(map, r, "read", err);
	return r ? r : w.count;
}

/* ---- sums over CPUs ---- */

struct sum {
	const struct ab_btf *btf;
	const uint8_t *values;
	uint8_t *out;
	size_t stride, cpus;
};

static void take_first(const struct sum *s, size_t offset, size_t size)
{
	for (size_t cpu = 0; cpu < s->cpus; cpu++) {
		const uint8_t *p = s->values + cpu * s->stride + offset;

		for (size_t i = 0; i < size; i++) {
			if (!p[i])
				continue;
			memcpy(s->out + offset, p, size);
			return;
		}
	}
}

/* Bit `i` in memory order, which is from the top of a byte where the machine is big-endian. */
static uint8_t bit_mask(size_t i)
{
	return (uint8_t)(1 << (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 7 - i % 8 : i % 8));
}

static void take_first_bits(const struct sum *s, size_t offset, uint32_t bits)
{
	bool found = false;

	for (size_t cpu = 0; cpu < s->cpus && !found; cpu++) {
		const uint8_t *p = s->values + cpu * s->stride;

		for (size_t i = offset; i < offset + bits; i++) {
			if (!(p[i / 8] & bit_mask(i)))
				continue;
			s->out[i / 8] |= bit_mask(i);
			found = true;
		}
	}
}

static void add_integers(const struct sum *s, size_t offset, size_t size)
{
	uint64_t total = 0, one;
	size_t shift = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 - size : 0;

	for (size_t cpu = 0; cpu < s->cpus; cpu++) {
		one = 0;
		memcpy((uint8_t *)&one + shift, s->values + cpu * s->stride + offset, size);
		total += one;
	}
	memcpy(s->out + offset, (uint8_t *)&total + shift, size);
}

static bool is_number(const struct ab_btf *btf, const struct btf_type *t)
{
	uint32_t encoding;

	if (ab_btf_kind(t) != BTF_KIND_INT || (t->size != 1 && t->size != 2 && t->size != 4 && t->size != 8))
		return false;
	encoding = BTF_INT_ENCODING(*(const uint32_t *)ab_btf_data(t));
	return !(encoding & (BTF_INT_BOOL | BTF_INT_CHAR)) && strcmp(ab_btf_name(btf, t), "char");
}

static void sum_type(const struct sum *s, uint32_t id, size_t offset, size_t room, int depth)
{
	const struct btf_type *t = ab_btf_type(s->btf, ab_btf_resolve(s->btf, id));
	size_t size = ab_btf_size(s->btf, id);

	if (!size || size > room)
		return;
	if (is_number(s->btf, t)) {
		add_integers(s, offset, size);
	} else if (ab_btf_kind(t) == BTF_KIND_STRUCT && depth < 32) {
		const struct btf_member *m = ab_btf_data(t);

		for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
			uint32_t at = ab_btf_member_offset(t, i), bits = ab_btf_member_bits(t, i);

			if (bits && at / 8 < size && bits <= (size - at / 8) * 8 - at % 8)
				take_first_bits(s, offset * 8 + at, bits);
			else if (!bits && at / 8 < size)
				sum_type(s, m[i].type, offset + at / 8, size - at / 8, depth + 1);
		}
	} else if (ab_btf_kind(t) == BTF_KIND_ARRAY && depth < 32) {
		const struct btf_array *a = ab_btf_data(t);
		size_t step = ab_btf_size(s->btf, a->type);

		if (step == 1 && !is_number(s->btf, ab_btf_type(s->btf, ab_btf_resolve(s->btf, a->type))))
			take_first(s, offset, size); /* text is one value */
		else
			for (size_t at = 0; step && at + step <= size; at += step)
				sum_type(s, a->type, offset + at, step, depth + 1);
	} else {
		take_first(s, offset, size);
	}
}

void ab_map_sum_cpus(const struct ab_map *map, const void *value, void *ret_sum)
{
	struct sum s = { .btf = map->object->btf, .values = value, .out = ret_sum,
			 .stride = ab_map_value_stride(map), .cpus = ab_map_cpu_count(map) };
	size_t size = ab_map_value_size(map);

	memset(ret_sum, 0, size);
	if (s.cpus == 1)
		memcpy(ret_sum, value, size);
	else if (map->value_type)
		sum_type(&s, map->value_type, 0, size, 0);
	else if (size == 4 || size == 8)
		add_integers(&s, 0, size);
	else
		take_first(&s, 0, size);
}
