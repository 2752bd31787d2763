/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which kernels the archive has, and which of them a user means. */
#include <unistd.h>
#include "lab.h"

#define UPDATE_SECONDS (24 * 3600)

struct ab_kernel_list {
	struct ab_lab_kernel *items;
	size_t count;
};

/* ---- Debian's order of versions (deb-version(7)) ---- */

static int char_order(char c)
{
	if (c == '~')
		return -1;
	if (!c || (c >= '0' && c <= '9'))
		return 0;
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c : c + 256;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int compare_part(const char *a, const char *a_end, const char *b, const char *b_end)
{
	while (a < a_end || b < b_end) {
		size_t an = 0, bn = 0;
		int diff;

		while ((a < a_end && !is_digit(*a)) || (b < b_end && !is_digit(*b))) {
			diff = char_order(a < a_end ? *a : 0) - char_order(b < b_end ? *b : 0);
			if (diff)
				return diff;
			a += a < a_end;
			b += b < b_end;
		}
		while (a < a_end && *a == '0')
			a++;
		while (b < b_end && *b == '0')
			b++;
		while (a + an < a_end && is_digit(a[an]))
			an++;
		while (b + bn < b_end && is_digit(b[bn]))
			bn++;
		if (an != bn)
			return an < bn ? -1 : 1;
		diff = memcmp(a, b, an);
		if (diff)
			return diff;
		a += an;
		b += bn;
	}
	return 0;
}

static long epoch(const char **version)
{
	const char *colon = strchr(*version, ':');
	long n = colon ? strtol(*version, NULL, 10) : 0;

	*version = colon ? colon + 1 : *version;
	return n;
}

int ab_version_compare(const char *a, const char *b)
{
	long ea = epoch(&a), eb = epoch(&b);
	const char *ra = strrchr(a, '-'), *rb = strrchr(b, '-');
	const char *a_end = a + strlen(a), *b_end = b + strlen(b);
	int diff;

	if (ea != eb)
		return ea < eb ? -1 : 1;
	diff = compare_part(a, ra ? ra : a_end, b, rb ? rb : b_end);
	return diff ? diff : compare_part(ra ? ra + 1 : a_end, a_end, rb ? rb + 1 : b_end, b_end);
}

/* ---- packages to kernels ---- */

static void free_kernel(struct ab_lab_kernel *k)
{
	free((char *)k->name);
	free((char *)k->version);
	free((char *)k->series);
	free((char *)k->flavour);
	free((char *)k->arch);
	free((char *)k->suite);
}

void ab_kernel_list_free(struct ab_kernel_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++)
		free_kernel(&list->items[i]);
	free(list->items);
	free(list);
}

size_t ab_kernel_list_count(const struct ab_kernel_list *list)
{
	return list->count;
}

const struct ab_lab_kernel *ab_kernel_list_get(const struct ab_kernel_list *list, size_t index)
{
	return &list->items[index];
}

/*
 * A package that has a kernel in it, or stands for one split into several; not those that only follow the newest, nor what
 * kernels are signed with.
 */
static bool is_kernel(const struct ab_lab *lab, const struct archive_row *row)
{
	return str_starts(row->package, "linux-image-") && !str_ends(row->package, "-signed-template") &&
	       !strcmp(row->arch, lab->arch) &&
	       (row->size > 1000000 || strstr(row->depends, "linux-binary-"));
}

static bool has_signed_twin(struct ab_lab *lab, const struct archive_row *row)
{
	size_t n = strlen(row->package) - strlen("-unsigned");
	_free_ char *twin = strndup(row->package, n);

	return twin && ab_archive_find(lab, twin, NULL);
}

/* "6.1.0-56-cloud-amd64" to "cloud"; "6.12.107+deb13-arm64-16k" to "16k". */
static char *flavour_of(const char *name, const char *arch)
{
	char mark[24];
	const char *at, *dash;
	size_t digits;

	snprintf(mark, sizeof(mark), "-%s", arch);
	at = strstr(name, mark);
	if (!at)
		return strdup("");
	if (at[strlen(mark)] == '-')
		return strdup(at + strlen(mark) + 1);
	for (dash = at; dash > name && dash[-1] != '-'; dash--)
		;
	digits = strspn(dash, "0123456789.");
	/* The word before the architecture is a flavour unless it is the version itself or Debian's ABI number. */
	if (dash == name || dash + digits == at || digits > 0)
		return strdup("");
	return strndup(dash, at - dash);
}

static char *series_of(const char *version)
{
	const char *colon = strchr(version, ':');
	size_t n;

	version = colon ? colon + 1 : version;
	n = strspn(version, "0123456789");
	if (version[n] == '.')
		n += 1 + strspn(version + n + 1, "0123456789");
	return strndup(version, n);
}

