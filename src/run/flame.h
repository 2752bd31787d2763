/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Inside of a flame graph: a tree of frames in one array. Node 0 is the root, which has no name. */
#ifndef AB_RUN_FLAME_H
#define AB_RUN_FLAME_H

#include <anybpf/symbol.h>
#include "base/base.h"

struct ab_flame_node {
	uint32_t parent, depth;
	const char *name; /* key in names */
	uint64_t self, total;
};

struct ab_flame {
	struct ab_flame_node *nodes;
	size_t n, cap;
	uint32_t *slots; /* hash of (parent, name) to node, 0: free; slots_n is a power of two, kept at most half full */
	size_t slots_n;
	struct strmap names;
};

/* All nodes but the root in the order of their parents and, below one parent, of their names; NULL: no memory. */
uint32_t *ab_flame_order(const struct ab_flame *flame);

#endif
