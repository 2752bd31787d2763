/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An object as the compiler made it, to the smallest that loads the same. libelf reads it and writes the new one, in the
 * object's byte order, into a memory file.
 */
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"

struct section {
	Elf_Scn *scn;
	GElf_Shdr head;
	const char *name;
	Elf_Data *data;
	bool kept;
	size_t index;      /* in the new file */
	size_t name_offset;
	void *content;     /* what to write in place of `data`, if not NULL; owned */
	size_t size;
};

struct strip {
	Elf *in;
	struct section *sections;
	size_t count;
	struct section *symtab;
	const char *strings; /* of symbol names */
	size_t symbol_count;
	bool *symbol_kept;
	uint32_t *symbol_index; /* new index of a kept symbol */
	struct text names;   /* the new string table, of sections and symbols */
	struct strmap seen;  /* string to its offset in `names` */
};

static int bad(struct ab_error *err, const char *what)
{
	return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "the object that it makes cannot be read: %s "
		       "(does it write assembly into the compiler's own sections?)", what);
}

/* What the loader has no use for. The relocations of .BTF and .BTF.ext only repeat what is in these sections already. */
static bool is_dropped_name(const char *name)
{
	static const char *const dropped[] = { ".debug", ".rel.debug", ".rel.eh_frame", ".eh_frame", ".llvm_addrsig",
					       ".comment", ".rel.BTF", ".note.GNU-stack" };

	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (str_starts(name, dropped[i]))
			return true;
	return false;
}

static bool is_relocation(const struct section *s)
{
	return s->head.sh_type == SHT_REL || s->head.sh_type == SHT_RELA;
}

static int read_sections(struct strip *s, struct ab_error *err)
{
	size_t names;

	if (elf_getshdrnum(s->in, &s->count) || elf_getshdrstrndx(s->in, &names) || !s->count)
		return bad(err, elf_errmsg(-1));
	s->sections = array_new(s->count, sizeof(*s->sections));
	if (!s->sections)
		return ab_fail_memory(err);
	for (size_t i = 1; i < s->count; i++) {
		struct section *sec = &s->sections[i];

		sec->scn = elf_getscn(s->in, i);
		if (!sec->scn || !gelf_getshdr(sec->scn, &sec->head))
			return bad(err, elf_errmsg(-1));
		sec->name = elf_strptr(s->in, names, sec->head.sh_name);
		sec->data = elf_getdata(sec->scn, NULL);
		if (!sec->name || !sec->data)
			return bad(err, elf_errmsg(-1));
		if (sec->head.sh_type == SHT_SYMTAB)
			s->symtab = sec;
	}
	return s->symtab ? 0 : bad(err, "no symbol table");
}

static struct section *find_section(const struct strip *s, const char *name)
{
	for (size_t i = 1; i < s->count; i++)
		if (!strcmp(s->sections[i].name, name))
			return &s->sections[i];
	return NULL;
}

static void *copy_data(const Elf_Data *from, size_t size, struct ab_error *err)
{
	void *p = array_new(1, size);

	if (!p)
		ab_fail_memory(err);
	else if (from->d_buf)
		memcpy(p, from->d_buf, MIN(size, from->d_size));
	return p;
}

static int normalize_types(struct strip *s, struct ab_error *err)
{
	struct section *btf = find_section(s, ".BTF"), *ext = find_section(s, ".BTF.ext");

	if (!btf)
		return 0;
	btf->size = btf->data->d_size;
	btf->content = copy_data(btf->data, btf->size, err);
	if (ext) {
		ext->size = ext->data->d_size;
		ext->content = copy_data(ext->data, ext->size, err);
	}
	if (!btf->content || (ext && !ext->content))
		return -ENOMEM;
	return ab_btf_normalize(btf->content, &btf->size, ext ? ext->content : NULL, ext ? ext->size : 0) ?
		       0 : bad(err, "its types");
}

