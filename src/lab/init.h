/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The parts of the guest's first process. */
#ifndef AB_LAB_INIT_H
#define AB_LAB_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include "guest_protocol.h"

/* init.c */
void init_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* init_hide.c: makes the kernel look older for everything started from now on. */
bool hide_feature(const char *name);
/* The seccomp listener that has to be served while programs run, or -1. */
int hide_listener(void);
void hide_serve(void);

#endif
