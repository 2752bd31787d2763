/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Unpacking: kernels and modules out of .deb and .rpm files by libarchive, and kernels in the form that boots
 * fastest. Names in packages are never used as paths.
 */
#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab.h"

#define MODULE_LIMIT (64u << 20)
#define BLOCK 65536

/* ---- entries ---- */

/* "kernel/fs/9p/9p.ko.xz" to "9p", with '-' as '_'; false: no module. */
static bool module_name(const char *path, char *name, size_t cap)
{
	const char *base = path_base(path), *ko = strstr(base, ".ko");
	size_t n = ko ? (size_t)(ko - base) : 0;

	if (!n || n >= cap || (ko[3] && ko[3] != '.'))
		return false;
	for (size_t i = 0; i < n; i++)
		name[i] = base[i] == '-' ? '_' : base[i];
	name[n] = '\0';
	return true;
}

static bool in_list(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (!strcmp(*list, name))
			return true;
	return false;
}

static int write_part(struct unpack *unpack, const char *name, const void *data, size_t size, struct ab_error *err)
{
	_text_ struct text t = {};

	text_printf(&t, "%s/%s", unpack->dir, name);
	return t.p ? file_write(t.p, data, size, 0644, err) : ab_fail_memory(err);
}

static int take_module(struct archive *a, struct archive_entry *entry, const char *path, const char *name, struct unpack *unpack,
		       struct ab_error *err)
{
	_free_ char *plain = NULL;
	_text_ struct text t = {};
	char file[128];
	size_t size;
	int r = ab_archive_read_entry(a, entry, path, MODULE_LIMIT, &t, err);

	if (r == 0 && t.n)
		r = ab_inflate(t.p, t.n, MODULE_LIMIT, &plain, &size, err);
	if (r < 0 || !t.n)
		return r;
	snprintf(file, sizeof(file), "modules/%s.ko", name);
	unpack->module_count++;
	return write_part(unpack, file, plain, size, err);
}

static int take_kernel(struct archive *a, struct archive_entry *entry, const char *path, struct unpack *unpack,
		       struct ab_error *err)
{
	const char *name = archive_entry_pathname(entry), *dash = strchr(path_base(name), '-');
	const char *modules = strstr(name, "lib/modules/");
	_text_ struct text t = {};
	int r = ab_archive_read_entry(a, entry, path, KERNEL_LIMIT, &t, err);

	if (r < 0)
		return r;
	free(unpack->kernel);
	free(unpack->release);
	unpack->release = modules ? strndup(modules + 12, strcspn(modules + 12, "/")) : strdup(dash ? dash + 1 : "unknown");
	unpack->kernel = NULL;
	if (!unpack->release || asprintf(&unpack->kernel, "%s/vmlinuz", unpack->dir) < 0)
		return ab_fail_memory(err);
	return write_part(unpack, "vmlinuz", t.p ? t.p : "", t.n, err);
}

static bool is_kernel_name(const char *name)
{
	const char *base = path_base(name);

	return (strstr(name, "boot/") && (str_starts(base, "vmlinuz-") || str_starts(base, "vmlinux-"))) ||
	       (strstr(name, "lib/modules/") && !strcmp(base, "vmlinuz"));
}

static int take_entry(struct archive *a, struct archive_entry *entry, const char *path, struct unpack *unpack,
		      struct ab_error *err)
{
	const char *name = archive_entry_pathname(entry);
	char module[96];

	if (!name || archive_entry_filetype(entry) != AE_IFREG)
		return 0;
	if (is_kernel_name(name))
		return take_kernel(a, entry, path, unpack, err);
	if (!strcmp(path_base(name), "modules.builtin")) {
		_text_ struct text t = {};
		int r = ab_archive_read_entry(a, entry, path, MODULE_LIMIT, &t, err);

		return r < 0 ? r : write_part(unpack, "modules.builtin", t.p ? t.p : "", t.n, err);
	}
	if (unpack->file && str_ends(name, unpack->file)) {
		_text_ struct text t = {};
		int r = ab_archive_read_entry(a, entry, path, MODULE_LIMIT, &t, err);

		return r < 0 ? r : write_part(unpack, path_base(unpack->file), t.p ? t.p : "", t.n, err);
	}
	if (module_name(name, module, sizeof(module)) && in_list(unpack->modules, module))
		return take_module(a, entry, path, module, unpack, err);
	return 0;
}

