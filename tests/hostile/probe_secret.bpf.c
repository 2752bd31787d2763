#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#if __has_include(SECRET)
#define FOUND "PRESENT-ON-DISK"
#else
#define FOUND "absent"
#endif
const char found[] SEC(".rodata.found") = FOUND;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return found[0];
}
char LICENSE[] SEC("license") = "GPL";
