#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int a(void) __attribute__((alias("b")));
int b(void) __attribute__((alias("a")));
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return a();
}
char LICENSE[] SEC("license") = "GPL";
