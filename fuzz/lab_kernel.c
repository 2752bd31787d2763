/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile kernel images: what is converted has an architecture, what is not has a reason. */
#include <lab/lab.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char to[64];
	_close_ int fd = memfd_create("kernel", 0);
	const char *arch = NULL;
	struct ab_error err = {};
	char path[64];

	if (!*to)
		snprintf(to, sizeof(to), "/dev/shm/fuzz-lab-kernel-%d", (int)getpid());
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd_write_all(fd, data, size) < 0)
		abort();
	if (ab_kernel_convert(path, to, &arch, &err) < 0 ? !err.code || !*err.msg : strcmp(arch, "amd64") && strcmp(arch, "arm64"))
		abort();
	ab_error_clear(&err);
	unlink(to);
	return 0;
}
