/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile object files: whatever the bytes are, opening answers with an object or a reason, and an object can be walked. */
#include <anybpf/anybpf.h>
#include <base/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_params(struct ab_object *object)
{
	static const char *const values[] = { "1", "-1", "true", "x", "0x7fffffffffffffff", "1,2,3", "" };

	for (size_t i = 0; i < ab_object_param_count(object) && i < 64; i++) {
		const struct ab_param *p = ab_object_param(object, i);

		for (size_t v = 0; v < ARRAY_SIZE(values); v++)
			ab_object_set_param(object, p->name, values[v], NULL);
		if (ab_object_set_param(object, p->name, p->default_value, NULL) == -ENOENT)
			abort();
	}
}

static void walk_format(const struct ab_format *format)
{
	static const uint8_t zeros[256];
	char buf[256];

	if (!format)
		return;
	ab_format_json(format, zeros, sizeof(zeros), buf, sizeof(buf));
	for (size_t i = 0; i < ab_format_column_count(format) && i < 64; i++)
		ab_format_cell(format, i, zeros, sizeof(zeros), buf, sizeof(buf));
}

static void walk_maps(struct ab_object *object)
{
	for (size_t i = 0; i < ab_object_map_count(object) && i < 64; i++) {
		struct ab_map *map = ab_object_map(object, i);
		struct ab_hist_opts opts;

		ab_map_kind(map);
		ab_map_is_shown(map);
		ab_map_hist_opts(map, &opts);
		walk_format(ab_map_key_format(map));
		walk_format(ab_map_value_format(map));
		ab_events_set_type(object, ab_map_name(map), "struct event", NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AB_OPTS(ab_object_opts, opts, .name = "fuzz", .pid = 1);
	struct ab_object *object;
	struct ab_error err = {};

	if (ab_object_open_mem(data, size, &opts, &object, &err) < 0) {
		if (!err.code || !*err.msg)
			abort();
		ab_error_clear(&err);
		return 0;
	}
	walk_params(object);
	walk_maps(object);
	for (size_t i = 0; i < ab_object_program_count(object) && i < 64; i++) {
		struct ab_program *program = ab_object_program(object, i);

		ab_program_state(program);
		ab_program_is_iterator(program);
		ab_program_set_target(program, "lo:egress", NULL);
	}
	ab_object_close(object);
	return 0;
}
