/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Type queries on a pack of small kernels, whose differences are known. */
#include <anybpf/types.h>
#include <bpf/btf.h>
#include <unistd.h>
#include "base/base.h"
#include "unit.h"

static char pack_path[64];

#define ASSERT_CONTAINS(text, want)                                                 \
	do {                                                                        \
		if (!strstr(text, want))                                            \
			FAIL("there is no \"%s\" in:\n%s", want, text);             \
	} while (0)

/*
 * struct task { long state | unsigned int __state; struct se { long vruntime; } se; unsigned char on:1, idle:3; [int
 * cpu;] }; 5.10 has state, from 5.14 on it is __state; from 6.1 on there is cpu, at different offsets.
 */
static void make_kernel(struct ab_pack_writer *w, const char *release, const char *arch, const char *flavour,
			bool renamed, int cpu_at)
{
	struct ab_kernel kernel = { .release = release, .arch = arch, .distribution = "debian", .flavour = flavour,
				    .module = "" };
	struct btf *btf = btf__new_empty();
	int i_long = btf__add_int(btf, "long", 8, BTF_INT_SIGNED), i_int = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int i_uint = btf__add_int(btf, "unsigned int", 4, 0), i_char = btf__add_int(btf, "unsigned char", 1, 0);
	int se, volatile_long = btf__add_volatile(btf, i_long), task, pointer, proto;
	struct ab_error err = {};
	const void *data;
	uint32_t size;

	se = btf__add_struct(btf, "se", 8);
	btf__add_field(btf, "vruntime", i_long, 0, 0);
	task = btf__add_struct(btf, "task", 32);
	btf__add_field(btf, renamed ? "__state" : "state", renamed ? i_uint : volatile_long, 0, 0);
	btf__add_field(btf, "se", se, 64, 0);
	btf__add_field(btf, "on", i_char, 128, 1);
	btf__add_field(btf, "idle", i_char, 129, 3);
	if (cpu_at)
		btf__add_field(btf, "cpu", i_int, cpu_at * 8, 0);
	pointer = btf__add_ptr(btf, task);
	proto = btf__add_func_proto(btf, i_int);
	btf__add_func_param(btf, "t", pointer);
	if (renamed)
		btf__add_func_param(btf, "flags", i_int);
	btf__add_func(btf, "wake_task", BTF_FUNC_GLOBAL, proto);
	proto = btf__add_func_proto(btf, pointer);
	btf__add_func(btf, "this_task", BTF_FUNC_STATIC, proto);
	btf__add_enum(btf, "color", 4);
	btf__add_enum_value(btf, "RED", 0);
	btf__add_enum_value(btf, "BLUE", renamed ? 2 : 1);
	data = btf__raw_data(btf, &size);
	ASSERT_INT(ab_pack_writer_add(w, &kernel, data, size, NULL, 0, &err), 1);
	btf__free(btf);
}

static struct ab_types *open_pack(void)
{
	struct ab_error err = {};
	struct ab_pack_writer *w = NULL;
	struct ab_types *types = NULL;

	snprintf(pack_path, sizeof(pack_path), "/tmp/unit-types-%d.pack", getpid());
	unlink(pack_path);
	ASSERT_INT(ab_pack_writer_open(pack_path, &w, &err), 0);
	make_kernel(w, "5.10.0-9-amd64", "x86_64", "", false, 0);
	make_kernel(w, "5.10.0-30-amd64", "x86_64", "", false, 0);
	make_kernel(w, "5.10.0-30-cloud-amd64", "x86_64", "cloud", false, 0);
	make_kernel(w, "5.14.0-1-amd64", "x86_64", "", true, 0);
	make_kernel(w, "6.1.0-1-amd64", "x86_64", "", true, 20);
	make_kernel(w, "6.1.0-2-amd64", "x86_64", "", true, 24);
	make_kernel(w, "6.1.0-2-arm64", "aarch64", "", false, 0);
	ASSERT_INT(ab_pack_writer_commit(w, &err), 0);
	ab_pack_writer_free(w);
	ASSERT_INT(ab_types_open(pack_path, &types, &err), 0);
	unlink(pack_path);
	return types;
}

static const struct ab_types_opts on_x86 = { .sz = sizeof(on_x86), .arch = "x86_64" };

/* The answer of a query that is written with these names. */
#define ASK(call)                                                  \
	({                                                         \
		struct ab_types *types = open_pack();              \
		struct ab_error err = {};                          \
		char *answer = NULL;                               \
		size_t size = 0;                                   \
		ASSERT_OK(call, err);                              \
		ASSERT_INT(strlen(answer), size);                \
		ab_types_close(types);                             \
		answer;                                            \
	})

