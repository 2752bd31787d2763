/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A C skeleton of an object, in the shape that `bpftool gen skeleton` made usual: one struct with the maps, programs, links and
 * typed global variables, and functions from open to destroy. Its text needs libbpf alone: variables are
 * spelled out down to the integers, so no header of the program has to be there.
 */
#include <ctype.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "internal.h"

struct skeleton {
	struct text *out;
	struct bpf_object *object;
	const struct btf *btf;
	char name[64]; /* "tool" of tool.skel.h */
};

enum { DEPTH_MAX = 16 };

/* ---- names ---- */

static bool is_cpp_word(const char *name)
{
	static const char *const words[] = { "class", "new", "delete", "this", "private", "public", "protected", "template",
					     "typename", "namespace", "operator", "virtual", "friend", "catch", "try",
					     "throw", "using", "explicit", "export", "mutable", "and", "or", "not", "xor",
					     "bool", "true", "false" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], name))
			return true;
	return false;
}

/* Writes a name that C and C++ take as an identifier. */
static void set_identifier(char *to, size_t cap, const char *from)
{
	size_t n = 0;

	if (isdigit((unsigned char)*from))
		to[n++] = '_';
	for (; *from && n + 2 < cap; from++)
		to[n++] = isalnum((unsigned char)*from) ? *from : '_';
	to[n] = '\0';
	if (is_cpp_word(to))
		strcat(to, "_");
}

/* ".rodata" of "tool.rodata", or NULL for maps that the program declares. */
static const char *internal_section(const struct bpf_map *map)
{
	static const char *const sections[] = { ".data", ".rodata", ".bss", ".kconfig" };

	for (size_t i = 0; bpf_map__is_internal(map) && i < ARRAY_SIZE(sections); i++) {
		const char *at = strstr(bpf_map__name(map), sections[i]);

		if (at)
			return at;
	}
	return NULL;
}

static void map_identifier(const struct bpf_map *map, char *to, size_t cap)
{
	const char *section = internal_section(map);

	set_identifier(to, cap, section ? section + 1 : bpf_map__name(map));
}

static bool is_mapped(const struct bpf_map *map)
{
	return internal_section(map) && (bpf_map__map_flags(map) & BPF_F_MMAPABLE);
}

/* ---- types of global variables ---- */

static uint32_t skip_names(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_type_tag(t))) {
		id = t->type;
		t = btf__type_by_id(btf, id);
	}
	return id;
}

static void indent(struct skeleton *s, int depth)
{
	for (int i = 0; i < depth; i++)
		text_putc(s->out, '\t');
}

static void put_variable(struct skeleton *s, uint32_t id, const char *name, int depth);

static const char *integer_name(const struct btf_type *t, bool is_signed)
{
	switch (t->size) {
	case 1: return is_signed ? "int8_t" : "uint8_t";
	case 2: return is_signed ? "int16_t" : "uint16_t";
	case 4: return is_signed ? "int32_t" : "uint32_t";
	case 8: return is_signed ? "int64_t" : "uint64_t";
	default: return NULL;
	}
}

static void put_bytes(struct skeleton *s, const char *name, int64_t size, int align)
{
	text_printf(s->out, "unsigned char %s[%lld]", name, (long long)size);
	if (align > 1)
		text_printf(s->out, " __attribute__((aligned(%d)))", align);
}

static void put_integer(struct skeleton *s, const struct btf_type *t, const char *name)
{
	int encoding = btf_int_encoding(t);
	const char *spelled = btf__name_by_offset(s->btf, t->name_off), *type = integer_name(t, encoding & BTF_INT_SIGNED);

	if (encoding & BTF_INT_BOOL)
		type = "bool";
	else if (!strcmp(spelled, "char"))
		type = "char";
	if (type)
		text_printf(s->out, "%s %s", type, name);
	else
		put_bytes(s, name, t->size, t->size);
}

/* Whether a C compiler puts every member where it is; else the record is shown as bytes. */
static bool is_plain_record(const struct btf *btf, const struct btf_type *t)
{
	const struct btf_member *m = btf_members(t);
	uint32_t end = 0, largest = 1;

	for (int i = 0; i < btf_vlen(t); i++) {
		uint32_t offset = btf_member_bit_offset(t, i);
		int align = btf__align_of(btf, m[i].type);
		int64_t size = btf__resolve_size(btf, m[i].type);

		if (btf_member_bitfield_size(t, i) || offset % 8 || align <= 0 || size < 0 || offset / 8 % align)
			return false;
		end = MAX(end, offset / 8 + size);
		largest = MAX(largest, (uint32_t)align);
	}
	return (end + largest - 1) / largest * largest == t->size;
}

