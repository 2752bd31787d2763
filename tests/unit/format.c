/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Formats over BTF that libbpf makes here, so that every offset, tag and bit is in sight. */
#include <arpa/inet.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>
#include <bpf/btf.h>
#include <run/format.h>
#include <run/run.h>
#include "unit.h"

/* ---- a fake object: one stack map, and symbols that are their addresses ---- */

struct fake {
	bool has_symbols;
	const char *asked_map;
	int asked_pid;
};

static struct fake fake;
#define FAKE_OBJECT ((struct ab_object *)&fake)

const struct ab_btf *ab_object_btf(const struct ab_object *object)
{
	return NULL;
}

const char *ab_object_name(const struct ab_object *object)
{
	return "fake";
}

struct ab_symbols *ab_object_symbols(const struct ab_object *object)
{
	return fake.has_symbols ? (struct ab_symbols *)&fake : NULL;
}

int ab_object_stack(struct ab_object *object, const char *map, int64_t id, uint64_t *ret_addrs, size_t cap)
{
	fake.asked_map = map;
	if (id == 99)
		return -ENOENT;
	for (size_t i = 0; i < MIN(cap, 3u); i++)
		ret_addrs[i] = 0x1000 * (i + 1);
	return 3;
}

int ab_symbols_kernel(struct ab_symbols *symbols, uint64_t address, struct ab_symbol *ret, struct ab_error *err)
{
	*ret = (struct ab_symbol){ .name = address == 0x1000 ? "vfs_read" : NULL, .offset = 0x12 };
	return ret->name ? 0 : -ENOENT;
}

int ab_symbols_user(struct ab_symbols *symbols, int pid, uint64_t address, struct ab_symbol *ret, struct ab_error *err)
{
	fake.asked_pid = pid;
	*ret = (struct ab_symbol){ .name = address == 0x1000 ? "operator\"\"_x" : NULL,
				   .module = address == 0x3000 ? NULL : "/usr/lib/libc.so.6", .offset = 0x34 };
	return ret->name ? 0 : -ENOENT;
}

/* ---- types ---- */

static struct btf *types;
static int t_u8, t_s8, t_u16, t_s16, t_u32, t_s32, t_u64, t_s64, t_u128, t_s128;
static int t_char, t_bool, t_f32, t_f64, t_ptr;
static int t_state, t_wide, t_perm;

static int add_array(int element, unsigned count)
{
	return btf__add_array(types, t_u32, element, count);
}

static void add_enums(void)
{
	t_state = btf__add_enum(types, "state", 4);
	btf__add_enum_value(types, "IDLE", 0);
	btf__add_enum_value(types, "BUSY", 5);
	btf__add_enum_value(types, "ALSO_BUSY", 5);
	btf__add_enum_value(types, "BROKEN", -1);
	t_wide = btf__add_enum64(types, "wide", 8, true);
	btf__add_enum64_value(types, "HUGE", 1ull << 40);
	btf__add_enum64_value(types, "LOW", (uint64_t)-7);
	t_perm = btf__add_enum(types, "perm", 4);
	btf__add_enum_value(types, "P_READ", 1);
	btf__add_enum_value(types, "P_WRITE", 2);
	btf__add_enum_value(types, "P_BOTH", 3);
	btf__add_enum_value(types, "P_EXEC", 4);
}

__attribute__((constructor)) static void add_types(void)
{
	types = btf__new_empty();
	t_u8 = btf__add_int(types, "unsigned char", 1, 0);
	t_s8 = btf__add_int(types, "signed char", 1, BTF_INT_SIGNED);
	t_u16 = btf__add_int(types, "unsigned short", 2, 0);
	t_s16 = btf__add_int(types, "short", 2, BTF_INT_SIGNED);
	t_u32 = btf__add_int(types, "unsigned int", 4, 0);
	t_s32 = btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	t_u64 = btf__add_int(types, "unsigned long", 8, 0);
	t_s64 = btf__add_int(types, "long", 8, BTF_INT_SIGNED);
	t_u128 = btf__add_int(types, "unsigned __int128", 16, 0);
	t_s128 = btf__add_int(types, "__int128", 16, BTF_INT_SIGNED);
	t_char = btf__add_int(types, "char", 1, BTF_INT_SIGNED);
	t_bool = btf__add_int(types, "_Bool", 1, BTF_INT_BOOL);
	t_f32 = btf__add_float(types, "float", 4);
	t_f64 = btf__add_float(types, "double", 8);
	t_ptr = btf__add_ptr(types, 0);
	add_enums();
	setenv("TZ", "UTC", 1);
}

/* A struct of members "name", type, bit offset, bits; ends with NULL. */
static int add_struct(int kind, const char *name, unsigned size, ...)
{
	int id = kind == BTF_KIND_UNION ? btf__add_union(types, name, size) : btf__add_struct(types, name, size);
	const char *member;
	va_list args;

	va_start(args, size);
	while ((member = va_arg(args, const char *))) {
		int type = va_arg(args, int), offset = va_arg(args, int), bits = va_arg(args, int);

		if (btf__add_field(types, *member ? member : NULL, type, offset, bits))
			FAIL("unable to add '%s'", member);
	}
	va_end(args);
	return id;
}

