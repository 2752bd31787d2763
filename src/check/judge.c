/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * From a kernel's answers to a verdict: goes through maps, externs and programs as `anybpf run` would load and attach
 * them, once as the kernel's own bpf(2) does it and, where that fails on an old kernel, once as the driver does.
 */
#include <ctype.h>
#include "check.h"

struct judge {
	struct ab_check *check;
	const struct kernel *kernel;
	struct verdict *verdict;
	bool driver;
	const struct program *program;
	uint8_t *reached;      /* by the program */
	size_t fatal;
	bool no_memory;
};

/* ---- reasons ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_reason(const struct ab_check_reason *a, const struct ab_check_reason *b)
{
	return a->line == b->line && a->fatal == b->fatal && same_text(a->program, b->program) &&
	       same_text(a->file, b->file) && same_text(a->access, b->access) && same_text(a->message, b->message);
}

static void add_reason(struct judge *j, const struct ab_check_reason *reason)
{
	struct verdict *v = j->verdict;
	struct ab_check_reason *more;

	for (size_t i = 0; i < v->pub.n_reasons; i++)
		if (same_reason(&v->reasons[i], reason))
			return;
	if (v->pub.n_reasons == v->cap) {
		more = reallocarray(v->reasons, v->cap ? 2 * v->cap : 8, sizeof(*more));
		if (!more) {
			j->no_memory = true;
			return;
		}
		v->reasons = more;
		v->cap = v->cap ? 2 * v->cap : 8;
	}
	j->fatal += reason->fatal;
	v->reasons[v->pub.n_reasons++] = *reason;
	v->pub.reasons = v->reasons;
}

static const char *keep(struct judge *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
static const char *keep(struct judge *j, const char *fmt, ...)
{
	const char *kept = NULL;
	va_list args;
	char *s;

	va_start(args, fmt);
	if (vasprintf(&s, fmt, args) >= 0) {
		kept = ab_check_keep(j->check, s);
		free(s);
	}
	va_end(args);
	j->no_memory |= !kept;
	return kept;
}

static const char *keep_hint(struct judge *j, const char *hint)
{
	return hint ? keep(j, "%s", hint) : NULL;
}

/* About a map or an extern, which all programs share. */
static void object_reason(struct judge *j, bool fatal, const char *name, const char *access, const char *message,
			  const char *hint)
{
	add_reason(j, &(struct ab_check_reason){
			      .program = name, .access = access, .message = message, .hint = hint, .fatal = fatal });
}

/* About an instruction of the program at hand. */
static void program_reason(struct judge *j, uint32_t insn, const char *access, const char *message, const char *hint)
{
	const struct line *line = ab_check_line(&j->check->code, insn);

	add_reason(j, &(struct ab_check_reason){
			      .program = j->program->name,
			      .file = line && *line->file ? path_base(line->file) : NULL,
			      .line = line ? line->number : 0,
			      .access = access,
			      .message = message,
			      .hint = hint,
			      .fatal = !j->program->optional,
		      });
}

static uint32_t first_insn(const struct judge *j)
{
	return j->check->code.functions[j->program->function].first;
}

/* ---- maps and externs ---- */

static const char *map_word(struct judge *j, uint32_t type)
{
	const char *name = libbpf_bpf_map_type_str(type);

	return name ? name : keep(j, "type %u", type);
}

/* Types that are compiled in by options of their own, which the enum does not show. */
static bool map_is_built(const struct kernel *kernel, uint32_t type)
{
	switch (type) {
	case BPF_MAP_TYPE_SOCKMAP:
	case BPF_MAP_TYPE_SOCKHASH: return kernel_has(kernel, FACT_SOCKMAP);
	case BPF_MAP_TYPE_XSKMAP: return kernel_has(kernel, FACT_XSKMAP);
	case BPF_MAP_TYPE_STRUCT_OPS: return kernel_has(kernel, FACT_STRUCT_OPS_MAP);
	default: return true;
	}
}

