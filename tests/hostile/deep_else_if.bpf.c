#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define R1(x) x x x x x x x x x x 
#define R2(x) R1(R1(x))
#define R4(x) R2(R2(x))
#define N(x) R4(R1(x))
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	int a = bpf_get_smp_processor_id();
	N(if (a == __COUNTER__) return 7; else) return 1;
}
char LICENSE[] SEC("license") = "GPL";
