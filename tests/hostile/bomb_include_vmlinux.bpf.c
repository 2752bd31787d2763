#undef __VMLINUX_H__
#if __COUNTER__ < 1000000
#include __FILE__
#endif
