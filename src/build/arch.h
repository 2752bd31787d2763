/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The machines that objects can be made for. */
#ifndef AB_ARCH_H
#define AB_ARCH_H

#include <base/base.h>

struct arch {
	const char *name;      /* as `anybpf build --arch` takes it */
	const char *aliases;   /* what others call it, each followed by a space */
	const char *define;    /* what bpf_tracing.h asks for */
	const char *triple;    /* of the BPF target in that byte order */
	const char *multiarch; /* the directory of <asm/…> below /usr/include in Debian's layout */
	const char *regs;      /* definitions that replace struct pt_regs and user_pt_regs of other machines' types */
	const char *regs_mark; /* a member that only this machine's registers have */
};

/* The row of a name or alias, the running machine's for NULL; NULL: unknown. */
const struct arch *ab_arch_find(const char *name);
/* "x86_64, arm64, …", for messages. */
void ab_arch_list(struct text *out);

#endif
