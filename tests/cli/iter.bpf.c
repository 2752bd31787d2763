/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A line for each thread of one process. */
#include "anybpf.bpf.h"

AB_TARGET_PID(target_pid);

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && task->tgid == target_pid)
		BPF_SEQ_PRINTF(ctx->meta->seq, "thread %d\n", task->pid);
	return 0;
}

AB_LICENSE("GPL");
