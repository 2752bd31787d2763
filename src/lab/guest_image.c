/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a guest is made of: its first process, modules, files and the manifest that says what to do with them. */
#include <elf.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include "guest_protocol.h"
#include "lab.h"

#define FILE_LIMIT (256u << 20)

/* ---- busybox: the shell and commands of workloads ---- */

static const char *const applets[] = {
	"ash", "awk", "basename", "cat", "chmod", "chown", "chroot", "cp", "cut", "date", "dd", "df", "dirname",
	"dmesg", "du", "echo", "env", "expr", "false", "find", "free", "grep", "gzip", "head", "hexdump", "hostname",
	"id", "ifconfig", "insmod", "ip", "kill", "killall", "less", "ln", "losetup", "ls", "lsmod", "md5sum",
	"mkdir", "mkfifo", "mknod", "modprobe", "more", "mount", "mv", "nc", "nice", "nslookup", "pgrep", "pidof",
	"ping", "pkill", "printf", "ps", "pwd", "readlink", "realpath", "renice", "rm", "rmdir", "rmmod", "route",
	"sed", "seq", "sh", "sha256sum", "sleep", "sort", "stat", "strings", "stty", "sync", "sysctl", "tail", "tar",
	"taskset", "tee", "telnet", "test", "time", "timeout", "top", "touch", "tr", "true", "truncate", "umount",
	"uname", "uniq", "uptime", "vi", "wc", "wget", "which", "whoami", "xargs", "yes", NULL,
};

/* A static program has no interpreter. */
static bool is_static(const char *path, const char *arch)
{
	_free_ char *data = NULL;
	Elf64_Ehdr ehdr;
	size_t size;

	if (file_read(path, FILE_LIMIT, &data, &size, NULL) < 0 || size < sizeof(ehdr))
		return false;
	memcpy(&ehdr, data, sizeof(ehdr));
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_machine != (strcmp(arch, "arm64") ? EM_X86_64 : EM_AARCH64))
		return false;
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		Elf64_Phdr ph;

		if (ehdr.e_phoff > size || (size - ehdr.e_phoff) / sizeof(ph) <= i)
			return false;
		memcpy(&ph, data + ehdr.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_INTERP)
			return false;
	}
	return true;
}

/* Takes busybox out of its package, to `path`. */
static int unpack_busybox(struct ab_lab *lab, const struct archive_row *row, const char *path, struct ab_error *err)
{
	_free_ char *deb = NULL, *dir = NULL;
	_text_ struct text file = {};
	_close_ int hold = -1;
	struct unpack unpack = { .file = "/bin/busybox" };
	int r = ab_archive_fetch(lab, row, &deb, &hold, err);

	if (r == 0)
		r = ab_lab_temporary(lab, &dir, err);
	if (r < 0)
		return r;
	unpack.dir = dir;
	r = ab_package_unpack(deb, &unpack, err);
	text_printf(&file, "%s/busybox", dir);
	if (r == 0 && !file.p)
		r = ab_fail_memory(err);
	if (r == 0 && !is_static(file.p, lab->arch))
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the archive's busybox-static %s holds no static busybox for %s",
			    row->version, lab->arch);
	if (r == 0 && rename(file.p, path) < 0)
		r = ab_fail_errno(err, -errno, "'%s'", path);
	ab_remove_tree(dir);
	return r;
}

static int busybox_from_archive(struct ab_lab *lab, char **ret_path, struct ab_error *err)
{
	_free_ char *path = NULL;
	const struct archive_row *row;
	int r = ab_lab_update(lab, UINT32_MAX, err);

	if (r == 0)
		r = ab_archive_read(lab, err);
	if (r < 0)
		return r;
	row = ab_archive_find(lab, "busybox-static", NULL);
	if (!row)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there is no busybox-static in the archive");
	r = ab_lab_path(lab, &path, err, "busybox/%s", row->sha256);
	if (r < 0)
		return r;
	lab->busybox_hold = ab_cache_hold(path);
	if (lab->busybox_hold < 0) {
		r = unpack_busybox(lab, row, path, err);
		if (r < 0)
			return r;
		lab->busybox_hold = ab_cache_hold(path);
	}
	*ret_path = TAKE(path);
	return 0;
}

/* Path of a static busybox for the lab's architecture: the machine's, else the archive's. */
static int find_busybox(struct ab_lab *lab, char **ret_path, struct ab_error *err)
{
	_free_ char *path = NULL;
	int r = 0;

	pthread_mutex_lock(&lab->lock);
	if (!lab->busybox) {
		if (ab_command_find("busybox", &path, NULL) < 0 || !is_static(path, lab->arch)) {
			free(path);
			path = NULL;
			r = busybox_from_archive(lab, &path, err);
		}
		lab->busybox = TAKE(path);
	}
	if (r == 0 && !(*ret_path = strdup(lab->busybox)))
		r = ab_fail_memory(err);
	pthread_mutex_unlock(&lab->lock);
	if (r < 0)
		ab_error_prefix(err, "the commands of guests come from busybox, statically linked ('apt-get install "
				     "busybox-static')");
	return r;
}

