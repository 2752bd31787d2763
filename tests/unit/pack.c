/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Packs: what comes out is what went in, whatever is asked; what is damaged is refused. */
#include <bpf/btf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <btf/pack.h>
#include <btf/pack_internal.h>
#include "../btf_canonical.h"
#include "unit.h"

static struct ab_error error;
static char directory[] = "/tmp/anybpf-pack-XXXXXX", path[64];

__attribute__((destructor)) static void remove_path(void)
{
	char lock[80];

	if (!*path)
		return;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
	unlink(path);
	rmdir(directory);
}

static const char *pack_path(void)
{
	if (!*path) {
		ASSERT(mkdtemp(directory));
		snprintf(path, sizeof(path), "%s/pack", directory);
	}
	return path;
}

static struct ab_kernel kernel(const char *release)
{
	return (struct ab_kernel){ .release = release, .arch = "x86_64", .distribution = "debian", .flavour = "", .module = "" };
}

static const void *bytes(const struct btf *btf, uint32_t *ret_size)
{
	const void *data = btf__raw_data(btf, ret_size);

	ASSERT(data);
	return data;
}

static int add(struct ab_pack_writer *w, struct ab_kernel k, const struct btf *btf)
{
	uint32_t size;
	const void *data = bytes(btf, &size);

	ab_error_clear(&error);
	return ab_pack_writer_add(w, &k, data, size, NULL, 0, &error);
}

static struct ab_pack_writer *open_writer(void)
{
	struct ab_pack_writer *w;

	ASSERT_OK(ab_pack_writer_open(pack_path(), &w, &error), error);
	return w;
}

static void commit(struct ab_pack_writer *w)
{
	ASSERT_OK(ab_pack_writer_commit(w, &error), error);
	ab_pack_writer_free(w);
}

static struct ab_pack *open_pack(void)
{
	struct ab_pack *pack;

	ASSERT_OK(ab_pack_open(pack_path(), &pack, &error), error);
	return pack;
}

static void put(const char *release, const struct btf *btf)
{
	struct ab_pack_writer *w = open_writer();

	ASSERT_INT(add(w, kernel(release), btf), 1);
	commit(w);
}

static struct btf *extract(const struct ab_pack *pack, const char *release)
{
	long k = ab_pack_find(pack, release, NULL, &error);
	struct btf *btf;
	size_t size;
	void *data;

	ASSERT_OK(k, error);
	ASSERT_OK(ab_pack_extract(pack, k, &data, &size, &error), error);
	btf = btf__new(data, size);
	ASSERT(btf);
	free(data);
	return btf;
}

static void check_same(const struct btf *a, const struct btf *b)
{
	uint32_t a_size, b_size;
	const void *x = bytes(a, &a_size), *y = bytes(b, &b_size);
	char what[256];

	if (!canonical_equal(x, a_size, y, b_size, what, sizeof(what)))
		FAIL("%s", what);
}

static void check_round_trip(const char *release, const struct btf *btf)
{
	struct ab_pack *pack = open_pack();
	struct btf *out = extract(pack, release);

	check_same(btf, out);
	btf__free(out);
	ab_pack_close(pack);
}

