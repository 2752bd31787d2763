/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Builds and types by a server (docs/service.md), which anybpf-remote asks for anybpf. */
#ifndef AB_CLI_REMOTE_H
#define AB_CLI_REMOTE_H

#include <anybpf/pack.h>
#include "cli.h"

#define SERVER_OPTION(what, offset)                                                                     \
	{ "server", 0, OPT_STRING, offset, "URL", what " this anybpfd, https://HOST[:PORT]; "           \
	  "default: $ANYBPF_SERVER if it is set" }

struct remote_request {
	const char *server;
	const char *output;                        /* "o", "so", "skel.h" */
	const char *path, *text;                   /* of the source; text NULL: in the file */
	size_t size;
	const char *const *defines, *const *include_dirs; /* NULL-terminated or NULL */
	const char *arch, *isa, *kernel;           /* NULL: the server's choice */
	bool full_header;
};

struct remote_result {
	char *data, *signature, *compiler, *log;   /* log: warnings, "" if none */
	size_t size;
	bool full_header;
};

/* The server that an option or the environment names, or NULL. */
const char *remote_server(const char *option);

/*
 * Builds, and tells the user what has to be told. What comes back is verified. Errors: -EHOSTUNREACH/IO the server is
 * not there; UNTRUSTED; COMPILE with the compiler's words; UNSUPPORTED there is no anybpf-remote.
 */
int remote_build(struct cli *cli, const struct remote_request *request, struct remote_result *ret,
		 struct ab_error *err);
void remote_result_clear(struct remote_result *result);

/*
 * What an object needs of a kernel's types, raw BTF for free(); what comes back is verified. Errors: -EHOSTUNREACH/IO the server
 * is not there; NOT_FOUND it has no types of that kernel; UNTRUSTED; UNSUPPORTED there is no anybpf-remote.
 */
int remote_types(struct cli *cli, const char *server, const struct ab_kernel *kernel, const void *object, size_t size,
		 void **ret_btf, size_t *ret_size, struct ab_error *err);

/*
 * Whether what `path` holds may be loaded: it may unless PATH.sig is there and does not verify. Errors: UNTRUSTED with
 * the reason.
 */
int remote_check_signature(const char *path, struct ab_error *err);

/* Runs anybpf-remote with arguments, prints what it prints. */
int remote_run(struct cli *cli, const char *const *args, struct ab_error *err);

#endif
