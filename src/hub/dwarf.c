/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * DWARF to BTF, by pahole. Some kernels give every compilation unit names of its own for the same member, which keeps
 * pahole from seeing that two units have one type: deduplication fails, takes ten times as long and leaves ten times as
 * much. So such names are made the same in .debug_str, in a copy of the file, before pahole sees it.
 */
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hub.h"

#define STRINGS_LIMIT (1u << 30)

int ab_temporary(const char *tmp_dir, char **ret_path, int *ret_fd, struct ab_error *err)
{
	const char *dir = tmp_dir ? tmp_dir : getenv("TMPDIR");
	char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/anybpf-XXXXXX", dir && *dir ? dir : "/var/tmp") < 0)
		return ab_fail_memory(err);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		ab_fail_errno(err, -errno, "cannot make a temporary file '%s'", path);
		free(path);
		return err && err->code ? err->code : -EIO;
	}
	*ret_path = path;
	*ret_fd = fd;
	return 0;
}

/* ---- names ---- */

size_t ab_dwarf_heal_names(char *strings, size_t size)
{
	static const char mark[] = "__UNIQUE_ID_";
	char *p = strings, *end = strings + size;
	size_t count = 0;

	while ((p = memmem(p, end - p, mark, sizeof(mark) - 1))) {
		char *stop = memchr(p, '\0', end - p), *digits;

		if (!stop)
			break;
		for (digits = stop; digits[-1] >= '0' && digits[-1] <= '9';)
			digits--;
		/* The compiler's counter, behind a name. It becomes a 0, which a pack numbers by members (docs/format-pack.md). */
		if (digits < stop && digits - p >= (ptrdiff_t)sizeof(mark) && strcmp(digits, "0")) {
			memset(digits, 0, stop - digits);
			*digits = '0';
			count++;
		}
		p = stop;
	}
	return count;
}

/* ---- .debug_str ---- */

struct strings {
	char *p;               /* inflated, healed */
	size_t size;
	GElf_Shdr header;      /* as it is in the file */
	uint64_t header_at;    /* where in the file */
	bool compressed, native;
};

static Elf_Scn *find_section(Elf *elf, const char *wanted, size_t names)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *name = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;

		if (name && !strcmp(name, wanted))
			return section;
	}
	return NULL;
}

static int read_strings(Elf *elf, struct strings *s, size_t *ret_healed, struct ab_error *err)
{
	size_t names;
	GElf_Ehdr ehdr;
	GElf_Chdr chdr;
	Elf_Scn *section;
	Elf_Data *data;

	if (!gelf_getehdr(elf, &ehdr) || elf_getshdrstrndx(elf, &names) < 0 ||
	    !(section = find_section(elf, ".debug_str", names)) || !gelf_getshdr(section, &s->header))
		return 0;
	s->header_at = ehdr.e_shoff + elf_ndxscn(section) * (uint64_t)ehdr.e_shentsize;
	s->compressed = s->header.sh_flags & SHF_COMPRESSED;
	s->native = ehdr.e_ident[EI_CLASS] == ELFCLASS64 &&
		    ehdr.e_ident[EI_DATA] == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB);
	/* What another machine's headers need is not worth it here: pahole takes such files as they are. */
	if (s->compressed && (!s->native || !gelf_getchdr(section, &chdr) || chdr.ch_size > STRINGS_LIMIT ||
			      elf_compress(section, 0, 0) < 0))
		return 0;
	data = elf_rawdata(section, NULL);
	if (!data || !data->d_buf || !data->d_size || data->d_size > STRINGS_LIMIT)
		return 0;
	s->p = malloc(data->d_size);
	if (!s->p)
		return ab_fail_memory(err);
	memcpy(s->p, data->d_buf, s->size = data->d_size);
	*ret_healed = ab_dwarf_heal_names(s->p, s->size);
	return 0;
}

static int write_at(int fd, const void *data, size_t size, uint64_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)data + done, size - done, at + done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? n : 0;
	}
	return 0;
}

