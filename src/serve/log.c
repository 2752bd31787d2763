/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* JSON log lines (log.h): each is one write(2), so lines of several threads do not mix. */
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include "log.h"
#include "owner.h"

static int audit_fd = -1;
static pthread_rwlock_t audit_lock = PTHREAD_RWLOCK_INITIALIZER;

static uint64_t read_clock(uint64_t parts)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * parts + t.tv_nsec / (1000000000 / parts);
}

uint64_t ab_now_ms(void)
{
	return read_clock(1000);
}

uint64_t ab_now_us(void)
{
	return read_clock(1000000);
}

static void write_time(struct text *out)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	text_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		    tm.tm_min, tm.tm_sec, t.tv_nsec / 1000000);
}

void ab_log_begin(struct log_line *line, const char *level, const char *event)
{
	*line = (struct log_line){};
	line->json.out = &line->text;
	text_puts(&line->text, "{\"time\":");
	write_time(&line->text);
	text_printf(&line->text, ",\"level\":\"%s\",\"event\":\"%s\"", level, event);
	line->json.depth = 1;
	line->json.comma = ~0ULL;
}

static void write_line(struct log_line *line, int fd)
{
	text_puts(&line->text, "}\n");
	if (!line->text.failed && fd >= 0)
		(void)fd_write_all(fd, line->text.p, line->text.n);
	text_clear(&line->text);
}

void ab_log_end(struct log_line *line)
{
	write_line(line, STDERR_FILENO);
}

void ab_log(const char *level, const char *event, const char *fmt, ...)
{
	struct log_line line;
	_free_ char *message = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&message, fmt, args) < 0)
		message = NULL;
	va_end(args);
	ab_log_begin(&line, level, event);
	json_member_str(&line.json, "message", message);
	ab_log_end(&line);
}

int ab_audit_open(const char *path, struct ab_error *err)
{
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1, old;

	if (path && fd < 0)
		return ab_fail_errno(err, -errno, "log.audit: unable to open '%s'", path);
	if (path)
		ab_give_to_owner(path);
	pthread_rwlock_wrlock(&audit_lock);
	old = audit_fd;
	audit_fd = fd;
	pthread_rwlock_unlock(&audit_lock);
	if (old >= 0)
		close(old);
	return 0;
}

static void add_member(struct json *j, const char *key, const char *value)
{
	if (value)
		json_member_str(j, key, value);
}

void ab_audit(const char *event, const char *token, const char *address, const char *request, const char *detail)
{
	struct log_line line;

	pthread_rwlock_rdlock(&audit_lock);
	if (audit_fd >= 0) {
		ab_log_begin(&line, "audit", event);
		add_member(&line.json, "token", token);
		add_member(&line.json, "address", address);
		add_member(&line.json, "request", request);
		add_member(&line.json, "detail", detail);
		write_line(&line, audit_fd);
	}
	pthread_rwlock_unlock(&audit_lock);
}
