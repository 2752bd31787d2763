/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Sets of kernels by version, glob and name (include/anybpf/kernels.h). */
#include <anybpf/kernels.h>
#include <base/base.h>
#include <ctype.h>
#include <fnmatch.h>

#define PARTS 4 /* numbers of a version that are compared: 5.10.0-8 */

struct bound {
	uint32_t parts[PARTS];
	size_t n; /* 0: none */
};

enum which { WHICH_RANGE, WHICH_GLOB, WHICH_NAME };

struct item {
	bool without;
	enum which which;
	struct bound from, to;
	char *text;                 /* all of the item; the others point into it */
	const char *name;
	const char *distribution, *arch; /* globs, or NULL */
};

struct ab_kernel_set {
	struct item *items;
	size_t n;
};

/* ---- versions ---- */

/* The numbers that a version begins with; false if there are none. `*ret_end` is behind them. */
static bool parse_version(const char *s, struct bound *ret, const char **ret_end)
{
	struct bound b = {};

	while (b.n < PARTS && isdigit((unsigned char)*s)) {
		uint32_t value = 0;

		for (; isdigit((unsigned char)*s); s++)
			value = MIN(value * 10 + (uint32_t)(*s - '0'), 1u << 20);
		b.parts[b.n++] = value;
		if ((*s != '.' && *s != '-') || !isdigit((unsigned char)s[1]))
			break;
		s++;
	}
	*ret = b;
	*ret_end = s;
	return b.n > 0;
}

/* Compares as far as the bound is given. */
static int compare_bound(const struct bound *version, const struct bound *bound)
{
	for (size_t i = 0; i < bound->n; i++) {
		uint32_t have = i < version->n ? version->parts[i] : 0;

		if (have != bound->parts[i])
			return have < bound->parts[i] ? -1 : 1;
	}
	return 0;
}

/* ---- items ---- */

static int bad_item(const char *text, struct ab_error *err)
{
	return ab_fail(
		err, AB_ERROR_USAGE, -EINVAL,
		"'%s' names no kernels: a set is made of versions (5.10), ranges (5.4..6.1), globs (*-cloud-*) and "
		"distribution/version/architecture, separated by commas",
		text);
}

static int parse_range(char *text, char *dots, struct item *item, struct ab_error *err)
{
	const char *end;

	*dots = '\0';
	item->which = WHICH_RANGE;
	if ((*text && (!parse_version(text, &item->from, &end) || *end)) ||
	    (dots[2] && (!parse_version(dots + 2, &item->to, &end) || *end)) || (!*text && !dots[2])) {
		*dots = '.';
		return bad_item(text, err);
	}
	return 0;
}

static int parse_which(char *text, struct item *item, struct ab_error *err)
{
	char *dots = strstr(text, "..");
	const char *end;

	if (dots)
		return parse_range(text, dots, item, err);
	item->name = text;
	if (!*text)
		item->name = "*";
	if (strpbrk(item->name, "*?[")) {
		item->which = WHICH_GLOB;
	} else if (parse_version(text, &item->from, &end) && !*end) {
		item->which = WHICH_RANGE;
		item->to = item->from;
	} else {
		item->which = WHICH_NAME;
	}
	return 0;
}

static int parse_item(const char *text, size_t n, struct item *item, struct ab_error *err)
{
	char *which, *slash;

	while (n && isspace((unsigned char)*text)) {
		text++;
		n--;
	}
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	item->text = strndup(text, n);
	if (!item->text)
		return ab_fail_memory(err);
	item->without = *item->text == '!';
	which = item->text + item->without;
	if (!*which)
		return bad_item(item->text, err);
	slash = strchr(which, '/');
	if (slash) {
		*slash = '\0';
		item->distribution = *which ? which : NULL;
		which = slash + 1;
		slash = strchr(which, '/');
	}
	if (slash) {
		*slash = '\0';
		item->arch = slash[1] ? slash + 1 : NULL;
	}
	return parse_which(which, item, err);
}

int ab_kernel_set_parse(const char *text, struct ab_kernel_set **ret_set, struct ab_error *err)
{
	struct ab_kernel_set *set = calloc(1, sizeof(*set));
	size_t commas = 1;
	int r = 0;

	for (const char *p = text; *p; p++)
		commas += *p == ',';
	if (set)
		set->items = array_new(commas, sizeof(*set->items));
	if (!set || !set->items) {
		ab_kernel_set_free(set);
		return ab_fail_memory(err);
	}
	for (const char *p = text; !r; p++) {
		size_t n = strcspn(p, ",");

		r = parse_item(p, n, &set->items[set->n++], err);
		p += n;
		if (!*p)
			break;
	}
	if (r < 0) {
		ab_kernel_set_free(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

void ab_kernel_set_free(struct ab_kernel_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		free(set->items[i].text);
	free(set->items);
	free(set);
}

/* ---- matching ---- */

static bool item_has(const struct item *item, const struct ab_kernel *kernel)
{
	struct bound version;
	const char *end;

	if ((item->distribution && fnmatch(item->distribution, kernel->distribution, 0)) ||
	    (item->arch && fnmatch(item->arch, kernel->arch, 0)))
		return false;
	switch (item->which) {
	case WHICH_GLOB: return !fnmatch(item->name, kernel->release, 0);
	case WHICH_NAME:
		return !strcmp(item->name, kernel->release) || !strcmp(item->name, kernel->distribution) ||
		       !strcmp(item->name, kernel->flavour) || !strcmp(item->name, kernel->arch);
	default:
		return parse_version(kernel->release, &version, &end) && compare_bound(&version, &item->from) >= 0 &&
		       compare_bound(&version, &item->to) <= 0;
	}
}

bool ab_kernel_set_has(const struct ab_kernel_set *set, const struct ab_kernel *kernel)
{
	bool in = true;

	for (size_t i = 0; i < set->n; i++)
		in &= set->items[i].without;
	for (size_t i = 0; i < set->n; i++)
		if (item_has(&set->items[i], kernel)) {
			if (set->items[i].without)
				return false;
			in = true;
		}
	return in;
}
