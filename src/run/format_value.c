/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Values to text, and the bounded writer: what rendering spends its time on.
 *
 * Nothing here allocates or goes through printf(), but for floating point, which no tracer sends by the million.
 */
#include <math.h>
#include <time.h>
#include "format_plan.h"

/* ---- the writer ---- */

void ab_out_add(struct out *o, const char *p, size_t n)
{
	if (o->n < o->cap)
		memcpy(o->buf + o->n, p, MIN(n, o->cap - o->n));
	o->n += n;
}

size_t ab_out_finish(struct out *o)
{
	if (o->cap)
		o->buf[MIN(o->n, o->cap - 1)] = '\0';
	return o->n;
}

/* For short text: what it makes beyond the spare room is lost. */
void ab_out_printf(struct out *o, const char *fmt, ...)
{
	char tmp[OUT_SPARE];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(tmp, sizeof(tmp), fmt, args);
	va_end(args);
	if (n > 0)
		out_add(o, tmp, MIN((size_t)n, sizeof(tmp) - 1));
}

/* ---- integers ---- */

static const char pairs[] =
	"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
	"5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline char *put_pair(char *w, uint32_t v)
{
	memcpy(w, pairs + 2 * v, 2);
	return w + 2;
}

static inline char *put_four(char *w, uint32_t v)
{
	return put_pair(put_pair(w, v / 100), v % 100);
}

static inline char *put_eight(char *w, uint32_t v)
{
	return put_four(put_four(w, v / 10000), v % 10000);
}

/* Below 10^8, without leading zeros. */
static inline char *put_small(char *w, uint32_t v)
{
	if (v >= 10000) {
		uint32_t high = v / 10000;

		w = high >= 1000 ? put_four(w, high) : put_small(w, high);
		return put_four(w, v % 10000);
	}
	if (v >= 100) {
		uint32_t high = v / 100;

		if (high >= 10)
			w = put_pair(w, high);
		else
			*w++ = '0' + high;
		return put_pair(w, v % 100);
	}
	if (v >= 10)
		return put_pair(w, v);
	*w++ = '0' + v;
	return w;
}

char *ab_put_u64(char *w, uint64_t v)
{
	const uint64_t e8 = 100000000;

	if (v < e8)
		return put_small(w, v);
	if (v < e8 * e8)
		return put_eight(put_small(w, v / e8), v % e8);
	w = put_small(w, v / (e8 * e8));
	v %= e8 * e8;
	return put_eight(put_eight(w, v / e8), v % e8);
}

char *ab_put_u128(char *w, unsigned __int128 v)
{
	const uint64_t e16 = 10000000000000000;
	uint64_t low;

	if (v <= UINT64_MAX)
		return put_u64(w, v);
	low = v % e16;
	w = ab_put_u128(w, v / e16);
	return put_eight(put_eight(w, low / 100000000), low % 100000000);
}

char *ab_put_hex(char *w, uint64_t v)
{
	int digits = v ? (67 - __builtin_clzll(v)) / 4 : 1;

	*w++ = '0';
	*w++ = 'x';
	for (int i = digits - 1; i >= 0; i--)
		*w++ = "0123456789abcdef"[v >> 4 * i & 15];
	return w;
}

char *ab_put_octal(char *w, uint64_t v)
{
	int digits = v ? (66 - __builtin_clzll(v)) / 3 : 0;

	*w++ = '0';
	for (int i = digits - 1; i >= 0; i--)
		*w++ = '0' + (v >> 3 * i & 7);
	return w;
}

/* ---- addresses and numbers with a shape ---- */

char *ab_put_ipv4(char *w, const uint8_t *p)
{
	for (int i = 0; i < 4; i++) {
		w = put_small(w, p[i]);
		*w++ = '.';
	}
	return w - 1;
}

/* The longest run of two or more zero groups, the first of equals, is what "::" stands for. */
static void find_zeros(const uint16_t group[8], int *ret_start, int *ret_count)
{
	*ret_start = -1;
	*ret_count = 1;
	for (int i = 0, n; i < 8; i += n + 1) {
		for (n = 0; i + n < 8 && !group[i + n]; n++)
			;
		if (n > *ret_count) {
			*ret_start = i;
			*ret_count = n;
		}
	}
}

char *ab_put_ipv6(char *w, const uint8_t *p)
{
	uint16_t group[8];
	int start, count;

	for (int i = 0; i < 8; i++)
		group[i] = p[2 * i] << 8 | p[2 * i + 1];
	find_zeros(group, &start, &count);
	for (int i = 0; i < 8; i++) {
		int digits = group[i] > 0xfff ? 4 : group[i] > 0xff ? 3 : group[i] > 0xf ? 2 : 1;

		if (i == start) {
			*w++ = ':';
			if (i + count == 8)
				*w++ = ':';
			i += count - 1;
			continue;
		}
		if (i)
			*w++ = ':';
		if (i == 6 && start == 0 && (count == 6 || (count == 5 && group[5] == 0xffff)))
			return ab_put_ipv4(w, p + 12);
		while (digits--)
			*w++ = "0123456789abcdef"[group[i] >> 4 * digits & 15];
	}
	return w;
}

char *ab_put_ip(char *w, const uint8_t *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(p, mapped, sizeof(mapped)) ? ab_put_ipv6(w, p) : ab_put_ipv4(w, p + 12);
}

char *ab_put_mac(char *w, const uint8_t *p)
{
	for (int i = 0; i < 6; i++) {
		*w++ = "0123456789abcdef"[p[i] >> 4];
		*w++ = "0123456789abcdef"[p[i] & 15];
		*w++ = ':';
	}
	return w - 1;
}

