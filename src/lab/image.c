/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Images: a kernel ready to boot, with the modules that guests need, in a folder of the cache that is named by the content
 * it was made of. A folder appears there whole, by a rename, or not at all.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab.h"

/* Goes into the names of folders: an image made by other rules is another image. */
#define IMAGE_RULES "1"

const char *const ab_lab_modules[] = {
	/* what a guest itself needs */
	"virtio", "virtio_ring", "virtio_pci", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_mmio", "virtio_console",
	"9p", "9pnet", "9pnet_virtio", "netfs", "fscache", "cachefiles",
	/* what tools and their workloads commonly want */
	"veth", "dummy", "bridge", "stp", "llc", "ifb", "sch_ingress", "cls_bpf", "act_bpf", "loop", "null_blk", "ext4", "jbd2",
	"mbcache", "crc16", "crc32c_generic", "libcrc32c", "tcp_dctcp", "ipv6", "nf_tables", "nfnetlink", "overlay",
	NULL,
};

static void free_packages(struct ab_image *image)
{
	for (size_t i = 0; image->packages && image->packages[i]; i++)
		free(image->packages[i]);
	free(image->packages);
	image->packages = NULL;
}

void ab_image_free(struct ab_image *image)
{
	if (!image)
		return;
	free_packages(image);
	for (size_t i = 0; i < image->hold_count; i++)
		close(image->holds[i]);
	free(image->name);
	free(image->hash);
	free(image->broken);
	free(image->kernel);
	free(image->modules);
	free(image->builtin);
	free(image);
}

const char *ab_image_name(const struct ab_image *image)
{
	return image->name;
}

const char *ab_image_hash(const struct ab_image *image)
{
	return image->hash;
}

const char *ab_image_path(const struct ab_image *image)
{
	return image->kernel;
}

int ab_image_broken(const char *name, const char *reason, struct ab_image **ret_image, struct ab_error *err)
{
	struct ab_image *image = calloc(1, sizeof(*image));

	if (image) {
		image->name = strdup(name);
		image->broken = strdup(reason);
		image->hash = strdup("");
		image->kernel = strdup("");
	}
	if (!image || !image->name || !image->broken || !image->hash || !image->kernel) {
		ab_image_free(image);
		return ab_fail_memory(err);
	}
	*ret_image = image;
	return 0;
}

static char *join(const char *a, const char *b)
{
	struct text t = {};

	text_printf(&t, "%s/%s", a, b);
	return text_take(&t);
}

static bool exists(const char *path)
{
	return path && access(path, R_OK) == 0;
}

/* ---- folders of the cache ---- */

