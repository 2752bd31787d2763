/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which definitions of one name are the same, by partition refinement (docs/format-pack.md, "Names with more than one meaning").
 *
 * Members are the nodes that matter: those of ambiguous names, and those that refer to one. Round 0 of a member is a hash
 * of what it reads like; each further round adds the round before of what it refers to. Hashes are of texts, not of
 * numbers, so they agree between kernels.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "pack_encode.h"

#define MAX_ROUNDS 100
/*
 * More names than this that have several definitions which read alike: deduplication failed. Sound kernels have some ten,
 * others some hundreds.
 */
#define MAX_DOUBLES 100

struct refine {
	struct encoder *e;
	uint32_t first;       /* nodes before it are settled */
	uint32_t *members, n, cap;
	uint32_t *place;      /* by node: its number among members plus 1 */
	uint64_t **rounds;    /* by round, by member */
	uint32_t n_rounds;
	uint64_t *set;        /* of (entry, hash), for counting classes */
	uint32_t set_mask;
};

/* ---- members ---- */

static bool is_full(const struct node *node)
{
	return (node->kind & PACK_KIND) != BTF_KIND_FWD;
}

static uint64_t node_reading(const struct encoder *e, const struct node *node)
{
	const struct item item = { .p = e->bodies.p + node->body, .size = node->size, .name = node->name, .kind = node->kind };

	return ab_pack_reading(&e->writer->strings, &item);
}

static bool add_member(struct refine *f, uint32_t node)
{
	uint64_t reading;

	if (f->place[node])
		return true;
	if (f->n == f->cap) {
		uint32_t cap = MAX(2 * f->cap, 1024);
		uint32_t *members = realloc(f->members, cap * sizeof(*members));

		if (members)
			f->members = members;
		for (uint32_t i = 0; members && i < f->n_rounds; i++) {
			uint64_t *round = realloc(f->rounds[i], cap * sizeof(*round));

			if (!round)
				return false;
			f->rounds[i] = round;
		}
		if (!members)
			return false;
		f->cap = cap;
	}
	reading = node_reading(f->e, &f->e->nodes[node]);
	for (uint32_t i = 0; i < f->n_rounds; i++)
		f->rounds[i][f->n] = reading;
	f->members[f->n++] = node;
	f->place[node] = f->n;
	return true;
}

/* References into a module's kernel are settled, and part of what a node reads like. */
static bool matters(const struct refine *f, uint32_t ref)
{
	return (ref & ~BEHIND) >= f->first && f->e->ambiguous[ref & ~BEHIND] && !(ref & BEHIND && f->e->bloated);
}

static bool refers_to_ambiguous(const struct refine *f, const struct node *node)
{
	const struct encoder *e = f->e;

	for (uint32_t i = 0; i < node->n_refs; i++)
		if (matters(f, e->refs[node->refs + i]))
			return true;
	return false;
}

static void make_ambiguous(struct refine *f, struct entry *entry)
{
	struct encoder *e = f->e;

	entry->ambiguous = true;
	/* Of a bloated BTF, forward declarations stay what pointers lead to. */
	for (uint32_t i = entry->first; i != NONE; i = e->nodes[i].next)
		if (i >= f->first && !(e->bloated && !is_full(&e->nodes[i])))
			e->ambiguous[i] = 1;
}

/* All that new ambiguous names make members: their nodes, and whatever refers to those. */
static bool find_members(struct refine *f)
{
	struct encoder *e = f->e;

	for (uint32_t i = f->first; i < e->n_nodes; i++)
		if (!f->place[i] && (e->ambiguous[i] || refers_to_ambiguous(f, &e->nodes[i])) && !add_member(f, i))
			return false;
	return true;
}

