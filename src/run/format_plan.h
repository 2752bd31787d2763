/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The plan of a format, and the bounded writer that rendering writes to.
 *
 * Operations stand in the order of the members; those of a nested struct or of an array's element follow their parent, whose
 * `next` skips them. Offsets count from the start of the innermost array element, or of the whole value. Key strings are
 * made when the plan is: `,"pid":` is copied as it stands, without its comma for the first member.
 */
#ifndef AB_FORMAT_PLAN_H
#define AB_FORMAT_PLAN_H

#include <run/format.h>

enum op_code {
	OP_STRUCT, OP_ARRAY,
	OP_UINT, OP_INT, OP_UINT128, OP_INT128, OP_BOOL, OP_FLOAT, OP_POINTER, OP_ENUM,
	OP_TEXT, OP_BYTES, OP_IPV4, OP_IPV6, OP_IP, OP_MAC, OP_PORT,
	OP_ERRNO, OP_RESULT, OP_SIGNAL, OP_SYSCALL, OP_KTIME, OP_BOOTTIME, OP_TIME, OP_DURATION,
	OP_SIZE, OP_HEX, OP_MODE, OP_DEV, OP_FLAGS, OP_KSYM, OP_USYM, OP_KSTACK, OP_USTACK, OP_HIST,
};

enum hist_scale { SCALE_LOG2, SCALE_LOG10, SCALE_LINEAR };

/* How an integer is read. */
enum op_load { LOAD_U8, LOAD_S8, LOAD_U16, LOAD_S16, LOAD_U32, LOAD_S32, LOAD_U64, LOAD_BITS, LOAD_SBITS };

struct enum_name {
	uint64_t value;
	uint32_t name;     /* in strings: quoted as JSON */
	uint32_t size;     /* with the quotes */
};

/* The enumerators of an enum, sorted by value. */
struct enum_names {
	struct enum_names *next;
	uint32_t type_id, count;
	bool wide;         /* ENUM64; else values are of 32 bits, zero-extended */
	struct enum_name items[];
};

struct op {
	uint8_t code;      /* enum op_code */
	uint8_t load;      /* enum op_load, of integers */
	uint8_t size;      /* bytes of a scalar; of a bit-field: bytes that it touches */
	uint8_t shift, bits; /* of a bit-field */
	bool is_signed;
	bool flexible;     /* text, bytes, array: goes on to the end of the data */
	uint8_t scale;     /* enum hist_scale, of OP_HIST */
	uint32_t offset;
	uint32_t end;      /* the data has to reach here for anything to be shown */
	uint32_t next;     /* the operation behind this one and its children */
	uint32_t count;    /* array elements, bytes of text, slots */
	uint32_t stride;   /* array elements' and slots' size */
	uint32_t key;      /* in strings: `,"name":`, then the bare name with a NUL; 0: none */
	uint32_t key_size; /* of `,"name":` */
	uint32_t unit;     /* in strings; 0: none */
	union {
		const struct enum_names *names;              /* OP_ENUM, OP_FLAGS */
		struct { uint64_t base, step; };             /* OP_HIST */
		struct { uint32_t map, pid_offset, pid_size; }; /* symbols; map: in strings or 0; pid_size: 0 when there is none */
	};
};

struct ab_format {
	struct ab_object *owner;
	char *type;
	size_t size;
	struct op *ops;       /* [0] is the whole value */
	uint32_t op_count;
	char *strings;        /* KEY_FAST bytes may be read at each of them */
	struct enum_names *enums;
	uint32_t *columns;    /* operations */
	uint32_t column_count;
};

static inline bool format_is_struct(const struct ab_format *f)
{
	return f->ops[0].code == OP_STRUCT;
}

/* Sizes beyond this are cut: offsets in plans stay below. */
#define DATA_MAX ((size_t)INT32_MAX)

static inline const char *op_name(const struct ab_format *f, const struct op *op)
{
	return f->strings + op->key + op->key_size;
}

