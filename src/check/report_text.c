/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A report as text and as JSON (docs/check.md). */
#include "report.h"

static const char *const words[] = { "", "native", "driver", "fails" };

/* ---- text ---- */

static void write_reason(const struct ab_check_reason *r, struct text *out)
{
	text_puts(out, "    ");
	if (r->file)
		text_printf(out, "%s:%u: ", r->file, r->line);
	if (r->program && (!r->access || !strstr(r->access, r->program)))
		text_printf(out, "%s: ", r->program);
	if (r->access)
		text_printf(out, "%s: ", r->access);
	text_printf(out, "%s\n", r->message);
	if (r->hint)
		text_printf(out, "        %s\n", r->hint);
}

static void write_head(const struct ab_check_report *report, size_t object, const struct findings *f, struct text *out)
{
	size_t total = f->results[AB_CHECK_NATIVE] + f->results[AB_CHECK_DRIVER] + f->results[AB_CHECK_FAILS];
	size_t runs = total - f->results[AB_CHECK_FAILS];

	if (total == 1)
		text_printf(out, "%s: %s\n", report->objects[object],
			    runs ? f->results[AB_CHECK_DRIVER] ? "runs, by the driver" : "runs" : "fails");
	else if (runs == total)
		text_printf(out, "%s: runs on all %zu kernels", report->objects[object], total);
	else
		text_printf(out, "%s: runs on %zu of %zu kernels", report->objects[object], runs, total);
	if (total == 1)
		return;
	if (f->results[AB_CHECK_DRIVER])
		text_printf(out, ", on %zu of them by the driver", f->results[AB_CHECK_DRIVER]);
	text_puts(out, "\n");
}

void ab_check_write_text(const struct ab_check_report *report, size_t object, const struct findings *f, struct text *out)
{
	size_t total = f->results[AB_CHECK_NATIVE] + f->results[AB_CHECK_DRIVER] + f->results[AB_CHECK_FAILS];

	write_head(report, object, f, out);
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *finding = &f->list[i];

		if (i && ab_check_same_kernels(finding, finding - 1)) {
			write_reason(finding->reason, out);
			continue;
		}
		text_puts(out, finding->reason->fatal ? "  fails" : "  note");
		if (total > 1) {
			text_printf(out, " on %zu of %zu: ", finding->n_kernels, total);
			ab_check_say_kernels(report, object, finding->kernels, finding->n_kernels, out);
		}
		text_puts(out, "\n");
		write_reason(finding->reason, out);
	}
}

/* ---- JSON ---- */

static void write_kernels(const struct ab_check_report *report, struct json *j)
{
	json_key(j, "kernels");
	json_open(j, '[');
	for (size_t i = 0; i < report->n_kernels; i++) {
		const struct ab_kernel *k = &report->kernels[i];

		json_open(j, '{');
		json_member_str(j, "release", k->release);
		json_member_str(j, "arch", k->arch);
		json_member_str(j, "distribution", k->distribution);
		json_member_str(j, "flavour", k->flavour);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void write_finding(const struct ab_check_report *report, size_t object, const struct finding *f, struct json *j)
{
	const struct ab_check_reason *r = f->reason;
	_text_ struct text where = {};

	ab_check_say_kernels(report, object, f->kernels, f->n_kernels, &where);
	json_open(j, '{');
	json_member_bool(j, "fatal", r->fatal);
	json_member_str(j, "program", r->program);
	json_member_str(j, "file", r->file);
	json_key(j, "line");
	if (r->line)
		json_uint(j, r->line);
	else
		json_null(j);
	json_member_str(j, "access", r->access);
	json_member_str(j, "message", r->message);
	json_member_str(j, "hint", r->hint);
	json_member_str(j, "where", where.p);
	json_key(j, "kernels");
	json_open(j, '[');
	for (size_t i = 0; i < f->n_kernels; i++)
		json_uint(j, f->kernels[i]);
	json_close(j, ']');
	json_close(j, '}');
}

static void write_object(const struct ab_check_report *report, size_t object, const struct findings *f, struct json *j)
{
	json_open(j, '{');
	json_member_str(j, "file", report->objects[object]);
	for (int result = AB_CHECK_NATIVE; result <= AB_CHECK_FAILS; result++)
		json_member_uint(j, words[result], f->results[result]);
	json_key(j, "verdicts");
	json_open(j, '[');
	for (size_t k = 0; k < report->n_kernels; k++) {
		const struct ab_check_verdict *v = report->cells[object * report->cap_kernels + k];

		json_str(j, v ? words[v->result] : NULL);
	}
	json_close(j, ']');
	json_key(j, "reasons");
	json_open(j, '[');
	for (size_t i = 0; i < f->n; i++)
		write_finding(report, object, &f->list[i], j);
	json_close(j, ']');
	json_close(j, '}');
}

void ab_check_write_json(const struct ab_check_report *report, const struct findings *findings, struct text *out)
{
	struct json j = { out };

	json_open(&j, '{');
	write_kernels(report, &j);
	json_key(&j, "objects");
	json_open(&j, '[');
	for (size_t o = 0; o < report->n_objects; o++)
		write_object(report, o, &findings[o], &j);
	json_close(&j, ']');
	json_close(&j, '}');
}
