/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Since when, or until when, the kernels of a pack have what a relocation asks for or a program attaches to. */
#include <btf/pack_internal.h>
#include "check.h"

/* The kernels at the ends of those that have it, by version. */
struct ends {
	const char *first, *last;
};

static void take_end(struct ends *ends, const char *release)
{
	if (!ends->first || ab_version_order(release, ends->first) < 0)
		ends->first = release;
	if (!ends->last || ab_version_order(release, ends->last) > 0)
		ends->last = release;
}

/* "5.14" of "5.14.0-1-amd64" where that is another series than `other`'s, else all of it. */
static void add_series(const char *release, const char *other, struct text *out)
{
	struct version a, b;

	if (ab_check_parse_version(release, &a) && ab_check_parse_version(other, &b) &&
	    (a.major != b.major || a.minor != b.minor))
		text_printf(out, "%u.%u", a.major, a.minor);
	else
		text_puts(out, release);
}

/* `before` and `after`: the nearest that lack it on either side, or NULL. */
static void say_span(const struct ends *with, const char *before, const char *after, struct text *out)
{
	_text_ struct text first = {}, last = {};

	if (before)
		add_series(with->first, before, &first);
	if (after)
		add_series(with->last, after, &last);
	if (first.p && last.p && !strcmp(first.p, last.p))
		text_printf(out, "of the pack's kernels those of %s have it", first.p);
	else if (first.p && last.p)
		text_printf(out, "the pack's kernels have it from %s to %s", first.p, last.p);
	else if (first.p || last.p)
		text_printf(out, "the pack's kernels have it %s %s", first.p ? "since" : "up to", first.p ? first.p : last.p);
}

/* Nothing where versions do not tell who has it, as with backports. */
void ab_check_say_history(const struct ab_pack *pack, const int8_t *has, struct text *out)
{
	const char *before = NULL, *after = NULL; /* the last that lacks it before all that have it, and the first behind them */
	struct ends with = {};

	for (size_t k = 0; k < ab_pack_count(pack); k++)
		if (has[k] > 0)
			take_end(&with, ab_pack_kernel(pack, k)->release);
	for (size_t k = 0; with.first && k < ab_pack_count(pack); k++) {
		const char *release = ab_pack_kernel(pack, k)->release;

		if (has[k])
			continue;
		if (ab_version_order(release, with.first) < 0)
			before = !before || ab_version_order(release, before) > 0 ? release : before;
		else if (ab_version_order(release, with.last) > 0)
			after = !after || ab_version_order(release, after) < 0 ? release : after;
		else
			return;
	}
	say_span(&with, before, after, out);
}

int ab_check_add_history(const struct ab_pack *pack, struct group *group, struct answers *const *of)
{
	size_t n = ab_pack_count(pack);
	_free_ int8_t *has = array_new(n, sizeof(*has));

	if (!has)
		return -ENOMEM;
	for (size_t slot = 0; slot < group->n_relos; slot++) {
		_text_ struct text said = {};

		for (size_t k = 0; k < n; k++)
			has[k] = of[k] ? !of[k]->list[slot].message : -1;
		ab_check_say_history(pack, has, &said);
		for (size_t i = 0; said.n && i < group->n_answers; i++) {
			struct answer *a = &group->answers[i]->list[slot];
			char *hint;

			if (!a->message)
				continue;
			if (asprintf(&hint, "%s%s%s", said.p, a->hint ? "; " : "", a->hint ? a->hint : "") < 0)
				return -ENOMEM;
			free(a->hint);
			a->hint = hint;
		}
		if (said.failed)
			return -ENOMEM;
	}
	group->has_history = true;
	return 0;
}
