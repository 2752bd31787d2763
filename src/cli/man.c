/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Manual pages in roff: name, synopsis, options and exit statuses from the tables, the rest from a Markdown file with
 * "# SECTION" headings, paragraphs, "- " lists, fenced blocks, `code`, **bold** and *emphasis*. Its DESCRIPTION comes
 * before the options, everything else after.
 */
#include "cli.h"

struct man {
	struct out *out;
	const char *prose;
};

/* ---- text to roff ---- */

/* A backslash and a dash mean something to roff, as do dots and quotes at the start of a line. */
static void add_char(struct out *out, char c)
{
	if (c == '\\')
		out_puts(out, "\\e");
	else if (c == '-')
		out_puts(out, "\\-");
	else if (c == '\'')
		out_puts(out, "\\(aq");
	else
		out_add(out, &c, 1);
}

static void add_plain(struct out *out, const char *s, size_t n)
{
	if (n && *s == '.')
		out_puts(out, "\\&");
	for (size_t i = 0; i < n; i++)
		add_char(out, s[i]);
}

/* The inline marks: where one closes, so does its font. */
static void add_marked(struct out *out, const char *s, size_t n)
{
	bool bold = false, italic = false, code = false;

	if (n && *s == '.')
		out_puts(out, "\\&");
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '`') {
			code = !code;
			out_puts(out, code ? "\\fB" : "\\fR");
		} else if (!code && s[i] == '*' && i + 1 < n && s[i + 1] == '*') {
			bold = !bold;
			out_puts(out, bold ? "\\fB" : "\\fR");
			i++;
		} else if (!code && s[i] == '*') {
			italic = !italic;
			out_puts(out, italic ? "\\fI" : "\\fR");
		} else {
			add_char(out, s[i]);
		}
	}
}

/* ---- Markdown ---- */

static const char *line_end(const char *s)
{
	const char *end = strchr(s, '\n');

	return end ? end : s + strlen(s);
}

static const char *next_line(const char *s)
{
	const char *end = line_end(s);

	return *end ? end + 1 : end;
}

static const char *add_block(struct out *out, const char *s)
{
	out_puts(out, ".PP\n.RS 4\n.nf\n");
	for (s = next_line(s); *s && !str_starts(s, "```"); s = next_line(s)) {
		add_plain(out, s, line_end(s) - s);
		out_puts(out, "\n");
	}
	out_puts(out, ".fi\n.RE\n");
	return next_line(s);
}

static const char *add_table(struct out *out, const char *s)
{
	size_t row = 0;

	for (; *s == '|'; s = next_line(s), row++) {
		const char *end = line_end(s), *bar = memchr(s + 1, '|', end - s - 1);
		const char *last = end;

		/* The heading and the rule under it are for the Markdown reader only. */
		if (row < 2 || !bar)
			continue;
		while (last > bar + 1 && (last[-1] == '|' || last[-1] == ' '))
			last--;
		out_puts(out, ".TP\n");
		add_marked(out, s + 2, bar - s - 3);
		out_puts(out, "\n");
		add_marked(out, bar + 2, last > bar + 2 ? last - bar - 2 : 0);
		out_puts(out, "\n");
	}
	return s;
}

/* One section's body, up to the next heading. */
static void add_body(struct out *out, const char *s)
{
	bool paragraph = true;

	while (*s && !str_starts(s, "# ")) {
		if (str_starts(s, "```")) {
			s = add_block(out, s);
			paragraph = true;
			continue;
		}
		if (*s == '|') {
			s = add_table(out, s);
			paragraph = true;
			continue;
		}
		if (*s == '\n') {
			paragraph = true;
		} else if (str_starts(s, "## ")) {
			out_puts(out, ".SS ");
			add_plain(out, s + 3, line_end(s) - s - 3);
			out_puts(out, "\n");
			paragraph = false;
		} else if (str_starts(s, "- ")) {
			out_puts(out, ".IP \\(bu 2\n");
			add_marked(out, s + 2, line_end(s) - s - 2);
			out_puts(out, "\n");
			paragraph = false;
		} else {
			out_puts(out, paragraph ? ".PP\n" : "");
			add_marked(out, s + strspn(s, " "), line_end(s) - s - strspn(s, " "));
			out_puts(out, "\n");
			paragraph = false;
		}
		s = next_line(s);
	}
}

static void add_heading(struct out *out, const char *s, size_t n)
{
	out_puts(out, ".SH \"");
	add_plain(out, s, n);
	out_puts(out, "\"\n");
}

/* The sections before the options, or those behind them. */
static void add_sections(const struct man *man, bool description)
{
	for (const char *s = man->prose; *s; s = next_line(s)) {
		const char *end = line_end(s);

		if (!str_starts(s, "# ") || (str_starts(s, "# DESCRIPTION\n") != description))
			continue;
		add_heading(man->out, s + 2, end - s - 2);
		add_body(man->out, next_line(s));
	}
}

