/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/run/verifier.c: why programs do not load, in words. */
#include <sched.h>
#include <sys/mount.h>
#include "bpf.h"

/* Only this program of refused.bpf.c. */
static struct ab_object *open_only(const char *name)
{
	struct ab_object *object = open_object("refused", 0);

	for (size_t i = 0; i < ab_object_program_count(object); i++) {
		struct ab_program *program = ab_object_program(object, i);

		ASSERT(!ab_program_set_enabled(program, !strcmp(ab_program_name(program), name), NULL));
	}
	return object;
}

TEST(refusal_names_program_reason_and_source_line)
{
	struct ab_error err = {};
	struct ab_object *object;
	char *summary;

	need_bpf();
	object = open_only("unchecked");
	ASSERT_INT(ab_object_load(object, &err), -EACCES);
	ASSERT_INT(err.kind, AB_ERROR_VERIFIER);
	ASSERT_STR(err.msg, "program 'unchecked' refused: R0 invalid mem access 'map_value_or_null' at refused.bpf.c:27: "
			    "*value = 1; /* may be NULL */");
	ASSERT(err.log && strstr(err.log, "processed "));
	summary = ab_verifier_summary(err.log);
	ASSERT(strstr(summary, "; *value = 1;"));
	ASSERT(strstr(summary, "(7b) *(u64 *)(r0 +0) = r1\nR0 invalid mem access 'map_value_or_null'\n"));
	free(summary);
	ab_error_clear(&err);
	/* A refused object can be tried again, with the same answer. */
	ASSERT_INT(ab_object_load(object, &err), -EACCES);
	ab_error_clear(&err);
	ab_object_close(object);
}

TEST(unknown_member_names_type_member_and_line)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	object = open_only("unknown_member");
	ASSERT_INT(ab_object_load(object, &err), -EINVAL);
	ASSERT_INT(err.kind, AB_ERROR_RELOCATION);
	ASSERT_STR(err.msg, "program 'unknown_member': this kernel's struct task_struct has no member 'no_such_member' like the "
			    "program's at refused.bpf.c:36: return task->no_such_member;");
	ab_error_clear(&err);
	ab_object_close(object);
}

TEST(unknown_member_of_a_flavour_names_the_kernels_type)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	object = open_only("unknown_member_of_flavour");
	ASSERT_INT(ab_object_load(object, &err), -EINVAL);
	ASSERT(strstr(err.msg, "this kernel's struct task_struct has no member 'gone' like the program's"));
	ab_error_clear(&err);
	ab_object_close(object);
}

TEST(optional_program_is_skipped_and_the_rest_loads)
{
	struct ab_error err = {};
	struct ab_object *object;
	struct ab_program *skipped;

	need_bpf();
	object = open_only("fine");
	skipped = ab_object_find_program(object, "optional_refused");
	ASSERT_OK(ab_program_set_enabled(skipped, true, &err), err);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_INT(ab_program_state(skipped), AB_PROGRAM_SKIPPED);
	ASSERT(strstr(ab_program_reason(skipped), "invalid mem access"));
	ASSERT(strstr(unit_warnings, "skipping optional program 'optional_refused': program 'optional_refused' refused"));
	ASSERT_OK(ab_object_attach(object, &err), err);
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "fine")), AB_PROGRAM_ATTACHED);
	ab_object_close(object);
}

TEST(summary_of_an_old_kernels_log)
{
	static const char log[] =
		"func#0 @0\n0: R1=ctx(off=0,imm=0) R10=fp0\n; int f(void *ctx)\n0: (b7) r1 = 0\n; return *p;\n"
		"1: (79) r0 = *(u64 *)(r1 +0)\nR1 invalid mem access 'scalar'\n"
		"processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
	char *summary = ab_verifier_summary(log);

	ASSERT_STR(summary, "; return *p;\n1: (79) r0 = *(u64 *)(r1 +0)\nR1 invalid mem access 'scalar'\n");
	free(summary);
	summary = ab_verifier_summary("");
	ASSERT_STR(summary, "");
	free(summary);
}

TEST(kernel_without_types_says_what_to_do)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL))
		SKIP("no mount namespace: %s", strerror(errno));
	object = open_only("unknown_member");
	ASSERT_INT(ab_object_load(object, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NO_TYPES);
	ASSERT_STR(err.msg, "this kernel has no BTF ('refused' needs it): give that of its build with --btf PATH");
	ab_error_clear(&err);
	ab_object_close(object);
	object = open_object("maps", 0); /* needs none */
	ASSERT_OK(ab_object_load(object, &err), err);
	ab_object_close(object);
}

TEST(maps_that_cannot_be_made_are_named)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	object = open_only("fine");
	ASSERT_OK(ab_map_set_max_entries(ab_object_find_map(object, "table"), 0xffffffff, &err), err);
	ASSERT(ab_object_load(object, &err) < 0);
	ASSERT(strstr(err.msg, "map 'table' "));
	ab_error_clear(&err);
	ab_object_close(object);
}
