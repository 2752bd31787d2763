/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The BTF reader, on BTFs made by hand: of every kind, of either byte order, and damaged in each way that it must notice. */
#include <fcntl.h>
#include <unistd.h>
#include "maker.h"

/* One of each kind, in the order of kinds: ids 1 to 19 are BTF_KIND_INT to BTF_KIND_ENUM64. */
static void make_every_kind(void)
{
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("", BTF_KIND_PTR, 0, 4);
	array(4, 3);
	type("s", BTF_KIND_STRUCT | KFLAG, 3, 16);
	member("x", 1, 3u << 24 | 0);
	member("y", 1, 29u << 24 | 3);
	member("p", 2, 64);
	type("u", BTF_KIND_UNION, 2, 16);
	member("s", 4, 0);
	member("i", 1, 0);
	type("e", BTF_KIND_ENUM | KFLAG, 2, 4);
	word(name("MINUS")), word(-1);
	word(name("ONE")), word(1);
	type("later", BTF_KIND_FWD, 0, 0);
	type("t", BTF_KIND_TYPEDEF, 0, 9);
	type("", BTF_KIND_VOLATILE, 0, 10);
	type("", BTF_KIND_CONST, 0, 3);
	type("", BTF_KIND_RESTRICT, 0, 2);
	type("f", BTF_KIND_FUNC, 1, 13);
	type("", BTF_KIND_FUNC_PROTO, 2, 1);
	word(name("a")), word(11);
	word(0), word(0);
	type("v", BTF_KIND_VAR, 0, 8);
	word(1);
	type(".data", BTF_KIND_DATASEC, 1, 48);
	word(14), word(0), word(48);
	type("double", BTF_KIND_FLOAT, 0, 8);
	type("tag:two", BTF_KIND_DECL_TAG, 0, 4);
	word(1);
	type("user", BTF_KIND_TYPE_TAG, 0, 1);
	type("wide", BTF_KIND_ENUM64, 1, 8);
	word(name("HUGE")), word(0), word(256);
}

static void check_every_kind(const struct ab_btf *btf)
{
	static const size_t sizes[] = { 0, 4, 8, 48, 16, 16, 4, 0, 48, 48, 48, 8, 0, 0, 48, 48, 8, 0, 4, 8 };
	const struct btf_type *s = ab_btf_type(btf, 4);

	ASSERT_INT(ab_btf_count(btf), 20);
	for (uint32_t id = 1; id < 20; id++) {
		ASSERT_INT(ab_btf_kind(ab_btf_type(btf, id)), id);
		ASSERT_INT(ab_btf_size(btf, id), sizes[id]);
	}
	ASSERT_INT(ab_btf_member_bits(s, 1), 29);
	ASSERT_INT(ab_btf_member_offset(s, 1), 3);
	ASSERT_INT(ab_btf_member_offset(s, 2), 64);
	ASSERT_INT(ab_btf_align(btf, 4), 8);
	ASSERT_INT(ab_btf_align(btf, 8), 8);
	ASSERT_INT(ab_btf_resolve(btf, 8), 3);
	ASSERT_INT(ab_btf_find(btf, "s", BTF_KIND_STRUCT), 4);
	ASSERT_INT(ab_btf_find(btf, "HUGE", 0), 0);
	ASSERT_STR(ab_btf_tag(btf, 4, 1, "tag:", 0), "two");
	ASSERT(!ab_btf_tag(btf, 4, 0, "tag:", 0));
	ASSERT_INT(((const struct btf_enum64 *)ab_btf_data(ab_btf_type(btf, 19)))->val_hi32, 256);
}

TEST(every_kind_is_read)
{
	struct ab_btf *btf;

	make_every_kind();
	btf = opened();
	check_every_kind(btf);
	ab_btf_close(btf);
}

static void swap(struct bytes *b)
{
	struct btf_header h;
	uint32_t *words = (uint32_t *)(b->p + sizeof(h));

	memcpy(&h, b->p, sizeof(h));
	for (uint32_t i = 0; i < h.type_len / 4; i++)
		words[i] = bswap_32(words[i]);
	h.magic = bswap_16(h.magic);
	for (uint32_t *w = &h.hdr_len; w <= &h.str_len; w++)
		*w = bswap_32(*w);
	memcpy(b->p, &h, sizeof(h));
}

