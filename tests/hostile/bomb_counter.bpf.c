#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define U_(a, b) a ## b
#define U(a, b) U_(a, b)
#define D int U(v, __COUNTER__);
#define D1 D D D D D D D D D D
#define D2 D1 D1 D1 D1 D1 D1 D1 D1 D1 D1
#define D3 D2 D2 D2 D2 D2 D2 D2 D2 D2 D2
#define D4 D3 D3 D3 D3 D3 D3 D3 D3 D3 D3
#define D5 D4 D4 D4 D4 D4 D4 D4 D4 D4 D4
#define D6 D5 D5 D5 D5 D5 D5 D5 D5 D5 D5
D6 D6 D6
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
