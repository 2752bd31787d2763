/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * core-libbpf OBJECT BTF: has libbpf relocate the object for the kernel whose types the file has, does the same with
 * src/btf/core.h, and compares what both did, relocation by relocation, as libbpf's log has it. Exit 0 the same, 1 not, 77
 * with the reason if libbpf cannot be asked.
 *
 * Nothing gets into the kernel: maps are not created, and a handler refuses each program when it is about to be loaded.
 */
#include <elf.h>
#include <bpf/libbpf.h>
#include <btf/core.h>
#include <btf/ext.h>
#include <run/run.h>

static struct {
	struct text lines;
	size_t asked; /* where the line that says what was asked last ends */
} theirs, ours;

/* ---- libbpf's side ---- */

/* The rest behind "insn #12 ", or NULL. */
static const char *skip_insn(const char *s)
{
	if (!str_starts(s, "insn #"))
		return NULL;
	s += strlen("insn #");
	return s + strspn(s, "0123456789") + 1;
}

static void note_line(const char *s)
{
	const char *insn;

	if (str_starts(s, "matching candidate #")) {
		s = strchr(s, '<');
		text_printf(&theirs.lines, "matching %s\n", s ? s : "?");
	} else if (str_starts(s, "patched ")) {
		insn = skip_insn(s + strlen("patched "));
		text_printf(&theirs.lines, "patched %s\n", insn ? insn : s);
	} else if (str_starts(s, "substituting ")) {
		text_puts(&theirs.lines, "poisoned\n");
	} else if (*s == '<') {
		text_printf(&theirs.lines, "%s\n", s);
		theirs.asked = theirs.lines.n;
	} else if (strstr(s, "ambiguity") || (str_starts(s, "failed to relocate") && !strstr(theirs.lines.p, "ambiguity"))) {
		theirs.lines.n = theirs.asked;
		text_printf(&theirs.lines, "%s\n", strstr(s, "ambiguity") ? s : "failed");
	}
}

/* "libbpf: prog 'x': relo #3: what it did" */
static int note(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[2048], *what;

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	what = strstr(line, "': relo #");
	if (what && (what = strstr(what + strlen("': relo #"), ": ")))
		note_line(what + 2);
	return 0;
}

static int refuse(struct bpf_program *program, struct bpf_prog_load_opts *opts, long cookie)
{
	(void)program, (void)opts, (void)cookie;
	return -ECANCELED;
}

static void register_sections(struct bpf_object *object)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = refuse);
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
		libbpf_register_prog_handler(bpf_program__section_name(program), bpf_program__type(program),
					     bpf_program__expected_attach_type(program), &opts);
}

static int ask_libbpf(const char *path, const char *btf_path)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = btf_path);
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;

	if (!object)
		return -1;
	register_sections(object);
	bpf_object__close(object);
	object = bpf_object__open_file(path, &opts);
	if (!object)
		return -1;
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, true);
	bpf_object__for_each_map(map, object)
		bpf_map__set_autocreate(map, false);
	libbpf_set_print(note);
	bpf_object__load(object);
	libbpf_set_print(NULL);
	bpf_object__close(object);
	return 0;
}

/* ---- ours ---- */

static int note_match(void *ctx, const struct ab_core_spec *match)
{
	(void)ctx;
	text_puts(&ours.lines, "matching ");
	ab_core_describe(match, &ours.lines);
	text_putc(&ours.lines, '\n');
	return 0;
}

