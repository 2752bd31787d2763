/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Minimized BTF: of a kernel's types, the few that an object's CO-RE relocations look at; some hundred bytes to a few
 * thousand instead of megabytes. With it an object can be loaded on a kernel that has no BTF of its own, and it can carry it
 * along.
 *
 *	ab_min_new(object, size, &min, &err);
 *	ab_min_btf(min, kernel_btf, kernel_btf_size, &btf, &btf_size, &err);
 *
 * Threads: a struct ab_min is immutable; any thread may use it.
 */
#ifndef ANYBPF_MIN_H
#define ANYBPF_MIN_H

#include <stdbool.h>
#include <anybpf/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an object needs. */
struct ab_min;

/* Reads an object, or a library made of one; the bytes are copied. Errors: -EBADMSG/FORMAT. */
AB_API int ab_min_new(const void *object, size_t size, struct ab_min **ret_min, struct ab_error *err);
AB_API void ab_min_free(struct ab_min *min);
/* Whether it has relocations that ask for a kernel's types; without, it needs none of this. */
AB_API bool ab_min_needed(const struct ab_min *min);

/*
 * Raw BTF of what the object needs of a kernel's raw BTF, for free(). Every relocation finds in it what it finds in the whole,
 * but for type ids. Errors: -EBADMSG/FORMAT.
 */
AB_API int ab_min_btf(const struct ab_min *min, const void *btf, size_t size, void **ret_btf, size_t *ret_size,
		      struct ab_error *err);

/*
 * The same out of a pack. Where the kernel has no type of a name, its modules in the pack are asked, as loaders ask those that
 * are loaded; what is taken from them stands beside the kernel's types as if it were the kernel's (docs/format-min.md).
 */
AB_API int ab_min_pack(const struct ab_min *min, const struct ab_pack *pack, size_t kernel, void **ret_btf, size_t *ret_size,
		       struct ab_error *err);

/* ---- objects that carry it (docs/format-min.md) ---- */

struct ab_min_entry {
	struct ab_kernel kernel; /* release, arch, build id */
	const void *btf;         /* minimized for this object */
	size_t size;
};

/*
 * The object with these types in it, for free(), in place of any that it carried before; equal BTFs are kept once. Several
 * entries of one release and architecture are told apart by build id. Errors: -EINVAL/USAGE no entries, or a library, which
 * cannot be changed; -EFBIG/LIMIT.
 */
AB_API int ab_min_embed(const struct ab_min *min, const struct ab_min_entry *entries, size_t n, void **ret_object,
			size_t *ret_size, struct ab_error *err);
/* The types that the object carries for a kernel, by build id, else by release and architecture. 1: found; 0: none.
 * Errors: -EBADMSG/FORMAT. */
AB_API int ab_min_embedded(const struct ab_min *min, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size,
			   struct ab_error *err);

/* ---- types for a kernel without its own ---- */

/* The running kernel: release, architecture and build id (/sys/kernel/notes); belongs to the library. */
AB_API const struct ab_kernel *ab_min_running(void);

/* A pack by its path; NULL: $ANYBPF_PACK, else kernels.pack in ~/.local/share/anybpf, else in /usr/share/anybpf. Errors:
 * those of ab_pack_open(); -ENOENT/NOT_FOUND there is none in these places. */
AB_API int ab_min_open_pack(const char *path, struct ab_pack **ret_pack, struct ab_error *err);

struct ab_min_opts {
	size_t sz;
	/* File with BTF, directory of files RELEASE.btf, pack, or kernel of the pack (ab_pack_find()); NULL: what is there. */
	const char *types;
	const char *pack;       /* NULL: as ab_min_open_pack() */
	const char *cache;      /* directory; NULL: $XDG_CACHE_HOME/anybpf/btf, ~/.cache/anybpf/btf; "": keep nothing */
	const struct ab_kernel *kernel; /* NULL: the running one */
	/*
	 * Asked at last, when the types that the object needs are nowhere else, as by asking a server; NULL: nobody is.
	 * 1: *ret_btf is minimized BTF for free(), which is kept in the cache, and *ret_source says where it came from;
	 * 0: it has none, and *ret_source says who was asked. An error ends the search.
	 */
	int (*fetch)(void *ctx, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size, char **ret_source,
		     struct ab_error *err);
	void *ctx;
	size_t :0;
};

/*
 * Finds what the object needs of a kernel's types: in itself, in the cache, in a pack, then by `fetch`; what comes from
 * these two goes into the cache. `*ret_btf` is minimized BTF for free(); `*ret_source`, for free(), says where it came
 * from: "the object", "'/usr/share/anybpf/kernels.pack' (debian/5.10.0-8-amd64/x86_64)". Errors: -ENOENT/NO_TYPES says
 * where was looked; -ENOENT/NOT_FOUND what was named does not exist; -EBADMSG/FORMAT.
 */
AB_API int ab_min_find(const struct ab_min *min, const struct ab_min_opts *opts, void **ret_btf, size_t *ret_size,
		       char **ret_source, struct ab_error *err);
/* The same for all of the kernel's types, from what is named or a pack. */
AB_API int ab_min_whole(const struct ab_min_opts *opts, void **ret_btf, size_t *ret_size, char **ret_source,
			struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
