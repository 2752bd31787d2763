/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Questions across kernels (src/btf/pack.h): definitions by name, a kernel's set of them, and small BTFs with what is
 * asked for and what that needs.
 */
#include <fnmatch.h>
#include "core.h"
#include "internal.h"
#include "pack_build.h"

/* Definitions by the number of their name, and names by text. */
struct pack_names {
	uint32_t *first, *defs; /* those with string number n are defs[first[n]] .. defs[first[n + 1] - 1] */
	uint32_t *slots, mask;  /* string numbers plus 1 by hash of the text */
};

void ab_pack_names_free(struct pack_names *names)
{
	if (!names)
		return;
	free(names->first);
	free(names->defs);
	free(names->slots);
	free(names);
}

/* ---- the index of names ---- */

static int sort_by_name(const struct ab_pack *pack, struct pack_names *names, struct ab_error *err)
{
	uint8_t kind;
	uint32_t name;
	int r = 0;

	names->first = array_new((size_t)pack->n_strings + 2, sizeof(*names->first));
	names->defs = array_new(pack->n_defs, sizeof(*names->defs));
	if (!names->first || !names->defs)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < pack->n_defs && r == 0; i++) {
		r = ab_pack_head(pack, i, &kind, &name, err);
		if (r == 0)
			names->first[name + 2]++;
	}
	for (uint32_t i = 2; i < pack->n_strings + 2; i++)
		names->first[i] += names->first[i - 1];
	for (uint32_t i = 0; i < pack->n_defs && r == 0; i++) {
		r = ab_pack_head(pack, i, &kind, &name, err);
		if (r == 0)
			names->defs[names->first[name + 1]++] = i;
	}
	return r;
}

static int hash_names(const struct ab_pack *pack, struct pack_names *names, struct ab_error *err)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < pack->n_strings; i++)
		n += names->first[i + 1] > names->first[i];
	names->mask = 1023;
	while (names->mask < 2 * n)
		names->mask = 2 * names->mask + 1;
	names->slots = array_new((size_t)names->mask + 1, sizeof(*names->slots));
	if (!names->slots)
		return ab_fail_memory(err);
	for (uint32_t i = 1; i < pack->n_strings; i++) {
		const char *s;
		uint32_t at;
		size_t size;
		int r;

		if (names->first[i + 1] == names->first[i])
			continue;
		r = ab_pack_string(pack, i, &s, &size, err);
		if (r < 0)
			return r;
		for (at = ab_pack_hash(s, size, 0) & names->mask; names->slots[at]; at = (at + 1) & names->mask)
			;
		names->slots[at] = i + 1;
	}
	return 0;
}

