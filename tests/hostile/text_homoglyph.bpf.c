#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int сtx = 1;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return ctx ? сtx : 0;
}
char LICENSE[] SEC("license") = "GPL";
