/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The one header that a BPF program includes: kernel types, libbpf's helpers, short names for what everybody writes.
 *
 *	#include "anybpf.bpf.h"
 *
 *	struct event { u32 pid; char comm[16]; char file[64]; };
 *	AB_EVENTS(events, struct event);			// an event channel on any kernel
 *	AB_TARGET_PID(target_pid);				// an option: anybpf run x.bpf.c --pid 42
 *
 *	SEC("tracepoint/syscalls/sys_enter_openat")
 *	int open_enter(struct trace_event_raw_sys_enter *ctx)
 *	{
 *		struct event *e;
 *
 *		if (target_pid && ab_pid() != target_pid)
 *			return 0;
 *		e = ab_reserve(events);
 *		if (!e)
 *			return 0;
 *		e->pid = ab_pid();
 *		ab_comm(e->comm);
 *		ab_read_user_str(e->file, (const char *)ctx->args[1]);
 *		ab_submit(ctx, events, e);
 *		return 0;
 *	}
 *	AB_LICENSE("GPL");
 *
 * Rules that hold for all of it
 * - Macros that take a map take its name, without `&`; keys are pointers, as in bpf_map_lookup_elem().
 * - Declarations end with a semicolon of the caller's; tags come before it: `AB_HASH(sent, u32, u64, 1024) AB_SHOW;`
 * - What is not used costs nothing in the object. Everything compiles with clang 15 and later, for -mcpu=v1 too.
 * - "Kernel:" names the first kernel that has what a macro needs; without it, any with BPF tracing (4.9) will do.
 * - USDT probes: include <bpf/usdt.bpf.h> after this header.
 */
#ifndef ANYBPF_BPF_H
#define ANYBPF_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

/* ---- small things ---- */

#define AB_STR_(...) #__VA_ARGS__
#define AB_STR(...) AB_STR_(__VA_ARGS__)
#define AB_CAT_(a, b) a##b
#define AB_CAT(a, b) AB_CAT_(a, b)

/* The license, which the kernel wants to know: "GPL" for nearly all tracing helpers. */
#define AB_LICENSE(text) char _license[] SEC("license") = text

#ifndef BPF_UPROBE
#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)
#endif

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

/* ---- tags: how members, maps and parameters are shown, and where programs attach (docs/format-tags.md) ---- */

#if __has_attribute(btf_decl_tag)
#define AB_TAG(text) __attribute__((btf_decl_tag("anybpf:" text)))
#else
#define AB_TAG(text)
#endif

/* On a member or map: how to render it. AB_AS(ipv4), AB_AS(errno), AB_AS(kstack:stacks), AB_AS(enum:tcp_state)… */
#define AB_AS(...) AB_TAG("as=" #__VA_ARGS__)
/* On a member or map: the unit of the number. AB_UNIT(us) */
#define AB_UNIT(unit) AB_TAG("unit=" #unit)
/* On a member: not shown. */
#define AB_HIDE AB_TAG("hide")
/* On a map: printed by `anybpf run` at the end, and at each --interval, without being asked for. */
#define AB_SHOW AB_TAG("show")
/* On a parameter, map or program: one line that tells people what it is. */
#define AB_HELP(text) AB_TAG("help=" text)
/* On a program: the run goes on without it when this kernel can't load or attach it. */
#define AB_OPTIONAL AB_TAG("optional")
/* On a program: where it attaches unless told otherwise. AB_ATTACH("libc:malloc"), AB_ATTACH("cpu-clock@99") */
#define AB_ATTACH(target) AB_TAG("attach=" target)

/* ---- parameters: constants that are set when the program is loaded, options of `anybpf run` ---- */

/*
 * Declares `const volatile type name`, set by --name. The verifier knows the value and drops code that it makes dead.
 *	AB_PARAM(u64, min_us, 1000, "leave out what took less");
 *	AB_PARAM(bool, failed, false, "only calls that failed");
 * Kernel: 5.2 (global data).
 */
