/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Addresses of processes to names: mappings of code, the files behind them, the vdso, and what run-time compilers write
 * into /tmp/perf-PID.map.
 *
 * A process is known by pid, start time and program file, looked at again every CHECK_NS. Its mappings are read again when
 * an address isn't in any of them. Files are found in the process's own root and shared between processes.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "symbols.h"

#define CHECK_NS 100000000ull
/* Mappings and perf maps after a miss; ever more rarely while that finds nothing new. */
#define REREAD_NS 10000000ull
#define REREAD_MAX_NS 1000000000ull
#define PROCESSES_MAX 8192
#define MAPPINGS_MAX (1 << 18)
#define ELF_MEMORY_MAX (512ull << 20) /* of tables that no process uses any more */
#define JIT_MAP_MAX (256ull << 20)
#define VDSO_MAX (1 << 20)

/* ---- files as a process sees them ---- */

static int open_regular(int dir, const char *path)
{
	_close_ int fd = -1;
	struct stat st;

	/* A link must not lead out of the process's root; kernels before 5.6 can only be asked politely. */
	if (dir >= 0) {
		struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT };

		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd < 0 && (errno == ENOSYS || errno == EPERM))
			fd = openat(dir, path + strspn(path, "/"), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

static int open_in_process(void *ctx, const char *path)
{
	const struct ab_process *process = ctx;
	char root[64];
	_close_ int dir = -1;

	snprintf(root, sizeof(root), "/proc/%d/root", process->pid);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : open_regular(dir, path);
}

static int open_mapped(struct ab_process *process, const struct ab_mapping *m)
{
	char path[128], target[4096];
	struct stat st;
	ssize_t n;
	int fd;

	if (!m->deleted) {
		fd = open_in_process(process, m->path);
		if (fd >= 0)
			return fd;
	}
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", process->pid, (unsigned long long)m->start,
		 (unsigned long long)m->end);
	fd = open_regular(-1, path);
	if (fd >= 0)
		return fd;
	/* map_files takes more privileges than exe. */
	snprintf(path, sizeof(path), "/proc/%d/exe", process->pid);
	n = readlink(path, target, sizeof(target));
	if (n >= (ssize_t)strlen(m->path) && !memcmp(target, m->path, strlen(m->path)) &&
	    (n == (ssize_t)strlen(m->path) || target[strlen(m->path)] == ' ')) {
		fd = open_regular(-1, path);
		if (fd >= 0)
			return fd;
	}
	/* The process ended: what is at that place here may still be the same file. */
	fd = m->deleted ? -ENOENT : open_regular(-1, m->path);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_ino != m->inode)) {
		close(fd);
		fd = -ESTALE;
	}
	return fd;
}

/* ---- ELF tables, shared ---- */

/* Forgets the tables that no process refers to, once they take too much. */
static void trim_elfs(struct ab_symbols *s)
{
	struct ab_elf **link = &s->elfs, *elf;

	if (s->elf_memory <= ELF_MEMORY_MAX)
		return;
	for (size_t i = 0; i < s->elf_keys.n; i++) {
		elf = (struct ab_elf *)s->elf_keys.entries[i].value;
		if (elf && !elf->refs)
			s->elf_keys.entries[i].value = 0;
	}
	while ((elf = *link)) {
		if (elf->refs) {
			link = &elf->next;
			continue;
		}
		*link = elf->next;
		s->elf_memory -= ab_elf_memory(elf);
		ab_elf_free(elf);
	}
}

static struct ab_elf *add_elf(struct ab_symbols *s, struct ab_elf *elf)
{
	elf->next = s->elfs;
	s->elfs = elf;
	s->elf_memory += ab_elf_memory(elf);
	return elf;
}

static struct ab_elf *find_elf(struct ab_symbols *s, const char *key)
{
	struct strmap_entry *entry = strmap_find(&s->elf_keys, key, strlen(key));

	return entry ? (struct ab_elf *)entry->value : NULL;
}

static void set_elf(struct ab_symbols *s, const char *key, struct ab_elf *elf)
{
	struct strmap_entry *entry = strmap_put(&s->elf_keys, key, strlen(key), NULL);

	if (entry)
		entry->value = (uintptr_t)elf;
}

