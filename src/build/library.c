/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A shared library that carries an object. */
#include "internal.h"

int ab_library_write(const void *object, size_t size, void **ret_data, size_t *ret_size, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -ENOENT, "not built in");
}
