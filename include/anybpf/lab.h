/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The lab: real kernels in QEMU, and BPF objects run on them. In libanybpf-lab, which libanybpf does not need.
 *
 *	ab_lab_open(NULL, &lab, &err);
 *	ab_lab_select(lab, "5.10,6.12-cloud,latest", &list, &err);	   kernels of Debian's archive
 *	ab_image_fetch(lab, ab_kernel_list_get(list, 0), &image, &err);	   downloaded, checked, unpacked; at once when cached
 *	ab_guest_run(lab, image, &opts, &result, &err);		   boots it, does the steps, ends it
 *
 * or, all of that for objects with expectation files (docs/format-test.md):
 *
 *	ab_test_run(lab, &opts, &report, &err);
 *	ab_report_write_html(report, out, &err);
 *
 * Kernels are found through the machine's own apt configuration: apt checks signatures and hashes with its keyrings, and
 * other suites are looked for beside the configured ones. Everything that was fetched is kept by content hash in the cache.
 *
 * Threads: a lab is for one thread at a time, but for ab_guest_run(), which any number of threads may call with it.
 */
#ifndef ANYBPF_LAB_H
#define ANYBPF_LAB_H

#include <stdbool.h>
#include <stdio.h>
#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_lab;

struct ab_lab_opts {
	size_t sz;
	const char *cache_dir;  /* NULL: $XDG_CACHE_HOME/anybpf/lab, else ~/.cache/anybpf/lab */
	const char *arch;       /* Debian's word: "amd64" or "arm64"; NULL: this machine's */
	/* Where anybpf-lab-init and anybpf-static are, with -ARCH behind their names for another architecture than this
	 * machine's. NULL: beside the running program. */
	const char *guest_dir;
	const char *accelerator; /* "kvm" or "tcg"; NULL: KVM if a guest turns out to run by it */
	bool offline;           /* what is not in the cache is an error */
	/* Bytes of packages, unpacked kernels and verdicts that may stay in the cache; 0: 8 GiB. Whenever something was added,
	 * what was not used for longest goes. */
	uint64_t cache_limit;
	/* Told from time to time how far a download is; `total` may be 0 for unknown. NULL: silence. */
	void (*progress)(const char *what, uint64_t done, uint64_t total, void *ctx);
	void (*warn)(const char *message, void *ctx);
	void *ctx;
	size_t :0;
};

/* Errors: -EINVAL/USAGE unknown architecture; -EACCES/PERMISSION and the like for the cache directory. */
AB_API int ab_lab_open(const struct ab_lab_opts *opts, struct ab_lab **ret_lab, struct ab_error *err);
AB_API void ab_lab_close(struct ab_lab *lab);
/* Debian's word for the guests' architecture. */
AB_API const char *ab_lab_arch(const struct ab_lab *lab);

/*
 * Removes what was not used for longest until at most `limit` bytes are left, but for what images and labs use, in this process
 * and others. Tells how many bytes are left and were removed; either may be NULL. Errors: -ENOMEM.
 */
AB_API int ab_lab_clean(struct ab_lab *lab, uint64_t limit, uint64_t *ret_kept, uint64_t *ret_removed, struct ab_error *err);

/* Path of the anybpf that guests run: anybpf-static, for the guests' architecture. The caller frees it. -ENOENT/NOT_FOUND. */
AB_API int ab_lab_guest_program(struct ab_lab *lab, char **ret_path, struct ab_error *err);

/* ---- kernels of the archive ---- */

struct ab_lab_kernel {
	const char *name;     /* "6.1.0-56-amd64", as uname -r says */
	const char *version;  /* of the package: "6.1.192-2" */
	const char *series;   /* "6.1" */
	const char *flavour;  /* "" for the plain one, "cloud", "rt"… */
	const char *arch;     /* "amd64" */
	const char *suite;    /* "bookworm-security" */
	uint64_t size;        /* bytes to download */
	bool fetched;         /* nothing is left to download */
};

struct ab_kernel_list;

/*
 * Brings the lists of the archive up to date unless they are younger than `max_age` seconds. A suite that does not exist
 * is left out. Errors: -ENOENT/NOT_FOUND no apt, or no Debian archive in its configuration; -EIO/IO nothing could be reached.
 */
AB_API int ab_lab_update(struct ab_lab *lab, unsigned max_age, struct ab_error *err);

/*
 * Finds kernels by a comma-separated list of: a series or version ("6.1", "6.12.107": the newest such), with a flavour
 * ("6.12-cloud"), a whole name ("7.2.13+deb14-amd64"), "oldest", "latest", "all" (the newest of each series), "every"
 * (of every flavour); each of these with "-FLAVOUR" too. Old lists are updated first. No kernel comes twice. Errors:
 * -ENOENT/NOT_FOUND (with what there is).
 */
