/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CO-RE where the kernel's selftests (tests/test_core.py) do not go: several candidates, modules, words, refusals, and types
 * that are made to take for ever.
 */
#include <btf/core.h>
#include <btf/min.h>
#include "maker.h"

static struct ab_core_spec parsed(const struct ab_btf *btf, enum bpf_core_relo_kind kind, uint32_t root, uint32_t access)
{
	const struct bpf_core_relo relo = { .kind = kind, .type_id = root, .access_str_off = access };
	struct ab_error err = {};
	struct ab_core_spec spec;

	ASSERT_OK(ab_core_parse(btf, &relo, &spec, &err), err);
	return spec;
}

/* struct s { int a; int b; } as an object knows it, and where the access strings of its members are. */
static struct {
	struct ab_btf *btf;
	uint32_t a, b, whole;
} object;

static void make_object(void)
{
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("s", BTF_KIND_STRUCT, 2, 8);
	member("a", 1, 0);
	member("b", 1, 32);
	object.a = name("0:0");
	object.b = name("0:1");
	object.whole = name("0");
	object.btf = opened();
}

static struct ab_core_value resolved(struct ab_core_target *target, enum bpf_core_relo_kind kind, uint32_t access, struct text *why)
{
	struct ab_core_spec spec = parsed(object.btf, kind, 2, access);
	struct ab_core_value value;
	struct ab_error err = {};

	ASSERT_OK(ab_core_target_resolve(target, &spec, &value, why, &err), err);
	return value;
}

static struct ab_core_target *target_of(const struct ab_btf *kernel, const struct ab_btf *module)
{
	struct ab_core_target *target;
	struct ab_error err = {};

	ASSERT_OK(ab_core_target_new(kernel, &module, module != NULL, &target, &err), err);
	return target;
}

/* Two structs of the name: the first has a and b, the second only b, elsewhere. */
static struct ab_btf *two_structs(void)
{
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("s", BTF_KIND_STRUCT, 2, 16);
	member("a", 1, 32);
	member("b", 1, 64);
	type("s___2", BTF_KIND_STRUCT, 1, 8);
	member("b", 1, 0);
	return opened();
}

TEST(candidates_that_disagree_are_ambiguous)
{
	struct ab_btf *kernel;
	struct ab_core_target *target;
	_text_ struct text why = {};
	struct ab_core_value value;

	make_object();
	kernel = two_structs();
	target = target_of(kernel, NULL);
	value = resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.b, &why);
	ASSERT_INT(value.status, AB_CORE_AMBIGUOUS);
	ASSERT_STR(why.p, "field offset ambiguity: 0 != 64");
	value = resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.a, NULL);
	ASSERT_INT(value.status, AB_CORE_OK);
	ASSERT_INT(value.value, 4);
	ASSERT_INT(value.target, 2);
	ab_core_target_free(target);
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

TEST(a_candidate_that_did_not_match_is_none_later)
{
	struct ab_btf *kernel;
	struct ab_core_target *target;
	struct ab_core_spec spec;
	struct ab_core_value value;

	make_object();
	kernel = two_structs();
	target = target_of(kernel, NULL);
	ASSERT_INT(resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.a, NULL).value, 4);
	value = resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.b, NULL);
	ASSERT_INT(value.status, AB_CORE_OK);
	ASSERT_INT(value.value, 8);
	spec = parsed(object.btf, BPF_CORE_FIELD_BYTE_OFFSET, 2, object.b);
	ASSERT_INT(ab_core_resolve(&spec, kernel, &value, NULL, NULL), 0);
	ASSERT_INT(value.status, AB_CORE_AMBIGUOUS);
	ab_core_target_free(target);
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

TEST(modules_are_asked_where_the_kernel_has_nothing)
{
	struct ab_btf *kernel, *module, *other;
	struct ab_core_target *target;
	struct ab_core_value value;

	make_object();
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("s", BTF_KIND_UNION, 0, 8);
	kernel = opened();
	start_split();
	type("s", BTF_KIND_STRUCT, 1, 64);
	member("a", 1, 256);
	module = opened_split(kernel);
	target = target_of(kernel, module);
	value = resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.a, NULL);
	ASSERT_INT(value.status, AB_CORE_OK);
	ASSERT_INT(value.value, 32);
	ASSERT_INT(value.target, 3);
	ab_core_target_free(target);
	other = two_structs();
	target = target_of(other, module);
	ASSERT_INT(resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.a, NULL).value, 4);
	ab_core_target_free(target);
	ab_btf_close(other);
	ab_btf_close(module);
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

