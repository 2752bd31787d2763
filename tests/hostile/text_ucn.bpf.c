#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int \u0000x, \U0010ffff;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
