/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The headers of an RPM package, which libarchive skips: who made it, for what, and what its signature covers. A
 * package is a lead of 96 bytes, a signature header padded to 8 bytes, the main header, and the compressed payload; a
 * header is a magic, the number of index entries, the size of the store, entries of tag, type, offset and count, and
 * the store. All numbers are big-endian.
 */
#include "hub.h"

#define LEAD 96
#define HEADER_LIMIT (256u << 20)

static uint32_t get_be32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

/* The length of the header at `p`, magic and all; 0: none. */
static size_t header_length(const char *p, size_t size)
{
	uint64_t length;

	if (size < 16 || memcmp(p, "\x8e\xad\xe8\x01", 4))
		return 0;
	length = 16 + get_be32(p + 8) * 16ull + get_be32(p + 12);
	return length <= MIN(size, HEADER_LIMIT) ? length : 0;
}

bool ab_rpm_tag(const char *header, size_t size, uint32_t tag, uint32_t *ret_type, uint32_t *ret_count,
		const char **ret, size_t *ret_size)
{
	size_t length = header_length(header, size);
	uint32_t entries = length ? get_be32(header + 8) : 0;
	const char *store = header + 16 + entries * 16ull;

	for (uint32_t i = 0; i < entries; i++) {
		const char *entry = header + 16 + i * 16ull;
		uint32_t offset = get_be32(entry + 8);

		if (get_be32(entry) != tag || offset >= length - (store - header))
			continue;
		*ret_type = get_be32(entry + 4);
		*ret_count = get_be32(entry + 12);
		*ret = store + offset;
		*ret_size = length - (store - header) - offset;
		return true;
	}
	return false;
}

static void copy_string(const char *header, size_t size, uint32_t tag, char *field, size_t cap)
{
	uint32_t type, count;
	const char *p;
	size_t n;

	*field = '\0';
	if (ab_rpm_tag(header, size, tag, &type, &count, &p, &n) && (type == 6 || type == 8 || type == 9) &&
	    memchr(p, '\0', n))
		snprintf(field, cap, "%s", p);
}

int ab_rpm_read(const char *data, size_t size, struct rpm *rpm, struct ab_error *err)
{
	size_t at = LEAD, n;

	if (size < LEAD + 16 || memcmp(data, "\xed\xab\xee\xdb", 4) || !(n = header_length(data + at, size - at)))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "no RPM package, or cut off in its headers");
	*rpm = (struct rpm){ .signature_start = at, .signature_size = n };
	at += (n + 7) & ~7ull;
	if (at >= size || !(n = header_length(data + at, size - at)))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "the RPM package is cut off in its headers, or they are damaged");
	rpm->header_start = at;
	rpm->header_size = n;
	copy_string(data + at, n, 1000, rpm->name, sizeof(rpm->name));
	copy_string(data + at, n, 1001, rpm->version, sizeof(rpm->version));
	copy_string(data + at, n, 1002, rpm->release, sizeof(rpm->release));
	copy_string(data + at, n, 1022, rpm->arch, sizeof(rpm->arch));
	copy_string(data + at, n, 1011, rpm->vendor, sizeof(rpm->vendor));
	copy_string(data + at, n, 1010, rpm->distribution, sizeof(rpm->distribution));
	return 0;
}