/* What the object asks, as its file would have it. */
static struct ab_btf *minimized(const struct bpf_core_relo *relos, size_t n, const struct ab_btf *kernel,
				const struct ab_btf *module)
{
	struct ab_ext_relo list[8] = {};
	struct ab_ext ext = { .relos = list, .n_relos = n };
	struct ab_error err = {};
	struct ab_btf *btf;
	size_t size;
	void *data;

	for (size_t i = 0; i < n; i++)
		list[i].relo = relos[i];
	ASSERT_OK(ab_btf_minimize(object.btf, &ext, kernel, &module, module != NULL, &data, &size, &err), err);
	ASSERT_OK(ab_btf_open_mem(data, size, &btf, &err), err);
	free(data);
	return btf;
}

TEST(minimized_types_have_what_modules_answer)
{
	struct ab_btf *kernel, *module, *min;
	struct ab_core_target *target;

	make_object();
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("s", BTF_KIND_UNION, 0, 8);
	kernel = opened();
	start_split();
	type("s", BTF_KIND_STRUCT, 2, 64);
	member("other", 1, 0);
	member("a", 1, 256);
	module = opened_split(kernel);
	min = minimized((struct bpf_core_relo[]){ { .type_id = 2, .access_str_off = object.a },
						  { .type_id = 2, .access_str_off = object.b, .kind = BPF_CORE_FIELD_EXISTS } },
			2, kernel, module);
	ASSERT_INT(ab_btf_count(min), 3);
	target = target_of(min, NULL);
	ASSERT_INT(resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, object.a, NULL).value, 32);
	ASSERT_INT(resolved(target, BPF_CORE_FIELD_EXISTS, object.b, NULL).value, 0);
	ab_core_target_free(target);
	ab_btf_close(min);
	ab_btf_close(module);
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

