/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which branches of #if and its like a compiler would take, as far as a program's own files tell: macros of other headers and of
 * the compiler are not known here. So a branch is taken, not taken, or perhaps taken.
 */
#ifndef AB_CONDITIONS_H
#define AB_CONDITIONS_H

#include "scan.h"

enum truth { NO, MAYBE, YES };
enum { CONDITIONS_DEPTH = 256, CONDITIONS_SCANS = 1 << 16 };

struct conditions {
	struct strmap macros;      /* by name: UNKNOWN, UNDEFINED, DEFINED, or where in `values` the value is */
	struct text values;
	struct { uint8_t now, taken; } branches[CONDITIONS_DEPTH];
	size_t depth;
	size_t scans;              /* of files */
	bool is_lost;              /* deeper than anybody writes: all is perhaps taken from here on */
	bool left_out;             /* an #include of a branch that is not taken was passed over */
};

/* -D options, "NAME" or "NAME=VALUE"; NULL-terminated or NULL. */
int ab_conditions_define(struct conditions *c, const char *const *defines);
/* Whether what comes now is compiled. */
enum truth ab_conditions_now(const struct conditions *c);
/* Takes a directive; false: it is none that matters here. -ENOMEM is in c->macros.failed and c->values.failed. */
bool ab_conditions_take(struct conditions *c, const struct token *word, struct lexer rest);
void ab_conditions_clear(struct conditions *c);

#endif