AB_API int ab_lab_select(struct ab_lab *lab, const char *spec, struct ab_kernel_list **ret_list, struct ab_error *err);
AB_API size_t ab_kernel_list_count(const struct ab_kernel_list *list);
/* Belongs to the list. */
AB_API const struct ab_lab_kernel *ab_kernel_list_get(const struct ab_kernel_list *list, size_t index);
AB_API void ab_kernel_list_free(struct ab_kernel_list *list);

/* ---- images: a kernel that can be booted ---- */

struct ab_image;

/*
 * Downloads, checks and unpacks a kernel, unless the cache has it. A download that was cut goes on where it ended.
 * Errors: -EIO/IO; -EBADMSG/FORMAT hash or package damaged; -ENOENT/NOT_FOUND offline and not in the cache.
 */
AB_API int ab_image_fetch(struct ab_lab *lab, const struct ab_lab_kernel *kernel, struct ab_image **ret_image,
			  struct ab_error *err);

/*
 * Opens a kernel that the user has: a bzImage, Image or vmlinux; a .deb or .rpm file; a kernel build tree; each optionally with
 * ":MODULES-DIR" behind it (lib/modules/VERSION or a folder of .ko files).
 * Errors: -ENOENT/NOT_FOUND; -EBADMSG/FORMAT not a kernel; -EOPNOTSUPP/UNSUPPORTED for another architecture than the lab's.
 */
AB_API int ab_image_open(struct ab_lab *lab, const char *path, struct ab_image **ret_image, struct ab_error *err);

/*
 * Stands for a kernel that could not be had: guests of it fail with `reason`, so that a test of many kernels has a verdict for
 * this one too.
 */
AB_API int ab_image_broken(const char *name, const char *reason, struct ab_image **ret_image, struct ab_error *err);
AB_API const char *ab_image_name(const struct ab_image *image);
/* What identifies its content, in hexadecimal; "" for a broken one. */
AB_API const char *ab_image_hash(const struct ab_image *image);
/* The file that QEMU boots; "" for a broken one. */
AB_API const char *ab_image_path(const struct ab_image *image);
AB_API void ab_image_free(struct ab_image *image);

/* ---- guests ---- */

enum ab_step_kind {
	AB_STEP_RUN,     /* start program `id` with argv and wait until it ends, `ms` at most */
	AB_STEP_START,   /* start program `id` with argv and go on */
	AB_STEP_AWAIT,   /* until the output of `id` contains `text`, or it ended, or `ms` passed */
	AB_STEP_SETTLE,  /* until `id` ended or `ms` passed */
	/* Interrupt `id`, kill it after `ms`, and what it left in the background at once. A guest keeps 64 programs that were not
	 * stopped, ended or not. */
	AB_STEP_STOP,
	AB_STEP_SHELL,   /* argv on the terminal, until the user ends it */
};

struct ab_step {
	enum ab_step_kind kind;
	int id;                   /* 1 to 65535 */
	unsigned ms;
	const char *text;
	const char *const *argv;  /* NULL-terminated; argv[0] is a path in the guest */
};

struct ab_guest_file {
	const char *path;       /* in the guest, absolute */
	const char *host_path;  /* NULL: `data` */
	const void *data;
	size_t size;
	unsigned mode;          /* 0: 0644 */
};

struct ab_guest_opts {
	size_t sz;
	const struct ab_guest_file *files;
	size_t file_count;
	const struct ab_step *steps;
	size_t step_count;
	const char *const *modules; /* names, NULL-terminated, beside those that the lab itself needs */
	bool lenient;               /* modules that the kernel does not have are left out, instead of an error */
	const char *const *hide;    /* "bpf", "btf", "ringbuf", "tracefs", NULL-terminated: look like a kernel without it */
	const char *share;          /* a host directory, read-only at /host: mounted by 9p if the kernel has it, else copied */
	bool tools;                 /* a shell and the usual commands in /bin, from busybox */
	unsigned timeout_ms;        /* for all of it; 0: 60 s, with an AB_STEP_SHELL to the first process only */
	unsigned memory_mb;         /* 0: 512 */
	unsigned cpus;              /* 0: 1 */
	const char *qemu;           /* NULL: qemu-system-ARCH from PATH */
	size_t :0;
};

enum ab_guest_state {
	AB_GUEST_DONE,      /* did all steps and said so */
	AB_GUEST_CRASHED,   /* the kernel panicked or the guest reset itself */
	AB_GUEST_TIMEOUT,   /* ran out of time, and was killed */
	AB_GUEST_UNBOOTABLE /* never reached the lab's first process */
};

