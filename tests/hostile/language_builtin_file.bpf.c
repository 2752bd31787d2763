#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
const char where[] SEC(".rodata.where") = __FILE__ __BASE_FILE__;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return where[0];
}
char LICENSE[] SEC("license") = "GPL";
