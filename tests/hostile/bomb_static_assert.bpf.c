#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
_Static_assert(sizeof(char[(1UL << 62) - 1][2]), "");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