/* Reads the folder that finish_folder() left: what the kernel is for and what it calls itself. */
static int read_folder(struct ab_image *image, const char *dir, struct ab_error *err)
{
	_free_ char *about = join(dir, "about"), *text = NULL;
	char *release;
	size_t size;
	int r = about ? file_read(about, 4096, &text, &size, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	release = strchr(text, ' ');
	if (!release)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is damaged; remove the folder", dir);
	*release++ = '\0';
	release[strcspn(release, "\n")] = '\0';
	image->arch = strcmp(text, "arm64") ? "amd64" : "arm64";
	if (!image->name)
		image->name = strdup(release);
	image->kernel = join(dir, "kernel");
	image->modules = join(dir, "modules");
	image->builtin = join(dir, "modules.builtin");
	return image->name && image->kernel && image->modules && image->builtin ? 0 : ab_fail_memory(err);
}

/* What unpacking left becomes bootable, and the folder gets its name. */
static int finish_folder(const char *from, const char *kernel, const char *release, const char *dir, struct ab_error *err)
{
	_free_ char *to = join(from, "kernel"), *about = join(from, "about"), *shipped = join(from, "vmlinuz");
	_text_ struct text t = {};
	const char *arch = NULL;
	int r = to && about && shipped ? ab_kernel_convert(kernel, to, &arch, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	text_printf(&t, "%s %s\n", arch, release);
	r = t.p ? file_write(about, t.p, t.n, 0644, err) : ab_fail_memory(err);
	if (r < 0)
		return r;
	unlink(shipped);
	if (rename(from, dir) < 0 && errno != EEXIST && errno != ENOTEMPTY)
		return ab_fail_errno(err, -errno, "'%s'", dir);
	return 0;
}

/* Unpacks packages that make up one kernel into the folder `dir`. */
static int make_folder(struct ab_lab *lab, const char *const *packages, const char *dir, struct ab_error *err)
{
	_free_ char *temporary = NULL;
	struct unpack unpack = { .modules = ab_lab_modules };
	int r = ab_lab_temporary(lab, &temporary, err);

	if (r < 0)
		return r;
	unpack.dir = temporary;
	for (size_t i = 0; r == 0 && packages[i]; i++) {
		if (lab->progress)
			lab->progress("unpacking", i, 0, lab->ctx);
		r = ab_package_unpack(packages[i], &unpack, err);
	}
	if (lab->progress)
		lab->progress(NULL, 0, 0, lab->ctx);
	if (r == 0 && !unpack.kernel)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' holds no kernel (boot/vmlinuz-*)%s", packages[0],
			    str_starts(path_base(packages[0]), "linux-image-") ?
			    "; in Debian since 6.19, linux-binary-*.deb does, and linux-modules-*.deb its modules" : "");
	if (r == 0)
		r = finish_folder(temporary, unpack.kernel, unpack.release, dir, err);
	ab_remove_tree(temporary);
	free(unpack.kernel);
	free(unpack.release);
	return r;
}

/* Makes the folder of a kernel file. */
static int make_file_folder(struct ab_lab *lab, const char *path, const char *name, const char *dir, struct ab_error *err)
{
	_free_ char *temporary = NULL;
	int r = ab_lab_temporary(lab, &temporary, err);

	if (r < 0)
		return r;
	r = finish_folder(temporary, path, name, dir, err);
	ab_remove_tree(temporary);
	return r;
}

/*
 * Finds or makes the folder of an image by what identifies it, holds it and reads it. `kernel` is a kernel file; NULL: the
 * image's packages are unpacked.
 */
static int take_folder(struct ab_lab *lab, struct ab_image *image, const char *kernel, struct ab_error *err)
{
	_free_ char *dir = NULL, *about = NULL;
	int hold, r = ab_lab_path(lab, &dir, err, "kernel/%s", image->hash);
	bool made;

	if (r < 0)
		return r;
	about = join(dir, "about");
	if (!about)
		return ab_fail_memory(err);
	hold = ab_cache_hold(about);
	made = hold == -ENOENT;
	if (hold < 0 && !made)
		return ab_fail_errno(err, hold, "'%s'", about);
	if (made) {
		r = kernel ? make_file_folder(lab, kernel, image->name, dir, err)
			   : make_folder(lab, (const char *const *)image->packages, dir, err);
		if (r < 0)
			return r;
		hold = ab_cache_hold(about);
	}
	if (hold < 0)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is damaged; remove the folder", dir);
	image->holds[image->hold_count++] = hold;
	if (made)
		ab_cache_trim(lab);
	r = read_folder(image, dir, err);
	if (r == 0 && strcmp(image->arch, lab->arch))
		r = ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "'%s' is for %s; --arch %s boots it",
			    kernel ? kernel : image->name, image->arch, image->arch);
	return r;
}

static int hash_name(const char *const *parts, char ret_hash[HASH_TEXT], struct ab_error *err)
{
	_text_ struct text t = {};

	text_puts(&t, IMAGE_RULES);
	for (; *parts; parts++)
		text_printf(&t, " %s", *parts);
	if (t.failed)
		return ab_fail_memory(err);
	ab_hash_text(t.p, t.n, ret_hash);
	return 0;
}

/* Modules of the user's may change while the kernel stays: they count for what the image is. */
static int use_modules(struct ab_image *image, const char *dir, struct ab_error *err)
{
	char stamp[24], hash[HASH_TEXT];
	const char *parts[] = { image->hash, stamp, NULL };
	int r;

	snprintf(stamp, sizeof(stamp), "%016llx", (unsigned long long)ab_modules_stamp(dir));
	r = hash_name(parts, hash, err);
	if (r < 0)
		return r;
	memcpy(image->hash, hash, sizeof(hash));
	/* Nothing is to be unpacked into the user's directory. */
	free_packages(image);
	free(image->modules);
	free(image->builtin);
	image->modules = strdup(dir);
	image->builtin = join(dir, "modules.builtin");
	return image->modules && image->builtin ? 0 : ab_fail_memory(err);
}

/* Takes `image` over. `modules`: the user's; NULL: those of the packages. */
static int from_packages(struct ab_lab *lab, struct ab_image *image, const char *const *hashes, const char *modules,
			 struct ab_image **ret_image, struct ab_error *err)
{
	char hash[HASH_TEXT];
	int r = hash_name(hashes, hash, err);

	if (r == 0 && !(image->hash = strdup(hash)))
		r = ab_fail_memory(err);
	if (r == 0)
		r = take_folder(lab, image, NULL, err);
	if (r == 0 && modules)
		r = use_modules(image, modules, err);
	if (r < 0)
		ab_image_free(image);
	else
		*ret_image = image;
	return r;
}

