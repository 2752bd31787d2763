/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Inputs of two parts: the size of the first (little-endian u32), the first, the second. */
#ifndef AB_FUZZ_PARTS_H
#define AB_FUZZ_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct parts {
	const uint8_t *first, *second;
	size_t first_size, second_size;
};

static inline bool cut_parts(const uint8_t *data, size_t size, struct parts *ret)
{
	uint32_t n;

	if (size < sizeof(n))
		return false;
	memcpy(&n, data, sizeof(n));
	data += sizeof(n);
	size -= sizeof(n);
	if (n > size)
		return false;
	*ret = (struct parts){ data, data + n, n, size - n };
	return true;
}

#endif
