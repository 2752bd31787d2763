/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the library and its compiler process say to each other: messages over a stream socket, in host byte order (both ends
 * are on one machine and of one build).
 *
 *	message: u32 magic, u32 size of the body, body
 *	body:    fields, one after the other: u32 tag, u32 size, bytes
 *
 * The worker sends CC_HELLO once; then each request is answered by one reply.
 */
#ifndef AB_PROTOCOL_H
#define AB_PROTOCOL_H

#include <base/base.h>
#include "tags.h"

#define CC_MAGIC 0x31636261 /* "abc1" */
#define CC_LIMIT (256u << 20)

struct cc_field {
	uint32_t tag, size;
	const char *data;
};

/* Builds a message in `m`: cc_begin(), cc_add()…, cc_end(), which returns -ENOMEM or -EFBIG when it does not fit. */
void cc_begin(struct text *m);
void cc_add(struct text *m, uint32_t tag, const void *data, size_t size);
/* A virtual file's field, whose name and content come from two places. */
void cc_add_file(struct text *m, const char *name, const char *content, size_t size);
int cc_end(struct text *m);

/* Takes the field at *pos and moves on: 1, 0 at the end, -EBADMSG when the body is damaged. */
int cc_next(const char *body, size_t size, size_t *pos, struct cc_field *ret_field);
/* Splits a CC_FILE field; the content is NUL-terminated. */
int cc_file(const struct cc_field *field, const char **ret_name, const char **ret_content, size_t *ret_size);
uint32_t cc_u32(const char *p);

/* Milliseconds of a clock that only goes forward, for deadlines; a deadline of -1 is never. */
int64_t cc_now(void);
/* Reads one message; the caller frees the body. 0, -EPIPE at end of stream, -ETIMEDOUT, -EBADMSG, -ENOMEM, -errno. */
int cc_receive(int fd, int64_t deadline, char **ret_body, size_t *ret_size);
/* The same in two steps: how large the body is, and the body into room of the caller's. */
int cc_receive_size(int fd, int64_t deadline, size_t *ret_size);
int cc_receive_body(int fd, int64_t deadline, char *body, size_t size);
/* Writes a built message. */
int cc_send(int fd, int64_t deadline, const struct text *m);

#endif
