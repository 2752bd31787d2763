#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
#line 1 SECRET
int handle(void *ctx)
{
	return bpf_get_smp_processor_id();
}
char LICENSE[] SEC("license") = "GPL";
