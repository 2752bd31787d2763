/* SPDX-License-Identifier: GPL-2.0-only */
/* Division with signs and loads with sign extension: 6.6. */
/* isa: v4 */
#include "anybpf.bpf.h"

AB_ARRAY(seen, s64, 2);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	s64 *slot = ab_first(&seen);

	if (slot)
		*slot = *slot / 7 + (s64)*(s16 *)slot;
	return 0;
}

AB_LICENSE("GPL");
