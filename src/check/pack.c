/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The verdict for a kernel of a pack. Definitions are shared between kernels, so what was answered for one set of
 * definitions is the answer for every kernel that has the same.
 */
#include <btf/pack.h>
#include "check.h"

/* A question as definitions of the pack: any of them is a yes. */
struct ids {
	uint32_t *list;
	size_t n;
};

/* What is remembered of a pack. */
struct pack_memory {
	struct ids *questions;
	uint64_t *abi_keys;     /* of the enums that were seen */
	struct abi *abis;
	size_t n_abis;
	struct ab_pack_memory *abi_subsets, **group_subsets; /* of each group */
	uint64_t *facts;        /* of all entries of the pack, one after the other; NULL: not asked yet */
};

static const char *const abi_names[] = { "enum bpf_prog_type", "enum bpf_map_type", "enum bpf_attach_type",
					 "enum bpf_func_id" };

void ab_check_free_memory(struct ab_check *check)
{
	struct pack_memory *memory = check->memory;

	for (size_t i = 0; memory && memory->questions && i < check->n_questions; i++)
		free(memory->questions[i].list);
	if (memory) {
		free(memory->questions);
		free(memory->abi_keys);
		free(memory->abis);
		ab_pack_memory_free(memory->abi_subsets);
		for (size_t i = 0; memory->group_subsets && i < check->n_groups; i++)
			ab_pack_memory_free(memory->group_subsets[i]);
		free(memory->group_subsets);
		free(memory->facts);
	}
	free(memory);
	ab_check_free_missing(check);
	check->memory = NULL;
	check->pack = NULL;
}

/* ---- questions ---- */

