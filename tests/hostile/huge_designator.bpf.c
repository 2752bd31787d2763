#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int x[] = { [0 ... 1 << 30] = 1 };
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
