/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf: finds the command in the table, parses its options, runs it, and turns errors into messages and exit
 * statuses. */
#include <signal.h>
#include <unistd.h>
#include <anybpf/anybpf.h>
#include "cli.h"

const struct command *const cli_commands[] = {
	&cli_run, &cli_build, &cli_btf, &cli_check, &cli_doctor, &cli_test, &cli_lab,
	&cli_pack, &cli_hub, &cli_types, &cli_trust, &cli_completion, &cli_help, &cli_version, NULL,
};

const struct command *cli_find_command(const char *name)
{
	for (size_t i = 0; cli_commands[i]; i++)
		if (!strcmp(cli_commands[i]->name, name))
			return cli_commands[i];
	return NULL;
}

/* ---- messages ---- */

void cli_say(const char *word, const char *fmt, ...)
{
	bool color = word && color_wanted(STDERR_FILENO);
	_text_ struct text line = {};
	char msg[2048];
	va_list args;

	va_start(args, fmt);
	vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	for (char *c = msg; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = *c == '\n' ? ' ' : '?';
	text_puts(&line, "anybpf: ");
	if (word)
		text_printf(&line, "%s%s:%s ", color ? strcmp(word, "error") ? "\033[33m" : "\033[31m" : "", word,
			    color ? "\033[0m" : "");
	text_printf(&line, "%s\n", msg);
	if (line.p)
		fd_write_all(STDERR_FILENO, line.p, line.n);
}

static void print_error_json(struct cli *cli, const struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_key(&j, "error");
	json_open(&j, '{');
	json_member_str(&j, "kind", ab_error_word(err->kind));
	json_member_int(&j, "code", err->code);
	json_member_str(&j, "message", err->msg);
	json_close(&j, '}');
	json_close(&j, '}');
	cli_print_json(cli, &t, NULL);
	out_flush(&cli->out);
}

/* Compilers and verifiers end their logs in different ways; here a log ends with one newline. */
static void print_log(const char *log)
{
	size_t n = strlen(log);

	fd_write_all(STDERR_FILENO, log, n);
	if (n && log[n - 1] != '\n')
		fd_write_all(STDERR_FILENO, "\n", 1);
}

/* The compiler's words come before the reason and in full; of the verifier's, those that matter unless -v wants all. */
static void print_verifier(struct cli *cli, const char *log)
{
	_free_ char *summary = cli->verbose ? NULL : ab_verifier_summary(log);

	print_log(summary ? summary : log);
	if (summary && strlen(summary) < strlen(log))
		cli_say(NULL, "-v shows all that the verifier said");
}

/* Says an error in the forms that were asked for and returns its exit status. */
static int say_error(struct cli *cli, const struct ab_error *err)
{
	bool log = err->log && *err->log;

	if (cli->json)
		print_error_json(cli, err);
	if (log && err->kind == AB_ERROR_COMPILE)
		print_log(err->log);
	cli_say("error", "%s", err->msg);
	if (log && (err->kind == AB_ERROR_VERIFIER || err->kind == AB_ERROR_RELOCATION))
		print_verifier(cli, err->log);
	else if (log && err->kind != AB_ERROR_COMPILE && cli->verbose)
		print_log(err->log);
	return ab_error_exit_status(err->kind);
}

int cli_write(struct cli *cli, const char *path, const void *data, size_t size, unsigned mode, struct ab_error *err)
{
	if (path && strcmp(path, "-"))
		return file_write(path, data, size, mode, err);
	out_add(&cli->out, data, size);
	return 0;
}

int cli_print_json(struct cli *cli, struct text *text, struct ab_error *err)
{
	if (text->failed)
		return ab_fail_memory(err);
	text_putc(text, '\n');
	out_add(&cli->out, text->p, text->n);
	return 0;
}

/* Flushes standard output. A reader that went away (head) is no error; a full disk is one. */
static int flush_output(struct cli *cli, struct ab_error *err)
{
	int r = out_flush(&cli->out);

	if (r == 0 || r == -EPIPE)
		return 0;
	return ab_fail(err, AB_ERROR_IO, r, "standard output: %s", strerror(-r));
}

/* ---- dispatch ---- */

static int run_command(struct cli *cli, struct ab_error *err)
{
	const struct common_opts *common = cli->opts;
	const struct command *command = cli->command;

	cli->json = common->json;
	cli->quiet = common->quiet;
	cli->verbose = common->verbose;
	if (common->help && cli->operand_count && command->help)
		return command->help(cli, err);
	if (common->help) {
		help_print_command(&cli->out, command);
		return 0;
	}
	if (cli->operand_count < command->min_operands)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "%s: %s is missing; 'anybpf %s --help' shows how it is used", command->name,
			       command->operands, command->name);
	if (cli->operand_count > command->max_operands)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s: '%s' is one argument too many", command->name,
			       cli->operands[command->max_operands]);
	return command->run(cli, err);
}