/* One of every kind and form that there is. */
static struct btf *make_everything(int salt)
{
	struct btf *btf = btf__new_empty();
	int i32 = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), u64 = btf__add_int(btf, "unsigned long", 8, 0);
	int list, list_ptr, flag, word, proto, var, section, tag, array, restricted;

	btf__add_float(btf, "double", 8);
	list_ptr = btf__add_ptr(btf, 5);
	list = btf__add_struct(btf, "list_head", 16);
	ASSERT_INT(list, 5);
	btf__add_field(btf, "next", list_ptr, 0, 0);
	btf__add_field(btf, "prev", list_ptr, 64, 0);
	flag = btf__add_union(btf, NULL, 4);
	btf__add_field(btf, "a", i32, 0, 3);
	btf__add_field(btf, "b", i32, 0, 0);
	word = btf__add_typedef(btf, "word", btf__add_const(btf, btf__add_volatile(btf, u64)));
	btf__add_enum(btf, "color", 4);
	btf__add_enum_value(btf, "RED", -1);
	btf__add_enum_value(btf, "GREEN", salt);
	btf__add_enum64(btf, "wide", 8, false);
	btf__add_enum64_value(btf, "BIG", 0xfedcba9876543210u);
	btf__add_enum(btf, NULL, 4);
	btf__add_enum_value(btf, "NAMELESS", 7);
	restricted = btf__add_restrict(btf, btf__add_ptr(btf, 0));
	array = btf__add_array(btf, i32, word, 2);
	proto = btf__add_func_proto(btf, list_ptr);
	ASSERT(!btf__add_func_param(btf, "first", restricted));
	ASSERT(!btf__add_func_param(btf, "", 0));
	btf__add_func(btf, "make_list", BTF_FUNC_GLOBAL, proto);
	btf__add_struct(btf, "box", 48 + salt);
	btf__add_field(btf, "flag", flag, 0, 0);
	btf__add_field(btf, "list", list, 64, 0);
	ASSERT(!btf__add_field(btf, "words", array, 192, 0));
	btf__add_fwd(btf, "opaque", BTF_FWD_UNION);
	btf__add_typedef(btf, "tagged", btf__add_ptr(btf, btf__add_type_tag(btf, "user", i32)));
	var = btf__add_var(btf, "counter", BTF_VAR_STATIC, u64);
	section = btf__add_datasec(btf, ".data..percpu", 64);
	btf__add_datasec_var_info(btf, var, 0, 8);
	btf__add_datasec_var_info(btf, var, 16, 8);
	tag = btf__add_struct(btf, NULL, 4);
	btf__add_field(btf, "inner", i32, 0, 0);
	btf__add_decl_tag(btf, "on a member", tag, 0);
	btf__add_typedef(btf, "holder", tag);
	btf__add_decl_tag(btf, "bpf_kfunc", var, -1);
	btf__add_decl_tag(btf, "another", var, -1);
	ASSERT(section > 0);
	return btf;
}

/* ---- round trips ---- */

TEST(every_kind_comes_back)
{
	struct btf *btf = make_everything(1);

	put("6.1.0", btf);
	check_round_trip("6.1.0", btf);
	btf__free(btf);
}

TEST(the_running_kernel_comes_back)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		SKIP("this kernel has no BTF");
	put("live", btf);
	check_round_trip("live", btf);
	btf__free(btf);
}

TEST(segments_share_definitions)
{
	struct btf *first = make_everything(1), *second = make_everything(2);
	struct ab_pack_stat one, two;
	struct ab_pack *pack;

	put("6.1.0", first);
	pack = open_pack();
	ab_pack_stat(pack, &one);
	ab_pack_close(pack);
	put("6.2.0", second);
	pack = open_pack();
	ab_pack_stat(pack, &two);
	ASSERT_INT(two.segments, 2);
	ASSERT_INT(two.kernels, 2);
	/* color and box read differently. */
	ASSERT_INT(two.definitions, one.definitions + 2);
	ASSERT_INT(two.strings, one.strings);
	ab_pack_close(pack);
	check_round_trip("6.1.0", first);
	check_round_trip("6.2.0", second);
	btf__free(first);
	btf__free(second);
}

TEST(many_segments_become_one)
{
	for (int i = 0; i < 2 * PACK_MAX_SEGMENTS; i++) {
		struct btf *btf = make_everything(i);
		char release[32];

		snprintf(release, sizeof(release), "6.%d", i);
		put(release, btf);
		btf__free(btf);
	}
	for (int i = 0; i < 2 * PACK_MAX_SEGMENTS; i++) {
		struct btf *btf = make_everything(i);
		struct ab_pack *pack = open_pack();
		char release[32];
		struct ab_pack_stat stat;

		ab_pack_stat(pack, &stat);
		ASSERT(stat.segments <= PACK_MAX_SEGMENTS);
		ASSERT_OK(ab_pack_verify(pack, &error), error);
		ab_pack_close(pack);
		snprintf(release, sizeof(release), "6.%d", i);
		check_round_trip(release, btf);
		btf__free(btf);
	}
}

/* ---- names with more than one meaning ---- */

