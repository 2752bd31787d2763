/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Names of addresses: this process, its libraries, children that ended, made-up kernels and files. */
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "run/symbols.h"
#include "unit.h"

static struct ab_error error;

static struct ab_symbols *new_symbols(void)
{
	struct ab_symbols *s;

	ASSERT_OK(ab_symbols_new(&s, &error), error);
	return s;
}

__attribute__((noinline)) static int named_function(int x)
{
	return x * 3 + getpid();
}

static uint64_t address_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

TEST(own_function)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;

	ASSERT_OK(ab_symbols_user(s, getpid(), address_of(named_function) + 2, &sym, &error), error);
	ASSERT_STR(sym.name, "named_function");
	ASSERT_INT(sym.offset, 2);
	ASSERT(strstr(sym.module, "unit-symbols"));
	ab_symbols_free(s);
}

TEST(kernel_function_of_this_machine)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;
	FILE *in = fopen("/proc/kallsyms", "r");
	unsigned long long address = 0;
	char type, name[256];

	while (in && fscanf(in, "%llx %c %255s%*[^\n]", &address, &type, name) == 3)
		if (!strcmp(name, "schedule"))
			break;
	if (!in || strcmp(name, "schedule") || !address)
		SKIP("kallsyms hides the kernel's addresses");
	fclose(in);
	ASSERT_OK(ab_symbols_kernel(s, address + 1, &sym, &error), error);
	ASSERT_STR(sym.name, "schedule");
	ASSERT_STR(sym.module, "kernel");
	ASSERT_INT(sym.offset, 1);
	ASSERT_INT(ab_symbols_kernel(s, 0x1000, &sym, &error), -ENOENT);
	ASSERT(!sym.name);
	ab_symbols_free(s);
}
