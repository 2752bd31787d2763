/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Bundles on disk (bundle.h). Paths were checked when the request was read: they stay below the directory. */
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bundle.h"

static int make_parents(char *path, size_t from)
{
	for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (r)
			return r;
	}
	return 0;
}

static int write_bytes(const char *path, const char *data, size_t size)
{
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd_write_all(fd, data, size);
}

static int unpack_file(const struct build_file *f, struct store *store, const char *dir, struct ab_error *err)
{
	struct blob *blob = f->data ? NULL : ab_store_get(store, STORE_SOURCE, f->digest);
	_free_ char *path = NULL;
	int r;

	if (!f->data && !blob)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' is not here any more: send it again", f->path);
	if (asprintf(&path, "%s/%s", dir, f->path) < 0) {
		path = NULL;
		r = -ENOMEM;
	} else {
		r = make_parents(path, strlen(dir) + 1);
	}
	if (!r)
		r = write_bytes(path, f->data ? f->data : blob->data, f->data ? f->size : blob->size);
	ab_blob_unref(blob);
	return r ? ab_fail_errno(err, r, "unable to unpack '%s'", f->path) : 0;
}

int ab_bundle_unpack(const struct build_request *build, struct store *store, const char *parent, char **ret_dir, struct ab_error *err)
{
	_free_ char *dir = NULL;
	int r = 0;

	if (asprintf(&dir, "%s/build-XXXXXX", parent) < 0) {
		dir = NULL;
		return ab_fail_memory(err);
	}
	if (!mkdtemp(dir))
		return ab_fail_errno(err, -errno, "unable to make a directory in '%s'", parent);
	for (size_t i = 0; i < build->n_files && !r; i++)
		r = unpack_file(&build->files[i], store, dir, err);
	if (r) {
		ab_bundle_remove(dir);
		return r;
	}
	*ret_dir = TAKE(dir);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

void ab_bundle_remove(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
