/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Parameters of the object as options of `anybpf run`. They are known only when the object is open, which takes the
 * command line's FILE: so it is parsed twice, first leniently to find FILE, then exactly.
 */
#include <unistd.h>
#include "run.h"

/* ---- first parse ---- */

struct guess {
	const char **values; /* arguments behind unknown options without '=': their values, or operands */
	size_t count;
	char *unknown;       /* the first unknown option */
};

static int note_unknown(void *ctx, const char *name, const char *value, const char *next, struct ab_error *err)
{
	struct guess *guess = ctx;

	if (!guess->unknown && !(guess->unknown = strdup(name)))
		return ab_fail_memory(err);
	if (value || !next)
		return 0;
	if (next[0] == '-' && next[1] >= '0' && next[1] <= '9')
		return 1;
	if (next[0] != '-' || !next[1])
		guess->values[guess->count++] = next;
	return 0;
}

static bool is_value(const struct guess *guess, const char *operand)
{
	for (size_t i = 0; i < guess->count; i++)
		if (guess->values[i] == operand)
			return true;
	return false;
}

static bool looks_like_file(const char *s)
{
	return !strcmp(s, "-") || str_ends(s, ".c") || str_ends(s, ".o") || str_ends(s, ".so") || access(s, F_OK) == 0;
}

/* The operand that cannot be an option's value; if all can, the one that looks like a file. */
static const char *choose_file(const struct cli *cli, const struct guess *guess)
{
	for (size_t i = 0; i < cli->operand_count; i++)
		if (!is_value(guess, cli->operands[i]))
			return cli->operands[i];
	for (size_t i = 0; i < cli->operand_count; i++)
		if (looks_like_file(cli->operands[i]))
			return cli->operands[i];
	return NULL;
}

int run_find_file(struct cli *cli, struct ab_error *err)
{
	struct guess guess = { .values = array_new(cli->argc, sizeof(*guess.values)) };
	struct parse parse = { .command = cli->command, .opts = cli->opts, .operands = cli->operands,
			       .unknown = note_unknown, .ctx = &guess };
	const char *file;
	int r;

	if (!guess.values)
		return ab_fail_memory(err);
	r = opts_parse(&parse, cli->argc, cli->argv, err);
	cli->operand_count = parse.operand_count;
	cli->json = ((struct common_opts *)cli->opts)->json;
	if (r == 0) {
		file = choose_file(cli, &guess);
		if (!file && guess.unknown)
			r = opts_fail_unknown(cli->command, guess.unknown, NULL, 0, err);
		else if (!file && !((struct common_opts *)cli->opts)->help)
			r = ab_fail(err, AB_ERROR_USAGE, -EINVAL,
				    "run: FILE is missing; 'anybpf run --help' shows how it is used");
		cli->operand_count = file ? 1 : 0;
		cli->operands[0] = file;
	}
	free(guess.unknown);
	free(guess.values);
	return r;
}

/* ---- second parse ---- */

/* Options are written with '-', identifiers with '_'. */
static void to_option_name(char *name)
{
	for (; *name; name++)
		if (*name == '_')
			*name = '-';
}

static const struct ab_param *find_param(struct ab_object *object, const char *option)
{
	for (size_t i = 0; i < ab_object_param_count(object); i++) {
		const struct ab_param *param = ab_object_param(object, i);
		size_t k = 0;

		while (option[k] && (option[k] == param->name[k] || (option[k] == '-' && param->name[k] == '_')))
			k++;
		if (!option[k] && !param->name[k])
			return param;
	}
	return NULL;
}

static int fail_unknown_param(struct run *run, const char *name, struct ab_error *err)
{
	size_t count = ab_object_param_count(run->object);
	char **names = array_new(count, sizeof(*names));
	int r = 0;

	for (size_t i = 0; names && i < count; i++) {
		names[i] = strdup(ab_object_param(run->object, i)->name);
		if (!names[i]) {
			r = ab_fail_memory(err);
			break;
		}
		to_option_name(names[i]);
	}
	if (!names)
		r = ab_fail_memory(err);
	if (r == 0)
		r = opts_fail_unknown(run->cli->command, name, (const char *const *)names, count, err);
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
	return r;
}

static int set_param_option(void *ctx, const char *name, const char *value, const char *next, struct ab_error *err)
{
	struct run *run = ctx;
	const struct ab_param *param = find_param(run->object, name);
	int r;

	if (!param)
		return fail_unknown_param(run, name, err);
	if (param->is_bool && !value)
		return ab_object_set_param(run->object, param->name, "true", err);
	if (!value && !next)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s' needs an argument: a value of type %s",
			       name, param->type);
	r = ab_object_set_param(run->object, param->name, value ? value : next, err);
	return r < 0 ? r : !value;
}

int run_parse_params(struct run *run, int argc, char **argv, struct ab_error *err)
{
	const struct command *command = run->cli->command;
	struct parse parse = { .command = command, .unknown = set_param_option, .ctx = run };
	int r;

	parse.opts = calloc(1, command->opts_size);
	parse.operands = array_new(argc, sizeof(*parse.operands));
	if (!parse.opts || !parse.operands)
		r = ab_fail_memory(err);
	else
		r = opts_parse(&parse, argc, argv, err);
	for (size_t i = 0; r == 0 && i < parse.operand_count; i++)
		if (parse.operands[i] != run->cli->operands[0])
			r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "run: '%s' is one argument too many after '%s'",
				    parse.operands[i], run->cli->operands[0]);
	opts_free(command, parse.opts);
	free(parse.operands);
	return r;
}

/* ---- help ---- */

static void print_param(struct out *out, const struct ab_param *param)
{
	_free_ char *name = strdup(param->name);
	_text_ struct text left = {}, right = {};

	if (!name)
		return;
	to_option_name(name);
	text_printf(&left, "    --%s%s%s", name, param->is_bool ? "" : " ", param->is_bool ? "" : param->type);
	text_puts(&right, param->help ? param->help : "");
	if (param->default_value && *param->default_value && !param->is_bool)
		text_printf(&right, "%s(default %s)", right.n ? " " : "", param->default_value);
	else if (param->is_bool)
		text_printf(&right, "%s(default %s)", right.n ? " " : "",
			    param->default_value && !strcmp(param->default_value, "true") ? "on" : "off");
	if (param->is_pid)
		text_puts(&right, " (also set by --pid)");
	if (left.p && right.p)
		help_print_row(out, left.p, right.p);
}

void run_print_params(struct out *out, struct ab_object *object)
{
	size_t programs = ab_object_program_count(object), params = ab_object_param_count(object);

	out_printf(out, "\nParameters of %s%s\n", ab_object_name(object), params ? ":" : ": none");
	for (size_t i = 0; i < params; i++)
		print_param(out, ab_object_param(object, i));
	out_printf(out, "\nPrograms of %s:\n", ab_object_name(object));
	for (size_t i = 0; i < programs; i++) {
		struct ab_program *program = ab_object_program(object, i);
		_text_ struct text right = {};

		text_printf(&right, "%s%s", ab_program_section(program),
			    ab_program_is_optional(program) ? " (optional)" : "");
		if (right.p)
			help_print_row(out, ab_program_name(program), right.p);
	}
}