static void tag(int id, int component, const char *text)
{
	if (btf__add_decl_tag(types, text, id, component) < 0)
		FAIL("unable to add '%s'", text);
}

/* ---- formats ---- */

static struct ab_btf *opened;

static int make_error(int type, const char *words, struct ab_format **ret_format, struct ab_error *err)
{
	uint32_t size;
	const void *raw = btf__raw_data(types, &size);

	ab_btf_close(opened);
	opened = NULL;
	ASSERT_OK(ab_btf_open_mem(raw, size, &opened, err), *err);
	return ab_format_make(FAKE_OBJECT, opened, type, words, NULL, ret_format, err);
}

static struct ab_format *make(int type, const char *words)
{
	struct ab_format *f = NULL;
	struct ab_error err = {};

	ASSERT_OK(make_error(type, words, &f, &err), err);
	return f;
}

static char text[65536];

static const char *json(const struct ab_format *f, const void *data, size_t size)
{
	size_t n = ab_format_json(f, data, size, text, sizeof(text));

	ASSERT_INT(n, strlen(text));
	return text;
}

static const char *cell(const struct ab_format *f, size_t column, const void *data, size_t size)
{
	size_t n = ab_format_cell(f, column, data, size, text, sizeof(text));

	ASSERT_INT(n, strlen(text));
	return text;
}

static const char *line(const struct ab_format *f, const void *data, size_t size)
{
	size_t n = ab_format_line(f, data, size, text, sizeof(text));

	ASSERT_INT(n, strlen(text));
	return text;
}

/* A value of a type alone, with words: both forms. */
static void check(int type, const char *words, const void *data, size_t size, const char *want_json, const char *want_cell)
{
	struct ab_format *f = make(type, words);

	ASSERT_INT(ab_format_column_count(f), 1);
	ASSERT_STR(json(f, data, size), want_json);
	ASSERT_STR(cell(f, 0, data, size), want_cell);
	ab_format_free(f);
}

#define CHECK(type, words, c_type, value, want_json, want_cell)                                       \
	do {                                                                                          \
		c_type _v = value;                                                                    \
		check(type, words, &_v, sizeof(_v), want_json, want_cell);                            \
	} while (0)
#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

TEST(integers_are_exact)
{
	CHECK(t_u8, NULL, uint8_t, 255, "255", "255");
	CHECK(t_s8, NULL, int8_t, -128, "-128", "-128");
	CHECK(t_u16, NULL, uint16_t, 65535, "65535", "65535");
	CHECK(t_s16, NULL, int16_t, -32768, "-32768", "-32768");
	CHECK(t_u32, NULL, uint32_t, UINT32_MAX, "4294967295", "4294967295");
	CHECK(t_s32, NULL, int32_t, INT32_MIN, "-2147483648", "-2147483648");
	CHECK(t_u64, NULL, uint64_t, UINT64_MAX, "18446744073709551615", "18446744073709551615");
	CHECK(t_s64, NULL, int64_t, INT64_MIN, "-9223372036854775808", "-9223372036854775808");
	CHECK(t_u128, NULL, unsigned __int128, ~(unsigned __int128)0, "340282366920938463463374607431768211455",
	      "340282366920938463463374607431768211455");
	CHECK(t_s128, NULL, unsigned __int128, (unsigned __int128)1 << 127, "-170141183460469231731687303715884105728",
	      "-170141183460469231731687303715884105728");
	CHECK(t_u128, NULL, unsigned __int128, (unsigned __int128)1 << 64, "18446744073709551616", "18446744073709551616");
	CHECK(t_bool, NULL, uint8_t, 2, "true", "true");
	CHECK(t_bool, NULL, uint8_t, 0, "false", "false");
	CHECK(t_ptr, NULL, uint64_t, 0xffff888000000000, "\"0xffff888000000000\"", "0xffff888000000000");
}

TEST(integers_of_every_length_are_what_printf_writes)
{
	struct ab_format *f = make(t_u64, NULL), *g = make(t_u128, NULL);
	char want[64];

	for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10)
		for (int d = -1; d <= 1; d++) {
			uint64_t v = power * (i % 9 + 1) + d;
			unsigned __int128 wide = (unsigned __int128)v * 10000000000000000ull + 7;

			snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
			ASSERT_STR(json(f, &v, 8), want);
			if (v) {
				strcat(want, "0000000000000007");
				ASSERT_STR(json(g, &wide, 16), want);
			}
		}
	ab_format_free(f);
	ab_format_free(g);
}

TEST(floats_are_the_shortest_that_read_back)
{
	CHECK(t_f64, NULL, double, 0.1, "0.1", "0.1");
	CHECK(t_f32, NULL, float, 0.1f, "0.1", "0.1");
	CHECK(t_f64, NULL, double, 1.0 / 3, "0.3333333333333333", "0.3333333333333333");
	CHECK(t_f64, NULL, double, -1e300, "-1e+300", "-1e+300");
	CHECK(t_f64, NULL, double, 0.0 / 0.0 < 0 ? 1 : __builtin_inf(), "null", "inf");
	CHECK(t_f32, NULL, float, __builtin_nanf(""), "null", "nan");
}

