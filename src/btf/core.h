/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CO-RE relocations: what an object asks of the kernel's types, and what a kernel's types answer.
 *
 * The rules are libbpf's (tools/lib/bpf/relo_core.c) for all kinds of enum bpf_core_relo_kind; tests run the kernel's core_reloc selftests.
 */
#ifndef AB_BTF_CORE_H
#define AB_BTF_CORE_H

#include <linux/bpf.h>
#include <btf/btf.h>

#define AB_CORE_MAX_DEPTH 64

/* One relocation, parsed against the object's own types. */
struct ab_core_spec {
	const struct ab_btf *btf;
	enum bpf_core_relo_kind kind;
	uint32_t root;                      /* type id in btf */
	uint32_t n_raw, n_accessors;
	uint32_t raw[AB_CORE_MAX_DEPTH];    /* the access string, "0:1:2" */
	struct ab_core_accessor {
		uint32_t type, index;       /* struct, union, array or enum, and member, element or enumerator in it */
		const char *name;           /* member or enumerator; NULL for array elements */
	} accessors[AB_CORE_MAX_DEPTH];
	uint32_t bit_offset;
};

/* What one kernel answers. */
enum ab_core_status {
	AB_CORE_OK,
	AB_CORE_MISSING,    /* no such type, member or enumerator: existence kinds answer 0, others poison the instruction */
	AB_CORE_AMBIGUOUS,  /* candidates disagree */
	AB_CORE_UNSUITED,   /* found, but not usable as accessed: a bit-field read directly, a value that does not fit, a size that cannot change */
};

struct ab_core_value {
	enum ab_core_status status;
	bool poison;        /* the instruction becomes an invalid call, fatal only if reached */
	uint64_t value;     /* for the instruction, when not poison */
	uint64_t local;     /* what the compiler put there */
	uint32_t target;    /* type id in the target that matched, 0 if none */
	uint32_t local_size, target_size; /* bytes of the member for BYTE_OFFSET, for load and store size adjustment; 0: none */
};

int ab_core_parse(const struct ab_btf *local, const struct bpf_core_relo *relo, struct ab_core_spec *ret_spec, struct ab_error *err);
/* Answers for one target. Only damaged input fails; a relocation that cannot be satisfied is an answer, with its reason in `why` (may be NULL). */
int ab_core_resolve(const struct ab_core_spec *spec, const struct ab_btf *target, struct ab_core_value *ret_value, struct text *why,
		    struct ab_error *err);
/* Writes the value into an instruction (two slots for ld_imm64), as bpf_core_patch_insn() does: -EINVAL/FORMAT where the instruction does not fit. */
int ab_core_patch(struct bpf_insn *insn, size_t n_insns, const struct ab_core_spec *spec, const struct ab_core_value *value, struct ab_error *err);
/* "struct task_struct::__state", "enum bpf_func_id::BPF_FUNC_x", as libbpf's log has it: "<byte_off> [12] struct a.b.c (0:1:2 @ offset 16)". */
void ab_core_describe(const struct ab_core_spec *spec, struct text *out);
/* Whether two types are compatible as bpf_core_type_matches() means it. */
bool ab_core_type_matches(const struct ab_btf *local, uint32_t local_id, const struct ab_btf *target, uint32_t target_id);

#endif
