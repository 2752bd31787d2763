/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile files for imports: images, packages, modules, BTF. What is found makes sense, and what fails says why. */
#include <hub/hub.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_found(void *ctx, const struct ab_found *found, struct ab_error *err)
{
	const struct ab_kernel *k = found->kernel;
	size_t length;

	if (!*k->release || !*k->arch || k->build_id_size > sizeof(k->build_id) || strchr(k->release, '/') ||
	    strchr(k->module, '/') || strchr(k->distribution, '/') ||
	    !ab_btf_length(found->btf, found->size, &length) || length != found->size || (*k->module && !found->base))
		abort();
	return 0;
}

static void take_failed(void *ctx, const char *input, const struct ab_error *why)
{
	if (!why->code || !*why->msg || why->kind == AB_ERROR_INTERNAL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_close_ int fd = memfd_create("input", 0);
	AB_OPTS(ab_import_opts, opts, .modules = true, .jobs = 1, .tmp_dir = "/dev/shm", .found = take_found,
		.failed = take_failed);
	struct ab_import_result result;
	char path[64];
	const char *inputs[] = { path };

	/* pahole is another project's. */
	setenv("PATH", "/nonexistent", 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd_write_all(fd, data, size) < 0 || ab_import(inputs, 1, &opts, &result, NULL) < 0 || result.inputs != 1)
		abort();
	return 0;
}
