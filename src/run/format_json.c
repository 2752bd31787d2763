/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Values as JSON: the hot path of `--json`, so one switch over the plan, keys copied as they stand, nothing allocated. */
#include "format_plan.h"

/* ---- strings ---- */

/* Whether one of eight bytes is a control character (NUL too), '"', '\', DEL or not ASCII. A false alarm only costs time. */
static inline bool needs_care(uint64_t x)
{
	const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
	uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\', del = x ^ ones * 0x7f;

	return ((x - ones * ' ') | (quote - ones) | (backslash - ones) | (del - ones) | x) & high;
}

static inline bool is_plain(uint8_t c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static char *escape(char *w, uint8_t c)
{
	*w++ = '\\';
	if (c == '"' || c == '\\') {
		*w++ = c;
	} else if (c == '\n' || c == '\t' || c == '\r') {
		*w++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
	} else {
		memcpy(w, "u00", 3);
		w[3] = "0123456789abcdef"[c >> 4];
		w[4] = "0123456789abcdef"[c & 15];
		w += 5;
	}
	return w;
}

/* Escapes from *s on until `stop` or a NUL; a sequence that begins before `stop` may end behind it. */
static char *escape_piece(char *w, const uint8_t **s, const uint8_t *stop, const uint8_t *end)
{
	const uint8_t *p = *s;
	uint64_t eight;
	size_t utf8;

	while (p < stop) {
		if (stop - p >= 8 && (memcpy(&eight, p, 8), !needs_care(eight))) {
			memcpy(w, &eight, 8);
			w += 8;
			p += 8;
		} else if (is_plain(*p)) {
			*w++ = *p++;
		} else if (!*p) {
			break;
		} else if (*p >= 0x80 && (utf8 = utf8_length(p, end - p))) {
			memcpy(w, p, utf8);
			w += utf8;
			p += utf8;
		} else {
			w = escape(w, *p++);
		}
	}
	*s = p;
	return w;
}

static void json_string(struct out *o, const void *s, size_t n)
{
	enum { PIECE = (OUT_SPARE - 8) / 6 };
	const uint8_t *p = s, *end = p + n;

	out_putc(o, '"');
	while (p < end && *p) {
		const uint8_t *stop = p + MIN((size_t)(end - p), (size_t)PIECE);
		char *start = out_room(o, 6 * PIECE + 4);

		out_done(o, start, escape_piece(start, &p, stop, end));
	}
	out_putc(o, '"');
}

static void json_name(struct out *o, const char *name)
{
	out_putc(o, '"');
	out_puts(o, name);
	out_putc(o, '"');
}

/* ---- values ---- */

static void json_value(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size);

static void json_struct(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	uint32_t comma = 1; /* of the key to leave out */

	out_putc(o, '{');
	OP_EACH(f, op, child) {
		if (child->end > size)
			continue;
		out_key(o, f->strings + child->key + comma, child->key_size - comma);
		comma = 0;
		json_value(o, f, child, base, size);
	}
	out_putc(o, '}');
}

static void json_array(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	const uint8_t *p = base + op->offset;
	size_t left = op_bytes(op, size), stride = op->stride;

	out_putc(o, '[');
	for (size_t n = 0; array_goes_on(op, left); n++) {
		size_t here = MIN(left, stride);

		if (n)
			out_putc(o, ',');
		json_value(o, f, op + 1, p, here);
		p += here;
		left -= here;
	}
	out_putc(o, ']');
}

static void json_number(struct out *o, uint64_t v, bool is_signed)
{
	char *start = out_room(o, VALUE_MAX);

	out_done(o, start, is_signed ? put_i64(start, v) : put_u64(start, v));
}

static void json_wide(struct out *o, const struct op *op, const uint8_t *p)
{
	char *start = out_room(o, VALUE_MAX), *w = start;
	__int128 v;

	memcpy(&v, p, sizeof(v));
	if (op->code == OP_INT128 && v < 0) {
		*w++ = '-';
		v = -(unsigned __int128)v;
	}
	out_done(o, start, ab_put_u128(w, v));
}

/* Values that are one quoted piece of plain characters. */
static void json_quoted(struct out *o, const struct op *op, const uint8_t *base)
{
	char *start = out_room(o, VALUE_MAX), *w = start;
	const uint8_t *p = base + op->offset;

	*w++ = '"';
	switch (op->code) {
	case OP_IPV4: w = ab_put_ipv4(w, p); break;
	case OP_IPV6: w = ab_put_ipv6(w, p); break;
	case OP_IP: w = ab_put_ip(w, p); break;
	case OP_MAC: w = ab_put_mac(w, p); break;
	case OP_DEV: w = ab_put_dev(w, op_load_unsigned(op, base)); break;
	default: w = ab_put_hex(w, op_load(op, base)); break;
	}
	*w++ = '"';
	out_done(o, start, w);
}

static void json_float(struct out *o, const struct op *op, const uint8_t *p)
{
	char *start = out_room(o, VALUE_MAX);

	if (ab_float_is_finite(p, op->size))
		out_done(o, start, ab_put_float(start, p, op->size));
	else
		out_puts(o, "null");
}

static void json_enum(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base)
{
	uint64_t v = op_load(op, base);
	const struct enum_name *name = ab_enum_find(op->names, v);

	if (name)
		out_key(o, f->strings + name->name, name->size);
	else
		json_number(o, v, op->is_signed);
}

static void json_errno(struct out *o, const struct op *op, const uint8_t *base)
{
	int64_t v = op_load_signed(op, base);
	const char *name = op->code == OP_RESULT && v >= 0 ? NULL : ab_errno_name(v);

	if (name) {
		out_puts(o, "{\"errno\":");
		json_name(o, name);
		out_puts(o, ",\"value\":");
	}
	json_number(o, v, true);
	if (name)
		out_putc(o, '}');
}

static void json_named(struct out *o, const struct op *op, const uint8_t *base)
{
	uint64_t v = op_load(op, base);
	char buf[16];
	const char *name = op->code == OP_SIGNAL ? ab_signal_name(v, buf) : ab_syscall_name(v);

	if (name)
		json_name(o, name);
	else
		json_number(o, v, op->is_signed);
}

static void json_frame(struct out *o, const struct ab_format *f, bool user, int pid, uint64_t address)
{
	char buf[FRAME_MAX];

	ab_frame_text(f, user, pid, address, buf);
	json_string(o, buf, strlen(buf));
}

static void json_stack(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	uint64_t addresses[STACK_MAX];
	int64_t id = op_load_signed(op, base);
	int n = ab_stack_read(f, op, id, addresses), pid = ab_op_pid(op, base, size);

	if (n < 0) {
		json_number(o, id, true);
		return;
	}
	out_putc(o, '[');
	for (int i = 0; i < n; i++) {
		if (i)
			out_putc(o, ',');
		json_frame(o, f, op->code == OP_USTACK, pid, addresses[i]);
	}
	out_putc(o, ']');
}

static void json_symbol(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	uint64_t address = op_load_unsigned(op, base);
	char buf[FRAME_MAX];

	if (ab_frame_text(f, op->code == OP_USYM, ab_op_pid(op, base, size), address, buf))
		json_string(o, buf, strlen(buf));
	else
		json_number(o, address, false);
}

static void json_value(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base, size_t size)
{
	const uint8_t *p = base + op->offset;

	switch (op->code) {
	case OP_UINT:
		json_number(o, op_load(op, base), false);
		break;
	case OP_INT:
		json_number(o, op_load(op, base), true);
		break;
	case OP_SIZE: case OP_HEX: case OP_MODE: case OP_DURATION:
		json_number(o, op_load(op, base), op->is_signed);
		break;
	case OP_KTIME: case OP_BOOTTIME: case OP_TIME:
		json_number(o, ab_time_since_1970(op->code, op_load(op, base)), false);
		break;
	case OP_TEXT:
		json_string(o, p, op_bytes(op, size));
		break;
	case OP_STRUCT:
		json_struct(o, f, op, base, size);
		break;
	case OP_ARRAY:
		json_array(o, f, op, base, size);
		break;
	case OP_ENUM:
		json_enum(o, f, op, base);
		break;
	case OP_BOOL:
		out_puts(o, op_load(op, base) ? "true" : "false");
		break;
	case OP_UINT128: case OP_INT128:
		json_wide(o, op, p);
		break;
	case OP_FLOAT:
		json_float(o, op, p);
		break;
	case OP_PORT:
		json_number(o, p[0] << 8 | p[1], false);
		break;
	case OP_POINTER: case OP_IPV4: case OP_IPV6: case OP_IP: case OP_MAC: case OP_DEV:
		json_quoted(o, op, base);
		break;
	case OP_BYTES:
		out_putc(o, '"');
		ab_out_bytes(o, p, op_bytes(op, size), false);
		out_putc(o, '"');
		break;
	case OP_ERRNO: case OP_RESULT:
		json_errno(o, op, base);
		break;
	case OP_SIGNAL: case OP_SYSCALL:
		json_named(o, op, base);
		break;
	case OP_FLAGS:
		out_putc(o, '"');
		ab_out_flags(o, f, op, base);
		out_putc(o, '"');
		break;
	case OP_KSYM: case OP_USYM:
		json_symbol(o, f, op, base, size);
		break;
	case OP_KSTACK: case OP_USTACK:
		json_stack(o, f, op, base, size);
		break;
	case OP_HIST:
		ab_out_hist_json(o, op, p, op_bytes(op, size) / op->stride);
		break;
	}
}

size_t ab_format_json(const struct ab_format *f, const void *data, size_t size, char *buf, size_t cap)
{
	struct out o;

	out_init(&o, buf, cap);
	size = MIN(size, DATA_MAX);
	if (f->ops[0].end <= size)
		json_value(&o, f, &f->ops[0], data, size);
	else
		out_puts(&o, f->ops[0].code == OP_STRUCT ? "{}" : "null");
	return ab_out_finish(&o);
}
