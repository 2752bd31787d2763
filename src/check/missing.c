/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is known of a function, tracepoint, hook or variable that a kernel lacks: since when or until when other kernels of the pack
 * have it, and what may have become of it: a function of a like name, at best one that came when the other went.
 */
#include <btf/pack.h>
#include "check.h"

/* ---- names ---- */

/* Of a name without the underscores in front and what the compiler appended ("x.isra.0"). */
static size_t bare_part(const char *name, const char **ret)
{
	*ret = name + strspn(name, "_");
	return strcspn(*ret, ".");
}

/* Whether the longer name is the shorter one, of two words at the least, with one more word behind it. */
static bool is_continued(const char *a, size_t n, const char *b, size_t m)
{
	if (n > m)
		return is_continued(b, m, a, n);
	return m > n + 1 && b[n] == '_' && !memcmp(a, b, n) && memchr(a, '_', n) && !memchr(b + n + 1, '_', m - n - 1);
}

/* Whether two neighbours are exchanged: "sched_swtich". */
static bool is_swapped(const char *a, const char *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i + 1 < n && a[i] == b[i + 1] && a[i + 1] == b[i] && !memcmp(a + i + 2, b + i + 2, n - i - 2);
}

enum ab_check_like ab_check_likeness(const char *wanted, const char *name)
{
	const char *a, *b;
	size_t n = bare_part(wanted, &a), m = bare_part(name, &b);

	if (n == m && !memcmp(a, b, n))
		return LIKE_SAME;
	if (is_continued(a, n, b, m))
		return LIKE_BEGINNING;
	if (n == m && n > 3 && is_swapped(a, b, n))
		return LIKE_SPELLING;
	return n > 5 && (m > n ? m - n : n - m) < 2 && str_distance(wanted, name, 1) <= 1 ? LIKE_SPELLING : LIKE_NOT;
}

/* The length of "btf_trace_" of the name "btf_trace_sched_switch", which stands for the target "sched/sched_switch". */
static size_t prefix_of(const struct question *q, const char *target)
{
	static const char *const prefixes[] = { "btf_trace_", "bpf_lsm_", "bpf_iter_" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(q->name, prefixes[i]) && (!target || !str_starts(target, prefixes[i])))
			return strlen(prefixes[i]);
	return 0;
}

static bool is_plain(const struct question *q)
{
	return !strpbrk(q->name, "|*?[");
}

/* ---- what is asked for ---- */

uint32_t ab_check_asked(const struct ab_check *check, size_t i, const char **ret_target)
{
	const struct external *e;

	if (i < check->n_programs) {
		*ret_target = check->programs[i].target;
		return check->programs[i].question;
	}
	e = &check->code.externals[i - check->n_programs];
	*ret_target = e->name;
	return e->weak || (e->kind != EXTERN_KFUNC && e->kind != EXTERN_VARIABLE) ? NONE : e->question;
}

/* ---- names of a pack that are like the one that is missing ---- */

struct like {
	uint32_t def;
	enum ab_check_like like;
	const char *name; /* without prefix; a kept text, so that equal names are one */
};

struct likes {
	struct like *list;
	size_t n;
};

struct missing {
	struct likes *likes; /* of each question */
	bool *is_known;      /* whether they were looked for */
};

int ab_check_new_missing(struct ab_check *check, struct ab_error *err)
{
	struct missing *m;

	ab_check_free_missing(check);
	m = check->missing = calloc(1, sizeof(*m));
	if (m) {
		m->likes = array_new(check->n_questions, sizeof(*m->likes));
		m->is_known = array_new(check->n_questions, sizeof(*m->is_known));
	}
	return m && m->likes && m->is_known ? 0 : ab_fail_memory(err);
}

void ab_check_free_missing(struct ab_check *check)
{
	struct missing *m = check->missing;

	for (size_t i = 0; m && m->likes && i < check->n_questions; i++)
		free(m->likes[i].list);
	if (m) {
		free(m->likes);
		free(m->is_known);
	}
	free(m);
	check->missing = NULL;
}

