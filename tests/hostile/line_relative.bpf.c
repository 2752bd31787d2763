#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#line 1 "../../../../../../etc/passwd"
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return bpf_get_smp_processor_id();
}
char LICENSE[] SEC("license") = "GPL";
