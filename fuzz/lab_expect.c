/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile expectation files, and hostile output of a guest judged by them: the input is the file, a NUL, the output. */
#include <lab/expect.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct expect *expect, const char *out, size_t size)
{
	static const char *const releases[] = { "5.10.0-46-amd64", "7.3.4+deb14-arm64", "" };
	struct run_output run = { .out = out, .out_size = size, .err = "anybpf: error", .ended = true, .arch = "amd64" };

	for (size_t i = 0; i < ARRAY_SIZE(releases); i++) {
		json_t *doc = NULL;

		run.release = releases[i];
		if (ab_expect_judge(expect, &run, &doc, NULL) < 0)
			abort();
		if (!json_is_string(json_object_get(doc, "verdict")) || !json_is_string(json_object_get(doc, "reason")) ||
		    !json_is_array(json_object_get(doc, "programs")))
			abort();
		json_decref(doc);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size);
	size_t file_size = nul ? (size_t)(nul - data) : size;
	_close_ int fd = memfd_create("expectations", 0);
	struct ab_error err = {};
	struct expect expect;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd_write_all(fd, data, file_size) < 0)
		abort();
	if (ab_expect_open(path, &expect, &err) < 0) {
		if (!err.code || !*err.msg)
			abort();
		ab_error_clear(&err);
		return 0;
	}
	judge(&expect, nul ? (const char *)nul + 1 : "", nul ? size - file_size - 1 : 0);
	ab_expect_close(&expect);
	return 0;
}
