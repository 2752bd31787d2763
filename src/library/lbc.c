/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * coolbpf's ABI of compiled libraries (docs/format-lbc.md), over the object that this library carries: for programs
 * that were written for coolbpf and load what its server made. Everything is of one instance; ids are indices of its
 * maps.
 *
 * Threads: lbc_bpf_init() and lbc_bpf_exit() exclude each other and attaching; maps may be used by any thread in
 * between. Event loops run in their callers' threads; lbc_bpf_exit() ends them and waits until they have left.
 */
#include <anybpf/library.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include "lbc.h"

enum { EVENT_PAGES = 64, LEAVE_TRIES = 100, LEAVE_WAIT = 10 /* ms */ };

typedef void (*sample_fn)(void *ctx, int cpu, void *data, unsigned int size);
typedef void (*lost_fn)(void *ctx, int cpu, unsigned long long count);

struct channel {
	struct perf_buffer *perf;
	struct ring_buffer *ring;
	sample_fn sample;
	lost_fn lost;
	bool gave_zero;   /* the key that was last given is all zeros */
};

static struct {
	pthread_mutex_t lock;
	struct ab_object *object;   /* NULL before init and after exit */
	struct channel *channels;   /* by map */
	struct bpf_link **links;
	size_t link_count;
	int stop_fd;                /* readable when loops have to end */
	unsigned loops;
	int log_level;
	char *description;          /* of lbc_get_map_types(), made once */
} lbc = { .lock = PTHREAD_MUTEX_INITIALIZER, .stop_fd = -1, .log_level = -1 };

/* ---- messages ---- */

static void print_line(const char *message, void *ctx)
{
	fprintf(stderr, "anybpf: %s\n", message);
}

/* What failed is always said; the verifier's log from level 0 on. */
static int report(struct ab_error *err, int code)
{
	print_line(err->msg, NULL);
	if (lbc.log_level >= 0 && err->log)
		fprintf(stderr, "%s\n", err->log);
	ab_error_clear(err);
	return code;
}

/* ---- init and exit ---- */

static int open_object(struct ab_object **ret_object, struct ab_error *err)
{
	AB_OPTS(ab_object_opts, opts, .warn = lbc.log_level >= 0 ? print_line : NULL,
		.debug = lbc.log_level >= 2 ? print_line : NULL);

	return ab_library_open(&opts, ret_object, err);
}

static void close_all(void)
{
	struct ab_object *before = ab_log_enter(lbc.object);

	for (size_t i = 0; i < lbc.link_count; i++)
		bpf_link__destroy(lbc.links[i]);
	for (size_t i = 0; lbc.channels && i < lbc.object->map_count; i++) {
		perf_buffer__free(lbc.channels[i].perf);
		ring_buffer__free(lbc.channels[i].ring);
	}
	ab_log_leave(before);
	free(lbc.links);
	free(lbc.channels);
	ab_object_close(lbc.object);
	ab__close(&lbc.stop_fd);
	lbc.links = NULL;
	lbc.link_count = 0;
	lbc.channels = NULL;
	lbc.object = NULL;
	lbc.stop_fd = -1;
}

static int start(int attach, struct ab_error *err)
{
	int r = open_object(&lbc.object, err);

	if (r < 0)
		return r;
	lbc.channels = array_new(lbc.object->map_count, sizeof(*lbc.channels));
	lbc.stop_fd = eventfd(0, EFD_CLOEXEC);
	if (!lbc.channels || lbc.stop_fd < 0)
		r = ab_fail_memory(err);
	if (!r)
		r = ab_object_load(lbc.object, err);
	if (r >= 0 && attach)
		r = ab_object_attach(lbc.object, err);
	if (r < 0)
		close_all();
	return MIN(r, 0);
}

AB_API int lbc_bpf_init(int log_level, int attach);
int lbc_bpf_init(int log_level, int attach)
{
	struct ab_error err = {};
	int r;

	pthread_mutex_lock(&lbc.lock);
	lbc.log_level = log_level;
	if (lbc.object)
		r = ab_fail(&err, AB_ERROR_BUSY, -EBUSY, "lbc_bpf_init() was called already");
	else
		r = start(attach, &err);
	r = r < 0 ? report(&err, r) : 0;
	pthread_mutex_unlock(&lbc.lock);
	return r;
}

/* A loop whose thread never comes back, as when the process is ending, keeps what it uses. */
static bool wait_for_loops(void)
{
	uint64_t one = 1;

	fd_write_all(lbc.stop_fd, &one, sizeof(one));
	for (int i = 0; i < LEAVE_TRIES && __atomic_load_n(&lbc.loops, __ATOMIC_ACQUIRE); i++)
		poll(NULL, 0, LEAVE_WAIT);
	return !__atomic_load_n(&lbc.loops, __ATOMIC_ACQUIRE);
}

