/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Checking: on which kernels will an object run, and if not, why?
 *
 *	ab_check_new(data, size, &check, &err);
 *	ab_check_pack(check, pack, k, &verdict, &err);   (or ab_check_btf() for one BTF)
 *
 * Looks at CO-RE relocations, attach targets, program, map and attach types, helpers and kfuncs, the instruction set and global
 * data. An answer for one set of definitions is kept and used for every kernel that shares it.
 *
 * Threads: a check may be used by one thread at a time; verdicts are immutable and belong to the check.
 */
#ifndef ANYBPF_CHECK_H
#define ANYBPF_CHECK_H

#include <anybpf/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_check;

enum ab_check_result {
	AB_CHECK_NATIVE = 1, /* runs by the kernel's own bpf(2) */
	AB_CHECK_DRIVER = 2, /* runs through the driver */
	AB_CHECK_FAILS = 3,
};

/* One thing that keeps a program from running, or one that is left out (optional). */
struct ab_check_reason {
	const char *program;  /* program or map that it is about */
	const char *file;     /* source file, NULL if unknown */
	uint32_t line;        /* 0: unknown */
	const char *access;   /* as written: "task->__state", "kprobe/do_unlinkat", "bpf_ringbuf_output()" */
	const char *message;  /* what is missing, one line */
	const char *hint;     /* the way out, or NULL */
	bool fatal;           /* false: the program is optional, or the code can be dead on this kernel */
};

struct ab_check_verdict {
	enum ab_check_result result;
	const struct ab_check_reason *reasons;
	size_t n_reasons;
};

/* Reads an object (ELF bytes, copied). Errors: -EBADMSG/FORMAT. */
AB_API int ab_check_new(const void *object, size_t size, struct ab_check **ret_check, struct ab_error *err);
AB_API void ab_check_free(struct ab_check *check);
/* The verdict for a kernel of a pack, by index. */
AB_API int ab_check_pack(struct ab_check *check, const struct ab_pack *pack, size_t kernel, const struct ab_check_verdict **ret_verdict,
			 struct ab_error *err);
/* The verdict for a kernel by its raw BTF; `release` tells its version, "5.10.0-8-amd64". */
AB_API int ab_check_btf(struct ab_check *check, const void *btf, size_t size, const char *release, const char *arch,
			const struct ab_check_verdict **ret_verdict, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
