#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
static void *r(void) { return 0; }
int f(void) __attribute__((ifunc("r")));
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return f();
}
char LICENSE[] SEC("license") = "GPL";
