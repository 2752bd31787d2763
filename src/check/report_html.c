/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A report as one page that needs nothing else: kernels by objects, and below what fails where. */
#include "report.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>anybpf check</title>\n<style>\n"
	":root{color-scheme:light dark;--line:#8884;--native:#2e8540;--fails:#c5221f;--driver:#8a6d00}\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:90rem}\n"
	"h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}h3{font-size:1rem;margin-bottom:.3rem}\n"
	".wide{overflow-x:auto}\n"
	"table{border-collapse:collapse}th,td{border:1px solid var(--line);padding:.2rem "
	".6rem;text-align:left;vertical-align:top}\n"
	"thead th{position:sticky;top:0;background:Canvas}tbody th{font-weight:normal;white-space:nowrap}\n"
	"td a{text-decoration:none;font-weight:600}\n"
	".native,.native a{color:var(--native)}.fails,.fails a{color:var(--fails)}.driver,.driver "
	"a{color:var(--driver)}\n"
	"@media(prefers-color-scheme:dark){:root{--native:#6fcf84;--fails:#ff8a80;--driver:#e0c060}}\n"
	"code{overflow-wrap:anywhere}small{opacity:.75}li{margin:.4rem 0}\n"
	"</style></head><body>\n";

static const char *const classes[] = { "", "native", "driver", "fails" };
static const char *const marks[] = { "", "\xe2\x9c\x94 native", "\xe2\x97\x90 driver", "\xe2\x9c\x98 fails" };

static void add_safe(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<': text_puts(t, "&lt;"); break;
		case '>': text_puts(t, "&gt;"); break;
		case '&': text_puts(t, "&amp;"); break;
		case '"': text_puts(t, "&quot;"); break;
		default: text_putc(t, (unsigned char)*s < ' ' ? ' ' : *s);
		}
	}
}

static void add_kernel(struct text *t, const struct ab_kernel *k)
{
	const char *const more[] = { k->distribution, k->flavour, k->arch };

	add_safe(t, k->release);
	text_puts(t, " <small>");
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		add_safe(t, more[i]);
		text_puts(t, *more[i] ? " " : "");
	}
	text_puts(t, "</small>");
}

static void add_cell(struct text *t, const struct ab_check_verdict *v, size_t object)
{
	const char *why = "";

	for (size_t i = 0; v && !*why && i < v->n_reasons; i++)
		if (v->reasons[i].fatal)
			why = v->reasons[i].message;
	if (!v) {
		text_puts(t, "<td></td>");
		return;
	}
	text_printf(t, "<td class=\"%s\"><a href=\"#o%zu\" title=\"", classes[v->result], object);
	add_safe(t, why);
	text_printf(t, "\">%s</a></td>", marks[v->result]);
}

static void add_matrix(struct text *t, const struct ab_check_report *report)
{
	text_puts(t, "<div class=\"wide\"><table><thead><tr><th>kernel</th>");
	for (size_t o = 0; o < report->n_objects; o++) {
		text_puts(t, "<th>");
		add_safe(t, report->objects[o]);
		text_puts(t, "</th>");
	}
	text_puts(t, "</tr></thead><tbody>\n");
	for (size_t k = 0; k < report->n_kernels; k++) {
		text_puts(t, "<tr><th>");
		add_kernel(t, &report->kernels[k]);
		text_puts(t, "</th>");
		for (size_t o = 0; o < report->n_objects; o++)
			add_cell(t, report->cells[o * report->cap_kernels + k], o);
		text_puts(t, "</tr>\n");
	}
	text_puts(t, "</tbody></table></div>\n");
}

static void add_reason(struct text *t, const struct ab_check_reason *r)
{
	text_puts(t, "<li>");
	if (r->file) {
		text_puts(t, "<code>");
		add_safe(t, r->file);
		text_printf(t, ":%u</code> ", r->line);
	}
	if (r->program) {
		add_safe(t, r->program);
		text_puts(t, " ");
	}
	if (r->access) {
		text_puts(t, "<code>");
		add_safe(t, r->access);
		text_puts(t, "</code> ");
	}
	add_safe(t, r->message);
	if (r->hint) {
		text_puts(t, "<br><small>");
		add_safe(t, r->hint);
		text_puts(t, "</small>");
	}
	text_puts(t, "</li>\n");
}

static void add_object(struct text *t, const struct ab_check_report *report, size_t o, const struct findings *f)
{
	text_printf(t, "<section id=\"o%zu\"><h2>", o);
	add_safe(t, report->objects[o]);
	text_printf(t, "</h2>\n<p>native on %zu, by the driver on %zu, fails on %zu</p>\n", f->results[AB_CHECK_NATIVE],
		    f->results[AB_CHECK_DRIVER], f->results[AB_CHECK_FAILS]);
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *finding = &f->list[i];
		_text_ struct text where = {};

		if (!i || !ab_check_same_kernels(finding, finding - 1)) {
			ab_check_say_kernels(report, o, finding->kernels, finding->n_kernels, &where);
			text_printf(t, "%s<h3 class=\"%s\">%s on %zu: ", i ? "</ul>\n" : "",
				    finding->reason->fatal ? "fails" : "", finding->reason->fatal ? "fails" : "note",
				    finding->n_kernels);
			add_safe(t, where.p ? where.p : "");
			text_puts(t, "</h3>\n<ul>\n");
		}
		add_reason(t, finding->reason);
	}
	text_puts(t, f->n ? "</ul>\n</section>\n" : "</section>\n");
}

void ab_check_write_html(const struct ab_check_report *report, const struct findings *findings, struct text *out)
{
	text_puts(out, head);
	text_printf(
		out,
		"<h1>anybpf check</h1>\n<p>%zu objects on %zu kernels: native %zu, by the driver %zu, fails %zu</p>\n",
		report->n_objects, report->n_kernels, ab_check_report_count(report, AB_CHECK_NATIVE),
		ab_check_report_count(report, AB_CHECK_DRIVER), ab_check_report_count(report, AB_CHECK_FAILS));
	add_matrix(out, report);
	for (size_t o = 0; o < report->n_objects; o++)
		add_object(out, report, o, &findings[o]);
	text_puts(out, "</body></html>\n");
}
