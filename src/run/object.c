/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Objects: from bytes to loaded programs. What libbpf cannot be trusted with or cannot undo is handled here. */
#include <anybpf/format.h>
#include <bpf/btf.h>
#include <btf/ext.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "min.h"
#include "run.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

#define OBJECT_LIMIT (64u << 20)

const struct ab_btf *ab_object_btf(const struct ab_object *object)
{
	return object->btf;
}

struct ab_symbols *ab_object_symbols(const struct ab_object *object)
{
	return object->symbols;
}

void ab_object_set_symbols(struct ab_object *object, struct ab_symbols *symbols)
{
	object->symbols = symbols;
}

const char *ab_object_name(const struct ab_object *object)
{
	return object->name;
}

/* ---- open ---- */

/* libbpf puts the name into map names: identifier characters only, no suffix. */
static char *clean_name(const char *name)
{
	char *clean = strdup(name && *name ? path_base(name) : "object");
	size_t n;

	if (!clean)
		return NULL;
	n = strcspn(clean, ".");
	clean[n] = '\0';
	for (char *p = clean; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_'))
			*p = '_';
	if (!n)
		strcpy(clean, "o");
	return clean;
}

/* (Re)opens the bytes with libbpf and points programs and maps, if known already, to what is in the new one. */
static int open_bpf(struct ab_object *object, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = object->name, .btf_custom_path = object->btf_path);
	struct bpf_program *program;
	struct bpf_map *map;
	char essence[300];
	size_t i = 0;

	if (object->bpf)
		bpf_object__close(object->bpf);
	object->bpf = bpf_object__open_mem(object->data, object->size, &opts);
	if (!object->bpf) {
		int code = -errno;

		if (code == -ENOMEM)
			return ab_fail_memory(err);
		ab_log_essence(object, essence, sizeof(essence));
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s", *essence ? essence : strerror(-code));
	}
	if (object->programs)
		bpf_object__for_each_program(program, object->bpf)
			object->programs[i++].bpf = program;
	i = 0;
	if (object->maps)
		bpf_object__for_each_map(map, object->bpf)
			object->maps[i++].bpf = map;
	object->spent = false;
	return 0;
}

/* On a kernel without types, those that the object carries for it, in a file in memory. */
static int find_carried_types(struct ab_object *object, struct ab_error *err)
{
	_free_ void *btf = NULL;
	size_t size;
	int r;

	if (object->btf_path || access(KERNEL_BTF, F_OK) == 0)
		return 0;
	r = ab_min_embedded_in(object->data, object->size, ab_min_running(), &btf, &size, err);
	if (r <= 0)
		return r;
	/* By its number: glibc has a name for it since 2.27, and made libraries need no more than 2.17. */
	object->btf_fd = (int)syscall(SYS_memfd_create, "btf", MFD_CLOEXEC);
	if (object->btf_fd < 0)
		return ab_fail_errno(err, -errno, "unable to make a file in memory");
	r = fd_write_all(object->btf_fd, btf, size);
	if (r < 0)
		return ab_fail_errno(err, r, "unable to write a file in memory");
	if (asprintf(&object->btf_path, "/proc/self/fd/%d", object->btf_fd) < 0) {
		object->btf_path = NULL;
		return ab_fail_memory(err);
	}
	return 0;
}

/* Checks the file's own BTF before libbpf reads it; libbpf completes sections in it, so ours is read from the result. */
static int open_types(struct ab_object *object, struct ab_error *err)
{
	struct ab_elf_info info;
	struct ab_btf *raw = NULL;
	struct ab_ext *ext = NULL;
	const void *data;
	uint32_t size;
	int r = ab_elf_check(object->data, object->size, &info, err);

	if (r < 0)
		return r;
	r = ab_btf_open_mem(info.btf, info.btf_size, &raw, err);
	if (!r)
		r = ab_elf_check_variables(raw, object->size, err);
	if (!r)
		r = ab_ext_open(info.btf_ext, info.btf_ext_size, raw, &ext, err);
	ab_ext_close(ext);
	ab_btf_close(raw);
	if (!r)
		r = open_bpf(object, err);
	if (r < 0)
		return r;
	if (!bpf_object__btf(object->bpf)) /* which it ignores as long as nothing needs it */
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "libbpf cannot read the object's BTF");
	data = btf__raw_data(bpf_object__btf(object->bpf), &size);
	if (!data)
		return ab_fail_memory(err);
	return ab_btf_open_mem(data, size, &object->btf, err);
}

static int copy_opts(struct ab_object *object, const struct ab_object_opts *opts, const char *path,
		     struct ab_error *err)
{
	object->name = clean_name(OPT(opts, name) ? opts->name : path);
	object->btf_path = OPT(opts, btf_path) ? strdup(opts->btf_path) : NULL;
	if (!object->name || (OPT(opts, btf_path) && !object->btf_path))
		return ab_fail_memory(err);
	object->opts = (struct ab_object_opts){
		.sz = sizeof(object->opts), .pid = OPT(opts, pid), .cpu = OPT(opts, cpu), .warn = OPT(opts, warn),
		.debug = OPT(opts, debug), .ctx = OPT(opts, ctx),
	};
	if (object->opts.pid < 0)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%d is not a process", object->opts.pid);
	if (object->opts.cpu < 0)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%d is not a CPU", object->opts.cpu);
	return 0;
}

