/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The check of an ELF file before libbpf reads it. libbpf trusts much of what it finds: section sizes, string offsets, symbol
 * and relocation indices, BTF and line records. Everything here is read with bounds checks and by memcpy(), since
 * nothing in a hostile file is aligned.
 */
#include <elf.h>
#include <linux/bpf.h>
#include "embedded.h"
#include "run.h"

#ifndef EM_BPF
#define EM_BPF 247
#endif

#define SECTIONS_MAX 4096
#define SYMBOLS_MAX (1u << 20)
#define NOBITS_MAX (64u << 20) /* of a section without contents */

struct elf {
	const uint8_t *data;
	size_t size;
	Elf64_Ehdr head;
	Elf64_Shdr *sections;
	size_t count;
};

static int bad(struct ab_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int bad(struct ab_error *err, const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s", what);
}

/* The string at an offset of a string table, or NULL if it is not inside or not terminated. */
static const char *string_at(const struct elf *e, const Elf64_Shdr *table, uint64_t offset)
{
	const char *p = (const char *)e->data + table->sh_offset;

	if (offset >= table->sh_size || !memchr(p + offset, '\0', table->sh_size - offset))
		return NULL;
	return p + offset;
}

static const char *section_name(const struct elf *e, size_t i)
{
	return string_at(e, &e->sections[e->head.e_shstrndx], e->sections[i].sh_name);
}

/* Reads file and section headers; `e->sections` is the caller's to free also on failure. */
static int read_headers(struct elf *e, const void *data, size_t size, struct ab_error *err)
{
	const Elf64_Shdr *names;

	*e = (struct elf){ .data = data, .size = size };
	if (size < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG))
		return bad(err, "not an ELF file");
	if (size < sizeof(e->head))
		return bad(err, "truncated ELF header");
	memcpy(&e->head, data, sizeof(e->head));
	if (e->head.e_ident[EI_CLASS] != ELFCLASS64)
		return bad(err, "not a 64-bit ELF file");
	if (e->head.e_ident[EI_DATA] != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
		return bad(err, "built for the other byte order");
	if (e->head.e_shentsize != sizeof(Elf64_Shdr) || !e->head.e_shnum || e->head.e_shnum > SECTIONS_MAX)
		return bad(err, "no usable section table");
	e->count = e->head.e_shnum;
	if (e->head.e_shoff > size || e->count * sizeof(Elf64_Shdr) > size - e->head.e_shoff)
		return bad(err, "truncated: the section table is beyond the end of the file");
	e->sections = array_new(e->count, sizeof(*e->sections));
	if (!e->sections)
		return ab_fail_memory(err);
	memcpy(e->sections, e->data + e->head.e_shoff, e->count * sizeof(*e->sections));
	for (size_t i = 1; i < e->count; i++) {
		const Elf64_Shdr *s = &e->sections[i];

		if (s->sh_type != SHT_NOBITS && (s->sh_offset > size || s->sh_size > size - s->sh_offset))
			return bad(err, "truncated: section %zu is beyond the end of the file", i);
	}
	if (!e->head.e_shstrndx || e->head.e_shstrndx >= e->count)
		return bad(err, "no section names");
	names = &e->sections[e->head.e_shstrndx];
	if (names->sh_type != SHT_STRTAB)
		return bad(err, "no section names");
	for (size_t i = 1; i < e->count; i++)
		if (!section_name(e, i))
			return bad(err, "section %zu has no valid name", i);
	return 0;
}

/*
 * A function that ends with the first half of a 64-bit load: libbpf would write its second half behind the function when it
 * puts an address there.
 */
static bool is_cut(const struct elf *e, const Elf64_Sym *sym)
{
	const Elf64_Shdr *s = &e->sections[sym->st_shndx];
	uint64_t end = sym->st_value + sym->st_size;

	return (s->sh_flags & SHF_EXECINSTR) && s->sh_type == SHT_PROGBITS && end >= sizeof(struct bpf_insn) &&
	       e->data[s->sh_offset + end - sizeof(struct bpf_insn)] == (BPF_LD | BPF_IMM | BPF_DW);
}

static int check_symbols(const struct elf *e, size_t index, struct ab_error *err)
{
	const Elf64_Shdr *s = &e->sections[index], *strings;
	size_t n = s->sh_size / sizeof(Elf64_Sym);

	if (s->sh_entsize != sizeof(Elf64_Sym) || s->sh_size % sizeof(Elf64_Sym) || n > SYMBOLS_MAX)
		return bad(err, "symbol table of wrong size");
	if (!s->sh_link || s->sh_link >= e->count || e->sections[s->sh_link].sh_type != SHT_STRTAB)
		return bad(err, "symbol table without strings");
	strings = &e->sections[s->sh_link];
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym sym;

		memcpy(&sym, e->data + s->sh_offset + i * sizeof(sym), sizeof(sym));
		if (!string_at(e, strings, sym.st_name))
			return bad(err, "symbol %zu has no valid name", i);
		if (sym.st_shndx < SHN_LORESERVE && sym.st_shndx >= e->count)
			return bad(err, "symbol %zu is in a section that does not exist", i);
		/* libbpf takes a variable's offset from any symbol of its name, in 32 bits. */
		if (sym.st_value > e->size && sym.st_value > NOBITS_MAX)
			return bad(err, "symbol %zu has a value beyond any section", i);
		if (!sym.st_shndx || sym.st_shndx >= SHN_LORESERVE)
			continue;
		if (sym.st_value > e->sections[sym.st_shndx].sh_size ||
		    sym.st_size > e->sections[sym.st_shndx].sh_size - sym.st_value)
			return bad(err, "symbol '%s' is beyond the end of its section",
				   string_at(e, strings, sym.st_name));
		if (is_cut(e, &sym))
			return bad(err, "function '%s' ends inside an instruction", string_at(e, strings, sym.st_name));
	}
	return 0;
}

