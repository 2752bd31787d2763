/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf hub outside anybpf-hub: starts that. */
#include "hub.h"

int run_hub(struct cli *cli, struct ab_error *err)
{
	return cli_start(cli, "anybpf-hub", "src/hub/", err);
}
