/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/run/events.c: ring and perf buffers in one reader, losses, types, and where there is no ring buffer. */
#include <bpf/btf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include "bpf.h"

struct seen {
	unsigned ring, second, perf;
	uint64_t lost, next;
	uint32_t sizes[3];
	int stop_at;    /* events of `ring` after which the callback returns `answer` */
	int answer;
	bool typed;
};

static int on_event(const struct ab_event *event, void *ctx)
{
	struct seen *seen = ctx;
	unsigned which = !strcmp(event->channel, "ring") ? 0 : !strcmp(event->channel, "second") ? 1 : 2;
	uint64_t number;

	memcpy(&number, event->data, sizeof(number));
	seen->sizes[which] = event->size;
	seen->typed = event->format && !strcmp(ab_format_type(event->format), "struct event");
	if (which == 1)
		return seen->second++, 0;
	if (which == 2) {
		ASSERT(event->cpu >= 0);
		return seen->perf++, 0;
	}
	ASSERT_INT(number, seen->next);
	seen->next++;
	return (int)++seen->ring == seen->stop_at ? seen->answer : 0;
}

static void on_lost(const char *channel, uint64_t count, void *ctx)
{
	ASSERT_STR(channel, "ring");
	((struct seen *)ctx)->lost += count;
}

static struct ab_object *start(const char *burst, const char *btf_path, struct seen *seen, struct ab_events **ret_events)
{
	AB_OPTS(ab_object_opts, opts, .pid = getpid(), .warn = unit_warn, .btf_path = btf_path);
	AB_OPTS(ab_events_opts, events_opts, .event = on_event, .lost = on_lost, .ctx = seen);
	struct ab_object *object;
	struct ab_error err = {};

	need_bpf();
	ASSERT_OK(ab_object_open_file(object_path("channel"), &opts, &object, &err), err);
	ASSERT_OK(ab_object_set_param(object, "burst", burst, &err), err);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_OK(ab_events_open(object, &events_opts, ret_events, &err), err);
	ASSERT_OK(ab_object_attach(object, &err), err);
	return object;
}

TEST(reads_all_channels_in_one_reader)
{
	struct seen seen = {};
	struct ab_error err = {};
	struct ab_events *events;
	struct ab_object *object = start("5", NULL, &seen, &events);
	struct pollfd ready = { .fd = ab_events_fd(events), .events = POLLIN };
	uint64_t all, lost;

	ASSERT_INT(ab_events_poll(events, 0, &err), 0);
	ASSERT_INT(poll(&ready, 1, 0), 0);
	getpgid(0);
	ASSERT_INT(poll(&ready, 1, 1000), 1);
	ASSERT_INT(ab_events_poll(events, 1000, &err), 15);
	ASSERT_INT(seen.ring, 5);
	ASSERT_INT(seen.second, 5);
	ASSERT_INT(seen.perf, 5);
	ASSERT_INT(seen.sizes[0], 64);
	ASSERT_INT(seen.sizes[1], 8);
	ASSERT_INT(seen.sizes[2], 64);
	ASSERT(seen.typed);
	ab_events_count(events, &all, &lost);
	ASSERT_INT(all, 15);
	ASSERT_INT(lost, 0);
	ab_events_close(events);
	ab_object_close(object);
}

TEST(counts_what_did_not_fit)
{
	struct seen seen = {};
	struct ab_events *events;
	struct ab_object *object = start("500", NULL, &seen, &events);
	uint64_t lost;

	getpgid(0); /* 500 events of 72 bytes into 4096 */
	while (ab_events_poll(events, 0, NULL) > 0)
		;
	usleep(110000);
	seen.next = 500;
	getpgid(0);
	while (ab_events_poll(events, 0, NULL) > 0)
		;
	ASSERT(seen.lost > 0);
	ab_events_count(events, NULL, &lost);
	ASSERT_INT(lost, seen.lost);
	ab_events_close(events);
	ASSERT_INT(seen.ring + seen.lost, 1000);
	ab_object_close(object);
}

TEST(callback_ends_the_poll_and_nothing_is_lost)
{
	struct seen seen = { .stop_at = 2, .answer = -ECANCELED };
	struct ab_error err = {};
	struct ab_events *events;
	struct ab_object *object = start("5", NULL, &seen, &events);

	getpgid(0);
	ASSERT_INT(ab_events_poll(events, 1000, &err), -ECANCELED);
	ASSERT_INT(seen.ring, 2);
	seen.stop_at = 4;
	seen.answer = 1;
	while (seen.ring < 4)
		ASSERT(ab_events_poll(events, 1000, &err) > 0);
	ASSERT_INT(seen.ring, 4);
	while (ab_events_poll(events, 0, &err) > 0)
		;
	ASSERT_INT(seen.ring + seen.second + seen.perf, 15);
	ab_object_close(object); /* closes the reader too */
}

TEST(types_are_given_or_refused)
{
	struct ab_object *object = open_object("channel", 0);
	struct ab_error err = {};

	ASSERT_OK(ab_events_set_type(object, "perf", "u64", &err), err);
	ASSERT_INT(ab_events_set_type(object, "perf", "struct none", &err), -ENOENT);
	ab_error_clear(&err);
	ASSERT_INT(ab_events_set_type(object, "ring_lost", "u64", &err), -ENOENT);
	ab_object_close(object);
}

TEST(no_channels_no_reader)
{
	AB_OPTS(ab_events_opts, opts, .event = on_event);
	struct ab_error err = {};
	struct ab_object *object;
	struct ab_events *events;

	need_bpf();
	object = open_object("maps", 0);
	ASSERT_INT(ab_events_open(object, &opts, &events, &err), -EINVAL);
	ab_error_clear(&err);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_INT(ab_events_open(object, &opts, &events, &err), -ENOENT);
	ab_object_close(object);
}

/* Types of a kernel before 5.8: enum bpf_func_id without BPF_FUNC_ringbuf_reserve. */
static const char *old_kernel_types(void)
{
	static char path[64];
	struct btf *btf = btf__new_empty();
	const void *data;
	uint32_t size;
	int fd = memfd_create("btf", 0);

	ASSERT(btf__add_int(btf, "int", 4, BTF_INT_SIGNED) > 0);
	ASSERT(btf__add_enum(btf, "bpf_func_id", 4) > 0);
	ASSERT(!btf__add_enum_value(btf, "BPF_FUNC_map_lookup_elem", 1));
	data = btf__raw_data(btf, &size);
	ASSERT_INT(write(fd, data, size), size);
	btf__free(btf);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

TEST(without_ring_buffers_channels_are_perf_buffers)
{
	struct seen seen = {};
	struct ab_error err = {};
	struct ab_events *events;
	struct ab_object *object = start("3", old_kernel_types(), &seen, &events);

	ASSERT(strstr(unit_warnings, "channel 'ring' is a perf buffer: the kernel has no ring buffer"));
	getpgid(0);
	while (seen.ring < 3)
		ASSERT(ab_events_poll(events, 1000, &err) > 0);
	ASSERT_INT(seen.sizes[0], 64);
	ASSERT_INT(seen.second, 0); /* that send stands behind the same question */
	ab_object_close(object);
}