static void put_record(struct skeleton *s, const struct btf_type *t, uint32_t id, const char *name, int depth)
{
	const struct btf_member *m = btf_members(t);
	uint32_t offset = 0;
	int pads = 0;

	text_puts(s->out, btf_is_union(t) ? "union {\n" : "struct {\n");
	for (int i = 0; i < btf_vlen(t); i++) {
		uint32_t at = btf_member_bit_offset(t, i) / 8;
		char member[128];

		indent(s, depth + 1);
		if (!btf_is_union(t) && at > offset) {
			int align = btf__align_of(s->btf, m[i].type);

			if (at - offset >= (uint32_t)align)
				text_printf(s->out, "char ab_pad%d[%u];\n", pads++, at - offset);
			if (at - offset >= (uint32_t)align)
				indent(s, depth + 1);
		}
		set_identifier(member, sizeof(member), btf__name_by_offset(s->btf, m[i].name_off));
		put_variable(s, m[i].type, member, depth + 1);
		text_puts(s->out, ";\n");
		offset = at + MAX(btf__resolve_size(s->btf, m[i].type), 0);
	}
	indent(s, depth);
	text_printf(s->out, "} %s", name);
}

static void put_array(struct skeleton *s, const struct btf_type *t, const char *name, int depth)
{
	_text_ struct text full = {};
	uint32_t id = skip_names(s->btf, btf_array(t)->type);

	text_printf(&full, "%s[%u]", name, btf_array(t)->nelems);
	/* Of several dimensions the outer ones come first. */
	for (t = btf__type_by_id(s->btf, id); t && btf_is_array(t); t = btf__type_by_id(s->btf, id)) {
		text_printf(&full, "[%u]", btf_array(t)->nelems);
		id = skip_names(s->btf, btf_array(t)->type);
	}
	if (full.p)
		put_variable(s, id, full.p, depth);
}

/* A declaration without its semicolon. */
static void put_variable(struct skeleton *s, uint32_t id, const char *name, int depth)
{
	const struct btf_type *t = btf__type_by_id(s->btf, id = skip_names(s->btf, id));
	int64_t size = btf__resolve_size(s->btf, id);

	if (t && btf_is_array(t) && depth < DEPTH_MAX)
		put_array(s, t, name, depth);
	else if (t && btf_is_int(t))
		put_integer(s, t, name);
	else if (t && btf_is_any_enum(t) && integer_name(t, btf_kflag(t)))
		text_printf(s->out, "%s %s", integer_name(t, btf_kflag(t)), name);
	else if (t && btf_is_ptr(t))
		text_printf(s->out, "void *%s", name);
	else if (t && (btf_is_float(t)) && (t->size == 4 || t->size == 8))
		text_printf(s->out, "%s %s", t->size == 4 ? "float" : "double", name);
	else if (t && btf_is_composite(t) && depth < DEPTH_MAX && is_plain_record(s->btf, t))
		put_record(s, t, id, name, depth);
	else
		put_bytes(s, name, MAX(size, 0), MAX(btf__align_of(s->btf, id), 1));
}

/* The struct that lies over a global data map: exported variables at their offsets, the rest as padding. */
static void put_section(struct skeleton *s, const struct bpf_map *map)
{
	const char *section = internal_section(map);
	int32_t id = btf__find_by_name_kind(s->btf, section, BTF_KIND_DATASEC);
	const struct btf_type *t = id > 0 ? btf__type_by_id(s->btf, id) : NULL;
	const struct btf_var_secinfo *v = t ? btf_var_secinfos(t) : NULL;
	uint32_t offset = 0;
	char ident[128];
	int pads = 0;

	map_identifier(map, ident, sizeof(ident));
	text_printf(s->out, "\tstruct %s_bpf__%s {\n", s->name, ident);
	for (int i = 0; t && i < btf_vlen(t); i++, v++) {
		const struct btf_type *var = btf__type_by_id(s->btf, v->type);

		if (!btf_is_var(var) || btf_var(var)->linkage == BTF_VAR_STATIC || v->offset < offset)
			continue;
		if (v->offset > offset)
			text_printf(s->out, "\t\tchar ab_pad%d[%u];\n", pads++, v->offset - offset);
		set_identifier(ident, sizeof(ident), btf__name_by_offset(s->btf, var->name_off));
		text_puts(s->out, "\t\t");
		put_variable(s, var->type, ident, 2);
		text_puts(s->out, ";\n");
		offset = v->offset + v->size;
	}
	if (!offset)
		text_puts(s->out, "\t\tchar ab_pad0[1];\n");
	map_identifier(map, ident, sizeof(ident));
	text_printf(s->out, "\t} *%s;\n", ident);
}

/* ---- the parts of the text ---- */