#define OP_EACH(f, parent, child) \
	for (const struct op *child = (parent) + 1; child < (f)->ops + (parent)->next; child = (f)->ops + child->next)

/* The bytes of text, bytes, an array or a histogram that are there. */
static inline size_t op_bytes(const struct op *op, size_t size)
{
	size_t there = size - op->offset, want = (size_t)op->count * (op->stride ? op->stride : 1);

	return op->flexible || want > there ? there : want;
}

/* Whether an array shows one more element when `left` bytes are there: whole ones, and a struct's members that are there. */
static inline bool array_goes_on(const struct op *array, size_t left)
{
	return left && array[1].end <= MIN(left, array->stride);
}

static inline uint64_t op_load_bits(const struct op *op, const uint8_t *p)
{
	unsigned __int128 wide = 0;
	uint64_t v;

	memcpy(&wide, p, op->size);
	v = (uint64_t)(wide >> op->shift) << (64 - op->bits);
	return op->load == LOAD_SBITS ? (uint64_t)((int64_t)v >> (64 - op->bits)) : v >> (64 - op->bits);
}

#define LOAD_AS(type) ({ type _v; memcpy(&_v, p, sizeof(_v)); (uint64_t)(int64_t)_v; })
static inline uint64_t op_load(const struct op *op, const uint8_t *base)
{
	const uint8_t *p = base + op->offset;

	switch (op->load) {
	case LOAD_U8: return *p;
	case LOAD_S8: return LOAD_AS(int8_t);
	case LOAD_U16: return LOAD_AS(uint16_t);
	case LOAD_S16: return LOAD_AS(int16_t);
	case LOAD_U32: return LOAD_AS(uint32_t);
	case LOAD_S32: return LOAD_AS(int32_t);
	case LOAD_U64: return LOAD_AS(uint64_t);
	default: return op_load_bits(op, p);
	}
}

static inline int64_t op_load_signed(const struct op *op, const uint8_t *base)
{
	int unused = op->bits ? 64 - op->bits : 64 - 8 * op->size;

	return (int64_t)(op_load(op, base) << unused) >> unused;
}

/* The unsigned value of the member's width. */
static inline uint64_t op_load_unsigned(const struct op *op, const uint8_t *base)
{
	int unused = op->bits ? 64 - op->bits : 64 - 8 * op->size;

	return op_load(op, base) << unused >> unused;
}

/*
 * The writer: counts everything, keeps what fits. Small pieces are written in place when they fit for sure, else to the
 * spare room and copied as far as they go.
 */
#define OUT_SPARE 256
struct out {
	char *buf;
	size_t cap, n;
	char spare[OUT_SPARE];
};

/* Not an initialiser: that would clear the spare room for each event. */
static inline void out_init(struct out *o, char *buf, size_t cap)
{
	o->buf = buf;
	o->cap = cap;
	o->n = 0;
}

static inline char *out_room(struct out *o, size_t max)
{
	return o->n < o->cap && o->cap - o->n >= max ? o->buf + o->n : o->spare;
}

void ab_out_add(struct out *o, const char *p, size_t n);

/* `start` came from out_room(), text was written up to `end`. */
static inline void out_done(struct out *o, const char *start, const char *end)
{
	if (start == o->spare)
		ab_out_add(o, start, end - start);
	else
		o->n += end - start;
}

static inline void out_add(struct out *o, const char *p, size_t n)
{
	if (o->n < o->cap && o->cap - o->n >= n) {
		memcpy(o->buf + o->n, p, n);
		o->n += n;
	} else {
		ab_out_add(o, p, n);
	}
}

/* Keys are short, and the plan's strings go on behind them: two fixed moves are faster than a call of memcpy(). */
#define KEY_FAST 32
static inline void out_key(struct out *o, const char *key, size_t n)
{
	if (n <= KEY_FAST && o->n < o->cap && o->cap - o->n >= KEY_FAST) {
		memcpy(o->buf + o->n, key, KEY_FAST);
		o->n += n;
	} else {
		ab_out_add(o, key, n);
	}
}

