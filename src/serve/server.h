/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The server as its routes see it: what it holds, connections, requests, and how they are answered. */
#ifndef AB_SERVE_SERVER_H
#define AB_SERVE_SERVER_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include "config.h"
#include "log.h"
#include "lru.h"
#include "metrics.h"
#include "store.h"
#include "tokens.h"

enum { REQUEST_ID_SIZE = 65, RETRY_SECONDS = 1 };

struct server {
	pthread_rwlock_t lock;     /* of config and keyring, which a reload replaces */
	struct config *config;
	struct keyring *keyring;
	char *state;               /* the directory */
	struct store *store;
	struct cache *memory;
	struct tokens *tokens;
	struct jobs *jobs;
	struct kernels *kernels;
	struct shared *shared;     /* NULL: this server works alone */
	struct cgroups *cgroups;   /* NULL: compilers have no control groups */
	char *no_cgroups;          /* why not; NULL: nobody asked */
	struct connections *connections;
	bool draining;             /* atomic */
	unsigned active;           /* requests that are not answered yet; atomic */
	size_t bodies;             /* bytes of their bodies; atomic */
};

struct config *ab_server_config(struct server *server);
struct keyring *ab_server_keyring(struct server *server);

/* ---- connections (connections.c) ---- */

enum phase { PHASE_HEADER, PHASE_BODY, PHASE_WORK, PHASE_SEND, PHASE_IDLE, PHASE_EXPIRED };

struct connection {
	struct connection *prev, *next;
	struct connections *all;
	int fd;
	bool is_tls, is_unix, is_loopback;
	int phase;                   /* enum phase; atomic */
	uint64_t since;              /* ms; atomic */
	uint64_t gone_since;         /* ms when its client was first seen to send no more, or 0; of ab_connections_expire() */
	char address[INET6_ADDRSTRLEN]; /* "unix" for the unix socket */
	char group[INET6_ADDRSTRLEN];   /* what it counts with (ab_place_group()) */
	bool is_client_checked;      /* its certificate, where one is needed */
	const char *refusal;         /* kind of problem that every request gets, or NULL */
};

struct connections *ab_connections_new(struct server *server);
void ab_connections_free(struct connections *all);
/* Of an address and a socket, or of one that the HTTP library has. */
struct connection *ab_connection_opened(struct connections *all, const struct sockaddr *address, int fd, bool is_tls);
struct connection *ab_connection_opened_mhd(struct connections *all, struct MHD_Connection *mhd, bool is_tls);
/* Before the socket is closed. */
void ab_connection_closed(struct connection *connection);
/* False: the connection's time is up, it is being closed. */
bool ab_connection_enter(struct connection *connection, enum phase phase);
/* For MHD_OPTION_URI_LOG_CALLBACK: the request line is there, from now on the header has its time. */
void *ab_connection_request(void *cls, const char *uri, struct MHD_Connection *mhd);
/* Ends connections that are over their time; once a second. */
void ab_connections_expire(struct connections *all);
unsigned ab_connections_count(struct connections *all);

/* ---- requests (request.c) ---- */

bool ab_is_trusted_proxy(const struct config *config, const char *address);
/* Whose request it is: the connection's address, or what a trusted proxy says. */
void ab_client_address(const struct config *config, struct MHD_Connection *mhd, const struct connection *connection,
		       char out[INET6_ADDRSTRLEN]);

struct request;

struct route {
	const char *name;            /* for metrics */
	const char *method;          /* "GET" serves HEAD too */
	const char *path;            /* "…/" at the end: the rest is the request's argument */
	unsigned scope;              /* enum scope, 0: none needed */
	const char *takes;           /* type of the body, NULL: no body */
	const char *makes;           /* type of the answer, NULL: of several types, whatever is accepted */
	bool streams;                /* makes text/event-stream too */
	/* Answers, or suspends the connection and is called again when it was resumed. */
	enum MHD_Result (*run)(struct request *q);
};