/* Two structs "x", each with somebody who points to it, and a forward declaration that means either. */
static struct btf *make_ambiguous(void)
{
	struct btf *btf = btf__new_empty();
	int i32 = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), x1, x2, fwd, to_one, to_two;

	x1 = btf__add_struct(btf, "x", 4);
	btf__add_field(btf, "one", i32, 0, 0);
	x2 = btf__add_struct(btf, "x", 8);
	btf__add_field(btf, "two", i32, 32, 0);
	fwd = btf__add_fwd(btf, "x", BTF_FWD_STRUCT);
	btf__add_typedef(btf, "to_one", btf__add_ptr(btf, x1));
	btf__add_typedef(btf, "to_two", btf__add_ptr(btf, x2));
	btf__add_typedef(btf, "to_any", btf__add_ptr(btf, fwd));
	/* These read the same and are told apart by what they lead to; and again one step further. */
	to_one = btf__add_ptr(btf, x1);
	to_two = btf__add_ptr(btf, x2);
	for (int i = 0; i < 2; i++) {
		int outer = btf__add_struct(btf, "outer", 16), pointer;

		ASSERT(!btf__add_field(btf, "p", i ? to_two : to_one, 0, 0));
		pointer = btf__add_ptr(btf, outer);
		btf__add_struct(btf, "outermost", 16);
		ASSERT(!btf__add_field(btf, "outer", pointer, 64, 0));
	}
	return btf;
}

TEST(ambiguous_names_keep_their_meanings)
{
	struct btf *btf = make_ambiguous(), *other = make_everything(3);

	put("6.1.0", btf);
	put("6.2.0", other);
	check_round_trip("6.1.0", btf);
	btf__free(btf);
	btf__free(other);
}

static uint32_t count_named(const struct btf *btf, uint32_t kind, const char *name)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < btf__type_cnt(btf); i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);

		n += btf_kind(t) == kind && !strcmp(btf__name_by_offset(btf, t->name_off), name);
	}
	return n;
}

TEST(copies_and_forward_declarations_merge)
{
	struct btf *btf = btf__new_empty(), *out;
	int i32 = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), fwd;
	struct ab_pack *pack;

	for (int i = 0; i < 2; i++) {
		int pointer = btf__add_ptr(btf, btf__type_cnt(btf) + 1);

		btf__add_struct(btf, "node", 8);
		ASSERT(!btf__add_field(btf, "next", pointer, 0, 0));
	}
	fwd = btf__add_fwd(btf, "node", BTF_FWD_STRUCT);
	btf__add_typedef(btf, "handle", btf__add_ptr(btf, fwd));
	btf__add_fwd(btf, "elsewhere", BTF_FWD_STRUCT);
	put("6.1.0", btf);
	pack = open_pack();
	out = extract(pack, "6.1.0");
	ASSERT_INT(count_named(out, BTF_KIND_STRUCT, "node"), 1);
	ASSERT_INT(count_named(out, BTF_KIND_FWD, "node"), 0);
	ASSERT_INT(count_named(out, BTF_KIND_FWD, "elsewhere"), 1);
	check_same(btf, out);
	ASSERT(i32 > 0);
	btf__free(out);
	btf__free(btf);
	ab_pack_close(pack);
}

/* As CentOS 8's: many structs twice, which differ in whether somebody's pointer leads to a definition. */
TEST(failed_deduplication_is_healed)
{
	struct btf *btf = btf__new_empty(), *out;
	int i32 = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), targets[3], pointer;
	const struct btf_type *t;
	struct ab_pack *pack;
	char name[48];

	for (int i = 0; i < 3; i++) {
		targets[i] = i == 2 ? btf__add_fwd(btf, "target", BTF_FWD_STRUCT) : btf__add_struct(btf, "target", 4 + 4 * i);
		if (i < 2)
			btf__add_field(btf, "f", i32, 0, 0);
	}
	for (int i = 0; i < 3 * 150; i++) {
		snprintf(name, sizeof(name), "copied_%d", i / 3);
		pointer = btf__add_ptr(btf, targets[i % 3]);
		btf__add_struct(btf, name, 16);
		ASSERT(!btf__add_field(btf, "p", pointer, 0, 0));
		snprintf(name, sizeof(name), "__UNIQUE_ID_rh_kabi_hide%d", i);
		btf__add_field(btf, name, i32, 64, 0);
	}
	put("4.18.0", btf);
	pack = open_pack();
	out = extract(pack, "4.18.0");
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "copied_%d", i);
		ASSERT_INT(count_named(out, BTF_KIND_STRUCT, name), 1);
	}
	ASSERT_INT(count_named(out, BTF_KIND_STRUCT, "target"), 2);
	ASSERT_INT(count_named(out, BTF_KIND_FWD, "target"), 1);
	t = btf__type_by_id(out, btf__find_by_name_kind(out, "copied_7", BTF_KIND_STRUCT));
	ASSERT_STR(btf__name_by_offset(out, btf_members(t)[1].name_off), "__UNIQUE_ID_rh_kabi_hide0");
	check_same(btf, out);
	btf__free(out);
	btf__free(btf);
	ab_pack_close(pack);
}