/* struct s { enum e a; } and enum e, of which the kernel's and the module's are others. */
TEST(an_enum_of_a_module_is_no_candidate_beside_the_kernels)
{
	struct ab_btf *kernel, *module, *min;
	struct ab_core_target *target;
	uint32_t first, whole;

	start();
	type("e", BTF_KIND_ENUM, 0, 4);
	type("s", BTF_KIND_STRUCT, 1, 4);
	member("a", 1, 0);
	first = name("0:0");
	whole = name("0");
	object.btf = opened();
	start();
	type("e", BTF_KIND_ENUM, 0, 8);
	kernel = opened();
	start_split();
	type("e", BTF_KIND_ENUM, 0, 4);
	type("s", BTF_KIND_STRUCT, 1, 16);
	member("a", 2, 64);
	module = opened_split(kernel);
	min = minimized((struct bpf_core_relo[]){ { .type_id = 2, .access_str_off = first },
						  { .type_id = 1, .access_str_off = whole, .kind = BPF_CORE_TYPE_SIZE } },
			2, kernel, module);
	for (int i = 0; i < 2; i++) {
		struct ab_core_spec size = parsed(object.btf, BPF_CORE_TYPE_SIZE, 1, whole);
		struct ab_core_value value;

		target = i ? target_of(min, NULL) : target_of(kernel, module);
		ASSERT_INT(resolved(target, BPF_CORE_FIELD_BYTE_OFFSET, first, NULL).value, 8);
		ASSERT_INT(ab_core_target_resolve(target, &size, &value, NULL, NULL), 0);
		ASSERT_INT(value.status, AB_CORE_OK);
		ASSERT_INT(value.value, 8);
		ab_core_target_free(target);
	}
	ab_btf_close(min);
	ab_btf_close(module);
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

static void assert_missing(const struct ab_btf *kernel, enum bpf_core_relo_kind kind, uint32_t access, bool poison,
			   const char *reason)
{
	struct ab_core_target *target = target_of(kernel, NULL);
	_text_ struct text why = {};
	struct ab_core_value value = resolved(target, kind, access, &why);

	ASSERT_INT(value.status, AB_CORE_MISSING);
	ASSERT_INT(value.poison, poison);
	ASSERT_INT(value.value, 0);
	ASSERT_STR(why.p, reason);
	ab_core_target_free(target);
}

TEST(what_is_missing_is_named)
{
	struct ab_btf *kernel;

	make_object();
	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("", BTF_KIND_PTR, 0, 1);
	type("s", BTF_KIND_STRUCT, 1, 8);
	member("b", 2, 0);
	kernel = opened();
	assert_missing(kernel, BPF_CORE_FIELD_BYTE_OFFSET, object.a, true, "struct s has no member 'a'");
	assert_missing(kernel, BPF_CORE_FIELD_EXISTS, object.a, false, "struct s has no member 'a'");
	assert_missing(kernel, BPF_CORE_FIELD_SIGNED, object.b, true, "struct s has another kind of 'b': ptr, not int");
	ab_btf_close(kernel);
	start();
	integer("int", 4, BTF_INT_SIGNED);
	kernel = opened();
	assert_missing(kernel, BPF_CORE_FIELD_BYTE_SIZE, object.a, true, "no struct s");
	assert_missing(kernel, BPF_CORE_TYPE_SIZE, object.whole, false, "no struct s");
	ab_btf_close(kernel);
	ab_btf_close(object.btf);
}

static void assert_described(const struct ab_btf *btf, enum bpf_core_relo_kind kind, uint32_t root, uint32_t access,
			     const char *text)
{
	struct ab_core_spec spec = parsed(btf, kind, root, access);
	_text_ struct text out = {};

	ab_core_describe(&spec, &out);
	ASSERT_STR(out.p, text);
}

TEST(relocations_are_described_as_libbpf_does)
{
	uint32_t field, element, bits, first, whole;
	struct ab_btf *btf;

	start();
	integer("unsigned int", 4, 0);
	array(1, 4);
	type("", BTF_KIND_STRUCT | KFLAG, 2, 20);
	member("words", 2, 0);
	member("bit", 1, 3u << 24 | 131);
	type("s___new", BTF_KIND_STRUCT, 1, 20);
	member("", 3, 0);
	type("e", BTF_KIND_ENUM | KFLAG, 1, 4);
	word(name("MINUS")), word(-1);
	type("w", BTF_KIND_ENUM64, 1, 8);
	word(name("HUGE")), word(1), word(1);
	field = name("0:0:0"), element = name("2:0:0:3"), bits = name("0:0:1"), first = name("0"), whole = first;
	btf = opened();
	assert_described(btf, BPF_CORE_FIELD_BYTE_OFFSET, 4, field, "<byte_off> [4] struct s___new.words (0:0:0 @ offset 0)");
	assert_described(btf, BPF_CORE_FIELD_EXISTS, 4, element,
			 "<field_exists> [4] struct s___new[2].words[3] (2:0:0:3 @ offset 52)");
	assert_described(btf, BPF_CORE_FIELD_LSHIFT_U64, 4, bits, "<lshift_u64> [4] struct s___new.bit (0:0:1 @ offset 16.3)");
	assert_described(btf, BPF_CORE_ENUMVAL_VALUE, 5, first, "<enumval_value> [5] enum e::MINUS = -1");
	assert_described(btf, BPF_CORE_ENUMVAL_EXISTS, 6, first, "<enumval_exists> [6] enum64 w::HUGE = 4294967297");
	assert_described(btf, BPF_CORE_TYPE_MATCHES, 1, whole, "<type_matches> [1] int unsigned int");
	assert_described(btf, BPF_CORE_TYPE_SIZE, 3, whole, "<type_size> [3] struct <anon>");
	ab_btf_close(btf);
}

TEST(flavours_follow_three_underscores)
{
	static const struct { const char *name; size_t n; } names[] = {
		{ "s", 1 }, { "s___x", 1 }, { "s___", 4 }, { "___x", 4 }, { "s____x", 6 }, { "a___b___c", 5 }, { "", 0 },
		{ "a__b", 4 }, { "_s___x", 2 }, { "s___x_", 1 }, { "s____", 5 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ASSERT_INT(ab_core_name_length(names[i].name), names[i].n);
}

static void assert_refused(uint32_t kind, uint32_t root, const char *access, const char *part)
{
	struct ab_error err = {};
	struct ab_core_spec spec;
	struct bpf_core_relo relo = { .kind = kind, .type_id = root };
	struct ab_btf *btf;

	start();
	integer("int", 4, BTF_INT_SIGNED);
	type("s", BTF_KIND_STRUCT, 1, 0x7fffffff);
	member("a", 3, 0);
	array(1, 2);
	type("e", BTF_KIND_ENUM, 1, 4);
	word(name("A")), word(0);
	type("f", BTF_KIND_FWD, 0, 0);
	relo.access_str_off = name(access);
	btf = opened();
	ASSERT_INT(ab_core_parse(btf, &relo, &spec, &err), -EBADMSG);
	if (!strstr(err.msg, part))
		FAIL("\"%s\" does not say \"%s\"", err.msg, part);
	ab_btf_close(btf);
}

TEST(damaged_relocations_are_refused)
{
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "", "no number");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:", "no number");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:-1", "no number");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:0x", "other than numbers");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "99999999999", "too large a number");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "2000000000:0", "too large an offset");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:1", "a member beyond the last");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:0:2", "an element beyond the last");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:0:0:0", "a member of what has none");
	assert_refused(BPF_CORE_FIELD_EXISTS, 5, "0", "a type without size");
	assert_refused(BPF_CORE_FIELD_EXISTS, 9, "0", "no such type");
	assert_refused(BPF_CORE_ENUMVAL_VALUE, 4, "1", "an enumerator beyond the last");
	assert_refused(BPF_CORE_ENUMVAL_VALUE, 4, "0:0", "no enum");
	assert_refused(BPF_CORE_ENUMVAL_VALUE, 2, "0", "no enum");
	assert_refused(BPF_CORE_TYPE_EXISTS, 2, "0:0", "as a whole");
	assert_refused(13, 2, "0", "unknown kind");
	assert_refused(BPF_CORE_FIELD_EXISTS, 2, "0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:"
		       "0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0", "too many steps");
}

