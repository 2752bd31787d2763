/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the files of run/ share: the object behind the public handles.
 *
 * An ab_object wraps a bpf_object of libbpf. What the user decided (parameters, targets, sizes, disabled programs) lives in
 * the ab_ structs and is applied to the bpf_object by object.c just before load: libbpf cannot load an object again
 * after a failure, so a retry without an optional program opens the bytes anew and applies the same decisions.
 */
#ifndef AB_RUN_H
#define AB_RUN_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <anybpf/event.h>
#include <anybpf/map.h>
#include <anybpf/object.h>
#include <btf/btf.h>
#include <pthread.h>
#include <unistd.h>

/* Numbers of the kernel's ABI of 6.4 that older headers lack. */
#define AB_F_LINK (1u << 13)
#define AB_ATTACH_STRUCT_OPS ((enum bpf_attach_type)44)

struct param {
	struct ab_param pub;
	uint32_t var;    /* BTF id */
	uint32_t type;   /* without qualifiers */
	uint32_t offset; /* in .rodata */
	uint32_t size;
};

struct ab_program {
	struct ab_object *object;
	struct bpf_program *bpf;
	char *reason;       /* why it is skipped or degraded or failed, or NULL */
	char **targets;     /* by ab_program_set_target() */
	size_t target_count;
	bool optional, disabled, skipped, failed;
};

struct ab_map {
	struct ab_object *object;
	struct bpf_map *bpf;
	struct ab_format *key_format, *value_format, *event_format;
	char *event_type;     /* by ab_events_set_type(), or NULL */
	uint32_t key_type, value_type; /* BTF ids from open time: libbpf forgets some of them while loading */
	uint32_t var;         /* the map's BTF variable, or 0 */
	uint32_t max_entries; /* by ab_map_set_max_entries(); 0: as in the object */
	uint64_t lost_seen;   /* events: losses that a reader has reported already */
};

struct ab_link {
	struct ab_object *object;
	struct ab_program *program; /* NULL: a struct_ops map */
	struct ab_link *next;
	struct bpf_link **links;    /* one per CPU or thread for perf events */
	size_t link_count;
	int *fds;                   /* sockets and links that libbpf does not know */
	size_t fd_count;
	void (*detach)(struct ab_link *link); /* where closing does not suffice */
	struct { int prog_fd, target_fd, type; } old;            /* BPF_PROG_ATTACH */
	struct { int ifindex, point; uint32_t handle, priority; bool made_qdisc; } tc;
};

struct ab_object {
	char *name, *btf_path;
	int btf_fd; /* of the types that it carries, if they are used; else -1 */
	void *data;      /* the ELF bytes, until they are loaded */
	size_t size;
	struct bpf_object *bpf;
	struct ab_btf *btf;
	struct ab_object_opts opts; /* name and btf_path are copies */
	uint8_t *rodata; /* with the parameters that were set */
	size_t rodata_size;
	struct param *params;
	size_t param_count;
	struct ab_program *programs;
	size_t program_count;
	struct ab_map *maps;
	size_t map_count;
	struct ab_link *links;
	struct ab_events *readers;
	struct ab_symbols *symbols;
	struct text said;  /* libbpf's warnings in the running call */
	bool loaded, spent; /* spent: the bpf_object failed to load and must be opened anew */
};

/* ---- object.c: for the formats ---- */
const struct ab_btf *ab_object_btf(const struct ab_object *object);
struct ab_symbols *ab_object_symbols(const struct ab_object *object);
/* The stack of an id in a stack map (NULL: the object's only one), leaf first. Returns the number of frames. */
int ab_object_stack(struct ab_object *object, const char *map, int64_t id, uint64_t *ret_addrs, size_t cap);

