/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Formats inside the library: a type compiled into a flat plan of operations, which rendering walks over the bytes.
 *
 * format.c makes plans, format_json.c, format_text.c and format_column.c run them, format_names.c knows errnos, signals and
 * system calls, format_object.c asks the object for stacks and symbols. Every field that rendering needs is in the plan:
 * BTF is read when the format is made and never again.
 */
#ifndef AB_FORMAT_H
#define AB_FORMAT_H

#include <btf/btf.h>
#include <anybpf/format.h>

/*
 * Makes the format of a type. `owner`, borrowed, resolves stacks and symbols; NULL: they stay numbers. `words`: what follows
 * "anybpf:as=" in a tag on the map or variable around the type, `unit`: what follows "anybpf:unit=" there, or NULL.
 * Errors: -E2BIG/LIMIT the type is too large or nested too deeply, -EINVAL/FORMAT a tag that does not suit its member,
 * -ENOENT/NOT_FOUND an enum named by a tag.
 */
int ab_format_make(struct ab_object *owner, const struct ab_btf *btf, uint32_t type_id, const char *words,
		   const char *unit, struct ab_format **ret_format, struct ab_error *err);

#endif