static int get_names(const struct ab_pack *pack, const struct pack_names **ret, struct ab_error *err)
{
	struct pack_names *names = __atomic_load_n(&pack->names, __ATOMIC_ACQUIRE), *none = NULL;
	int r;

	if (!names) {
		names = array_new(1, sizeof(*names));
		r = names ? sort_by_name(pack, names, err) : ab_fail_memory(err);
		if (r == 0)
			r = hash_names(pack, names, err);
		if (r < 0) {
			ab_pack_names_free(names);
			return r;
		}
		/* The pack is constant in what it says, not in what it has at hand. */
		if (!__atomic_compare_exchange_n((struct pack_names **)&pack->names, &none, names, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			ab_pack_names_free(names);
			names = none;
		}
	}
	*ret = names;
	return 0;
}

/* The number of a string that definitions have as their name; 0: none has. */
static int find_name(const struct ab_pack *pack, const struct pack_names *names, const char *name, size_t n, uint32_t *ret,
		     struct ab_error *err)
{
	for (uint32_t at = ab_pack_hash(name, n, 0) & names->mask; names->slots[at]; at = (at + 1) & names->mask) {
		const char *s;
		size_t size;
		int r = ab_pack_string(pack, names->slots[at] - 1, &s, &size, err);

		if (r < 0)
			return r;
		if (size == n && !memcmp(s, name, n)) {
			*ret = names->slots[at] - 1;
			return 0;
		}
	}
	*ret = 0;
	return 0;
}

/* ---- definitions by name ---- */

struct each {
	uint32_t kind;
	int (*fn)(void *ctx, uint32_t def, uint32_t kind, const char *name);
	void *ctx;
};

static int each_of_name(const struct ab_pack *pack, const struct pack_names *names, uint32_t name, const char *text,
			const struct each *each,
			struct ab_error *err)
{
	int r = 0;

	for (uint32_t i = names->first[name]; i < names->first[name + 1] && r == 0; i++) {
		uint32_t ignored;
		uint8_t kind;

		r = ab_pack_head(pack, names->defs[i], &kind, &ignored, err);
		kind &= PACK_KIND;
		if (r == 0 && kind && (!each->kind || each->kind == kind))
			r = each->fn(each->ctx, names->defs[i], kind, text);
	}
	return r;
}

int ab_pack_each_def(const struct ab_pack *pack, uint32_t kind, const char *name,
		     int (*fn)(void *ctx, uint32_t def, uint32_t kind, const char *name), void *ctx, struct ab_error *err)
{
	struct each each = { kind, fn, ctx };
	size_t literal = strcspn(name, "*?[\\"), size;
	const struct pack_names *names;
	uint32_t number;
	const char *s;
	int r = get_names(pack, &names, err);

	if (r < 0)
		return r;
	if (!name[literal]) {
		r = find_name(pack, names, name, literal, &number, err);
		return r < 0 || !number ? r : each_of_name(pack, names, number, name, &each, err);
	}
	for (uint32_t i = 1; i < pack->n_strings && r == 0; i++) {
		if (names->first[i + 1] == names->first[i])
			continue;
		r = ab_pack_string(pack, i, &s, &size, err);
		if (r == 0 && size >= literal && !memcmp(s, name, literal) && fnmatch(name, s, 0) == 0)
			r = each_of_name(pack, names, i, s, &each, err);
	}
	return r;
}

/* ---- a kernel's set ---- */

int ab_pack_defs_open(const struct ab_pack *pack, size_t kernel, struct ab_pack_defs **ret_defs, struct ab_error *err)
{
	struct ab_pack_defs *defs = array_new(1, sizeof(*defs));
	uint32_t base = pack->kernels[kernel].base;
	uint64_t *base_bits = NULL;
	int r = defs ? ab_pack_set(pack, kernel, &defs->bits, err) : ab_fail_memory(err);

	if (r == 0 && base)
		r = ab_pack_set(pack, base - 1, &base_bits, err);
	for (size_t i = 0; r == 0 && base && i < PACK_BITS(pack->n_defs); i++)
		defs->bits[i] |= base_bits[i];
	free(base_bits);
	if (r < 0) {
		ab_pack_defs_close(defs);
		return r;
	}
	defs->pack = pack;
	defs->kernel = kernel;
	*ret_defs = defs;
	return 0;
}

void ab_pack_defs_close(struct ab_pack_defs *defs)
{
	if (!defs)
		return;
	free(defs->bits);
	free(defs);
}

bool ab_pack_defs_has(const struct ab_pack_defs *defs, uint32_t def)
{
	return def < defs->pack->n_defs && defs->bits[def / 64] >> def % 64 & 1;
}

/* ---- modules ---- */

size_t ab_pack_next_module(const struct ab_pack *pack, size_t kernel, size_t after)
{
	const struct ab_kernel *key = &pack->kernels[kernel].key;

	for (size_t k = after + 1; k < pack->n_kernels && ab_kernel_is_base(key, &pack->kernels[k].key); k++)
		if (pack->kernels[k].base == kernel + 1)
			return k;
	return 0;
}

/* Definitions of one type: whether the kernel has any, and with `bits` which there are. */
struct type_defs {
	const struct ab_pack_defs *kernel;
	uint32_t kind;
	bool is_there;
	uint64_t *bits;
};

static int note_type_def(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	struct type_defs *t = ctx;

	if (kind == BTF_KIND_FWD || ab_pack_class(kind) != ab_pack_class(t->kind))
		return 0;
	t->is_there |= ab_pack_defs_has(t->kernel, def);
	if (t->bits)
		t->bits[def / 64] |= 1ull << def % 64;
	return 0;
}

/* The definitions of what the kernel does not have. */
static int find_missing(const struct ab_pack_defs *kernel, const struct ab_pack_type *types, size_t n_types, uint64_t *bits,
			struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; i < n_types && r == 0; i++) {
		_free_ char *name = strndup(types[i].name, ab_core_name_length(types[i].name));
		struct type_defs t = { .kernel = kernel, .kind = types[i].kind };

		r = name ? ab_pack_each_def(kernel->pack, 0, name, note_type_def, &t, err) : ab_fail_memory(err);
		t.bits = bits;
		if (r == 0 && !t.is_there)
			r = ab_pack_each_def(kernel->pack, 0, name, note_type_def, &t, err);
	}
	return r;
}

