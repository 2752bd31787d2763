/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Split BTF on its way into a pack. A reference without a variant means the kernel's definition of that name, if it has
 * one; so what a module calls by a name that the kernel uses otherwise has a variant (docs/format-pack.md, "Modules").
 */
#include "pack_encode.h"

static const uint8_t *body_of(const struct encoder *e, const struct node *node, uint32_t *ret_size)
{
	unsigned skip = node->kind & PACK_VARIANT ? 4 : 0;

	*ret_size = node->size - skip;
	return e->bodies.p + node->body + skip;
}

/* The kernel's node that reads like the module's; NONE. */
static uint32_t find_same(const struct encoder *e, uint32_t first, uint32_t number)
{
	const struct node *node = &e->nodes[number];
	uint32_t size, other_size;
	const uint8_t *body = body_of(e, node, &size);

	for (uint32_t i = node->next; i != NONE; i = e->nodes[i].next) {
		const struct node *other = &e->nodes[i];
		const uint8_t *other_body = body_of(e, other, &other_size);

		if (i < first && (node->kind & ~PACK_VARIANT) == (other->kind & ~PACK_VARIANT) && size == other_size &&
		    !memcmp(body, other_body, size))
			return i;
	}
	return NONE;
}

/* A forward declaration is what the kernel has by that name, if that is one thing. */
static void match_forward(const struct encoder *e, struct node *node)
{
	const struct entry *entry = &e->entries[node->entry];

	node->in_base = !entry->ambiguous || (e->bloated && entry->has_forward);
}

static bool match_full(struct encoder *e, uint32_t first, uint32_t number)
{
	struct node *node = &e->nodes[number];
	uint32_t same = find_same(e, first, number);

	if (same == NONE) {
		e->ambiguous[number] = 1;
		return true;
	}
	node->in_base = true;
	e->ambiguous[number] = e->ambiguous[same];
	node->variant = e->ambiguous[same] ? e->nodes[same].variant : 0;
	return e->ambiguous[same];
}

/* Whether it refers to something of the module's own that has another meaning in the kernel. */
static bool refers_to_own(const struct encoder *e, uint32_t first, const struct node *node)
{
	for (uint32_t i = 0; i < node->n_refs; i++) {
		uint32_t ref = e->refs[node->refs + i], target = ref & ~BEHIND;

		if (target >= first && e->ambiguous[target] && !e->nodes[target].in_base && !(ref & BEHIND && e->bloated))
			return true;
	}
	return false;
}

bool ab_module_match(struct encoder *e, uint32_t first)
{
	bool any = false, changed = true;

	for (uint32_t i = first; i < e->n_nodes; i++) {
		struct node *node = &e->nodes[i];

		if (node->entry == NONE || !e->entries[node->entry].in_base)
			continue;
		if ((node->kind & PACK_KIND) == BTF_KIND_FWD)
			match_forward(e, node);
		else
			any |= match_full(e, first, i);
	}
	/* What reads the same is not the same if what it refers to is not. */
	while (changed) {
		changed = false;
		for (uint32_t i = first; i < e->n_nodes; i++) {
			struct node *node = &e->nodes[i];

			if (!node->in_base || !node->n_refs || !refers_to_own(e, first, node))
				continue;
			node->in_base = false;
			node->variant = 0;
			e->ambiguous[i] = 1;
			changed = any = true;
		}
	}
	for (uint32_t i = first; i < e->n_nodes; i++)
		if (e->ambiguous[i] && e->nodes[i].entry != NONE)
			e->entries[e->nodes[i].entry].ambiguous = true;
	return any;
}
