#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct { char a[1UL << 40], b[1UL << 40]; } x;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