/* ---- modules ---- */

/* Types that use the kernel's, a name of their own, and one that the kernel uses otherwise. */
static struct btf *make_module(struct btf *base)
{
	struct btf *btf = btf__new_empty_split(base);
	int i32 = btf__find_by_name_kind(base, "int", BTF_KIND_INT), own;
	int pointer = btf__add_ptr(btf, btf__find_by_name_kind(base, "list_head", BTF_KIND_STRUCT));

	own = btf__add_struct(btf, "list_head", 4);
	btf__add_field(btf, "not_the_kernels", i32, 0, 0);
	btf__add_struct(btf, "device", 24);
	btf__add_field(btf, "mine", own, 0, 0);
	ASSERT(!btf__add_field(btf, "kernels", pointer, 64, 0));
	btf__add_func(btf, "probe", BTF_FUNC_STATIC, btf__add_func_proto(btf, i32));
	return btf;
}

TEST(modules_extend_their_kernels)
{
	struct btf *base = make_everything(1), *module = make_module(base), *base_out, *out;
	struct ab_kernel k = kernel("6.1.0");
	struct ab_pack_writer *w = open_writer();
	uint32_t size, base_size;
	const void *data = bytes(module, &size), *base_data = bytes(base, &base_size);
	const struct btf_type *t;
	struct ab_pack *pack;
	size_t out_size;
	void *raw;

	k.module = "driver";
	ASSERT_INT(ab_pack_writer_add(w, &k, data, size, base_data, base_size, &error), -ENOENT);
	ASSERT(strstr(error.msg, "driver") && strstr(error.msg, "6.1.0"));
	ASSERT_INT(add(w, kernel("6.1.0"), base), 1);
	ASSERT_INT(ab_pack_writer_add(w, &k, data, size, base_data, base_size, &error), 1);
	ASSERT_INT(ab_pack_writer_add(w, &k, data, size, base_data, base_size, &error), 0);
	commit(w);
	pack = open_pack();
	ASSERT_INT(ab_pack_count(pack), 2);
	ASSERT_STR(ab_pack_kernel(pack, 1)->module, "driver");
	base_out = extract(pack, "6.1.0");
	ASSERT_OK(ab_pack_extract(pack, 1, &raw, &out_size, &error), error);
	ASSERT_OK(file_write(path, raw, out_size, 0644, &error), error);
	out = btf__parse_raw_split(path, base_out);
	ASSERT(out);
	/* The pointer is the kernel's too. */
	ASSERT_INT(btf__type_cnt(out) - btf__type_cnt(base_out), btf__type_cnt(module) - btf__type_cnt(base) - 1);
	t = btf__type_by_id(out, btf__find_by_name_kind(out, "device", BTF_KIND_STRUCT));
	ASSERT(t && btf_vlen(t) == 2);
	/* By value its own, behind the pointer the kernel's. */
	ASSERT_INT(btf__type_by_id(out, btf_members(t)[0].type)->size, 4);
	ASSERT_INT(btf__type_by_id(out, btf__type_by_id(out, btf_members(t)[1].type)->type)->size, 16);
	free(raw);
	btf__free(out);
	btf__free(base_out);
	btf__free(module);
	btf__free(base);
	ab_pack_close(pack);
}

/* ---- writers ---- */

static int count_defs(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	*(uint32_t *)ctx += 1;
	return 0;
}

