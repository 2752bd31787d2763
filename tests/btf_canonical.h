/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whether two BTFs say the same, whatever their numbering, duplicates and order: the judge of the pack, which shares no
 * code with it.
 *
 * Both become one graph. Its nodes are told apart by what they read like, then round by round by what they refer to,
 * until nothing changes (bisimulation). The two are equal when every class has nodes of both. Before that, what
 * docs/format-pack.md says is merged is made equal: a forward declaration of what has one definition, the numbers in
 * __UNIQUE_ID_ members, and, where deduplication failed, which of several meanings of its name a pointer leads to.
 */
#ifndef BTF_CANONICAL_H
#define BTF_CANONICAL_H

#include <linux/btf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct canonical_side {
	const struct btf_header *h;
	const char *strings;
	uint32_t first; /* node of type 1 */
};

struct canonical {
	struct canonical_side side[2];
	const struct btf_type **types; /* by node; node 0 is void */
	uint64_t *own, *hash, *next;
	uint32_t *forward; /* what a FWD stands for, or itself */
	bool *blocked;     /* FWDs that stand for nothing else */
	uint32_t n, split; /* nodes from split on are of side 1 */
	bool loose;        /* the first is a BTF whose deduplication failed: what pointers lead to counts by name */
};

static uint64_t canonical_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static uint64_t canonical_text(uint64_t h, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
	return canonical_mix(h, n);
}

static const char *canonical_name(const struct canonical *c, uint32_t node, uint32_t offset)
{
	return c->side[node >= c->split].strings + offset;
}

static uint64_t canonical_str(const struct canonical *c, uint32_t node, uint32_t offset, uint64_t h)
{
	const char *s = canonical_name(c, node, offset);

	return canonical_text(h, s, strlen(s));
}

static uint32_t canonical_child(const struct canonical *c, uint32_t node, uint32_t id)
{
	return id ? c->forward[c->side[node >= c->split].first + id - 1] : 0;
}

static size_t canonical_size(const struct btf_type *t)
{
	uint32_t vlen = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 16;
	case BTF_KIND_ARRAY:
		return 24;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return 12 + 12 * (size_t)vlen;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return 12 + 8 * (size_t)vlen;
	default:
		return 12;
	}
}

static bool canonical_is_tag(const struct btf_type *t)
{
	uint32_t kind = BTF_INFO_KIND(t->info);

	return t->name_off && (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_FWD);
}

static uint64_t canonical_tag_name(const struct canonical *c, uint32_t node)
{
	const struct btf_type *t = c->types[node];
	bool is_union = BTF_INFO_KIND(t->info) == BTF_KIND_UNION || (BTF_INFO_KIND(t->info) == BTF_KIND_FWD &&
								     BTF_INFO_KFLAG(t->info));

	return canonical_str(c, node, t->name_off, is_union);
}

/* What a node reads like by itself. */
static uint64_t canonical_own(const struct canonical *c, uint32_t node)
{
	const struct btf_type *t = c->types[node];
	const uint32_t *words = (const uint32_t *)(t + 1);
	uint32_t kind = BTF_INFO_KIND(t->info), vlen = BTF_INFO_VLEN(t->info), hides = 0;
	uint64_t h = canonical_str(c, node, t->name_off, canonical_mix(t->info, 1));

	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		return canonical_mix(canonical_mix(h, t->size), kind == BTF_KIND_INT ? words[0] : 0);
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return canonical_mix(h, words[0]);
	case BTF_KIND_ARRAY:
		return canonical_mix(h, words[2]);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		h = canonical_mix(h, t->size);
		for (uint32_t i = 0; i < vlen; i++) {
			const char *s = canonical_name(c, node, words[3 * i]);
			size_t n = strlen(s);

			if (!strncmp(s, "__UNIQUE_ID_", 12) && s[n - 1] >= '0' && s[n - 1] <= '9') {
				while (s[n - 1] >= '0' && s[n - 1] <= '9')
					n--;
				h = canonical_mix(h, hides++);
			}
			h = canonical_mix(canonical_text(h, s, n), words[3 * i + 2]);
		}
		return h;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		h = canonical_mix(h, t->size);
		for (uint32_t i = 0, per = kind == BTF_KIND_ENUM ? 2 : 3; i < vlen; i++)
			for (uint32_t j = 0; j < per; j++)
				h = j ? canonical_mix(h, words[per * i + j]) : canonical_str(c, node, words[per * i], h);
		return h;
	case BTF_KIND_FUNC_PROTO:
		for (uint32_t i = 0; i < vlen; i++)
			h = canonical_str(c, node, words[2 * i], h);
		return h;
	case BTF_KIND_DATASEC:
		h = canonical_mix(h, t->size);
		for (uint32_t i = 0; i < vlen; i++)
			h = canonical_mix(canonical_mix(h, words[3 * i + 1]), words[3 * i + 2]);
		return h;
	default:
		return h;
	}
}

