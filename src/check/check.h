/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the files of check/ share: an object as check sees it, what a kernel answers, and how the answers are
 * remembered.
 *
 * An object is turned into things to ask once (object.c, code.c): relocations, in groups that ask about one type each,
 * and questions of the form "is there a function of that name". A kernel's answers (kernel.c) are the ids of its answer
 * to each group, a bit for each question, and what its BPF can do (features.c). Judging (judge.c) sees nothing else, so
 * kernels with the same answers share a verdict.
 */
#ifndef AB_CHECK_INTERNAL_H
#define AB_CHECK_INTERNAL_H

#include <anybpf/check.h>
#include <btf/core.h>
#include <run/run.h>

#define NONE UINT32_MAX

/* ---- the object: code ---- */

enum ref_kind { REF_MAP, REF_DATA, REF_FUNCTION, REF_EXTERN };

/* What an instruction refers to by an ELF relocation. */
struct ref {
	uint32_t insn;
	enum ref_kind kind;
	uint32_t index;      /* map, section of the file, function, extern */
	uint64_t offset;     /* REF_DATA: in the section; REF_FUNCTION: instruction */
};

struct function {
	const char *name;
	uint32_t first, count;  /* instructions */
	bool global;            /* verified by itself, whatever its callers pass */
	uint32_t caller;        /* the first instruction that calls it, or NONE; code.next_caller has the others */
};

struct section {
	const char *name;
	const uint8_t *data;
	size_t size;
	uint32_t first;         /* number of its first instruction; NONE: no code */
};

enum extern_kind { EXTERN_KFUNC, EXTERN_VARIABLE, EXTERN_SYMBOL, EXTERN_CONFIG };

/* What the object leaves to the kernel: kfuncs, per-CPU and other variables, symbols, configuration. */
struct external {
	const char *name;
	enum extern_kind kind;
	bool weak;
	uint32_t type;          /* in the object's types */
	uint32_t question;
};

struct line {
	uint32_t insn, number;
	const char *file, *text;
};

struct relo {
	uint32_t insn, group, slot; /* slot: index among the group's answers */
	struct ab_core_spec spec;
};

/* All instructions of all sections, numbered through; lists are ordered by instruction. */
struct code {
	struct section *sections; /* as in the ELF file */
	size_t n_sections;
	struct bpf_insn *insns;
	uint32_t n_insns;
	struct function *functions;
	size_t n_functions;
	struct ref *refs;
	size_t n_refs;
	struct external *externals;
	size_t n_externals;
	struct line *lines;
	size_t n_lines;
	struct relo *relos;
	size_t n_relos;
	uint32_t *ref_of, *relo_of; /* for each instruction, or NONE */
	uint32_t *next_caller;      /* for each instruction: the next that calls the same function, or NONE */
	bool *is_merge;             /* for each instruction: a jump, call or function goes there */
};

/* ---- the object: what it asks ---- */

/* Whether a kernel has a definition of that kind and name (a glob for functions). */
struct question {
	uint32_t kind;
	char *name;
};

/* Relocations about one type: resolved together, once for each set of definitions that kernels have of it. */
struct group {
	const char **names;     /* what ab_pack_subset() is asked for; of the object's strings */
	size_t n_names;
	uint32_t *relos;
	size_t n_relos;
	bool has_history;       /* hints say which kernels of the pack have what others lack */
	uint32_t map;           /* a struct_ops map, whose type is compared; else NONE */
	struct answers **answers;
	uint64_t *keys;         /* of the answers */
	size_t n_answers;
};

/* How one relocation came out, with its reason and hint if it may fail. */
struct answer {
	struct ab_core_value value;
	char *message, *hint;
};

struct answers {
	struct answer *list;    /* n_relos of the group */
	size_t n;
};