AB_API void lbc_bpf_exit(void);
void lbc_bpf_exit(void)
{
	pthread_mutex_lock(&lbc.lock);
	if (lbc.object && wait_for_loops())
		close_all();
	pthread_mutex_unlock(&lbc.lock);
}

/* ---- maps ---- */

static struct ab_map *find_map(int id)
{
	return id < 0 || !lbc.object ? NULL : ab_object_map(lbc.object, id);
}

AB_API int lbc_bpf_get_maps_id(const char *name);
int lbc_bpf_get_maps_id(const char *name)
{
	struct ab_map *map = lbc.object ? ab_object_find_map(lbc.object, name) : NULL;

	return map ? (int)(map - lbc.object->maps) : -1;
}

/*
 * Clients give room for one value, of which the kernel has one for each CPU: they get the sum, and what they write is
 * one CPU's with the others' at zero. Returns a buffer for all CPUs, or NULL with nothing to do when the map is an
 * ordinary one.
 */
static void *per_cpu_buffer(const struct ab_map *map)
{
	return ab_map_is_per_cpu(map) ? calloc(1, ab_map_value_bytes(map)) : NULL;
}

static int lookup(const struct ab_map *map, const void *key, void *value, uint64_t flags)
{
	_free_ void *all = per_cpu_buffer(map);
	int r;

	if (!all && ab_map_is_per_cpu(map))
		return -ENOMEM;
	r = bpf_map_lookup_elem_flags(ab_map_fd(map), key, all ? all : value, flags) < 0 ? -errno : 0;
	if (!r && all)
		ab_map_sum_cpus(map, all, value);
	return r;
}

AB_API int lbc_map_lookup_elem(int id, const void *key, void *value);
int lbc_map_lookup_elem(int id, const void *key, void *value)
{
	struct ab_map *map = find_map(id);

	return map ? lookup(map, key, value, 0) : -1;
}

AB_API int lbc_map_lookup_elem_flags(int id, const void *key, void *value, unsigned long flags);
int lbc_map_lookup_elem_flags(int id, const void *key, void *value, unsigned long flags)
{
	struct ab_map *map = find_map(id);

	return map ? lookup(map, key, value, flags) : -1;
}

AB_API int lbc_map_delete_elem(int id, const void *key);
int lbc_map_delete_elem(int id, const void *key)
{
	struct ab_map *map = find_map(id);

	if (!map)
		return -1;
	return bpf_map_delete_elem(ab_map_fd(map), key) < 0 ? -errno : 0;
}

/* In two steps where the kernel has no such call for this kind of map: before 5.14, and for stacks. */
AB_API int lbc_map_lookup_and_delete_elem(int id, const void *key, void *value);
int lbc_map_lookup_and_delete_elem(int id, const void *key, void *value)
{
	struct ab_map *map = find_map(id);
	int r;

	if (!map)
		return -1;
	if (!ab_map_is_per_cpu(map) && bpf_map_lookup_and_delete_elem(ab_map_fd(map), key, value) == 0)
		return 0;
	if (!ab_map_is_per_cpu(map) && errno == ENOENT)
		return -ENOENT;
	r = lookup(map, key, value, 0);
	return r ? r : lbc_map_delete_elem(id, key);
}

/* Callers whose header has no flags leave what the register holds: only what the kernel knows is taken. */
AB_API int lbc_map_update_elem(int id, const void *key, const void *value, unsigned long flags);
int lbc_map_update_elem(int id, const void *key, const void *value, unsigned long flags)
{
	struct ab_map *map = find_map(id);
	_free_ void *all = map ? per_cpu_buffer(map) : NULL;

	if (!map)
		return -1;
	if (!all && ab_map_is_per_cpu(map))
		return -ENOMEM;
	if (all)
		memcpy(all, value, ab_map_value_size(map));
	if (flags > BPF_EXIST)
		flags = BPF_ANY;
	return bpf_map_update_elem(ab_map_fd(map), key, all ? all : value, flags) < 0 ? -errno : 0;
}

static bool is_zero(const void *key, size_t size)
{
	const char *p = key;

	return !size || (!*p && !memcmp(p, p + 1, size - 1));
}

/*
 * Clients begin with a key of zeros, which the kernel takes for a key: it would begin behind it. So zeros mean the
 * first key, unless zeros are what was given last.
 */
AB_API int lbc_map_get_next_key(int id, const void *key, void *next_key);
int lbc_map_get_next_key(int id, const void *key, void *next_key)
{
	struct ab_map *map = find_map(id);
	struct channel *c = map ? &lbc.channels[id] : NULL;
	int r;

	if (!map)
		return -1;
	if (key && !c->gave_zero && is_zero(key, ab_map_key_size(map)))
		key = NULL;
	r = bpf_map_get_next_key(ab_map_fd(map), key, next_key) < 0 ? -errno : 0;
	c->gave_zero = !r && is_zero(next_key, ab_map_key_size(map));
	return r;
}

