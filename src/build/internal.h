/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the files of src/build/ share about artifacts. */
#ifndef AB_BUILD_INTERNAL_H
#define AB_BUILD_INTERNAL_H

#include <anybpf/build.h>
#include <base/base.h>

struct ab_artifact {
	void *object;
	size_t size;
	char *diagnostics;
	bool used_full_header;
};

/* What an object turned out to have, for warnings. */
struct object_facts {
	bool has_program, has_license;
};

/*
 * strip.c: an object without DWARF and what only DWARF needs, the same for the same input. What stays: programs and data,
 * maps, relocations of them, .BTF, .BTF.ext, license, version and the symbols that these use.
 */
int ab_strip(const void *object, size_t size, void **ret_object, size_t *ret_size, struct object_facts *ret_facts,
	     struct ab_error *err);

/*
 * normalize.c: puts BTF that LLVM wrote, and its .BTF.ext, into the one order that does not depend on the run, in place;
 * the BTF may become shorter. False when they are not as LLVM writes them; they are then of no use any more.
 */
bool ab_btf_normalize(void *btf, size_t *size, void *ext, size_t ext_size);

/* skeleton.c, library.c: the other forms of an artifact; `name` is the file's name without directory. */
int ab_skeleton_write(const void *object, size_t size, const char *name, struct text *out, struct ab_error *err);
int ab_library_write(const void *object, size_t size, void **ret_data, size_t *ret_size, struct ab_error *err);

#endif
