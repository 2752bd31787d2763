/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Building: one .bpf.c in, an artifact (object, shared library, skeleton) out.
 *
 *	ab_builder_new(NULL, &builder, &err);
 *	ab_builder_build(builder, "tool.bpf.c", NULL, 0, NULL, &artifact, &err);
 *	ab_artifact_write(artifact, "tool.so", &err);
 *	ab_artifact_free(artifact);
 *	ab_builder_free(builder);
 *
 * A builder keeps the types of one kernel indexed and a compiler process warm, so the second build is much cheaper than
 * the first. The kernel header is made on demand: it holds only the types that the source can reach; a source
 * that needs more than the rule finds is compiled once again with the whole header. Compilers run as child
 * processes: one that crashes or loops ends its own build only.
 *
 * Threads: a builder may be used by one thread at a time; different builders are independent. An artifact is immutable.
 */
#ifndef ANYBPF_BUILD_H
#define ANYBPF_BUILD_H

#include <stdbool.h>
#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_builder;
struct ab_artifact;

struct ab_builder_opts {
	size_t sz;
	const char *btf_path;   /* kernel types: raw BTF or an ELF file with .BTF; NULL: the running kernel's */
	const char *compiler;   /* a clang to run instead of the warm worker; NULL: worker, else the newest clang in PATH */
	bool one_shot;          /* one build only: the worker compiles in its first process and ends */
	/*
	 * For sources of strangers: each compile is confined (docs/sandbox.md) and sees, besides the files given in memory, the
	 * system's headers and nothing else; neither does this process read a file for it. Needs the worker.
	 */
	bool sandbox;
	const char *cgroup;     /* directory of the cgroup2 that the worker is put into, with all its compiles; NULL: none */
	size_t :0;
};

/* A file in memory, found as if it lay at `path`, which is relative to where the build runs or absolute. */
struct ab_build_file {
	const char *path;
	const char *text;
	size_t size;
};

struct ab_build_opts {
	size_t sz;
	const char *const *defines;      /* NULL-terminated: "NAME" or "NAME=VALUE" */
	const char *const *include_dirs; /* NULL-terminated, searched for #include before anybpf's own headers */
	const char *arch;       /* x86_64, arm64, arm, s390x, ppc64le, riscv64, loongarch64; NULL: the machine's */
	const char *isa;        /* BPF instruction set "v1".."v4"; NULL: "v1", which every kernel runs */
	bool full_header;       /* skip the header on demand: compile against all types */
	bool color;             /* diagnostics with terminal colours */
	uint32_t timeout_ms;    /* wall time for the build, be it compiled once or twice; 0: 60000 */
	const struct ab_build_file *files; /* hide those on the disk; the source itself may be one of them */
	size_t file_count;
	size_t :0;
};

/* Values never change. */
enum ab_severity {
	AB_SEVERITY_NOTE = 1, /* about the nearest one before it that is no note */
	AB_SEVERITY_REMARK = 2,
	AB_SEVERITY_WARNING = 3,
	AB_SEVERITY_ERROR = 4,
	AB_SEVERITY_FATAL = 5,
};

struct ab_diagnostic {
	uint32_t severity;      /* enum ab_severity */
	uint32_t line, column;  /* from 1; 0: none */
	const char *file;       /* as the caller spells it, but for a leading "./"; "": about no place in a file */
	const char *message;    /* one line */
};

/*
 * Makes a builder: reads and indexes the kernel's types and starts the compiler process. Needs no privileges.
 * Errors: -ENOENT/NO_TYPES no BTF in this kernel and no btf_path; -EBADMSG/FORMAT btf_path is damaged;
 * -ENOENT/NO_COMPILER neither worker nor clang; -EPERM/UNSUPPORTED no sandbox on this machine; -ENOENT, -EACCES for
 * btf_path.
 */
AB_API int ab_builder_new(const struct ab_builder_opts *opts, struct ab_builder **ret_builder, struct ab_error *err);

/* Ends the compiler process and frees the builder. NULL is allowed. */
AB_API void ab_builder_free(struct ab_builder *builder);

/* What compiles, for people: "clang 19.1.7 (worker)". Belongs to the builder. */
AB_API const char *ab_builder_compiler(const struct ab_builder *builder);

/*
 * Compiles one source. `path` names it in diagnostics and is where its relative #includes are looked up; `text`, `size`
 * is its text, or NULL to take it from opts->files or the disk. The object holds BTF but no DWARF, no absolute path and no
 * time: the same input gives the same bytes. Warnings are in the artifact, errors in err->log.
 * Errors: -EINVAL/COMPILE the compiler refused it (log: diagnostics with the caller's own paths and lines, plus the
 * nearest kernel type where a name is unknown), or crashed on it (no log); -ETIMEDOUT/LIMIT, -EFBIG/LIMIT too much memory or
 * output; -ENOENT, -EACCES for `path`; -EINVAL/USAGE for opts.
 */
AB_API int ab_builder_build(struct ab_builder *builder, const char *path, const char *text, size_t size,
			    const struct ab_build_opts *opts, struct ab_artifact **ret_artifact, struct ab_error *err);

/*
 * What the compiler said in the builder's last build, be it refused or not, in its order. Belongs to the builder, until its next
 * build or ab_builder_free(). NULL: no such index.
 */
AB_API size_t ab_builder_diagnostic_count(const struct ab_builder *builder);
AB_API const struct ab_diagnostic *ab_builder_diagnostic(const struct ab_builder *builder, size_t index);

/*
 * The files that the last build read, the source first and the system's headers too, each once; those that come with the
 * library are not among them. The same rules.
 */
AB_API size_t ab_builder_input_count(const struct ab_builder *builder);
AB_API const char *ab_builder_input(const struct ab_builder *builder, size_t index);

/*
 * Makes the header on demand for a source, or the whole header when `path` and `text` are NULL, as C text that the
 * caller frees with free(). What `anybpf build --header` prints.
 */
AB_API int ab_builder_header(struct ab_builder *builder, const char *path, const char *text, size_t size,
			     const struct ab_build_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err);

/* The BPF ELF object; `ret_size` may be NULL. Belongs to the artifact. */
AB_API const void *ab_artifact_object(const struct ab_artifact *artifact, size_t *ret_size);

/* Warnings and notes of the compiler, "" if none. Belongs to the artifact. */
AB_API const char *ab_artifact_diagnostics(const struct ab_artifact *artifact);

/* Whether the header on demand did not suffice and the whole header was used. */
AB_API bool ab_artifact_used_full_header(const struct ab_artifact *artifact);

/*
 * Makes the form that `name`'s suffix asks for, in memory; the caller frees it with free().
 *   .o       the object;
 *   .so      a self-contained shared library: the object and libanybpf (docs/format-so.md);
 *   .skel.h  a C skeleton, NAME_bpf__open() and so on, that needs libbpf alone.
 * Errors: -EINVAL/USAGE another suffix; -ENOENT/UNSUPPORTED the library template is not installed.
 */
AB_API int ab_artifact_encode(const struct ab_artifact *artifact, const char *name, void **ret_data, size_t *ret_size,
			      struct ab_error *err);

/* Encodes and writes `path` atomically: either the old file stays or the new one is whole. Errors: also IO. */
AB_API int ab_artifact_write(const struct ab_artifact *artifact, const char *path, struct ab_error *err);

/* Frees the artifact. NULL is allowed. */
AB_API void ab_artifact_free(struct ab_artifact *artifact);

#ifdef __cplusplus
}
#endif
#endif
