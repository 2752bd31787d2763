/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Buffered standard output and what the terminal can do (output.h). */
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/base.h"
#include "output.h"

bool color_wanted(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

void out_measure(struct out *out)
{
	struct winsize size;

	out->columns = out->rows = 0;
	if (!out->tty)
		return;
	out->columns = 80;
	out->rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		out->columns = size.ws_col;
		out->rows = size.ws_row;
	}
}

int out_open(struct out *out)
{
	*out = (struct out){ .tty = isatty(STDOUT_FILENO), .color = color_wanted(STDOUT_FILENO), .cap = OUT_CHUNK };
	out_measure(out);
	out->buf = malloc(out->cap);
	return out->buf ? 0 : -ENOMEM;
}

void out_close(struct out *out)
{
	free(out->buf);
	out->buf = NULL;
}

int out_flush(struct out *out)
{
	if (!out->error && out->n)
		out->error = fd_write_all(STDOUT_FILENO, out->buf, out->n);
	out->n = 0;
	return out->error;
}

char *out_room(struct out *out, size_t n)
{
	char *buf;

	if (out->n + n > out->cap && out_flush(out) == 0 && n > out->cap) {
		buf = realloc(out->buf, n);
		if (!buf) {
			out->error = -ENOMEM;
			return NULL;
		}
		out->buf = buf;
		out->cap = n;
	}
	return out->error ? NULL : out->buf + out->n;
}

void out_add(struct out *out, const char *p, size_t n)
{
	char *w = out_room(out, n);

	if (w && n) {
		memcpy(w, p, n);
		out->n += n;
	}
}

void out_puts(struct out *out, const char *s)
{
	out_add(out, s, strlen(s));
}

void out_printf(struct out *out, const char *fmt, ...)
{
	_text_ struct text t = {};
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0 || !text_reserve(&t, n))
		return;
	va_start(args, fmt);
	vsnprintf(t.p, n + 1, fmt, args);
	va_end(args);
	out_add(out, t.p, n);
}

void out_safe(struct out *out, const char *p, size_t n)
{
	char *w = out_room(out, n);

	if (!w)
		return;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = p[i];

		w[i] = (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c;
	}
	out->n += n;
}

#define CUT 4096 /* wider than any line */

/* Decodes one character; bytes that are not UTF-8 count as one column each, a cut character at the end as too wide. */
static size_t next_char(const char *s, size_t n, int *ret_width)
{
	unsigned char c = s[0];
	size_t len = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
	uint32_t code = len == 1 ? c : c & (0x7f >> len);

	*ret_width = len > n ? CUT : 1;
	if (len == 1 || len > n)
		return 1;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		code = code << 6 | (s[i] & 0x3f);
	}
	/* Combining marks take no column, East Asian wide characters and emoji two: the blocks, not the whole table. */
	if (code >= 0x300 && code < 0x370)
		*ret_width = 0;
	else if ((code >= 0x1100 && code < 0x1160) || (code >= 0x2e80 && code < 0xa4d0) ||
		 (code >= 0xac00 && code < 0xd7a4) || (code >= 0xf900 && code < 0xfb00) ||
		 (code >= 0xfe30 && code < 0xfe70) || (code >= 0xff00 && code < 0xff61) ||
		 (code >= 0x1f300 && code < 0x1fa70) || (code >= 0x20000 && code < 0x3fffe))
		*ret_width = 2;
	return len;
}

size_t utf8_fit(const char *s, size_t n, size_t columns)
{
	size_t i = 0, used = 0;
	int width;

	while (i < n) {
		size_t len = next_char(s + i, n - i, &width);

		if (used + width > columns)
			break;
		used += width;
		i += len;
	}
	return i;
}

size_t utf8_width(const char *s, size_t n)
{
	size_t i = 0, used = 0;
	int width;

	while (i < n) {
		i += next_char(s + i, n - i, &width);
		used += width == CUT ? 1 : width;
	}
	return used;
}
