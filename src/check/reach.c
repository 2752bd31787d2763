/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which instructions of a program a verifier reaches: constants are followed through registers and the stack, and a
 * branch whose condition is known is taken one way only.
 *
 * The constants that matter come from CO-RE relocations (bpf_core_field_exists() and the like), read-only data and
 * externs, so this needs none of the verifier's ranges. Where ways meet, what differs is unknown: at worst code counts
 * as reached that the verifier, which goes each way by itself, would not reach.
 */
#include "check.h"

#define STACK_SLOTS 64 /* of 8 bytes */
#define MEMORY_LIMIT (256u << 20)

enum value_kind {
	VALUE_NONE,    /* nothing was written yet */
	VALUE_CONST,
	VALUE_STACK,   /* r10 + v */
	VALUE_DATA,    /* byte v of section `section` */
	VALUE_EXTERN,  /* the address of external `section` */
	VALUE_NOT_NULL,
	VALUE_ANY,
};

struct value {
	uint8_t kind;
	uint32_t section;
	uint64_t v;
};

/* Eight bytes of the stack; a bit in `known` for each that is. */
struct slot {
	uint64_t bytes;
	uint8_t known;
};

struct state {
	struct value regs[11];
	struct slot stack[STACK_SLOTS];
};

struct reach {
	const struct ab_check *check;
	const struct code *code;
	const struct kernel *kernel;
	uint8_t *reached;
	struct state **at;      /* for each instruction where ways meet: what is known there */
	struct value *returns;  /* for each function */
	uint32_t *work;         /* instructions to go on from, each with a state */
	size_t n_work, cap_work;
	size_t memory;
	bool give_up;           /* out of memory */
};

static const struct value any = { .kind = VALUE_ANY }, not_null = { .kind = VALUE_NOT_NULL };

static struct value constant(uint64_t v)
{
	return (struct value){ VALUE_CONST, 0, v };
}

/* ---- where ways meet ---- */

static bool same_value(const struct value *a, const struct value *b)
{
	return a->kind == b->kind && a->section == b->section && a->v == b->v;
}

/* Lets `to` know no more than both; true if that changed it. */
static bool merge_value(struct value *to, const struct value *from)
{
	if (from->kind == VALUE_NONE || to->kind == VALUE_ANY || same_value(to, from))
		return false;
	*to = to->kind == VALUE_NONE ? *from : any;
	return true;
}

static bool merge_slot(struct slot *to, const struct slot *from)
{
	uint8_t known = 0;

	for (int i = 0; i < 8; i++)
		if (to->known & from->known & 1 << i && (uint8_t)(to->bytes >> 8 * i) == (uint8_t)(from->bytes >> 8 * i))
			known |= 1 << i;
	if (known == to->known)
		return false;
	to->known = known;
	return true;
}

static bool merge_state(struct state *to, const struct state *from)
{
	bool changed = false;

	for (size_t i = 0; i < ARRAY_SIZE(to->regs); i++)
		changed |= merge_value(&to->regs[i], &from->regs[i]);
	for (size_t i = 0; i < STACK_SLOTS; i++)
		changed |= merge_slot(&to->stack[i], &from->stack[i]);
	return changed;
}

static void push_work(struct reach *r, uint32_t insn)
{
	uint32_t *more;

	if (r->n_work == r->cap_work) {
		more = reallocarray(r->work, r->cap_work ? 2 * r->cap_work : 256, sizeof(*more));
		if (!more) {
			r->give_up = true;
			return;
		}
		r->work = more;
		r->cap_work = r->cap_work ? 2 * r->cap_work : 256;
	}
	r->work[r->n_work++] = insn;
}

/* Brings a state to where ways meet; true if something new came. */
static bool arrive(struct reach *r, uint32_t insn, const struct state *state)
{
	if (r->at[insn])
		return merge_state(r->at[insn], state);
	r->memory += sizeof(*state);
	r->at[insn] = r->memory <= MEMORY_LIMIT ? malloc(sizeof(*state)) : NULL;
	if (!r->at[insn]) {
		r->give_up = true;
		return false;
	}
	*r->at[insn] = *state;
	return true;
}