char *ab_put_dev(char *w, uint32_t dev)
{
	w = put_u64(w, dev >> 20);
	*w++ = ':';
	return put_u64(w, dev & 0xfffff);
}

/* "1.234ms": a unit that leaves one to three digits before the point, cut and not rounded, so 999.9999us is no 1000. */
char *ab_put_duration(char *w, uint64_t ns)
{
	static const struct { uint64_t ns; const char *unit; } units[] = { { 1000, "us" }, { 1000000, "ms" }, { 1000000000, "s" } };
	int i = ns >= units[2].ns ? 2 : ns >= units[1].ns ? 1 : 0;
	uint32_t fraction;

	if (ns < 1000) {
		w = put_u64(w, ns);
		memcpy(w, "ns", 2);
		return w + 2;
	}
	w = put_u64(w, ns / units[i].ns);
	fraction = ns % units[i].ns / (units[i].ns / 1000);
	*w++ = '.';
	*w++ = '0' + fraction / 100;
	w = put_pair(w, fraction % 100);
	memcpy(w, units[i].unit, 2);
	return w + (i == 2 ? 1 : 2);
}

/* "12.3K" in powers of 1024, cut. */
char *ab_put_size(char *w, uint64_t v, bool negative)
{
	int unit = 0;
	uint64_t scale = 1;

	if (negative) {
		*w++ = '-';
		v = -v;
	}
	for (; unit < 6 && v / scale >= 1024; unit++)
		scale *= 1024;
	w = put_u64(w, v / scale);
	if (unit) {
		*w++ = '.';
		*w++ = '0' + (unsigned __int128)(v % scale) * 10 / scale;
		*w++ = " KMGTPE"[unit];
	}
	return w;
}

/* ---- floating point ---- */

static double load_float(const uint8_t *p, size_t size)
{
	float f;
	double d;

	if (size == 8) {
		memcpy(&d, p, 8);
		return d;
	}
	memcpy(&f, p, 4);
	return f;
}

bool ab_float_is_finite(const uint8_t *p, size_t size)
{
	return isfinite(load_float(p, size));
}

char *ab_put_float(char *w, const uint8_t *p, size_t size)
{
	double d = load_float(p, size);

	for (int digits = size == 8 ? 15 : 6; digits <= (size == 8 ? 17 : 9); digits++) {
		snprintf(w, VALUE_MAX, "%.*g", digits, d);
		if (size == 8 ? strtod(w, NULL) == d : strtof(w, NULL) == (float)d)
			break;
	}
	/* The locale's decimal point is no business of ours. */
	for (; *w; w++)
		if (!strchr("0123456789+-einfa", *w))
			*w = '.';
	return w;
}

int ab_float_compare(const uint8_t *a, const uint8_t *b, size_t size)
{
	double x = load_float(a, size), y = load_float(b, size);

	return x < y ? -1 : x > y ? 1 : 0;
}

/* ---- time ---- */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What to add to a clock for ns since 1970: of a few measurements the quickest, since a thread may be put aside in one. */
static uint64_t measure_offset(clockid_t clock)
{
	uint64_t best = UINT64_MAX, offset = 0;

	for (int i = 0; i < 8 && best > 20000; i++) {
		uint64_t before = clock_ns(clock), real = clock_ns(CLOCK_REALTIME), took = clock_ns(clock) - before;

		if (took < best) {
			best = took;
			offset = real - before - took / 2;
		}
	}
	return offset;
}

/*
 * The same, measured anew each second: suspend and clock steps change it. A measurement that differs by less than 0.1 ms is
 * noise and does not move the offset, so that the distance between events stays exact.
 */
static uint64_t clock_offset(clockid_t clock)
{
	static struct { uint64_t offset, measured_at; } known[2];
	__typeof__(known[0]) *k = &known[clock == CLOCK_BOOTTIME];
	uint64_t now = clock_ns(CLOCK_MONOTONIC_COARSE), at = __atomic_load_n(&k->measured_at, __ATOMIC_ACQUIRE);
	uint64_t offset = __atomic_load_n(&k->offset, __ATOMIC_RELAXED), measured;

	if (at && now - at < 1000000000)
		return offset;
	measured = measure_offset(clock);
	if (!at || measured - offset + 100000 > 200000)
		offset = measured;
	__atomic_store_n(&k->offset, offset, __ATOMIC_RELAXED);
	__atomic_store_n(&k->measured_at, now ? now : 1, __ATOMIC_RELEASE);
	return offset;
}

uint64_t ab_time_since_1970(int code, uint64_t ns)
{
	return code == OP_TIME ? ns : ns + clock_offset(code == OP_BOOTTIME ? CLOCK_BOOTTIME : CLOCK_MONOTONIC);
}

/* Time zones change on full minutes, so a thread asks libc once for all events of a minute. */
char *ab_put_clock(char *w, uint64_t ns_since_1970)
{
	static __thread struct { uint64_t minute; uint8_t hour, min; bool known; } last;
	uint64_t seconds = ns_since_1970 / 1000000000;
	uint32_t us = ns_since_1970 % 1000000000 / 1000;

	if (!last.known || last.minute != seconds / 60) {
		time_t t = seconds / 60 * 60;
		struct tm tm = {};

		localtime_r(&t, &tm);
		last.hour = tm.tm_hour;
		last.min = tm.tm_min;
		last.minute = seconds / 60;
		last.known = true;
	}
	w = put_pair(w, last.hour);
	*w++ = ':';
	w = put_pair(w, last.min);
	*w++ = ':';
	w = put_pair(w, seconds % 60);
	*w++ = '.';
	return put_four(put_pair(w, us / 10000), us % 10000);
}
