/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Growing text, and the JSON writer over it. A failed allocation is remembered in `failed`, so callers check once. */
#include "base.h"

void text_clear(struct text *t)
{
	free(t->p);
	*t = (struct text){};
}

bool text_reserve(struct text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 256;
	char *p;

	if (t->failed || more >= SIZE_MAX / 4 || t->n >= SIZE_MAX / 4) {
		t->failed = true;
		return false;
	}
	if (t->n + more + 1 <= t->cap)
		return true;
	while (cap < t->n + more + 1)
		cap *= 2;
	p = realloc(t->p, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->p = p;
	t->cap = cap;
	return true;
}

void text_add(struct text *t, const char *p, size_t n)
{
	if (!text_reserve(t, n))
		return;
	if (n) /* nothing may come from nowhere: memcpy() refuses NULL */
		memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_putc(struct text *t, char c)
{
	text_add(t, &c, 1);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args, again;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n >= 0 && text_reserve(t, n)) {
		vsnprintf(t->p + t->n, n + 1, fmt, again);
		t->n += n;
	}
	va_end(again);
}

char *text_take(struct text *t)
{
	char *p = NULL;

	if (text_reserve(t, 0)) {
		t->p[t->n] = '\0';
		p = t->p;
		*t = (struct text){};
	}
	return p;
}

/* ---- JSON ---- */

static void json_element(struct json *j)
{
	uint64_t bit = 1ull << (j->depth & 63);

	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->depth && (j->comma & bit))
		text_putc(j->out, ',');
	j->comma |= bit;
}

void json_open(struct json *j, char bracket)
{
	json_element(j);
	text_putc(j->out, bracket);
	j->depth++;
	j->comma &= ~(1ull << (j->depth & 63));
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	text_putc(j->out, bracket);
}

void json_key(struct json *j, const char *key)
{
	json_element(j);
	json_quote(j->out, key, strlen(key));
	text_putc(j->out, ':');
	j->after_key = true;
}

void json_strn(struct json *j, const char *s, size_t n)
{
	json_element(j);
	json_quote(j->out, s, n);
}

void json_str(struct json *j, const char *s)
{
	if (s)
		json_strn(j, s, strlen(s));
	else
		json_null(j);
}

void json_int(struct json *j, int64_t v)
{
	json_element(j);
	text_printf(j->out, "%lld", (long long)v);
}

void json_uint(struct json *j, uint64_t v)
{
	json_element(j);
	text_printf(j->out, "%llu", (unsigned long long)v);
}

void json_bool(struct json *j, bool v)
{
	json_element(j);
	text_puts(j->out, v ? "true" : "false");
}

void json_null(struct json *j)
{
	json_element(j);
	text_puts(j->out, "null");
}

void json_raw(struct json *j, const char *json, size_t n)
{
	json_element(j);
	text_add(j->out, json, n);
}

void json_member_str(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_member_int(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

void json_member_uint(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_uint(j, v);
}

void json_member_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

void json_quote(struct text *out, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, utf8;
	char *w;

	/* Six output bytes an input byte is the worst case, so one reservation serves the whole string. */
	if (n > SIZE_MAX / 8 || !text_reserve(out, 6 * n + 2))
		return;
	w = out->p + out->n;
	*w++ = '"';
	while (i < n) {
		unsigned char c = p[i];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
			*w++ = c;
			i++;
		} else if (c >= 0x80 && (utf8 = utf8_length(p + i, n - i))) {
			memcpy(w, p + i, utf8);
			w += utf8;
			i += utf8;
		} else if (c == '"' || c == '\\') {
			*w++ = '\\';
			*w++ = c;
			i++;
		} else if (c == '\n' || c == '\t' || c == '\r') {
			*w++ = '\\';
			*w++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
			i++;
		} else {
			memcpy(w, "\\u00", 4);
			w[4] = hex[c >> 4];
			w[5] = hex[c & 15];
			w += 6;
			i++;
		}
	}
	*w++ = '"';
	*w = '\0';
	out->n = w - out->p;
}
