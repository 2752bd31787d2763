/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Unpacking: kernels and modules out of .deb and .rpm files by libarchive, and what a kernel file holds inside. Packages may
 * come from anywhere: names in them are never used as paths.
 */
#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab.h"

#define KERNEL_LIMIT (512u << 20)
#define MODULE_LIMIT (64u << 20)
#define BLOCK 65536

/* ---- one archive inside another: a .deb is an ar file with a compressed tar file in it ---- */

static la_ssize_t read_outer(struct archive *inner, void *ctx, const void **buffer)
{
	static __thread char block[BLOCK];
	la_ssize_t n = archive_read_data(ctx, block, sizeof(block));

	*buffer = block;
	return n;
}

static struct archive *new_reader(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	archive_read_support_filter_all(a);
	archive_read_support_format_ar(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_cpio(a);
	return a;
}

static int fail_archive(struct archive *a, const char *path, struct ab_error *err)
{
	const char *why = archive_error_string(a);

	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is damaged or no kernel package: %s", path,
		       why ? why : "it ends too soon");
}

/* ---- entries ---- */

static int read_entry(struct archive *a, struct archive_entry *entry, const char *path, size_t limit, struct text *t,
		      struct ab_error *err)
{
	char block[BLOCK];
	la_ssize_t n;

	while ((n = archive_read_data(a, block, sizeof(block))) > 0) {
		if (t->n + n > limit)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "'%s': '%s' is larger than %zu MiB", path,
				       archive_entry_pathname(entry), limit >> 20);
		text_add(t, block, n);
		if (t->failed)
			return ab_fail_memory(err);
	}
	return n < 0 ? fail_archive(a, path, err) : 0;
}

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
	int r = read_entry(a, entry, path, MODULE_LIMIT, &t, err);

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
	int r = read_entry(a, entry, path, KERNEL_LIMIT, &t, err);

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
		int r = read_entry(a, entry, path, MODULE_LIMIT, &t, err);

		return r < 0 ? r : write_part(unpack, "modules.builtin", t.p ? t.p : "", t.n, err);
	}
	if (unpack->file && !strcmp(path_base(name), unpack->file)) {
		_text_ struct text t = {};
		int r = read_entry(a, entry, path, MODULE_LIMIT, &t, err);

		return r < 0 ? r : write_part(unpack, unpack->file, t.p ? t.p : "", t.n, err);
	}
	if (module_name(name, module, sizeof(module)) && in_list(unpack->modules, module))
		return take_module(a, entry, path, module, unpack, err);
	return 0;
}

static int take_entries(struct archive *a, const char *path, struct unpack *unpack, bool outer, struct ab_error *err);

static int take_inner(struct archive *outer, const char *path, struct unpack *unpack, struct ab_error *err)
{
	struct archive *inner = new_reader();
	int r;

	if (!inner)
		return ab_fail_memory(err);
	if (archive_read_open(inner, outer, NULL, read_outer, NULL) != ARCHIVE_OK)
		r = fail_archive(inner, path, err);
	else
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
			return fail_archive(a, path, err);
		r = outer && str_starts(name, "data.tar") ? take_inner(a, path, unpack, err)
							  : take_entry(a, entry, path, unpack, err);
	}
	return r;
}

int ab_package_unpack(const char *path, struct unpack *unpack, struct ab_error *err)
{
	_text_ struct text modules = {};
	struct archive *a = new_reader();
	int r;

	if (!a)
		return ab_fail_memory(err);
	text_printf(&modules, "%s/modules", unpack->dir);
	r = modules.p ? ab_lab_mkdirs(modules.p, err) : ab_fail_memory(err);
	if (r == 0 && archive_read_open_filename(a, path, BLOCK) != ARCHIVE_OK)
		r = fail_archive(a, path, err);
	if (r == 0)
		r = take_entries(a, path, unpack, true, err);
	archive_read_free(a);
	return r;
}

/* ---- compressed data ---- */

