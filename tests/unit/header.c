/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* C headers of BTF. What counts is what clang makes of them, so most tests here compile what was printed. */
#include <ctype.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <btf/internal.h>
#include "unit.h"

static char directory[] = "/tmp/anybpf-header-XXXXXX";

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command))
		fprintf(stderr, "%s is left behind\n", directory);
}

static const char *in_directory(const char *name)
{
	static char paths[4][128], *path;
	static unsigned i;

	if (strstr(directory, "XXXXXX")) {
		ASSERT(mkdtemp(directory));
		atexit(remove_directory);
	}
	path = paths[i++ % ARRAY_SIZE(paths)];
	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void write_text(const char *name, const char *text, size_t n)
{
	struct ab_error err = {};

	ASSERT_OK(file_write(in_directory(name), text, n, 0644, &err), err);
}

static const char *clang(void)
{
	static const char *const names[] = { "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17",
					     "clang-16", "clang-15" };
	char command[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(command, sizeof(command), "%s --version >/dev/null 2>&1", names[i]);
		if (!system(command))
			return names[i];
	}
	SKIP("no clang here");
	return NULL;
}

/* Compiles directory/NAME.c for BPF, warnings being errors, and opens the result's BTF. */
static struct ab_btf *compile(const char *name, const char *flags)
{
	struct ab_btf *btf = NULL;
	struct ab_error err = {};
	char command[512], object[128];

	snprintf(object, sizeof(object), "%s/%s.o", directory, name);
	snprintf(command, sizeof(command), "%s -g -O2 -target bpf -Werror %s -I'%s' -c '%s/%s.c' -o '%s'", clang(), flags,
		 directory, directory, name, object);
	ASSERT_INT(system(command), 0);
	ASSERT_OK(ab_btf_open_file(object, &btf, &err), err);
	return btf;
}

static struct ab_btf *compile_text(const char *name, const char *text, const char *flags)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.c", name);
	write_text(file, text, strlen(text));
	return compile(name, flags);
}

static struct ab_btf *open_kernel(void)
{
	struct ab_error err = {};
	struct ab_btf *btf = NULL;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	ASSERT_OK(ab_btf_open_kernel(&btf, &err), err);
	return btf;
}

static char *header_of(const struct ab_btf *btf, const char *names)
{
	_strmap_ struct strmap map = {};
	struct text out = {};
	struct ab_error err = {};

	for (const char *s = names; s && *s;) {
		size_t n = strcspn(s, " ");

		ASSERT(strmap_put(&map, s, n, NULL));
		s += n + strspn(s + n, " ");
	}
	ASSERT_OK(ab_btf_header(btf, names ? &map : NULL, &out, &err), err);
	return text_take(&out);
}

/* ---- layout ---- */

static bool is_printed_struct(const struct btf_type *t)
{
	return ab_btf_is_struct(t) && t->name_off;
}

/* The name that the header gives a type. */
static const char *printed_name(const struct ab_btf *btf, uint32_t id)
{
	static char name[512];
	uint32_t ordinal = ab_btf_ordinal(ab_btf_index(btf), id, -1);

	if (ordinal > 1)
		snprintf(name, sizeof(name), "%s___%u", ab_btf_name(btf, ab_btf_type(btf, id)), ordinal);
	else
		snprintf(name, sizeof(name), "%s", ab_btf_name(btf, ab_btf_type(btf, id)));
	return name;
}

static void compare_structs(const struct ab_btf *a, uint32_t ida, const struct ab_btf *b, uint32_t idb, const char *name);

static void compare_members(const struct ab_btf *a, const struct btf_type *ta, const struct ab_btf *b,
			    const struct btf_type *tb, uint32_t i, const char *name)
{
	struct member ma = ab_btf_member(a, ta, i), mb = ab_btf_member(b, tb, i);
	uint32_t ra = ab_btf_resolve(a, ma.type), rb = ab_btf_resolve(b, mb.type);

	if (strcmp(ma.name, mb.name) || ma.offset != mb.offset || ma.bits != mb.bits || ma.size != mb.size)
		FAIL("%s: member %u is '%s' at bit %u, %u bits, %llu bytes; compiled, it is '%s' at bit %u, %u bits, %llu bytes",
		     name, i, ma.name, ma.offset, ma.bits, (unsigned long long)ma.size, mb.name, mb.offset, mb.bits,
		     (unsigned long long)mb.size);
	if (is_printed_struct(ab_btf_type(a, ra)) || !ab_btf_is_struct(ab_btf_type(a, ra)))
		return;
	compare_structs(a, ra, b, rb, name);
}