/* ---- instructions ---- */

static int patched(struct bpf_insn *insn, size_t n, struct ab_core_value value, struct ab_error *err)
{
	struct ab_core_spec spec;
	int r;

	make_object();
	spec = parsed(object.btf, BPF_CORE_FIELD_BYTE_OFFSET, 2, object.b);
	r = ab_core_patch(insn, n, &spec, &value, err);
	ab_btf_close(object.btf);
	return r;
}

TEST(instructions_get_values)
{
	struct ab_core_value value = { .checked = true, .local = 4, .value = 8, .local_size = 4, .target_size = 8 };
	struct bpf_insn load = { .code = BPF_LDX | BPF_MEM | BPF_W, .off = 4 };
	struct bpf_insn add = { .code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 4 };
	struct bpf_insn wide[2] = { { .code = BPF_LD | BPF_IMM | BPF_DW, .imm = 4 } };

	ASSERT_INT(patched(&load, 1, value, NULL), 0);
	ASSERT_INT(load.off, 8);
	ASSERT_INT(load.code, BPF_LDX | BPF_MEM | BPF_DW);
	ASSERT_INT(patched(&add, 1, value, NULL), 0);
	ASSERT_INT(add.imm, 8);
	value.value = 0x123456789ull;
	ASSERT_INT(patched(wide, 2, value, NULL), 0);
	ASSERT_INT(wide[0].imm, 0x23456789);
	ASSERT_INT(wide[1].imm, 1);
}

