#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define U_(a, b) a ## b
#define U(a, b) U_(a, b)
#define D struct U(s, __COUNTER__) { int U(m, __COUNTER__)[__COUNTER__ + 1]; } U(v, __COUNTER__) = { 1 };
#define D1 D D D D D D D D D D
#define D2 D1 D1 D1 D1 D1 D1 D1 D1 D1 D1
#define D3 D2 D2 D2 D2 D2 D2 D2 D2 D2 D2
D3 D3 D3
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