static void send(struct reach *r, uint32_t insn, const struct state *state)
{
	if (insn != NONE && arrive(r, insn, state))
		push_work(r, insn);
}

/* ---- arithmetic ---- */

static bool compute(uint8_t op, bool is64, int16_t off, uint64_t a, uint64_t b, uint64_t *ret)
{
	unsigned shift = b & (is64 ? 63 : 31);

	if (!is64) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (op) {
	case BPF_ADD: a += b; break;
	case BPF_SUB: a -= b; break;
	case BPF_MUL: a *= b; break;
	case BPF_OR: a |= b; break;
	case BPF_AND: a &= b; break;
	case BPF_XOR: a ^= b; break;
	case BPF_LSH: a <<= shift; break;
	case BPF_RSH: a >>= shift; break;
	case BPF_ARSH: a = is64 ? (uint64_t)((int64_t)a >> shift) : (uint64_t)((int32_t)a >> shift); break;
	case BPF_NEG: a = -a; break;
	case BPF_DIV:
	case BPF_MOD:
		if (off)
			return false;
		if (op == BPF_DIV)
			a = b ? a / b : 0;
		else
			a = b ? a % b : a;
		break;
	case BPF_MOV:
		a = off == 8  ? (uint64_t)(int8_t)b :
		    off == 16 ? (uint64_t)(int16_t)b :
		    off == 32 ? (uint64_t)(int32_t)b :
				b;
		break;
	default: return false;
	}
	*ret = is64 ? a : (uint32_t)a;
	return true;
}

static struct value swap_bytes(const struct bpf_insn *in, struct value v)
{
	bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	bool swap = BPF_CLASS(in->code) == BPF_ALU64 || (BPF_SRC(in->code) == BPF_TO_LE) == big;

	if (v.kind != VALUE_CONST)
		return any;
	switch (in->imm) {
	case 16: return constant(swap ? __builtin_bswap16((uint16_t)v.v) : (uint16_t)v.v);
	case 32: return constant(swap ? __builtin_bswap32((uint32_t)v.v) : (uint32_t)v.v);
	case 64: return constant(swap ? __builtin_bswap64(v.v) : v.v);
	default: return any;
	}
}

static void step_alu(struct state *s, const struct bpf_insn *in)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	struct value *dst = &s->regs[in->dst_reg],
		     src = BPF_SRC(in->code) == BPF_X ? s->regs[in->src_reg] : constant((uint64_t)(int64_t)in->imm);
	uint8_t op = BPF_OP(in->code);
	uint64_t v;

	if (op == BPF_END)
		*dst = swap_bytes(in, *dst);
	else if (op == BPF_MOV && is64 && !in->off)
		*dst = src;
	else if (src.kind == VALUE_CONST && (dst->kind == VALUE_CONST || op == BPF_MOV) &&
		 compute(op, is64, in->off, dst->v, src.v, &v))
		*dst = constant(v);
	else if (op == BPF_XOR && BPF_SRC(in->code) == BPF_X && in->src_reg == in->dst_reg)
		*dst = constant(0);
	else if (op == BPF_NEG && dst->kind == VALUE_CONST)
		*dst = constant(is64 ? -dst->v : (uint32_t)-dst->v);
	else if (is64 && (op == BPF_ADD || op == BPF_SUB) && src.kind == VALUE_CONST &&
		 (dst->kind == VALUE_STACK || dst->kind == VALUE_DATA))
		dst->v += op == BPF_ADD ? src.v : -src.v;
	else
		*dst = any;
}

/* ---- memory ---- */

/* The bytes [at, at + size) of the stack, counted from its end: -8 is the first slot. False if that is outside. */
static bool in_stack(uint64_t at, uint64_t size)
{
	int64_t from = (int64_t)at;

	return from >= -(int64_t)STACK_SLOTS * 8 && from < 0 && size <= (uint64_t)-from;
}

