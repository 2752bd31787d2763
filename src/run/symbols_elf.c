/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Symbols of ELF files: .symtab, else that of the separate debug file, else .dynsym.
 *
 * The files belong to whoever is being traced: every offset, index and string is checked here, sizes are limited,
 * and whatever cannot be read is left out. Files are read, not mapped: one that shrinks meanwhile must not end us.
 */
#include <fcntl.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "symbols.h"

#define LOADS_MAX 256
#define SYMBOL_SECTION_MAX (512ull << 20)
/* All names of a table together: overlapping ones could make more of a small file than there is memory. */
#define NAMES_MAX (1ull << 30)
#define NAME_MAX_LEN (32 << 10)
#define NOTES_MAX (64 << 10)
#define DEBUG_FILE_CRC_MAX (1ull << 30)

static int read_loads(struct ab_elf *elf, Elf *e)
{
	size_t n;

	if (elf_getphdrnum(e, &n) < 0 || !n)
		return 0;
	n = MIN(n, LOADS_MAX);
	elf->loads = array_new(n, sizeof(*elf->loads));
	if (!elf->loads)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(e, i, &phdr) || phdr.p_type != PT_LOAD || phdr.p_filesz > UINT64_MAX - phdr.p_offset)
			continue;
		elf->loads[elf->loads_n++] = (struct ab_elf_load){
			.offset = phdr.p_offset, .size = phdr.p_filesz, .address = phdr.p_vaddr, .exec = phdr.p_flags & PF_X,
		};
	}
	return 0;
}

bool ab_elf_address(const struct ab_elf *elf, uint64_t file_offset, uint64_t *ret_address)
{
	/* Neighbours share a page of the file: what is executed was meant for the executable one. */
	for (int exec = 1; exec >= 0; exec--)
		for (size_t i = 0; i < elf->loads_n; i++) {
			const struct ab_elf_load *load = &elf->loads[i];

			if (load->exec == exec && file_offset >= load->offset && file_offset - load->offset < load->size) {
				*ret_address = file_offset - load->offset + load->address;
				return true;
			}
		}
	return false;
}

/* ---- identity ---- */

static bool take_build_id(struct ab_elf *elf, Elf_Data *data)
{
	size_t at = 0, next, name_at, desc_at;
	GElf_Nhdr nhdr;

	while (data && (next = gelf_getnote(data, at, &nhdr, &name_at, &desc_at)) > 0) {
		const char *p = data->d_buf;

		if (nhdr.n_type == NT_GNU_BUILD_ID && nhdr.n_namesz == sizeof("GNU") && !memcmp(p + name_at, "GNU", 4) &&
		    nhdr.n_descsz >= 4 && nhdr.n_descsz <= AB_BUILD_ID_MAX) {
			memcpy(elf->build_id, p + desc_at, nhdr.n_descsz);
			elf->build_id_len = nhdr.n_descsz;
			return true;
		}
		at = next;
	}
	return false;
}

void ab_elf_read_build_id(struct ab_elf *elf, Elf *e)
{
	size_t n;

	if (elf_getphdrnum(e, &n) < 0)
		return;
	for (size_t i = 0; i < MIN(n, LOADS_MAX); i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(e, i, &phdr) && phdr.p_type == PT_NOTE && phdr.p_filesz && phdr.p_filesz <= NOTES_MAX &&
		    take_build_id(elf, elf_getdata_rawchunk(e, phdr.p_offset, phdr.p_filesz,
							    phdr.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR)))
			return;
	}
}

static void take_debug_link(struct ab_elf *elf, Elf *e, Elf_Data *data)
{
	size_t len, at;
	uint32_t crc;
	Elf_Data raw, native;

	if (!data || !data->d_buf)
		return;
	len = strnlen(data->d_buf, data->d_size);
	at = (len + 4) & ~3ull;
	if (!len || len >= sizeof(elf->debug_link) || at + 4 > data->d_size || memchr(data->d_buf, '/', len))
		return;
	raw = (Elf_Data){ .d_buf = (char *)data->d_buf + at, .d_size = 4, .d_type = ELF_T_WORD, .d_version = EV_CURRENT };
	native = (Elf_Data){ .d_buf = &crc, .d_size = 4, .d_type = ELF_T_WORD, .d_version = EV_CURRENT };
	if (!gelf_xlatetom(e, &native, &raw, (unsigned char)elf_getident(e, NULL)[EI_DATA]))
		return;
	memcpy(elf->debug_link, data->d_buf, len + 1);
	elf->debug_crc = crc;
}

