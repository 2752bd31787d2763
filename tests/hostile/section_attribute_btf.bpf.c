#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char garbage[4096] SEC(".BTF") = { 0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 255, 255, 255, 127 };
char more[64] SEC(".BTF.ext") = { 1 };
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