static void compare_structs(const struct ab_btf *a, uint32_t ida, const struct ab_btf *b, uint32_t idb, const char *name)
{
	const struct btf_type *ta = ab_btf_type(a, ida), *tb = ab_btf_type(b, idb);

	/* A union that is padded has a struct for it. */
	bool padded = ab_btf_kind(ta) == BTF_KIND_UNION && ab_btf_vlen(tb) == ab_btf_vlen(ta) + 1;

	if (ab_btf_kind(ta) != ab_btf_kind(tb) || ta->size != tb->size || (ab_btf_vlen(ta) != ab_btf_vlen(tb) && !padded))
		FAIL("%s: %u bytes and %u members; compiled, %u bytes and %u members", name, ta->size, ab_btf_vlen(ta),
		     tb->size, ab_btf_vlen(tb));
	for (uint32_t i = 0; i < ab_btf_vlen(ta); i++)
		compare_members(a, ta, b, tb, i, name);
}

static bool has_bit_field(const struct ab_btf *btf, const struct btf_type *t)
{
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		struct member m = ab_btf_member(btf, t, i);
		const struct btf_type *type = ab_btf_type(btf, ab_btf_resolve(btf, m.type));

		if (m.bits || (ab_btf_is_struct(type) && !type->name_off && has_bit_field(btf, type)))
			return true;
	}
	return false;
}

static void assert_offsets(const struct ab_btf *btf, const struct btf_type *t, const char *of, uint32_t base, struct text *out)
{
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		struct member m = ab_btf_member(btf, t, i);

		if (!*m.name && !m.bits)
			assert_offsets(btf, ab_btf_type(btf, m.type), of, base + m.offset / 8, out);
		else if (*m.name && !m.bits)
			text_printf(out, "_Static_assert(__builtin_offsetof(%s, %s) == %u, \"\");\n", of, m.name,
				    base + m.offset / 8);
	}
}

static const char *keyword(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_STRUCT ? "struct" : ab_btf_kind(t) == BTF_KIND_UNION ? "union" : "enum";
}

/*
 * Prints all types and lets clang assert every size, and the offset of every member that is no bit-field. Clang needs time
 * for BTF that grows with the square of its size, so only the structs with bit-fields are compared by what it writes.
 */
static uint32_t compile_all(const struct ab_btf *btf)
{
	_free_ char *header = header_of(btf, NULL);
	_text_ struct text source = {};
	struct ab_btf *compiled;
	uint32_t n = 0;
	char of[512];

	text_puts(&source, "#include \"vmlinux.h\"\n");
	for (uint32_t id = 1; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id);

		if (!t->name_off || ab_btf_is_forward(t) || (!ab_btf_is_struct(t) && !ab_btf_is_enum(t)))
			continue;
		n++;
		snprintf(of, sizeof(of), "%s %s", keyword(t), printed_name(btf, id));
		text_printf(&source, "_Static_assert(sizeof(%s) == %u, \"\");\n", of, t->size);
		if (ab_btf_is_struct(t))
			assert_offsets(btf, t, of, 0, &source);
		if (ab_btf_is_struct(t) && has_bit_field(btf, t))
			text_printf(&source, "%s *v%u;\n", of, id);
	}
	write_text("vmlinux.h", header, strlen(header));
	write_text("all.c", source.p, source.n);
	compiled = compile("all", "");
	for (uint32_t id = 1; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		uint32_t found;

		if (!is_printed_struct(t) || !has_bit_field(btf, t))
			continue;
		found = ab_btf_find(compiled, printed_name(btf, id), ab_btf_kind(t));
		ASSERT(found);
		compare_structs(btf, id, compiled, found, printed_name(btf, id));
	}
	ab_btf_close(compiled);
	return n;
}

TEST(every_struct_of_this_kernel_has_its_layout)
{
	struct ab_btf *btf = open_kernel();

	ASSERT(compile_all(btf) > 1000);
	ab_btf_close(btf);
}

/* BTF archives in BTFHub's layout, beside the checkout. */
static void compile_archive(const char *pattern)
{
	struct ab_error err = {};
	struct ab_btf *btf;
	char command[512];
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		SKIP("no %s here", pattern);
	snprintf(command, sizeof(command), "tar -xJOf '%s' > '%s'", found.gl_pathv[0], in_directory("archived.btf"));
	ASSERT_INT(system(command), 0);
	ASSERT_OK(ab_btf_open_file(in_directory("archived.btf"), &btf, &err), err);
	ASSERT(compile_all(btf) > 1000);
	ab_btf_close(btf);
	globfree(&found);
}

