/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of the hub offer each other. */
#ifndef AB_HUB_HUB_H
#define AB_HUB_HUB_H

#include <anybpf/hub.h>
#include "packages/packages.h"

#define BTF_LIMIT (256u << 20)      /* src/btf's own */
#define DWARF_LIMIT (8ull << 30)    /* a file with DWARF */
#define UNPACK_LIMIT (32ull << 30)  /* what a package unpacks to */
#define MEMBER_LIMIT 1000000        /* members of a package */
#define NESTING_LIMIT 4             /* one compressed thing inside another */

/* ---- identify.c: whose types they are ---- */

/* What is known of a kernel, filled as it is found; an empty string is unknown. */
struct identity {
	char release[128];
	char arch[16];
	char distribution[64];
	char flavour[64];
	char module[64];
	uint8_t build_id[20];
	uint8_t build_id_size;
};

/* The word that uname -m has for an ELF e_machine, or for a distribution's or directory's own word; NULL: none. */
const char *ab_arch_of_machine(unsigned machine, bool little_endian, bool is_64);
const char *ab_arch_of_word(const char *word);
/* Copies what fits; a string with other characters than printable ASCII or with '/' is refused. */
bool ab_identity_set(char *field, size_t cap, const char *value, size_t n);
#define identity_set(field, value) ab_identity_set(field, sizeof(field), value, strlen(value))
/* "Linux version 6.1.0-50-amd64 (debian-kernel@…) (gcc …) #1 SMP …": release and distribution. */
void ab_identity_banner(struct identity *id, const char *banner);
/* A package's own words for who made it: "CentOS", "Fedora Project". */
void ab_identity_vendor(struct identity *id, const char *vendor);
/* BTFHub's tree: DISTRIBUTION/VERSION/ARCH/RELEASE.btf.tar.xz, or without ARCH; fills what is unknown yet. */
void ab_identity_path(struct identity *id, const char *path);
/* Fills what follows from the rest: flavour and distribution from the release. */
void ab_identity_finish(struct identity *id);
struct ab_kernel ab_identity_kernel(const struct identity *id);

/* ---- image.c: kernel images and modules ---- */

struct image {
	struct identity id;
	const char *btf;        /* in the data that was scanned or in `inner`; NULL: none */
	size_t btf_size;
	char *inner;            /* what the image held, inflated; NULL: nothing */
	size_t inner_size;
	bool is_module;
	bool is_elf;
	bool has_dwarf;
};

/*
 * Looks for types in a file's content: raw BTF, ELF, any image, compressed in any way. `image->id` may have been filled
 * before with what is known from elsewhere; content wins. Errors: -EBADMSG/FORMAT, -EFBIG/LIMIT. No BTF is no error.
 */
int ab_image_scan(const char *data, size_t size, struct image *image, struct ab_error *err);
void ab_image_clear(struct image *image);
/* Whether data is raw BTF, of either byte order, whose header makes sense within `size`; its whole length. */
bool ab_btf_length(const char *data, size_t size, size_t *ret_length);

/* ---- dwarf.c ---- */

/*
 * Makes BTF of an ELF file's DWARF by pahole, after making names that differ between units for no reason the same in a
 * copy (docs/format-pack.md says why). `may_change`: the file is a copy already. Errors: -ENOENT/NOT_FOUND no pahole;
 * -EBADMSG/FORMAT.
 */
int ab_dwarf_convert(const char *path, bool may_change, const char *tmp_dir, char **ret_btf, size_t *ret_size,
		     struct ab_error *err);
/* Makes the number in names such as __UNIQUE_ID_rh_kabi_hide42 a 0 in a string table; returns how many were others. */
size_t ab_dwarf_heal_names(char *strings, size_t size);
/* A new file for pahole in the directory; the caller closes and unlinks it. */
int ab_temporary(const char *tmp_dir, char **ret_path, int *ret_fd, struct ab_error *err);

/* Appends what is in `from` behind `offset` to `to`. A negative errno. */
int ab_copy_file(int from, off_t offset, int to);

/* ---- rpm.c ---- */

struct rpm {
	char name[128], version[64], release[128], arch[32];
	char vendor[256], distribution[256];
	size_t signature_start, signature_size; /* the signature header's index and store */
	size_t header_start, header_size;       /* the main header, with its magic */
};

/* Reads the headers at the start of a package. -EBADMSG/FORMAT: damaged or cut off. */
int ab_rpm_read(const char *data, size_t size, struct rpm *rpm, struct ab_error *err);
/* A tag's value in a header (its magic included), with its bounds checked: false when it is not there. */
bool ab_rpm_tag(const char *header, size_t size, uint32_t tag, uint32_t *ret_type, uint32_t *ret_count,
		const char **ret, size_t *ret_size);

/* ---- import.c ---- */

struct import;

struct importing {
	struct import *import;  /* shared by all threads */
	const char *input;      /* path */
	bool named;             /* not found below a directory */
	size_t found;
};

/* Gives what was scanned to the caller of the import. `member` may be NULL. */
int ab_import_found(struct importing *at, const struct identity *id, const void *btf, size_t size, const char *member,
		    bool from_dwarf, struct ab_error *err);
int ab_import_dwarf(struct importing *at, const struct identity *id, const char *path, bool may_change,
		    const char *member, struct ab_error *err);
const struct ab_import_opts *ab_import_opts(const struct importing *at);

/* ---- package.c ---- */

/* Packages and tar files. -ENOENT without err filled: the file is none. */
int ab_import_package(struct importing *at, struct ab_error *err);

/* ---- live.c ---- */

#define LIVE_DIR "/sys/kernel/btf"
int ab_import_live(struct importing *at, struct ab_error *err);

#endif