static int add_id(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	struct ids *ids = ctx;
	uint32_t *more;

	if (!(ids->n & (ids->n - 1))) {
		more = reallocarray(ids->list, ids->n ? 2 * ids->n : 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		ids->list = more;
	}
	ids->list[ids->n++] = def;
	return 0;
}

static int find_ids(const struct ab_pack *pack, const struct question *q, struct ids *ids, struct ab_error *err)
{
	_free_ char *names = strdup(q->name);
	char *rest = NULL;
	int r = 0;

	if (!names)
		return ab_fail_memory(err);
	for (char *name = strtok_r(names, "|", &rest); !r && name; name = strtok_r(NULL, "|", &rest))
		r = ab_pack_each_def(pack, q->kind, name, add_id, ids, err);
	return r == -ENOMEM ? ab_fail_memory(err) : r;
}

/* Begins anew with another pack. */
static int use_pack(struct ab_check *check, const struct ab_pack *pack, struct ab_error *err)
{
	struct pack_memory *memory;
	int r = 0;

	if (check->pack == pack)
		return 0;
	ab_check_free_memory(check);
	memory = check->memory = calloc(1, sizeof(*memory));
	if (memory) {
		memory->questions = array_new(check->n_questions, sizeof(*memory->questions));
		memory->group_subsets = array_new(check->n_groups, sizeof(*memory->group_subsets));
	}
	if (!memory || !memory->questions || !memory->group_subsets)
		return ab_fail_memory(err);
	for (size_t i = 0; !r && i < check->n_questions; i++)
		r = find_ids(pack, &check->questions[i], &memory->questions[i], err);
	if (!r)
		check->pack = pack;
	return r;
}

static void answer_questions(const struct ab_check *check, const struct ab_pack_defs *defs, uint64_t *facts)
{
	for (size_t i = 0; i < check->n_questions; i++) {
		const struct ids *ids = &check->memory->questions[i];

		for (size_t k = 0; k < ids->n; k++)
			if (ab_pack_defs_has(defs, ids->list[k]))
				add_fact(facts, i);
	}
}

/* ---- enums and groups ---- */

static int answer_abi(struct ab_check *check, const struct ab_pack_defs *defs, struct abi *ret, struct ab_error *err)
{
	struct pack_memory *m = check->memory;
	struct ab_pack_subset_opts opts = {
		.names = abi_names, .n_names = ARRAY_SIZE(abi_names), .skip_keys = m->abi_keys, .n_skip = m->n_abis,
		.memory = &m->abi_subsets
	};
	struct ab_btf *types;
	struct abi *abis;
	uint64_t key, *keys;
	int r = ab_pack_subset(check->pack, defs, &opts, &types, &key, err);

	if (r < 0)
		return r;
	for (size_t i = 0; !types && i < m->n_abis; i++)
		if (m->abi_keys[i] == key)
			*ret = m->abis[i];
	if (!types)
		return 0;
	ab_check_read_abi(types, ret);
	ab_btf_close(types);
	keys = reallocarray(m->abi_keys, m->n_abis + 1, sizeof(*keys));
	if (keys)
		m->abi_keys = keys;
	abis = keys ? reallocarray(m->abis, m->n_abis + 1, sizeof(*abis)) : NULL;
	if (!abis)
		return ab_fail_memory(err);
	m->abis = abis;
	abis[m->n_abis] = *ret;
	keys[m->n_abis++] = key;
	return 0;
}

/* The modules of a kernel that have what the group asks for and the kernel has not. */
static int find_modules(const struct ab_check *check, const struct ab_pack_defs *defs, const struct group *g, size_t **ret_modules,
			size_t *ret_n, struct ab_error *err)
{
	struct ab_pack_type types[64];
	uint64_t seen = 0;
	size_t n = 0;

	for (size_t i = 0; g->map == NONE && i < g->n_relos; i++) {
		const struct ab_core_spec *spec = &check->code.relos[g->relos[i]].spec;
		uint32_t kind = ab_btf_kind(ab_btf_type(check->btf, spec->root));

		if (kind >= ARRAY_SIZE(types) || seen >> kind & 1 || spec->kind == BPF_CORE_TYPE_ID_LOCAL)
			continue;
		seen |= 1ull << kind;
		types[n++] = (struct ab_pack_type){ kind, g->names[0] };
	}
	return ab_pack_modules(defs, types, n, ret_modules, ret_n, err);
}

static int get_module(const struct ab_check *check, const struct group *g, size_t module, struct ab_btf **ret_types,
		      uint64_t *ret_key, struct ab_error *err)
{
	struct ab_pack_subset_opts opts = { .names = g->names, .n_names = g->n_names };
	struct ab_pack_defs *defs;
	int r = ab_pack_defs_open(check->pack, module, &defs, err);

	if (r < 0)
		return r;
	r = ab_pack_subset(check->pack, defs, &opts, ret_types, ret_key, err);
	ab_pack_defs_close(defs);
	return r;
}

/* Equal definitions in the kernel and in all of the modules are one answer. */
static int answer_by_modules(struct ab_check *check, const struct ab_pack_defs *defs, struct group *g, const size_t *modules,
			     size_t n, struct answers **ret, struct ab_error *err)
{
	struct ab_pack_subset_opts opts = { .names = g->names, .n_names = g->n_names };
	struct ab_btf **btfs = array_new(n + 1, sizeof(*btfs));
	uint64_t key = 0, own;
	int r = btfs ? ab_pack_subset(check->pack, defs, &opts, &btfs[0], &key, err) : ab_fail_memory(err);

	for (size_t i = 0; !r && i < n; i++) {
		r = get_module(check, g, modules[i], &btfs[i + 1], &own, err);
		key = (key ^ own) * 0x9e3779b97f4a7c15ull;
	}
	if (!r) {
		const struct check_types types = { btfs[0], (const struct ab_btf *const *)btfs + 1, n };

		*ret = ab_check_remembered(g, key);
		r = *ret ? 0 : ab_check_resolve(check, g, &types, key, ret, err);
	}
	for (size_t i = 0; btfs && i <= n; i++)
		ab_btf_close(btfs[i]);
	free(btfs);
	return r;
}

static int answer_group(struct ab_check *check, const struct ab_pack_defs *defs, struct group *g, struct answers **ret,
			struct ab_error *err)
{
	struct ab_pack_subset_opts opts = {
		.names = g->names, .n_names = g->n_names, .skip_keys = g->keys, .n_skip = g->n_answers,
		.memory = &check->memory->group_subsets[g - check->groups]
	};
	_free_ size_t *modules = NULL;
	struct ab_btf *types;
	size_t n_modules = 0;
	uint64_t key;
	int r = find_modules(check, defs, g, &modules, &n_modules, err);

	if (!r && n_modules)
		return answer_by_modules(check, defs, g, modules, n_modules, ret, err);
	if (!r)
		r = ab_pack_subset(check->pack, defs, &opts, &types, &key, err);
	if (r < 0)
		return r;
	if (types) {
		r = ab_check_resolve(check, g, &(struct check_types){ types, NULL, 0 }, key, ret, err);
		ab_btf_close(types);
		return r;
	}
	*ret = ab_check_remembered(g, key);
	return *ret ? 0 : ab_fail(err, AB_ERROR_INTERNAL, -EINVAL, "a set of definitions that was never seen");
}

static bool lacks_something(const struct answers *answers)
{
	for (size_t i = 0; i < answers->n; i++)
		if (answers->list[i].message)
			return true;
	return false;
}

/* When a kernel lacks something, all of the pack are asked which have it. */
static int find_history(struct ab_check *check, struct group *g, struct ab_error *err)
{
	size_t n = ab_pack_count(check->pack);
	_free_ struct answers **of = array_new(n, sizeof(*of));
	struct ab_pack_defs *defs;
	int r = of ? 0 : ab_fail_memory(err);

	for (size_t k = 0; !r && k < n; k++) {
		if (*ab_pack_kernel(check->pack, k)->module)
			continue;
		r = ab_pack_defs_open(check->pack, k, &defs, err);
		if (r < 0)
			break;
		r = answer_group(check, defs, g, &of[k], err);
		ab_pack_defs_close(defs);
	}
	if (!r && ab_check_add_history(check->pack, g, of) < 0)
		r = ab_fail_memory(err);
	return r;
}

static int answer_groups(struct ab_check *check, const struct ab_pack_defs *defs, struct answers **groups,
			 struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < check->n_groups; i++) {
		struct group *g = &check->groups[i];

		r = answer_group(check, defs, g, &groups[i], err);
		if (!r && !g->has_history && g->map == NONE && lacks_something(groups[i]))
			r = find_history(check, g, err);
	}
	return r;
}