static int check_relocations(const struct elf *e, size_t index, size_t symtab, struct ab_error *err)
{
	const Elf64_Shdr *s = &e->sections[index], *target;
	size_t symbols = symtab ? e->sections[symtab].sh_size / sizeof(Elf64_Sym) : 0;

	if (s->sh_entsize != sizeof(Elf64_Rel) || s->sh_size % sizeof(Elf64_Rel))
		return bad(err, "relocation section %zu of wrong size", index);
	if (s->sh_link != symtab || !s->sh_info || s->sh_info >= e->count || s->sh_info == index)
		return bad(err, "relocation section %zu is for no section", index);
	target = &e->sections[s->sh_info];
	for (size_t i = 0; i < s->sh_size / sizeof(Elf64_Rel); i++) {
		Elf64_Rel rel;

		memcpy(&rel, e->data + s->sh_offset + i * sizeof(rel), sizeof(rel));
		if (ELF64_R_SYM(rel.r_info) >= symbols)
			return bad(err, "relocation %zu of section %zu is for a symbol that does not exist", i, index);
		if (rel.r_offset >= target->sh_size)
			return bad(err, "relocation %zu of section %zu is beyond the end of its section", i, index);
	}
	return 0;
}

/* .BTF and .BTF.ext: one of each, with contents, in this machine's byte order. */
static int take_types(const struct elf *e, const Elf64_Shdr *s, const char *name, const void **ret, size_t *ret_size,
		      struct ab_error *err)
{
	uint16_t magic = 0;

	memcpy(&magic, e->data + s->sh_offset, MIN(s->sh_size, sizeof(magic)));
	if (*ret)
		return bad(err, "two sections '%s'", name);
	if (magic != BTF_MAGIC)
		return bad(err, "section '%s' holds no BTF", name);
	*ret = e->data + s->sh_offset;
	*ret_size = s->sh_size;
	return 0;
}

static bool has_code(const struct elf *e)
{
	for (size_t i = 1; i < e->count; i++)
		if (e->sections[i].sh_flags & SHF_EXECINSTR && e->sections[i].sh_size)
			return true;
	return false;
}

