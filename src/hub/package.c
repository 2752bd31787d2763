/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Packages and tar files: kernel images, BTF files and modules in them are read as they stream by; what only has DWARF
 * is written to a temporary file for pahole. Names in packages only say what is worth a look and, where nothing else
 * does, the release.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hub.h"

#define BLOCK 65536
#define HEADERS_LIMIT (64u << 20)
#define CONTROL_LIMIT (1u << 20)
#define MODULE_LIMIT (256u << 20)
#define PENDING_LIMIT 8

/* A file with DWARF and no BTF: used only when no image of the package has BTF for the same kernel. */
struct pending {
	struct identity id;
	char *path, *member;
};

struct package {
	struct importing *at;
	struct identity hint;   /* what the package says of itself */
	struct strmap done;     /* releases whose types were found */
	uint64_t unpacked;
	size_t members;
	struct pending pending[PENDING_LIMIT];
	size_t pending_count;
	bool single;            /* a .deb or .rpm holds one kernel: nothing more is expected once it was found */
	bool modules;           /* second pass */
};

/* ---- names ---- */

enum member { MEMBER_OTHER, MEMBER_IMAGE, MEMBER_DEBUG, MEMBER_MODULE };

static bool is_module_name(const char *base)
{
	const char *ko = strstr(base, ".ko");

	return ko && (!ko[3] || (ko[3] == '.' && !strchr(ko + 4, '.') && strcmp(ko, ".ko.debug")));
}

static enum member classify(const char *name)
{
	static const char *const images[] = { "vmlinuz", "vmlinux", "bzImage", "Image" };
	const char *base = path_base(name);

	if (is_module_name(base))
		return MEMBER_MODULE;
	if (str_ends(base, ".btf") || str_ends(base, ".btf.xz") || str_ends(base, ".btf.zst"))
		return MEMBER_IMAGE;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		size_t n = strlen(images[i]);

		if (strncmp(base, images[i], n) || (base[n] && base[n] != '-' && base[n] != '.'))
			continue;
		if (str_ends(base, ".hmac") || str_ends(base, ".sig") || str_ends(base, ".map"))
			return MEMBER_OTHER;
		return strstr(name, "lib/debug/") ? MEMBER_DEBUG : MEMBER_IMAGE;
	}
	return MEMBER_OTHER;
}

/* Where nothing in a file says its release: "lib/modules/RELEASE/…", "vmlinux-RELEASE.debug". */
static void name_release(struct identity *id, const char *name)
{
	const char *modules = strstr(name, "lib/modules/"), *base = path_base(name), *dash = strchr(base, '-');
	size_t n;

	if (*id->release)
		return;
	if (modules) {
		modules += strlen("lib/modules/");
		ab_identity_set(id->release, sizeof(id->release), modules, strcspn(modules, "/"));
	} else if (dash) {
		n = strlen(dash + 1);
		if (str_ends(dash, ".debug"))
			n -= strlen(".debug");
		ab_identity_set(id->release, sizeof(id->release), dash + 1, n);
	}
}

/* ---- what members hold ---- */

/* What the package says counts where the kernel itself is silent; its vendor counts more than marks of the release. */
static void merge_hint(struct identity *id, const struct package *p)
{
	if (!*id->distribution)
		strcpy(id->distribution, p->hint.distribution);
	if (!*id->arch)
		strcpy(id->arch, p->hint.arch);
}

static int note_found(struct package *p, const struct image *image, const char *name, struct ab_error *err)
{
	struct identity id = image->id;
	bool new;
	int r;

	ab_identity_path(&id, str_ends(name, ".btf") ? p->at->input : name);
	name_release(&id, name);
	merge_hint(&id, p);
	if (!image->is_module && (!strmap_put(&p->done, id.release, strlen(id.release), &new) || !new))
		return p->done.failed ? ab_fail_memory(err) : 0;
	r = ab_import_found(p->at, &id, image->btf, image->btf_size, name, false, err);
	return r;
}

static int take_data(struct package *p, const char *data, size_t size, const char *name, struct ab_error *err)
{
	struct image image = {};
	int r = ab_image_scan(data, size, &image, err);

	if (r < 0)
		ab_error_prefix(err, "'%s'", name);
	else if (image.btf && image.is_module == p->modules)
		r = note_found(p, &image, name, err);
	ab_image_clear(&image);
	return r;
}

static int take_image(struct package *p, struct archive *a, struct archive_entry *entry, const char *name,
		      struct ab_error *err)
{
	_text_ struct text t = {};
	int r = ab_archive_read_entry(a, entry, p->at->input, p->modules ? MODULE_LIMIT : KERNEL_LIMIT, &t, err);

	p->unpacked += t.n;
	return r < 0 || !t.n ? r : take_data(p, t.p, t.n, name, err);
}

/* ---- files with DWARF ---- */

static int save_entry(struct package *p, struct archive *a, int fd, const char *path, const char *name,
		      struct ab_error *err)
{
	static __thread char block[BLOCK];
	uint64_t total = 0;
	la_ssize_t n;
	int r;