TEST(enums_by_name)
{
	CHECK(t_state, NULL, int32_t, 5, "\"BUSY\"", "BUSY");
	CHECK(t_state, NULL, int32_t, -1, "\"BROKEN\"", "BROKEN");
	CHECK(t_state, NULL, int32_t, 6, "6", "6");
	CHECK(t_wide, NULL, uint64_t, 1ull << 40, "\"HUGE\"", "HUGE");
	CHECK(t_wide, NULL, int64_t, -7, "\"LOW\"", "LOW");
	CHECK(t_wide, NULL, int64_t, -8, "-8", "-8");
	CHECK(t_u8, "enum:state", uint8_t, 5, "\"BUSY\"", "BUSY");
	CHECK(t_u8, "enum:state", uint8_t, 9, "9", "9");
	CHECK(t_s8, "enum:state", int8_t, -1, "\"BROKEN\"", "BROKEN");
	CHECK(t_u64, "enum:wide", uint64_t, 1ull << 40, "\"HUGE\"", "HUGE");
	CHECK(t_u64, "enum:state", uint64_t, 1ull << 40 | 5, "1099511627781", "1099511627781");
}

TEST(flags_by_their_one_bit_values)
{
	CHECK(t_u32, "flags:perm", uint32_t, 5, "\"P_READ|P_EXEC\"", "P_READ|P_EXEC");
	CHECK(t_u32, "flags:perm", uint32_t, 0x42, "\"P_WRITE|0x40\"", "P_WRITE|0x40");
	CHECK(t_u32, "flags:perm", uint32_t, 0x80, "\"0x80\"", "0x80");
	CHECK(t_u32, "flags:perm", uint32_t, 0, "\"0\"", "0");
}

TEST(addresses)
{
	check(t_u32, "ipv4", BYTES(10, 0, 0, 1), "\"10.0.0.1\"", "10.0.0.1");
	check(add_array(t_u8, 4), "ipv4", BYTES(255, 255, 255, 255), "\"255.255.255.255\"", "255.255.255.255");
	check(add_array(t_u8, 16), "ipv6", BYTES(0xfe, 0x80, [15] = 1), "\"fe80::1\"", "fe80::1");
	check(add_array(t_u32, 4), "ip", BYTES([10] = 0xff, 0xff, 10, 0, 0, 1), "\"10.0.0.1\"", "10.0.0.1");
	check(add_array(t_u32, 4), "ipv6", BYTES([10] = 0xff, 0xff, 10, 0, 0, 1), "\"::ffff:10.0.0.1\"", "::ffff:10.0.0.1");
	check(t_u128, "ip", BYTES([15] = 1), "\"::1\"", "::1");
	check(add_array(t_u8, 6), "mac", BYTES(0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff), "\"aa:bb:cc:dd:ee:ff\"", "aa:bb:cc:dd:ee:ff");
	check(t_u16, "port", BYTES(0x01, 0xbb), "443", "443");
	check(add_array(t_u32, 2), "ipv4", BYTES(1, 2, 3, 4, 5, 6, 7, 8), "[\"1.2.3.4\",\"5.6.7.8\"]", "[1.2.3.4, 5.6.7.8]");
}

TEST(ipv6_is_what_inet_ntop_writes)
{
	struct ab_format *f = make(add_array(t_u8, 16), "ipv6");
	char want[INET6_ADDRSTRLEN + 2];
	uint8_t p[16];

	srand(1);
	for (int i = 0; i < 20000; i++) {
		for (int g = 0; g < 8; g++) {
			int v = rand() % 3 ? 0 : rand() & (rand() % 2 ? 0xffff : 0xf);

			if (g == 5 && !(rand() % 4))
				v = 0xffff;
			p[2 * g] = v >> 8;
			p[2 * g + 1] = v;
		}
		inet_ntop(AF_INET6, p, want, sizeof(want));
		ASSERT_STR(cell(f, 0, p, 16), want);
	}
	ab_format_free(f);
}

TEST(errnos)
{
	CHECK(t_s32, "errno", int32_t, -2, "{\"errno\":\"ENOENT\",\"value\":-2}", "ENOENT");
	CHECK(t_s64, "errno", int64_t, 13, "{\"errno\":\"EACCES\",\"value\":13}", "EACCES");
	CHECK(t_u32, "errno", uint32_t, (uint32_t)-11, "{\"errno\":\"EAGAIN\",\"value\":-11}", "EAGAIN");
	CHECK(t_s32, "errno", int32_t, -512, "{\"errno\":\"ERESTARTSYS\",\"value\":-512}", "ERESTARTSYS");
	CHECK(t_s32, "errno", int32_t, 0, "0", "0");
	CHECK(t_s32, "errno", int32_t, 512, "512", "512");
	CHECK(t_s64, "errno", int64_t, INT64_MIN, "-9223372036854775808", "-9223372036854775808");
}

TEST(results)
{
	CHECK(t_s32, "result", int32_t, -2, "{\"errno\":\"ENOENT\",\"value\":-2}", "ENOENT");
	CHECK(t_s64, "result", int64_t, 3, "3", "3");
	CHECK(t_s32, "result", int32_t, 0, "0", "0");
	CHECK(t_s32, "result", int32_t, -5000, "-5000", "-5000");
}