static int check_sections(const struct elf *e, struct ab_elf_info *info, struct ab_error *err)
{
	size_t symtab = 0;
	int r = 0;

	for (size_t i = 1; i < e->count; i++) {
		const Elf64_Shdr *s = &e->sections[i];
		const char *name = section_name(e, i);

		if (s->sh_flags & SHF_COMPRESSED)
			return bad(err, "section '%s' is compressed", name);
		if (s->sh_type == SHT_NOBITS && s->sh_size > NOBITS_MAX)
			return bad(err, "section '%s' is too large", name);
		if (s->sh_type == SHT_NOBITS && s->sh_size && strcmp(name, ".bss") && !str_starts(name, ".bss."))
			return bad(err, "section '%s' has no contents", name);
		if (s->sh_type == SHT_RELA)
			return bad(err, "section '%s' has relocations of a kind that BPF does not use", name);
		if ((s->sh_flags & SHF_EXECINSTR) && s->sh_size % sizeof(struct bpf_insn))
			return bad(err, "section '%s' is no whole number of instructions", name);
		if (s->sh_type == SHT_SYMTAB) {
			if (symtab)
				return bad(err, "two symbol tables");
			symtab = i;
		}
		if (!strcmp(name, ".BTF"))
			r = take_types(e, s, name, &info->btf, &info->btf_size, err);
		else if (!strcmp(name, ".BTF.ext"))
			r = take_types(e, s, name, &info->btf_ext, &info->btf_ext_size, err);
		if (r < 0)
			return r;
	}
	if (!symtab)
		return bad(err, "no symbol table");
	r = check_symbols(e, symtab, err);
	for (size_t i = 1; !r && i < e->count; i++)
		if (e->sections[i].sh_type == SHT_REL)
			r = check_relocations(e, i, symtab, err);
	return r;
}

int ab_elf_check(const void *data, size_t size, struct ab_elf_info *ret_info, struct ab_error *err)
{
	struct ab_elf_info info = {};
	struct elf e;
	int r = read_headers(&e, data, size, err);

	if (!r && e.head.e_machine != EM_BPF)
		r = bad(err, "built for machine %u, not for BPF (clang -target bpf makes BPF objects)",
			e.head.e_machine);
	if (!r && e.head.e_type != ET_REL)
		r = bad(err, "not a relocatable object");
	if (!r)
		r = check_sections(&e, &info, err);
	if (!r && !info.btf)
		r = bad(err, has_code(&e) ? "no BTF in the object: compile it with -g" : "no BPF program in the object");
	free(e.sections);
	if (!r)
		*ret_info = info;
	return r;
}

int ab_elf_embedded(const void *data, size_t size, const void **ret_object, size_t *ret_size, struct ab_error *err)
{
	struct elf e;
	int r = 0;

	*ret_object = NULL;
	if (size < sizeof(Elf64_Ehdr) || memcmp(data, ELFMAG, SELFMAG))
		return 0;
	memcpy(&e.head, data, sizeof(e.head));
	if (e.head.e_type != ET_DYN)
		return 0;
	r = read_headers(&e, data, size, err);
	for (size_t i = 1; !r && i < e.count; i++) {
		if (e.sections[i].sh_type == SHT_NOBITS || strcmp(section_name(&e, i), EMBEDDED_SECTION))
			continue;
		r = ab_embedded_object(e.data + e.sections[i].sh_offset, e.sections[i].sh_size, ret_object, ret_size, err);
		break;
	}
	if (!r && !*ret_object)
		r = bad(err, "a shared library that carries no BPF object (`anybpf build -o NAME.so` makes one that does)");
	free(e.sections);
	return r;
}

