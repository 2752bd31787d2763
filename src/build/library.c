/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Makes a library that carries an object: the template with one section more (docs/format-so.md). */
#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <unistd.h>
#include <anybpf/library.h>
#include <build/build-config.h>
#include <run/embedded.h>
#include "internal.h"

enum { TEMPLATE_LIMIT = 64 << 20, ALIGNMENT = 16 };

#define TEMPLATE "anybpf-template.so"

/* ---- the template ---- */

static bool is_there(char *path)
{
	return path && access(path, R_OK) == 0;
}

static char *join(const char *dir, size_t n, const char *name)
{
	char *path;

	return asprintf(&path, "%.*s/%s", (int)n, dir, name) < 0 ? NULL : path;
}

static char *find_template(void)
{
	const char *env = getenv("ANYBPF_LIBDIR");
	char self[PATH_MAX], *path;
	ssize_t n;

	if (env && *env)
		return join(env, strlen(env), TEMPLATE);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		path = join(self, path_base(self) - self, TEMPLATE);
		if (is_there(path))
			return path;
		free(path);
	}
	return strdup(ANYBPF_LIBDIR "/" TEMPLATE);
}

static int read_template(char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_free_ char *path = find_template();

	if (!path)
		return ab_fail_memory(err);
	if (!is_there(path))
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -ENOENT,
			       "'%s' is not installed, so no library can be made; make an .o instead, or set ANYBPF_LIBDIR", path);
	return file_read(path, TEMPLATE_LIMIT, ret_data, ret_size, err);
}

/* ---- one section more ---- */

/* Headers are copied out and in: nothing in a file is sure to be aligned. */
struct layout {
	Elf64_Ehdr head;
	Elf64_Shdr names; /* the section of section names */
};

static int bad(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "not a library that this anybpf can add to");
}

static bool is_inside(uint64_t offset, uint64_t n, uint64_t size)
{
	return offset <= size && n <= size - offset;
}

static int read_layout(const char *data, size_t size, struct layout *l, struct ab_error *err)
{
	Elf64_Shdr *names = &l->names;
	uint64_t table;

	if (size < sizeof(l->head) || memcmp(data, ELFMAG, SELFMAG) || data[EI_CLASS] != ELFCLASS64)
		return bad(err);
	memcpy(&l->head, data, sizeof(l->head));
	table = (uint64_t)l->head.e_shnum * sizeof(Elf64_Shdr);
	if (l->head.e_type != ET_DYN || l->head.e_shentsize != sizeof(Elf64_Shdr) || !l->head.e_shnum ||
	    l->head.e_shstrndx >= l->head.e_shnum || l->head.e_shnum > 1000 || !is_inside(l->head.e_shoff, table, size))
		return bad(err);
	memcpy(names, data + l->head.e_shoff + l->head.e_shstrndx * sizeof(*names), sizeof(*names));
	return is_inside(names->sh_offset, names->sh_size, size) ? 0 : bad(err);
}

static void pad(struct text *out, size_t alignment)
{
	while (out->n % alignment)
		text_add(out, "", 1);
}

static void write_library(const char *data, size_t size, const char *name, const struct text *content, struct layout *l,
			  struct text *out)
{
	Elf64_Shdr *names = &l->names;
	uint64_t table = (uint64_t)l->head.e_shnum * sizeof(Elf64_Shdr);
	/* The old table is at the end of what linkers write; then nothing refers to where it was. */
	size_t kept = l->head.e_shoff + table == size ? l->head.e_shoff : size;
	Elf64_Shdr added = { .sh_name = names->sh_size, .sh_type = SHT_PROGBITS, .sh_addralign = ALIGNMENT, .sh_size = content->n };
	size_t index = l->head.e_shstrndx, old_table = l->head.e_shoff;

