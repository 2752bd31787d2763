#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
extern int system(const char *);
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return system("touch /tmp/anybpf-hostile");
}
char LICENSE[] SEC("license") = "GPL";