static void judge_struct_ops(struct judge *j, const struct map *map)
{
	const struct ab_btf *btf = j->check->btf;
	const char *type = ab_btf_name(btf, ab_btf_type(btf, map->struct_ops)), *message = NULL;

	if (!kernel_has(j->kernel, map->question) || !kernel_has(j->kernel, FACT_STRUCT_OPS_MAP))
		message = keep(j, "the kernel takes no struct_ops of type '%s'", type);
	else if (map->group != NONE && j->kernel->groups[map->group]->list[0].message)
		message = keep(j, "%s", j->kernel->groups[map->group]->list[0].message);
	if (message)
		object_reason(j, true, map->name, keep(j, "struct %s %s", type, map->name), message, NULL);
}

static void judge_map(struct judge *j, const struct map *map)
{
	bool there = j->driver ? ab_check_driver_map(map->type) : abi_has(j->kernel->abi.maps, map->type);
	const char *since = ab_check_since_map(map->type), *access;

	if (map->data || (there && map->type != BPF_MAP_TYPE_STRUCT_OPS && map_is_built(j->kernel, map->type)))
		return;
	access = keep(j, "map '%s'", map->name);
	if (map->type == BPF_MAP_TYPE_RINGBUF && !there)
		object_reason(j, false, map->name, access, "it becomes a perf buffer: the kernel has no ring buffer", NULL);
	else if (there && map->type == BPF_MAP_TYPE_STRUCT_OPS)
		judge_struct_ops(j, map);
	else
		object_reason(j, true, map->name, access,
			      keep(j, "the kernel has no maps of type %s", map_word(j, map->type)),
			      since && !there ? keep(j, "they came with %s", since) : NULL);
}

/* About what is not there: what other kernels say of it, else what may be the reason (or NULL); and the way out (or NULL). */
static const char *known_hint(struct judge *j, uint32_t question, const char *reason, const char *way_out)
{
	const char *known = question != NONE && j->kernel->hints ? j->kernel->hints[question] : NULL;

	if (known && *known)
		reason = known;
	return reason && way_out ? keep(j, "%s; %s", reason, way_out) : reason ? reason : way_out;
}

static void judge_external(struct judge *j, const struct external *e)
{
	static const char *const words[] = { "kernel function", "variable", "symbol", "option" };
	bool there = kernel_has(j->kernel, e->question);
	const char *access = keep(j, "%s", e->name);

	if (e->kind == EXTERN_CONFIG) {
		if (str_starts(e->name, "CONFIG_") && !e->weak)
			object_reason(j, false, e->name, access,
				      "whether the kernel was built with it is not in its types", NULL);
		return;
	}
	if (there || e->weak)
		return;
	if (e->kind == EXTERN_SYMBOL)
		object_reason(j, false, e->name, access, "whether the kernel has this symbol is not in its types", NULL);
	else
		object_reason(j, true, e->name, access, keep(j, "the kernel has no %s '%s'", words[e->kind], e->name),
			      known_hint(j, e->question, NULL, "declare it __weak and ask bpf_ksym_exists()"));
}

/* ---- where a program attaches ---- */

static void target_reason(struct judge *j, const char *message, const char *hint)
{
	const struct program *p = j->program;
	bool has_target = strchr(p->section, '/') || !p->target;

	program_reason(j, first_insn(j),
		       has_target ? keep(j, "%s", p->section) : keep(j, "%s/%s", p->section, p->target), message, hint);
}

static void missing_reason(struct judge *j, const char *message, const char *reason, const char *way_out)
{
	target_reason(j, message, known_hint(j, j->program->question, reason, way_out));
}

static void miss_function(struct judge *j)
{
	missing_reason(j, keep(j, "the kernel's types have no function '%s'", j->program->target),
		       "it may be inlined, renamed or part of a module there",
		       "attach to another function too, and tag both AB_OPTIONAL");
}

static void judge_function(struct judge *j)
{
	const struct program *p = j->program;
	bool x86 = kernel_has(j->kernel, FACT_X86) && kernel_has(j->kernel, p->x86_question);

	if (p->question != NONE && !kernel_has(j->kernel, p->question) && !x86 && kernel_has(j->kernel, FACT_FUNCTIONS))
		miss_function(j);
}

static void judge_probe(struct judge *j, enum fact fact, const char *what, const char *option)
{
	if (!kernel_has(j->kernel, fact))
		target_reason(j, keep(j, "the kernel has no %s", what), keep(j, "it was built without %s", option));
}

