/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An object as things to ask kernels: where its programs attach, what its maps are, and its relocations in groups.
 *
 * It is opened as `anybpf run` opens it (src/run/object.c), so that programs, maps and what is optional mean the same
 * here and there.
 */
#include "check.h"

/* ---- texts and questions ---- */

const char *ab_check_keep(struct ab_check *check, const char *s)
{
	struct strmap_entry *e = s ? strmap_put(&check->strings, s, strlen(s), NULL) : NULL;

	return e ? e->key : NULL;
}

uint32_t ab_check_ask(struct ab_check *check, uint32_t kind, const char *name)
{
	struct question *more, *q;

	for (size_t i = 0; i < check->n_questions; i++)
		if (check->questions[i].kind == kind && !strcmp(check->questions[i].name, name))
			return (uint32_t)i;
	more = reallocarray(check->questions, check->n_questions + 1, sizeof(*more));
	if (!more)
		return NONE;
	check->questions = more;
	q = &more[check->n_questions];
	*q = (struct question){ kind, strdup(name) };
	return q->name ? (uint32_t)check->n_questions++ : NONE;
}

static int ask_facts(struct ab_check *check, struct ab_error *err)
{
	static const struct { uint32_t kind; const char *name;
	} facts[FACT_COUNT] = {
		[FACT_BPF] = { BTF_KIND_STRUCT, "bpf_htab" },
		[FACT_KPROBES] = { BTF_KIND_STRUCT, "trace_kprobe" },
		[FACT_UPROBES] = { BTF_KIND_STRUCT, "trace_uprobe" },
		[FACT_KPROBE_MULTI] = { BTF_KIND_STRUCT, "bpf_kprobe_multi_link" },
		[FACT_SYSCALL_EVENTS] = { BTF_KIND_STRUCT, "syscall_trace_enter" },
		[FACT_SOCKMAP] = { BTF_KIND_STRUCT, "bpf_stab" },
		[FACT_XSKMAP] = { BTF_KIND_STRUCT, "xsk_map" },
		[FACT_STRUCT_OPS_MAP] = { BTF_KIND_STRUCT, "bpf_struct_ops_map" },
		[FACT_TRACEPOINTS] = { BTF_KIND_TYPEDEF, "btf_trace_sched_switch" },
		[FACT_X86] = { BTF_KIND_FUNC, "__x64_sys_read" },
		[FACT_FUNCTIONS] = { BTF_KIND_FUNC, "vfs_read" },
		[FACT_SYSCALLS] = { BTF_KIND_FUNC, "__x64_sys_read|__arm64_sys_read|__s390x_sys_read|__riscv_sys_read|_"
						   "_se_sys_read|SyS_read|sys_read" },
		[FACT_ERROR_INJECTION] = { BTF_KIND_STRUCT, "ei_entry" },
	};

	for (uint32_t i = 0; i < FACT_COUNT; i++)
		if (ab_check_ask(check, facts[i].kind, facts[i].name) != i)
			return ab_fail_memory(err);
	return 0;
}

/* ---- maps ---- */

/* The type of a variable in the object's types, without qualifiers. */
static uint32_t variable_type(const struct ab_btf *btf, const char *name)
{
	uint32_t id = ab_btf_find(btf, name, BTF_KIND_VAR);

	return id ? ab_btf_resolve(btf, ab_btf_type(btf, id)->type) : 0;
}

static int read_maps(struct ab_check *check, struct ab_error *err)
{
	check->maps = array_new(check->object->map_count, sizeof(*check->maps));
	if (!check->maps)
		return ab_fail_memory(err);
	for (size_t i = 0; i < check->object->map_count; i++) {
		const struct bpf_map *bpf = check->object->maps[i].bpf;
		struct map *map = &check->maps[check->n_maps++];

		*map = (struct map){ .name = bpf_map__name(bpf),
				     .type = bpf_map__type(bpf),
				     .data = bpf_map__is_internal(bpf),
				     .question = NONE,
				     .group = NONE };
		if (map->type == BPF_MAP_TYPE_STRUCT_OPS)
			map->struct_ops = variable_type(check->btf, map->name);
	}
	return 0;
}

/* ---- where programs attach ---- */

static bool ask_name(struct ab_check *check, uint32_t kind, const char *prefix, const char *name, uint32_t *ret_question)
{
	_text_ struct text t = {};

	text_printf(&t, "%s%s", prefix, name);
	*ret_question = t.p && !t.failed ? ab_check_ask(check, kind, t.p) : NONE;
	return *ret_question != NONE;
}