TEST(errno_names_are_those_of_the_c_library)
{
#if __GLIBC_PREREQ(2, 32)
	struct ab_format *f = make(t_s32, "errno");

	for (int e = 1; e < 200; e++) {
		const char *name = strerrorname_np(e);
		char number[16];

		snprintf(number, sizeof(number), "%d", e);
		ASSERT_STR(cell(f, 0, &e, 4), !name ? number : e == EOPNOTSUPP ? "EOPNOTSUPP" : name);
	}
	ab_format_free(f);
#else
	SKIP("this C library has no strerrorname_np()");
#endif
}

TEST(signals_and_system_calls)
{
	CHECK(t_s32, "signal", int32_t, 15, "\"SIGTERM\"", "SIGTERM");
	CHECK(t_s32, "signal", int32_t, 34, "\"SIGRTMIN\"", "SIGRTMIN");
	CHECK(t_s32, "signal", int32_t, 64, "\"SIGRTMIN+30\"", "SIGRTMIN+30");
	CHECK(t_s32, "signal", int32_t, 0, "0", "0");
	CHECK(t_s32, "signal", int32_t, -3, "-3", "-3");
	CHECK(t_u32, "syscall", uint32_t, SYS_openat, "\"openat\"", "openat");
	CHECK(t_s64, "syscall", int64_t, SYS_read, "\"read\"", "read");
	CHECK(t_s64, "syscall", int64_t, -1, "-1", "-1");
	CHECK(t_u32, "syscall", uint32_t, 100000, "100000", "100000");
}

TEST(numbers_with_a_shape)
{
	CHECK(t_u64, "time", uint64_t, 1700000096789012345, "1700000096789012345", "22:14:56.789012");
	CHECK(t_u64, "duration", uint64_t, 999, "999", "999ns");
	CHECK(t_u64, "duration", uint64_t, 999999, "999999", "999.999us");
	CHECK(t_u64, "duration", uint64_t, 1234567, "1234567", "1.234ms");
	CHECK(t_u64, "duration", uint64_t, 3723004000000, "3723004000000", "3723.004s");
	CHECK(t_s64, "duration", int64_t, -1500, "-1500", "-1.500us");
	CHECK(t_u64, "size", uint64_t, 1023, "1023", "1023");
	CHECK(t_u64, "size", uint64_t, 12595, "12595", "12.2K");
	CHECK(t_u64, "size", uint64_t, UINT64_MAX, "18446744073709551615", "15.9E");
	CHECK(t_s64, "size", int64_t, -2048, "-2048", "-2.0K");
	CHECK(t_u32, "hex", uint32_t, 0x1f, "31", "0x1f");
	CHECK(t_s32, "hex", int32_t, -1, "-1", "0xffffffff");
	CHECK(t_u64, "hex", uint64_t, UINT64_MAX, "18446744073709551615", "0xffffffffffffffff");
	CHECK(t_u32, "hex", uint32_t, 0, "0", "0x0");
	CHECK(t_u16, "mode", uint16_t, 0644, "420", "0644");
	CHECK(t_u16, "mode", uint16_t, 0, "0", "0");
	CHECK(t_u64, "mode", uint64_t, UINT64_MAX, "18446744073709551615", "01777777777777777777777");
	CHECK(t_u32, "dev", uint32_t, 8 << 20 | 1, "\"8:1\"", "8:1");
	CHECK(t_u32, "dev", uint32_t, 0xffffffff, "\"4095:1048575\"", "4095:1048575");
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

TEST(kernel_time_is_wall_time)
{
	static const struct { const char *word; clockid_t clock; } rows[] = {
		{ "ktime", CLOCK_MONOTONIC }, { "boottime", CLOCK_BOOTTIME },
	};

	for (int i = 0; i < 2; i++) {
		struct ab_format *f = make(t_u64, rows[i].word);
		int64_t before = now_ns(CLOCK_REALTIME), got;
		uint64_t then = now_ns(rows[i].clock), later = then + 12345;
		int64_t after = now_ns(CLOCK_REALTIME);

		got = strtoll(json(f, &then, 8), NULL, 10);
		ASSERT(got > before - 1000000 && got < after + 1000000);
		ASSERT_INT(strtoll(json(f, &later, 8), NULL, 10), got + 12345);
		ASSERT_INT(strlen(cell(f, 0, &then, 8)), 15);
		ab_format_free(f);
	}
}

TEST(text_ends_at_nul_and_is_safe)
{
	int char8 = add_array(t_char, 8);

	check(char8, NULL, "bash\0xyz", 8, "\"bash\"", "bash");
	check(char8, NULL, "12345678", 8, "\"12345678\"", "12345678");
	check(char8, NULL, "", 1, "\"\"", "");
	check(char8, NULL, "a\"b\\c\n\x7f\x01", 8, "\"a\\\"b\\\\c\\n\\u007f\\u0001\"", "a\"b\\c???");
	check(char8, NULL, "\xc3\xa9\xff\xc2\x9b[31", 8, "\"\xc3\xa9\\u00ff\xc2\x9b[31\"", "\xc3\xa9??[31");
	check(add_array(t_u8, 4), "text", "hi\0x", 4, "\"hi\"", "hi");
	check(t_u8, "text", "R", 1, "\"R\"", "R");
	check(add_array(char8, 2), NULL, "one\0....two\0....", 16, "[\"one\",\"two\"]", "[\"one\", \"two\"]");
	check(add_array(t_u8, 3), NULL, "\1\2\3", 3, "[1,2,3]", "[1, 2, 3]");
	check(add_array(t_u8, 4), "bytes", BYTES(0xde, 0xad, 0xbe, 0xef), "\"deadbeef\"", "de ad be ef");
	check(char8, "bytes", "\0\0ab\0\0\0\0", 8, "\"0000616200000000\"", "00 00 61 62 00 00 00 00");
}

/* Pieces of the escaper end within sequences and at any distance from special characters. */
TEST(long_text_is_escaped_as_base_does)
{
	struct ab_format *f = make(add_array(t_char, 301), NULL);
	_text_ struct text want = {};
	char s[301];

	srand(2);
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 300; i++) {
			int kind = rand() % 8;

			s[i] = kind == 0 ? "\"\\\n\t\x7f\x1f"[rand() % 6] : kind == 1 ? 0x80 + rand() % 128 : 'a' + rand() % 26;
			if (kind == 2 && i + 3 < 300) {
				memcpy(s + i, "\xe2\x82\xac", 3);
				i += 2;
			}
		}
		s[300] = '\0';
		want.n = 0;
		json_quote(&want, s, strlen(s));
		ASSERT_STR(json(f, s, sizeof(s)), want.p);
		/* The slow way through the spare room writes the same. */
		for (size_t cap = want.n - 40; cap < want.n + 3; cap++) {
			ASSERT_INT(ab_format_json(f, s, sizeof(s), text, cap), want.n);
			ASSERT_INT(strlen(text), MIN(cap - 1, want.n));
			ASSERT(!strncmp(text, want.p, MIN(cap - 1, want.n)));
		}
	}
	ab_format_free(f);
}

