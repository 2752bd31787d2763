#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define R1(x) x x x x x x x x x x 
#define R2(x) R1(R1(x))
#define R4(x) R2(R2(x))
#define N(x) R4(R1(x))
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
N({) N(})
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
