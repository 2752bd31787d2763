/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf doctor: what this kernel and machine can do, what is missing, and how to get it. */
#include <anybpf/feature.h>
#include "cli.h"

#define LONG_GROUP 100 /* groups with more rows only name what is missing, unless -v */

static const struct opt options[] = {
	JSON_OPTION("print one JSON object"),
	VERBOSE_OPTION("a row for each feature"),
	HELP_OPTION,
	{},
};

static const char *state_word(enum ab_feature_state state)
{
	return state == AB_FEATURE_YES ? "yes" : state == AB_FEATURE_NO ? "no" : "unknown";
}

/* The probe has loaded a program, or has not. */
static bool can_run(const struct ab_features *features)
{
	const struct ab_feature *load = ab_features_find(features, "kernel", "load");

	return load && load->state == AB_FEATURE_YES;
}

static int print_json(struct cli *cli, const struct ab_features *features, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_bool(&j, "can_run", can_run(features));
	json_key(&j, "features");
	json_open(&j, '[');
	for (size_t i = 0; i < ab_features_count(features); i++) {
		const struct ab_feature *f = ab_features_get(features, i);

		json_open(&j, '{');
		json_member_str(&j, "group", f->group);
		json_member_str(&j, "name", f->name);
		json_member_str(&j, "state", state_word(f->state));
		json_member_str(&j, "detail", f->detail);
		json_member_str(&j, "advice", f->advice);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

/* Text behind `indent` columns, wrapped to the terminal. */
static void print_wrapped(struct out *out, const char *s, size_t indent, size_t used)
{
	size_t width = out->columns ? (size_t)out->columns : 100;
	size_t room = width > indent + 20 ? width - indent : 20;

	out_printf(out, "%*s", (int)(indent > used ? indent - used : 1), "");
	while (*s) {
		size_t n = strlen(s), fit = utf8_fit(s, n, room);

		while (fit < n && fit && s[fit] != ' ')
			fit--;
		fit = fit ? fit : strcspn(s, " ");
		out_safe(out, s, fit);
		s += fit + strspn(s + fit, " ");
		if (*s)
			out_printf(out, "\n%*s", (int)indent, "");
	}
	out_puts(out, "\n");
}

/* Features that have nothing to be said about them share a line for each state. */
static bool has_text(const struct ab_feature *f)
{
	return *f->detail || (f->state != AB_FEATURE_YES && *f->advice);
}

static void print_state(struct out *out, enum ab_feature_state state)
{
	static const char *const colors[] = { "\033[31m", "\033[32m", "\033[33m" };

	out_printf(out, "  %s%-7s%s", out->color ? colors[state] : "", state_word(state), out->color ? "\033[0m" : "");
}

static void print_feature(struct out *out, const struct ab_feature *f, size_t name_width)
{
	size_t indent = 11 + name_width + 2;
	_text_ struct text right = {};

	print_state(out, f->state);
	out_printf(out, "  %s", f->name);
	text_puts(&right, f->detail);
	if (f->state != AB_FEATURE_YES && *f->advice)
		text_printf(&right, "%s%s", right.n ? ": " : "", f->advice);
	if (right.n)
		print_wrapped(out, right.p, indent, 11 + strlen(f->name));
	else
		out_puts(out, "\n");
}

static void print_names(struct out *out, const struct ab_features *features, size_t first, size_t end,
			enum ab_feature_state state, bool all)
{
	_text_ struct text names = {};

	for (size_t i = first; i < end; i++) {
		const struct ab_feature *f = ab_features_get(features, i);

		if (f->state == state && (all || !has_text(f)))
			text_printf(&names, "%s%s", names.n ? " " : "", f->name);
	}
	if (!names.n)
		return;
	print_state(out, state);
	print_wrapped(out, names.p, 11, 9);
}

static void print_short_group(struct out *out, const struct ab_features *features, size_t first, size_t end, bool all)
{
	size_t width = 0;

	for (size_t i = first; i < end; i++) {
		const struct ab_feature *f = ab_features_get(features, i);

		if (all || has_text(f))
			width = MAX(width, strlen(f->name));
	}
	for (size_t i = first; i < end; i++)
		if (all || has_text(ab_features_get(features, i)))
			print_feature(out, ab_features_get(features, i), width);
	for (int state = 0; !all && state < 3; state++)
		print_names(out, features, first, end, state, false);
}

static void print_group(struct cli *cli, const struct ab_features *features, size_t first, size_t end)
{
	const char *group = ab_features_get(features, first)->group;
	struct out *out = &cli->out;
	size_t yes = 0;

	for (size_t i = first; i < end; i++)
		yes += ab_features_get(features, i)->state == AB_FEATURE_YES;
	out_printf(out, "%s%s%s%s: %zu of %zu\n", first ? "\n" : "", out->color ? "\033[1m" : "", group,
		   out->color ? "\033[0m" : "", yes, end - first);
	if (cli->verbose || end - first <= LONG_GROUP) {
		print_short_group(out, features, first, end, cli->verbose);
		return;
	}
	print_names(out, features, first, end, AB_FEATURE_NO, true);
	print_names(out, features, first, end, AB_FEATURE_UNKNOWN, true);
}

static void print_text(struct cli *cli, const struct ab_features *features)
{
	size_t count = ab_features_count(features), end;

	for (size_t first = 0; first < count; first = end) {
		for (end = first; end < count; end++)
			if (strcmp(ab_features_get(features, end)->group, ab_features_get(features, first)->group))
				break;
		print_group(cli, features, first, end);
	}
	out_printf(&cli->out, "\nBPF programs %s be run here.\n", can_run(features) ? "can" : "cannot");
}

static int run_doctor(struct cli *cli, struct ab_error *err)
{
	struct ab_features *features = NULL;
	int r = ab_features_probe(&features, err);

	if (r < 0)
		return r;
	if (cli->json)
		r = print_json(cli, features, err);
	else
		print_text(cli, features);
	if (r == 0)
		r = !can_run(features);
	ab_features_free(features);
	return r;
}

const struct command cli_doctor = {
	.name = "doctor",
	.summary = "say what this kernel and machine can do, and how to get what is missing",
	.options = options,
	.opts_size = sizeof(struct common_opts),
	.run = run_doctor,
};
