/* SPDX-License-Identifier: GPL-2.0-only */
/* How long tasks wait for a CPU, as histograms by process, thread or pid namespace. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define MAX_SLOTS 26
#define TASK_RUNNING 0

struct hist {
	u32 slots[MAX_SLOTS];
	char comm[16];
};

const volatile bool by_thread = false, by_process = false, by_namespace = false, in_ms = false;
const volatile pid_t targ_tgid = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} start SEC(".maps");

static struct hist zero;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct hist);
} hists SEC(".maps");

struct task_struct___o {
	volatile long int state;
} __attribute__((preserve_access_index));

struct task_struct___x {
	unsigned int __state;
} __attribute__((preserve_access_index));

static __always_inline s64 task_state(void *task)
{
	struct task_struct___x *t = task;

	if (bpf_core_field_exists(t->__state))
		return BPF_CORE_READ(t, __state);
	return BPF_CORE_READ((struct task_struct___o *)task, state);
}

static __always_inline u64 log2_of(u32 v)
{
	u32 shift, r;

	r = (v > 0xffff) << 4; v >>= r;
	shift = (v > 0xff) << 3; v >>= shift; r |= shift;
	shift = (v > 0xf) << 2; v >>= shift; r |= shift;
	shift = (v > 0x3) << 1; v >>= shift; r |= shift;
	return r | (v >> 1);
}

static __always_inline u64 log2l_of(u64 v)
{
	u32 high = v >> 32;

	return high ? log2_of(high) + 32 : log2_of(v);
}

static __always_inline unsigned int pid_namespace(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid upid;

	bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]);
	return BPF_CORE_READ(upid.ns, ns.inum);
}

static __always_inline int trace_enqueue(u32 tgid, u32 pid)
{
	u64 ts = bpf_ktime_get_ns();

	if (pid && (!targ_tgid || targ_tgid == tgid))
		bpf_map_update_elem(&start, &pid, &ts, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct *p)
{
	return trace_enqueue(p->tgid, p->pid);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *p)
{
	return trace_enqueue(p->tgid, p->pid);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct hist *h;
	u64 *began, slot;
	u32 pid = next->pid, key = -1;
	s64 delta;

	if (task_state(prev) == TASK_RUNNING)
		trace_enqueue(prev->tgid, prev->pid);
	began = bpf_map_lookup_elem(&start, &pid);
	if (!began)
		return 0;
	delta = bpf_ktime_get_ns() - *began;
	if (delta < 0)
		goto done;
	if (by_process)
		key = next->tgid;
	else if (by_thread)
		key = pid;
	else if (by_namespace)
		key = pid_namespace(next);
	h = bpf_map_lookup_elem(&hists, &key);
	if (!h) {
		bpf_map_update_elem(&hists, &key, &zero, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&hists, &key);
		if (!h)
			goto done;
	}
	if (!h->comm[0])
		bpf_probe_read_kernel_str(&h->comm, sizeof(h->comm), next->comm);
	slot = log2l_of(delta / (in_ms ? 1000000U : 1000U));
	if (slot >= MAX_SLOTS)
		slot = MAX_SLOTS - 1;
	__sync_fetch_and_add(&h->slots[slot], 1);
done:
	bpf_map_delete_elem(&start, &pid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
