/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Parsing of a command line over an option table (options.h). */
#include "base/base.h"
#include "options.h"

int list_add(struct list *list, const char *item, struct ab_error *err)
{
	const char **items = realloc(list->items, (list->count + 2) * sizeof(*items));

	if (!items)
		return ab_fail_memory(err);
	items[list->count++] = item;
	items[list->count] = NULL;
	list->items = items;
	return 0;
}

bool list_has(const struct list *list, const char *item)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->items[i], item))
			return true;
	return false;
}

/* "10", "1.5", "500ms", "2m": seconds unless a unit follows. Returns false when it is no duration or zero. */
static bool parse_duration(const char *s, uint64_t *ret_ns)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "", 1e9 }, { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 }, { "m", 60e9 }, { "h", 3600e9 },
	};
	double value;
	char *end;

	if (*s < '0' || *s > '9' || s[strspn(s, "0123456789.")] == 'e' || s[1] == 'x')
		return false;
	value = strtod(s, &end);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		value *= units[i].ns;
		if (!(value >= 1 && value < 9e18))
			return false;
		*ret_ns = (uint64_t)(value + 0.5);
		return true;
	}
	return false;
}

bool opt_is_here(const struct opt *opt)
{
#ifdef ANYBPF_NO_COMPILER
	return !opt->needs_compiler;
#else
	return true;
#endif
}

static const struct opt *find_long(const struct command *command, const char *name)
{
	for (const struct opt *o = command->options; o->name; o++)
		if (opt_is_here(o) && !strcmp(o->name, name))
			return o;
	return NULL;
}

static const struct opt *find_letter(const struct command *command, char letter)
{
	for (const struct opt *o = command->options; o->name; o++)
		if (opt_is_here(o) && o->letter == letter)
			return o;
	return NULL;
}

static bool takes_argument(const struct opt *opt)
{
	return opt->type != OPT_FLAG && opt->type != OPT_COUNT;
}

static int fail_value(const struct opt *opt, const char *value, const char *wanted, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s' takes %s, not '%s'", opt->name, wanted, value);
}

static int set_number(const struct opt *opt, const char *value, int64_t *field, struct ab_error *err)
{
	char wanted[96];
	long long n;
	char *end;

	errno = 0;
	n = strtoll(value, &end, 0);
	if (errno || end == value || *end || n < opt->min || n > opt->max) {
		if (opt->max == INT64_MAX)
			snprintf(wanted, sizeof(wanted), "a number from %lld", (long long)opt->min);
		else
			snprintf(wanted, sizeof(wanted), "a number from %lld to %lld", (long long)opt->min,
				 (long long)opt->max);
		return fail_value(opt, value, wanted, err);
	}
	*field = n;
	return 0;
}

static int set_word(const struct opt *opt, const char *value, const char **field, struct ab_error *err)
{
	_text_ struct text wanted = {};

	for (size_t i = 0; opt->words[i]; i++) {
		if (!strcmp(opt->words[i], value)) {
			*field = opt->words[i];
			return 0;
		}
		text_printf(&wanted, "%s'%s'", i == 0 ? "" : opt->words[i + 1] ? ", " : " or ", opt->words[i]);
	}
	return fail_value(opt, value, wanted.p ? wanted.p : "a word", err);
}

static int set_option(const struct opt *opt, void *opts, const char *value, struct ab_error *err)
{
	void *field = (char *)opts + opt->offset;
	int r;

	switch (opt->type) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_COUNT:
		++*(uint64_t *)field;
		return 0;
	case OPT_STRING:
		*(const char **)field = value;
		return 0;
	case OPT_LIST:
		r = opt->words ? set_word(opt, value, &value, err) : 0;
		return r < 0 ? r : list_add(field, value, err);
	case OPT_NUMBER:
		return set_number(opt, value, field, err);
	case OPT_DURATION:
		if (!parse_duration(value, field))
			return fail_value(opt, value, "a duration such as 10, 1.5, 500ms or 2m", err);
		return 0;
	case OPT_WORD:
		return set_word(opt, value, field, err);
	}
	return 0;
}

