#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#pragma clang module build evil
module evil {}
#pragma clang module contents
#pragma clang module endbuild
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
