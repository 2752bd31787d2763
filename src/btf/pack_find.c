/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Kernels of a pack: their order, and the one that somebody means. */
#include <ctype.h>
#include <fnmatch.h>
#include <sys/utsname.h>
#include "pack_internal.h"

/* Numbers by value, so that 5.9 comes before 5.10; ties by spelling. */
int ab_version_order(const char *a, const char *b)
{
	const char *x = a, *y = b;

	while (*x && *y) {
		size_t n, m;
		int r;

		if (!isdigit((unsigned char)*x) || !isdigit((unsigned char)*y)) {
			if (*x != *y)
				return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
			x++;
			y++;
			continue;
		}
		x += strspn(x, "0");
		y += strspn(y, "0");
		n = strspn(x, "0123456789");
		m = strspn(y, "0123456789");
		if (n != m)
			return n < m ? -1 : 1;
		r = memcmp(x, y, n);
		if (r)
			return r < 0 ? -1 : 1;
		x += n;
		y += n;
	}
	if (*x || *y)
		return *x ? 1 : -1;
	return strcmp(a, b);
}

int ab_kernel_compare(const struct ab_kernel *a, const struct ab_kernel *b)
{
	int r = strcmp(a->distribution, b->distribution);

	if (r == 0)
		r = strcmp(a->arch, b->arch);
	if (r == 0)
		r = strcmp(a->flavour, b->flavour);
	if (r == 0)
		r = ab_version_order(a->release, b->release);
	if (r == 0)
		r = strcmp(a->module, b->module);
	if (r == 0)
		r = (int)a->build_id_size - b->build_id_size;
	if (r == 0)
		r = memcmp(a->build_id, b->build_id, a->build_id_size);
	return r;
}

int ab_kernel_fits(const struct ab_kernel *kernel, const struct ab_kernel *running)
{
	if (*kernel->module)
		return 0;
	if (kernel->build_id_size && running->build_id_size)
		return kernel->build_id_size == running->build_id_size &&
		       !memcmp(kernel->build_id, running->build_id, running->build_id_size) ? 2 : 0;
	return !strcmp(kernel->release, running->release) && (!*kernel->arch || !strcmp(kernel->arch, running->arch));
}

bool ab_kernel_is_base(const struct ab_kernel *kernel, const struct ab_kernel *module)
{
	return !*kernel->module && !strcmp(kernel->release, module->release) && !strcmp(kernel->arch, module->arch) &&
	       !strcmp(kernel->distribution, module->distribution) && !strcmp(kernel->flavour, module->flavour);
}

/* ---- the one that is meant ---- */

static bool is_build_id(const struct ab_kernel *k, const char *pattern)
{
	char text[2 * sizeof(k->build_id) + 1] = "";

	for (unsigned i = 0; i < k->build_id_size; i++)
		sprintf(text + 2 * i, "%02x", k->build_id[i]);
	return strlen(pattern) >= 8 && k->build_id_size && str_starts(text, pattern);
}

static bool matches_part(const char *pattern, size_t n, const char *value)
{
	char part[256];

	if (n >= sizeof(part))
		return false;
	memcpy(part, pattern, n);
	part[n] = '\0';
	return !n || fnmatch(part, value, 0) == 0;
}

/* Numbers count as a whole: 6.1 is no part of 6.12.3, nor 9.9 of 4.19.90, nor 5.10 of 4.5.10. */
static bool has_part(const char *release, const char *part)
{
	size_t n = strlen(part);

	for (const char *p = n ? strstr(release, part) : NULL; p; p = strstr(p + 1, part)) {
		bool from_within = p > release && isdigit((unsigned char)*part) &&
				   (isdigit((unsigned char)p[-1]) || p[-1] == '.');

		if (!from_within && !(isdigit((unsigned char)part[n - 1]) && isdigit((unsigned char)p[n])))
			return true;
	}
	return false;
}