struct search {
	struct ab_check *check;
	const char *wanted;
	size_t prefix;
	struct likes *likes;
};

static int try_def(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	struct search *s = ctx;
	enum ab_check_like like = ab_check_likeness(s->wanted, name + s->prefix);
	struct like *more;

	if (like == LIKE_NOT)
		return 0;
	more = reallocarray(s->likes->list, s->likes->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->likes->list = more;
	more[s->likes->n++] = (struct like){ def, like, ab_check_keep(s->check, name + s->prefix) };
	return more[s->likes->n - 1].name ? 0 : -ENOMEM;
}

static int find_likes(struct ab_check *check, const struct question *q, size_t prefix, struct likes *likes, struct ab_error *err)
{
	struct search s = { check, q->name + prefix, prefix, likes };
	_text_ struct text glob = {};
	int r;

	text_printf(&glob, "%.*s*", (int)prefix, q->name);
	r = glob.failed ? -ENOMEM : ab_pack_each_def(check->pack, q->kind, glob.p, try_def, &s, err);
	return r == -ENOMEM ? ab_fail_memory(err) : r;
}

/* ---- history ---- */

/* The kernel nearest to one in the pack's order, of its architecture, that has what it lacks; -1: none has. */
static long find_nearest(const struct ab_check *check, size_t kernel, const uint64_t *facts, size_t question)
{
	size_t n = ab_pack_count(check->pack), words = (check->n_questions + 63) / 64;
	const char *arch = ab_pack_kernel(check->pack, kernel)->arch;
	long found = -1;

	for (size_t k = 0; k < n; k++) {
		const struct ab_kernel *of = ab_pack_kernel(check->pack, k);
		size_t now = k > kernel ? k - kernel : kernel - k;
		size_t best = (size_t)labs(found - (long)kernel);

		if (!*of->module && !strcmp(of->arch, arch) && has_fact(facts + k * words, question) && (found < 0 || now < best))
			found = (long)k;
	}
	return found;
}

/* Which of the kernels of its architecture have it: where there are no others, that says nothing. */
static bool say_since(const struct ab_check *check, size_t kernel, const uint64_t *facts, size_t question, struct text *out)
{
	size_t n = ab_pack_count(check->pack), words = (check->n_questions + 63) / 64, with = 0, all = 0;
	const char *arch = ab_pack_kernel(check->pack, kernel)->arch;
	_free_ int8_t *has = array_new(n, sizeof(*has));

	for (size_t k = 0; has && k < n; k++) {
		const struct ab_kernel *of = ab_pack_kernel(check->pack, k);

		has[k] = *of->module || strcmp(of->arch, arch) ? -1 : has_fact(facts + k * words, question);
		with += has[k] > 0;
		all += has[k] >= 0;
	}
	if (with)
		ab_check_say_history(check->pack, has, out);
	else if (all > 1)
		text_puts(out, "no kernel of the pack has it");
	return has;
}

/* Whether a kernel has any of a name; its definitions need not be the same everywhere. */
static bool has_name(const struct likes *likes, const char *name, const struct ab_pack_defs *kernel)
{
	for (size_t i = 0; kernel && i < likes->n; i++)
		if (likes->list[i].name == name && ab_pack_defs_has(kernel, likes->list[i].def))
			return true;
	return false;
}

/*
 * How likely it is the target's successor: 0 not at all. What the nearest kernel with the target has beside it is none,
 * except for "__x", which "x" may be a part of now. Spelling counts where no kernel has the target.
 */
static int rate(const struct likes *likes, const struct like *like, const struct ab_pack_defs *nearest)
{
	switch (like->like) {
	case LIKE_SAME: return has_name(likes, like->name, nearest) ? 1 : 4;
	case LIKE_BEGINNING: return has_name(likes, like->name, nearest) ? 0 : 3;
	case LIKE_SPELLING: return nearest ? 0 : 2;
	default: return 0;
	}
}

static const char *choose_like(const struct likes *likes, const struct ab_pack_defs *kernel, const struct ab_pack_defs *nearest)
{
	const char *name = NULL;
	int best = 0;

	for (size_t i = 0; i < likes->n; i++) {
		const struct like *like = &likes->list[i];
		int rating = ab_pack_defs_has(kernel, like->def) ? rate(likes, like, nearest) : 0;

		if (rating > best) {
			best = rating;
			name = like->name;
		}
	}
	return name;
}

static int make_hint(struct ab_check *check, size_t kernel, const struct ab_pack_defs *defs, const uint64_t *facts, size_t question,
		     const char **ret_hint, struct ab_error *err)
{
	const struct likes *likes = &check->missing->likes[question];
	long nearest = find_nearest(check, kernel, facts, question);
	struct ab_pack_defs *other = NULL;
	_text_ struct text hint = {};
	const char *name;
	int r = nearest < 0 ? 0 : ab_pack_defs_open(check->pack, (size_t)nearest, &other, err);

	if (r < 0)
		return r;
	name = choose_like(likes, defs, other);
	ab_pack_defs_close(other);
	if (!say_since(check, kernel, facts, question, &hint))
		hint.failed = true;
	if (name)
		text_printf(&hint, "%sit may be called '%s' there", hint.n ? "; " : "", name);
	*ret_hint = hint.failed ? NULL : ab_check_keep(check, hint.p ? hint.p : "");
	return *ret_hint ? 0 : ab_fail_memory(err);
}

int ab_check_find_missing(struct ab_check *check, size_t kernel, const struct ab_pack_defs *defs, const uint64_t *facts,
			  const char **hints, struct ab_error *err)
{
	const uint64_t *own = facts + kernel * ((check->n_questions + 63) / 64);
	int r = 0;

	for (size_t i = 0; !r && i < check->n_programs + check->code.n_externals; i++) {
		const char *target;
		uint32_t q = ab_check_asked(check, i, &target);
		size_t prefix;

		if (q == NONE || hints[q] || has_fact(own, q))
			continue;
		prefix = prefix_of(&check->questions[q], target);
		if (!check->missing->is_known[q] && is_plain(&check->questions[q]))
			r = find_likes(check, &check->questions[q], prefix, &check->missing->likes[q], err);
		check->missing->is_known[q] = true;
		if (!r)
			r = make_hint(check, kernel, defs, facts, q, &hints[q], err);
	}
	return r;
}

/* ---- one kernel ---- */

/* By one kernel's types alone only the same name, and a slip of the pen, tell anything. */
static const char *find_alike(const struct ab_btf *types, const struct question *q, size_t prefix)
{
	const char *near = NULL;

	for (uint32_t id = 1; id < ab_btf_count(types); id++) {
		const struct btf_type *t = ab_btf_type(types, id);
		const char *name = ab_btf_name(types, t);
		enum ab_check_like like;

		if (ab_btf_kind(t) != q->kind || strncmp(name, q->name, prefix))
			continue;
		like = ab_check_likeness(q->name + prefix, name + prefix);
		if (like == LIKE_SAME)
			return name + prefix;
		if (like == LIKE_SPELLING)
			near = name + prefix;
	}
	return near;
}

int ab_check_find_alike(struct ab_check *check, const struct ab_btf *types, const uint64_t *facts, const char **hints,
			struct ab_error *err)
{
	for (size_t i = 0; i < check->n_programs + check->code.n_externals; i++) {
		const char *target, *name;
		uint32_t q = ab_check_asked(check, i, &target);
		_text_ struct text hint = {};

		if (q == NONE || hints[q] || has_fact(facts, q) || !is_plain(&check->questions[q]))
			continue;
		name = find_alike(types, &check->questions[q], prefix_of(&check->questions[q], target));
		if (name)
			text_printf(&hint, "it may be called '%s' there", name);
		if (hint.failed || (name && !(hints[q] = ab_check_keep(check, hint.p))))
			return ab_fail_memory(err);
	}
	return 0;
}
