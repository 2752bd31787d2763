/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A build request's files in a directory of their own for the time of one compile. */
#ifndef AB_SERVE_BUNDLE_H
#define AB_SERVE_BUNDLE_H

#include "build_request.h"
#include "store.h"

/* Writes all files; `ret_dir` ends in no slash and is the caller's. Errors: -ENOENT a file named by digest is gone. */
int ab_bundle_unpack(const struct build_request *build, struct store *store, const char *parent, char **ret_dir, struct ab_error *err);
void ab_bundle_remove(const char *dir);

#endif