static void judge_syscall(struct judge *j, bool event)
{
	const struct program *p = j->program;
	const char *name = p->target;

	if (event)
		name = strpbrk(name, "/:") + 1;
	if (event && !kernel_has(j->kernel, FACT_SYSCALL_EVENTS))
		target_reason(j, "the kernel has no tracepoints for system calls",
			      "it was built without CONFIG_FTRACE_SYSCALLS");
	else if (kernel_has(j->kernel, FACT_SYSCALLS) && !kernel_has(j->kernel, p->question))
		missing_reason(j, keep(j, "the kernel has no system call for '%s'", name),
			       "it may have come with a later version", "tag the program AB_OPTIONAL if others do");
}

static void judge_tracepoint(struct judge *j, const char *name)
{
	if (j->program->question == NONE || kernel_has(j->kernel, j->program->question) ||
	    !kernel_has(j->kernel, FACT_TRACEPOINTS))
		return;
	missing_reason(j, keep(j, "the kernel's types have no tracepoint '%s'", name),
		       "it may have another name there or be part of a module", "tag the program AB_OPTIONAL if others do");
}

/* "__x64_sys_openat" and the like, which programs may sleep in by themselves. */
static bool is_syscall(const char *function)
{
	return str_starts(function, "__") && strstr(function, "_sys_");
}

static void judge_trampoline(struct judge *j)
{
	const struct program *p = j->program;
	bool traces = p->type == BPF_PROG_TYPE_TRACING, injects = kernel_has(j->kernel, FACT_ERROR_INJECTION);

	if (!kernel_can(j->kernel, FEATURE_TRAMPOLINE))
		target_reason(j, "this architecture's kernel cannot call programs from functions", "use a kprobe");
	/* which functions may be slept in or given a result is the list of those that errors may be injected into */
	else if (traces && !injects && p->flags & BPF_F_SLEEPABLE &&
		 !(is_syscall(p->target) && kernel_can(j->kernel, FEATURE_SLEEPABLE_SYSCALLS)))
		target_reason(j, "the kernel has no functions for sleepable programs",
			      "it was built without CONFIG_FUNCTION_ERROR_INJECTION");
	else if (traces && !injects && p->attach_type == BPF_MODIFY_RETURN && !str_starts(p->target, "security_"))
		target_reason(j, "the result of this function cannot be changed",
			      "the kernel was built without CONFIG_FUNCTION_ERROR_INJECTION, "
			      "which leaves LSM hooks, security_*");
}

static void judge_trace(struct judge *j)
{
	const struct program *p = j->program;
	bool there = kernel_has(j->kernel, p->question);

	if (!p->target) {
		target_reason(j, "it needs a target before it is loaded", "name one in its section, or with --attach");
	} else if (p->type == BPF_PROG_TYPE_LSM) {
		if (!there)
			missing_reason(j, keep(j, "the kernel has no LSM hook '%s'", p->target),
				       "it may be built without CONFIG_BPF_LSM", NULL);
		else
			judge_trampoline(j);
	} else if (p->attach_type == BPF_TRACE_RAW_TP) {
		if (!there)
			missing_reason(j, keep(j, "the kernel has no tracepoint '%s'", p->target),
				       "a raw_tp program attaches where the types have no tracepoints", NULL);
	} else if (!there) {
		miss_function(j);
	} else {
		judge_trampoline(j);
	}
}

static void judge_iterator(struct judge *j)
{
	const struct program *p = j->program;
	const char *slash = strchr(p->section, '/'), *name = slash ? slash + 1 : "";

	if (!kernel_has(j->kernel, p->question))
		missing_reason(j, keep(j, "the kernel has no iterator '%s'", name), NULL, NULL);
	else if (!strcmp(name, "cgroup"))
		target_reason(j, "it iterates from a cgroup on, which no target can name", NULL);
	else if (str_starts(name, "bpf_") && (str_ends(name, "_elem") || str_ends(name, "_storage_map")) &&
		 same_text(p->target, name))
		target_reason(j, "it iterates over a map, which has to be named", "tag it AB_ATTACH(\"MAP\")");
}

