/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Questions about an opened BTF: types by name, through an index that the first question makes, and decl tags. */
#include <ctype.h>
#include "core.h"
#include "internal.h"

static const struct builtin builtins[] = {
	{ "_Bool", "bool", 1, false },
	{ "char", "char", 1, true },
	{ "signed char", "signed char", 1, true },
	{ "unsigned char", "unsigned char", 1, false },
	{ "short", "short int", 2, true },
	{ "unsigned short", "short unsigned int", 2, false },
	{ "int", "int", 4, true },
	{ "unsigned int", "unsigned int", 4, false },
	{ "long", "long int", 8, true },
	{ "unsigned long", "long unsigned int", 8, false },
	{ "long long", "long long int", 8, true },
	{ "unsigned long long", "long long unsigned int", 8, false },
	{ "__int128", "__int128", 16, true },
	{ "unsigned __int128", "__int128 unsigned", 16, false },
	{ "float", "float", 4, true },
	{ "double", "double", 8, true },
};

const struct builtin *ab_btf_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (!strcmp(name, builtins[i].name) || !strcmp(name, builtins[i].other))
			return &builtins[i];
	return NULL;
}

uint32_t ab_btf_enumerator_name(const struct btf_type *t, uint32_t i)
{
	const struct btf_enum *e = ab_btf_data(t);
	const struct btf_enum64 *e64 = ab_btf_data(t);

	return ab_btf_kind(t) == BTF_KIND_ENUM ? e[i].name_off : e64[i].name_off;
}

uint64_t ab_btf_enumerator_value(const struct btf_type *t, uint32_t i)
{
	const struct btf_enum *e = ab_btf_data(t);
	const struct btf_enum64 *e64 = ab_btf_data(t);

	return ab_btf_kind(t) == BTF_KIND_ENUM ? (uint64_t)e[i].val : (uint64_t)e64[i].val_hi32 << 32 | e64[i].val_lo32;
}

/* ---- the index of names ---- */

/* Eight bytes at a time: an index of a kernel hashes two megabytes of names. */
static uint32_t hash_name(const char *s)
{
	size_t n = strlen(s);
	uint64_t h = n * 0x9e3779b97f4a7c15u, word;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&word, s, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, s, n);
	h = (h ^ word) * 0xff51afd7ed558ccdu;
	return h ^ h >> 32;
}

/* Functions are as many as all else and are hardly ever looked for: they are not. */
static bool is_indexed(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
		return true;
	default:
		return false;
	}
}

bool ab_btf_is_forward(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_FWD || (ab_btf_is_enum(t) && !ab_btf_vlen(t));
}

static bool is_tag(const struct btf_type *t)
{
	return (ab_btf_is_struct(t) || ab_btf_is_enum(t)) && !ab_btf_is_forward(t);
}

