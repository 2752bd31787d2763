/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Libraries made by `anybpf build -o NAME.so`: one file that is libanybpf's run part and a BPF object in it.
 *
 * Such a library exports what object.h, event.h, map.h, format.h, symbol.h and feature.h declare, and the two functions
 * below that reach its own object. It needs glibc alone: libbpf, libelf and zlib are inside. A program links against it or opens
 * it with dlopen(), and several of them do not disturb each other.
 *
 *	void *lib = dlopen("./tool.so", RTLD_NOW | RTLD_LOCAL);
 *	int (*open)(const struct ab_object_opts *, struct ab_object **, struct ab_error *) = dlsym(lib, "ab_library_open");
 *	open(NULL, &object, &err);
 *
 * A tool that has libanybpf of its own need not execute anything of the library: ab_object_open_file("tool.so", …)
 * takes the object out of it. The format: docs/format-so.md.
 *
 * Threads: any.
 */
#ifndef ANYBPF_LIBRARY_H
#define ANYBPF_LIBRARY_H

#include <anybpf/object.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The BPF ELF object that the calling library carries. The bytes live as long as the library is loaded. In a made library
 * only. Errors: -ENOENT/NOT_FOUND the library's file is no longer where it was loaded from; -EBADMSG/FORMAT it is damaged.
 */
AB_API int ab_library_object(const void **ret_data, size_t *ret_size, struct ab_error *err);

/* Opens that object, as ab_object_open_mem() does; it is named after the library's file. In a made library only. */
AB_API int ab_library_open(const struct ab_object_opts *opts, struct ab_object **ret_object, struct ab_error *err);

/*
 * A library (or other 64-bit ELF file of this machine's byte order) with one section more, which is not loaded: what is to travel
 * with it. The caller frees the result with free(). In libanybpf only. Errors: -EBADMSG/FORMAT not such a file, or damaged.
 */
AB_API int ab_library_add_section(const void *library, size_t size, const char *name, const void *content, size_t content_size,
				  void **ret_data, size_t *ret_size, struct ab_error *err);

/*
 * The newest glibc release that a library (or any other dynamic ELF file) in memory asks for, "2.17", or "" if it asks for
 * none. In libanybpf only. Errors: -EBADMSG/FORMAT not an ELF file, or damaged.
 */
AB_API int ab_library_glibc(const void *data, size_t size, char ret_version[16], struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
