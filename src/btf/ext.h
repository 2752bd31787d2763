/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * .BTF.ext: what an object says about its instructions, section by section: which function they belong to, which source line
 * they come from, and which of them are CO-RE relocations (core.h).
 */
#ifndef AB_BTF_EXT_H
#define AB_BTF_EXT_H

#include <linux/bpf.h>
#include <btf/btf.h>

struct ab_ext_func {
	const char *section; /* ELF section, "kprobe/x" */
	uint32_t insn_off;   /* bytes from its start, a multiple of 8 */
	uint32_t type;       /* of the FUNC */
};

struct ab_ext_line {
	const char *section;
	uint32_t insn_off;
	uint32_t line, column;
	const char *file, *text; /* text: the line as written, with its indentation; "" if unknown */
};

struct ab_ext_relo {
	const char *section;
	struct bpf_core_relo relo; /* its insn_off counts from the section's start */
};

/* Records in the order of the file, which within a section is that of the instructions. Strings belong to the types. */
struct ab_ext {
	struct ab_ext_func *funcs;
	struct ab_ext_line *lines;
	struct ab_ext_relo *relos;
	size_t n_funcs, n_lines, n_relos;
};

/*
 * Reads .BTF.ext of either byte order; `btf` are the object's types. No bytes: no records. Errors: -EBADMSG/FORMAT what is
 * wrong: after success types, offsets and access strings are known to exist, though not that a relocation makes sense
 * (ab_core_parse()).
 */
int ab_ext_open(const void *data, size_t size, const struct ab_btf *btf, struct ab_ext **ret_ext, struct ab_error *err);
void ab_ext_close(struct ab_ext *ext);
/* The line that the instruction comes from: the last record at or before it in its section; NULL if there is none. */
const struct ab_ext_line *ab_ext_find_line(const struct ab_ext *ext, const char *section, uint32_t insn_off);

#endif