	while ((n = archive_read_data(a, block, sizeof(block))) > 0) {
		total += n;
		if (total > DWARF_LIMIT)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "'%s' is larger than %llu GiB", name,
				       DWARF_LIMIT >> 30);
		r = fd_write_all(fd, block, n);
		if (r < 0)
			return ab_fail_errno(err, r, "'%s'", path);
	}
	p->unpacked += total;
	return n < 0 ? ab_archive_fail(a, p->at->input, err) : 0;
}

/* Takes BTF at once and returns 0; 1: the file has DWARF only and is worth keeping. */
static int look_into_saved(struct package *p, int fd, const char *path, const char *name, struct identity *ret_id,
			   struct ab_error *err)
{
	struct image image = {};
	struct stat st;
	void *data;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size == 0)
		return 0;
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return ab_fail_errno(err, -errno, "'%s'", path);
	r = ab_image_scan(data, st.st_size, &image, err);
	if (r < 0)
		ab_error_prefix(err, "'%s'", name);
	else if (image.btf && !image.is_module)
		r = note_found(p, &image, name, err);
	else if (image.has_dwarf && !image.is_module)
		r = 1;
	*ret_id = image.id;
	ab_image_clear(&image);
	munmap(data, st.st_size);
	return r;
}

static int take_debug(struct package *p, struct archive *a, const char *name, struct ab_error *err)
{
	struct pending *pending = &p->pending[p->pending_count];
	_free_ char *path = NULL;
	_close_ int fd = -1;
	int r;

	if (p->pending_count == PENDING_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "more than %d kernels with DWARF", PENDING_LIMIT);
	r = ab_temporary(ab_import_opts(p->at)->tmp_dir, &path, &fd, err);
	if (r < 0)
		return r;
	r = save_entry(p, a, fd, path, name, err);
	if (r == 0)
		r = look_into_saved(p, fd, path, name, &pending->id, err);
	if (r <= 0) {
		unlink(path);
		return r;
	}
	name_release(&pending->id, name);
	merge_hint(&pending->id, p);
	pending->member = strdup(name);
	pending->path = TAKE(path);
	p->pending_count++;
	return pending->member ? 0 : ab_fail_memory(err);
}

static int convert_pending(struct package *p, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < p->pending_count; i++) {
		struct pending *pending = &p->pending[i];
		bool new;

		if (!strmap_put(&p->done, pending->id.release, strlen(pending->id.release), &new))
			r = ab_fail_memory(err);
		else if (new)
			r = ab_import_dwarf(p->at, &pending->id, pending->path, true, pending->member, err);
	}
	return r;
}

/* ---- going through ---- */

static int take_entry(struct package *p, struct archive *a, struct archive_entry *entry, const char *name,
		      struct ab_error *err)
{
	enum member member = archive_entry_filetype(entry) == AE_IFREG ? classify(name) : MEMBER_OTHER;

	if (p->modules)
		return member == MEMBER_MODULE ? take_image(p, a, entry, name, err) : 0;
	/* A whole kernel with DWARF is too large for memory. */
	if (member == MEMBER_IMAGE && archive_entry_size_is_set(entry) && archive_entry_size(entry) > KERNEL_LIMIT / 2)
		member = MEMBER_DEBUG;
	if (member == MEMBER_IMAGE)
		return take_image(p, a, entry, name, err);
	return member == MEMBER_DEBUG ? take_debug(p, a, name, err) : 0;
}

/* The rest need not even be inflated, which is most of the time that a package takes. */
static bool is_complete(const struct package *p)
{
	return p->single && !p->modules && p->done.n;
}

static int take_entries(struct package *p, struct archive *a, bool outer, struct ab_error *err);

static int take_control(struct package *p, struct archive *a, struct archive_entry *entry, struct ab_error *err)
{
	_text_ struct text t = {};
	const char *value;
	char word[64];
	size_t n;
	int r = ab_archive_read_entry(a, entry, p->at->input, CONTROL_LIMIT, &t, err);

	if (r < 0 || !t.n)
		return r;
	if (ab_stanza_field(t.p, t.p + t.n, "Architecture", &value, &n) &&
	    ab_identity_set(word, sizeof(word), value, n)) {
		const char *arch = ab_arch_of_word(word);

		if (arch)
			identity_set(p->hint.arch, arch);
	}
	if (ab_stanza_field(t.p, t.p + t.n, "Maintainer", &value, &n)) {
		_free_ char *maintainer = strndup(value, n);

		if (!maintainer)
			return ab_fail_memory(err);
		ab_identity_vendor(&p->hint, maintainer);
	}
	return 0;
}

static int take_inner(struct package *p, struct archive *outer, struct ab_error *err)
{
	struct archive *inner;
	int r = ab_archive_open_entry(outer, p->at->input, &inner, err);

	if (r < 0)
		return r;
	r = take_entries(p, inner, false, err);
	archive_read_free(inner);
	return r;
}

