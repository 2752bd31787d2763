/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What there is to fetch: kernels, each with the packages that may hold its types, the most promising first. */
#include "crawl.h"

#define ITEM_LIMIT 1000000

void ab_package_ref_clear(struct package_ref *p)
{
	free(p->name);
	free(p->version);
	free(p->arch);
	free(p->release);
	free(p->url);
	free(p->path);
	free(p->hash);
	*p = (struct package_ref){};
}

void ab_item_clear(struct item *item)
{
	for (size_t i = 0; i < item->count; i++)
		ab_package_ref_clear(&item->packages[i]);
	free(item->packages);
	free(item->key);
	*item = (struct item){};
}

void ab_items_clear(struct items *items)
{
	for (size_t i = 0; i < items->count; i++)
		ab_item_clear(&items->items[i]);
	free(items->items);
	strmap_clear(&items->by_key);
	strmap_clear(&items->hashes);
	*items = (struct items){};
}

const char *ab_package_id(const struct package_ref *package)
{
	return package->hash ? package->hash : package->url;
}

static struct item *find_item(struct items *items, const struct source *source, const char *key)
{
	struct strmap_entry *entry;
	bool new;

	if (items->count == items->cap) {
		size_t cap = items->cap ? items->cap * 2 : 64;
		struct item *grown = cap <= ITEM_LIMIT ? realloc(items->items, cap * sizeof(*grown)) : NULL;

		if (!grown)
			return NULL;
		items->items = grown;
		items->cap = cap;
	}
	entry = strmap_put(&items->by_key, key, strlen(key), &new);
	if (!entry)
		return NULL;
	if (new) {
		entry->value = items->count;
		items->items[items->count] = (struct item){ .source = source, .key = strdup(key) };
		if (!items->items[items->count].key)
			return NULL;
		items->count++;
	}
	return &items->items[entry->value];
}

int ab_items_add(struct items *items, const struct source *source, const char *key, struct package_ref *package,
		 struct ab_error *err)
{
	const char *id = package->url ? ab_package_id(package) : NULL;
	struct package_ref *grown = NULL;
	struct item *item = NULL;
	bool new;

	if (!package->name || !package->version || !package->arch || !package->release || !package->url ||
	    !package->path || !strmap_put(&items->hashes, id, strlen(id), &new)) {
		ab_package_ref_clear(package);
		return ab_fail_memory(err);
	}
	if (!new) {
		ab_package_ref_clear(package);
		return 0;
	}
	item = find_item(items, source, key);
	grown = item ? realloc(item->packages, (item->count + 1) * sizeof(*grown)) : NULL;
	if (!grown) {
		ab_package_ref_clear(package);
		return ab_fail_memory(err);
	}
	item->packages = grown;
	item->packages[item->count++] = *package;
	*package = (struct package_ref){};
	return 0;
}

/* ---- order ---- */

static int compare_packages(const void *a, const void *b)
{
	const struct package_ref *pa = a, *pb = b;

	return pa->rank != pb->rank ? (pa->rank < pb->rank ? -1 : 1) : strcmp(pa->name, pb->name);
}

static int compare_natural(const char *a, const char *b)
{
	while (*a && *b) {
		bool da = *a >= '0' && *a <= '9', db = *b >= '0' && *b <= '9';

		if (da && db) {
			char *ea, *eb;
			unsigned long na = strtoul(a, &ea, 10), nb = strtoul(b, &eb, 10);

			if (na != nb)
				return na < nb ? -1 : 1;
			a = ea;
			b = eb;
		} else if (*a != *b) {
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		} else {
			a++;
			b++;
		}
	}
	return !!*a - !!*b;
}

/* The newest first, what only debug packages have last. */
static int compare_items(const void *a, const void *b)
{
	const struct package_ref *pa = ((const struct item *)a)->packages, *pb = ((const struct item *)b)->packages;
	int diff = pa->debug - pb->debug;

	if (diff)
		return diff;
	diff = compare_natural(pb->release, pa->release);
	return diff ? diff : compare_natural(pb->version, pa->version);
}

/* What kernels of one kind have in common: "source arch 6.1 -cloud-amd64". */
static void series_of(const struct item *item, struct text *t)
{
	const char *p = item->packages->release;
	size_t n = strspn(p, "0123456789");

	n += p[n] == '.' ? 1 + strspn(p + n + 1, "0123456789") : 0;
	text_printf(t, "%s %s %.*s ", item->source->name, item->packages->arch, (int)n, p);
	for (p += n; *p; p++)
		if ((*p < '0' || *p > '9') && *p != '.')
			text_putc(t, *p);
}

