/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Values as people read them: table cells and one-line text. Nested values are C-like: {x=1, y=2} and [1, 2]. What programs
 * put into text never reaches the terminal as a control character.
 */
#include "format_plan.h"

enum mode {
	MODE_CELL,   /* alone: text as it is, histograms as charts */
	MODE_LINE,   /* among "name=value": text with spaces is quoted */
	MODE_NESTED, /* text is quoted */
};

static void text_value(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size,
		       enum mode mode);

/* ---- text ---- */

/* The length of the character at p, and whether a terminal may see it. U+0080 to U+009F are control characters too. */
static size_t next_character(const uint8_t *p, size_t n, bool *ret_shown)
{
	size_t utf8;

	if (*p < 0x80) {
		*ret_shown = *p >= ' ' && *p < 0x7f;
		return 1;
	}
	utf8 = utf8_length(p, n);
	*ret_shown = utf8 && !(*p == 0xc2 && p[1] < 0xa0);
	return utf8 ? utf8 : 1;
}

/* Control characters and what is not UTF-8 become '?'; `quote` escapes '"' and '\' and puts quotes around. */
static void text_plain(struct out *o, const void *s, size_t n, bool quote)
{
	const uint8_t *p = s, *end = p + n;
	bool shown;

	if (quote)
		out_putc(o, '"');
	for (size_t length; p < end && *p; p += length) {
		length = next_character(p, end - p, &shown);
		if (quote && (*p == '"' || *p == '\\'))
			out_putc(o, '\\');
		if (shown)
			out_add(o, (const char *)p, length);
		else
			out_putc(o, '?');
	}
	if (quote)
		out_putc(o, '"');
}

void ab_out_bytes(struct out *o, const uint8_t *p, size_t n, bool spaces)
{
	for (size_t i = 0; i < n; i++) {
		if (i && spaces)
			out_putc(o, ' ');
		out_putc(o, "0123456789abcdef"[p[i] >> 4]);
		out_putc(o, "0123456789abcdef"[p[i] & 15]);
	}
}

static bool needs_quotes(const char *s, size_t n)
{
	n = strnlen(s, n);
	for (size_t i = 0; i < n; i++)
		if (s[i] == ' ' || s[i] == '"' || s[i] == '=' || s[i] == '\\')
			return true;
	return n == 0;
}

static void text_text(struct out *o, const uint8_t *p, size_t n, enum mode mode)
{
	text_plain(o, p, n, mode == MODE_NESTED || (mode == MODE_LINE && needs_quotes((const char *)p, n)));
}

/* ---- nested values ---- */

static void text_members(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size,
			 const char *separator, enum mode mode)
{
	bool first = true;

	OP_EACH(f, op, child) {
		if (child->end > size)
			continue;
		if (!first)
			out_puts(o, separator);
		first = false;
		out_puts(o, op_name(f, child));
		out_putc(o, '=');
		text_value(o, f, child, base, size, mode);
		if (child->unit && child->code != OP_HIST)
			out_puts(o, f->strings + child->unit);
	}
}

static void text_array(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	const uint8_t *p = base + op->offset;
	size_t left = op_bytes(op, size);

	out_putc(o, '[');
	for (size_t n = 0; array_goes_on(op, left); n++) {
		size_t here = MIN(left, op->stride);

		if (n)
			out_puts(o, ", ");
		text_value(o, f, op + 1, p, here, MODE_NESTED);
		p += here;
		left -= here;
	}
	out_putc(o, ']');
}

/* ---- scalars ---- */

static void text_stack(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	uint64_t addresses[STACK_MAX];
	int64_t id = op_load_signed(op, base);
	int n = ab_stack_read(f, op, id, addresses);
	char buf[FRAME_MAX];

	if (n <= 0) {
		char *start = out_room(o, VALUE_MAX);

		out_done(o, start, put_i64(start, id));
		return;
	}
	ab_frame_text(f, op->code == OP_USTACK, ab_op_pid(op, base, size), addresses[0], buf);
	text_plain(o, buf, strlen(buf), false);
}

static void text_symbol(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	char buf[FRAME_MAX];

	ab_frame_text(f, op->code == OP_USYM, ab_op_pid(op, base, size), op_load_unsigned(op, base), buf);
	text_plain(o, buf, strlen(buf), false);
}

static char *put_wide(char *w, const struct op *op, const uint8_t *p)
{
	__int128 v;

	memcpy(&v, p, sizeof(v));
	if (op->code == OP_INT128 && v < 0) {
		*w++ = '-';
		v = -(unsigned __int128)v;
	}
	return ab_put_u128(w, v);
}