int ab_kernel_match(const struct ab_kernel *k, const char *pattern)
{
	const char *slash = strchr(pattern, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
	size_t n = slash ? (size_t)(slash - pattern) : 0;

	if (slash) {
		const char *release = slash + 1;

		if (!matches_part(pattern, n, k->distribution) ||
		    (second && !matches_part(second + 1, strlen(second + 1), k->arch)))
			return 0;
		return matches_part(release, second ? (size_t)(second - release) : strlen(release), k->release) ? 2 : 0;
	}
	if (!strcmp(pattern, k->release) || is_build_id(k, pattern))
		return 3;
	if (fnmatch(pattern, k->release, 0) == 0)
		return 2;
	return has_part(k->release, pattern) ? 1 : 0;
}

static int fail_none(const struct ab_pack *pack, const char *pattern, struct ab_error *err)
{
	struct nearest nearest = { .wanted = pattern, .limit = (int)strlen(pattern) / 2 + 1 };

	for (uint32_t i = 0; i < pack->n_kernels; i++)
		if (!*pack->kernels[i].key.module)
			nearest_try(&nearest, pack->kernels[i].key.release);
	if (nearest.name)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel '%s' in '%s'; did you mean '%s'?", pattern,
			       pack->path, nearest.name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
		       "no kernel '%s' in '%s'; 'anybpf pack list' shows those that there are", pattern,
		       pack->path);
}

/* Whether nothing but the build id of another tells the two apart. */
static bool has_twin(const struct ab_pack *pack, const uint32_t *found, uint32_t n, uint32_t of)
{
	const struct ab_kernel *a = &pack->kernels[found[of]].key;

	for (uint32_t i = 0; i < n; i++) {
		const struct ab_kernel *b = &pack->kernels[found[i]].key;

		if (i != of && b->build_id_size && !strcmp(a->release, b->release) && !strcmp(a->arch, b->arch) &&
		    !strcmp(a->distribution, b->distribution) && !strcmp(a->flavour, b->flavour))
			return true;
	}
	return false;
}

static int fail_many(const struct ab_pack *pack, const uint32_t *found, uint32_t n, const char *pattern, struct ab_error *err)
{
	_text_ struct text names = {};

	for (uint32_t i = 0; i < MIN(n, 3u); i++) {
		const struct ab_kernel *k = &pack->kernels[found[i]].key;

		text_printf(&names, "%s%s/%s/%s", i ? ", " : "", k->distribution, k->release, k->arch);
		if (!has_twin(pack, found, n, i))
			continue;
		text_puts(&names, " with build id ");
		for (unsigned b = 0; b < k->build_id_size; b++)
			text_printf(&names, "%02x", k->build_id[b]);
	}
	return ab_fail(err, AB_ERROR_USAGE, -ENOTUNIQ, "'%s' is any of %u kernels: %s%s", pattern, n, names.p ? names.p : "",
		       n > 3 ? ", ..." : "");
}

/* Of those that match equally well, those of the wanted architecture, or of the machine's if nothing else was said. */
static uint32_t keep_arch(const struct ab_pack *pack, uint32_t *found, uint32_t n, const char *arch)
{
	struct utsname machine;
	uint32_t kept = 0;

	if (n < 2 || (!arch && uname(&machine) < 0))
		return n;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(pack->kernels[found[i]].key.arch, arch ? arch : machine.machine)) {
			uint32_t k = found[i];

			found[i] = found[kept];
			found[kept++] = k;
		}
	return kept ? kept : n;
}

/* Types of one kernel from two places, such as its package and BTFHub: those that are known to be its own. */
static uint32_t keep_known(const struct ab_pack *pack, uint32_t *found, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = found[i];

		if (!pack->kernels[k].key.build_id_size && has_twin(pack, found, n, i))
			continue;
		found[i] = found[kept];
		found[kept++] = k;
	}
	return kept;
}

long ab_pack_find(const struct ab_pack *pack, const char *pattern, const char *arch, struct ab_error *err)
{
	_free_ uint32_t *found = array_new(pack->n_kernels, sizeof(*found));
	uint32_t n = 0;
	int best = 1;

	if (!found)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < pack->n_kernels; i++) {
		const struct ab_kernel *k = &pack->kernels[i].key;
		int match = *k->module || (arch && strcmp(arch, k->arch)) ? 0 : ab_kernel_match(k, pattern);

		if (match > best) {
			best = match;
			n = 0;
		}
		if (match == best)
			found[n++] = i;
	}
	n = keep_known(pack, found, keep_arch(pack, found, n, arch));
	if (n > 1)
		return fail_many(pack, found, n, pattern, err);
	return n ? (long)found[0] : fail_none(pack, pattern, err);
}