TEST(every_kind_is_read_in_the_other_byte_order)
{
	struct ab_error err = {};
	struct ab_btf *btf;
	struct bytes b;

	make_every_kind();
	b = raw();
	swap(&b);
	ASSERT_OK(ab_btf_open_mem(b.p, b.n, &btf, &err), err);
	check_every_kind(btf);
	ab_btf_close(btf);
}

TEST(every_truncation_is_refused)
{
	struct bytes whole, b;

	make_every_kind();
	whole = raw();
	for (b = whole; b.n-- > 0;)
		ASSERT_REFUSED(b, "BTF");
}

/* Whatever one byte is, opening answers, and what opens can be printed. */
TEST(any_changed_byte_is_survived)
{
	struct bytes whole, b;

	make_every_kind();
	b = whole = raw();
	for (size_t i = 0; i < whole.n; i++)
		for (unsigned j = 0; j < 8; j++) {
			_text_ struct text out = {};
			struct ab_btf *btf;

			b.p[i] = whole.p[i] ^ 1u << j;
			if (ab_btf_open_mem(b.p, b.n, &btf, NULL) == 0) {
				ab_btf_header(btf, NULL, &out, NULL);
				ab_btf_close(btf);
			}
			b.p[i] = whole.p[i];
		}
}

TEST(references_out_of_range_are_refused)
{
	start();
	type("", BTF_KIND_PTR, 0, 2);
	ASSERT_REFUSED(raw(), "type 1: refers to no type");
	start();
	integer("int", 4, 0);
	type("s", BTF_KIND_STRUCT, 1, 4);
	word(100), word(1), word(0);
	ASSERT_REFUSED(raw(), "type 2: has a member whose name is out of bounds");
	start();
	type("f", BTF_KIND_FUNC, 0, 1);
	ASSERT_REFUSED(raw(), "without prototype");
	start();
	integer("int", 4, 0);
	type("v", BTF_KIND_VAR, 0, 1);
	word(0);
	type("", BTF_KIND_CONST, 0, 2);
	ASSERT_REFUSED(raw(), "type 3: refers to no type");
}

TEST(a_name_out_of_bounds_is_refused)
{
	start();
	integer("int", 4, 0);
	maker.words[0] = 1000;
	ASSERT_REFUSED(raw(), "the name of type 1 is out of bounds");
}

TEST(a_forward_declaration_has_a_name)
{
	start();
	type("", BTF_KIND_FWD, 5, 0);
	ASSERT_REFUSED(raw(), "forward declaration of nothing");
}

TEST(strings_without_end_are_refused)
{
	struct bytes b;

	make_every_kind();
	b = raw();
	b.p[b.n - 1] = 'x';
	ASSERT_REFUSED(b, "NUL");
}

TEST(an_unknown_kind_is_named)
{
	start();
	type("", 20, 0, 0);
	ASSERT_REFUSED(raw(), "unknown kind 20");
}

/* As newer kernels write it: the lengths of kinds 0 to 20 behind the strings; `fixed` bytes and `element` bytes for 20. */
static struct bytes raw_with_lengths(uint8_t fixed, uint8_t element)
{
	struct bytes plain = raw(), b;
	struct btf_header h;
	uint32_t rest = plain.n - sizeof(h), layout[2] = { rest + -rest % 4, 21 * 4 };

	memcpy(&h, plain.p, sizeof(h));
	h.hdr_len = sizeof(h) + 8;
	memset(&b, 0, sizeof(b));
	memcpy(b.p, &h, sizeof(h));
	memcpy(b.p + sizeof(h), layout, sizeof(layout));
	memcpy(b.p + sizeof(h) + 8, plain.p + sizeof(h), rest);
	b.n = sizeof(h) + 8 + layout[0] + layout[1];
	b.p[b.n - 4] = fixed;
	b.p[b.n - 3] = element;
	return b;
}