static bool is_compressed(const unsigned char *p, size_t n)
{
	static const struct { const char *magic; size_t size; } known[] = {
		{ "\x1f\x8b", 2 }, { "\xfd" "7zXZ", 5 }, { "\x28\xb5\x2f\xfd", 4 }, { "\x02\x21\x4c\x18", 4 },
		{ "\x04\x22\x4d\x18", 4 }, { "BZh", 3 }, { "\x5d\0\0", 3 }, { "\x89LZO", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (n > known[i].size && !memcmp(p, known[i].magic, known[i].size))
			return true;
	return false;
}

static int inflate(struct archive *a, const void *data, size_t size, size_t limit, struct text *t)
{
	struct archive_entry *entry;
	char block[BLOCK];
	la_ssize_t n;

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, data, size) != ARCHIVE_OK || archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return -EBADMSG;
	while ((n = archive_read_data(a, block, sizeof(block))) > 0) {
		if (t->n + n > limit)
			return -EFBIG;
		text_add(t, block, n);
		if (t->failed)
			return -ENOMEM;
	}
	return n < 0 ? -EBADMSG : 0;
}

int ab_inflate(const void *data, size_t size, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_text_ struct text t = {};
	struct archive *a;
	int r = 0;

	if (!is_compressed(data, size)) {
		text_add(&t, data, size);
	} else {
		a = archive_read_new();
		r = a ? inflate(a, data, size, limit, &t) : -ENOMEM;
		if (r == -EBADMSG)
			r = ab_fail(err, AB_ERROR_FORMAT, r, "compressed data is damaged: %s",
				    archive_error_string(a) ? archive_error_string(a) : "it ends too soon");
		if (r == -EFBIG)
			r = ab_fail(err, AB_ERROR_LIMIT, r, "compressed data holds more than %zu MiB", limit >> 20);
		archive_read_free(a);
	}
	if (r == -ENOMEM || t.failed)
		return ab_fail_memory(err);
	if (r < 0)
		return r;
	*ret_size = t.n;
	*ret_data = text_take(&t);
	return *ret_data ? 0 : ab_fail_memory(err);
}

int ab_inflate_file(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r = file_read(path, limit, &data, &size, err);

	if (r == 0)
		r = ab_inflate(data, size, limit, ret_data, ret_size, err);
	if (r < 0)
		ab_error_prefix(err, "'%s'", path);
	return r;
}

/* ---- kernels ---- */

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Where the compressed kernel is in a bzImage (Documentation/arch/x86/boot.rst) or an EFI zboot image. */
static bool find_payload(const char *data, size_t size, const char **ret, size_t *ret_size)
{
	uint64_t start, n;

	if (size > 0x260 && !memcmp(data + 0x202, "HdrS", 4)) {
		unsigned setup = (unsigned char)data[0x1f1] ? (unsigned char)data[0x1f1] : 4;

		start = (setup + 1) * 512ull + get32(data + 0x248);
		n = get32(data + 0x24c);
	} else if (size > 0x40 && !memcmp(data, "MZ", 2) && !memcmp(data + 4, "zimg", 4)) {
		start = get32(data + 8);
		n = get32(data + 12);
	} else {
		return false;
	}
	if (start >= size || n < 8 || n > size - start)
		return false;
	*ret = data + start;
	*ret_size = n;
	return true;
}

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

/* NULL: not a kernel for any machine of the lab's. */
static const char *arch_of(const char *data, size_t size)
{
	Elf64_Half machine;

	if (size > sizeof(Elf64_Ehdr) && !memcmp(data, ELFMAG, SELFMAG)) {
		memcpy(&machine, data + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
		return machine == EM_X86_64 ? "amd64" : machine == EM_AARCH64 ? "arm64" : NULL;
	}
	if (size > 0x260 && !memcmp(data + 0x202, "HdrS", 4))
		return "amd64";
	if (size > 0x40 && !memcmp(data + 0x38, "ARM\x64", 4))
		return "arm64";
	return NULL;
}

int ab_kernel_convert(const char *path, const char *to, const char **ret_arch, struct ab_error *err)
{
	_free_ char *data = NULL, *inner = NULL;
	const char *payload, *arch;
	size_t size, payload_size, inner_size = 0;
	int r = ab_inflate_file(path, KERNEL_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	arch = arch_of(data, size);
	if (find_payload(data, size, &payload, &payload_size)) {
		/* All compressors but gzip have the size in four bytes appended, which some of them take for another stream. */
		if (ab_inflate(payload, payload_size - 4, KERNEL_LIMIT, &inner, &inner_size, NULL) < 0 &&
		    ab_inflate(payload, payload_size, KERNEL_LIMIT, &inner, &inner_size, NULL) < 0)
			inner_size = 0;
	}
	if (inner_size && !arch)
		arch = arch_of(inner, inner_size);
	if (!arch)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "'%s' is no kernel that the lab can boot: neither bzImage, vmlinux nor arm64 Image",
			       path);
	*ret_arch = arch;
	if (inner_size && (strcmp(arch, "amd64") || has_pvh_entry(inner, inner_size)))
		return file_write(to, inner, inner_size, 0644, err);
	return file_write(to, data, size, 0644, err);
}
