/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the lab and the hub share: packages and compressed data by libarchive, what a kernel image holds inside, programs
 * that are run, hashes, directories, TOML. Everything read here may come from anywhere; names in packages are never used as paths.
 */
#ifndef AB_PACKAGES_PACKAGES_H
#define AB_PACKAGES_PACKAGES_H

#include <archive.h>
#include <archive_entry.h>
#include <sys/types.h>
#include "base/base.h"

/* ---- command.c: programs that are used; they end when the caller does ---- */

struct command_opts {
	const char *const *env;     /* NAME=VALUE to add, NULL-terminated */
	/* Called every 100 ms while it runs. */
	void (*tick)(void *ctx);
	void *ctx;
};

/* In a child: dies with the parent. `parent` is the parent's pid, asked before the fork. */
void ab_command_bind(pid_t parent);
/*
 * Runs a program to its end; its output goes to *ret_out (NULL: nowhere), what it said on standard error to *ret_err.
 * Returns the exit status (128 + signal), or a negative errno: -ENOENT/NOT_FOUND when there is no such program.
 */
int ab_command_run(const char *const *argv, const struct command_opts *opts, char **ret_out, char **ret_err,
		   struct ab_error *err);
/* Whether a program is on the PATH; *ret_path is the caller's. */
int ab_command_find(const char *name, char **ret_path, struct ab_error *err);

/* ---- files.c ---- */

/* SHA-256 in hexadecimal. */
#define HASH_TEXT 65
void ab_hash_text(const void *data, size_t size, char ret_text[HASH_TEXT]);
int ab_hash_file(const char *path, char ret_text[HASH_TEXT], struct ab_error *err);
/* Makes a directory and those above it. */
int ab_mkdirs(const char *path, struct ab_error *err);
int ab_remove_tree(const char *path);

/* ---- unpack.c: libarchive ---- */

/* Reads .deb (ar), tar, and cpio with what compresses them. NULL: memory ran out. */
struct archive *ab_archive_new(void);
/* The archive that the entry at hand of `outer` is: the data.tar of a .deb. Lives no longer than that entry. */
int ab_archive_open_entry(struct archive *outer, const char *path, struct archive **ret_inner, struct ab_error *err);
int ab_archive_fail(struct archive *a, const char *path, struct ab_error *err);
/* Appends the entry's content; errors name `path` and the entry: -EFBIG/LIMIT beyond `limit`, -EBADMSG/FORMAT. */
int ab_archive_read_entry(struct archive *a, struct archive_entry *entry, const char *path, size_t limit, struct text *t,
			  struct ab_error *err);

/* Whether data begins as gzip, xz, zstd, lz4, lzma, bzip2 or lzop does. */
bool ab_is_compressed(const void *data, size_t size);
/* Inflates by what the data says of itself; what is not compressed is copied. */
int ab_inflate(const void *data, size_t size, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err);
/* Reads a file that may be compressed. */
int ab_inflate_file(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err);

/* ---- kernel.c: kernel images ---- */

#define KERNEL_LIMIT (512u << 20)

/*
 * Unpacks the kernel that a bzImage (an ELF file) or an EFI zboot image (an Image) holds. -ENOENT: it is neither; err
 * is left alone. Errors: -EBADMSG/FORMAT, -EFBIG/LIMIT.
 */
int ab_kernel_unpack(const char *data, size_t size, char **ret_data, size_t *ret_size, struct ab_error *err);
/* Debian's word for the architecture of an ELF file, bzImage or arm64 Image, of those that the lab boots; else NULL. */
const char *ab_kernel_arch(const char *data, size_t size);

/* ---- stanza.c: control files of Debian's form ---- */

/* The value of a field in a stanza that ends at `end`; fields begin lines. */
bool ab_stanza_field(const char *stanza, const char *end, const char *name, const char **ret, size_t *ret_size);

#endif