/* In a loose comparison, each node has a second hash: what it is to a pointer around it. */
static uint64_t canonical_see(const struct canonical *c, uint32_t node, uint32_t id, bool behind)
{
	return c->hash[canonical_child(c, node, id) + (behind && c->loose ? c->n : 0)];
}

static uint64_t canonical_next(const struct canonical *c, uint32_t node, bool behind)
{
	const struct btf_type *t = c->types[node];
	const uint32_t *words = (const uint32_t *)(t + 1);
	uint32_t kind = BTF_INFO_KIND(t->info), vlen = BTF_INFO_VLEN(t->info), stride = 3, at = 1;
	uint64_t h = c->own[node];

	if (behind && canonical_is_tag(t))
		return canonical_tag_name(c, node);
	if (behind && kind == BTF_KIND_TYPEDEF)
		return c->hash[node];
	behind |= kind == BTF_KIND_PTR || kind == BTF_KIND_FUNC_PROTO;
	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		return h;
	case BTF_KIND_ARRAY:
		h = canonical_mix(h, canonical_see(c, node, words[0], behind));
		return canonical_mix(h, canonical_see(c, node, words[1], behind));
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		break;
	case BTF_KIND_DATASEC:
		at = 0;
		break;
	case BTF_KIND_FUNC_PROTO:
		h = canonical_mix(h, canonical_see(c, node, t->type, behind));
		stride = 2;
		break;
	default:
		return canonical_mix(h, canonical_see(c, node, t->type, behind));
	}
	for (uint32_t i = 0; i < vlen; i++)
		h = canonical_mix(h, canonical_see(c, node, words[stride * i + at], behind));
	return h;
}

static int canonical_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t canonical_classes(const struct canonical *c)
{
	uint64_t *sorted = malloc((c->n + 1) * sizeof(*sorted));
	uint32_t classes = 0;

	memcpy(sorted, c->hash, c->n * sizeof(*sorted));
	qsort(sorted, c->n, sizeof(*sorted), canonical_compare);
	for (uint32_t i = 0; i < c->n; i++)
		classes += !i || sorted[i] != sorted[i - 1];
	free(sorted);
	return classes;
}

static void canonical_refine(struct canonical *c)
{
	uint32_t before = 0;

	memcpy(c->hash, c->own, c->n * sizeof(*c->hash));
	memcpy(c->hash + c->n, c->own, c->n * sizeof(*c->hash));
	for (uint32_t classes = canonical_classes(c); classes != before;) {
		uint64_t *swap;

		before = classes;
		/* Several rounds between counts, which take longer. */
		for (int i = 0; i < 4; i++) {
			c->next[0] = c->next[c->n] = 0;
			for (uint32_t node = 1; node < c->n; node++) {
				c->next[node] = canonical_next(c, node, false);
				c->next[c->n + node] = c->loose ? canonical_next(c, node, true) : 0;
			}
			swap = c->hash;
			c->hash = c->next;
			c->next = swap;
		}
		classes = canonical_classes(c);
	}
}

struct canonical_tag {
	uint64_t name, hash;
	uint32_t node;
	bool is_forward;
};

static int canonical_compare_tags(const void *a, const void *b)
{
	const struct canonical_tag *x = a, *y = b;

	return x->name != y->name ? (x->name < y->name ? -1 : 1) : (int)x->is_forward - y->is_forward;
}

/* Points FWDs to what they stand for by the hashes at hand. True if something changed. */
static bool canonical_forwards(struct canonical *c, bool first)
{
	struct canonical_tag *tags = malloc((c->n + 1) * sizeof(*tags));
	bool changed = false;
	uint32_t n = 0;

	for (uint32_t node = 1; node < c->n; node++) {
		const struct btf_type *t = c->types[node];
		uint32_t kind = BTF_INFO_KIND(t->info);
		bool is_union = kind == BTF_KIND_UNION || (kind == BTF_KIND_FWD && BTF_INFO_KFLAG(t->info));

		if ((kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_FWD) && t->name_off)
			tags[n++] = (struct canonical_tag){ canonical_str(c, node, t->name_off, is_union + 2 * (node >= c->split)),
							    c->hash[node], node, kind == BTF_KIND_FWD };
	}
	qsort(tags, n, sizeof(*tags), canonical_compare_tags);
	for (uint32_t i = 0, end; i < n; i = end) {
		uint32_t full = 0;

		for (end = i; end < n && tags[end].name == tags[i].name; end++)
			full += !tags[end].is_forward && (end == i || tags[end].hash != tags[i].hash || !full);
		for (uint32_t k = i; k < end; k++) {
			bool means = full == 1 && !tags[i].is_forward && !c->blocked[tags[k].node];
			uint32_t target = tags[means ? i : k].node;

			if (!tags[k].is_forward || c->forward[tags[k].node] == target)
				continue;
			/* What was taken for one thing and is not any more stays for itself. */
			if (!first && target != tags[k].node)
				continue;
			c->blocked[tags[k].node] = !first;
			c->forward[tags[k].node] = target;
			changed = true;
		}
	}
	free(tags);
	return changed;
}

