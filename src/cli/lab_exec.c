/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpf lab and anybpf test outside anybpf-lab: starts that. It is a program of its own because the lab's libraries would
 * cost every `anybpf run` time and memory.
 */
#include <unistd.h>
#include "lab.h"

#ifndef ANYBPF_LAB

static int find_program(char *path, size_t cap)
{
	static const char *const places[] = { "anybpf-lab", "src/lab/anybpf-lab", "../libexec/anybpf/anybpf-lab" };
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	own[n > 0 ? n : 0] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if ((size_t)snprintf(path, cap, "%s/%s", own, places[i]) < cap && access(path, X_OK) == 0)
			return 0;
	return -ENOENT;
}

static int start_lab(struct cli *cli, struct ab_error *err)
{
	const char **argv = array_new(cli->argc + 3, sizeof(*argv));
	char path[4200];

	if (!argv)
		return ab_fail_memory(err);
	argv[0] = "anybpf";
	argv[1] = cli->command->name;
	for (int i = 0; i < cli->argc; i++)
		argv[i + 2] = cli->argv[i];
	if (find_program(path, sizeof(path)) == 0)
		execv(path, (char *const *)argv);
	free(argv);
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "this build of anybpf has no lab: anybpf-lab is not beside it");
}

int run_lab(struct cli *cli, struct ab_error *err)
{
	return start_lab(cli, err);
}

int run_test(struct cli *cli, struct ab_error *err)
{
	return start_lab(cli, err);
}

#endif
