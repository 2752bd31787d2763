/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/run/{object,param,program,elf}.c: opening, parameters, loading, and what is no object. */
#include <pthread.h>
#include <sys/wait.h>
#include "bpf.h"

static const struct ab_param *find_param(struct ab_object *object, const char *name)
{
	for (size_t i = 0; i < ab_object_param_count(object); i++)
		if (!strcmp(ab_object_param(object, i)->name, name))
			return ab_object_param(object, i);
	FAIL("no parameter %s", name);
}

TEST(lists_parameters_as_written)
{
	static const struct { const char *name, *type, *value; } want[] = {
		{ "p_u8", "u8", "200" }, { "p_s8", "s8", "-3" }, { "p_u16", "u16", "65535" }, { "p_s16", "s16", "0" },
		{ "p_u32", "u32", "42" }, { "p_s64", "s64", "-1" }, { "p_u64", "u64", "0" }, { "p_bool", "bool", "true" },
		{ "p_char", "char", "x" }, { "p_text", "char[8]", "abc" }, { "p_list", "u16[4]", "1,2" },
		{ "p_mode", "enum mode", "MODE_SOME" }, { "p_big", "enum big", "BIG_HIGH" },
	};
	struct ab_object *object = open_object("basic", 0);

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		ASSERT_STR(find_param(object, want[i].name)->type, want[i].type);
		ASSERT_STR(find_param(object, want[i].name)->default_value, want[i].value);
	}
	ASSERT_INT(ab_object_param_count(object), ARRAY_SIZE(want) + 2);
	ASSERT_STR(find_param(object, "p_u32")->help, "a number of 32 bits");
	ASSERT(!find_param(object, "p_u8")->help);
	ASSERT(find_param(object, "p_bool")->is_bool && !find_param(object, "p_u8")->is_bool);
	ASSERT(find_param(object, "target_pid")->is_pid && find_param(object, "only")->is_pid);
	ASSERT(!find_param(object, "p_u32")->is_pid);
	ASSERT_STR(ab_object_name(object), "basic");
	ab_object_close(object);
}

TEST(sets_what_fits_the_type)
{
	static const struct { const char *name, *value; int r; } rows[] = {
		{ "p_u8", "255", 0 }, { "p_u8", "256", -ERANGE }, { "p_u8", "-1", -ERANGE }, { "p_u8", "", -EINVAL },
		{ "p_u8", "0x1f", 0 }, { "p_u8", "010", 0 }, { "p_u8", "1x", -EINVAL }, { "p_u8", " 1", -EINVAL },
		{ "p_s8", "-128", 0 }, { "p_s8", "-129", -ERANGE }, { "p_s8", "127", 0 }, { "p_s8", "128", -ERANGE },
		{ "p_s64", "-9223372036854775808", 0 }, { "p_s64", "9223372036854775808", -ERANGE },
		{ "p_u64", "18446744073709551615", 0 }, { "p_u64", "18446744073709551616", -ERANGE },
		{ "p_bool", "true", 0 }, { "p_bool", "0", 0 }, { "p_bool", "maybe", -EINVAL },
		{ "p_char", "y", 0 }, { "p_char", "7", 0 }, { "p_char", "yy", -EINVAL },
		{ "p_text", "1234567", 0 }, { "p_text", "12345678", -ERANGE }, { "p_text", "", 0 },
		{ "p_list", "1,2,3,4", 0 }, { "p_list", "1,2,3,4,5", -ERANGE }, { "p_list", "1,,2", -EINVAL },
		{ "p_list", "70000", -ERANGE }, { "p_list", "", 0 },
		{ "p_mode", "MODE_NEVER", 0 }, { "p_mode", "-1", 0 }, { "p_mode", "MODE_SOMME", -EINVAL },
		{ "p_big", "BIG_HIGH", 0 }, { "p_big", "4294967296", 0 }, { "no_param", "1", -ENOENT },
		{ "p_u9", "1", -ENOENT },
	};
	struct ab_object *object = open_object("basic", 0);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ab_error err = {};
		int r = ab_object_set_param(object, rows[i].name, rows[i].value, &err);

		if (r != rows[i].r)
			FAIL("%s = '%s': %d (%s), not %d", rows[i].name, rows[i].value, r, err.msg, rows[i].r);
	}
	ab_object_close(object);
}