/* ---- events ---- */

static void on_sample(void *ctx, int cpu, void *data, uint32_t size)
{
	struct channel *c = ctx;

	if (c->sample)
		c->sample(NULL, cpu, data, size);
}

static void on_lost(void *ctx, int cpu, __u64 count)
{
	struct channel *c = ctx;

	if (c->lost)
		c->lost(NULL, cpu, count);
}

static int on_ring_sample(void *ctx, void *data, size_t size)
{
	on_sample(ctx, -1, data, size);
	return 0;
}

AB_API int lbc_set_event_cb(int id, sample_fn cb, lost_fn lost);
int lbc_set_event_cb(int id, sample_fn cb, lost_fn lost)
{
	struct ab_map *map = find_map(id);
	struct channel *c = map ? &lbc.channels[id] : NULL;
	int r = 0;

	if (!map || ab_map_kind(map) != AB_MAP_EVENTS)
		return -1;
	pthread_mutex_lock(&lbc.lock);
	c->sample = cb;
	c->lost = lost;
	if (bpf_map__type(map->bpf) == BPF_MAP_TYPE_RINGBUF && !c->ring)
		c->ring = ring_buffer__new(ab_map_fd(map), on_ring_sample, c, NULL);
	else if (bpf_map__type(map->bpf) == BPF_MAP_TYPE_PERF_EVENT_ARRAY && !c->perf)
		c->perf = perf_buffer__new(ab_map_fd(map), EVENT_PAGES, on_sample, on_lost, c, NULL);
	if (!c->ring && !c->perf)
		r = -errno;
	pthread_mutex_unlock(&lbc.lock);
	return r;
}

static int loop(struct channel *c)
{
	struct pollfd fds[] = {
		{ .fd = c->perf ? perf_buffer__epoll_fd(c->perf) : ring_buffer__epoll_fd(c->ring), .events = POLLIN },
		{ .fd = lbc.stop_fd, .events = POLLIN },
	};
	int r;

	/* All buffers are looked at: perf says once that one is readable, and has said it to this poll. */
	for (;;) {
		r = c->perf ? perf_buffer__consume(c->perf) : ring_buffer__consume(c->ring);
		if (r < 0)
			return r;
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			return -errno;
		if (fds[1].revents)
			return 0;
	}
}

/*
 * Ends by a signal or lbc_bpf_exit() only: there as well, the time was how long one wait lasts, and waits follow each
 * other.
 */
AB_API int lbc_event_loop(int id, int timeout);
int lbc_event_loop(int id, int timeout)
{
	struct channel *c;
	int r;

	pthread_mutex_lock(&lbc.lock);
	c = find_map(id) ? &lbc.channels[id] : NULL;
	r = !c ? -1 : !c->perf && !c->ring ? -2 : 0;
	if (!r)
		__atomic_fetch_add(&lbc.loops, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&lbc.lock);
	if (r)
		return r;
	r = loop(c);
	__atomic_fetch_sub(&lbc.loops, 1, __ATOMIC_ACQ_REL);
	return r;
}

/* ---- attaching ---- */

static struct bpf_program *find_program(const char *name, struct ab_error *err)
{
	struct ab_program *program = lbc.object ? ab_object_find_program(lbc.object, name) : NULL;

	if (!lbc.object)
		ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' cannot attach before lbc_bpf_init()", name);
	else if (!program || ab_program_fd(program) < 0)
		ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there is no program '%s'", name);
	else
		return program->bpf;
	return NULL;
}

/* Keeps a link, which may be one of many of its program, until the end. */
static int keep_link(struct bpf_link *link, const char *name, const char *target, struct ab_error *err)
{
	int code = -errno;
	struct bpf_link **more;

	if (!link)
		return ab_fail_errno(err, code, "program '%s' cannot attach to %s", name, target);
	more = reallocarray(lbc.links, lbc.link_count + 1, sizeof(*more));
	if (!more) {
		bpf_link__destroy(link);
		return ab_fail_memory(err);
	}
	lbc.links = more;
	more[lbc.link_count++] = link;
	return 0;
}

/* Runs `attach`, an expression of `program` that gives a link, as every lbc_attach_ function does. */
#define ATTACH(name, target, attach)                                                  \
	({                                                                            \
		struct ab_error err = {};                                             \
		struct bpf_program *program;                                          \
		struct ab_object *before;                                             \
		int result = -EINVAL;                                                 \
		pthread_mutex_lock(&lbc.lock);                                        \
		program = find_program(name, &err);                                   \
		if (program) {                                                        \
			before = ab_log_enter(lbc.object);                            \
			result = keep_link(attach, name, target, &err);               \
			ab_log_leave(before);                                         \
		}                                                                     \
		result = result < 0 ? report(&err, result) : 0;                       \
		pthread_mutex_unlock(&lbc.lock);                                      \
		result;                                                               \
	})

