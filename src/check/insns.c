/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What instructions ask of a kernel by themselves: the instruction set that they are of, and loops. */
#include "check.h"

/* Numbers of the kernel's ABI that headers of older distributions lack. */
#define MODE_MEMSX 0x80
#define OP_JCOND 0xe0
#define ATOMIC_LOAD_ACQUIRE 0x100
#define ATOMIC_STORE_RELEASE 0x110

/*
 * Since 4.20 a kernel looks at all opcodes before it follows a program, so unknown ones fail it wherever they are. What is
 * only encoded in offsets and immediates is looked at where it is reached.
 */
enum feature ab_check_insn_feature(const struct bpf_insn *in, bool *ret_always)
{
	uint8_t class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	*ret_always = true;
	switch (class) {
	case BPF_JMP32: return op == BPF_JA ? FEATURE_V4 : FEATURE_JMP32;
	case BPF_JMP: return op == OP_JCOND ? FEATURE_MAY_GOTO : FEATURE_COUNT;
	case BPF_LDX: return BPF_MODE(in->code) == MODE_MEMSX ? FEATURE_V4 : FEATURE_COUNT;
	case BPF_STX:
		if (BPF_MODE(in->code) != BPF_ATOMIC || in->imm == BPF_ADD)
			return FEATURE_COUNT;
		return in->imm == ATOMIC_LOAD_ACQUIRE || in->imm == ATOMIC_STORE_RELEASE ? FEATURE_ACQUIRE : FEATURE_FETCH;
	case BPF_ALU64:
		if (op == BPF_END)
			return FEATURE_V4;
		break;
	case BPF_ALU: break;
	default: return FEATURE_COUNT;
	}
	*ret_always = false;
	if (!in->off || (op != BPF_MOV && op != BPF_DIV && op != BPF_MOD))
		return FEATURE_COUNT;
	return op == BPF_MOV && in->off == 1 ? FEATURE_ARENA : FEATURE_V4;
}

/* ---- loops ---- */

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct walk {
	const struct code *code;
	const struct function *f;
	uint8_t *marks;     /* of the function's instructions */
	uint32_t *stack;    /* the way to where the walk is */
	uint8_t *tried;     /* how many of their successors were */
	uint32_t n;
};

/* The nth instruction that may follow one of the function's; NONE if there are not so many. */
static uint32_t successor(const struct walk *w, uint32_t at, unsigned nth)
{
	uint32_t insn = w->f->first + at, to;
	const struct bpf_insn *in = &w->code->insns[insn];
	uint8_t class = BPF_CLASS(in->code), op = BPF_OP(in->code);
	bool jumps = (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;

	if (class == BPF_JMP && op == BPF_EXIT)
		return NONE;
	if (nth == 0 && !(jumps && op == BPF_JA))
		to = insn + 1 + insn_is_wide(in);
	else if (jumps && nth == (op != BPF_JA))
		to = ab_check_jump(w->code, insn);
	else
		return NONE;
	return to != NONE && to - w->f->first < w->f->count ? to - w->f->first : NONE;
}

static bool find_loop(struct walk *w, uint32_t *ret_insn)
{
	w->stack[w->n++] = 0;
	w->marks[0] = MARK_OPEN;
	while (w->n) {
		uint32_t at = w->stack[w->n - 1], to;

		if (w->tried[at] == 2) {
			w->marks[at] = MARK_DONE;
			w->n--;
			continue;
		}
		to = successor(w, at, w->tried[at]++);
		if (to == NONE || w->marks[to] == MARK_DONE)
			continue;
		if (w->marks[to] == MARK_OPEN) {
			*ret_insn = w->f->first + at;
			return true;
		}
		w->marks[to] = MARK_OPEN;
		w->stack[w->n++] = to;
	}
	return false;
}

int ab_check_find_loop(const struct code *code, uint32_t function, uint32_t *ret_insn)
{
	const struct function *f = &code->functions[function];
	_free_ uint8_t *marks = array_new(f->count, 1), *tried = array_new(f->count, 1);
	_free_ uint32_t *stack = array_new(f->count, sizeof(*stack));
	struct walk w = { .code = code, .f = f, .marks = marks, .stack = stack, .tried = tried };

	if (!marks || !tried || !stack)
		return -ENOMEM;
	*ret_insn = NONE;
	find_loop(&w, ret_insn);
	return 0;
}
