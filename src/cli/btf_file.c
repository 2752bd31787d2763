/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Types named by --btf, put into memory as a file, so that a path is all that anything else has to know. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "btf_file.h"
#include "remote.h"

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

static const char *without_auto(const char *name)
{
	return name && strcmp(name, BTF_AUTO) ? name : NULL;
}

int btf_file_whole(struct cli *cli, const char *name, const char *pack, struct btf_file *ret, struct ab_error *err)
{
	AB_OPTS(ab_min_opts, opts, .types = without_auto(name), .pack = pack);
	_free_ char *source = NULL;
	_free_ void *btf = NULL;
	struct stat st;
	size_t size;
	int r;

	*ret = NO_BTF_FILE;
	if (!name && access(KERNEL_BTF, F_OK) == 0)
		return 0;
	if (name && stat(name, &st) == 0 && !S_ISDIR(st.st_mode) && !ab_is_pack(name)) {
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

int btf_file_kernel(const struct ab_pack *pack, size_t kernel, struct btf_file *ret, struct ab_error *err)
{
	_free_ void *btf = NULL;
	size_t size;
	int r = ab_pack_extract(pack, kernel, &btf, &size, err);

	*ret = NO_BTF_FILE;
	return r < 0 ? r : put_in_memory(btf, size, ret, err);
}

struct fetch {
	struct cli *cli;
	const char *server;
	const void *object;
	size_t size;
};

/* A server that is away or does not know the kernel is one more place that has none. */
static int fetch_types(void *ctx, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size, char **ret_source,
		       struct ab_error *err)
{
	const struct fetch *fetch = ctx;
	struct ab_error why = {};
	_text_ struct text source = {};
	int r = remote_types(fetch->cli, fetch->server, kernel, fetch->object, fetch->size, ret_btf, ret_size, &why);

	if (r < 0 && r != -EHOSTUNREACH && why.kind != AB_ERROR_NOT_FOUND) {
		*err = why;
		return r;
	}
	if (r < 0)
		text_puts(&source, why.msg);
	else
		text_printf(&source, "server '%s'", fetch->server);
	ab_error_clear(&why);
	*ret_source = text_take(&source);
	return !*ret_source ? ab_fail_memory(err) : !r;
}

/* Where neither --btf nor a place has them, libbpf may still find a vmlinux: it is for loading to fail. */
int btf_file_min(struct cli *cli, const char *name, const char *server, const void *object, size_t size,
		 struct btf_file *ret, struct ab_error *err)
{
	struct fetch fetch = { cli, server, object, size };
	AB_OPTS(ab_min_opts, opts, .types = without_auto(name), .fetch = server ? fetch_types : NULL, .ctx = &fetch);
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
