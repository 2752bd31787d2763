/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What only a made library has: the way to the object that it carries itself. Linked into the template alone. */
#include <link.h>
#include <anybpf/library.h>
#include <base/base.h>
#include <run/run.h>
#include "lbc.h"

enum { LIBRARY_LIMIT = 128 << 20 };

struct self {
	uintptr_t address; /* of something in this library */
	char *path;
};

static int match_self(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct self *self = ctx;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && self->address - (info->dlpi_addr + p->p_vaddr) < p->p_memsz) {
			self->path = strdup(info->dlpi_name);
			return 1;
		}
	}
	return 0;
}

/* The file this code was loaded from. By the loader's list, since dladdr() would ask for a newer glibc. */
static int find_self(char **ret_path, struct ab_error *err)
{
	struct self self = { .address = (uintptr_t)find_self };

	dl_iterate_phdr(match_self, &self);
	if (!self.path || !*self.path) {
		free(self.path);
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "this library's own file is not known");
	}
	*ret_path = self.path;
	return 0;
}

/* The object once read, for ab_library_object(); published with release, read with acquire, never freed. */
struct carried {
	const void *object;
	size_t size;
};

static struct carried *carried;

static int read_carried(struct carried **ret, struct ab_error *err)
{
	_free_ char *path = NULL, *data = NULL;
	struct carried *c;
	const void *object = NULL;
	size_t size, object_size = 0;
	int r = find_self(&path, err);

	if (!r)
		r = file_read(path, LIBRARY_LIMIT, &data, &size, err);
	if (!r)
		r = ab_elf_embedded(data, size, &object, &object_size, err);
	if (r)
		return r;
	if (!object)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' carries no object", path);
	c = malloc(sizeof(*c) + object_size);
	if (!c)
		return ab_fail_memory(err);
	memcpy(c + 1, object, object_size);
	*c = (struct carried){ .object = c + 1, .size = object_size };
	*ret = c;
	return 0;
}

int ab_library_object(const void **ret_data, size_t *ret_size, struct ab_error *err)
{
	struct carried *c = __atomic_load_n(&carried, __ATOMIC_ACQUIRE), *nothing = NULL;
	int r = c ? 0 : read_carried(&c, err);

	if (r)
		return r;
	if (!__atomic_compare_exchange_n(&carried, &nothing, c, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
	    nothing != c) {
		free(c); /* another thread was first */
		c = nothing;
	}
	*ret_data = c->object;
	*ret_size = c->size;
	return 0;
}

/* Memory of dlopen()ed libraries is watched for leaks, and rightly. */
__attribute__((destructor)) static void free_carried(void)
{
	free(carried);
}

char *ab_library_section(const char *name)
{
	_free_ char *path = NULL, *data = NULL;
	const void *section;
	size_t size, n;

	if (find_self(&path, NULL) < 0 || file_read(path, LIBRARY_LIMIT, &data, &size, NULL) < 0)
		return NULL;
	section = ab_elf_section(data, size, name, &n);
	return section ? strndup(section, n) : NULL;
}

int ab_library_open(const struct ab_object_opts *opts, struct ab_object **ret_object, struct ab_error *err)
{
	_free_ char *path = NULL;
	int r = find_self(&path, err);

	return r ? r : ab_object_open_file(path, opts, ret_object, err);
}
