/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A kernel's BTF and a module's that goes on from it, both from outside: found, printed and compared. Input: the
 * kernel's, the module's (parts.h).
 */
#include <btf/internal.h>
#include "parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void ask(const struct ab_btf *btf, const struct ab_btf *base)
{
	_text_ struct text out = {};

	check(ab_btf_start(btf) == ab_btf_count(base) && ab_btf_count(btf) >= ab_btf_count(base));
	for (uint32_t id = 0; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const char *name = ab_btf_name(btf, t);

		check(id >= ab_btf_count(base) || t == ab_btf_type(base, id) || !id);
		check(ab_btf_kind(t) == ab_btf_slot(btf, id)->kind);
		check(ab_btf_resolve(btf, id) < ab_btf_count(btf));
		ab_btf_find_c(btf, name);
		ab_btf_tag(btf, id, id % 4 - 1, "a", 0);
		if (id < 32)
			check(ab_btf_equal(btf, id, btf, id, id % 2) || id);
	}
	ab_btf_header(btf, NULL, &out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_btf *base, *btf;
	struct parts parts;

	if (!cut_parts(data, size, &parts) || ab_btf_open_mem(parts.first, parts.first_size, &base, NULL) < 0)
		return 0;
	if (ab_btf_open_split_mem(parts.second, parts.second_size, base, &btf, NULL) == 0) {
		ask(btf, base);
		ab_btf_close(btf);
	}
	ab_btf_close(base);
	return 0;
}
