/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the tests' programs need: helpers by number and map macros, no kernel header, so that they build anywhere. */
#ifndef TEST_H
#define TEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef int pid_t;
#ifdef __cplusplus
#else
typedef _Bool bool;
#endif

#define SEC(name) __attribute__((section(name), used))
#define TAG(text) __attribute__((btf_decl_tag("anybpf:" text)))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name
#define LICENSE char _license[] SEC("license") = "GPL"
#define NULL ((void *)0)

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const ktime_get_ns)(void) = (void *)5;
static u64 (*const get_pid_tgid)(void) = (void *)14;
static long (*const perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;
static long (*const get_stackid)(void *ctx, void *map, u64 flags) = (void *)27;
static long (*const seq_write)(void *seq, const void *data, u32 len) = (void *)127;
static long (*const ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *data, u64 flags) = (void *)132;
static u64 (*const get_attach_cookie)(void *ctx) = (void *)174;

#endif
