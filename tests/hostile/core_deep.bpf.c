#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct hostile { struct hostile *n; } __attribute__((preserve_access_index));
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	struct hostile *p = ctx;
	return !!p->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n->n;
}
char LICENSE[] SEC("license") = "GPL";