TEST(an_unknown_kind_of_known_length_is_skipped)
{
	struct ab_error err = {};
	_text_ struct text out = {};
	struct ab_btf *btf;
	struct bytes b;

	start();
	integer("int", 4, 0);
	type("novelty", 20, 2, 77);
	word(1), word(2), word(3), word(4), word(5);
	type("s", BTF_KIND_STRUCT, 2, 16);
	member("a", 1, 0);
	member("new", 2, 32);
	type("", BTF_KIND_PTR, 0, 2);
	b = raw_with_lengths(4, 8);
	ASSERT_OK(ab_btf_open_mem(b.p, b.n, &btf, &err), err);
	ASSERT_INT(ab_btf_count(btf), 5);
	ASSERT_INT(ab_btf_kind(ab_btf_type(btf, 2)), BTF_KIND_UNKN);
	ASSERT_INT(ab_btf_find(btf, "novelty", 0), 0);
	ASSERT_INT(ab_btf_find(btf, "s", BTF_KIND_STRUCT), 3);
	ASSERT_OK(ab_btf_header(btf, NULL, &out, &err), err);
	ASSERT(strstr(out.p, "struct s {\n\tint a;\n\tlong: 32;\n\tlong: 64;\n};"));
	ab_btf_close(btf);
	ASSERT_REFUSED(raw_with_lengths(2, 8), "not aligned");
	ASSERT_REFUSED(raw_with_lengths(200, 8), "cut off");
	b.p[sizeof(struct btf_header)] += 4;
	ASSERT_REFUSED(b, "lengths of kinds are out of bounds");
}

TEST(lists_may_be_longer_than_they_were)
{
	struct ab_btf *btf;

	start();
	type("e", BTF_KIND_ENUM, 0x10001, 4);
	for (uint32_t i = 0; i < 2; i++)
		word(name("A")), word(1);
	ASSERT_REFUSED(raw(), "cut off");
	make_every_kind();
	btf = opened();
	ab_btf_close(btf);
}

TEST(split_btf_goes_on_from_its_base)
{
	struct ab_btf *base, *btf;
	struct ab_error err = {};
	_text_ struct text out = {};
	struct bytes b;
	uint32_t twin;

	make_every_kind();
	base = opened();
	start_split();
	twin = type("s", BTF_KIND_STRUCT, 1, 8);
	member("back", 2, 0);
	type("module", BTF_KIND_STRUCT, 2, 24);
	member("kernels", 4, 0);
	member("own", twin, 128);
	type("tag:own", BTF_KIND_DECL_TAG, 0, twin);
	word(-1);
	btf = opened_split(base);
	ASSERT_INT(ab_btf_start(btf), 20);
	ASSERT_INT(ab_btf_count(btf), 23);
	ASSERT_STR(ab_btf_name(btf, ab_btf_type(btf, 20)), "s");
	ASSERT_STR(ab_btf_name(btf, ab_btf_type(btf, 7)), "later");
	ASSERT_INT(ab_btf_size(btf, 21), 24);
	ASSERT_INT(ab_btf_find(btf, "s", BTF_KIND_STRUCT), 4);
	ASSERT_INT(ab_btf_find(btf, "module", BTF_KIND_STRUCT), 21);
	ASSERT_INT(ab_btf_find(base, "module", 0), 0);
	ASSERT_STR(ab_btf_tag(btf, 20, -1, "tag:", 0), "own");
	ASSERT_STR(ab_btf_tag(btf, 4, 1, "tag:", 0), "two");
	ASSERT_OK(ab_btf_header(btf, NULL, &out, &err), err);
	ASSERT(strstr(out.p, "struct module {\n\tstruct s kernels;\n\tstruct s___2 own;\n}"));
	b = raw();
	ab_btf_close(btf);
	ab_btf_close(base);
	ASSERT_REFUSED(b, "its kernel's BTF is needed");
}

