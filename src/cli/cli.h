/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the commands share: the table of commands, the invocation at hand, and messages. */
#ifndef AB_CLI_H
#define AB_CLI_H

#include "base/base.h"
#include "options.h"
#include "output.h"

struct cli {
	const struct command *command;
	int argc;              /* the arguments behind the command's name */
	char **argv;
	void *opts;            /* command->opts_size bytes */
	const char **operands;
	size_t operand_count;
	bool json;             /* errors go to standard output as JSON too */
	bool quiet;
	uint64_t verbose;
	struct out out;
};

/* The commands in the order of help; ends with a NULL name. A new noun is one row. */
extern const struct command *const cli_commands[];
const struct command *cli_find_command(const char *name);

extern const struct command cli_run, cli_build, cli_btf, cli_check, cli_doctor, cli_test, cli_lab, cli_pack,
	cli_hub, cli_types, cli_trust, cli_completion, cli_help, cli_version;

/* One line on standard error: "anybpf: warning: ..."; `word` is "warning", "error" or NULL for plain talk. */
void cli_say(const char *word, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Writes a file, or to standard output where `path` is NULL or "-". */
int cli_write(struct cli *cli, const char *path, const void *data, size_t size, unsigned mode, struct ab_error *err);
/* Adds a finished JSON document as a line; fails when memory ran out on the way. */
int cli_print_json(struct cli *cli, struct text *text, struct ab_error *err);

/*
 * exec.c: the command as the program `name` does it, which is in `folder` ("src/lab/") of a build, beside anybpf or in its
 * ../libexec/anybpf. Returns only on failure.
 */
int cli_start(struct cli *cli, const char *name, const char *folder, struct ab_error *err);
/* Where that program is. */
int cli_find_program(const char *name, const char *folder, char *path, size_t cap);

/* help.c: everything that --help shows, wrapped to the terminal. */
void help_print_command(struct out *out, const struct command *command);
/* One row of an options list: the left part, then the text in its column. */
void help_print_row(struct out *out, const char *left, const char *text);
void help_print_overview(struct out *out);
/* man.c: the manual page of a command, or of anybpf itself when NULL, with the prose of a Markdown file. */
int man_print(struct out *out, const struct command *command, const char *prose_path, struct ab_error *err);

#endif
