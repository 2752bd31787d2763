/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reading C just far enough: its tokens, and all identifiers of a program's own files. */
#ifndef AB_SCAN_H
#define AB_SCAN_H

#include <anybpf/build.h>
#include <base/base.h>

enum token_kind {
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_TEXT,      /* string or character literal */
	TOKEN_NUMBER,
	TOKEN_PUNCT,     /* one character */
	TOKEN_DIRECTIVE, /* a whole preprocessor line with its continuation lines, from '#' to before the newline */
};

struct token {
	enum token_kind kind;
	const char *p;
	size_t n;
};

struct lexer {
	const char *p, *end;
	bool line_start; /* only white space and comments since the last newline */
};

struct lexer lexer_start(const char *text, size_t size);
struct token lexer_next(struct lexer *l);
static inline bool token_is(const struct token *t, const char *s)
{
	return t->n == strlen(s) && memcmp(t->p, s, t->n) == 0;
}

/* Splits a directive into its word ("include") and a lexer over the rest; false if it has no word. */
bool directive_split(const struct token *directive, struct token *ret_word, struct lexer *ret_rest);

enum { SCAN_LIMIT = 16 << 20, SCAN_DEPTH = 64 };

struct scan {
	struct strmap names;              /* every identifier, of conditional code too */
	struct strmap files;              /* the program's own files that were read */
	struct strmap includes;           /* names of other files that it includes: bundled, the system's, or missing */
	const char *const *include_dirs;  /* NULL-terminated or NULL */
	struct strmap given;              /* paths of files in memory, which come before those on the disk, and their indexes */
	const struct ab_build_file *given_files;
	bool given_only;                  /* nothing is read from the disk */
	struct conditions *conditions;    /* NULL: all branches count, and each file is read once */
	size_t bytes;
	int depth;
	bool has_section, has_license;    /* SEC() or section() is used; a "license" section is among them */
};

/* Scans a text and the files of its own that it includes, found beside it and in include_dirs. */
int ab_scan_text(struct scan *s, const char *path, const char *text, size_t size, struct ab_error *err);
/* Gives it files in memory, which stay the caller's. -EINVAL/USAGE for a path that is empty or there twice. */
int ab_scan_give(struct scan *s, const struct ab_build_file *files, size_t count, struct ab_error *err);
/* The file in memory at a path, however that is spelt, or NULL. */
const struct ab_build_file *ab_scan_given(const struct scan *s, const char *path);
/* Scans loose C, a -D value for one. */
int ab_scan_names(struct strmap *names, const char *text, size_t size);
void ab_scan_clear(struct scan *s);

#endif
