/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls every accessor of core_fixes.bpf.h: compiled, loaded and, for what has a right answer, compared by
 * test_headers.py.
 */
#include "core_fixes.bpf.h"

struct seen {
	u64 state;
	u64 start_ktime;
	u64 start_boottime;
	u64 cpu;
	u64 cpu_now;
	u64 ns_tid;
	u64 tid;
	u64 fsbase;
	u64 rss_anon;
	u64 net_inum;
	u64 ktime;
	u64 boottime;
};

AB_ARRAY(seen, struct seen, 1);
AB_TARGET_PID(target_pid);
/* What has no right answer here is still read; the sum keeps it from being optimized away. */
u64 sink;

static __always_inline void read_rest(void *p)
{
	u64 size = 0;

	sink += (u64)ab_msghdr_base(p, &size) + size;
	sink += ab_skb_tstamp(p) + ab_sock_wmem_alloc(p) + ab_sock_protocol(p) + ab_tcp_srtt_us(p) + ab_tcp_sent(p);
	sink += (u64)ab_sock_net(p) + (u64)ab_device_net(p) + ab_net_inum(p);
	sink += ab_disk_dev(ab_request_disk(p)) + ab_disk_dev(ab_bio_disk(p));
	sink += ab_block_complete(p, dev) + ab_block_complete(p, sector) + ab_block_complete(p, nr_sector);
	sink += ab_kernfs_id(p) + (u64)ab_kernfs_parent(p) + ab_page_flags(p);
	sink += ab_inode_atime(p) + ab_inode_mtime(p) + ab_inode_ctime(p);
	sink += ab_vfs_takes_mount();
	sink += ab_mm_rss((struct mm_struct *)p, AB_RSS_FILE) + ab_mm_rss((struct mm_struct *)p, AB_RSS_SHMEM);
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int look(void *ctx)
{
	struct task_struct *task = ab_task();
	struct seen *s = ab_first(&seen);

	if (!s || ab_pid() != (u32)target_pid)
		return 0;
	s->state = ab_task_state(task);
	s->start_ktime = ab_task_start_ktime(task);
	s->start_boottime = ab_task_start_boottime(task);
	s->cpu = ab_task_cpu(task);
	s->cpu_now = bpf_get_smp_processor_id();
	s->ns_tid = ab_task_ns_tid(task);
	s->tid = ab_tid();
#if defined(bpf_target_x86)
	s->fsbase = ab_task_fsbase(task);
#endif
	s->rss_anon = ab_mm_rss(ab_read(task->mm), AB_RSS_ANON);
	s->net_inum = ab_net_inum(ab_read(task, nsproxy, net_ns));
	s->ktime = ab_ktime();
	s->boottime = bpf_ktime_get_boot_ns();
	read_rest(task);
	return 0;
}

AB_LICENSE("GPL");
