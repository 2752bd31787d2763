/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Attaching: from a program and a target (docs/attach.md) to a link. Each way is one function that adds to the link what the kernel
 * gave; whatever a failing one added is closed again, so a failure leaves nothing attached.
 */
#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run.h"

/* ---- links ---- */

int ab_link_add(struct ab_link *link, struct bpf_link *bpf, struct ab_error *err)
{
	struct bpf_link **more = reallocarray(link->links, link->link_count + 1, sizeof(*more));

	if (!more) {
		bpf_link__destroy(bpf);
		return ab_fail_memory(err);
	}
	link->links = more;
	more[link->link_count++] = bpf;
	return 0;
}

int ab_link_add_fd(struct ab_link *link, int fd, struct ab_error *err)
{
	int *more = reallocarray(link->fds, link->fd_count + 1, sizeof(*more));

	if (!more) {
		close(fd);
		return ab_fail_memory(err);
	}
	link->fds = more;
	more[link->fd_count++] = fd;
	return 0;
}

static void free_link(struct ab_link *link)
{
	if (link->detach)
		link->detach(link);
	for (size_t i = 0; i < link->link_count; i++)
		bpf_link__destroy(link->links[i]);
	for (size_t i = 0; i < link->fd_count; i++)
		close(link->fds[i]);
	free(link->links);
	free(link->fds);
	free(link);
}

void ab_link_detach(struct ab_link *link)
{
	struct ab_object *before;

	if (!link)
		return;
	for (struct ab_link **at = &link->object->links; *at; at = &(*at)->next) {
		if (*at != link)
			continue;
		*at = link->next;
		break;
	}
	before = ab_log_enter(link->object);
	free_link(link);
	ab_log_leave(before);
}

static void detach_links(struct ab_object *object, const struct ab_program *program)
{
	struct ab_link *link = object->links, *next;

	for (; link; link = next) {
		next = link->next;
		if (!program || link->program == program)
			ab_link_detach(link);
	}
}

void ab_object_detach(struct ab_object *object)
{
	detach_links(object, NULL);
}

/* ---- tracing ---- */

static bool section_starts(const struct ab_program *program, const char *prefix)
{
	return str_starts(ab_program_section(program), prefix);
}

/* The rest of the work when libbpf made a link or did not. */
static int take_link(struct ab_link *link, struct bpf_link *bpf, const char *target, struct ab_error *err)
{
	int code = -errno;

	if (bpf)
		return ab_link_add(link, bpf, err);
	if (code == -EPERM || code == -EACCES)
		return ab_explain_permission(err, code, target);
	if (code == -E2BIG)
		return ab_fail(err, AB_ERROR_BUSY, -EBUSY, "%s: as many programs are attached there as the kernel takes", target);
	if (code == -ESRCH && link->object->opts.pid)
		return ab_fail(err, AB_ERROR_NOT_FOUND, code, "%s: no process %d", target, link->object->opts.pid);
	return ab_fail_errno(err, code, "%s", target);
}

/* The kernel says of a place outside of the file that the argument is invalid. */
static int check_offset(const char *path, uint64_t offset, struct ab_error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return ab_fail_errno(err, -errno, "%s", path);
	if (offset >= (uint64_t)st.st_size)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "offset 0x%llx is outside of %s", (unsigned long long)offset, path);
	return 0;
}

static int no_kprobes(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "this kernel has no kprobes (built without CONFIG_KPROBES): use a tracepoint or fentry");
}

static int no_uprobes(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "this kernel has no uprobes (built without CONFIG_UPROBE_EVENTS)");
}

/* Splits "name+offset"; the offset may be decimal or 0x. */
static int split_offset(const char *target, char **ret_name, uint64_t *ret_offset, struct ab_error *err)
{
	const char *plus = strrchr(target, '+');
	uint64_t offset = 0;
	char *end;

	if (plus) {
		errno = 0;
		offset = strtoull(plus + 1, &end, 0);
		if (!isdigit((unsigned char)plus[1]) || *end || errno)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not an offset in '%s'", plus + 1, target);
	}
	*ret_name = plus ? strndup(target, plus - target) : strdup(target);
	if (!*ret_name)
		return ab_fail_memory(err);
	*ret_offset = offset;
	return 0;
}

