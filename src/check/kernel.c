/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What one kernel's types answer, and the verdict for a kernel by its raw BTF. */
#include <fnmatch.h>
#include "check.h"

/* ---- groups of relocations ---- */

static void free_answers(struct answers *a)
{
	for (size_t i = 0; a && i < a->n; i++) {
		free(a->list[i].message);
		free(a->list[i].hint);
	}
	if (a)
		free(a->list);
	free(a);
}

void ab_check_forget(struct group *group)
{
	for (size_t i = 0; i < group->n_answers; i++)
		free_answers(group->answers[i]);
	free(group->answers);
	free(group->keys);
	group->answers = NULL;
	group->keys = NULL;
	group->n_answers = 0;
}

struct answers *ab_check_remembered(const struct group *group, uint64_t key)
{
	for (size_t i = 0; i < group->n_answers; i++)
		if (group->keys[i] == key)
			return group->answers[i];
	return NULL;
}

static int remember(struct group *group, uint64_t key, struct answers *answers)
{
	struct answers **list = reallocarray(group->answers, group->n_answers + 1, sizeof(*list));
	uint64_t *keys;

	if (!list)
		return -ENOMEM;
	group->answers = list;
	keys = reallocarray(group->keys, group->n_answers + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	group->keys = keys;
	list[group->n_answers] = answers;
	keys[group->n_answers++] = key;
	return 0;
}

/* Whether what is missing is an answer like any other: code asks for it. */
static bool is_question(enum bpf_core_relo_kind kind)
{
	return kind == BPF_CORE_FIELD_EXISTS || kind == BPF_CORE_TYPE_EXISTS || kind == BPF_CORE_TYPE_MATCHES ||
	       kind == BPF_CORE_ENUMVAL_EXISTS || kind == BPF_CORE_TYPE_ID_LOCAL;
}

/* Whose types say why there is no answer: those that have the type. */
static const struct ab_btf *find_owner(const struct check_types *types, const struct ab_core_spec *spec)
{
	if (ab_check_find_type(types->kernel, spec->btf, spec->root))
		return types->kernel;
	for (size_t i = 0; i < types->n_modules; i++)
		if (ab_check_find_type(types->modules[i], spec->btf, spec->root))
			return types->modules[i];
	return types->kernel;
}

static int resolve_relo(const struct relo *relo, struct ab_core_target *target, const struct check_types *types,
			struct answer *a, struct ab_error *err)
{
	_text_ struct text why = {};
	int r = ab_core_target_resolve(target, &relo->spec, &a->value, &why, err);

	if (r < 0 || (a->value.status == AB_CORE_OK && !a->value.poison && !a->value.fixed_size))
		return r;
	if (a->value.status == AB_CORE_MISSING && is_question(relo->spec.kind))
		return 0;
	if (ab_check_explain(&relo->spec, &a->value, find_owner(types, &relo->spec), why.p, &a->message, &a->hint) < 0)
		return ab_fail_memory(err);
	return 0;
}

static int resolve_all(struct ab_check *check, struct group *group, const struct check_types *types, struct answers *answers,
		       struct ab_error *err)
{
	struct ab_core_target *target;
	int r;

	if (group->map != NONE)
		return ab_check_compare_ops(check, &check->maps[group->map], types->kernel, &answers->list[0], err);
	r = ab_core_target_new(types->kernel, types->modules, types->n_modules, &target, err);
	if (r < 0)
		return r;
	for (size_t i = 0; !r && i < group->n_relos; i++)
		r = resolve_relo(&check->code.relos[group->relos[i]], target, types, &answers->list[i], err);
	ab_core_target_free(target);
	return r;
}

int ab_check_resolve(struct ab_check *check, struct group *group, const struct check_types *types, uint64_t key,
		     struct answers **ret, struct ab_error *err)
{
	struct answers *answers = calloc(1, sizeof(*answers));
	int r;

	if (!answers)
		return ab_fail_memory(err);
	answers->n = MAX(group->n_relos, 1u);
	answers->list = array_new(answers->n, sizeof(*answers->list));
	r = answers->list ? resolve_all(check, group, types, answers, err) : ab_fail_memory(err);
	if (!r && remember(group, key, answers) < 0)
		r = ab_fail_memory(err);
	if (r < 0) {
		free_answers(answers);
		return r;
	}
	*ret = answers;
	return 0;
}

/* ---- enums of the BPF ABI ---- */

static void read_enum(const struct ab_btf *types, const char *name, uint64_t *set)
{
	uint32_t id = ab_btf_find(types, name, BTF_KIND_ENUM);
	const struct btf_type *t = ab_btf_type(types, id);
	const struct btf_enum *e = ab_btf_data(t);

	for (uint32_t i = 0; id && i < ab_btf_vlen(t); i++) {
		/* "__MAX_BPF_ATTACH_TYPE" and the like are no values of their own */
		if (str_starts(ab_btf_str(types, e[i].name_off), "__") || (uint32_t)e[i].val >= ABI_BITS)
			continue;
		set[e[i].val / 64] |= 1ULL << e[i].val % 64;
	}
}

void ab_check_read_abi(const struct ab_btf *types, struct abi *ret)
{
	*ret = (struct abi){};
	read_enum(types, "bpf_prog_type", ret->programs);
	read_enum(types, "bpf_map_type", ret->maps);
	read_enum(types, "bpf_attach_type", ret->attaches);
	read_enum(types, "bpf_func_id", ret->helpers);
}

/* ---- questions ---- */

static bool is_glob(const char *name)
{
	return strpbrk(name, "*?[");
}

/* Questions by the names that they would be satisfied with. */
static int index_questions(const struct ab_check *check, struct strmap *names)
{
	for (size_t i = 0; i < check->n_questions; i++) {
		const char *p = check->questions[i].name;

		for (size_t n; *p; p += n + (p[n] == '|')) {
			n = strcspn(p, "|");
			if (!strmap_put(names, p, n, NULL))
				return -ENOMEM;
		}
	}
	return 0;
}

static bool matches(const char *pattern, const char *name)
{
	size_t length = strlen(name);

	if (is_glob(pattern))
		return !fnmatch(pattern, name, 0);
	for (size_t n; *pattern; pattern += n + (pattern[n] == '|')) {
		n = strcspn(pattern, "|");
		if (n == length && !memcmp(pattern, name, n))
			return true;
	}
	return false;
}

static void answer_name(const struct ab_check *check, uint32_t kind, const char *name, uint64_t *facts)
{
	for (size_t i = 0; i < check->n_questions; i++)
		if (check->questions[i].kind == kind && matches(check->questions[i].name, name))
			add_fact(facts, i);
}

/* One walk over all types, since functions have no index. */
static int answer_questions(const struct ab_check *check, const struct ab_btf *types, uint64_t *facts, struct ab_error *err)
{
	_strmap_ struct strmap names = {};
	bool globs = false;

	if (index_questions(check, &names) < 0)
		return ab_fail_memory(err);
	for (size_t i = 0; i < check->n_questions; i++)
		globs |= is_glob(check->questions[i].name);
	for (uint32_t id = 1; id < ab_btf_count(types); id++) {
		const struct btf_type *t = ab_btf_type(types, id);
		uint32_t kind = ab_btf_kind(t);
		const char *name;

		if (kind != BTF_KIND_FUNC && kind != BTF_KIND_STRUCT && kind != BTF_KIND_TYPEDEF && kind != BTF_KIND_VAR)
			continue;
		name = ab_btf_name(types, t);
		if (*name && ((globs && kind == BTF_KIND_FUNC) || strmap_find(&names, name, strlen(name))))
			answer_name(check, kind, name, facts);
	}
	return 0;
}

/* ---- verdicts ---- */

static uint64_t hash_bytes(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

static struct verdict *find_verdict(const struct ab_check *check, const struct text *key, uint64_t hash)
{
	struct verdict *v = check->verdicts;

	while (v && (v->hash != hash || v->key_size != key->n || memcmp(v->key, key->p, key->n)))
		v = v->next;
	return v;
}

int ab_check_conclude(struct ab_check *check, const struct kernel *kernel, const struct ab_check_verdict **ret,
		      struct ab_error *err)
{
	_text_ struct text key = {};
	struct verdict *verdict;
	uint64_t hash;
	int r;

	text_add(&key, (const char *)&kernel->abi, sizeof(kernel->abi));
	text_add(&key, (const char *)&kernel->features, sizeof(kernel->features));
	text_add(&key, (const char *)&kernel->version, sizeof(kernel->version));
	text_add(&key, (const char *)kernel->facts, (check->n_questions + 63) / 64 * sizeof(*kernel->facts));
	if (kernel->hints)
		text_add(&key, (const char *)kernel->hints, check->n_questions * sizeof(*kernel->hints));
	text_add(&key, (const char *)kernel->groups, check->n_groups * sizeof(*kernel->groups));
	if (key.failed)
		return ab_fail_memory(err);
	hash = hash_bytes(key.p, key.n);
	verdict = find_verdict(check, &key, hash);
	if (!verdict) {
		r = ab_check_judge(check, kernel, &verdict, err);
		if (r < 0)
			return r;
		verdict->hash = hash;
		verdict->key_size = key.n;
		verdict->key = text_take(&key);
		verdict->next = check->verdicts;
		check->verdicts = verdict;
	}
	*ret = &verdict->pub;
	return 0;
}

static int answer_groups(struct ab_check *check, const struct ab_btf *types, uint64_t key, struct answers **groups,
			 struct ab_error *err)
{
	const struct check_types alone = { .kernel = types };
	int r = 0;

	for (size_t i = 0; !r && i < check->n_groups; i++) {
		groups[i] = ab_check_remembered(&check->groups[i], key);
		if (!groups[i])
			r = ab_check_resolve(check, &check->groups[i], &alone, key, &groups[i], err);
	}
	return r;
}

int ab_check_types(struct ab_check *check, const struct ab_btf *types, uint64_t key, const char *release, const char *arch,
		   const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	_free_ uint64_t *facts = array_new((check->n_questions + 63) / 64, sizeof(*facts));
	_free_ struct answers **groups = array_new(check->n_groups, sizeof(*groups));
	_free_ const char **hints = array_new(check->n_questions, sizeof(*hints));
	struct kernel kernel = { .facts = facts, .hints = hints, .groups = groups };
	int r;

	if (!facts || !groups || !hints)
		return ab_fail_memory(err);
	r = answer_questions(check, types, facts, err);
	if (!r)
		r = ab_check_find_alike(check, types, facts, hints, err);
	if (!r)
		r = answer_groups(check, types, key, groups, err);
	if (r < 0)
		return r;
	ab_check_read_abi(types, &kernel.abi);
	ab_check_set_release(check, &kernel, release, arch);
	return ab_check_conclude(check, &kernel, ret_verdict, err);
}

int ab_check_btf(struct ab_check *check, const void *btf, size_t size, const char *release, const char *arch,
		 const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	struct ab_btf *types;
	int r = ab_btf_open_mem(btf, size, &types, err);

	if (r < 0)
		return r;
	r = ab_check_types(check, types, hash_bytes(btf, size), release, arch, ret_verdict, err);
	ab_btf_close(types);
	return r;
}