static void judge_target(struct judge *j)
{
	const struct program *p = j->program;

	switch (p->way) {
	case WAY_KPROBE:
		judge_probe(j, FACT_KPROBES, "kprobes", "CONFIG_KPROBE_EVENTS");
		judge_function(j);
		break;
	case WAY_KSYSCALL:
		judge_probe(j, FACT_KPROBES, "kprobes", "CONFIG_KPROBE_EVENTS");
		if (p->target)
			judge_syscall(j, false);
		break;
	case WAY_KPROBE_MULTI:
		judge_probe(j, FACT_KPROBE_MULTI, "way to attach to many functions at once", "CONFIG_FPROBE");
		judge_function(j);
		break;
	case WAY_UPROBE:
	case WAY_USDT: judge_probe(j, FACT_UPROBES, "uprobes", "CONFIG_UPROBE_EVENTS"); break;
	case WAY_TRACEPOINT:
		if (p->target && str_starts(p->target, "syscalls") && strpbrk(p->target, "/:"))
			judge_syscall(j, true);
		else if (p->target && strpbrk(p->target, "/:"))
			judge_tracepoint(j, p->target);
		break;
	case WAY_RAW_TRACEPOINT:
		if (p->target)
			judge_tracepoint(j, p->target);
		break;
	case WAY_TRACE: judge_trace(j); break;
	case WAY_ITER: judge_iterator(j); break;
	case WAY_CGROUP:
		if (p->type == BPF_PROG_TYPE_LSM && !kernel_has(j->kernel, p->question))
			missing_reason(j, "the kernel has no such LSM hook", "it may be built without CONFIG_BPF_LSM", NULL);
		break;
	default: break;
	}
}

/* ---- program and attach types ---- */

/* Attach types that libbpf gives the kernel only where it knows them. */
static bool attach_is_optional(const struct program *p)
{
	return p->type == BPF_PROG_TYPE_CGROUP_SKB || p->type == BPF_PROG_TYPE_SCHED_CLS ||
	       p->type == BPF_PROG_TYPE_SCHED_ACT || p->type == BPF_PROG_TYPE_SK_SKB ||
	       (p->type == BPF_PROG_TYPE_XDP && p->attach_type == BPF_XDP) ||
	       (p->type == BPF_PROG_TYPE_CGROUP_SOCK && p->attach_type == BPF_CGROUP_INET_SOCK_CREATE) ||
	       p->type == BPF_PROG_TYPE_SK_REUSEPORT || p->type == BPF_PROG_TYPE_PERF_EVENT;
}

static bool judge_type(struct judge *j)
{
	const struct program *p = j->program;
	const char *word = libbpf_bpf_prog_type_str(p->type), *since = ab_check_since_program(p->type);

	if (p->type == BPF_PROG_TYPE_UNSPEC) {
		target_reason(
			j,
			keep(j, "section '%s' is of no kind that libbpf %s knows", p->section, libbpf_version_string()),
			NULL);
		return false;
	}
	if (j->driver ? ab_check_driver_program(p->type) : abi_has(j->kernel->abi.programs, p->type))
		return true;
	target_reason(j,
		      word ? keep(j, "the kernel has no programs of type %s", word) :
			     keep(j, "the kernel has no programs of type %u", p->type),
		      since ? keep(j, "they came with %s", since) : NULL);
	return false;
}

static void judge_attach_type(struct judge *j)
{
	const struct program *p = j->program;
	const char *word = libbpf_bpf_attach_type_str(p->attach_type), *since = ab_check_since_attach(p->attach_type);
	enum feature more = p->way == WAY_UPROBE || p->way == WAY_USDT || p->way == WAY_ITER ? FEATURE_SLEEPABLE_MORE :
											       FEATURE_SLEEPABLE;

	if (p->attach_type && !attach_is_optional(p) && !abi_has(j->kernel->abi.attaches, p->attach_type))
		target_reason(j,
			      word ? keep(j, "the kernel has no attach type %s", word) :
				     keep(j, "the kernel has no attach type %u", p->attach_type),
			      since ? keep(j, "it came with %s", since) : NULL);
	else if (p->flags & BPF_F_SLEEPABLE && !kernel_can(j->kernel, more))
		target_reason(j, "the kernel has no sleepable programs of this kind",
			      keep(j, "they came with %s", ab_check_since_feature(more)));
	else if (p->flags & BPF_F_XDP_HAS_FRAGS && !kernel_can(j->kernel, FEATURE_FRAGS))
		target_reason(j, "the kernel has no XDP programs for packets in fragments",
			      keep(j, "they came with %s", ab_check_since_feature(FEATURE_FRAGS)));
}