/* Tells the user through opts->warn or opts->debug. */
void ab_object_warn(struct ab_object *object, const char *fmt, ...) PRINTF_LIKE(2, 3);
void ab_object_debug(struct ab_object *object, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- log.c: libbpf's messages, which go to the object that this thread works on ---- */
struct ab_object *ab_log_enter(struct ab_object *object); /* returns what ab_log_leave() restores */
void ab_log_leave(struct ab_object *previous);
/* The line of libbpf's warnings that says most, without "libbpf: "; "" if it said nothing. In a buffer of the caller. */
const char *ab_log_essence(const struct ab_object *object, char *buf, size_t cap);

/* ---- elf.c: refuses what libbpf must not see ---- */
struct ab_elf_info {
	const void *btf, *btf_ext;
	size_t btf_size, btf_ext_size;
};
/* Checks a BPF object file; -EBADMSG/FORMAT says what is wrong. The sections found lie in `data`. */
int ab_elf_check(const void *data, size_t size, struct ab_elf_info *ret_info, struct ab_error *err);
/* The object that a shared library carries in section .anybpf.object; 0 with *ret_object NULL for any other file. */
int ab_elf_embedded(const void *data, size_t size, const void **ret_object, size_t *ret_size, struct ab_error *err);
/* The content of a section of a 64-bit ELF file, in `data`, or NULL if it has none of that name or is damaged. */
const void *ab_elf_section(const void *data, size_t size, const char *name, size_t *ret_size);
/* Appends the file with a section of that name and content, in place of the one that it had, if it had one. */
int ab_elf_set_section(const void *data, size_t size, const char *name, const void *content, size_t content_size,
		       struct text *out, struct ab_error *err);
/* Checks that variables of the object's types lie in sections of a file of that size. */
int ab_elf_check_variables(const struct ab_btf *btf, size_t size, struct ab_error *err);

/* ---- param.c ---- */
int ab_params_find(struct ab_object *object, struct ab_error *err);
void ab_params_free(struct ab_object *object);
int ab_params_set_pid(struct ab_object *object, struct ab_error *err);

/* ---- program.c ---- */
int ab_programs_find(struct ab_object *object, struct ab_error *err);
void ab_programs_free(struct ab_object *object);
void ab_program_skip(struct ab_program *program, const char *reason);
/* Notes that load or attach failed for it; and that this is tried again. */
void ab_program_blame(struct ab_program *program, const char *reason);
void ab_program_forgive(struct ab_program *program);
/* How a program attaches: what its section and type mean. */
enum way {
	WAY_NONE, WAY_KPROBE, WAY_KSYSCALL, WAY_KPROBE_MULTI, WAY_UPROBE, WAY_USDT, WAY_TRACEPOINT, WAY_RAW_TRACEPOINT, WAY_TRACE,
	WAY_ITER, WAY_XDP, WAY_TC, WAY_CGROUP, WAY_PERF_EVENT, WAY_NETNS, WAY_SOCKMAP, WAY_SOCKET, WAY_STRUCT_OPS,
};
enum way ab_program_way(const struct ab_program *program);
/* Where it attaches when nobody said: the tag's words, else the section's behind the '/', or NULL. */
const char *ab_program_default_target(const struct ab_program *program);
/* What a program lacks to be attached, as "needs a target, …"; NULL: nothing. */
const char *ab_program_wants(const struct ab_program *program);
/* Applies what was decided before load. */
int ab_program_configure(struct ab_program *program, struct ab_error *err);

/* ---- attach.c, net.c, perf_event.c: one function a way of attaching, all of which fill `link` ---- */
int ab_link_add(struct ab_link *link, struct bpf_link *bpf, struct ab_error *err);
int ab_link_add_fd(struct ab_link *link, int fd, struct ab_error *err);
int ab_attach_perf_event(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_tc(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_xdp(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_socket(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_cgroup(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_netns(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);
int ab_attach_sockmap(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err);

/* ---- user.c: user-space files and symbols ---- */
/* A path, a program in PATH, or a library as "libc" or "libc.so.6", also as process `pid` (0: none) has it. */
int ab_user_path(const char *name, int pid, char **ret_path, struct ab_error *err);
/* The file offset of a function; -ENOENT/NOT_FOUND names the nearest. */
int ab_user_offset(const char *path, const char *symbol, uint64_t *ret_offset, struct ab_error *err);

/* ---- explain.c: reasons for people ---- */
/* Why loading or attaching was not permitted, naming the missing capability. */
int ab_explain_permission(struct ab_error *err, int code, const char *what);
/* Whether the kernel can attach probes of a kind at all: "kprobe", "uprobe". */
bool ab_has_probes(struct ab_object *object, const char *kind);
/* Makes sure that tracefs is mounted where libbpf looks. */
void ab_tracefs_mount(struct ab_object *object);
int ab_explain_function(struct ab_error *err, int code, const char *function);
/* `target`, which a program of that section cannot attach to. */
int ab_explain_target(struct ab_error *err, int code, const char *section, const char *target);
int ab_explain_tracepoint(struct ab_error *err, int code, const char *category, const char *name);

/* ---- verifier.c ---- */
/* Explains a failed bpf_object__load() from what libbpf said; *ret_program is the program that failed, or NULL. */
int ab_explain_load(struct ab_object *object, int code, struct ab_program **ret_program, struct ab_error *err);

/* ---- map.c ---- */
int ab_maps_find(struct ab_object *object, struct ab_error *err);
void ab_maps_free(struct ab_object *object);
/* The text behind "anybpf:WORD" in the first such tag on the map, or NULL. */
const char *ab_map_tag(const struct ab_map *map, const char *word);
/* The type of a channel's events, or 0. */
uint32_t ab_map_event_type(const struct ab_map *map);

#endif
