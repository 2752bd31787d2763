/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Kernel images and modules: where their BTF is, and what they call themselves. Images come as ELF files, as ELF files
 * or bare memory inside something compressed, or as bare memory; all of it is found by content.
 */
#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <linux/btf.h>
#include "hub.h"

#define BUILD_ID_NOTE "\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU"

static uint32_t get32(const char *p, bool swap)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return swap ? __builtin_bswap32(v) : v;
}

bool ab_btf_length(const char *data, size_t size, size_t *ret_length)
{
	uint64_t types, strings, header;
	uint16_t magic;
	bool swap;

	if (size < sizeof(struct btf_header))
		return false;
	memcpy(&magic, data, sizeof(magic));
	swap = magic == __builtin_bswap16(BTF_MAGIC);
	if ((magic != BTF_MAGIC && !swap) || data[2] != BTF_VERSION)
		return false;
	header = get32(data + 4, swap);
	types = (uint64_t)get32(data + 8, swap) + get32(data + 12, swap);
	strings = (uint64_t)get32(data + 16, swap) + get32(data + 20, swap);
	if (header < sizeof(struct btf_header) || header > 4096 || header + MAX(types, strings) > size ||
	    get32(data + 12, swap) < sizeof(struct btf_type))
		return false;
	*ret_length = header + MAX(types, strings);
	return true;
}

/* ---- what a kernel says of itself ---- */

static bool set_build_id(struct identity *id, const char *bytes, size_t n)
{
	if (!n || n > sizeof(id->build_id))
		return false;
	memcpy(id->build_id, bytes, n);
	id->build_id_size = n;
	return true;
}

/* linux_banner; other strings begin with these words too, but only there a number follows. */
static bool find_banner(struct identity *id, const char *data, size_t size)
{
	static const char mark[] = "Linux version ";
	const char *p = data, *end = data + size;

	while ((p = memmem(p, end - p, mark, sizeof(mark) - 1))) {
		const char *digit = p + sizeof(mark) - 1;
		_free_ char *line = NULL;

		if (digit < end && *digit >= '0' && *digit <= '9' && memchr(digit, '\n', MIN(end - digit, 1024))) {
			line = strndup(p, MIN(end - p, 1024));
			if (line)
				ab_identity_banner(id, line);
			return line && *id->release;
		}
		p = digit;
	}
	return false;
}

/* ---- bare memory: arm64's Image and the like ---- */

static bool is_kernel_btf(const char *btf, size_t length)
{
	return memmem(btf, length, "\0task_struct", sizeof("\0task_struct"));
}

static void find_btf(const char *data, size_t size, struct image *image)
{
	static const char marks[2][4] = { "\x9f\xeb\x01", "\xeb\x9f\x01" };

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *p = data, *end = data + size;
		size_t length;

		/* Programs that come with the kernel have BTF of their own, so the largest counts. */
		for (; (p = memmem(p, end - p, marks[i], sizeof(marks[i]))); p++) {
			if (!ab_btf_length(p, end - p, &length) || length <= image->btf_size || length > BTF_LIMIT ||
			    !is_kernel_btf(p, length))
				continue;
			image->btf = p;
			image->btf_size = length;
			p += length - 1;
		}
	}
}

/* Images carry other ELF files, such as the vDSO, with build ids of their own. Where the one that begins at `p` ends.
 */
static size_t embedded_length(const char *p, size_t size)
{
	Elf64_Ehdr ehdr;
	uint64_t end;

	if (size < sizeof(ehdr) || memcmp(p, ELFMAG, SELFMAG))
		return 0;
	memcpy(&ehdr, p, sizeof(ehdr));
	if (ehdr.e_ident[EI_CLASS] == ELFCLASS32) {
		Elf32_Ehdr small;

		memcpy(&small, p, sizeof(small));
		end = small.e_shoff + (uint64_t)small.e_shnum * small.e_shentsize;
	} else {
		end = ehdr.e_shoff > size ? 0 : ehdr.e_shoff + (uint64_t)ehdr.e_shnum * ehdr.e_shentsize;
	}
	return end <= size ? end : 0;
}

static void find_build_id(struct identity *id, const char *data, size_t size)
{
	const char *p = data, *end = data + size, *elf = data, *elf_end = data;
	const size_t head = sizeof(BUILD_ID_NOTE);

	while ((p = memmem(p, end - p, BUILD_ID_NOTE, head)) && (size_t)(end - p) >= head + 20) {
		/* Moves over the embedded files that begin before the note. */
		while (elf < p) {
			const char *next = memmem(elf, p - elf, ELFMAG, SELFMAG);

			if (!next)
				break;
			elf_end = MAX(elf_end, next + embedded_length(next, end - next));
			elf = next + SELFMAG;
		}
		if (p >= elf_end) {
			set_build_id(id, p + head, 20);
			return;
		}
		p += head;
	}
}

static void scan_memory(const char *data, size_t size, struct image *image)
{
	if (size > 0x40 && !memcmp(data + 0x38, "ARM\x64", 4))
		identity_set(image->id.arch, "aarch64");
	else if (size > 0x40 && !memcmp(data + 0x38, "RSC\x05", 4))
		identity_set(image->id.arch, "riscv64");
	find_btf(data, size, image);
	if (image->btf) {
		find_banner(&image->id, data, size);
		find_build_id(&image->id, data, size);
	}
}

/* ---- ELF ---- */

static void read_notes(struct identity *id, const char *data, size_t size, bool swap)
{
	for (uint64_t at = 0; at + 12 <= size;) {
		uint64_t name = get32(data + at, swap), desc = get32(data + at + 4, swap);
		uint64_t content = at + 12 + ((name + 3) & ~3ull);

		if (content > size || desc > size - content)
			return;
		if (get32(data + at + 8, swap) == NT_GNU_BUILD_ID && name == 4 && !memcmp(data + at + 12, "GNU", 4) &&
		    set_build_id(id, data + content, desc))
			return;
		at = content + ((desc + 3) & ~3ull);
	}
}

