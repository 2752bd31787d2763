/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A file system for the guest's memory in the form that kernels unpack fastest: cpio "newc", not compressed. */
#include <sys/stat.h>
#include "lab.h"

static void add_entry(struct cpio *cpio, const char *name, unsigned mode, unsigned major, unsigned minor, const void *data,
		      size_t size)
{
	size_t name_size = strlen(name) + 1;

	text_printf(&cpio->text, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ++cpio->inode, mode, 0, 0, 1, 0,
		    (unsigned)size, 0, 0, major, minor, (unsigned)name_size, 0);
	text_add(&cpio->text, name, name_size);
	while (cpio->text.n % 4 && !cpio->text.failed)
		text_putc(&cpio->text, '\0');
	text_add(&cpio->text, data, size);
	while (cpio->text.n % 4 && !cpio->text.failed)
		text_putc(&cpio->text, '\0');
}

/* Names in the archive have no slash in front. */
static const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return path;
}

int ab_cpio_dir(struct cpio *cpio, const char *path)
{
	const char *p = relative(path);

	for (const char *end = p; *end; end++) {
		struct strmap_entry *entry;
		bool new;

		end += strcspn(end, "/");
		entry = strmap_put(&cpio->dirs, p, end - p, &new);
		if (!entry)
			return -ENOMEM;
		if (new)
			add_entry(cpio, entry->key, S_IFDIR | 0755, 0, 0, "", 0);
		if (!*end)
			break;
	}
	return cpio->text.failed ? -ENOMEM : 0;
}

static int add_parents(struct cpio *cpio, const char *path)
{
	const char *p = relative(path), *slash = strrchr(p, '/');
	_free_ char *dir = slash ? strndup(p, slash - p) : NULL;

	return !slash ? 0 : dir ? ab_cpio_dir(cpio, dir) : -ENOMEM;
}

int ab_cpio_file(struct cpio *cpio, const char *path, unsigned mode, const void *data, size_t size)
{
	int r = add_parents(cpio, path);

	if (r == 0)
		add_entry(cpio, relative(path), S_IFREG | mode, 0, 0, data, size);
	return r < 0 || cpio->text.failed ? -ENOMEM : 0;
}

int ab_cpio_link(struct cpio *cpio, const char *path, const char *target)
{
	int r = add_parents(cpio, path);

	if (r == 0)
		add_entry(cpio, relative(path), S_IFLNK | 0777, 0, 0, target, strlen(target));
	return r < 0 || cpio->text.failed ? -ENOMEM : 0;
}

int ab_cpio_node(struct cpio *cpio, const char *path, unsigned mode, unsigned major, unsigned minor)
{
	int r = add_parents(cpio, path);

	if (r == 0)
		add_entry(cpio, relative(path), mode, major, minor, "", 0);
	return r < 0 || cpio->text.failed ? -ENOMEM : 0;
}

int ab_cpio_end(struct cpio *cpio, struct ab_error *err)
{
	add_entry(cpio, "TRAILER!!!", 0, 0, 0, "", 0);
	return cpio->text.failed || cpio->dirs.failed ? ab_fail_memory(err) : 0;
}

void ab_cpio_clear(struct cpio *cpio)
{
	text_clear(&cpio->text);
	strmap_clear(&cpio->dirs);
}
