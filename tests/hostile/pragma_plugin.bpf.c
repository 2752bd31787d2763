#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#pragma clang plugin "/tmp/evil.so"
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
