/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reports: collects verdicts, groups their reasons, and says which kernels a group is. */
#include <btf/pack_internal.h>
#include "check.h"
#include "report.h"

/* ---- collecting ---- */

int ab_check_report_new(struct ab_check_report **ret_report, struct ab_error *err)
{
	struct ab_check_report *report = calloc(1, sizeof(*report));

	if (!report)
		return ab_fail_memory(err);
	*ret_report = report;
	return 0;
}

void ab_check_report_free(struct ab_check_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n_objects; i++)
		free(report->objects[i]);
	free(report->objects);
	free(report->kernels);
	free(report->cells);
	free(report);
}

/* Kernels come in any order and are kept sorted by version first, which is what people look for. */
static int compare_kernels(const struct ab_kernel *a, const struct ab_kernel *b)
{
	int r = ab_version_order(a->release, b->release);

	return r ? r : ab_kernel_compare(a, b);
}

/* Makes room for another kernel at `at`, in the list and in the table. */
static int insert_kernel(struct ab_check_report *report, size_t at, const struct ab_kernel *kernel)
{
	size_t cap = report->n_kernels < report->cap_kernels ? report->cap_kernels :
		     report->cap_kernels		     ? 2 * report->cap_kernels :
							       64;
	const struct ab_check_verdict **cells;
	struct ab_kernel *kernels;

	if (cap != report->cap_kernels) {
		kernels = reallocarray(report->kernels, cap, sizeof(*kernels));
		if (!kernels)
			return -ENOMEM;
		report->kernels = kernels;
		cells = array_new(cap * MAX(report->n_objects, 1u), sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		for (size_t o = 0; o < report->n_objects && report->n_kernels; o++)
			memcpy(cells + o * cap, report->cells + o * report->cap_kernels,
			       report->n_kernels * sizeof(*cells));
		free(report->cells);
		report->cells = cells;
		report->cap_kernels = cap;
	}
	memmove(report->kernels + at + 1, report->kernels + at, (report->n_kernels - at) * sizeof(*report->kernels));
	report->kernels[at] = *kernel;
	for (size_t o = 0; o < report->n_objects; o++) {
		cells = report->cells + o * cap + at;
		memmove(cells + 1, cells, (report->n_kernels - at) * sizeof(*cells));
		*cells = NULL;
	}
	report->n_kernels++;
	return 0;
}

static int find_kernel(struct ab_check_report *report, const struct ab_kernel *kernel, size_t *ret)
{
	size_t low = 0, high = report->n_kernels;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = compare_kernels(&report->kernels[mid], kernel);

		if (!r) {
			*ret = mid;
			return 0;
		}
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret = low;
	return insert_kernel(report, low, kernel);
}

static int find_object(struct ab_check_report *report, const char *object, size_t *ret)
{
	const struct ab_check_verdict **cells;
	char **objects;

	for (*ret = 0; *ret < report->n_objects; ++*ret)
		if (!strcmp(report->objects[*ret], object))
			return 0;
	objects = reallocarray(report->objects, report->n_objects + 1, sizeof(*objects));
	if (!objects)
		return -ENOMEM;
	report->objects = objects;
	if (report->cap_kernels) {
		cells = reallocarray(report->cells, (report->n_objects + 1) * report->cap_kernels, sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		memset(cells + report->n_objects * report->cap_kernels, 0, report->cap_kernels * sizeof(*cells));
		report->cells = cells;
	}
	objects[report->n_objects] = strdup(object);
	if (!objects[report->n_objects])
		return -ENOMEM;
	*ret = report->n_objects++;
	return 0;
}

int ab_check_report_add(struct ab_check_report *report, const char *object, const struct ab_kernel *kernel,
			const struct ab_check_verdict *verdict, struct ab_error *err)
{
	size_t o, k;

	if (find_object(report, object, &o) < 0 || find_kernel(report, kernel, &k) < 0)
		return ab_fail_memory(err);
	report->cells[o * report->cap_kernels + k] = verdict;
	return 0;
}

size_t ab_check_report_count(const struct ab_check_report *report, enum ab_check_result result)
{
	size_t n = 0;

	for (size_t o = 0; o < report->n_objects; o++)
		for (size_t k = 0; k < report->n_kernels; k++) {
			const struct ab_check_verdict *v = report->cells[o * report->cap_kernels + k];

			n += v && v->result == result;
		}
	return n;
}

/* ---- findings ---- */

static void add_field(struct text *key, const char *s)
{
	text_printf(key, "%zu:%s", s ? strlen(s) : 0, s ? s : "");
}

static int add_finding(struct findings *f, struct strmap *known, const struct ab_check_reason *reason, uint32_t kernel,
		       size_t n_kernels)
{
	_text_ struct text key = {};
	struct strmap_entry *entry;
	struct finding *list;
	bool is_new;

	text_printf(&key, "%d %u ", reason->fatal, reason->line);
	add_field(&key, reason->program);
	add_field(&key, reason->file);
	add_field(&key, reason->access);
	add_field(&key, reason->message);
	add_field(&key, reason->hint);
	entry = key.failed ? NULL : strmap_put(known, key.p, key.n, &is_new);
	if (!entry)
		return -ENOMEM;
	if (is_new) {
		list = reallocarray(f->list, f->n + 1, sizeof(*list));
		if (!list)
			return -ENOMEM;
		f->list = list;
		entry->value = f->n;
		list[f->n] = (struct finding){ reason, array_new(n_kernels, sizeof(uint32_t)), 0 };
		if (!list[f->n++].kernels)
			return -ENOMEM;
	}
	list = &f->list[entry->value];
	if (!list->n_kernels || list->kernels[list->n_kernels - 1] != kernel)
		list->kernels[list->n_kernels++] = kernel;
	return 0;
}

static int compare_findings(const void *a, const void *b)
{
	const struct finding *x = *(const struct finding *const *)a, *y = *(const struct finding *const *)b;
	int r;

	if (x->reason->fatal != y->reason->fatal)
		return x->reason->fatal ? -1 : 1;
	if (x->n_kernels != y->n_kernels)
		return x->n_kernels > y->n_kernels ? -1 : 1;
	r = memcmp(x->kernels, y->kernels, x->n_kernels * sizeof(*x->kernels));
	return r ? r : x < y ? -1 : x > y;
}

bool ab_check_same_kernels(const struct finding *a, const struct finding *b)
{
	return a->reason->fatal == b->reason->fatal && a->n_kernels == b->n_kernels &&
	       !memcmp(a->kernels, b->kernels, a->n_kernels * sizeof(*a->kernels));
}

/* Sorts, and keeps the order in which reasons were found among those about the same kernels. */
static int sort_findings(struct findings *f)
{
	const struct finding **order = array_new(f->n, sizeof(*order));
	struct finding *sorted = array_new(f->n, sizeof(*sorted));

	for (size_t i = 0; order && i < f->n; i++)
		order[i] = &f->list[i];
	if (order && sorted && f->n) {
		qsort(order, f->n, sizeof(*order), compare_findings);
		for (size_t i = 0; i < f->n; i++)
			sorted[i] = *order[i];
		memcpy(f->list, sorted, f->n * sizeof(*sorted));
	}
	free(order);
	free(sorted);
	return order && sorted ? 0 : -ENOMEM;
}

static void free_findings(struct findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		free(findings->list[i].kernels);
	free(findings->list);
	findings->list = NULL;
	findings->n = 0;
}

static int find_findings(const struct ab_check_report *report, size_t object, struct findings *ret, struct ab_error *err)
{
	_strmap_ struct strmap known = {};
	struct findings f = {};
	int r = 0;

	for (uint32_t k = 0; !r && k < report->n_kernels; k++) {
		const struct ab_check_verdict *v = report->cells[object * report->cap_kernels + k];

		if (v)
			f.results[v->result]++;
		for (size_t i = 0; !r && v && i < v->n_reasons; i++)
			r = add_finding(&f, &known, &v->reasons[i], k, report->n_kernels);
	}
	if (!r)
		r = sort_findings(&f);
	if (r < 0) {
		free_findings(&f);
		return ab_fail_memory(err);
	}
	*ret = f;
	return 0;
}

/* ---- which kernels ---- */

/* Which kernels a sentence is about, and which of the others it has to leave out. */
struct saying {
	const struct ab_check_report *report;
	size_t object;
	uint8_t *in;         /* for each kernel of the report: belongs to it */
	const char *what;    /* an architecture, distribution or flavour that all of them share; NULL: no limit */
	size_t field;        /* where in struct ab_kernel that stands */
};

static const char *kernel_field(const struct ab_kernel *kernel, size_t field)
{
	return *(const char *const *)((const char *)kernel + field);
}

static bool is_checked(const struct saying *s, size_t k)
{
	return s->report->cells[s->object * s->report->cap_kernels + k] &&
	       (!s->what || !strcmp(kernel_field(&s->report->kernels[k], s->field), s->what));
}

static int compare_series(const struct ab_kernel *a, const struct ab_kernel *b)
{
	struct version x = {}, y = {};

	ab_check_parse_version(a->release, &x);
	ab_check_parse_version(b->release, &y);
	return x.major != y.major ? (x.major < y.major ? -1 : 1) : x.minor != y.minor ? (x.minor < y.minor ? -1 : 1) : 0;
}

/* A version as far as it is needed to tell `a` from its neighbour `b`: "5.5", or the whole release. */
static void add_version(const struct ab_kernel *a, const struct ab_kernel *b, struct text *out)
{
	struct version v;

	if (compare_series(a, b) && ab_check_parse_version(a->release, &v))
		text_printf(out, "%u.%u", v.major, v.minor);
	else
		text_puts(out, a->release);
}

/*
 * "all", "all before 5.5", "all since 6.2", "all from 5.4 to 5.10", "all of 5.10", if they are that of those that the
 * sentence may be about.
 */
static bool say_range(const struct saying *s, struct text *out)
{
	const struct ab_kernel *k = s->report->kernels;
	size_t n = s->report->n_kernels, first = n, last = n, before = n, after = n;

	for (size_t i = 0; i < n; i++)
		if (s->in[i]) {
			first = first == n ? i : first;
			last = i;
		}
	for (size_t i = 0; i < n; i++) {
		if (!is_checked(s, i) || s->in[i])
			continue;
		if (i > first && i < last)
			return false;
		if (i < first)
			before = i;
		else if (after == n)
			after = i;
	}
	/* kernels of one version that are told apart by something else are not before or since anything */
	if ((before < n && !strcmp(k[before].release, k[first].release)) ||
	    (after < n && !strcmp(k[after].release, k[last].release)))
		return false;
	text_printf(out, "%s%s", "all", s->what ? " of " : "");
	text_puts(out, s->what ? s->what : "");
	if (before < n && after < n) {
		bool is_series = compare_series(&k[first], &k[before]) && compare_series(&k[last], &k[after]) &&
				 !compare_series(&k[first], &k[last]);

		text_puts(out, is_series ? " of " : " from ");
		add_version(&k[first], &k[before], out);
		text_puts(out, is_series ? "" : " to ");
		if (!is_series)
			add_version(&k[last], &k[after], out);
	} else if (before < n) {
		text_puts(out, " since ");
		add_version(&k[first], &k[before], out);
	} else if (after < n) {
		text_puts(out, " before ");
		add_version(&k[after], &k[last], out);
	}
	return true;
}

/* The same within what all of them share: an architecture, a distribution, a flavour. */
static bool say_shared(struct saying *s, uint32_t some, struct text *out)
{
	static const size_t fields[] = { offsetof(struct ab_kernel, arch), offsetof(struct ab_kernel, distribution),
					 offsetof(struct ab_kernel, flavour) };

	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		bool shared = true;

		s->field = fields[f];
		s->what = kernel_field(&s->report->kernels[some], s->field);
		for (size_t i = 0; i < s->report->n_kernels; i++)
			shared &= !s->in[i] || !strcmp(kernel_field(&s->report->kernels[i], s->field), s->what);
		if (*s->what && shared && say_range(s, out))
			return true;
	}
	return false;
}

/* "all but 5.4.10", if those are few. */
static bool say_others(const struct saying *s, size_t n, struct text *out)
{
	const size_t few = 3;
	uint32_t others[4];
	size_t n_others = 0;

	for (size_t i = 0; i < s->report->n_kernels && n_others <= few; i++)
		if (is_checked(s, i) && !s->in[i])
			others[n_others++] = i;
	if (n_others > few || n_others >= n)
		return false;
	text_puts(out, "all but ");
	for (size_t i = 0; i < n_others; i++)
		text_printf(out, "%s%s", i ? ", " : "", s->report->kernels[others[i]].release);
	return true;
}

void ab_check_say_kernels(const struct ab_check_report *report, size_t object, const uint32_t *kernels, size_t n,
			  struct text *out)
{
	_free_ uint8_t *in = array_new(report->n_kernels, 1);
	struct saying s = { .report = report, .object = object, .in = in };
	size_t shown = n <= 4 ? n : 3;

	if (!in || !n) {
		out->failed |= !in;
		return;
	}
	for (size_t i = 0; i < n; i++)
		in[kernels[i]] = 1;
	if (n > 1 && (say_range(&s, out) || say_shared(&s, kernels[0], out)))
		return;
	s.what = NULL;
	if (say_others(&s, n, out))
		return;
	for (size_t i = 0; i < shown; i++)
		text_printf(out, "%s%s", i ? ", " : "", report->kernels[kernels[i]].release);
	if (shown < n)
		text_printf(out, " and %zu more", n - shown);
}

/* ---- forms ---- */

static int find_all(const struct ab_check_report *report, struct findings *findings, struct ab_error *err)
{
	int r = 0;

	for (size_t o = 0; !r && o < report->n_objects; o++)
		r = find_findings(report, o, &findings[o], err);
	return r;
}

int ab_check_report_write(const struct ab_check_report *report, enum ab_check_form form, char **ret_text, size_t *ret_size,
			  struct ab_error *err)
{
	_free_ struct findings *findings = array_new(report->n_objects, sizeof(*findings));
	_text_ struct text out = {};
	int r = findings ? find_all(report, findings, err) : ab_fail_memory(err);

	for (size_t o = 0; !r && form == AB_CHECK_TEXT && o < report->n_objects; o++)
		ab_check_write_text(report, o, &findings[o], &out);
	if (!r && form == AB_CHECK_JSON)
		ab_check_write_json(report, findings, &out);
	else if (!r && form == AB_CHECK_HTML)
		ab_check_write_html(report, findings, &out);
	for (size_t o = 0; findings && o < report->n_objects; o++)
		free_findings(&findings[o]);
	if (r < 0)
		return r;
	*ret_size = out.n;
	*ret_text = text_take(&out);
	return *ret_text ? 0 : ab_fail_memory(err);
}
