/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Types named by --btf, put into memory as a file, so that a path is all that anything else has to know. */
#include <sys/mman.h>
#include <unistd.h>
#include "btf_file.h"

static int put_in_memory(const void *data, size_t size, struct btf_file *ret, struct ab_error *err)
{
	int fd = memfd_create("btf", MFD_CLOEXEC), r;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "unable to make a file in memory");
	r = fd_write_all(fd, data, size);
	if (r < 0) {
		close(fd);
		return ab_fail_errno(err, r, "unable to write a file in memory");
	}
	ret->fd = fd;
	snprintf(ret->fd_path, sizeof(ret->fd_path), "/proc/self/fd/%d", fd);
	ret->path = ret->fd_path;
	return 0;
}

static bool is_pack(const char *path)
{
	struct ab_pack *pack;
	bool is = ab_pack_open(path, &pack, NULL) == 0;

	if (is)
		ab_pack_close(pack);
	return is;
}

static const char *without_auto(const char *name)
{
	return name && strcmp(name, BTF_AUTO) ? name : NULL;
}

int btf_file_whole(struct cli *cli, const char *name, const char *pack, struct btf_file *ret, struct ab_error *err)
{
	AB_OPTS(ab_min_opts, opts, .types = without_auto(name), .pack = pack);
	_free_ char *source = NULL;
	_free_ void *btf = NULL;
	size_t size;
	int r;

	*ret = NO_BTF_FILE;
	if (!name && access(KERNEL_BTF, F_OK) == 0)
		return 0;
	if (name && access(name, F_OK) == 0 && !is_pack(name)) {
		ret->path = name;
		return 0;
	}
	r = ab_min_whole(&opts, &btf, &size, &source, err);
	if (!r)
		r = put_in_memory(btf, size, ret, err);
	if (!r && cli->verbose)
		cli_say(NULL, "kernel types from %s", source);
	return r;
}

/* Where neither --btf nor a place has them, libbpf may still find a vmlinux: it is for loading to fail. */
int btf_file_min(struct cli *cli, const char *name, const void *object, size_t size, struct btf_file *ret,
		 struct ab_error *err)
{
	AB_OPTS(ab_min_opts, opts, .types = without_auto(name));
	struct ab_error why = {};
	struct ab_min *min;
	_free_ char *source = NULL;
	_free_ void *btf = NULL;
	int r;

	*ret = NO_BTF_FILE;
	if ((!name && access(KERNEL_BTF, F_OK) == 0) || ab_min_new(object, size, &min, NULL) < 0)
		return 0;
	r = ab_min_needed(min) ? ab_min_find(min, &opts, &btf, &size, &source, &why) : 0;
	ab_min_free(min);
	if (r == -ENOENT && !name) {
		cli_say(NULL, "%s", why.msg);
		ab_error_clear(&why);
		return 0;
	}
	if (r < 0) {
		r = ab_fail(err, why.kind, why.code, "%s", why.msg);
		ab_error_clear(&why);
		return r;
	}
	if (!btf)
		return 0;
	r = put_in_memory(btf, size, ret, err);
	if (!r && !cli->quiet)
		cli_say(NULL, "kernel types from %s, %zu bytes", source, size);
	return r;
}

void btf_file_close(struct btf_file *file)
{
	ab__close(&file->fd);
	*file = NO_BTF_FILE;
}
