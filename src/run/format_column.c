/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Columns of tables, and the order of values. */
#include "format_plan.h"

static const struct op *column_op(const struct ab_format *f, size_t column)
{
	return column < f->column_count ? &f->ops[f->columns[column]] : NULL;
}

size_t ab_format_column_count(const struct ab_format *f)
{
	return f->column_count;
}

const char *ab_format_column_name(const struct ab_format *f, size_t column)
{
	const struct op *op = column_op(f, column);

	return op && op->key ? op_name(f, op) : "";
}

const char *ab_format_column_unit(const struct ab_format *f, size_t column)
{
	const struct op *op = column_op(f, column);

	return op && op->unit ? f->strings + op->unit : "";
}

/* The longest enumerator, as long as it leaves room for other columns. */
static int names_width(const struct enum_names *names)
{
	uint32_t width = 4;

	for (uint32_t i = 0; i < names->count; i++)
		width = MAX(width, names->items[i].size - 2);
	return MIN(width, 24);
}

/* 64-bit integers are mostly counters and ids: twelve digits, not the twenty that they could have. */
static int integer_width(const struct op *op)
{
	int bits = op->bits ? op->bits : 8 * op->size;

	return bits > 32 ? 12 : bits > 16 ? 9 : bits > 8 ? 5 + op->is_signed : bits > 1 ? 3 + op->is_signed : 1;
}

static int value_width(const struct op *op)
{
	static const uint8_t widths[] = {
		[OP_BOOL] = 5, [OP_FLOAT] = 10, [OP_POINTER] = 18, [OP_IPV4] = 15, [OP_IPV6] = 25, [OP_IP] = 25, [OP_MAC] = 17,
		[OP_PORT] = 5, [OP_ERRNO] = 12, [OP_RESULT] = 12, [OP_SIGNAL] = 9, [OP_SYSCALL] = 16,
		[OP_KTIME] = 15, [OP_BOOTTIME] = 15,
		[OP_TIME] = 15, [OP_DURATION] = 9, [OP_SIZE] = 7, [OP_MODE] = 6, [OP_DEV] = 7, [OP_FLAGS] = 20,
		[OP_KSYM] = 28, [OP_USYM] = 28, [OP_KSTACK] = 28, [OP_USTACK] = 28, [OP_STRUCT] = 32, [OP_ARRAY] = 24,
		[OP_UINT128] = 20, [OP_INT128] = 20,
		[OP_HIST] = 68,
	};

	switch (op->code) {
	case OP_UINT: case OP_INT:
		return integer_width(op);
	case OP_HEX:
		return 2 + (op->bits ? (op->bits + 3) / 4 : 2 * op->size);
	case OP_ENUM:
		return names_width(op->names);
	case OP_TEXT:
		return op->flexible || op->count > 32 ? 32 : MAX(op->count, 2u) - 1;
	case OP_BYTES:
		return op->flexible || op->count > 16 ? 47 : MAX(3 * op->count, 3u) - 1;
	default:
		return widths[op->code];
	}
}

int ab_format_column_width(const struct ab_format *f, size_t column)
{
	const struct op *op = column_op(f, column);

	return op ? value_width(op) : 0;
}

bool ab_format_column_is_right(const struct ab_format *f, size_t column)
{
	const struct op *op = column_op(f, column);

	switch (op ? op->code : OP_STRUCT) {
	case OP_UINT: case OP_INT: case OP_UINT128: case OP_INT128: case OP_FLOAT: case OP_PORT: case OP_DURATION: case OP_SIZE:
	case OP_HEX: case OP_MODE:
		return true;
	default:
		return false;
	}
}

/* ---- order ---- */

static int compare_value(const struct ab_format *f, const struct op *op, const uint8_t *a, const uint8_t *b, size_t size);

static int compare_integers(const struct op *op, const uint8_t *a, const uint8_t *b)
{
	uint64_t x = op_load(op, a), y = op_load(op, b);

	if (op->is_signed)
		return (int64_t)x < (int64_t)y ? -1 : (int64_t)x > (int64_t)y;
	return x < y ? -1 : x > y;
}

static int compare_wide(const struct op *op, const uint8_t *a, const uint8_t *b)
{
	unsigned __int128 x, y;

	memcpy(&x, a + op->offset, sizeof(x));
	memcpy(&y, b + op->offset, sizeof(y));
	if (op->code == OP_INT128)
		return (__int128)x < (__int128)y ? -1 : (__int128)x > (__int128)y;
	return x < y ? -1 : x > y;
}

static int compare_members(const struct ab_format *f, const struct op *op, const uint8_t *a, const uint8_t *b, size_t size)
{
	int r = 0;

	OP_EACH(f, op, child) {
		if (child->end <= size)
			r = compare_value(f, child, a, b, size);
		if (r)
			break;
	}
	return r;
}

static int compare_elements(const struct ab_format *f, const struct op *op, const uint8_t *a, const uint8_t *b, size_t size)
{
	size_t left = op_bytes(op, size);
	int r = 0;

	a += op->offset;
	b += op->offset;
	while (!r && array_goes_on(op, left)) {
		size_t here = MIN(left, op->stride);

		r = compare_value(f, op + 1, a, b, here);
		a += here;
		b += here;
		left -= here;
	}
	return r;
}

/* `size` bytes are there on both sides, and op->end is among them. */
static int compare_value(const struct ab_format *f, const struct op *op, const uint8_t *a, const uint8_t *b, size_t size)
{
	const uint8_t *p = a + op->offset, *q = b + op->offset;

	switch (op->code) {
	case OP_STRUCT:
		return compare_members(f, op, a, b, size);
	case OP_ARRAY:
		return compare_elements(f, op, a, b, size);
	case OP_TEXT:
		return strncmp((const char *)p, (const char *)q, op_bytes(op, size));
	case OP_BYTES: case OP_HIST:
		return memcmp(p, q, op_bytes(op, size));
	case OP_IPV4: case OP_IPV6: case OP_IP: case OP_MAC: case OP_PORT:
		return memcmp(p, q, op->size);
	case OP_FLOAT:
		return ab_float_compare(p, q, op->size);
	case OP_UINT128: case OP_INT128:
		return compare_wide(op, a, b);
	default:
		return compare_integers(op, a, b);
	}
}

int ab_format_compare(const struct ab_format *f, const void *a, const void *b)
{
	size_t size = MIN(f->size, DATA_MAX);

	return f->ops->end <= size ? compare_value(f, f->ops, a, b, size) : 0;
}

int ab_format_compare_column(const struct ab_format *f, size_t column, const void *a, const void *b)
{
	const struct op *op = column_op(f, column);
	size_t size = MIN(f->size, DATA_MAX);

	return op && op->end <= size ? compare_value(f, op, a, b, size) : 0;
}
