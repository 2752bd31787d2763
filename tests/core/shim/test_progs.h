/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the kernel's prog_tests/core_reloc.c needs of its test runner, with one difference: an object is relocated by the
 * program that $CORE_APPLY names before libbpf opens it, and has no relocations for libbpf then.
 */
#ifndef TEST_PROGS_H
#define TEST_PROGS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct test_env {
	bool has_testmod;
};
extern struct test_env env;

/* runner.c */
bool test__start_subtest(const char *name);
void test__skip(void);
/* Notes a failure of the running case; returns whether it is one. */
bool shim_fails(bool failed, const char *what, const char *file, int line);
struct bpf_object *shim_open(const char *path, const struct bpf_object_open_opts *opts);
int shim_load(struct bpf_object *object);
int trigger_module_test_read(int size);

static inline pid_t sys_gettid(void)
{
	return syscall(SYS_gettid);
}

#define CHECK(failed, tag, ...)                                                    \
	({                                                                         \
		bool _failed = shim_fails(!!(failed), tag, __FILE__, __LINE__);    \
		if (_failed)                                                       \
			printf(__VA_ARGS__);                                       \
		(void)duration;                                                    \
		_failed;                                                           \
	})
#define CHECK_FAIL(failed) shim_fails(!!(failed), #failed, __FILE__, __LINE__)
/* The ASSERT_*() of the kernel's runner are true when all is well. */
#define ASSERT_OK(result, name) (!shim_fails((result) != 0, name, __FILE__, __LINE__))
#define ASSERT_OK_PTR(pointer, name) (!shim_fails(libbpf_get_error(pointer) != 0, name, __FILE__, __LINE__))
#define ASSERT_GE(a, b, name) (!shim_fails((a) < (b), name, __FILE__, __LINE__))
#define ASSERT_FALSE(value, name) (!shim_fails((value), name, __FILE__, __LINE__))

#define bpf_object__open_file shim_open
#define bpf_object__load shim_load

#endif