static int add_duplicate(struct name_index *index, uint32_t id, int32_t enumerator, uint32_t ordinal)
{
	uint32_t n = index->n_duplicates;

	if (!(n & (n - 1)) && (n >= 64 || !n)) {
		struct duplicate *more = realloc(index->duplicates, (n ? 2 * (size_t)n : 64) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		index->duplicates = more;
	}
	index->duplicates[index->n_duplicates++] = (struct duplicate){ id, enumerator, ordinal };
	return 0;
}

static void add_name(const struct ab_btf *btf, struct name_index *index, uint32_t id, int32_t enumerator,
		     uint32_t name_off)
{
	index->entries[index->n++] = (struct name_entry){
		.hash = hash_name(ab_btf_str(btf, name_off)), .name_off = name_off, .id = id, .enumerator = enumerator,
	};
}

static bool has_flavour(const char *name)
{
	const char *mark = strstr(name, "___");

	return mark && name[ab_core_name_length(name)];
}

/* They are few: to find one means to look at all. */
static int add_flavour(struct name_index *index, uint32_t id)
{
	uint32_t n = index->n_flavours;

	if (!(n & (n - 1))) {
		uint32_t *more = realloc(index->flavours, (n ? 2 * (size_t)n : 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		index->flavours = more;
	}
	index->flavours[index->n_flavours++] = id;
	return 0;
}

static int add_names(const struct ab_btf *btf, struct name_index *index)
{
	for (uint32_t id = ab_btf_start(btf); id < btf->n; id++) {
		const struct btf_type *t;

		if (!is_indexed(ab_btf_slot(btf, id)->kind))
			continue;
		t = ab_btf_type(btf, id);
		if (t->name_off) {
			add_name(btf, index, id, -1, t->name_off);
			if (has_flavour(ab_btf_str(btf, t->name_off)) && add_flavour(index, id) < 0)
				return -ENOMEM;
		}
		if (ab_btf_is_enum(t))
			for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
				add_name(btf, index, id, i, ab_btf_enumerator_name(t, i));
	}
	return 0;
}

static bool is_tag_name(const struct ab_btf *btf, const struct name_entry *e)
{
	return e->enumerator < 0 && is_tag(ab_btf_type(btf, e->id));
}

/*
 * One more than the latest of that name in the same name space, which is near the front of the chain if there is one; in a
 * split BTF, its base counts too.
 */
static uint32_t next_ordinal(const struct ab_btf *btf, const struct name_index *index, const struct name_entry *new,
			     bool tag)
{
	const char *name = ab_btf_str(btf, new->name_off);

	for (; index; index = index->base)
		for (uint32_t at = index->heads[new->hash & index->mask]; at; at = index->entries[at - 1].next) {
			const struct name_entry *e = &index->entries[at - 1];

			if (e->hash == new->hash && e->ordinal && tag == is_tag_name(btf, e) &&
			    !strcmp(ab_btf_str(btf, e->name_off), name))
				return e->ordinal + 1;
		}
	return 1;
}

/* Names are spread over the chains, so each is a step into the dark: look ahead. */
static int link_names(const struct ab_btf *btf, struct name_index *index)
{
	int r = 0;

	for (uint32_t i = 0; i < index->n && !r; i++) {
		struct name_entry *e = &index->entries[i];
		uint32_t *head = &index->heads[e->hash & index->mask];
		bool tag = is_tag_name(btf, e);

		if (i + 16 < index->n)
			__builtin_prefetch(&index->heads[e[16].hash & index->mask]);
		if (i + 8 < index->n && index->heads[e[8].hash & index->mask])
			__builtin_prefetch(&index->entries[index->heads[e[8].hash & index->mask] - 1]);
		if (e->enumerator >= 0 || tag || ab_btf_slot(btf, e->id)->kind == BTF_KIND_TYPEDEF)
			e->ordinal = next_ordinal(btf, index, e, tag);
		e->next = *head;
		*head = i + 1;
		if (e->ordinal > 1)
			r = add_duplicate(index, e->id, e->enumerator, e->ordinal);
	}
	return r;
}

/* What class of thing a tag names: 's'truct, 'u'nion, 'e'num, or 0. */
static char tag_class(const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT: return 's';
	case BTF_KIND_UNION: return 'u';
	case BTF_KIND_ENUM: case BTF_KIND_ENUM64: return 'e';
	case BTF_KIND_FWD: return ab_btf_kflag(t) ? 'u' : 's';
	default: return 0;
	}
}

/* Chains have the highest id first, so the last match is the first type. */
static uint32_t find_definition(const struct ab_btf *btf, const struct name_index *index, const struct btf_type *fwd)
{
	const char *name = ab_btf_name(btf, fwd);
	uint32_t definition = NO_DEFINITION;
	bool clashes = false;

	for (const struct name_entry *e = NULL; (e = ab_btf_lookup(btf, index, name, e));) {
		const struct btf_type *t = ab_btf_type(btf, e->id);
		char class = e->enumerator >= 0 ? 0 : tag_class(t);

		if (class == tag_class(fwd) && !ab_btf_is_forward(t))
			definition = e->id;
		else if (class && class != tag_class(fwd) && (!ab_btf_is_forward(t) || tag_class(fwd) == 'u'))
			clashes = true;
	}
	return definition ? definition : clashes ? CLASHES : NO_DEFINITION;
}

static void find_aliases(const struct ab_btf *btf, struct name_index *index)
{
	for (uint32_t i = 0; i < index->n; i++) {
		const struct name_entry *e = &index->entries[i];
		const struct btf_type *t = ab_btf_type(btf, e->id);

		if (e->enumerator < 0 && ab_btf_is_forward(t))
			index->aliases[index->n_aliases++] = (struct alias){ e->id, find_definition(btf, index, t) };
	}
}

static struct name_index *make_index(const struct ab_btf *btf)
{
	const struct name_index *base = btf->base ? ab_btf_index(btf->base) : NULL;
	struct name_index *index = !base && btf->base ? NULL : array_new(1, sizeof(*index));
	size_t n = 0, cap = 64, forward = 0;

	if (!index)
		return NULL;
	index->base = base;
	index->start = btf->start;
	for (uint32_t id = ab_btf_start(btf); id < btf->n; id++) {
		uint32_t kind = ab_btf_slot(btf, id)->kind;
		bool is_enum = kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64;

		n += is_indexed(kind) + (is_enum ? ab_btf_vlen(ab_btf_type(btf, id)) : 0);
		forward += is_enum || kind == BTF_KIND_FWD;
	}
	while (cap < n)
		cap *= 2;
	index->mask = cap - 1;
	index->heads = array_new(cap, sizeof(*index->heads));
	index->entries = malloc((n ? n : 1) * sizeof(*index->entries));
	index->aliases = malloc((forward ? forward : 1) * sizeof(*index->aliases));
	if (index->heads && index->entries && index->aliases) {
		if (!add_names(btf, index) && !link_names(btf, index)) {
			find_aliases(btf, index);
			return index;
		}
	}
	ab_btf_index_free(index);
	return NULL;
}

uint32_t ab_btf_ordinal(const struct name_index *index, uint32_t id, int32_t enumerator)
{
	uint32_t from = 0, to;

	while (id < index->start)
		index = index->base;
	to = index->n_duplicates;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		const struct duplicate *d = &index->duplicates[middle];

		if (d->id == id && d->enumerator == enumerator)
			return d->ordinal;
		if (d->id < id || (d->id == id && d->enumerator < enumerator))
			from = middle + 1;
		else
			to = middle;
	}
	return 1;
}

uint32_t ab_btf_definition(const struct ab_btf *btf, const struct name_index *index, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	uint32_t from = 0, to;

	if (!t->name_off || !ab_btf_is_forward(t))
		return id;
	while (id < index->start)
		index = index->base;
	to = index->n_aliases;
	while (from + 1 < to) {
		uint32_t middle = from + (to - from) / 2;

		if (index->aliases[middle].id <= id)
			from = middle;
		else
			to = middle;
	}
	return index->aliases[from].definition;
}

/* Threads that ask at the same time may each make one: the first to finish is kept. */
const struct name_index *ab_btf_index(const struct ab_btf *btf)
{
	struct name_index **slot = (struct name_index **)&btf->index;
	struct name_index *index = __atomic_load_n(slot, __ATOMIC_ACQUIRE), *none = NULL;

	if (index)
		return index;
	index = make_index(btf);
	if (index && !__atomic_compare_exchange_n(slot, &none, index, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		ab_btf_index_free(index);
		index = none;
	}
	return index;
}

void ab_btf_index_free(struct name_index *index)
{
	if (!index)
		return;
	free(index->heads);
	free(index->entries);
	free(index->duplicates);
	free(index->aliases);
	free(index->flavours);
	free(index);
}

static bool is_entry_of(const struct name_index *index, const struct name_entry *e)
{
	return e >= index->entries && e < index->entries + index->n;
}

const struct name_entry *ab_btf_lookup(const struct ab_btf *btf, const struct name_index *index, const char *name,
				       const struct name_entry *after)
{
	uint32_t hash = after ? after->hash : hash_name(name);

	for (; index; index = index->base) {
		uint32_t at = index->heads[hash & index->mask];

		if (after && !is_entry_of(index, after))
			continue;
		if (after)
			at = after->next;
		after = NULL;
		for (; at; at = index->entries[at - 1].next) {
			const struct name_entry *e = &index->entries[at - 1];

			if (e->hash == hash && !strcmp(ab_btf_str(btf, e->name_off), name))
				return e;
		}
	}
	return NULL;
}

/* ---- finding ---- */

static uint32_t find_slowly(const struct ab_btf *btf, const char *name, uint32_t kind)
{
	for (uint32_t id = 1; id < btf->n; id++) {
		uint32_t k = ab_btf_slot(btf, id)->kind;
		bool is_text = k == BTF_KIND_DECL_TAG || k == BTF_KIND_TYPE_TAG;

		if ((kind ? k == kind : !is_text) && !strcmp(ab_btf_name(btf, ab_btf_type(btf, id)), name))
			return id;
	}
	return 0;
}

uint32_t ab_btf_find(const struct ab_btf *btf, const char *name, uint32_t kind)
{
	const struct name_index *index;
	uint32_t id = 0;

	if (!*name)
		return 0;
	index = kind && !is_indexed(kind) ? NULL : ab_btf_index(btf);
	if (!index)
		return find_slowly(btf, name, kind);
	for (const struct name_entry *e = NULL; (e = ab_btf_lookup(btf, index, name, e));)
		if (e->enumerator < 0 && (!kind || ab_btf_slot(btf, e->id)->kind == kind))
			id = e->id; /* the last in the chain has the lowest id */
	return id || kind ? id : find_slowly(btf, name, 0);
}

static bool skip_word(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) || !isspace((unsigned char)(*s)[n]))
		return false;
	for (*s += n; isspace((unsigned char)**s);)
		(*s)++;
	return true;
}

