/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What anybpfd(8) can be told, by file and by options. */
#ifndef AB_SERVE_CONFIG_H
#define AB_SERVE_CONFIG_H

#include <base/base.h>

/* What a request may do. */
enum scope { SCOPE_READ = 1, SCOPE_BUILD = 2, SCOPE_METRICS = 4 };

struct strings {
	char **v; /* NULL-terminated once anything was added */
	size_t n;
};

struct config {
	unsigned refs;
	struct strings listen;        /* "ADDRESS:PORT", "[ADDRESS]:PORT", "unix:PATH" */
	char *state;
	int64_t threads, jobs;
	bool sandbox;
	struct strings anonymous;     /* scopes of requests without a token */
	unsigned anonymous_scopes;    /* the same as bits of enum scope */

	char *tls_certificate, *tls_key, *tls_client_ca;

	int64_t body, bodies_megabytes, header;
	int64_t connections, connections_per_address;
	int64_t header_seconds, body_seconds, idle_seconds, send_seconds, drain_seconds;
	int64_t queue, compile_seconds;
	int64_t rate;                 /* requests a minute for an address without token; 0: unlimited */
	int64_t cache_megabytes, memory_megabytes;
	int64_t files;
	int64_t compiler_megabytes, compiler_tasks, compiler_percent;

	struct strings kernels;       /* "host" or files with BTF; the first is the default */
	struct strings packs;
	int64_t builders;             /* kernels whose builders stay warm */

	char *shared;                 /* redis://… */
	int64_t shared_days;

	struct strings lbc;           /* ports of coolbpf's protocols: "http:ADDRESS:PORT", "tcp:ADDRESS:PORT" */

	bool log_requests;
	char *audit;
	struct strings trusted_proxies;
};

struct config *ab_config_new(void);
struct config *ab_config_ref(struct config *config);
void ab_config_unref(struct config *config);

/* Takes a file's values; messages begin with "PATH:LINE: ". */
int ab_config_read(struct config *config, const char *path, struct ab_error *err);
/* Takes one value as an option gives it; lists grow. -ENOENT without a message if there is no such key. */
int ab_config_set(struct config *config, const char *key, const char *value, struct ab_error *err);
/* The key that somebody may have meant by one that there is not, or NULL. */
const char *ab_config_nearest(const char *key);
/* Fills in what follows from other values, and refuses what does not fit together. */
int ab_config_finish(struct config *config, struct ab_error *err);
/* Empties the lists of `config` that `options` has values for: a list that an option gives replaces the file's. */
void ab_config_drop_lists(struct config *config, const struct config *options);
/* Puts the values that cannot change while a server runs back to those of `running`. */
int ab_config_keep_fixed(struct config *config, const struct config *running, struct ab_error *err);
/* All keys as a configuration file with defaults and meanings. */
void ab_config_describe(struct text *out);

/* "read,build" as bits; -EINVAL. */
int ab_scopes_parse(const char *text, unsigned *ret_scopes, struct ab_error *err);
void ab_scopes_write(unsigned scopes, struct text *out);

#endif
