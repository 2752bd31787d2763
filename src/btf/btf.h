/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types: BTF of a kernel or an object, validated once when it is opened and read in place afterwards.
 *
 * The layout is the kernel's (Documentation/bpf/btf.rst, include/uapi/linux/btf.h). After ab_btf_open_*() every id, string
 * offset and length in it is known to be in bounds, so readers need no checks of their own; reference chains are known to end.
 * A struct ab_btf is immutable: any thread may read it.
 */
#ifndef AB_BTF_H
#define AB_BTF_H

#include <linux/btf.h>
#include <base/base.h>

struct ab_btf;

/* Raw BTF, or an ELF file with a .BTF section, of either byte order. Limit: 256 MiB. -EBADMSG/FORMAT says what is wrong where. */
int ab_btf_open_file(const char *path, struct ab_btf **ret_btf, struct ab_error *err);
/* Raw BTF in memory, which is copied. */
int ab_btf_open_mem(const void *data, size_t size, struct ab_btf **ret_btf, struct ab_error *err);
/*
 * The same for split BTF, a module's, whose ids and strings go on where those of `base` end. It reads in the base, which
 * has to stay open; everything below holds for ids of both. -EBADMSG/FORMAT also where it belongs to another kernel.
 */
int ab_btf_open_split_mem(const void *data, size_t size, const struct ab_btf *base, struct ab_btf **ret_btf,
			  struct ab_error *err);
/* The running kernel's; -ENOENT/NO_TYPES where it has none. */
int ab_btf_open_kernel(struct ab_btf **ret_btf, struct ab_error *err);
/* The running kernel's types are not there: says so, and the way out. */
int ab_btf_fail_none(struct ab_error *err, const char *why);
void ab_btf_close(struct ab_btf *btf);

/* The bytes as they were opened, but in this machine's byte order. */
const void *ab_btf_raw(const struct ab_btf *btf, size_t *ret_size);
/* Number of types with void, so ids are 0 .. count - 1; id 0 is void. */
uint32_t ab_btf_count(const struct ab_btf *btf);
/* The first id that is its own: 1, or the count of the base. */
uint32_t ab_btf_start(const struct ab_btf *btf);
/* The type of an id, never NULL; void for ids out of range, and for kinds that are not known but whose length is. */
const struct btf_type *ab_btf_type(const struct ab_btf *btf, uint32_t id);
/* The string at an offset, never NULL; "" out of range. */
const char *ab_btf_str(const struct ab_btf *btf, uint32_t offset);
static inline const char *ab_btf_name(const struct ab_btf *btf, const struct btf_type *t)
{
	return ab_btf_str(btf, t->name_off);
}

/* Bytes behind struct btf_type, by kind: a fixed part and one for each of the vlen elements. */
struct kind_layout {
	uint8_t fixed, element;
};
#define KNOWN_KINDS (BTF_KIND_ENUM64 + 1)
extern const struct kind_layout ab_btf_layouts[KNOWN_KINDS];

/* With the bits that newer kernels (7.x) took for more kinds and longer lists; they were zero before. */
static inline uint32_t ab_btf_kind(const struct btf_type *t) { return t->info >> 24 & 0x7f; }
static inline uint32_t ab_btf_vlen(const struct btf_type *t) { return t->info & 0xffffff; }
static inline bool ab_btf_kflag(const struct btf_type *t) { return t->info >> 31; }
static inline const void *ab_btf_data(const struct btf_type *t) { return t + 1; }

/* A struct's or union's member i in bits: offset from the start, and bit-field width or 0. */
uint32_t ab_btf_member_offset(const struct btf_type *t, uint32_t i);
uint32_t ab_btf_member_bits(const struct btf_type *t, uint32_t i);

/*
 * The first type of that kind (BTF_KIND_*, or 0 for any, functions and variables last) and name, or 0. Tags are no names. Functions
 * and variables are found by a walk over all types, the others through an index, which the first search makes (2 ms for a kernel):
 * a process that forks workers searches once before.
 */
uint32_t ab_btf_find(const struct ab_btf *btf, const char *name, uint32_t kind);
/* A C type name, "struct task_struct", "enum x", "u32", "unsigned long", to an id, or 0. */
uint32_t ab_btf_find_c(const struct ab_btf *btf, const char *c_name);
/* Skips typedefs, const, volatile, restrict and type tags. */
uint32_t ab_btf_resolve(const struct ab_btf *btf, uint32_t id);
/* Skips const, volatile, restrict and type tags, not typedefs. */
uint32_t ab_btf_unqualify(const struct ab_btf *btf, uint32_t id);
/* sizeof, 0 for void, functions and forward declarations. */
size_t ab_btf_size(const struct ab_btf *btf, uint32_t id);
size_t ab_btf_align(const struct ab_btf *btf, uint32_t id);
/* 4 or 8, as the kernel's `long` says. */
size_t ab_btf_pointer_size(const struct ab_btf *btf);

/*
 * Whether two types are the same as C has it: kinds, names, sizes, offsets, enumerators, element counts, and the same of
 * what they are made of; names of parameters do not count. Other named types that they lead to are the same if they have
 * the same keyword and name, declared or defined; with `deep`, if they are defined the same too.
 */
bool ab_btf_equal(const struct ab_btf *a, uint32_t a_id, const struct ab_btf *b, uint32_t b_id, bool deep);

/*
 * The text after `prefix` of the decl tag on a type (component -1) or on one of its members or parameters, or NULL. Tags
 * of anybpf begin with "anybpf:", e.g. ab_btf_tag(btf, id, 2, "anybpf:as="). `nth` counts tags with that prefix.
 */
const char *ab_btf_tag(const struct ab_btf *btf, uint32_t id, int component, const char *prefix, unsigned nth);

/* Appends the type as C writes it without a declarator: "struct foo *", "char[16]", "unsigned long". */
void ab_btf_type_name(const struct ab_btf *btf, uint32_t id, struct text *out);

/* Appends the declaration of something of the type: "char comm[16]", "void (*fn)(struct sock *)". "": the type's name. */
void ab_btf_declaration(const struct ab_btf *btf, uint32_t id, const char *name, struct text *out);
/* The same with any C text in the name's place: "main(int argc)" for a function's result. */
void ab_btf_declaration_around(const struct ab_btf *btf, uint32_t id, const char *inner, struct text *out);

/* ---- C headers (header.c) ---- */

/*
 * Appends a vmlinux.h with what a source can reach: every type, enum and enumerator named by `names`, pointees where a
 * member of that name is named, forward declarations for the rest. `names` NULL: every type.
 * The rule and why it is sound: docs/header.md. Deterministic for the same BTF and set of names.
 */
int ab_btf_header(const struct ab_btf *btf, const struct strmap *names, struct text *out, struct ab_error *err);
/* The kernel type ("struct x", "y_t") nearest in spelling to a name, or NULL; for "did you mean". Caller frees. */
char *ab_btf_nearest(const struct ab_btf *btf, const char *name);

#endif
