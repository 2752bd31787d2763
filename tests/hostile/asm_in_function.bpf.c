#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	asm volatile(".incbin \"/etc/passwd\"");
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