#define KEY_MAX 128

/*
 * Copies of one file in many containers have one build id; a stripped and a full copy differ in size.
 * False for files without one.
 */
static bool make_build_key(char key[KEY_MAX], Elf *e, uint64_t size)
{
	struct ab_elf elf = {};
	int n = snprintf(key, KEY_MAX, "build %llx ", (unsigned long long)size);

	if (e && elf_kind(e) == ELF_K_ELF)
		ab_elf_read_build_id(&elf, e);
	for (size_t i = 0; i < elf.build_id_len; i++)
		n += snprintf(key + n, KEY_MAX - n, "%02x", elf.build_id[i]);
	return elf.build_id_len > 0;
}

static struct ab_elf *load_file(struct ab_symbols *s, struct ab_process *process, const struct ab_mapping *m)
{
	_close_ int fd = open_mapped(process, m);
	char key[KEY_MAX], build_key[KEY_MAX];
	struct ab_elf *elf;
	struct stat st;
	bool has_build;
	Elf *e;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	snprintf(key, sizeof(key), "file %llx %llx %llx %llx.%lx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		 (unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	elf = find_elf(s, key);
	if (elf)
		return elf;
	elf_version(EV_CURRENT);
	e = elf_begin(fd, ELF_C_READ, NULL);
	has_build = make_build_key(build_key, e, st.st_size);
	elf_end(e);
	elf = has_build ? find_elf(s, build_key) : NULL;
	if (!elf) {
		trim_elfs(s);
		elf = calloc(1, sizeof(*elf));
		if (!elf)
			return NULL;
		ab_elf_read_fd(elf, fd, m->path, open_in_process, process);
		add_elf(s, elf);
		if (has_build)
			set_elf(s, build_key, elf);
	}
	set_elf(s, key, elf);
	return elf;
}

/* The vdso is a whole ELF file in memory; all processes of one kind have the same one. */
static struct ab_elf *load_vdso(struct ab_symbols *s, struct ab_process *process, const struct ab_mapping *m)
{
	size_t size = MIN(m->end - m->start, VDSO_MAX);
	_free_ char *image = malloc(size);
	const void *own = (const void *)getauxval(AT_SYSINFO_EHDR);
	char path[64], key[KEY_MAX];
	_close_ int fd = -1;
	struct ab_elf *elf;
	bool has_key;
	Elf *e;