/* A module's own words: NAME=VALUE strings with NULs between. */
static const char *find_info(const char *data, size_t size, const char *name)
{
	const char *end = data + size;
	size_t n = strlen(name);

	for (const char *p = data; p < end && memchr(p, '\0', end - p); p += strlen(p) + 1)
		if (!strncmp(p, name, n) && p[n] == '=')
			return p + n + 1;
	return NULL;
}

static void read_modinfo(struct image *image, const char *data, size_t size)
{
	const char *name = find_info(data, size, "name"), *magic = find_info(data, size, "vermagic");

	if (!magic)
		return;
	image->is_module = true;
	ab_identity_set(image->id.release, sizeof(image->id.release), magic, strcspn(magic, " "));
	if (name)
		identity_set(image->id.module, name);
}

struct elf_scan {
	struct image *image;
	const char *data;
	size_t size;
	bool swap, banner;
};

static void scan_section(struct elf_scan *scan, const char *name, const GElf_Shdr *header)
{
	struct image *image = scan->image;
	const char *content;
	size_t length;

	if (!strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info"))
		image->has_dwarf = header->sh_type == SHT_PROGBITS && header->sh_size;
	if (header->sh_type == SHT_NOBITS || header->sh_offset > scan->size ||
	    header->sh_size > scan->size - header->sh_offset)
		return;
	content = scan->data + header->sh_offset;
	if (!strcmp(name, ".BTF") && header->sh_size <= BTF_LIMIT && ab_btf_length(content, header->sh_size, &length)) {
		image->btf = content;
		image->btf_size = length;
	} else if (header->sh_type == SHT_NOTE && !image->id.build_id_size) {
		read_notes(&image->id, content, header->sh_size, scan->swap);
	} else if (!strcmp(name, ".modinfo")) {
		/* The kernel itself has one too, of what is built in, without vermagic. */
		read_modinfo(image, content, header->sh_size);
	} else if (header->sh_type == SHT_PROGBITS && (header->sh_flags & SHF_ALLOC) &&
		   !(header->sh_flags & SHF_EXECINSTR) && !scan->banner) {
		scan->banner = find_banner(&image->id, content, header->sh_size);
	}
}

static int scan_elf(const char *data, size_t size, struct image *image, struct ab_error *err)
{
	struct elf_scan scan = { image, data, size };
	const char *arch;
	Elf_Scn *section = NULL;
	GElf_Ehdr ehdr;
	size_t names;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)data, size);
	if (!elf || !gelf_getehdr(elf, &ehdr)) {
		elf_end(elf);
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the ELF header is damaged");
	}
	image->is_elf = true;
	scan.swap = ehdr.e_ident[EI_DATA] != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB);
	arch = ab_arch_of_machine(ehdr.e_machine, ehdr.e_ident[EI_DATA] == ELFDATA2LSB,
				  ehdr.e_ident[EI_CLASS] == ELFCLASS64);
	if (arch)
		identity_set(image->id.arch, arch);
	if (elf_getshdrstrndx(elf, &names) == 0) {
		while ((section = elf_nextscn(elf, section))) {
			GElf_Shdr header;
			const char *name;

			if (gelf_getshdr(section, &header) && (name = elf_strptr(elf, names, header.sh_name)))
				scan_section(&scan, name, &header);
		}
	}
	elf_end(elf);
	/* A kernel that was stripped of its sections still has its memory. */
	if (!image->btf && !image->has_dwarf && !image->is_module)
		scan_memory(data, size, image);
	return 0;
}

/* ---- what is inside what ---- */

static int scan_layer(const char *data, size_t size, unsigned depth, struct image *image, struct ab_error *err);

/* Goes on with what was inflated, which the image keeps: the innermost only. */
static int scan_inner(char *data, size_t size, unsigned depth, struct image *image, struct ab_error *err)
{
	free(image->inner);
	image->inner = data;
	image->inner_size = size;
	return scan_layer(data, size, depth, image, err);
}

static int scan_layer(const char *data, size_t size, unsigned depth, struct image *image, struct ab_error *err)
{
	_free_ char *outer = NULL;
	size_t length, inner_size;
	char *inner;
	int r;

	if (depth > NESTING_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "compressed more than %d times over", NESTING_LIMIT);
	if (ab_btf_length(data, size, &length)) {
		image->btf = data;
		image->btf_size = length;
		return 0;
	}
	if (size > SELFMAG && !memcmp(data, ELFMAG, SELFMAG))
		return scan_elf(data, size, image, err);
	if (ab_is_compressed(data, size)) {
		r = ab_inflate(data, size, KERNEL_LIMIT, &inner, &inner_size, err);
	} else {
		if (size > 0x260 && !memcmp(data + 0x202, "HdrS", 4))
			identity_set(image->id.arch, data[0x236] & 1 ? "x86_64" : "i686");
		r = ab_kernel_unpack(data, size, &inner, &inner_size, err);
	}
	if (r == -ENOENT && !(err && err->code)) {
		scan_memory(data, size, image);
		return 0;
	}
	if (r < 0)
		return r;
	/* What is scanned now may be the layer that scan_inner() frees. */
	outer = image->inner;
	image->inner = NULL;
	return scan_inner(inner, inner_size, depth + 1, image, err);
}

int ab_image_scan(const char *data, size_t size, struct image *image, struct ab_error *err)
{
	return scan_layer(data, size, 0, image, err);
}

void ab_image_clear(struct image *image)
{
	free(image->inner);
	*image = (struct image){};
}
