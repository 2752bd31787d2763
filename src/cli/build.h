/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf build: what the part that compiles here and the part that has a server compile share. */
#ifndef AB_CLI_BUILD_H
#define AB_CLI_BUILD_H

#include "remote.h"

struct build_opts {
	struct common_opts common;
	const char *output, *arch, *btf, *isa, *compiler, *server, *kernel;
	struct list defines, include_dirs;
	bool header, full_header;
};

/* Where the result of a source goes: "dir/tool.bpf.c" makes "tool.bpf.o". The caller frees. */
char *build_output_path(const struct build_opts *opts, const char *source);

/*
 * Has a server build the operands, if one is named; *ret_done is how many are done. The rest is to be built here: all
 * if no server is named, and from the one on for which the server is away.
 */
int build_remotely(struct cli *cli, size_t *ret_done, struct ab_error *err);

#endif