size_t ab_kernel_parts(struct ab_lab *lab, const struct ab_lab_kernel *kernel, const struct archive_row *ret_rows[3])
{
	static const struct { const char *prefix, *suffix; } forms[] = {
		{ "linux-image-", "" }, { "linux-image-", "-unsigned" }, { "linux-binary-", "" }, { "linux-binary-", "-unsigned" },
		{ "linux-modules-", "" },
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(forms) && n < 3; i++) {
		const struct archive_row *row;
		char package[256];

		if ((i == 1 && n) || (i == 3 && n > 1))
			continue;
		snprintf(package, sizeof(package), "%s%s%s", forms[i].prefix, kernel->name, forms[i].suffix);
		row = ab_archive_find(lab, package, kernel->version);
		if (row)
			ret_rows[n++] = row;
	}
	return n;
}

static int make_kernel(struct ab_lab *lab, const struct archive_row *row, struct ab_lab_kernel *k, struct ab_error *err)
{
	const char *name = row->package + strlen("linux-image-");
	size_t n = strlen(name) - (str_ends(name, "-unsigned") ? strlen("-unsigned") : 0);
	const struct archive_row *parts[3];

	*k = (struct ab_lab_kernel){ .name = strndup(name, n), .version = strdup(row->version), .series = series_of(row->version),
				 .arch = strdup(row->arch), .suite = strdup(row->suite) };
	k->flavour = k->name ? flavour_of(k->name, row->arch) : NULL;
	if (!k->name || !k->version || !k->series || !k->flavour || !k->arch || !k->suite)
		return ab_fail_memory(err);
	k->fetched = true;
	for (size_t i = ab_kernel_parts(lab, k, parts); i-- > 0;) {
		k->size += parts[i]->size;
		k->fetched &= ab_archive_has(lab, parts[i]);
	}
	return 0;
}

static int compare_kernels(const void *a, const void *b)
{
	const struct ab_lab_kernel *ka = a, *kb = b;
	int diff = ab_version_compare(ka->version, kb->version);

	if (!diff)
		diff = ab_version_compare(ka->name, kb->name);
	return diff ? diff : strcmp(ka->suite, kb->suite);
}

/* Every kernel of the archive, oldest first, each once. */
static int all_kernels(struct ab_lab *lab, struct ab_kernel_list *list, struct ab_error *err)
{
	size_t kept = 0;
	int r = 0;

	list->items = array_new(lab->row_count, sizeof(*list->items));
	if (!list->items)
		return ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < lab->row_count; i++) {
		const struct archive_row *row = &lab->rows[i];

		if (is_kernel(lab, row) && !(str_ends(row->package, "-unsigned") && has_signed_twin(lab, row)))
			r = make_kernel(lab, row, &list->items[list->count++], err);
	}
	if (r < 0)
		return r;
	qsort(list->items, list->count, sizeof(*list->items), compare_kernels);
	for (size_t i = 0; i < list->count; i++) {
		struct ab_lab_kernel *k = &list->items[i];

		if (kept && !strcmp(list->items[kept - 1].name, k->name)) {
			/* The newest build of a kernel name; the same build may be in several suites. */
			free_kernel(&list->items[kept - 1]);
			list->items[kept - 1] = *k;
		} else {
			list->items[kept++] = *k;
		}
	}
	list->count = kept;
	return 0;
}

/* ---- what a user asks for ---- */

/* Splits "6.12-cloud" at the flavour, if the word behind the last dash is one that some kernel has. */
static const char *split_flavour(const struct ab_kernel_list *all, char *word)
{
	char *dash = strrchr(word, '-');

	for (size_t i = 0; dash && i < all->count; i++) {
		if (*all->items[i].flavour && !strcmp(all->items[i].flavour, dash + 1)) {
			*dash = '\0';
			return dash + 1;
		}
	}
	return "";
}

/* "6.1" is 6.1.192 but not 6.12.1. */
static bool version_begins(const char *version, const char *prefix)
{
	size_t n = strlen(prefix);

	return n && !strncmp(version, prefix, n) && !is_digit(version[n]);
}

struct selection {
	const struct ab_kernel_list *all;
	bool *taken;
	size_t *order;
	size_t count;
};

static void take(struct selection *s, size_t i)
{
	if (s->taken[i])
		return;
	s->taken[i] = true;
	s->order[s->count++] = i;
}

static bool is_last_of_series(const struct ab_kernel_list *all, size_t index)
{
	const struct ab_lab_kernel *k = &all->items[index];

	for (size_t i = index + 1; i < all->count; i++)
		if (!strcmp(all->items[i].flavour, k->flavour) && !strcmp(all->items[i].series, k->series))
			return false;
	return true;
}

