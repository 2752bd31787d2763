#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
static __always_inline int f0(int x) { return bpf_get_smp_processor_id() + x; }
static __always_inline int f1(int x) { return f0(x) + f0(x + 1); }
static __always_inline int f2(int x) { return f1(x) + f1(x + 1); }
static __always_inline int f3(int x) { return f2(x) + f2(x + 1); }
static __always_inline int f4(int x) { return f3(x) + f3(x + 1); }
static __always_inline int f5(int x) { return f4(x) + f4(x + 1); }
static __always_inline int f6(int x) { return f5(x) + f5(x + 1); }
static __always_inline int f7(int x) { return f6(x) + f6(x + 1); }
static __always_inline int f8(int x) { return f7(x) + f7(x + 1); }
static __always_inline int f9(int x) { return f8(x) + f8(x + 1); }
static __always_inline int f10(int x) { return f9(x) + f9(x + 1); }
static __always_inline int f11(int x) { return f10(x) + f10(x + 1); }
static __always_inline int f12(int x) { return f11(x) + f11(x + 1); }
static __always_inline int f13(int x) { return f12(x) + f12(x + 1); }
static __always_inline int f14(int x) { return f13(x) + f13(x + 1); }
static __always_inline int f15(int x) { return f14(x) + f14(x + 1); }
static __always_inline int f16(int x) { return f15(x) + f15(x + 1); }
static __always_inline int f17(int x) { return f16(x) + f16(x + 1); }
static __always_inline int f18(int x) { return f17(x) + f17(x + 1); }
static __always_inline int f19(int x) { return f18(x) + f18(x + 1); }
static __always_inline int f20(int x) { return f19(x) + f19(x + 1); }
static __always_inline int f21(int x) { return f20(x) + f20(x + 1); }
static __always_inline int f22(int x) { return f21(x) + f21(x + 1); }
static __always_inline int f23(int x) { return f22(x) + f22(x + 1); }
static __always_inline int f24(int x) { return f23(x) + f23(x + 1); }
static __always_inline int f25(int x) { return f24(x) + f24(x + 1); }
static __always_inline int f26(int x) { return f25(x) + f25(x + 1); }
static __always_inline int f27(int x) { return f26(x) + f26(x + 1); }
static __always_inline int f28(int x) { return f27(x) + f27(x + 1); }
static __always_inline int f29(int x) { return f28(x) + f28(x + 1); }
static __always_inline int f30(int x) { return f29(x) + f29(x + 1); }
static __always_inline int f31(int x) { return f30(x) + f30(x + 1); }
static __always_inline int f32(int x) { return f31(x) + f31(x + 1); }
static __always_inline int f33(int x) { return f32(x) + f32(x + 1); }
static __always_inline int f34(int x) { return f33(x) + f33(x + 1); }
static __always_inline int f35(int x) { return f34(x) + f34(x + 1); }
static __always_inline int f36(int x) { return f35(x) + f35(x + 1); }
static __always_inline int f37(int x) { return f36(x) + f36(x + 1); }
static __always_inline int f38(int x) { return f37(x) + f37(x + 1); }
static __always_inline int f39(int x) { return f38(x) + f38(x + 1); }
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return f39(1);
}
char LICENSE[] SEC("license") = "GPL";
