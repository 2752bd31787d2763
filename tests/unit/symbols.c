/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Names of addresses: this process, its libraries, children that ended, made-up kernels and files. */
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
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

TEST(library_function)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;

	ASSERT_OK(ab_symbols_user(s, getpid(), address_of(dlsym(RTLD_DEFAULT, "lsearch")), &sym, &error), error);
	ASSERT(strstr(sym.name, "lsearch"));
	ASSERT(strstr(sym.module, "libc"));
	ASSERT_INT(sym.offset, 0);
	ab_symbols_free(s);
}

static void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

TEST(library_loaded_after_the_first_lookup)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;
	void *library;

	ASSERT_OK(ab_symbols_user(s, getpid(), address_of(named_function), &sym, &error), error);
	library = dlopen("libm.so.6", RTLD_NOW);
	if (!library)
		SKIP("no libm.so.6");
	sleep_ms(30);
	ASSERT_OK(ab_symbols_user(s, getpid(), address_of(dlsym(library, "fegetround")), &sym, &error), error);
	ASSERT(strstr(sym.name, "fegetround"));
	ASSERT(strstr(sym.module, "libm"));
	ab_symbols_free(s);
}

TEST(vdso_of_this_and_another_process)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct ab_symbols *s = new_symbols();
	struct ab_elf elf = {};
	struct ab_symbol sym;
	char *image = malloc(8192);
	pid_t child;
	Elf *e;

	if (!base)
		SKIP("no vdso");
	memcpy(image, base, 8192);
	elf_version(EV_CURRENT);
	e = elf_memory(image, 8192);
	ab_elf_read(&elf, e);
	ASSERT(elf.table.n > 0);
	child = fork();
	if (!child)
		for (;;)
			pause();
	for (size_t i = 0; i < elf.table.n; i++)
		for (int other = 0; other < 2; other++) {
			uint64_t address = address_of(base) + elf.table.syms[i].start;

			ASSERT_OK(ab_symbols_user(s, other ? child : getpid(), address, &sym, &error), error);
			ASSERT_STR(sym.name, ab_sym_name(&elf.table, &elf.table.syms[i]));
			ASSERT_STR(sym.module, "[vdso]");
		}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	elf_end(e);
	free(image);
	ab_symtab_clear(&elf.table);
	free(elf.loads);
	ab_symbols_free(s);
}

TEST(process_that_ended)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;
	pid_t known, unknown;

	known = fork();
	if (!known)
		for (;;)
			pause();
	unknown = fork();
	if (!unknown)
		_exit(0);
	ASSERT_OK(ab_symbols_remember(s, known, &error), error);
	kill(known, SIGKILL);
	waitpid(known, NULL, 0);
	waitpid(unknown, NULL, 0);
	sleep_ms(120); /* past the time for which a process is believed to be the same */
	ASSERT_OK(ab_symbols_user(s, known, address_of(named_function), &sym, &error), error);
	ASSERT_STR(sym.name, "named_function");
	ASSERT_OK(ab_symbols_user(s, known, address_of(dlsym(RTLD_DEFAULT, "lsearch")), &sym, &error), error);
	ASSERT(strstr(sym.name, "lsearch"));
	ab_error_clear(&error);
	ASSERT_INT(ab_symbols_user(s, unknown, address_of(named_function), &sym, &error), -ENOENT);
	ASSERT(!sym.name && !sym.module);
	ASSERT(strstr(error.msg, "has ended"));
	ab_error_clear(&error);
	ASSERT_INT(ab_symbols_remember(s, unknown, &error), -ESRCH);
	ab_symbols_free(s);
}

TEST(process_that_became_another_program)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;
	int go[2], still_open[2];
	char byte = 0;
	pid_t child;

	ASSERT(pipe(go) == 0 && pipe2(still_open, O_CLOEXEC) == 0);
	child = fork();
	if (!child) {
		if (read(go[0], &byte, 1) == 1)
			execlp("sleep", "sleep", "100", NULL);
		_exit(1);
	}
	close(still_open[1]);
	ASSERT_OK(ab_symbols_user(s, child, address_of(named_function), &sym, &error), error);
	ASSERT_STR(sym.name, "named_function");
	ASSERT_INT(write(go[1], &byte, 1), 1);
	ASSERT_INT(read(still_open[0], &byte, 1), 0); /* exec closed the child's end */
	sleep_ms(120);
	ASSERT_INT(ab_symbols_user(s, child, address_of(named_function), &sym, NULL), -ENOENT);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ab_symbols_free(s);
}

