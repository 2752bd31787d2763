/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the worker compiles before its first job: a bit of everything that programs do, so that the parts of clang they need are in
 * memory. LLVM keeps what it made of field accesses from one compile to the next, by type, so these types have names that no
 * kernel has.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int pid_t;
enum bpf_map_type { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_RINGBUF = 27 };
enum state { STATE_A, STATE_B = 5 };
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct warm_list { struct warm_list *next, *prev; };
struct warm_task {
	volatile long state; void *stack; unsigned int flags : 3, policy : 4; int pid, tgid; struct warm_task *real_parent;
	struct warm_list tasks; char comm[16]; union { int x; u64 y; }; };
#pragma clang attribute pop
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_trace_printk)(const char *fmt, u32 size, ...) = (void *)6;
static void *(*bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
#define BPF_CORE_READ(p, f) ({ typeof((p)->f) v;                                                        \
	bpf_probe_read_kernel(&v, sizeof(v), __builtin_preserve_access_index(&(p)->f)); v; })
struct event { u32 pid, ppid; u64 ns[4]; char comm[16]; enum state state; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024);
	__type(key, u32); __type(value, struct event); } seen SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
const volatile u32 target = 0;
const volatile _Bool verbose = 0;
u64 counter;
static const char text[] = "pid %d";
static __attribute__((noinline)) int is_wanted(u32 pid) { return !target || pid == target; }
static inline __attribute__((always_inline)) u64 log2l(u64 v) { u64 r = 0; while (v >>= 1) r++; return r; }
SEC("tp/sched/sched_process_exec")
int handle_exec(u64 *ctx)
{
	struct warm_task *task = (void *)bpf_get_current_task(), *parent;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event *e, zero = {};

	if (!is_wanted(pid))
		return 0;
	e = bpf_map_lookup_elem(&seen, &pid);
	if (!e) {
		bpf_map_update_elem(&seen, &pid, &zero, 0);
		__sync_fetch_and_add(&counter, 1);
	}
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	parent = BPF_CORE_READ(task, real_parent);
	e->pid = pid;
	e->ppid = BPF_CORE_READ(parent, tgid);
	e->state = __builtin_preserve_field_info(task->comm, 2) ? STATE_B : STATE_A;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		e->ns[i] = log2l(ctx[i]) + (i ? e->ns[i - 1] : 0);
	for (u32 i = 0; i < 16 && verbose; i++) {
		switch (ctx[i & 3]) {
		case 1: e->comm[i] = 'a'; break;
		case 2: e->comm[i] = 'b'; break;
		case 3: e->comm[i] = ctx[1] % 10; break;
		default: __builtin_memset(e->comm, 0, sizeof(e->comm));
		}
	}
	bpf_trace_printk(text, sizeof(text), pid);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