static int take_entries(struct archive *a, const char *path, struct unpack *unpack, bool outer, struct ab_error *err);

static int take_inner(struct archive *outer, const char *path, struct unpack *unpack, struct ab_error *err)
{
	struct archive *inner;
	int r = ab_archive_open_entry(outer, path, &inner, err);

	if (r < 0)
		return r;
	r = take_entries(inner, path, unpack, false, err);
	archive_read_free(inner);
	return r;
}

static int take_entries(struct archive *a, const char *path, struct unpack *unpack, bool outer, struct ab_error *err)
{
	struct archive_entry *entry;
	int r = 0, found;

	while (r == 0 && (found = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
		const char *name = found == ARCHIVE_OK || found == ARCHIVE_WARN ? archive_entry_pathname(entry) : NULL;

		if (!name)
			return ab_archive_fail(a, path, err);
		r = outer && str_starts(name, "data.tar") ? take_inner(a, path, unpack, err)
							  : take_entry(a, entry, path, unpack, err);
	}
	return r;
}

int ab_package_unpack(const char *path, struct unpack *unpack, struct ab_error *err)
{
	_text_ struct text modules = {};
	struct archive *a = ab_archive_new();
	int r;

	if (!a)
		return ab_fail_memory(err);
	text_printf(&modules, "%s/modules", unpack->dir);
	r = modules.p ? ab_mkdirs(modules.p, err) : ab_fail_memory(err);
	if (r == 0 && archive_read_open_filename(a, path, BLOCK) != ARCHIVE_OK)
		r = ab_archive_fail(a, path, err);
	if (r == 0)
		r = take_entries(a, path, unpack, true, err);
	archive_read_free(a);
	return r;
}

/* ---- kernels ---- */

/* Whether an x86 kernel can be entered as Xen's PVH guests are: the one way to start an ELF kernel without a decompressor. */
static bool has_pvh_entry(const char *data, size_t size)
{
	Elf64_Ehdr ehdr;

	if (size < sizeof(ehdr))
		return false;
	memcpy(&ehdr, data, sizeof(ehdr));
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		Elf64_Phdr ph;
		Elf64_Nhdr note;

		if (ehdr.e_phoff > size || (size - ehdr.e_phoff) / sizeof(ph) <= i)
			return false;
		memcpy(&ph, data + ehdr.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
			continue;
		for (uint64_t at = 0; at + sizeof(note) <= ph.p_filesz;) {
			const char *p = data + ph.p_offset + at;

			memcpy(&note, p, sizeof(note));
			if (note.n_type == 18 && note.n_namesz == 4 && at + sizeof(note) + 4 <= ph.p_filesz &&
			    !memcmp(p + sizeof(note), "Xen", 4))
				return true;
			at += sizeof(note) + ((note.n_namesz + 3ull) & ~3ull) + ((note.n_descsz + 3ull) & ~3ull);
		}
	}
	return false;
}

int ab_kernel_convert(const char *path, const char *to, const char **ret_arch, struct ab_error *err)
{
	_free_ char *data = NULL, *inner = NULL;
	const char *arch;
	size_t size, inner_size = 0;
	int r = ab_inflate_file(path, KERNEL_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	arch = ab_kernel_arch(data, size);
	if (ab_kernel_unpack(data, size, &inner, &inner_size, NULL) < 0)
		inner_size = 0;
	if (inner_size && !arch)
		arch = ab_kernel_arch(inner, inner_size);
	if (!arch)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'%s' is no kernel that the lab can boot: neither bzImage, vmlinux nor arm64 Image",
			       path);
	*ret_arch = arch;
	if (inner_size && (strcmp(arch, "amd64") || has_pvh_entry(inner, inner_size)))
		return file_write(to, inner, inner_size, 0644, err);
	return file_write(to, data, size, 0644, err);
}