TEST(show)
{
	struct ab_types_opts opts = on_x86;
	char *text;

	opts.kernel = "6.1";
	text = ASK(ab_types_show(types, "struct task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "/* 6.1.0-2-amd64 (debian, x86_64) */\nstruct task {\n");
	ASSERT_CONTAINS(text, "\tunsigned int __state;                           /*     0        4 */\n\n"
			      "\t/* XXX 4 bytes hole, try to pack */\n\n");
	ASSERT_CONTAINS(text, "\tunsigned char idle:3;                           /*    16: 1     1 */\n\n"
			      "\t/* XXX 4 bits hole, try to pack */\n\n"
			      "\t/* XXX 7 bytes hole, try to pack */\n");
	ASSERT_CONTAINS(text,
			"/* size: 32, cachelines: 1, members: 5 */\n\t/* sum members: 16, holes: 2, sum holes: 11 */\n"
			      "\t/* sum bitfield members: 4 bits, bit holes: 1, sum bit holes: 4 bits */\n\t/* padding: 4 */\n");
	free(text);
	text = ASK(ab_types_show(types, "color", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "enum color {\n\tRED = 0,\n\tBLUE = 2,\n");
	free(text);
	text = ASK(ab_types_show(types, "wake_task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "int wake_task(struct task *t, int flags);\n");
	free(text);
	opts.form = AB_TYPES_JSON;
	text = ASK(ab_types_show(types, "struct task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text,
			"{\"name\":\"idle\",\"type\":\"unsigned char\",\"offset\":16,\"size\":1,\"bit\":1,\"bits\":3}");
	ASSERT_CONTAINS(text, "\"holes\":[{\"offset\":4,\"size\":4},{\"offset\":17,\"size\":7}],\"padding\":4");
	free(text);
	text = ASK(ab_types_show(types, "*ta[s]k*", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "{\"name\":\"task\",\"kind\":\"struct\"}");
	ASSERT_CONTAINS(text, "{\"name\":\"this_task\",\"kind\":\"func\"}");
	ASSERT_CONTAINS(text, "\"left_out\":0");
	free(text);
	opts.limit = 1;
	text = ASK(ab_types_show(types, "*task*", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"left_out\":2");
	free(text);
}

/* Of several kernels that a pattern means the newest plain one answers. */
TEST(kernels)
{
	static const struct { const char *pattern, *answers; } cases[] = {
		{ "5.10", "5.10.0-30-amd64" }, { "5.10.0-30-cloud", "5.10.0-30-cloud-amd64" },
				{ "5.10.0-9", "5.10.0-9-amd64" },
		{ "*-1-amd64", "6.1.0-1-amd64" }, { "debian/6.*", "6.1.0-2-amd64" },
				{ "debian/5.14*/x86_64", "5.14.0-1-amd64" },
		{ NULL, "6.1.0-2-amd64" }, { "14.0", "5.14.0-1-amd64" },
	};
	struct ab_types_opts opts = on_x86;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char want[64], *text;

		opts.kernel = cases[i].pattern;
		snprintf(want, sizeof(want), "/* %s (", cases[i].answers);
		text = ASK(ab_types_show(types, "se", &opts, &answer, &size, &err));
		ASSERT_CONTAINS(text, want);
		free(text);
	}
}

TEST(diff)
{
	struct ab_types_opts opts = on_x86;
	char *text = ASK(ab_types_diff(types, "struct task", "5.10", "6.1", &opts, &answer, &size, &err));

	ASSERT_CONTAINS(text, "struct task: 5.10.0-30-amd64 (debian, x86_64) -> 6.1.0-2-amd64 (debian, x86_64)\n");
	ASSERT_CONTAINS(text, "- state  volatile long  at 0  (now __state?)\n");
	ASSERT_CONTAINS(text, "+ __state  unsigned int  at 0\n");
	ASSERT_CONTAINS(text, "+ cpu  int  at 24\n");
	free(text);
	text = ASK(ab_types_diff(types, "task", "6.1.0-1", "6.1.0-2", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "> cpu  int  at 20 -> 24\n");
	free(text);
	text = ASK(ab_types_diff(types, "color", "5.10", "6.1", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "~ BLUE  = 1 -> 2\n");
	free(text);
	text = ASK(ab_types_diff(types, "wake_task", "5.10", "5.14", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "+ flags  int\n");
	free(text);
	text = ASK(ab_types_diff(types, "se", "5.10", "5.14", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\nthe same\n");
	free(text);
	opts.form = AB_TYPES_JSON;
	text = ASK(ab_types_diff(types, "task", "5.10", "6.1", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text,
			"{\"change\":\"removed\",\"name\":\"state\",\"from\":{\"type\":\"volatile long\",\"offset\":0,\"size\":8},"
			      "\"to\":null,\"went_to\":\"__state\"}");
	free(text);
}

TEST(history)
{
	struct ab_types_opts opts = on_x86;
	char *text = ASK(ab_types_history(types, "task.state", &opts, &answer, &size, &err));

	ASSERT_CONTAINS(text,
			"  5.10.0-9-amd64 (debian, x86_64) to 5.10.0-30-cloud-amd64 (debian, x86_64, cloud), 3 kernels\n"
			      "    volatile long  at 0  (then __state?)\n");
	ASSERT_CONTAINS(text,
			"  5.14.0-1-amd64 (debian, x86_64) to 6.1.0-2-amd64 (debian, x86_64), 3 kernels\n    not there\n");
	free(text);
	text = ASK(ab_types_history(types, "struct task.cpu", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "    int  at 20, 24\n");
	free(text);
	text = ASK(ab_types_history(types, "task.se.vruntime", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "6 kernels\n    long  at 8\n");
	free(text);
	text = ASK(ab_types_history(types, "color.BLUE", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "6 kernels\n    enumerator  = 1, 2\n");
	free(text);
	text = ASK(ab_types_func(types, "wake_task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "int wake_task(struct task *t)\n");
	ASSERT_CONTAINS(text, "3 kernels\n    int wake_task(struct task *t, int flags)\n");
	free(text);
	opts.form = AB_TYPES_JSON;
	text = ASK(ab_types_history(types, "task.cpu", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"there\":true,\"type\":\"int\",\"offsets\":[20,24]");
	free(text);
}

/* Kernels are told apart by all that a type has, and by place and size of a member. */
TEST(layouts)
{
	struct ab_types_opts opts = on_x86;
	char *text;

	opts.form = AB_TYPES_JSON;
	text = ASK(ab_types_history(types, "task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"layouts\":[{\"layout\":0,\"size\":");
	ASSERT_CONTAINS(text, "\"kernels\":3,\"first\":0,\"last\":2},{\"layout\":1,");
	ASSERT_CONTAINS(text, "{\"layout\":2,");
	free(text);
	text = ASK(ab_types_history(types, "task.cpu", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"layouts\":[{\"layout\":0,\"offset\":20,\"size\":4,");
	ASSERT_CONTAINS(text, "{\"layout\":1,\"offset\":24,\"size\":4,");
	free(text);
	text = ASK(ab_types_history(types, "task.idle", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"bit\":1,");
	free(text);
	text = ASK(ab_types_history(types, "color.BLUE", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "\"value\":1,\"size\":4,");
	free(text);
}

TEST(find)
{
	struct ab_types_opts opts = on_x86;
	char *text = ASK(ab_types_find(types, NULL, "struct  task*", NULL, &opts, &answer, &size, &err));

	ASSERT_CONTAINS(text, " */\nstruct task *this_task(void);\n");
	ASSERT(!strstr(text, "wake_task"));
	free(text);
	text = ASK(ab_types_find(types, "w*", NULL, "const struct task *", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, " */\nint wake_task(struct task *t, int flags);\n");
	free(text);
	text = ASK(ab_types_func(types, "*_task", &opts, &answer, &size, &err));
	ASSERT_CONTAINS(text, "this_task(void)");
	ASSERT_CONTAINS(text, "wake_task(");
	free(text);
}

TEST(errors)
{
	struct ab_types *types = open_pack();
	struct ab_types_opts opts = on_x86;
	struct ab_error err = {};
	char *text = NULL;
	size_t size;

	ASSERT_INT(ab_types_show(types, "struct tasks", &opts, &text, &size, &err), -ENOENT);
	ASSERT_STR(err.msg, "kernel 6.1.0-2-amd64 has no type or function 'struct tasks'; did you mean 'struct task'?");
	ab_error_clear(&err);
	ASSERT_INT(ab_types_history(types, "task.nothing", &opts, &text, &size, &err), -ENOENT);
	ASSERT_STR(err.msg, "'task' has no member 'nothing' in any of 6 kernels");
	ab_error_clear(&err);
	ASSERT_INT(ab_types_history(types, "task.", &opts, &text, &size, &err), -EINVAL);
	ab_error_clear(&err);
	opts.kernel = "6.1.0-3-amd64";
	ASSERT_INT(ab_types_show(types, "task", &opts, &text, &size, &err), -ENOENT);
	ASSERT_CONTAINS(err.msg, "there is no kernel '6.1.0-3-amd64' of x86_64; did you mean '6.1.0-");
	ab_error_clear(&err);
	opts.kernel = NULL;
	opts.arch = "riscv64";
	ASSERT_INT(ab_types_show(types, "task", &opts, &text, &size, &err), -ENOENT);
	ASSERT(text == NULL);
	ab_types_close(types);
	ab_error_clear(&err);
}
