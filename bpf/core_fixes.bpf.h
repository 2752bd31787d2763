/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Reads that changed between kernels, solved once: one accessor for each, right on every kernel since 3.10.
 *
 * CO-RE adjusts offsets by itself, but a member that was renamed, moved into another struct or given another meaning
 * needs one read per form. Each form is a flavour here: a struct named like the kernel's with a suffix after three
 * underscores, which holds just the members that are read. bpf_core_field_exists() picks the form that the running
 * kernel has when the program is loaded; the others become dead code. A form only matches where its kind of type does
 * too: a member that was a pointer and became a struct is told apart without any version number.
 *
 * Versions are those of mainline kernels; distributions backport, which the accessors don't mind. Nothing in here costs
 * anything unless it is called.
 */
#ifndef ANYBPF_CORE_FIXES_H
#define ANYBPF_CORE_FIXES_H

#include "anybpf.bpf.h"

#define AB_FLAVOUR __attribute__((preserve_access_index))
/* The pointer, seen as one of the forms below. */
#define ab_as_form(form, ptr) ((struct form *)(ptr))

/*
 * An integer member whose width changed, or that is a bit-field in some kernels: read with the running kernel's size,
 * as u64.
 *	ab_read_sized(sk, sk_protocol), ab_read_sized(sk, sk_pacing_rate)
 */
#define ab_read_sized(ptr, member) ((u64)BPF_CORE_READ_BITFIELD_PROBED(ptr, member))

/* ---- tasks ---- */

/* `state` (long) became `__state` (unsigned int) in 5.14, 2f064a59a11f "sched: Change task_struct::state". */
struct task_struct___state_old {
	volatile long state;
} AB_FLAVOUR;
struct task_struct___state_new {
	unsigned int __state;
} AB_FLAVOUR;

/* TASK_RUNNING is 0, TASK_INTERRUPTIBLE 1, TASK_UNINTERRUPTIBLE 2. */
static __always_inline s64 ab_task_state(const void *task)
{
	if (bpf_core_field_exists(ab_as_form(task_struct___state_new, task)->__state))
		return ab_read(ab_as_form(task_struct___state_new, task)->__state);
	return ab_read(ab_as_form(task_struct___state_old, task)->state);
}

/*
 * Start times were struct timespec until 3.17, which made them ns (ccbf62d8a284 and 57e0be041d9e); `real_start_time`
 * became `start_boottime` in 5.5, cf25e24db61c "time: Rename tsk->real_start_time to ->start_boottime".
 */
struct task_struct___start_timespec {
	struct {
		long tv_sec;
		long tv_nsec;
	} start_time, real_start_time;
} AB_FLAVOUR;
struct task_struct___start_ns {
	u64 start_time;
	u64 real_start_time;
} AB_FLAVOUR;
struct task_struct___start_boottime {
	u64 start_boottime;
} AB_FLAVOUR;

/* When the task was made: ns on CLOCK_MONOTONIC, as bpf_ktime_get_ns(). */
static __always_inline u64 ab_task_start_ktime(const void *task)
{
	struct task_struct___start_timespec *old = (void *)task;

	if (bpf_core_field_exists(ab_as_form(task_struct___start_ns, task)->start_time))
		return ab_read(ab_as_form(task_struct___start_ns, task)->start_time);
	return ab_read(old->start_time.tv_sec) * 1000000000ULL + ab_read(old->start_time.tv_nsec);
}

/* The same on CLOCK_BOOTTIME, which goes on while the machine sleeps and is what /proc/PID/stat counts from. */
static __always_inline u64 ab_task_start_boottime(const void *task)
{
	struct task_struct___start_timespec *old = (void *)task;

	if (bpf_core_field_exists(ab_as_form(task_struct___start_boottime, task)->start_boottime))
		return ab_read(ab_as_form(task_struct___start_boottime, task)->start_boottime);
	if (bpf_core_field_exists(ab_as_form(task_struct___start_ns, task)->real_start_time))
		return ab_read(ab_as_form(task_struct___start_ns, task)->real_start_time);
	return ab_read(old->real_start_time.tv_sec) * 1000000000ULL + ab_read(old->real_start_time.tv_nsec);
}