	text_add(out, data, kept);
	pad(out, ALIGNMENT);
	added.sh_offset = out->n;
	text_add(out, content->p, content->n);
	text_add(out, data + names->sh_offset, names->sh_size);
	text_add(out, name, strlen(name) + 1);
	names->sh_offset = added.sh_offset + added.sh_size;
	names->sh_size += strlen(name) + 1;
	pad(out, 8);
	l->head.e_shoff = out->n;
	l->head.e_shnum++;
	text_add(out, data + old_table, table);
	text_add(out, (const char *)&added, sizeof(added));
	if (out->failed)
		return;
	memcpy(out->p, &l->head, sizeof(l->head));
	memcpy(out->p + l->head.e_shoff + index * sizeof(*names), names, sizeof(*names));
}

static int add_section(const char *data, size_t size, const char *name, const struct text *content, void **ret_data,
		       size_t *ret_size, struct ab_error *err)
{
	_text_ struct text out = {};
	struct layout l = {};
	int r = read_layout(data, size, &l, err);

	if (r)
		return r;
	if (!content->failed)
		write_library(data, size, name, content, &l, &out);
	if (out.failed || content->failed)
		return ab_fail_memory(err);
	*ret_size = out.n;
	*ret_data = TAKE(out.p);
	return 0;
}

int ab_library_add_section(const void *library, size_t size, const char *name, const void *content, size_t content_size,
			   void **ret_data, size_t *ret_size, struct ab_error *err)
{
	_text_ struct text copy = {};

	text_add(&copy, content, content_size);
	return add_section(library, size, name, &copy, ret_data, ret_size, err);
}

int ab_library_write(const void *object, size_t size, void **ret_data, size_t *ret_size, struct ab_error *err)
{
	_free_ char *data = NULL;
	_text_ struct text content = {};
	uint8_t header[EMBEDDED_HEADER_SIZE];
	size_t n;
	int r = read_template(&data, &n, err);

	if (r)
		return r;
	ab_embedded_header(object, size, header);
	text_add(&content, (const char *)header, sizeof(header));
	text_add(&content, object, size);
	r = add_section(data, n, EMBEDDED_SECTION, &content, ret_data, ret_size, err);
	if (r == -EBADMSG)
		ab_error_prefix(err, "%s", TEMPLATE);
	return r;
}

/* ---- which glibc it needs ---- */

static unsigned version_number(const char *version)
{
	unsigned major = 0, minor = 0, patch = 0;

	if (sscanf(version, "GLIBC_%u.%u.%u", &major, &minor, &patch) < 2)
		return 0;
	return major << 20 | MIN(minor, 1023u) << 10 | MIN(patch, 1023u);
}

static void find_newest(Elf *elf, Elf_Data *data, const GElf_Shdr *head, const char **ret_newest)
{
	GElf_Verneed need;

	for (size_t at = 0, i = 0; i < head->sh_info && gelf_getverneed(data, at, &need); i++, at += need.vn_next) {
		GElf_Vernaux aux;

		for (size_t aux_at = at + need.vn_aux, k = 0; k < need.vn_cnt && gelf_getvernaux(data, aux_at, &aux);
		     k++, aux_at += aux.vna_next) {
			const char *name = elf_strptr(elf, head->sh_link, aux.vna_name);

			if (name && version_number(name) > version_number(*ret_newest))
				*ret_newest = name;
			if (!aux.vna_next)
				break;
		}
		if (!need.vn_next)
			break;
	}
}

int ab_library_glibc(const void *data, size_t size, char ret_version[16], struct ab_error *err)
{
	const char *newest = "GLIBC_";
	Elf_Scn *scn = NULL;
	Elf *elf;

	elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_memory((char *)data, size);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "not an ELF file");
	}
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr head;
		Elf_Data *section;

		if (!gelf_getshdr(scn, &head) || head.sh_type != SHT_GNU_verneed)
			continue;
		section = elf_getdata(scn, NULL);
		if (section)
			find_newest(elf, section, &head, &newest);
	}
	snprintf(ret_version, 16, "%s", newest + strlen("GLIBC_"));
	elf_end(elf);
	return 0;
}
