/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Parameters of every type, an event channel, and programs on the usual hooks, filtered by process. */
#include "test.h"

enum mode { MODE_ALL, MODE_SOME = 7, MODE_NEVER = -1 };
enum big { BIG_ONE = 1, BIG_HIGH = 0x100000000ULL };

const volatile u8 p_u8 = 200;
const volatile s8 p_s8 = -3;
const volatile u16 p_u16 = 65535;
const volatile s16 p_s16;
const volatile u32 p_u32 TAG("help=a number of 32 bits") = 42;
const volatile s64 p_s64 = -1;
const volatile u64 p_u64;
const volatile bool p_bool = 1;
const volatile char p_char = 'x';
const volatile char p_text[8] = "abc";
const volatile u16 p_list[4] = { 1, 2 };
const volatile enum mode p_mode = MODE_SOME;
const volatile enum big p_big = BIG_HIGH;
const volatile pid_t target_pid;
const volatile u32 only TAG("pid");
const u32 no_param = 5;
u64 hits;

struct event {
	u32 pid;
	u32 kind;
	u64 value;
};
const struct event *unused; /* keeps the type in BTF */

struct {
	__uint(type, 27);
	__uint(max_entries, 65536);
} events SEC(".maps") TAG("event=struct event");

static __attribute__((always_inline)) int send(u32 kind, u64 value)
{
	struct event *e;

	if (!target_pid || get_pid_tgid() >> 32 != target_pid)
		return 0;
	__sync_fetch_and_add(&hits, 1);
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid = get_pid_tgid() >> 32;
	e->kind = kind;
	e->value = value;
	ringbuf_submit(e, 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_getppid")
int on_tracepoint(void *ctx)
{
	return send(1, p_u8 + p_s8 + p_u16 + p_s16 + p_u32 + p_s64 + p_u64 + p_bool + p_char + p_text[0] + p_list[1] +
			       p_mode + p_big + only + no_param);
}

SEC("raw_tp/sys_enter")
int on_raw(u64 *ctx)
{
	return ctx[1] == 110 /* getppid */ ? send(2, p_u32) : 0;
}

SEC("?tp/syscalls/sys_enter_getpgid")
int by_mark(void *ctx)
{
	return send(3, 0);
}

LICENSE;
