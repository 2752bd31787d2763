/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A kernel by a file with its types, and what the file says of its release and architecture. */
#include <elf.h>
#include <sys/utsname.h>
#include "check.h"

#define FILE_LIMIT (1u << 30)

struct ab_check_target {
	struct ab_btf *types;
	uint64_t key;
	char *release;         /* NULL: unknown */
	char *name;            /* what it is called: the release, or the path */
	struct ab_kernel kernel;
	struct utsname running;
};

/* A number that no other target of this process has. */
static uint64_t next_key(void)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_X86_64: return "x86_64";
	case EM_AARCH64: return "aarch64";
	case EM_S390: return "s390x";
	case EM_PPC64: return "ppc64le";
	case EM_RISCV: return "riscv64";
	case EM_LOONGARCH: return "loongarch64";
	default: return "";
	}
}

/* "Linux version 5.10.0-8-amd64 (…": the kernel's banner. */
static char *find_banner(const char *data, size_t size)
{
	static const char start[] = "Linux version ";
	const char *p = data, *end = data + size;

	while ((p = memmem(p, (size_t)(end - p), start, strlen(start)))) {
		size_t n = 0;

		p += strlen(start);
		while (p + n < end && p[n] > ' ' && p[n] != '%' && n < 256)
			n++;
		if (n && *p >= '0' && *p <= '9')
			return strndup(p, n);
	}
	return NULL;
}

/* "/x/5.10.0-8-amd64.btf" is called by its release. */
static char *release_of_name(const char *path)
{
	const char *base = path_base(path);
	size_t n = strlen(base);
	struct version v;

	if (!ab_check_parse_version(base, &v))
		return NULL;
	return strndup(base, str_ends(base, ".btf") ? n - strlen(".btf") : n);
}

static int read_file(struct ab_check_target *t, const char *path, struct ab_error *err)
{
	_free_ char *data = NULL;
	uint16_t machine;
	size_t size;
	int r = file_read(path, FILE_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	t->kernel.arch = "";
	if (size > sizeof(Elf64_Ehdr) && !memcmp(data, ELFMAG, SELFMAG)) {
		memcpy(&machine, data + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
		t->kernel.arch = machine_name(machine);
		t->release = find_banner(data, size);
	}
	if (!t->release)
		t->release = release_of_name(path);
	t->name = strdup(t->release ? t->release : path);
	if (!t->name)
		return ab_fail_memory(err);
	return ab_btf_open_file(path, &t->types, err);
}

/* The one that runs. */
static int read_running(struct ab_check_target *t, struct ab_error *err)
{
	int r = ab_btf_open_kernel(&t->types, err);

	if (r < 0)
		return r;
	if (uname(&t->running) < 0)
		return ab_fail_errno(err, -errno, "uname");
	t->release = strdup(t->running.release);
	t->name = strdup(t->running.release);
	t->kernel.arch = t->running.machine;
	return t->release && t->name ? 0 : ab_fail_memory(err);
}

int ab_check_target_open(const char *path, struct ab_check_target **ret_target, struct ab_error *err)
{
	struct ab_check_target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return ab_fail_memory(err);
	t->key = next_key();
	if (path && !strcmp(path, "/sys/kernel/btf/vmlinux"))
		path = NULL;
	r = path ? read_file(t, path, err) : read_running(t, err);
	if (r < 0) {
		ab_check_target_close(t);
		return r;
	}
	t->kernel.release = t->name;
	t->kernel.distribution = t->kernel.flavour = t->kernel.module = "";
	*ret_target = t;
	return 0;
}

void ab_check_target_close(struct ab_check_target *target)
{
	if (!target)
		return;
	ab_btf_close(target->types);
	free(target->release);
	free(target->name);
	free(target);
}

const struct ab_kernel *ab_check_target_kernel(const struct ab_check_target *target)
{
	return &target->kernel;
}

int ab_check_target_verdict(struct ab_check *check, const struct ab_check_target *target,
			    const struct ab_check_verdict **ret_verdict, struct ab_error *err)
{
	return ab_check_types(check, target->types, target->key, target->release, target->kernel.arch, ret_verdict, err);
}
