/* SPDX-License-Identifier: GPL-2.0-only */
/* Every name of lbc.h, used as coolbpf's examples do, and results that test_lbc.py compares with what they must be. */
#include "lbc.h"
#include <linux/types.h>
#include <bpf/bpf_endian.h>

struct cell { u64 number; };
struct pair { u32 a; u16 b; s16 c; };

LBC_PERF_OUTPUT(out, struct cell,
		64 * 2);
LBC_HASH(hash, struct pair, struct cell, 256 * 4);
LBC_ARRAY(array, u32, u64, 32);
LBC_HIST2(hist2);
LBC_HIST10(hist10);
LBC_LRU_HASH(lru, u32, struct cell *, 16);
LBC_PERCPU_HASH(percpu, u64, s64, 16);
LBC_LRU_PERCPU_HASH(lru_percpu, u8, s8, 16);
LBC_PERCPU_ARRAY(percpu_array, int, long, 4);
LBC_STACK(stacks, 1024);

static inline void put(u32 slot, u64 value)
{
	bpf_map_update_elem(&array, &slot, &value, BPF_ANY);
}

/* Numbers the compiler can't know, so that it is the program that computes. */
static inline u64 given(u32 slot)
{
	u64 *value = bpf_map_lookup_elem(&array, &slot);

	return value ? *value : 0;
}

/* Slots 0 to 3 are given, 8 on are answers. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int answers(struct trace_event_raw_sys_enter *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 x = given(0), log = given(1), one = 1;
	kuid_t uid = _(_(task->cred)->uid);
	struct cell cell = { x };
	struct pair pair = { 1, 2, 3 };
	u32 key = 1;
	struct cell *none = NULL;

	if (x == 0)
		return 0;
	lbc_debug("number %llu", x);
	put(8, ntohs(x));
	put(9, ntohl(x));
	put(10, ntohll(x));
	put(11, 0x0100 == ntohs(one));
	put(12, _(task->tgid));
	put(13, uid.val);
	put(14, fast_log2(log));
	put(15, fast_log10(log));
	put(16, fast_log2(-5) + fast_log10(0) + fast_log2(1));
	put(17, bpf_get_stackid(ctx, &stacks, USER_STACKID_FLAGS | BPF_F_REUSE_STACKID) >= 0);
	put(18, NUM_E1 + NUM_E2 + NUM_E4 + NUM_E8 + NUM_E16);
	hist2_push(&hist2, log);
	hist10_push(&hist10, log);
	incr_hist(&hist2, 63);
	add_hist(&hist10, 19, 7);
	bpf_map_update_elem(&hash, &pair, &cell, BPF_NOEXIST);
	bpf_map_update_elem(&lru, &key, &none, BPF_ANY);
	bpf_map_update_elem(&percpu, &x, &x, BPF_ANY);
	bpf_map_update_elem(&lru_percpu, &key, &key, BPF_ANY);
	bpf_map_update_elem(&percpu_array, &key, &x, BPF_EXIST);
	bpf_perf_event_output(ctx, &out, BPF_F_CURRENT_CPU, &cell, sizeof(cell));
	return 0;
}
char _license[] SEC("license") = "GPL";
