/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The file of sources (docs/format-sources.md). */
#include <fnmatch.h>
#include "toml/toml.h"
#include "crawl.h"

#define FILE_LIMIT (1u << 20)

enum key_type { KEY_STRING, KEY_STRINGS, KEY_BOOL, KEY_NUMBER };

#define S(field) offsetof(struct source, field)

static const struct {
	const char *name;
	enum key_type type;
	size_t offset;
	unsigned types;
} keys[] = {
	{ "name", KEY_STRING, S(name), 7 },
	{ "url", KEY_STRING, S(url), 7 },
	{ "suites", KEY_STRINGS, S(suites), 1 << SOURCE_DEB },
	{ "components", KEY_STRINGS, S(components), 1 << SOURCE_DEB },
	{ "architectures", KEY_STRINGS, S(architectures), 1 << SOURCE_DEB | 1 << SOURCE_RPM },
	{ "keyring", KEY_STRING, S(keyring), 7 },
	{ "unsigned", KEY_BOOL, S(unsigned_), 7 },
	{ "stale", KEY_BOOL, S(stale), 1 << SOURCE_DEB },
	{ "packages", KEY_STRINGS, S(packages), 1 << SOURCE_DEB | 1 << SOURCE_RPM },
	{ "exclude", KEY_STRINGS, S(exclude), 1 << SOURCE_DEB | 1 << SOURCE_RPM },
	{ "debug", KEY_BOOL, S(debug), 1 << SOURCE_DEB | 1 << SOURCE_RPM },
	{ "modules", KEY_BOOL, S(modules), 7 },
	{ "newest", KEY_NUMBER, S(newest), 1 << SOURCE_DEB | 1 << SOURCE_RPM },
	{ "distribution", KEY_STRING, S(distribution), 7 },
	{ "index", KEY_STRING, S(index), 1 << SOURCE_BTFHUB },
};

bool ab_matches(const char *const *globs, const char *name)
{
	for (; globs && *globs; globs++)
		if (!fnmatch(*globs, name, 0))
			return true;
	return false;
}

/* ---- values ---- */

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static int take_strings(const json_t *value, char ***ret, struct ab_error *err)
{
	char **list = array_new(json_array_size(value) + 1, sizeof(*list));

	if (!list)
		return ab_fail_memory(err);
	*ret = list;
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *s = json_string_value(json_array_get(value, i));

		if (!s || !*s || !is_plain(s))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "an array of words is wanted");
		list[i] = strdup(s);
		if (!list[i])
			return ab_fail_memory(err);
	}
	return 0;
}

static int take_value(struct source *source, size_t key, const json_t *value, struct ab_error *err)
{
	void *field = (char *)source + keys[key].offset;
	const char *s = json_string_value(value);

	switch (keys[key].type) {
	case KEY_STRING:
		if (!s || !*s || (strcmp(keys[key].name, "keyring") && !is_plain(s)))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "a word in quotes is wanted");
		*(char **)field = strdup(s);
		return *(char **)field ? 0 : ab_fail_memory(err);
	case KEY_STRINGS:
		if (!json_is_array(value))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "an array of words is wanted");
		return take_strings(value, field, err);
	case KEY_BOOL:
		if (!json_is_boolean(value))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "true or false is wanted");
		*(bool *)field = json_is_true(value);
		return 0;
	case KEY_NUMBER:
		if (!json_is_integer(value) || json_integer_value(value) < 1)
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "a number above 0 is wanted");
		*(int64_t *)field = json_integer_value(value);
		return 0;
	}
	return 0;
}

static int take_type(struct source *source, const json_t *table, struct ab_error *err)
{
	static const char *const types[] = { "deb", "rpm", "btfhub" };
	const char *type = json_string_value(json_object_get(table, "type"));
	const char *sign = json_string_value(json_object_get(table, "signed"));

	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++) {
		if (strcmp(type, types[i]))
			continue;
		source->type = i;
		if (json_object_get(table, "signed") &&
		    (i != SOURCE_RPM || !sign || (strcmp(sign, "metadata") && strcmp(sign, "packages"))))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
				       "'signed' is \"metadata\" or \"packages\", for type \"rpm\"");
		source->signed_packages = sign && !strcmp(sign, "packages");
		return 0;
	}
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'type' is \"deb\", \"rpm\" or \"btfhub\"");
}