/* ---- modules ---- */

static bool has_all(const struct ab_check *check, const uint64_t *facts)
{
	for (size_t i = 0; i < check->n_questions; i++)
		if (!has_fact(facts, i))
			return false;
	return true;
}

/* What the kernel itself does not have may be in one of its modules. */
static int ask_modules(struct ab_check *check, size_t kernel, uint64_t *facts, struct ab_error *err)
{
	int r = 0;

	for (size_t k = kernel; !r && !has_all(check, facts) && (k = ab_pack_next_module(check->pack, kernel, k));) {
		struct ab_pack_defs *defs;

		r = ab_pack_defs_open(check->pack, k, &defs, err);
		if (r < 0)
			break;
		answer_questions(check, defs, facts);
		ab_pack_defs_close(defs);
	}
	return r;
}

/* ---- targets that are missing ---- */

static bool lacks_target(const struct ab_check *check, const uint64_t *facts)
{
	for (size_t i = 0; i < check->n_programs + check->code.n_externals; i++) {
		const char *target;
		uint32_t q = ab_check_asked(check, i, &target);

		if (q != NONE && !has_fact(facts, q))
			return true;
	}
	return false;
}

/* What all kernels of the pack answer, so that it can be said which have what one lacks. */
static int ask_all(struct ab_check *check, struct ab_error *err)
{
	size_t n = ab_pack_count(check->pack), words = (check->n_questions + 63) / 64;
	_free_ uint64_t *facts = array_new(n * words, sizeof(*facts));
	int r = facts ? 0 : ab_fail_memory(err);

	for (size_t k = 0; !r && k < n; k++) {
		struct ab_pack_defs *defs;

		if (*ab_pack_kernel(check->pack, k)->module)
			continue;
		r = ab_pack_defs_open(check->pack, k, &defs, err);
		if (r < 0)
			break;
		answer_questions(check, defs, facts + k * words);
		ab_pack_defs_close(defs);
		r = ask_modules(check, k, facts + k * words, err);
	}
	if (!r)
		r = ab_check_new_missing(check, err);
	if (!r)
		check->memory->facts = TAKE(facts);
	return r;
}

static int find_hints(struct ab_check *check, const struct ab_pack_defs *defs, size_t kernel, const uint64_t *facts,
		      const char **hints, struct ab_error *err)
{
	int r = 0;

	if (!lacks_target(check, facts))
		return 0;
	if (!check->memory->facts)
		r = ask_all(check, err);
	return r ? r : ab_check_find_missing(check, kernel, defs, check->memory->facts, hints, err);
}

/* ---- a kernel ---- */

static int check_defs(struct ab_check *check, const struct ab_pack_defs *defs, size_t index,
		      const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	_free_ uint64_t *facts = array_new((check->n_questions + 63) / 64, sizeof(*facts));
	_free_ struct answers **groups = array_new(check->n_groups, sizeof(*groups));
	_free_ const char **hints = array_new(check->n_questions, sizeof(*hints));
	const struct ab_kernel *of = ab_pack_kernel(check->pack, index);
	struct kernel kernel = { .facts = facts, .hints = hints, .groups = groups };
	int r;

	if (!facts || !groups || !hints)
		return ab_fail_memory(err);
	answer_questions(check, defs, facts);
	r = ask_modules(check, index, facts, err);
	if (!r)
		r = find_hints(check, defs, index, facts, hints, err);
	if (!r)
		r = answer_abi(check, defs, &kernel.abi, err);
	if (!r)
		r = answer_groups(check, defs, groups, err);
	if (r < 0)
		return r;
	ab_check_set_release(check, &kernel, of->release, of->arch);
	return ab_check_conclude(check, &kernel, ret_verdict, err);
}

int ab_check_pack(struct ab_check *check, const struct ab_pack *pack, size_t kernel,
		  const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	struct ab_pack_defs *defs;
	int r;

	if (kernel >= ab_pack_count(pack) || *ab_pack_kernel(pack, kernel)->module)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "there is no kernel %zu in the pack", kernel);
	r = use_pack(check, pack, err);
	if (!r)
		r = ab_pack_defs_open(pack, kernel, &defs, err);
	if (r < 0)
		return r;
	r = check_defs(check, defs, kernel, ret_verdict, err);
	ab_pack_defs_close(defs);
	return r;
}