static int attach_kprobe(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .retprobe = section_starts(program, "kret"));
	_free_ char *function = NULL;
	struct bpf_link *bpf;
	uint64_t offset;
	int r;

	if (!ab_has_probes(program->object, "kprobe"))
		return no_kprobes(err);
	r = split_offset(target, &function, &offset, err);
	if (r < 0)
		return r;
	opts.offset = offset;
	bpf = bpf_program__attach_kprobe_opts(program->bpf, function, &opts);
	if (!bpf && (errno == ENOENT || errno == EINVAL || errno == EADDRNOTAVAIL))
		return ab_explain_function(err, -ENOENT, function);
	return take_link(link, bpf, target, err);
}

static int attach_ksyscall(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_ksyscall_opts, opts, .retprobe = section_starts(program, "kret"));
	struct bpf_link *bpf;

	if (!ab_has_probes(program->object, "kprobe"))
		return no_kprobes(err);
	bpf = bpf_program__attach_ksyscall(program->bpf, target, &opts);
	if (!bpf && errno == ENOENT)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "this kernel has no system call '%s'", target);
	return take_link(link, bpf, target, err);
}

static int attach_kprobe_multi(struct ab_program *program, const char *target, struct ab_link *link,
			       struct ab_error *err)
{
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .retprobe = section_starts(program, "kret"));
	struct bpf_link *bpf = bpf_program__attach_kprobe_multi_opts(program->bpf, target, &opts);

	if (!bpf && errno == ENOENT)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no function of this kernel matches '%s'", target);
	if (!bpf && (errno == EINVAL || errno == EOPNOTSUPP))
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
			       "this kernel cannot attach to many functions at once (CONFIG_FPROBE)");
	return take_link(link, bpf, target, err);
}

/* The path before the colon of a target, looked up. */
static int split_path(const char *target, const char *colon, int pid, char **ret_path, struct ab_error *err)
{
	_free_ char *name = strndup(target, colon - target);

	if (!name)
		return ab_fail_memory(err);
	return ab_user_path(name, pid, ret_path, err);
}

static int attach_uprobe(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = section_starts(program, "uret"));
	int pid = program->object->opts.pid, r;
	const char *colon = strrchr(target, ':');
	_free_ char *path = NULL, *symbol = NULL;
	uint64_t offset, start = 0;
	char *end;

	if (!colon || colon == target || !colon[1])
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not PATH:SYMBOL[+OFFSET] or PATH:0xOFFSET", target);
	if (!ab_has_probes(program->object, "uprobe"))
		return no_uprobes(err);
	r = split_path(target, colon, pid, &path, err);
	if (r < 0)
		return r;
	if (isdigit((unsigned char)colon[1])) {
		offset = strtoull(colon + 1, &end, 0);
		if (*end)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not an offset", colon + 1);
	} else {
		r = split_offset(colon + 1, &symbol, &offset, err);
		if (!r)
			r = ab_user_offset(path, symbol, &start, err);
		if (r < 0)
			return r;
	}
	r = check_offset(path, start + offset, err);
	if (r < 0)
		return r;
	return take_link(link, bpf_program__attach_uprobe_opts(program->bpf, pid ? pid : -1, path, start + offset, &opts),
			 target, err);
}

static int attach_usdt(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	int pid = program->object->opts.pid, r;
	const char *name = strrchr(target, ':'), *provider = name;
	_free_ char *path = NULL, *provider_name = NULL;
	struct bpf_link *bpf;

	while (provider && provider > target && *--provider != ':')
		;
	if (!name || provider <= target || !name[1] || provider + 1 == name)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not PATH:PROVIDER:NAME", target);
	if (!ab_has_probes(program->object, "uprobe"))
		return no_uprobes(err);
	provider_name = strndup(provider + 1, name - provider - 1);
	if (!provider_name)
		return ab_fail_memory(err);
	r = split_path(target, provider, pid, &path, err);
	if (r < 0)
		return r;
	bpf = bpf_program__attach_usdt(program->bpf, pid ? pid : -1, path, provider_name, name + 1, NULL);
	if (!bpf && errno == ENOENT)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "%s has no static probe '%s:%s'", path, provider_name,
			       name + 1);
	if (!bpf && errno == ESRCH)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "static probes need #include <bpf/usdt.bpf.h> in the source");
	if (!bpf && errno == EBADF)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s is not an ELF file", path);
	return take_link(link, bpf, target, err);
}

static int attach_tracepoint(struct ab_program *program, const char *target, struct ab_link *link,
			     struct ab_error *err)
{
	const char *slash = strpbrk(target, "/:");
	_free_ char *category = NULL;
	struct bpf_link *bpf;

	if (!slash || slash == target || !slash[1])
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not CATEGORY/NAME", target);
	category = strndup(target, slash - target);
	if (!category)
		return ab_fail_memory(err);
	ab_tracefs_mount(program->object);
	bpf = bpf_program__attach_tracepoint(program->bpf, category, slash + 1);
	if (!bpf && errno == ENOENT)
		return ab_explain_tracepoint(err, -ENOENT, category, slash + 1);
	return take_link(link, bpf, target, err);
}

