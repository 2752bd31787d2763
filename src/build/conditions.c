/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Conditions of the preprocessor, evaluated with what is known (conditions.h). */
#include "conditions.h"

enum { UNKNOWN, UNDEFINED, DEFINED, FIRST_VALUE, EXPANSIONS = 16, NESTING = 200, TOKENS = 100000 };

/* ---- macros ---- */

static uintptr_t find_macro(const struct conditions *c, const struct token *name)
{
	const struct strmap_entry *e = strmap_find(&c->macros, name->p, name->n);

	/* Names of compilers and systems begin so; those of their headers that do not, nobody asks for. */
	return e ? e->value : *name->p == '_' ? UNKNOWN : UNDEFINED;
}

static void set_macro(struct conditions *c, const struct token *name, uintptr_t value)
{
	struct strmap_entry *e = strmap_put(&c->macros, name->p, name->n, NULL);

	if (e)
		e->value = value;
}

static uintptr_t keep_value(struct conditions *c, const char *p, size_t n)
{
	size_t at = c->values.n;

	text_add(&c->values, p, n);
	text_putc(&c->values, '\0');
	return FIRST_VALUE + at;
}

static void define(struct conditions *c, struct lexer rest)
{
	struct token name = lexer_next(&rest);
	bool has_arguments = rest.p < rest.end && *rest.p == '(';

	if (name.kind == TOKEN_NAME)
		set_macro(c, &name, ab_conditions_now(c) != YES ? UNKNOWN : has_arguments ? DEFINED :
				    keep_value(c, rest.p, rest.end - rest.p));
}

int ab_conditions_define(struct conditions *c, const char *const *defines)
{
	for (; defines && *defines; defines++) {
		const char *equals = strchr(*defines, '=');
		struct token name = { TOKEN_NAME, *defines, equals ? (size_t)(equals - *defines) : strlen(*defines) };

		set_macro(c, &name, keep_value(c, equals ? equals + 1 : "1", equals ? strlen(equals + 1) : 1));
	}
	return c->macros.failed || c->values.failed ? -ENOMEM : 0;
}

/* ---- expressions ---- */

struct value {
	bool is_known, is_unsigned;
	long long n;
};

struct expression {
	const struct conditions *c;
	struct lexer l;
	struct token t;      /* the next one */
	int expansions, nesting;
	size_t *tokens;      /* how many may still be read, of values too */
	bool is_bad;
};

static const struct value unknown = {};

static struct value evaluate(const struct expression *within, const char *p, size_t n);
static struct value read_choice(struct expression *e);

static struct value known(long long n)
{
	return (struct value){ .is_known = true, .n = n };
}

static void next(struct expression *e)
{
	e->is_bad |= !*e->tokens;
	e->t = e->is_bad ? (struct token){} : lexer_next(&e->l);
	*e->tokens -= !e->is_bad;
}

/* An operator of one or two characters. */
static bool take(struct expression *e, const char *op)
{
	if (e->t.kind != TOKEN_PUNCT || *e->t.p != op[0] || (op[1] && (e->l.p >= e->l.end || *e->l.p != op[1])))
		return false;
	if (op[1])
		e->l.p++;
	next(e);
	return true;
}

static struct value read_defined(struct expression *e)
{
	bool in_brackets = take(e, "(");
	uintptr_t macro = e->t.kind == TOKEN_NAME ? find_macro(e->c, &e->t) : UNKNOWN;

	e->is_bad |= e->t.kind != TOKEN_NAME;
	next(e);
	e->is_bad |= in_brackets && !take(e, ")");
	return macro == UNKNOWN ? unknown : known(macro != UNDEFINED);
}

/* What stands in brackets behind the name of a function, __has_include for one. */
static void skip_arguments(struct expression *e)
{
	int open = 0;

	do {
		open += token_is(&e->t, "(") - token_is(&e->t, ")");
		next(e);
	} while (open && e->t.kind != TOKEN_END && !e->is_bad);
}

static struct value read_name(struct expression *e)
{
	uintptr_t macro = find_macro(e->c, &e->t);
	const char *value;

	next(e);
	if (token_is(&e->t, "(")) {
		skip_arguments(e);
		return unknown;
	}
	if (macro == UNKNOWN || macro == DEFINED || e->expansions >= EXPANSIONS)
		return unknown;
	if (macro == UNDEFINED)
		return known(0);
	value = e->c->values.p + (macro - FIRST_VALUE);
	return evaluate(e, value, strlen(value));
}

static struct value read_number(struct expression *e)
{
	char text[80] = "", *end;
	struct value v = {};
	bool is_binary;

