/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What traced processes can make the symbolizer read: ELF files, perf maps, names to demangle; and kallsyms and maps lines. */
#include "run/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_around(const struct ab_symtab *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ab_sym *sym = ab_symtab_find(t, t->syms[i].start);

		if (!sym || !ab_sym_name(t, sym)[0] || t->syms[i].start < sym->start)
			abort();
	}
	ab_symtab_find(t, 0);
	ab_symtab_find(t, UINT64_MAX);
}

static void read_elf(char *p, size_t size)
{
	struct ab_elf elf = {};
	uint64_t address;
	Elf *e;

	elf_version(EV_CURRENT);
	e = elf_memory(p, size);
	ab_elf_read(&elf, e);
	elf_end(e);
	ab_elf_address(&elf, 0x1234, &address);
	look_around(&elf.table);
	ab_symtab_clear(&elf.table);
	free(elf.loads);
}

static void read_lines(char kind, char *p, size_t size)
{
	FILE *in = size ? fmemopen(p, size, "r") : NULL;
	struct ab_symtab t = {};

	if (in && kind == 'k' && ab_kallsyms_parse(&t, in, "fuzz", NULL) == 0)
		look_around(&t);
	if (in && kind == 'j') {
		ab_jit_parse(&t, in);
		look_around(&t);
	}
	if (in)
		fclose(in);
	ab_symtab_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ab_mapping m;
	char *p, *path;

	if (size < 1)
		return 0;
	p = malloc(size);
	memcpy(p, data + 1, size - 1);
	p[size - 1] = '\0';
	switch (data[0]) {
	case 'k':
	case 'j':
		read_lines(data[0], p, size - 1);
		break;
	case 'm':
		ab_mapping_parse(p, &m, &path);
		break;
	case 'd':
		free(ab_demangle(p));
		break;
	default:
		read_elf(p, size - 1);
	}
	free(p);
	return 0;
}
