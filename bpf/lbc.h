/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The names that coolbpf programs use, so that their sources compile unchanged and load with libbpf 1.x.
 *
 *	#include "lbc.h"
 *	LBC_PERF_OUTPUT(e_out, struct data_t, 128);
 *	LBC_HASH(pid_cnt, u32, u32, 1024);
 *	LBC_STACK(call_stack, 32);
 *
 * Maps are defined by BTF (section .maps) with the types of their keys and values; where coolbpf's server found those
 * by reading the source text, anybpf reads the object, so that macros may span lines, sizes may be expressions and
 * types may be any. What differs from the original is noted at each name, and is always something that did not work
 * there.
 *
 * New programs are better off with anybpf.bpf.h.
 */
#ifndef ANYBPF_LBC_H
#define ANYBPF_LBC_H

#include "vmlinux.h"

/* What <linux/types.h> would define a second time: including it after this header does nothing. */
#define _LINUX_TYPES_H
#define _LINUX_POSIX_TYPES_H
#define _ASM_GENERIC_TYPES_H
#define __ASM_GENERIC_POSIX_TYPES_H
#ifndef __aligned_u64
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

typedef unsigned long long u64;
typedef signed long long s64;
typedef unsigned int u32;
typedef signed int s32;
typedef unsigned short u16;
typedef signed short s16;
typedef unsigned char u8;
typedef signed char s8;

/* ---- constants, which the types of an old kernel lack: numbers of the kernel's ABI ---- */

#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_EXIST 2
#define BPF_F_LOCK 4
#define BPF_F_SKIP_FIELD_MASK 0xffULL
#define BPF_F_USER_STACK (1ULL << 8)
#define BPF_F_FAST_STACK_CMP (1ULL << 9)
#define BPF_F_REUSE_STACKID (1ULL << 10)
#define BPF_F_USER_BUILD_ID (1ULL << 11)
#define BPF_F_CURRENT_CPU 0xffffffffULL

#ifndef PERF_MAX_STACK_DEPTH
#define PERF_MAX_STACK_DEPTH 127
#endif
/* Flags for bpf_get_stackid(): stacks are told apart by their hash alone. */
#ifndef KERN_STACKID_FLAGS
#define KERN_STACKID_FLAGS (0 | BPF_F_FAST_STACK_CMP)
#endif
#ifndef USER_STACKID_FLAGS
#define USER_STACKID_FLAGS (0 | BPF_F_FAST_STACK_CMP | BPF_F_USER_STACK)
#endif

/* ---- maps ---- */

#if __has_attribute(btf_decl_tag)
#define LBC_TAG(text) __attribute__((btf_decl_tag("anybpf:" text)))
#else
#define LBC_TAG(text)
#endif

#define LBC_MAP(map_type, MAPS, KEY_T, VALUE_T, ENTRIES)        \
	struct {                                                \
		__uint(type, map_type);                         \
		__uint(max_entries, ENTRIES);                   \
		__type(key, KEY_T);                             \
		__type(value, VALUE_T);                         \
	} MAPS SEC(".maps")

#define LBC_HASH(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(1, MAPS, KEY_T, VALUE_T, ENTRIES)
/* KEY_T has to be four bytes, as u32 and int are: the kernel's arrays have no other keys. */
#define LBC_ARRAY(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(2, MAPS, KEY_T, VALUE_T, ENTRIES)
#define LBC_PERCPU_HASH(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(5, MAPS, KEY_T, VALUE_T, ENTRIES)
#define LBC_PERCPU_ARRAY(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(6, MAPS, KEY_T, VALUE_T, ENTRIES)
#define LBC_LRU_HASH(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(9, MAPS, KEY_T, VALUE_T, ENTRIES)
#define LBC_LRU_PERCPU_HASH(MAPS, KEY_T, VALUE_T, ENTRIES) LBC_MAP(10, MAPS, KEY_T, VALUE_T, ENTRIES)

/* Slots of powers of two, filled by hist2_push(&MAPS, value), and of powers of ten, by hist10_push(). */
#define LBC_HIST2(MAPS) LBC_MAP(2, MAPS, int, long, 64) LBC_TAG("as=log2") LBC_TAG("show")
#define LBC_HIST10(MAPS) LBC_MAP(2, MAPS, int, long, 20) LBC_TAG("as=log10") LBC_TAG("show")

