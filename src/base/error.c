/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The error object: filled where the failure is seen, prefixed with context on the way up, read once by the caller. */
#include "base.h"

struct kind {
	const char *word;
	int exit_status;
};

static const struct kind kinds[] = {
#define AB_ERROR_KIND(name, value, word, exit_status, http_status, meaning) [value] = { word, exit_status },
#include <anybpf/errors.def>
#undef AB_ERROR_KIND
};

static const struct kind *find_kind(uint32_t kind)
{
	return &kinds[kind < ARRAY_SIZE(kinds) ? kind : AB_ERROR_INTERNAL];
}

const char *ab_error_word(uint32_t kind)
{
	return find_kind(kind)->word;
}

int ab_error_exit_status(uint32_t kind)
{
	return find_kind(kind)->exit_status;
}

const char *ab_version(void)
{
	return ANYBPF_VERSION;
}

void ab_error_clear(struct ab_error *err)
{
	if (!err)
		return;
	free(err->log);
	*err = (struct ab_error){};
}

/* Messages are one line: what came from a file name or a compiler must not break a terminal or a log. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

static enum ab_error_kind kind_of_errno(int code)
{
	switch (-code) {
	case ENOENT: case ENODEV: case ENXIO: case ESRCH: return AB_ERROR_NOT_FOUND;
	case EPERM: case EACCES: return AB_ERROR_PERMISSION;
	case EBUSY: case EEXIST: return AB_ERROR_BUSY;
	case EOPNOTSUPP: case ENOSYS: case EPROTONOSUPPORT: return AB_ERROR_UNSUPPORTED;
	case EINVAL: case ERANGE: case ENOTDIR: case EISDIR: return AB_ERROR_USAGE;
	case EBADMSG: return AB_ERROR_FORMAT;
	case E2BIG: case EFBIG: case ETIMEDOUT: return AB_ERROR_LIMIT;
	case ENOMEM: return AB_ERROR_NO_MEMORY;
	default: return AB_ERROR_IO;
	}
}

PRINTF_LIKE(4, 0)
static int fail_va(struct ab_error *err, enum ab_error_kind kind, int code, const char *fmt, va_list args)
{
	if (!err || err->code)
		return code;
	err->code = code;
	err->kind = kind;
	vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	make_printable(err->msg);
	return code;
}

int ab_fail(struct ab_error *err, enum ab_error_kind kind, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail_va(err, kind, code, fmt, args);
	va_end(args);
	return code;
}

int ab_fail_errno(struct ab_error *err, int code, const char *fmt, ...)
{
	va_list args;
	size_t n;

	if (!err || err->code)
		return code;
	va_start(args, fmt);
	fail_va(err, kind_of_errno(code), code, fmt, args);
	va_end(args);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", strerror(-code));
	return code;
}

int ab_fail_memory(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_NO_MEMORY, -ENOMEM, "memory ran out");
}

void ab_error_prefix(struct ab_error *err, const char *fmt, ...)
{
	char msg[sizeof(err->msg)];
	va_list args;
	int n;

	if (!err || !err->code)
		return;
	va_start(args, fmt);
	n = vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n + 2 >= sizeof(msg))
		return;
	make_printable(msg);
	snprintf(msg + n, sizeof(msg) - n, ": %.*s", (int)(sizeof(msg) - n - 3), err->msg);
	memcpy(err->msg, msg, sizeof(msg));
}

void ab_error_set_log(struct ab_error *err, const char *log)
{
	if (!err)
		return;
	free(err->log);
	err->log = log ? strdup(log) : NULL;
}
