/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Objects: what a .bpf.o or a .so made by anybpf holds, from file to running programs.
 *
 *	ab_object_open_file("tool.bpf.o", NULL, &object, &err);	   parse only: no privileges, no kernel
 *	ab_object_set_param(object, "target_pid", "42", &err);	   const volatile globals, before load
 *	ab_object_load(object, &err);				   maps and programs are in the kernel
 *	ab_object_attach(object, &err);				   every program that attaches by itself or was given a target
 *	...							   event.h, map.h
 *	ab_object_close(object);				   detaches and frees all that was made from it
 *
 * Threads: one thread at a time for an object and what was made from it, but for the calls of map.h on a loaded object,
 * which any thread may make. Different objects are independent: a process may hold as many as it likes.
 */
#ifndef ANYBPF_OBJECT_H
#define ANYBPF_OBJECT_H

#include <stdbool.h>
#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_object;
struct ab_program;
struct ab_link;

struct ab_object_opts {
	size_t sz;
	const char *name;       /* what to call the object; NULL: from the file name */
	const char *btf_path;   /* the target kernel's types, raw BTF or ELF, also minimized (min.h); NULL: the kernel's own, and
				 * where it has none, those that the object carries for it */
	int pid;                /* restrict uprobes, USDT and perf events to this process; 0: all */
	int cpu;                /* 1 + the only CPU for perf events; 0: all CPUs */
	/* Called for each thing that was degraded or skipped and for libbpf's warnings; NULL: silence. */
	void (*warn)(const char *message, void *ctx);
	void (*debug)(const char *message, void *ctx); /* libbpf's debug output; NULL: silence */
	void *ctx;
	size_t :0;
};

/*
 * Opens an object file: a relocatable BPF ELF, or a shared library made by ab_artifact_write(). Nothing of a
 * library is executed. Errors: -ENOENT/NOT_FOUND, -EACCES/PERMISSION; -EBADMSG/FORMAT not an ELF, not BPF, truncated, no
 * BTF; -EFBIG/LIMIT more than 64 MiB.
 */
AB_API int ab_object_open_file(const char *path, const struct ab_object_opts *opts, struct ab_object **ret_object,
			       struct ab_error *err);

/* The same from memory, which is copied. */
AB_API int ab_object_open_mem(const void *data, size_t size, const struct ab_object_opts *opts,
			      struct ab_object **ret_object, struct ab_error *err);

/* Detaches everything, closes every map and program and frees the object, its links, event readers and maps. */
AB_API void ab_object_close(struct ab_object *object);

AB_API const char *ab_object_name(const struct ab_object *object);

/* ---- parameters: `const volatile` globals ---- */

struct ab_param {
	const char *name;          /* the C identifier */
	const char *type;          /* as C writes it: "pid_t", "char[16]" */
	const char *help;          /* from AB_HELP(), or NULL */
	const char *default_value; /* rendered as ab_object_set_param() takes it */
	bool is_bool;              /* an option without argument makes sense */
	bool is_pid;               /* takes --pid: tagged AB_TARGET_PID or named target_pid, target_tgid, targ_pid, targ_tgid */
};

AB_API size_t ab_object_param_count(const struct ab_object *object);
AB_API const struct ab_param *ab_object_param(const struct ab_object *object, size_t index);

/*
 * Sets a parameter before load, from text by its type: integers (decimal, 0x, 0, -), bool (true/false/1/0), one
 * character or number for char, text for char[] (shorter than the array), enumerators by name, comma-separated elements
 * for arrays of these. Errors: -ENOENT/NOT_FOUND no such parameter (nearest name in the message);
 * -ERANGE/USAGE it does not fit the type; -EINVAL/USAGE not a value of the type; -EBUSY/USAGE already loaded.
 */
AB_API int ab_object_set_param(struct ab_object *object, const char *name, const char *value, struct ab_error *err);

/* ---- programs ---- */

AB_API size_t ab_object_program_count(const struct ab_object *object);
AB_API struct ab_program *ab_object_program(const struct ab_object *object, size_t index);
/* The program of that C function name, or NULL. */
AB_API struct ab_program *ab_object_find_program(const struct ab_object *object, const char *name);

