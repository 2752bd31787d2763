/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* coolbpf's protocols (docs/format-lbc.md) over what the server can do. */
#ifndef AB_SERVE_LBC_H
#define AB_SERVE_LBC_H

#include <btf/btf.h>

struct lbc_build {
	const char *code;           /* one source without files of its own */
	size_t size;
	const char *const *defines; /* NULL-terminated */
	const char *release;        /* whose kernel's types, if they are there */
	const char *arch;           /* as uname -m says */
	bool library;               /* a .so, not an .o */
};

struct lbc_built {
	void *data;                 /* for free() */
	size_t size;
	char *diagnostics;          /* "" or warnings, for free() */
};

/* Who asks, for the audit log. */
struct lbc_client {
	const char *address, *request;
};

/* What a server does for it. Any thread may call. */
struct lbc_backend {
	void *ctx;
	/* Errors: -EINVAL/COMPILE with the compiler's words as log; any other. */
	int (*build)(void *ctx, const struct lbc_client *client, const struct lbc_build *build, struct lbc_built *ret,
		     struct ab_error *err);
	/* The raw BTF of exactly that kernel, for free(). Errors: -ENOENT. `arch` is as uname -m says. */
	int (*btf)(void *ctx, const char *release, const char *arch, void **ret_data, size_t *ret_size,
		   struct ab_error *err);
};

enum { LBC_COMMANDS_MAX = 16, LBC_FRAME_MAX = 128 << 10, LBC_FRAME_HEAD = 11 };

/* The command interpreter, with the types of the kernels that were asked for last. */
struct lbc;
int ab_lbc_new(const struct lbc_backend *backend, struct lbc **ret_lbc, struct ab_error *err);
void ab_lbc_free(struct lbc *lbc);

/* Appends the answer to the body of POST /lbc. */
void ab_lbc_answer(struct lbc *lbc, const struct lbc_client *client, const char *body, size_t size, struct text *out);
/* Appends the answer to the JSON of a frame, without a head; false: there is none. */
bool ab_lbc_answer_frame(struct lbc *lbc, const struct lbc_client *client, const char *json, size_t size, struct text *out);
/* The length that the head of a frame announces, -1 if it is none. `head` has LBC_FRAME_HEAD bytes. */
long ab_lbc_frame_size(const char *head);

/*
 * Splits compiler flags of a request into defines. Errors: -EINVAL/USAGE names the flag. The caller frees *ret (one
 * block).
 */
int ab_lbc_defines(const char *env, char ***ret_defines, struct ab_error *err);

/* ---- lbc_query.c: func, struct and type, as members of the object that is open in `j` ---- */
struct lbc_func_query {
	const char *name, *ret, *arg; /* ret, arg: NULL if not asked for */
};
/* false: such a query makes no sense. */
bool ab_lbc_query_func(const struct ab_btf *btf, const struct lbc_func_query *query, struct json *j);
void ab_lbc_query_struct(const struct ab_btf *btf, const char *name, struct json *j);
void ab_lbc_query_type(const struct ab_btf *btf, const char *name, struct json *j);

/* ---- lbc_door.c: the ports ---- */
struct lbc_doors;
struct server;
/* Opens those of the configuration, each "http:ADDRESS:PORT" or "tcp:ADDRESS:PORT". Logs where it listens. */
int ab_lbc_open(struct server *server, struct lbc *lbc, struct lbc_doors **ret_doors, struct ab_error *err);
/* Takes no new connections and waits for those that are answered, at most `seconds`. NULL is allowed. */
void ab_lbc_drain(struct lbc_doors *doors, unsigned seconds);
/* Then, when compiles have come to their end. NULL is allowed. */
void ab_lbc_close(struct lbc_doors *doors);

/* ---- lbc_server.c: what the server does for it ---- */
struct lbc_backend ab_lbc_backend(struct server *server);

#endif