/*
 * The words of an integer or floating type in any order, "long unsigned", as the name that clang writes; NULL if it has
 * other words.
 */
static const char *normalize_builtin(const char *s, char *ret_name, size_t size)
{
	static const char *const words[] = { "char", "short", "long", "_Bool", "bool", "__int128", "float", "double", "int",
					     "signed", "unsigned" };
	enum { CHAR, SHORT, LONG, BOOL_, BOOL, INT128, FLOAT, DOUBLE, INT, SIGNED, UNSIGNED };
	unsigned count[ARRAY_SIZE(words)] = {};
	unsigned base = 0;

	if (!*s)
		return NULL;
	while (*s) {
		size_t n = strcspn(s, " \t"), i = 0;

		while (i < ARRAY_SIZE(words) && (strlen(words[i]) != n || strncmp(s, words[i], n)))
			i++;
		if (i == ARRAY_SIZE(words))
			return NULL;
		count[i]++;
		s += n + strspn(s + n, " \t");
	}
	if (count[LONG] && count[DOUBLE])
		return NULL;
	while (base < INT && !count[base])
		base++;
	snprintf(ret_name, size, "%s%s%s", count[UNSIGNED] ? "unsigned " : count[SIGNED] && base == CHAR ? "signed " : "",
		 base == LONG && count[LONG] > 1 ? "long " : "", words[base == BOOL ? BOOL_ : base]);
	return ret_name;
}

