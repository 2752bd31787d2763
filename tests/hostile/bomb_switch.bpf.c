#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	switch (bpf_get_smp_processor_id()) {
#define K(n) case n * 7: return n * n;
#define A(n) K(n) K(n + 1) K(n + 2) K(n + 3) K(n + 4) K(n + 5) K(n + 6) K(n + 7) K(n + 8) K(n + 9)
#define B(n) A(n) A(n + 10) A(n + 20) A(n + 30) A(n + 40) A(n + 50) A(n + 60) A(n + 70) A(n + 80) A(n + 90)
#define C(n) B(n) B(n + 100) B(n + 200) B(n + 300) B(n + 400) B(n + 500) B(n + 600) B(n + 700) B(n + 800) B(n + 900)
	C(0) C(1000) C(2000) C(3000) C(4000)
	case 100000 ... 2000000000: return 1;
	}
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
