/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of the lab offer each other. */
#ifndef AB_LAB_LAB_H
#define AB_LAB_LAB_H

#include <anybpf/lab.h>
#include <pthread.h>
#include <sys/types.h>
#include "packages/packages.h"

struct ab_lab {
	char *cache;              /* directory */
	char *arch;               /* "amd64", "arm64" */
	char *guest_dir;          /* NULL: look beside the program */
	bool offline;
	uint64_t cache_limit;     /* bytes */
	void (*progress)(const char *what, uint64_t done, uint64_t total, void *ctx);
	void (*warn)(const char *message, void *ctx);
	void *ctx;
	struct archive_row *rows; /* the archive's packages; NULL until read */
	size_t row_count;
	char *row_text;           /* what rows point into */
	pthread_mutex_t lock;     /* of what guests find out: */
	const char *accelerator;  /* "kvm", "tcg"; NULL: not probed */
	const struct ab_image *doubtful; /* what KVM did not boot, and who knows whether anything does; NULL */
	bool probe_again;         /* nothing did */
	char *busybox;            /* path; NULL: not looked for */
	int busybox_hold;         /* see ab_cache_hold(); -1: it is not in the cache */
};

void ab_lab_warn(struct ab_lab *lab, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint64_t ab_lab_now_ns(void);
/* Whether guests are of this machine's architecture. */
bool ab_lab_is_native(const struct ab_lab *lab);
/* "CACHE/a/b" as a new string; makes the directories above the last part. */
int ab_lab_path(struct ab_lab *lab, char **ret_path, struct ab_error *err, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A new folder in the cache, for what gets its name when it is complete. */
int ab_lab_temporary(struct ab_lab *lab, char **ret_dir, struct ab_error *err);
/* A program or data file of the lab's own: in guest_dir, beside the program that runs, or in its ../libexec/anybpf. */
int ab_lab_find_own(struct ab_lab *lab, const char *name, char **ret_path, struct ab_error *err);

/* ---- archive.c: Debian's archive through apt ---- */

/* A package that the lab may want. Strings belong to lab->row_text. */
struct archive_row {
	const char *package, *version, *arch, *suite, *uri, *sha256, *depends;
	uint64_t size;
};

/* Reads the lists, or what was remembered of them. */
int ab_archive_read(struct ab_lab *lab, struct ab_error *err);
/* The newest package of that name for the lab's architecture; `version` NULL: any. */
const struct archive_row *ab_archive_find(struct ab_lab *lab, const char *package, const char *version);
/* Path of the .deb in the cache, downloaded and checked when it was not there, and a hold of it (ab_cache_hold). */
int ab_archive_fetch(struct ab_lab *lab, const struct archive_row *row, char **ret_path, int *ret_hold, struct ab_error *err);
bool ab_archive_has(struct ab_lab *lab, const struct archive_row *row);

/* ---- cache.c ---- */

/*
 * Notes that an entry of the cache is used, and keeps it until the descriptor that is returned is closed. `path` is its file, or
 * the file "about" in its folder. -ENOENT: it is not there (any more).
 */
int ab_cache_hold(const char *path);
/* Removes what was not used for longest until the cache is within its limit. */
void ab_cache_trim(struct ab_lab *lab);

/* ---- select.c ---- */

/* Debian's order of versions: < 0, 0, > 0. */
int ab_version_compare(const char *a, const char *b);
/* Packages that make up a kernel, image first; at most 3. */
size_t ab_kernel_parts(struct ab_lab *lab, const struct ab_lab_kernel *kernel, const struct archive_row *ret_rows[3]);

/* ---- package.c: unpacking ---- */

struct unpack {
	const char *dir;            /* where kernel, modules.builtin and modules/ go */
	const char *const *modules; /* wanted names, NULL-terminated */
	const char *file;           /* a file by the end of its path, kept under its last part; NULL: none */
	char *kernel;               /* path of the kernel found, malloced */
	char *release;              /* from its name */
	size_t module_count;        /* modules written */
};

int ab_package_unpack(const char *path, struct unpack *unpack, struct ab_error *err);
/*
 * Writes what QEMU boots fastest from what distributions ship: the ELF inside a bzImage, the Image inside an EFI zboot file.
 * `ret_arch` is "amd64" or "arm64". Errors: -EBADMSG/FORMAT.
 */
int ab_kernel_convert(const char *path, const char *to, const char **ret_arch, struct ab_error *err);

/* ---- image.c ---- */

struct ab_image {
	char *name;
	char *hash;
	char *broken;       /* why it cannot be booted; NULL: it can, as far as is known */
	char *kernel;       /* path */
	char *modules;      /* directory that holds .ko files anywhere below; NULL: none */
	char *builtin;      /* modules.builtin; NULL: unknown */
	char **packages;    /* .deb files that more modules can be had from; NULL-terminated */
	int holds[4];       /* of its folder and packages in the cache */
	size_t hold_count;
	const char *arch;
};

/* Modules that guests need or that tests commonly ask for: unpacked with the kernel. */
extern const char *const ab_lab_modules[];

/* ---- modules.c ---- */

struct module {
	char *name, *data;
	size_t size;
};

struct module_list {
	struct module *items;
	size_t count;
};

void ab_modules_free(struct module_list *list);
/* Changes when a module in the folder does. */
uint64_t ab_modules_stamp(const char *dir);
enum module_need {
	MODULE_IF_UNPACKED, /* what is not there is left out: it may be built in without saying so */
	MODULE_IF_ANY,      /* packages are searched; what they do not have is left out */
	MODULE_REQUIRED,
};

/* Finds modules and what they depend on, in the order of loading, inflated. Names that are built in are left out. */
int ab_modules_find(struct ab_lab *lab, const struct ab_image *image, const char *const *names, enum module_need need,
		    struct module_list *list, struct ab_error *err);

/* ---- initramfs.c: newc cpio ---- */

struct cpio {
	struct text text;
	unsigned inode;
	struct strmap dirs;
};

int ab_cpio_dir(struct cpio *cpio, const char *path);
/* Makes the directories above. */
int ab_cpio_file(struct cpio *cpio, const char *path, unsigned mode, const void *data, size_t size);
int ab_cpio_link(struct cpio *cpio, const char *path, const char *target);
int ab_cpio_node(struct cpio *cpio, const char *path, unsigned mode, unsigned major, unsigned minor);
int ab_cpio_end(struct cpio *cpio, struct ab_error *err);
void ab_cpio_clear(struct cpio *cpio);

/* ---- guest_image.c: what a guest is made of ---- */

/* The initramfs for a guest, with a manifest whose last word is `token`. */
int ab_guest_initramfs(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts, const char *token,
		       struct cpio *cpio, struct ab_error *err);

/* ---- said.c: what a guest said ---- */

struct guest_said {
	struct ab_guest_result *result; /* that of the guest: what its frames say goes there */
	char token[33];
	bool token_seen;                /* in the last frame */
	bool garbage, failed;           /* no use in listening further: it talks nonsense; memory ran out */
	struct text frames;             /* received and not yet handled */
	struct text notes;
	struct text *outputs;           /* out, err of each program */
};

/* The next bytes from the port. */
void ab_said_take(struct guest_said *said, const void *data, size_t size);
/* Moves notes and outputs into the result. */
int ab_said_finish(struct guest_said *said, struct ab_error *err);
void ab_said_clear(struct guest_said *said);
/* The first line of a text, without control characters. */
void ab_said_copy_line(char *to, size_t cap, const char *from);
/* What the kernel's last words were, as far as one line says it. */
void ab_said_last(const char *console, char *line, size_t cap);

/* ---- guest.c ---- */

/* The QEMU that was asked for, else the one for the lab's architecture. */
int ab_guest_find_qemu(struct ab_lab *lab, const char *wanted, char **ret_path, struct ab_error *err);

/* ---- accel.c ---- */

/* Whether KVM runs guests here is found by booting one, once for each boot of this machine. */
const char *ab_guest_accelerator(struct ab_lab *lab, const struct ab_image *image, const char *qemu);
/* Told of every guest: whether its kernel booted. */
void ab_guest_learn(struct ab_lab *lab, const struct ab_image *image, bool booted);
/* ab_guest_run() with the accelerator given. */
int ab_guest_run_with(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts, const char *accelerator,
		      struct ab_guest_result *ret_result, struct ab_error *err);

#endif
