/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Since when, or until when, the kernels of a pack have what a relocation asks for. */
#include <btf/pack_internal.h>
#include "check.h"

/* The kernels at the ends of those that have it, and of those that lack it, by version. */
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

/* What may be said of one relocation: nothing where versions do not tell who has it, as with backports. */
static void say_history(const struct ab_pack *pack, struct answers *const *of, size_t slot, struct text *out)
{
	struct ends with = {}, without = {};

	for (size_t k = 0; k < ab_pack_count(pack); k++)
		if (of[k])
			take_end(of[k]->list[slot].message ? &without : &with, ab_pack_kernel(pack, k)->release);
	if (!with.first || !without.first)
		return;
	if (ab_version_order(without.last, with.first) < 0) {
		text_puts(out, "the pack's kernels have it since ");
		add_series(with.first, without.last, out);
	} else if (ab_version_order(with.last, without.first) < 0) {
		text_puts(out, "the pack's kernels have it up to ");
		add_series(with.last, without.first, out);
	}
}

int ab_check_add_history(const struct ab_pack *pack, struct group *group, struct answers *const *of)
{
	for (size_t slot = 0; slot < group->n_relos; slot++) {
		_text_ struct text said = {};

		say_history(pack, of, slot, &said);
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
