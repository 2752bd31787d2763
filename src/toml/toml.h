/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* TOML for C: as a walk over its values with their lines, or as JSON. Errors are "LINE: what is wrong". */
#ifndef AB_TOML_H
#define AB_TOML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_OTHER };

/* Takes one value; the elements of an array come one by one under the array's key. Anything but 0 ends the walk. */
typedef int (*toml_take)(void *context, const char *key, unsigned line, enum toml_type type, const char *text, int64_t number);

/* 0, what `take` returned, or -1 with `error` written. */
int ab_toml_walk(const char *text, size_t size, toml_take take, void *context, char *error, size_t cap);

/* Malloced JSON, or NULL; `error` is written unless memory ran out. Dates and times become strings. */
char *ab_toml_to_json(const char *text, size_t size, char *error, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
