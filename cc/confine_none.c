/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* In place of confine.c where there is no libseccomp: says that nothing can be confined. */
#include <errno.h>
#include <unistd.h>
#include "confine.h"

int cc_confine_start(const char **ret_problem)
{
	*ret_problem = "it was built without libseccomp";
	return -ENOSYS;
}

pid_t cc_confined_fork(void)
{
	return -1;
}

bool cc_confine_self(void)
{
	return false;
}