static void choose_sections(struct strip *s, struct object_facts *facts)
{
	for (size_t i = 1; i < s->count; i++) {
		struct section *sec = &s->sections[i];
		bool is_code = sec->head.sh_type == SHT_PROGBITS && (sec->head.sh_flags & SHF_EXECINSTR);

		sec->kept = sec->head.sh_type != SHT_STRTAB && !is_dropped_name(sec->name) &&
			    !(is_code && !sec->head.sh_size);
		facts->has_program |= is_code && sec->head.sh_size && strcmp(sec->name, ".text");
		facts->has_license |= !strcmp(sec->name, "license");
	}
	for (size_t i = 1; i < s->count; i++) {
		struct section *sec = &s->sections[i];

		if (is_relocation(sec) && (sec->head.sh_info >= s->count || !s->sections[sec->head.sh_info].kept))
			sec->kept = false;
	}
}

/* ---- symbols ---- */

static void keep_relocated(struct strip *s, const struct section *sec)
{
	size_t n = sec->head.sh_entsize ? sec->head.sh_size / sec->head.sh_entsize : 0;

	for (size_t i = 0; i < n; i++) {
		GElf_Rel rel;

		if (gelf_getrel(sec->data, i, &rel) && GELF_R_SYM(rel.r_info) < s->symbol_count)
			s->symbol_kept[GELF_R_SYM(rel.r_info)] = true;
	}
}

static bool is_in_kept_section(const struct strip *s, const GElf_Sym *sym)
{
	return sym->st_shndx >= SHN_LORESERVE || sym->st_shndx == SHN_UNDEF ||
	       (sym->st_shndx < s->count && s->sections[sym->st_shndx].kept);
}

static int choose_symbols(struct strip *s, struct ab_error *err)
{
	const struct section *strtab;
	uint32_t next = 1;

	s->symbol_count = s->symtab->head.sh_size / s->symtab->head.sh_entsize;
	s->symbol_kept = array_new(s->symbol_count, sizeof(*s->symbol_kept));
	s->symbol_index = array_new(s->symbol_count, sizeof(*s->symbol_index));
	if (!s->symbol_kept || !s->symbol_index)
		return ab_fail_memory(err);
	strtab = s->symtab->head.sh_link < s->count ? &s->sections[s->symtab->head.sh_link] : NULL;
	if (!strtab || strtab->head.sh_type != SHT_STRTAB)
		return bad(err, "no string table");
	for (size_t i = 1; i < s->count; i++)
		if (s->sections[i].kept && is_relocation(&s->sections[i]))
			keep_relocated(s, &s->sections[i]);
	for (size_t i = 1; i < s->symbol_count; i++) {
		GElf_Sym sym;
		int type;

		if (!gelf_getsym(s->symtab->data, i, &sym))
			return bad(err, elf_errmsg(-1));
		type = GELF_ST_TYPE(sym.st_info);
		if (type == STT_FUNC || type == STT_OBJECT || type == STT_TLS || GELF_ST_BIND(sym.st_info) != STB_LOCAL)
			s->symbol_kept[i] = true;
		s->symbol_kept[i] &= is_in_kept_section(s, &sym) && type != STT_FILE;
		if (s->symbol_kept[i])
			s->symbol_index[i] = next++;
	}
	return 0;
}

/* ---- writing ---- */

static size_t intern(struct strip *s, const char *name)
{
	bool is_new = false;
	struct strmap_entry *e = strmap_put(&s->seen, name, strlen(name), &is_new);

	if (!*name || !e)
		return 0;
	if (is_new) {
		e->value = s->names.n;
		text_add(&s->names, name, strlen(name) + 1);
	}
	return e->value;
}