static inline void out_puts(struct out *o, const char *s)
{
	out_add(o, s, strlen(s));
}

static inline void out_putc(struct out *o, char c)
{
	if (o->n < o->cap)
		o->buf[o->n] = c;
	o->n++;
}

size_t ab_out_finish(struct out *o);
void ab_out_printf(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- values to text (format_value.c); these need room for at most VALUE_MAX bytes and return the end ---- */

#define VALUE_MAX 64
char *ab_put_u64(char *w, uint64_t v);
static inline char *put_u64(char *w, uint64_t v)
{
	if (v < 10) {
		*w = '0' + v;
		return w + 1;
	}
	return ab_put_u64(w, v);
}

static inline char *put_i64(char *w, int64_t v)
{
	if (v >= 0)
		return put_u64(w, v);
	*w = '-';
	return put_u64(w + 1, -(uint64_t)v);
}

char *ab_put_u128(char *w, unsigned __int128 v);
char *ab_put_hex(char *w, uint64_t v); /* 0x1f */
char *ab_put_octal(char *w, uint64_t v);
char *ab_put_ipv4(char *w, const uint8_t *p);
char *ab_put_ipv6(char *w, const uint8_t *p);
char *ab_put_ip(char *w, const uint8_t *p);
char *ab_put_mac(char *w, const uint8_t *p);
char *ab_put_dev(char *w, uint32_t dev);
char *ab_put_float(char *w, const uint8_t *p, size_t size); /* 4 or 8 bytes, shortest that reads back the same */
char *ab_put_duration(char *w, uint64_t ns);
char *ab_put_size(char *w, uint64_t v, bool negative);
char *ab_put_clock(char *w, uint64_t ns_since_1970); /* 12:34:56.789012 local time */
/* Nanoseconds since 1970 of an OP_KTIME, OP_BOOTTIME or OP_TIME value; right to a millisecond over suspend and clock steps. */
uint64_t ab_time_since_1970(int code, uint64_t ns);

bool ab_float_is_finite(const uint8_t *p, size_t size);
int ab_float_compare(const uint8_t *a, const uint8_t *b, size_t size);

/* ---- names by number (format_names.c), NULL when there is none ---- */

const char *ab_errno_name(int64_t value);              /* negative or positive */
const char *ab_signal_name(uint64_t value, char buf[16]);
const char *ab_syscall_name(uint64_t number);
const struct enum_name *ab_enum_find(const struct enum_names *names, uint64_t value);

/* The flags' names joined by '|', unquoted; identifiers, numbers and bars only. */
void ab_out_flags(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base);

void ab_out_bytes(struct out *o, const uint8_t *p, size_t n, bool spaces);

/* ---- symbols and stacks (format_object.c) ---- */

#define STACK_MAX 127 /* PERF_MAX_STACK_DEPTH */
#define FRAME_MAX 1024
/* "vfs_read+0x12"; false when the address has no name: then buf has it in hex. */
bool ab_frame_text(const struct ab_format *f, bool user, int pid, uint64_t address, char buf[FRAME_MAX]);
/* Fills `addresses`, leaf first, and returns how many there are; -1 when ids cannot be resolved. */
int ab_stack_read(const struct ab_format *f, const struct op *op, int64_t id, uint64_t addresses[STACK_MAX]);
int ab_op_pid(const struct op *op, const uint8_t *base, size_t size);

/* ---- histograms (hist.c) ---- */

static inline uint64_t hist_count(const struct op *op, const uint8_t *slots, uint32_t i)
{
	uint64_t v = 0;

	memcpy(&v, slots + (size_t)i * op->stride, op->stride);
	return v;
}
/* The chart, one line, and JSON. */
void ab_out_hist(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count, const char *unit);
void ab_out_hist_line(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count);
void ab_out_hist_json(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count);

#endif