	if (!image)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/mem", process->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (process->pid == getpid() && own == (const void *)m->start)
		memcpy(image, own, size);
	else if (fd < 0 || pread(fd, image, size, m->start) != (ssize_t)size)
		return NULL;
	elf_version(EV_CURRENT);
	e = elf_memory(image, size);
	has_key = make_build_key(key, e, size);
	elf = has_key ? find_elf(s, key) : NULL;
	if (!elf) {
		elf = calloc(1, sizeof(*elf));
		if (elf) {
			ab_elf_read(elf, e);
			add_elf(s, elf);
			if (has_key)
				set_elf(s, key, elf);
		}
	}
	elf_end(e);
	return elf;
}

static struct ab_elf *get_elf(struct ab_symbols *s, struct ab_process *process, struct ab_mapping *m)
{
	if (m->elf || m->tried)
		return m->elf;
	m->tried = true;
	if (m->path[0] == '/' && m->inode)
		m->elf = load_file(s, process, m);
	else if (!strcmp(m->path, "[vdso]"))
		m->elf = load_vdso(s, process, m);
	if (m->elf)
		m->elf->refs++;
	return m->elf;
}

/* ---- mappings ---- */

static bool take_hex(char **p, char end, uint64_t *ret)
{
	char *start = *p;

	errno = 0;
	*ret = strtoull(start, p, 16);
	if (*p == start || errno || **p != end)
		return false;
	++*p;
	return true;
}

bool ab_mapping_parse(char *line, struct ab_mapping *m, char **ret_path)
{
	static const char deleted[] = " (deleted)";
	uint64_t major_id, minor_id;
	char *p = line, *perms, *end;

	*m = (struct ab_mapping){};
	if (!take_hex(&p, '-', &m->start) || !take_hex(&p, ' ', &m->end) || m->end <= m->start)
		return false;
	perms = p;
	if (strnlen(p, 5) < 5 || perms[2] != 'x' || p[4] != ' ')
		return false;
	p += 5;
	if (!take_hex(&p, ' ', &m->offset) || !take_hex(&p, ':', &major_id) || !take_hex(&p, ' ', &minor_id))
		return false;
	m->inode = strtoull(p, &end, 10);
	if (end == p)
		return false;
	p = end + strspn(end, " ");
	p[strcspn(p, "\n")] = '\0';
	m->deleted = *p == '/' && str_ends(p, deleted);
	if (m->deleted)
		p[strlen(p) - strlen(deleted)] = '\0';
	*ret_path = p;
	return true;
}

static void drop_maps(struct ab_process *process)
{
	for (size_t i = 0; i < process->maps_n; i++)
		if (process->maps[i].elf)
			process->maps[i].elf->refs--;
	free(process->maps);
	process->maps = NULL;
	process->maps_n = 0;
}

static int compare_maps(const void *pa, const void *pb)
{
	const struct ab_mapping *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* Replaces the mappings when all could be read; those of a process that just ended stay. */
static int read_maps(struct ab_symbols *s, struct ab_process *process)
{
	_free_ struct ab_mapping *maps = NULL;
	_fclose_ FILE *in = NULL;
	_free_ char *line = NULL;
	size_t n = 0, cap = 0, line_cap = 0;
	struct ab_mapping m;
	char path[64], *mapped;

	process->maps_ns = ab_symbols_now();
	snprintf(path, sizeof(path), "/proc/%d/maps", process->pid);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	while (getline(&line, &line_cap, in) > 0 && n < MAPPINGS_MAX) {
		if (!ab_mapping_parse(line, &m, &mapped))
			continue;
		m.path = ab_symbols_intern(s, mapped, false);
		if (!m.path)
			return -ENOMEM;
		if (n == cap) {
			struct ab_mapping *more = realloc(maps, (cap = cap ? cap * 2 : 16) * sizeof(m));

			if (!more)
				return -ENOMEM;
			maps = more;
		}
		maps[n++] = m;
	}
	if (ferror(in) || !n)
		return -ESRCH; /* also a kernel thread, which has none */
	qsort(maps, n, sizeof(*maps), compare_maps);
	drop_maps(process);
	process->maps = TAKE(maps);
	process->maps_n = n;
	return 0;
}

static struct ab_mapping *find_mapping(struct ab_process *process, uint64_t address)
{
	size_t low = 0, high = process->maps_n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (process->maps[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low && address < process->maps[low - 1].end ? &process->maps[low - 1] : NULL;
}

/* ---- run-time compilers ---- */

void ab_jit_parse(struct ab_symtab *t, FILE *in)
{
	_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	t->newest_wins = true;
	while ((n = getline(&line, &cap, in)) > 0) {
		uint64_t start, size;
		char *p = line;

		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (take_hex(&p, ' ', &start) && take_hex(&p, ' ', &size) && size && *p)
			ab_symtab_add(t, start, size, SYM_GLOBAL, p, strlen(p));
	}
	ab_symtab_finish(t);
}

/* The pid that the process has for itself, which is in the name of its map. */
static int own_pid(int pid)
{
	_fclose_ FILE *in = NULL;
	char path[64], line[256];
	int found = pid;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in)) {
		char *last = strrchr(line, '\t');

		if (str_starts(line, "NSpid:") && last)
			found = atoi(last);
	}
	return found;
}

/* The map is appended to; only whole lines that are new are read. */
static void read_jit(struct ab_process *process)
{
	_free_ char *data = NULL;
	_close_ int fd = -1;
	_fclose_ FILE *in = NULL;
	struct stat st;
	char path[64];
	size_t size;
	ssize_t n;

	process->jit_ns = ab_symbols_now();
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", own_pid(process->pid));
	fd = open_in_process(process, path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (st.st_ino != process->jit_inode || (uint64_t)st.st_size < process->jit_read) {
		ab_symtab_clear(&process->jit);
		process->jit_read = 0;
		process->jit_inode = st.st_ino;
	}
	if ((uint64_t)st.st_size == process->jit_read || (uint64_t)st.st_size > JIT_MAP_MAX)
		return;
	size = st.st_size - process->jit_read;
	data = malloc(size);
	n = data ? pread(fd, data, size, process->jit_read) : -1;
	while (n > 0 && data[n - 1] != '\n')
		n--;
	in = n > 0 ? fmemopen(data, n, "r") : NULL;
	if (!in)
		return;
	ab_jit_parse(&process->jit, in);
	process->jit_read += n;
}

/* ---- processes ---- */

/* Start time and program file; a negative errno when there is no such process. */
static int read_identity(int pid, uint64_t *start_time, uint64_t *dev, uint64_t *inode)
{
	_free_ char *stat_text = NULL;
	char path[64], *p;
	struct stat st;
	size_t size;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	ret = file_read(path, 1 << 16, &stat_text, &size, NULL);
	if (ret < 0)
		return ret;
	/* The name, in parentheses, may have any character; start time is field 22, the 20th behind it. */
	p = strrchr(stat_text, ')');
	for (int field = 0; p && field < 20; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return -EINVAL;
	*start_time = strtoull(p, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &st) < 0)
		st.st_dev = st.st_ino = 0;
	*dev = st.st_dev;
	*inode = st.st_ino;
	return 0;
}

static void forget_process(struct ab_process *process)
{
	drop_maps(process);
	ab_symtab_clear(&process->jit);
	process->jit_read = process->jit_inode = process->jit_ns = process->maps_ns = 0;
	process->jit_wait_ns = process->maps_wait_ns = 0;
	process->denied = false;
}

/* Is it still the same one? What is known of one that ended stays until its pid is used again. */
static void check_process(struct ab_symbols *s, struct ab_process *process)
{
	uint64_t start_time, dev, inode;

	process->checked_ns = ab_symbols_now();
	if (read_identity(process->pid, &start_time, &dev, &inode) < 0) {
		process->gone = true;
		return;
	}
	/* A process that is ending has lost its program already. */
	if (process->known && start_time == process->start_time &&
	    (!inode || (dev == process->exe_dev && inode == process->exe_inode)))
		return;
	forget_process(process);
	process->start_time = start_time;
	process->exe_dev = dev;
	process->exe_inode = inode;
	process->known = true;
	process->gone = false;
	process->denied = read_maps(s, process) == -EACCES;
}

static struct ab_process **process_bucket(struct ab_symbols *s, int pid)
{
	return &s->processes[(uint32_t)pid % AB_PROCESS_BUCKETS];
}

static void drop_oldest(struct ab_symbols *s)
{
	struct ab_process **oldest = NULL, *process;

	for (size_t i = 0; i < AB_PROCESS_BUCKETS; i++)
		for (struct ab_process **link = &s->processes[i]; *link; link = &(*link)->next)
			if (!oldest || (*link)->used_ns < (*oldest)->used_ns)
				oldest = link;
	if (!oldest)
		return;
	process = *oldest;
	*oldest = process->next;
	forget_process(process);
	free(process);
	s->processes_n--;
}

static struct ab_process *get_process(struct ab_symbols *s, int pid, bool check)
{
	struct ab_process **bucket = process_bucket(s, pid), *process = *bucket;
	uint64_t now = ab_symbols_now();

	while (process && process->pid != pid)
		process = process->next;
	if (!process) {
		if (s->processes_n >= PROCESSES_MAX)
			drop_oldest(s);
		process = calloc(1, sizeof(*process));
		if (!process)
			return NULL;
		process->pid = pid;
		process->next = *bucket;
		*bucket = process;
		s->processes_n++;
		check = true;
	}
	process->used_ns = now;
	if (check || now - process->checked_ns >= CHECK_NS)
		check_process(s, process);
	return process;
}

void ab_processes_free(struct ab_symbols *s)
{
	struct ab_elf *elf;

	for (size_t i = 0; i < AB_PROCESS_BUCKETS; i++) {
		struct ab_process *process;

		while ((process = s->processes[i])) {
			s->processes[i] = process->next;
			forget_process(process);
			free(process);
		}
	}
	while ((elf = s->elfs)) {
		s->elfs = elf->next;
		ab_elf_free(elf);
	}
	strmap_clear(&s->elf_keys);
}

/* ---- lookups ---- */

static int give_symbol(struct ab_symbols *s, const struct ab_symtab *t, const struct ab_sym *sym, uint64_t address,
		       const char *module, struct ab_symbol *ret, struct ab_error *err)
{
	const char *name = ab_symbols_intern(s, ab_sym_name(t, sym), true);

	if (!name)
		return ab_fail_memory(err);
	*ret = (struct ab_symbol){ name, module, address - sym->start };
	return 0;
}

/* Is it time to read again what was last read at `last_ns`? */
static bool may_reread(uint64_t last_ns, uint64_t *wait_ns)
{
	*wait_ns = MAX(*wait_ns, REREAD_NS);
	if (ab_symbols_now() - last_ns < *wait_ns)
		return false;
	*wait_ns = MIN(*wait_ns * 2, REREAD_MAX_NS);
	return true;
}

static const struct ab_sym *find_jit(struct ab_process *process, uint64_t address)
{
	const struct ab_sym *sym = ab_symtab_find(&process->jit, address);

	if (!sym && !process->gone && may_reread(process->jit_ns, &process->jit_wait_ns)) {
		read_jit(process);
		sym = ab_symtab_find(&process->jit, address);
		if (sym)
			process->jit_wait_ns = 0;
	}
	return sym;
}

AB_API int ab_symbols_user(struct ab_symbols *symbols, int pid, uint64_t address, struct ab_symbol *ret, struct ab_error *err)
{
	struct ab_process *process = get_process(symbols, pid, false);
	const struct ab_sym *sym = NULL;
	struct ab_mapping *m;
	uint64_t linked = address;
	struct ab_elf *elf;

	if (!process)
		return ab_fail_memory(err);
	m = find_mapping(process, address);
	if (!m && !process->gone && !process->denied && may_reread(process->maps_ns, &process->maps_wait_ns)) {
		check_process(symbols, process);
		read_maps(symbols, process);
		m = find_mapping(process, address);
		if (m)
			process->maps_wait_ns = 0;
	}
	if (!m && process->denied)
		return ab_fail(err, AB_ERROR_PERMISSION, -EACCES,
			       "cannot read what process %d has mapped: needs root (CAP_SYS_PTRACE)", pid);
	if (m) {
		elf = get_elf(symbols, process, m);
		linked = address - m->start + m->offset;
		if (elf && (elf->table.n || elf->loads_n) && ab_elf_address(elf, linked, &linked))
			sym = ab_symtab_find(&elf->table, linked);
		if (sym)
			return give_symbol(symbols, &elf->table, sym, linked, m->path, ret, err);
		sym = find_jit(process, address);
		if (sym)
			return give_symbol(symbols, &process->jit, sym, address, *m->path ? m->path : "[jit]", ret, err);
	}
	*ret = (struct ab_symbol){ .module = m && *m->path ? m->path : NULL, .offset = linked };
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no symbol at 0x%llx of process %d%s", (unsigned long long)address, pid,
		       process->gone ? ", which has ended" : "");
}

AB_API int ab_symbols_remember(struct ab_symbols *symbols, int pid, struct ab_error *err)
{
	struct ab_process *process = get_process(symbols, pid, true);
	int ret;

	if (!process)
		return ab_fail_memory(err);
	if (process->gone)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ESRCH, "no process %d", pid);
	ret = read_maps(symbols, process);
	if (ret == -EACCES)
		return ab_fail(err, AB_ERROR_PERMISSION, ret,
			       "cannot read what process %d has mapped: needs root (CAP_SYS_PTRACE)", pid);
	if (ret < 0 && ret != -ESRCH)
		return ab_fail_errno(err, ret, "cannot read what process %d has mapped", pid);
	for (size_t i = 0; i < process->maps_n; i++)
		get_elf(symbols, process, &process->maps[i]);
	read_jit(process);
	return 0;
}
