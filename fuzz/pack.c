/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Packs from outside. Checksums would keep a fuzzer out, so the input is what they protect: a pack's chunks as they are
 * when decompressed, of which a pack with right checksums is made, as somebody who means harm would. Every other input is
 * taken as a file, as it is.
 */
#include <btf/pack_internal.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_subset(const struct ab_pack *pack, size_t kernel)
{
	static const char *const names[] = { "struct box", "make_list", "int" };
	struct ab_pack_subset_opts opts = { .names = names, .n_names = 3 };
	struct ab_pack_defs *defs;
	struct ab_btf *btf;

	if (ab_pack_defs_open(pack, kernel, &defs, NULL) < 0)
		return;
	for (int deep = 0; deep < 2; deep++) {
		opts.deep = deep;
		if (ab_pack_subset(pack, defs, &opts, &btf, NULL, NULL) == 0)
			ab_btf_close(btf);
	}
	ab_pack_defs_close(defs);
}

static int ignore(void *ctx, enum ab_pack_change change, const char *kind, const char *name)
{
	return strlen(name) > INT32_MAX;
}

static void ask(const struct ab_pack *pack)
{
	uint64_t *digests;

	ab_pack_verify(pack, NULL);
	for (size_t i = 0; i < ab_pack_count(pack) && i < 8; i++) {
		struct ab_btf *parsed;
		size_t size;
		void *btf;

		if (ab_pack_extract(pack, i, &btf, &size, NULL) == 0) {
			if (ab_btf_open_mem(btf, size, &parsed, NULL) == 0)
				ab_btf_close(parsed);
			free(btf);
		}
		ask_subset(pack, i);
		ab_pack_diff(pack, i, 0, ignore, NULL, NULL);
		ab_pack_diff_packs(pack, i, pack, 0, ignore, NULL, NULL);
	}
	if (ab_pack_digests(pack, &digests, NULL) == 0)
		free(digests);
	ab_pack_find(pack, "6.1*", NULL, NULL);
}

/*
 * Chunks and directory of the input, compressed, with checksums: u32 size, then that many bytes, the last being the
 * directory without the rows of chunks.
 */
static uint8_t *make_pack(const uint8_t *data, size_t size, size_t *ret_size)
{
	struct buffer file = {}, rows = {}, directory = {};
	uint8_t header[PACK_HEADER] = PACK_MAGIC, row[PACK_CHUNK_ROW];
	uint32_t n = 0;

	buffer_add(&file, header, sizeof(header));
	while (size >= 13) {
		uint32_t raw = get_le32(data) % 65536;
		size_t bound = ZSTD_compressBound(raw), packed;

		raw = MIN(raw, size - 13);
		packed = ZSTD_compress(buffer_room(&file, bound), bound, data + 13, raw, 1);
		memset(row, 0, sizeof(row));
		put_le64(row, file.n);
		put_le32(row + 8, packed);
		put_le32(row + 12, raw);
		put_le64(row + 16, ab_pack_hash(file.p + file.n, packed, 0));
		row[24] = data[4];
		memcpy(row + 28, data + 5, 8);
		if (size - 13 - raw < 13) {
			buffer_add(&directory, data + 13, raw);
			break;
		}
		buffer_add(&rows, row, sizeof(row));
		file.n += packed;
		data += 13 + raw;
		size -= 13 + raw;
		n++;
	}
	if (directory.n < 24) {
		buffer_clear(&directory);
		buffer_add(&directory, (uint8_t[24]){}, 24);
	}
	put_le32(directory.p, n);
	/* The chunks' rows go between head and kernels. */
	if (buffer_room(&directory, rows.n)) {
		memmove(directory.p + 24 + rows.n, directory.p + 24, directory.n - 24);
		memcpy(directory.p + 24, rows.p ? rows.p : header, rows.n);
		directory.n += rows.n;
	}
	size = ZSTD_compressBound(directory.n);
	size = ZSTD_compress(buffer_room(&file, size), size, directory.p, directory.n, 1);
	put_le32(file.p + 8, PACK_VERSION);
	put_le32(file.p + 12, PACK_HEADER);
	put_le64(file.p + 16, file.n + size);
	put_le64(file.p + 24, file.n);
	put_le32(file.p + 32, size);
	put_le32(file.p + 36, directory.n);
	put_le64(file.p + 40, ab_pack_hash(file.p + file.n, size, 0));
	put_le64(file.p + 56, ab_pack_hash(file.p, 56, 0));
	*ret_size = file.n + size;
	buffer_clear(&rows);
	buffer_clear(&directory);
	return file.p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_pack *pack;
	uint8_t *made = NULL;

	if (size >= 8 && memcmp(data, PACK_MAGIC, 8))
		data = made = make_pack(data, size, &size);
	if (ab_pack_open_mem(data, size, &pack, NULL) == 0) {
		ask(pack);
		ab_pack_close(pack);
	}
	free(made);
	return 0;
}
