/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which branches of conditions are taken, by what a program's own files say. */
#include "build/conditions.h"
#include "unit.h"

/* Feeds a text's directives; what holds at its end. */
static enum truth state_after(struct conditions *c, const char *text)
{
	struct lexer l = lexer_start(text, strlen(text)), rest;
	struct token t, word;

	while ((t = lexer_next(&l)).kind != TOKEN_END)
		if (t.kind == TOKEN_DIRECTIVE && directive_split(&t, &word, &rest))
			ab_conditions_take(c, &word, rest);
	ASSERT(!c->macros.failed && !c->values.failed);
	return ab_conditions_now(c);
}

static void check(const char *text, enum truth want)
{
	const char *const defines[] = { "ON", "FIVE=5", "EMPTY=", NULL };
	struct conditions c = {};
	enum truth got;

	ASSERT(ab_conditions_define(&c, defines) == 0);
	got = state_after(&c, text);
	if (got != want)
		FAIL("%d, not %d, after:\n%s", got, want, text);
	ab_conditions_clear(&c);
}

TEST(names)
{
	check("", YES);
	check("#ifdef ON\n", YES);
	check("#ifndef ON\n", NO);
	check("#ifdef OFF\n", NO);
	check("#ifdef _OFF\n", MAYBE); /* names of the compiler's and the system's */
	check("#ifdef ON\n#else\n", NO);
	check("#ifdef OFF\n#else\n", YES);
	check("#ifdef _OFF\n#else\n", MAYBE);
	check("#undef ON\n#ifdef ON\n", NO);
	check("#define OFF\n#ifdef OFF\n", YES);
	check("#define _OFF\n#ifdef _OFF\n", YES);
	check("#define F(x) x\n#ifdef F\n", YES);
	check("#ifdef\n", MAYBE);
	check("#if defined ON && defined(FIVE) && !defined OFF /* all of it */ // so\n", YES);
	check("#if defined(ON\n", MAYBE);
}

TEST(branches)
{
	check("#if 0\n#if 1\n#else\n", NO);
	check("#if 0\n#elif 1\n", YES);
	check("#if 1\n#elif 1\n", NO);
	check("#if 1\n#elif 0\n#else\n", NO);
	check("#if _X\n#elif 1\n", MAYBE);
	check("#if _X\n#elif 1\n#else\n", NO);
	check("#if _X\n#elif _Y\n#else\n", MAYBE);
	check("#if _X\n#if 0\n", NO);
	check("#if _X\n#if 1\n", MAYBE);
	check("#if 0\n#elifdef ON\n", YES);
	check("#if 0\n#elifndef ON\n#else\n", YES);
	check("#if 0\n#endif\n", YES);
	check("#endif\n#else\n#elif 1\n#endif\n", YES);
	check("#if _X\n#define Y\n#endif\n#ifdef Y\n", MAYBE);
	check("#if 0\n#define Y\n#endif\n#ifdef Y\n", NO);
	check("#if _X\n#undef ON\n#endif\n#ifdef ON\n", MAYBE);
}

TEST(expressions)
{
	check("#if FIVE == 5\n", YES);
	check("#if FIVE * 2 + 1 == 11 && (FIVE << 2) / 3 % 4 == 2\n", YES);
	check("#if 1 + 2 * 3 - 4 == 3 && 0x10 == 16 && 010 == 8u && 0b11 == 3UL\n", YES);
	check("#if -1 < 0 && ~0 == -1 && !0 && +1\n", YES);
	check("#if 1 | 2 ^ 3 & 4\n", YES);
	check("#if 1 ? 0 : 1\n", NO);
	check("#if OFF ? 0 : FIVE > 4 ? 1 : 0\n", YES);
	check("#if OFF\n", NO);
	check("#if 0 && _X\n", NO);
	check("#if 1 || _X\n", YES);
	check("#if 1 && _X\n", MAYBE);
	check("#if _X ? 1 : 1\n", MAYBE);
	check("#if 1 / 0\n", MAYBE);
	check("#if 1 % OFF\n", MAYBE);
	check("#if (-9223372036854775807 - 1) / -1 || 1\n", YES);
	check("#if __has_include(<x.h>) || defined(OFF)\n", MAYBE);
	check("#if VERSION(5, 10) > 3\n", MAYBE);
	check("#define SUM 1 + 1\n#if SUM * 2 == 3\n", MAYBE); /* a value that is more than one operand is not looked into */
	check("#define SUM (1 + 1)\n#if SUM * 2 == 4\n", YES);
	check("#define A B\n#define B A\n#if A\n", MAYBE);
	check("#define A B\n#define B \\\n 3 /* three */\n#if A == 3\n", YES);
	check("#if EMPTY\n", MAYBE);
	check("#if 'a' == 97\n", MAYBE);
	check("#if 1 1\n", MAYBE);
	check("#if\n", MAYBE);
	check("#if (1\n", MAYBE);
	check("#if 99999999999999999999999\n", MAYBE);
}

/* Brackets, operators and values without end: neither the stack nor the time. */
TEST(endless_expressions)
{
	enum { SIZE = 1 << 20 };
	static const char *const parts[] = { "(", "!", "-", "1?", "1?1:", "1||(", "A+", "defined " };
	char *text = malloc(SIZE + 64);
	struct conditions c = {};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		strcpy(text, "#if ");
		for (size_t n = 4; n < SIZE; n += strlen(parts[i]))
			strcpy(text + n, parts[i]);
		check(text, MAYBE);
	}
	state_after(&c, "#define A0 (1)\n");
	for (int i = 1; i < 20; i++) {
		char *p = text + sprintf(text, "#define A%d (0", i);

		for (int n = 0; n < 1000; n++)
			p += sprintf(p, "+A%d", i - 1);
		strcpy(p, ")\n");
		state_after(&c, text);
	}
	ASSERT(state_after(&c, "#if A3\n") == MAYBE);
	ab_conditions_clear(&c);
	free(text);
}

TEST(more_branches_than_anybody_writes)
{
	struct conditions c = {};

	for (int i = 0; i < 2 * CONDITIONS_DEPTH; i++)
		state_after(&c, "#if 1\n");
	ASSERT(state_after(&c, "#if 0\n") == MAYBE);
	ASSERT(state_after(&c, "#else\n#endif\n") == MAYBE);
	ab_conditions_clear(&c);
}