struct stream;

struct request {
	struct server *server;
	struct config *config;
	struct MHD_Connection *mhd;
	struct connection *connection;
	const struct route *route;
	const char *argument;        /* the rest of the path */
	char *path;
	char method[16];             /* cut, but never to that of a route */
	char id[REQUEST_ID_SIZE];
	char address[INET6_ADDRSTRLEN]; /* of the client, as a trusted proxy says */
	struct token token;
	struct text body;
	size_t expected;             /* bytes of the body */
	size_t reserved;             /* of server->bodies */
	bool is_started, is_answered;
	unsigned retry_seconds;      /* for Retry-After; 0: the usual */
	unsigned status;
	size_t size;                 /* of the answer */
	uint64_t started_us;
	const char *cache_status;    /* NULL: none */
	bool wants_stream;
	/* What work in another thread has come to; set before the connection is resumed. */
	struct outcome *outcome;
	struct stream *stream;       /* events go there, when the client wants them */
	/* Of work other than compiles, see ab_jobs_run(). */
	bool is_worked;
	struct blob *work_result;    /* NULL: work_error, or work_problem */
	const char *work_type;       /* of work_result */
	struct text work_signature;  /* for Anybpf-Signature; empty: it is not signed */
	struct ab_error work_error;
	const char *work_problem;
	struct build_request *build;
	char *key;                   /* of the build that is waited for */
	bool is_inline;
	char content_range[48];      /* of a 416; "": none */
};

/* MHD's callbacks. */
size_t ab_request_unescape(void *server, struct MHD_Connection *c, char *text);
enum MHD_Result ab_request_handle(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
				  const char *upload, size_t *upload_size, void **request);
void ab_request_done(void *server, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code);

/* ---- answers (answer.c) ---- */

/* Queues the response with the headers that all answers have, and lets it go. */
enum MHD_Result ab_answer(struct request *q, unsigned status, struct MHD_Response *response);
/* The answer's bytes; takes over the reference or the text. */
enum MHD_Result ab_answer_blob(struct request *q, unsigned status, const char *type, struct blob *blob);
enum MHD_Result ab_answer_text(struct request *q, unsigned status, const char *type, struct text *text);

/* Adds Allow: the methods of the request's route. */
void ab_allow_write(const struct request *q, struct MHD_Response *response);

/*
 * Problem documents. `kind` is a row of the table in answer.c, which has title and status; `extra` is NULL or more JSON members,
 * "\"missing\":[…]".
 */
enum MHD_Result ab_problem(struct request *q, const char *kind, const char *extra, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same for an error of libanybpf; clears it. */
enum MHD_Result ab_problem_error(struct request *q, struct ab_error *err);
unsigned ab_problem_status(const char *kind);
const char *ab_problem_of_error(const struct ab_error *err);
void ab_problem_write(struct text *out, const char *kind, const char *detail, const char *extra, const char *id);
enum MHD_Result ab_route_problem(struct request *q);

/* ---- routes ---- */

extern const struct route ab_routes[];
extern const size_t ab_routes_count;
enum MHD_Result ab_route_build(struct request *q);
enum MHD_Result ab_route_artifact(struct request *q);
enum MHD_Result ab_route_btf(struct request *q);
enum MHD_Result ab_route_min_btf(struct request *q);
enum MHD_Result ab_route_check(struct request *q);
enum MHD_Result ab_route_types(struct request *q);
enum MHD_Result ab_route_page(struct request *q);
enum MHD_Result ab_route_page_file(struct request *q);

struct header {
	const char *name, *value;
};
/*
 * Bytes with an entity tag: conditions, and of binary data ranges; takes over the reference. `headers` end with one without
 * a name.
 */
enum MHD_Result ab_answer_bytes(struct request *q, struct blob *blob, const char *type, const char *etag,
				const struct header *headers);
/* What became of a submission that failed. */
enum MHD_Result ab_refuse_submission(struct request *q, int r);

#endif
