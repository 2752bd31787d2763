/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf types: what types look like, in one kernel and across kernels. */
#include <anybpf/min.h>
#include <anybpf/types.h>
#include "cli.h"

struct types_opts {
	struct common_opts common;
	struct list packs;
	const char *kernel, *arch, *returns, *takes;
	int64_t limit;
};

#define O(field) offsetof(struct types_opts, field)

enum { VERB_SHOW, VERB_DIFF, VERB_HISTORY, VERB_FUNC, VERB_FIND };

static const struct verb verbs[] = {
	[VERB_SHOW] = { "show", "TYPE|FUNCTION|GLOB", 1, 1 },
	[VERB_DIFF] = { "diff", "TYPE [KERNEL [KERNEL]]", 1, 3 },
	[VERB_HISTORY] = { "history", "TYPE[.MEMBER]", 1, 1 },
	[VERB_FUNC] = { "func", "FUNCTION|GLOB", 1, 1 },
	[VERB_FIND] = { "find", "[GLOB]", 0, 1 },
	{},
};

static const struct opt options[] = {
	{ "pack", 'p', OPT_LIST, O(packs), "FILE", "a pack of many kernels' types, or a file with the BTF of one; default: "
	  "$ANYBPF_PACK; for several kernels, and with --kernel, ~/.local/share/anybpf/kernels.pack, "
	  "/usr/share/anybpf/kernels.pack; else the running kernel's types. Twice for diff: the first kernel's, and the second's",
	  HINT_FILE },
	{ "kernel", 'k', OPT_STRING, O(kernel), "KERNEL",
	  "which kernel, and for history and func which kernels: a release or the "
	  "beginning of one, a glob, DISTRIBUTION/RELEASE/ARCH, a build id; default: the newest, for history and func all" },
	{ "arch", 0, OPT_STRING, O(arch), "ARCH",
	  "their architecture, as uname -m says; default: this machine's if the pack has it" },
	{ "returns", 0, OPT_STRING, O(returns), "TYPE", "find: functions that return this type" },
	{ "takes", 0, OPT_STRING, O(takes), "TYPE", "find: functions that take a parameter of this type" },
	{ "limit", 0, OPT_NUMBER, O(limit), "N", "how many names a glob or a search gives; default: 1000", .min = 1,
	  .max = UINT32_MAX },
	JSON_OPTION("print one JSON object"),
	HELP_OPTION,
	{},
};

struct query {
	const struct ab_types *types;
	const struct types_opts *opts;
	struct ab_types_opts how;
	const char **args; /* operands behind the verb */
	char *text;
	size_t size;
};

/* In two packs a kernel may go by the same name, or be the newest, or the file's own. */
static int diff(struct query *q, struct ab_error *err)
{
	const char *from = q->args[1], *to = q->args[2];

	if (!q->how.other && !to)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "types: it is 'anybpf types diff TYPE KERNEL KERNEL', or with "
			       "two packs 'anybpf types diff TYPE [KERNEL [KERNEL]] --pack FILE --pack FILE'");
	return ab_types_diff(q->types, q->args[0], from, to ? to : from, &q->how, &q->text, &q->size, err);
}

static int ask(struct query *q, int verb, struct ab_error *err)
{
	const char **args = q->args;

	switch (verb) {
	case VERB_SHOW:
		return ab_types_show(q->types, args[0], &q->how, &q->text, &q->size, err);
	case VERB_DIFF:
		return diff(q, err);
	case VERB_HISTORY:
		return ab_types_history(q->types, args[0], &q->how, &q->text, &q->size, err);
	case VERB_FUNC:
		return ab_types_func(q->types, args[0], &q->how, &q->text, &q->size, err);
	}
	if (!q->opts->returns && !q->opts->takes && !args[0])
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "types: find needs '--returns', '--takes' or a glob of names");
	return ab_types_find(q->types, args[0], q->opts->returns, q->opts->takes, &q->how, &q->text, &q->size, err);
}

