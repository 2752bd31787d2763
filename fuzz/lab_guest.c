/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile guests: whatever comes through the port, in whatever pieces, and whatever the console holds. */
#include <lab/lab.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The last words are one printable line. */
static void check_last(const uint8_t *data, size_t size)
{
	_free_ char *console = calloc(1, size + 1);
	char line[160];

	memcpy(console, data, size);
	ab_said_last(console, line, sizeof(line));
	for (const char *c = line; *c; c++)
		if ((unsigned char)*c < ' ')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_guest_result result = {};
	struct guest_said said = { .result = &result, .token = "00112233445566778899aabbccddeeff" };
	size_t step = size ? data[0] + 1 : 1;

	for (size_t at = 0; at < size && !said.garbage; at += step)
		ab_said_take(&said, data + at, MIN(step, size - at));
	if (ab_said_finish(&said, NULL) < 0)
		abort();
	for (size_t i = 0; i < result.program_count; i++) {
		const struct ab_guest_program *p = ab_guest_program(&result, result.programs[i].id);

		if (p != &result.programs[i] || p->out[p->out_size] || p->err[p->err_size])
			abort();
	}
	ab_said_clear(&said);
	ab_guest_result_clear(&result);
	check_last(data, size);
	return 0;
}