TEST(names_the_nearest_parameter_and_enumerator)
{
	struct ab_object *object = open_object("basic", 0);
	struct ab_error err = {};

	ASSERT_INT(ab_object_set_param(object, "target_pit", "1", &err), -ENOENT);
	ASSERT_STR(err.msg, "'basic' has no parameter 'target_pit': did you mean 'target_pid'?");
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
	ab_error_clear(&err);
	ASSERT_INT(ab_object_set_param(object, "p_mode", "MODE_SOMME", &err), -EINVAL);
	ASSERT_STR(err.msg, "'MODE_SOMME' is not a value for 'p_mode' of type enum mode: did you mean 'MODE_SOME'?");
	ab_object_close(object);
}

TEST(lists_programs)
{
	struct ab_object *object = open_object("basic", 0);
	struct ab_program *mark = ab_object_find_program(object, "by_mark");

	ASSERT_INT(ab_object_program_count(object), 3);
	ASSERT(mark && ab_program_is_optional(mark));
	ASSERT_STR(ab_program_section(mark), "tp/syscalls/sys_enter_getpgid");
	ASSERT_INT(ab_program_state(mark), AB_PROGRAM_OPEN);
	ASSERT_INT(ab_program_fd(mark), -1);
	ASSERT(!ab_program_is_optional(ab_object_find_program(object, "on_raw")));
	ASSERT(!ab_object_find_program(object, "nobody"));
	ab_object_close(object);
}

/* ---- loading ---- */

static int take_value(const struct ab_event *event, void *ctx)
{
	struct { uint32_t pid, kind; uint64_t value; } e;

	ASSERT_INT(event->size, sizeof(e));
	memcpy(&e, event->data, sizeof(e));
	if (e.kind == 2)
		*(uint64_t *)ctx = e.value;
	return 0;
}

static uint64_t run_once(struct ab_object *object)
{
	struct ab_error err = {};
	struct ab_events *events;
	uint64_t value = 0;
	AB_OPTS(ab_events_opts, opts, .event = take_value, .ctx = &value);

	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_OK(ab_events_open(object, &opts, &events, &err), err);
	ASSERT_OK(ab_object_attach(object, &err), err);
	getppid();
	ASSERT_OK(ab_events_poll(events, 1000, &err), err);
	return value;
}

TEST(programs_see_parameters)
{
	struct ab_object *object;
	struct ab_error err = {};

	need_bpf();
	object = open_object("basic", getpid());
	ASSERT_OK(ab_object_set_param(object, "p_u32", "4711", &err), err);
	ASSERT_INT(run_once(object), 4711);
	ASSERT_INT(ab_object_set_param(object, "p_u32", "1", &err), -EBUSY);
	ab_error_clear(&err);
	ASSERT_INT(ab_object_load(object, &err), -EBUSY);
	ab_object_close(object);
}

static void *run_in_thread(void *value)
{
	char text[32];

	for (int i = 0; i < 5; i++) {
		struct ab_object *object = open_object("basic", getpid());
		struct ab_error err = {};

		snprintf(text, sizeof(text), "%lu", (unsigned long)value);
		ASSERT_OK(ab_object_set_param(object, "p_u32", text, &err), err);
		ASSERT_INT(run_once(object), (unsigned long)value);
		ab_object_close(object);
	}
	return NULL;
}

