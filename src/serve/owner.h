/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* An administrator's commands work on a directory whose service is another user. */
#ifndef AB_SERVE_OWNER_H
#define AB_SERVE_OWNER_H

/* What root has made belongs to whom the directory that it is in belongs to, so that the service can use it. */
void ab_give_to_owner(const char *path);

#endif