/* More than 100 names of structs or unions in the first that several definitions have which read alike. */
static bool canonical_is_bloated(const struct canonical *c)
{
	struct canonical_tag *tags = malloc((c->split + 1) * sizeof(*tags));
	uint32_t n = 0, doubles = 0;

	for (uint32_t node = 1; node < c->split; node++)
		if (canonical_is_tag(c->types[node]) && BTF_INFO_KIND(c->types[node]->info) != BTF_KIND_FWD)
			tags[n++] = (struct canonical_tag){ c->own[node], c->own[node], node, false };
	qsort(tags, n, sizeof(*tags), canonical_compare_tags);
	for (uint32_t i = 1; i < n; i++)
		doubles += tags[i].name == tags[i - 1].name && (i < 2 || tags[i].name != tags[i - 2].name);
	free(tags);
	return doubles > 100;
}

static uint32_t canonical_count(const struct btf_header *h)
{
	const uint8_t *p = (const uint8_t *)h + h->hdr_len + h->type_off;
	uint32_t n = 0;

	for (uint32_t at = 0; at < h->type_len; n++)
		at += canonical_size((const struct btf_type *)(p + at));
	return n;
}

/* DECL_TAGs are told by what they are on, not the other way round, which is enough: they are nodes too. */
static void canonical_add(struct canonical *c, int side, const void *data, uint32_t *n)
{
	const struct btf_header *h = data;
	const uint8_t *p = (const uint8_t *)data + h->hdr_len + h->type_off;

	c->side[side] = (struct canonical_side){ h, (const char *)data + h->hdr_len + h->str_off, *n };
	for (uint32_t at = 0; at < h->type_len;) {
		const struct btf_type *t = (const struct btf_type *)(p + at);

		c->types[(*n)++] = t;
		at += canonical_size(t);
	}
}

/* The first class that only one of them has; FWDs that stand for something else do not count. */
static bool canonical_match(const struct canonical *c, char *what, size_t cap)
{
	uint64_t *side[2];
	uint32_t n[2] = {};
	bool equal = true;

	for (int s = 0; s < 2; s++) {
		side[s] = malloc((c->n + 1) * sizeof(uint64_t));
		for (uint32_t i = s ? c->split : 1; i < (s ? c->n : c->split); i++)
			side[s][n[s]++] = c->hash[c->forward[i]];
		qsort(side[s], n[s], sizeof(uint64_t), canonical_compare);
	}
	for (uint32_t i = 1; i < c->n && equal; i++) {
		int other = i < c->split;

		/* What is unnamed counts as part of what has a name: it may be there to be pointed to only. */
		if (c->loose && (BTF_INFO_KIND(c->types[i]->info) == BTF_KIND_FWD || !c->types[i]->name_off))
			continue;
		if (bsearch(&c->hash[c->forward[i]], side[other], n[other], sizeof(uint64_t), canonical_compare))
			continue;
		equal = false;
		snprintf(what, cap, "type %u of the %s (kind %u, '%s') is not in the other", i - (other ? 0 : c->split - 1),
			 other ? "first" : "second", BTF_INFO_KIND(c->types[i]->info), canonical_name(c, i, c->types[i]->name_off));
	}
	free(side[0]);
	free(side[1]);
	return equal;
}

/* Both must be sound. */
static bool canonical_equal(const void *a, size_t a_size, const void *b, size_t b_size, char *what, size_t cap)
{
	struct canonical c = {};
	uint32_t n = 1;
	bool equal;

	c.n = 1 + canonical_count(a) + canonical_count(b);
	c.types = calloc(c.n, sizeof(*c.types));
	c.own = calloc(c.n, sizeof(*c.own));
	c.hash = calloc(c.n, 2 * sizeof(*c.hash));
	c.next = calloc(c.n, 2 * sizeof(*c.next));
	c.forward = calloc(c.n, sizeof(*c.forward));
	c.blocked = calloc(c.n, sizeof(*c.blocked));
	c.split = UINT32_MAX;
	canonical_add(&c, 0, a, &n);
	c.split = n;
	canonical_add(&c, 1, b, &n);
	for (uint32_t i = 1; i < c.n; i++) {
		c.own[i] = canonical_own(&c, i);
		c.forward[i] = i;
	}
	memcpy(c.hash, c.own, c.n * sizeof(*c.hash));
	c.loose = canonical_is_bloated(&c);
	canonical_forwards(&c, true);
	do
		canonical_refine(&c);
	while (canonical_forwards(&c, false));
	equal = canonical_match(&c, what, cap);
	free(c.types);
	free(c.own);
	free(c.hash);
	free(c.next);
	free(c.forward);
	free(c.blocked);
	return equal;
}

#endif