/* ---- structs ---- */

static int add_point(void)
{
	return add_struct(BTF_KIND_STRUCT, "point", 8, "x", t_s32, 0, 0, "y", t_s32, 32, 0, NULL);
}

struct event {
	uint32_t pid;
	char comm[16];
	int32_t x, y;
	uint64_t lat;
	uint32_t secret;
	uint16_t port;
	uint8_t pad[2];
} __attribute__((packed));

static const struct event event = { 42, "a b", 1, -2, 77, 9, 0xbb01, {} };

static int add_event(void)
{
	int inner = add_struct(BTF_KIND_STRUCT, NULL, 8, "lat", t_u64, 0, 0, NULL);
	int outer = add_struct(BTF_KIND_UNION, NULL, 8, "", inner, 0, 0, NULL);
	int comm = add_array(t_char, 16), point = add_point(), pad = add_array(t_u8, 2);
	int id = add_struct(BTF_KIND_STRUCT, "event", sizeof(event), "pid", t_u32, 0, 0, "comm", comm, 32, 0, "at", point, 160, 0,
			    "", outer, 224, 0, "secret", t_u32, 288, 0, "port", t_u16, 320, 0, "pad", pad, 336, 0, NULL);

	tag(inner, 0, "anybpf:unit=us");
	tag(id, 4, "anybpf:hide");
	tag(id, 5, "anybpf:as=port");
	tag(id, 5, "anybpf:color=green"); /* not ours: ignored */
	tag(id, 6, "anybpf:hide");
	return id;
}

TEST(struct_in_every_form)
{
	struct ab_format *f = make(add_event(), NULL);
	static const char *const names[] = { "pid", "comm", "at", "lat", "port" };

	ASSERT_STR(ab_format_type(f), "struct event");
	ASSERT_INT(ab_format_size(f), sizeof(event));
	ASSERT_STR(json(f, &event, sizeof(event)),
		   "{\"pid\":42,\"comm\":\"a b\",\"at\":{\"x\":1,\"y\":-2},\"lat\":77,\"port\":443}");
	ASSERT_STR(line(f, &event, sizeof(event)), "pid=42 comm=\"a b\" at={x=1, y=-2} lat=77us port=443");
	ASSERT_INT(ab_format_column_count(f), 5);
	for (size_t i = 0; i < 5; i++)
		ASSERT_STR(ab_format_column_name(f, i), names[i]);
	ASSERT_STR(ab_format_column_unit(f, 3), "us");
	ASSERT_STR(ab_format_column_unit(f, 0), "");
	ASSERT_STR(cell(f, 1, &event, sizeof(event)), "a b");
	ASSERT_STR(cell(f, 2, &event, sizeof(event)), "{x=1, y=-2}");
	ASSERT_STR(cell(f, 5, &event, sizeof(event)), "");
	ASSERT(ab_format_column_is_right(f, 0) && !ab_format_column_is_right(f, 1) && ab_format_column_is_right(f, 4));
	ASSERT_INT(ab_format_column_width(f, 1), 15);
	ab_format_free(f);
}

