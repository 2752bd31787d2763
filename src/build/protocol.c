/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Messages between library and compiler process: building, reading, moving them (protocol.h). */
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "protocol.h"

uint32_t cc_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void add_u32(struct text *m, size_t v)
{
	uint32_t u = v;

	text_add(m, (const char *)&u, sizeof(u));
}

void cc_begin(struct text *m)
{
	text_clear(m);
	add_u32(m, CC_MAGIC);
	add_u32(m, 0);
}

void cc_add(struct text *m, uint32_t tag, const void *data, size_t size)
{
	if (size > CC_LIMIT) {
		m->failed = true;
		return;
	}
	add_u32(m, tag);
	add_u32(m, size);
	text_add(m, data, size);
}

void cc_add_file(struct text *m, const char *name, const char *content, size_t size)
{
	size_t n = strlen(name) + 1;

	if (size > CC_LIMIT || n > CC_LIMIT) {
		m->failed = true;
		return;
	}
	add_u32(m, CC_FILE);
	add_u32(m, n + size + 1);
	text_add(m, name, n);
	text_add(m, content, size);
	text_add(m, "", 1);
}

int cc_end(struct text *m)
{
	uint32_t size;

	if (m->failed)
		return -ENOMEM;
	if (m->n - 8 > CC_LIMIT)
		return -EFBIG;
	size = m->n - 8;
	memcpy(m->p + 4, &size, sizeof(size));
	return 0;
}

int cc_next(const char *body, size_t size, size_t *pos, struct cc_field *ret_field)
{
	uint32_t length;

	if (*pos == size)
		return 0;
	if (*pos > size || size - *pos < 8)
		return -EBADMSG;
	length = cc_u32(body + *pos + 4);
	if (length > size - *pos - 8)
		return -EBADMSG;
	*ret_field = (struct cc_field){ .tag = cc_u32(body + *pos), .size = length, .data = body + *pos + 8 };
	*pos += 8 + length;
	return 1;
}

int cc_file(const struct cc_field *field, const char **ret_name, const char **ret_content, size_t *ret_size)
{
	const char *end = memchr(field->data, '\0', field->size);

	if (!end || end == field->data || end + 1 == field->data + field->size || field->data[field->size - 1])
		return -EBADMSG;
	*ret_name = field->data;
	*ret_content = end + 1;
	*ret_size = field->data + field->size - 1 - (end + 1);
	return 0;
}

int64_t cc_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline < 0 ? -1 : MAX(deadline - cc_now(), 0);
		int n = poll(&p, 1, MIN(left, INT32_MAX));

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int read_all(int fd, int64_t deadline, char *p, size_t size)
{
	while (size) {
		ssize_t n = recv(fd, p, size, MSG_DONTWAIT);

		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (n < 0) {
			int r = wait_for(fd, POLLIN, deadline);

			if (r)
				return r;
			continue;
		}
		p += n;
		size -= n;
	}
	return 0;
}

int cc_receive_size(int fd, int64_t deadline, size_t *ret_size)
{
	char head[8];
	int r = read_all(fd, deadline, head, sizeof(head));

	if (r)
		return r;
	if (cc_u32(head) != CC_MAGIC || cc_u32(head + 4) > CC_LIMIT)
		return -EBADMSG;
	*ret_size = cc_u32(head + 4);
	return 0;
}

int cc_receive_body(int fd, int64_t deadline, char *body, size_t size)
{
	return read_all(fd, deadline, body, size);
}

int cc_receive(int fd, int64_t deadline, char **ret_body, size_t *ret_size)
{
	_free_ char *body = NULL;
	size_t size;
	int r = cc_receive_size(fd, deadline, &size);

	if (r)
		return r;
	body = malloc(size + 1);
	if (!body)
		return -ENOMEM;
	r = cc_receive_body(fd, deadline, body, size);
	if (r)
		return r;
	body[size] = '\0';
	*ret_body = TAKE(body);
	*ret_size = size;
	return 0;
}

int cc_send(int fd, int64_t deadline, const struct text *m)
{
	size_t done = 0;

	while (done < m->n) {
		ssize_t n = send(fd, m->p + done, m->n - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (n < 0) {
			int r = wait_for(fd, POLLOUT, deadline);

			if (r)
				return r;
			continue;
		}
		done += n;
	}
	return 0;
}