TEST(split_btf_of_another_kernel_is_refused)
{
	struct ab_btf *base, *btf = NULL;
	struct ab_error err = {};
	struct bytes b;

	make_every_kind();
	start_split();
	type("", BTF_KIND_PTR, 0, 19);
	type("module", BTF_KIND_STRUCT, 1, 8);
	member("p", 20, 0);
	b = raw();
	start();
	integer("int", 4, 0);
	base = opened();
	ASSERT_INT(ab_btf_open_split_mem(b.p, b.n, base, &btf, &err), -EBADMSG);
	ab_btf_close(base);
}

/* ---- sameness ---- */

/* struct node { struct node *next; struct other *o; int value; } with a declaration or definition of `other`. */
static struct ab_btf *list_of(const char *member_name, uint32_t other_size, bool first_unused)
{
	uint32_t node, pointer, other, number;

	start();
	if (first_unused)
		type("unused", BTF_KIND_FWD, 0, 0);
	number = integer("int", 4, 0);
	node = maker.n_types + 1, pointer = node + 1, other = node + 3;
	type("node", BTF_KIND_STRUCT, 3, 24);
	member("next", pointer, 0);
	member("o", other + 1, 64);
	member(member_name, number, 128);
	type("", BTF_KIND_PTR, 0, node);
	type("name", BTF_KIND_TYPEDEF, 0, node);
	if (other_size)
		type("other", BTF_KIND_STRUCT, 0, other_size);
	else
		type("other", BTF_KIND_FWD, 0, 0);
	type("", BTF_KIND_PTR, 0, other);
	return opened();
}

TEST(types_are_the_same_whatever_their_numbers)
{
	struct ab_btf *a = list_of("value", 8, false), *b = list_of("value", 8, true);

	ASSERT(ab_btf_equal(a, ab_btf_find_c(a, "struct node"), b, ab_btf_find_c(b, "struct node"), true));
	ASSERT(ab_btf_equal(a, ab_btf_find_c(a, "name"), b, ab_btf_find_c(b, "name"), true));
	ASSERT(!ab_btf_equal(a, ab_btf_find_c(a, "struct node"), b, ab_btf_find_c(b, "struct other"), true));
	ASSERT(!ab_btf_equal(a, ab_btf_find_c(a, "struct node"), b, 0, false));
	ASSERT(ab_btf_equal(a, 0, b, 0, true));
	ab_btf_close(a);
	ab_btf_close(b);
}

TEST(types_differ_by_what_they_are_made_of)
{
	struct ab_btf *a = list_of("value", 8, false), *b = list_of("count", 8, true);

	ASSERT(!ab_btf_equal(a, ab_btf_find_c(a, "struct node"), b, ab_btf_find_c(b, "struct node"), false));
	ASSERT(ab_btf_equal(a, ab_btf_find_c(a, "name"), b, ab_btf_find_c(b, "name"), false));
	ASSERT(!ab_btf_equal(a, ab_btf_find_c(a, "name"), b, ab_btf_find_c(b, "name"), true));
	ab_btf_close(a);
	ab_btf_close(b);
}

TEST(types_differ_deep_down)
{
	struct ab_btf *a = list_of("value", 8, false), *b = list_of("value", 16, false), *fwd = list_of("value", 0, false);
	uint32_t id = ab_btf_find_c(a, "struct node");

	ASSERT(ab_btf_equal(a, id, b, id, false));
	ASSERT(!ab_btf_equal(a, id, b, id, true));
	ASSERT(ab_btf_equal(a, id, fwd, id, true));
	ab_btf_close(a);
	ab_btf_close(b);
	ab_btf_close(fwd);
}

TEST(types_that_contain_themselves_are_refused)
{
	start();
	type("t", BTF_KIND_TYPEDEF, 0, 1);
	ASSERT_REFUSED(raw(), "contains itself");
	start();
	type("s", BTF_KIND_STRUCT, 1, 8);
	member("m", 1, 0);
	ASSERT_REFUSED(raw(), "contains itself");
	start();
	type("", BTF_KIND_CONST, 0, 2);
	type("", BTF_KIND_VOLATILE, 0, 1);
	ASSERT_REFUSED(raw(), "contains itself");
	start();
	type("", BTF_KIND_PTR, 0, 1);
	ASSERT_REFUSED(raw(), "contains itself");
	start();
	type("", BTF_KIND_FUNC_PROTO, 1, 0);
	word(0), word(2);
	type("", BTF_KIND_PTR, 0, 1);
	ASSERT_REFUSED(raw(), "contains itself");
}