TEST(every_struct_of_an_android_kernel_has_its_layout)
{
	compile_archive("../shared/data/btf/android/common-android13-5.10/*2023-04*.btf.tar.xz");
}

TEST(every_struct_of_a_kylin_kernel_has_its_layout)
{
	compile_archive("../shared/data/btf/kylin/V10/aarch64/4.19.90-52*.btf.tar.xz");
}

TEST(every_struct_of_a_bclinux_kernel_has_its_layout)
{
	compile_archive("../shared/data/btf/bclinux/21.10U3/x86_64/*.btf.tar.xz");
}

static const char awkward[] =
	"typedef unsigned char u8; typedef unsigned int u32; typedef unsigned long long u64; typedef _Bool flag;\n"
	"enum small { S0, S1 = 200 } __attribute__((mode(QI)));\n"
	"enum half { H0 = -5, H1 } __attribute__((mode(HI)));\n"
	"enum negative { N0 = -2147483647 - 1, N1 = 2147483647 };\n"
	"enum large { L0 = 4000000000u };\n"
	"enum wide { W0 = -9223372036854775807LL - 1, W1 = 9223372036854775807LL };\n"
	"enum huge { U0 = 18446744073709551615ULL };\n"
	"struct packed { u8 a; u64 b; u32 c : 3; u32 d : 29; u8 e; } __attribute__((packed));\n"
	"struct packed_bits { u8 a : 3; u64 b : 60; u8 c : 7; } __attribute__((packed));\n"
	"struct holds_packed { u8 x; struct packed p[2]; u64 y; };\n"
	"struct aligned { u8 a; u8 b __attribute__((aligned(64))); } __attribute__((aligned(128)));\n"
	"struct holds_aligned { u32 x; struct aligned a; u32 y; };\n"
	"struct bits { u32 a : 1; u32 : 0; u32 b : 31; u64 c : 40; u8 d : 2; flag e : 1; enum small f : 4; u32 : 5; u32 g : 4; };\n"
	"struct mixed { u8 a : 4; u32 b : 20; u8 c; u64 d : 33; unsigned short s; int : 7; int t : 3; };\n"
	"union padded { u8 a; u32 b : 3; } __attribute__((aligned(32)));\n"
	"union small_padded { u8 a; } __attribute__((aligned(4)));\n"
	"struct holds_unions { u8 a; union padded p; union small_padded q; u8 b; };\n"
	"struct empty {}; struct only_padding { u64 : 64; u32 : 3; };\n"
	"struct flexible { u32 n; struct empty e; u64 data[]; };\n"
	"struct zero { u32 n; u64 none[0]; u8 last; };\n"
	"struct big { u8 a; __int128 i; double d; float f; long long l; };\n"
	"struct later; typedef struct { u32 x; struct { u8 in; } s; union { u8 m; u64 n; }; } unnamed_t;\n"
	"typedef int (*callback_t)(const struct later *, u64, ...);\n"
	"struct pointers { struct pointers *self, **more; callback_t calls[3][2]; int (*(*returns)(void))(char);\n"
	"	void *restrict r; const volatile char *const *volatile q;\n"
	"	int (*to_array)[4]; int m[2][3][4]; unnamed_t u; unnamed_t *up;\n"
	"	struct { struct later *l; enum { IN0, IN1 } e; } *anonymous; const unnamed_t c[2]; void (*none)(void); };\n"
	"struct packed a; struct packed_bits b; struct holds_packed c; struct holds_aligned d; struct bits e; struct mixed f;\n"
	"struct holds_unions g; struct only_padding h; struct flexible i; struct zero j; struct big k; struct pointers l;\n"
	"enum half m; enum negative n; enum large o; enum wide p; enum huge q;\n";

TEST(awkward_structs_have_their_layout)
{
	struct ab_btf *btf = compile_text("awkward", awkward, "");

	ASSERT_INT(compile_all(btf), 22);
	ab_btf_close(btf);
}

TEST(enumerators_keep_their_values)
{
	struct ab_btf *btf = compile_text("awkward", awkward, ""), *again;
	_free_ char *header = header_of(btf, NULL);
	static const char *const asserts =
		"#include \"vmlinux.h\"\n"
		"_Static_assert(S1 == 200 && H0 == -5 && N0 == -2147483647 - 1 && L0 == 4000000000u, \"\");\n"
		"_Static_assert(W0 == -9223372036854775807LL - 1 && W1 == 9223372036854775807LL, \"\");\n"
		"_Static_assert(U0 == 18446744073709551615ULL && IN1 == 1, \"\");\nint x;\n";

	write_text("vmlinux.h", header, strlen(header));
	again = compile_text("values", asserts, "");
	ab_btf_close(again);
	ab_btf_close(btf);
}

