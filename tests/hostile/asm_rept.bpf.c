#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
asm(".rept 2000000000\n.quad 1\n.endr");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