static void put_struct(struct skeleton *s)
{
	struct bpf_program *program;
	struct bpf_map *map;
	char ident[128];

	text_printf(s->out, "struct %s_bpf {\n\tstruct bpf_object_skeleton *skeleton;\n\tstruct bpf_object *obj;\n", s->name);
	if (bpf_object__next_map(s->object, NULL)) {
		text_puts(s->out, "\tstruct {\n");
		bpf_object__for_each_map(map, s->object) {
			map_identifier(map, ident, sizeof(ident));
			text_printf(s->out, "\t\tstruct bpf_map *%s;\n", ident);
		}
		text_puts(s->out, "\t} maps;\n");
	}
	if (bpf_object__next_program(s->object, NULL)) {
		static const char *const of[][2] = { { "program", "progs" }, { "link", "links" } };

		for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
			text_puts(s->out, "\tstruct {\n");
			bpf_object__for_each_program(program, s->object) {
				set_identifier(ident, sizeof(ident), bpf_program__name(program));
				text_printf(s->out, "\t\tstruct bpf_%s *%s;\n", of[i][0], ident);
			}
			text_printf(s->out, "\t} %s;\n", of[i][1]);
		}
	}
	bpf_object__for_each_map(map, s->object)
		if (is_mapped(map))
			put_section(s, map);
	text_puts(s->out, "};\n\n");
}

static const char *const functions =
	"static inline void NAME_bpf__destroy(struct NAME_bpf *obj)\n"
	"{\n"
	"\tif (!obj)\n"
	"\t\treturn;\n"
	"\tif (obj->skeleton)\n"
	"\t\tbpf_object__destroy_skeleton(obj->skeleton);\n"
	"\tfree(obj);\n"
	"}\n\n"
	"static inline int NAME_bpf__create_skeleton(struct NAME_bpf *obj);\n\n"
	"static inline struct NAME_bpf *NAME_bpf__open_opts(const struct bpf_object_open_opts *opts)\n"
	"{\n"
	"\tstruct NAME_bpf *obj = (struct NAME_bpf *)calloc(1, sizeof(*obj));\n"
	"\tint err;\n\n"
	"\tif (!obj) {\n"
	"\t\terrno = ENOMEM;\n"
	"\t\treturn NULL;\n"
	"\t}\n"
	"\terr = NAME_bpf__create_skeleton(obj);\n"
	"\tif (!err)\n"
	"\t\terr = bpf_object__open_skeleton(obj->skeleton, opts);\n"
	"\tif (err) {\n"
	"\t\tNAME_bpf__destroy(obj);\n"
	"\t\terrno = -err;\n"
	"\t\treturn NULL;\n"
	"\t}\n"
	"\treturn obj;\n"
	"}\n\n"
	"static inline struct NAME_bpf *NAME_bpf__open(void)\n"
	"{\n"
	"\treturn NAME_bpf__open_opts(NULL);\n"
	"}\n\n"
	"static inline int NAME_bpf__load(struct NAME_bpf *obj)\n"
	"{\n"
	"\treturn bpf_object__load_skeleton(obj->skeleton);\n"
	"}\n\n"
	"static inline struct NAME_bpf *NAME_bpf__open_and_load(void)\n"
	"{\n"
	"\tstruct NAME_bpf *obj = NAME_bpf__open();\n"
	"\tint err;\n\n"
	"\tif (!obj)\n"
	"\t\treturn NULL;\n"
	"\terr = NAME_bpf__load(obj);\n"
	"\tif (err) {\n"
	"\t\tNAME_bpf__destroy(obj);\n"
	"\t\terrno = -err;\n"
	"\t\treturn NULL;\n"
	"\t}\n"
	"\treturn obj;\n"
	"}\n\n"
	"static inline int NAME_bpf__attach(struct NAME_bpf *obj)\n"
	"{\n"
	"\treturn bpf_object__attach_skeleton(obj->skeleton);\n"
	"}\n\n"
	"static inline void NAME_bpf__detach(struct NAME_bpf *obj)\n"
	"{\n"
	"\tbpf_object__detach_skeleton(obj->skeleton);\n"
	"}\n\n"
	"static inline const void *NAME_bpf__elf_bytes(size_t *sz);\n\n";

/* Appends a text with each NAME replaced by the skeleton's. */
static void put_named(struct skeleton *s, const char *text)
{
	const char *at;

	while ((at = strstr(text, "NAME"))) {
		text_add(s->out, text, at - text);
		text_puts(s->out, s->name);
		text = at + strlen("NAME");
	}
	text_puts(s->out, text);
}

