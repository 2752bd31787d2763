/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Events: what programs send through ring buffers and perf buffers, of all channels of an object in one reader.
 *
 *	ab_events_open(object, &opts, &events, &err);		opts.event is called for each event
 *	while (ab_events_poll(events, 100, &err) >= 0)
 *		;
 *	ab_events_close(events);
 *
 * An event's type is, in this order: the one given by ab_events_set_type(), AB_EVENTS()'s tag in the program, the struct
 * of a `const struct T *unused` global when there is just one. Without any the event has no format and is bytes.
 *
 * Nothing is lost in silence: what a perf buffer dropped, and what AB_EVENTS() could not send (counted in map NAME_lost),
 * goes to opts.lost within 100 ms of polling, and when the reader closes.
 *
 * Threads: one thread at a time per reader. Callbacks run in the thread that polls.
 */
#ifndef ANYBPF_EVENT_H
#define ANYBPF_EVENT_H

#include <anybpf/object.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_events;
struct ab_format;
struct ab_map;

struct ab_event {
	const char *channel;            /* the map's name */
	const struct ab_format *format; /* NULL: type unknown */
	const void *data;               /* valid during the callback only */
	uint32_t size;                  /* bytes the program sent */
	int32_t cpu;                    /* perf buffer: the CPU it came from; ring buffer: -1 */
};

struct ab_events_opts {
	size_t sz;
	/* Returns 0 to go on; anything else ends the poll, which returns it if negative. */
	int (*event)(const struct ab_event *event, void *ctx);
	/* Told of events that the kernel had to drop, as they become known; may be NULL. */
	void (*lost)(const char *channel, uint64_t count, void *ctx);
	void *ctx;
	uint32_t perf_pages;    /* pages per CPU of a perf buffer, a power of two; 0: 64 */
	size_t :0;
};

/* Names the struct that a channel's events have, before ab_events_open(). Errors: -ENOENT/NOT_FOUND map or type. */
AB_API int ab_events_set_type(struct ab_object *object, const char *channel, const char *type, struct ab_error *err);

/*
 * Opens a reader for all event channels of a loaded object. -ENOENT/NOT_FOUND: the object has none.
 */
AB_API int ab_events_open(struct ab_object *object, const struct ab_events_opts *opts, struct ab_events **ret_events,
			  struct ab_error *err);

/*
 * Hands out some 65,000 events of a channel at most, so that a fast producer cannot keep the caller from its other work.
 * Waits for events at most `timeout_ms` (-1: for ever, 0: not at all) and hands out what is there. Returns the number of
 * events, 0 on timeout or signal.
 */
AB_API int ab_events_poll(struct ab_events *events, int timeout_ms, struct ab_error *err);

/* A descriptor that polls readable when there are events, for the caller's own loop. Borrowed. */
AB_API int ab_events_fd(const struct ab_events *events);

/* Events handed out and events lost since open, over all channels. Either pointer may be NULL. */
AB_API void ab_events_count(const struct ab_events *events, uint64_t *ret_seen, uint64_t *ret_lost);

/* Closes the reader. NULL is allowed. */
AB_API void ab_events_close(struct ab_events *events);

#ifdef __cplusplus
}
#endif
#endif
