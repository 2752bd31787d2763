/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The worker's memory: malloc() that only moves a pointer, with lists of freed blocks by size so that what a compiler frees is
 * used again at once. A process compiles one source and ends, so nothing is ever given back; half of a general malloc()'s work is for
 * processes that live. Replaces libc's through the linker. One thread.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	GRAIN = 16,
	CLASSES = 129,                  /* sizes up to 2 KiB in steps of 16: a list each */
	BIG_CLASSES = 40,               /* above: powers of two */
	CHUNK = 4 << 20,
};

struct block {
	size_t size; /* of what follows; keeps it aligned to 16 with the unused word before it */
};

struct freed {
	struct freed *next;
};

static struct freed *small_lists[CLASSES], *big_lists[BIG_CLASSES];
static char *chunk, *chunk_end;

/* Sizes above the small ones are powers of two, so that any block of a list fits. */
static size_t round_up(size_t n)
{
	if (n <= GRAIN * (CLASSES - 1))
		return n ? (n + GRAIN - 1) & ~(size_t)(GRAIN - 1) : GRAIN;
	return (size_t)1 << (64 - __builtin_clzl(n - 1));
}

static struct freed **list_of(size_t size)
{
	return size <= GRAIN * (CLASSES - 1) ? &small_lists[size / GRAIN] : &big_lists[63 - __builtin_clzl(size)];
}

static struct block *block_of(void *p)
{
	return (struct block *)((char *)p - sizeof(struct block));
}

static void *take_from_chunk(size_t size, size_t align)
{
	uintptr_t p = ((uintptr_t)chunk + sizeof(struct block) + align - 1) & ~(uintptr_t)(align - 1);

	if (!chunk || p + size > (uintptr_t)chunk_end) {
		size_t n = size + align + CHUNK;

		chunk = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (chunk == MAP_FAILED) {
			chunk = NULL;
			errno = ENOMEM;
			return NULL;
		}
		chunk_end = chunk + n;
		p = ((uintptr_t)chunk + sizeof(struct block) + align - 1) & ~(uintptr_t)(align - 1);
	}
	chunk = (char *)p + size;
	block_of((void *)p)->size = size;
	return (void *)p;
}

void *malloc(size_t n)
{
	size_t size = n > PTRDIFF_MAX / 2 ? 0 : round_up(n);
	struct freed **list, *p;

	if (!size) {
		errno = ENOMEM;
		return NULL;
	}
	list = list_of(size);
	p = *list;
	if (!p)
		return take_from_chunk(size, GRAIN);
	*list = p->next;
	return p;
}

void free(void *p)
{
	struct freed **list;

	if (!p)
		return;
	list = list_of(block_of(p)->size);
	((struct freed *)p)->next = *list;
	*list = p;
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : malloc(bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

void *realloc(void *p, size_t n)
{
	void *q;

	if (p && n <= block_of(p)->size)
		return p;
	q = malloc(n);
	if (p && q) {
		memcpy(q, p, block_of(p)->size);
		free(p);
	}
	return q;
}

void *aligned_alloc(size_t align, size_t n)
{
	return align <= GRAIN ? malloc(n) : take_from_chunk(round_up(n), align);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	return aligned_alloc(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	*p = aligned_alloc(align, n);
	return *p ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *p);
size_t malloc_usable_size(void *p)
{
	return p ? block_of(p)->size : 0;
}