/* ---- instructions ---- */

static bool is_reached(const struct judge *j, uint32_t insn)
{
	return j->reached[insn / 8] >> insn % 8 & 1;
}

/* What libbpf puts in a helper's place where the kernel does not have it. */
static uint32_t older_helper(int32_t helper)
{
	switch (helper) {
	case BPF_FUNC_probe_read_user:
	case BPF_FUNC_probe_read_kernel: return BPF_FUNC_probe_read;
	case BPF_FUNC_probe_read_user_str:
	case BPF_FUNC_probe_read_kernel_str: return BPF_FUNC_probe_read_str;
	default: return 0;
	}
}

static void judge_helper(struct judge *j, uint32_t insn)
{
	int32_t helper = j->check->code.insns[insn].imm;
	const char *name = helper > 0 ? ab_check_helper_name((uint32_t)helper) : NULL, *since, *access;
	uint32_t older = older_helper(helper);
	bool there = helper > 0 && abi_has(j->kernel->abi.helpers, (uint32_t)helper);

	if (j->driver)
		there = helper > 0 && ab_check_driver_helper((uint32_t)helper);
	if (there || (!j->driver && older && abi_has(j->kernel->abi.helpers, older)))
		return;
	since = helper > 0 ? ab_check_since_helper((uint32_t)helper) : NULL;
	access = name ? keep(j, "%s()", name) : keep(j, "helper %d", helper);
	if (helper >= BPF_FUNC_ringbuf_output && helper <= BPF_FUNC_ringbuf_query)
		program_reason(j, insn, access, "the kernel has no ring buffer",
			       "it came with 5.8; AB_EVENTS() makes a channel that is a perf "
			       "buffer where there is none");
	else
		program_reason(j, insn, access,
			       keep(j, "the kernel has no helper %s", name ? name : keep(j, "%d", helper)),
			       name && since ? keep(j,
						    "it came with %s: guard it with bpf_core_enum_value_exists(enum "
						    "bpf_func_id, BPF_FUNC_%s)",
						    since, name + strlen("bpf_")) :
					       NULL);
}

static void judge_call(struct judge *j, uint32_t insn)
{
	const struct code *code = &j->check->code;
	const struct bpf_insn *in = &code->insns[insn];
	const struct ref *ref = code->ref_of[insn] != NONE ? &code->refs[code->ref_of[insn]] : NULL;

	if (ref && ref->kind == REF_EXTERN) {
		const struct external *e = &code->externals[ref->index];

		if (e->weak && !kernel_has(j->kernel, e->question))
			program_reason(j, insn, keep(j, "%s()", e->name),
				       keep(j, "the kernel has no kernel function '%s'", e->name),
				       "ask bpf_ksym_exists() first");
		else if (!j->driver && kernel_has(j->kernel, e->question) && !kernel_can(j->kernel, FEATURE_KFUNC))
			program_reason(j, insn, keep(j, "%s()", e->name),
				       "programs of this kernel cannot call its functions", "they can since 5.13");
	} else if (!in->src_reg) {
		judge_helper(j, insn);
	} else if (!j->driver && !kernel_can(j->kernel, FEATURE_CALLS)) {
		program_reason(j, insn, NULL, "programs of this kernel cannot call functions of their own",
			       "they can since 4.16: make the "
			       "function static __always_inline");
	}
}

