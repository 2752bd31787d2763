#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
typedef char big __attribute__((vector_size(1 << 28)));
big a, b;
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	a = a * b;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
