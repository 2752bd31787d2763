/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Type queries about BTF from outside: each type shown in both forms, as fields, and compared with another. */
#include <btf/types.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TYPES_MAX = 200 };

static void ask(const struct ab_btf *btf, uint32_t id, uint32_t other)
{
	const char *name = ab_btf_name(btf, ab_btf_type(btf, id)), *other_name = ab_btf_name(btf, ab_btf_type(btf,
			other));
	_text_ struct text text = {}, json_text = {}, prototype = {};
	struct json j = { &json_text };
	struct fields fields = {}, others = {};

	ab_types_print(btf, id, &text);
	json_open(&j, '{');
	ab_types_print_json(btf, id, &j);
	json_close(&j, '}');
	if (ab_btf_kind(ab_btf_type(btf, id)) == BTF_KIND_FUNC)
		ab_types_prototype(btf, id, &prototype);
	if (!*name)
		return;
	ab_types_find_name(btf, name);
	ab_fields_read(btf, name, &fields);
	ab_fields_read(btf, other_name, &others);
	for (size_t i = 0; i < MIN(fields.n, 8u); i++) {
		struct field found;

		if (*fields.v[i].path && ab_field_resolve(btf, id, fields.v[i].path, &found)) {
			free(found.path);
			free(found.type);
		}
		free(ab_field_went(btf, &fields, btf, &others, other_name, fields.v[i].path));
	}
	ab_fields_clear(&fields);
	ab_fields_clear(&others);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_btf *btf;

	if (ab_btf_open_mem(data, size, &btf, NULL) < 0)
		return 0;
	for (uint32_t id = 1; id < MIN(ab_btf_count(btf), (uint32_t)TYPES_MAX); id++)
		ask(btf, id, ab_btf_count(btf) - id);
	ab_btf_close(btf);
	return 0;
}