int opts_fail_unknown(const struct command *command, const char *name, const char *const *extra, size_t extra_count,
		      struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };

	for (const struct opt *o = command->options; o->name; o++)
		if (opt_is_here(o))
			nearest_try(&nearest, o->name);
	for (size_t i = 0; i < extra_count; i++)
		nearest_try(&nearest, extra[i]);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "unknown option '--%s'; did you mean '--%s'?", name,
			       nearest.name);
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "unknown option '--%s'; 'anybpf %s --help' lists the options",
		       name, command->name);
}

int verb_find(const struct command *command, const char *name, size_t operands, struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };
	_text_ struct text all = {};

	for (const struct verb *v = command->verbs; v->name; v++) {
		if (strcmp(v->name, name)) {
			nearest_try(&nearest, v->name);
			text_printf(&all, "%s%s", v == command->verbs ? "" : v[1].name ? ", " : " or ", v->name);
			continue;
		}
		if (operands >= v->min && operands <= v->max)
			return (int)(v - command->verbs);
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s: it is 'anybpf %s %s%s%s'", command->name,
			       command->name, v->name, *v->operands ? " " : "", v->operands);
	}
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s: there is no '%s': it is %s%s%s%s", command->name, name,
		       all.p ? all.p : "another", DID_YOU_MEAN(nearest.name));
}

/* Returns how many arguments behind argv[0] were taken. */
static int parse_long(struct parse *p, const char *arg, const char *next, struct ab_error *err)
{
	const char *equals = strchr(arg, '=');
	_free_ char *name = strndup(arg, equals ? (size_t)(equals - arg) : strlen(arg));
	const char *value = equals ? equals + 1 : NULL;
	const struct opt *opt;
	int r;

	if (!name)
		return ab_fail_memory(err);
	opt = find_long(p->command, name);
	if (!opt) {
		if (p->unknown && *name)
			return p->unknown(p->ctx, name, value, next, err);
		return opts_fail_unknown(p->command, name, NULL, 0, err);
	}
	if (!takes_argument(opt)) {
		if (value)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s' takes no argument", opt->name);
		return set_option(opt, p->opts, NULL, err);
	}
	if (!value && !next)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s' needs an argument: --%s %s", opt->name,
			       opt->name, opt->metavar);
	r = set_option(opt, p->opts, value ? value : next, err);
	return r < 0 ? r : !value;
}

/* A bundle of letters: -vv, -p42, -qp 42. */
static int parse_letters(struct parse *p, const char *arg, const char *next, struct ab_error *err)
{
	for (; *arg; arg++) {
		const struct opt *opt = find_letter(p->command, *arg);
		int r;

		if (!opt)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
				       "unknown option '-%c'; 'anybpf %s --help' lists the options", *arg,
				       p->command->name);
		if (takes_argument(opt)) {
			if (!arg[1] && !next)
				return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '-%c' needs an argument: -%c %s",
					       *arg, *arg, opt->metavar);
			r = set_option(opt, p->opts, arg[1] ? arg + 1 : next, err);
			return r < 0 ? r : !arg[1];
		}
		r = set_option(opt, p->opts, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int opts_parse(struct parse *p, int argc, char **argv, struct ab_error *err)
{
	for (int i = 0; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		int r = 0;

		if (!strcmp(argv[i], "--")) {
			while (++i < argc)
				p->operands[p->operand_count++] = argv[i];
		} else if (str_starts(argv[i], "--")) {
			r = parse_long(p, argv[i] + 2, next, err);
		} else if (argv[i][0] == '-' && argv[i][1]) {
			r = parse_letters(p, argv[i] + 1, next, err);
		} else {
			p->operands[p->operand_count++] = argv[i];
		}
		if (r < 0)
			return r;
		i += r;
	}
	return 0;
}

void opts_free(const struct command *command, void *opts)
{
	if (!opts)
		return;
	for (const struct opt *o = command->options; o->name; o++)
		if (o->type == OPT_LIST)
			free(((struct list *)((char *)opts + o->offset))->items);
	free(opts);
}
