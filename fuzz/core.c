/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CO-RE relocations of an object against a kernel's types, both from outside: what parses is resolved, described, written into
 * instructions of each kind, and has the same answer from minimized types. Input: sizes of the object's .BTF and .BTF.ext (two
 * little-endian u32), these, and the kernel's BTF.
 */
#include <btf/core.h>
#include <btf/min.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct ab_btf *object, *kernel;
	struct ab_ext *ext;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool open_input(const uint8_t *data, size_t size, struct input *in)
{
	uint32_t sizes[2];
	size_t rest = size - sizeof(sizes);

	if (size < sizeof(sizes))
		return false;
	memcpy(sizes, data, sizeof(sizes));
	data += sizeof(sizes);
	if (sizes[0] > rest || sizes[1] > rest - sizes[0] || ab_btf_open_mem(data, sizes[0], &in->object, NULL) < 0)
		return false;
	if (ab_ext_open(data + sizes[0], sizes[1], in->object, &in->ext, NULL) < 0)
		return false;
	return ab_btf_open_mem(data + sizes[0] + sizes[1], rest - sizes[0] - sizes[1], &in->kernel, NULL) == 0;
}

static void patch(const struct ab_core_spec *spec, const struct ab_core_value *value)
{
	static const uint8_t codes[] = { BPF_ALU64 | BPF_MOV | BPF_K, BPF_ALU | BPF_ADD | BPF_X, BPF_LDX | BPF_MEM | BPF_W,
					 BPF_ST | BPF_MEM | BPF_DW, BPF_LD | BPF_IMM | BPF_DW, BPF_JMP | BPF_EXIT };

	for (size_t i = 0; i < sizeof(codes); i++)
		for (size_t n = 0; n < 3; n++) {
			struct bpf_insn insns[2] = { { .code = codes[i], .off = value->local, .imm = value->local },
						     { .imm = value->local >> 32 } };

			ab_core_patch(insns, n, spec, value, NULL);
		}
}

static int count(void *ctx, const struct ab_core_spec *match)
{
	_text_ struct text text = {};

	ab_core_describe(match, &text);
	++*(size_t *)ctx;
	return 0;
}

/* An answer with a reason if it is none, the same each time. */
static struct ab_core_value ask(struct ab_core_target *target, const struct ab_core_spec *spec)
{
	_text_ struct text why = {}, said = {};
	struct ab_core_value value, again;
	size_t matches = 0;

	check(ab_core_target_resolve(target, spec, &value, &why, NULL) == 0);
	check(value.status == AB_CORE_OK || why.n);
	check(ab_core_target_resolve(target, spec, &again, NULL, NULL) == 0);
	check(value.status == again.status && value.value == again.value && value.poison == again.poison);
	ab_core_target_trace(target, spec, count, &matches, NULL);
	check(matches || value.status != AB_CORE_OK || spec->kind == BPF_CORE_TYPE_ID_LOCAL);
	ab_core_describe(spec, &said);
	patch(spec, &value);
	return value;
}

static void compare(const struct input *in, struct ab_core_target *whole, struct ab_core_target *least)
{
	for (size_t i = 0; i < in->ext->n_relos; i++) {
		struct ab_core_value a, b;
		struct ab_core_spec spec;

		if (ab_core_parse(in->object, &in->ext->relos[i].relo, &spec, NULL) < 0)
			return;
		a = ask(whole, &spec);
		b = ask(least, &spec);
		if (a.status == AB_CORE_AMBIGUOUS || a.status == AB_CORE_UNSUITED)
			return;
		if (!ab_core_is_type(spec.kind))
			check(a.status == b.status && a.value == b.value && a.poison == b.poison);
	}
}

static void minimize(const struct input *in)
{
	struct ab_core_target *whole, *least;
	struct ab_btf *min;
	size_t size;
	void *btf;

	if (ab_btf_minimize(in->object, in->ext, in->kernel, NULL, 0, &btf, &size, NULL) < 0)
		return;
	check(ab_btf_open_mem(btf, size, &min, NULL) == 0);
	check(!ab_core_target_new(in->kernel, NULL, 0, &whole, NULL) && !ab_core_target_new(min, NULL, 0, &least, NULL));
	compare(in, whole, least);
	ab_core_target_free(whole);
	ab_core_target_free(least);
	ab_btf_close(min);
	free(btf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {};

	if (open_input(data, size, &in)) {
		minimize(&in);
		for (uint32_t id = 1; id < ab_btf_count(in.object) && id < 64; id++)
			ab_core_type_matches(in.object, id, in.kernel, id % ab_btf_count(in.kernel));
	}
	ab_ext_close(in.ext);
	ab_btf_close(in.object);
	ab_btf_close(in.kernel);
	return 0;
}
