/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Releases of clang that may be installed beside each other (cc/meson.build looks for the same). */
#ifndef AB_CLANG_H
#define AB_CLANG_H

enum { CLANG_OLDEST = 15 /* older ones emit no 64-bit enums */, CLANG_NEWEST = 40 };

#endif
