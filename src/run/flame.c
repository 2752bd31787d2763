/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Weighted stacks merged into a tree, and the folded text form that other tools read. */
#include "flame.h"

/* Kernels cut stacks at 127 frames by default and 1024 at most. */
#define FRAMES_MAX 4096

AB_API int ab_flame_new(struct ab_flame **ret_flame, struct ab_error *err)
{
	struct ab_flame *flame = calloc(1, sizeof(*flame));

	if (!flame)
		return ab_fail_memory(err);
	flame->cap = 64;
	flame->nodes = array_new(flame->cap, sizeof(*flame->nodes));
	flame->slots_n = 128;
	flame->slots = array_new(flame->slots_n, sizeof(*flame->slots));
	if (!flame->nodes || !flame->slots) {
		ab_flame_free(flame);
		return ab_fail_memory(err);
	}
	flame->n = 1;
	flame->nodes[0].name = "";
	*ret_flame = flame;
	return 0;
}

AB_API void ab_flame_free(struct ab_flame *flame)
{
	if (!flame)
		return;
	free(flame->nodes);
	free(flame->slots);
	strmap_clear(&flame->names);
	free(flame);
}

static uint32_t *find_slot(uint32_t *slots, size_t slots_n, const struct ab_flame_node *nodes, uint32_t parent, const char *name)
{
	uint64_t hash = ((uint64_t)parent << 32 ^ (uintptr_t)name) * 0x9e3779b97f4a7c15ull;

	for (size_t i = hash >> 32;; i++) {
		uint32_t *slot = &slots[i & (slots_n - 1)];

		if (!*slot || (nodes[*slot].parent == parent && nodes[*slot].name == name))
			return slot;
	}
}

/* Makes room for one more node in both arrays. */
static bool grow(struct ab_flame *flame)
{
	if (flame->n == flame->cap) {
		size_t cap = flame->cap * 2;
		struct ab_flame_node *nodes = cap < UINT32_MAX / 2 ? realloc(flame->nodes, cap * sizeof(*nodes)) : NULL;

		if (!nodes)
			return false;
		flame->nodes = nodes;
		flame->cap = cap;
	}
	if (flame->n * 2 > flame->slots_n) {
		size_t slots_n = flame->slots_n * 2;
		uint32_t *slots = array_new(slots_n, sizeof(*slots));

		if (!slots)
			return false;
		for (uint32_t i = 1; i < flame->n; i++)
			*find_slot(slots, slots_n, flame->nodes, flame->nodes[i].parent, flame->nodes[i].name) = i;
		free(flame->slots);
		flame->slots = slots;
		flame->slots_n = slots_n;
	}
	return true;
}

/* The child of that name, made if needed; 0: no memory. */
static uint32_t get_child(struct ab_flame *flame, uint32_t parent, const char *name)
{
	struct strmap_entry *entry = strmap_put(&flame->names, name, strlen(name), NULL);
	uint32_t *slot;

	if (!entry || !grow(flame))
		return 0;
	slot = find_slot(flame->slots, flame->slots_n, flame->nodes, parent, entry->key);
	if (!*slot) {
		*slot = flame->n++;
		flame->nodes[*slot] = (struct ab_flame_node){
			.parent = parent, .depth = flame->nodes[parent].depth + 1, .name = entry->key,
		};
	}
	return *slot;
}

AB_API int ab_flame_add(struct ab_flame *flame, const char *const *frames, size_t count, uint64_t weight, struct ab_error *err)
{
	uint32_t node = 0;

	if (count > FRAMES_MAX)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "a stack of %zu frames is deeper than %d", count, FRAMES_MAX);
	if (weight > UINT64_MAX - flame->nodes[0].total)
		return ab_fail(err, AB_ERROR_LIMIT, -EOVERFLOW, "the weights of all stacks together exceed 64 bits");
	if (!count || !weight)
		return 0;
	/* First all the memory, then the weights, so that a failure leaves the sums right. */
	for (size_t i = 0; i < count; i++) {
		node = get_child(flame, node, frames[i] && *frames[i] ? frames[i] : "[unknown]");
		if (!node)
			return ab_fail_memory(err);
	}
	flame->nodes[node].self += weight;
	for (;; node = flame->nodes[node].parent) {
		flame->nodes[node].total += weight;
		if (!node)
			return 0;
	}
}

static int compare_nodes(const void *pa, const void *pb, void *ctx)
{
	const struct ab_flame_node *nodes = ctx, *a = &nodes[*(const uint32_t *)pa], *b = &nodes[*(const uint32_t *)pb];

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	return strcmp(a->name, b->name);
}

uint32_t *ab_flame_order(const struct ab_flame *flame)
{
	uint32_t *order = array_new(flame->n, sizeof(*order));

	if (!order)
		return NULL;
	for (uint32_t i = 1; i < flame->n; i++)
		order[i - 1] = i;
	qsort_r(order, flame->n - 1, sizeof(*order), compare_nodes, flame->nodes);
	return order;
}

/* ---- folded text ---- */

/* In a line, ';' separates frames and a newline would end it. */
static void add_folded_name(struct text *out, const char *name)
{
	for (; *name; name++)
		text_putc(out, *name == ';' ? ':' : (unsigned char)*name < ' ' ? ' ' : *name);
}

static void add_line(const struct ab_flame *flame, uint32_t leaf, uint32_t *path, struct text *out)
{
	size_t n = 0;

	for (uint32_t node = leaf; node; node = flame->nodes[node].parent)
		path[n++] = node;
	while (n-- > 0) {
		add_folded_name(out, flame->nodes[path[n]].name);
		text_putc(out, n ? ';' : ' ');
	}
	text_printf(out, "%llu", (unsigned long long)flame->nodes[leaf].self);
	text_putc(out, '\0');
}

static int compare_lines(const void *pa, const void *pb)
{
	return strcmp(*(char *const *)pa, *(char *const *)pb);
}

AB_API int ab_flame_write_folded(const struct ab_flame *flame, FILE *out, struct ab_error *err)
{
	_free_ uint32_t *path = array_new(FRAMES_MAX, sizeof(*path));
	_free_ char **lines = array_new(flame->n, sizeof(*lines));
	_text_ struct text all = {};
	size_t n = 0;

	if (!path || !lines)
		return ab_fail_memory(err);
	for (uint32_t i = 1; i < flame->n; i++)
		if (flame->nodes[i].self)
			add_line(flame, i, path, &all);
	if (all.failed)
		return ab_fail_memory(err);
	for (char *p = all.p; p < all.p + all.n; p += strlen(p) + 1)
		lines[n++] = p;
	qsort(lines, n, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < n; i++)
		if (fputs(lines[i], out) < 0 || fputc('\n', out) < 0)
			return ab_fail_errno(err, errno ? -errno : -EIO, "cannot write the folded stacks");
	return 0;
}