/* ---- rounds ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t pair[2] = { a, b };

	return XXH3_64bits(pair, sizeof(pair));
}

static uint64_t next_hash(const struct refine *f, uint32_t member, const uint64_t *before)
{
	const struct encoder *e = f->e;
	const struct node *node = &e->nodes[f->members[member]];
	const uint32_t *refs = e->refs + node->refs;
	uint64_t h = f->rounds[0][member];

	for (uint32_t i = 0; i < node->n_refs; i++)
		if (matters(f, refs[i]))
			h = mix(h, before[f->place[refs[i] & ~BEHIND] - 1]);
	return h;
}

static bool add_round(struct refine *f)
{
	uint64_t **rounds = realloc(f->rounds, (f->n_rounds + 1) * sizeof(*rounds));

	if (!rounds)
		return false;
	f->rounds = rounds;
	rounds[f->n_rounds] = malloc(f->cap * sizeof(**rounds));
	if (!rounds[f->n_rounds])
		return false;
	f->n_rounds++;
	return true;
}

/* True if it was not there. */
static bool add_class(struct refine *f, uint32_t entry, uint64_t hash)
{
	uint64_t key = mix(hash, entry) | 1;
	uint32_t i = key >> 8 & f->set_mask;

	for (; f->set[i]; i = (i + 1) & f->set_mask)
		if (f->set[i] == key)
			return false;
	f->set[i] = key;
	return true;
}

/* Counts the classes of a round. Names that now have two become ambiguous: *ret_new. -ENOMEM. */
static int64_t count_classes(struct refine *f, const uint64_t *round, bool *ret_new)
{
	struct encoder *e = f->e;
	int64_t n = 0;

	free(f->set);
	f->set_mask = 1;
	while (f->set_mask < 2 * f->n)
		f->set_mask = 2 * f->set_mask + 1;
	f->set = calloc((size_t)f->set_mask + 1, sizeof(*f->set));
	if (!f->set)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->n; i++) {
		const struct node *node = &e->nodes[f->members[i]];

		if (node->entry != NONE)
			e->entries[node->entry].seen = 0;
	}
	for (uint32_t i = 0; i < f->n; i++) {
		const struct node *node = &e->nodes[f->members[i]];
		struct entry *entry = node->entry == NONE ? NULL : &e->entries[node->entry];

		n += add_class(f, entry ? node->entry : NONE, round[i]);
		if (!entry || entry->ambiguous || entry->in_base || !is_full(node))
			continue;
		if (!entry->seen)
			entry->seen = round[i] | 1;
		if (entry->seen == (round[i] | 1))
			continue;
		make_ambiguous(f, entry);
		*ret_new = true;
	}
	return n;
}

static int run_rounds(struct refine *f, struct ab_error *err)
{
	int64_t before = -1, classes;

	if (!add_round(f) || !find_members(f))
		return ab_fail_memory(err);
	for (;;) {
		bool new = false;

		classes = count_classes(f, f->rounds[f->n_rounds - 1], &new);
		if (classes < 0 || (new && !find_members(f)))
			return ab_fail_memory(err);
		if (classes == before && !new)
			return 0;
		before = new ? -1 : classes;
		if (f->n_rounds == MAX_ROUNDS)
			return ab_fail(err, AB_ERROR_LIMIT, -E2BIG,
				       "BTF in which names stay ambiguous over more than %u references",
				       MAX_ROUNDS);
		if (!add_round(f))
			return ab_fail_memory(err);
		for (uint32_t i = 0; i < f->n; i++)
			f->rounds[f->n_rounds - 1][i] = next_hash(f, i, f->rounds[f->n_rounds - 2]);
	}
}

/* ---- variants ---- */

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t count_distinct(const struct refine *f, const struct entry *entry, const uint64_t *round, uint64_t *scratch,
			       uint64_t mask)
{
	uint32_t n = 0, distinct = 0;

	for (uint32_t i = entry->first; i != NONE; i = f->e->nodes[i].next)
		if (f->place[i])
			scratch[n++] = round[f->place[i] - 1] & mask;
	qsort(scratch, n, sizeof(*scratch), compare_hashes);
	for (uint32_t i = 0; i < n; i++)
		distinct += !i || scratch[i] != scratch[i - 1];
	return distinct;
}