/* ---- symbols ---- */

static bool is_code(Elf *e, const GElf_Sym *sym)
{
	int type = GELF_ST_TYPE(sym->st_info);
	GElf_Shdr shdr;

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS || sym->st_shndx == SHN_COMMON)
		return false;
	if (type == STT_FUNC || type == STT_GNU_IFUNC)
		return true;
	return type == STT_NOTYPE && sym->st_shndx < SHN_LORESERVE &&
	       gelf_getshdr(elf_getscn(e, sym->st_shndx), &shdr) && (shdr.sh_flags & SHF_EXECINSTR);
}

/* Marks of the assembler ($x, $d…: what is code and what is data) and labels that it should have kept to itself. */
static bool is_assembler_mark(const char *name)
{
	return name[0] == '$' || (name[0] == '.' && name[1] == 'L');
}

/* Returns how much there was to read. */
static size_t add_symbol(struct ab_symtab *t, Elf *e, const GElf_Ehdr *ehdr, const GElf_Sym *sym, const Elf_Data *strings)
{
	int bind = GELF_ST_BIND(sym->st_info);
	uint64_t start = sym->st_value;
	const char *name;
	size_t len, max, plain_len;

	if (sym->st_name >= strings->d_size || !is_code(e, sym))
		return 0;
	name = (const char *)strings->d_buf + sym->st_name;
	max = MIN(strings->d_size - sym->st_name, NAME_MAX_LEN);
	len = strnlen(name, max);
	if (len == max || is_assembler_mark(name))
		return len;
	plain_len = strcspn(name, "@"); /* name@@VERSION */
	if (!plain_len)
		return len;
	if (ehdr->e_machine == EM_ARM && GELF_ST_TYPE(sym->st_info) == STT_FUNC)
		start &= ~1ull; /* Thumb */
	ab_symtab_add(t, start, sym->st_size, bind == STB_WEAK ? SYM_WEAK : bind == STB_LOCAL ? SYM_LOCAL : SYM_GLOBAL, name,
		      plain_len);
	return len;
}

static void read_symbols(struct ab_symtab *t, Elf *e, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	uint64_t names_size = 0;
	size_t entry = gelf_fsize(e, ELF_T_SYM, 1, EV_CURRENT);
	Elf_Data *data, *strings;
	GElf_Shdr strings_shdr;
	Elf_Scn *strings_scn = elf_getscn(e, shdr->sh_link);
	GElf_Ehdr ehdr;

	if (!entry || !gelf_getehdr(e, &ehdr) || !gelf_getshdr(strings_scn, &strings_shdr) ||
	    strings_shdr.sh_type != SHT_STRTAB || shdr->sh_size > SYMBOL_SECTION_MAX ||
	    strings_shdr.sh_size > SYMBOL_SECTION_MAX || ((shdr->sh_flags | strings_shdr.sh_flags) & SHF_COMPRESSED))
		return;
	data = elf_getdata(scn, NULL);
	strings = elf_getdata(strings_scn, NULL);
	if (!data || !data->d_buf || !strings || !strings->d_buf)
		return;
	for (size_t i = 1; i < MIN(data->d_size / entry, INT32_MAX) && names_size < NAMES_MAX; i++) {
		GElf_Sym sym;

		if (gelf_getsym(data, i, &sym))
			names_size += add_symbol(t, e, &ehdr, &sym, strings);
	}
}

/* Code of sections ends with them, whatever follows. */
static void add_section_ends(struct ab_symtab *t, Elf *e)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(e, scn)))
		if (gelf_getshdr(scn, &shdr) && (shdr.sh_flags & SHF_EXECINSTR) && shdr.sh_size <= UINT64_MAX - shdr.sh_addr)
			ab_symtab_add_end(t, shdr.sh_addr + shdr.sh_size);
}

static void read_sections(struct ab_elf *elf, Elf *e)
{
	Elf_Scn *scn = NULL, *dynsym = NULL;
	GElf_Shdr shdr, dynsym_shdr = {};
	size_t names;

	if (elf_getshdrstrndx(e, &names) < 0)
		names = 0;
	while ((scn = elf_nextscn(e, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, &shdr))
			continue;
		name = names ? elf_strptr(e, names, shdr.sh_name) : NULL;
		if (shdr.sh_type == SHT_SYMTAB && !elf->full) {
			elf->full = true;
			read_symbols(&elf->table, e, scn, &shdr);
		} else if (shdr.sh_type == SHT_DYNSYM) {
			dynsym = scn;
			dynsym_shdr = shdr;
		} else if (name && !strcmp(name, ".gnu_debuglink") && shdr.sh_size < 4096) {
			take_debug_link(elf, e, elf_rawdata(scn, NULL));
		}
	}
	if (!elf->table.n && dynsym) {
		elf->full = false;
		read_symbols(&elf->table, e, dynsym, &dynsym_shdr);
	}
	if (elf->table.n)
		add_section_ends(&elf->table, e);
	ab_symtab_finish(&elf->table);
}

