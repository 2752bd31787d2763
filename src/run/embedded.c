/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reads and writes the header of an object inside a library (embedded.h); little-endian on every machine. */
#include <zlib.h>
#include "embedded.h"

static const uint8_t magic[8] = { 0x7f, 'A', 'N', 'Y', 'B', 'P', 'F', 0 };

static void put(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = v >> (8 * i);
}

static uint64_t get(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void ab_embedded_header(const void *object, size_t size, uint8_t ret_header[EMBEDDED_HEADER_SIZE])
{
	memset(ret_header, 0, EMBEDDED_HEADER_SIZE);
	memcpy(ret_header, magic, sizeof(magic));
	put(ret_header + 8, EMBEDDED_VERSION, 4);
	put(ret_header + 12, crc32_z(0, object, size), 4);
	put(ret_header + 16, size, 8);
}

int ab_embedded_object(const void *section, size_t size, const void **ret_object, size_t *ret_size, struct ab_error *err)
{
	const uint8_t *p = section;

	if (size < EMBEDDED_HEADER_SIZE || memcmp(p, magic, sizeof(magic)))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its %s section does not begin as one", EMBEDDED_SECTION);
	if (get(p + 8, 4) != EMBEDDED_VERSION)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its %s section has version %u, which this anybpf does not know",
			       EMBEDDED_SECTION, (unsigned)get(p + 8, 4));
	if (get(p + 16, 8) != size - EMBEDDED_HEADER_SIZE)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its object is truncated");
	if (get(p + 12, 4) != crc32_z(0, p + EMBEDDED_HEADER_SIZE, size - EMBEDDED_HEADER_SIZE))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its object is damaged: the checksum differs");
	*ret_object = p + EMBEDDED_HEADER_SIZE;
	*ret_size = size - EMBEDDED_HEADER_SIZE;
	return 0;
}
