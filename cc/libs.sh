#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# What to link for clang: libs.sh LLVM-CONFIG [shared]
config=$1
libdir=$("$config" --libdir)
if [ "$2" = shared ]; then
	for lib in "$libdir"/libclang-cpp.so "$libdir"/libclang-cpp.so.*; do
		[ -e "$lib" ] && echo "$lib" && break
	done
	"$config" --link-shared --ldflags --libs
	exit 0
fi
echo "-L$libdir -Wl,--gc-sections -Wl,--start-group"
for lib in "$libdir"/libclang?*.a; do
	name=${lib##*/lib}
	echo "-l${name%.a}"
done
"$config" --link-static --libs all | tr ' ' '\n' | grep -v Polly
echo "-Wl,--end-group"
"$config" --link-static --system-libs all | tr ' ' '\n' | grep -v -e z3 -e xml2
exit 0