#define AB_PARAM(type, name, default_value, help) const volatile type name AB_HELP(help) = default_value
/* The same for text of at most size - 1 bytes: AB_PARAM_TEXT(file, 64, "", "only files that begin with this"); */
#define AB_PARAM_TEXT(name, size, default_value, help) const volatile char name[size] AB_HELP(help) = default_value
/* The parameter that takes --pid: the process (tgid) to look at, 0 for all. */
#define AB_TARGET_PID(name) const volatile pid_t name AB_TAG("pid") AB_HELP("only this process; 0: all") = 0

/* ---- maps ---- */

/* Numbers of the kernel's ABI, so that a header of types from an old kernel, which lacks the newer names, will do. */
#define AB_MAP_HASH 1
#define AB_MAP_ARRAY 2
#define AB_MAP_PERCPU_HASH 5
#define AB_MAP_PERCPU_ARRAY 6
#define AB_MAP_STACK_TRACE 7
#define AB_MAP_LRU_HASH 9
#define AB_MAP_LRU_PERCPU_HASH 10
#define AB_MAP_RINGBUF 27
#define AB_MAP_NOEXIST 1 /* BPF_NOEXIST */
#define AB_CURRENT_CPU 0xffffffffULL /* BPF_F_CURRENT_CPU */

#define AB_MAP(map_type, name, K, V, n)     \
	struct {                            \
		__uint(type, map_type);     \
		__uint(max_entries, n);     \
		__type(key, K);             \
		__type(value, V);           \
	} name SEC(".maps")

/* Maps from K to V with at most n entries. A full LRU map forgets what was unused for longest. Kernel of LRU: 4.10. */
#define AB_HASH(name, K, V, n) AB_MAP(AB_MAP_HASH, name, K, V, n)
#define AB_LRU_HASH(name, K, V, n) AB_MAP(AB_MAP_LRU_HASH, name, K, V, n)
/* Each CPU has values of its own, which readers add up. */
#define AB_PERCPU_HASH(name, K, V, n) AB_MAP(AB_MAP_PERCPU_HASH, name, K, V, n)
#define AB_LRU_PERCPU_HASH(name, K, V, n) AB_MAP(AB_MAP_LRU_PERCPU_HASH, name, K, V, n)
/* Values numbered 0 to n - 1, all there from the start, zero. */
#define AB_ARRAY(name, V, n) AB_MAP(AB_MAP_ARRAY, name, u32, V, n)
#define AB_PERCPU_ARRAY(name, V, n) AB_MAP(AB_MAP_PERCPU_ARRAY, name, u32, V, n)

/* At most n different stacks of up to 127 frames, named by the number that ab_kstack() and ab_ustack() return. */
#define AB_STACK_DEPTH 127
#define AB_STACKS(name, n)                                          \
	struct {                                                    \
		__uint(type, AB_MAP_STACK_TRACE);                   \
		__uint(max_entries, n);                             \
		__uint(key_size, sizeof(u32));                      \
		__uint(value_size, AB_STACK_DEPTH * sizeof(u64));   \
	} name SEC(".maps")

/* The number of the kernel's or the current user's stack; negative: -EFAULT none, -EEXIST no room for another. */
#define ab_kstack(ctx, stacks) ((s32)bpf_get_stackid(ctx, &(stacks), 0))
#define ab_ustack(ctx, stacks) ((s32)bpf_get_stackid(ctx, &(stacks), 1ULL << 8 /* BPF_F_USER_STACK */))

/*
 * The value of a key, or what `init` points at, inserted, when there is none yet. When several CPUs insert at once, one
 * wins and all get its value. NULL when the map is full.
 */
