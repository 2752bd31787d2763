#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int x SEC("../../../../tmp/anybpf-hostile") = 1;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return x;
}
char LICENSE[] SEC("license") = "GPL";
