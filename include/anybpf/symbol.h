/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Symbols: addresses of the kernel, its modules and user processes to names, and stacks to flame graphs.
 *
 *	struct ab_symbols *symbols;
 *	struct ab_symbol sym;
 *	if (ab_symbols_new(&symbols, &err) < 0 ...
 *	if (ab_symbols_user(symbols, pid, address, &sym, NULL) == 0)
 *		printf("%s+0x%llx (%s)\n", sym.name, (unsigned long long)sym.offset, sym.module);
 *	ab_symbols_free(symbols);
 *
 * Kernel names come from /proc/kallsyms; user names from the mapped ELF files (.symtab, else the .symtab of the separate debug
 * file of the build id or debug link, else .dynsym), the vdso, and /tmp/perf-PID.map for code made at run time. C++ and Rust
 * names are demangled and come without parameters.
 * Processes are looked up in their own mount namespace and remembered by pid, start time and program. A lookup is a search
 * in memory; files are read when an address first needs them, and mappings again when an address is in none of them.
 *
 * Threads: one thread at a time per ab_symbols and per ab_flame.
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
	const char *module;  /* kernel module, "bpf", "kernel", the path of the mapped file as the process sees it, "[vdso]" or
				"[jit]"; NULL when unknown */
	uint64_t offset;     /* of the address in the symbol; when the name is unknown, the address that the module's file was
				linked for, which addr2line -e MODULE takes; else the address itself */
};

/* Makes an empty symbolizer: everything is read when it is first asked for. */
AB_API int ab_symbols_new(struct ab_symbols **ret_symbols, struct ab_error *err);
AB_API void ab_symbols_free(struct ab_symbols *symbols);

/*
 * Finds the symbol that covers an address. 0 and *ret on success. -ENOENT, with what is known in *ret, when there is none: a
 * stripped file, or a process that ended before it was asked for. -ENOMEM.
 * Kernel: -EPERM/PERMISSION when kallsyms hides addresses (the message names the sysctl), -EOPNOTSUPP/UNSUPPORTED without it.
 * User: -EACCES/PERMISSION when the process belongs to somebody else.
 * The strings live until ab_symbols_free().
 */
AB_API int ab_symbols_kernel(struct ab_symbols *symbols, uint64_t address, struct ab_symbol *ret, struct ab_error *err);
AB_API int ab_symbols_user(struct ab_symbols *symbols, int pid, uint64_t address, struct ab_symbol *ret,
			   struct ab_error *err);

/*
 * Reads what a process has mapped now, and the symbols of all that, so that its stacks can still be named after it ended.
 * -ESRCH/NOT_FOUND when there is no such process, -EACCES/PERMISSION when it belongs to somebody else.
 */
AB_API int ab_symbols_remember(struct ab_symbols *symbols, int pid, struct ab_error *err);

/* ---- flame graphs ---- */

AB_API int ab_flame_new(struct ab_flame **ret_flame, struct ab_error *err);
AB_API void ab_flame_free(struct ab_flame *flame);
/*
 * Adds `weight` to one stack, root first: frames[0] is the process, frames[n-1] the leaf. Names are copied; NULL and "" become
 * "[unknown]". A suffix says what a frame is, as other flame graph tools have it: _[k] kernel, _[j] compiled at run time,
 * _[i] inlined. -E2BIG/LIMIT beyond 4096 frames, -EOVERFLOW/LIMIT when all weights exceed 64 bits, -ENOMEM.
 */
AB_API int ab_flame_add(struct ab_flame *flame, const char *const *frames, size_t count, uint64_t weight,
			struct ab_error *err);
/* Writes "a;b;c 42" lines, sorted by their bytes; ';' in names becomes ':'. Any errno of writing, kind IO. */
AB_API int ab_flame_write_folded(const struct ab_flame *flame, FILE *out, struct ab_error *err);
/*
 * Writes one self-contained SVG, 1200 wide: a complete picture, to which browsers add zoom (click), search (Ctrl-F) and the
 * numbers of each frame. `title` is escaped and may be NULL. The same stacks give the same bytes.
 */
AB_API int ab_flame_write_svg(const struct ab_flame *flame, const char *title, FILE *out, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
