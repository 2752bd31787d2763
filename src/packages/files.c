/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hashes, and directories with what is in them. */
#include <fcntl.h>
#include <ftw.h>
#include <nettle/sha2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "packages.h"

int ab_mkdirs(const char *path, struct ab_error *err)
{
	_free_ char *copy = strdup(path);

	if (!copy)
		return ab_fail_memory(err);
	for (char *p = copy + 1;; p++) {
		char was = *p;

		if (was != '/' && was)
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return ab_fail_errno(err, -errno, "cannot make the directory '%s'", copy);
		*p = was;
		if (!was)
			return 0;
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int ab_remove_tree(const char *path)
{
	return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void ab_hash_text(const void *data, size_t size, char ret_text[HASH_TEXT])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, size, data);
	sha256_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret_text + 2 * i, 3, "%02x", digest[i]);
}

int ab_hash_file(const char *path, char ret_text[HASH_TEXT], struct ab_error *err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	if (!S_ISREG(st.st_mode))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not a regular file", path);
	if (st.st_size == 0) {
		ab_hash_text("", 0, ret_text);
		return 0;
	}
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return ab_fail_errno(err, -errno, "'%s'", path);
	ab_hash_text(data, st.st_size, ret_text);
	munmap(data, st.st_size);
	return 0;
}