static void put_create(struct skeleton *s)
{
	struct bpf_program *program;
	struct bpf_map *map;
	int maps = 0, programs = 0;
	char ident[128];

	bpf_object__for_each_map(map, s->object)
		maps++;
	bpf_object__for_each_program(program, s->object)
		programs++;
	put_named(s, "static inline int NAME_bpf__create_skeleton(struct NAME_bpf *obj)\n{\n"
		     "\tstruct bpf_object_skeleton *s;\n\n"
		     "\ts = (struct bpf_object_skeleton *)calloc(1, sizeof(*s));\n"
		     "\tif (!s)\n\t\treturn -ENOMEM;\n"
		     "\tobj->skeleton = s;\n" /* from here on destroy() frees what there is */
		     "\ts->sz = sizeof(*s);\n"
		     "\ts->name = \"NAME_bpf\";\n"
		     "\ts->obj = &obj->obj;\n"
		     "\ts->data = (void *)NAME_bpf__elf_bytes(&s->data_sz);\n");
	if (maps)
		text_printf(s->out, "\n\ts->map_skel_sz = sizeof(*s->maps);\n"
				    "\ts->maps = (struct bpf_map_skeleton *)calloc(%d, sizeof(*s->maps));\n"
				    "\tif (!s->maps)\n\t\treturn -ENOMEM;\n\ts->map_cnt = %d;\n", maps, maps);
	maps = 0;
	bpf_object__for_each_map(map, s->object) {
		map_identifier(map, ident, sizeof(ident));
		/* libbpf makes the names of its own maps from the object's name, cut to what the kernel takes. */
		text_printf(s->out, "\ts->maps[%d].name = \"%s\";\n\ts->maps[%d].map = &obj->maps.%s;\n", maps,
			    bpf_map__name(map), maps, ident);
		if (is_mapped(map))
			text_printf(s->out, "\ts->maps[%d].mmaped = (void **)&obj->%s;\n", maps, ident);
		maps++;
	}
	if (programs)
		text_printf(s->out, "\n\ts->prog_skel_sz = sizeof(*s->progs);\n"
				    "\ts->progs = (struct bpf_prog_skeleton *)calloc(%d, sizeof(*s->progs));\n"
				    "\tif (!s->progs)\n\t\treturn -ENOMEM;\n\ts->prog_cnt = %d;\n", programs, programs);
	programs = 0;
	bpf_object__for_each_program(program, s->object) {
		set_identifier(ident, sizeof(ident), bpf_program__name(program));
		text_printf(s->out, "\ts->progs[%d].name = \"%s\";\n\ts->progs[%d].prog = &obj->progs.%s;\n"
				    "\ts->progs[%d].link = &obj->links.%s;\n", programs, bpf_program__name(program),
			    programs, ident, programs, ident);
		programs++;
	}
	text_puts(s->out, "\treturn 0;\n}\n\n");
}

static void put_bytes_of(struct skeleton *s, const unsigned char *p, size_t n)
{
	put_named(s, "static inline const void *NAME_bpf__elf_bytes(size_t *sz)\n{\n"
		     "\tstatic const unsigned char data[] __attribute__((aligned(8))) = {");
	for (size_t i = 0; i < n; i++)
		text_printf(s->out, "%s%u,", i % 24 ? "" : "\n", p[i]);
	text_puts(s->out, "\n\t};\n\n\t*sz = sizeof(data);\n\treturn data;\n}\n\n");
}

static void put_all(struct skeleton *s, const void *object, size_t size)
{
	char guard[80];

	snprintf(guard, sizeof(guard), "%s_BPF_SKEL_H", s->name);
	for (char *p = guard; *p; p++)
		*p = toupper((unsigned char)*p);
	text_printf(s->out, "/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */\n"
			    "/* Made by anybpf from a BPF object; needs libbpf alone. */\n"
			    "#ifndef %s\n#define %s\n\n#include <errno.h>\n#include <stdbool.h>\n#include <stdint.h>\n"
			    "#include <stdlib.h>\n#include <bpf/libbpf.h>\n\n"
			    "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", guard, guard);
	put_struct(s);
	put_named(s, functions);
	put_create(s);
	put_bytes_of(s, object, size);
	text_printf(s->out, "#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

int ab_skeleton_write(const void *object, size_t size, const char *name, struct text *out, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct skeleton s = { .out = out };
	char object_name[80];
	_free_ char *stem = strndup(name, strlen(name) - strlen(".skel.h"));

	if (!stem)
		return ab_fail_memory(err);
	set_identifier(s.name, sizeof(s.name), stem);
	if (!*s.name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' has no name before .skel.h", name);
	snprintf(object_name, sizeof(object_name), "%s_bpf", s.name);
	opts.object_name = object_name;
	s.object = bpf_object__open_mem(object, size, &opts);
	if (!s.object)
		return ab_fail_errno(err, -errno, "libbpf refuses the object");
	s.btf = bpf_object__btf(s.object);
	if (s.btf)
		put_all(&s, object, size);
	bpf_object__close(s.object);
	if (!s.btf)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the object has no types, so it can have no skeleton");
	return out->failed ? ab_fail_memory(err) : 0;
}
