/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Symbols: addresses of the kernel, its modules and user processes to names, and stacks to flame graphs.
 *
 * Kernel names come from /proc/kallsyms; user names from the mapped ELF files (.symtab, else .dynsym, else the separate debug file
 * of the build id), the vdso, and /tmp/perf-PID.map for code made at run time. C++ and Rust names are demangled.
 * Processes are looked up in their own mount namespace and remembered by pid and start time.
 *
 * Threads: one thread at a time per ab_symbols.
 */
#ifndef ANYBPF_SYMBOL_H
#define ANYBPF_SYMBOL_H

#include <stdbool.h>
#include <stdio.h>
#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_symbols;
struct ab_flame;

struct ab_symbol {
	const char *name;    /* demangled; NULL when unknown */
	const char *module;  /* kernel module, "kernel", or the ELF file's path; NULL when unknown */
	uint64_t offset;     /* of the address in the symbol; in the module when the name is unknown */
};

/* Makes an empty symbolizer: everything is read when it is first asked for. */
AB_API int ab_symbols_new(struct ab_symbols **ret_symbols, struct ab_error *err);
AB_API void ab_symbols_free(struct ab_symbols *symbols);

/*
 * Finds the symbol that covers an address. 0 and *ret on success; -ENOENT, with what is known in *ret, when there is none;
 * kernel: -EPERM/PERMISSION when kallsyms hides addresses. The strings live until ab_symbols_free().
 */
AB_API int ab_symbols_kernel(struct ab_symbols *symbols, uint64_t address, struct ab_symbol *ret, struct ab_error *err);
AB_API int ab_symbols_user(struct ab_symbols *symbols, int pid, uint64_t address, struct ab_symbol *ret,
			   struct ab_error *err);

/* Reads what a process has mapped now, so that its stacks can still be named after it ended. */
AB_API int ab_symbols_remember(struct ab_symbols *symbols, int pid, struct ab_error *err);

/* ---- flame graphs ---- */

AB_API int ab_flame_new(struct ab_flame **ret_flame, struct ab_error *err);
AB_API void ab_flame_free(struct ab_flame *flame);
/* Adds `weight` to one stack, root first: frames[0] is the process, frames[n-1] the leaf. Names are copied. */
AB_API int ab_flame_add(struct ab_flame *flame, const char *const *frames, size_t count, uint64_t weight,
			struct ab_error *err);
/* Writes "a;b;c 42" lines, sorted. */
AB_API int ab_flame_write_folded(const struct ab_flame *flame, FILE *out, struct ab_error *err);
/* Writes one self-contained SVG with zoom and search; `title` is escaped. Deterministic. */
AB_API int ab_flame_write_svg(const struct ab_flame *flame, const char *title, FILE *out, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
