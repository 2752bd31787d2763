/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* For tests that load programs: the objects of tests/bpf, and what this machine must have. */
#ifndef UNIT_BPF_H
#define UNIT_BPF_H

#include <anybpf/anybpf.h>
#include <base/base.h>
#include <bpf/bpf.h>
#include <unistd.h>
#include "unit.h"

static __thread char unit_warnings[4096] __attribute__((unused));

static inline void unit_warn(const char *message, void *ctx)
{
	size_t n = strlen(unit_warnings);

	snprintf(unit_warnings + n, sizeof(unit_warnings) - n, "%s\n", message);
}

/* BUILD/tests/bpf/NAME.bpf.o, beside this program's directory. */
static inline const char *object_path(const char *name)
{
	static __thread char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	ASSERT(n > 0);
	path[n] = '\0';
	snprintf(strrchr(path, '/'), 64, "/../bpf/%s.bpf.o", name);
	if (access(path, R_OK))
		SKIP("no clang built tests/bpf");
	return path;
}

static inline struct ab_object *open_object(const char *name, int pid)
{
	AB_OPTS(ab_object_opts, opts, .pid = pid, .warn = unit_warn);
	struct ab_object *object;
	struct ab_error err = {};

	ASSERT_OK(ab_object_open_file(object_path(name), &opts, &object, &err), err);
	return object;
}

/* Skips where BPF cannot be loaded at all: no root, no bpf(2). */
static inline void need_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, NULL);

	if (fd < 0)
		SKIP("bpf(2) not possible: %s", strerror(errno));
	close(fd);
}

#endif
