/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The reader of all event channels of an object. Each ring buffer and each CPU's perf buffer is a source of one epoll set, and is
 * emptied when it is ready: perf buffers by libbpf, ring buffers by ring.h.
 *
 * The kernel tells of lost events in perf buffers only. What else a program could not send it counts itself, in a per-CPU array
 * NAME_lost beside channel NAME (bpf/anybpf.bpf.h); its growth is reported at polls, and when the reader closes.
 */
#include <linux/perf_event.h>
#include <run/format.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "ring.h"
#include "run.h"

#define DEFAULT_PAGES 64
#define SOURCE_EVENTS 65536     /* of a source in one poll: a faster producer must not keep it from ever returning */
#define LOST_INTERVAL 100000000 /* ns between looks at the counters */

struct source {
	struct ab_event event;      /* what the callback gets: only data, size and a perf buffer's CPU change */
	struct ab_events *events;
	struct ring ring;           /* or: */
	struct perf_buffer *perf;   /* shared by the sources of all CPUs; `first` owns it and is what its callback gets */
	struct source *first;
	size_t index;               /* of the CPU's buffer in `perf` */
	uint32_t count;             /* `first`: events in this turn */
	bool pending;               /* was ready and is not emptied: perf says so only once */
};

struct ab_events {
	struct ab_object *object;
	struct ab_events *next;
	struct ab_events_opts opts;
	struct source **sources;
	size_t source_count;
	struct epoll_event *ready;
	size_t pending;     /* sources that are */
	int epoll_fd;
	uint64_t seen, lost; /* seen: up to the last source that was emptied */
	uint64_t looked_at; /* the lost counters, CLOCK_MONOTONIC ns */
	int stop;           /* what the callback returned to end the poll */
};

/* ---- types ---- */

int ab_events_set_type(struct ab_object *object, const char *channel, const char *type, struct ab_error *err)
{
	struct ab_map *map = ab_object_find_map(object, channel);
	_free_ char *nearest = NULL;
	char *copy;

	if (!map || ab_map_kind(map) != AB_MAP_EVENTS)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no event channel '%s'", object->name, channel);
	if (!ab_btf_find_c(object->btf, type)) {
		nearest = ab_btf_nearest(object->btf, type);
		if (nearest)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no type '%.100s'; did you mean '%s'?",
				       object->name, type, nearest);
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no type '%.100s': a compiler keeps those that maps and "
			       "globals have, such as 'const %.100s *unused;'", object->name, type, type);
	}
	copy = strdup(type);
	if (!copy)
		return ab_fail_memory(err);
	free(map->event_type);
	map->event_type = copy;
	ab_format_free(TAKE(map->event_format));
	return 0;
}

/* The struct of the only global `const struct T *unused`: how other tools keep an event's type in the object. */
static uint32_t find_only_pointee(const struct ab_btf *btf)
{
	uint32_t found = 0;

	for (uint32_t id = 1; id < ab_btf_count(btf); id++) {
		const struct btf_type *t = ab_btf_type(btf, id), *pointer;
		uint32_t to;

		if (ab_btf_kind(t) != BTF_KIND_VAR || ((const struct btf_var *)ab_btf_data(t))->linkage == BTF_VAR_STATIC)
			continue;
		pointer = ab_btf_type(btf, ab_btf_resolve(btf, t->type));
		if (ab_btf_kind(pointer) != BTF_KIND_PTR || ab_btf_kind(ab_btf_type(btf, pointer->type)) != BTF_KIND_CONST)
			continue;
		to = ab_btf_resolve(btf, pointer->type);
		if (ab_btf_kind(ab_btf_type(btf, to)) != BTF_KIND_STRUCT)
			continue;
		if (found && found != to)
			return 0;
		found = to;
	}
	return found;
}

uint32_t ab_map_event_type(const struct ab_map *map)
{
	const struct ab_btf *btf = map->object->btf;
	const char *tag = map->event_type ? map->event_type : ab_map_tag(map, "event=");

	return tag ? ab_btf_find_c(btf, tag) : find_only_pointee(btf);
}

