/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Hostile packages: nothing is written outside the folder, and modules that were in them can be looked for. */
#include <dirent.h>
#include <lab/lab.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void find_modules(struct ab_lab *lab)
{
	static const char *const names[] = { "9p", "veth", NULL };
	char modules[80], builtin[80];
	struct ab_image image = { .name = "fuzz", .modules = modules, .builtin = builtin, .arch = "amd64" };
	struct module_list list = {};

	snprintf(modules, sizeof(modules), "%s/in/modules", dir);
	snprintf(builtin, sizeof(builtin), "%s/in/modules.builtin", dir);
	ab_modules_find(lab, &image, names, MODULE_IF_ANY, &list, NULL);
	ab_modules_free(&list);
}

/* The folder that is given stands alone in its parent. */
static void check_outside(void)
{
	DIR *parent = opendir(dir);
	struct dirent *entry;

	while ((entry = readdir(parent)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "in"))
			abort();
	closedir(parent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ab_lab lab = { .cache = dir, .arch = "amd64", .lock = PTHREAD_MUTEX_INITIALIZER };
	_close_ int fd = memfd_create("package", 0);
	struct unpack unpack = { .modules = ab_lab_modules, .file = "/bin/busybox" };
	struct ab_error err = {};
	char path[64], in[80];

	if (!*dir)
		snprintf(dir, sizeof(dir), "/dev/shm/fuzz-lab-package-%d", (int)getpid());
	snprintf(in, sizeof(in), "%s/in", dir);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ab_mkdirs(in, NULL) < 0 || fd_write_all(fd, data, size) < 0)
		abort();
	unpack.dir = in;
	if (ab_package_unpack(path, &unpack, &err) < 0 && (!err.code || !*err.msg))
		abort();
	if (unpack.module_count)
		find_modules(&lab);
	check_outside();
	free(unpack.kernel);
	free(unpack.release);
	ab_error_clear(&err);
	ab_remove_tree(dir);
	return 0;
}
