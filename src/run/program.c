/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Programs before they run: what they are, how they attach, where the user wants them (docs/attach.md). */
#include "run.h"

/* ---- how a program attaches ---- */

static const struct {
	const char *section; /* up to '/', or all of it */
	enum way way;
} ways[] = {
	{ "kprobe", WAY_KPROBE }, { "kretprobe", WAY_KPROBE },
	{ "ksyscall", WAY_KSYSCALL }, { "kretsyscall", WAY_KSYSCALL },
	{ "kprobe.multi", WAY_KPROBE_MULTI }, { "kretprobe.multi", WAY_KPROBE_MULTI },
	{ "uprobe", WAY_UPROBE }, { "uprobe.s", WAY_UPROBE },
	{ "uretprobe", WAY_UPROBE }, { "uretprobe.s", WAY_UPROBE },
	{ "usdt", WAY_USDT }, { "usdt.s", WAY_USDT },
	{ "iter", WAY_ITER }, { "iter.s", WAY_ITER },
	{ "lsm_cgroup", WAY_CGROUP },
};

enum way ab_program_way(const struct ab_program *program)
{
	const char *section = bpf_program__section_name(program->bpf);
	size_t n = strcspn(section, "/");

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (n == strlen(ways[i].section) && !strncmp(section, ways[i].section, n))
			return ways[i].way;
	switch (bpf_program__type(program->bpf)) {
	case BPF_PROG_TYPE_TRACEPOINT: return WAY_TRACEPOINT;
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: return WAY_RAW_TRACEPOINT;
	case BPF_PROG_TYPE_TRACING:
	case BPF_PROG_TYPE_LSM: return WAY_TRACE;
	case BPF_PROG_TYPE_XDP: return WAY_XDP;
	case BPF_PROG_TYPE_SCHED_CLS:
	case BPF_PROG_TYPE_SCHED_ACT: return WAY_TC;
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_DEVICE:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SYSCTL:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_SOCK_OPS: return WAY_CGROUP;
	case BPF_PROG_TYPE_PERF_EVENT: return WAY_PERF_EVENT;
	case BPF_PROG_TYPE_FLOW_DISSECTOR:
	case BPF_PROG_TYPE_SK_LOOKUP: return WAY_NETNS;
	case BPF_PROG_TYPE_SK_SKB:
	case BPF_PROG_TYPE_SK_MSG: return WAY_SOCKMAP;
	case BPF_PROG_TYPE_SOCKET_FILTER: return WAY_SOCKET;
	case BPF_PROG_TYPE_STRUCT_OPS: return WAY_STRUCT_OPS;
	default: return WAY_NONE;
	}
}

static const char *find_tag(const struct ab_program *program, const char *prefix)
{
	const struct ab_btf *btf = program->object->btf;
	uint32_t id = ab_btf_find(btf, bpf_program__name(program->bpf), BTF_KIND_FUNC);

	return id ? ab_btf_tag(btf, id, -1, prefix, 0) : NULL;
}

const char *ab_program_default_target(const struct ab_program *program)
{
	const char *tag = find_tag(program, "anybpf:attach="), *slash;

	if (tag)
		return tag;
	if (ab_program_way(program) > WAY_ITER)
		return NULL;
	slash = strchr(bpf_program__section_name(program->bpf), '/');
	return slash && slash[1] ? slash + 1 : NULL;
}

/* ---- the list ---- */

int ab_programs_find(struct ab_object *object, struct ab_error *err)
{
	struct bpf_program *bpf;
	size_t n = 0;

	bpf_object__for_each_program(bpf, object->bpf)
		n++;
	if (!n)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "no BPF program in the object");
	object->programs = array_new(n, sizeof(*object->programs));
	if (!object->programs)
		return ab_fail_memory(err);
	bpf_object__for_each_program(bpf, object->bpf) {
		struct ab_program *program = &object->programs[object->program_count++];

		program->object = object;
		program->bpf = bpf;
		/* libbpf does not load by itself what stands in a section "?..." */
		program->optional = !bpf_program__autoload(bpf) || find_tag(program, "anybpf:optional");
	}
	return 0;
}

void ab_programs_free(struct ab_object *object)
{
	for (size_t i = 0; i < object->program_count; i++) {
		struct ab_program *program = &object->programs[i];

		for (size_t t = 0; t < program->target_count; t++)
			free(program->targets[t]);
		free(program->targets);
		free(program->reason);
	}
	free(object->programs);
}

size_t ab_object_program_count(const struct ab_object *object)
{
	return object->program_count;
}

struct ab_program *ab_object_program(const struct ab_object *object, size_t index)
{
	return index < object->program_count ? &object->programs[index] : NULL;
}

struct ab_program *ab_object_find_program(const struct ab_object *object, const char *name)
{
	for (size_t i = 0; i < object->program_count; i++)
		if (!strcmp(bpf_program__name(object->programs[i].bpf), name))
			return &object->programs[i];
	return NULL;
}

const char *ab_program_name(const struct ab_program *program)
{
	return bpf_program__name(program->bpf);
}

const char *ab_program_section(const struct ab_program *program)
{
	return bpf_program__section_name(program->bpf);
}

enum ab_program_state ab_program_state(const struct ab_program *program)
{
	bool is_struct_ops = ab_program_way(program) == WAY_STRUCT_OPS;

	if (program->skipped || program->disabled)
		return AB_PROGRAM_SKIPPED;
	if (program->failed)
		return AB_PROGRAM_FAILED;
	for (struct ab_link *link = program->object->links; link; link = link->next)
		if (link->program == program || (is_struct_ops && !link->program))
			return AB_PROGRAM_ATTACHED;
	return program->object->loaded ? AB_PROGRAM_LOADED : AB_PROGRAM_OPEN;
}