/* Without one, events stay bytes, which is said. */
static void make_format(struct ab_map *map)
{
	const char *tag = map->event_type ? map->event_type : ab_map_tag(map, "event="), *name = ab_map_name(map);
	uint32_t type = ab_map_event_type(map);
	struct ab_error why = {};

	if (map->event_format)
		return;
	if (!type && tag)
		ab_object_warn(map->object, "events of '%s' stay bytes: the object's BTF has no '%s'", name, tag);
	else if (!type)
		ab_object_warn(map->object, "events of '%s' stay bytes: nothing says their type: AB_EVENTS() in the source "
			       "does, or --event '%s=struct NAME'", name, name);
	else if (ab_format_make(map->object, map->object->btf, type, NULL, NULL, &map->event_format, &why) < 0)
		ab_object_warn(map->object, "events of '%s' stay bytes: %s", name, why.msg);
	ab_error_clear(&why);
}

/* ---- lost events ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void report_lost(struct ab_events *events, const char *channel, uint64_t count)
{
	events->lost += count;
	if (events->opts.lost)
		events->opts.lost(channel, count, events->opts.ctx);
}

static uint64_t read_counter(const struct ab_map *counter)
{
	_free_ uint64_t *values = calloc(1, ab_map_value_bytes(counter));
	uint64_t sum = 0;
	uint32_t zero = 0;

	if (!values || ab_map_value_size(counter) != sizeof(*values) || ab_map_key_size(counter) != sizeof(zero) ||
	    ab_map_lookup(counter, &zero, values, NULL) < 0)
		return 0;
	for (size_t i = 0; i < ab_map_cpu_count(counter); i++)
		sum += values[i];
	return sum;
}

static void look_for_lost(struct ab_events *events)
{
	struct ab_object *object = events->object;
	char name[256];

	for (size_t i = 0; i < object->map_count; i++) {
		struct ab_map *map = &object->maps[i], *counter;
		uint64_t count;

		if (ab_map_kind(map) != AB_MAP_EVENTS)
			continue;
		snprintf(name, sizeof(name), "%s_lost", ab_map_name(map));
		counter = ab_object_find_map(object, name);
		count = counter ? read_counter(counter) : 0;
		if (count > map->lost_seen) {
			report_lost(events, ab_map_name(map), count - map->lost_seen);
			map->lost_seen = count;
		}
	}
	events->looked_at = now_ns();
}

/* ---- events ---- */

/* Empties a ring buffer, millions of times a second at best: as few loads and stores an event as it takes. */
static uint32_t read_ring(struct source *s)
{
	int (*handle)(const struct ab_event *event, void *ctx) = s->events->opts.event;
	struct ring ring = s->ring; /* a copy, which the callback cannot change and registers can hold */
	void *ctx = s->events->opts.ctx, *data;
	uint32_t size, n = 0;
	int stop = 0;

	ring_begin(&ring);
	while (n < SOURCE_EVENTS && !stop && (data = ring_next(&ring, &size))) {
		n++;
		s->event.data = data;
		s->event.size = size;
		stop = handle(&s->event, ctx);
	}
	ring_release(&ring);
	s->events->stop = stop;
	return n;
}

/* perf pads what the program sent to 8 bytes with its own length before it; only the type tells where the event ends. */
static uint32_t trim(const struct source *s, uint32_t size)
{
	size_t want = s->event.format ? ab_format_size(s->event.format) : 0;

	return want && size > want && size - want < 8 ? (uint32_t)want : size;
}

static enum bpf_perf_event_ret perf_sample(void *ctx, int cpu, struct perf_event_header *head)
{
	struct source *s = ctx;
	struct sample { struct perf_event_header head; uint32_t size; char data[]; } *sample = (void *)head;
	struct lost { struct perf_event_header head; uint64_t id, count; } *lost = (void *)head;

