/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * So that a made library runs with any glibc since 2.17, and links at all: stand-ins for functions that newer releases gave a new
 * symbol version, under other names that template.sh puts in their place in the archives; and libelf's error
 * number, which Debian's static libelf keeps in a kind of thread-local storage that no shared library can have.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the new names of old things ---- */

FILE *ab_compat_stderr; /* libbpf.a reaches for stderr without the GOT */

__attribute__((constructor)) static void set_stderr(void)
{
	ab_compat_stderr = stderr;
}

void *ab_compat_reallocarray(void *p, size_t n, size_t size);
void *ab_compat_reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* The kernel's struct stat is glibc's on 64-bit machines, which are the ones that libraries are made for. */
_Static_assert(sizeof(long) == 8, "made libraries are for 64-bit machines");

/* Declares a stand-in and the name that it has on top where files are 64-bit by another name. */
#define STAND_IN(type, name, ...)                                                                          \
	type ab_compat_##name(__VA_ARGS__);                                                                \
	type ab_compat_##name##64(__VA_ARGS__) __attribute__((alias("ab_compat_" #name)));                 \
	type ab_compat_##name(__VA_ARGS__)

STAND_IN(int, fstat, int fd, struct stat *st)
{
	return syscall(SYS_fstat, fd, st);
}

STAND_IN(int, fstatat, int dir, const char *path, struct stat *st, int flags)
{
	return syscall(SYS_newfstatat, dir, path, st, flags);
}

STAND_IN(int, stat, const char *path, struct stat *st)
{
	return ab_compat_fstatat(AT_FDCWD, path, st, 0);
}

STAND_IN(int, lstat, const char *path, struct stat *st)
{
	return ab_compat_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

STAND_IN(int, fcntl, int fd, int command, ...)
{
	va_list args;
	long argument;

	va_start(args, command);
	argument = va_arg(args, long);
	va_end(args);
	return syscall(SYS_fcntl, fd, command, argument);
}

/* glob() of any age, by the symbol version that the machine's glibc began with. */
#if defined(__x86_64__)
#define FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__s390x__)
#define FIRST_GLIBC "GLIBC_2.2"
#elif defined(__riscv)
#define FIRST_GLIBC "GLIBC_2.27"
#elif defined(__loongarch__)
#define FIRST_GLIBC "GLIBC_2.36"
#else
#define FIRST_GLIBC "GLIBC_2.17"
#endif
__asm__(".symver ab_first_glob, glob64@" FIRST_GLIBC);
int ab_first_glob(const char *pattern, int flags, int (*error)(const char *, int), glob_t *found);

int ab_compat_glob64(const char *pattern, int flags, int (*error)(const char *, int), glob_t *found);
int ab_compat_glob64(const char *pattern, int flags, int (*error)(const char *, int), glob_t *found)
{
	return ab_first_glob(pattern, flags, error, found);
}

void ab_compat_globfree64(glob_t *found);
void ab_compat_globfree64(glob_t *found)
{
	globfree(found);
}

enum { ONCE_NEW, ONCE_RUNNING, ONCE_DONE };

int ab_compat_pthread_once(int *once, void (*run)(void));
int ab_compat_pthread_once(int *once, void (*run)(void))
{
	int state = ONCE_NEW;

	if (__atomic_compare_exchange_n(once, &state, ONCE_RUNNING, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
		run();
		__atomic_store_n(once, ONCE_DONE, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(once, __ATOMIC_ACQUIRE) != ONCE_DONE)
		sched_yield();
	return 0;
}

/* ---- fmemopen(buffer, size, "r"), which is all that libbpf does with it ---- */

struct memory {
	const char *p;
	size_t left;
};

static ssize_t read_memory(void *cookie, char *buf, size_t size)
{
	struct memory *m = cookie;
	size_t n = size < m->left ? size : m->left;

	memcpy(buf, m->p, n);
	m->p += n;
	m->left -= n;
	return n;
}

static int close_memory(void *cookie)
{
	free(cookie);
	return 0;
}

FILE *ab_compat_fmemopen(void *buf, size_t size, const char *mode);
FILE *ab_compat_fmemopen(void *buf, size_t size, const char *mode)
{
	struct memory *m = *mode == 'r' ? malloc(sizeof(*m)) : NULL;
	FILE *f;

	if (!m)
		return NULL;
	*m = (struct memory){ .p = buf, .left = size };
	f = fopencookie(m, "r", (cookie_io_functions_t){ .read = read_memory, .close = close_memory });
	if (!f)
		free(m);
	return f;
}

/* ---- libelf's error number ---- */

static __thread int elf_error;

void __libelf_seterrno(int value);
void __libelf_seterrno(int value)
{
	elf_error = value;
}

int elf_errno(void);
int elf_errno(void)
{
	int value = elf_error;

	elf_error = 0;
	return value;
}

const char *elf_errmsg(int error);
const char *elf_errmsg(int error)
{
	static __thread char text[32];

	if (error == 0 && !elf_error)
		return NULL;
	snprintf(text, sizeof(text), "libelf error %d", error > 0 ? error : elf_error & 0xffff);
	return text;
}