	memcpy(text, e->t.p, MIN(e->t.n, sizeof(text) - 1));
	is_binary = text[0] == '0' && (text[1] | 32) == 'b';
	errno = 0;
	v.n = strtoull(text + 2 * is_binary, &end, is_binary ? 2 : 0);
	v.is_unsigned = strpbrk(end, "uU") || v.n < 0;
	v.is_known = !errno && end[strspn(end, "uUlL")] == '\0';
	next(e);
	return v;
}

static struct value read_operand(struct expression *e);

static struct value read_inner(struct expression *e)
{
	struct value v;

	e->is_bad |= ++e->nesting > NESTING;
	v = e->is_bad ? unknown : read_operand(e);
	e->nesting--;
	return v;
}

static struct value read_operand(struct expression *e)
{
	struct value v = unknown;

	if (e->t.kind == TOKEN_NUMBER) {
		v = read_number(e);
	} else if (token_is(&e->t, "defined")) {
		next(e);
		v = read_defined(e);
	} else if (e->t.kind == TOKEN_NAME) {
		v = read_name(e);
	} else if (take(e, "(")) {
		v = read_choice(e);
		e->is_bad |= !take(e, ")");
	} else if (take(e, "!")) {
		v = read_inner(e);
		v.n = !v.n;
		v.is_unsigned = false;
	} else if (take(e, "-")) {
		v = read_inner(e);
		v.n = (long long)-(unsigned long long)v.n;
	} else if (take(e, "~")) {
		v = read_inner(e);
		v.n = ~v.n;
	} else if (take(e, "+")) {
		v = read_inner(e);
	} else {
		e->is_bad = true;
	}
	return v;
}

/* By how tight they bind; of those that begin alike the longer comes first. */
static const struct { const char *op; int level; } operators[] = {
	{ "||", 1 }, { "&&", 2 }, { "|", 3 }, { "^", 4 }, { "&", 5 }, { "==", 6 }, { "!=", 6 }, { "<<", 8 }, { ">>", 8 },
	{ "<=", 7 }, { ">=", 7 }, { "<", 7 }, { ">", 7 }, { "+", 9 }, { "-", 9 }, { "*", 10 }, { "/", 10 }, { "%", 10 },
};
enum { OR, AND, BIT_OR, XOR, BIT_AND, EQUAL, UNEQUAL, LEFT, RIGHT, AT_MOST, AT_LEAST, LESS, MORE, PLUS, MINUS, TIMES, OVER, REST };

static long long compute(size_t op, long long a, long long b)
{
	unsigned long long x = a, y = b;

	switch (op) {
	case BIT_OR: return a | b;
	case XOR: return a ^ b;
	case BIT_AND: return a & b;
	case EQUAL: return a == b;
	case UNEQUAL: return a != b;
	case LEFT: return x << y;
	case RIGHT: return a >> y;
	case AT_MOST: return a <= b;
	case AT_LEAST: return a >= b;
	case LESS: return a < b;
	case MORE: return a > b;
	case PLUS: return x + y;
	case MINUS: return x - y;
	case TIMES: return x * y;
	case OVER: return b == -1 ? (long long)-x : a / b;
	default: return b == -1 ? 0 : a % b;
	}
}

static struct value combine(size_t op, struct value a, struct value b)
{
	bool both = a.is_known && b.is_known, is_comparison = op == EQUAL || op == UNEQUAL || (op >= AT_MOST && op <= MORE);
	struct value v;

	if (op == OR)
		return (a.is_known && a.n) || (b.is_known && b.n) ? known(1) : both ? known(0) : unknown;
	if (op == AND)
		return (a.is_known && !a.n) || (b.is_known && !b.n) ? known(0) : both ? known(1) : unknown;
	if (!both || (op >= OVER && !b.n) || ((op == LEFT || op == RIGHT) && (b.n < 0 || b.n > 63)))
		return unknown;
	/* What is negative is another number among unsigned ones: that far nobody counts. */
	if ((a.is_unsigned || b.is_unsigned) && (a.n < 0 || b.n < 0))
		return unknown;
	v = known(compute(op, a.n, b.n));
	v.is_unsigned = !is_comparison && (a.is_unsigned || b.is_unsigned);
	return v;
}

static struct value read_binary(struct expression *e, int level)
{
	struct value v = read_operand(e);

	for (size_t op = 0; op < ARRAY_SIZE(operators) && !e->is_bad;) {
		/* "a && b" is no "a & …". */
		bool is_double = (op == BIT_OR || op == BIT_AND) && e->l.p < e->l.end && *e->l.p == *operators[op].op;

		if (operators[op].level < level || is_double || !take(e, operators[op].op)) {
			op++;
			continue;
		}
		v = combine(op, v, read_binary(e, operators[op].level + 1));
		op = 0;
	}
	return v;
}

