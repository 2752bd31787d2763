/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Checking: on which kernels will an object run, and if not, why?
 *
 *	ab_check_new(data, size, &check, &err);
 *	ab_check_pack(check, pack, k, &verdict, &err);   (or ab_check_btf() for one BTF)
 *
 * Looks at CO-RE relocations, attach targets, program, map and attach types, helpers and kfuncs, the instruction set
 * and global data (docs/check.md says how, and what types cannot tell). An answer for one set of definitions is kept and
 * used for every kernel that shares it.
 *
 *	ab_check_report_new(&report, &err);
 *	ab_check_report_add(report, "tool.bpf.c", kernel, verdict, &err);	for each object and kernel
 *	ab_check_report_write(report, AB_CHECK_TEXT, &text, &size, &err);
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
	bool fatal;           /* false: a note, no obstacle: an optional program, a perf buffer for a ring buffer */
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
AB_API int ab_check_pack(struct ab_check *check, const struct ab_pack *pack, size_t kernel,
			 const struct ab_check_verdict **ret_verdict, struct ab_error *err);
/* The verdict for a kernel by its raw BTF; release and arch are as uname says them ("5.10.0-8-amd64", "x86_64"), NULL: unknown. */
AB_API int ab_check_btf(struct ab_check *check, const void *btf, size_t size, const char *release, const char *arch,
			const struct ab_check_verdict **ret_verdict, struct ab_error *err);

/*
 * A kernel by a file: raw BTF, or an ELF file with .BTF such as a vmlinux; NULL: the running kernel. Its release is
 * what the file says
 * ("Linux version"), else the file's name where that begins like a version ("5.10.0-8-amd64.btf"), else unknown:
 * versions are then told by what the types have. Errors: those of reading; -EBADMSG/FORMAT; -ENOENT/NO_TYPES.
 */
struct ab_check_target;
AB_API int ab_check_target_open(const char *path, struct ab_check_target **ret_target, struct ab_error *err);
AB_API void ab_check_target_close(struct ab_check_target *target);
/* Its release is the path where it is not known. Belongs to the target. */
AB_API const struct ab_kernel *ab_check_target_kernel(const struct ab_check_target *target);
AB_API int ab_check_target_verdict(struct ab_check *check, const struct ab_check_target *target,
				   const struct ab_check_verdict **ret_verdict, struct ab_error *err);

/* ---- reports: many verdicts, the way people read them ---- */

struct ab_check_report;

enum ab_check_form {
	AB_CHECK_TEXT = 0, /* for each object what fails where: "on 12 of 214 kernels, all before 5.5: …" */
	AB_CHECK_JSON = 1, /* one document (docs/check.md) */
	AB_CHECK_HTML = 2, /* kernels by objects, a page without references to anything outside it */
};

AB_API int ab_check_report_new(struct ab_check_report **ret_report, struct ab_error *err);
/* Adds a verdict. `verdict` and the strings of `kernel` have to outlive the report; equal kernels are one row. */
AB_API int ab_check_report_add(struct ab_check_report *report, const char *object, const struct ab_kernel *kernel,
			       const struct ab_check_verdict *verdict, struct ab_error *err);
/* How many verdicts have that result. */
AB_API size_t ab_check_report_count(const struct ab_check_report *report, enum ab_check_result result);
/* The report as text that the caller frees with free(). */
AB_API int ab_check_report_write(const struct ab_check_report *report, enum ab_check_form form, char **ret_text,
				 size_t *ret_size, struct ab_error *err);
AB_API void ab_check_report_free(struct ab_check_report *report);

#ifdef __cplusplus
}
#endif
#endif