TEST(two_objects_in_two_threads)
{
	pthread_t threads[2];

	need_bpf();
	for (unsigned long i = 0; i < 2; i++)
		ASSERT(!pthread_create(&threads[i], NULL, run_in_thread, (void *)(i + 1)));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

TEST(disabled_programs_stay_out)
{
	struct ab_object *object;
	struct ab_program *raw;
	struct ab_error err = {};

	need_bpf();
	object = open_object("basic", getpid());
	raw = ab_object_find_program(object, "on_raw");
	ASSERT_OK(ab_program_set_enabled(raw, false, &err), err);
	ASSERT_INT(run_once(object), 0);
	ASSERT_INT(ab_program_state(raw), AB_PROGRAM_SKIPPED);
	ASSERT_STR(ab_program_reason(raw), "disabled");
	ASSERT_INT(ab_program_fd(raw), -1);
	ASSERT_INT(ab_program_set_enabled(raw, true, &err), -EBUSY);
	ab_object_close(object);
}

TEST(tells_which_capability_is_missing)
{
	struct ab_error err = {};
	struct ab_object *object;

	need_bpf();
	object = open_object("basic", 0);
	if (!fork()) {
		if (setgid(65534) || setuid(65534))
			exit(2);
		ASSERT(ab_object_load(object, &err) < 0);
		ASSERT_INT(err.kind, AB_ERROR_PERMISSION);
		ASSERT(strstr(err.msg, "not permitted without CAP_BPF, CAP_PERFMON"));
		ASSERT(strstr(err.msg, "run it as root"));
		exit(0);
	} else {
		int status = 1;

		wait(&status);
		ASSERT_INT(status, 0);
	}
	ab_object_close(object);
}

/* ---- what is no object ---- */

static int open_bytes(const void *data, size_t size, struct ab_error *err)
{
	struct ab_object *object;
	int r;

	ab_error_clear(err);
	r = ab_object_open_mem(data, size, NULL, &object, err);
	if (!r)
		ab_object_close(object);
	return r;
}

TEST(refuses_every_truncation)
{
	struct ab_error err = {};
	size_t size;
	char *data;

	ASSERT_OK(file_read(object_path("basic"), 1 << 20, &data, &size, &err), err);
	for (size_t n = 0; n < size; n += n < 512 || n > size - 512 ? 1 : 97) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, data, n);
		ASSERT_INT(open_bytes(copy, n, &err), -EBADMSG);
		ASSERT_INT(err.kind, AB_ERROR_FORMAT);
		ASSERT(*err.msg);
		free(copy);
	}
	ASSERT_OK(open_bytes(data, size, &err), err);
	free(data);
}

TEST(says_what_else_a_file_is)
{
	struct ab_error err = {};
	struct ab_object *object;
	size_t size;
	char *data;

	ASSERT_INT(ab_object_open_file("/nonexistent.o", NULL, &object, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
	ab_error_clear(&err);
	ASSERT_INT(open_bytes("hello", 5, &err), -EBADMSG);
	ASSERT_STR(err.msg, "not an ELF file");
	ASSERT_OK((ab_error_clear(&err), file_read("/proc/self/exe", 64 << 20, &data, &size, &err)), err);
	ASSERT_INT(open_bytes(data, size, &err), -EBADMSG);
	ASSERT(strstr(err.msg, "carries no BPF object"));
	ab_error_clear(&err);
	free(data);
	ASSERT_OK(file_read(object_path("basic"), 1 << 20, &data, &size, &err), err);
	data[18] = 62; /* e_machine */
	data[19] = 0;
	ASSERT_INT(open_bytes(data, size, &err), -EBADMSG);
	ASSERT(strstr(err.msg, "built for machine 62, not for BPF"));
	free(data);
}

TEST(survives_damage)
{
	struct ab_error err = {};
	uint32_t random = 1;
	size_t size;
	char *data;

	ASSERT_OK(file_read(object_path("channel"), 1 << 20, &data, &size, &err), err);
	for (int round = 0; round < 3000; round++) {
		size_t at[3];
		char was[3];

		for (int i = 0; i < 3; i++) {
			random = random * 1103515245 + 12345;
			/* Headers and tables at both ends are where it hurts. */
			at[i] = random / 7 % (round % 3 == 0 ? 64 : round % 3 == 1 ? 2048 : size);
			if (round % 3 == 1)
				at[i] = size - 1 - at[i];
			was[i] = data[at[i]];
			data[at[i]] = (char)(random >> 24);
		}
		if (open_bytes(data, size, &err) < 0)
			ASSERT(*err.msg);
		for (int i = 3; i--;)
			data[at[i]] = was[i];
	}
	ASSERT_OK(open_bytes(data, size, &err), err);
	free(data);
}
