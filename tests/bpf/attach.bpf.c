/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A program for each way of attaching; each counts its runs in `counts` by its number. Tests enable what they look at. */
#include "test.h"

struct {
	__uint(type, 2);
	__uint(max_entries, 32);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");

struct {
	__uint(type, 15 /* SOCKMAP */);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u32);
} sockets SEC(".maps");

static __attribute__((always_inline)) void count(u32 which)
{
	u64 *n = map_lookup(&counts, &which);

	if (n)
		__sync_fetch_and_add(n, 1);
}

#define PROGRAM(number, section, name, verdict) \
	SEC(section) int name(void *ctx)        \
	{                                       \
		count(number);                  \
		return verdict;                 \
	}

PROGRAM(0, "tp/syscalls/sys_enter_getpgid", on_tp, 0)
PROGRAM(1, "raw_tp/sys_enter", on_raw_tp, 0)
PROGRAM(2, "tp_btf/sys_enter", on_tp_btf, 0)
PROGRAM(3, "uprobe", on_uprobe, 0)
PROGRAM(4, "uretprobe", on_uretprobe, 0)
PROGRAM(5, "perf_event", on_perf_event, 0)
PROGRAM(6, "xdp", on_xdp, 2 /* XDP_PASS */)
PROGRAM(7, "tc", on_tc, -1 /* TC_ACT_UNSPEC */)
PROGRAM(8, "cgroup_skb/egress", on_cgroup, 1)
PROGRAM(9, "socket", on_socket, 0)
PROGRAM(10, "sk_lookup", on_lookup, 1)
PROGRAM(11, "sk_msg", on_msg, 1)
PROGRAM(12, "kprobe/do_exit", on_kprobe, 0)
PROGRAM(13, "fentry/do_exit", on_fentry, 0)
PROGRAM(14, "tp/syscalls/sys_enter_getpgip", on_wrong_tp, 0)
PROGRAM(15, "kprobe.multi/do_ex*", on_multi, 0)
PROGRAM(16, "tp_btf/no_such_point", on_wrong_btf, 0)
PROGRAM(17, "fentry", on_bare_fentry, 0)
PROGRAM(18, "uprobe/libc:strfry", on_section_uprobe, 0)
PROGRAM(19, "raw_tp", on_bare_raw, 0)
PROGRAM(20, "cgroup/sysctl", on_sysctl, 1)

SEC("?kprobe/do_exit")
int optional_kprobe(void *ctx)
{
	return 0;
}

SEC("perf_event")
TAG("attach=cpu-clock@500")
TAG("optional")
int tagged(void *ctx)
{
	count(21);
	return 0;
}

struct seq_file;
struct iter_meta {
	struct seq_file *seq;
	u64 session, number;
};
struct task;
struct task_iter {
	struct iter_meta *meta;
	struct task *task;
};

SEC("iter/task")
int on_task(struct task_iter *ctx)
{
	if (ctx->task)
		seq_write(ctx->meta->seq, "task\n", 5);
	return 0;
}

LICENSE;