static int fill_symbols(struct strip *s, Elf_Data *out, size_t *ret_first_global, struct ab_error *err)
{
	size_t locals = 1;

	for (size_t i = 1; i < s->symbol_count; i++) {
		GElf_Sym sym;
		const char *name;

		if (!s->symbol_kept[i])
			continue;
		if (!gelf_getsym(s->symtab->data, i, &sym))
			return bad(err, elf_errmsg(-1));
		name = elf_strptr(s->in, s->symtab->head.sh_link, sym.st_name);
		if (!name)
			return bad(err, elf_errmsg(-1));
		sym.st_name = intern(s, name);
		if (sym.st_shndx < SHN_LORESERVE && sym.st_shndx)
			sym.st_shndx = s->sections[sym.st_shndx].index;
		if (!gelf_update_sym(out, s->symbol_index[i], &sym))
			return bad(err, elf_errmsg(-1));
		locals += GELF_ST_BIND(sym.st_info) == STB_LOCAL;
	}
	*ret_first_global = locals;
	return 0;
}

static int renumber_relocations(const struct strip *s, const struct section *sec, Elf_Data *out, struct ab_error *err)
{
	size_t n = sec->head.sh_size / sec->head.sh_entsize;

	for (size_t i = 0; i < n; i++) {
		GElf_Rel rel;
		size_t symbol;

		if (!gelf_getrel(out, i, &rel))
			return bad(err, elf_errmsg(-1));
		symbol = GELF_R_SYM(rel.r_info);
		if (symbol >= s->symbol_count)
			return bad(err, "a relocation without symbol");
		rel.r_info = GELF_R_INFO((uint64_t)s->symbol_index[symbol], GELF_R_TYPE(rel.r_info));
		if (!gelf_update_rel(out, i, &rel))
			return bad(err, elf_errmsg(-1));
	}
	return 0;
}

static int write_section(struct strip *s, struct section *sec, Elf *out, size_t strtab, void **ret_owned,
			 struct ab_error *err)
{
	Elf_Scn *scn = elf_newscn(out);
	Elf_Data *data = scn ? elf_newdata(scn) : NULL;
	size_t symbols = 1;
	GElf_Shdr head = sec->head;
	int r = 0;

	if (!data)
		return bad(err, elf_errmsg(-1));
	head.sh_name = sec->name_offset;
	head.sh_offset = 0;
	*data = (Elf_Data){ .d_type = sec->data->d_type, .d_size = sec->data->d_size, .d_align = sec->data->d_align,
			    .d_version = EV_CURRENT };
	if (sec == s->symtab) {
		for (size_t i = 0; i < s->symbol_count; i++)
			symbols += s->symbol_kept[i];
		data->d_size = symbols * sec->head.sh_entsize;
		head.sh_size = data->d_size;
		head.sh_link = strtab;
	}
	if (sec->content) {
		data->d_buf = sec->content;
		data->d_size = head.sh_size = sec->size;
	} else if (sec->head.sh_type != SHT_NOBITS) {
		*ret_owned = data->d_buf = sec == s->symtab ? array_new(1, data->d_size) :
							      copy_data(sec->data, data->d_size, err);
		if (!data->d_buf)
			return ab_fail_memory(err);
	}
	if (sec == s->symtab) {
		size_t first_global = 0;

		r = fill_symbols(s, data, &first_global, err);
		head.sh_info = first_global;
	} else if (is_relocation(sec)) {
		head.sh_link = s->symtab->index;
		head.sh_info = s->sections[sec->head.sh_info].index;
		r = renumber_relocations(s, sec, data, err);
	} else {
		head.sh_link = head.sh_info = 0;
	}
	if (!r && !gelf_update_shdr(scn, &head))
		r = bad(err, elf_errmsg(-1));
	return r;
}

static int write_strings(struct strip *s, Elf *out, size_t name_offset, struct ab_error *err)
{
	Elf_Scn *scn = elf_newscn(out);
	Elf_Data *data = scn ? elf_newdata(scn) : NULL;
	GElf_Shdr head = { .sh_name = name_offset, .sh_type = SHT_STRTAB, .sh_addralign = 1 };

	if (!data)
		return bad(err, elf_errmsg(-1));
	*data = (Elf_Data){ .d_type = ELF_T_BYTE, .d_buf = s->names.p, .d_size = s->names.n, .d_align = 1,
			    .d_version = EV_CURRENT };
	return gelf_update_shdr(scn, &head) ? 0 : bad(err, elf_errmsg(-1));
}

