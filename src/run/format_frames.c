/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The call path that a value names, root first, as flame graphs want it: functions without offsets, so that samples in
 * one function add up to one box.
 */
#include "format_plan.h"
#include "run.h"

struct walk {
	const struct ab_format *format;
	const uint8_t *data;
	size_t size;
	int (*frame)(const char *name, bool kernel, void *ctx);
	void *ctx;
	int count;
};

/* The members that matter: of the value and of structs in it, not of array elements. */
struct members {
	const struct op *comm, *tgid, *pid, *user, *kernel;
};

static bool is_integer(const struct op *op)
{
	return op->code == OP_UINT || op->code == OP_INT;
}

static void find_members(const struct ab_format *f, size_t size, struct members *ret)
{
	*ret = (struct members){};
	for (uint32_t i = 0; i < f->op_count; i = f->ops[i].code == OP_ARRAY ? f->ops[i].next : i + 1) {
		const struct op *op = &f->ops[i];
		const char *name = op->key ? op_name(f, op) : "";

		if (op->end > size || op->code == OP_STRUCT || op->code == OP_ARRAY)
			continue;
		if (op->code == OP_KSTACK && !ret->kernel)
			ret->kernel = op;
		else if (op->code == OP_USTACK && !ret->user)
			ret->user = op;
		else if (op->code == OP_TEXT && !ret->comm && !strcmp(name, "comm"))
			ret->comm = op;
		else if (is_integer(op) && !ret->tgid && !strcmp(name, "tgid"))
			ret->tgid = op;
		else if (is_integer(op) && !ret->pid && !strcmp(name, "pid"))
			ret->pid = op;
	}
}

static int give(struct walk *w, const char *name, bool kernel)
{
	int r = w->frame(name, kernel, w->ctx);

	w->count += r == 0;
	return r;
}

static int give_process(struct walk *w, const struct members *m)
{
	const struct op *number = m->tgid ? m->tgid : m->pid;
	char name[64] = "[unknown]";

	if (m->comm) {
		const char *comm = (const char *)w->data + m->comm->offset;
		size_t n = strnlen(comm, op_bytes(m->comm, w->size));

		snprintf(name, sizeof(name), "%.*s", (int)MIN(n, sizeof(name) - 1), comm);
		for (char *c = name; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = '?';
	} else if (number) {
		snprintf(name, sizeof(name), "%lld", (long long)op_load_signed(number, w->data));
	}
	return give(w, name, false);
}

static int give_address(struct walk *w, uint64_t address, bool user, int pid)
{
	struct ab_symbols *symbols = ab_object_symbols(w->format->owner);
	struct ab_symbol symbol = {};
	char name[FRAME_MAX] = "[unknown]";

	if (user)
		ab_symbols_user(symbols, pid, address, &symbol, NULL);
	else
		ab_symbols_kernel(symbols, address, &symbol, NULL);
	if (symbol.name)
		snprintf(name, sizeof(name), "%s", symbol.name);
	else if (symbol.module)
		snprintf(name, sizeof(name), "[%s]", path_base(symbol.module));
	return give(w, name, !user);
}

static int give_stack(struct walk *w, const struct op *op)
{
	bool user = op->code == OP_USTACK;
	uint64_t addresses[STACK_MAX];
	int pid = user ? ab_op_pid(op, w->data, w->size) : 0, r = 0;
	int n = ab_stack_read(w->format, op, op_load_signed(op, w->data), addresses);

	while (r == 0 && n-- > 0)
		r = give_address(w, addresses[n], user, pid);
	return r;
}

int ab_format_frames(const struct ab_format *format, const void *data, size_t size,
		     int (*frame)(const char *name, bool kernel, void *ctx), void *ctx)
{
	struct walk w = { format, data, size, frame, ctx };
	struct members m;
	int r;

	if (!format->owner)
		return 0;
	find_members(format, size, &m);
	if (!m.user && !m.kernel)
		return 0;
	r = give_process(&w, &m);
	if (r == 0 && m.user)
		r = give_stack(&w, m.user);
	if (r == 0 && m.kernel)
		r = give_stack(&w, m.kernel);
	return r < 0 ? r : w.count;
}