static bool ask_syscall(struct ab_check *check, struct program *p, const char *name)
{
	_text_ struct text t = {};

	text_printf(&t,
		    "__arm64_sys_%s|__s390x_sys_%s|__riscv_sys_%s|__x64_sys_%s|__se_sys_%s|__do_sys_%s|SyS_%s|sys_%s",
		    name, name, name, name, name, name, name, name);
	return ask_name(check, BTF_KIND_FUNC, "", t.p ? t.p : name, &p->question);
}

/* System calls without parameters are only in the types by another name on x86. */
static bool ask_function(struct ab_check *check, struct program *p, const char *target)
{
	_free_ char *name = strndup(target, strcspn(target, "+"));

	if (!name || !ask_name(check, BTF_KIND_FUNC, "", name, &p->question))
		return false;
	if (!str_starts(name, "__x64_sys_"))
		return true;
	return ask_name(check, BTF_KIND_FUNC, "__do_sys_", name + strlen("__x64_sys_"), &p->x86_question);
}

static bool ask_tracepoint(struct ab_check *check, struct program *p, const char *target)
{
	const char *name = strpbrk(target, "/:");

	if (!name || str_starts(target, "ftrace"))
		return true;
	name++;
	if (str_starts(target, "syscalls") && str_starts(name, "sys_enter_"))
		return ask_syscall(check, p, name + strlen("sys_enter_"));
	if (str_starts(target, "syscalls") && str_starts(name, "sys_exit_"))
		return ask_syscall(check, p, name + strlen("sys_exit_"));
	return ask_name(check, BTF_KIND_TYPEDEF, "btf_trace_", name, &p->question);
}

static bool ask_trace(struct ab_check *check, struct program *p, const char *target)
{
	if (p->type == BPF_PROG_TYPE_LSM)
		return ask_name(check, BTF_KIND_FUNC, "bpf_lsm_", target, &p->question);
	if (p->attach_type == BPF_TRACE_RAW_TP)
		return ask_name(check, BTF_KIND_TYPEDEF, "btf_trace_", target, &p->question);
	return ask_name(check, BTF_KIND_FUNC, "", target, &p->question);
}

static bool ask_target(struct ab_check *check, struct program *p)
{
	const char *slash = strchr(p->section, '/');

	if (p->way == WAY_ITER)
		return !slash || ask_name(check, BTF_KIND_FUNC, "bpf_iter_", slash + 1, &p->question);
	if (p->way == WAY_CGROUP && p->type == BPF_PROG_TYPE_LSM)
		return !slash || ask_name(check, BTF_KIND_FUNC, "bpf_lsm_", slash + 1, &p->question);
	if (!p->target)
		return true;
	switch (p->way) {
	case WAY_KPROBE: return ask_function(check, p, p->target);
	case WAY_KPROBE_MULTI: return ask_name(check, BTF_KIND_FUNC, "", p->target, &p->question);
	case WAY_KSYSCALL: return ask_syscall(check, p, p->target);
	case WAY_TRACEPOINT: return ask_tracepoint(check, p, p->target);
	case WAY_RAW_TRACEPOINT: return ask_name(check, BTF_KIND_TYPEDEF, "btf_trace_", p->target, &p->question);
	case WAY_TRACE: return ask_trace(check, p, p->target);
	default: return true;
	}
}

/* ---- programs ---- */

/* The functions that libbpf puts behind a program: those it calls or takes the address of, and so on. */
static int collect_functions(const struct code *code, struct program *p, struct ab_error *err)
{
	_free_ bool *seen = array_new(code->n_functions, sizeof(*seen));

	p->functions = array_new(code->n_functions, sizeof(*p->functions));
	if (!seen || !p->functions)
		return ab_fail_memory(err);
	seen[p->function] = true;
	p->functions[p->n_functions++] = p->function;
	for (size_t i = 0; i < p->n_functions; i++) {
		const struct function *f = &code->functions[p->functions[i]];

		p->n_insns += f->count;
		for (uint32_t insn = f->first; insn < f->first + f->count; insn++) {
			const struct ref *ref = code->ref_of[insn] != NONE ? &code->refs[code->ref_of[insn]] : NULL;
			uint32_t to = insn_is_call(&code->insns[insn]) ? ab_check_jump(code, insn) : NONE;
			uint32_t callee = ref && ref->kind == REF_FUNCTION ? ref->index :
					  to != NONE			   ? ab_check_function_at(code, to) :
									     NONE;

			if (callee == NONE || seen[callee])
				continue;
			seen[callee] = true;
			p->functions[p->n_functions++] = callee;
		}
	}
	return 0;
}