/* "show struct sock" without quotation marks means "struct sock". */
static char *join_operands(const char **operands, size_t n)
{
	_text_ struct text t = {};

	for (size_t i = 0; i < n; i++)
		text_printf(&t, "%s%s", i ? " " : "", operands[i]);
	return text_take(&t);
}

static bool is_keyword(const char *s)
{
	static const char *const keywords[] = { "struct", "union", "enum", "typedef", "func", "var" };

	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (!strcmp(s, keywords[i]))
			return true;
	return false;
}

static int print_answer(struct cli *cli, struct query *q, struct ab_error *err)
{
	out_add(&cli->out, q->text, q->size);
	if (q->how.form == AB_TYPES_JSON)
		out_add(&cli->out, "\n", 1);
	return 0;
}

/* Where nothing is named, what is about several kernels is asked of the default pack, the rest of the running kernel. */
static int open_types(struct query *q, int verb, struct ab_pack **ret_pack, struct ab_types **ret_types,
		      struct ab_error *err)
{
	const struct list *packs = &q->opts->packs;
	const char *env = getenv("ANYBPF_PACK"), *path = packs->count ? packs->items[0] : env && *env ? env : NULL;
	bool is_about_many = verb == VERB_DIFF || verb == VERB_HISTORY || verb == VERB_FUNC;
	bool needs_pack = q->opts->kernel || verb == VERB_DIFF;
	struct ab_error why = {};
	int r;

	if (path || (!needs_pack && !is_about_many))
		return ab_types_open(path, ret_types, err);
	r = ab_min_open_pack(NULL, ret_pack, &why);
	if (!r)
		return ab_types_open_pack(*ret_pack, ret_types, err);
	if (r == -ENOENT && !needs_pack) {
		ab_error_clear(&why);
		return ab_types_open(NULL, ret_types, err);
	}
	*err = why;
	return r;
}

/* The second pack of a diff. */
static int open_other(const struct types_opts *opts, int verb, struct ab_types **ret_types, struct ab_error *err)
{
	size_t n = opts->packs.count;

	if (n > 2 || (n == 2 && verb != VERB_DIFF))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "types: option '--pack' is for one pack, and for two with diff");
	return n == 2 ? ab_types_open(opts->packs.items[1], ret_types, err) : 0;
}

static int run_types(struct cli *cli, struct ab_error *err)
{
	const struct types_opts *opts = cli->opts;
	AB_OPTS(ab_types_opts, how, .kernel = opts->kernel, .arch = opts->arch, .limit = opts->limit,
		.form = cli->json ? AB_TYPES_JSON : AB_TYPES_TEXT);
	const char *args[4] = {};
	bool split = cli->operand_count > 2 && is_keyword(cli->operands[1]);
	_free_ char *joined = split ? join_operands(cli->operands + 1, 2) : NULL;
	size_t skip = split ? 2 : 1, n = cli->operand_count - skip;
	int verb = verb_find(cli->command, cli->operands[0], n, err);
	struct query q = { .opts = opts, .how = how, .args = args };
	struct ab_types *types = NULL, *other = NULL;
	struct ab_pack *pack = NULL;
	int r = verb < 0 ? verb : 0;

	for (size_t i = 0; !r && i < n; i++)
		args[i] = split && i == 0 ? joined : cli->operands[i + skip];
	if (!r)
		r = open_types(&q, verb, &pack, &types, err);
	if (!r)
		r = open_other(opts, verb, &other, err);
	q.types = types;
	q.how.other = other;
	if (!r)
		r = ask(&q, verb, err);
	if (!r)
		r = print_answer(cli, &q, err);
	free(q.text);
	ab_types_close(types);
	ab_types_close(other);
	if (pack)
		ab_pack_close(pack);
	return r;
}

const struct command cli_types = {
	.name = "types",
	.summary = "show kernel types, and how they differ between kernels",
	.operands = "show|diff|history|func|find [ARGUMENT...]",
	.min_operands = 1,
	.max_operands = 5,
	.hint = HINT_WORDS,
	.verbs = verbs,
	.options = options,
	.opts_size = sizeof(struct types_opts),
	.run = run_types,
};