static void write_stack(struct state *s, uint64_t at, size_t size, const struct value *v)
{
	uint64_t from = at + STACK_SLOTS * 8;

	for (size_t i = 0; i < size; i++) {
		struct slot *slot = &s->stack[(from + i) / 8];
		unsigned bit = (from + i) % 8;

		slot->known &= ~(1 << bit);
		if (!v || v->kind != VALUE_CONST || i >= 8)
			continue;
		slot->known |= 1 << bit;
		slot->bytes &= ~(0xffULL << 8 * bit);
		slot->bytes |= (v->v >> 8 * i & 0xff) << 8 * bit;
	}
}

static struct value read_stack(const struct state *s, uint64_t at, size_t size)
{
	uint64_t from = at + STACK_SLOTS * 8, v = 0;

	for (size_t i = 0; i < size; i++) {
		const struct slot *slot = &s->stack[(from + i) / 8];
		unsigned bit = (from + i) % 8;

		if (!(slot->known >> bit & 1))
			return any;
		v |= (slot->bytes >> 8 * bit & 0xff) << 8 * i;
	}
	return constant(v);
}

static void forget_stack(struct state *s, uint64_t at)
{
	uint64_t from = at + STACK_SLOTS * 8;

	for (uint64_t i = from <= STACK_SLOTS * 8 ? from / 8 : 0; i < STACK_SLOTS; i++)
		s->stack[i].known = 0;
}

/* Read-only data, which verifiers know since 5.5. */
static struct value read_data(const struct reach *r, const struct value *base, uint64_t at, size_t size)
{
	const struct section *s = &r->code->sections[base->section];
	uint64_t v = 0;

	if (!kernel_can(r->kernel, FEATURE_CONSTANTS) || !str_starts(s->name, ".rodata") || at > s->size ||
	    size > s->size - at)
		return any;
	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)s->data[at + i] << 8 * i;
	return constant(v);
}

/* What libbpf computes by itself; other configuration is not in a kernel's types. */
static struct value read_extern(const struct reach *r, const struct value *base)
{
	const struct external *e = &r->code->externals[base->section];

	if (e->kind == EXTERN_CONFIG && kernel_can(r->kernel, FEATURE_CONSTANTS)) {
		if (!strcmp(e->name, "LINUX_KERNEL_VERSION") && r->kernel->version)
			return constant(r->kernel->version);
		if (!strcmp(e->name, "LINUX_HAS_BPF_COOKIE"))
			return constant(abi_has(r->kernel->abi.helpers, BPF_FUNC_get_attach_cookie));
	}
	return any;
}

static size_t access_size(uint8_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B: return 1;
	case BPF_H: return 2;
	case BPF_W: return 4;
	default: return 8;
	}
}

static void step_load(struct reach *r, struct state *s, const struct bpf_insn *in)
{
	const struct value base = s->regs[in->src_reg];
	size_t size = access_size(in->code);
	uint64_t at = base.v + (uint64_t)(int64_t)in->off;
	struct value *dst = &s->regs[in->dst_reg];

	if (BPF_MODE(in->code) != BPF_MEM)
		*dst = any;
	else if (base.kind == VALUE_STACK && in_stack(at, size))
		*dst = read_stack(s, at, size);
	else if (base.kind == VALUE_DATA)
		*dst = read_data(r, &base, at, size);
	else if (base.kind == VALUE_EXTERN && !in->off)
		*dst = read_extern(r, &base);
	else
		*dst = any;
}

static void step_store(struct state *s, const struct bpf_insn *in)
{
	const struct value base = s->regs[in->dst_reg];
	struct value v = BPF_CLASS(in->code) == BPF_STX ? s->regs[in->src_reg] : constant((uint64_t)(int64_t)in->imm);
	bool atomic = BPF_CLASS(in->code) == BPF_STX && BPF_MODE(in->code) == BPF_ATOMIC;
	uint64_t at = base.v + (uint64_t)(int64_t)in->off;

	/* A pointer to the stack that is no longer known is not followed: compilers spill by r10 itself. */
	if (base.kind == VALUE_STACK && in_stack(at, access_size(in->code)))
		write_stack(s, at, access_size(in->code), atomic ? NULL : &v);
	if (!atomic)
		return;
	if (in->imm == BPF_CMPXCHG)
		s->regs[0] = any;
	else if (in->imm & BPF_FETCH)
		s->regs[in->src_reg] = any;
}