static size_t take_group(struct selection *s, const char *word, const char *flavour)
{
	bool every = !strcmp(word, "every"), all = !strcmp(word, "all"), oldest = !strcmp(word, "oldest");
	size_t found = 0, last = SIZE_MAX;

	for (size_t i = 0; i < s->all->count; i++) {
		const struct ab_lab_kernel *k = &s->all->items[i];

		if (strcmp(k->flavour, flavour) && !(every && !*flavour))
			continue;
		if (every || (all && is_last_of_series(s->all, i)) || (oldest && !found))
			take(s, i);
		else if (!every && !all && !oldest && (!strcmp(word, "latest") || version_begins(k->version, word) ||
						       version_begins(k->name, word)))
			last = i;
		else
			continue;
		found++;
	}
	if (last != SIZE_MAX)
		take(s, last);
	return found;
}

/* All flavours of the archive, each once. */
static void list_flavours(const struct ab_kernel_list *all, struct text *t)
{
	_strmap_ struct strmap seen = {};

	for (size_t i = 0; i < all->count; i++) {
		const char *flavour = all->items[i].flavour;
		bool new = false;

		if (*flavour && strmap_put(&seen, flavour, strlen(flavour), &new) && new)
			text_printf(t, "%s%s", t->n ? ", " : "", flavour);
	}
}

static int fail_select(const struct ab_kernel_list *all, const char *word, struct ab_error *err)
{
	_text_ struct text series = {}, flavours = {};

	if (access(word, F_OK) == 0)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel '%s' in the archive; a file is given by --kernel %s",
			       word, word);
	for (size_t i = 0; i < all->count; i++)
		if (!*all->items[i].flavour && is_last_of_series(all, i))
			text_printf(&series, "%s%s", series.n ? ", " : "", all->items[i].series);
	list_flavours(all, &flavours);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
		       "no kernel '%s' in the archive; it has %s%s%s ('anybpf lab kernels' lists them)", word,
		       series.p ? series.p : "none", flavours.p ? ", and with a dash behind them the flavours " : "",
		       flavours.p ? flavours.p : "");
}

static int select_word(struct selection *s, char *word, struct ab_error *err)
{
	_free_ char *whole = strdup(word);
	const char *flavour;

	if (!whole)
		return ab_fail_memory(err);
	for (size_t i = 0; i < s->all->count; i++) {
		if (!strcmp(s->all->items[i].name, word)) {
			take(s, i);
			return 0;
		}
	}
	flavour = split_flavour(s->all, word);
	return take_group(s, word, flavour) ? 0 : fail_select(s->all, whole, err);
}

static int select_words(struct selection *s, const char *spec, struct ab_error *err)
{
	_free_ char *copy = strdup(spec);
	bool any = false;
	int r = 0;

	if (!copy)
		return ab_fail_memory(err);
	for (char *p = copy, *word; r == 0 && (word = strsep(&p, ", "));) {
		if (!*word)
			continue;
		any = true;
		r = select_word(s, word, err);
	}
	return r < 0 || any ? r : ab_fail(err, AB_ERROR_USAGE, -EINVAL, "no kernel was named; try 'oldest,6.1,latest'");
}

static struct ab_kernel_list *pick(struct ab_kernel_list *all, const struct selection *s)
{
	struct ab_kernel_list *list = calloc(1, sizeof(*list));

	if (list)
		list->items = array_new(s->count, sizeof(*list->items));
	if (!list || !list->items) {
		free(list);
		return NULL;
	}
	list->count = s->count;
	for (size_t i = 0; i < s->count; i++) {
		list->items[i] = all->items[s->order[i]];
		memset(&all->items[s->order[i]], 0, sizeof(*all->items));
	}
	return list;
}

int ab_lab_select(struct ab_lab *lab, const char *spec, struct ab_kernel_list **ret_list, struct ab_error *err)
{
	struct ab_kernel_list *all = calloc(1, sizeof(*all)), *list = NULL;
	_free_ bool *taken = NULL;
	_free_ size_t *order = NULL;
	int r = all ? ab_lab_update(lab, UPDATE_SECONDS, err) : ab_fail_memory(err);

	if (r == 0)
		r = ab_archive_read(lab, err);
	if (r == 0)
		r = all_kernels(lab, all, err);
	if (r == 0) {
		struct selection s = { .all = all };

		s.taken = taken = array_new(all->count, sizeof(*taken));
		s.order = order = array_new(all->count, sizeof(*order));
		r = taken && order ? select_words(&s, spec, err) : ab_fail_memory(err);
		if (r == 0 && !(list = pick(all, &s)))
			r = ab_fail_memory(err);
	}
	ab_kernel_list_free(all);
	if (r == 0)
		*ret_list = list;
	return r;
}
