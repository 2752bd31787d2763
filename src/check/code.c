/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The instructions of an object as libbpf will link them: functions, what relocations refer to, lines, CO-RE
 * relocations.
 *
 * ab_object_open_mem() has checked the file (src/run/elf.c): sections, symbols, relocations and .BTF.ext are in bounds.
 * Nothing in the file is aligned, so all of it is read by memcpy().
 */
#include <btf/ext.h>
#include <elf.h>
#include "check.h"

#define INSNS_MAX (1u << 20) /* of all programs together; the kernel takes a million for one */

struct reader {
	struct ab_check *check;
	struct code *code;
	const uint8_t *data;
	Elf64_Shdr *heads;
	const uint8_t *symbols;
	size_t n_symbols;
	const char *strings;
};

/* Grows an array of `n` elements for one more; false when memory ran out. */
static bool make_room(void *array, size_t n, size_t size)
{
	void **p = array, *more;

	if (n & (n - 1) || (n && n < 8))
		return true;
	more = reallocarray(*p, n ? 2 * n : 8, size);
	if (more)
		*p = more;
	return more;
}

/* ---- sections and functions ---- */

static int read_sections(struct reader *r, struct ab_error *err)
{
	struct code *code = r->code;
	const char *names;
	Elf64_Ehdr head;

	memcpy(&head, r->data, sizeof(head));
	r->heads = array_new(head.e_shnum, sizeof(*r->heads));
	code->sections = array_new(head.e_shnum, sizeof(*code->sections));
	if (!r->heads || !code->sections)
		return ab_fail_memory(err);
	memcpy(r->heads, r->data + head.e_shoff, head.e_shnum * sizeof(*r->heads));
	names = (const char *)r->data + r->heads[head.e_shstrndx].sh_offset;
	code->n_sections = head.e_shnum;
	for (size_t i = 0; i < code->n_sections; i++) {
		const Elf64_Shdr *h = &r->heads[i];
		struct section *s = &code->sections[i];
		bool contents = i && h->sh_type != SHT_NOBITS;

		*s = (struct section){ .name = i ? names + h->sh_name : "",
				       .data = contents ? r->data + h->sh_offset : NULL,
				       .size = contents ? h->sh_size : 0,
				       .first = NONE };
		if (h->sh_type == SHT_SYMTAB) {
			r->symbols = s->data;
			r->n_symbols = h->sh_size / sizeof(Elf64_Sym);
			r->strings = (const char *)r->data + r->heads[h->sh_link].sh_offset;
		}
		if (h->sh_type != SHT_PROGBITS || !(h->sh_flags & SHF_EXECINSTR) || !s->size)
			continue;
		if (s->size / sizeof(struct bpf_insn) > INSNS_MAX - code->n_insns)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "more than %u instructions", INSNS_MAX);
		s->first = code->n_insns;
		code->n_insns += s->size / sizeof(struct bpf_insn);
	}
	return 0;
}

static int copy_insns(struct reader *r, struct ab_error *err)
{
	struct code *code = r->code;

	code->insns = array_new(code->n_insns, sizeof(*code->insns));
	code->ref_of = array_new(code->n_insns, sizeof(*code->ref_of));
	code->relo_of = array_new(code->n_insns, sizeof(*code->relo_of));
	code->next_caller = array_new(code->n_insns, sizeof(*code->next_caller));
	code->is_merge = array_new(code->n_insns, sizeof(*code->is_merge));
	if (!code->insns || !code->ref_of || !code->relo_of || !code->next_caller || !code->is_merge)
		return ab_fail_memory(err);
	for (size_t i = 0; i < code->n_sections; i++)
		if (code->sections[i].first != NONE)
			memcpy(code->insns + code->sections[i].first, code->sections[i].data, code->sections[i].size);
	memset(code->ref_of, 0xff, code->n_insns * sizeof(*code->ref_of));
	memset(code->relo_of, 0xff, code->n_insns * sizeof(*code->relo_of));
	return 0;
}

static Elf64_Sym symbol_at(const struct reader *r, size_t i)
{
	Elf64_Sym sym;

	memcpy(&sym, r->symbols + i * sizeof(sym), sizeof(sym));
	return sym;
}