int ab_items_finish(struct items *items, struct ab_error *err)
{
	_strmap_ struct strmap series = {};
	size_t kept = 0;

	for (size_t i = 0; i < items->count; i++)
		qsort(items->items[i].packages, items->items[i].count, sizeof(struct package_ref), compare_packages);
	if (items->count)
		qsort(items->items, items->count, sizeof(struct item), compare_items);
	for (size_t i = 0; i < items->count; i++) {
		struct item *item = &items->items[i];
		_text_ struct text t = {};
		struct strmap_entry *entry;
		bool new;

		series_of(item, &t);
		entry = t.failed ? NULL : strmap_put(&series, t.p, t.n, &new);
		if (!entry)
			return ab_fail_memory(err);
		if (item->source->newest && (int64_t)entry->value >= item->source->newest) {
			ab_item_clear(item);
			continue;
		}
		entry->value++;
		if (kept != i) {
			items->items[kept] = *item;
			*item = (struct item){};
		}
		kept++;
	}
	items->count = kept;
	/* Positions changed. */
	strmap_clear(&items->by_key);
	return 0;
}

/* ---- JSON, for the queue ---- */

int ab_item_to_json(const struct item *item, char **ret_json, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	json_member_str(&j, "id", item->key);
	json_member_str(&j, "source", item->source->name);
	json_key(&j, "packages");
	json_open(&j, '[');
	for (size_t i = 0; i < item->count; i++) {
		const struct package_ref *p = &item->packages[i];
		const char *const fields[][2] = { { "name", p->name },       { "version", p->version },
						  { "release", p->release }, { "arch", p->arch },
						  { "url", p->url },         { "path", p->path },
						  { "hash", p->hash },       { "algorithm", p->algorithm } };

		json_open(&j, '{');
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			json_member_str(&j, fields[k][0], fields[k][1]);
		json_member_uint(&j, "size", p->size);
		json_member_bool(&j, "debug", p->debug);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	if (t.failed)
		return ab_fail_memory(err);
	*ret_json = text_take(&t);
	return *ret_json ? 0 : ab_fail_memory(err);
}

static char *copy_field(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? strdup(s) : NULL;
}

/* Another machine wrote it: a path must stay below the cache. */
static bool is_local_path(const char *path)
{
	return *path && *path != '/' && !strstr(path, "..") && strlen(path) < 400;
}

static int take_package(struct package_ref *p, const json_t *object, struct ab_error *err)
{
	const char *algorithm = json_string_value(json_object_get(object, "algorithm"));

	*p = (struct package_ref){ .name = copy_field(object, "name"),
				   .version = copy_field(object, "version"),
				   .release = copy_field(object, "release"),
				   .arch = copy_field(object, "arch"),
				   .url = copy_field(object, "url"),
				   .path = copy_field(object, "path"),
				   .hash = copy_field(object, "hash"),
				   .debug = json_is_true(json_object_get(object, "debug")) };
	p->size = MAX(json_integer_value(json_object_get(object, "size")), 0);
	snprintf(p->algorithm, sizeof(p->algorithm), "%s", algorithm ? algorithm : "");
	if (!p->name || !p->version || !p->release || !p->arch || !p->url || !p->path || !is_local_path(p->path) ||
	    (p->hash && strspn(p->hash, "0123456789abcdef") != strlen(p->hash)))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "an entry of the queue is damaged");
	return 0;
}

int ab_item_from_json(const char *json, size_t size, const struct sources *sources, struct item *item,
		      struct ab_error *err)
{
	json_t *root = json_loadb(json, size, 0, NULL), *packages = json_object_get(root, "packages");
	const char *name = json_string_value(json_object_get(root, "source"));
	int r = 0;

	*item = (struct item){ .key = copy_field(root, "id") };
	for (size_t i = 0; name && i < sources->count; i++)
		if (!strcmp(sources->items[i].name, name))
			item->source = &sources->items[i];
	if (!item->key || !name || !json_array_size(packages) || json_array_size(packages) > 64)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "an entry of the queue is damaged");
	else if (!item->source)
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			    "the queue has work of a source '%s', which this machine's sources lack", name);
	if (r == 0 && !(item->packages = array_new(json_array_size(packages), sizeof(*item->packages))))
		r = ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < json_array_size(packages); i++)
		r = take_package(&item->packages[item->count++], json_array_get(packages, i), err);
	json_decref(root);
	if (r < 0)
		ab_item_clear(item);
	return r;
}