TEST(adding_twice_changes_nothing)
{
	struct btf *btf = make_everything(1), *other = make_everything(2);
	struct ab_pack_writer *w;
	struct stat before, after;

	put("6.1.0", btf);
	ASSERT(stat(path, &before) == 0);
	w = open_writer();
	ASSERT_INT(add(w, kernel("6.1.0"), btf), 0);
	ASSERT_INT(add(w, kernel("6.1.0"), other), -EEXIST);
	ASSERT(strstr(error.msg, "6.1.0"));
	commit(w);
	ASSERT(stat(path, &after) == 0);
	ASSERT_INT(after.st_ino, before.st_ino);
	btf__free(btf);
	btf__free(other);
}

TEST(dropped_kernels_are_gone)
{
	struct btf *first = make_everything(1), *second = make_ambiguous();
	struct ab_kernel k = kernel("6.1.0");
	struct ab_pack_writer *w;
	struct ab_pack *pack;
	uint32_t n = 0;

	put("6.1.0", first);
	put("6.2.0", second);
	w = open_writer();
	ASSERT_OK(ab_pack_writer_drop(w, &k, &error), error);
	ASSERT_INT(ab_pack_writer_drop(w, &k, &error), -ENOENT);
	commit(w);
	pack = open_pack();
	ASSERT_INT(ab_pack_count(pack), 1);
	ASSERT_OK(ab_pack_each_def(pack, 0, "box", count_defs, &n, &error), error);
	ASSERT_INT(n, 0);
	ab_pack_close(pack);
	check_round_trip("6.2.0", second);
	btf__free(first);
	btf__free(second);
}

TEST(merged_packs_have_all_kernels)
{
	struct btf *first = make_everything(1), *second = make_everything(2);
	struct ab_pack *other;
	struct ab_pack_writer *w;
	char other_path[80];

	put("6.1.0", first);
	snprintf(other_path, sizeof(other_path), "%s/other", directory);
	ASSERT(rename(pack_path(), other_path) == 0);
	put("6.2.0", second);
	ASSERT_OK(ab_pack_open(other_path, &other, &error), error);
	w = open_writer();
	ASSERT_OK(ab_pack_writer_merge(w, other, &error), error);
	commit(w);
	ab_pack_close(other);
	unlink(other_path);
	check_round_trip("6.1.0", first);
	check_round_trip("6.2.0", second);
	btf__free(first);
	btf__free(second);
}

struct adder {
	struct ab_pack_writer *writer;
	int first;
};

static void *add_some(void *arg)
{
	struct adder *a = arg;

	for (int i = a->first; i < a->first + 20; i++) {
		struct btf *btf = make_everything(i % 30);
		struct ab_error err = {};
		char release[32];
		struct ab_kernel k;
		uint32_t size;
		const void *data = bytes(btf, &size);

		snprintf(release, sizeof(release), "6.%d", i % 30);
		k = kernel(release);
		ASSERT_OK(ab_pack_writer_add(a->writer, &k, data, size, NULL, 0, &err), err);
		btf__free(btf);
	}
	return NULL;
}

