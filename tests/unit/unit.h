/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Unit tests: a program per source file, a TEST() per behaviour. `PROGRAM --list` names the tests, `PROGRAM NAME`
 * runs one in a process of its own: exit 0 passed, 77 skipped (reason on stdout), else failed. tests/conftest.py collects them.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit_test {
	const char *name;
	void (*run)(void);
	struct unit_test *next;
};

static struct unit_test *unit_first, **unit_last = &unit_first;

#define TEST(test_name)                                                                                 \
	static void test_name(void);                                                                    \
	static struct unit_test test_name##_entry = { #test_name, test_name, NULL };                    \
	__attribute__((constructor)) static void test_name##_register(void)                             \
	{                                                                                               \
		*unit_last = &test_name##_entry;                                                        \
		unit_last = &test_name##_entry.next;                                                    \
	}                                                                                               \
	static void test_name(void)

#define FAIL(...) (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))
#define SKIP(...) (printf(__VA_ARGS__), putchar('\n'), exit(77))
#define ASSERT(cond) ((cond) ? (void)0 : (void)FAIL("failed: %s", #cond))
#define ASSERT_INT(got, want)                                                                           \
	do {                                                                                            \
		long long _g = (got), _w = (want);                                                      \
		if (_g != _w)                                                                           \
			FAIL("%s is %lld, not %lld", #got, _g, _w);                                     \
	} while (0)
#define ASSERT_STR(got, want)                                                                           \
	do {                                                                                            \
		const char *_g = (got), *_w = (want);                                                   \
		if (!_g || strcmp(_g, _w))                                                              \
			FAIL("%s is \"%s\", not \"%s\"", #got, _g ? _g : "(null)", _w);                 \
	} while (0)
/* A call that has to succeed; `error` is a struct ab_error. */
#define ASSERT_OK(call, error)                                                                          \
	do {                                                                                            \
		long long _r = (call);                                                                  \
		if (_r < 0)                                                                             \
			FAIL("%s: %lld %s%s%s", #call, _r, (error).msg, (error).log ? "\n" : "",        \
			     (error).log ? (error).log : "");                                           \
	} while (0)

int main(int argc, char **argv)
{
	for (struct unit_test *t = unit_first; t; t = t->next) {
		if (argc == 2 && !strcmp(argv[1], "--list"))
			puts(t->name);
		else if (argc == 1 || !strcmp(argv[1], t->name)) {
			t->run();
			if (argc == 2)
				return 0;
		}
	}
	return argc == 2 && strcmp(argv[1], "--list") ? 2 : 0;
}

#endif
