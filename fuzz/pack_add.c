/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * BTF from outside on its way into a pack: what is added has to come out again, and be the same when it is added once
 * more. The first byte splits the rest in a kernel's and a module's.
 */
#include <sys/stat.h>
#include <unistd.h>
#include <btf/pack_internal.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_again(const struct ab_pack *pack, struct ab_pack_writer *w, size_t index)
{
	struct ab_kernel k = *ab_pack_kernel(pack, index);
	void *btf, *base = NULL;
	size_t size, base_size = 0;

	check(ab_pack_extract(pack, index, &btf, &size, NULL) == 0);
	if (*k.module)
		check(ab_pack_extract(pack, 0, &base, &base_size, NULL) == 0);
	check(ab_pack_writer_add(w, &k, btf, size, base, base_size, NULL) >= 0);
	free(btf);
	free(base);
}

static void round_trip(const char *path)
{
	struct ab_pack_writer *w;
	struct ab_pack *pack;

	check(ab_pack_open(path, &pack, NULL) == 0);
	check(ab_pack_verify(pack, NULL) == 0);
	check(ab_pack_writer_open("/dev/shm/anybpf-fuzz-again", &w, NULL) == 0);
	for (size_t i = 0; i < ab_pack_count(pack); i++)
		check_again(pack, w, i);
	ab_pack_writer_free(w);
	ab_pack_close(pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_kernel k = { .release = "1", .arch = "x86_64", .distribution = "", .flavour = "", .module = "" };
	char path[64];
	struct ab_pack_writer *w;
	size_t first;
	bool any;

	if (size < 4)
		return 0;
	first = MIN((size_t)(data[0] | data[1] << 8), size - 4);
	data += 4;
	size -= 4;
	snprintf(path, sizeof(path), "/dev/shm/anybpf-fuzz-%d", getpid());
	unlink(path);
	check(ab_pack_writer_open(path, &w, NULL) == 0);
	/* Only as aligned as BTF in a file is. */
	first -= first % 4;
	any = ab_pack_writer_add(w, &k, data, first ? first : size, NULL, 0, NULL) == 1;
	k.module = "m";
	if (any && first)
		ab_pack_writer_add(w, &k, data + first, size - first, data, first, NULL);
	check(ab_pack_writer_commit(w, NULL) == 0);
	ab_pack_writer_free(w);
	if (any)
		round_trip(path);
	unlink(path);
	return 0;
}
