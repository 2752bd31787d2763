/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* BTF from outside, raw or in an ELF file: what opens is asked everything and printed as C. */
#include <sys/mman.h>
#include <unistd.h>
#include <btf/internal.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_elf(const uint8_t *data, size_t size, struct ab_btf **ret_btf, struct ab_error *err)
{
	_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	if (fd < 0 || fd_write_all(fd, data, size))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return ab_btf_open_file(path, ret_btf, err);
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void ask(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	const char *name = ab_btf_name(btf, t);
	_text_ struct text out = {};
	_free_ char *nearest = NULL;

	for (uint32_t i = 0; ab_btf_is_struct(t) && i < ab_btf_vlen(t); i++) {
		struct member m = ab_btf_member(btf, t, i);

		check(m.offset + (m.bits ? m.bits : 8 * m.size) <= 8 * ab_btf_size(btf, id));
		check(strlen(m.name) < SIZE_MAX);
	}
	for (uint32_t i = 0; ab_btf_is_enum(t) && i < ab_btf_vlen(t); i++)
		check(strlen(ab_btf_str(btf, ab_btf_enumerator_name(t, i))) < SIZE_MAX);
	check(ab_btf_align(btf, id) >= 1 && ab_btf_align(btf, id) <= 16);
	check(ab_btf_resolve(btf, id) < ab_btf_count(btf));
	ab_btf_type_name(btf, id, &out);
	if (*name && ab_btf_kind(t) != BTF_KIND_DECL_TAG && ab_btf_kind(t) != BTF_KIND_TYPE_TAG)
		check(ab_btf_find(btf, name, ab_btf_kind(t)) <= id && ab_btf_find(btf, name, ab_btf_kind(t)));
	ab_btf_find_c(btf, name);
	ab_btf_tag(btf, id, id % 4 - 1, "a", 0);
	if (id < 16)
		nearest = ab_btf_nearest(btf, name);
}

static void print(const struct ab_btf *btf)
{
	_text_ struct text whole = {}, part = {};
	_strmap_ struct strmap names = {};

	ab_btf_header(btf, NULL, &whole, NULL);
	for (uint32_t id = 1; id < ab_btf_count(btf); id += 3) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const char *name = ab_btf_name(btf, t);

		strmap_put(&names, name, strlen(name), NULL);
		if (ab_btf_is_struct(t) && ab_btf_vlen(t)) {
			name = ab_btf_member(btf, t, id % ab_btf_vlen(t)).name;
			strmap_put(&names, name, strlen(name), NULL);
		}
	}
	ab_btf_header(btf, &names, &part, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_elf = size >= 4 && !memcmp(data, "\177ELF", 4);
	struct ab_btf *btf;
	int r = is_elf ? open_elf(data, size, &btf, NULL) : ab_btf_open_mem(data, size, &btf, NULL);

	if (r < 0)
		return 0;
	for (uint32_t id = 0; id <= ab_btf_count(btf); id++)
		ask(btf, id);
	print(btf);
	ab_btf_close(btf);
	return 0;
}
