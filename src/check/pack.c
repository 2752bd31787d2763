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
	}
	free(memory);
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
	if (memory)
		memory->questions = array_new(check->n_questions, sizeof(*memory->questions));
	if (!memory || !memory->questions)
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
				facts[i / 64] |= 1ULL << i % 64;
	}
}

/* ---- enums and groups ---- */

static int answer_abi(struct ab_check *check, const struct ab_pack_defs *defs, struct abi *ret, struct ab_error *err)
{
	struct pack_memory *m = check->memory;
	struct ab_pack_subset_opts opts = {
		.names = abi_names, .n_names = ARRAY_SIZE(abi_names), .skip_keys = m->abi_keys, .n_skip = m->n_abis
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

static int answer_group(struct ab_check *check, const struct ab_pack_defs *defs, struct group *g, struct answers **ret,
			struct ab_error *err)
{
	struct ab_pack_subset_opts opts = {
		.names = g->names, .n_names = g->n_names, .skip_keys = g->keys, .n_skip = g->n_answers
	};
	struct ab_btf *types;
	uint64_t key;
	int r = ab_pack_subset(check->pack, defs, &opts, &types, &key, err);

	if (r < 0)
		return r;
	if (types) {
		r = ab_check_resolve(check, g, types, key, ret, err);
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

static bool same_kernel(const struct ab_kernel *a, const struct ab_kernel *b)
{
	return !strcmp(a->release, b->release) && !strcmp(a->arch, b->arch) && !strcmp(a->distribution, b->distribution) &&
	       !strcmp(a->flavour, b->flavour);
}

/* What the kernel itself does not have may be in one of its modules, which follow it in the pack. */
static int answer_by_modules(struct ab_check *check, size_t kernel, uint64_t *facts, struct ab_error *err)
{
	const struct ab_kernel *of = ab_pack_kernel(check->pack, kernel);
	int r = 0;

	for (size_t k = kernel + 1; !r && k < ab_pack_count(check->pack); k++) {
		const struct ab_kernel *module = ab_pack_kernel(check->pack, k);
		struct ab_pack_defs *defs;

		if (!same_kernel(of, module) || !*module->module)
			break;
		r = ab_pack_defs_open(check->pack, k, &defs, err);
		if (r < 0)
			break;
		answer_questions(check, defs, facts);
		ab_pack_defs_close(defs);
	}
	return r;
}

/* ---- a kernel ---- */

static int check_defs(struct ab_check *check, const struct ab_pack_defs *defs, size_t index,
		      const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	_free_ uint64_t *facts = array_new((check->n_questions + 63) / 64, sizeof(*facts));
	_free_ struct answers **groups = array_new(check->n_groups, sizeof(*groups));
	const struct ab_kernel *of = ab_pack_kernel(check->pack, index);
	struct kernel kernel = { .facts = facts, .groups = groups };
	int r;

	if (!facts || !groups)
		return ab_fail_memory(err);
	answer_questions(check, defs, facts);
	r = answer_by_modules(check, index, facts, err);
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