TEST(short_data_leaves_members_out)
{
	struct ab_format *f = make(add_event(), NULL);

	ASSERT_STR(json(f, &event, 0), "{}");
	ASSERT_STR(json(f, &event, 3), "{}");
	ASSERT_STR(json(f, &event, 4), "{\"pid\":42}");
	ASSERT_STR(json(f, &event, 5), "{\"pid\":42,\"comm\":\"a\"}");
	ASSERT_STR(json(f, &event, 24), "{\"pid\":42,\"comm\":\"a b\",\"at\":{\"x\":1}}");
	ASSERT_STR(line(f, &event, 27), "pid=42 comm=\"a b\" at={x=1}");
	ASSERT_STR(cell(f, 3, &event, 35), "");
	ASSERT_STR(cell(f, 3, &event, 36), "77");
	ab_format_free(f);
	f = make(t_u32, NULL);
	ASSERT_STR(json(f, &event, 3), "null");
	ASSERT_STR(line(f, &event, 3), "");
	ab_format_free(f);
}

static size_t render(int form, const struct ab_format *f, const void *data, size_t size, char *buf, size_t cap)
{
	return form == 0 ? ab_format_json(f, data, size, buf, cap) : form == 1 ? ab_format_line(f, data, size, buf, cap) :
										  ab_format_cell(f, form - 2, data, size, buf, cap);
}

TEST(every_cap_cuts_and_says_the_whole_length)
{
	struct ab_format *f = make(add_event(), NULL);
	char whole[256];

	for (int form = 0; form < 2 + 5; form++) {
		size_t n = render(form, f, &event, sizeof(event), whole, sizeof(whole));

		ASSERT_INT(n, strlen(whole));
		for (size_t cap = 0; cap <= n + 1; cap++) {
			char *buf = malloc(cap + 8);

			memset(buf, 0x55, cap + 8);
			ASSERT_INT(render(form, f, &event, sizeof(event), buf, cap), n);
			ASSERT(!memcmp(buf + cap, "UUUUUUUU", 8));
			if (cap) {
				ASSERT_INT(strlen(buf), MIN(cap - 1, n));
				ASSERT(!strncmp(buf, whole, MIN(cap - 1, n)));
			}
			free(buf);
		}
		ASSERT_INT(render(form, f, &event, sizeof(event), NULL, 0), n);
	}
	ab_format_free(f);
}

TEST(unaligned_data)
{
	struct ab_format *f = make(add_event(), NULL);
	char at[8 + sizeof(event)], want[256];

	strcpy(want, json(f, &event, sizeof(event)));
	for (int i = 1; i < 8; i++) {
		memcpy(at + i, &event, sizeof(event));
		ASSERT_STR(json(f, at + i, sizeof(event)), want);
	}
	ab_format_free(f);
}

TEST(arrays_of_structs_and_in_several_dimensions)
{
	int32_t points[] = { 1, 2, 3, 4 };
	uint16_t grid[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };

	check(add_array(add_point(), 2), NULL, points, sizeof(points), "[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}]",
	      "[{x=1, y=2}, {x=3, y=4}]");
	check(add_array(add_point(), 2), NULL, points, 12, "[{\"x\":1,\"y\":2},{\"x\":3}]", "[{x=1, y=2}, {x=3}]");
	check(add_array(add_array(t_u16, 3), 2), NULL, grid, sizeof(grid), "[[1,2,3],[4,5,6]]", "[[1, 2, 3], [4, 5, 6]]");
}

TEST(flexible_arrays_go_to_the_end_of_the_data)
{
	int text0 = add_array(t_char, 0), u16s = add_array(t_u16, 0);
	struct ab_format *f = make(add_struct(BTF_KIND_STRUCT, "line", 8, "n", t_u64, 0, 0, "text", text0, 64, 0, NULL), NULL);
	struct ab_format *g = make(add_struct(BTF_KIND_STRUCT, "list", 4, "n", t_u16, 0, 0, "items", u16s, 16, 0, NULL), NULL);
	struct ab_format *h = make(add_struct(BTF_KIND_STRUCT, "odd", 4, "none", text0, 0, 0, "n", t_u32, 0, 0, NULL), NULL);
	uint16_t list[] = { 7, 1, 2, 3 };

	ASSERT_STR(json(f, "\1\0\0\0\0\0\0\0hello", 12), "{\"n\":1,\"text\":\"hell\"}");
	ASSERT_STR(json(f, "\1\0\0\0\0\0\0\0", 8), "{\"n\":1,\"text\":\"\"}");
	ASSERT_STR(json(g, list, 8), "{\"n\":7,\"items\":[1,2,3]}");
	ASSERT_STR(json(g, list, 7), "{\"n\":7,\"items\":[1,2]}");
	ASSERT_STR(line(g, list, 2), "n=7 items=[]");
	ASSERT_STR(json(h, list, 4), "{\"n\":65543}");
	ab_format_free(f);
	ab_format_free(g);
	ab_format_free(h);
}

