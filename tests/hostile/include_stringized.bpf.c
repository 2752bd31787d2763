#define S(x) #x
#define T(x) S(x)
#include T(/etc/passwd)
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