#define ab_lookup_or_init(map, key_ptr, init)                                            \
	({                                                                               \
		const typeof(*(map).key) *__key = (key_ptr);                             \
		typeof((map).value) __value = bpf_map_lookup_elem(&(map), __key);        \
		if (!__value) {                                                          \
			bpf_map_update_elem(&(map), __key, (init), AB_MAP_NOEXIST);      \
			__value = bpf_map_lookup_elem(&(map), __key);                    \
		}                                                                        \
		__value;                                                                 \
	})

/* The same with zeroes; values of up to some 256 bytes, since the zeroes are on the stack. */
#define ab_lookup_or_zero(map, key_ptr)                              \
	({                                                           \
		typeof(*(map).value) __zero;                         \
		__builtin_memset(&__zero, 0, sizeof(__zero));        \
		ab_lookup_or_init(map, key_ptr, &__zero);            \
	})

/* Adds to a number, atomically; one that is missing begins at 0. Nothing happens when the map is full. */
#define ab_add(map, key_ptr, delta)                                             \
	do {                                                                    \
		typeof((map).value) __sum = ab_lookup_or_zero(map, key_ptr);    \
		if (__sum)                                                      \
			__sync_fetch_and_add(__sum, (delta));                   \
	} while (0)
#define ab_count(map, key_ptr) ab_add(map, key_ptr, 1)

/* ---- histograms ---- */

