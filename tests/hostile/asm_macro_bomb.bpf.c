#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
asm(".macro a\n.rept 1000\n.quad 1\n.endr\n.endm\n.macro b\n.rept 1000\na\n.endr\n.endm\n.rept 1000\nb\n.endr");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
