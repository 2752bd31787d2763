/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bench/run runs: `first` sends one event as soon as it is attached; `emit`, which BPF_PROG_TEST_RUN repeats, sends 16
 * at a time whenever a quarter of the ring is free, so that a reader sees as many as it can take and none is lost. All of
 * an event follows from its number, `bytes`.
 */
#include "test.h"

struct event {
	u64 ts;
	u32 pid, tgid, uid;
	s32 ret;
	u64 lat;
	char comm[16];
	u32 daddr TAG("as=ipv4");
	u16 dport TAG("as=port");
	u16 family;
	u64 bytes;
};
const struct event *unused;

#define RING_SIZE (8 << 20)

struct {
	__uint(type, 27);
	__uint(max_entries, RING_SIZE);
} events SEC(".maps");

struct {
	__uint(type, 6);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} events_lost SEC(".maps") TAG("scratch");

static u64 (*const ringbuf_query)(void *ring, u64 flags) = (void *)134;

enum bpf_func_id___bench {
	BPF_FUNC_ringbuf_reserve___bench = 131,
};

unsigned long long number;
unsigned int sent;

static __attribute__((always_inline)) int send(void)
{
	struct event *e = ringbuf_reserve(&events, sizeof(*e), 0);
	u32 zero = 0;
	u64 n, *lost;

	if (!e) {
		lost = map_lookup(&events_lost, &zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return 1;
	}
	n = number++;
	e->ts = 1700000000000000000ULL + n * 1000003;
	e->pid = n & 0x3fffff;
	e->tgid = (n >> 3) & 0x3fffff;
	e->uid = n & 1 ? 1000 : 0;
	e->ret = -(s32)(n & 3);
	e->lat = n * 977;
	__builtin_memcpy(e->comm, "bench-worker/12", 16);
	e->daddr = 10 | (n & 0xffffff) << 8;
	e->dport = n & 0xffff;
	e->family = 2;
	e->bytes = n;
	ringbuf_submit(e, 0);
	return 0;
}

SEC("tc")
int emit(void *ctx)
{
	if (ringbuf_query(&events, 0) > RING_SIZE / 4 * 3)
		return 0;
	for (int i = 0; i < 16; i++)
		if (send())
			return 0;
	return 1;
}

/* A run wants something attached, also where BPF_PROG_TEST_RUN does all the work. The skeleton leaves "?" out. */
SEC("?raw_tp/sched_process_exec")
int idle(void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_enter")
int first(void *ctx)
{
	/* The question that AB_EVENTS() asks, which makes the loader read the kernel's types as for any real program. */
	if (!__builtin_preserve_enum_value(*(enum bpf_func_id___bench *)BPF_FUNC_ringbuf_reserve___bench, 0))
		return 0;
	if (!sent && !__sync_fetch_and_add(&sent, 1))
		send();
	return 0;
}

LICENSE;
