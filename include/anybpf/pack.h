/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Packs: the types of many kernels in one file (docs/format-pack.md).
 *
 *	ab_pack_open("kernels.pack", &pack, &err);
 *	long k = ab_pack_find(pack, "5.10.0-8-amd64", NULL, &err);
 *	ab_pack_extract(pack, k, &btf, &size, &err);
 *
 * Every distinct definition is kept once; a kernel is the list of its definitions. What comes out is the kernel's BTF up to the
 * numbering of types, without the duplicates that a failed deduplication left in it (docs/format-pack.md says which).
 *
 * Threads: a pack is immutable once open; any thread may read it. Its file may be replaced meanwhile, the open pack stays
 * what it was.
 */
#ifndef ANYBPF_PACK_H
#define ANYBPF_PACK_H

#include <stdbool.h>
#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_pack;

/* Whose types they are. Two entries are the same kernel when all of these are equal; adding one again changes nothing. */
struct ab_kernel {
	const char *release;      /* as uname -r says, "5.10.0-8-amd64"; never empty */
	const char *arch;         /* as uname -m says, "x86_64", "aarch64" */
	const char *distribution; /* "debian", "centos-8", "" if unknown */
	const char *flavour;      /* "cloud", "rt", ""; what tells two builds of one release apart */
	const char *module;       /* module name; "" for the kernel itself */
	uint8_t build_id[20];     /* GNU build id, the first build_id_size bytes */
	uint8_t build_id_size;    /* 0: unknown */
};

/*
 * Below, equal to or above 0, in the order that packs have: distribution, architecture, flavour, version (5.9 before
 * 5.10), module, build id.
 */
AB_API int ab_kernel_compare(const struct ab_kernel *a, const struct ab_kernel *b);

/*
 * Whether what `kernel` names is the kernel that runs as `running`: 2: it is the same build; 1: release and architecture are
 * the same (or its own architecture is not known), and no build id speaks against it; 0: it is another.
 */
AB_API int ab_kernel_fits(const struct ab_kernel *kernel, const struct ab_kernel *running);

/* How a kernel is meant by a pattern (ab_pack_find()): 3: exactly, 2: as a whole by a glob, 1: in part, 0: not at all. */
AB_API int ab_kernel_match(const struct ab_kernel *kernel, const char *pattern);

/* Whether a file begins as packs do; false, too, for one that cannot be read. Opening it tells whether it is sound. */
AB_API bool ab_is_pack(const char *path);

/*
 * Opens a pack: maps it and verifies header and directory; the rest is verified when it is read. Errors: -ENOENT;
 * -EBADMSG/FORMAT with the offset.
 */
AB_API int ab_pack_open(const char *path, struct ab_pack **ret_pack, struct ab_error *err);
AB_API void ab_pack_close(struct ab_pack *pack);

/* Kernels and modules, ordered by distribution, architecture, flavour, version (5.9 before 5.10), module. */
AB_API size_t ab_pack_count(const struct ab_pack *pack);
/* The index-th, index < count; belongs to the pack. */
AB_API const struct ab_kernel *ab_pack_kernel(const struct ab_pack *pack, size_t index);

/*
 * The index of the one kernel that `pattern` names: a release, a glob of it, a unique part of it with whole numbers
 * ("5.10.0-8"), or DISTRIBUTION/RELEASE/ARCH (parts may be globs or left out at the end), or a build id in hexadecimal
 * digits. `arch` NULL: the machine's is preferred. Types of one kernel from two places may differ in that one has a build
 * id: that is meant. Errors: -ENOENT/NOT_FOUND with the nearest release; -ENOTUNIQ/USAGE with some of those that match.
 */
AB_API long ab_pack_find(const struct ab_pack *pack, const char *pattern, const char *arch, struct ab_error *err);

/*
 * Raw BTF of a kernel (for a module: split BTF against its kernel's extracted BTF); the caller frees it with free().
 * Errors: -EBADMSG/FORMAT.
 */