/* What a program that attaches only where it is told has to be told. */
static const char *missing_target(enum way way)
{
	switch (way) {
	case WAY_KPROBE: return "needs a target, a kernel function";
	case WAY_KSYSCALL: return "needs a target, a system call";
	case WAY_KPROBE_MULTI: return "needs a target, a pattern of kernel functions";
	case WAY_UPROBE: return "needs a target, FILE:SYMBOL";
	case WAY_USDT: return "needs a target, FILE:PROVIDER:NAME";
	case WAY_TRACEPOINT: return "needs a target, CATEGORY/NAME of a tracepoint";
	case WAY_RAW_TRACEPOINT: return "needs a target, the name of a tracepoint";
	case WAY_XDP:
	case WAY_TC:
	case WAY_SOCKET: return "needs a target, a network interface";
	case WAY_CGROUP: return "needs a target, the path of a cgroup";
	case WAY_NETNS: return "needs a target, the path of a network namespace";
	case WAY_SOCKMAP: return "needs a target, a socket map of the object";
	case WAY_PERF_EVENT: return "needs a target, an event such as cpu-clock@99";
	default: return NULL;
	}
}

const char *ab_program_wants(const struct ab_program *program)
{
	return program->target_count || ab_program_default_target(program) ? NULL : missing_target(ab_program_way(program));
}

const char *ab_program_reason(const struct ab_program *program)
{
	const char *wants;

	if (program->reason)
		return program->reason;
	if (program->disabled)
		return "disabled";
	wants = ab_program_wants(program);
	return wants && ab_program_state(program) == AB_PROGRAM_LOADED ? wants : "";
}

bool ab_program_is_optional(const struct ab_program *program)
{
	return program->optional;
}

bool ab_program_is_iterator(const struct ab_program *program)
{
	return ab_program_way(program) == WAY_ITER;
}

int ab_program_fd(const struct ab_program *program)
{
	int fd = program->object->loaded ? bpf_program__fd(program->bpf) : -1;

	return fd < 0 ? -1 : fd;
}

void ab_program_blame(struct ab_program *program, const char *reason)
{
	program->failed = true;
	free(program->reason);
	program->reason = strdup(reason);
}

void ab_program_forgive(struct ab_program *program)
{
	if (!program->failed)
		return;
	program->failed = false;
	free(program->reason);
	program->reason = NULL;
}

void ab_program_skip(struct ab_program *program, const char *reason)
{
	program->skipped = true;
	free(program->reason);
	program->reason = strdup(reason);
	ab_object_warn(program->object, "skipping optional program '%s': %s", ab_program_name(program), reason);
}

/* ---- decisions before load ---- */

static int check_target(const struct ab_program *program, const char *target, struct ab_error *err)
{
	const char *want = NULL, *colon = strchr(target, ':');

	switch (ab_program_way(program)) {
	case WAY_NONE:
	case WAY_STRUCT_OPS:
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' (%s) takes no target",
			       ab_program_name(program), ab_program_section(program));
	case WAY_UPROBE:
		want = colon && colon > target && colon[1] ? NULL : "PATH:SYMBOL[+OFFSET] or PATH:0xOFFSET";
		break;
	case WAY_USDT:
		want = colon && strchr(colon + 1, ':') ? NULL : "PATH:PROVIDER:NAME";
		break;
	case WAY_TRACEPOINT:
		want = strpbrk(target, "/:") ? NULL : "CATEGORY/NAME";
		break;
	default:
		want = *target ? NULL : "a name";
	}
	if (want)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a target for program '%s' (%s): it takes %s",
			       target, ab_program_name(program), ab_program_section(program), want);
	return 0;
}

int ab_program_set_target(struct ab_program *program, const char *target, struct ab_error *err)
{
	char **more;
	int r = check_target(program, target, err);

	if (r < 0)
		return r;
	if (ab_program_way(program) == WAY_TRACE) {
		if (program->object->loaded)
			return ab_fail(err, AB_ERROR_USAGE, -EBUSY, "the target of '%s' (%s) is fixed when it is loaded",
				       ab_program_name(program), ab_program_section(program));
		if (program->target_count)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' (%s) takes one target only",
				       ab_program_name(program), ab_program_section(program));
	}
	more = reallocarray(program->targets, program->target_count + 1, sizeof(*more));
	if (!more)
		return ab_fail_memory(err);
	program->targets = more;
	more[program->target_count] = strdup(target);
	if (!more[program->target_count])
		return ab_fail_memory(err);
	program->target_count++;
	return 0;
}

int ab_program_set_enabled(struct ab_program *program, bool on, struct ab_error *err)
{
	if (program->object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EBUSY, "program '%s' is loaded already", ab_program_name(program));
	program->disabled = !on;
	return 0;
}

int ab_program_configure(struct ab_program *program, struct ab_error *err)
{
	const char *target = program->target_count ? program->targets[0] : find_tag(program, "anybpf:attach=");
	bool on = !program->disabled && !program->skipped;
	int r;

	bpf_program__set_autoload(program->bpf, on);
	if (!on || !target || ab_program_way(program) != WAY_TRACE)
		return 0;
	r = bpf_program__set_attach_target(program->bpf, 0, target);
	if (!r)
		return 0;
	if (program->optional) {
		char reason[200];

		snprintf(reason, sizeof(reason), "this kernel has no '%s' to attach to", target);
		ab_program_skip(program, reason);
		bpf_program__set_autoload(program->bpf, false);
		return 0;
	}
	if (r == -ESRCH || r == -ENOENT)
		return ab_explain_target(err, -ENOENT, ab_program_section(program), target);
	return ab_fail_errno(err, r, "program '%s' cannot attach to '%s'", ab_program_name(program), target);
}