const void *ab_elf_section(const void *data, size_t size, const char *name, size_t *ret_size)
{
	const void *found = NULL;
	struct elf e;

	if (!read_headers(&e, data, size, NULL))
		for (size_t i = 1; !found && i < e.count; i++)
			if (e.sections[i].sh_type != SHT_NOBITS && !strcmp(section_name(&e, i), name)) {
				found = e.data + e.sections[i].sh_offset;
				*ret_size = e.sections[i].sh_size;
			}
	free(e.sections);
	return found;
}

/* Where contents end that are kept: neither the section that is replaced nor names and headers, which are written anew. */
static size_t end_without(const struct elf *e, size_t section)
{
	size_t end = sizeof(e->head);

	for (size_t i = 1; i < e->count; i++) {
		const Elf64_Shdr *s = &e->sections[i];

		if (i != section && i != e->head.e_shstrndx && s->sh_type != SHT_NOBITS)
			end = MAX(end, s->sh_offset + s->sh_size);
	}
	return end;
}

static void pad(struct text *out)
{
	text_add(out, "\0\0\0\0\0\0\0", -out->n & 7);
}

/* The file up to `end`, the section, names and section headers; the table has room for one more. */
static void put_section(struct elf *e, size_t section, size_t end, const char *name, const void *content, size_t size,
			struct text *out)
{
	Elf64_Shdr *names = &e->sections[e->head.e_shstrndx];
	Elf64_Shdr new = { .sh_type = SHT_PROGBITS, .sh_size = size, .sh_addralign = 8 };
	const char *old_names = (const char *)e->data + names->sh_offset;

	text_add(out, (const char *)e->data, end);
	pad(out);
	new.sh_offset = out->n;
	new.sh_name = section ? e->sections[section].sh_name : names->sh_size;
	text_add(out, content, size);
	names->sh_offset = out->n;
	text_add(out, old_names, names->sh_size);
	if (!section)
		text_add(out, name, strlen(name) + 1);
	names->sh_size = out->n - names->sh_offset;
	pad(out);
	e->head.e_shnum = section ? e->count : e->count + 1;
	e->head.e_shoff = out->n;
	e->sections[section ? section : e->count] = new;
	text_add(out, (const char *)e->sections, e->head.e_shnum * sizeof(*e->sections));
	if (out->p && out->n >= sizeof(e->head))
		memcpy(out->p, &e->head, sizeof(e->head));
}

int ab_elf_set_section(const void *data, size_t size, const char *name, const void *content, size_t content_size,
		       struct text *out, struct ab_error *err)
{
	struct elf e;
	int r = read_headers(&e, data, size, err);
	Elf64_Shdr *more = r ? NULL : realloc(e.sections, (e.count + 1) * sizeof(*more));
	size_t section = 0;

	if (!r && !more)
		r = ab_fail_memory(err);
	if (!r) {
		e.sections = more;
		for (size_t i = 1; !section && i < e.count; i++)
			if (!strcmp(section_name(&e, i), name))
				section = i;
		if (!section && e.count == SECTIONS_MAX)
			r = bad(err, "too many sections for one more");
		else if (section && section == e.head.e_shstrndx)
			r = bad(err, "the section names are called '%s'", name);
	}
	if (!r)
		put_section(&e, section, end_without(&e, section), name, content, content_size, out);
	free(e.sections);
	return r ? r : out->failed ? ab_fail_memory(err) : 0;
}

/*
 * Variables of sections: libbpf adds offset and size in 32 bits. `size` is the file's.
 */
int ab_elf_check_variables(const struct ab_btf *btf, size_t size, struct ab_error *err)
{
	size_t limit = MAX(size, NOBITS_MAX);

	for (uint32_t id = 1; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const struct btf_var_secinfo *vars = ab_btf_data(t);

		if (ab_btf_kind(t) != BTF_KIND_DATASEC)
			continue;
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			if (vars[i].offset > limit || vars[i].size > limit || ab_btf_size(btf, vars[i].type) > limit)
				return bad(err, ".BTF: variable '%s' is beyond the end of its section",
					   ab_btf_name(btf, ab_btf_type(btf, vars[i].type)));
	}
	return 0;
}
