/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Starts the program beside anybpf that does a command: the lab, the hub. They are programs of their own because their
 * libraries would cost every `anybpf run` time and memory.
 */
#include <unistd.h>
#include "cli.h"

int cli_find_program(const char *name, const char *folder, char *path, size_t cap)
{
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	own[n > 0 ? n : 0] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	for (int i = 0; i < 4; i++) {
		const char *places[] = { "", folder, "../libexec/anybpf/", "../lib/anybpf/" };

		if ((size_t)snprintf(path, cap, "%s/%s%s", own, places[i], name) < cap && access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

int cli_start(struct cli *cli, const char *name, const char *folder, struct ab_error *err)
{
	const char **argv = array_new(cli->argc + 3, sizeof(*argv));
	char path[4200];

	if (!argv)
		return ab_fail_memory(err);
	argv[0] = "anybpf";
	argv[1] = cli->command->name;
	for (int i = 0; i < cli->argc; i++)
		argv[i + 2] = cli->argv[i];
	if (cli_find_program(name, folder, path, sizeof(path)) == 0)
		execv(path, (char *const *)argv);
	free(argv);
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
		       "this build of anybpf cannot do '%s': %s is not beside it", cli->command->name, name);
}