struct program {
	const char *name, *section, *target;
	enum way way;
	enum bpf_prog_type type;
	enum bpf_attach_type attach_type;
	uint32_t flags;         /* BPF_F_SLEEPABLE and the like */
	bool optional;
	uint32_t function;
	uint32_t question;      /* of its target, or NONE */
	uint32_t x86_question;  /* what stands for it on x86, whose system calls have several names; or NONE */
	uint32_t n_insns;       /* with the functions that it calls */
	uint32_t *functions;    /* itself and those */
	size_t n_functions;
};

struct map {
	const char *name;
	enum bpf_map_type type;
	bool data;              /* .data, .rodata, .bss, .kconfig */
	uint32_t struct_ops;    /* type in the object's types; 0: none */
	uint32_t question, group; /* of it */
};

/* Questions that are asked of every kernel, in this order. */
enum fact {
	FACT_BPF, FACT_KPROBES, FACT_UPROBES, FACT_KPROBE_MULTI, FACT_SYSCALL_EVENTS, FACT_SOCKMAP, FACT_XSKMAP,
	FACT_STRUCT_OPS_MAP, FACT_TRACEPOINTS, FACT_X86, FACT_FUNCTIONS, FACT_SYSCALLS,
	FACT_ERROR_INJECTION, FACT_COUNT,
};

/* ---- the kernel ---- */

struct version {
	uint16_t major, minor, patch;
};

#define VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

/* What BPF of a kernel can do that its types do not list (features.c). */
enum feature {
	FEATURE_CALLS,
	FEATURE_JMP32,
	FEATURE_LARGE,
	FEATURE_GLOBAL_DATA,
	FEATURE_LOOPS,
	FEATURE_CONSTANTS,
	FEATURE_SLEEPABLE,
	FEATURE_FETCH,
	FEATURE_KFUNC,
	FEATURE_KFUNC_ADDRESS,
	FEATURE_V4,
	FEATURE_MAY_GOTO,
	FEATURE_ARENA,
	FEATURE_ACQUIRE,
	FEATURE_FRAGS,
	FEATURE_TRAMPOLINE,
	FEATURE_SLEEPABLE_MORE,
	FEATURE_SLEEPABLE_SYSCALLS,
	FEATURE_NATIVE,
	FEATURE_COUNT,
};

#define ABI_BITS 512

/* The values that a kernel's enums of the BPF ABI have. */
struct abi {
	uint64_t programs[ABI_BITS / 64], maps[ABI_BITS / 64], attaches[ABI_BITS / 64], helpers[ABI_BITS / 64];
};

static inline bool abi_has(const uint64_t *set, uint32_t value)
{
	return value < ABI_BITS && set[value / 64] >> value % 64 & 1;
}

/* All that a verdict depends on. */
struct kernel {
	struct abi abi;
	uint32_t features;          /* bits of enum feature */
	uint32_t version;           /* only where the object asks for LINUX_KERNEL_VERSION, else 0 */
	const uint64_t *facts;      /* bits, one for each question */
	const char *const *hints;   /* for each question that has no yes: what other kernels say of it; kept texts, or NULL */
	struct answers *const *groups;
};

static inline bool kernel_can(const struct kernel *kernel, enum feature feature)
{
	return kernel->features >> feature & 1;
}

/* Facts are a bit for each question. */
static inline bool has_fact(const uint64_t *facts, size_t question)
{
	return facts[question / 64] >> question % 64 & 1;
}

static inline void add_fact(uint64_t *facts, size_t question)
{
	facts[question / 64] |= 1ULL << question % 64;
}

static inline bool kernel_has(const struct kernel *kernel, uint32_t question)
{
	return question != NONE && has_fact(kernel->facts, question);
}

/* ---- the check ---- */

struct verdict {
	struct ab_check_verdict pub;
	struct ab_check_reason *reasons;
	size_t cap;
	struct verdict *next;
	uint64_t hash;              /* of the key */
	void *key;                  /* everything that it depends on */
	size_t key_size;
};

