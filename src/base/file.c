/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Whole files in and out. Reading has a limit; writing is atomic. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base.h"

void ab__close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void ab__fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

int file_read_fd(int fd, const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_text_ struct text t = {};
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (size_t)st.st_size <= limit)
		text_reserve(&t, st.st_size + 1);
	for (;;) {
		if (!text_reserve(&t, 65536))
			return ab_fail_memory(err);
		n = read(fd, t.p + t.n, t.cap - t.n - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ab_fail_errno(err, -errno, "unable to read '%s'", path);
		if (n == 0)
			break;
		t.n += n;
		if (t.n > limit)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "'%s' is larger than %zu bytes", path, limit);
	}
	t.p[t.n] = '\0';
	*ret_size = t.n;
	*ret_data = TAKE(t.p);
	return 0;
}

int file_read(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ab_fail_errno(err, -errno, "unable to open '%s'", path);
	return file_read_fd(fd, path, limit, ret_data, ret_size, err);
}

int fd_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= n;
	}
	return 0;
}

static void sync_directory_of(const char *path)
{
	_free_ char *dir = strndup(path, path_base(path) - path);
	_close_ int fd = dir ? open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0)
		(void)fsync(fd); /* the data is safe already; some file systems refuse to sync a directory */
}

int file_write(const char *path, const void *data, size_t size, unsigned mode, struct ab_error *err)
{
	_free_ char *temporary = NULL;
	_close_ int fd = -1;
	struct stat st;
	int r;

	/* A pipe or a device is written in place: there is nothing to replace. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : fd_write_all(fd, data, size);
		return r ? ab_fail_errno(err, r, "unable to write '%s'", path) : 0;
	}
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return ab_fail_memory(err);
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return ab_fail_errno(err, -errno, "unable to write '%s'", path);
	r = fd_write_all(fd, data, size);
	if (!r && (fchmod(fd, mode) || fsync(fd) || rename(temporary, path)))
		r = -errno;
	if (r) {
		(void)unlink(temporary);
		return ab_fail_errno(err, r, "unable to write '%s'", path);
	}
	sync_directory_of(path);
	return 0;
}