uint32_t ab_btf_find_c(const struct ab_btf *btf, const char *c_name)
{
	const struct builtin *builtin;
	char name[64];
	uint32_t id;

	while (isspace((unsigned char)*c_name) || skip_word(&c_name, "const") || skip_word(&c_name, "volatile"))
		c_name += isspace((unsigned char)*c_name) ? 1 : 0;
	if (skip_word(&c_name, "struct"))
		return ab_btf_find(btf, c_name, BTF_KIND_STRUCT);
	if (skip_word(&c_name, "union"))
		return ab_btf_find(btf, c_name, BTF_KIND_UNION);
	if (skip_word(&c_name, "enum")) {
		id = ab_btf_find(btf, c_name, BTF_KIND_ENUM);
		return id ? id : ab_btf_find(btf, c_name, BTF_KIND_ENUM64);
	}
	id = ab_btf_find(btf, c_name, BTF_KIND_TYPEDEF);
	if (!id)
		id = ab_btf_find(btf, c_name, BTF_KIND_FLOAT); /* as it is: "long double" */
	if (id || !normalize_builtin(c_name, name, sizeof(name)))
		return id;
	builtin = ab_btf_builtin(name);
	if (!builtin)
		return 0;
	id = ab_btf_find(btf, builtin->name, BTF_KIND_INT);
	return id ? id : ab_btf_find(btf, builtin->other, BTF_KIND_INT);
}

/* ---- decl tags ---- */

/* The first tag of a component or behind it. */
static uint32_t first_tag(const struct ab_btf *btf, uint32_t id, int component)
{
	uint32_t from = 0, to = btf->n_tags;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		const struct tag_entry *e = &btf->tags[middle];

		if (e->target < id || (e->target == id && e->component < component))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

const char *ab_btf_tag(const struct ab_btf *btf, uint32_t id, int component, const char *prefix, unsigned nth)
{
	size_t n = strlen(prefix);

	for (; btf; btf = btf->base)
		for (uint32_t i = first_tag(btf, id, component); i < btf->n_tags; i++) {
			const struct tag_entry *e = &btf->tags[i];
			const char *name = ab_btf_name(btf, ab_btf_type(btf, e->id));

			if (e->target != id || e->component != component)
				break;
			if (!strncmp(name, prefix, n) && !nth--)
				return name + n;
		}
	return NULL;
}

/* ---- "did you mean" ---- */

/* The word before the name of a type of that kind, NULL for kinds that nobody would mean. */
static const char *keyword_of(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_STRUCT: return "struct ";
	case BTF_KIND_UNION: return "union ";
	case BTF_KIND_ENUM: case BTF_KIND_ENUM64: return "enum ";
	case BTF_KIND_TYPEDEF: return "";
	default: return NULL;
	}
}

char *ab_btf_nearest(const struct ab_btf *btf, const char *name)
{
	const char *wanted = NULL;
	uint32_t nearest = 0;
	char *found = NULL;
	int limit;

	if (skip_word(&name, "struct"))
		wanted = "struct ";
	else if (skip_word(&name, "union"))
		wanted = "union ";
	else if (skip_word(&name, "enum"))
		wanted = "enum ";
	limit = strlen(name) < 4 ? 1 : strlen(name) < 9 ? 2 : 3;
	for (uint32_t id = 1; id < btf->n && limit >= 0; id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const char *keyword = keyword_of(ab_btf_kind(t));
		int distance;

		if (!keyword || !t->name_off || (wanted && keyword != wanted && strcmp(keyword, wanted)))
			continue;
		distance = str_distance(name, ab_btf_name(btf, t), limit);
		if (distance <= limit) {
			nearest = id;
			limit = distance - 1;
		}
	}
	if (nearest) {
		const struct btf_type *t = ab_btf_type(btf, nearest);

		if (asprintf(&found, "%s%s", keyword_of(ab_btf_kind(t)), ab_btf_name(btf, t)) < 0)
			return NULL;
	}
	return found;
}