/* ---- on demand ---- */

static const char graph[] =
	"struct inner { int deep; }; struct far { int f; }; struct near { struct far *to_far; int x; };\n"
	"typedef struct near *near_p; typedef struct { struct far *in_typedef; } box_t; typedef box_t box2_t;\n"
	"struct value { struct inner in; };\n"
	"struct root { struct near *to_near; struct value v; struct far **to_many; void (*call)(struct near *, box_t *);\n"
	"	near_p alias; struct near (*array)[2]; enum kind { KIND_A, KIND_B } k; };\n"
	"struct bare { struct near *to_near; };\n"
	"enum { CONSTANT_A = 5, CONSTANT_B }; struct with { enum { INLINE_A = 9 } e; };\n"
	"struct root r; near_p p; box2_t b; struct far g; struct with w; struct bare z;\n"
	"int f(void) { return CONSTANT_A; } enum { LAST = 3 } last;\n";

static bool defines(const char *header, const char *type)
{
	char line[512];

	snprintf(line, sizeof(line), "\n%s {\n", type);
	return strstr(header, line);
}

static bool declares(const char *header, const char *type)
{
	char line[128];

	snprintf(line, sizeof(line), "\n%s;\n", type);
	return strstr(header, line);
}

TEST(a_pointer_is_followed_if_its_member_is_named)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_free_ char *no = header_of(btf, "bare"), *yes = header_of(btf, "bare to_near");
	_free_ char *further = header_of(btf, "bare to_near to_far");

	ASSERT(defines(no, "struct bare") && declares(no, "struct near") && !defines(no, "struct near"));
	ASSERT(defines(yes, "struct near") && declares(yes, "struct far") && !defines(yes, "struct far"));
	ASSERT(defines(further, "struct far"));
	ab_btf_close(btf);
}

TEST(what_is_contained_is_defined)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_free_ char *header = header_of(btf, "root"), *many = header_of(btf, "root to_many");

	ASSERT(defines(header, "struct value") && defines(header, "struct inner") && defines(header, "enum kind"));
	ASSERT(defines(header, "struct near")); /* an element of an array */
	ASSERT(!defines(header, "struct far") && defines(many, "struct far"));
	ASSERT(!strstr(header, "CONSTANT_A") && !defines(header, "struct with"));
	ab_btf_close(btf);
}

TEST(named_typedefs_lead_to_what_they_name)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_free_ char *pointer = header_of(btf, "near_p"), *box = header_of(btf, "box2_t");

	ASSERT(defines(pointer, "struct near"));
	ASSERT(strstr(box, "} box_t;") && strstr(box, "typedef box_t box2_t;") && !defines(box, "struct far"));
	ab_btf_close(btf);
}

TEST(an_enumerator_brings_its_enum)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_free_ char *header = header_of(btf, "KIND_B LAST INLINE_A");

	ASSERT(defines(header, "enum kind") && defines(header, "enum") && strstr(header, "LAST = 3"));
	ASSERT(strstr(header, "INLINE_A = 9") && !defines(header, "struct with"));
	ab_btf_close(btf);
}

TEST(nothing_named_leaves_an_empty_header)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_strmap_ struct strmap none = {};
	_text_ struct text out = {};

	ASSERT_INT(ab_btf_header(btf, &none, &out, NULL), 0);
	ASSERT(strstr(out.p, "__VMLINUX_H__") && !strchr(out.p, '{'));
	ab_btf_close(btf);
}

TEST(headers_are_the_same_in_any_order_of_names)
{
	struct ab_btf *btf = compile_text("graph", graph, "");
	_free_ char *a = header_of(btf, "root to_near KIND_B box2_t"), *b = header_of(btf, "box2_t KIND_B to_near root");

	ASSERT_STR(a, b);
	ab_btf_close(btf);
}

TEST(numbered_names_are_found)
{
	struct ab_btf *btf = open_kernel();
	const struct name_index *index = ab_btf_index(btf);

	for (uint32_t i = 0; i < index->n_duplicates; i++) {
		const struct duplicate *d = &index->duplicates[i];
		const struct btf_type *t = ab_btf_type(btf, d->id);
		_free_ char *header = NULL;
		char line[256];

		if (!ab_btf_is_struct(t) || d->enumerator >= 0)
			continue;
		header = header_of(btf, printed_name(btf, d->id));
		snprintf(line, sizeof(line), "%s %s", keyword(t), printed_name(btf, d->id));
		ASSERT(defines(header, line));
		ab_btf_close(btf);
		return;
	}
	SKIP("no name is there twice in this kernel");
}

