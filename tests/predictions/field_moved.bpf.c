/* SPDX-License-Identifier: GPL-2.0-only */
/* request.rq_disk went to request.q->disk with 5.17. */
#include "anybpf.bpf.h"

struct request___old {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/block_rq_issue")
int on_issue(struct bpf_raw_tracepoint_args *ctx)
{
	struct request___old *rq = (void *)ctx->args[0];
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = (u64)ab_read(rq->rq_disk);
	return 0;
}

AB_LICENSE("GPL");