/* A load of 64 bits: a constant, or an address. */
static void step_wide(const struct reach *r, struct state *s, uint32_t insn)
{
	const struct bpf_insn *in = &r->code->insns[insn];
	struct value *dst = &s->regs[in->dst_reg];
	const struct ref *ref = r->code->ref_of[insn] != NONE ? &r->code->refs[r->code->ref_of[insn]] : NULL;

	if (!ref) {
		*dst = in->src_reg ? any : constant((uint32_t)in->imm | (uint64_t)(uint32_t)in[1].imm << 32);
	} else if (ref->kind == REF_DATA) {
		*dst = (struct value){ VALUE_DATA, ref->index, ref->offset };
	} else if (ref->kind == REF_EXTERN) {
		const struct external *e = &r->code->externals[ref->index];

		if (e->kind == EXTERN_CONFIG)
			*dst = (struct value){ VALUE_EXTERN, ref->index, 0 };
		else
			*dst = kernel_has(r->kernel, e->question) ? not_null : e->weak ? constant(0) : any;
	} else {
		*dst = not_null;
	}
}

/* ---- calls ---- */

/* Whether a helper leaves the memory alone that it is given. */
static bool is_reader(int32_t helper)
{
	return helper == BPF_FUNC_map_lookup_elem || helper == BPF_FUNC_map_update_elem ||
	       helper == BPF_FUNC_map_delete_elem || helper == BPF_FUNC_trace_printk ||
	       helper == BPF_FUNC_perf_event_output || helper == BPF_FUNC_ringbuf_output;
}

/* What is called may write to the stack where it is given a pointer: as far as the next argument says, or to the end. */
static void clobber_stack(struct state *s)
{
	for (int i = BPF_REG_1; i <= BPF_REG_5; i++) {
		const struct value *size = i < BPF_REG_5 ? &s->regs[i + 1] : NULL, *before = &s->regs[i - 1];
		uint64_t at = s->regs[i].v;

		if (s->regs[i].kind != VALUE_STACK)
			continue;
		if (size && size->kind == VALUE_CONST && in_stack(at, size->v))
			write_stack(s, at, size->v, NULL);
		else if (i > BPF_REG_1 && before->kind == VALUE_CONST && in_stack(at, before->v))
			write_stack(s, at, before->v, NULL);
		else
			forget_stack(s, at);
	}
}

static void end_call(struct state *s, struct value result)
{
	for (int i = BPF_REG_1; i <= BPF_REG_5; i++)
		s->regs[i] = (struct value){};
	s->regs[0] = result;
}

static void enter_function(struct reach *r, uint32_t function, const struct state *caller)
{
	const struct function *f = &r->code->functions[function];
	struct state entry = { .regs[BPF_REG_10].kind = VALUE_STACK };

	for (int i = BPF_REG_1; i <= BPF_REG_5; i++) {
		bool known = caller && !f->global && caller->regs[i].kind != VALUE_STACK;

		entry.regs[i] = known ? caller->regs[i] : any;
	}
	send(r, f->first, &entry);
}

/* Goes into one of the object's functions; false: nothing came back yet. */
static bool step_function(struct reach *r, struct state *s, uint32_t to)
{
	uint32_t function = ab_check_function_at(r->code, to);
	struct value result = any;

	if (function != NONE) {
		enter_function(r, function, s);
		if (!r->code->functions[function].global)
			result = r->returns[function];
	}
	if (result.kind == VALUE_NONE)
		return false;
	clobber_stack(s);
	end_call(s, result);
	return true;
}

/* A function came to its end: those who called it go on. */
static void leave_function(struct reach *r, uint32_t insn, const struct value *result)
{
	uint32_t function = ab_check_function_at(r->code, insn);
	struct value v = result->kind == VALUE_CONST ? *result : any;

	if (function == NONE || !merge_value(&r->returns[function], &v))
		return;
	for (uint32_t i = r->code->functions[function].caller; i != NONE; i = r->code->next_caller[i])
		if (r->at[i])
			push_work(r, i);
}

