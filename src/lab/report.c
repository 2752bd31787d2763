/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The report of a test run: its data, as JSON and as JUnit XML. report_html.c makes the page. */
#include "report.h"

const char *const ab_verdict_words[] = { "pass", "fail", "skip" };

/* Kernels of the user's may be called alike: "bzImage", "bzImage#2". */
static char *name_image(const struct ab_report *report, const char *name, size_t index)
{
	struct text t = {};
	size_t same = 1;

	for (size_t i = 0; i < index; i++) {
		const char *other = report->images[i].name;
		size_t n = strlen(name);

		same += other && !strncmp(other, name, n) && (!other[n] || other[n] == '#');
	}
	text_puts(&t, name);
	if (same > 1)
		text_printf(&t, "#%zu", same);
	return text_take(&t);
}

int ab_report_new(struct test *t, struct ab_report **ret_report, struct ab_error *err)
{
	struct ab_report *report = calloc(1, sizeof(*report));

	if (!report)
		return ab_fail_memory(err);
	report->object_count = t->object_count;
	report->image_count = t->opts->image_count;
	report->cells = array_new(report->object_count * report->image_count, sizeof(*report->cells));
	report->objects = array_new(report->object_count, sizeof(*report->objects));
	report->images = array_new(report->image_count, sizeof(*report->images));
	report->lab = t->lab;
	for (size_t i = 0; report->objects && i < report->object_count; i++) {
		report->objects[i].file = strdup(t->objects[i].file);
		report->objects[i].name = strdup(t->objects[i].name);
		if (!report->objects[i].file || !report->objects[i].name)
			report->failed = true;
	}
	for (size_t i = 0; report->images && i < report->image_count; i++)
		if (!(report->images[i].name = name_image(report, t->opts->images[i]->name, i)))
			report->failed = true;
	if (!report->cells || !report->objects || !report->images || report->failed) {
		ab_report_free(report);
		return ab_fail_memory(err);
	}
	t->cells = report->cells;
	t->report = report;
	*ret_report = report;
	return 0;
}

void ab_report_free(struct ab_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; report->cells && i < report->object_count * report->image_count; i++) {
		json_decref(report->cells[i].doc);
		free(report->cells[i].programs);
	}
	for (size_t i = 0; report->objects && i < report->object_count; i++) {
		free(report->objects[i].file);
		free(report->objects[i].name);
	}
	for (size_t i = 0; report->images && i < report->image_count; i++)
		free(report->images[i].name);
	free(report->cells);
	free(report->objects);
	free(report->images);
	free(report);
}

static const char *text_of(json_t *doc, const char *key)
{
	const char *text = json_string_value(json_object_get(doc, key));

	return text ? text : "";
}

static void fill_programs(struct test_cell *cell)
{
	json_t *programs = json_object_get(cell->doc, "programs"), *program;
	size_t i;

	cell->programs = array_new(json_array_size(programs), sizeof(*cell->programs));
	if (!cell->programs)
		return;
	json_array_foreach(programs, i, program)
		cell->programs[i] = (struct ab_test_program){ text_of(program, "name"), text_of(program, "section"),
							      text_of(program, "state"), text_of(program, "reason") };
	cell->result.programs = cell->programs;
	cell->result.program_count = json_array_size(programs);
}

static enum ab_verdict verdict_of(json_t *doc)
{
	const char *word = text_of(doc, "verdict");

	return !strcmp(word, "pass") ? AB_VERDICT_PASS : !strcmp(word, "skip") ? AB_VERDICT_SKIP : AB_VERDICT_FAIL;
}

void ab_report_fill(struct test *t, size_t image, size_t object)
{
	struct test_cell *cell = &t->cells[image * t->object_count + object];
	struct ab_report *report = t->report;

	cell->result = (struct ab_test_result){
		.file = report->objects[object].file, .name = report->objects[object].name, .kernel = report->images[image].name,
		.verdict = verdict_of(cell->doc), .from_cache = cell->from_cache,
		.reason = cell->doc ? text_of(cell->doc, "reason") : "memory ran out", .detail = text_of(cell->doc, "detail"),
		.events = json_integer_value(json_object_get(cell->doc, "events")),
		.lost = json_integer_value(json_object_get(cell->doc, "lost")),
		.duration_ns = json_integer_value(json_object_get(cell->doc, "duration_ns")),
	};
	fill_programs(cell);
}

size_t ab_report_guest(struct test *t, size_t image, const struct ab_guest_result *result)
{
	struct report_image *i = &t->report->images[image];
	size_t guests;

	pthread_mutex_lock(&t->lock);
	guests = ++i->guests;
	i->boot_ns = result->boot_ns;
	i->ready_ns = result->ready_ns;
	i->total_ns += result->total_ns;
	snprintf(i->release, sizeof(i->release), "%s", result->release);
	pthread_mutex_unlock(&t->lock);
	return guests;
}

const char *ab_report_image_name(const struct ab_report *report, size_t image)
{
	return report->images[image].name;
}

size_t ab_report_count(const struct ab_report *report)
{
	return report->object_count * report->image_count;
}

const struct ab_test_result *ab_report_get(const struct ab_report *report, size_t index)
{
	return &report->cells[index].result;
}

size_t ab_report_verdicts(const struct ab_report *report, enum ab_verdict verdict)
{
	size_t n = 0;

	for (size_t i = 0; i < ab_report_count(report); i++)
		n += report->cells[i].result.verdict == verdict;
	return n;
}

int ab_report_print(FILE *out, const struct text *t, struct ab_error *err)
{
	if (t->failed)
		return ab_fail_memory(err);
	if (fwrite(t->p, 1, t->n, out) != t->n || fflush(out) == EOF)
		return ab_fail_errno(err, -errno, "the report cannot be written");
	return 0;
}

