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

/*
 * The descriptor that a path stands for, -1 for other paths. Its file goes on where it is, and /dev/stdout is a link of the
 * machine's: neither is to be replaced.
 */
static int descriptor_of(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *number = path + strlen(folders[i]);

		if (str_starts(path, folders[i]) && *number && strlen(number) < 9 && !number[strspn(number, "0123456789")])
			return atoi(number);
	}
	return -1;
}

/* A pipe or a device is written in place: there is nothing to replace. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* -EXDEV: it is a file, to be replaced. */
static int write_in_place(const char *path, const void *data, size_t size)
{
	_close_ int opened = -1;
	int fd = descriptor_of(path);

	if (fd < 0 && !is_special(path))
		return -EXDEV;
	if (fd < 0)
		fd = opened = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, data, size);
}

/* The file to be replaced: not the link to it. */
static char *resolve(const char *path)
{
	char *target = realpath(path, NULL);

	return target || errno != ENOENT ? target : strdup(path);
}

int file_writable(const char *path, struct ab_error *err)
{
	_free_ char *target = NULL;
	char *slash;

	if (descriptor_of(path) >= 0 || is_special(path))
		return 0;
	target = resolve(path);
	slash = target ? strrchr(target, '/') : NULL;
	if (slash)
		slash[1] = '\0';
	if (!target || access(slash ? target : ".", W_OK) < 0)
		return ab_fail_errno(err, -errno, "unable to write '%s'", path);
	return 0;
}

int file_write(const char *path, const void *data, size_t size, unsigned mode, struct ab_error *err)
{
	_free_ char *temporary = NULL, *target = NULL;
	_close_ int fd = -1;
	int r = write_in_place(path, data, size);

	if (r != -EXDEV)
		return r < 0 ? ab_fail_errno(err, r, "unable to write '%s'", path) : 0;
	target = resolve(path);
	if (!target)
		return ab_fail_errno(err, -errno, "unable to write '%s'", path);
	if (asprintf(&temporary, "%s.XXXXXX", target) < 0) {
		temporary = NULL;
		return ab_fail_memory(err);
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return ab_fail_errno(err, -errno, "unable to write '%s'", path);
	r = fd_write_all(fd, data, size);
	if (!r && (fchmod(fd, mode) || fsync(fd) || rename(temporary, target)))
		r = -errno;
	if (r) {
		(void)unlink(temporary);
		return ab_fail_errno(err, r, "unable to write '%s'", path);
	}
	sync_directory_of(target);
	return 0;
}
