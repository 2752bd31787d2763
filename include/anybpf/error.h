/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Errors of libanybpf.
 *
 * Every function that can fail returns an int: 0 or positive on success, a negative errno on failure. The detail goes to
 * a struct ab_error that the caller owns and passes as the last argument; NULL is allowed where nobody will read it.
 *
 *	struct ab_error err = {};
 *	if (ab_object_open_file("x.bpf.o", NULL, &object, &err) < 0) {
 *		fprintf(stderr, "%s\n", err.msg);
 *		ab_error_clear(&err);
 *	}
 *
 * Ownership, for the whole library: what comes out through a `ret_` pointer-to-pointer is the caller's to close or free;
 * a pointer returned by value belongs to the object it was asked of and lives as long as that object. Out parameters are
 * written on success only. Structs named ab_*_opts start with `sz`; fill them with AB_OPTS(); zero is every field's default.
 */
#ifndef ANYBPF_ERROR_H
#define ANYBPF_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef AB_API
#define AB_API __attribute__((visibility("default")))
#endif

/* Declares `name`, an options struct of `type`, with `sz` set and the given designated initialisers; the rest is zero. */
#define AB_OPTS(type, name, ...) struct type name = { .sz = sizeof(struct type), __VA_ARGS__ }

/* What went wrong, as far as a program may want to branch on it. Values never change; errors.def has exit statuses. */
enum ab_error_kind {
#define AB_ERROR_KIND(name, value, word, exit_status, http_status, meaning) AB_ERROR_##name = value,
#include "errors.def"
#undef AB_ERROR_KIND
};

struct ab_error {
	int code;       /* negative errno, the same as the function returned; 0: no error */
	uint32_t kind;  /* enum ab_error_kind */
	char msg[512];  /* one line of UTF-8, no full stop, no newline, control characters replaced by '?' */
	char *log;      /* the whole verifier or compiler output, or NULL; freed by ab_error_clear() */
};

/* Frees what `err` holds and makes it reusable. NULL is allowed. */
AB_API void ab_error_clear(struct ab_error *err);

/* The word for a kind, as in JSON output ("not-found"); "internal" for values that are not in the table. Never NULL. */
AB_API const char *ab_error_word(uint32_t kind);

/* The exit status that the command line uses for a kind (see EXIT STATUS in anybpf(1)). */
AB_API int ab_error_exit_status(uint32_t kind);

/* The version of the library as "MAJOR.MINOR.PATCH". */
AB_API const char *ab_version(void);

#ifdef __cplusplus
}
#endif
#endif