static int attach_raw_tracepoint(struct ab_program *program, const char *target, struct ab_link *link,
				 struct ab_error *err)
{
	struct bpf_link *bpf = bpf_program__attach_raw_tracepoint(program->bpf, target);

	if (!bpf && errno == ENOENT)
		return ab_explain_target(err, -ENOENT, ab_program_section(program), target);
	return take_link(link, bpf, target, err);
}

/* tp_btf, fentry, fexit, fmod_ret, lsm: the target went into the program when it was loaded. */
static int attach_trace(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	return take_link(link, bpf_program__attach(program->bpf), ab_program_section(program), err);
}

/* A target names the map whose elements are visited; --pid restricts task iterators. */
static int attach_iter(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	union bpf_iter_link_info info = {};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	const char *kind = strchr(ab_program_section(program), '/');
	struct bpf_link *bpf;
	struct ab_map *map;

	kind = kind ? kind + 1 : "";
	if (target && strcmp(target, kind)) {
		map = ab_object_find_map(program->object, target);
		if (!map)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no map '%s' for iterator '%s'", target,
				       ab_program_name(program));
		info.map.map_fd = ab_map_fd(map);
	} else if (str_starts(kind, "task") && program->object->opts.pid) {
		info.task.pid = program->object->opts.pid;
	} else {
		opts.link_info = NULL;
		opts.link_info_len = 0;
	}
	bpf = bpf_program__attach_iter(program->bpf, &opts);
	if (!bpf && errno == EINVAL && info.task.pid && str_starts(kind, "task")) {
		ab_object_warn(program->object, "iterator '%s' visits all processes: this kernel cannot restrict it",
			       ab_program_name(program));
		bpf = bpf_program__attach_iter(program->bpf, NULL);
	}
	return take_link(link, bpf, ab_program_section(program), err);
}

/* ---- one target, any way ---- */

static int attach_way(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	switch (ab_program_way(program)) {
	case WAY_KPROBE: return attach_kprobe(program, target, link, err);
	case WAY_KSYSCALL: return attach_ksyscall(program, target, link, err);
	case WAY_KPROBE_MULTI: return attach_kprobe_multi(program, target, link, err);
	case WAY_UPROBE: return attach_uprobe(program, target, link, err);
	case WAY_USDT: return attach_usdt(program, target, link, err);
	case WAY_TRACEPOINT: return attach_tracepoint(program, target, link, err);
	case WAY_RAW_TRACEPOINT: return attach_raw_tracepoint(program, target, link, err);
	case WAY_TRACE: return attach_trace(program, target, link, err);
	case WAY_ITER: return attach_iter(program, target, link, err);
	case WAY_XDP: return ab_attach_xdp(program, target, link, err);
	case WAY_TC: return ab_attach_tc(program, target, link, err);
	case WAY_CGROUP: return ab_attach_cgroup(program, target, link, err);
	case WAY_NETNS: return ab_attach_netns(program, target, link, err);
	case WAY_SOCKMAP: return ab_attach_sockmap(program, target, link, err);
	case WAY_SOCKET: return ab_attach_socket(program, target, link, err);
	case WAY_PERF_EVENT: return ab_attach_perf_event(program, target, link, err);
	default:
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "programs of section '%s' do not attach by themselves",
			       ab_program_section(program));
	}
}

static struct ab_link *push_link(struct ab_object *object, struct ab_program *program, struct ab_link *link)
{
	link->object = object;
	link->program = program;
	link->next = object->links;
	object->links = link;
	return link;
}

static int attach_one(struct ab_program *program, const char *target, struct ab_link **ret_link, struct ab_error *err)
{
	struct ab_link *link;
	int r;

	if (!target && ab_program_wants(program))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' (%s) %s", ab_program_name(program),
			       ab_program_section(program), ab_program_wants(program));
	link = calloc(1, sizeof(*link));
	if (!link)
		return ab_fail_memory(err);
	link->object = program->object;
	r = attach_way(program, target, link, err);
	if (r < 0) {
		free_link(link);
		ab_error_prefix(err, "program '%s' cannot attach", ab_program_name(program));
		return r;
	}
	push_link(program->object, program, link);
	if (ret_link)
		*ret_link = link;
	return 0;
}

