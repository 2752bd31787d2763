/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/check/{features,hint,insns,reach,report}.c and src/btf/kernel_set.c: the parts of a verdict that need no object
 * and no kernel. */
#include <anybpf/kernels.h>
#include <check/check.h>
#include "unit.h"

/* ---- sets of kernels ---- */

static bool set_has(const char *set, const char *distribution, const char *release, const char *arch)
{
	struct ab_kernel kernel = { .release = release,
				    .arch = arch,
				    .distribution = distribution,
				    .flavour = strstr(release, "cloud") ? "cloud" : "",
				    .module = "" };
	struct ab_kernel_set *parsed;
	struct ab_error err = {};
	bool has;

	ASSERT_OK(ab_kernel_set_parse(set, &parsed, &err), err);
	has = ab_kernel_set_has(parsed, &kernel);
	ab_kernel_set_free(parsed);
	return has;
}

TEST(sets_of_kernels)
{
	static const struct { const char *set, *release; bool has;
	} rows[] = {
		{ "5.10", "5.10.0-8-amd64", true },
		{ "5.10", "5.10.7", true },
		{ "5.1", "5.10.0-8-amd64", false },
		{ "6.1", "6.12.3", false },
		{ "5.10.0-8", "5.10.0-8-amd64", true },
		{ "5.10.0-8", "5.10.0-80-amd64", false },
		{ "5.10.0-8-amd64", "5.10.0-8-amd64", true },
		{ "5.4..6.1", "5.4.0", true },
		{ "5.4..6.1", "6.1.99-1", true },
		{ "5.4..6.1", "6.2.0", false },
		{ "5.4..6.1", "5.3.18", false },
		{ "..5.4", "4.19.1", true },
		{ "..5.4", "5.5.0", false },
		{ "6.1..", "6.0.9", false },
		{ "6.1..", "10.0.1", true },
		{ "*-cloud-*", "6.1.0-56-cloud-amd64", true },
		{ "*-cloud-*", "6.1.0-56-amd64", false },
		{ "*", "3.10.0", true },
		{ "!*-cloud-*", "6.1.0-56-cloud-amd64", false },
		{ "!*-cloud-*", "6.1.0-56-amd64", true },
		{ "6.1,!*-cloud-*", "6.1.0-56-cloud-amd64", false },
		{ "6.1, 5.10", "5.10.3", true },
		{ "6.1, !6.1.0-56", "6.1.0-56-amd64", false },
		{ "debian", "6.1.0", true },
		{ "centos", "6.1.0", false },
		{ "cloud", "6.1.0-cloud-amd64", true },
		{ "x86_64", "6.1.0", true },
		{ "debian/6.1", "6.1.0", true },
		{ "deb*/5.10..6.1/x86_64", "6.1.0", true },
		{ "debian/6.1/aarch64", "6.1.0", false },
		{ "debian/", "6.1.0", true },
		{ "/6.1", "6.1.0", true },
		{ "//aarch64", "6.1.0", false },
		{ "centos*/6.1", "6.1.0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (set_has(rows[i].set, "debian", rows[i].release, "x86_64") != rows[i].has)
			FAIL("'%s' on %s", rows[i].set, rows[i].release);
}

TEST(what_is_no_set)
{
	static const char *const bad[] = { "", "5.4,,5.5", "..", "5.4..x", "a..5.4", "!", "5.4...6" };
	struct ab_kernel_set *set;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ab_error err = {};

		if (ab_kernel_set_parse(bad[i], &set, &err) != -EINVAL || err.kind != AB_ERROR_USAGE)
			FAIL("'%s' is a set", bad[i]);
	}
}

/* ---- features ---- */

TEST(levels)
{
	struct abi rhel = {};
	struct version v;

	for (int i = 1; i <= 155; i++)
		rhel.helpers[i / 64] |= 1ULL << i % 64;
	ASSERT(ab_check_parse_version("5.10.0-8-amd64", &v));
	ASSERT(v.major == 5 && v.minor == 10 && v.patch == 0);
	ASSERT(!ab_check_parse_version("vmlinux", &v) && !ab_check_parse_version("6", &v));
	ASSERT(ab_check_parse_version("6.1", &v));
	ASSERT_INT(ab_check_level("4.18.0-372.el8", &rhel), VERSION(5, 10));
	ASSERT_INT(ab_check_level("6.1.0", &rhel), VERSION(6, 1));
	ASSERT_INT(ab_check_level(NULL, &rhel), VERSION(5, 10));
	ASSERT_STR(ab_check_helper_name(1), "bpf_map_lookup_elem");
	ASSERT_STR(ab_check_since_helper(BPF_FUNC_ringbuf_output), "5.8");
	ASSERT_STR(ab_check_since_map(BPF_MAP_TYPE_BLOOM_FILTER), "5.16");
	ASSERT_STR(ab_check_since_program(BPF_PROG_TYPE_LSM), "5.7");
	ASSERT_STR(ab_check_since_attach(BPF_TRACE_FENTRY), "5.5");
	ASSERT(!ab_check_since_helper(9999));
}

TEST(features_by_architecture)
{
	uint32_t x86 = ab_check_features(VERSION(5, 10), "x86_64"), arm = ab_check_features(VERSION(5, 10), "aarch64");

	ASSERT(x86 >> FEATURE_TRAMPOLINE & 1 && !(arm >> FEATURE_TRAMPOLINE & 1));
	ASSERT(x86 >> FEATURE_LOOPS & 1 && arm >> FEATURE_LOOPS & 1 && !(x86 >> FEATURE_V4 & 1));
	ASSERT(ab_check_features(VERSION(6, 6), "aarch64") >> FEATURE_TRAMPOLINE & 1);
}

/* ---- names ---- */

TEST(names_of_functions_that_are_alike)
{
	static const struct { const char *wanted, *name; enum ab_check_like like; } rows[] = {
		{ "blk_account_io_start", "__blk_account_io_start", LIKE_SAME },
		{ "finish_task_switch", "finish_task_switch.isra.0", LIKE_SAME },
		{ "kfree_skb", "kfree_skb_reason", LIKE_BEGINNING },
		{ "__alloc_pages_nodemask", "__alloc_pages", LIKE_BEGINNING },
		{ "kfree_skb", "kfree_skb_list_reason", LIKE_NOT },
		{ "kfree_skb", "dev_kfree_skb", LIKE_NOT },
		{ "kfree", "kfree_skb", LIKE_NOT },
		{ "vfs_reed", "vfs_read", LIKE_SPELLING },
		{ "open", "oven", LIKE_NOT },
		{ "sched_swtich", "sched_switch", LIKE_SPELLING },
		{ "taks", "task", LIKE_SPELLING },
		{ "tsa", "tas", LIKE_NOT },
		{ "shced_swtich", "sched_switch", LIKE_NOT },
		{ "_", "__", LIKE_SAME },
		{ "", "x", LIKE_NOT },
		{ "tcp_sendmsg", "tcp_sendmsg_", LIKE_SPELLING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (ab_check_likeness(rows[i].wanted, rows[i].name) != rows[i].like)
			FAIL("'%s' and '%s'", rows[i].wanted, rows[i].name);
}

/* ---- accesses ---- */

TEST(accesses_as_written)
{
	static const struct { const char *text, *member, *access;
	} rows[] = {
		{ "\t*slot = ab_read(task->__state);", "__state", "task->__state" },
		{ "x = a.b[i].c + d;", "c", "a.b[i].c" },
		{ "return ab_read(ab_as_form(task_struct___new, task)->__state);", "__state",
		  "ab_as_form(task_struct___new, task)->__state" },
		{ "if (BPF_CORE_READ(task, mm, owner))", "owner", NULL },
		{ "state = task->state;", "state", "task->state" },
		{ "p->statement + p->state", "state", "p->state" },
		{ "", "x", NULL },
		{ "x", "", NULL },
		{ "->x", "x", "->x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_free_ char *access = ab_check_access(rows[i].text, rows[i].member);

		if (rows[i].access ? !access || strcmp(access, rows[i].access) : !!access)
			FAIL("'%s' in '%s' is '%s'", rows[i].member, rows[i].text, access ? access : "nothing");
	}
}

/* ---- instructions ---- */

#define I(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }
#define MOV(d, i) I(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVR(d, s) I(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define JNE(d, i, o) I(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define JEQ(d, i, o) I(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)
#define JA(o) I(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define CALL(f) I(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define CALL_OWN(o) I(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, o)
#define STORE(o, s) I(BPF_STX | BPF_MEM | BPF_DW, 10, s, o, 0)
#define STORE_W(o, s) I(BPF_STX | BPF_MEM | BPF_W, 10, s, o, 0)
#define LOAD(d, o) I(BPF_LDX | BPF_MEM | BPF_DW, d, 10, o, 0)
#define LOAD_W(d, o) I(BPF_LDX | BPF_MEM | BPF_W, d, 10, o, 0)
#define EXIT I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

TEST(instructions_need_features)
{
	static const struct { struct bpf_insn insn; enum feature feature; bool always;
	} rows[] = {
		{ MOV(1, 1), FEATURE_COUNT, false },
		{ I(BPF_JMP32 | BPF_JEQ, 1, 0, 1, 0), FEATURE_JMP32, true },
		{ I(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD), FEATURE_COUNT, true },
		{ I(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD | BPF_FETCH), FEATURE_FETCH, true },
		{ I(BPF_ALU64 | BPF_DIV | BPF_X, 1, 2, 1, 0), FEATURE_V4, false },
		{ I(BPF_ALU64 | BPF_END, 1, 0, 0, 16), FEATURE_V4, true },
		{ I(BPF_LDX | 0x80 | BPF_B, 1, 2, 0, 0), FEATURE_V4, true },
		{ I(BPF_JMP32 | BPF_JA, 0, 0, 0, 1), FEATURE_V4, true },
	};
	bool always;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (ab_check_insn_feature(&rows[i].insn, &always) != rows[i].feature)
			FAIL("row %zu", i);
		if (rows[i].feature != FEATURE_COUNT)
			ASSERT_INT(always, rows[i].always);
	}
}

/* Code of one or two functions, the second from `second` on. */
struct program_of {
	struct ab_check check;
	struct function functions[2];
	struct program program;
	uint32_t list[2];
	uint8_t reached[16];
};

static void make_program(struct program_of *p, struct bpf_insn *insns, uint32_t n, uint32_t second)
{
	struct code *code = &p->check.code;

	*p = (struct program_of){};
	code->insns = insns;
	code->n_insns = n;
	code->functions = p->functions;
	code->n_functions = second ? 2 : 1;
	p->functions[0] = (struct function){ "main", 0, second ? second : n, true, NONE };
	p->functions[1] = (struct function){ "other", second, n - second, false, NONE };
	p->program = (struct program){ .functions = p->list, .n_functions = code->n_functions };
	p->list[1] = 1;
	code->ref_of = array_new(n, 4);
	code->relo_of = array_new(n, 4);
	code->next_caller = array_new(n, 4);
	code->is_merge = array_new(n, 1);
	memset(code->ref_of, 0xff, 4 * n);
	memset(code->relo_of, 0xff, 4 * n);
	memset(code->next_caller, 0xff, 4 * n);
	code->is_merge[0] = true;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t to = ab_check_jump(code, i);

		if (to != NONE)
			code->is_merge[to] = true;
		if (insn_is_call(&insns[i]) && to != NONE) {
			code->is_merge[i] = true;
			code->next_caller[i] = p->functions[1].caller;
			p->functions[1].caller = i;
		}
	}
}

static void free_program(struct program_of *p)
{
	free(p->check.code.ref_of);
	free(p->check.code.relo_of);
	free(p->check.code.next_caller);
	free(p->check.code.is_merge);
}

/* The instructions that are reached, as "0 1 3". */
static const char *reach(struct bpf_insn *insns, uint32_t n, uint32_t second)
{
	static char text[256];
	struct program_of p;
	struct kernel kernel = {};
	size_t at = 0;

	make_program(&p, insns, n, second);
	ASSERT_INT(ab_check_reach(&p.check, &p.program, &kernel, p.reached), 0);
	*text = '\0';
	for (uint32_t i = 0; i < n; i++)
		if (p.reached[i / 8] >> i % 8 & 1)
			at += snprintf(text + at, sizeof(text) - at, "%s%u", at ? " " : "", i);
	free_program(&p);
	return text;
}

#define REACH(second, ...)                                                                                             \
	reach((struct bpf_insn[]){ __VA_ARGS__ }, ARRAY_SIZE(((struct bpf_insn[]){ __VA_ARGS__ })), second)

TEST(constants_decide_branches)
{
	ASSERT_STR(REACH(0, MOV(1, 0), JNE(1, 0, 1), EXIT, CALL(1), EXIT), "0 1 2");
	ASSERT_STR(REACH(0, MOV(1, 1), JNE(1, 0, 1), EXIT, CALL(1), EXIT), "0 1 3 4");
	ASSERT_STR(REACH(0, JNE(1, 0, 1), EXIT, CALL(1), EXIT), "0 1 2 3");
	/* arithmetic and copies keep what is known */
	ASSERT_STR(REACH(0, MOV(1, 6), MOVR(2, 1), I(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 3), JEQ(2, 2, 1), CALL(1),
			 EXIT),
		   "0 1 2 3 5");
	ASSERT_STR(REACH(0, MOV(1, -1), I(BPF_ALU | BPF_ADD | BPF_K, 1, 0, 0, 1), JEQ(1, 0, 1), CALL(1), EXIT), "0 1 2 4");
	/* what a branch says is known behind it */
	ASSERT_STR(REACH(0, JNE(1, 5, 3), JEQ(1, 5, 1), CALL(1), EXIT, EXIT), "0 1 3 4");
}

TEST(constants_meet)
{
	/* the same from both sides stays, different ones are unknown */
	ASSERT_STR(REACH(0, JEQ(3, 0, 2), MOV(1, 1), JA(1), MOV(1, 1), JEQ(1, 1, 1), CALL(1), EXIT), "0 1 2 3 4 6");
	ASSERT_STR(REACH(0, JEQ(3, 0, 2), MOV(1, 1), JA(1), MOV(1, 2), JEQ(1, 1, 1), CALL(1), EXIT), "0 1 2 3 4 5 6");
	/* a loop that changes it */
	ASSERT_STR(REACH(0, MOV(1, 0), JEQ(1, 7, 2), I(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, 1), JA(-3), CALL(1), EXIT),
		   "0 1 2 3 4 5");
}

TEST(constants_on_the_stack)
{
	ASSERT_STR(REACH(0, MOV(1, 0), STORE(-8, 1), MOV(1, 9), LOAD(2, -8), JEQ(2, 0, 1), CALL(1), EXIT), "0 1 2 3 4 6");
	ASSERT_STR(REACH(0, MOV(1, 3), STORE_W(-4, 1), LOAD_W(2, -4), JEQ(2, 3, 1), CALL(1), EXIT), "0 1 2 3 5");
	/* half of it is unknown */
	ASSERT_STR(REACH(0, MOV(1, 3), STORE_W(-4, 1), LOAD(2, -8), JEQ(2, 3, 1), CALL(1), EXIT), "0 1 2 3 4 5");
	/* a helper that is given the stack may write there, but not below */
	ASSERT_STR(REACH(0, MOV(3, 0), STORE(-8, 3), MOVR(1, 10), I(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -8),
			 MOV(2, 8), CALL(16), LOAD(2, -8), JEQ(2, 0, 1), CALL(1), EXIT),
		   "0 1 2 3 4 5 6 7 8 9");
	ASSERT_STR(REACH(0, MOV(3, 0), STORE(-24, 3), MOVR(1, 10), I(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -16),
			 MOV(2, 16), CALL(16), LOAD(2, -24), JEQ(2, 0, 1), CALL(1), EXIT),
		   "0 1 2 3 4 5 6 7 9");
}

TEST(constants_go_through_functions)
{
	/* main: r1 = 1; call other; if (r0 == 4) skip; other: r0 = r1 ? 4 : 5 */
	ASSERT_STR(REACH(5, MOV(1, 1), CALL_OWN(3), JEQ(0, 4, 1), CALL(1), EXIT,
			 JEQ(1, 0, 2), MOV(0, 4), EXIT, MOV(0, 5), EXIT), "0 1 2 4 5 6 7");
	/* two callers with different arguments */
	ASSERT_STR(REACH(6, MOV(1, 1), CALL_OWN(4), MOV(1, 0), CALL_OWN(2), JEQ(0, 4, 0), EXIT,
			 JEQ(1, 0, 2), MOV(0, 4), EXIT, MOV(0, 5), EXIT), "0 1 2 3 4 5 6 7 8 9 10");
	/* a function that never returns ends the way */
	ASSERT_STR(REACH(3, CALL_OWN(2), CALL(1), EXIT, JA(-1)), "0 3");
}

TEST(loops_are_found)
{
	struct bpf_insn loop[] = { MOV(1, 0), I(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, 1), JNE(1, 9, -2), EXIT };
	struct bpf_insn back[] = { JA(2), MOV(0, 0), EXIT, JA(-3) }; /* jumps back, but in no circle */
	struct program_of p;
	uint32_t insn;

	make_program(&p, loop, ARRAY_SIZE(loop), 0);
	ASSERT_INT(ab_check_find_loop(&p.check.code, 0, &insn), 0);
	ASSERT_INT(insn, 2);
	free_program(&p);
	make_program(&p, back, ARRAY_SIZE(back), 0);
	ASSERT_INT(ab_check_find_loop(&p.check.code, 0, &insn), 0);
	ASSERT_INT(insn, NONE);
	free_program(&p);
}

/* ---- reports ---- */

static const char *say(const struct ab_kernel *kernels, const char *fails, size_t n)
{
	static const struct ab_check_reason reason = { .program = "p", .message = "m", .fatal = true };
	static const struct ab_check_verdict good = { .result = AB_CHECK_NATIVE }, bad = { AB_CHECK_FAILS, &reason, 1 };
	static char line[256];
	struct ab_check_report *report;
	struct ab_error err = {};
	char *text, *where;
	size_t size;

	ASSERT_OK(ab_check_report_new(&report, &err), err);
	for (size_t i = n; i--;)
		ASSERT_OK(ab_check_report_add(report, "x", &kernels[i], fails[i] == '!' ? &bad : &good, &err), err);
	ASSERT_INT(ab_check_report_count(report, AB_CHECK_NATIVE) + ab_check_report_count(report, AB_CHECK_FAILS), n);
	ASSERT_OK(ab_check_report_write(report, AB_CHECK_TEXT, &text, &size, &err), err);
	ASSERT_INT(strlen(text), size);
	where = strstr(text, "fails on");
	where = where ? strstr(where, ": ") : NULL;
	snprintf(line, sizeof(line), "%.*s", where ? (int)strcspn(where + 2, "\n") : 0, where ? where + 2 : "");
	free(text);
	ab_check_report_free(report);
	return line;
}

#define K(r, a, d) { .release = r, .arch = a, .distribution = d, .flavour = "", .module = "" }

TEST(kernels_in_words)
{
	static const struct ab_kernel kernels[] = {
		K("4.19.0", "x86_64", "debian"),  K("5.4.1", "x86_64", "debian"),   K("5.4.10", "x86_64", "debian"),
		K("5.4.10", "aarch64", "debian"), K("5.10.0", "aarch64", "debian"), K("5.10.0", "x86_64", "debian"),
		K("6.1.0", "x86_64", "debian"),	  K("6.1.0", "aarch64", "debian"),
	};
	static const struct { const char *fails, *words;
	} rows[] = {
		{ "!!!!!!!!", "all" },
		{ "!.......", "4.19.0" },
		{ "!!!!....", "all before 5.10" },
		{ "......!!", "all since 6.1" },
		{ ".!!!!!..", "all from 5.4 to 5.10" },
		{ "!!......", "all before 5.4.10" },
		{ ".!!!....", "all of 5.4" },
		{ "...!!..!", "all of aarch64" },
		{ "...!!...", "all of aarch64 before 6.1" },
		{ "!!!..!..", "all of x86_64 before 6.1" },
		{ "!..!..!.", "4.19.0, 5.4.10, 6.1.0" },
		{ "!.!!.!!.", "all but 5.4.1, 5.10.0, 6.1.0" },
		{ "!!!.!!!!", "all but 5.4.10" },
		{ ".!..!.!.", "5.4.1, 5.10.0, 6.1.0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ASSERT_STR(say(kernels, rows[i].fails, ARRAY_SIZE(kernels)), rows[i].words);
}

TEST(many_kernels_in_words)
{
	static const struct ab_kernel kernels[] = {
		K("5.1", "x86_64", ""), K("5.2", "x86_64", ""), K("5.3", "x86_64", ""),
		K("5.4", "x86_64", ""), K("5.5", "x86_64", ""), K("5.6", "x86_64", ""),
		K("5.7", "x86_64", ""), K("5.8", "x86_64", ""), K("5.9", "x86_64", ""),
	};

	ASSERT_STR(say(kernels, "!.!.!.!.!", ARRAY_SIZE(kernels)), "5.1, 5.3, 5.5 and 2 more");
	ASSERT_STR(say(kernels, "!.!.!.!!!", ARRAY_SIZE(kernels)), "all but 5.2, 5.4, 5.6");
	ASSERT_STR(say(kernels, ".!.!.!...", ARRAY_SIZE(kernels)), "5.2, 5.4, 5.6");
}
