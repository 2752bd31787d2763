/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* One row a machine (arch.h). The register structs have what libbpf's bpf_tracing.h reads, in the kernel's layout. */
#include <sys/utsname.h>
#include "arch.h"

#define RECORD(text) "#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)\n" text \
		     "\n#pragma clang attribute pop\n"

static const struct arch arches[] = {
	{ "x86_64", "amd64 x86 ", "__TARGET_ARCH_x86", "bpfel", "x86_64-linux-gnu",
	  RECORD("struct pt_regs { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di,"
		 " orig_ax, ip, cs, flags, sp, ss; };"), "orig_ax" },
	{ "arm64", "aarch64 ", "__TARGET_ARCH_arm64", "bpfel", "aarch64-linux-gnu",
	  RECORD("struct user_pt_regs { unsigned long long regs[31], sp, pc, pstate; };\n"
		 "struct pt_regs { union { struct user_pt_regs user_regs; struct { unsigned long long regs[31], sp, pc,"
		 " pstate; }; }; unsigned long long orig_x0; int syscallno; unsigned int unused2; };"), "pstate" },
	{ "arm", "armhf armv7l ", "__TARGET_ARCH_arm", "bpfel", "arm-linux-gnueabihf",
	  RECORD("struct pt_regs { unsigned long uregs[18]; };"), "uregs" },
	{ "s390x", "s390 ", "__TARGET_ARCH_s390", "bpfeb", "s390x-linux-gnu",
	  RECORD("typedef struct { unsigned long mask, addr; } __attribute__((aligned(8))) psw_t;\n"
		 "typedef struct { unsigned long args[1]; psw_t psw; unsigned long gprs[16]; } user_pt_regs;\n"
		 "struct pt_regs { union { user_pt_regs user_regs; struct { unsigned long args[1]; psw_t psw;"
		 " unsigned long gprs[16]; }; }; unsigned long orig_gpr2; };"), "gprs" },
	{ "ppc64le", "powerpc powerpc64le ppc64el ", "__TARGET_ARCH_powerpc", "bpfel", "powerpc64le-linux-gnu",
	  RECORD("struct user_pt_regs { unsigned long gpr[32], nip, msr, orig_gpr3, ctr, link, xer, ccr, softe, trap, dar,"
		 " dsisr, result; };\n"
		 "struct pt_regs { union { struct user_pt_regs user_regs; struct { unsigned long gpr[32], nip, msr,"
		 " orig_gpr3, ctr, link, xer, ccr, softe, trap, dar, dsisr, result; }; }; };"), "orig_gpr3" },
	{ "riscv64", "riscv ", "__TARGET_ARCH_riscv", "bpfel", "riscv64-linux-gnu",
	  RECORD("struct user_regs_struct { unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5,"
		 " a6, a7, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6; };\n"
		 "struct pt_regs { unsigned long epc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7,"
		 " s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6, status, badaddr, cause, orig_a0; };"),
	  "epc" },
	{ "loongarch64", "loongarch ", "__TARGET_ARCH_loongarch", "bpfel", "loongarch64-linux-gnu",
	  RECORD("struct user_pt_regs { unsigned long regs[32], orig_a0, csr_era, csr_badv, reserved[10]; };\n"
		 "struct pt_regs { unsigned long regs[32], orig_a0, csr_era, csr_badvaddr, csr_crmd, csr_prmd, csr_euen,"
		 " csr_ecfg, csr_estat; };"), "csr_era" },
	{ "mips64", "mips mips64el mipsel ", "__TARGET_ARCH_mips", "bpfel", "mips64el-linux-gnuabi64",
	  RECORD("struct pt_regs { unsigned long regs[32], cp0_status, hi, lo, cp0_badvaddr, cp0_cause, cp0_epc; };"),
	  "cp0_epc" },
};

static bool is_alias(const char *aliases, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = aliases; *p; p += strcspn(p, " ") + 1)
		if (strcspn(p, " ") == n && !memcmp(p, name, n))
			return true;
	return false;
}

const struct arch *ab_arch_find(const char *name)
{
	struct utsname machine;

	if (!name)
		name = uname(&machine) == 0 ? machine.machine : "";
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		if (!strcmp(arches[i].name, name) || is_alias(arches[i].aliases, name))
			return &arches[i];
	return NULL;
}

void ab_arch_list(struct text *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		text_printf(out, "%s%s", i ? ", " : "", arches[i].name);
}
