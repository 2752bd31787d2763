/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A C skeleton of an object. */
#include "internal.h"

int ab_skeleton_write(const void *object, size_t size, const char *name, struct text *out, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "'%s': not built in", name);
}
