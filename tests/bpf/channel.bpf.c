/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Event channels: rings with a counter of lost events, and a perf buffer. `burst` events for each getpgid() of `target_pid`. */
#include "test.h"

struct event {
	u64 number;
	char text[56];
};

#define RING(name, size)                \
	struct {                        \
		__uint(type, 27);       \
		__uint(max_entries, size); \
	} name SEC(".maps") TAG("event=struct event"); \
	struct {                        \
		__uint(type, 6);        \
		__uint(max_entries, 1); \
		__type(key, u32);       \
		__type(value, u64);     \
	} name##_lost SEC(".maps") TAG("scratch"); \
	struct {                        \
		__uint(type, 6);        \
		__uint(max_entries, 1); \
		__type(key, u32);       \
		__type(value, struct event); \
	} name##_scratch SEC(".maps") TAG("scratch")

RING(ring, 4096);
RING(second, 5000); /* no power of two: the loader rounds up */
struct {
	__uint(type, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps") TAG("event=struct event");

enum bpf_func_id___test {
	BPF_FUNC_ringbuf_reserve___test = 131,
};

const volatile u32 burst = 1;
const volatile pid_t target_pid = -1;
u64 next;

SEC("tp/syscalls/sys_enter_getpgid")
int on_call(void *ctx)
{
	u32 zero = 0;

	if (get_pid_tgid() >> 32 != target_pid)
		return 0;
	for (u32 i = 0; i < burst && i < 1000; i++) {
		struct event *e = map_lookup(&ring_scratch, &zero);
		u64 *lost = map_lookup(&ring_lost, &zero);

		if (!e || !lost)
			return 0;
		e->number = next++;
		__builtin_memcpy(e->text, "hello", 6);
		if (__builtin_preserve_enum_value(*(enum bpf_func_id___test *)BPF_FUNC_ringbuf_reserve___test, 0)) {
			if (ringbuf_output(&ring, e, sizeof(*e), 0))
				__sync_fetch_and_add(lost, 1);
			ringbuf_output(&second, e, 8, 0);
		} else {
			perf_event_output(ctx, &ring, 0xffffffffULL, e, sizeof(*e));
		}
		perf_event_output(ctx, &perf, 0xffffffffULL, e, sizeof(*e));
	}
	return 0;
}

LICENSE;