static int take_entries(struct package *p, struct archive *a, bool outer, struct ab_error *err)
{
	struct archive_entry *entry;
	int r = 0, found;

	while (r >= 0 && !is_complete(p) && (found = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
		const char *name = found == ARCHIVE_OK || found == ARCHIVE_WARN ? archive_entry_pathname(entry) : NULL;

		if (!name)
			return ab_archive_fail(a, p->at->input, err);
		if (++p->members > MEMBER_LIMIT || p->unpacked > UNPACK_LIMIT ||
		    archive_filter_bytes(a, 0) > (int64_t)UNPACK_LIMIT)
			return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "the package has more than %d members or %llu GiB",
				       MEMBER_LIMIT, UNPACK_LIMIT >> 30);
		if (outer && (str_starts(name, "data.tar") || str_starts(name, "control.tar")))
			r = take_inner(p, a, err);
		else if (!strcmp(path_base(name), "control") && !p->modules)
			r = take_control(p, a, entry, err);
		else
			r = take_entry(p, a, entry, name, err);
	}
	return r;
}

enum kind { KIND_NONE, KIND_DEB, KIND_RPM, KIND_TAR };

static enum kind kind_of(const char *head, size_t n)
{
	if (n > 8 && !memcmp(head, "!<arch>\n", 8))
		return KIND_DEB;
	if (n > 96 && !memcmp(head, "\xed\xab\xee\xdb", 4))
		return KIND_RPM;
	return ab_is_compressed(head, n) || (n == 512 && !memcmp(head + 257, "ustar", 5)) ? KIND_TAR : KIND_NONE;
}

/* Reads the package from its start. */
static int pass(struct package *p, enum kind kind, struct ab_error *err)
{
	struct archive *a = ab_archive_new();
	struct archive_entry *entry;
	int r = 0, found;

	if (!a)
		return ab_fail_memory(err);
	if (archive_read_open_filename(a, p->at->input, BLOCK) != ARCHIVE_OK) {
		/* Something compressed need not be an archive. */
		r = kind == KIND_TAR ? -ENOENT : ab_archive_fail(a, p->at->input, err);
	} else if (kind == KIND_TAR && (found = archive_read_next_header(a, &entry)) != ARCHIVE_OK &&
		   found != ARCHIVE_WARN) {
		r = -ENOENT;
	} else {
		if (kind == KIND_TAR && archive_entry_pathname(entry))
			r = take_entry(p, a, entry, archive_entry_pathname(entry), err);
		if (r >= 0)
			r = take_entries(p, a, kind == KIND_DEB, err);
	}
	archive_read_free(a);
	return r;
}

static int read_rpm_hints(struct package *p, int fd, struct ab_error *err)
{
	struct stat st;
	struct rpm rpm;
	char *head;
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return ab_fail_errno(err, -errno, "fstat");
	head = malloc(MIN(st.st_size, HEADERS_LIMIT) + 1);
	if (!head)
		return ab_fail_memory(err);
	n = pread(fd, head, MIN(st.st_size, HEADERS_LIMIT), 0);
	r = n < 0 ? ab_fail_errno(err, -errno, "read") : ab_rpm_read(head, n, &rpm, err);
	free(head);
	if (r < 0)
		return r;
	/* The version is in the release, and the vendor's words are about the whole package. */
	snprintf(p->hint.release, sizeof(p->hint.release), "%s", rpm.release);
	ab_identity_vendor(&p->hint, *rpm.vendor ? rpm.vendor : rpm.distribution);
	if (!*p->hint.distribution)
		ab_identity_vendor(&p->hint, rpm.distribution);
	if (ab_arch_of_word(rpm.arch))
		identity_set(p->hint.arch, ab_arch_of_word(rpm.arch));
	return 0;
}

static void clear(struct package *p)
{
	for (size_t i = 0; i < p->pending_count; i++) {
		unlink(p->pending[i].path);
		free(p->pending[i].path);
		free(p->pending[i].member);
	}
	strmap_clear(&p->done);
}

int ab_import_package(struct importing *at, struct ab_error *err)
{
	_close_ int fd = open(at->input, O_RDONLY | O_CLOEXEC);
	struct package p = { .at = at };
	char head[512] = "";
	enum kind kind;
	ssize_t n;
	int r = 0;

	if (fd < 0 || (n = pread(fd, head, sizeof(head), 0)) < 0)
		return ab_fail_errno(err, -errno, "'%s'", at->input);
	kind = kind_of(head, n);
	if (kind == KIND_NONE)
		return -ENOENT;
	p.single = kind != KIND_TAR;
	if (kind == KIND_RPM)
		r = read_rpm_hints(&p, fd, err);
	if (r == 0)
		r = pass(&p, kind, err);
	if (r >= 0)
		r = convert_pending(&p, err);
	if (r >= 0 && ab_import_opts(at)->modules) {
		p.modules = true;
		p.members = p.unpacked = 0;
		r = pass(&p, kind, err);
	}
	clear(&p);
	return r;
}
