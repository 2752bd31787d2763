/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The hub: types of kernels out of whatever holds them. In libanybpf-hub, which libanybpf does not need.
 *
 *	AB_OPTS(ab_import_opts, opts, .found = add_to_pack, .failed = say_why, .ctx = writer);
 *	ab_import(paths, count, &opts, &result, &err);
 *
 * An input is raw BTF, an ELF file with a .BTF section or with DWARF, a kernel image (bzImage, EFI zboot, arm64's
 * Image, each compressed or not), a kernel module, a .deb or .rpm package or tar file with any of these inside, a
 * directory with any of these below it (BTFHub's tree among them), or /sys/kernel/btf: the running kernel. What a file
 * is, is found from its content.
 *
 * Threads: inputs are read by several threads, which call back without waiting for each other.
 */
#ifndef ANYBPF_HUB_H
#define ANYBPF_HUB_H

#include <anybpf/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types that were found; everything is valid until the callback returns. */
struct ab_found {
	const struct ab_kernel *kernel;
	const void *btf;        /* raw BTF; of a module: split BTF */
	size_t size;
	const void *base;       /* of a module: its kernel's BTF; else NULL */
	size_t base_size;
	const char *input;      /* the file it was in */
	const char *member;     /* the member of the package it was in, else NULL */
	bool from_dwarf;        /* made by pahole */
};

struct ab_import_opts {
	size_t sz;
	/* What is said here wins over what is found in the input. NULL: what is found. */
	const char *release, *arch, *distribution, *flavour;
	/*
	 * Also the types of modules in packages, directories and the running kernel; their kernels have to be in this
	 * import too.
	 */
	bool modules;
	unsigned jobs;          /* threads; 0: as many as CPUs */
	const char *tmp_dir;    /* where pahole finds its input; NULL: $TMPDIR, else /var/tmp */
	/* Called for each set of types. A negative return value with err filled is a failure of that input. */
	int (*found)(void *ctx, const struct ab_found *found, struct ab_error *err);
	/* Told of each input that failed, by its path; the others go on. NULL: silence. */
	void (*failed)(void *ctx, const char *input, const struct ab_error *why);
	/* Told whenever an input is done. NULL: silence. */
	void (*progress)(void *ctx, const char *input, size_t done, size_t total);
	void *ctx;
	size_t :0;
};

struct ab_import_result {
	size_t inputs;          /* files that were looked into */
	size_t failed;          /* of those, how many `failed` was told of */
	size_t found;           /* how often `found` was called and succeeded */
};

/*
 * Imports files and directories. Below a directory, files that are no kernel's are passed over; a file that was named
 * and holds no types is a failure. Errors are only those that end all of it: -EINVAL/USAGE, -ENOMEM/NO_MEMORY.
 */
AB_API int ab_import(const char *const *inputs, size_t count, const struct ab_import_opts *opts,
		     struct ab_import_result *ret_result, struct ab_error *err);

/* ---- crawling: the archives of distributions (docs/format-sources.md) ---- */

enum ab_crawl_status {
	AB_CRAWL_LISTED,        /* would be fetched */
	AB_CRAWL_DONE,          /* its kernels were given to `found` and are committed */
	AB_CRAWL_NONE,          /* holds no types */
	AB_CRAWL_FAILED,        /* `why` says why; tried again at `retry_at` */
};

struct ab_crawl_event {
	enum ab_crawl_status status;
	const char *source;
	const char *name;       /* of the package; of a suite or index when that failed */
	const char *version;
	const char *arch;
	uint64_t size;          /* bytes to fetch */
	const struct ab_error *why;
	int64_t retry_at;       /* seconds since 1970; 0: with the next crawl */
};

struct ab_crawl_result {
	size_t listed;          /* kernels that the sources have */
	size_t skipped;         /* of those, done before, or failed and not due yet */
	size_t done, none, failed;
	size_t sources_failed;  /* suites, repositories and indexes that could not be read */
	uint64_t fetched;       /* bytes of packages */
};

struct ab_crawl_opts {
	size_t sz;
	const char *state;      /* file; needed */
	const char *cache;      /* directory for downloads; needed */
	const char *queue;      /* redis://HOST[:PORT][/NAME]; NULL: all work is done here */
	const char *const *only; /* names of sources, NULL-terminated; NULL: all */
	unsigned downloads;     /* at a time; 0: 4 */
	unsigned jobs;          /* packages read at a time; 0: as many as CPUs */
	uint64_t rate;          /* bytes a second for all downloads together; 0: no limit */
	const char *tmp_dir;    /* as for ab_import() */
	bool list;              /* fetch no package */
	bool retry;             /* try what failed now */
	bool forget;            /* what was done before is not there any more: do it again */
	/* As for ab_import(). */
	int (*found)(void *ctx, const struct ab_found *found, struct ab_error *err);
	/* Makes durable what was found. Called from time to time and at the end; its failure ends the crawl. */
	int (*commit)(void *ctx, struct ab_error *err);
	/* Whether the kernel's types are there already, so that no debug package is fetched for it. NULL: no. */
	bool (*known)(void *ctx, const char *release, const char *arch);
	/* Asked often: whether to stop, with what was found committed. NULL: no. */
	bool (*stopped)(void *ctx);
	void (*event)(void *ctx, const struct ab_crawl_event *event);
	void (*progress)(void *ctx, size_t done, size_t total, uint64_t fetched);
	void *ctx;
	size_t :0;
};

/*
 * Finds the kernels that the sources in a file have, fetches those that are new, checks them, and gives their types to
 * `found`. A source or package that fails is told to `event`, remembered and tried again later; the others go on.
 * Errors: what is wrong with the file of sources, the state, the queue or a commit.
 */
AB_API int ab_crawl(const char *sources, const struct ab_crawl_opts *opts, struct ab_crawl_result *ret_result,
		    struct ab_error *err);

/* Goes through what the state file remembers as failed, oldest first, and counts the rest. `event` may be NULL. */
AB_API int ab_crawl_status(const char *state, void (*event)(void *ctx, const struct ab_crawl_event *event), void *ctx,
			   struct ab_crawl_result *ret_result, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