/* ---- jumps ---- */

static bool is_not_null(const struct value *v)
{
	return v->kind == VALUE_STACK || v->kind == VALUE_DATA || v->kind == VALUE_EXTERN || v->kind == VALUE_NOT_NULL;
}

/* 1: taken, 0: not, -1: who knows. */
static int decide(const struct bpf_insn *in, const struct value *a, const struct value *b)
{
	bool is64 = BPF_CLASS(in->code) == BPF_JMP;
	uint64_t x = is64 ? a->v : (uint32_t)a->v, y = is64 ? b->v : (uint32_t)b->v;
	int64_t sx = is64 ? (int64_t)x : (int32_t)x, sy = is64 ? (int64_t)y : (int32_t)y;

	if (is_not_null(a) && b->kind == VALUE_CONST && !b->v && is64)
		return BPF_OP(in->code) == BPF_JEQ ? 0 : BPF_OP(in->code) == BPF_JNE ? 1 : -1;
	if (a->kind != VALUE_CONST || b->kind != VALUE_CONST)
		return -1;
	switch (BPF_OP(in->code)) {
	case BPF_JEQ: return x == y;
	case BPF_JNE: return x != y;
	case BPF_JGT: return x > y;
	case BPF_JGE: return x >= y;
	case BPF_JLT: return x < y;
	case BPF_JLE: return x <= y;
	case BPF_JSET: return (x & y) != 0;
	case BPF_JSGT: return sx > sy;
	case BPF_JSGE: return sx >= sy;
	case BPF_JSLT: return sx < sy;
	case BPF_JSLE: return sx <= sy;
	default: return -1;
	}
}

/* A conditional jump; false: the next instruction is not reached. */
static bool step_branch(struct reach *r, struct state *s, uint32_t insn)
{
	const struct bpf_insn *in = &r->code->insns[insn];
	struct value *a = &s->regs[in->dst_reg],
		     b = BPF_SRC(in->code) == BPF_X ? s->regs[in->src_reg] : constant((uint64_t)(int64_t)in->imm);
	bool known = b.kind == VALUE_CONST && BPF_CLASS(in->code) == BPF_JMP && a->kind == VALUE_ANY;
	int taken = decide(in, a, &b);
	struct value before = *a;

	if (taken) {
		if (known && BPF_OP(in->code) == BPF_JEQ)
			*a = b;
		send(r, ab_check_jump(r->code, insn), s);
		*a = before;
	}
	if (known && BPF_OP(in->code) == BPF_JNE)
		*a = b;
	return taken != 1;
}

/* ---- instructions ---- */

bool ab_check_is_poison(const struct bpf_insn *in, const struct ab_core_value *value)
{
	uint8_t class = BPF_CLASS(in->code);

	return value->poison || value->status == AB_CORE_AMBIGUOUS || value->status == AB_CORE_UNSUITED ||
	       (value->fixed_size && (class == BPF_LDX || class == BPF_ST || class == BPF_STX));
}

/* An instruction with a relocation holds what the kernel answers; a poisoned one ends the way. */
static bool step_relocated(struct reach *r, struct state *s, uint32_t insn, uint32_t relo)
{
	const struct relo *from = &r->code->relos[relo];
	const struct ab_core_value *value = &r->kernel->groups[from->group]->list[from->slot].value;
	const struct bpf_insn *in = &r->code->insns[insn];
	uint8_t class = BPF_CLASS(in->code);
	struct bpf_insn patched;

	if (ab_check_is_poison(in, value))
		return false;
	if (insn_is_wide(in)) {
		s->regs[in->dst_reg] = constant(value->value);
	} else if (class == BPF_ALU || class == BPF_ALU64) {
		patched = *in;
		patched.imm = (int32_t)value->value;
		step_alu(s, &patched);
	} else if (class == BPF_LDX) {
		s->regs[in->dst_reg] = any;
	}
	return true;
}

