/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the fuzzer of anybpfd's HTTP layer is made of: a server with a compiler of its own, and a reader of answers. */
#ifndef AB_FUZZ_SERVE_HTTP_H
#define AB_FUZZ_SERVE_HTTP_H

#include <serve/server.h>

/* A request that the server says it has answered. */
struct answered {
	char id[REQUEST_ID_SIZE];
	char method[16];
	const struct route *route; /* NULL: none */
	unsigned status;
};

/*
 * Ends the process unless the bytes are the answers to these requests, in this order, each as docs/service.md and
 * docs/openapi.json have it; behind them at most one of the HTTP library or of the clock. `is_cut`: the last one need not be whole.
 */
void check_answers(const char *data, size_t size, const struct answered *answered, size_t n, bool is_cut);
/* Ends the process unless it is lines of JSON objects. */
void check_lines(const char *text, size_t size);

/* A server with what every input finds: kernels in a file and in a pack, tokens. And its configurations. */
enum { CONFIG_OPEN, CONFIG_CLOSED, CONFIG_TIGHT, CONFIG_PROXY, CONFIG_COUNT };
void make_server(struct server *server, struct config *configs[CONFIG_COUNT]);

/* The clock of everything in src/serve. */
extern uint64_t fuzz_now_ms;

#define MUST(x)                                                                          \
	do {                                                                             \
		if (!(x)) {                                                              \
			fprintf(stderr, "%s:%d: it is not so: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                         \
		}                                                                        \
	} while (0)

#endif