	if (head->type == PERF_RECORD_LOST && head->size >= sizeof(*lost))
		report_lost(s->events, s->event.channel, lost->count);
	if (head->type != PERF_RECORD_SAMPLE || head->size < sizeof(*sample) ||
	    sample->size > head->size - sizeof(*sample))
		return LIBBPF_PERF_EVENT_CONT;
	s->event.cpu = cpu;
	s->event.data = sample->data;
	s->event.size = trim(s, sample->size);
	s->count++;
	s->events->stop = s->events->opts.event(&s->event, s->events->opts.ctx);
	return s->events->stop || s->count == SOURCE_EVENTS ? LIBBPF_PERF_EVENT_DONE : LIBBPF_PERF_EVENT_CONT;
}

/* ---- open ---- */

static struct source *add_source(struct ab_events *events, struct ab_map *map, struct ab_error *err)
{
	struct source **more = reallocarray(events->sources, events->source_count + 1, sizeof(*more)), *s;

	if (more)
		events->sources = more;
	s = more ? calloc(1, sizeof(*s)) : NULL;
	if (!s) {
		ab_fail_memory(err);
		return NULL;
	}
	s->events = events;
	s->first = s;
	s->event = (struct ab_event){ .channel = ab_map_name(map), .format = map->event_format, .cpu = -1 };
	more[events->source_count++] = s;
	return s;
}