/*
 * The CPU that a task runs on is in its thread_info: since 5.16 inside of task_struct (bcf9033e5449 "sched: move CPU
 * field back into thread_info if THREAD_INFO_IN_TASK=y"), in task_struct itself from 4.9 to 5.15, at the bottom of
 * the stack before.
 */
struct thread_info___cpu {
	u32 cpu;
} AB_FLAVOUR;
struct task_struct___cpu_in_info {
	struct thread_info___cpu thread_info;
} AB_FLAVOUR;
struct task_struct___cpu_in_task {
	unsigned int cpu;
} AB_FLAVOUR;
struct task_struct___cpu_in_stack {
	void *stack;
} AB_FLAVOUR;

static __always_inline u32 ab_task_cpu(const void *task)
{
	struct thread_info___cpu *info;

	if (bpf_core_field_exists(ab_as_form(task_struct___cpu_in_info, task)->thread_info.cpu))
		return ab_read(ab_as_form(task_struct___cpu_in_info, task)->thread_info.cpu);
	if (bpf_core_field_exists(ab_as_form(task_struct___cpu_in_task, task)->cpu))
		return ab_read(ab_as_form(task_struct___cpu_in_task, task)->cpu);
	info = ab_read(ab_as_form(task_struct___cpu_in_stack, task)->stack);
	return ab_read(info->cpu);
}

/* `pids[PIDTYPE_PID].pid` became `thread_pid` in 4.19, 2c4704756cab "pids: Move the pgrp and session pid pointers…". */
struct upid___form {
	int nr;
} AB_FLAVOUR;
struct pid___form {
	unsigned int level;
	struct upid___form numbers[1];
} AB_FLAVOUR;
struct task_struct___thread_pid {
	struct pid___form *thread_pid;
} AB_FLAVOUR;
struct pid_link___form {
	struct pid___form *pid;
} AB_FLAVOUR;
struct task_struct___pids {
	struct pid_link___form pids[1];
} AB_FLAVOUR;

/* A thread's number in its own pid namespace, as a process in a container sees itself; 0 when it is gone. */
static __always_inline u32 ab_task_ns_tid(const void *task)
{
	struct pid___form *pid;
	struct upid___form number = {};
	u32 level;

	if (bpf_core_field_exists(ab_as_form(task_struct___thread_pid, task)->thread_pid))
		pid = ab_read(ab_as_form(task_struct___thread_pid, task)->thread_pid);
	else
		pid = ab_read(ab_as_form(task_struct___pids, task)->pids[0].pid);
	level = ab_read(pid->level);
	bpf_probe_read_kernel(&number.nr, sizeof(number.nr),
			      (char *)&pid->numbers[0].nr + level * (u64)bpf_core_type_size(struct upid___form));
	return number.nr;
}

/*
 * `fs` became `fsbase` in 4.7, 296f781a4b7b "x86/asm/64: Rename thread_struct's fs and gs to fsbase and gsbase".
 * x86-64.
 */
struct thread_struct___fs {
	unsigned long fs;
} AB_FLAVOUR;
struct thread_struct___fsbase {
	unsigned long fsbase;
} AB_FLAVOUR;
struct task_struct___fs {
	struct thread_struct___fs thread;
} AB_FLAVOUR;
struct task_struct___fsbase {
	struct thread_struct___fsbase thread;
} AB_FLAVOUR;

/* Where user space has its thread-local storage. */
static __always_inline u64 ab_task_fsbase(const void *task)
{
	if (bpf_core_field_exists(ab_as_form(task_struct___fsbase, task)->thread.fsbase))
		return ab_read(ab_as_form(task_struct___fsbase, task)->thread.fsbase);
	return ab_read(ab_as_form(task_struct___fs, task)->thread.fs);
}

/* ---- memory ---- */

/* Counters became per-CPU in 6.2, f1a7941243c1 "mm: convert mm's rss stats into percpu_counter". */
struct mm_struct___rss_atomic {
	struct {
		struct {
			s64 counter;
		} count[4];
	} rss_stat;
} AB_FLAVOUR;
struct mm_struct___rss_percpu {
	struct {
		s64 count;
	} rss_stat[4];
} AB_FLAVOUR;

enum ab_rss {
	AB_RSS_FILE,
	AB_RSS_ANON,
	AB_RSS_SWAP,
	AB_RSS_SHMEM, /* 4.5; counted as AB_RSS_FILE before, and 0 then */
};