/* ---- files ---- */

static int add_host_file(struct cpio *cpio, const char *path, unsigned mode, const char *host_path, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r = file_read(host_path, FILE_LIMIT, &data, &size, err);

	if (r == 0 && ab_cpio_file(cpio, path, mode, data, size) < 0)
		r = ab_fail_memory(err);
	return r;
}

static int add_own(struct ab_lab *lab, struct cpio *cpio, const char *path, const char *name, struct ab_error *err)
{
	_free_ char *own = NULL;
	int r = ab_lab_find_own(lab, name, &own, err);

	return r < 0 ? r : add_host_file(cpio, path, 0755, own, err);
}

static int add_tools(struct ab_lab *lab, struct cpio *cpio, struct ab_error *err)
{
	static const char passwd[] = "root:x:0:0:root:/tmp:/bin/sh\n";
	_free_ char *busybox = NULL;
	int r = find_busybox(lab, &busybox, err);

	if (r == 0)
		r = add_host_file(cpio, "/bin/busybox", 0755, busybox, err);
	for (const char *const *a = applets; r == 0 && *a; a++) {
		char path[64];

		snprintf(path, sizeof(path), "/bin/%s", *a);
		if (ab_cpio_link(cpio, path, "busybox") < 0)
			r = ab_fail_memory(err);
	}
	if (r == 0 && (ab_cpio_file(cpio, "/etc/passwd", 0644, passwd, strlen(passwd)) < 0 ||
		       ab_cpio_file(cpio, "/etc/group", 0644, "root:x:0:\n", 10) < 0 ||
		       ab_cpio_file(cpio, "/etc/hosts", 0644, "127.0.0.1 localhost\n", 20) < 0))
		r = ab_fail_memory(err);
	return r;
}