/* Scalars that are a short piece of plain characters. */
static char *put_scalar(char *w, const struct op *op, const uint8_t *base)
{
	const uint8_t *p = base + op->offset;

	switch (op->code) {
	case OP_UINT128: case OP_INT128: return put_wide(w, op, p);
	case OP_FLOAT: return ab_put_float(w, p, op->size);
	case OP_POINTER: return ab_put_hex(w, op_load(op, base));
	case OP_IPV4: return ab_put_ipv4(w, p);
	case OP_IPV6: return ab_put_ipv6(w, p);
	case OP_IP: return ab_put_ip(w, p);
	case OP_MAC: return ab_put_mac(w, p);
	case OP_PORT: return put_u64(w, p[0] << 8 | p[1]);
	case OP_KTIME: case OP_BOOTTIME: case OP_TIME:
		return ab_put_clock(w, ab_time_since_1970(op->code, op_load(op, base)));
	case OP_DURATION:
		if (op->is_signed && (int64_t)op_load(op, base) < 0) {
			*w++ = '-';
			return ab_put_duration(w, -op_load(op, base));
		}
		return ab_put_duration(w, op_load(op, base));
	case OP_SIZE: return ab_put_size(w, op_load(op, base), op->is_signed && (int64_t)op_load(op, base) < 0);
	case OP_HEX: return ab_put_hex(w, op_load_unsigned(op, base));
	case OP_MODE: return ab_put_octal(w, op_load_unsigned(op, base));
	case OP_DEV: return ab_put_dev(w, op_load_unsigned(op, base));
	case OP_ERRNO: case OP_RESULT: return put_i64(w, op_load_signed(op, base));
	default: return op->is_signed ? put_i64(w, op_load(op, base)) : put_u64(w, op_load(op, base));
	}
}

/* The name of a number that has one. */
static bool text_name(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base)
{
	const struct enum_name *item;
	const char *name = NULL;
	char buf[16];

	switch (op->code) {
	case OP_RESULT:
		if (op_load_signed(op, base) >= 0)
			break;
		/* fall through */
	case OP_ERRNO:
		name = ab_errno_name(op_load_signed(op, base));
		break;
	case OP_SIGNAL:
		name = ab_signal_name(op_load(op, base), buf);
		break;
	case OP_SYSCALL:
		name = ab_syscall_name(op_load(op, base));
		break;
	case OP_BOOL:
		name = op_load(op, base) ? "true" : "false";
		break;
	case OP_ENUM:
		item = ab_enum_find(op->names, op_load(op, base));
		if (item)
			out_add(o, f->strings + item->name + 1, item->size - 2);
		return item;
	}
	if (name)
		out_puts(o, name);
	return name;
}

static void text_value(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size,
		       enum mode mode)
{
	char *start;

	switch (op->code) {
	case OP_STRUCT:
		out_putc(o, '{');
		text_members(o, f, op, base, size, ", ", MODE_NESTED);
		out_putc(o, '}');
		break;
	case OP_ARRAY:
		text_array(o, f, op, base, size);
		break;
	case OP_TEXT:
		text_text(o, base + op->offset, op_bytes(op, size), mode);
		break;
	case OP_BYTES:
		ab_out_bytes(o, base + op->offset, op_bytes(op, size), mode == MODE_CELL);
		break;
	case OP_FLAGS:
		ab_out_flags(o, f, op, base);
		break;
	case OP_KSYM: case OP_USYM:
		text_symbol(o, f, op, base, size);
		break;
	case OP_KSTACK: case OP_USTACK:
		text_stack(o, f, op, base, size);
		break;
	case OP_HIST:
		if (mode == MODE_CELL)
			ab_out_hist(o, op, base + op->offset, op_bytes(op, size) / op->stride,
				    op->unit ? f->strings + op->unit : NULL);
		else
			ab_out_hist_line(o, op, base + op->offset, op_bytes(op, size) / op->stride);
		break;
	default:
		if (text_name(o, f, op, base))
			break;
		start = out_room(o, VALUE_MAX);
		out_done(o, start, put_scalar(start, op, base));
	}
}

size_t ab_format_cell(const struct ab_format *f, size_t column, const void *data, size_t size, char *buf, size_t cap)
{
	const struct op *op = column < f->column_count ? &f->ops[f->columns[column]] : NULL;
	struct out o;

	out_init(&o, buf, cap);
	size = MIN(size, DATA_MAX);
	if (op && op->end <= size)
		text_value(&o, f, op, data, size, MODE_CELL);
	return ab_out_finish(&o);
}

size_t ab_format_line(const struct ab_format *f, const void *data, size_t size, char *buf, size_t cap)
{
	struct out o;

	out_init(&o, buf, cap);
	size = MIN(size, DATA_MAX);
	if (format_is_struct(f))
		text_members(&o, f, f->ops, data, size, " ", MODE_LINE);
	else if (f->ops[0].end <= size)
		text_value(&o, f, f->ops, data, size, MODE_LINE);
	return ab_out_finish(&o);
}
