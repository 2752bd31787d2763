#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
asm(".fill 0x7fffffffff, 1, 0");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
