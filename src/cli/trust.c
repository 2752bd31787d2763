/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf trust: keys of servers that build what is loaded here. */
#include "remote.h"

struct trust_opts {
	struct common_opts common;
};

static const char *const words[] = { "add", "list", "remove", "verify", NULL };

static const struct opt options[] = {
	JSON_OPTION("list: print one JSON array"),
	HELP_OPTION,
	{},
};

static const struct verb {
	const char *name, *operands;
	size_t min, max; /* operands behind it */
} verbs[] = {
	{ "add", "KEY|SERVER [SERVER]", 1, 2 },
	{ "list", "", 0, 0 },
	{ "remove", "KEY", 1, 1 },
	{ "verify", "FILE...", 1, SIZE_MAX },
};

static const struct verb *find_verb(const struct cli *cli, struct ab_error *err)
{
	struct nearest nearest = { .wanted = cli->operands[0] };
	size_t n = cli->operand_count - 1;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const struct verb *v = &verbs[i];

		nearest_try(&nearest, v->name);
		if (strcmp(v->name, cli->operands[0]))
			continue;
		if (n >= v->min && n <= v->max)
			return v;
		ab_fail(err, AB_ERROR_USAGE, -EINVAL, "trust: it is 'anybpf trust %s %s'", v->name, v->operands);
		return NULL;
	}
	ab_fail(err, AB_ERROR_USAGE, -EINVAL, "trust: there is no '%s'%s%s%s", cli->operands[0], nearest.name ?
		"; did you mean '" :
		": it is add, list, remove or verify", nearest.name ? nearest.name : "", nearest.name ? "'?" : "");
	return NULL;
}

static int run_trust(struct cli *cli, struct ab_error *err)
{
	const struct verb *verb = find_verb(cli, err);
	struct list args = {};
	int r = verb ? list_add(&args, "anybpf-remote", err) : -EINVAL;

	if (!r && strcmp(verb->name, "verify"))
		r = list_add(&args, "trust", err);
	for (size_t i = 0; !r && i < cli->operand_count; i++)
		r = list_add(&args, cli->operands[i], err);
	if (!r && !strcmp(verb->name, "list") && cli->json)
		r = list_add(&args, "json", err);
	if (!r)
		r = remote_run(cli, args.items, err);
	free(args.items);
	return r;
}

const struct command cli_trust = {
	.name = "trust",
	.summary = "pin the keys of servers whose builds may be loaded here",
	.operands = "add KEY|SERVER [SERVER] | list | remove KEY | verify FILE...",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_WORDS,
	.words = words,
	.options = options,
	.opts_size = sizeof(struct trust_opts),
	.run = run_trust,
};