enum ab_program_state {
	AB_PROGRAM_OPEN,      /* not loaded yet */
	AB_PROGRAM_LOADED,    /* in the kernel, not attached */
	AB_PROGRAM_ATTACHED,  /* at least one link */
	AB_PROGRAM_SKIPPED,   /* optional and not possible here, or disabled; ab_program_reason() says why */
	AB_PROGRAM_FAILED,    /* the one that load or attach failed for; ab_program_reason() says why */
};

AB_API const char *ab_program_name(const struct ab_program *program);
AB_API const char *ab_program_section(const struct ab_program *program);
AB_API enum ab_program_state ab_program_state(const struct ab_program *program);
/* Why a program was skipped or failed, or is loaded but not attached because it needs a target; "" otherwise. */
AB_API const char *ab_program_reason(const struct ab_program *program);
/* Tagged AB_OPTIONAL, or its section begins with '?'. */
AB_API bool ab_program_is_optional(const struct ab_program *program);
AB_API bool ab_program_is_iterator(const struct ab_program *program);
/* The kernel's file descriptor, borrowed; -1 before load. */
AB_API int ab_program_fd(const struct ab_program *program);

/*
 * Says where a program attaches, in place of what its section or AB_ATTACH() tag says; may be called several times for
 * several targets. The forms are listed in docs/attach.md: "eth0", "eth0:egress", "/sys/fs/cgroup/x", "libc:malloc",
 * "/bin/bash:readline+4", "cpu-clock@99", "vfs_read", "sched/sched_switch"… Errors: -EINVAL/USAGE not a
 * target for this kind of program.
 */
AB_API int ab_program_set_target(struct ab_program *program, const char *target, struct ab_error *err);

/* Leaves a program out of load and attach (on = false), or takes it in again. Before load only. */
AB_API int ab_program_set_enabled(struct ab_program *program, bool on, struct ab_error *err);

/*
 * Loads maps and programs into the kernel. An event channel becomes a perf buffer where the kernel has no ring buffer. An
 * optional program that cannot be loaded is skipped and reported through opts->warn.
 * Errors: -EPERM/PERMISSION (which capability); -EACCES or -EINVAL/VERIFIER (message: the instruction's source line and
 * the verifier's last words; log: all of it); -EINVAL/RELOCATION (field, struct and source line); NO_TYPES;
 * UNSUPPORTED (program, map or attach type that this kernel lacks).
 */
AB_API int ab_object_load(struct ab_object *object, struct ab_error *err);

/*
 * Attaches every loaded program that has a place to attach to, registers struct_ops maps, and leaves programs without one
 * loaded. A required program that cannot attach fails the call, with everything detached again; an optional one is
 * skipped. Tracepoints need tracefs: where it is not mounted and a program wants one, it is mounted at
 * /sys/kernel/tracing, and stays. Errors: as ab_program_attach().
 */
AB_API int ab_object_attach(struct ab_object *object, struct ab_error *err);

/*
 * The few lines of a verifier's log (err->log after VERIFIER and RELOCATION) that matter: the source line, the last
 * instructions under it, the reason. The caller frees them; NULL when memory ran out.
 */
AB_API char *ab_verifier_summary(const char *log);

/* Detaches everything; the object stays loaded and can be attached again. */
AB_API void ab_object_detach(struct ab_object *object);

/*
 * Attaches one program, to `target` or where it says itself when NULL. The link belongs to the object.
 * Errors: -ENOENT/NOT_FOUND no such function, tracepoint, symbol, interface or cgroup; -EOPNOTSUPP/UNSUPPORTED this kernel
 * has no kprobes, no such attach type…; -EPERM/PERMISSION; -EBUSY/BUSY; -EINVAL/USAGE a target is needed.
 */
AB_API int ab_program_attach(struct ab_program *program, const char *target, struct ab_link **ret_link,
			     struct ab_error *err);

/* Detaches and frees a link. NULL is allowed. */
AB_API void ab_link_detach(struct ab_link *link);

/*
 * Runs an iterator program once and gives each piece of its output to `write`, which returns 0 to go on. Needs an attached
 * iterator. Errors: -EINVAL/USAGE not an iterator; what `write` returned.
 */
AB_API int ab_program_iterate(struct ab_program *program, int (*write)(const char *text, size_t size, void *ctx),
			      void *ctx, struct ab_error *err);

#ifdef __cplusplus
}
#endif
#endif
