/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Program types, map types, and which helpers the important program types may call. A helper is tried by a program that
 * calls it with no arguments set up: the verifier complains of the helper before it complains of the arguments.
 */
#include <bpf/libbpf.h>
#include "features.h"

static const char unknown_advice[] = "this kernel does not have it";

/*
 * Each helper is tried with all of the first HELPER_TYPES_ALWAYS; with the others, only until one may call it and only if
 * none of the first may. `target`: the function that programs of the type have to be tied to, or the struct whose `member` they
 * implement.
 */
static const struct helper_type {
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
	const char *name, *target, *member;
	bool sleepable;
} helper_types[] = {
	{ BPF_PROG_TYPE_KPROBE, 0, "kprobe", NULL },
	{ BPF_PROG_TYPE_TRACEPOINT, 0, "tracepoint", NULL },
	{ BPF_PROG_TYPE_PERF_EVENT, 0, "perf_event", NULL },
	{ BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "raw_tracepoint", NULL },
	{ BPF_PROG_TYPE_XDP, 0, "xdp", NULL },
	{ BPF_PROG_TYPE_SCHED_CLS, 0, "sched_cls", NULL },
	{ BPF_PROG_TYPE_CGROUP_SKB, 0, "cgroup_skb", NULL },
	{ BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, "iter", "bpf_iter_task" },
	{ BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "lsm", "bpf_lsm_bprm_committed_creds" },
	{ BPF_PROG_TYPE_SYSCALL, 0, "syscall", NULL, .sleepable = true },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, "cgroup_sock_addr", NULL },
	{ BPF_PROG_TYPE_SOCK_OPS, 0, "sock_ops", NULL },
	{ BPF_PROG_TYPE_SK_SKB, 0, "sk_skb", NULL },
	{ BPF_PROG_TYPE_SK_MSG, 0, "sk_msg", NULL },
	{ BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, "sk_lookup", NULL },
	{ BPF_PROG_TYPE_SK_REUSEPORT, 0, "sk_reuseport", NULL },
	{ BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL, "cgroup_sysctl", NULL },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT, "cgroup_sockopt", NULL },
	{ BPF_PROG_TYPE_LWT_IN, 0, "lwt_in", NULL },
	{ BPF_PROG_TYPE_LWT_XMIT, 0, "lwt_xmit", NULL },
	{ BPF_PROG_TYPE_LWT_SEG6LOCAL, 0, "lwt_seg6local", NULL },
	{ BPF_PROG_TYPE_LIRC_MODE2, 0, "lirc_mode2", NULL },
	/* What 5.10 lets call bpf_copy_from_user() and bpf_d_path(), and any kernel bpf_tcp_send_ack(). */
	{ BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "lsm.s", "bpf_lsm_bprm_committed_creds", .sleepable = true },
	{ BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, "fentry", "dentry_open" },
	{ BPF_PROG_TYPE_STRUCT_OPS, 0, "struct_ops", "tcp_congestion_ops", "ssthresh" },
};
#define HELPER_TYPES_ALWAYS 7

/* The helpers by the names that the header which this was built with has; newer ones only by newer builds. */
#define HELPER_NAME(name) #name
static const char *const helpers[] = { __BPF_FUNC_MAPPER(HELPER_NAME) };

static int find_member(const struct btf *btf, int id, const char *name)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	for (int i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__str_by_offset(btf, btf_members(type)[i].name_off), name))
			return i;
	return -ENOENT;
}

/* Loads a program for type `t`; 0 when this kernel has nothing to tie it to. */
static int load_helper_type(struct probe *p, size_t t, const struct bpf_insn *insns, size_t n, char *log, size_t log_size)
{
	const struct helper_type *type = &helper_types[t];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type->attach, .log_buf = log, .log_size = log_size,
		    .log_level = log ? 1 : 0, .prog_flags = type->sleepable ? BPF_F_SLEEPABLE : 0);
	int id = type->target ? ab_probe_btf_id(p, type->target, type->member ? BTF_KIND_STRUCT : BTF_KIND_FUNC) : 0;
	int member = id > 0 && type->member ? find_member(p->btf, id, type->member) : 0;

	if (id < 0 || member < 0)
		return 0;
	opts.attach_btf_id = id;
	if (type->member)
		opts.expected_attach_type = member;
	return ab_probe_load(p, type->type, insns, n, &opts);
}