/* ---- JSON ---- */

static void add_result(struct json *j, const struct ab_test_result *result)
{
	json_open(j, '{');
	json_member_str(j, "file", result->file);
	json_member_str(j, "name", result->name);
	json_member_str(j, "kernel", result->kernel);
	json_member_str(j, "verdict", ab_verdict_words[result->verdict]);
	json_member_bool(j, "cached", result->from_cache);
	json_member_str(j, "reason", result->reason);
	json_member_str(j, "detail", result->detail);
	json_member_uint(j, "events", result->events);
	json_member_uint(j, "lost", result->lost);
	json_member_uint(j, "duration_ns", result->duration_ns);
	json_key(j, "programs");
	json_open(j, '[');
	for (size_t i = 0; i < result->program_count; i++) {
		json_open(j, '{');
		json_member_str(j, "name", result->programs[i].name);
		json_member_str(j, "section", result->programs[i].section);
		json_member_str(j, "state", result->programs[i].state);
		json_member_str(j, "reason", result->programs[i].reason);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

int ab_report_write_json(const struct ab_report *report, FILE *out, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	json_open(&j, '{');
	for (size_t v = 0; v < ARRAY_SIZE(ab_verdict_words); v++)
		json_member_uint(&j, ab_verdict_words[v], ab_report_verdicts(report, v));
	json_member_str(&j, "accelerator", ab_lab_accelerator(report->lab));
	json_key(&j, "kernels");
	json_open(&j, '[');
	for (size_t i = 0; i < report->image_count; i++) {
		const struct report_image *image = &report->images[i];

		json_open(&j, '{');
		json_member_str(&j, "kernel", image->name);
		json_member_str(&j, "release", image->release);
		json_member_uint(&j, "guests", image->guests);
		json_member_uint(&j, "boot_ns", image->boot_ns);
		json_member_uint(&j, "ready_ns", image->ready_ns);
		json_member_uint(&j, "total_ns", image->total_ns);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_key(&j, "tests");
	json_open(&j, '[');
	for (size_t i = 0; i < ab_report_count(report); i++)
		add_result(&j, ab_report_get(report, i));
	json_close(&j, ']');
	json_close(&j, '}');
	text_putc(&t, '\n');
	return ab_report_print(out, &t, err);
}

/* ---- XML and HTML text ---- */

/* What XML 1.0 cannot hold, bytes that are not UTF-8 among it, becomes '?'. */
void ab_xml_add(struct text *t, const char *s)
{
	while (*s) {
		size_t utf8 = utf8_length((const unsigned char *)s, strnlen(s, 4));
		unsigned char c = *s;

		if (utf8 && memcmp(s, "\xef\xbf\xbe", utf8) && memcmp(s, "\xef\xbf\xbf", utf8)) {
			text_add(t, s, utf8);
			s += utf8;
			continue;
		}
		if (c == '<')
			text_puts(t, "&lt;");
		else if (c == '>')
			text_puts(t, "&gt;");
		else if (c == '&')
			text_puts(t, "&amp;");
		else if (c == '"')
			text_puts(t, "&quot;");
		else if (c >= 0x80 || (c < ' ' && c != '\n' && c != '\t'))
			text_putc(t, '?');
		else
			text_putc(t, c);
		s++;
	}
}

/* ---- JUnit ---- */

static void add_suite(struct text *t, const struct ab_report *report, size_t image)
{
	const struct test_cell *cells = report->cells + image * report->object_count;
	size_t failures = 0, skipped = 0;

	for (size_t i = 0; i < report->object_count; i++) {
		failures += cells[i].result.verdict == AB_VERDICT_FAIL;
		skipped += cells[i].result.verdict == AB_VERDICT_SKIP;
	}
	text_puts(t, "  <testsuite name=\"");
	ab_xml_add(t, report->images[image].name);
	text_printf(t, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" time=\"%.3f\">\n",
		    report->object_count, failures, skipped, report->images[image].total_ns / 1e9);
	for (size_t i = 0; i < report->object_count; i++) {
		const struct ab_test_result *result = &cells[i].result;

		text_puts(t, "    <testcase classname=\"");
		ab_xml_add(t, result->kernel);
		text_puts(t, "\" name=\"");
		ab_xml_add(t, result->name);
		text_printf(t, "\" time=\"%.3f\"", result->duration_ns / 1e9);
		if (result->verdict == AB_VERDICT_PASS) {
			text_puts(t, "/>\n");
			continue;
		}
		text_puts(t, result->verdict == AB_VERDICT_FAIL ? ">\n      <failure message=\"" : ">\n      <skipped message=\"");
		ab_xml_add(t, result->reason);
		text_puts(t, "\">");
		ab_xml_add(t, result->detail);
		text_puts(t, result->verdict == AB_VERDICT_FAIL ? "</failure>\n    </testcase>\n"
								: "</skipped>\n    </testcase>\n");
	}
	text_puts(t, "  </testsuite>\n");
}

int ab_report_write_junit(const struct ab_report *report, FILE *out, struct ab_error *err)
{
	_text_ struct text t = {};

	text_printf(&t,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" failures=\"%zu\" "
		    "skipped=\"%zu\">\n",
		    ab_report_count(report), ab_report_verdicts(report, AB_VERDICT_FAIL),
		    ab_report_verdicts(report, AB_VERDICT_SKIP));
	for (size_t i = 0; i < report->image_count; i++)
		add_suite(&t, report, i);
	text_puts(&t, "</testsuites>\n");
	return ab_report_print(out, &t, err);
}