/* Owns `data` from here, which may be a library around the object. */
static int open_data(char *data, size_t size, const char *path, const struct ab_object_opts *opts,
		     struct ab_object **ret_object, struct ab_error *err)
{
	struct ab_object *object = calloc(1, sizeof(*object)), *before;
	const void *inner = NULL;
	size_t inner_size = 0;
	int r;

	if (!object) {
		free(data);
		return ab_fail_memory(err);
	}
	object->data = data;
	object->size = size;
	object->btf_fd = -1;
	r = copy_opts(object, opts, path, err);
	if (!r)
		r = ab_elf_embedded(data, size, &inner, &inner_size, err);
	if (!r && inner) {
		memmove(data, inner, inner_size);
		object->size = inner_size;
	}
	if (!r)
		r = find_carried_types(object, err);
	before = ab_log_enter(object);
	if (!r)
		r = open_types(object, err);
	if (!r)
		r = ab_programs_find(object, err);
	if (!r)
		r = ab_maps_find(object, err);
	if (!r)
		r = ab_params_find(object, err);
	if (!r)
		r = ab_params_set_pid(object, err);
	ab_log_leave(before);
	if (r < 0) {
		ab_object_close(object);
		return r;
	}
	*ret_object = object;
	return 0;
}

int ab_object_open_mem(const void *data, size_t size, const struct ab_object_opts *opts,
		       struct ab_object **ret_object, struct ab_error *err)
{
	char *copy;

	if (size > OBJECT_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "object larger than 64 MiB");
	copy = malloc(size ? size : 1);
	if (!copy)
		return ab_fail_memory(err);
	if (size)
		memcpy(copy, data, size);
	return open_data(copy, size, NULL, opts, ret_object, err);
}

int ab_object_open_file(const char *path, const struct ab_object_opts *opts, struct ab_object **ret_object,
			struct ab_error *err)
{
	size_t size;
	char *data;
	int r = file_read(path, OBJECT_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	r = open_data(data, size, path, opts, ret_object, err);
	if (r < 0)
		ab_error_prefix(err, "%s", path);
	return r;
}

void ab_object_close(struct ab_object *object)
{
	struct ab_object *before;

	if (!object)
		return;
	before = ab_log_enter(object);
	while (object->readers)
		ab_events_close(object->readers);
	ab_object_detach(object);
	if (object->bpf)
		bpf_object__close(object->bpf);
	ab_log_leave(before);
	ab_params_free(object);
	ab_maps_free(object);
	ab_programs_free(object);
	ab_btf_close(object->btf);
	text_clear(&object->said);
	free(object->data);
	free(object->name);
	free(object->btf_path);
	ab__close(&object->btf_fd);
	free(object);
}

/* ---- load ---- */

/* Whether a name, without its flavour ("x___y" is an x), is that. */
static bool is_named(const char *name, const char *plain)
{
	size_t n = strlen(plain);

	return !strncmp(name, plain, n) && (!name[n] || str_starts(name + n, "___"));
}

static bool has_enumerator(const struct ab_btf *btf, const char *enum_name, const char *name)
{
	for (uint32_t id = 1; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const struct btf_enum *e = ab_btf_data(t);

		if (ab_btf_kind(t) != BTF_KIND_ENUM || !is_named(ab_btf_name(btf, t), enum_name))
			continue;
		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			if (is_named(ab_btf_str(btf, e[i].name_off), name))
				return true;
	}
	return false;
}

/*
 * Whether programs will find a ring buffer. Programs that ask their target's types (bpf/anybpf.bpf.h) go by a given BTF if
 * there is one; otherwise the kernel decides, by being asked for a small one.
 */
static int has_ring_buffer(const struct ab_object *object, struct ab_error *err)
{
	struct ab_btf *btf;
	int r, fd;

	/* Given types may be minimized: they answer what the programs ask, and only that. */
	if (object->btf_path && has_enumerator(object->btf, "bpf_func_id", "BPF_FUNC_ringbuf_reserve")) {
		r = ab_btf_open_file(object->btf_path, &btf, err);
		if (r < 0)
			return r;
		r = has_enumerator(btf, "bpf_func_id", "BPF_FUNC_ringbuf_reserve");
		ab_btf_close(btf);
		return r;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);
	if (fd < 0)
		return errno != EINVAL;
	close(fd);
	return 1;
}

/*
 * Whether struct_ops maps can be registered by links (6.4). The type id is none, so nothing is made: kernels that know
 * the flag get to the type and say ENOTSUPP, others refuse the flag.
 */
static bool has_struct_ops_links(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = AB_F_LINK, .btf_vmlinux_value_type_id = 1);
	int fd = bpf_map_create(BPF_MAP_TYPE_STRUCT_OPS, NULL, 4, 4, 1, &opts);

	if (fd < 0)
		return errno != EINVAL;
	close(fd);
	return true;
}