TEST(a_named_struct_may_point_to_itself)
{
	struct ab_btf *btf;

	start();
	type("s", BTF_KIND_STRUCT, 2, 16);
	member("next", 2, 0);
	member("other", 3, 64);
	type("", BTF_KIND_PTR, 0, 1);
	type("", BTF_KIND_PTR, 0, 4);
	type("t", BTF_KIND_TYPEDEF, 0, 1);
	btf = opened();
	ASSERT_INT(ab_btf_size(btf, 4), 16);
	ab_btf_close(btf);
}

TEST(deep_nesting_is_refused)
{
	start();
	for (uint32_t i = 1; i < 1000; i++)
		type("", BTF_KIND_PTR, 0, i + 1);
	integer("int", 4, 0);
	ASSERT_REFUSED(raw(), "too deep");
	start();
	for (uint32_t i = 1; i < 1000; i++)
		type("", BTF_KIND_CONST, 0, i + 1);
	type("", BTF_KIND_PTR, 0, 1);
	ASSERT_REFUSED(raw(), "too deep");
	/* The same chain from its end: no single step is deep. */
	start();
	integer("int", 4, 0);
	for (uint32_t i = 1; i < 1000; i++)
		type("", BTF_KIND_CONST, 0, i);
	ASSERT_REFUSED(raw(), "too deep");
}

TEST(arrays_that_overflow_are_refused)
{
	start();
	integer("int", 4, 0);
	array(1, 0x10000);
	array(2, 0x10000);
	ASSERT_REFUSED(raw(), "type 3: is larger than 4 GiB");
}

TEST(members_beyond_their_struct_are_refused)
{
	start();
	integer("int", 4, 0);
	type("s", BTF_KIND_STRUCT, 1, 4);
	member("m", 1, 8);
	ASSERT_REFUSED(raw(), "type 2: has a member beyond its end");
	start();
	integer("int", 4, 0);
	type("s", BTF_KIND_STRUCT | KFLAG, 1, 8);
	member("m", 1, 33u << 24);
	ASSERT_REFUSED(raw(), "wider than its type");
}

TEST(counts_beyond_the_section_are_refused)
{
	start();
	type("s", BTF_KIND_STRUCT, 0xffff, 4);
	ASSERT_REFUSED(raw(), "cut off");
}

TEST(sections_that_overlap_or_overflow_are_refused)
{
	struct btf_header h;
	struct bytes b;

	make_every_kind();
	b = raw();
	memcpy(&h, b.p, sizeof(h));
	h.str_off = 0;
	memcpy(b.p, &h, sizeof(h));
	ASSERT_REFUSED(b, "overlap");
	h.str_off = 0xffffffff;
	memcpy(b.p, &h, sizeof(h));
	ASSERT_REFUSED(b, "cut off");
	h.hdr_len = 0xfffffffc;
	memcpy(b.p, &h, sizeof(h));
	ASSERT_REFUSED(b, "header");
}

TEST(a_32_bit_kernel_has_small_pointers)
{
	struct ab_btf *btf;

	start();
	integer("long unsigned int", 4, 0);
	type("", BTF_KIND_PTR, 0, 1);
	btf = opened();
	ASSERT_INT(ab_btf_pointer_size(btf), 4);
	ASSERT_INT(ab_btf_size(btf, 2), 4);
	ab_btf_close(btf);
}

TEST(old_bit_fields_have_types_of_their_own)
{
	struct ab_btf *btf;
	struct member m;

	start();
	integer("unsigned int", 4, 0);
	type("unsigned int", BTF_KIND_INT, 0, 4);
	word(3);
	type("s", BTF_KIND_STRUCT, 2, 4);
	member("a", 2, 0);
	member("b", 2, 3);
	btf = opened();
	m = ab_btf_member(btf, ab_btf_type(btf, 3), 1);
	ASSERT_INT(m.offset, 3);
	ASSERT_INT(m.bits, 3);
	ab_btf_close(btf);
}