struct ab_check {
	struct ab_object *object;
	struct ab_btf *btf;         /* as in the file, before libbpf completes it */
	struct code code;
	struct program *programs;
	size_t n_programs;
	struct map *maps;
	size_t n_maps;
	struct question *questions;
	size_t n_questions;
	struct group *groups;
	size_t n_groups;
	bool asks_version;
	struct strmap strings;      /* every text that verdicts point to */
	struct verdict *verdicts;
	const struct ab_pack *pack; /* whose definitions `defs` and the answers are about */
	struct pack_memory *memory;
	struct missing *missing;    /* what is known of targets that kernels of the pack lack */
};

/* ---- code.c ---- */
int ab_check_read_code(struct ab_check *check, struct ab_error *err);
void ab_check_free_code(struct code *code);
/* The function that an instruction is in, or NONE. */
uint32_t ab_check_function_at(const struct code *code, uint32_t insn);
/* The line record of an instruction, or NULL. */
const struct line *ab_check_line(const struct code *code, uint32_t insn);
/* Where a jump or a call of one of the object's functions goes; NONE if it is no jump, or leaves the code. */
uint32_t ab_check_jump(const struct code *code, uint32_t insn);
static inline bool insn_is_wide(const struct bpf_insn *insn) { return insn->code == (BPF_LD | BPF_IMM | BPF_DW); }
static inline bool insn_is_call(const struct bpf_insn *insn) { return insn->code == (BPF_JMP | BPF_CALL); }

/* ---- object.c ---- */
/* The number of a question, the same for equal ones; NONE when memory ran out. */
uint32_t ab_check_ask(struct ab_check *check, uint32_t kind, const char *name);
/* A copy of a text that lives as long as the check; NULL when memory ran out or `s` is NULL. */
const char *ab_check_keep(struct ab_check *check, const char *s);

/* ---- features.c ---- */
/* "5.10.0-8-amd64" and the like; false for what does not begin with two numbers. */
bool ab_check_parse_version(const char *release, struct version *ret);
/* The version of upstream's kernel that this one's BPF is like at the least, by release and by what its enums have. */
uint32_t ab_check_level(const char *release, const struct abi *abi);
uint32_t ab_check_features(uint32_t level, const char *arch);
/* Features and version of a kernel whose enums are known. */
void ab_check_set_release(const struct ab_check *check, struct kernel *kernel, const char *release, const char *arch);
/* "5.2", or NULL if that is not known. */
const char *ab_check_since_program(uint32_t type);
const char *ab_check_since_map(uint32_t type);
const char *ab_check_since_attach(uint32_t type);
const char *ab_check_since_helper(uint32_t helper);
const char *ab_check_since_feature(enum feature feature);
/* "bpf_map_lookup_elem", or NULL. */
const char *ab_check_helper_name(uint32_t helper);
/* Whether the driver has it (ARCHITECTURE.md). */
bool ab_check_driver_program(uint32_t type);
bool ab_check_driver_map(uint32_t type);
bool ab_check_driver_helper(uint32_t helper);

/* ---- reach.c ---- */
/*
 * The instructions of a program that a kernel's verifier would reach, a bit each in `reached` (n_insns of the code),
 * with the relocations' values in place. -ENOMEM only.
 */
int ab_check_reach(const struct ab_check *check, const struct program *program, const struct kernel *kernel,
		   uint8_t *reached);

/* Whether an instruction with that answer cannot be executed. */
bool ab_check_is_poison(const struct bpf_insn *in, const struct ab_core_value *value);

/* ---- kernel.c ---- */
/* A kernel's types, and those of modules of it that are to be asked where it has nothing. */
struct check_types {
	const struct ab_btf *kernel, *const *modules;
	size_t n_modules;
};
/* The answers of a group in `types`, kept under `key`, which equal definitions have in common. */
int ab_check_resolve(struct ab_check *check, struct group *group, const struct check_types *types, uint64_t key,
		     struct answers **ret, struct ab_error *err);
