/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that is allocated and not freed: libc's functions and the kernel's tracepoints, by stack. Many programs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct allocation {
	u64 size, ts;
	int stack;
};

union combined {
	struct {
		u64 size : 40;
		u64 count : 24;
	};
	u64 bits;
};

const volatile u64 min_size = 0, max_size = -1ULL, sample_rate = 1, page_size = 4096;
const volatile u64 stack_flags = 0;
const volatile bool wa_missing_free = false, is_verbose = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct allocation);
} allocs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u64);
	__type(value, union combined);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} memptrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(u32));
	__uint(value_size, 127 * sizeof(u64));
	__uint(max_entries, 10240);
} stacks SEC(".maps");

static union combined none;

static __always_inline void add_total(u64 stack, u64 size)
{
	union combined *t = bpf_map_lookup_elem(&totals, &stack), more = { .size = size, .count = 1 };

	if (!t) {
		bpf_map_update_elem(&totals, &stack, &none, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&totals, &stack);
	}
	if (t)
		__sync_fetch_and_add(&t->bits, more.bits);
}

static __always_inline void drop_total(u64 stack, u64 size)
{
	union combined *t = bpf_map_lookup_elem(&totals, &stack), less = { .size = size, .count = 1 };

	if (!t) {
		if (is_verbose)
			bpf_printk("no total for stack %llu", stack);
		return;
	}
	__sync_fetch_and_sub(&t->bits, less.bits);
}

static __always_inline int enter_alloc(size_t size)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 wide = size;

	if (size < min_size || size > max_size)
		return 0;
	if (sample_rate > 1 && bpf_ktime_get_ns() % sample_rate)
		return 0;
	bpf_map_update_elem(&sizes, &tid, &wide, BPF_ANY);
	if (is_verbose)
		bpf_printk("enter, size %lu", size);
	return 0;
}

static __always_inline int leave_alloc(void *ctx, u64 address)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 *size = bpf_map_lookup_elem(&sizes, &tid);
	struct allocation a = {};

	if (!size)
		return 0;
	a.size = *size;
	bpf_map_delete_elem(&sizes, &tid);
	if (address) {
		a.ts = bpf_ktime_get_ns();
		a.stack = bpf_get_stackid(ctx, &stacks, stack_flags);
		bpf_map_update_elem(&allocs, &address, &a, BPF_ANY);
		add_total(a.stack, a.size);
	}
	if (is_verbose)
		bpf_printk("leave, size %lu, result %lx", a.size, address);
	return 0;
}

static __always_inline int enter_free(u64 address)
{
	struct allocation *a = bpf_map_lookup_elem(&allocs, &address);

	if (!a)
		return 0;
	drop_total(a->stack, a->size);
	bpf_map_delete_elem(&allocs, &address);
	return 0;
}

#define ALLOC(name, arguments, size)                    \
	SEC("uprobe")                                   \
	int BPF_KPROBE(name##_enter, arguments)         \
	{                                               \
		return enter_alloc(size);               \
	}                                               \
	SEC("uretprobe")                                \
	int BPF_KRETPROBE(name##_leave)                 \
	{                                               \
		return leave_alloc(ctx, PT_REGS_RC(ctx)); \
	}
#define COMMA ,

ALLOC(malloc, size_t size, size)
ALLOC(calloc, size_t count COMMA size_t size, count * size)
ALLOC(mmap, void *address COMMA size_t size, size)
ALLOC(valloc, size_t size, size)
ALLOC(memalign, size_t alignment COMMA size_t size, size)
ALLOC(aligned_alloc, size_t alignment COMMA size_t size, size)
ALLOC(pvalloc, size_t size, size)

SEC("uprobe")
int BPF_KPROBE(free_enter, void *address)
{
	return enter_free((u64)address);
}

SEC("uprobe")
int BPF_KPROBE(munmap_enter, void *address)
{
	return enter_free((u64)address);
}

SEC("uprobe")
int BPF_KPROBE(realloc_enter, void *pointer, size_t size)
{
	enter_free((u64)pointer);
	return enter_alloc(size);
}

SEC("uretprobe")
int BPF_KRETPROBE(realloc_leave)
{
	return leave_alloc(ctx, PT_REGS_RC(ctx));
}

SEC("uprobe")
int BPF_KPROBE(posix_memalign_enter, void **memptr, size_t alignment, size_t size)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 pointer = (u64)memptr;

	bpf_map_update_elem(&memptrs, &tid, &pointer, BPF_ANY);
	return enter_alloc(size);
}

SEC("uretprobe")
int BPF_KRETPROBE(posix_memalign_leave)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 *pointer = bpf_map_lookup_elem(&memptrs, &tid);
	void *address;

	if (!pointer)
		return 0;
	bpf_map_delete_elem(&memptrs, &tid);
	if (bpf_probe_read_user(&address, sizeof(address), (void *)*pointer))
		return 0;
	return leave_alloc(ctx, (u64)address);
}

SEC("tracepoint/kmem/kmalloc")
int kmalloc_event(struct trace_event_raw_kmalloc *ctx)
{
	if (wa_missing_free)
		enter_free((u64)ctx->ptr);
	enter_alloc(ctx->bytes_alloc);
	return leave_alloc(ctx, (u64)ctx->ptr);
}

SEC("tracepoint/kmem/kfree")
int kfree_event(struct trace_event_raw_kfree *ctx)
{
	return enter_free((u64)ctx->ptr);
}

SEC("tracepoint/kmem/kmem_cache_alloc")
int cache_alloc_event(struct trace_event_raw_kmem_cache_alloc *ctx)
{
	if (wa_missing_free)
		enter_free((u64)ctx->ptr);
	enter_alloc(ctx->bytes_alloc);
	return leave_alloc(ctx, (u64)ctx->ptr);
}

SEC("tracepoint/kmem/kmem_cache_free")
int cache_free_event(struct trace_event_raw_kmem_cache_free *ctx)
{
	return enter_free((u64)ctx->ptr);
}

SEC("tracepoint/kmem/mm_page_alloc")
int page_alloc_event(struct trace_event_raw_mm_page_alloc *ctx)
{
	enter_alloc(page_size << ctx->order);
	return leave_alloc(ctx, ctx->pfn);
}

SEC("tracepoint/kmem/mm_page_free")
int page_free_event(struct trace_event_raw_mm_page_free *ctx)
{
	return enter_free(ctx->pfn);
}

char LICENSE[] SEC("license") = "GPL";