static int write_all(struct strip *s, Elf *out, void **owned, struct ab_error *err)
{
	GElf_Ehdr head, new_head;
	size_t index = 1, strtab_name;
	int r;

	if (!gelf_getehdr(s->in, &head) || !gelf_newehdr(out, gelf_getclass(s->in)) || !gelf_getehdr(out, &new_head))
		return bad(err, elf_errmsg(-1));
	memcpy(new_head.e_ident, head.e_ident, EI_NIDENT);
	new_head.e_type = head.e_type;
	new_head.e_machine = head.e_machine;
	new_head.e_version = head.e_version;
	new_head.e_flags = head.e_flags;
	text_add(&s->names, "", 1);
	for (size_t i = 1; i < s->count; i++)
		if (s->sections[i].kept) {
			s->sections[i].index = index++;
			s->sections[i].name_offset = intern(s, s->sections[i].name);
		}
	strtab_name = intern(s, ".strtab");
	new_head.e_shstrndx = index;
	if (!gelf_update_ehdr(out, &new_head))
		return bad(err, elf_errmsg(-1));
	for (size_t i = 1; i < s->count; i++) {
		r = s->sections[i].kept ? write_section(s, &s->sections[i], out, index, &owned[i], err) : 0;
		if (r)
			return r;
	}
	r = write_strings(s, out, strtab_name, err);
	if (r)
		return r;
	if (s->names.failed || s->seen.failed)
		return ab_fail_memory(err);
	return elf_update(out, ELF_C_WRITE) < 0 ? bad(err, elf_errmsg(-1)) : 0;
}

static int write_object(struct strip *s, char **ret_object, size_t *ret_size, struct ab_error *err)
{
	_close_ int fd = memfd_create("object", MFD_CLOEXEC);
	void **owned = array_new(s->count, sizeof(*owned));
	Elf *out = NULL;
	int r;

	if (fd < 0 || !owned) {
		free(owned);
		return ab_fail_errno(err, fd < 0 ? -errno : -ENOMEM, "unable to make a memory file");
	}
	out = elf_begin(fd, ELF_C_WRITE, NULL);
	r = out ? write_all(s, out, owned, err) : bad(err, elf_errmsg(-1));
	elf_end(out);
	for (size_t i = 0; i < s->count; i++)
		free(owned[i]);
	free(owned);
	if (!r && lseek(fd, 0, SEEK_SET) < 0)
		r = ab_fail_errno(err, -errno, "unable to read a memory file");
	return r ? r : file_read_fd(fd, "object", 256 << 20, ret_object, ret_size, err);
}

int ab_strip(const void *object, size_t size, void **ret_object, size_t *ret_size, struct object_facts *ret_facts,
	     struct ab_error *err)
{
	struct strip s = {};
	char *data = NULL;
	int r;

	*ret_facts = (struct object_facts){};
	if (elf_version(EV_CURRENT) == EV_NONE)
		return bad(err, elf_errmsg(-1));
	s.in = elf_memory((char *)object, size);
	r = s.in ? read_sections(&s, err) : bad(err, elf_errmsg(-1));
	if (!r)
		r = normalize_types(&s, err);
	if (!r) {
		choose_sections(&s, ret_facts);
		r = choose_symbols(&s, err);
	}
	if (!r)
		r = write_object(&s, &data, ret_size, err);
	if (!r)
		*ret_object = data;
	elf_end(s.in);
	for (size_t i = 0; i < s.count && s.sections; i++)
		free(s.sections[i].content);
	free(s.sections);
	free(s.symbol_kept);
	free(s.symbol_index);
	text_clear(&s.names);
	strmap_clear(&s.seen);
	return r;
}
