/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Kernel images: where the compressed kernel is, and what it is for. */
#include <elf.h>
#include "packages.h"

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Where the compressed kernel is in a bzImage (Documentation/arch/x86/boot.rst) or an EFI zboot image. */
static bool find_payload(const char *data, size_t size, const char **ret, size_t *ret_size)
{
	uint64_t start, n;

	if (size > 0x260 && !memcmp(data + 0x202, "HdrS", 4)) {
		unsigned setup = (unsigned char)data[0x1f1] ? (unsigned char)data[0x1f1] : 4;

		start = (setup + 1) * 512ull + get32(data + 0x248);
		n = get32(data + 0x24c);
	} else if (size > 0x40 && !memcmp(data, "MZ", 2) && !memcmp(data + 4, "zimg", 4)) {
		start = get32(data + 8);
		n = get32(data + 12);
	} else {
		return false;
	}
	if (start >= size || n < 8 || n > size - start)
		return false;
	*ret = data + start;
	*ret_size = n;
	return true;
}

int ab_kernel_unpack(const char *data, size_t size, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	const char *payload;
	size_t payload_size;

	if (!find_payload(data, size, &payload, &payload_size))
		return -ENOENT;
	/* All compressors but gzip have the size in four bytes appended, which some of them take for another stream. */
	if (ab_inflate(payload, payload_size - 4, KERNEL_LIMIT, ret_data, ret_size, NULL) == 0)
		return 0;
	return ab_inflate(payload, payload_size, KERNEL_LIMIT, ret_data, ret_size, err);
}

const char *ab_kernel_arch(const char *data, size_t size)
{
	Elf64_Half machine;

	if (size > sizeof(Elf64_Ehdr) && !memcmp(data, ELFMAG, SELFMAG)) {
		memcpy(&machine, data + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
		return machine == EM_X86_64 ? "amd64" : machine == EM_AARCH64 ? "arm64" : NULL;
	}
	if (size > 0x260 && !memcmp(data + 0x202, "HdrS", 4))
		return "amd64";
	if (size > 0x40 && !memcmp(data + 0x38, "ARM\x64", 4))
		return "arm64";
	return NULL;
}
