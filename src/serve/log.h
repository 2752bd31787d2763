/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The server's log: one JSON object a line on standard error; and the audit log, the same in a file of its own. */
#ifndef AB_SERVE_LOG_H
#define AB_SERVE_LOG_H

#include <base/base.h>

struct log_line {
	struct text text;
	struct json json;
};

/* Starts a line with time, level and event; add members with json_key(&line->json, …) and so on; then end it. */
void ab_log_begin(struct log_line *line, const char *level, const char *event);
void ab_log_end(struct log_line *line);
/* A whole line with a message. */
void ab_log(const char *level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Opens or reopens the audit log; NULL: none. */
int ab_audit_open(const char *path, struct ab_error *err);
/* `detail` and `token` may be NULL. */
void ab_audit(const char *event, const char *token, const char *address, const char *request, const char *detail);

/* Milliseconds and microseconds of the monotonic clock. */
uint64_t ab_now_ms(void);
uint64_t ab_now_us(void);

#endif