AB_API int lbc_attach_kprobe(const char *name, const char *symbol);
int lbc_attach_kprobe(const char *name, const char *symbol)
{
	return ATTACH(name, symbol, bpf_program__attach_kprobe(program, false, symbol));
}

AB_API int lbc_attach_kretprobe(const char *name, const char *symbol);
int lbc_attach_kretprobe(const char *name, const char *symbol)
{
	return ATTACH(name, symbol, bpf_program__attach_kprobe(program, true, symbol));
}

AB_API int lbc_attach_uprobe(const char *name, int pid, const char *path, unsigned long offset);
int lbc_attach_uprobe(const char *name, int pid, const char *path, unsigned long offset)
{
	return ATTACH(name, path, bpf_program__attach_uprobe(program, false, pid, path, offset));
}

AB_API int lbc_attach_uretprobe(const char *name, int pid, const char *path, unsigned long offset);
int lbc_attach_uretprobe(const char *name, int pid, const char *path, unsigned long offset)
{
	return ATTACH(name, path, bpf_program__attach_uprobe(program, true, pid, path, offset));
}

AB_API int lbc_attach_tracepoint(const char *name, const char *category, const char *tracepoint);
int lbc_attach_tracepoint(const char *name, const char *category, const char *tracepoint)
{
	if (lbc.object)
		ab_tracefs_mount(lbc.object);
	return ATTACH(name, tracepoint, bpf_program__attach_tracepoint(program, category, tracepoint));
}

AB_API int lbc_attach_raw_tracepoint(const char *name, const char *tracepoint);
int lbc_attach_raw_tracepoint(const char *name, const char *tracepoint)
{
	return ATTACH(name, tracepoint, bpf_program__attach_raw_tracepoint(program, tracepoint));
}

AB_API int lbc_attach_cgroup(const char *name, int cgroup_fd);
int lbc_attach_cgroup(const char *name, int cgroup_fd)
{
	return ATTACH(name, "the cgroup", bpf_program__attach_cgroup(program, cgroup_fd));
}

AB_API int lbc_attach_netns(const char *name, int netns_fd);
int lbc_attach_netns(const char *name, int netns_fd)
{
	return ATTACH(name, "the network namespace", bpf_program__attach_netns(program, netns_fd));
}

AB_API int lbc_attach_xdp(const char *name, int ifindex);
int lbc_attach_xdp(const char *name, int ifindex)
{
	return ATTACH(name, "the interface", bpf_program__attach_xdp(program, ifindex));
}

static struct bpf_link *attach_perf(struct bpf_program *program, const char *json, int pid, int cpu, int group_fd,
				    int flags, struct ab_error *err)
{
	struct perf_event_attr attr;
	struct bpf_link *link;
	int fd;

	if (ab_lbc_perf_attr(json, &attr, err) < 0) {
		errno = EINVAL;
		return NULL;
	}
	fd = syscall(SYS_perf_event_open, &attr, pid, cpu, group_fd, flags | PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return NULL;
	link = bpf_program__attach_perf_event(program, fd);
	if (!link) {
		int code = errno;

		close(fd);
		errno = code;
	}
	return link;
}

AB_API int lbc_attach_perf_event(const char *name, const char *attr, int pid, int cpu, int group_fd, int flags);
int lbc_attach_perf_event(const char *name, const char *attr, int pid, int cpu, int group_fd, int flags)
{
	return ATTACH(name, "the perf event", attach_perf(program, attr, pid, cpu, group_fd, flags, &err));
}

/* ---- description ---- */

static char *describe(void)
{
	_free_ char *labels = ab_library_section(LBC_SECTION);
	struct ab_object *object = NULL;
	struct ab_error err = {};
	_text_ struct text out = {};
	int r = open_object(&object, &err);

	if (!r)
		r = ab_lbc_describe(object, labels, &out, &err);
	ab_object_close(object);
	if (r < 0) {
		report(&err, r);
		return NULL;
	}
	return text_take(&out);
}

/* Needs no privileges and no lbc_bpf_init(). The text lives as long as the library is loaded. */
AB_API const char *lbc_get_map_types(void);
const char *lbc_get_map_types(void)
{
	pthread_mutex_lock(&lbc.lock);
	if (!lbc.description)
		lbc.description = describe();
	pthread_mutex_unlock(&lbc.lock);
	return lbc.description ? lbc.description : "{\"maps\": {}}";
}

__attribute__((destructor)) static void free_description(void)
{
	free(lbc.description);
}
