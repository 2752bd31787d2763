/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * libbpf's messages. Its print callback is one for the process, so ours is installed once and hands each message to the
 * object that the calling thread works on; a thread that works on none goes to whatever callback was there
 * before, so that a program may use libbpf beside us.
 */
#include <pthread.h>
#include "run.h"

#define SAID_LIMIT (32u << 20) /* verifier logs are large, but not endless */

static __thread struct ab_object *current;
static libbpf_print_fn_t previous_print;

PRINTF_LIKE(2, 0) static int print_message(enum libbpf_print_level level, const char *fmt, va_list args)
{
	struct ab_object *object = current;
	char *message = NULL, *text;

	if (!object)
		return previous_print ? previous_print(level, fmt, args) : 0;
	if (level == LIBBPF_DEBUG && !object->opts.debug)
		return 0;
	if (vasprintf(&message, fmt, args) < 0)
		return 0;
	text = str_starts(message, "libbpf: ") ? message + strlen("libbpf: ") : message;
	if (level == LIBBPF_WARN && object->said.n < SAID_LIMIT)
		text_puts(&object->said, text);
	if (object->opts.debug) {
		size_t n = strlen(text);

		if (n && text[n - 1] == '\n')
			text[n - 1] = '\0';
		object->opts.debug(text, object->opts.ctx);
	}
	free(message);
	return 0;
}

static void install_print(void)
{
	previous_print = libbpf_set_print(print_message);
}

struct ab_object *ab_log_enter(struct ab_object *object)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ab_object *before = current;

	pthread_once(&once, install_print);
	current = object;
	if (object != before)
		text_clear(&object->said);
	return before;
}

void ab_log_leave(struct ab_object *previous)
{
	current = previous;
}

/* Later messages of libbpf say that a step failed, earlier ones why: the first line is the essence. */
const char *ab_log_essence(const struct ab_object *object, char *buf, size_t cap)
{
	const char *p = object->said.p ? object->said.p : "";
	size_t n = strcspn(p, "\n");

	snprintf(buf, cap, "%.*s", (int)MIN(n, cap - 1), p);
	return buf;
}

void ab_object_warn(struct ab_object *object, const char *fmt, ...)
{
	char message[1024];
	va_list args;

	if (!object->opts.warn)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	object->opts.warn(message, object->opts.ctx);
}

void ab_object_debug(struct ab_object *object, const char *fmt, ...)
{
	char message[1024];
	va_list args;

	if (!object->opts.debug)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	object->opts.debug(message, object->opts.ctx);
}