TEST(bit_fields)
{
	/* struct { u32 a:3; s32 b:5; u64 c:60 (from bit 7 of a byte); bool d:1; enum state e:4; u64 f:64 } */
	int id = add_struct(BTF_KIND_STRUCT, "bits", 32, "a", t_u32, 0, 3, "b", t_s32, 3, 5, "c", t_u64, 63 + 64, 60, "d", t_bool,
			    16, 1, "e", t_state, 20, 4, "f", t_u64, 192, 64, "", t_u32, 24, 8, NULL);
	uint8_t data[32] = { 0x05 | 0x1e << 3, 0, 1 | 5 << 4 };
	unsigned __int128 wide = (unsigned __int128)0xabcdef123456789 << 7;
	struct ab_format *f = make(id, NULL);

	memcpy(data + 15, &wide, 9);
	memset(data + 24, 0xff, 8);
	ASSERT_STR(json(f, data, 32),
		   "{\"a\":5,\"b\":-2,\"c\":773738363261118345,\"d\":true,\"e\":\"BUSY\",\"f\":18446744073709551615}");
	ASSERT_STR(json(f, data, 23), "{\"a\":5,\"b\":-2,\"d\":true,\"e\":\"BUSY\"}");
	ab_format_free(f);
}

TEST(bit_fields_of_integer_types)
{
	/* BTF without kind_flag: the INT says bits and offset. libbpf does not write it, so its bytes are changed. */
	int narrow = btf__add_int(types, "narrow", 4, BTF_INT_SIGNED);
	int id = add_struct(BTF_KIND_STRUCT, "old_bits", 8, "a", t_u32, 0, 0, "b", narrow, 32, 0, NULL);
	uint32_t *info = (uint32_t *)(btf__type_by_id(types, narrow) + 1);
	uint32_t data[2] = { 1, 0x1ff << 5 };

	*info = BTF_INT_SIGNED << 24 | 5 << 16 | 9;
	struct ab_format *f = make(id, NULL);

	ASSERT_STR(json(f, data, 8), "{\"a\":1,\"b\":-1}");
	ab_format_free(f);
}

TEST(tags_on_typedefs_reach_members_and_elements)
{
	int addr = btf__add_typedef(types, "addr4", t_u32), plain, addrs;
	struct ab_format *f;

	tag(addr, -1, "anybpf:as=ipv4");
	plain = btf__add_const(types, btf__add_typedef(types, "my_addr4", addr));
	addrs = add_array(plain, 2);
	int id = add_struct(BTF_KIND_STRUCT, "peers", 16, "one", plain, 0, 0, "many", addrs, 32, 0, "raw", addr, 96, 0, NULL);

	tag(id, 2, "anybpf:as=hex"); /* the member's own goes before the type's */
	f = make(id, NULL);
	ASSERT_STR(json(f, "\1\2\3\4\5\6\7\x08\x09\0\0\1\1\0\0\0", 16),
		   "{\"one\":\"1.2.3.4\",\"many\":[\"5.6.7.8\",\"9.0.0.1\"],\"raw\":1}");
	ab_format_free(f);
}

/* ---- stacks, symbols, histograms ---- */

static int add_stack(void)
{
	int id = add_struct(BTF_KIND_STRUCT, "stack", 24, "tgid", t_u32, 0, 0, "other", t_u32, 32, 0, "k", t_s32, 64, 0, "u",
			    t_s32, 96, 0, "ip", t_u64, 128, 0, NULL);

	tag(id, 2, "anybpf:as=kstack");
	tag(id, 3, "anybpf:as=ustack:stacks:other");
	tag(id, 4, "anybpf:as=usym");
	return id;
}

TEST(stacks_and_symbols)
{
	struct { uint32_t tgid, other; int32_t k, u; uint64_t ip; } v = { 11, 22, 3, 4, 0x2000 };
	struct ab_format *f = make(add_stack(), NULL), *k = make(t_u64, "ksym");
	uint64_t address = 0x1000;

	ASSERT_STR(json(f, &v, sizeof(v)), "{\"tgid\":11,\"other\":22,\"k\":3,\"u\":4,\"ip\":8192}");
	ASSERT_STR(cell(k, 0, &address, 8), "0x1000");
	fake.has_symbols = true;
	ASSERT_STR(json(f, &v, sizeof(v)),
		   "{\"tgid\":11,\"other\":22,\"k\":[\"vfs_read+0x12\",\"0x2000\",\"0x3000\"],"
		   "\"u\":[\"operator\\\"\\\"_x+0x34\",\"libc.so.6+0x34\",\"0x3000\"],\"ip\":\"libc.so.6+0x34\"}");
	ASSERT_INT(fake.asked_pid, 11); /* usym: tgid by default */
	ASSERT_STR(cell(f, 2, &v, sizeof(v)), "vfs_read+0x12");
	ASSERT(!fake.asked_map);
	ASSERT_STR(cell(f, 3, &v, sizeof(v)), "operator\"\"_x+0x34");
	ASSERT_STR(fake.asked_map, "stacks");
	ASSERT_INT(fake.asked_pid, 22);
	ASSERT_STR(cell(k, 0, &address, 8), "vfs_read+0x12");
	v.k = -14; /* bpf_get_stackid() failed */
	v.u = 99;
	ASSERT_STR(cell(f, 2, &v, sizeof(v)), "-14");
	ASSERT_STR(json(f, &v, 16), "{\"tgid\":11,\"other\":22,\"k\":-14,\"u\":99}");
	fake.has_symbols = false;
	ab_format_free(f);
	ab_format_free(k);
}