static uint32_t find_function(const struct code *code, const char *section, const char *name)
{
	for (size_t i = 0; i < code->n_functions; i++) {
		const struct function *f = &code->functions[i];

		if (strcmp(f->name, name))
			continue;
		for (size_t s = 0; s < code->n_sections; s++) {
			const struct section *in = &code->sections[s];
			const char *plain = in->name + (*in->name == '?');

			if (in->first != NONE && f->first >= in->first &&
			    f->first - in->first < in->size / sizeof(struct bpf_insn) &&
			    !strcmp(plain, section + (*section == '?')))
				return (uint32_t)i;
		}
	}
	return NONE;
}

/* What libbpf adds to a program's flags when it loads it. */
static uint32_t section_flags(const char *section)
{
	size_t n = strcspn(section, "/");

	if (n > 2 && !strncmp(section + n - 2, ".s", 2))
		return BPF_F_SLEEPABLE;
	return n > 6 && !strncmp(section + n - 6, ".frags", 6) ? BPF_F_XDP_HAS_FRAGS : 0;
}

static int read_program(struct ab_check *check, struct ab_program *from, struct ab_error *err)
{
	struct program *p = &check->programs[check->n_programs++];

	*p = (struct program){
		.name = ab_program_name(from),
		.section = ab_program_section(from),
		.target = ab_program_default_target(from),
		.way = ab_program_way(from),
		.type = bpf_program__type(from->bpf),
		.attach_type = bpf_program__expected_attach_type(from->bpf),
		.flags = bpf_program__flags(from->bpf),
		.optional = from->optional,
		.question = NONE,
		.x86_question = NONE,
	};
	p->section += *p->section == '?';
	p->flags |= section_flags(p->section);
	p->function = find_function(&check->code, p->section, p->name);
	if (p->function == NONE)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "program '%s' has no code", p->name);
	if (!ask_target(check, p))
		return ab_fail_memory(err);
	return collect_functions(&check->code, p, err);
}

static int read_programs(struct ab_check *check, struct ab_error *err)
{
	int r = 0;

	check->programs = array_new(check->object->program_count, sizeof(*check->programs));
	if (!check->programs)
		return ab_fail_memory(err);
	for (size_t i = 0; !r && i < check->object->program_count; i++)
		r = read_program(check, &check->object->programs[i], err);
	return r;
}

/* ---- groups ---- */

#define NAMES_MAX 256

static int add_name(struct group *g, const char *name, size_t n)
{
	const char **more;
	char *copy;

	for (size_t i = 0; i < g->n_names; i++)
		if (strlen(g->names[i]) == n && !memcmp(g->names[i], name, n))
			return 0;
	if (!n || g->n_names == NAMES_MAX)
		return 0;
	copy = strndup(name, n);
	more = reallocarray(g->names, g->n_names + 1, sizeof(*more));
	if (more)
		g->names = more;
	if (!copy || !more) {
		free(copy);
		return -ENOMEM;
	}
	g->names[g->n_names++] = copy;
	return 0;
}

/*
 * Relocations about whole types compare what the type refers to as well: what the object's own knows by name has to be
 * in the types that are asked.
 */
static int add_reachable(const struct ab_btf *btf, struct group *g, uint32_t id, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const char *name = ab_btf_name(btf, t);
	const struct btf_param *params = ab_btf_data(t);
	const struct btf_array *array = ab_btf_data(t);
	int r = add_name(g, name, ab_core_name_length(name));

	if (r < 0 || !id || !depth || g->n_names == NAMES_MAX)
		return r;
	switch (ab_btf_kind(t)) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG: return add_reachable(btf, g, t->type, depth - 1);
	case BTF_KIND_ARRAY: return add_reachable(btf, g, array->type, depth - 1);
	case BTF_KIND_FUNC_PROTO:
		r = add_reachable(btf, g, t->type, depth - 1);
		for (uint32_t i = 0; !r && i < ab_btf_vlen(t); i++)
			r = add_reachable(btf, g, params[i].type, depth - 1);
		return r;
	default: return 0;
	}
}

static struct group *add_group(struct ab_check *check, const char *name, size_t n)
{
	struct group *more = reallocarray(check->groups, check->n_groups + 1, sizeof(*more)), *g;

	if (!more)
		return NULL;
	check->groups = more;
	g = &more[check->n_groups];
	*g = (struct group){ .map = NONE };
	if (add_name(g, name, n) < 0)
		return NULL;
	check->n_groups++;
	return g;
}

