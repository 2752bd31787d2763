#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
unsigned _BitInt(8388608) a, b;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	a = a / b * a % 3;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