static bool has_common(const uint64_t *a, const uint64_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] & b[i])
			return true;
	return false;
}

int ab_pack_modules(const struct ab_pack_defs *kernel, const struct ab_pack_type *types, size_t n_types,
		    size_t **ret_modules, size_t *ret_n, struct ab_error *err)
{
	const struct ab_pack *pack = kernel->pack;
	size_t words = PACK_BITS(pack->n_defs), n = 0, k = ab_pack_next_module(pack, kernel->kernel, kernel->kernel);
	_free_ uint64_t *missing = k ? array_new(words, sizeof(*missing)) : NULL;
	_free_ size_t *modules = NULL;
	bool is_any;
	int r;

	if (!k) {
		*ret_modules = NULL;
		*ret_n = 0;
		return 0;
	}
	r = missing ? find_missing(kernel, types, n_types, missing, err) : ab_fail_memory(err);
	is_any = r == 0 && has_common(missing, missing, words);
	for (; r == 0 && is_any && k; k = ab_pack_next_module(pack, kernel->kernel, k)) {
		_free_ uint64_t *own = NULL;
		size_t *more;

		r = ab_pack_set(pack, k, &own, err);
		if (r < 0 || !has_common(own, missing, words))
			continue;
		more = reallocarray(modules, n + 1, sizeof(*more));
		if (!more)
			return ab_fail_memory(err);
		modules = more;
		modules[n++] = k;
	}
	if (r < 0)
		return r;
	*ret_modules = TAKE(modules);
	*ret_n = n;
	return 0;
}

/* ---- subsets ---- */

enum { DECLARED = 1, WHOLE };

/* One way in which kernels answered: which definitions were asked for, each with whether the kernel has it. */
struct trace {
	struct trace *next;
	uint64_t key;
	uint32_t n, looks[];
};

struct ab_pack_memory {
	struct trace *first; /* the last one used */
};

enum { LOOK_HAS = 1u << 31 };

struct subset {
	const struct ab_pack *pack;
	const struct ab_pack_defs *defs;
	const struct pack_names *names;
	struct ab_error *err;
	uint8_t *state;            /* by definition */
	uint32_t *queue, n, done, cap; /* a definition is in it once for each state it got */
	uint32_t *looks, n_looks, cap_looks; /* as of a trace, in any order; only if they are remembered */
	bool deep, remember;
	int fault;
};

/* A list of numbers with one more. */
static bool append(uint32_t **list, uint32_t *n, uint32_t *cap, uint32_t number)
{
	if (*n == *cap) {
		uint32_t more = MAX(2 * *cap, 256);
		uint32_t *grown = reallocarray(*list, more, sizeof(*grown));

		if (!grown)
			return false;
		*list = grown;
		*cap = more;
	}
	(*list)[(*n)++] = number;
	return true;
}

/* Whether the kernel has a definition: on nothing else does a subset depend. */
static bool look(struct subset *s, uint32_t def)
{
	bool has = ab_pack_defs_has(s->defs, def);

	if (s->remember && !append(&s->looks, &s->n_looks, &s->cap_looks, has ? def | LOOK_HAS : def))
		s->fault = ab_fail_memory(s->err);
	return has;
}

static void want(struct subset *s, uint32_t def, uint8_t state)
{
	if (s->state[def] >= state)
		return;
	s->state[def] = state;
	if (!append(&s->queue, &s->n, &s->cap, def))
		s->fault = ab_fail_memory(s->err);
}

