/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Reading a BPF ring buffer by the kernel's layout (Documentation/bpf/ringbuf.rst): a page with the consumer's position, a page
 * with the producer's, then the data, mapped twice in a row so that no record wraps. A record is its length with two flags, four
 * bytes of the kernel's own, and the data, padded to 8.
 *
 * libbpf's reader calls back and gives space back for each record; this one steps through them and gives space back
 * by the sixteenth of the ring, which costs a producer on another CPU fewer cache misses.
 */
#ifndef AB_RING_H
#define AB_RING_H

#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>
#include <base/base.h>

struct ring {
	unsigned long *consumer;
	const unsigned long *producer;
	const uint8_t *data;
	unsigned long pos, end, released; /* where reading is, how far the producer was, what it has been told */
	size_t size, page;
};

static inline int ring_open(struct ring *r, int map_fd, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *producer;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, map_fd, (off_t)page);
	if (producer == MAP_FAILED) {
		int code = -errno;

		munmap(consumer, page);
		return code;
	}
	*r = (struct ring){ .consumer = consumer, .producer = producer, .data = (uint8_t *)producer + page, .size = size,
			    .page = page };
	return 0;
}

static inline void ring_close(struct ring *r)
{
	if (!r->consumer)
		return;
	munmap(r->consumer, r->page);
	munmap((void *)r->producer, r->page + 2 * r->size);
}

static inline void ring_begin(struct ring *r)
{
	r->pos = r->end = r->released = *r->consumer;
}

/* Gives back the space of all records that ring_next() returned. */
static inline void ring_release(struct ring *r)
{
	__atomic_store_n(r->consumer, r->pos, __ATOMIC_RELEASE);
	r->released = r->pos;
}

/* The next record, which stays until the next call; NULL, with all space given back, when there is none. */
static inline void *ring_next(struct ring *r, uint32_t *ret_size)
{
	for (;;) {
		const uint8_t *record;
		uint32_t len;

		if (r->pos - r->released > r->size / 16)
			ring_release(r);
		if (r->pos == r->end) {
			ring_release(r);
			r->end = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
			if (r->pos == r->end)
				return NULL;
		}
		record = r->data + (r->pos & (r->size - 1));
		len = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		if (len & BPF_RINGBUF_BUSY_BIT) {
			ring_release(r);
			return NULL;
		}
		r->pos += ((len & ~BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ + 7) & ~7UL;
		if (len & BPF_RINGBUF_DISCARD_BIT)
			continue;
		/* The next records come from memory while the caller looks at this one. */
		__builtin_prefetch(record + 256);
		*ret_size = len;
		return (void *)(record + BPF_RINGBUF_HDR_SZ);
	}
}

#endif
