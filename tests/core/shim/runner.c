/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Runs the kernel's core_reloc cases: test_progs core_reloc|core_reloc_btfgen. A line a case on stdout: its name, then PASS,
 * FAIL or SKIP. Objects lie in the current directory.
 */
#include <sys/wait.h>
#include "test_progs.h"
#undef bpf_object__open_file
#undef bpf_object__load

void test_core_reloc(void);
void test_core_reloc_btfgen(void);

struct test_env env;

static struct {
	const char *name;
	bool failed, skipped;
	int relocated; /* exit status of the last relocation */
} running;

static void finish(void)
{
	if (running.name)
		printf("%s %s\n", running.name, running.failed ? "FAIL" : running.skipped ? "SKIP" : "PASS");
	running.name = NULL;
}

bool test__start_subtest(const char *name)
{
	finish();
	running.name = name;
	running.failed = running.skipped = false;
	return true;
}

void test__skip(void)
{
	running.skipped = true;
}

bool shim_fails(bool failed, const char *what, const char *file, int line)
{
	if (failed)
		fprintf(stderr, "%s: %s:%d: %s\n", running.name ? running.name : "?", file, line, what);
	running.failed |= failed;
	return failed;
}

int trigger_module_test_read(int size)
{
	(void)size;
	return -EOPNOTSUPP;
}

/* Exit status of $CORE_APPLY OBJECT BTF OUT. */
static int relocate(const char *object, const char *btf, const char *out)
{
	const char *program = getenv("CORE_APPLY");
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(program, program, object, btf ? btf : "-", out, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 127;
	return WEXITSTATUS(status);
}

/* What cannot be relocated opens all the same, and fails to load, as with libbpf. */
struct bpf_object *shim_open(const char *path, const struct bpf_object_open_opts *opts)
{
	char out[] = "relocated.XXXXXX";
	struct bpf_object *object = NULL;
	int fd = mkstemp(out);

	if (fd < 0)
		return NULL;
	close(fd);
	running.relocated = relocate(path, opts->btf_custom_path, out);
	if (running.relocated <= 1)
		object = bpf_object__open_file(running.relocated ? path : out, NULL);
	unlink(out);
	return object;
}

int shim_load(struct bpf_object *object)
{
	return running.relocated ? -EINVAL : bpf_object__load(object);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(NULL);
	if (argc == 2 && !strcmp(argv[1], "core_reloc"))
		test_core_reloc();
	else if (argc == 2 && !strcmp(argv[1], "core_reloc_btfgen"))
		test_core_reloc_btfgen();
	else
		return 2;
	finish();
	return 0;
}
