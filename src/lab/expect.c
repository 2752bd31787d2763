/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reading expectation files: from TOML to checked JSON, and ranges of kernels. */
#include <regex.h>
#include <unistd.h>
#include "toml/toml.h"
#include "expect.h"

#define FILE_LIMIT (1u << 20)
#define PATTERN_LIMIT 500

/* ---- ranges ---- */

/* Compares "6.1.0-56-amd64" with "6.1" as far as the latter goes. */
static int compare_release(const char *release, const char *version, size_t n)
{
	const char *end = version + n;

	while (version < end) {
		char *next_a, *next_b;
		long a = strtol(release, &next_a, 10), b = strtol(version, &next_b, 10);

		if (a != b)
			return a < b ? -1 : 1;
		release = next_a + (*next_a == '.');
		version = next_b + (next_b < end);
	}
	return 0;
}

/* One condition at *p; moves behind it. Returns -1 if it is none, else whether it holds; *more: a comma follows. */
static int take_condition(const char **p, const char *release, bool *more)
{
	static const char *const operators[] = { "<=", ">=", "==", "!=", "<", ">", "" };
	const char *s = *p + strspn(*p, " ");
	size_t op = 0, n;
	int order;

	while (strncmp(s, operators[op], strlen(operators[op])))
		op++;
	s += strlen(operators[op]);
	s += strspn(s, " ");
	n = strspn(s, "0123456789.");
	if (!n || *s == '.' || s[n - 1] == '.')
		return -1;
	order = compare_release(release, s, n);
	s += n;
	s += strspn(s, " ");
	if (*s && *s != ',')
		return -1;
	*more = *s == ',';
	*p = s + *more;
	switch (op) {
	case 0: return order <= 0;
	case 1: return order >= 0;
	case 3: return order != 0;
	case 4: return order < 0;
	case 5: return order > 0;
	default: return order == 0;
	}
}

static int match_range(const char *range, const char *release)
{
	int all = 1;
	bool more = true;

	while (more) {
		int one = take_condition(&range, release, &more);

		if (one < 0)
			return -1;
		all &= one;
	}
	return all;
}

bool ab_range_has(const char *range, const char *release)
{
	return match_range(range, release) == 1;
}

bool ab_range_valid(const char *range)
{
	return match_range(range, "1") >= 0;
}

/* ---- checking ---- */

enum shape { TEXT, REASON, ARCH, NUMBER, SECONDS, TEXTS, RANGE, VERSION, COUNT, WHERE, PREDICATE, TABLES };

struct key {
	const char *name;
	enum shape shape;
	bool required;
	const struct key *keys; /* of TABLES */
};

static const struct key event_keys[] = {
	{ "channel", TEXT }, { "where", WHERE }, { "count", COUNT }, {},
};
static const struct key map_keys[] = {
	{ "name", TEXT, true }, { "where", WHERE }, { "count", COUNT }, {},
};
static const struct key line_keys[] = {
	{ "program", TEXT }, { "text", PREDICATE, true }, { "count", COUNT }, {},
};
static const struct key missing_keys[] = {
	{ "program", TEXT, true }, { "kernels", RANGE }, { "arch", ARCH }, { "reason", REASON, true }, {},
};
static const struct key skip_keys[] = {
	{ "kernels", RANGE, true }, { "arch", ARCH }, { "reason", REASON, true }, {},
};
static const struct key root_keys[] = {
	{ "args", TEXTS },
	{ "setup", TEXTS },
	{ "workload", TEXTS },
	{ "modules", TEXTS },
	{ "files", TEXTS },
	{ "settle_ms", NUMBER },
	{ "timeout_s", SECONDS },
	{ "minimum_kernel", VERSION },
	{ "event", TABLES, false, event_keys },
	{ "map", TABLES, false, map_keys },
	{ "line", TABLES, false, line_keys },
	{ "missing", TABLES, false, missing_keys },
	{ "skip", TABLES, false, skip_keys },
	{},
};