static void add_in_threads(void)
{
	struct ab_pack_writer *w = open_writer();
	struct adder adders[3] = { { w, 0 }, { w, 10 }, { w, 20 } };
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ASSERT(pthread_create(&threads[i], NULL, add_some, &adders[i]) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	commit(w);
}

TEST(threads_add_at_a_time)
{
	char *data[2];
	size_t size[2];
	struct ab_pack *pack;

	for (int i = 0; i < 2; i++) {
		add_in_threads();
		ASSERT_OK(file_read(path, 1 << 20, &data[i], &size[i], &error), error);
		pack = open_pack();
		ASSERT_INT(ab_pack_count(pack), 30);
		ab_pack_close(pack);
		unlink(path);
	}
	/* Whoever came first, the file is the same. */
	ASSERT(size[0] == size[1] && !memcmp(data[0], data[1], size[0]));
	free(data[0]);
	free(data[1]);
}

TEST(bad_btf_is_refused)
{
	struct btf *btf = make_everything(1);
	struct ab_pack_writer *w = open_writer();
	struct ab_kernel k = kernel("6.1.0");
	uint32_t size;
	const void *data = bytes(btf, &size);
	char *copy = malloc(size);

	for (uint32_t cut = 0; cut < size; cut += 7) {
		ab_error_clear(&error);
		memcpy(copy, data, size);
		ASSERT(ab_pack_writer_add(w, &k, copy, cut, NULL, 0, &error) == -EBADMSG && *error.msg);
	}
	ab_error_clear(&error);
	k.release = "";
	ASSERT_INT(ab_pack_writer_add(w, &k, data, size, NULL, 0, &error), -EINVAL);
	free(copy);
	ab_pack_writer_free(w);
	btf__free(btf);
}

/* ---- questions ---- */

static void put_three(void)
{
	struct btf *btf = make_everything(1);
	struct ab_pack_writer *w = open_writer();
	struct ab_kernel k = kernel("5.10.0-8-amd64"), l = k, m = k;

	l.release = "5.9.0-1-amd64";
	m.release = "5.10.0-10-arm64";
	m.arch = "aarch64";
	memcpy(m.build_id, "\xab\xcd\xef\x01\x23", 5);
	m.build_id_size = 5;
	ASSERT_INT(add(w, k, btf), 1);
	ASSERT_INT(add(w, l, btf), 1);
	ASSERT_INT(add(w, m, btf), 1);
	commit(w);
	btf__free(btf);
}

TEST(kernels_are_found_and_in_order)
{
	struct ab_pack *pack;

	put_three();
	pack = open_pack();
	ASSERT_STR(ab_pack_kernel(pack, 0)->arch, "aarch64");
	ASSERT_STR(ab_pack_kernel(pack, 1)->release, "5.9.0-1-amd64");
	ASSERT_STR(ab_pack_kernel(pack, 2)->release, "5.10.0-8-amd64");
	ASSERT_INT(ab_pack_find(pack, "5.10.0-8", NULL, &error), 2);
	ASSERT_INT(ab_pack_find(pack, "10.0-8", NULL, NULL), -ENOENT);
	ASSERT_INT(ab_pack_find(pack, "5.1", "x86_64", NULL), -ENOENT);
	ASSERT_INT(ab_pack_find(pack, "8-amd64", NULL, &error), 2);
	ASSERT_INT(ab_pack_find(pack, "5.9*", NULL, &error), 1);
	ASSERT_INT(ab_pack_find(pack, "debian/5.9*", NULL, &error), 1);
	ASSERT_INT(ab_pack_find(pack, "/*/aarch64", NULL, &error), 0);
	ASSERT_INT(ab_pack_find(pack, "abcdef01", NULL, &error), 0);
	ASSERT_INT(ab_pack_find(pack, "5.10", "aarch64", &error), 0);
	ASSERT_INT(ab_pack_find(pack, "debian/*/x86_64", NULL, &error), -ENOTUNIQ);
	ASSERT(strstr(error.msg, "5.9.0-1-amd64"));
	ab_error_clear(&error);
	ASSERT_INT(ab_pack_find(pack, "5.10.0-9-amd64", NULL, &error), -ENOENT);
	ASSERT(strstr(error.msg, "did you mean '5.10.0-8-amd64'"));
	ab_pack_close(pack);
}

TEST(kernels_that_only_a_build_id_tells_apart)
{
	struct btf *btf = make_everything(1);
	struct ab_pack_writer *w = open_writer();
	struct ab_kernel k = kernel("5.10.0-8-amd64"), l = k, m = kernel("5.10.0-9-amd64"), n = m;
	struct ab_pack *pack;

	memcpy(l.build_id, "\xab\xcd\xef\x01", 4);
	memcpy(m.build_id, l.build_id, 4);
	memcpy(n.build_id, "\1\2\3\4", 4);
	l.build_id_size = m.build_id_size = n.build_id_size = 4;
	ASSERT_INT(add(w, k, btf), 1);
	ASSERT_INT(add(w, l, btf), 1);
	ASSERT_INT(add(w, m, btf), 1);
	ASSERT_INT(add(w, n, btf), 1);
	commit(w);
	btf__free(btf);
	pack = open_pack();
	ASSERT_INT(ab_pack_kernel(pack, 0)->build_id_size, 0);
	ASSERT_INT(ab_pack_find(pack, "5.10.0-8-amd64", NULL, &error), 1);
	ASSERT_INT(ab_pack_find(pack, "5.10.0-9-amd64", NULL, &error), -ENOTUNIQ);
	ASSERT(strstr(error.msg, "/x86_64 with build id 01020304, debian/5.10.0-9-amd64/x86_64 with build id abcdef01"));
	ab_error_clear(&error);
	ASSERT_INT(ab_pack_find(pack, "01020304", NULL, &error), 2);
	ab_pack_close(pack);
}

TEST(definitions_are_found_by_name)
{
	struct btf *first = make_everything(1), *second = make_everything(2);
	struct ab_pack_defs *defs;
	struct ab_pack *pack;
	uint32_t n = 0, has = 0;

	put("6.1.0", first);
	put("6.2.0", second);
	pack = open_pack();
	ASSERT_OK(ab_pack_each_def(pack, BTF_KIND_STRUCT, "box", count_defs, &n, &error), error);
	ASSERT_INT(n, 2);
	ASSERT_OK(ab_pack_each_def(pack, BTF_KIND_UNION, "box", count_defs, &n, &error), error);
	ASSERT_INT(n, 2);
	ASSERT_OK(ab_pack_each_def(pack, 0, "*o*", count_defs, &n, &error), error);
	ASSERT(n > 6);
	ASSERT_OK(ab_pack_defs_open(pack, 1, &defs, &error), error);
	for (uint32_t i = 0; i < 1000; i++)
		has += ab_pack_defs_has(defs, i);
	ASSERT_INT(has, ab_pack_definitions(pack, 1));
	ab_pack_defs_close(defs);
	ab_pack_close(pack);
	btf__free(first);
	btf__free(second);
}

TEST(subsets_have_what_is_asked_for)
{
	static const char *const names[] = { "struct box" };
	struct ab_pack_subset_opts opts = { .names = names, .n_names = 1 };
	struct btf *first = make_everything(1);
	struct ab_pack_defs *defs;
	struct ab_pack *pack;
	struct ab_btf *btf;
	uint64_t key, again;

	put("6.1.0", first);
	pack = open_pack();
	ASSERT_OK(ab_pack_defs_open(pack, 0, &defs, &error), error);
	ASSERT_OK(ab_pack_subset(pack, defs, &opts, &btf, &key, &error), error);
	ASSERT(ab_btf_find(btf, "box", BTF_KIND_STRUCT));
	ASSERT(ab_btf_find(btf, "list_head", BTF_KIND_STRUCT)); /* by value */
	ASSERT(ab_btf_find(btf, "word", BTF_KIND_TYPEDEF));
	ASSERT(!ab_btf_find(btf, "color", 0) && !ab_btf_find(btf, "make_list", 0));
	ab_btf_close(btf);
	opts.skip_keys = &key;
	opts.n_skip = 1;
	btf = (void *)1;
	ASSERT_OK(ab_pack_subset(pack, defs, &opts, &btf, &again, &error), error);
	ASSERT(!btf && again == key);
	opts = (struct ab_pack_subset_opts){ .names = (const char *const[]){ "make_list" }, .n_names = 1 };
	ASSERT_OK(ab_pack_subset(pack, defs, &opts, &btf, &again, &error), error);
	ASSERT(again != key && ab_btf_find(btf, "make_list", BTF_KIND_FUNC));
	ASSERT(ab_btf_find(btf, "list_head", BTF_KIND_FWD) && !ab_btf_find(btf, "list_head", BTF_KIND_STRUCT));
	ab_btf_close(btf);
	opts.deep = true;
	ASSERT_OK(ab_pack_subset(pack, defs, &opts, &btf, &key, &error), error);
	ASSERT(ab_btf_find(btf, "list_head", BTF_KIND_STRUCT));
	ab_btf_close(btf);
	ab_pack_defs_close(defs);
	ab_pack_close(pack);
	btf__free(first);
}

/* With a memory or without one: the same key, and the same types where they are wanted. */
TEST(subsets_are_remembered)
{
	static const char *const names[] = { "struct box" };
	static const char *const releases[] = { "6.1.0", "6.2.0", "6.3.0", "6.4.0" };
	struct ab_pack_memory *memory = NULL;
	uint64_t keys[ARRAY_SIZE(releases)], key;
	struct ab_pack *pack;

	for (size_t i = 0; i < ARRAY_SIZE(releases); i++) {
		struct btf *btf = make_everything(i % 2 ? 2 : 1);

		put(releases[i], btf);
		btf__free(btf);
	}
	pack = open_pack();
	for (size_t i = 0; i < ARRAY_SIZE(releases); i++) {
		struct ab_pack_subset_opts plain = { .names = names, .n_names = 1 }, opts = plain;
		struct ab_btf *btf, *remembered;
		struct ab_pack_defs *defs;

		opts.memory = &memory;
		ASSERT_OK(ab_pack_defs_open(pack, i, &defs, &error), error);
		ASSERT_OK(ab_pack_subset(pack, defs, &plain, &btf, &keys[i], &error), error);
		ASSERT_OK(ab_pack_subset(pack, defs, &opts, &remembered, &key, &error), error);
		ASSERT(key == keys[i] && ab_btf_count(btf) == ab_btf_count(remembered));
		ab_btf_close(btf);
		ab_btf_close(remembered);
		opts.skip_keys = keys;
		opts.n_skip = i + 1;
		ASSERT_OK(ab_pack_subset(pack, defs, &opts, &btf, &key, &error), error);
		ASSERT(!btf && key == keys[i]);
		ab_pack_defs_close(defs);
	}
	ASSERT(keys[0] != keys[1] && keys[0] == keys[2] && keys[1] == keys[3]);
	ab_pack_memory_free(memory);
	ab_pack_close(pack);
}

struct changes { char text[256]; };

static int note_change(void *ctx, enum ab_pack_change change, const char *kind, const char *name)
{
	struct changes *c = ctx;

	snprintf(c->text + strlen(c->text), sizeof(c->text) - strlen(c->text), "%d %s %s;", change, kind, name);
	return 0;
}

TEST(differences_are_listed)
{
	struct btf *first = make_everything(1), *second = make_everything(2);
	struct changes changes = {};
	struct ab_pack *pack;

	btf__add_float(second, "float", 4);
	put("6.1.0", first);
	put("6.2.0", second);
	pack = open_pack();
	ASSERT_OK(ab_pack_diff(pack, 0, 1, note_change, &changes, &error), error);
	ASSERT_STR(changes.text, "3 struct box;3 enum color;1 float float;");
	ab_pack_close(pack);
	btf__free(first);
	btf__free(second);
}

/* ---- damage ---- */

/* Everything that can be asked of a pack. True if all went well. */
static bool ask_all(const struct ab_pack *pack)
{
	bool ok = ab_pack_verify(pack, &error) == 0;

	for (size_t i = 0; i < ab_pack_count(pack); i++) {
		size_t size;
		void *btf;

		if (ab_pack_extract(pack, i, &btf, &size, &error) == 0)
			free(btf);
		else
			ok = false;
	}
	return ok;
}

TEST(a_flipped_bit_is_found_wherever_it_is)
{
	struct btf *first = make_everything(1), *second = make_everything(2);
	struct ab_pack *pack;
	char *data;
	size_t size;

	put("6.1.0", first);
	put("6.2.0", second);
	ASSERT_OK(file_read(path, 1 << 20, &data, &size, &error), error);
	for (size_t i = 0; i < size; i++) {
		ab_error_clear(&error);
		data[i] ^= 1 << i % 8;
		if (ab_pack_open_mem(data, size, &pack, &error) == 0) {
			if (ask_all(pack))
				FAIL("a flipped bit at offset %zu of %zu was believed", i, size);
			ab_pack_close(pack);
		}
		ASSERT(*error.msg);
		data[i] ^= 1 << i % 8;
	}
	free(data);
	btf__free(first);
	btf__free(second);
}

TEST(a_cut_pack_is_refused)
{
	struct btf *btf = make_everything(1);
	struct ab_pack *pack;
	char *data;
	size_t size;

	put("6.1.0", btf);
	ASSERT_OK(file_read(path, 1 << 20, &data, &size, &error), error);
	for (size_t cut = 0; cut < size; cut++) {
		ab_error_clear(&error);
		ASSERT_INT(ab_pack_open_mem(data, cut, &pack, &error), -EBADMSG);
	}
	ASSERT(strstr(error.msg, "cut off at offset"));
	free(data);
	btf__free(btf);
}
