/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Judging a run by an expectation file: what `anybpf run --json` printed in the guest, line by line. */
#include <regex.h>
#include "expect.h"

#define DETAIL_LIMIT 8000
#define SHOWN_EVENTS 10
#define INTERRUPTED 130 /* exit status of `anybpf run`, stopped before everything was attached */

struct judge {
	const struct expect *expect;
	const struct run_output *run;
	json_t *doc, *lines;
	struct text failures; /* one a line */
	json_t *programs;     /* of the summary, or NULL */
	json_t *error;        /* of an error line, or NULL */
	const char *degraded; /* the first warning */
	bool attached;
};

PRINTF_LIKE(2, 3) static void complain(struct judge *j, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	text_printf(&j->failures, "%s\n", line);
}

/* ---- predicates ---- */

static bool same_text(json_t *value, const char *wanted)
{
	return json_is_string(value) && !strcmp(json_string_value(value), wanted);
}

static bool equal(json_t *value, json_t *wanted)
{
	if (json_is_integer(value) && json_is_integer(wanted))
		return json_integer_value(value) == json_integer_value(wanted);
	if (json_is_number(value) && json_is_number(wanted))
		return json_number_value(value) == json_number_value(wanted);
	/* errno and enums that are shown as an object have a name in it. */
	if (json_is_object(value) && json_is_string(wanted))
		return same_text(json_object_get(value, "errno"), json_string_value(wanted));
	if (json_is_object(value) && json_is_integer(wanted))
		return equal(json_object_get(value, "value"), wanted);
	return json_equal(value, wanted);
}