AB_API int ab_pack_extract(const struct ab_pack *pack, size_t index, void **ret_btf, size_t *ret_size, struct ab_error *err);

/* Reads and verifies every byte. Errors: -EBADMSG/FORMAT with the offset of what is damaged. */
AB_API int ab_pack_verify(const struct ab_pack *pack, struct ab_error *err);

/* What a pack is made of. */
struct ab_pack_stat {
	size_t kernels, modules;      /* entries for kernels, entries for their modules */
	size_t definitions, strings;  /* each counted once */
	size_t segments;              /* how often it was added to since everything was written as one */
	uint64_t size;                /* bytes of the file */
	uint64_t strings_size, heads_size, bodies_size, sets_size; /* of these, compressed (docs/format-pack.md) */
};
AB_API void ab_pack_stat(const struct ab_pack *pack, struct ab_pack_stat *ret_stat);
/* How many definitions a kernel or module has. */
AB_API size_t ab_pack_definitions(const struct ab_pack *pack, size_t index);

enum ab_pack_change { AB_PACK_ADDED = 1, AB_PACK_REMOVED, AB_PACK_CHANGED };
/*
 * Calls `fn` for each definition that two kernels do not share, ordered by kind and name: `kind` is "struct", "union",
 * "enum", "typedef", "int", "float", "func", "var", "section" or "fwd". Stops when fn returns non-zero and returns that.
 * Errors: -EBADMSG/FORMAT.
 */
AB_API int ab_pack_diff(const struct ab_pack *pack, size_t old_index, size_t new_index,
			int (*fn)(void *ctx, enum ab_pack_change change, const char *kind, const char *name), void *ctx,
			struct ab_error *err);

/* The same for kernels of two packs. */
AB_API int ab_pack_diff_packs(const struct ab_pack *old_pack, size_t old_index, const struct ab_pack *new_pack, size_t new_index,
			      int (*fn)(void *ctx, enum ab_pack_change change, const char *kind, const char *name),
			      void *ctx, struct ab_error *err);
/* A number for each kernel and module, by index, that is equal for equal types, whatever the pack. The caller frees. */
AB_API int ab_pack_digests(const struct ab_pack *pack, uint64_t **ret_digests, struct ab_error *err);

/*
 * Changing: a writer holds what is added in memory until ab_pack_writer_commit() puts a new file in the old one's place,
 * so kill -9 at any point leaves the old pack or the new one. One writer at a time: a second waits for the lock beside
 * the file. A writer may be used by one thread at a time; ab_pack_writer_add() calls may run in parallel.
 */
struct ab_pack_writer;
/* `path` need not exist. */
AB_API int ab_pack_writer_open(const char *path, struct ab_pack_writer **ret_writer, struct ab_error *err);
/*
 * Adds raw BTF, or that of an ELF file (its section .BTF). 1: added; 0: it was there already (same kernel, same types). A
 * module needs its kernel in the pack or in the writer, and `base_btf`, the BTF that its split BTF extends, else NULL.
 * Errors: -EBADMSG/FORMAT; -EEXIST/CONFLICT another BTF under the same key.
 */
AB_API int ab_pack_writer_add(struct ab_pack_writer *writer, const struct ab_kernel *kernel, const void *btf, size_t size,
			      const void *base_btf, size_t base_size, struct ab_error *err);
/* Adds all of another pack. */
AB_API int ab_pack_writer_merge(struct ab_pack_writer *writer, const struct ab_pack *other, struct ab_error *err);
/* Leaves a kernel, and its modules, of the pack as it was opened out. */
AB_API int ab_pack_writer_drop(struct ab_pack_writer *writer, const struct ab_kernel *kernel, struct ab_error *err);
AB_API int ab_pack_writer_commit(struct ab_pack_writer *writer, struct ab_error *err);
/* Frees the writer; what was not committed is forgotten. NULL is allowed. */
AB_API void ab_pack_writer_free(struct ab_pack_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