/*
 * Pages that are resident, or swapped out. Since 6.2 less what CPUs have not added up yet, some dozens of pages each.
 */
#define ab_mm_rss(mm, kind)                                                                     \
	(bpf_core_field_exists(ab_as_form(mm_struct___rss_percpu, mm)->rss_stat[kind].count)    \
		 ? ab_read(ab_as_form(mm_struct___rss_percpu, mm)->rss_stat[kind].count)        \
	 : bpf_core_field_exists(ab_as_form(mm_struct___rss_atomic, mm)->rss_stat.count[kind].counter) \
		 ? ab_read(ab_as_form(mm_struct___rss_atomic, mm)->rss_stat.count[kind].counter) \
		 : 0)

/* A page's flags were a number until 6.18, which wrapped them in a struct (memdesc_flags_t). */
struct page___flags_number {
	unsigned long flags;
} AB_FLAVOUR;
struct page___flags_struct {
	struct {
		unsigned long f;
	} flags;
} AB_FLAVOUR;

static __always_inline u64 ab_page_flags(const void *page)
{
	if (bpf_core_field_exists(ab_as_form(page___flags_struct, page)->flags.f))
		return ab_read(ab_as_form(page___flags_struct, page)->flags.f);
	return ab_read(ab_as_form(page___flags_number, page)->flags);
}

/* ---- files ---- */

/*
 * `i_ctime` became `__i_ctime` in 6.6 (13bc24457850), the other two followed in 6.7 (12cd44023651); in 6.11 each
 * became two integers (3aa63a569c64 "fs: switch timespec64 fields in inode to discrete integers").
 */