struct ab_guest_program {
	int id;
	bool ended;         /* status is valid */
	bool killed;        /* by its time limit */
	int status;         /* exit status; 128 + signal */
	char *out, *err;    /* what it wrote, NUL-terminated */
	size_t out_size, err_size;
};

struct ab_guest_result {
	enum ab_guest_state state;
	char reason[256];          /* one line; "" when done */
	char release[65];          /* what the guest's kernel calls itself; "" when it did not boot */
	uint64_t boot_ns;          /* guest's time from its kernel's start to the lab's first process; 0: not reached */
	uint64_t ready_ns;         /* host's time from starting QEMU to the same */
	uint64_t total_ns;         /* host's time until QEMU ended */
	struct ab_guest_program *programs;
	size_t program_count;
	char *notes;               /* lines; what went wrong and was not fatal */
	char *console;             /* what the kernel wrote */
};

/*
 * Boots an image, does the steps in order and ends the guest. 0 whenever QEMU could be started: what became of the guest is
 * in the result, which ab_guest_result_clear() frees. Nothing is left running, also when the calling process is killed.
 * Errors: -ENOENT/NOT_FOUND no QEMU, file, init; -ENOMEM.
 */
AB_API int ab_guest_run(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts,
			struct ab_guest_result *ret_result, struct ab_error *err);
AB_API void ab_guest_result_clear(struct ab_guest_result *result);
/* The program of that id, or NULL. */
AB_API const struct ab_guest_program *ab_guest_program(const struct ab_guest_result *result, int id);
/* "kvm" where it was found to run guests on this machine, else "tcg"; "" before the first guest. */
AB_API const char *ab_lab_accelerator(struct ab_lab *lab);

/* ---- tests: objects on kernels, judged by expectation files (docs/format-test.md) ---- */

enum ab_verdict {
	AB_VERDICT_PASS,
	AB_VERDICT_FAIL,
	AB_VERDICT_SKIP,  /* the expectation file says why, and the failure is there */
};

struct ab_test_result;

struct ab_test_opts {
	size_t sz;
	const char *const *files;    /* BPF objects, NULL-terminated; beside each may be a NAME.test.toml */
	const char *const *sources;  /* what each was made of, which expectation files lie beside; NULL: `files` */
	struct ab_image *const *images;
	size_t image_count;
	const char *const *hide;     /* as in ab_guest_opts */
	unsigned jobs;               /* guests at a time; 0: as many as there are CPUs */
	unsigned timeout_ms;         /* a guest's; 0: 60 s, and more with many objects */
	unsigned memory_mb;
	bool cached;                 /* use verdicts of the same object, kernel, expectations and anybpf */
	const char *log_dir;         /* where consoles of guests that failed are kept; NULL: "log" in the cache */
	/* Told of each verdict as it comes, from one thread at a time; NULL: silence. */
	void (*verdict)(const struct ab_test_result *result, void *ctx);
	void *ctx;
	const char *qemu;
	size_t :0;
};

struct ab_test_program {
	const char *name, *section;
	const char *state;           /* "attached", "loaded", "skipped", "failed", "open" */
	const char *reason;
};

struct ab_test_result {
	const char *file;            /* as given */
	const char *name;            /* of the tool */
	const char *kernel;          /* name of the image */
	enum ab_verdict verdict;
	bool from_cache;
	const char *reason;          /* one line; "" for a plain pass */
	const char *detail;          /* the verifier's log, what was seen instead of what was expected…; "" */
	const struct ab_test_program *programs;
	size_t program_count;
	uint64_t events, lost;
	uint64_t duration_ns;        /* in the guest */
};

struct ab_report;

/*
 * Runs every object on every image: one guest for an image does all objects one after the other, and images run in parallel.
 * Objects after one that crashed their guest get a guest of their own. 0 whenever there is a report, whatever it says.
 * Errors: what is wrong with files, expectation files and QEMU before anything runs.
 */
AB_API int ab_test_run(struct ab_lab *lab, const struct ab_test_opts *opts, struct ab_report **ret_report, struct ab_error *err);
AB_API size_t ab_report_count(const struct ab_report *report);
AB_API const struct ab_test_result *ab_report_get(const struct ab_report *report, size_t index);
/* How many have that verdict. */
AB_API size_t ab_report_verdicts(const struct ab_report *report, enum ab_verdict verdict);
AB_API int ab_report_write_json(const struct ab_report *report, FILE *out, struct ab_error *err);
AB_API int ab_report_write_junit(const struct ab_report *report, FILE *out, struct ab_error *err);
/* One page without references to anything outside it: tools by kernels. */
AB_API int ab_report_write_html(const struct ab_report *report, FILE *out, struct ab_error *err);
AB_API void ab_report_free(struct ab_report *report);

#ifdef __cplusplus
}
#endif
#endif