static bool matches(json_t *value, const char *pattern)
{
	regex_t re;
	bool found;

	if (!json_is_string(value) || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return false;
	found = !regexec(&re, json_string_value(value), 0, NULL, 0);
	regfree(&re);
	return found;
}

static bool contains(json_t *value, json_t *wanted)
{
	json_t *item;
	size_t i;

	if (json_is_string(value) && json_is_string(wanted))
		return strstr(json_string_value(value), json_string_value(wanted));
	json_array_foreach(value, i, item)
		if (equal(item, wanted))
			return true;
	return false;
}

static double number_of(json_t *value)
{
	return json_is_object(value) ? json_number_value(json_object_get(value, "value")) : json_number_value(value);
}

static bool holds(json_t *value, json_t *predicate)
{
	const char *word;
	json_t *operand;

	if (!json_is_object(predicate))
		return value && equal(value, predicate);
	json_object_foreach(predicate, word, operand) {
		bool ok;

		if (!strcmp(word, "exists"))
			ok = json_is_true(operand) == (value != NULL);
		else if (!strcmp(word, "not"))
			ok = value && !equal(value, operand);
		else if (!strcmp(word, "min"))
			ok = value && !json_is_string(value) && number_of(value) >= json_number_value(operand);
		else if (!strcmp(word, "max"))
			ok = value && !json_is_string(value) && number_of(value) <= json_number_value(operand);
		else if (!strcmp(word, "contains"))
			ok = value && contains(value, operand);
		else
			ok = value && matches(value, json_string_value(operand));
		if (!ok)
			return false;
	}
	return true;
}

/* "remote.port" goes into objects, "stack.0" into arrays. A name with a dot in it is tried whole first. */
static json_t *follow_path(json_t *value, const char *path)
{
	while (value && *path) {
		size_t n = strcspn(path, ".");
		_free_ char *part = strndup(path, n);
		json_t *whole = json_is_object(value) ? json_object_get(value, path) : NULL;

		if (whole || !part)
			return whole;
		value = json_is_array(value) ? json_array_get(value, strtoul(part, NULL, 10)) : json_object_get(value, part);
		path += n + (path[n] == '.');
	}
	return value;
}

static bool all_hold(json_t *value, json_t *where)
{
	const char *path;
	json_t *predicate;

	json_object_foreach(where, path, predicate)
		if (!holds(follow_path(value, path), predicate))
			return false;
	return true;
}

static bool in_count(size_t n, json_t *count)
{
	json_t *min = json_object_get(count, "min"), *max = json_object_get(count, "max");

	if (json_is_integer(count))
		return n == (size_t)json_integer_value(count);
	return n >= (size_t)(min ? json_integer_value(min) : max ? 0 : 1) && (!max || n <= (size_t)json_integer_value(max));
}

static void describe(json_t *value, char *buf, size_t cap)
{
	_free_ char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	snprintf(buf, cap, "%.*s", (int)cap - 1, text ? text : "anything");
}

/* ---- lines ---- */

static bool is_type(json_t *line, const char *type)
{
	return same_text(json_object_get(line, "type"), type);
}

static int read_lines(struct judge *j, struct ab_error *err)
{
	j->lines = json_array();
	if (!j->lines)
		return ab_fail_memory(err);
	for (const char *p = j->run->out, *end = p + j->run->out_size; p < end;) {
		const char *stop = memchr(p, '\n', end - p);
		size_t n = (stop ? stop : end) - p;
		json_t *line = json_loadb(p, n, JSON_ALLOW_NUL, NULL);

		/* Integers beyond 63 bits become reals: nothing compares them exactly. */
		if (!line)
			line = json_loadb(p, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
		if (line && json_array_append_new(j->lines, line) < 0)
			return ab_fail_memory(err);
		p += n + 1;
	}
	return 0;
}

static void sort_lines(struct judge *j)
{
	json_t *line;
	size_t i;

	json_array_foreach(j->lines, i, line) {
		if ((is_type(line, "summary") || is_type(line, "failed")) && json_is_array(json_object_get(line, "programs")))
			j->programs = json_object_get(line, "programs");
		else if (json_is_string(json_object_get(json_object_get(line, "error"), "message")))
			j->error = json_object_get(line, "error");
		else if (is_type(line, "warning") && !j->degraded)
			j->degraded = json_string_value(json_object_get(line, "message"));
		j->attached |= is_type(line, "attached");
	}
}

/* ---- expectations ---- */

static size_t count_events(const struct judge *j, json_t *wanted)
{
	const char *channel = json_string_value(json_object_get(wanted, "channel"));
	size_t i, n = 0;
	json_t *line;

	json_array_foreach(j->lines, i, line)
		if (is_type(line, "event") && (!channel || same_text(json_object_get(line, "channel"), channel)) &&
		    all_hold(json_object_get(line, "data"), json_object_get(wanted, "where")))
			n++;
	return n;
}

static size_t count_entries(const struct judge *j, json_t *wanted)
{
	const char *name = json_string_value(json_object_get(wanted, "name"));
	json_t *where = json_object_get(wanted, "where"), *line, *entry;
	size_t i, k, n = 0;

	json_array_foreach(j->lines, i, line) {
		if (!same_text(json_object_get(line, "map"), name))
			continue;
		if (is_type(line, "map"))
			json_array_foreach(json_object_get(line, "entries"), k, entry)
				n += all_hold(entry, where);
		else
			n += all_hold(line, where);
	}
	return n;
}

/* Of what iterators printed. */
static size_t count_lines(const struct judge *j, json_t *wanted)
{
	json_t *name = json_object_get(wanted, "program"), *predicate = json_object_get(wanted, "text"), *line;
	size_t i, n = 0;

	json_array_foreach(j->lines, i, line) {
		const char *text = json_string_value(json_object_get(line, "text"));

		if (!is_type(line, "iter") || (name && !json_equal(name, json_object_get(line, "program"))))
			continue;
		while (text && *text) {
			size_t size = strcspn(text, "\n");
			json_t *one = json_stringn(text, size);

			n += holds(one, predicate);
			json_decref(one);
			text += size + (text[size] == '\n');
		}
	}
	return n;
}

/* The kinds of expectations: whose table, what names the source, what the predicates are on. */
static const struct wanted_kind {
	const char *table, *source, *where, *noun;
	size_t (*count)(const struct judge *j, json_t *wanted);
} wanted_kinds[] = {
	{ "event", "channel", "where", "events", count_events },
	{ "map", "name", "where", "entries", count_entries },
	{ "line", "program", "text", "lines", count_lines },
};

static void check_wanted(struct judge *j, const struct wanted_kind *kind)
{
	json_t *wanted;
	size_t i;

	json_array_foreach(json_object_get(j->expect->root, kind->table), i, wanted) {
		size_t n = kind->count(j, wanted);
		const char *name = json_string_value(json_object_get(wanted, kind->source));
		char where[300];

		if (in_count(n, json_object_get(wanted, "count")))
			continue;
		describe(json_object_get(wanted, kind->where), where, sizeof(where));
		complain(j, "%zu %s%s%s%s where %s", n, kind->noun, name ? " of '" : "", name ? name : "", name ? "'" : "", where);
	}
}

/* Whether a [[missing]] or [[skip]] is about this guest. */
static bool is_about(const struct judge *j, json_t *table)
{
	const char *range = json_string_value(json_object_get(table, "kernels"));
	const char *arch = json_string_value(json_object_get(table, "arch"));

	return (!range || ab_range_has(range, j->run->release)) && (!arch || !strcmp(arch, j->run->arch));
}

static bool may_be_missing(const struct judge *j, const char *program)
{
	json_t *missing;
	size_t i;

	json_array_foreach(json_object_get(j->expect->root, "missing"), i, missing)
		if (same_text(json_object_get(missing, "program"), program) && is_about(j, missing))
			return true;
	return false;
}

static void check_programs(struct judge *j)
{
	json_t *program;
	size_t i;

	json_array_foreach(j->programs, i, program) {
		const char *name = json_string_value(json_object_get(program, "name"));
		const char *state = json_string_value(json_object_get(program, "state"));
		const char *reason = json_string_value(json_object_get(program, "reason"));

		if (!name || !state || !strcmp(state, "attached") || !strcmp(state, "loaded"))
			continue;
		if (!may_be_missing(j, name))
			complain(j, "program '%s' is %s: %s", name, state, reason && *reason ? reason : "no reason given");
		else if (!j->degraded)
			j->degraded = reason;
	}
}

/* The reason of the skip that covers this kernel, or NULL. */
static const char *find_skip(const struct judge *j, char *buf, size_t cap)
{
	const char *minimum = json_string_value(json_object_get(j->expect->root, "minimum_kernel"));
	json_t *skip;
	size_t i;

	json_array_foreach(json_object_get(j->expect->root, "skip"), i, skip)
		if (is_about(j, skip))
			return json_string_value(json_object_get(skip, "reason"));
	if (!minimum)
		return NULL;
	snprintf(buf, cap, "< %s", minimum);
	if (!ab_range_has(buf, j->run->release))
		return NULL;
	snprintf(buf, cap, "needs Linux %s", minimum);
	return buf;
}

static void check_run(struct judge *j)
{
	const struct run_output *run = j->run;

	if (j->error)
		complain(j, "%s", json_string_value(json_object_get(j->error, "message")));
	else if (!j->attached && (!run->ended || run->status == INTERRUPTED))
		complain(j, "it was not attached in %u s ('timeout_s' gives it more)", run->timeout_s);
	else if (!run->ended)
		complain(j, "anybpf run did not end when it was interrupted");
	else if (run->status)
		complain(j, "anybpf run ended with status %d: %.*s", run->status, (int)strcspn(run->err, "\n"), run->err);
	else if (!j->programs)
		complain(j, "anybpf run ended without a summary");
	if (j->failures.n)
		return;
	check_programs(j);
	for (size_t i = 0; i < ARRAY_SIZE(wanted_kinds); i++)
		check_wanted(j, &wanted_kinds[i]);
}

/* ---- the document ---- */

static void add_seen(const struct judge *j, struct text *t)
{
	json_t *line;
	size_t i, shown = 0;

	json_array_foreach(j->lines, i, line) {
		_free_ char *text = NULL;

		if (is_type(line, "summary") || is_type(line, "failed") || is_type(line, "attached") ||
		    (is_type(line, "event") && shown++ >= SHOWN_EVENTS))
			continue;
		text = json_dumps(line, JSON_COMPACT);
		if (text && t->n < DETAIL_LIMIT)
			text_printf(t, "%.2000s\n", text);
	}
	if (*j->run->err)
		text_printf(t, "%.4000s", j->run->err);
}

json_t *ab_expect_text(const char *text)
{
	json_t *value = json_string(text);
	_free_ char *plain = value ? NULL : strdup(text);

	for (char *c = plain; c && *c; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	return value ? value : json_string(plain ? plain : "");
}

static void set_text(json_t *doc, const char *key, const char *text)
{
	json_object_set_new(doc, key, ab_expect_text(text));
}

static void fill_counts(struct judge *j)
{
	json_t *line, *summary = NULL;
	size_t i;

	json_array_foreach(j->lines, i, line)
		if (is_type(line, "summary"))
			summary = line;
	json_object_set_new(j->doc, "programs", j->programs ? json_incref(j->programs) : json_array());
	for (i = 0; i < 3; i++) {
		const char *key = (const char *[]){ "events", "lost", "duration_ns" }[i];
		json_t *value = json_object_get(summary, key);

		json_object_set_new(j->doc, key, json_integer(json_integer_value(value)));
	}
}

static void fill_verdict(struct judge *j)
{
	_text_ struct text detail = {};
	char buf[64];
	const char *skip = find_skip(j, buf, sizeof(buf));
	bool failed = j->failures.n;

	if (failed) {
		text_puts(&detail, j->failures.p);
		add_seen(j, &detail);
		j->failures.p[strcspn(j->failures.p, "\n")] = '\0';
	}
	set_text(j->doc, "verdict", skip ? (failed ? "skip" : "fail") : failed ? "fail" : "pass");
	if (skip && !failed) {
		char reason[512];

		snprintf(reason, sizeof(reason), "it works here, but the expectation file skips this kernel: %s", skip);
		set_text(j->doc, "reason", reason);
	} else {
		set_text(j->doc, "reason", skip ? skip : failed ? j->failures.p : j->degraded ? j->degraded : "");
	}
	set_text(j->doc, "detail", detail.p ? detail.p : "");
}

int ab_expect_judge(const struct expect *expect, const struct run_output *run, json_t **ret_doc, struct ab_error *err)
{
	struct judge j = { .expect = expect, .run = run, .doc = json_object() };
	int r = j.doc ? read_lines(&j, err) : ab_fail_memory(err);

	if (r == 0) {
		sort_lines(&j);
		check_run(&j);
		fill_counts(&j);
		fill_verdict(&j);
		if (j.failures.failed)
			r = ab_fail_memory(err);
	}
	json_decref(j.lines);
	text_clear(&j.failures);
	if (r < 0)
		json_decref(j.doc);
	else
		*ret_doc = j.doc;
	return r;
}
