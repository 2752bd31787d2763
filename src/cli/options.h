/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Commands and their options as tables. One table drives parsing, --help, man pages, shell completion and
 * `anybpf help --json`, so none of them can say something that another does not.
 */
#ifndef AB_CLI_OPTIONS_H
#define AB_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <anybpf/error.h>

enum opt_type {
	OPT_FLAG,     /* bool */
	OPT_COUNT,    /* uint64_t: how often it was given */
	OPT_STRING,   /* const char * */
	OPT_LIST,     /* struct list: may be repeated */
	OPT_NUMBER,   /* int64_t, min to max */
	OPT_DURATION, /* uint64_t, nanoseconds, not zero */
	OPT_WORD,     /* const char *, one of `words` */
};

/* What a shell may complete an argument to. */
enum opt_hint { HINT_NONE, HINT_FILE, HINT_DIR, HINT_INTERFACE, HINT_BPF, HINT_SOURCE, HINT_COMMAND, HINT_WORDS };

struct opt {
	const char *name;    /* NULL ends a table */
	char letter;         /* 0: none */
	enum opt_type type;
	size_t offset;       /* of the field in the command's options struct */
	const char *metavar;
	const char *help;    /* lower case, no full stop */
	enum opt_hint hint;
	const char *const *words; /* OPT_WORD, and OPT_LIST of such: NULL-terminated */
	int64_t min, max;    /* OPT_NUMBER */
	bool needs_compiler; /* left out of anybpf-static */
};

/* Every options struct begins with these, every table with COMMON_OPTIONS. */
struct common_opts {
	bool help;
	bool json;
	bool quiet;
	uint64_t verbose;
};

#define HELP_OPTION { "help", 'h', OPT_FLAG, offsetof(struct common_opts, help), NULL, "print this help and exit" }
#define JSON_OPTION(text) { "json", 0, OPT_FLAG, offsetof(struct common_opts, json), NULL, text }
#define VERBOSE_OPTION(text) { "verbose", 'v', OPT_COUNT, offsetof(struct common_opts, verbose), NULL, text }
#define QUIET_OPTION(text) { "quiet", 'q', OPT_FLAG, offsetof(struct common_opts, quiet), NULL, text }

/* Strings of the command line, NULL-terminated. */
struct list {
	const char **items;
	size_t count;
};

int list_add(struct list *list, const char *item, struct ab_error *err);
bool list_has(const struct list *list, const char *item);

/* What a command is to do, where its first operand says it: "list" of 'anybpf pack list PACK'. */
struct verb {
	const char *name;     /* NULL ends a table */
	const char *operands; /* behind it, for messages */
	size_t min, max;      /* how many of them */
};

struct cli;

struct command {
	const char *name;      /* NULL ends a table */
	const char *summary;   /* one line, lower case, no full stop */
	const char *operands;  /* for the usage line: "FILE" */
	size_t min_operands, max_operands;
	enum opt_hint hint;    /* what operands complete to */
	const struct verb *verbs; /* HINT_WORDS: what the first operand may be */
	const struct opt *options;
	size_t opts_size;
	const void *defaults;  /* an options struct; NULL: zeros */
	bool open_options;     /* options that are not in the table are the command's own business */
	/* Returns the exit status, or a negative errno with err filled. */
	int (*run)(struct cli *cli, struct ab_error *err);
	/* --help with operands, where there is more to say than the table does; NULL: the table only. */
	int (*help)(struct cli *cli, struct ab_error *err);
};

struct parse {
	const struct command *command;
	void *opts;              /* opts_size bytes */
	const char **operands;   /* room for argc */
	size_t operand_count;
	/*
	 * Asked about a long option that is not in the table: `value` is what followed '=', or NULL; `next` is the next
	 * argument, or NULL. Returns 1 when it took `next`, 0 when not, negative with err filled.
	 */
	int (*unknown)(void *ctx, const char *name, const char *value, const char *next, struct ab_error *err);
	void *ctx;
};

/* Parses options before, between and after operands; "--" ends options. Errors: USAGE. */
int opts_parse(struct parse *p, int argc, char **argv, struct ab_error *err);
void opts_free(const struct command *command, void *opts);
/* "unknown option '--x'", with the nearest name of the table, of the `extra` names or of both. */
int opts_fail_unknown(const struct command *command, const char *name, const char *const *extra, size_t extra_count,
		      struct ab_error *err);

/* The row of the command's verbs that is named so and takes so many operands behind it. Errors: USAGE. */
int verb_find(const struct command *command, const char *name, size_t operands, struct ab_error *err);


/* Whether this build has the option: anybpf-static has no compiler. */
bool opt_is_here(const struct opt *opt);

#endif
