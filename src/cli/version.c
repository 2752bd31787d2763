/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf version. */
#include "cli.h"

static const struct opt options[] = {
	JSON_OPTION("print one JSON object"),
	HELP_OPTION,
	{},
};

static int run_version(struct cli *cli, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!cli->json) {
		out_printf(&cli->out, "anybpf %s\n", ab_version());
		return 0;
	}
	json_open(&j, '{');
	json_member_str(&j, "version", ab_version());
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

const struct command cli_version = {
	.name = "version",
	.summary = "print the version",
	.options = options,
	.opts_size = sizeof(struct common_opts),
	.run = run_version,
};