struct answers *ab_check_remembered(const struct group *group, uint64_t key);
/* Forgets the answers of a group. */
void ab_check_forget(struct group *group);
void ab_check_read_abi(const struct ab_btf *types, struct abi *ret);
/* The verdict for a kernel by its types; `key` is the same for the same types. */
int ab_check_types(struct ab_check *check, const struct ab_btf *types, uint64_t key, const char *release, const char *arch,
		   const struct ab_check_verdict **ret_verdict, struct ab_error *err);
/* The verdict for a kernel, from memory if another had the same answers. */
int ab_check_conclude(struct ab_check *check, const struct kernel *kernel, const struct ab_check_verdict **ret,
		      struct ab_error *err);

/* ---- missing.c ---- */
int ab_check_new_missing(struct ab_check *check, struct ab_error *err);
void ab_check_free_missing(struct ab_check *check);
/*
 * The question of the i-th thing that kernels may lack (programs' targets, then externs that are not weak) and its name;
 * NONE: there is none.
 */
uint32_t ab_check_asked(const struct ab_check *check, size_t i, const char **ret_target);
/* How names of functions are alike: not at all; by spelling; word by word, with one more; but for underscores in front. */
enum ab_check_like { LIKE_NOT, LIKE_SPELLING, LIKE_BEGINNING, LIKE_SAME };
enum ab_check_like ab_check_likeness(const char *wanted, const char *name);
/*
 * Hints about targets that a kernel of the pack lacks, by question, as kept texts. `facts`: the answers of all entries of the
 * pack, one after the other.
 */
struct ab_pack_defs;
int ab_check_find_missing(struct ab_check *check, size_t kernel, const struct ab_pack_defs *defs, const uint64_t *facts,
			  const char **hints, struct ab_error *err);
/* The same by one kernel's types. */
int ab_check_find_alike(struct ab_check *check, const struct ab_btf *types, const uint64_t *facts, const char **hints,
			struct ab_error *err);

/* ---- history.c ---- */
/* Which of the pack's kernels have something, if versions tell: `has` says 1, 0, or -1 not asked, of each entry. */
void ab_check_say_history(const struct ab_pack *pack, const int8_t *has, struct text *out);
/* Adds to the hints of a group which kernels have what others lack: `of` has the answers of each of the pack's kernels,
 * or NULL. */
int ab_check_add_history(const struct ab_pack *pack, struct group *group, struct answers *const *of);

/* ---- pack.c ---- */
void ab_check_free_memory(struct ab_check *check);

/* ---- hint.c ---- */
/* The type for one of the object's, by its name without flavour; 0: `types` has none. */
uint32_t ab_check_find_type(const struct ab_btf *types, const struct ab_btf *local, uint32_t id);
/* Why a relocation has no answer in `types`, and the way out (NULL: none is known). The caller frees both. */
int ab_check_explain(const struct ab_core_spec *spec, const struct ab_core_value *value, const struct ab_btf *types,
		     const char *why, char **ret_message, char **ret_hint);
/* The access in a source line that ends in `member`: "task->__state"; NULL if it is not there. The caller frees it. */
char *ab_check_access(const char *text, const char *member);

/* ---- struct_ops.c ---- */
/* Whether a struct_ops map's type is what the kernel has; the answer has a message where it is not. */
int ab_check_compare_ops(const struct ab_check *check, const struct map *map, const struct ab_btf *types,
			 struct answer *ret, struct ab_error *err);

/* ---- insns.c ---- */
/* The feature that an instruction needs, or FEATURE_COUNT; `*ret_always`: also where it is not reached. */
enum feature ab_check_insn_feature(const struct bpf_insn *in, bool *ret_always);
/* An instruction that jumps back in a function, or NONE; -ENOMEM. */
int ab_check_find_loop(const struct code *code, uint32_t function, uint32_t *ret_insn);

/* ---- judge.c ---- */
int ab_check_judge(struct ab_check *check, const struct kernel *kernel, struct verdict **ret_verdict, struct ab_error *err);
void ab_check_free_verdict(struct verdict *verdict);

#endif
