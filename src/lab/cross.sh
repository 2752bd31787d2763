#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# anybpf-static for another machine, by a build of its own: cross.sh OUTPUT BUILD-DIR SOURCE-DIR CROSS-FILE
set -e
[ -f "$2/build.ninja" ] || meson setup "$2" "$3" --cross-file "$4" -Dlab=disabled -Dworker=disabled -Dstatic=enabled >"$2.log" ||
	{ cat "$2.log" >&2 && exit 1; }
ninja -C "$2" --quiet anybpf-static
cmp -s "$2/anybpf-static" "$1" || cp "$2/anybpf-static" "$1"
