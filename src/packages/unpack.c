/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Packages and compressed data, by libarchive: one archive inside another, entries with limits, inflating. */
#include "packages.h"

#define BLOCK 65536

/* ---- one archive inside another: a .deb is an ar file with a compressed tar file in it ---- */

static la_ssize_t read_outer(struct archive *inner, void *ctx, const void **buffer)
{
	static __thread char block[BLOCK];
	la_ssize_t n = archive_read_data(ctx, block, sizeof(block));

	*buffer = block;
	return n;
}

/* What packages and kernels are compressed with. Not all that libarchive knows: some of it runs other programs. */
static void support_filters(struct archive *a)
{
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lzop(a);
}

struct archive *ab_archive_new(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	support_filters(a);
	archive_read_support_filter_rpm(a);
	archive_read_support_format_ar(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_cpio(a);
	return a;
}

int ab_archive_fail(struct archive *a, const char *path, struct ab_error *err)
{
	const char *why = archive_error_string(a);

	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is damaged or no kernel package: %s", path,
		       why ? why : "it ends too soon");
}

int ab_archive_open_entry(struct archive *outer, const char *path, struct archive **ret_inner, struct ab_error *err)
{
	struct archive *inner = ab_archive_new();
	int r;

	if (!inner)
		return ab_fail_memory(err);
	if (archive_read_open(inner, outer, NULL, read_outer, NULL) != ARCHIVE_OK) {
		r = ab_archive_fail(inner, path, err);
		archive_read_free(inner);
		return r;
	}
	*ret_inner = inner;
	return 0;
}

int ab_archive_read_entry(struct archive *a, struct archive_entry *entry, const char *path, size_t limit, struct text *t,
			  struct ab_error *err)
{
	char block[BLOCK];
	la_ssize_t n;

	while ((n = archive_read_data(a, block, sizeof(block))) > 0) {
		if (t->n + n > limit)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "'%s': '%s' is larger than %zu MiB", path,
				       archive_entry_pathname(entry), limit >> 20);
		text_add(t, block, n);
		if (t->failed)
			return ab_fail_memory(err);
	}
	return n < 0 ? ab_archive_fail(a, path, err) : 0;
}

/* ---- compressed data ---- */

bool ab_is_compressed(const void *data, size_t size)
{
	static const struct { const char *magic; size_t size; } known[] = {
		{ "\x1f\x8b", 2 }, { "\xfd" "7zXZ", 5 }, { "\x28\xb5\x2f\xfd", 4 }, { "\x02\x21\x4c\x18", 4 },
		{ "\x04\x22\x4d\x18", 4 }, { "BZh", 3 }, { "\x5d\0\0", 3 }, { "\x89LZO", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (size > known[i].size && !memcmp(data, known[i].magic, known[i].size))
			return true;
	return false;
}

static int inflate(struct archive *a, const void *data, size_t size, size_t limit, struct text *t)
{
	struct archive_entry *entry;
	char block[BLOCK];
	la_ssize_t n;

	support_filters(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, data, size) != ARCHIVE_OK || archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return -EBADMSG;
	while ((n = archive_read_data(a, block, sizeof(block))) > 0) {
		if (t->n + n > limit)
			return -EFBIG;
		text_add(t, block, n);
		if (t->failed)
			return -ENOMEM;
	}
	return n < 0 ? -EBADMSG : 0;
}

int ab_inflate(const void *data, size_t size, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_text_ struct text t = {};
	struct archive *a;
	int r = 0;

	if (!ab_is_compressed(data, size)) {
		text_add(&t, data, size);
	} else {
		a = archive_read_new();
		r = a ? inflate(a, data, size, limit, &t) : -ENOMEM;
		if (r == -EBADMSG)
			r = ab_fail(err, AB_ERROR_FORMAT, r, "compressed data is damaged: %s",
				    archive_error_string(a) ? archive_error_string(a) : "it ends too soon");
		if (r == -EFBIG)
			r = ab_fail(err, AB_ERROR_LIMIT, r, "compressed data holds more than %zu MiB", limit >> 20);
		archive_read_free(a);
	}
	if (r == -ENOMEM || t.failed)
		return ab_fail_memory(err);
	if (r < 0)
		return r;
	*ret_size = t.n;
	*ret_data = text_take(&t);
	return *ret_data ? 0 : ab_fail_memory(err);
}

int ab_inflate_file(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r = file_read(path, limit, &data, &size, err);

	if (r == 0)
		r = ab_inflate(data, size, limit, ret_data, ret_size, err);
	if (r < 0)
		ab_error_prefix(err, "'%s'", path);
	return r;
}