static int watch(struct ab_events *events, int fd, struct ab_error *err)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)(events->source_count - 1) };

	if (epoll_ctl(events->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		return ab_fail_errno(err, -errno, "event channels");
	return 0;
}

static int open_ring(struct ab_events *events, struct ab_map *map, struct ab_error *err)
{
	struct source *s = add_source(events, map, err);
	int r;

	if (!s)
		return -ENOMEM;
	r = ring_open(&s->ring, ab_map_fd(map), bpf_map__max_entries(map->bpf));
	if (r < 0)
		return ab_fail_errno(err, r, "ring buffer '%s'", s->event.channel);
	return watch(events, ab_map_fd(map), err);
}

static int open_perf(struct ab_events *events, struct ab_map *map, struct ab_error *err)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr), .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW, .sample_period = 1, .wakeup_events = 1,
	};
	uint32_t pages = OPT(&events->opts, perf_pages) ? events->opts.perf_pages : DEFAULT_PAGES;
	struct source *first = add_source(events, map, err), *s = first;
	int r;

	if (!first)
		return -ENOMEM;
	first->perf = perf_buffer__new_raw(ab_map_fd(map), pages, &attr, perf_sample, first, NULL);
	if (!first->perf)
		return ab_fail_errno(err, -errno, "perf buffer '%s'", first->event.channel);
	for (size_t i = 0; i < perf_buffer__buffer_cnt(first->perf); i++) {
		if (i) {
			s = add_source(events, map, err);
			if (!s)
				return -ENOMEM;
			s->perf = first->perf;
			s->first = first;
			s->index = i;
		}
		r = watch(events, perf_buffer__buffer_fd(first->perf, i), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_sources(struct ab_events *events, struct ab_error *err)
{
	struct ab_object *object = events->object;
	int r = 0;

	events->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (events->epoll_fd < 0)
		return ab_fail_errno(err, -errno, "event channels");
	for (size_t i = 0; !r && i < object->map_count; i++) {
		struct ab_map *map = &object->maps[i];

		if (ab_map_kind(map) != AB_MAP_EVENTS || ab_map_fd(map) < 0)
			continue;
		make_format(map);
		r = bpf_map__type(map->bpf) == BPF_MAP_TYPE_RINGBUF ? open_ring(events, map, err) :
								       open_perf(events, map, err);
	}
	if (r < 0)
		return r;
	if (!events->source_count)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no event channels", object->name);
	events->ready = array_new(events->source_count, sizeof(*events->ready));
	return events->ready ? 0 : ab_fail_memory(err);
}

int ab_events_open(struct ab_object *object, const struct ab_events_opts *opts, struct ab_events **ret_events,
		   struct ab_error *err)
{
	struct ab_events *events;
	struct ab_object *before;
	uint32_t pages = OPT(opts, perf_pages);
	int r;

	if (!object->loaded)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not loaded", object->name);
	if (!OPT(opts, event) || (pages & (pages - 1)))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "events need a callback, and a power of two as perf_pages");
	events = calloc(1, sizeof(*events));
	if (!events)
		return ab_fail_memory(err);
	events->object = object;
	events->opts = (struct ab_events_opts){ .sz = sizeof(events->opts), .event = OPT(opts, event),
						.lost = OPT(opts, lost), .ctx = OPT(opts, ctx), .perf_pages = pages };
	events->next = object->readers;
	object->readers = events;
	before = ab_log_enter(object);
	r = open_sources(events, err);
	ab_log_leave(before);
	if (r < 0) {
		ab_events_close(events);
		return r;
	}
	*ret_events = events;
	return 0;
}

/* ---- poll ---- */

/* Returns how many events it handed out. */
static int drain(struct source *s)
{
	struct ab_events *events = s->events;
	uint32_t n;
	int r = 0;

	if (s->perf) {
		s->first->count = 0;
		r = perf_buffer__consume_buffer(s->perf, s->index);
		n = s->first->count;
	} else {
		n = read_ring(s);
	}
	events->seen += n;
	if (!events->stop && n < SOURCE_EVENTS) {
		s->pending = false;
		events->pending--;
	}
	return r < 0 ? r : (int)n;
}

static int wait_ready(struct ab_events *events, int timeout_ms)
{
	int n = epoll_wait(events->epoll_fd, events->ready, (int)events->source_count, events->pending ? 0 : timeout_ms);

	for (int i = 0; i < n; i++) {
		struct source *s = events->sources[events->ready[i].data.u32];

		events->pending += !s->pending;
		s->pending = true;
	}
	/* perf tells once that it is readable, and may have told it to an outer epoll set that holds ab_events_fd(). */
	for (size_t i = 0; i < events->source_count; i++) {
		struct source *s = events->sources[i];

		events->pending += s->perf && !s->pending;
		s->pending |= s->perf != NULL;
	}
	return n < 0 && errno != EINTR ? -errno : 0;
}

int ab_events_poll(struct ab_events *events, int timeout_ms, struct ab_error *err)
{
	struct ab_object *before;
	int r, seen = 0;

	events->stop = 0;
	r = wait_ready(events, timeout_ms);
	if (r < 0)
		return ab_fail_errno(err, r, "waiting for events");
	before = ab_log_enter(events->object);
	for (size_t i = 0; i < events->source_count && events->pending && !events->stop; i++) {
		r = events->sources[i]->pending ? drain(events->sources[i]) : 0;
		if (r < 0)
			break;
		seen += r;
	}
	ab_log_leave(before);
	if (now_ns() - events->looked_at >= LOST_INTERVAL)
		look_for_lost(events);
	if (r < 0)
		return ab_fail_errno(err, r, "reading events");
	return events->stop < 0 ? events->stop : seen;
}

int ab_events_fd(const struct ab_events *events)
{
	return events->epoll_fd;
}

void ab_events_count(const struct ab_events *events, uint64_t *ret_seen, uint64_t *ret_lost)
{
	if (ret_seen)
		*ret_seen = events->seen;
	if (ret_lost)
		*ret_lost = events->lost;
}

void ab_events_close(struct ab_events *events)
{
	if (!events)
		return;
	if (events->source_count)
		look_for_lost(events);
	for (struct ab_events **at = &events->object->readers; *at; at = &(*at)->next) {
		if (*at != events)
			continue;
		*at = events->next;
		break;
	}
	for (size_t i = 0; i < events->source_count; i++) {
		struct source *s = events->sources[i];

		ring_close(&s->ring);
		if (s->first == s && s->perf)
			perf_buffer__free(s->perf);
		free(s);
	}
	if (events->epoll_fd > 0)
		close(events->epoll_fd);
	free(events->sources);
	free(events->ready);
	free(events);
}
