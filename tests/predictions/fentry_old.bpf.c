/* SPDX-License-Identifier: GPL-2.0-only */
/* fentry on do_unlinkat(), which went with 7.x. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("fentry/do_unlinkat")
int on_unlink(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		__sync_fetch_and_add(slot, 1);
	return 0;
}

AB_LICENSE("GPL");
