/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CO-RE relocations: what an object asks of the kernel's types, and what a kernel's types answer.
 *
 * The rules are libbpf's (tools/lib/bpf/relo_core.c) for all kinds of enum bpf_core_relo_kind; tests run the kernel's
 * core_reloc selftests.
 *
 *	ab_core_parse(object_btf, relo, &spec, &err);       what is asked, once for an object
 *	ab_core_resolve(&spec, kernel_btf, &value, &why, &err);  what one kernel answers
 *	ab_core_patch(insn, n, &spec, &value, &err);        the answer in the instruction
 */
#ifndef AB_BTF_CORE_H
#define AB_BTF_CORE_H

#include <linux/bpf.h>
#include <btf/btf.h>

#define AB_CORE_MAX_DEPTH 64

/* One relocation, parsed against the object's own types; also the way it took through a target's types. */
struct ab_core_spec {
	const struct ab_btf *btf;
	enum bpf_core_relo_kind kind;
	uint32_t root;                      /* type id in btf */
	uint32_t n_raw, n_accessors;
	uint32_t raw[AB_CORE_MAX_DEPTH];    /* the access string, "0:1:2"; for types nothing */
	struct ab_core_accessor {
		uint32_t type, index;       /* struct, union, array element or enum, and member, element or enumerator in it */
		const char *name;           /* member or enumerator; NULL for array elements */
	} accessors[AB_CORE_MAX_DEPTH];
	uint32_t bit_offset;
};

/* What one kernel answers. */
enum ab_core_status {
	AB_CORE_OK,
	AB_CORE_MISSING,    /* no such type, member or enumerator: 0 for types and existence, else the instruction is poisoned */
	AB_CORE_AMBIGUOUS,  /* candidates disagree: the object cannot be loaded */
	AB_CORE_UNSUITED,   /* not to be had as asked, e.g. a bit-field that no load can read: the object cannot be loaded */
};

struct ab_core_value {
	enum ab_core_status status;
	bool poison;        /* the instruction becomes an invalid call, fatal only if reached */
	bool checked;       /* the instruction has to hold `local`; about bit-fields and type ids compilers may differ */
	bool fixed_size;    /* sizes differ in a way that no load or store can follow: if the instruction is one, it is poisoned */
	uint64_t value;     /* for the instruction, when not poison */
	uint64_t local;     /* what the compiler put there */
	uint32_t target;    /* type id in the target that matched, 0 if none */
	uint32_t local_size, target_size; /* bytes of the member for BYTE_OFFSET, for load and store size adjustment; 0: none */
};

/* Errors: -EBADMSG/FORMAT what the relocation names is not in the types. */
int ab_core_parse(const struct ab_btf *local, const struct bpf_core_relo *relo, struct ab_core_spec *ret_spec,
		  struct ab_error *err);

/*
 * Answers for one target. Only a lack of memory fails; a relocation that cannot be satisfied is an answer, with its reason
 * in `why` (may be NULL). All types of the name are candidates each time, which is stricter than libbpf where a name has
 * several types: see ab_core_target.
 */
int ab_core_resolve(const struct ab_core_spec *spec, const struct ab_btf *target, struct ab_core_value *ret_value,
		    struct text *why, struct ab_error *err);

/*
 * A target that remembers the candidates for each type of one object. As with libbpf, a candidate that did not match a
 * relocation where another did is none for later relocations of that type, so an object's are to be asked in their order.
 * Modules (split BTF) are asked where the kernel has no candidate. The BTFs are borrowed. One thread at a time.
 */
struct ab_core_target;
int ab_core_target_new(const struct ab_btf *kernel, const struct ab_btf *const *modules, size_t n_modules,
		       struct ab_core_target **ret_target, struct ab_error *err);
void ab_core_target_free(struct ab_core_target *target);
int ab_core_target_resolve(struct ab_core_target *target, const struct ab_core_spec *spec, struct ab_core_value *ret_value,
			   struct text *why, struct ab_error *err);
/* Calls `fn` with the way through each candidate that matches, until it returns non-zero, and returns that. */
int ab_core_target_trace(struct ab_core_target *target, const struct ab_core_spec *spec,
			 int (*fn)(void *ctx, const struct ab_core_spec *match), void *ctx, struct ab_error *err);

/*
 * Writes the value into the instruction insn[0] of n_insns that are left (two slots for ld_imm64), as libbpf does. Returns 1
 * if it was poisoned. Errors: -EINVAL/FORMAT the instruction is no such access; -ERANGE/RELOCATION the value does not
 * fit; -EINVAL/RELOCATION the status is AMBIGUOUS or UNSUITED.
 */
int ab_core_patch(struct bpf_insn *insn, size_t n_insns, const struct ab_core_spec *spec, const struct ab_core_value *value,
		  struct ab_error *err);

/* As libbpf's log has it: "<byte_off> [12] struct a.b.c (0:1:2 @ offset 16)", "<enumval_value> [7] enum x::Y = 5". */
void ab_core_describe(const struct ab_core_spec *spec, struct text *out);
/* Whether two types of the same name are compatible as bpf_core_type_matches() means it. */
bool ab_core_type_matches(const struct ab_btf *local, uint32_t local_id, const struct ab_btf *target, uint32_t target_id);

/* Length of a name without its flavour: 4 for "sock___old". */
size_t ab_core_name_length(const char *name);

static inline bool ab_core_is_field(enum bpf_core_relo_kind kind) { return kind <= BPF_CORE_FIELD_RSHIFT_U64; }
static inline bool ab_core_is_enumerator(enum bpf_core_relo_kind kind)
{
	return kind == BPF_CORE_ENUMVAL_EXISTS || kind == BPF_CORE_ENUMVAL_VALUE;
}
static inline bool ab_core_is_type(enum bpf_core_relo_kind kind)
{
	return !ab_core_is_field(kind) && !ab_core_is_enumerator(kind) && kind <= BPF_CORE_TYPE_MATCHES;
}

#endif