TEST(types_are_found_as_c_writes_them)
{
	struct ab_btf *btf;

	start();
	integer("long unsigned int", 8, 0);
	integer("char", 1, BTF_INT_SIGNED);
	type("x", BTF_KIND_UNION, 0, 0);
	type("x", BTF_KIND_STRUCT, 0, 0);
	type("u64", BTF_KIND_TYPEDEF, 0, 1);
	type("wide", BTF_KIND_ENUM64, 0, 8);
	type("x", BTF_KIND_STRUCT, 0, 0);
	type("long double", BTF_KIND_FLOAT, 0, 16);
	integer("int", 4, BTF_INT_SIGNED);
	btf = opened();
	ASSERT_INT(ab_btf_find_c(btf, "unsigned long"), 1);
	ASSERT_INT(ab_btf_find_c(btf, "long unsigned int"), 1);
	ASSERT_INT(ab_btf_find_c(btf, "const char"), 2);
	ASSERT_INT(ab_btf_find_c(btf, "struct x"), 4);
	ASSERT_INT(ab_btf_find_c(btf, "union x"), 3);
	ASSERT_INT(ab_btf_find_c(btf, "enum wide"), 6);
	ASSERT_INT(ab_btf_find_c(btf, "u64"), 5);
	ASSERT_INT(ab_btf_find_c(btf, "long double"), 8);
	ASSERT_INT(ab_btf_find_c(btf, "signed"), 9);
	ASSERT_INT(ab_btf_find_c(btf, "long long"), 0);
	ASSERT_INT(ab_btf_find_c(btf, "x"), 0);
	ASSERT_INT(ab_btf_find_c(btf, "unsigned short"), 0);
	ASSERT_INT(ab_btf_find_c(btf, ""), 0);
	ab_btf_close(btf);
}

TEST(tags_are_counted_by_prefix)
{
	struct ab_btf *btf;

	start();
	integer("int", 4, 0);
	type("t", BTF_KIND_TYPEDEF, 0, 1);
	type("p:one", BTF_KIND_DECL_TAG, 0, 2);
	word(-1);
	type("q:two", BTF_KIND_DECL_TAG, 0, 2);
	word(-1);
	type("p:three", BTF_KIND_DECL_TAG, 0, 2);
	word(-1);
	btf = opened();
	ASSERT_STR(ab_btf_tag(btf, 2, -1, "p:", 0), "one");
	ASSERT_STR(ab_btf_tag(btf, 2, -1, "p:", 1), "three");
	ASSERT(!ab_btf_tag(btf, 2, -1, "p:", 2));
	ASSERT(!ab_btf_tag(btf, 1, -1, "p:", 0));
	ab_btf_close(btf);
}

TEST(the_nearest_name_is_a_type)
{
	_free_ char *structure = NULL, *any = NULL, *none = NULL;
	struct ab_btf *btf;

	start();
	integer("int", 4, 0);
	type("task_struct", BTF_KIND_STRUCT, 0, 0);
	type("task_strukt", BTF_KIND_TYPEDEF, 0, 1);
	type("", BTF_KIND_FUNC_PROTO, 0, 0);
	type("task_stru", BTF_KIND_FUNC, 0, 4);
	btf = opened();
	structure = ab_btf_nearest(btf, "struct task_strukt");
	ASSERT_STR(structure, "struct task_struct");
	any = ab_btf_nearest(btf, "task_struk");
	ASSERT_STR(any, "task_strukt");
	none = ab_btf_nearest(btf, "struct nothing_like_it");
	ASSERT(!none);
	ab_btf_close(btf);
}

static const char *name_of(const struct ab_btf *btf, uint32_t id)
{
	static char *last;
	struct text out = {};

	free(last);
	ab_btf_type_name(btf, id, &out);
	return last = text_take(&out);
}