/* The power of two that v lies at or above: 0 for 0 and 1, 1 for 2 and 3, … 63. Without branches or loops. */
static __always_inline u32 ab_log2(u64 v)
{
	v |= v >> 1;
	v |= v >> 2;
	v |= v >> 4;
	v |= v >> 8;
	v |= v >> 16;
	v |= v >> 32;
	v >>= 1; /* as many ones as the answer: count them */
	v -= (v >> 1) & 0x5555555555555555ULL;
	v = (v & 0x3333333333333333ULL) + ((v >> 2) & 0x3333333333333333ULL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (v * 0x0101010101010101ULL) >> 56;
}

/* A log2 histogram as a struct member or map value: struct key { … }; struct value { struct ab_log2_hist us; }. */
#define AB_LOG2_SLOTS 64
struct ab_log2_hist {
	u64 slots[AB_LOG2_SLOTS] AB_AS(log2);
};

static __always_inline void ab_log2_hist_add(struct ab_log2_hist *hist, u64 v)
{
	u64 slot = ab_log2(v);

	/* The compiler knows that it is below 64 and drops the mask, which the verifier needs. */
	barrier_var(slot);
	__sync_fetch_and_add(&hist->slots[slot & (AB_LOG2_SLOTS - 1)], 1);
}

/*
 * Slot i counts values from 2^i on: AB_HIST_LOG2(latency) AB_UNIT(us); ab_log2_add(latency, delta_us). Shown unasked.
 */
#define AB_HIST_LOG2(name) AB_ARRAY(name, u64, AB_LOG2_SLOTS) AB_AS(log2) AB_SHOW
#define ab_log2_add(name, v) ab_slot_add(&(name), ab_log2(v))

/*
 * Slot i counts values from base + i * step on; below the first counts as the first, above the last as the last.
 *	AB_HIST_LINEAR(depth, 0, 10, 32); ab_linear_add(depth, n);
 * base, step and slots are constants and not negative. Shown unasked.
 */
#define AB_HIST_LINEAR(name, base, step, slots)                                                       \
	enum { name##_base = (base), name##_step = (step), name##_slots = (slots) };                  \
	AB_ARRAY(name, u64, slots) AB_TAG("as=linear:" AB_STR(base) ":" AB_STR(step)) AB_SHOW
#define ab_linear_add(name, v) ab_slot_add(&(name), ab_linear_slot(v, name##_base, name##_step, name##_slots))

static __always_inline u32 ab_linear_slot(s64 v, s64 base, u64 step, u32 slots)
{
	u64 slot = v < base ? 0 : (u64)(v - base) / step;

	return slot < slots ? slot : slots - 1;
}

static __always_inline void ab_slot_add(void *slots, u32 slot)
{
	u64 *count = bpf_map_lookup_elem(slots, &slot);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/*
 * A log2 histogram for each key: AB_HASH_LOG2(by_disk, u32, 256) AB_UNIT(us); ab_hash_log2_add(by_disk, &disk,
 * delta_us). Shown unasked. Kernel: 4.18 (a map value inserted into another map).
 */
#define AB_HASH_LOG2(name, K, n)                                                        \
	AB_PERCPU_ARRAY(name##_zero, struct ab_log2_hist, 1) AB_TAG("scratch");         \
	AB_HASH(name, K, struct ab_log2_hist, n) AB_SHOW
#define ab_hash_log2_add(name, key_ptr, v)                                                      \
	do {                                                                                    \
		u32 __first = 0;                                                                \
		void *__zeroes = bpf_map_lookup_elem(&name##_zero, &__first);                   \
		struct ab_log2_hist *__hist = NULL;                                             \
		if (__zeroes)                                                                   \
			__hist = ab_lookup_or_init(name, key_ptr, __zeroes);                    \
		if (__hist)                                                                     \
			ab_log2_hist_add(__hist, v);                                            \
	} while (0)

/* ---- events ---- */

/*
 * AB_EVENTS(name, struct T) declares a channel for events of one type: a ring buffer where the kernel has one (5.8),
 * else a perf buffer, from one object. libbpf alone loads it where there are ring buffers; for older kernels the
 * loader turns the map into a perf buffer, as anybpf does, and the verifier then never sees the ring buffer's calls.
 *
 *	struct T *e = ab_reserve(name);		NULL when there is no room, which is counted
 *	ab_submit(ctx, name, e);		sends it; or ab_discard(name, e)
 *
 * For events with a tail of varying length, write to memory that the CPU keeps for this channel and send as much as
 * is used:
 *
 *	struct T *e = ab_scratch(name);
 *	ab_output(ctx, name, e, offsetof(struct T, tail) + n);	n bounded, for the verifier
 *
 * The first KiB of a reserved event is zero, what lies beyond has no defined contents until written. Scratch memory
 * keeps what the last event left there. A reserved event has to be submitted or discarded on every path, or the
 * verifier refuses the program. Programs that can interrupt each other on one CPU (sleepable ones, or one on a
 * process and one in an interrupt) should have a channel each when they write to scratch memory.
 *
 * AB_EVENTS makes a ring of 1 MiB; AB_EVENTS_SIZE takes a size, a power of two of at least a page. An event is at most
 * 32 KiB. Beside the map come `name_scratch`, the scratch memory, and `name_lost`, which counts what did not fit.
 */
#define AB_EVENTS(name, T) AB_EVENTS_SIZE(name, T, 1 << 20)
#define AB_EVENTS_SIZE(name, T, size)                                       \
	struct {                                                            \
		__uint(type, AB_MAP_RINGBUF);                               \
		__uint(max_entries, size);                                  \
	} name SEC(".maps") AB_TAG("event=" #T);                            \
	AB_PERCPU_ARRAY(name##_scratch, T, 1) AB_TAG("scratch");            \
	AB_PERCPU_ARRAY(name##_lost, u64, 2) AB_TAG("scratch")

/*
 * The helper's number exists only in kernels with ring buffers; libbpf compares the name up to the three underscores.
 */
enum bpf_func_id___anybpf {
	BPF_FUNC_ringbuf_reserve___anybpf = 131,
};
/* Whether this kernel has ring buffers: known when the program is loaded, so that the other branch is dead code. */
#define ab_has_ringbuf() \
	bpf_core_enum_value_exists(enum bpf_func_id___anybpf, BPF_FUNC_ringbuf_reserve___anybpf)

#define AB_EVENT_ZEROED 1024

static __always_inline void *ab_first(void *map)
{
	u32 first = 0;

	return bpf_map_lookup_elem(map, &first);
}

/*
 * Slot 0 counts what nobody else tells of. Slot 1 counts what did not fit into a full perf buffer, which perf tells the
 * reader too, but only in front of the next event that fits: a reader takes the larger of the two.
 */
static __always_inline void ab_lose(void *lost, bool is_told)
{
	ab_slot_add(lost, is_told);
}

static __always_inline void *ab_reserve_(void *ring, void *scratch, void *lost, u32 size)
{
	void *e;

	if (ab_has_ringbuf())
		e = bpf_ringbuf_reserve(ring, size, 0);
	else
		e = ab_first(scratch);
	if (e)
		__builtin_memset(__builtin_assume_aligned(e, 8), 0, size < AB_EVENT_ZEROED ? size : AB_EVENT_ZEROED);
	else
		ab_lose(lost, false);
	return e;
}

static __always_inline void ab_output_(void *ctx, void *channel, void *lost, void *e, u64 size)
{
	long err;

	if (ab_has_ringbuf()) {
		if (bpf_ringbuf_output(channel, e, size, 0))
			ab_lose(lost, false);
	} else {
		err = bpf_perf_event_output(ctx, channel, AB_CURRENT_CPU, e, size);
		if (err)
			ab_lose(lost, err == -28 /* -ENOSPC */);
	}
}

static __always_inline void ab_submit_(void *ctx, void *channel, void *lost, void *e, u64 size)
{
	if (ab_has_ringbuf())
		bpf_ringbuf_submit(e, 0);
	else
		ab_output_(ctx, channel, lost, e, size);
}

static __always_inline void ab_discard_(void *e)
{
	if (ab_has_ringbuf())
		bpf_ringbuf_discard(e, 0);
}

#define ab_reserve(name)                                                                                \
	((typeof((name##_scratch).value))ab_reserve_(&(name), &(name##_scratch), &(name##_lost),        \
						     sizeof(*(name##_scratch).value)))
#define ab_submit(ctx, name, e) ab_submit_(ctx, &(name), &(name##_lost), e, sizeof(*(name##_scratch).value))
#define ab_discard(name, e) ab_discard_(e)
#define ab_scratch(name) ((typeof((name##_scratch).value))ab_first(&(name##_scratch)))
#define ab_output(ctx, name, e, size) ab_output_(ctx, &(name), &(name##_lost), e, size)

/* ---- reading memory ---- */

/*
 * Reads kernel memory, 0 when it can't be read. Kernel types have the running kernel's offsets (CO-RE), types of the
 * program itself their own.
 *	ab_read(task->real_parent)			one step: the member of what `task` points at
 *	ab_read(task, real_parent, tgid)		a chain: task->real_parent->tgid
 *	ab_read(sk, __sk_common.skc_dport)		each part may name nested members
 */
#define ab_read(...) AB_CAT(ab_read_, AB_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define AB_COUNT(...) AB_NTH_9(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1)
#define AB_NTH_9(_1, _2, _3, _4, _5, _6, _7, _8, N, ...) N
#define ab_read_1(lvalue)                                                                       \
	({                                                                                      \
		typeof((void)0, (lvalue)) __read;                                               \
		_Static_assert(sizeof(__read) == sizeof(lvalue), "ab_read() takes no arrays");  \
		__builtin_memset(&__read, 0, sizeof(__read));                                   \
		bpf_probe_read_kernel(&__read, sizeof(__read), (const void *)&(lvalue));        \
		__read;                                                                         \
	})
#define ab_read_2(p, a) ab_read_1((p)->a)
#define ab_read_3(p, a, b) ({ __auto_type __p3 = ab_read_2(p, a); ab_read_1(__p3->b); })
#define ab_read_4(p, a, b, c) ({ __auto_type __p4 = ab_read_3(p, a, b); ab_read_1(__p4->c); })
#define ab_read_5(p, a, b, c, d) ({ __auto_type __p5 = ab_read_4(p, a, b, c); ab_read_1(__p5->d); })
#define ab_read_6(p, a, b, c, d, e) ({ __auto_type __p6 = ab_read_5(p, a, b, c, d); ab_read_1(__p6->e); })
#define ab_read_7(p, a, b, c, d, e, f) ({ __auto_type __p7 = ab_read_6(p, a, b, c, d, e); ab_read_1(__p7->f); })
#define ab_read_8(p, a, b, c, d, e, f, g) ({ __auto_type __p8 = ab_read_7(p, a, b, c, d, e, f); ab_read_1(__p8->g); })

/* Copies a string of kernel or user memory to an array, NUL-terminated. Returns its length with the NUL, or < 0. */
#define ab_read_str(array, ptr) bpf_probe_read_kernel_str(&(array), sizeof(array), ptr)
#define ab_read_user_str(array, ptr) bpf_probe_read_user_str(&(array), sizeof(array), ptr)
/* The string field of a tracepoint (a __data_loc field in its format): ab_read_tp_str(e->name, ctx, filename). */
#define ab_read_tp_str(array, ctx, field) \
	bpf_probe_read_kernel_str(&(array), sizeof(array), (const char *)(ctx) + ((ctx)->__data_loc_##field & 0xffff))

/*
 * What XDP programs are given, as the kernel's ABI has it: struct xdp_md without CO-RE relocations, which old kernels
 * may not be able to satisfy, since their BTF lacks the struct.
 */
struct ab_xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

/* ---- the current task, and time ---- */

/* The process: what ps calls PID and the kernel tgid. */
static __always_inline u32 ab_pid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/* The thread: what the kernel calls pid. */
static __always_inline u32 ab_tid(void)
{
	return bpf_get_current_pid_tgid();
}

static __always_inline u32 ab_uid(void)
{
	return bpf_get_current_uid_gid();
}

#define ab_task() ((struct task_struct *)bpf_get_current_task())
#define ab_ppid() ((u32)ab_read(ab_task(), real_parent, tgid))
/* Writes the current thread's name to a char[16]. */
#define ab_comm(array) bpf_get_current_comm(&(array), sizeof(array))
/* ns on CLOCK_MONOTONIC; a member that holds it is tagged AB_AS(ktime). */
static __always_inline u64 ab_ktime(void)
{
	return bpf_ktime_get_ns();
}

/* ---- constants that are macros in the kernel, which BTF does not have ---- */

#ifndef AF_UNIX
#define AF_UNIX 1
#endif
#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

#ifndef ETH_P_IP
#define ETH_P_IP 0x0800
#endif
#ifndef ETH_P_ARP
#define ETH_P_ARP 0x0806
#endif
#ifndef ETH_P_8021Q
#define ETH_P_8021Q 0x8100
#endif
#ifndef ETH_P_IPV6
#define ETH_P_IPV6 0x86dd
#endif
#ifndef ETH_P_8021AD
#define ETH_P_8021AD 0x88a8
#endif

#ifndef TC_ACT_OK
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define TC_ACT_PIPE 3
#define TC_ACT_REDIRECT 7
#endif

#ifndef EPERM
#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#endif

#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISREG(mode) (((mode) & S_IFMT) == S_IFREG)
#define S_ISDIR(mode) (((mode) & S_IFMT) == S_IFDIR)
#define S_ISSOCK(mode) (((mode) & S_IFMT) == S_IFSOCK)
#endif

#ifndef O_CREAT
#define O_ACCMODE 00000003
#define O_RDONLY 00000000
#define O_WRONLY 00000001
#define O_RDWR 00000002
#define O_CREAT 00000100
#define O_TRUNC 00001000
#define O_APPEND 00002000
#endif

#ifndef TASK_COMM_LEN
#define TASK_COMM_LEN 16
#endif
#ifndef PF_KTHREAD
#define PF_KTHREAD 0x00200000
#endif

#endif
