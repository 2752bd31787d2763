/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The compiler's words as data. */
#ifndef AB_SERVE_DIAGNOSTICS_H
#define AB_SERVE_DIAGNOSTICS_H

#include <base/base.h>

/* Appends `s` without "dir/" wherever it stands; `dir` may be NULL. */
void ab_diagnostics_strip(struct text *out, const char *s, const char *dir);
/* Writes the members "diagnostics" and "log" from what the compiler printed about files below `dir`. */
void ab_diagnostics_write(struct json *j, const char *log, const char *dir);

#endif