/* A command line that cannot be parsed may still have said how it wants its errors. */
static bool asks_for_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json"))
			return true;
	return false;
}

static int parse_and_run(struct cli *cli, struct ab_error *err)
{
	const struct command *command = cli->command;
	struct parse parse = { .command = command };
	int r;

	cli->opts = calloc(1, command->opts_size);
	cli->operands = array_new(cli->argc, sizeof(*cli->operands));
	if (!cli->opts || !cli->operands)
		return ab_fail_memory(err);
	if (command->defaults)
		memcpy(cli->opts, command->defaults, command->opts_size);
	if (command->open_options)
		return command->run(cli, err);
	cli->json = asks_for_json(cli->argc, cli->argv);
	parse.opts = cli->opts;
	parse.operands = cli->operands;
	r = opts_parse(&parse, cli->argc, cli->argv, err);
	cli->operand_count = parse.operand_count;
	return r < 0 ? r : run_command(cli, err);
}

static int fail_unknown_command(const char *name, struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; cli_commands[i]; i++)
		nearest_try(&nearest, cli_commands[i]->name);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "unknown command '%s'; did you mean '%s'?", name,
			       nearest.name);
	if (str_ends(name, ".c") || str_ends(name, ".o") || str_ends(name, ".so"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "unknown command '%s'; did you mean 'anybpf run %s'?",
			       name, name);
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "unknown command '%s'; 'anybpf help' lists the commands", name);
}

static int dispatch(struct cli *cli, int argc, char **argv, struct ab_error *err)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "what to do is missing; 'anybpf help' lists the commands");
	if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
		help_print_overview(&cli->out);
		return 0;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	cli->json = asks_for_json(argc - 1, argv + 1);
	cli->command = cli_find_command(name);
	if (!cli->command && *name == '-')
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "unknown option '%s'; options follow a command, and 'anybpf help' lists the commands",
			       name);
	if (!cli->command)
		return fail_unknown_command(name, err);
	cli->argc = argc - 2;
	cli->argv = argv + 2;
	return parse_and_run(cli, err);
}

int main(int argc, char **argv)
{
	struct ab_error err = {};
	struct cli cli = {};
	int status, r;

	signal(SIGPIPE, SIG_IGN);
	if (out_open(&cli.out) < 0)
		ab_fail_memory(&err);
	status = err.code ? err.code : dispatch(&cli, argc, argv, &err);
	if (status >= 0) {
		r = flush_output(&cli, &err);
		status = r < 0 ? r : status;
	}
	if (status < 0) {
		if (!err.code)
			ab_fail(&err, AB_ERROR_INTERNAL, status, "internal error %d", status);
		status = say_error(&cli, &err);
	}
	if (cli.command)
		opts_free(cli.command, cli.opts);
	free(cli.operands);
	out_close(&cli.out);
	ab_error_clear(&err);
	return status;
}