/* The definition of the kernel that a reference means; NONE if it has only another. */
static int find_target(struct subset *s, uint8_t class, uint32_t name, uint32_t variant, uint32_t *ret)
{
	*ret = UINT32_MAX;
	for (uint32_t i = s->names->first[name]; i < s->names->first[name + 1]; i++) {
		uint32_t number = s->names->defs[i], ignored;
		struct pack_def def;
		uint8_t kind;
		int r;

		if (!look(s, number))
			continue;
		r = ab_pack_head(s->pack, number, &kind, &ignored, s->err);
		if (r < 0)
			return r;
		if (ab_pack_class(kind) != class || !(kind & PACK_VARIANT) != !variant)
			continue;
		if (variant) {
			r = ab_pack_def(s->pack, number, &def, s->err);
			if (r < 0)
				return r;
			if (def.size < 4 || get_le32(def.body) != variant)
				continue;
		}
		*ret = number;
		return 0;
	}
	return 0;
}

/* What is only pointed to is declared, if it can be: a struct or union then has no need to be there. */
static void collect(struct builder *b, uint8_t class, uint32_t name, uint32_t variant)
{
	struct subset *s = b->ctx;
	bool behind = b->behind && !s->deep;
	uint32_t target;
	int r;

	if (behind && (class == PACK_STRUCT || class == PACK_UNION))
		return;
	r = find_target(s, class, name, variant, &target);
	if (r < 0 && !s->fault)
		s->fault = r;
	if (r == 0 && target != UINT32_MAX)
		want(s, target, behind ? DECLARED : WHOLE);
}

static int close_subset(struct subset *s)
{
	struct builder b;
	int r = ab_builder_init(&b, s->pack, s->err);

	if (r < 0)
		return r;
	b.collect = collect;
	b.ctx = s;
	while (s->done < s->n && r == 0 && !s->fault) {
		uint32_t def = s->queue[s->done++];

		b.behind = s->state[def] == DECLARED;
		b.named.n = 0;
		r = ab_builder_def(&b, def, 1);
	}
	ab_builder_clear(&b);
	return r < 0 ? r : s->fault;
}

/* "struct x", "union x", "enum x": one class; a plain name: every kind. */
static int want_name(struct subset *s, const char *name)
{
	static const struct { const char *prefix; enum pack_class class; } tags[] = {
		{ "struct ", PACK_STRUCT }, { "union ", PACK_UNION }, { "enum ", PACK_ENUM },
	};
	enum pack_class class = PACK_CLASSES;
	uint32_t number, ignored;
	uint8_t kind;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		if (str_starts(name, tags[i].prefix)) {
			class = tags[i].class;
			name += strlen(tags[i].prefix);
		}
	r = find_name(s->pack, s->names, name, strlen(name), &number, s->err);
	if (r == 0 && !number) {
		const struct builtin *builtin = ab_btf_builtin(name);

		/* Compilers spell the integers differently. */
		r = builtin ? find_name(s->pack, s->names, builtin->name, strlen(builtin->name), &number, s->err) : 0;
		if (r == 0 && builtin && !number)
			r = find_name(s->pack, s->names, builtin->other, strlen(builtin->other), &number, s->err);
	}
	for (uint32_t i = number ? s->names->first[number] : 0; r == 0 && number && i < s->names->first[number + 1]; i++) {
		if (!look(s, s->names->defs[i]))
			continue;
		r = ab_pack_head(s->pack, s->names->defs[i], &kind, &ignored, s->err);
		if (r == 0 && (class == PACK_CLASSES || ab_pack_class(kind) == class))
			want(s, s->names->defs[i], WHOLE);
	}
	return r;
}

static int build_subset(const struct subset *s, struct ab_btf **ret_btf)
{
	_free_ uint64_t *bits = array_new(PACK_BITS(s->pack->n_defs), sizeof(*bits));
	_free_ void *btf = NULL;
	struct builder b;
	size_t size;
	int r = bits ? ab_builder_init(&b, s->pack, s->err) : ab_fail_memory(s->err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < s->n; i++)
		bits[s->queue[i] / 64] |= 1ull << s->queue[i] % 64;
	b.partial = true;
	r = ab_builder_add(&b, bits);
	if (r == 0)
		r = ab_builder_finish(&b, &btf, &size);
	ab_builder_clear(&b);
	return r < 0 ? r : ab_btf_open_mem(btf, size, ret_btf, s->err);
}