int ab_program_attach(struct ab_program *program, const char *target, struct ab_link **ret_link, struct ab_error *err)
{
	struct ab_object *before;
	int r;

	if (ab_program_fd(program) < 0)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' is not loaded", ab_program_name(program));
	if (!target && program->target_count)
		target = program->targets[0];
	if (!target)
		target = ab_program_default_target(program);
	before = ab_log_enter(program->object);
	r = attach_one(program, target, ret_link, err);
	ab_log_leave(before);
	return r;
}

/* ---- everything ---- */

static int attach_targets(struct ab_program *program, struct ab_error *err)
{
	enum way way = ab_program_way(program);
	int r = 0;

	if (way == WAY_NONE || way == WAY_STRUCT_OPS || ab_program_wants(program))
		return 0;
	if (!program->target_count)
		return attach_one(program, ab_program_default_target(program), NULL, err);
	for (size_t i = 0; !r && i < program->target_count; i++)
		r = attach_one(program, program->targets[i], NULL, err);
	return r;
}

static int explain_struct_ops(const struct ab_map *map, int code, struct ab_error *err)
{
	if (code == -EEXIST)
		return ab_fail(err, AB_ERROR_BUSY, -EBUSY, "struct_ops '%s': the kernel has one of that name already",
			       ab_map_name(map));
	return ab_fail_errno(err, code, "struct_ops '%s' cannot be registered", ab_map_name(map));
}

/*
 * Without a link the kernel keeps what is registered even when the process dies, so maps are made for links (object.c) where the
 * kernel has them: libbpf then only fills the map, and the link registers it.
 */
static int register_struct_ops(struct ab_map *map, struct ab_link *link, struct ab_error *err)
{
	struct bpf_link *bpf = bpf_map__attach_struct_ops(map->bpf);
	int fd, r;

	if (!bpf)
		return explain_struct_ops(map, -errno, err);
	r = ab_link_add(link, bpf, err);
	if (r < 0 || !(bpf_map__map_flags(map->bpf) & AB_F_LINK))
		return r;
	fd = bpf_link_create(ab_map_fd(map), 0, AB_ATTACH_STRUCT_OPS, NULL);
	return fd < 0 ? explain_struct_ops(map, -errno, err) : ab_link_add_fd(link, fd, err);
}

static int attach_struct_ops(struct ab_object *object, struct ab_map *map, struct ab_error *err)
{
	struct ab_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return ab_fail_memory(err);
	r = register_struct_ops(map, link, err);
	if (r < 0)
		free_link(link);
	else
		push_link(object, NULL, link);
	return r;
}

static int attach_all(struct ab_object *object, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < object->program_count; i++) {
		struct ab_program *program = &object->programs[i];
		struct ab_error why = {};

		if (program->skipped || program->disabled || ab_program_state(program) == AB_PROGRAM_ATTACHED)
			continue;
		ab_program_forgive(program);
		r = attach_targets(program, &why);
		if (r < 0 && program->optional) {
			detach_links(object, program);
			ab_program_skip(program, why.msg);
			r = 0;
		} else if (r < 0) {
			ab_program_blame(program, why.msg);
			if (err && !err->code) {
				*err = why;
				why = (struct ab_error){};
			}
		}
		ab_error_clear(&why);
	}
	for (size_t i = 0; !r && i < object->map_count; i++)
		if (bpf_map__type(object->maps[i].bpf) == BPF_MAP_TYPE_STRUCT_OPS)
			r = attach_struct_ops(object, &object->maps[i], err);
	return r;
}

int ab_object_attach(struct ab_object *object, struct ab_error *err)
{
	struct ab_object *before;
	int r;

	if (!object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not loaded", object->name);
	before = ab_log_enter(object);
	r = attach_all(object, err);
	if (r < 0)
		detach_links(object, NULL);
	ab_log_leave(before);
	return r;
}

/* ---- iterators ---- */

int ab_program_iterate(struct ab_program *program, int (*write)(const char *text, size_t size, void *ctx), void *ctx,
		       struct ab_error *err)
{
	struct ab_link *link = program->object->links;
	_close_ int fd = -1;
	char buf[8192];
	ssize_t n;
	int r;

	while (link && link->program != program)
		link = link->next;
	if (!ab_program_is_iterator(program) || !link)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' is not an attached iterator",
			       ab_program_name(program));
	fd = bpf_iter_create(bpf_link__fd(link->links[0]));
	if (fd < 0)
		return ab_fail_errno(err, -errno, "iterator '%s'", ab_program_name(program));
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return ab_fail_errno(err, -errno, "iterator '%s'", ab_program_name(program));
		r = write(buf, (size_t)n, ctx);
		if (r)
			return r;
	}
	return 0;
}
