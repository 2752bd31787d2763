/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Server-sent events: a buffer that other threads fill and the HTTP library empties. While it is empty the connection is
 * suspended; who fills it resumes it. The lock decides which of the two comes first.
 */
#include "jobs.h"
#include "server.h"

enum { KEEP_ALIVE_MS = 10000 };

struct stream {
	unsigned refs;
	struct stream *prev, *next; /* of all streams */
	pthread_mutex_t lock;
	struct MHD_Connection *mhd; /* NULL: the client is gone or has all */
	struct text buffer;
	size_t taken;
	uint64_t sent_at;
	bool is_suspended, is_ended;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *first_stream;

struct stream *ab_stream_new(struct request *q)
{
	struct stream *s = array_new(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->mhd = q->mhd;
	s->sent_at = ab_now_ms();
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_lock(&all_lock);
	s->next = first_stream;
	if (s->next)
		s->next->prev = s;
	first_stream = s;
	pthread_mutex_unlock(&all_lock);
	return s;
}

struct stream *ab_stream_ref(struct stream *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void ab_stream_unref(struct stream *s)
{
	bool is_last;

	if (!s)
		return;
	/* Under the list's lock, so that ab_streams_keep_alive() does not meet one that is being freed. */
	pthread_mutex_lock(&all_lock);
	is_last = !__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL);
	if (is_last) {
		*(s->prev ? &s->prev->next : &first_stream) = s->next;
		if (s->next)
			s->next->prev = s->prev;
	}
	pthread_mutex_unlock(&all_lock);
	if (!is_last)
		return;
	text_clear(&s->buffer);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* With the lock held. */
static void wake(struct stream *s)
{
	s->sent_at = ab_now_ms();
	if (s->is_suspended && s->mhd) {
		s->is_suspended = false;
		MHD_resume_connection(s->mhd);
	}
}

void ab_stream_send(struct stream *s, const char *event, const char *data, size_t size, bool is_last)
{
	pthread_mutex_lock(&s->lock);
	if (s->mhd) {
		text_printf(&s->buffer, "event: %s\ndata: ", event);
		/* JSON as this server writes it has no line break but the last. */
		text_add(&s->buffer, data, size && data[size - 1] == '\n' ? size - 1 : size);
		text_puts(&s->buffer, "\n\n");
		s->is_ended |= is_last;
		wake(s);
	}
	pthread_mutex_unlock(&s->lock);
}

size_t ab_stream_sent(struct stream *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->taken;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void ab_streams_keep_alive(void)
{
	uint64_t now = ab_now_ms();

	pthread_mutex_lock(&all_lock);
	for (struct stream *s = first_stream; s; s = s->next) {
		pthread_mutex_lock(&s->lock);
		if (s->mhd && !s->is_ended && now - s->sent_at >= KEEP_ALIVE_MS) {
			text_puts(&s->buffer, ": working\n\n");
			wake(s);
		}
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&all_lock);
}

static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t cap)
{
	struct stream *s = cls;
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->taken < s->buffer.n) {
		n = MIN(cap, s->buffer.n - s->taken);
		memcpy(out, s->buffer.p + s->taken, n);
		s->taken += n;
	} else if (s->buffer.failed) {
		n = MHD_CONTENT_READER_END_WITH_ERROR;
	} else if (s->is_ended) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		MHD_suspend_connection(s->mhd);
		s->is_suspended = true;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void end_stream(void *cls)
{
	struct stream *s = cls;

	pthread_mutex_lock(&s->lock);
	s->mhd = NULL;
	pthread_mutex_unlock(&s->lock);
	ab_stream_unref(s);
}

struct MHD_Response *ab_stream_response(struct stream *s)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, ab_stream_ref(s), end_stream);

	if (!response)
		ab_stream_unref(s);
	else
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	return response;
}