static int add_files(struct cpio *cpio, const struct ab_guest_opts *opts, struct ab_error *err)
{
	for (size_t i = 0; i < OPT(opts, file_count); i++) {
		const struct ab_guest_file *f = &opts->files[i];
		unsigned mode = f->mode ? f->mode : 0644;
		int r = f->host_path ? add_host_file(cpio, f->path, mode, f->host_path, err) :
			ab_cpio_file(cpio, f->path, mode, f->data, f->size) < 0 ? ab_fail_memory(err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the manifest (guest_protocol.h) ---- */

static void add_field(struct text *t, const char *field)
{
	text_add(t, field, strlen(field) + 1);
}

static void end_record(struct text *t)
{
	text_putc(t, '\0');
}

static void add_record(struct text *t, const char *verb, const char *argument)
{
	add_field(t, verb);
	add_field(t, argument);
	end_record(t);
}

static void add_number(struct text *t, unsigned n)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", n);
	add_field(t, number);
}

static void add_step(struct text *t, const struct ab_step *step)
{
	static const char *const verbs[] = {
		[AB_STEP_RUN] = "run", [AB_STEP_START] = "start", [AB_STEP_AWAIT] = "await", [AB_STEP_SETTLE] = "settle",
		[AB_STEP_STOP] = "stop", [AB_STEP_SHELL] = "shell",
	};

	add_field(t, verbs[step->kind]);
	if (step->kind != AB_STEP_SHELL)
		add_number(t, step->id);
	if (step->kind != AB_STEP_SHELL && step->kind != AB_STEP_START)
		add_number(t, step->ms);
	if (step->kind == AB_STEP_AWAIT)
		add_field(t, step->text);
	for (const char *const *arg = step->argv; arg && *arg; arg++)
		/* An empty field would end the record. */
		add_field(t, **arg ? *arg : " ");
	end_record(t);
}

static int add_modules(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts, struct cpio *cpio,
		       struct text *manifest, struct ab_error *err)
{
	static const char *const own[] = { "virtio_pci", "virtio_mmio", "virtio_console", NULL };
	static const char *const share[] = { "9pnet_virtio", "9p", NULL };
	struct module_list list = {};
	int r = ab_modules_find(lab, image, own, MODULE_IF_UNPACKED, &list, err);

	if (r == 0 && OPT(opts, share))
		r = ab_modules_find(lab, image, share, MODULE_IF_ANY, &list, err);
	if (r == 0 && OPT(opts, modules))
		r = ab_modules_find(lab, image, opts->modules, OPT(opts, lenient) ? MODULE_IF_ANY : MODULE_REQUIRED, &list, err);
	for (size_t i = 0; r == 0 && i < list.count; i++) {
		char path[160];

		snprintf(path, sizeof(path), "/lab/modules/%s.ko", list.items[i].name);
		if (ab_cpio_file(cpio, path, 0644, list.items[i].data, list.items[i].size) < 0)
			r = ab_fail_memory(err);
		add_record(manifest, "module", path);
	}
	ab_modules_free(&list);
	return r;
}

/* ---- the host's directory, for kernels that cannot mount it ---- */

#define COPY_LIMIT (64u << 20)

struct copy {
	struct cpio *cpio;
	size_t from;   /* length of the directory's path */
	size_t size;
	struct ab_error *err;
};

static __thread struct copy *copying;

static int copy_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	_text_ struct text to = {};
	char target[4096];
	ssize_t n;

	text_printf(&to, "/host%s", path + copying->from);
	if (!to.p)
		return -ENOMEM;
	if (type == FTW_D)
		return ab_cpio_dir(copying->cpio, to.p);
	if (type == FTW_SL) {
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		return n > 0 ? ab_cpio_link(copying->cpio, to.p, target) : 0;
	}
	if (!S_ISREG(st->st_mode) || access(path, R_OK) < 0)
		return 0;
	copying->size += st->st_size;
	if (copying->size > COPY_LIMIT)
		return -EFBIG;
	return add_host_file(copying->cpio, to.p, st->st_mode & 0777, path, copying->err);
}

static int copy_directory(struct cpio *cpio, const char *dir, struct ab_error *err)
{
	struct copy copy = { .cpio = cpio, .from = strcmp(dir, "/") ? strlen(dir) : 0, .err = err };
	int r;

	copying = &copy;
	r = nftw(dir, copy_entry, 32, FTW_PHYS | FTW_MOUNT);
	copying = NULL;
	if (r == -EFBIG)
		return ab_fail(err, AB_ERROR_LIMIT, r, "this kernel has no 9p, so that '%s' would be copied, and it holds more "
			       "than %u MiB: share a smaller one", dir, COPY_LIMIT >> 20);
	return r < 0 && !(err && err->code) ? ab_fail_errno(err, r == -1 ? -errno : r, "'%s'", dir) : r;
}

/* Mounted where the kernel has 9p, as far as is known. */
static int add_share(struct ab_lab *lab, const struct ab_image *image, const char *dir, struct cpio *cpio, struct text *manifest,
		     struct ab_error *err)
{
	static const char *const wanted[] = { "9pnet_virtio", "9p", NULL };
	struct module_list list = {};
	int r = ab_modules_find(lab, image, wanted, MODULE_REQUIRED, &list, NULL);

	ab_modules_free(&list);
	if (r == 0) {
		add_field(manifest, "share");
		add_field(manifest, "host");
		add_field(manifest, "/host");
		end_record(manifest);
		return 0;
	}
	add_record(manifest, "copied", "/host");
	return copy_directory(cpio, dir, err);
}

/* Whoever hides tracefs can mount nothing any more, and the others are hidden by mounts. */
static void add_hidden(struct text *manifest, const char *const *hide)
{
	static const char last[] = "tracefs";
	bool any = false;

	for (; hide && *hide; hide++) {
		if (strcmp(*hide, last))
			add_record(manifest, "hide", *hide);
		else
			any = true;
	}
	if (any)
		add_record(manifest, "hide", last);
}

int ab_guest_initramfs(struct ab_lab *lab, const struct ab_image *image, const struct ab_guest_opts *opts, const char *token,
		       struct cpio *cpio, struct ab_error *err)
{
	_text_ struct text manifest = {};
	int r = add_own(lab, cpio, "/init", "anybpf-lab-init", err);

	if (r < 0)
		return r;
	if (ab_cpio_dir(cpio, "/dev") < 0 || ab_cpio_node(cpio, "/dev/console", S_IFCHR | 0600, 5, 1) < 0 ||
	    ab_cpio_dir(cpio, "/tmp") < 0)
		return ab_fail_memory(err);
	add_record(&manifest, "token", token);
	r = add_modules(lab, image, opts, cpio, &manifest, err);
	if (r < 0)
		return r;
	add_record(&manifest, "port", GUEST_PORT);
	if (OPT(opts, share)) {
		r = add_share(lab, image, opts->share, cpio, &manifest, err);
		if (r < 0)
			return r;
	}
	add_hidden(&manifest, OPT(opts, hide));
	for (size_t i = 0; i < OPT(opts, step_count); i++)
		add_step(&manifest, &opts->steps[i]);
	if (manifest.failed || ab_cpio_file(cpio, GUEST_MANIFEST, 0644, manifest.p, manifest.n) < 0)
		return ab_fail_memory(err);
	r = add_files(cpio, opts, err);
	if (r == 0 && OPT(opts, tools))
		r = add_tools(lab, cpio, err);
	return r < 0 ? r : ab_cpio_end(cpio, err);
}
