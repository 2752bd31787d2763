#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
const char when[] = __DATE__ __TIME__ __TIMESTAMP__;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return when[0];
}
char LICENSE[] SEC("license") = "GPL";
