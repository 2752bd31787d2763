/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Control files of Debian's form: Packages, Release, control. */
#include "packages.h"

bool ab_stanza_field(const char *stanza, const char *end, const char *name, const char **ret, size_t *ret_size)
{
	size_t n = strlen(name);

	for (const char *p = stanza; p && p < end; p = memchr(p, '\n', end - p), p = p ? p + 1 : NULL) {
		const char *stop;

		if ((size_t)(end - p) <= n || strncmp(p, name, n) || p[n] != ':')
			continue;
		p += n + 1;
		while (p < end && *p == ' ')
			p++;
		stop = memchr(p, '\n', end - p);
		*ret = p;
		*ret_size = (stop ? stop : end) - p;
		return true;
	}
	return false;
}