/* ---- the same code ---- */

#define PROGRAM                                                                                         \
	"#include \"vmlinux.h\"\n"                                                                      \
	"#define SEC(name) __attribute__((section(name), used))\n"                                      \
	"static long (*read_kernel)(void *, u32, const void *) = (void *)113;\n"                        \
	"static u64 (*current)(void) = (void *)35;\n"                                                   \
	"#define READ(p, m) ({ typeof((p)->m) _v; read_kernel(&_v, sizeof(_v), &(p)->m); _v; })\n"      \
	"char _license[] SEC(\"license\") = \"GPL\"; u64 out;\n"

static const char *const programs[] = {
	PROGRAM "SEC(\"raw_tp\") int chain(void *c) { struct task_struct *t = (void *)current();"
		" struct task_struct *p = READ(t, real_parent); struct mm_struct *mm = READ(p, mm);"
		" out = (u64)READ(READ(READ(mm, exe_file), f_path.dentry), d_name.name);"
		" return READ(p, tgid) + READ(t, thread_info.flags); }",
	PROGRAM "SEC(\"tp_btf\") int direct(u64 *ctx) { const struct sock *sk = (void *)ctx[0];"
		" if (sk->__sk_common.skc_family == 2 && ctx[2] == TCP_ESTABLISHED)"
		" out = sk->sk_protocol + sk->__sk_common.skc_dport;"
		" return ((struct inet_sock *)sk)->inet_sport; }",
	PROGRAM "SEC(\"raw_tp\") int info(void *c) { struct sk_buff *skb = 0;"
		" return __builtin_preserve_type_info(*(struct inode *)0, 1)"
		" + __builtin_preserve_enum_value(*(typeof(enum bpf_func_id) *)BPF_FUNC_map_lookup_elem, 1)"
		" + __builtin_preserve_field_info(skb->pkt_type, 0) + __builtin_preserve_field_info(skb->pkt_type, 4)"
		" + __builtin_preserve_type_info(*(typeof(kuid_t) *)0, 0); }",
	PROGRAM "SEC(\"raw_tp\") int cgroups(void *c) { struct task_struct *t = (void *)current();"
		" out = READ(READ(READ(t, cgroups), dfl_cgrp), kn)->id;"
		" return READ(t, cred)->uid.val + PIDTYPE_TGID + sizeof(atomic64_t); }",
	PROGRAM "struct { int (*type)[BPF_MAP_TYPE_HASH]; int (*max_entries)[16];"
		" pid_t *key; struct rusage *value; } m SEC(\".maps\");\n"
		"SEC(\"tp\") int args(struct trace_event_raw_sys_enter *ctx) { out = ctx->args[1] + (u64)&m; return ctx->id; }",
	PROGRAM "struct my { struct list_head list; struct rb_node node; struct path path; } saved;\n"
		"SEC(\"raw_tp\") int local(void *c) { struct file *f = c; saved.path = READ(f, f_path); struct super_block *sb ="
		" READ(READ(f, f_inode), i_sb); return READ(sb, s_dev) + saved.list.next->next->prev->next == 0; }",
};

/* What the object does: instructions and relocations, without the ids of types, which differ. */
static char *listing(const char *header, const char *source)
{
	struct ab_error err = {};
	char command[640], *data;
	size_t n;

	write_text("vmlinux.h", header, strlen(header));
	ab_btf_close(compile_text("program", source, "-w"));
	snprintf(command, sizeof(command), "$(%s -print-prog-name=llvm-objdump) -dr --no-show-raw-insn '%s/program.o' |"
		 " sed 's/CO-RE \\(<[a-z_0-9]*>\\) \\[[0-9]*\\]/CO-RE \\1/' > '%s/program.s'", clang(), directory, directory);
	ASSERT_INT(system(command), 0);
	ASSERT_OK(file_read(in_directory("program.s"), 16 << 20, &data, &n, &err), err);
	ASSERT(strstr(data, "exit"));
	return data;
}

TEST(code_is_the_same_as_with_the_whole_header)
{
	struct ab_btf *btf = open_kernel();
	_free_ char *whole = header_of(btf, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		_free_ char *names = strdup(programs[i]), *part = NULL, *a = NULL, *b = NULL;

		for (char *s = names; *s; s++)
			if (!isalnum((unsigned char)*s) && *s != '_')
				*s = ' ';
		part = header_of(btf, names + strspn(names, " "));
		ASSERT(strlen(part) < strlen(whole) / 10);
		a = listing(whole, programs[i]);
		b = listing(part, programs[i]);
		ASSERT_STR(b, a);
	}
	ab_btf_close(btf);
}
