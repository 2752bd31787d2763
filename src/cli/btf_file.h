/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Types that options name by a file, a pack or a kernel, as a path that the library can open. */
#ifndef AB_CLI_BTF_FILE_H
#define AB_CLI_BTF_FILE_H

#include <anybpf/anybpf.h>
#include "cli.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
/* --btf: look for this kernel's types as if it had none. */
#define BTF_AUTO "auto"

struct btf_file {
	int fd;          /* of memory, or -1 */
	char fd_path[32];
	const char *path; /* NULL: the running kernel's own types */
};

#define NO_BTF_FILE ((struct btf_file){ .fd = -1 })

/* All types of what is named, or of this kernel from a pack where it has none and `name` is NULL. -v: says where from. */
int btf_file_whole(struct cli *cli, const char *name, const char *pack, struct btf_file *ret, struct ab_error *err);
/*
 * The same, minimized for an object, and always said; a server (NULL: none) is asked for what is nowhere here. An object that needs
 * none gets none.
 */
int btf_file_min(struct cli *cli, const char *name, const char *server, const void *object, size_t size,
		 struct btf_file *ret, struct ab_error *err);
/* All types of a kernel of a pack. */
int btf_file_kernel(const struct ab_pack *pack, size_t kernel, struct btf_file *ret, struct ab_error *err);
void btf_file_close(struct btf_file *file);

#endif