static const char *const predicate_words[] = { "min", "max", "contains", "matches", "not", "exists", NULL };
static const char *const arch_words[] = { "amd64", "arm64", NULL };

static bool in_words(const char *const *words, const char *word)
{
	while (*words && strcmp(*words, word))
		words++;
	return *words;
}

static int fail_key(const char *where, const char *key, const char *wanted, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s'%s' takes %s", where, key, wanted);
}

/* What makes the C library's regcomp(3) take gigabytes or overflow its stack: repetitions of repetitions, and depth. */
static bool is_modest(const char *pattern)
{
	for (const char *p = pattern; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '{')
			return false;
	}
	return strlen(pattern) <= PATTERN_LIMIT;
}

static int check_pattern(const char *where, const char *key, json_t *pattern, struct ab_error *err)
{
	regex_t re;

	if (!json_is_string(pattern) || !is_modest(json_string_value(pattern)) ||
	    regcomp(&re, json_string_value(pattern), REG_EXTENDED | REG_NOSUB))
		return fail_key(where, key,
				"{ matches = REGEX }: an extended regular expression, at most 500 characters without {n}", err);
	regfree(&re);
	return 0;
}

static int check_predicate(const char *where, const char *key, json_t *value, struct ab_error *err)
{
	const char *word;
	json_t *operand;

	if (json_is_array(value))
		return fail_key(where, key, "one value or a predicate such as { min = 1 }", err);
	if (!json_is_object(value))
		return 0;
	json_object_foreach(value, word, operand) {
		bool number = !strcmp(word, "min") || !strcmp(word, "max");

		if (!in_words(predicate_words, word))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
				       "%s'%s': no predicate '%s'; there are min, max, contains, matches, "
				       "not and exists",
				       where, key, word);
		if (number && !json_is_number(operand))
			return fail_key(where, key, "numbers for min and max", err);
		if (!strcmp(word, "exists") && !json_is_boolean(operand))
			return fail_key(where, key, "true or false for exists", err);
		if (!strcmp(word, "matches") && check_pattern(where, key, operand, err) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int check_count(const char *where, const char *key, json_t *value, struct ab_error *err)
{
	static const char wanted[] = "a number or { min = N, max = N }, not negative, max no less than min";
	json_t *min = json_object_get(value, "min"), *max = json_object_get(value, "max"), *n;
	const char *word;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		return 0;
	if (!json_is_object(value))
		return fail_key(where, key, wanted, err);
	json_object_foreach(value, word, n)
		if ((n != min && n != max) || !json_is_integer(n) || json_integer_value(n) < 0)
			return fail_key(where, key, wanted, err);
	if (min && max && json_integer_value(min) > json_integer_value(max))
		return fail_key(where, key, wanted, err);
	return 0;
}

static int check_table(json_t *table, const struct key *keys, const char *where, struct ab_error *err);

static int check_tables(json_t *value, const struct key *key, struct ab_error *err)
{
	size_t i;
	json_t *table;

	if (!json_is_array(value))
		return fail_key("", key->name, "tables: [[...]] with two brackets", err);
	json_array_foreach(value, i, table) {
		char where[64];
		int r;

		snprintf(where, sizeof(where), "%s %zu: ", key->name, i + 1);
		if (!json_is_object(table))
			return fail_key("", key->name, "tables", err);
		r = check_table(table, key->keys, where, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_value(json_t *value, const struct key *key, const char *where, struct ab_error *err)
{
	const char *name;
	json_t *item;
	size_t i;
	int r = 0;

	switch (key->shape) {
	case TEXT:
		return json_is_string(value) ? 0 : fail_key(where, key->name, "text", err);
	case REASON:
		return json_is_string(value) && *json_string_value(value) ? 0 :
		       fail_key(where, key->name, "a text that says why", err);
	case ARCH:
		return json_is_string(value) && in_words(arch_words, json_string_value(value)) ? 0 :
		       fail_key(where, key->name, "\"amd64\" or \"arm64\"", err);
	case SECONDS:
		return json_is_integer(value) && json_integer_value(value) > 0 && json_integer_value(value) <= 3600 ? 0 :
		       fail_key(where, key->name, "a number from 1 to 3600", err);
	case NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= 3600000 ? 0 :
		       fail_key(where, key->name, "a number from 0 to 3600000", err);
	case TEXTS:
		if (!json_is_array(value))
			return fail_key(where, key->name, "an array of texts", err);
		json_array_foreach(value, i, item)
			if (!json_is_string(item))
				return fail_key(where, key->name, "an array of texts", err);
		return 0;
	case RANGE:
	case VERSION:
		if (!json_is_string(value) || !ab_range_valid(json_string_value(value)) ||
		    (key->shape == VERSION && strspn(json_string_value(value), "<>=!, ")))
			return fail_key(where, key->name, key->shape == RANGE ? "a range of kernels such as \">= 5.5, < 6.1\"" :
					"a version such as \"5.8\"", err);
		return 0;
	case COUNT:
		return check_count(where, key->name, value, err);
	case WHERE:
		if (!json_is_object(value))
			return fail_key(where, key->name, "a table such as { comm = \"ls\" }", err);
		json_object_foreach(value, name, item)
			if ((r = check_predicate(where, name, item, err)) < 0)
				return r;
		return 0;
	case PREDICATE:
		return check_predicate(where, key->name, value, err);
	case TABLES:
		return check_tables(value, key, err);
	}
	return 0;
}

static int check_table(json_t *table, const struct key *keys, const char *where, struct ab_error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(table, name, value) {
		const struct key *key = keys;
		int r;

		while (key->name && strcmp(key->name, name))
			key++;
		if (!key->name) {
			_text_ struct text t = {};

			for (key = keys; key->name; key++)
				text_printf(&t, "%s%s", t.n ? ", " : "", key->name);
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%sno key '%s'; there are %s", where, name, t.p ? t.p : "");
		}
		r = check_value(value, key, where, err);
		if (r < 0)
			return r;
	}
	for (const struct key *key = keys; key->name; key++)
		if (key->required && !json_object_get(table, key->name))
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s'%s' is missing", where, key->name);
	return 0;
}

/* ---- the file ---- */

int ab_expect_open(const char *path, struct expect *ret, struct ab_error *err)
{
	_free_ char *text = NULL, *json = NULL;
	char error[256] = "";
	json_error_t where;
	json_t *root;
	size_t size;
	int r;

	if (access(path, F_OK) < 0) {
		*ret = (struct expect){ .root = json_object(), .text = strdup("") };
		return ret->root && ret->text ? 0 : ab_fail_memory(err);
	}
	r = file_read(path, FILE_LIMIT, &text, &size, err);
	if (r < 0)
		return r;
	json = ab_toml_to_json(text, size, error, sizeof(error));
	if (!json)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, *error ? "'%s': line %s" : "'%s' is no TOML", path, error);
	root = json_loads(json, 0, &where);
	if (!root)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s': %s", path, where.text);
	r = check_table(root, root_keys, "", err);
	if (r < 0) {
		ab_error_prefix(err, "'%s'", path);
		json_decref(root);
		return r;
	}
	*ret = (struct expect){ .root = root, .text = TAKE(text) };
	return 0;
}

void ab_expect_close(struct expect *expect)
{
	json_decref(expect->root);
	free(expect->text);
	*expect = (struct expect){};
}

const char **ab_expect_strings(const struct expect *expect, const char *key, size_t *ret_count)
{
	json_t *array = json_object_get(expect->root, key), *item;
	const char **strings = array_new(json_array_size(array) + 1, sizeof(*strings));
	size_t i;

	if (!strings)
		return NULL;
	json_array_foreach(array, i, item)
		strings[i] = json_string_value(item);
	if (ret_count)
		*ret_count = json_array_size(array);
	return strings;
}

unsigned ab_expect_number(const struct expect *expect, const char *key, unsigned fallback)
{
	json_t *value = json_object_get(expect->root, key);

	return value ? (unsigned)json_integer_value(value) : fallback;
}