/* A library at a place that only the child sees, or that nobody sees any more. */
static void library_of_child(bool deleted)
{
	struct ab_symbols *s = new_symbols();
	const char *copy = deleted ? "/tmp/anybpf-deleted.so" : "/mnt/anybpf-hidden.so";
	void *original = dlopen("libm.so.6", RTLD_NOW), *library;
	uint64_t address = 0;
	struct ab_symbol sym;
	char command[512];
	Dl_info info;
	int ready[2], ret;
	pid_t child;

	if (!original || !dladdr(dlsym(original, "fegetround"), &info))
		SKIP("no libm.so.6");
	snprintf(command, sizeof(command), "cp -L %s %s", info.dli_fname, copy);
	ASSERT(pipe(ready) == 0);
	child = fork();
	if (!child) {
		if (!deleted && (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
				 mount("none", "/mnt", "tmpfs", 0, NULL)))
			_exit(77);
		if (system(command) || !(library = dlopen(copy, RTLD_NOW)))
			_exit(1);
		if (deleted)
			unlink(copy);
		address = address_of(dlsym(library, "fegetround"));
		ret = write(ready[1], &address, sizeof(address));
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &address, sizeof(address)) != sizeof(address)) {
		waitpid(child, &ret, 0);
		if (WEXITSTATUS(ret) == 77)
			SKIP("may not mount");
		FAIL("the child could not load '%s'", copy);
	}
	ret = ab_symbols_user(s, child, address, &sym, &error);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (ret < 0 && deleted && geteuid() != 0)
		SKIP("map_files is for root");
	ASSERT_OK(ret, error);
	ASSERT(strstr(sym.name, "fegetround"));
	ASSERT_STR(sym.module, copy);
	ASSERT(access(copy, F_OK) < 0);
	ab_symbols_free(s);
}

TEST(file_in_a_mount_namespace)
{
	library_of_child(false);
}

TEST(file_that_was_deleted)
{
	library_of_child(true);
}

TEST(code_made_at_run_time)
{
	struct ab_symbols *s = new_symbols();
	char *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ab_symbol sym;
	char path[64];
	FILE *map;
	int ret[5];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map = fopen(path, "w");
	ASSERT(map && code != MAP_FAILED);
	fprintf(map, "%llx 40 LazyCompile:~first file.js:1\n%llx 40 half", (unsigned long long)address_of(code),
		(unsigned long long)address_of(code) + 64);
	fflush(map);
	ret[0] = ab_symbols_user(s, getpid(), address_of(code) + 3, &sym, &error);
	ASSERT_STR(sym.name, "LazyCompile:~first file.js:1");
	ASSERT_INT(sym.offset, 3);
	ret[1] = ab_symbols_user(s, getpid(), address_of(code) + 64, &sym, NULL);
	fprintf(map, " line\nnot a line\n%llx 20 second\n", (unsigned long long)address_of(code) + 16);
	fclose(map);
	sleep_ms(30);
	ret[2] = ab_symbols_user(s, getpid(), address_of(code) + 64, &sym, NULL);
	ASSERT_STR(sym.name, "half line");
	ret[3] = ab_symbols_user(s, getpid(), address_of(code) + 16, &sym, NULL);
	ASSERT_STR(sym.name, "second"); /* hides a part of the first */
	ret[4] = ab_symbols_user(s, getpid(), address_of(code) + 2000, &sym, NULL);
	unlink(path);
	ASSERT(!ret[0] && ret[1] == -ENOENT && !ret[2] && !ret[3] && ret[4] == -ENOENT);
	ab_symbols_free(s);
}

TEST(process_ids_that_nobody_has)
{
	struct ab_symbols *s = new_symbols();
	struct ab_symbol sym;

	ASSERT_INT(ab_symbols_user(s, -1, 0x1000, &sym, NULL), -ENOENT);
	ASSERT_INT(ab_symbols_user(s, 0x7fffffff, 0x1000, &sym, NULL), -ENOENT);
	ASSERT_INT(ab_symbols_user(s, getpid(), 0, &sym, NULL), -ENOENT);
	ASSERT_INT(ab_symbols_user(s, getpid(), UINT64_MAX, &sym, NULL), -ENOENT);
	ab_symbols_free(s);
	ab_symbols_free(NULL);
}

