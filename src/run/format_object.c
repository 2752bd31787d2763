/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What formats ask of their object: types by name, and addresses and stack ids by its stack maps and symbolizer. */
#include "format_plan.h"
#include "run.h"

/* A file's name without its directories, a module's without ".ko". */
static const char *short_module(const char *module)
{
	return module && *module ? path_base(module) : NULL;
}

bool ab_frame_text(const struct ab_format *f, bool user, int pid, uint64_t address, char buf[FRAME_MAX])
{
	struct ab_symbols *symbols = f->owner ? ab_object_symbols(f->owner) : NULL;
	struct ab_symbol symbol = {};
	const char *module;

	if (symbols && user)
		ab_symbols_user(symbols, pid, address, &symbol, NULL);
	else if (symbols)
		ab_symbols_kernel(symbols, address, &symbol, NULL);
	module = short_module(symbol.module);
	if (symbol.name) {
		/* A long C++ name must not push the offset out. */
		snprintf(buf, FRAME_MAX, "%.*s+0x%llx", FRAME_MAX - 32, symbol.name, (unsigned long long)symbol.offset);
		return true;
	}
	if (user && module) {
		snprintf(buf, FRAME_MAX, "%.*s+0x%llx", FRAME_MAX - 32, module, (unsigned long long)symbol.offset);
		return true;
	}
	snprintf(buf, FRAME_MAX, "0x%llx", (unsigned long long)address);
	return false;
}

int ab_stack_read(const struct ab_format *f, const struct op *op, int64_t id, uint64_t addresses[STACK_MAX])
{
	const char *map = op->map ? f->strings + op->map : NULL;
	int n;

	if (!f->owner || id < 0 || !ab_object_symbols(f->owner))
		return -1;
	n = ab_object_stack(f->owner, map, id, addresses, STACK_MAX);
	return MIN(n, STACK_MAX);
}

int ab_op_pid(const struct op *op, const uint8_t *base, size_t size)
{
	int32_t pid = 0;

	if (op->pid_size && (size_t)op->pid_offset + op->pid_size <= size)
		memcpy(&pid, base + op->pid_offset, op->pid_size);
	return pid;
}

int ab_format_new(struct ab_object *object, const char *type, struct ab_format **ret_format, struct ab_error *err)
{
	const struct ab_btf *btf = ab_object_btf(object);
	uint32_t id = btf ? ab_btf_find_c(btf, type) : 0;
	_free_ char *nearest = NULL;

	if (id)
		return ab_format_make(object, btf, id, NULL, NULL, ret_format, err);
	nearest = btf ? ab_btf_nearest(btf, type) : NULL;
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no type '%.100s' in '%s'%s%s%s", type, ab_object_name(object),
		       DID_YOU_MEAN(nearest));
}