TEST(histograms_in_values)
{
	int slots = add_array(t_u32, 4), id = add_struct(BTF_KIND_STRUCT, "hists", 32, "a", slots, 0, 0, "b", slots, 128, 0, NULL);
	uint32_t data[8] = { 0, 2, 0, 1, 0, 0, 7, 0 };
	struct ab_format *f;

	tag(id, 0, "anybpf:as=log2");
	tag(id, 0, "anybpf:unit=usecs");
	tag(id, 1, "anybpf:as=linear:100:10");
	f = make(id, NULL);
	ASSERT_STR(json(f, data, sizeof(data)),
		   "{\"a\":[{\"from\":2,\"to\":4,\"count\":2},{\"from\":8,\"to\":16,\"count\":1}],"
		   "\"b\":[{\"from\":120,\"to\":130,\"count\":7}]}");
	ASSERT_STR(line(f, data, sizeof(data)), "a={2-3=2, 8-15=1} b={120-129=7}");
	ASSERT_STR(cell(f, 1, data, sizeof(data)),
		   "     value               : count    distribution\n"
		   "       120 -> 129        : 7        |****************************************|\n");
	ASSERT(strstr(cell(f, 0, data, sizeof(data)), "     usecs               : count"));
	ab_format_free(f);
	CHECK(t_u64, "log2", uint64_t, 12, "12", "12"); /* one slot of an array map */
}

/* ---- order ---- */

TEST(order)
{
	struct ab_format *f = make(add_event(), NULL), *s = make(t_s32, NULL), *u = make(t_u32, NULL), *d = make(t_f64, NULL);
	struct event a = event, b = event;
	int32_t minus = -1, plus = 1;
	double low = -1.5, high = 0.5;

	ASSERT_INT(ab_format_compare(f, &a, &b), 0);
	b.secret = 100; /* hidden */
	strcpy(b.comm + 4, "junk"); /* behind the NUL */
	ASSERT_INT(ab_format_compare(f, &a, &b), 0);
	b.y = 5;
	a.lat = 1000;
	ASSERT(ab_format_compare(f, &a, &b) < 0);
	ASSERT(ab_format_compare_column(f, 3, &a, &b) > 0);
	b.port = 0x0002; /* 512, more than 443 */
	ASSERT(ab_format_compare_column(f, 4, &a, &b) < 0);
	strcpy(a.comm, "z");
	ASSERT(ab_format_compare(f, &a, &b) > 0);
	ASSERT(ab_format_compare(s, &minus, &plus) < 0);
	ASSERT(ab_format_compare(u, &minus, &plus) > 0);
	ASSERT(ab_format_compare(d, &low, &high) < 0);
	ab_format_free(f);
	ab_format_free(s);
	ab_format_free(u);
	ab_format_free(d);
}

/* ---- what is refused ---- */

static void check_refused(int type, const char *words, int code, const char *part)
{
	struct ab_format *f = NULL;
	struct ab_error err = {};

	ASSERT_INT(make_error(type, words, &f, &err), code);
	if (!strstr(err.msg, part))
		FAIL("\"%s\" is not in \"%s\"", part, err.msg);
	ASSERT(!f);
	ab_error_clear(&err);
}

TEST(tags_that_do_not_suit)
{
	int id = add_struct(BTF_KIND_STRUCT, "wrong", 8, "sport", t_u32, 0, 0, "u", t_u32, 32, 0, NULL);

	tag(id, 0, "anybpf:as=port");
	check_refused(id, NULL, -EINVAL, "tag 'anybpf:as=port' of 'sport' in type 'struct wrong' needs 2 bytes, not 4");
	check_refused(t_u32, "enum:nowhere", -ENOENT, "no 'enum nowhere'");
	check_refused(t_u32, "flags", -EINVAL, "needs the name of an enum");
	check_refused(t_f64, "hex", -EINVAL, "needs an integer");
	check_refused(t_u128, "ktime", -EINVAL, "at most 8 bytes");
	check_refused(t_u32, "usym:nobody", -EINVAL, "names no integer member");
	check_refused(t_u64, "text", -EINVAL, "needs an array");
	check_refused(add_array(t_f32, 4), "log2", -EINVAL, "needs an array of integers");
	check_refused(0, NULL, -EINVAL, "has no size");
	CHECK(t_u32, "sparkles:1", uint32_t, 3, "3", "3"); /* a word of a later version */
}

TEST(types_without_end_are_refused)
{
	int id = add_struct(BTF_KIND_STRUCT, "leaf", 4, "x", t_u32, 0, 0, NULL);
	char name[16];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "level%d", i);
		id = add_struct(BTF_KIND_STRUCT, name, 4, "in", id, 0, 0, NULL);
	}
	check_refused(id, NULL, -E2BIG, "32 deep");
	/* Wide and empty: 200^3 members without one operation. */
	id = add_struct(BTF_KIND_STRUCT, NULL, 0, NULL);
	for (int i = 0; i < 3; i++) {
		int outer = btf__add_struct(types, i < 2 ? NULL : "bomb", 0);

		for (int j = 0; j < 200; j++)
			btf__add_field(types, NULL, id, 0, 0);
		id = outer;
	}
	check_refused(id, NULL, -E2BIG, "262144 members");
	id = btf__add_struct(types, "wide_struct", 4);
	for (int i = 0; i < 17000; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		btf__add_field(types, name, t_u32, 0, 0);
	}
	check_refused(id, NULL, -E2BIG, "16384 members");
}