TEST(instructions_are_poisoned)
{
	const struct ab_core_value missing = { .status = AB_CORE_MISSING, .poison = true };
	const struct ab_core_value fixed = { .checked = true, .local = 4, .value = 8, .fixed_size = true, .local_size = 4,
					     .target_size = 8 };
	struct bpf_insn wide[2] = { { .code = BPF_LD | BPF_IMM | BPF_DW } }, load = { .code = BPF_LDX | BPF_MEM | BPF_W, .off = 4 };
	struct bpf_insn add = { .code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 4 };

	ASSERT_INT(patched(wide, 2, missing, NULL), 1);
	ASSERT_INT(wide[0].code, BPF_JMP | BPF_CALL);
	ASSERT_INT(wide[1].imm, 0xbad2310);
	ASSERT_INT(patched(&load, 1, fixed, NULL), 1);
	ASSERT_INT(load.imm, 0xbad2310);
	ASSERT_INT(patched(&add, 1, fixed, NULL), 0);
	ASSERT_INT(add.imm, 8);
}

static void assert_unpatched(struct bpf_insn insn, size_t n, struct ab_core_value value, int code, const char *part)
{
	struct bpf_insn insns[2] = { insn, {} };
	struct ab_error err = {};

	ASSERT_INT(patched(insns, n, value, &err), code);
	ASSERT(!memcmp(&insns[0], &insn, sizeof(insn)));
	if (!strstr(err.msg, part))
		FAIL("\"%s\" does not say \"%s\"", err.msg, part);
}

TEST(instructions_that_are_no_such_access_are_refused)
{
	const struct ab_core_value value = { .checked = true, .local = 4, .value = 8 };
	struct ab_core_value other = value;

	assert_unpatched((struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X }, 1, value, -EINVAL, "no constant");
	assert_unpatched((struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 5 }, 1, value, -EINVAL,
			 "got 5, exp 4 -> 8");
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM, .off = -4 }, 1, value, -EINVAL, "got -4, exp 4 -> 8");
	assert_unpatched((struct bpf_insn){ .code = BPF_LD | BPF_IMM | BPF_DW, .imm = 4 }, 1, value, -EINVAL, "unexpected form");
	assert_unpatched((struct bpf_insn){ .code = BPF_JMP | BPF_JA }, 1, value, -EINVAL, "unrecognized insn");
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM, .off = 4 }, 0, value, -EINVAL, "no instruction");
	other.value = 40000;
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM, .off = 4 }, 1, other, -ERANGE, "value too big: 40000");
	other = value;
	other.local_size = 2, other.target_size = 3;
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_H, .off = 4 }, 1, other, -EINVAL,
			 "invalid new mem size: 3");
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_B, .off = 4 }, 1, other, -EINVAL, "got 1, exp 2");
	other.status = AB_CORE_AMBIGUOUS;
	assert_unpatched((struct bpf_insn){ .code = BPF_LDX | BPF_MEM, .off = 4 }, 1, other, -EINVAL, "has no answer");
}

/* ---- types that would take for ever ---- */

/* Each struct holds the one before twice, so the ways through the last are 2^60. */
static uint32_t make_doubling(const char *holder)
{
	uint32_t id = type("", BTF_KIND_STRUCT, 0, 0);

	for (int i = 0; i < 60; i++) {
		uint32_t inner = id;

		id = type(i == 59 ? holder : "", BTF_KIND_STRUCT, 2, 0);
		member("", inner, 0);
		member("", inner, 0);
	}
	return id;
}

TEST(a_search_without_end_ends)
{
	struct ab_btf *local, *kernel;
	struct ab_core_value value;
	struct ab_core_spec spec;
	_text_ struct text why = {};
	uint32_t access;

	start();
	integer("int", 4, 0);
	type("s", BTF_KIND_STRUCT, 1, 4);
	member("a", 1, 0);
	access = name("0:0");
	local = opened();
	start();
	make_doubling("s");
	kernel = opened();
	spec = parsed(local, BPF_CORE_FIELD_EXISTS, 2, access);
	ASSERT_INT(ab_core_resolve(&spec, kernel, &value, &why, NULL), 0);
	ASSERT_INT(value.status, AB_CORE_UNSUITED);
	ASSERT(strstr(why.p, "too deep"));
	ab_btf_close(local);
	ab_btf_close(kernel);
}

TEST(a_comparison_without_end_ends)
{
	struct ab_btf *btf;
	uint32_t id;

	start();
	id = make_doubling("s");
	btf = opened();
	ASSERT(!ab_core_type_matches(btf, id, btf, id));
	ab_btf_close(btf);
}
