/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* User-space targets: from "libc:malloc" to a file and an offset in it, as uprobes want them. */
#include <ctype.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run.h"

/* "libc", "libc.so" and "libc.so.6" name /usr/lib/libc.so.6, also "libssl" libssl.so.3; programs match by their whole name. */
static bool matches_file(const char *file, const char *name)
{
	const char *base = path_base(file);
	size_t n = strlen(name);

	if (strncmp(base, name, n))
		return false;
	return !base[n] || str_starts(base + n, ".so") || (str_ends(name, ".so") && base[n] == '.');
}

static char *find_in_process(const char *name, int pid)
{
	char maps[64], line[4096 + 128], *path = NULL;
	FILE *f;

	snprintf(maps, sizeof(maps), "/proc/%d/maps", pid);
	f = fopen(maps, "re");
	while (f && !path && fgets(line, sizeof(line), f)) {
		char *file = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		if (file && matches_file(file, name) && asprintf(&path, "/proc/%d/root%s", pid, file) < 0)
			path = NULL;
	}
	if (f)
		fclose(f);
	return path;
}

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, R_OK);
}

static char *find_in_dirs(const char *dirs, const char *name)
{
	_free_ char *copy = strdup(dirs);
	char *rest = copy, *dir, *path = NULL;

	while (copy && !path && (dir = strsep(&rest, ":"))) {
		if (asprintf(&path, "%s/%s", *dir ? dir : ".", name) < 0)
			return NULL;
		if (!is_file(path))
			free(TAKE(path));
	}
	return path;
}

/* Where the dynamic linker looks by default; the machine's triplet stands in the middle of Debian's. */
static char *find_library(const char *name)
{
	static const char *const dirs[] = {
		"/usr/lib/*-linux-gnu*", "/lib/*-linux-gnu*", "/usr/lib64", "/lib64", "/usr/lib", "/lib", "/usr/local/lib",
	};
	static const char *const suffixes[] = { "", ".so.[0-9]*", ".[0-9]*", ".so" };
	char *path = NULL, pattern[512];

	for (size_t s = 0; !path && s < ARRAY_SIZE(suffixes); s++) {
		for (size_t d = 0; !path && d < ARRAY_SIZE(dirs); d++) {
			glob_t found = {};

			snprintf(pattern, sizeof(pattern), "%s/%s%s", dirs[d], name, suffixes[s]);
			if (!glob(pattern, 0, NULL, &found))
				for (size_t i = 0; !path && i < found.gl_pathc; i++)
					path = is_file(found.gl_pathv[i]) ? strdup(found.gl_pathv[i]) : NULL;
			globfree(&found);
		}
	}
	return path;
}

int ab_user_path(const char *name, int pid, char **ret_path, struct ab_error *err)
{
	bool plain = !strpbrk(name, "*?[\\") && *name;
	char *path = NULL;

	if (strchr(name, '/')) {
		/* A path as the process sees it: containers have files of their own. */
		if (*name == '/' && pid && asprintf(&path, "/proc/%d/root%s", pid, name) >= 0 && access(path, R_OK))
			free(TAKE(path));
		if (!path)
			path = strdup(name);
		if (path && !is_file(path)) {
			int code = access(path, R_OK) ? -errno : -EISDIR;

			free(path);
			return ab_fail_errno(err, code, "%s", name);
		}
	} else if (plain) {
		path = pid ? find_in_process(name, pid) : NULL;
		if (!path)
			path = find_library(name);
		if (!path)
			path = find_in_dirs(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin", name);
	}
	if (!path)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no library or program '%s'", name);
	*ret_path = path;
	return 0;
}

/* ---- symbols ---- */

/* From an address of the file's own numbering to an offset in the file. */
static bool file_offset(Elf *elf, uint64_t address, uint64_t *ret)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD || address < p.p_vaddr ||
		    address - p.p_vaddr >= p.p_filesz)
			continue;
		*ret = address - p.p_vaddr + p.p_offset;
		return true;
	}
	return false;
}

struct search {
	const char *name;
	uint64_t address;
	int distance;
	char near[128];
};

static bool search_table(Elf *elf, Elf_Scn *section, struct search *s)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Shdr head;
	size_t n;

	if (!data || !gelf_getshdr(section, &head) || !head.sh_entsize)
		return false;
	n = data->d_size / head.sh_entsize;
	for (size_t i = 0; i < n && i < INT32_MAX; i++) {
		const char *name;
		GElf_Sym sym;
		int d;

		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF ||
		    (GELF_ST_TYPE(sym.st_info) != STT_FUNC && GELF_ST_TYPE(sym.st_info) != STT_GNU_IFUNC))
			continue;
		name = elf_strptr(elf, head.sh_link, sym.st_name);
		if (!name)
			continue;
		if (!strcmp(name, s->name)) {
			s->address = sym.st_value;
			return true;
		}
		if (labs((long)strlen(name) - (long)strlen(s->name)) >= s->distance)
			continue;
		d = str_distance(name, s->name, s->distance - 1);
		if (d < s->distance) {
			s->distance = d;
			snprintf(s->near, sizeof(s->near), "%s", name);
		}
	}
	return false;
}

static bool search_file(Elf *elf, struct search *s)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };

	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		Elf_Scn *section = NULL;
		GElf_Shdr head;

		while ((section = elf_nextscn(elf, section)))
			if (gelf_getshdr(section, &head) && head.sh_type == types[t] && search_table(elf, section, s))
				return true;
	}
	return false;
}

int ab_user_offset(const char *path, const char *symbol, uint64_t *ret_offset, struct ab_error *err)
{
	struct search s = { .name = symbol, .distance = 3 };
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf;
	int r = 0;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "%s", path);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s is not an ELF file", path);
	else if (!search_file(elf, &s))
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "%s has no function '%s'%s%s%s", path, symbol,
			    *s.near ? ": did you mean '" : " in its symbol tables", s.near, *s.near ? "'?" : "");
	else if (!file_offset(elf, s.address, ret_offset))
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s: '%s' is not in the file", path, symbol);
	elf_end(elf);
	return r;
}
