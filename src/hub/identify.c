/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whose types they are: release, architecture, distribution and flavour of a kernel, from the words that the kernel,
 * its package or its place in BTFHub's tree have for them.
 */
#include <elf.h>
#include "hub.h"

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

/* ---- architectures ---- */

const char *ab_arch_of_machine(unsigned machine, bool little_endian, bool is_64)
{
	switch (machine) {
	case EM_X86_64: return "x86_64";
	case EM_386: return "i686";
	case EM_AARCH64: return "aarch64";
	case EM_ARM: return "armv7l";
	case EM_PPC64: return little_endian ? "ppc64le" : "ppc64";
	case EM_S390: return is_64 ? "s390x" : NULL;
	case EM_RISCV: return is_64 ? "riscv64" : "riscv32";
	case EM_LOONGARCH: return "loongarch64";
	case EM_MIPS: return is_64 ? "mips64" : "mips";
	default: return NULL;
	}
}

const char *ab_arch_of_word(const char *word)
{
	static const struct {
		const char *word, *arch;
	} words[] = {
		{ "x86_64", "x86_64" },       { "amd64", "x86_64" },
		{ "x64", "x86_64" },          { "aarch64", "aarch64" },
		{ "arm64", "aarch64" },       { "i386", "i686" },
		{ "i686", "i686" },           { "armhf", "armv7l" },
		{ "armv7l", "armv7l" },       { "armv7hl", "armv7l" },
		{ "ppc64el", "ppc64le" },     { "ppc64le", "ppc64le" },
		{ "s390x", "s390x" },         { "riscv64", "riscv64" },
		{ "loong64", "loongarch64" }, { "loongarch64", "loongarch64" },
		{ "mips64el", "mips64" },     { "mipsel", "mips" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].word, word))
			return words[i].arch;
	return NULL;
}

/* ---- fields ---- */

bool ab_identity_set(char *field, size_t cap, const char *value, size_t n)
{
	if (!n || n >= cap)
		return false;
	for (size_t i = 0; i < n; i++)
		if (value[i] <= ' ' || value[i] >= 0x7f || value[i] == '/')
			return false;
	memcpy(field, value, n);
	field[n] = '\0';
	return true;
}

/*
 * Debian's releases are the same in all its suites, and neither kernel nor package says which suite it was for, so
 * there the version is left out.
 */
static void set_distribution(struct identity *id, const char *name, const char *version, size_t n)
{
	char text[64];

	if (!n || !strcmp(name, "debian"))
		snprintf(text, sizeof(text), "%s", name);
	else
		snprintf(text, sizeof(text), "%s-%.*s", name, (int)n, version);
	identity_set(id->distribution, text);
}

/* ---- distributions ---- */

/* Words of vendors, build hosts and distributions; the first that is found counts, so the longer ones come first. */
static const struct {
	const char *words, *name;
} makers[] = {
	{ "AlmaLinux", "almalinux" },  { "almalinux", "almalinux" },   { "Rocky", "rocky" },
	{ "rockylinux", "rocky" },     { "openEuler", "openeuler" },   { "openeuler", "openeuler" },
	{ "OpenAnolis", "anolis" },    { "Anolis", "anolis" },         { "openanolis", "anolis" },
	{ "Alibaba", "alinux" },       { "alibaba", "alinux" },        { "alinux", "alinux" },
	{ "Amazon", "amazon" },        { "amazon", "amazon" },         { "Fedora", "fedora" },
	{ "fedoraproject", "fedora" }, { "openSUSE", "opensuse" },     { "SUSE", "suse" },
	{ "geeko@buildhost", "suse" }, { "Oracle", "oracle" },         { "oracle.com", "oracle" },
	{ "CentOS", "centos" },        { "centos.org", "centos" },     { "Red Hat", "rhel" },
	{ "redhat.com", "rhel" },      { "debian-kernel@", "debian" }, { "Ubuntu", "ubuntu" },
	{ "kylin", "kylin" },
};

/* What releases say of their distribution; `name` NULL: several share the suffix, and only the version is in it. */
static const struct {
	const char *mark, *name;
} marks[] = {
	{ ".fc", "fedora" }, { ".amzn", "amazon" }, { ".oe", "openeuler" }, { ".an", "anolis" },
	{ ".al", "alinux" }, { ".ky", "kylin" },    { ".el", NULL },
};

static const char *find_maker(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++)
		if (strstr(text, makers[i].words))
			return makers[i].name;
	return NULL;
}

/* "8" of "4.18.0-147.5.1.el8_1.aarch64", "22.03" of "….oe2203sp1.x86_64"; false: the release has no such mark. */
static bool find_version(const char *release, const char **ret_name, char *version, size_t cap)
{
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *p = strstr(release, marks[i].mark);
		size_t n;

		p = p ? p + strlen(marks[i].mark) : NULL;
		if (!p || !(n = strspn(p, "0123456789")) || n > 6)
			continue;
		*ret_name = marks[i].name;
		if (!strcmp(marks[i].mark, ".oe") && n == 4)
			snprintf(version, cap, "%.2s.%.2s", p, p + 2);
		else if (!strcmp(marks[i].mark, ".oe"))
			snprintf(version, cap, "20.03");
		else if (!strcmp(marks[i].mark, ".al")) /* Alibaba's numbers are those of the base they came from */
			snprintf(version, cap, "%s", *p == '7' ? "2" : *p == '8' ? "3" : "4");
		else
			snprintf(version, cap, "%s%.*s", strcmp(marks[i].mark, ".ky") ? "" : "V", (int)n, p);
		return true;
	}
	return false;
}

