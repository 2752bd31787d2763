/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Types of kernels that are not here, reduced to what core_fixes.bpf.h reads: -DKERNEL=310 or 603. Their BTF stands
 * in for a kernel's, so that a program that loads with it has found a form for each of its reads.
 */
typedef long long s64;
typedef unsigned long long u64;
typedef unsigned int u32;

struct pid_namespace;
struct upid { int nr; struct pid_namespace *ns; };
struct pid { unsigned int level; struct upid numbers[1]; };
struct gendisk { int major, first_minor; };
struct block_device { struct gendisk *bd_disk; };
struct iovec { void *iov_base; u64 iov_len; };
struct timespec { s64 tv_sec; long tv_nsec; };
struct atomic { int counter; };
struct atomic64 { s64 counter; };

#if KERNEL == 310
union ktime { s64 tv64; };
struct thread_info { int preempt_count; u32 cpu; };
struct thread_struct { unsigned long sp, fs; };
struct pid_link { void *next; struct pid *pid; };
struct net { int passive; unsigned int proc_inum; };
struct mm_struct { int map_count; struct { struct atomic64 count[3]; } rss_stat; };
struct inode { int i_mode; struct timespec i_atime, i_mtime, i_ctime; };
struct kernfs_node { struct kernfs_node *parent; unsigned int ino; };
struct request { int cmd_flags; struct gendisk *rq_disk; };
struct bio { void *bi_next; struct block_device *bi_bdev; };
struct trace_event_raw_block_rq_complete { u64 ent; u32 dev; u64 sector; unsigned int nr_sector; };
struct sk_buff { void *next; union ktime tstamp; };
struct msghdr { void *msg_name; struct iovec *msg_iov; };
struct sock_common { u64 skc_addrpair; struct net *skc_net; };
struct net_device { int ifindex; struct net *nd_net; };
struct sock {
	struct sock_common __sk_common;
	unsigned int sk_shutdown : 2, sk_protocol : 8;
	struct atomic sk_wmem_alloc;
};
struct tcp_sock { struct sock sk; u32 srtt; u64 bytes_acked; };
struct nsproxy { int count; struct net *net_ns; };
struct task_struct {
	volatile long state;
	void *stack;
	struct mm_struct *mm;
	int pid, tgid;
	struct timespec start_time, real_start_time;
	struct pid_link pids[3];
	struct thread_struct thread;
	struct nsproxy *nsproxy;
};
#else
enum iter_type { ITER_IOVEC, ITER_KVEC, ITER_UBUF = 6 };
struct ns_common { long stashed; unsigned int inum; };
struct refcount { struct atomic refs; };
struct possible_net { struct net *net; };
struct thread_info { unsigned long flags; u32 cpu; };
struct thread_struct { unsigned long sp, fsbase; };
struct net { int passive; struct ns_common ns; };
struct percpu_counter { u32 lock; s64 count; };
struct mm_struct { struct { int map_count; struct percpu_counter rss_stat[4]; }; };
struct inode { int i_mode; struct timespec i_atime, i_mtime, __i_ctime; };
struct kernfs_node { struct kernfs_node *parent; u64 id; };
struct request_queue { void *elevator; struct gendisk *disk; };
struct request { struct request_queue *q; };
struct bio { void *bi_next; struct block_device *bi_bdev; };
struct trace_event_raw_block_rq_completion { u64 ent; u32 dev; u64 sector; unsigned int nr_sector; };
struct sk_buff { void *next; union { s64 tstamp; u64 skb_mstamp_ns; }; };
struct iov_iter { unsigned char iter_type; u64 iov_offset, count; union { const struct iovec *iov; void *ubuf; }; };
struct msghdr { void *msg_name; struct iov_iter msg_iter; };
struct sock_common { u64 skc_addrpair; struct possible_net skc_net; };
struct net_device { int ifindex; struct possible_net nd_net; };
struct sock { struct sock_common __sk_common; unsigned short sk_protocol; struct refcount sk_wmem_alloc; };
struct tcp_sock { struct sock sk; u32 srtt_us; u64 bytes_acked, bytes_sent, bytes_retrans; };
struct renamedata { struct dentry *old_dentry; };
struct nsproxy { int count; struct net *net_ns; };
struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	struct mm_struct *mm;
	int pid, tgid;
	u64 start_time, start_boottime;
	struct pid *thread_pid;
	struct thread_struct thread;
	struct nsproxy *nsproxy;
};
enum iter_type used_iter_type;
struct renamedata used_renamedata;
struct request_queue used_queue;
struct trace_event_raw_block_rq_completion used_complete;
#endif

#if KERNEL == 310
struct trace_event_raw_block_rq_complete used_complete;
struct thread_info used_thread_info;
#endif
struct page { unsigned long flags; };

struct task_struct used_task;
struct page used_page;
struct inode used_inode;
struct kernfs_node used_kernfs_node;
struct request used_request;
struct bio used_bio;
struct gendisk used_gendisk;
struct block_device used_block_device;
struct sk_buff used_sk_buff;
struct msghdr used_msghdr;
struct iovec used_iovec;
struct net_device used_net_device;
struct net used_net;
struct nsproxy used_nsproxy;
struct mm_struct used_mm;
struct pid used_pid;
struct tcp_sock used_tcp_sock;

/*
 * As this kernel has them too, so that a program that reads its arguments runs, over a perf buffer: there is no
 * bpf_func_id here.
 */
struct trace_event_raw_sys_enter { u64 ent; long id; unsigned long args[6]; } used_sys_enter;
struct trace_event_raw_sys_exit { u64 ent; long id, ret; } used_sys_exit;