static void note_patch(const struct bpf_insn *before, const struct bpf_insn *after, const struct ab_core_value *value)
{
	unsigned long long imm = (uint32_t)before[0].imm | (uint64_t)(uint32_t)before[1].imm << 32;

	switch (BPF_CLASS(after->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		text_printf(&ours.lines, "patched (ALU/ALU64) imm %llu -> %llu\n", (unsigned long long)before->imm,
			    (unsigned long long)value->value);
		break;
	case BPF_LD:
		text_printf(&ours.lines, "patched (LDIMM64) imm64 %llu -> %llu\n", imm, (unsigned long long)value->value);
		break;
	default:
		text_printf(&ours.lines, "patched (LDX/ST/STX) off %llu -> %llu\n", (unsigned long long)before->off,
			    (unsigned long long)value->value);
		if (value->local_size != value->target_size)
			text_printf(&ours.lines, "patched (LDX/ST/STX) mem_sz %u -> %u\n", value->local_size, value->target_size);
	}
}

static int relocate(struct ab_core_target *target, const struct ab_btf *btf, const struct ab_ext_relo *relo,
		    const void *code, size_t size, struct ab_error *err)
{
	_text_ struct text why = {};
	struct bpf_insn insn[2] = {}, before[2];
	struct ab_core_value value;
	struct ab_core_spec spec;
	int r = ab_core_parse(btf, &relo->relo, &spec, err);

	if (!r)
		r = ab_core_target_resolve(target, &spec, &value, &why, err);
	if (r)
		return r;
	ab_core_describe(&spec, &ours.lines);
	text_putc(&ours.lines, '\n');
	if (value.status == AB_CORE_AMBIGUOUS || value.status == AB_CORE_UNSUITED) {
		text_printf(&ours.lines, "%s\n", value.status == AB_CORE_AMBIGUOUS ? why.p : "failed");
		return 1;
	}
	ab_core_target_trace(target, &spec, note_match, NULL, err);
	memcpy(insn, (const char *)code + relo->relo.insn_off, MIN(sizeof(insn), size - relo->relo.insn_off));
	memcpy(before, insn, sizeof(insn));
	r = ab_core_patch(insn, 2, &spec, &value, err);
	if (r > 0)
		text_puts(&ours.lines, BPF_CLASS(before->code) == BPF_LD ? "poisoned\npoisoned\n" : "poisoned\n");
	else if (!r)
		note_patch(before, insn, &value);
	return MIN(r, 0);
}

static int ask_ourselves(const char *data, size_t size, const char *btf_path, struct ab_error *err)
{
	struct ab_core_target *target;
	struct ab_btf *local, *kernel;
	struct ab_elf_info info;
	struct ab_ext *ext;
	int r = ab_elf_check(data, size, &info, err);

	if (!r)
		r = ab_btf_open_mem(info.btf, info.btf_size, &local, err);
	if (!r)
		r = ab_ext_open(info.btf_ext, info.btf_ext_size, local, &ext, err);
	if (!r)
		r = ab_btf_open_file(btf_path, &kernel, err);
	if (!r)
		r = ab_core_target_new(kernel, NULL, 0, &target, err);
	for (size_t i = 0; !r && i < ext->n_relos; i++) {
		size_t code_size;
		const void *code = ab_elf_section(data, size, ext->relos[i].section, &code_size);

		if (!code || ext->relos[i].relo.insn_off >= code_size)
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "no section '%s'", ext->relos[i].section);
		r = relocate(target, local, &ext->relos[i], code, code_size, err);
	}
	if (r < 0)
		return r;
	ab_core_target_free(target);
	ab_ext_close(ext);
	ab_btf_close(local);
	ab_btf_close(kernel);
	return 0;
}

/* ---- comparison ---- */

static int compare(const char *object, const char *btf)
{
	const char *a = ours.lines.p ? ours.lines.p : "", *b = theirs.lines.p ? theirs.lines.p : "";
	size_t n = 0;

	while (*a || *b) {
		size_t an = strcspn(a, "\n"), bn = strcspn(b, "\n");

		if (an != bn || memcmp(a, b, an)) {
			printf("%s against %s, line %zu:\nanybpf: %.*s\nlibbpf: %.*s\n", object, btf, n + 1, (int)an, a, (int)bn,
			       b);
			return 1;
		}
		a += an + (a[an] != '\0');
		b += bn + (b[bn] != '\0');
		n++;
	}
	printf("%zu\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	struct ab_error err = {};
	size_t size;
	char *data;

	if (argc != 3) {
		fprintf(stderr, "usage: core-libbpf OBJECT BTF\n");
		return 2;
	}
	libbpf_set_print(NULL);
	if (ask_libbpf(argv[1], argv[2]) < 0) {
		printf("libbpf cannot open %s\n", argv[1]);
		return 77;
	}
	if (file_read(argv[1], SIZE_MAX / 2, &data, &size, &err) < 0 || ask_ourselves(data, size, argv[2], &err) < 0) {
		printf("%s against %s: %s\n", argv[1], argv[2], err.msg);
		return 1;
	}
	free(data);
	return compare(path_base(argv[1]), path_base(argv[2]));
}