void ab_identity_vendor(struct identity *id, const char *vendor)
{
	const char *name = find_maker(vendor), *marked = NULL;
	char version[16] = "";

	if (!name)
		return;
	find_version(id->release, &marked, version, sizeof(version));
	set_distribution(id, name, version, strlen(version));
}

/* Ubuntu's kernels say which release the compiler was for: "gcc (Ubuntu 9.4.0-1ubuntu1~20.04.1)". */
static size_t find_ubuntu(const char *banner, const char **ret)
{
	const char *p = strchr(banner, '~');

	for (; p; p = strchr(p + 1, '~'))
		if (strspn(p + 1, "0123456789") == 2 && p[3] == '.' && strspn(p + 4, "0123456789") == 2) {
			*ret = p + 1;
			return 5;
		}
	return 0;
}

void ab_identity_banner(struct identity *id, const char *banner)
{
	const char *name, *version = "";
	size_t n;

	if (str_starts(banner, "Linux version "))
		banner += strlen("Linux version ");
	n = strcspn(banner, " \n");
	if (!ab_identity_set(id->release, sizeof(id->release), banner, n) || *id->distribution)
		return;
	name = find_maker(banner + n);
	if (name && !strcmp(name, "ubuntu")) {
		n = find_ubuntu(banner, &version);
		set_distribution(id, name, version, n);
	} else if (name) {
		ab_identity_vendor(id, banner + n);
	}
}

void ab_identity_finish(struct identity *id)
{
	static const char *const flavours[] = { "cloud",   "rt",    "rpi",   "lpae",  "generic", "lowlatency",
						"azure",   "aws",   "gcp",   "gke",   "kvm",     "oem",
						"oracle",  "raspi", "debug", "64k",   "16k",     "default",
						"preempt", "uek",   "edge",  "trace", "kdump" };
	char version[16], flavour[64] = "";
	const char *name = NULL;
	size_t length = 0;

	if (!*id->distribution && find_version(id->release, &name, version, sizeof(version)))
		set_distribution(id, name ? name : "el", version, strlen(version));
	if (*id->flavour)
		return;
	for (const char *p = id->release; *p;) {
		size_t n = strcspn(p, "-+._");

		for (size_t i = 0; i < ARRAY_SIZE(flavours); i++) {
			/* "rt7" and "el8uek" are written together with numbers. */
			bool same = strlen(flavours[i]) == n && !strncmp(p, flavours[i], n);
			bool rt = !strcmp(flavours[i], "rt") && n > 2 && !strncmp(p, "rt", 2) &&
				  strspn(p + 2, "0123456789") == n - 2;
			bool uek = !strcmp(flavours[i], "uek") && n > 3 && !strncmp(p + n - 3, "uek", 3);

			if ((same || rt || uek) && length + strlen(flavours[i]) + 2 < sizeof(flavour))
				length += sprintf(flavour + length, "%s%s", length ? "-" : "", flavours[i]);
		}
		p += n + !!p[n];
	}
	if (length)
		identity_set(id->flavour, flavour);
}

/* ---- BTFHub's tree ---- */

/* The directory names above a file, the nearest first; at most 3. */
static size_t split_above(const char *path, char ret[3][64])
{
	const char *end = strrchr(path, '/');
	size_t count = 0;

	while (end && end > path && count < 3) {
		const char *start = end;

		while (start > path && start[-1] != '/')
			start--;
		if (!ab_identity_set(ret[count], sizeof(ret[count]), start, end - start) || !strcmp(ret[count], "..") ||
		    !strcmp(ret[count], "."))
			break;
		count++;
		end = start > path ? start - 1 : NULL;
	}
	return count;
}

/* "a12-5.10-2021-09-arm64" and "4.18.0-147.el8.aarch64" end with their architecture. */
static const char *find_arch(const char *release)
{
	const char *p = release + strlen(release);

	while (p > release && p[-1] != '-' && p[-1] != '.')
		p--;
	return ab_arch_of_word(p);
}

void ab_identity_path(struct identity *id, const char *path)
{
	static const char *const suffixes[] = { ".btf.tar.xz", ".btf.tar.zst", ".btf.tar.gz", ".btf.xz",
						".btf.zst",    ".btf.gz",      ".btf" };
	const char *base = path_base(path), *arch;
	char above[3][64];
	size_t n = strlen(base), count, at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (!str_ends(base, suffixes[i]))
			continue;
		n -= strlen(suffixes[i]);
		break;
	}
	if (n == strlen(base) || (*id->release && strcmp(id->release, "") && strncmp(id->release, base, n)))
		return;
	if (!*id->release && !ab_identity_set(id->release, sizeof(id->release), base, n))
		return;
	count = split_above(path, above);
	arch = count ? ab_arch_of_word(above[0]) : NULL;
	at = arch ? 1 : 0;
	if (!arch)
		arch = find_arch(id->release);
	if (!*id->arch && arch)
		identity_set(id->arch, arch);
	/* Without a directory for the architecture, what is above is a tree's only if the name says it. */
	if (!*id->distribution && arch && count >= at + 2)
		set_distribution(id, above[at + 1], above[at], strlen(above[at]));
}

struct ab_kernel ab_identity_kernel(const struct identity *id)
{
	struct ab_kernel kernel = { .release = id->release,
				    .arch = id->arch,
				    .distribution = id->distribution,
				    .flavour = id->flavour,
				    .module = id->module,
				    .build_id_size = id->build_id_size };

	memcpy(kernel.build_id, id->build_id, sizeof(kernel.build_id));
	return kernel;
}