/* ---- from the tables ---- */

static void add_synopsis(struct out *out, const struct command *command)
{
	out_puts(out, ".SH SYNOPSIS\n\\fBanybpf\\fR ");
	if (!command) {
		out_puts(out, "\\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n");
		return;
	}
	out_printf(out, "\\fB%s\\fR [\\fIOPTION\\fR...]", command->name);
	if (command->operands) {
		out_puts(out, " \\fI");
		add_plain(out, command->operands, strlen(command->operands));
		out_puts(out, "\\fR");
	}
	out_puts(out, "\n");
}

static void add_options(struct out *out, const struct command *command)
{
	add_heading(out, "OPTIONS", 7);
	for (const struct opt *o = command->options; o->name; o++) {
		if (!opt_is_here(o))
			continue;
		out_puts(out, ".TP\n");
		if (o->letter)
			out_printf(out, "\\fB\\-%c\\fR, ", o->letter);
		out_puts(out, "\\fB\\-\\-");
		add_plain(out, o->name, strlen(o->name));
		out_puts(out, "\\fR");
		if (o->metavar) {
			out_puts(out, " \\fI");
			add_plain(out, o->metavar, strlen(o->metavar));
			out_puts(out, "\\fR");
		}
		out_puts(out, "\n");
		add_plain(out, o->help, strlen(o->help));
		out_puts(out, "\n");
	}
}

static void add_commands(struct out *out)
{
	add_heading(out, "COMMANDS", 8);
	for (size_t i = 0; cli_commands[i]; i++) {
		out_printf(out, ".TP\n\\fBanybpf\\-%s\\fR(1)\n", cli_commands[i]->name);
		add_plain(out, cli_commands[i]->summary, strlen(cli_commands[i]->summary));
		out_puts(out, "\n");
	}
}

static void add_exit_status(struct out *out, const struct command *command)
{
	static const struct { int status; const char *word, *meaning; } rows[] = {
#define AB_ERROR_KIND(name, value, word, exit_status, http_status, meaning) { exit_status, word, meaning },
#include <anybpf/errors.def>
#undef AB_ERROR_KIND
	};

	add_heading(out, "EXIT STATUS", 11);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (i == 0 || rows[i].status != rows[i - 1].status)
			out_printf(out, ".TP\n\\fB%d\\fR\n", rows[i].status);
		else
			out_puts(out, ".br\n");
		if (i) {
			add_plain(out, rows[i].word, strlen(rows[i].word));
			out_puts(out, ": ");
		}
		add_plain(out, rows[i].meaning, strlen(rows[i].meaning));
		out_puts(out, "\n");
		/* 1 is an answer, not an error: no kind has it. */
		if (i == 0)
			out_puts(out, ".TP\n\\fB1\\fR\nthe answer is no (\\fBanybpf doctor\\fR: programs cannot be run "
				      "here)\n");
	}
}

static void add_see_also(struct out *out, const struct command *command)
{
	add_heading(out, "SEE ALSO", 8);
	out_puts(out, command ? "\\fBanybpf\\fR(1)" : "\\fBbpf\\fR(2), \\fBbpf\\-helpers\\fR(7)");
	for (size_t i = 0; command && cli_commands[i]; i++)
		if (cli_commands[i] != command)
			out_printf(out, ", \\fBanybpf\\-%s\\fR(1)", cli_commands[i]->name);
	out_puts(out, "\n");
}

int man_print(struct out *out, const struct command *command, const char *prose_path, struct ab_error *err)
{
	_free_ char *prose = NULL;
	struct man man = { .out = out, .prose = "" };
	size_t size;

	if (prose_path) {
		int r = file_read(prose_path, 1 << 20, &prose, &size, err);

		if (r < 0)
			return r;
		man.prose = prose;
	}
	out_printf(out, ".TH ANYBPF%s", command ? "\\-" : "");
	for (const char *c = command ? command->name : ""; *c; c++)
		out_printf(out, "%c", *c - 'a' + 'A');
	out_printf(out, " 1 \"\" \"anybpf %s\" \"anybpf manual\"\n.nh\n.ad l\n.SH NAME\nanybpf%s%s \\- ", ab_version(),
		   command ? "\\-" : "", command ? command->name : "");
	if (command)
		add_plain(out, command->summary, strlen(command->summary));
	else
		out_puts(out, "build, run and explain BPF programs on every Linux kernel");
	out_puts(out, "\n");
	add_synopsis(out, command);
	add_sections(&man, true);
	if (command)
		add_options(out, command);
	else
		add_commands(out);
	add_sections(&man, false);
	add_exit_status(out, command);
	add_see_also(out, command);
	return 0;
}
