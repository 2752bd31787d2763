/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What anybpf-remote tells anybpf (remote.h). */
#include <unistd.h>
#include "remote.h"

void ab_frame(const char *word, const void *data, size_t size)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "%s %zu\n", word, size);

	/* Who reads it is gone: nobody is left to tell. */
	if (fd_write_all(STDOUT_FILENO, head, n) < 0 || fd_write_all(STDOUT_FILENO, data, size) < 0)
		_exit(1);
}

void ab_frame_text(const char *word, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ab_frame(word, text, strlen(text));
}

int ab_frame_error(struct ab_error *err)
{
	if (err->log)
		ab_frame("error-log", err->log, strlen(err->log));
	ab_frame_text("error", "%u %d %s", err->kind, err->code, err->msg);
	ab_error_clear(err);
	return 1;
}
