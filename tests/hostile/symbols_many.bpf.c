#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
asm(".altmacro\n.macro sym n\n.globl s\\n\ns\\n:\n.endm\n.set i, 0\n.rept 200000\nsym %i\n.set i, i + 1\n.endr");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