static int compare_functions(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static int read_functions(struct reader *r, struct ab_error *err)
{
	struct code *code = r->code;

	for (size_t i = 0; i < r->n_symbols; i++) {
		Elf64_Sym sym = symbol_at(r, i);
		const struct section *s = sym.st_shndx < code->n_sections ? &code->sections[sym.st_shndx] : NULL;

		if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || !s || s->first == NONE ||
		    sym.st_size < sizeof(struct bpf_insn))
			continue;
		if (!make_room(&code->functions, code->n_functions, sizeof(*code->functions)))
			return ab_fail_memory(err);
		code->functions[code->n_functions++] = (struct function){
			.name = r->strings + sym.st_name,
			.first = s->first + (uint32_t)(sym.st_value / sizeof(struct bpf_insn)),
			.count = (uint32_t)(sym.st_size / sizeof(struct bpf_insn)),
			.global = ELF64_ST_BIND(sym.st_info) != STB_LOCAL &&
				  ELF64_ST_VISIBILITY(sym.st_other) == STV_DEFAULT,
		};
	}
	if (code->n_functions)
		qsort(code->functions, code->n_functions, sizeof(*code->functions), compare_functions);
	return 0;
}

uint32_t ab_check_function_at(const struct code *code, uint32_t insn)
{
	size_t low = 0, high = code->n_functions;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (code->functions[mid].first <= insn)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || insn - code->functions[low - 1].first >= code->functions[low - 1].count)
		return NONE;
	return (uint32_t)low - 1;
}

static const struct section *find_section(const struct code *code, const char *name)
{
	for (size_t i = 1; i < code->n_sections; i++)
		if (!strcmp(code->sections[i].name, name))
			return &code->sections[i];
	return NULL;
}

/* ---- what the object leaves to the kernel ---- */

/* The section of variables ("DATASEC") that a variable or function of the object's types stands in, or "". */
static const char *data_section(const struct ab_btf *btf, uint32_t id)
{
	for (uint32_t s = 1; s < ab_btf_count(btf); s++) {
		const struct btf_type *t = ab_btf_type(btf, s);
		const struct btf_var_secinfo *vars = ab_btf_data(t);

		if (ab_btf_kind(t) != BTF_KIND_DATASEC)
			continue;
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			if (vars[i].type == id)
				return ab_btf_name(btf, t);
	}
	return "";
}

static int add_external(struct reader *r, const char *name, bool weak, struct ab_error *err)
{
	const struct ab_btf *btf = r->check->btf;
	uint32_t kfunc = ab_btf_find(btf, name, BTF_KIND_FUNC), variable = ab_btf_find(btf, name, BTF_KIND_VAR);
	uint32_t type = variable ? ab_btf_resolve(btf, ab_btf_type(btf, variable)->type) : 0;
	struct external e = { .name = name, .weak = weak, .type = kfunc ? kfunc : type, .question = NONE };
	struct code *code = r->code;

	if (kfunc)
		e.kind = EXTERN_KFUNC;
	else if (!strcmp(data_section(btf, variable), ".kconfig"))
		e.kind = EXTERN_CONFIG;
	else
		e.kind = type ? EXTERN_VARIABLE : EXTERN_SYMBOL;
	if (e.kind == EXTERN_CONFIG && !strcmp(name, "LINUX_KERNEL_VERSION"))
		r->check->asks_version = true;
	if (e.kind != EXTERN_CONFIG) {
		e.question = ab_check_ask(r->check, e.kind == EXTERN_VARIABLE ? BTF_KIND_VAR : BTF_KIND_FUNC, name);
		if (e.question == NONE)
			return ab_fail_memory(err);
	}
	if (!make_room(&code->externals, code->n_externals, sizeof(*code->externals)))
		return ab_fail_memory(err);
	code->externals[code->n_externals++] = e;
	return 0;
}

