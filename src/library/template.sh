#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Links the library that every made .so begins with: template.sh OUTPUT WORKDIR MAP 'CC ARGS…' OBJECT-OR-ARCHIVE…
# Of libbpf, libelf, zlib and libiberty it takes the static archives, with some names changed (compat.c).
set -e
out=$1 work=$2 map=$3 cc=$4
shift 4
mkdir -p "$work"
rename=
for name in stderr fmemopen reallocarray pthread_once fstat fstat64 stat stat64 lstat lstat64 fstatat fstatat64 \
	fcntl fcntl64 glob64 globfree64; do
	rename="$rename --redefine-sym $name=ab_compat_$name"
done
copies=
for name in bpf elf z zstd iberty; do
	archive=$($cc -print-file-name=lib$name.a)
	[ -e "$archive" ] || continue
	objcopy $rename "$archive" "$work/lib$name.a"
	copies="$copies $work/lib$name.a"
done
# compat.c has the names themselves; everything else is renamed. Thin archives become whole ones on the way.
own=
compat=
for input in "$@"; do
	case $input in
	*compat*.o | *compat*.a) compat="$compat $input" && continue ;;
	esac
	copy="$work/own-$(basename "$input")"
	rm -f "$copy"
	if [ "$(head -c 7 "$input")" = '!<thin>' ]; then
		ar t "$input" | (cd "$(dirname "$input")" && xargs ar rcD "$copy.tmp")
		objcopy $rename "$copy.tmp" "$copy"
		rm -f "$copy.tmp"
	else
		objcopy $rename "$input" "$copy"
	fi
	own="$own $copy"
done
# What it exports: libanybpf's list without the build part, its own two functions, and coolbpf's (lbc.c).
sed -e '/ab_builder_/d; /ab_artifact_/d; /ab_lab_/d; /ab_library_/d; /ab_pack_/d; /ab_types_/d' \
	-e 's/^global:/&\n\tab_library_object;\n\tab_library_open;\n\tlbc_*;/' "$map" > "$work/library.map"
$cc -shared -o "$out" -Wl,--whole-archive $own $compat -Wl,--no-whole-archive -Wl,--start-group $copies -Wl,--end-group \
	-Wl,-Bsymbolic -Wl,--gc-sections -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--build-id=none -Wl,--hash-style=gnu \
	-Wl,--version-script="$work/library.map" -Wl,-soname,anybpf-template.so -s
