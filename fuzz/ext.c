/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* .BTF.ext from outside, beside the types that it refers to. Input: .BTF, .BTF.ext (parts.h). */
#include <btf/ext.h>
#include "parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_all(const struct ab_ext *ext, const struct ab_btf *btf)
{
	size_t sum = 0;

	for (size_t i = 0; i < ext->n_funcs; i++) {
		sum += strlen(ext->funcs[i].section);
		check(ext->funcs[i].type < ab_btf_count(btf) && ext->funcs[i].insn_off % 8 == 0);
	}
	for (size_t i = 0; i < ext->n_lines; i++)
		sum += strlen(ext->lines[i].section) + strlen(ext->lines[i].file) + strlen(ext->lines[i].text);
	for (size_t i = 0; i < ext->n_relos && i < 256; i++) {
		const struct ab_ext_relo *r = &ext->relos[i];
		const struct ab_ext_line *line = ab_ext_find_line(ext, r->section, r->relo.insn_off);

		check(r->relo.type_id < ab_btf_count(btf) && r->relo.insn_off % 8 == 0);
		check(!line || (line->insn_off <= r->relo.insn_off && !strcmp(line->section, r->section)));
	}
	check(sum < SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_btf *btf;
	struct ab_ext *ext;
	struct parts parts;

	if (!cut_parts(data, size, &parts) || ab_btf_open_mem(parts.first, parts.first_size, &btf, NULL) < 0)
		return 0;
	if (ab_ext_open(parts.second, parts.second_size, btf, &ext, NULL) == 0) {
		read_all(ext, btf);
		ab_ext_close(ext);
	}
	ab_btf_close(btf);
	return 0;
}
