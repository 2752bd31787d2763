/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Standard output as one big buffer with the terminal's properties. Writing stops for good at the first failure, which
 * out_error() tells: callers check when it suits them.
 */
#ifndef AB_CLI_OUTPUT_H
#define AB_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct out {
	char *buf;
	size_t n, cap;
	int error;       /* negative errno of the first failed write */
	bool tty, color;
	int columns;     /* the terminal's width; 0: no terminal, lines are not cut */
	int rows;
};

int out_open(struct out *out);
void out_close(struct out *out);
/* Room for n bytes, or NULL after a failure; out->n += what was used. */
char *out_room(struct out *out, size_t n);
void out_add(struct out *out, const char *p, size_t n);
void out_puts(struct out *out, const char *s);
void out_printf(struct out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, but control characters other than newline and tab become '?': for what processes can choose. */
void out_safe(struct out *out, const char *p, size_t n);
/* Writes what is buffered; returns out->error. */
int out_flush(struct out *out);
/* Asks the terminal for its size again. */
void out_measure(struct out *out);

/* Columns that UTF-8 text takes on a terminal, and the bytes of it that fit into `columns`. */
size_t utf8_width(const char *s, size_t n);
size_t utf8_fit(const char *s, size_t n, size_t columns);

/* Whether to colour what goes to a descriptor: a terminal, no NO_COLOR, not TERM=dumb. */
bool color_wanted(int fd);

/* What an append grows the buffer to before it is written. */
#define OUT_CHUNK (256 * 1024)

#endif
