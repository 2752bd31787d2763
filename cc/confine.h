/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Confinement of compiles (docs/sandbox.md). The process that makes the children enters an empty root with the headers; each child
 * is born into namespaces of its own and gives up all but what a compile needs, before its job comes.
 */
#ifndef CC_CONFINE_H
#define CC_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

/* Directories of headers that a confined compile may read; ends with NULL. */
extern const char *const cc_header_dirs[];

/* Once, in the parent: 0, or a negative errno when this machine cannot confine; `*ret_problem` says why then. */
int cc_confine_start(const char **ret_problem);
/* fork(2) into namespaces of its own, where there are any. */
pid_t cc_confined_fork(void);
/* In the child: false if it is not confined, so that it must not go on. */
bool cc_confine_self(void);

#endif