/* Stacks of bpf_get_stackid(). */
#define LBC_STACK(MAPS, ENTRIES)                                                \
	struct {                                                                \
		__uint(type, 7);                                                \
		__uint(max_entries, ENTRIES);                                   \
		__uint(key_size, sizeof(u32));                                  \
		__uint(value_size, PERF_MAX_STACK_DEPTH * sizeof(u64));         \
	} MAPS SEC(".maps")

/*
 * A perf buffer whose events are of type CELL: bpf_perf_event_output(ctx, &MAPS, BPF_F_CURRENT_CPU, &cell,
 * sizeof(cell)). The kernel's values are four bytes, a descriptor; the empty array after it brings the type into the
 * object's BTF.
 */
#define LBC_PERF_OUTPUT(MAPS, CELL, ENTRIES)                            \
	struct {                                                        \
		__uint(type, 4);                                        \
		__uint(max_entries, ENTRIES);                           \
		__type(key, int);                                       \
		__type(value, struct {                                  \
			s32 fd;                                         \
			CELL cell[0];                                   \
		} __attribute__((packed)));                             \
	} MAPS SEC(".maps") LBC_TAG("event=" #CELL)

/* ---- reading memory ---- */

/* s390 keeps the kernel's and the user's addresses apart and has no helper that reads both. */
#if defined(__TARGET_ARCH_s390)
#define LBC_PROBE_READ bpf_probe_read_kernel
#else
#define LBC_PROBE_READ bpf_probe_read
#endif

/*
 * One member through a pointer: `_(parent->tgid)`, `_(_(task->mm)->pgd)`; 0 when it can't be read. Structs can be
 * read as well.
 */
#define _(P)                                                                                    \
	({                                                                                      \
		typeof((void)0, (P)) __lbc;                                                     \
		_Static_assert(sizeof(__lbc) == sizeof(P), "_() takes no arrays");              \
		__builtin_memset(&__lbc, 0, sizeof(__lbc));                                     \
		LBC_PROBE_READ((void *)&__lbc, sizeof(__lbc), (const void *)&(P));              \
		__lbc;                                                                          \
	})

/* ---- printing: what is compiled with -DLBC_DEBUG goes to trace_pipe ---- */

#ifdef LBC_DEBUG
#define lbc_debug(...) bpf_printk(__VA_ARGS__)
#else
#define lbc_debug(...)
#endif

/* ---- byte order: the argument is evaluated once and has the width that the name says ---- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LBC_SWAP(bits, x) ((u##bits)__builtin_bswap##bits((u##bits)(x)))
#else
#define LBC_SWAP(bits, x) ((u##bits)(x))
#endif
#ifndef ntohs
#define ntohs(x) LBC_SWAP(16, x)
#endif
#ifndef ntohl
#define ntohl(x) LBC_SWAP(32, x)
#endif
#ifndef ntohll
#define ntohll(x) LBC_SWAP(64, x)
#endif

/* ---- histograms ---- */

#define NUM_E1 10ULL
#define NUM_E2 100ULL
#define NUM_E4 10000ULL
#define NUM_E8 100000000ULL
#define NUM_E16 10000000000000000ULL

/* The power of two at or below value, 0 to 62; 0 for what is below 1. */
static __always_inline int fast_log2(long value)
{
	u64 v = value < 1 ? 1 : value;
	int log = 0;

#pragma unroll
	for (int bits = 32; bits; bits /= 2) {
		if (v >> bits) {
			v >>= bits;
			log += bits;
		}
	}
	return log;
}

/* The power of ten at or below value, 0 to 18; 0 for what is below 1. */
static __always_inline int fast_log10(long value)
{
	u64 v = value < 1 ? 1 : value;
	int log = 0;

	if (v >= NUM_E16) {
		v /= NUM_E16;
		log = 16;
	}
	if (v >= NUM_E8) {
		v /= NUM_E8;
		log += 8;
	}
	if (v >= NUM_E4) {
		v /= NUM_E4;
		log += 4;
	}
	if (v >= NUM_E2) {
		v /= NUM_E2;
		log += 2;
	}
	return v >= NUM_E1 ? log + 1 : log;
}

/* Adds v to what key k of a map has, if the key is there, atomically. Keys are int, values 64 bits. */
static __always_inline void add_hist(void *maps, int k, int v)
{
	u64 *count = bpf_map_lookup_elem(maps, &k);

	if (count)
		__sync_fetch_and_add(count, v);
}

#define incr_hist(maps, k) add_hist(maps, k, 1)

static __always_inline void hist2_push(void *maps, long v)
{
	incr_hist(maps, fast_log2(v));
}

static __always_inline void hist10_push(void *maps, long v)
{
	incr_hist(maps, fast_log10(v));
}

#endif