/* Of the definitions, each once, in order. */
static uint64_t subset_key(struct subset *s)
{
	s->n = ab_sort_unique(s->queue, s->n);
	return ab_pack_hash(s->queue, s->n * sizeof(*s->queue), s->deep);
}

/* ---- memory of subsets ---- */

void ab_pack_memory_free(struct ab_pack_memory *memory)
{
	while (memory && memory->first) {
		struct trace *next = memory->first->next;

		free(memory->first);
		memory->first = next;
	}
	free(memory);
}

static bool answers_alike(const struct ab_pack_defs *defs, const struct trace *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (ab_pack_defs_has(defs, t->looks[i] & ~LOOK_HAS) != !!(t->looks[i] & LOOK_HAS))
			return false;
	return true;
}

static bool recall(struct ab_pack_memory *memory, const struct ab_pack_defs *defs, uint64_t *ret_key)
{
	for (struct trace **at = &memory->first; *at; at = &(*at)->next) {
		struct trace *t = *at;

		if (!answers_alike(defs, t))
			continue;
		*at = t->next;
		t->next = memory->first;
		memory->first = t;
		*ret_key = t->key;
		return true;
	}
	return false;
}

static int remember(struct ab_pack_memory *memory, struct subset *s, uint64_t key)
{
	uint32_t n = ab_sort_unique(s->looks, s->n_looks);
	struct trace *t = malloc(sizeof(*t) + n * sizeof(*t->looks));

	if (!t)
		return ab_fail_memory(s->err);
	t->next = memory->first;
	t->key = key;
	t->n = n;
	if (n) /* of none the list is NULL */
		memcpy(t->looks, s->looks, n * sizeof(*t->looks));
	memory->first = t;
	return 0;
}

/* ---- */

static bool is_skipped(const struct ab_pack_subset_opts *opts, uint64_t key)
{
	for (size_t i = 0; i < opts->n_skip; i++)
		if (opts->skip_keys[i] == key)
			return true;
	return false;
}

static int find_subset(struct subset *s, const struct ab_pack_subset_opts *opts)
{
	int r = get_names(s->pack, &s->names, s->err);

	s->state = array_new(s->pack->n_defs, 1);
	if (r == 0 && !s->state)
		r = ab_fail_memory(s->err);
	for (size_t i = 0; i < opts->n_names && r == 0; i++)
		r = want_name(s, opts->names[i]);
	if (r == 0)
		r = s->fault ? s->fault : close_subset(s);
	return r;
}

static int make_subset(struct subset *s, const struct ab_pack_subset_opts *opts, struct ab_btf **ret_btf, uint64_t *ret_key)
{
	int r = find_subset(s, opts);

	if (r < 0)
		return r;
	*ret_key = subset_key(s);
	if (s->remember)
		r = remember(*opts->memory, s, *ret_key);
	return r < 0 || is_skipped(opts, *ret_key) ? r : build_subset(s, ret_btf);
}

int ab_pack_subset(const struct ab_pack *pack, const struct ab_pack_defs *defs, const struct ab_pack_subset_opts *opts,
		   struct ab_btf **ret_btf, uint64_t *ret_key, struct ab_error *err)
{
	struct subset s = { .pack = pack, .defs = defs, .err = err, .deep = opts->deep };
	struct ab_btf *btf = NULL;
	uint64_t key = 0;
	int r = 0;

	if (opts->memory && !*opts->memory)
		*opts->memory = array_new(1, sizeof(**opts->memory));
	if (opts->memory && !*opts->memory)
		return ab_fail_memory(err);
	s.remember = opts->memory && !recall(*opts->memory, defs, &key);
	if (!opts->memory || s.remember || !is_skipped(opts, key))
		r = make_subset(&s, opts, &btf, &key);
	free(s.state);
	free(s.queue);
	free(s.looks);
	if (r < 0)
		return r;
	*ret_btf = btf;
	if (ret_key)
		*ret_key = key;
	return 0;
}