TEST(demangling)
{
	static const struct {
		const char *mangled, *plain;
	} rows[] = {
		{ "main", NULL },
		{ "_start", NULL },
		{ "", NULL },
		{ "_Z", NULL },
		{ "_Znotmangled", NULL },
		{ "_Z3fooi", "foo" },
		{ "_ZN3foo3barEv", "foo::bar" },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back" },
		{ "_ZNK3Foo3barEv.part.0", "Foo::bar" },
		{ "_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write" },
		{ "_ZN63_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE",
		  "<alloc::vec::Vec<T> as core::clone::Clone>::clone" },
		{ "_RNvCs1234_7mycrate3foo", "mycrate::foo" },
		{ "_RNvMs_NtCs1234_7mycrate3barNtB4_3Foo3new", "<mycrate::bar::Foo>::new" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *plain = ab_demangle(rows[i].mangled);

		if (!rows[i].plain && plain)
			FAIL("'%s' became '%s'", rows[i].mangled, plain);
		if (rows[i].plain && (!plain || strncmp(plain, rows[i].plain, strlen(rows[i].plain))))
			FAIL("'%s' became '%s', not '%s'", rows[i].mangled, plain ? plain : "(null)", rows[i].plain);
		free(plain);
	}
}

/* Each level of the template doubles what the one before prints. */
TEST(demangling_that_would_not_end)
{
	_text_ struct text name = {};
	char *plain;

	text_puts(&name, "_Z1fI1xIiiE");
	for (int i = 0; i < 36; i++) {
		char digit = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i];

		if (i == 0)
			text_puts(&name, "1yIS0_S0_E");
		else
			text_printf(&name, "1yIS%c_S%c_E", digit, digit);
	}
	text_puts(&name, "Evv");
	plain = ab_demangle(name.p);
	ASSERT(!plain || strlen(plain) < 100000);
	free(plain);
}

/* ---- made-up kernels ---- */

static int parse_kallsyms(struct ab_symtab *t, const char *content)
{
	FILE *in = fmemopen((void *)(uintptr_t)content, strlen(content), "r");
	int ret;

	ASSERT(in);
	ab_error_clear(&error);
	ret = ab_kallsyms_parse(t, in, "kallsyms", &error);
	fclose(in);
	return ret;
}

static const char *kernel_name(const struct ab_symtab *t, uint64_t address)
{
	const struct ab_sym *sym = ab_symtab_find(t, address);

	return sym ? ab_sym_name(t, sym) : "-";
}

TEST(kallsyms)
{
	struct ab_symtab t = {};

	ASSERT_OK(parse_kallsyms(&t, "0000000000000000 D __per_cpu_start\n"
				     "0000000000001000 d some_per_cpu\n"
				     "ffffffff81000000 T _stext\n"
				     "ffffffff81000000 T startup_64\n"
				     "ffffffff81000000 t local_alias\n"
				     "ffffffff81000100 T __do_something\n"
				     "ffffffff81000100 W do_something\n"
				     "ffffffff81000100 T do_it\n"
				     "ffffffff81000200 t before_data\n"
				     "ffffffff81000300 d data\n"
				     "ffffffff81000310 r more_data\n"
				     "ffffffff81000400 t last_text\n"
				     "ffffffff81000500 T _etext\n"
				     "ffffffff81000600 D sys_call_table\n"
				     "garbage line\n"
				     "ffffffffc0201000 t mod_b\t[second]\n"
				     "ffffffffc0100000 t mod_a\t[first]\n"
				     "ffffffffc0100080 T mod_a2\t[first]\n"
				     "ffffffffc0300000 t bpf_prog_0123456789abcdef_name\t[bpf]\n"), error);
	ASSERT_STR(kernel_name(&t, 0xffffffff80ffffff), "-");
	ASSERT_STR(kernel_name(&t, 0x1010), "-");
	ASSERT_STR(kernel_name(&t, 0xffffffff81000000), "startup_64");
	ASSERT_STR(kernel_name(&t, 0xffffffff810001ff), "do_it");
	ASSERT_STR(kernel_name(&t, 0xffffffff810002ff), "before_data");
	ASSERT_STR(kernel_name(&t, 0xffffffff81000300), "-");
	ASSERT_STR(kernel_name(&t, 0xffffffff810004ff), "last_text");
	ASSERT_STR(kernel_name(&t, 0xffffffff81000500), "-");
	ASSERT_STR(kernel_name(&t, 0xffffffffc01000ff), "mod_a2");
	ASSERT_STR(kernel_name(&t, 0xffffffffc01fffff), "-"); /* long behind the end of the first module */
	ASSERT_STR(kernel_name(&t, 0xffffffffc0201000), "mod_b");
	ASSERT_STR(kernel_name(&t, 0xffffffffc0201000) + sizeof("mod_b"), "second");
	ASSERT_STR(kernel_name(&t, 0xffffffffc0300010), "bpf_prog_0123456789abcdef_name");
	ASSERT_STR(kernel_name(&t, UINT64_MAX), "-");
	ab_symtab_clear(&t);
}

