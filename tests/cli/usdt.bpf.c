/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A static probe of a program of its own: its argument, and a cookie that nobody gave. */
#include "anybpf.bpf.h"
#include <bpf/usdt.bpf.h>

struct sale {
	u32 pid;
	long number;
};

AB_EVENTS(sales, struct sale);

SEC("usdt")
int BPF_USDT(sold, long number)
{
	struct sale *s = ab_reserve(sales);

	if (!s)
		return 0;
	s->pid = ab_pid();
	s->number = number;
	ab_submit(ctx, sales, s);
	return 0;
}

AB_LICENSE("GPL");