#define AB_INODE_TIME(which)                                                                            \
	struct inode___##which##_plain {                                                                \
		struct {                                                                                \
			s64 tv_sec;                                                                     \
			long tv_nsec;                                                                   \
		} i_##which;                                                                            \
	} AB_FLAVOUR;                                                                                   \
	struct inode___##which##_hidden {                                                               \
		struct {                                                                                \
			s64 tv_sec;                                                                     \
			long tv_nsec;                                                                   \
		} __i_##which;                                                                          \
	} AB_FLAVOUR;                                                                                   \
	struct inode___##which##_split {                                                                \
		s64 i_##which##_sec;                                                                    \
		u32 i_##which##_nsec;                                                                   \
	} AB_FLAVOUR;                                                                                   \
	/* ns since 1970 */                                                                             \
	static __always_inline s64 ab_inode_##which(const void *inode)                                  \
	{                                                                                               \
		struct inode___##which##_split *split = (void *)inode;                                  \
		struct inode___##which##_hidden *hidden = (void *)inode;                                \
		struct inode___##which##_plain *plain = (void *)inode;                                  \
                                                                                                        \
		if (bpf_core_field_exists(split->i_##which##_sec))                                      \
			return ab_read(split->i_##which##_sec) * 1000000000LL +                         \
			       ab_read(split->i_##which##_nsec);                                        \
		if (bpf_core_field_exists(hidden->__i_##which))                                         \
			return ab_read(hidden->__i_##which.tv_sec) * 1000000000LL +                     \
			       ab_read(hidden->__i_##which.tv_nsec);                                    \
		return ab_read(plain->i_##which.tv_sec) * 1000000000LL + ab_read(plain->i_##which.tv_nsec); \
	}
AB_INODE_TIME(atime)
AB_INODE_TIME(mtime)
AB_INODE_TIME(ctime)

/*
 * Functions such as vfs_create(), vfs_unlink() and vfs_mkdir() take one more argument, the first, since 5.12: the
 * mount's user namespace, since 6.3 its idmap. struct renamedata came with it.
 *	struct dentry *dentry = (void *)(ab_vfs_takes_mount() ? PT_REGS_PARM3(ctx) : PT_REGS_PARM2(ctx));
 */
struct renamedata___form {
	void *old_dentry;
} AB_FLAVOUR;
#define ab_vfs_takes_mount() bpf_core_type_exists(struct renamedata___form)

/*
 * A kernfs node's id: a number since 5.5 (67c0496e87d1 "kernfs: convert kernfs_node->id from union kernfs_node_id to
 * u64"), a union since 4.14 (c53cd490b1a2), only the inode number before. `parent` became `__parent` in 6.15.
 */
struct kernfs_node___id_number {
	u64 id;
} AB_FLAVOUR;
struct kernfs_node___id_union {
	union {
		u64 id;
	} id;
} AB_FLAVOUR;
struct kernfs_node___ino {
	unsigned int ino;
} AB_FLAVOUR;
struct kernfs_node___parent_new {
	struct kernfs_node *__parent;
} AB_FLAVOUR;
struct kernfs_node___parent_old {
	struct kernfs_node *parent;
} AB_FLAVOUR;

static __always_inline u64 ab_kernfs_id(const void *node)
{
	if (bpf_core_field_exists(ab_as_form(kernfs_node___id_union, node)->id.id))
		return ab_read(ab_as_form(kernfs_node___id_union, node)->id.id);
	if (bpf_core_field_exists(ab_as_form(kernfs_node___id_number, node)->id))
		return ab_read(ab_as_form(kernfs_node___id_number, node)->id);
	return ab_read(ab_as_form(kernfs_node___ino, node)->ino);
}

static __always_inline struct kernfs_node *ab_kernfs_parent(const void *node)
{
	if (bpf_core_field_exists(ab_as_form(kernfs_node___parent_new, node)->__parent))
		return ab_read(ab_as_form(kernfs_node___parent_new, node)->__parent);
	return ab_read(ab_as_form(kernfs_node___parent_old, node)->parent);
}

/* ---- block devices ---- */

/*
 * `rq_disk` went away in 5.17 (f3fa33acca9f "block: remove the ->rq_disk field in struct request") for the queue's
 * `disk`.
 */
struct gendisk___form {
	int major;
	int first_minor;
} AB_FLAVOUR;
struct request_queue___disk {
	struct gendisk___form *disk;
} AB_FLAVOUR;
struct request___queue {
	struct request_queue___disk *q;
} AB_FLAVOUR;
struct request___disk {
	struct gendisk___form *rq_disk;
} AB_FLAVOUR;

static __always_inline struct gendisk *ab_request_disk(const void *request)
{
	struct request_queue___disk *queue;

	if (bpf_core_field_exists(ab_as_form(request___disk, request)->rq_disk))
		return (struct gendisk *)ab_read(ab_as_form(request___disk, request)->rq_disk);
	queue = ab_read(ab_as_form(request___queue, request)->q);
	return (struct gendisk *)ab_read(queue->disk);
}

/* The device number of a disk, as AB_AS(dev) renders it. */
static __always_inline u32 ab_disk_dev(const void *disk)
{
	const struct gendisk___form *form = disk;

	return disk ? ab_read(form->major) << 20 | ab_read(form->first_minor) : 0;
}

/*
 * `bi_bdev` was `bi_disk` from 4.14 (74d46992e0d9) to 5.11 (309dca309fc3 "block: store a block_device pointer in
 * struct bio").
 */
struct block_device___form {
	struct gendisk *bd_disk;
} AB_FLAVOUR;
struct bio___bdev {
	struct block_device___form *bi_bdev;
} AB_FLAVOUR;
struct bio___disk {
	struct gendisk *bi_disk;
} AB_FLAVOUR;

static __always_inline struct gendisk *ab_bio_disk(const void *bio)
{
	struct block_device___form *bdev;

	if (bpf_core_field_exists(ab_as_form(bio___disk, bio)->bi_disk))
		return ab_read(ab_as_form(bio___disk, bio)->bi_disk);
	bdev = ab_read(ab_as_form(bio___bdev, bio)->bi_bdev);
	return ab_read(bdev->bd_disk);
}

/*
 * The context of tracepoint block:block_rq_complete was renamed from trace_event_raw_block_rq_complete in 5.18,
 * d5869fdc189f "block: introduce block_rq_error tracepoint".
 */
struct trace_event_raw_block_rq_complete___form {
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
} AB_FLAVOUR;
struct trace_event_raw_block_rq_completion___form {
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
} AB_FLAVOUR;

#define ab_block_complete(ctx, member)                                                          \
	(bpf_core_type_exists(struct trace_event_raw_block_rq_completion___form)                \
		 ? ab_read(ab_as_form(trace_event_raw_block_rq_completion___form, ctx)->member) \
		 : ab_read(ab_as_form(trace_event_raw_block_rq_complete___form, ctx)->member))

/* ---- network ---- */

/* ktime_t was a union until 4.10, 2456e8553544 "ktime: Get rid of the union". */
struct sk_buff___tstamp_union {
	union {
		s64 tv64;
	} tstamp;
} AB_FLAVOUR;
struct sk_buff___tstamp_number {
	s64 tstamp;
} AB_FLAVOUR;

/* When a packet arrived or is to leave, in ns; 0 when nobody asked for it. */
static __always_inline s64 ab_skb_tstamp(const void *skb)
{
	if (bpf_core_field_exists(ab_as_form(sk_buff___tstamp_union, skb)->tstamp.tv64))
		return ab_read(ab_as_form(sk_buff___tstamp_union, skb)->tstamp.tv64);
	return ab_read(ab_as_form(sk_buff___tstamp_number, skb)->tstamp);
}

/*
 * Where a message's data is: `msg_iov` until 3.18, an iterator since 3.19 (c0371da6047a "put iov_iter into msghdr"),
 * which may hold one buffer without a vector since 6.0 (fcb14cb1bdac "new iov_iter flavour - ITER_UBUF"); `iov`
 * became `__iov` in 6.4.
 */
struct iovec___form {
	void *iov_base;
	u64 iov_len;
} AB_FLAVOUR;
struct msghdr___iov {
	struct iovec___form *msg_iov;
} AB_FLAVOUR;
struct iov_iter___old {
	const struct iovec___form *iov;
	u64 iov_offset;
} AB_FLAVOUR;
struct iov_iter___new {
	u8 iter_type;
	const struct iovec___form *__iov;
	void *ubuf;
	u64 iov_offset;
	u64 count;
} AB_FLAVOUR;
struct msghdr___iter_old {
	struct iov_iter___old msg_iter;
} AB_FLAVOUR;
struct msghdr___iter_new {
	struct iov_iter___new msg_iter;
} AB_FLAVOUR;
enum iter_type___form {
	ITER_UBUF___form = 0,
};

/* The user's buffer of sendmsg(2) or recvmsg(2), the first one when there are several, and how long that one is. */
static __always_inline void *ab_msghdr_base(const void *msg, u64 *ret_size)
{
	struct msghdr___iter_new *now = (void *)msg;
	struct msghdr___iter_old *old = (void *)msg;
	const struct iovec___form *iov;
	u64 offset = 0;

	if (bpf_core_field_exists(now->msg_iter.ubuf) &&
	    bpf_core_enum_value_exists(enum iter_type___form, ITER_UBUF___form) &&
	    ab_read(now->msg_iter.iter_type) == bpf_core_enum_value(enum iter_type___form, ITER_UBUF___form)) {
		offset = ab_read(now->msg_iter.iov_offset);
		*ret_size = ab_read(now->msg_iter.count);
		return ab_read(now->msg_iter.ubuf) + offset;
	}
	if (bpf_core_field_exists(now->msg_iter.__iov)) {
		iov = ab_read(now->msg_iter.__iov);
		offset = ab_read(now->msg_iter.iov_offset);
	} else if (bpf_core_field_exists(old->msg_iter.iov)) {
		iov = ab_read(old->msg_iter.iov);
		offset = ab_read(old->msg_iter.iov_offset);
	} else {
		iov = ab_read(ab_as_form(msghdr___iov, msg)->msg_iov);
	}
	*ret_size = ab_read(iov->iov_len) - offset;
	return ab_read(iov->iov_base) + offset;
}

/* `proc_inum` became `ns.inum` in 3.19, 435d5f4bb2cc "common object embedded into various struct ....ns". */
struct net___proc_inum {
	unsigned int proc_inum;
} AB_FLAVOUR;
struct ns_common___form {
	unsigned int inum;
} AB_FLAVOUR;
struct net___ns {
	struct ns_common___form ns;
} AB_FLAVOUR;

/* The number of a network namespace, as `ls -l /proc/self/ns/net` shows it. */
static __always_inline u32 ab_net_inum(const void *net)
{
	if (bpf_core_field_exists(ab_as_form(net___ns, net)->ns.inum))
		return ab_read(ab_as_form(net___ns, net)->ns.inum);
	return ab_read(ab_as_form(net___proc_inum, net)->proc_inum);
}

/* `struct net *` became possible_net_t in 4.1, 0c5c9fb55106 "net: Introduce possible_net_t". */
struct sock_common___net_pointer {
	struct net *skc_net;
} AB_FLAVOUR;
struct sock_common___net_struct {
	struct {
		struct net *net;
	} skc_net;
} AB_FLAVOUR;
struct net_device___net_pointer {
	struct net *nd_net;
} AB_FLAVOUR;
struct net_device___net_struct {
	struct {
		struct net *net;
	} nd_net;
} AB_FLAVOUR;

/* The namespace of a socket: a struct sock begins with its sock_common. */
static __always_inline struct net *ab_sock_net(const void *sk)
{
	if (bpf_core_field_exists(ab_as_form(sock_common___net_struct, sk)->skc_net.net))
		return ab_read(ab_as_form(sock_common___net_struct, sk)->skc_net.net);
	return ab_read(ab_as_form(sock_common___net_pointer, sk)->skc_net);
}

static __always_inline struct net *ab_device_net(const void *device)
{
	if (bpf_core_field_exists(ab_as_form(net_device___net_struct, device)->nd_net.net))
		return ab_read(ab_as_form(net_device___net_struct, device)->nd_net.net);
	return ab_read(ab_as_form(net_device___net_pointer, device)->nd_net);
}

/* atomic_t became refcount_t in 4.13, 14afee4b6092 "net: convert sock.sk_wmem_alloc from atomic_t to refcount_t". */
struct sock___wmem_atomic {
	struct {
		int counter;
	} sk_wmem_alloc;
} AB_FLAVOUR;
struct sock___wmem_refcount {
	struct {
		struct {
			int counter;
		} refs;
	} sk_wmem_alloc;
} AB_FLAVOUR;

/* Bytes that wait to be sent, with their overhead. */
static __always_inline s32 ab_sock_wmem_alloc(const void *sk)
{
	if (bpf_core_field_exists(ab_as_form(sock___wmem_refcount, sk)->sk_wmem_alloc.refs.counter))
		return ab_read(ab_as_form(sock___wmem_refcount, sk)->sk_wmem_alloc.refs.counter);
	return ab_read(ab_as_form(sock___wmem_atomic, sk)->sk_wmem_alloc.counter);
}

/* A bit-field of 8 bits until 5.6, bf9765145b85 "sock: Make sk_protocol a 16-bit value". */
struct sock___protocol {
	u16 sk_protocol;
} AB_FLAVOUR;

static __always_inline u16 ab_sock_protocol(const void *sk)
{
	return ab_read_sized(ab_as_form(sock___protocol, sk), sk_protocol);
}

/*
 * `srtt`, in eighths of a jiffy, became `srtt_us`, in eighths of a us, in 3.15 (740b0f1841f6 "tcp: switch rtt
 * estimations to usec resolution"). Jiffies are taken as 1/1000 s, as in the 3.10 kernels of distributions.
 */
struct tcp_sock___srtt {
	u32 srtt;
} AB_FLAVOUR;
struct tcp_sock___srtt_us {
	u32 srtt_us;
} AB_FLAVOUR;

/* A connection's smoothed round-trip time in us. */
static __always_inline u32 ab_tcp_srtt_us(const void *tcp)
{
	if (bpf_core_field_exists(ab_as_form(tcp_sock___srtt_us, tcp)->srtt_us))
		return ab_read(ab_as_form(tcp_sock___srtt_us, tcp)->srtt_us) >> 3;
	return (ab_read(ab_as_form(tcp_sock___srtt, tcp)->srtt) >> 3) * 1000;
}

/* Counted since 4.19 (ba113c3aa79a "tcp: add data bytes sent stats" and its like for what was sent again). */
struct tcp_sock___sent {
	u64 bytes_sent;
	u64 bytes_retrans;
} AB_FLAVOUR;
struct tcp_sock___acked {
	u64 bytes_acked;
} AB_FLAVOUR;

/*
 * Bytes of data that a connection sent, each once; before 4.19 those that the other side has, and SYN and FIN as one
 * each.
 */
static __always_inline u64 ab_tcp_sent(const void *tcp)
{
	if (bpf_core_field_exists(ab_as_form(tcp_sock___sent, tcp)->bytes_retrans))
		return ab_read(ab_as_form(tcp_sock___sent, tcp)->bytes_sent) -
		       ab_read(ab_as_form(tcp_sock___sent, tcp)->bytes_retrans);
	return ab_read(ab_as_form(tcp_sock___acked, tcp)->bytes_acked);
}

#endif