static int configure_maps(struct ab_object *object, struct ab_error *err)
{
	int ring = -1;

	for (size_t i = 0; i < object->map_count; i++) {
		struct ab_map *map = &object->maps[i];

		if (map->max_entries)
			bpf_map__set_max_entries(map->bpf, map->max_entries);
		if (bpf_map__type(map->bpf) == BPF_MAP_TYPE_STRUCT_OPS && has_struct_ops_links())
			bpf_map__set_map_flags(map->bpf, bpf_map__map_flags(map->bpf) | AB_F_LINK);
		if (bpf_map__type(map->bpf) != BPF_MAP_TYPE_RINGBUF)
			continue;
		if (ring < 0)
			ring = has_ring_buffer(object, err);
		if (ring < 0)
			return ring;
		if (ring)
			continue;
		bpf_map__set_type(map->bpf, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
		bpf_map__set_key_size(map->bpf, 4);
		bpf_map__set_value_size(map->bpf, 4);
		bpf_map__set_max_entries(map->bpf, 0);
		ab_object_warn(object, "channel '%s' is a perf buffer: the kernel has no ring buffer",
			       bpf_map__name(map->bpf));
	}
	return 0;
}

static struct bpf_map *find_rodata(const struct ab_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object->bpf)
		if (bpf_map__is_internal(map) && str_ends(bpf_map__name(map), ".rodata"))
			return map;
	return NULL;
}

static int configure(struct ab_object *object, struct ab_error *err)
{
	struct bpf_map *rodata = object->rodata_size ? find_rodata(object) : NULL;
	size_t size = 0;
	void *image;
	int r;

	if (rodata) {
		image = (void *)bpf_map__initial_value(rodata, &size);
		if (image)
			memcpy(image, object->rodata, MIN(size, object->rodata_size));
	}
	for (size_t i = 0; i < object->program_count; i++) {
		r = ab_program_configure(&object->programs[i], err);
		if (r < 0)
			return r;
	}
	return configure_maps(object, err);
}

/*
 * libbpf 1.1 frees the kernel's types, which bpf_program__set_attach_target() reads, only at the end of a load: when ours ends
 * before, an empty one has to come.
 */
static void drop_kernel_types(struct ab_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;

	bpf_object__for_each_program(program, object->bpf)
		bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, object->bpf)
		bpf_map__set_autocreate(map, false);
	bpf_object__load(object->bpf);
	object->spent = true;
}

/* One attempt; a failing optional program is skipped and 1 returned: try again without it. */
static int try_load(struct ab_object *object, struct ab_error *err)
{
	struct ab_program *failed = NULL;
	struct ab_error why = {};
	int r = object->spent ? open_bpf(object, err) : 0;

	if (r < 0)
		return r;
	r = configure(object, err);
	if (r < 0) {
		drop_kernel_types(object);
		return r;
	}
	text_clear(&object->said);
	r = bpf_object__load(object->bpf);
	if (!r)
		return 0;
	object->spent = true;
	r = ab_explain_load(object, r, &failed, &why);
	if (failed && failed->optional) {
		ab_program_skip(failed, why.msg);
		ab_error_clear(&why);
		return 1;
	}
	if (failed)
		ab_program_blame(failed, why.msg);
	if (err && !err->code)
		*err = why;
	else
		ab_error_clear(&why);
	return r;
}

static void pass_on_warnings(struct ab_object *object)
{
	char *next, *line = object->said.p;

	for (; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		ab_object_warn(object, "%s", line);
	}
	text_clear(&object->said);
}

int ab_object_load(struct ab_object *object, struct ab_error *err)
{
	struct ab_object *before;
	int r;

	if (object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EBUSY, "'%s' is loaded already", object->name);
	before = ab_log_enter(object);
	for (size_t i = 0; i < object->program_count; i++)
		ab_program_forgive(&object->programs[i]);
	do
		r = try_load(object, err);
	while (r > 0);
	if (!r) {
		object->loaded = true;
		free(TAKE(object->data));
		pass_on_warnings(object);
	}
	ab_log_leave(before);
	return r;
}

/* ---- stacks ---- */

int ab_object_stack(struct ab_object *object, const char *name, int64_t id, uint64_t *ret_addrs, size_t cap)
{
	struct ab_map *map = name ? ab_object_find_map(object, name) : NULL;
	_free_ uint64_t *addrs = NULL;
	size_t n, max;
	uint32_t key = (uint32_t)id;

	for (size_t i = 0; !name && !map && i < object->map_count; i++)
		if (ab_map_kind(&object->maps[i]) == AB_MAP_STACKS)
			map = &object->maps[i];
	if (!map || ab_map_kind(map) != AB_MAP_STACKS || id < 0 || id > UINT32_MAX)
		return -ENOENT;
	max = ab_map_value_size(map) / sizeof(*addrs);
	addrs = array_new(max, sizeof(*addrs));
	if (!addrs)
		return -ENOMEM;
	if (bpf_map_lookup_elem(ab_map_fd(map), &key, addrs) < 0)
		return -errno;
	for (n = 0; n < max && n < cap && addrs[n]; n++)
		ret_addrs[n] = addrs[n];
	return (int)n;
}
