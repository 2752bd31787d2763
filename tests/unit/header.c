/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* C headers of BTF. What counts is what clang makes of them, so most tests here compile what was printed. */
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

static struct ab_btf *compile_text(const char *name, const char *text)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.c", name);
	write_text(file, text, strlen(text));
	return compile(name, "");
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

	if (ab_btf_kind(ta) != ab_btf_kind(tb) || ta->size != tb->size || ab_btf_vlen(ta) != ab_btf_vlen(tb))
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