void ab_elf_read(struct ab_elf *elf, Elf *e)
{
	if (!e || elf_kind(e) != ELF_K_ELF)
		return;
	if (!elf->build_id_len)
		ab_elf_read_build_id(elf, e);
	if (!elf->loads_n && read_loads(elf, e) < 0)
		return;
	read_sections(elf, e);
}

/* ---- separate debug files ---- */

static bool crc_matches(int fd, uint32_t want)
{
	uint8_t buf[16384];
	uint64_t total = 0;
	uLong crc = crc32(0, NULL, 0);
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), total)) > 0 && (total += n) <= DEBUG_FILE_CRC_MAX)
		crc = crc32(crc, buf, n);
	return n == 0 && crc == want;
}

/* Takes the symbols of a debug file if it belongs to this ELF: by build id where both have one, else by checksum. */
static bool take_debug_file(struct ab_elf *elf, int fd)
{
	struct ab_elf debug = {};
	Elf *e = elf_begin(fd, ELF_C_READ, NULL);
	bool ok = false;

	if (e && elf_kind(e) == ELF_K_ELF) {
		ab_elf_read_build_id(&debug, e);
		if (debug.build_id_len && elf->build_id_len)
			ok = debug.build_id_len == elf->build_id_len && !memcmp(debug.build_id, elf->build_id, elf->build_id_len);
		else
			ok = elf->debug_link[0] && crc_matches(fd, elf->debug_crc);
		if (ok)
			read_sections(&debug, e);
		ok = ok && debug.full && debug.table.n;
	}
	if (ok) {
		ab_symtab_clear(&elf->table);
		elf->table = debug.table;
		elf->full = true;
	} else {
		ab_symtab_clear(&debug.table);
	}
	elf_end(e);
	return ok;
}

static bool try_debug_file(struct ab_elf *elf, ab_open_fn *open_fn, void *ctx, const char *path)
{
	_close_ int fd = open_fn(ctx, path);

	return fd >= 0 && take_debug_file(elf, fd);
}

static void find_debug_file(struct ab_elf *elf, const char *path, ab_open_fn *open_fn, void *ctx)
{
	static const struct { const char *root, *dir; } places[] = { { "", "" }, { "", ".debug/" }, { "/usr/lib/debug", "" } };
	_text_ struct text name = {};
	int dir_len = path_base(path) - path;

	if (elf->build_id_len) {
		text_printf(&name, "/usr/lib/debug/.build-id/%02x/", elf->build_id[0]);
		for (size_t i = 1; i < elf->build_id_len; i++)
			text_printf(&name, "%02x", elf->build_id[i]);
		text_puts(&name, ".debug");
		if (name.failed || try_debug_file(elf, open_fn, ctx, name.p))
			return;
	}
	for (size_t i = 0; elf->debug_link[0] && i < ARRAY_SIZE(places); i++) {
		name.n = 0;
		text_printf(&name, "%s%.*s%s%s", places[i].root, dir_len, path, places[i].dir, elf->debug_link);
		if (name.failed || (strcmp(name.p, path) && try_debug_file(elf, open_fn, ctx, name.p)))
			return;
	}
}

void ab_elf_read_fd(struct ab_elf *elf, int fd, const char *path, ab_open_fn *open_fn, void *ctx)
{
	Elf *e;

	elf_version(EV_CURRENT);
	e = elf_begin(fd, ELF_C_READ, NULL);
	ab_elf_read(elf, e);
	if (e && elf_kind(e) == ELF_K_ELF && !elf->full && path[0] == '/')
		find_debug_file(elf, path, open_fn, ctx);
	elf_end(e);
}

size_t ab_elf_memory(const struct ab_elf *elf)
{
	return sizeof(*elf) + elf->table.cap * sizeof(*elf->table.syms) + elf->table.names.cap + elf->loads_n * sizeof(*elf->loads);
}

void ab_elf_free(struct ab_elf *elf)
{
	if (!elf)
		return;
	ab_symtab_clear(&elf->table);
	free(elf->loads);
	free(elf);
}