/* Undefined symbols; `ret_index` has for each symbol the number of its external, or NONE. */
static int read_externals(struct reader *r, uint32_t *ret_index, struct ab_error *err)
{
	for (size_t i = 0; i < r->n_symbols; i++) {
		Elf64_Sym sym = symbol_at(r, i);
		const char *name = r->strings + sym.st_name;
		int ret;

		ret_index[i] = NONE;
		if (sym.st_shndx != SHN_UNDEF || !*name || ELF64_ST_BIND(sym.st_info) == STB_LOCAL)
			continue;
		ret_index[i] = (uint32_t)r->code->n_externals;
		ret = add_external(r, name, ELF64_ST_BIND(sym.st_info) == STB_WEAK, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* ---- relocations of instructions ---- */

static uint32_t find_map(const struct ab_check *check, const char *name)
{
	for (size_t i = 0; i < check->n_maps; i++)
		if (!strcmp(check->maps[i].name, name))
			return (uint32_t)i;
	return NONE;
}

/* A map's variable is named by its own symbol; a static one may be referred to by its section's. */
static uint32_t find_map_at(const struct reader *r, const Elf64_Sym *sym, uint64_t offset)
{
	uint32_t found = find_map(r->check, r->strings + sym->st_name);

	for (size_t i = 0; found == NONE && i < r->n_symbols; i++) {
		Elf64_Sym other = symbol_at(r, i);

		if (other.st_shndx == sym->st_shndx && other.st_value == offset &&
		    ELF64_ST_TYPE(other.st_info) != STT_SECTION)
			found = find_map(r->check, r->strings + other.st_name);
	}
	return found;
}

/* What the relocation of instruction `insn` refers to; false: nothing that matters here. */
static bool make_ref(const struct reader *r, uint32_t insn, const Elf64_Sym *sym, uint32_t external, struct ref *ret)
{
	const struct bpf_insn *in = &r->code->insns[insn];
	const struct section *s = sym->st_shndx < r->code->n_sections ? &r->code->sections[sym->st_shndx] : NULL;

	*ret = (struct ref){ .insn = insn, .index = external };
	if (external != NONE) {
		ret->kind = REF_EXTERN;
		return true;
	}
	if (!s || !sym->st_shndx)
		return false;
	if (s->first != NONE) {
		int64_t at = (int64_t)(sym->st_value / sizeof(*in)) +
			     (insn_is_call(in) ? in->imm + 1 : in->imm / (int)sizeof(*in));

		if (at < 0 || at >= (int64_t)(s->size / sizeof(*in)))
			return false;
		ret->kind = REF_FUNCTION;
		ret->offset = s->first + (uint64_t)at;
		ret->index = ab_check_function_at(r->code, (uint32_t)ret->offset);
		return ret->index != NONE;
	}
	if (!strcmp(s->name, ".maps")) {
		ret->kind = REF_MAP;
		ret->index = find_map_at(r, sym, sym->st_value + (uint32_t)in->imm);
		return ret->index != NONE;
	}
	ret->kind = REF_DATA;
	ret->index = sym->st_shndx;
	ret->offset = sym->st_value + (uint64_t)(int64_t)in->imm;
	return true;
}

static int read_refs(struct reader *r, const uint32_t *externals, struct ab_error *err)
{
	struct code *code = r->code;

	for (size_t i = 1; i < code->n_sections; i++) {
		const Elf64_Shdr *h = &r->heads[i];
		const struct section *s = &code->sections[h->sh_type == SHT_REL ? h->sh_info : 0];

		if (h->sh_type != SHT_REL || s->first == NONE)
			continue;
		for (size_t at = 0; at < h->sh_size; at += sizeof(Elf64_Rel)) {
			Elf64_Rel rel;
			Elf64_Sym sym;
			struct ref ref;
			uint32_t insn;

			memcpy(&rel, code->sections[i].data + at, sizeof(rel));
			sym = symbol_at(r, ELF64_R_SYM(rel.r_info));
			insn = s->first + (uint32_t)(rel.r_offset / sizeof(struct bpf_insn));
			if (!make_ref(r, insn, &sym, externals[ELF64_R_SYM(rel.r_info)], &ref))
				continue;
			if (!make_room(&code->refs, code->n_refs, sizeof(ref)))
				return ab_fail_memory(err);
			code->ref_of[insn] = (uint32_t)code->n_refs;
			code->refs[code->n_refs++] = ref;
		}
	}
	return 0;
}

/* ---- .BTF.ext ---- */

/* The instruction of a record, or NONE if it is in no code. */
static uint32_t record_insn(const struct code *code, const char *section, uint32_t offset)
{
	const struct section *s = find_section(code, section);

	return s && s->first != NONE && offset < s->size ? s->first + offset / (uint32_t)sizeof(struct bpf_insn) : NONE;
}

static int read_lines(struct reader *r, const struct ab_ext *ext, struct ab_error *err)
{
	struct code *code = r->code;

	code->lines = array_new(ext->n_lines, sizeof(*code->lines));
	if (!code->lines)
		return ab_fail_memory(err);
	for (size_t i = 0; i < ext->n_lines; i++) {
		const struct ab_ext_line *l = &ext->lines[i];
		uint32_t insn = record_insn(code, l->section, l->insn_off);

		if (insn != NONE)
			code->lines[code->n_lines++] = (struct line){ insn, l->line, l->file, l->text };
	}
	return 0;
}

static int read_relos(struct reader *r, const struct ab_ext *ext, struct ab_error *err)
{
	struct code *code = r->code;
	int ret = 0;

	code->relos = array_new(ext->n_relos, sizeof(*code->relos));
	if (!code->relos)
		return ab_fail_memory(err);
	for (size_t i = 0; !ret && i < ext->n_relos; i++) {
		uint32_t insn = record_insn(code, ext->relos[i].section, ext->relos[i].relo.insn_off);
		struct relo *relo = &code->relos[code->n_relos];

		if (insn == NONE)
			continue;
		*relo = (struct relo){ .insn = insn, .group = NONE };
		ret = ab_core_parse(r->check->btf, &ext->relos[i].relo, &relo->spec, err);
		if (!ret)
			code->relo_of[insn] = (uint32_t)code->n_relos++;
	}
	return ret;
}

static int read_ext(struct reader *r, const struct ab_elf_info *info, struct ab_error *err)
{
	struct ab_ext *ext;
	int ret = ab_ext_open(info->btf_ext, info->btf_ext_size, r->check->btf, &ext, err);

	if (ret < 0)
		return ret;
	ret = read_lines(r, ext, err);
	if (!ret)
		ret = read_relos(r, ext, err);
	ab_ext_close(ext);
	return ret;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->insn < y->insn ? -1 : x->insn > y->insn;
}

const struct line *ab_check_line(const struct code *code, uint32_t insn)
{
	size_t low = 0, high = code->n_lines;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (code->lines[mid].insn <= insn)
			low = mid + 1;
		else
			high = mid;
	}
	/* A record covers what follows it in its function. */
	if (!low || ab_check_function_at(code, code->lines[low - 1].insn) != ab_check_function_at(code, insn))
		return NULL;
	return &code->lines[low - 1];
}

/* ---- jumps ---- */

uint32_t ab_check_jump(const struct code *code, uint32_t insn)
{
	const struct bpf_insn *in = &code->insns[insn];
	uint8_t class = BPF_CLASS(in->code), op = BPF_OP(in->code);
	int64_t to;

	if (class != BPF_JMP && class != BPF_JMP32)
		return NONE;
	if (op == BPF_CALL) {
		const struct ref *ref = code->ref_of[insn] != NONE ? &code->refs[code->ref_of[insn]] : NULL;

		if (in->src_reg != BPF_PSEUDO_CALL || (ref && ref->kind != REF_FUNCTION))
			return NONE;
		to = ref ? (int64_t)ref->offset : (int64_t)insn + in->imm + 1;
	} else if (op == BPF_EXIT) {
		return NONE;
	} else {
		to = (int64_t)insn + 1 + (class == BPF_JMP32 && op == BPF_JA ? in->imm : in->off);
	}
	return to >= 0 && to < code->n_insns ? (uint32_t)to : NONE;
}

/* A call is gone on from when the function that it calls returns. */
static void add_caller(struct code *code, uint32_t insn, uint32_t to)
{
	uint32_t function = ab_check_function_at(code, to);

	code->is_merge[insn] = true;
	if (function == NONE)
		return;
	code->next_caller[insn] = code->functions[function].caller;
	code->functions[function].caller = insn;
}

static void mark_merges(struct code *code)
{
	for (size_t i = 0; i < code->n_functions; i++) {
		code->is_merge[code->functions[i].first] = true;
		code->functions[i].caller = NONE;
	}
	for (uint32_t i = 0; i < code->n_insns; i++) {
		uint32_t to = ab_check_jump(code, i);

		if (to != NONE)
			code->is_merge[to] = true;
		if (insn_is_call(&code->insns[i]) && to != NONE)
			add_caller(code, i, to);
		if (insn_is_wide(&code->insns[i]))
			i++;
	}
}

/* ---- all of it ---- */

static int read_all(struct reader *r, const struct ab_elf_info *info, struct ab_error *err)
{
	_free_ uint32_t *externals = NULL;
	int ret = read_sections(r, err);

	if (!ret)
		ret = copy_insns(r, err);
	if (!ret)
		ret = read_functions(r, err);
	if (ret < 0)
		return ret;
	externals = array_new(r->n_symbols, sizeof(*externals));
	if (!externals)
		return ab_fail_memory(err);
	ret = read_externals(r, externals, err);
	if (!ret)
		ret = read_refs(r, externals, err);
	if (!ret)
		ret = read_ext(r, info, err);
	if (ret < 0)
		return ret;
	if (r->code->n_lines)
		qsort(r->code->lines, r->code->n_lines, sizeof(*r->code->lines), compare_lines);
	mark_merges(r->code);
	return 0;
}

int ab_check_read_code(struct ab_check *check, struct ab_error *err)
{
	struct reader r = { .check = check, .code = &check->code, .data = check->object->data };
	struct ab_elf_info info;
	int ret = ab_elf_check(check->object->data, check->object->size, &info, err);

	if (!ret)
		ret = read_all(&r, &info, err);
	free(r.heads);
	return ret;
}

void ab_check_free_code(struct code *code)
{
	free(code->sections);
	free(code->insns);
	free(code->functions);
	free(code->refs);
	free(code->externals);
	free(code->lines);
	free(code->relos);
	free(code->ref_of);
	free(code->relo_of);
	free(code->next_caller);
	free(code->is_merge);
}