/* One instruction; returns the next one, or NONE where this way ends. */
static uint32_t step(struct reach *r, struct state *s, uint32_t insn)
{
	const struct bpf_insn *in = &r->code->insns[insn];
	uint8_t class = BPF_CLASS(in->code);
	uint32_t next = insn + 1 + insn_is_wide(in), to;

	if (in->dst_reg > BPF_REG_10 || in->src_reg > BPF_REG_10)
		return NONE;
	if (r->code->relo_of[insn] != NONE && !step_relocated(r, s, insn, r->code->relo_of[insn]))
		return NONE;
	if (r->code->relo_of[insn] != NONE)
		return next;
	if (class == BPF_ALU || class == BPF_ALU64) {
		step_alu(s, in);
	} else if (class == BPF_LDX) {
		step_load(r, s, in);
	} else if (class == BPF_ST || class == BPF_STX) {
		step_store(s, in);
	} else if (insn_is_wide(in)) {
		step_wide(r, s, insn);
		if (in->src_reg == BPF_PSEUDO_FUNC && r->code->ref_of[insn] != NONE &&
		    r->code->refs[r->code->ref_of[insn]].kind == REF_FUNCTION)
			enter_function(r, r->code->refs[r->code->ref_of[insn]].index, NULL);
	} else if (class == BPF_LD) {
		s->regs[0] = any;
	} else if (BPF_OP(in->code) == BPF_EXIT) {
		leave_function(r, insn, &s->regs[0]);
		return NONE;
	} else if (insn_is_call(in)) {
		to = ab_check_jump(r->code, insn);
		if (to != NONE)
			return step_function(r, s, to) ? next : NONE;
		if (in->src_reg || !is_reader(in->imm))
			clobber_stack(s);
		end_call(s, any);
	} else if (BPF_OP(in->code) == BPF_JA) {
		return ab_check_jump(r->code, insn);
	} else {
		return step_branch(r, s, insn) ? next : NONE;
	}
	return next;
}

/* Follows one way until it ends, leaves its function, or brings nothing new. */
static void walk(struct reach *r, uint32_t insn)
{
	const struct function *f;
	uint32_t function = ab_check_function_at(r->code, insn);
	struct state s = *r->at[insn];
	bool fresh = true;

	if (function == NONE)
		return;
	f = &r->code->functions[function];
	while (!r->give_up && insn != NONE && insn - f->first < f->count) {
		if (r->code->is_merge[insn] && !fresh) {
			if (!arrive(r, insn, &s))
				return;
			s = *r->at[insn];
		}
		fresh = false;
		r->reached[insn / 8] |= 1 << insn % 8;
		if (insn_is_wide(&r->code->insns[insn]) && insn + 1 - f->first >= f->count)
			return;
		insn = step(r, &s, insn);
	}
}

static void reach_all(struct reach *r, const struct program *program)
{
	for (size_t f = 0; f < program->n_functions; f++) {
		const struct function *function = &r->code->functions[program->functions[f]];

		for (uint32_t i = 0; i < function->count; i++)
			r->reached[(function->first + i) / 8] |= 1 << (function->first + i) % 8;
	}
}

int ab_check_reach(const struct ab_check *check, const struct program *program, const struct kernel *kernel,
		   uint8_t *reached)
{
	struct reach r = { .check = check, .code = &check->code, .kernel = kernel, .reached = reached };
	bool ok;

	r.at = array_new(check->code.n_insns, sizeof(*r.at));
	r.returns = array_new(check->code.n_functions, sizeof(*r.returns));
	ok = r.at && r.returns;
	if (ok)
		enter_function(&r, program->function, NULL);
	while (ok && r.n_work && !r.give_up)
		walk(&r, r.work[--r.n_work]);
	/* Code too large to be followed: all of it counts. */
	if (ok && r.give_up)
		reach_all(&r, program);
	for (uint32_t i = 0; r.at && i < check->code.n_insns; i++)
		free(r.at[i]);
	free(r.at);
	free(r.returns);
	free(r.work);
	return ok ? 0 : -ENOMEM;
}
