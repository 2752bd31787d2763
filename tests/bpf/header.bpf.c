/* SPDX-License-Identifier: GPL-2.0-only */
/* Uses every macro of anybpf.bpf.h: compiled by every clang without a warning, run and compared by test_headers.py. */
#include "anybpf.bpf.h"
#include <bpf/usdt.bpf.h>

struct reading {
	u64 time AB_AS(ktime);
	u32 numbers[3] AB_UNIT(us);
	u32 hidden AB_HIDE;
	u64 zeroed[4];
	char comm[16];
	u32 flags AB_AS(flags:bits);
};

struct tail {
	u32 size;
	char text[60];
};

struct big {
	u64 filled[200];
};

enum bits { one = 1, two = 2, four = 4 };
enum bits keep_bits;

AB_EVENTS(events, struct reading);
AB_EVENTS_SIZE(tails, struct tail, 4096) AB_HELP("the tag of the last declaration");
AB_EVENTS_SIZE(bigs, struct big, 16384);
AB_PARAM(u32, rounds, 3, "how often");
AB_PARAM_TEXT(word, 8, "none", "any word");
AB_TARGET_PID(target_pid);

AB_HASH(hash, u32, u64, 8) AB_SHOW AB_UNIT(bytes);
AB_LRU_HASH(lru, u32, u64, 8);
AB_PERCPU_HASH(percpu, u32, u64, 8) AB_SHOW;
AB_LRU_PERCPU_HASH(lru_percpu, u32, u64, 8);
AB_ARRAY(array, u64, 32) AB_SHOW;
AB_PERCPU_ARRAY(percpu_array, u64, 2) AB_SHOW;
AB_STACKS(stacks, 64);
AB_HIST_LOG2(logs) AB_UNIT(us);
AB_HIST_LINEAR(lines, 5, 5, 6);
AB_HASH_LOG2(logs_by, u32, 8) AB_UNIT(us);

static __always_inline void put(u32 slot, u64 value)
{
	bpf_map_update_elem(&array, &slot, &value, BPF_ANY);
}

static __always_inline void fill_maps(void *ctx, u32 i)
{
	u64 init = 40, *value;
	u32 key = i & 1;

	ab_count(hash, &key);
	ab_add(percpu, &key, 10);
	ab_add(percpu_array, &key, 2);
	ab_add(lru_percpu, &key, 2);
	value = ab_lookup_or_init(lru, &key, &init);
	if (value)
		__sync_fetch_and_add(value, 2);
	ab_log2_add(logs, 1ULL << (i * 21 & 63));
	ab_linear_add(lines, (s64)i * 40 - 15);
	ab_hash_log2_add(logs_by, &key, i);
	if (i == 0) {
		put(0, ab_kstack(ctx, stacks) >= 0);
		put(1, ab_ustack(ctx, stacks) >= 0);
	}
}

static __always_inline void send(void *ctx, u32 i)
{
	struct reading *e = ab_reserve(events);
	struct tail *tail = ab_scratch(tails);
	struct big *big = ab_reserve(bigs);

	if (e) {
		e->time = ab_ktime();
		e->numbers[0] = i;
		e->flags = i;
		ab_comm(e->comm);
		if (i == 2)
			ab_discard(events, e);
		else
			ab_submit(ctx, events, e);
	}
	if (tail) {
		tail->size = i;
		__builtin_memcpy(tail->text, "tail of text", 12);
		ab_output(ctx, tails, tail, offsetof(struct tail, text) + (i & 7));
	}
	if (big) {
		big->filled[127] += i;
		ab_submit(ctx, bigs, big);
	}
}

SEC("tracepoint/syscalls/sys_enter_getpgid") AB_HELP("a program with help")
int answers(struct trace_event_raw_sys_enter *ctx)
{
	struct task_struct *task = ab_task();
	struct { char text[8]; } kernel, user;

	if (ab_pid() != (u32)target_pid || (u32)ctx->args[0] != 1234567)
		return 0;
	for (u32 i = 0; i < 8 && i < rounds; i++) {
		fill_maps(ctx, i);
		send(ctx, i);
	}
	put(2, ab_tid());
	put(3, ab_ppid());
	put(4, ab_uid());
	put(5, ab_read(task->tgid));
	put(6, ab_read(task, real_parent, real_parent, tgid));
	put(15, ab_read(task, mm, exe_file, f_inode, i_sb, s_root, d_inode, i_ino) > 0);
	put(7, ab_read(task, group_leader, mm, arg_end) > ab_read(ab_read(task->mm)->arg_start));
	put(8, ab_read_str(kernel.text, task->comm) > 1 && kernel.text[0]);
	put(9, ab_read_user_str(user.text, (const char *)ab_read(task, mm, arg_start)) > 1 && user.text[0] == '/');
	put(10, word[0] == 'h' && word[1] == 'i');
	put(11, ab_log2(0) + ab_log2(1) + ab_log2(2) * 10 + ab_log2(~0ULL) * 100);
	put(12, ab_log2(rounds * 0x100000000ULL));
	return 0;
}

SEC("tracepoint/sched/sched_process_exec") AB_OPTIONAL
int exec_name(struct trace_event_raw_sched_process_exec *ctx)
{
	struct { char text[64]; } file;
	u64 slash;

	if (ab_ppid() != (u32)target_pid)
		return 0;
	slash = ab_read_tp_str(file.text, ctx, filename) > 1 && file.text[0] == '/';
	put(13, slash);
	return 0;
}

/* Names a place that isn't there, and is left out. */
SEC("uprobe") AB_OPTIONAL AB_ATTACH("/nonexistent:nothing")
int BPF_UPROBE(never, long first)
{
	put(14, first);
	return 0;
}

SEC("uretprobe") AB_OPTIONAL AB_ATTACH("/nonexistent:nothing")
int BPF_URETPROBE(never_back, long result)
{
	put(14, result);
	return 0;
}

AB_LICENSE("GPL");
