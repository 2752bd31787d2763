/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The report as one page that needs nothing else: tools by kernels, and for each cell what there is to say. */
#include "report.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>anybpf test</title>\n<style>\n"
	":root{color-scheme:light dark;--line:#8884;--pass:#2e8540;--fail:#c5221f;--skip:#8a6d00}\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:90rem}\n"
	"h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\n"
	".wide{overflow-x:auto}\n"
	"table{border-collapse:collapse}th,td{border:1px solid var(--line);padding:.3rem "
	".6rem;text-align:left;vertical-align:top}\n"
	"thead th{position:sticky;top:0;background:Canvas}\n"
	"td a{text-decoration:none;font-weight:600}\n"
	".pass,.pass a{color:var(--pass)}.fail,.fail a{color:var(--fail)}.skip,.skip a{color:var(--skip)}\n"
	"@media(prefers-color-scheme:dark){:root{--pass:#6fcf84;--fail:#ff8a80;--skip:#e0c060}}\n"
	"pre{overflow-x:auto;border:1px solid var(--line);padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
	"small{opacity:.75}\nsection:target{outline:2px solid;outline-offset:.4rem}\n"
	"</style></head><body>\n";

static void add_cell(struct text *t, const struct test_cell *cell, size_t index)
{
	const struct ab_test_result *r = &cell->result;
	static const char *const marks[] = { "\xe2\x9c\x94 pass", "\xe2\x9c\x98 fail", "\xe2\x80\x93 skip" };

	text_printf(t, "<td class=\"%s\"><a href=\"#t%zu\" title=\"", ab_verdict_words[r->verdict], index);
	ab_xml_add(t, r->reason);
	text_printf(t, "\">%s</a>", marks[r->verdict]);
	if (r->verdict == AB_VERDICT_PASS && r->events)
		text_printf(t, " <small>%llu event%s</small>", (unsigned long long)r->events, r->events == 1 ? "" : "s");
	if (r->verdict == AB_VERDICT_PASS && *r->reason)
		text_puts(t, " <small>degraded</small>");
	text_puts(t, "</td>");
}

static void add_matrix(struct text *t, const struct ab_report *report)
{
	text_puts(t, "<div class=\"wide\"><table><thead><tr><th>tool</th>");
	for (size_t i = 0; i < report->image_count; i++) {
		text_puts(t, "<th>");
		ab_xml_add(t, report->images[i].name);
		text_printf(t, "<br><small>%.1f s, boot %.1f s</small></th>", report->images[i].total_ns / 1e9,
			    report->images[i].ready_ns / 1e9);
	}
	text_puts(t, "</tr></thead><tbody>\n");
	for (size_t o = 0; o < report->object_count; o++) {
		text_puts(t, "<tr><th>");
		ab_xml_add(t, report->objects[o].name);
		text_puts(t, "</th>");
		for (size_t i = 0; i < report->image_count; i++)
			add_cell(t, &report->cells[i * report->object_count + o], i * report->object_count + o);
		text_puts(t, "</tr>\n");
	}
	text_puts(t, "</tbody></table></div>\n");
}

static void add_section(struct text *t, const struct ab_test_result *r, size_t index)
{
	text_printf(t, "<section id=\"t%zu\"><h2>", index);
	ab_xml_add(t, r->name);
	text_puts(t, " on ");
	ab_xml_add(t, r->kernel);
	text_printf(t, ": <span class=\"%s\">%s</span></h2>\n", ab_verdict_words[r->verdict], ab_verdict_words[r->verdict]);
	if (*r->reason) {
		text_puts(t, "<p>");
		ab_xml_add(t, r->reason);
		text_puts(t, "</p>\n");
	}
	if (r->program_count)
		text_puts(t, "<table><thead><tr><th>program</th><th>section</th><th>state</th><th>reason</th></tr></"
			     "thead><tbody>\n");
	for (size_t i = 0; i < r->program_count; i++) {
		const struct ab_test_program *p = &r->programs[i];
		const char *const cells[] = { p->name, p->section, p->state, p->reason };

		text_puts(t, "<tr>");
		for (size_t c = 0; c < ARRAY_SIZE(cells); c++) {
			text_puts(t, "<td>");
			ab_xml_add(t, cells[c]);
			text_puts(t, "</td>");
		}
		text_puts(t, "</tr>\n");
	}
	if (r->program_count)
		text_puts(t, "</tbody></table>\n");
	text_printf(t, "<p><small>%llu events, %llu lost%s</small></p>\n", (unsigned long long)r->events,
		    (unsigned long long)r->lost, r->from_cache ? "; verdict of an earlier run" : "");
	if (*r->detail) {
		text_puts(t, "<pre>");
		ab_xml_add(t, r->detail);
		text_puts(t, "</pre>\n");
	}
	text_puts(t, "</section>\n");
}

int ab_report_write_html(const struct ab_report *report, FILE *out, struct ab_error *err)
{
	_text_ struct text t = {};

	text_puts(&t, head);
	text_printf(&t, "<h1>anybpf test</h1>\n<p>%zu passed, %zu failed, %zu skipped</p>\n",
		    ab_report_verdicts(report, AB_VERDICT_PASS), ab_report_verdicts(report, AB_VERDICT_FAIL),
		    ab_report_verdicts(report, AB_VERDICT_SKIP));
	add_matrix(&t, report);
	for (size_t i = 0; i < ab_report_count(report); i++)
		add_section(&t, ab_report_get(report, i), i);
	text_puts(&t, "</body></html>\n");
	return ab_report_print(out, &t, err);
}