static struct value read_choice(struct expression *e)
{
	struct value v = unknown, yes, no;

	e->is_bad |= ++e->nesting > NESTING;
	if (!e->is_bad)
		v = read_binary(e, 1);
	if (take(e, "?")) {
		yes = read_choice(e);
		e->is_bad |= !take(e, ":");
		no = read_choice(e);
		yes.is_unsigned = no.is_unsigned = yes.is_unsigned || no.is_unsigned;
		v = !v.is_known ? unknown : v.n ? yes : no;
	}
	e->nesting--;
	return v;
}

/* The value of a macro is text: "1 + 1" would be another thing between two operators, so only one operand is read. */
static struct value evaluate(const struct expression *within, const char *p, size_t n)
{
	struct expression e = { .c = within->c, .l = lexer_start(p, n), .expansions = within->expansions + 1,
				.nesting = within->nesting, .tokens = within->tokens };
	struct value v;

	e.l.line_start = false;
	next(&e);
	v = e.expansions ? read_operand(&e) : read_choice(&e);
	return e.is_bad || e.t.kind != TOKEN_END ? unknown : v;
}

/* ---- branches ---- */

enum truth ab_conditions_now(const struct conditions *c)
{
	return c->is_lost ? MAYBE : c->depth ? c->branches[c->depth - 1].now : YES;
}

static enum truth condition(const struct conditions *c, const struct token *word, struct lexer rest)
{
	struct token name = lexer_next(&rest);
	bool is_ifdef = token_is(word, "ifdef") || token_is(word, "elifdef");
	bool is_ifndef = token_is(word, "ifndef") || token_is(word, "elifndef");
	size_t tokens = TOKENS;
	struct expression e = { .c = c, .expansions = -1, .tokens = &tokens };
	uintptr_t macro;
	struct value v;

	if (is_ifdef || is_ifndef) {
		macro = name.kind == TOKEN_NAME ? find_macro(c, &name) : UNKNOWN;
		return macro == UNKNOWN ? MAYBE : (macro != UNDEFINED) == is_ifdef ? YES : NO;
	}
	v = name.kind == TOKEN_END ? unknown : evaluate(&e, name.p, rest.end - name.p);
	return !v.is_known ? MAYBE : v.n ? YES : NO;
}

static enum truth outer(const struct conditions *c)
{
	return c->depth > 1 ? c->branches[c->depth - 2].now : YES;
}

static void begin(struct conditions *c, enum truth value)
{
	enum truth now = ab_conditions_now(c);

	c->is_lost |= c->depth == CONDITIONS_DEPTH;
	if (c->is_lost)
		return;
	c->branches[c->depth].taken = value;
	c->branches[c->depth++].now = MIN(now, value);
}

static void go_on(struct conditions *c, enum truth value)
{
	uint8_t *now = &c->branches[c->depth - 1].now, *taken = &c->branches[c->depth - 1].taken;
	enum truth left = YES - *taken; /* whether this branch is still to be had */

	*now = MIN(MIN(left, value), outer(c));
	*taken = MAX(*taken, value);
}

bool ab_conditions_take(struct conditions *c, const struct token *word, struct lexer rest)
{
	bool is_if = token_is(word, "if") || token_is(word, "ifdef") || token_is(word, "ifndef");
	bool is_elif = token_is(word, "elif") || token_is(word, "elifdef") || token_is(word, "elifndef");
	bool is_else = token_is(word, "else"), is_undef = token_is(word, "undef"), is_define = token_is(word, "define");

	if (is_if) {
		begin(c, ab_conditions_now(c) == NO ? NO : condition(c, word, rest));
	} else if (is_elif || is_else) {
		if (c->depth && !c->is_lost)
			go_on(c, is_else ? YES : condition(c, word, rest));
	} else if (token_is(word, "endif")) {
		c->depth -= c->depth && !c->is_lost;
	} else if (is_define && ab_conditions_now(c) != NO) {
		define(c, rest);
	} else if (is_undef && ab_conditions_now(c) != NO) {
		struct token name = lexer_next(&rest);

		if (name.kind == TOKEN_NAME)
			set_macro(c, &name, ab_conditions_now(c) == YES ? UNDEFINED : UNKNOWN);
	} else {
		return is_define || is_undef;
	}
	return true;
}

void ab_conditions_clear(struct conditions *c)
{
	strmap_clear(&c->macros);
	text_clear(&c->values);
}