int ab_image_fetch(struct ab_lab *lab, const struct ab_lab_kernel *kernel, struct ab_image **ret_image, struct ab_error *err)
{
	const struct archive_row *rows[3];
	const char *hashes[4] = {};
	struct ab_image *image;
	size_t n;
	int r = ab_archive_read(lab, err);

	if (r < 0)
		return r;
	n = ab_kernel_parts(lab, kernel, rows);
	if (!n)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel '%s' is no longer in the archive", kernel->name);
	image = calloc(1, sizeof(*image));
	if (image) {
		image->name = strdup(kernel->name);
		image->packages = array_new(n + 1, sizeof(*image->packages));
	}
	if (!image || !image->name || !image->packages) {
		ab_image_free(image);
		return ab_fail_memory(err);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		hashes[i] = rows[i]->sha256;
		r = ab_archive_fetch(lab, rows[i], &image->packages[i], &image->holds[i], err);
		image->hold_count += r == 0;
	}
	if (r < 0) {
		ab_image_free(image);
		return r;
	}
	return from_packages(lab, image, hashes, NULL, ret_image, err);
}

/* ---- kernels that the user has ---- */

static int open_package(struct ab_lab *lab, const char *path, const char *modules, struct ab_image **ret_image,
			struct ab_error *err)
{
	struct ab_image *image = calloc(1, sizeof(*image));
	char hash[HASH_TEXT];
	const char *hashes[] = { hash, NULL };
	int r = image ? ab_hash_file(path, hash, err) : ab_fail_memory(err);

	if (r == 0) {
		image->packages = array_new(2, sizeof(*image->packages));
		if (!image->packages || !(image->packages[0] = strdup(path)))
			r = ab_fail_memory(err);
	}
	if (r < 0) {
		ab_image_free(image);
		return r;
	}
	return from_packages(lab, image, hashes, modules, ret_image, err);
}

/* A kernel file by itself: its bootable form is cached, its modules are used where they are. */
static int open_kernel(struct ab_lab *lab, const char *path, const char *modules, const char *name, struct ab_image **ret_image,
		       struct ab_error *err)
{
	struct ab_image *image = calloc(1, sizeof(*image));
	char content[HASH_TEXT], hash[HASH_TEXT];
	const char *parts[] = { "file", content, NULL };
	int r = image ? ab_hash_file(path, content, err) : ab_fail_memory(err);

	if (r == 0)
		r = hash_name(parts, hash, err);
	if (r == 0) {
		image->hash = strdup(hash);
		image->name = strdup(name);
		r = image->hash && image->name ? take_folder(lab, image, path, err) : ab_fail_memory(err);
	}
	if (r == 0 && modules)
		r = use_modules(image, modules, err);
	if (r < 0)
		ab_image_free(image);
	else
		*ret_image = image;
	return r;
}

static int open_tree(struct ab_lab *lab, const char *path, const char *modules, struct ab_image **ret_image, struct ab_error *err)
{
	static const char *const places[] = { "arch/x86/boot/bzImage", "arch/arm64/boot/Image" };
	_free_ char *kernel = join(path, places[!strcmp(lab->arch, "arm64")]), *about = join(path, "include/config/kernel.release");
	_free_ char *release = NULL;
	size_t size;

	if (!kernel || !about)
		return ab_fail_memory(err);
	if (!exists(kernel))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' is no built kernel tree: it has no %s", path,
			       places[!strcmp(lab->arch, "arm64")]);
	if (file_read(about, 4096, &release, &size, NULL) == 0)
		release[strcspn(release, " \n")] = '\0';
	return open_kernel(lab, kernel, modules ? modules : path, release && *release ? release : path_base(path), ret_image, err);
}

int ab_image_open(struct ab_lab *lab, const char *path, struct ab_image **ret_image, struct ab_error *err)
{
	_free_ char *copy = strdup(path);
	char *modules = NULL;
	struct stat st;
	bool is_tree;

	if (!copy)
		return ab_fail_memory(err);
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	if (stat(copy, &st) < 0 && (modules = strrchr(copy, ':')))
		*modules++ = '\0';
	if (stat(copy, &st) < 0)
		return ab_fail_errno(err, -errno, "kernel '%s'%s", copy,
				     strchr(copy, '/') ? "" : " (those of Debian's archive are named by --kernels)");
	is_tree = S_ISDIR(st.st_mode);
	if (modules && (stat(modules, &st) < 0 || !S_ISDIR(st.st_mode)))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' is no directory of modules", modules);
	if (is_tree)
		return open_tree(lab, copy, modules, ret_image, err);
	if (str_ends(copy, ".deb") || str_ends(copy, ".rpm"))
		return open_package(lab, copy, modules, ret_image, err);
	return open_kernel(lab, copy, modules, path_base(copy), ret_image, err);
}
