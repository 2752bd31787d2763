/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf test. Only in anybpf-lab. */
#include "lab_run.h"

int run_test(struct cli *cli, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "not in this build");
}