/* Strings that were compressed go behind the file, and their header points there. */
static int write_strings(int fd, const struct strings *s)
{
	Elf64_Shdr header;
	struct stat st;
	int r;

	if (!s->compressed)
		return write_at(fd, s->p, s->size, s->header.sh_offset);
	if (fstat(fd, &st) < 0 || pread(fd, &header, sizeof(header), s->header_at) != sizeof(header))
		return -EIO;
	header.sh_flags &= ~(uint64_t)SHF_COMPRESSED;
	header.sh_offset = st.st_size;
	header.sh_size = s->size;
	header.sh_addralign = 1;
	r = write_at(fd, s->p, s->size, st.st_size);
	return r < 0 ? r : write_at(fd, &header, sizeof(header), s->header_at);
}

int ab_copy_file(int from, off_t offset, int to)
{
	static const size_t block = 1u << 20;
	_free_ char *buffer = NULL;
	ssize_t n;

	while ((n = copy_file_range(from, &offset, to, NULL, 1u << 30, 0)) > 0)
		;
	if (n == 0)
		return 0;
	/* Some file systems cannot; whatever was copied is still in place. */
	buffer = malloc(block);
	if (!buffer)
		return -ENOMEM;
	while ((n = pread(from, buffer, block, offset)) > 0) {
		int r = fd_write_all(to, buffer, n);

		if (r < 0)
			return r;
		offset += n;
	}
	return n < 0 ? -errno : 0;
}

/*
 * *ret_path: the healed copy, to be removed by the caller; NULL when there is nothing to heal or `path` itself was
 * healed.
 */
static int heal(const char *path, bool may_change, const char *tmp_dir, char **ret_path, struct ab_error *err)
{
	_close_ int fd = open(path, (may_change ? O_RDWR : O_RDONLY) | O_CLOEXEC), copy = -1;
	_free_ char *copy_path = NULL;
	struct strings s = {};
	size_t healed = 0;
	Elf *elf;
	int r = 0;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	if (elf)
		r = read_strings(elf, &s, &healed, err);
	elf_end(elf);
	if (r == 0 && healed && !may_change) {
		r = ab_temporary(tmp_dir, &copy_path, &copy, err);
		if (r == 0 && (r = ab_copy_file(fd, 0, copy)) < 0)
			r = ab_fail_errno(err, r, "'%s'", copy_path);
	}
	if (r == 0 && healed && (r = write_strings(copy >= 0 ? copy : fd, &s)) < 0)
		r = ab_fail_errno(err, r, "'%s'", copy_path ? copy_path : path);
	free(s.p);
	if (r < 0 && copy_path)
		unlink(copy_path);
	if (r == 0)
		*ret_path = TAKE(copy_path);
	return r;
}

/* ---- pahole ---- */

static int run_pahole(const char *path, const char *out, char **ret_btf, size_t *ret_size, struct ab_error *err)
{
	_free_ char *option = NULL, *complaint = NULL;
	const char *argv[] = { "pahole", "-J", "-j", "--btf_gen_floats", NULL, path, NULL };
	size_t length;
	int r;

	if (asprintf(&option, "--btf_encode_detached=%s", out) < 0)
		return ab_fail_memory(err);
	argv[4] = option;
	r = ab_command_run(argv, NULL, NULL, &complaint, err);
	if (r == -ENOENT)
		ab_error_prefix(err, "types from DWARF need pahole (package dwarves)");
	if (r < 0)
		return r;
	if (r == 0)
		r = file_read(out, BTF_LIMIT, ret_btf, ret_size, err);
	else
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "pahole: %.*s",
			    complaint ? (int)strcspn(complaint, "\n") : 0, complaint ? complaint : "");
	if (r == 0 && !ab_btf_length(*ret_btf, *ret_size, &length)) {
		free(*ret_btf);
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "pahole found no types in the DWARF");
	}
	return r;
}

int ab_dwarf_convert(const char *path, bool may_change, const char *tmp_dir, char **ret_btf, size_t *ret_size,
		     struct ab_error *err)
{
	_free_ char *healed = NULL, *out = NULL;
	_close_ int fd = -1;
	int r = heal(path, may_change, tmp_dir, &healed, err);

	if (r == 0)
		r = ab_temporary(tmp_dir, &out, &fd, err);
	if (r == 0)
		r = run_pahole(healed ? healed : path, out, ret_btf, ret_size, err);
	if (out)
		unlink(out);
	if (healed)
		unlink(healed);
	return r;
}