static bool is_url(const char *url)
{
	return str_starts(url, "http://") || str_starts(url, "https://") || str_starts(url, "file:///");
}

static int check_source(struct source *source, struct ab_error *err)
{
	if (!source->name || !source->url)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is missing", source->name ? "url" : "name");
	source->apt = source->type == SOURCE_DEB && !strcmp(source->url, "apt");
	if (!source->apt && !is_url(source->url) && !(source->type == SOURCE_BTFHUB && *source->url == '/'))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "url '%s': http://, https:// or file:/// is wanted%s",
			       source->url,
			       source->type == SOURCE_DEB      ? ", or \"apt\""
			       : source->type == SOURCE_BTFHUB ? ", or a directory"
							       : "");
	if (source->type == SOURCE_DEB && (!source->suites || !source->suites[0]))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'suites' is missing");
	if (!source->keyring && !source->unsigned_ && *source->url != '/')
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'keyring' is missing: nothing can be believed without (or say unsigned = true)");
	return 0;
}

static int take_source(struct source *source, const json_t *table, struct ab_error *err)
{
	const char *name;
	json_t *value;
	int r = take_type(source, table, err);

	if (r < 0)
		return r;
	json_object_foreach ((json_t *)table, name, value) {
		size_t i = 0;

		if (!strcmp(name, "type") || !strcmp(name, "signed"))
			continue;
		while (i < ARRAY_SIZE(keys) && strcmp(keys[i].name, name))
			i++;
		if (i == ARRAY_SIZE(keys))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "there is no key '%s'", name);
		if (!(keys[i].types & 1u << source->type))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "this type of source has no key '%s'", name);
		r = take_value(source, i, value, err);
		if (r < 0) {
			ab_error_prefix(err, "'%s'", name);
			return r;
		}
	}
	return check_source(source, err);
}

/* ---- the file ---- */

static int take_sources(const json_t *root, struct sources *sources, struct ab_error *err)
{
	const json_t *list = json_object_get(root, "source");
	int r = 0;

	if (!json_array_size(list) || json_object_size(root) != 1)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "[[source]] tables are wanted, and nothing else");
	sources->items = array_new(json_array_size(list), sizeof(*sources->items));
	if (!sources->items)
		return ab_fail_memory(err);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		struct source *source = &sources->items[sources->count++];

		r = take_source(source, json_array_get(list, i), err);
		for (size_t k = 0; r == 0 && k < i; k++)
			if (!strcmp(sources->items[k].name, source->name))
				r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "two have this name");
		if (r < 0)
			ab_error_prefix(err, "source '%s'", source->name ? source->name : "?");
	}
	return r;
}

int ab_sources_parse(const char *text, size_t size, const char *path, struct sources *sources, struct ab_error *err)
{
	_free_ char *json = NULL;
	char why[256] = "";
	json_t *root;
	int r;

	*sources = (struct sources){};
	json = ab_toml_to_json(text, size, why, sizeof(why));
	root = json ? json_loads(json, 0, NULL) : NULL;
	r = root ? take_sources(root, sources, err)
		 : ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, *why ? "line %s" : "it is no TOML", why);
	json_decref(root);
	if (r < 0) {
		ab_error_prefix(err, "'%s'", path);
		ab_sources_clear(sources);
	}
	return r;
}

int ab_sources_read(const char *path, struct sources *sources, struct ab_error *err)
{
	_free_ char *text = NULL;
	size_t size;
	int r = file_read(path, FILE_LIMIT, &text, &size, err);

	return r < 0 ? r : ab_sources_parse(text, size, path, sources, err);
}

void ab_sources_clear(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			void *field = (char *)&sources->items[i] + keys[k].offset;

			if (keys[k].type == KEY_STRINGS)
				for (char **s = *(char ***)field; s && *s; s++)
					free(*s);
			if (keys[k].type == KEY_STRING || keys[k].type == KEY_STRINGS)
				free(*(void **)field);
		}
	free(sources->items);
	*sources = (struct sources){};
}
