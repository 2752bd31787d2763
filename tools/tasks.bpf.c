/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tasks: what runs on this machine, from the kernel's own list and not from /proc.
 *
 *	    PID     TID    PPID   UID S   RSS_KB       AGE_MS COMM
 *	   4711    4711    4700  1000 S     5312        81234 bash
 *
 * An iterator: it prints once and ends. --threads: every thread, else processes only. Kernel: 5.8.
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

AB_PARAM(bool, threads, false, "every thread, not only processes");
AB_PARAM(u32, page_size, 4096, "bytes of a page of this kernel");
AB_PARAM(bool, kernel_threads, true, "also the kernel's own threads");

/* The letter that ps has for it; as text, because %c came to iterators after 5.10. */
static __always_inline const char *state_letter(struct task_struct *task)
{
	u32 state = ab_task_state(task), exit_state = ab_read(task->exit_state);

	if (exit_state)
		return exit_state & 0x10 ? "X" : "Z";
	if (!state)
		return "R";
	/* TASK_IDLE is uninterruptible without counting as load. */
	if ((state & 0x402) == 0x402)
		return "I";
	return state & 1 ? "S" : state & 2 ? "D" : state & 4 ? "T" : state & 8 ? "t" : "?";
}

SEC("iter/task")
int task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct mm_struct *mm;
	s64 pages = 0;
	u64 age;

	if (!task)
		return 0;
	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "    PID     TID    PPID   UID S   RSS_KB       AGE_MS COMM\n");
	if ((!threads && task->pid != task->tgid) || (!kernel_threads && task->flags & PF_KTHREAD))
		return 0;
	mm = ab_read(task->mm);
	if (mm)
		pages = ab_mm_rss(mm, AB_RSS_FILE) + ab_mm_rss(mm, AB_RSS_ANON) + ab_mm_rss(mm, AB_RSS_SHMEM);
	age = (ab_ktime() - ab_task_start_ktime(task)) / 1000000;
	BPF_SEQ_PRINTF(seq, "%7d %7d %7d %5u %s %8lld %12llu %s\n", task->tgid, task->pid,
		       ab_read(task, real_parent, tgid), ab_read(task, cred, uid.val), state_letter(task),
		       pages * (s64)(page_size / 1024), age, task->comm);
	return 0;
}

AB_LICENSE("GPL");
