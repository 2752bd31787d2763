/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf help, and --help of every command: text, JSON, and manual pages, all from the option tables. */
#include "cli.h"

struct help_opts {
	struct common_opts common;
	bool man;
	const char *prose;
};

#define COLUMN 30 /* where descriptions begin */

/* "-p, --pid PID", as help shows it. */
static void option_names(struct text *t, const struct opt *opt)
{
	if (opt->letter)
		text_printf(t, "-%c, ", opt->letter);
	else
		text_puts(t, "    ");
	text_printf(t, "--%s", opt->name);
	if (opt->metavar)
		text_printf(t, " %s", opt->metavar);
}

/* Where a line that has `room` columns breaks: at the last blank that fits. */
static size_t break_at(const char *s, size_t room)
{
	size_t n = strlen(s), fit = utf8_fit(s, n, room);

	if (fit == n)
		return n;
	while (fit && s[fit] != ' ')
		fit--;
	return fit ? fit : strcspn(s, " ");
}

void help_print_row(struct out *out, const char *left, const char *text)
{
	int width = out->columns ? MIN(out->columns, 120) : 100;
	size_t room = width > COLUMN + 20 ? width - COLUMN : 20;
	size_t used = utf8_width(left, strlen(left)) + 2;

	out_printf(out, "  %s", left);
	if (used + 1 > COLUMN) {
		out_puts(out, "\n");
		used = 0;
	}
	do {
		size_t n = break_at(text, room);

		out_printf(out, "%*s%.*s\n", (int)(COLUMN - used), "", (int)n, text);
		text += n + strspn(text + n, " ");
		used = 0;
	} while (*text);
}

static void print_options(struct out *out, const char *title, const struct opt *options)
{
	out_printf(out, "\n%s:\n", title);
	for (const struct opt *o = options; o->name; o++) {
		_text_ struct text names = {};

		if (!opt_is_here(o))
			continue;
		option_names(&names, o);
		if (names.p)
			help_print_row(out, names.p, o->help);
	}
}

void help_print_command(struct out *out, const struct command *command)
{
	out_printf(out, "Usage: anybpf %s [OPTION...]%s%s\n\n%c%s.\n", command->name, command->operands ? " " : "",
		   command->operands ? command->operands : "", command->summary[0] - 'a' + 'A', command->summary + 1);
	print_options(out, "Options", command->options);
	out_printf(out, "\nSee 'man anybpf-%s' for more.\n", command->name);
}

void help_print_overview(struct out *out)
{
	out_puts(out, "Usage: anybpf COMMAND [OPTION...] [ARGUMENT...]\n\n"
		      "Builds, runs and explains BPF programs on every Linux kernel.\n\nCommands:\n");
	for (size_t i = 0; cli_commands[i]; i++)
		out_printf(out, "  %-12s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	out_puts(out, "\nTry:\n  sudo anybpf run tool.bpf.c     compile, load, attach, and print events until Ctrl-C\n"
		      "  anybpf doctor                  what this kernel and machine can do\n"
		      "  anybpf COMMAND --help          the options of a command\n");
}

/* ---- JSON ---- */

static const char *type_word(enum opt_type type)
{
	static const char *const words[] = {
		[OPT_FLAG] = "flag", [OPT_COUNT] = "count", [OPT_STRING] = "string", [OPT_LIST] = "list",
		[OPT_NUMBER] = "number", [OPT_DURATION] = "duration", [OPT_WORD] = "word",
	};

	return words[type];
}

static void add_option_json(struct json *j, const struct opt *o)
{
	char letter[2] = { o->letter };

	json_open(j, '{');
	json_member_str(j, "name", o->name);
	json_member_str(j, "letter", o->letter ? letter : NULL);
	json_member_str(j, "type", type_word(o->type));
	json_member_str(j, "argument", o->metavar);
	json_member_str(j, "help", o->help);
	if (o->words) {
		json_key(j, "words");
		json_open(j, '[');
		for (size_t i = 0; o->words[i]; i++)
			json_str(j, o->words[i]);
		json_close(j, ']');
	}
	json_close(j, '}');
}

static void add_command_json(struct json *j, const struct command *command)
{
	json_open(j, '{');
	json_member_str(j, "name", command->name);
	json_member_str(j, "summary", command->summary);
	json_member_str(j, "operands", command->operands);
	json_key(j, "options");
	json_open(j, '[');
	for (const struct opt *o = command->options; o->name; o++)
		if (opt_is_here(o))
			add_option_json(j, o);
	json_close(j, ']');
	json_close(j, '}');
}

static void add_errors_json(struct json *j)
{
	static const struct { uint32_t kind; const char *meaning; } kinds[] = {
#define AB_ERROR_KIND(name, value, word, exit_status, http_status, meaning) { value, meaning },
#include <anybpf/errors.def>
#undef AB_ERROR_KIND
	};

	json_open(j, '[');
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		json_open(j, '{');
		json_member_str(j, "kind", ab_error_word(kinds[i].kind));
		json_member_int(j, "exit_status", ab_error_exit_status(kinds[i].kind));
		json_member_str(j, "meaning", kinds[i].meaning);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static int print_json(struct cli *cli, const struct command *command, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (command) {
		add_command_json(&j, command);
		return cli_print_json(cli, &t, err);
	}
	json_open(&j, '{');
	json_member_str(&j, "version", ab_version());
	json_key(&j, "commands");
	json_open(&j, '[');
	for (size_t i = 0; cli_commands[i]; i++)
		add_command_json(&j, cli_commands[i]);
	json_close(&j, ']');
	json_key(&j, "errors");
	add_errors_json(&j);
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

/* ---- the command ---- */

static const struct opt options[] = {
	{ "man", 0, OPT_FLAG, offsetof(struct help_opts, man), NULL, "print a manual page in roff" },
	{ "prose", 0, OPT_STRING, offsetof(struct help_opts, prose), "FILE",
	  "with --man: Markdown sections to put into the page", HINT_FILE },
	JSON_OPTION("print the tables of commands, options and exit statuses as one JSON object"),
	HELP_OPTION,
	{},
};

static int run_help(struct cli *cli, struct ab_error *err)
{
	const struct help_opts *opts = cli->opts;
	const struct command *command = NULL;

	if (cli->operand_count) {
		command = cli_find_command(cli->operands[0]);
		if (!command)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
				       "unknown command '%s'; 'anybpf help' lists the commands", cli->operands[0]);
	}
	if (opts->man)
		return man_print(&cli->out, command, opts->prose, err);
	if (cli->json)
		return print_json(cli, command, err);
	if (command)
		help_print_command(&cli->out, command);
	else
		help_print_overview(&cli->out);
	return 0;
}

const struct command cli_help = {
	.name = "help",
	.summary = "show help, for one command or for all, also as JSON and manual page",
	.operands = "[COMMAND]",
	.max_operands = 1,
	.hint = HINT_COMMAND,
	.options = options,
	.opts_size = sizeof(struct help_opts),
	.run = run_help,
};