/* A type that cannot load a program without helpers answers nothing about them. */
static bool is_usable(struct probe *p, size_t t)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, helper_types[t].type == BPF_PROG_TYPE_TRACING ? 0 : 1), EXIT() };

	return close_yes(load_helper_type(p, t, insns, ARRAY_SIZE(insns), NULL, 0)) > 0;
}

/* 1: may be called, 0: not, or a negative errno when the kernel would not even look. */
static int probe_helper(struct probe *p, size_t t, int helper)
{
	struct bpf_insn insns[] = { INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper), MOV_IMM(BPF_REG_0, 0), EXIT() };
	static const char *const refusals[] = { "invalid func ", "unknown func ", "cannot use helper", "not allowed in probe" };
	char log[1024] = "";
	int fd = load_helper_type(p, t, insns, ARRAY_SIZE(insns), log, sizeof(log));

	if (fd > 0)
		return close_yes(fd);
	if (!log[0])
		return fd;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (strstr(log, refusals[i]))
			return 0;
	return 1;
}

static int add_helper(struct probe *p, int helper, const bool *usable, int refused)
{
	_text_ struct text where = {};
	enum ab_feature_state state;
	int answer = refused;

	for (size_t t = 0; !refused && t < ARRAY_SIZE(helper_types); t++) {
		int one;

		if (!usable[t] || (t >= HELPER_TYPES_ALWAYS && answer > 0))
			continue;
		one = probe_helper(p, t, helper);
		if (one > 0)
			text_printf(&where, "%s%s", where.n ? " " : "", helper_types[t].name);
		answer = answer > 0 ? answer : one;
	}
	state = ab_probe_state(p, answer);
	return ab_features_add(p->features, "helper", helpers[helper], state, where.n || answer >= 0 ? where.p : strerror(-answer),
			       state == AB_FEATURE_NO ? "no type of program that loads here may call it" : "");
}

static int probe_helpers(struct probe *p, int refused)
{
	bool usable[ARRAY_SIZE(helper_types)] = {};
	int ret = 0;

	for (size_t t = 0; !refused && t < ARRAY_SIZE(helper_types); t++)
		usable[t] = is_usable(p, t);
	for (size_t i = 1; i < ARRAY_SIZE(helpers) && ret == 0; i++)
		ret = add_helper(p, i, usable, refused);
	return ret;
}

/* libbpf asks for fentry, which may be refused where the rest of the type works: what could be attached tells. */
static int probe_program_type(struct probe *p, int type)
{
	static const char *const ways[] = { "tp_btf", "iter", "fentry" };

	for (size_t i = 0; type == BPF_PROG_TYPE_TRACING && i < ARRAY_SIZE(ways); i++)
		if (ab_features_find(p->features, "attach", ways[i])->state == AB_FEATURE_YES)
			return 1;
	return libbpf_probe_bpf_prog_type(type, NULL);
}

static int add_type(struct probe *p, const char *group, const char *name, int answer)
{
	enum ab_feature_state state = ab_probe_state(p, answer);

	return ab_features_add(p->features, group, name, state, answer < 0 ? strerror(-answer) : "",
			       state == AB_FEATURE_NO ? unknown_advice : "");
}

int ab_probe_types(struct probe *p)
{
	/* Refusals are told once for all: libbpf's own probes take them for answers. */
	int refused = p->has_bpf < 0 ? p->has_bpf : p->may_load < 0 ? p->may_load : 0, ret = 0;
	const char *name;

	for (int t = 1; (name = libbpf_bpf_prog_type_str(t)) && ret == 0; t++)
		ret = add_type(p, "program", name, refused ? refused : probe_program_type(p, t));
	for (int t = 1; (name = libbpf_bpf_map_type_str(t)) && ret == 0; t++)
		ret = add_type(p, "map", name, refused ? refused : libbpf_probe_bpf_map_type(t, NULL));
	return ret ? ret : probe_helpers(p, refused);
}
