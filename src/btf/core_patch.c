/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Answers put into instructions: assignments and additions of a constant, loads and stores (also their width), and 64-bit
 * constants. Wording and refusals are libbpf's.
 */
#include <limits.h>
#include "core_internal.h"

/* An invalid helper: a verifier that gets there says "invalid func unknown#195896080", 0xbad2310. */
#define BAD_RELOCATION 195896080
#define UNEXPECTED(err, ...) ab_fail(err, AB_ERROR_FORMAT, -EINVAL, __VA_ARGS__)

typedef unsigned long long ull;

static bool is_ld_imm64(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static int poison(struct bpf_insn *insn, size_t n)
{
	size_t slots = is_ld_imm64(insn) && n > 1 ? 2 : 1;

	for (size_t i = 0; i < slots; i++)
		insn[i] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BAD_RELOCATION };
	return 1;
}

static int patch_constant(struct bpf_insn *insn, const struct ab_core_value *v, struct ab_error *err)
{
	if (BPF_SRC(insn->code) != BPF_K)
		return UNEXPECTED(err, "unexpected insn (ALU/ALU64): it has no constant");
	if (v->checked && (uint64_t)insn->imm != v->local)
		return UNEXPECTED(err, "unexpected insn (ALU/ALU64) value: got %d, exp %llu -> %llu", insn->imm, (ull)v->local,
				  (ull)v->value);
	insn->imm = (int32_t)v->value;
	return 0;
}

static uint32_t width_of(const struct bpf_insn *insn)
{
	switch (BPF_SIZE(insn->code)) {
	case BPF_DW: return 8;
	case BPF_W: return 4;
	case BPF_H: return 2;
	default: return 1;
	}
}

static int resize(struct bpf_insn *insn, const struct ab_core_value *v, struct ab_error *err)
{
	uint8_t size;

	if (width_of(insn) != v->local_size)
		return UNEXPECTED(err, "insn (LDX/ST/STX) unexpected mem size: got %u, exp %u", width_of(insn), v->local_size);
	switch (v->target_size) {
	case 8: size = BPF_DW; break;
	case 4: size = BPF_W; break;
	case 2: size = BPF_H; break;
	case 1: size = BPF_B; break;
	default: return UNEXPECTED(err, "insn (LDX/ST/STX) invalid new mem size: %u", v->target_size);
	}
	insn->code = BPF_MODE(insn->code) | size | BPF_CLASS(insn->code);
	return 0;
}

static int patch_access(struct bpf_insn *insn, size_t n, const struct ab_core_value *v, struct ab_error *err)
{
	struct bpf_insn patched = *insn;
	int r = 0;

	if (v->checked && (uint64_t)insn->off != v->local)
		return UNEXPECTED(err, "unexpected insn (LDX/ST/STX) value: got %d, exp %llu -> %llu", insn->off, (ull)v->local,
				  (ull)v->value);
	if (v->value > SHRT_MAX)
		return ab_fail(err, AB_ERROR_RELOCATION, -ERANGE, "insn (LDX/ST/STX) value too big: %llu", (ull)v->value);
	if (v->fixed_size)
		return poison(insn, n);
	patched.off = (int16_t)v->value;
	if (v->local_size != v->target_size)
		r = resize(&patched, v, err);
	if (!r)
		*insn = patched;
	return r;
}

static int patch_imm64(struct bpf_insn *insn, size_t n, const struct ab_core_value *v, struct ab_error *err)
{
	uint64_t imm;

	if (!is_ld_imm64(insn) || insn->src_reg || insn->off || n < 2 || insn[1].code || insn[1].dst_reg || insn[1].src_reg ||
	    insn[1].off)
		return UNEXPECTED(err, "insn (LDIMM64) has unexpected form");
	imm = (uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm << 32;
	if (v->checked && imm != v->local)
		return UNEXPECTED(err, "unexpected insn (LDIMM64) value: got %llu, exp %llu -> %llu", (ull)imm, (ull)v->local,
				  (ull)v->value);
	insn[0].imm = (int32_t)v->value;
	insn[1].imm = (int32_t)(v->value >> 32);
	return 0;
}

int ab_core_patch(struct bpf_insn *insn, size_t n_insns, const struct ab_core_spec *spec, const struct ab_core_value *value,
		  struct ab_error *err)
{
	if (!n_insns)
		return UNEXPECTED(err, "no instruction where <%s> is to be written", ab_core_relo_word(spec->kind));
	if (value->status == AB_CORE_AMBIGUOUS || value->status == AB_CORE_UNSUITED)
		return ab_fail(err, AB_ERROR_RELOCATION, -EINVAL, "<%s> has no answer", ab_core_relo_word(spec->kind));
	if (value->poison)
		return poison(insn, n_insns);
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return patch_constant(insn, value, err);
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX:
		return patch_access(insn, n_insns, value, err);
	case BPF_LD:
		return patch_imm64(insn, n_insns, value, err);
	default:
		return UNEXPECTED(err, "trying to relocate unrecognized insn, code:0x%x, src:0x%x, dst:0x%x, off:0x%x, imm:0x%x",
				  insn->code, insn->src_reg, insn->dst_reg, (unsigned)(uint16_t)insn->off, (unsigned)insn->imm);
	}
}
