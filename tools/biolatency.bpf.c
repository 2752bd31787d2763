/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * biolatency: how long disks take for requests, from the moment they get one, as a histogram for each disk and
 * direction.
 *
 *	disk=254:0 op=write
 *	     us              : count    distribution
 *	     128 -> 255      : 31       |****************************************|
 *
 * Also counts requests and bytes (map `totals`).
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

enum op {
	other,
	read,
	write,
	discard,
	flush,
};

struct by {
	u32 disk AB_AS(dev);
	enum op op;
};

struct total {
	u64 requests;
	u64 bytes AB_AS(size);
};

/* A request in flight is known by where on which disk it is. */
struct request_id {
	u32 disk;
	u32 pad;
	u64 sector;
};

struct flight {
	u64 start;
	u32 op;
	u32 bytes;
};

AB_HASH_LOG2(latency, struct by, 1024) AB_UNIT(us);
AB_HASH(totals, struct by, struct total, 1024) AB_SHOW;
AB_LRU_HASH(flights, struct request_id, struct flight, 65536);
AB_PARAM(u32, disk, 0, "only this disk, as its device number: major << 20 | minor; 0: all");

/*
 * rwbs is the tracepoint's short text: R, W, D, F, with modifiers after it; F in front of another is a flush before
 * it.
 */
static __always_inline enum op op_of(const char *rwbs)
{
	char op[2] = {};

	bpf_probe_read_kernel(op, sizeof(op), rwbs);
	if (op[0] == 'F' && op[1] == 'W')
		return write;
	return op[0] == 'R' ? read : op[0] == 'W' ? write : op[0] == 'D' ? discard :
	       op[0] == 'F' ? flush : other;
}

SEC("tracepoint/block/block_rq_issue")
int issue(struct trace_event_raw_block_rq *ctx)
{
	struct request_id id = { .disk = ctx->dev, .sector = ctx->sector };
	struct flight flight = { .start = ab_ktime(), .op = op_of(ctx->rwbs), .bytes = ctx->nr_sector * 512 };

	if (!disk || id.disk == disk)
		bpf_map_update_elem(&flights, &id, &flight, BPF_ANY);
	return 0;
}

SEC("tracepoint/block/block_rq_complete")
int complete(void *ctx)
{
	struct request_id id = { .disk = ab_block_complete(ctx, dev), .sector = ab_block_complete(ctx, sector) };
	struct flight *flight = bpf_map_lookup_elem(&flights, &id);
	struct by key = { .disk = id.disk };
	struct total *total;

	if (!flight)
		return 0;
	key.op = flight->op;
	ab_hash_log2_add(latency, &key, (ab_ktime() - flight->start) / 1000);
	total = ab_lookup_or_zero(totals, &key);
	if (total) {
		__sync_fetch_and_add(&total->requests, 1);
		__sync_fetch_and_add(&total->bytes, flight->bytes);
	}
	bpf_map_delete_elem(&flights, &id);
	return 0;
}

AB_LICENSE("GPL");
