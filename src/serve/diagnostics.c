/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Lines "FILE:LINE:COLUMN: SEVERITY: MESSAGE" as records, notes within what they belong to. */
#include "diagnostics.h"

enum { DIAGNOSTICS_LIMIT = 1000 };

struct place {
	const char *file, *message;
	size_t file_size, message_size;
	uint32_t line, column;
	const char *severity;
};

void ab_diagnostics_strip(struct text *out, const char *s, const char *dir)
{
	size_t n = dir ? strlen(dir) : 0;

	while (*s) {
		const char *at = n ? strstr(s, dir) : NULL;

		if (!at) {
			text_puts(out, s);
			return;
		}
		text_add(out, s, at - s);
		s = at + n;
		s += *s == '/';
	}
}

/* Reads ":NUMBER" at *p. */
static bool take_number(const char **p, const char *end, uint32_t *ret)
{
	const char *s = *p;
	uint32_t n = 0;

	if (s >= end || *s++ != ':' || s >= end || *s < '0' || *s > '9')
		return false;
	for (; s < end && *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	*ret = n;
	*p = s;
	return true;
}

static bool parse_line(const char *line, const char *end, struct place *ret)
{
	static const struct { const char *word, *severity; } words[] = {
		{ ": fatal error: ", "fatal" }, { ": error: ", "error" }, { ": warning: ", "warning" }, { ": note: ", "note" },
	};

	for (const char *p = line; p < end; p++) {
		const char *at = p;
		struct place place = { .file = line, .file_size = p - line };

		if (*p != ':' || p == line)
			continue;
		(void)(take_number(&at, end, &place.line) && take_number(&at, end, &place.column));
		for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
			size_t n = strlen(words[i].word);

			if ((size_t)(end - at) < n || memcmp(at, words[i].word, n))
				continue;
			place.severity = words[i].severity;
			place.message = at + n;
			place.message_size = end - place.message;
			*ret = place;
			return true;
		}
	}
	return false;
}

static void write_place(struct json *j, const struct place *place)
{
	json_key(j, "file");
	json_strn(j, place->file, place->file_size);
	json_key(j, "line");
	json_uint(j, place->line);
	json_key(j, "column");
	json_uint(j, place->column);
	json_key(j, "severity");
	json_str(j, place->severity);
	json_key(j, "message");
	json_strn(j, place->message, place->message_size);
}

static void write_list(struct json *j, const char *log)
{
	bool is_open = false;
	size_t n = 0;

	json_open(j, '[');
	for (const char *line = log, *end; *line && n < DIAGNOSTICS_LIMIT; line = *end ? end + 1 : end) {
		struct place place;
		bool is_note;

		end = strchrnul(line, '\n');
		if (!parse_line(line, end, &place))
			continue;
		is_note = is_open && !strcmp(place.severity, "note");
		if (is_open && !is_note) {
			json_close(j, ']');
			json_close(j, '}');
		}
		json_open(j, '{');
		write_place(j, &place);
		if (is_note) {
			json_close(j, '}');
		} else {
			json_key(j, "notes");
			json_open(j, '[');
			is_open = true;
		}
		n++;
	}
	if (is_open) {
		json_close(j, ']');
		json_close(j, '}');
	}
	json_close(j, ']');
}

void ab_diagnostics_write(struct json *j, const char *log, const char *dir)
{
	_text_ struct text stripped = {};

	ab_diagnostics_strip(&stripped, log, dir);
	json_key(j, "diagnostics");
	write_list(j, stripped.p ? stripped.p : "");
	json_key(j, "log");
	json_str(j, stripped.p ? stripped.p : "");
}
