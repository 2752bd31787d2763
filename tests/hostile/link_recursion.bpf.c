#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
__attribute__((noinline)) static int f(int x) { return x ? f(x - 1) + f(x - 2) : 1; }
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return f(bpf_get_smp_processor_id());
}
char LICENSE[] SEC("license") = "GPL";