TEST(kallsyms_that_hides_or_has_nothing)
{
	struct ab_symtab t = {};

	ASSERT_INT(parse_kallsyms(&t, "0000000000000000 T _stext\n0000000000000000 t do_it\n"), -EPERM);
	ASSERT_INT(error.kind, AB_ERROR_PERMISSION);
	ASSERT(strstr(error.msg, "kernel.kptr_restrict"));
	ab_symtab_clear(&t);
	ASSERT_INT(parse_kallsyms(&t, "\n\n"), -EOPNOTSUPP);
	ASSERT(strstr(error.msg, "CONFIG_KALLSYMS"));
	ab_symtab_clear(&t);
	ASSERT_INT(parse_kallsyms(&t, "12345678123456789 T too_long\nxyz T not_hex\nff T\nff Tx name\nff"), -EOPNOTSUPP);
	ab_symtab_clear(&t);
}

TEST(mappings)
{
	static const struct {
		const char *line;
		bool code;
		uint64_t start, end, offset;
		const char *path;
		bool deleted;
	} rows[] = {
		{ "55d0c0a00000-55d0c0a21000 r-xp 00002000 fe:01 1234   /usr/bin/a b\n", true,
		  0x55d0c0a00000, 0x55d0c0a21000, 0x2000,
		  "/usr/bin/a b", false },
		{ "1000-2000 rwxp 00000000 00:00 0 \n", true, 0x1000, 0x2000, 0, "", false },
		{ "1000-2000 r-xp 00000000 08:01 7 /tmp/gone (deleted)\n", true, 0x1000, 0x2000, 0, "/tmp/gone", true },
		{ "1000-2000 r-xp 00000000 00:00 0 [vdso]", true, 0x1000, 0x2000, 0, "[vdso]", false },
		{ "1000-2000 rw-p 00000000 00:00 0 [heap]\n", false },
		{ "2000-1000 r-xp 00000000 00:00 0 \n", false },
		{ "1000-2000 r-x\n", false },
		{ "1000-2000\n", false },
		{ "\n", false },
		{ "1000-2000 r-xp 0 0:0", false },
		{ "11111111111111111-2000 r-xp 00000000 00:00 0 \n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *line = strdup(rows[i].line), *path;
		struct ab_mapping m;

		ASSERT_INT(ab_mapping_parse(line, &m, &path), rows[i].code);
		if (rows[i].code) {
			ASSERT_INT(m.start, rows[i].start);
			ASSERT_INT(m.end, rows[i].end);
			ASSERT_INT(m.offset, rows[i].offset);
			ASSERT_STR(path, rows[i].path);
			ASSERT_INT(m.deleted, rows[i].deleted);
		}
		free(line);
	}
}

/* ---- files ---- */

static char work_dir[] = "/tmp/anybpf-symbols-XXXXXX";

/* Debug files of the system lie in work_dir here. */
static int open_here(void *ctx, const char *path)
{
	char here[512];
	int fd;

	snprintf(here, sizeof(here), "%s%s", str_starts(path, work_dir) ? "" : work_dir, path);
	fd = open(here, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		strcpy(ctx, path);
	return fd < 0 ? -errno : fd;
}

static void run(const char *fmt, const char *arg)
{
	char command[2048];

	snprintf(command, sizeof(command), "cd %s && ", work_dir);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(command + strlen(command), sizeof(command) - strlen(command), fmt, arg, arg);
#pragma GCC diagnostic pop
	if (system(command) != 0)
		FAIL("failed: %s", command);
}

static struct ab_elf *read_file(const char *name, char *ret_debug)
{
	struct ab_elf *elf = calloc(1, sizeof(*elf));
	char path[256];
	int fd;

	*ret_debug = '\0';
	snprintf(path, sizeof(path), "%s/%s", work_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT(fd >= 0);
	ab_elf_read_fd(elf, fd, path, open_here, ret_debug);
	close(fd);
	return elf;
}

static bool has_symbol(const struct ab_elf *elf, const char *name)
{
	for (size_t i = 0; i < elf->table.n; i++)
		if (!strcmp(ab_sym_name(&elf->table, &elf->table.syms[i]), name))
			return ab_symtab_find(&elf->table, elf->table.syms[i].start) == &elf->table.syms[i];
	return false;
}

TEST(stripped_file_and_its_debug_file)
{
	char self[512], debug[512], id[2 * AB_BUILD_ID_MAX + 1] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct ab_elf *elf;

	if (system("objcopy --version >/dev/null 2>&1"))
		SKIP("no objcopy");
	self[n] = '\0';
	ASSERT(mkdtemp(work_dir));
	run("objcopy --only-keep-debug %s full.debug", self);
	run("objcopy --strip-all %s stripped", self);
	elf = read_file("stripped", debug);
	ASSERT(elf->loads_n > 0);
	ASSERT(!has_symbol(elf, "named_function"));
	for (uint32_t i = 0; i < elf->build_id_len; i++)
		sprintf(id + 2 * i, "%02x", elf->build_id[i]);
	ab_elf_free(elf);

	/* by debug link: the checksum decides where there is no build id */
	run("objcopy -R .note.gnu.build-id --strip-all %s linked && objcopy --add-gnu-debuglink=full.debug linked", self);
	elf = read_file("linked", debug);
	ASSERT(has_symbol(elf, "named_function"));
	ASSERT(str_ends(debug, "/full.debug"));
	ab_elf_free(elf);
	run("echo >>%s/full.debug", work_dir);
	elf = read_file("linked", debug);
	ASSERT(!has_symbol(elf, "named_function"));
	ab_elf_free(elf);

	/* by build id */
	if (*id) {
		run("mkdir -p usr/lib/debug/.build-id/%.2s && "
		    "cp full.debug usr/lib/debug/.build-id/$(echo %s | sed 's,^..,&/,').debug", id);
		elf = read_file("stripped", debug);
		ASSERT(has_symbol(elf, "named_function"));
		ASSERT(elf->full);
		ab_elf_free(elf);
	}
	run("rm -r %s", work_dir);
}

TEST(own_file_as_linked)
{
	struct ab_elf elf = {};
	int fd = open("/proc/self/exe", O_RDONLY);
	uint64_t address;

	ab_elf_read_fd(&elf, fd, "", NULL, NULL);
	ASSERT(elf.full && has_symbol(&elf, "named_function"));
	ASSERT(!ab_elf_address(&elf, UINT64_MAX, &address));
	ASSERT(ab_elf_address(&elf, elf.loads[0].offset, &address));
	ASSERT_INT(address, elf.loads[0].address);
	close(fd);
	ab_symtab_clear(&elf.table);
	free(elf.loads);
}

TEST(damaged_files)
{
	size_t size = 8192;
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	char *image = malloc(size);
	uint32_t random = 1;

	if (!base)
		SKIP("no vdso to damage");
	elf_version(EV_CURRENT);
	for (int round = 0; round < 3000; round++) {
		struct ab_elf elf = {};
		size_t cut = round % 3 ? size : (random >> 8) % size;
		uint64_t address;
		Elf *e;

		memcpy(image, base, size);
		for (int i = 0; i < 1 + round % 8; i++) {
			random = random * 1664525 + 1013904223;
			image[(random >> 8) % (i % 2 ? 512 : size)] = random >> 24;
		}
		e = elf_memory(image, cut);
		ab_elf_read(&elf, e);
		ab_elf_address(&elf, random, &address);
		ab_symtab_find(&elf.table, random);
		elf_end(e);
		ab_symtab_clear(&elf.table);
		free(elf.loads);
	}
	free(image);
}

TEST(tables)
{
	struct ab_symtab t = {};

	ab_symtab_add(&t, 0x100, 0x100, SYM_GLOBAL, "outer", 5);
	ab_symtab_add(&t, 0x140, 0x10, SYM_LOCAL, "nested", 6);
	ab_symtab_add(&t, 0x300, 0, SYM_LOCAL, "open", 4);
	ab_symtab_add_end(&t, 0x380);
	ab_symtab_add(&t, UINT64_MAX - 15, 16, SYM_LOCAL, "top", 3);
	ab_symtab_finish(&t);
	ASSERT_STR(kernel_name(&t, 0x144), "nested");
	ASSERT_STR(kernel_name(&t, 0x150), "outer");
	ASSERT_STR(kernel_name(&t, 0x200), "-");
	ASSERT_STR(kernel_name(&t, 0x37f), "open");
	ASSERT_STR(kernel_name(&t, 0x380), "-");
	ASSERT_STR(kernel_name(&t, UINT64_MAX), "top");
	ab_symtab_clear(&t);
	ASSERT(!ab_symtab_find(&t, 0));
}
