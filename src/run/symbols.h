/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Inside of the symbolizer. One kind of table serves the kernel, ELF files and run-time compilers: sorted 16-byte
 * entries that point into one blob of names. Names are demangled and interned only when a lookup hands them out,
 * so that tables can be replaced and dropped while the strings that callers hold stay.
 */
#ifndef AB_RUN_SYMBOLS_H
#define AB_RUN_SYMBOLS_H

#include <anybpf/symbol.h>
#include <libelf.h>
#include "base/base.h"

struct ab_sym {
	uint64_t start;
	uint32_t size; /* 0 until ab_symtab_finish(): up to the next entry */
	uint32_t name; /* in names, where the byte before it is the rank; 0: only marks where the one before ends */
};

struct ab_symtab {
	struct ab_sym *syms;
	size_t n, cap;
	struct text names;
	bool newest_wins; /* ranges may be reused: the entry added last hides the others */
	bool failed;      /* memory ran out */
};

/* Names of one address compete by rank; more is better. */
enum { SYM_END = 0, SYM_WEAK = 1, SYM_LOCAL = 2, SYM_GLOBAL = 3 };

void ab_symtab_clear(struct ab_symtab *t);
void ab_symtab_add(struct ab_symtab *t, uint64_t start, uint64_t size, int rank, const char *name, size_t len);
/* Marks an address where whatever starts below it has ended. */
void ab_symtab_add_end(struct ab_symtab *t, uint64_t address);
/* Sorts, keeps the best name of each address, and gives the entries without a size the space up to the next one. */
void ab_symtab_finish(struct ab_symtab *t);
const struct ab_sym *ab_symtab_find(const struct ab_symtab *t, uint64_t address);
static inline const char *ab_sym_name(const struct ab_symtab *t, const struct ab_sym *sym)
{
	return t->names.p + sym->name;
}

/* C++ and Rust names as people write them, without parameters; NULL: not mangled. The caller frees it. */
char *ab_demangle(const char *name);

/* ---- kernel ---- */

struct ab_kallsyms {
	struct ab_symtab table; /* a name is followed by its module's name, "" for the kernel itself */
	int state;              /* 1: loaded, 0: not yet, else the errno of the attempt, with its message */
	struct ab_error error;
	uint64_t loaded_ns, retry_ns;
};

/* Reads kallsyms' format; -EPERM when every address is zero. */
int ab_kallsyms_parse(struct ab_symtab *t, FILE *in, const char *path, struct ab_error *err);

/* ---- ELF files ---- */

#define AB_BUILD_ID_MAX 32

struct ab_elf_load {
	uint64_t offset, size, address;
	bool exec;
};

struct ab_elf {
	struct ab_elf *next;
	struct ab_symtab table;
	struct ab_elf_load *loads;
	size_t loads_n;
	uint8_t build_id[AB_BUILD_ID_MAX];
	uint32_t build_id_len;
	uint32_t debug_crc;
	char debug_link[256];
	bool full; /* .symtab was there, not just .dynsym */
	size_t refs;
};

/* Opens a file by its name as a process sees it; a descriptor or a negative errno. */
typedef int ab_open_fn(void *ctx, const char *path);

/* Reads symbols and program headers. A file that isn't ELF, or is damaged, gives what could be read: never an error. */
void ab_elf_read(struct ab_elf *elf, Elf *e);
/* The same from a file: reads the separate debug file too if `path` has no full symbol table. */
void ab_elf_read_fd(struct ab_elf *elf, int fd, const char *path, ab_open_fn *open_fn, void *ctx);
/* Only the build id: cheap. */
void ab_elf_read_build_id(struct ab_elf *elf, Elf *e);
/* The address that the file was linked for, of a place in it; false when nothing of that place is loaded. */
bool ab_elf_address(const struct ab_elf *elf, uint64_t file_offset, uint64_t *ret_address);
size_t ab_elf_memory(const struct ab_elf *elf);
void ab_elf_free(struct ab_elf *elf);

/* ---- processes ---- */

struct ab_mapping {
	uint64_t start, end, offset;
	uint64_t inode;
	const char *path; /* interned, "" for anonymous memory; without " (deleted)" */
	bool deleted, tried;
	struct ab_elf *elf;
};

struct ab_process {
	struct ab_process *next;
	int pid;
	uint64_t start_time, exe_dev, exe_inode; /* who this is: pids are reused, and exec replaces everything */
	bool known, gone, denied;
	uint64_t checked_ns, used_ns, maps_ns, maps_wait_ns, jit_ns, jit_wait_ns;
	struct ab_mapping *maps;
	size_t maps_n;
	struct ab_symtab jit;
	uint64_t jit_read, jit_inode;
};

#define AB_PROCESS_BUCKETS 256

struct ab_symbols {
	struct strmap names; /* as found in tables, value: demangled or NULL */
	struct ab_kallsyms kernel;
	struct ab_process *processes[AB_PROCESS_BUCKETS];
	size_t processes_n;
	struct strmap elf_keys; /* file identity or build id, value: struct ab_elf */
	struct ab_elf *elfs;
	size_t elf_memory;
};

const char *ab_symbols_intern(struct ab_symbols *s, const char *name, bool demangle);
uint64_t ab_symbols_now(void);
/* One line of /proc/PID/maps; false when it is not one or maps no code. `path` points into the line, which is changed. */
bool ab_mapping_parse(char *line, struct ab_mapping *m, char **ret_path);
/* Reads "START SIZE NAME" lines from where the last call ended. */
void ab_jit_parse(struct ab_symtab *t, FILE *in);
void ab_processes_free(struct ab_symbols *s);

#endif