TEST(type_names_are_abstract_declarators)
{
	struct ab_btf *btf;

	make_every_kind();
	type("", BTF_KIND_PTR, 0, 3);
	type("", BTF_KIND_CONST, 0, 1);
	type("", BTF_KIND_PTR, 0, 21);
	type("", BTF_KIND_CONST, 0, 22);
	type("", BTF_KIND_PTR, 0, 13);
	array(24, 2);
	array(3, 2);
	type("", BTF_KIND_STRUCT, 0, 0);
	btf = opened();
	ASSERT_STR(name_of(btf, 0), "void");
	ASSERT_STR(name_of(btf, 2), "struct s *");
	ASSERT_STR(name_of(btf, 3), "struct s[3]");
	ASSERT_STR(name_of(btf, 20), "struct s (*)[3]");
	ASSERT_STR(name_of(btf, 10), "const struct s[3]");
	ASSERT_STR(name_of(btf, 11), "struct s *restrict");
	ASSERT_STR(name_of(btf, 23), "const int *const");
	ASSERT_STR(name_of(btf, 24), "int (*)(struct s *restrict, ...)");
	ASSERT_STR(name_of(btf, 25), "int (*[2])(struct s *restrict, ...)");
	ASSERT_STR(name_of(btf, 26), "struct s[2][3]");
	ASSERT_STR(name_of(btf, 27), "struct {...}");
	ab_btf_close(btf);
}

TEST(names_that_are_none_in_c_are_changed)
{
	_text_ struct text out = {};
	struct ab_btf *btf;

	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("Vec<u8>; #include \"/etc/passwd\"", BTF_KIND_STRUCT, 3, 12);
	member("register", 1, 0);
	member("0", 1, 32);
	member("a\nb", 1, 64);
	btf = opened();
	ASSERT_INT(ab_btf_header(btf, NULL, &out, NULL), 0);
	ASSERT(strstr(out.p, "struct Vec_u8____include___etc_passwd_ {\n\tint register_;\n\tint _0;\n\tint a_b;\n};\n"));
	ab_btf_close(btf);
}

/* Its count means nothing; behind it are no enumerators. */
TEST(a_forward_declaration_has_no_body)
{
	_text_ struct text out = {};
	struct ab_btf *btf;

	start();
	type("gone", BTF_KIND_FWD, 1000, 0);
	type("holder", BTF_KIND_STRUCT, 1, 4);
	member("gone", 1, 0);
	btf = opened();
	ASSERT_INT(ab_btf_header(btf, NULL, &out, NULL), 0);
	ASSERT(strstr(out.p, "struct gone;\n"));
	ab_btf_close(btf);
}

TEST(files_that_hold_none_are_explained)
{
	struct ab_error err = {};
	struct ab_btf *btf;
	char path[] = "/tmp/anybpf-btf-XXXXXX";
	int fd = mkstemp(path);

	ASSERT(fd >= 0 && write(fd, "something else, not types", 25) == 25);
	ASSERT_INT(ab_btf_open_file(path, &btf, &err), -EBADMSG);
	ASSERT(strstr(err.msg, path) && strstr(err.msg, "neither BTF nor an ELF file"));
	ab_error_clear(&err);
	ASSERT_INT(ab_btf_open_file("/proc/self/exe", &btf, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NO_TYPES);
	ASSERT(strstr(err.msg, "no .BTF section"));
	ab_error_clear(&err);
	unlink(path);
	close(fd);
	ASSERT_INT(ab_btf_open_file(path, &btf, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
}

TEST(the_running_kernel_opens)
{
	struct ab_error err = {};
	struct ab_btf *btf;
	uint32_t id;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	ASSERT_OK(ab_btf_open_kernel(&btf, &err), err);
	id = ab_btf_find(btf, "task_struct", BTF_KIND_STRUCT);
	ASSERT(id);
	ASSERT_INT(id, ab_btf_find_c(btf, "struct task_struct"));
	ASSERT(ab_btf_size(btf, id) > 1000);
	ab_btf_close(btf);
}