/* The access as the source has it, or the line, or what the relocation says. */
static const char *access_of(struct judge *j, const struct relo *relo)
{
	const struct line *line = ab_check_line(&j->check->code, relo->insn);
	const char *member = relo->spec.n_accessors ? relo->spec.accessors[relo->spec.n_accessors - 1].name : NULL,
		   *text = line ? line->text : "";
	_free_ char *access = member ? ab_check_access(text, member) : NULL;
	_text_ struct text spec = {};
	size_t n;

	if (access)
		return keep(j, "%s", access);
	text += strspn(text, " \t");
	for (n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
		;
	if (n)
		return keep(j, "%.*s", (int)MIN(n, 120u), text);
	ab_core_describe(&relo->spec, &spec);
	return spec.p ? keep(j, "%s", spec.p) : NULL;
}

static void judge_relo(struct judge *j, uint32_t insn)
{
	const struct relo *relo = &j->check->code.relos[j->check->code.relo_of[insn]];
	const struct answer *a = &j->kernel->groups[relo->group]->list[relo->slot];
	bool impossible = a->value.status == AB_CORE_AMBIGUOUS || a->value.status == AB_CORE_UNSUITED;

	if (!impossible && !(is_reached(j, insn) && ab_check_is_poison(&j->check->code.insns[insn], &a->value)))
		return;
	program_reason(j, insn, access_of(j, relo),
		       a->message ? keep(j, "%s", a->message) : "the kernel's types do not have it",
		       keep_hint(j, a->hint));
}

/* Whether the program at hand has been said to lack that: once is enough for what is everywhere in its code. */
static bool is_said(const struct judge *j, const char *message)
{
	const struct verdict *v = j->verdict;

	for (size_t i = 0; i < v->pub.n_reasons; i++)
		if (same_text(v->reasons[i].program, j->program->name) && same_text(v->reasons[i].message, message))
			return true;
	return false;
}

/* An address in an instruction: of a variable, or of a kernel function that code asks for. */
static void judge_address(struct judge *j, uint32_t insn)
{
	const struct code *code = &j->check->code;
	const struct ref *ref = &code->refs[code->ref_of[insn]];
	const struct external *e = ref->kind == REF_EXTERN ? &code->externals[ref->index] : NULL;
	const char *no_variables = "the kernel has no global variables for programs";

	if (e && e->kind == EXTERN_KFUNC && kernel_has(j->kernel, e->question) &&
	    !kernel_can(j->kernel, FEATURE_KFUNC_ADDRESS))
		program_reason(j, insn, keep(j, "%s", e->name),
			       "programs of this kernel cannot ask whether it has a kernel function that it has",
			       "they can since 6.4: ask bpf_core_type_exists() or the version instead");
	if (ref->kind != REF_DATA || kernel_can(j->kernel, FEATURE_GLOBAL_DATA) || is_said(j, no_variables))
		return;
	program_reason(j, insn, keep(j, "variables in %s", code->sections[ref->index].name), no_variables,
		       "they came with 5.2: AB_PARAM() and static variables need them, maps do not");
}

static void judge_insn_set(struct judge *j, uint32_t insn)
{
	static const char *const words[FEATURE_COUNT] = {
		[FEATURE_JMP32] = "jumps that compare 32 bits (-mcpu=v3)",
		[FEATURE_FETCH] = "atomic operations but addition without result",
		[FEATURE_V4] = "instructions of -mcpu=v4",
		[FEATURE_MAY_GOTO] = "may_goto",
		[FEATURE_ARENA] = "arenas",
		[FEATURE_ACQUIRE] = "atomic loads and stores",
	};
	const char *message;
	bool always;
	enum feature feature = ab_check_insn_feature(&j->check->code.insns[insn], &always);

	if (feature == FEATURE_COUNT || kernel_can(j->kernel, feature) || !(always || is_reached(j, insn)))
		return;
	message = keep(j, "the kernel has no %s", words[feature]);
	if (is_said(j, message))
		return;
	program_reason(j, insn, NULL, message,
		       keep(j, "they came with %s%s", ab_check_since_feature(feature),
			    feature == FEATURE_JMP32 || feature == FEATURE_V4 ? ": build with --isa v1" : ""));
}

static void judge_insn(struct judge *j, uint32_t insn)
{
	const struct code *code = &j->check->code;

	if (!j->driver)
		judge_insn_set(j, insn);
	if (code->relo_of[insn] != NONE)
		judge_relo(j, insn);
	else if (!is_reached(j, insn))
		return;
	else if (insn_is_call(&code->insns[insn]))
		judge_call(j, insn);
	else if (!j->driver && insn_is_wide(&code->insns[insn]) && code->ref_of[insn] != NONE)
		judge_address(j, insn);
}

static void judge_size(struct judge *j)
{
	const struct program *p = j->program;

	if (p->n_insns > 1000000)
		program_reason(j, first_insn(j), NULL,
			       keep(j, "it has %u instructions, and kernels take a million", p->n_insns), NULL);
	else if (!j->driver && p->n_insns > 4096 && !kernel_can(j->kernel, FEATURE_LARGE))
		program_reason(j, first_insn(j), NULL,
			       keep(j, "it has %u instructions, and the kernel takes 4096", p->n_insns),
			       "a million came with 5.2");
}

static void judge_loops(struct judge *j, uint32_t function)
{
	uint32_t insn;

	if (j->driver || kernel_can(j->kernel, FEATURE_LOOPS))
		return;
	if (ab_check_find_loop(&j->check->code, function, &insn) < 0)
		j->no_memory = true;
	else if (insn != NONE)
		program_reason(j, insn, NULL, "the kernel takes no programs with loops",
			       "bounded loops came with 5.3: unroll it");
}

/* ---- programs ---- */

static void judge_code(struct judge *j)
{
	const struct program *p = j->program;
	const struct code *code = &j->check->code;

	memset(j->reached, 0, (code->n_insns + 7) / 8);
	if (ab_check_reach(j->check, p, j->kernel, j->reached) < 0) {
		j->no_memory = true;
		return;
	}
	judge_size(j);
	for (size_t f = 0; f < p->n_functions; f++) {
		const struct function *function = &code->functions[p->functions[f]];

		judge_loops(j, p->functions[f]);
		for (uint32_t i = function->first; i < function->first + function->count; i++) {
			judge_insn(j, i);
			i += insn_is_wide(&code->insns[i]);
		}
	}
}

static void judge_program(struct judge *j, const struct program *p)
{
	j->program = p;
	if (!judge_type(j))
		return;
	if (!j->driver)
		judge_attach_type(j);
	judge_target(j);
	judge_code(j);
}

static int judge_all(struct judge *j, struct ab_error *err)
{
	struct ab_check *check = j->check;

	j->reached = array_new((check->code.n_insns + 7) / 8, 1);
	if (!j->reached)
		return ab_fail_memory(err);
	for (size_t i = 0; i < check->n_maps; i++)
		judge_map(j, &check->maps[i]);
	for (size_t i = 0; i < check->code.n_externals; i++)
		judge_external(j, &check->code.externals[i]);
	for (size_t i = 0; i < check->n_programs; i++)
		judge_program(j, &check->programs[i]);
	free(j->reached);
	return j->no_memory ? ab_fail_memory(err) : 0;
}

/* Whether the driver would do where the kernel's own BPF does not. */
static int judge_driver(struct ab_check *check, const struct kernel *kernel, bool *ret_does, struct ab_error *err)
{
	struct verdict verdict = {};
	struct judge j = { .check = check, .kernel = kernel, .verdict = &verdict, .driver = true };
	int r = judge_all(&j, err);

	free(verdict.reasons);
	if (!r)
		*ret_does = !j.fatal;
	return r;
}

static bool has_bpf(const struct kernel *kernel)
{
	return kernel_has(kernel, FACT_BPF) || abi_has(kernel->abi.programs, BPF_PROG_TYPE_SOCKET_FILTER);
}

int ab_check_judge(struct ab_check *check, const struct kernel *kernel, struct verdict **ret_verdict, struct ab_error *err)
{
	struct verdict *verdict = calloc(1, sizeof(*verdict));
	struct judge j = { .check = check, .kernel = kernel, .verdict = verdict };
	bool driver = false;
	int r = 0;

	if (!verdict)
		return ab_fail_memory(err);
	if (!has_bpf(kernel))
		object_reason(&j, true, NULL, "bpf(2)", "the kernel has no BPF", NULL);
	else
		r = judge_all(&j, err);
	if (!r && j.fatal && (!has_bpf(kernel) || !kernel_can(kernel, FEATURE_NATIVE)))
		r = judge_driver(check, kernel, &driver, err);
	if (r < 0) {
		ab_check_free_verdict(verdict);
		return r;
	}
	for (size_t i = 0; driver && i < verdict->pub.n_reasons; i++)
		verdict->reasons[i].fatal = false;
	verdict->pub.result = driver ? AB_CHECK_DRIVER : j.fatal ? AB_CHECK_FAILS : AB_CHECK_NATIVE;
	*ret_verdict = verdict;
	return 0;
}

void ab_check_free_verdict(struct verdict *verdict)
{
	if (!verdict)
		return;
	free(verdict->reasons);
	free(verdict->key);
	free(verdict);
}
