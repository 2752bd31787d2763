/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf trust: keys of servers that build what is loaded here. */
#include "remote.h"

struct trust_opts {
	struct common_opts common;
};

enum { VERB_ADD, VERB_LIST, VERB_REMOVE, VERB_VERIFY };

static const struct verb verbs[] = {
	[VERB_ADD] = { "add", "KEY|SERVER [SERVER]", 1, 2 },
	[VERB_LIST] = { "list", "", 0, 0 },
	[VERB_REMOVE] = { "remove", "KEY", 1, 1 },
	[VERB_VERIFY] = { "verify", "FILE...", 1, SIZE_MAX },
	{},
};

static const struct opt options[] = {
	JSON_OPTION("list: print one JSON array"),
	HELP_OPTION,
	{},
};

static int run_trust(struct cli *cli, struct ab_error *err)
{
	int verb = verb_find(cli->command, cli->operands[0], cli->operand_count - 1, err);
	struct list args = {};
	int r = verb < 0 ? verb : list_add(&args, "anybpf-remote", err);

	if (!r && verb != VERB_VERIFY)
		r = list_add(&args, "trust", err);
	for (size_t i = 0; !r && i < cli->operand_count; i++)
		r = list_add(&args, cli->operands[i], err);
	if (!r && verb == VERB_LIST && cli->json)
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
	.verbs = verbs,
	.options = options,
	.opts_size = sizeof(struct trust_opts),
	.run = run_trust,
};
