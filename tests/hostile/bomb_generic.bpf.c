#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define G0 1
#define G1 _Generic(G0, int: G0, default: 0)
#define G2 _Generic(G1, int: G1, default: 0)
#define G3 _Generic(G2, int: G2, default: 0)
#define G4 _Generic(G3, int: G3, default: 0)
#define G5 _Generic(G4, int: G4, default: 0)
#define G6 _Generic(G5, int: G5, default: 0)
#define G7 _Generic(G6, int: G6, default: 0)
#define G8 _Generic(G7, int: G7, default: 0)
#define G9 _Generic(G8, int: G8, default: 0)
#define G10 _Generic(G9, int: G9, default: 0)
#define G11 _Generic(G10, int: G10, default: 0)
#define G12 _Generic(G11, int: G11, default: 0)
#define G13 _Generic(G12, int: G12, default: 0)
#define G14 _Generic(G13, int: G13, default: 0)
#define G15 _Generic(G14, int: G14, default: 0)
#define G16 _Generic(G15, int: G15, default: 0)
#define G17 _Generic(G16, int: G16, default: 0)
#define G18 _Generic(G17, int: G17, default: 0)
#define G19 _Generic(G18, int: G18, default: 0)
#define G20 _Generic(G19, int: G19, default: 0)
#define G21 _Generic(G20, int: G20, default: 0)
#define G22 _Generic(G21, int: G21, default: 0)
#define G23 _Generic(G22, int: G22, default: 0)
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return G23;
}
char LICENSE[] SEC("license") = "GPL";