/* The first round that tells as many apart as the last one does, in as many bits as a variant has. */
static void set_variants(struct refine *f, const struct entry *entry, uint64_t *scratch, struct ab_error *err)
{
	struct encoder *e = f->e;
	uint32_t wanted = count_distinct(f, entry, f->rounds[f->n_rounds - 1], scratch, UINT64_MAX), round = 0;

	while (round < f->n_rounds - 1 && count_distinct(f, entry, f->rounds[round], scratch, UINT32_MAX) != wanted)
		round++;
	for (uint32_t i = entry->first; i != NONE; i = e->nodes[i].next)
		if (f->place[i] && !e->nodes[i].in_base)
			e->nodes[i].variant = (uint32_t)f->rounds[round][f->place[i] - 1];
	if (count_distinct(f, entry, f->rounds[round], scratch, UINT32_MAX) != wanted && !e->fault) {
		e->fault = "has a name with too many meanings";
		e->fault_id = e->nodes[entry->first].id;
	}
}

static int name_variants(struct refine *f, struct ab_error *err)
{
	struct encoder *e = f->e;
	_free_ uint64_t *scratch = array_new(f->n, sizeof(*scratch));

	if (!scratch)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < e->n_entries; i++)
		if (e->entries[i].ambiguous)
			set_variants(f, &e->entries[i], scratch, err);
	/* A variant of 0 would say that there is none. */
	for (uint32_t i = 0; i < f->n; i++) {
		struct node *node = &e->nodes[f->members[i]];

		if (e->ambiguous[f->members[i]] && !node->variant)
			node->variant = 1;
	}
	e->variants = true;
	for (uint32_t i = 0; i < f->n && !e->fault; i++)
		ab_encode_node(e, &e->nodes[f->members[i]]);
	return 0;
}

/* ---- all of it ---- */

/* Counts what reads alike, and finds out whether deduplication failed. */
static void count_copies(struct refine *f)
{
	struct encoder *e = f->e;
	uint32_t doubles = 0;

	for (uint32_t i = f->first; i < e->n_nodes; i++) {
		const struct node *node = &e->nodes[i];
		struct entry *entry = node->entry == NONE ? NULL : &e->entries[node->entry];

		if (!entry || entry->in_base)
			continue;
		if (!is_full(node)) {
			entry->has_forward = true;
			continue;
		}
		if (!entry->has_full)
			entry->seen = node->key.hash;
		entry->has_full = true;
		entry->copies += entry->seen == node->key.hash;
		doubles += entry->copies == 2 && entry->seen == node->key.hash &&
			   (entry->class == PACK_STRUCT || entry->class == PACK_UNION);
	}
	/* A module is what its kernel is. */
	if (!f->first)
		e->bloated = doubles > MAX_DOUBLES;
}

/* Names that read differently at first sight. True if there are any. */
static bool compare_readings(struct refine *f)
{
	struct encoder *e = f->e;
	bool any = false;

	for (uint32_t i = f->first; i < e->n_nodes; i++) {
		const struct node *node = &e->nodes[i];
		struct entry *entry = node->entry == NONE ? NULL : &e->entries[node->entry];

		if (!entry || entry->in_base || !is_full(node) || entry->seen == node->key.hash || entry->ambiguous)
			continue;
		make_ambiguous(f, entry);
		any = true;
	}
	return any;
}

static void clear(struct refine *f)
{
	for (uint32_t i = 0; i < f->n_rounds; i++)
		free(f->rounds[i]);
	free(f->rounds);
	free(f->members);
	free(f->place);
	free(f->set);
}

int ab_pack_refine(struct encoder *e, uint32_t first, struct ab_error *err)
{
	struct refine f = { .e = e, .first = first };
	uint8_t *ambiguous = realloc(e->ambiguous, e->n_nodes + 1);
	bool any;
	int r = 0;

	f.place = calloc(e->n_nodes + 1, sizeof(*f.place));
	if (ambiguous)
		e->ambiguous = ambiguous;
	if (!ambiguous || !f.place)
		r = ab_fail_memory(err);
	if (r == 0) {
		memset(e->ambiguous + first, 0, e->n_nodes + 1 - first);
		count_copies(&f);
		any = first && ab_module_match(e, first);
		if (compare_readings(&f) || any)
			r = run_rounds(&f, err);
		if (r == 0 && f.n)
			r = name_variants(&f, err);
	}
	clear(&f);
	return r;
}
