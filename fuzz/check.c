/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Hostile objects given to check: whatever the bytes are, there is a verdict with reasons that can be shown, or an
 * error. The object's own types stand for the kernel's, so that its relocations find something.
 */
#include <anybpf/check.h>
#include <run/run.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_release(struct ab_check *check, const struct ab_elf_info *info, const char *release, const char *arch)
{
	struct ab_kernel kernel = {
		.release = release, .arch = arch ? arch : "", .distribution = "", .flavour = "", .module = ""
	};
	const struct ab_check_verdict *verdict, *again;
	struct ab_check_report *report;
	char *text;
	size_t n;

	if (ab_check_btf(check, info->btf, info->btf_size, release, arch, &verdict, NULL) < 0)
		return;
	if (ab_check_btf(check, info->btf, info->btf_size, release, arch, &again, NULL) < 0 || again != verdict)
		abort();
	for (size_t i = 0; i < verdict->n_reasons; i++)
		if (!verdict->reasons[i].message || (verdict->reasons[i].fatal && verdict->result != AB_CHECK_FAILS))
			abort();
	if (ab_check_report_new(&report, NULL) < 0)
		return;
	ab_check_report_add(report, "fuzz", &kernel, verdict, NULL);
	for (int form = AB_CHECK_TEXT; form <= AB_CHECK_HTML; form++)
		if (!ab_check_report_write(report, form, &text, &n, NULL))
			free(text);
	ab_check_report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_error err = {};
	struct ab_elf_info info;
	struct ab_check *check;

	if (ab_check_new(data, size, &check, &err) < 0) {
		if (!err.code || !*err.msg)
			abort();
		ab_error_clear(&err);
		return 0;
	}
	if (!ab_elf_check(data, size, &info, NULL)) {
		check_release(check, &info, "3.10.0-1160.el7.x86_64", "x86_64");
		check_release(check, &info, "5.4.0-1-amd64", "aarch64");
		check_release(check, &info, "6.12.1", NULL);
	}
	ab_check_free(check);
	return 0;
}