static struct group *find_group(struct ab_check *check, const char *name, size_t n)
{
	for (size_t i = 0; i < check->n_groups; i++)
		if (strlen(check->groups[i].names[0]) == n && !memcmp(check->groups[i].names[0], name, n))
			return &check->groups[i];
	return add_group(check, name, n);
}

static int group_relo(struct ab_check *check, uint32_t index, struct ab_error *err)
{
	struct relo *relo = &check->code.relos[index];
	const char *name = ab_btf_name(check->btf, ab_btf_type(check->btf, relo->spec.root));
	size_t n = ab_core_name_length(name);
	struct group *g = find_group(check, n ? name : "void", n ? n : 4);
	uint32_t *more;
	int r = 0;

	if (g && ab_core_is_type(relo->spec.kind))
		r = add_reachable(check->btf, g, relo->spec.root, 8);
	if (!g || r < 0)
		return ab_fail_memory(err);
	if (!(g->n_relos & (g->n_relos - 1))) {
		more = reallocarray(g->relos, g->n_relos ? 2 * g->n_relos : 1, sizeof(*more));
		if (!more)
			return ab_fail_memory(err);
		g->relos = more;
	}
	relo->group = (uint32_t)(g - check->groups);
	relo->slot = (uint32_t)g->n_relos;
	g->relos[g->n_relos++] = index;
	return 0;
}

/* A struct_ops map asks whether its type is the kernel's (bpf_map__init_kern_struct_ops() of libbpf). */
static int group_map(struct ab_check *check, struct map *map, struct ab_error *err)
{
	const char *name = ab_btf_name(check->btf, ab_btf_type(check->btf, map->struct_ops));
	struct group *g;

	if (!map->struct_ops || !*name)
		return 0;
	if (!ask_name(check, BTF_KIND_STRUCT, "bpf_struct_ops_", name, &map->question))
		return ab_fail_memory(err);
	g = add_group(check, name, strlen(name));
	if (!g)
		return ab_fail_memory(err);
	g->map = (uint32_t)(map - check->maps);
	map->group = (uint32_t)(g - check->groups);
	return 0;
}

static int make_groups(struct ab_check *check, struct ab_error *err)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < check->code.n_relos; i++)
		r = group_relo(check, i, err);
	for (size_t i = 0; !r && i < check->n_maps; i++)
		r = group_map(check, &check->maps[i], err);
	return r;
}

/* ---- new and free ---- */

static int open_types(struct ab_check *check, struct ab_error *err)
{
	struct ab_elf_info info;
	int r = ab_elf_check(check->object->data, check->object->size, &info, err);

	return r < 0 ? r : ab_btf_open_mem(info.btf, info.btf_size, &check->btf, err);
}

int ab_check_new(const void *object, size_t size, struct ab_check **ret_check, struct ab_error *err)
{
	struct ab_check *check = calloc(1, sizeof(*check));
	int r;

	if (!check)
		return ab_fail_memory(err);
	r = ab_object_open_mem(object, size, NULL, &check->object, err);
	if (!r)
		r = open_types(check, err);
	if (!r)
		r = ask_facts(check, err);
	if (!r)
		r = read_maps(check, err);
	if (!r)
		r = ab_check_read_code(check, err);
	if (!r)
		r = read_programs(check, err);
	if (!r)
		r = make_groups(check, err);
	if (r < 0) {
		ab_check_free(check);
		return r;
	}
	*ret_check = check;
	return 0;
}

static void free_group(struct group *g)
{
	ab_check_forget(g);
	for (size_t i = 0; i < g->n_names; i++)
		free((char *)g->names[i]);
	free(g->names);
	free(g->relos);
}

void ab_check_free(struct ab_check *check)
{
	if (!check)
		return;
	for (struct verdict *next, *v = check->verdicts; v; v = next) {
		next = v->next;
		ab_check_free_verdict(v);
	}
	for (size_t i = 0; i < check->n_groups; i++)
		free_group(&check->groups[i]);
	free(check->groups);
	for (size_t i = 0; i < check->n_programs; i++)
		free(check->programs[i].functions);
	free(check->programs);
	for (size_t i = 0; i < check->n_questions; i++)
		free(check->questions[i].name);
	free(check->questions);
	free(check->maps);
	ab_check_free_code(&check->code);
	ab_check_free_memory(check);
	strmap_clear(&check->strings);
	ab_btf_close(check->btf);
	ab_object_close(check->object);
	free(check);
}
