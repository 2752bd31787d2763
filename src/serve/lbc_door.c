/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The ports of coolbpf's protocols. Their clients are few and each asks once, so every connection has a thread, and
 * there is a limit to connections: HTTP by libmicrohttpd, frames by hand. Addresses have the limits here that they have
 * at the server's own ports, and all their connections and requests count together.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lbc.h"
#include "place.h"
#include "server.h"

enum { CONNECTIONS_MAX = 64, TIMEOUT_SECONDS = 30, STACK_SIZE = 1 << 20 };

struct door {
	struct lbc_doors *all;
	int fd;
	struct MHD_Daemon *http;  /* or: */
	pthread_t thread;         /* accepts connections with frames */
	bool has_thread;
};

struct lbc_doors {
	struct server *server;
	struct lbc *lbc;
	unsigned connections;     /* with frames; atomic */
	int stop[2];              /* a pipe: closed for writing when all shall end */
	struct door *doors;
	size_t n;
};

/* ---- places ---- */

static int listen_at(const char *place, int *ret_fd, struct ab_error *err)
{
	struct addrinfo *found;
	_close_ int fd = -1;
	int one = 1, r;

	if (!ab_place_parse(strchr(place, ':') + 1, &found))
		return ab_place_check_lbc(place, err);
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 128) < 0 ? -errno : 0;
	freeaddrinfo(found);
	if (r < 0)
		return ab_fail_errno(err, r, "lbc: '%s'", place);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void log_listening(const char *protocol, int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char host[64] = "?", port[8] = "?";

	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	ab_log("info", "listen", strchr(host, ':') ? "lbc %s [%s]:%s" : "lbc %s %s:%s", protocol, host, port);
}

/* ---- who may ask ---- */

/* The kind of problem that a request gets, or NULL; *ret_seconds: when to come again. */
static const char *refuse_address(struct lbc_doors *all, const struct connection *c, const char *address, unsigned *ret_seconds)
{
	const struct token nobody = {};
	struct config *config = ab_server_config(all->server);

	*ret_seconds = ab_tokens_take(all->server->tokens, &nobody, address, config->rate);
	ab_config_unref(config);
	if (c->refusal) {
		*ret_seconds = RETRY_SECONDS;
		return c->refusal;
	}
	if (*ret_seconds)
		ab_count(COUNT_RATE_LIMITED);
	return *ret_seconds ? "rate" : NULL;
}

/* ---- the log ---- */

static void log_request(struct server *server, const struct lbc_client *client, const char *path, unsigned status, size_t in,
			size_t out, uint64_t began_us)
{
	struct config *config = ab_server_config(server);
	bool is_wanted = config->log_requests;
	struct log_line line;

	ab_config_unref(config);
	if (!is_wanted)
		return;
	ab_log_begin(&line, "info", "request");
	json_member_str(&line.json, "id", client->request);
	json_member_str(&line.json, "address", client->address);
	json_member_str(&line.json, "path", path);
	json_member_uint(&line.json, "status", status);
	json_member_uint(&line.json, "in", in);
	json_member_uint(&line.json, "out", out);
	json_member_uint(&line.json, "us", ab_now_us() - began_us);
	ab_log_end(&line);
}

/* ---- frames ---- */

struct visit {
	struct lbc_doors *all;
	struct connection *connection;
	int fd;
};

/* Waits until the socket is ready; false when time is up or all shall end. */
static bool wait_for(const struct visit *v, short events, uint64_t until)
{
	struct pollfd fds[] = { { .fd = v->fd, .events = events }, { .fd = v->all->stop[0] } };
	uint64_t now = ab_now_ms();
	int n;

	if (now >= until)
		return false;
	n = poll(fds, ARRAY_SIZE(fds), until - now);
	return (n > 0 && fds[0].revents) || (n < 0 && errno == EINTR);
}

static bool receive(const struct visit *v, char *p, size_t n, uint64_t until)
{
	while (n && wait_for(v, POLLIN, until)) {
		ssize_t got = recv(v->fd, p, n, MSG_DONTWAIT);

		if (!got || (got < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		p += MAX(got, 0);
		n -= MAX(got, 0);
	}
	return !n;
}

static void send_all(const struct visit *v, const char *p, size_t n)
{
	uint64_t until = ab_now_ms() + TIMEOUT_SECONDS * 1000;

	while (n && wait_for(v, POLLOUT, until)) {
		ssize_t sent = send(v->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return;
		p += MAX(sent, 0);
		n -= MAX(sent, 0);
	}
}

static void answer_visit(const struct visit *v)
{
	uint64_t until = ab_now_ms() + TIMEOUT_SECONDS * 1000, began = ab_now_us();
	char id[REQUEST_ID_SIZE];
	const struct lbc_client client = { v->connection->address, id };
	_text_ struct text answer = {};
	_free_ char *json = NULL;
	char head[LBC_FRAME_HEAD + 1];
	long size;

	if (!receive(v, head, LBC_FRAME_HEAD, until))
		return;
	ab_random_hex(id, 8);
	size = ab_lbc_frame_size(head);
	json = size < 0 ? NULL : malloc(size ? size : 1);
	if (!json || !receive(v, json, size, until) || !ab_lbc_answer_frame(v->all->lbc, &client, json, size, &answer) ||
	    answer.failed || answer.n > UINT32_MAX) {
		log_request(v->all->server, &client, "lbc frame", 400, MAX(size, 0), 0, began);
		return;
	}
	log_request(v->all->server, &client, "lbc frame", 200, size, answer.n, began);
	snprintf(head, sizeof(head), "LBC%08zx", answer.n);
	send_all(v, head, LBC_FRAME_HEAD);
	send_all(v, answer.p, answer.n);
}

static void *run_visit(void *ctx)
{
	struct visit *v = ctx;

	answer_visit(v);
	ab_connection_closed(v->connection);
	close(v->fd);
	__atomic_fetch_sub(&v->all->connections, 1, __ATOMIC_ACQ_REL);
	free(v);
	return NULL;
}

static int start_thread(pthread_t *ret, bool detached, void *(*run)(void *), void *ctx)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	r = pthread_create(ret, &attr, run, ctx);
	pthread_attr_destroy(&attr);
	return -r;
}

/* The protocol has no words for a refusal: the connection ends. */
static void take_visit(struct lbc_doors *all, int fd, const struct sockaddr *address)
{
	struct connection *c = ab_connection_opened(all->server->connections, address, fd, false);
	bool is_room = __atomic_fetch_add(&all->connections, 1, __ATOMIC_ACQ_REL) < CONNECTIONS_MAX;
	struct visit *v = NULL;
	pthread_t thread;
	unsigned seconds;

	/* Its time is kept here. */
	if (c && ab_connection_enter(c, PHASE_WORK) && is_room && !refuse_address(all, c, c->address, &seconds))
		v = malloc(sizeof(*v));
	if (v) {
		*v = (struct visit){ .all = all, .connection = c, .fd = fd };
		if (!start_thread(&thread, true, run_visit, v))
			return;
	}
	free(v);
	if (c)
		ab_connection_closed(c);
	close(fd);
	__atomic_fetch_sub(&all->connections, 1, __ATOMIC_ACQ_REL);
}

static void *run_door(void *ctx)
{
	struct door *d = ctx;
	struct pollfd fds[] = { { .fd = d->fd, .events = POLLIN }, { .fd = d->all->stop[0] } };

	for (;;) {
		struct sockaddr_storage address = {};
		socklen_t size = sizeof(address);
		int n = poll(fds, ARRAY_SIZE(fds), -1), fd;

		if (n > 0 && fds[1].revents)
			return NULL;
		fd = n > 0 ? accept4(d->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC) : -1;
		if (fd >= 0)
			take_visit(d->all, fd, (struct sockaddr *)&address);
		else if (n > 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			poll(NULL, 0, 100); /* until somebody leaves */
	}
}

/* ---- HTTP ---- */

struct post {
	struct connection *connection;
	char address[INET6_ADDRSTRLEN]; /* of the client, as a trusted proxy says */
	char id[REQUEST_ID_SIZE];
	uint64_t began_us;
	unsigned status;        /* of the answer; 0: none yet */
	size_t size;            /* of the answer */
	struct text body;
	size_t limit;           /* of the body */
	const char *refusal;    /* kind of problem, or NULL */
	unsigned retry_seconds; /* with it */
};

static enum MHD_Result respond(struct post *post, struct MHD_Connection *c, unsigned status, const char *type, char *text,
			       size_t size)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	char seconds[16];
	enum MHD_Result r;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	post->status = status;
	post->size = size;
	snprintf(seconds, sizeof(seconds), "%u", post->retry_seconds);
	MHD_add_response_header(response, "X-Request-Id", post->id);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
	if (post->retry_seconds)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	if (post->connection->refusal)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	(void)ab_connection_enter(post->connection, PHASE_SEND);
	r = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result refuse(struct post *post, struct MHD_Connection *c, unsigned status, const char *why)
{
	char *text = strdup(why);

	return text ? respond(post, c, status, "text/plain", text, strlen(text)) : MHD_NO;
}

static enum MHD_Result answer_post(struct lbc_doors *all, struct MHD_Connection *c, struct post *post)
{
	const struct lbc_client client = { post->address, post->id };
	struct text answer = {};

	ab_lbc_answer(all->lbc, &client, post->body.p ? post->body.p : "", post->body.n, &answer);
	if (answer.failed || post->body.failed) {
		text_clear(&answer);
		return refuse(post, c, MHD_HTTP_INTERNAL_SERVER_ERROR, "memory ran out\n");
	}
	return respond(post, c, MHD_HTTP_OK, "application/json", answer.p, answer.n);
}

static struct post *begin_post(struct lbc_doors *all, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct config *config = ab_server_config(all->server);
	struct post *post = array_new(1, sizeof(*post));

	if (post && info && info->socket_context && ab_connection_enter(info->socket_context, PHASE_BODY)) {
		post->connection = info->socket_context;
		post->limit = config->body;
		post->began_us = ab_now_us();
		ab_random_hex(post->id, 8);
		ab_client_address(config, c, post->connection, post->address);
		post->refusal = refuse_address(all, post->connection, post->address, &post->retry_seconds);
	} else {
		free(post);
		post = NULL;
	}
	ab_config_unref(config);
	return post;
}

/* Of a body that is refused nothing is kept. */
static void take_body(struct post *post, const char *upload, size_t size)
{
	if (!post->refusal && size > post->limit - post->body.n)
		post->refusal = "limit";
	if (!post->refusal)
		text_add(&post->body, upload, size);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct post *post = *state;

	if (!post) {
		*state = begin_post(ctx, c);
		return *state ? MHD_YES : MHD_NO;
	}
	if (*upload_size) {
		take_body(post, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	if (!ab_connection_enter(post->connection, PHASE_WORK))
		return MHD_NO;
	if (post->refusal)
		return refuse(post, c, ab_problem_status(post->refusal),
			      strcmp(post->refusal, "limit") ? "too many requests or connections\n"
							     : "the request is too large\n");
	if (strcmp(url, "/lbc"))
		return refuse(post, c, MHD_HTTP_NOT_FOUND, "only /lbc is here\n");
	if (strcmp(method, "POST"))
		return refuse(post, c, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST is taken\n");
	return answer_post(ctx, c, post);
}

static void forget_post(void *ctx, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
	struct post *post = *state;

	if (!post)
		return;
	(void)ab_connection_enter(post->connection, PHASE_IDLE);
	log_request(ctx, &(struct lbc_client){ post->address, post->id }, "/lbc", post->status, post->body.n, post->size,
		    post->began_us);
	text_clear(&post->body);
	free(post);
}

static void notice_connection(void *ctx, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct lbc_doors *all = ctx;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = ab_connection_opened_mhd(all->server->connections, c, false);
	else if (*context)
		ab_connection_closed(*context);
}

static int start_http(struct door *d, struct ab_error *err)
{
	const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;

	d->http = MHD_start_daemon(flags, 0, NULL, NULL, handle, d->all, MHD_OPTION_LISTEN_SOCKET, d->fd,
				   MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
				   MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SECONDS, MHD_OPTION_THREAD_STACK_SIZE,
						   (size_t)STACK_SIZE,
				   MHD_OPTION_NOTIFY_COMPLETED, forget_post, d->all->server,
				   MHD_OPTION_NOTIFY_CONNECTION, notice_connection, d->all, MHD_OPTION_END);
	return d->http ? 0 : ab_fail(err, AB_ERROR_IO, -EIO, "lbc: libmicrohttpd does not start");
}

/* ---- all doors ---- */

static int open_door(struct lbc_doors *all, const char *place, struct ab_error *err)
{
	bool is_http = str_starts(place, "http:");
	struct door *d = &all->doors[all->n];
	int r;

	*d = (struct door){ .all = all, .fd = -1 };
	r = listen_at(place, &d->fd, err);
	if (r < 0)
		return r;
	all->n++;
	if (is_http)
		r = start_http(d, err);
	else if (start_thread(&d->thread, false, run_door, d) < 0)
		r = ab_fail_memory(err);
	else
		d->has_thread = true;
	if (!r)
		log_listening(is_http ? "http" : "tcp", d->fd);
	return r;
}

int ab_lbc_open(struct server *server, struct lbc *lbc, struct lbc_doors **ret_doors, struct ab_error *err)
{
	const struct strings *places = &server->config->lbc;
	struct lbc_doors *all = array_new(1, sizeof(*all));
	int r = 0;

	if (!all)
		return ab_fail_memory(err);
	*all = (struct lbc_doors){ .server = server, .lbc = lbc, .stop = { -1, -1 },
				   .doors = array_new(places->n, sizeof(*all->doors)) };
	if (!all->doors || pipe2(all->stop, O_CLOEXEC) < 0)
		r = ab_fail_memory(err);
	for (size_t i = 0; !r && i < places->n; i++)
		r = open_door(all, places->v[i], err);
	if (r < 0) {
		ab_lbc_drain(all, 0);
		ab_lbc_close(all);
		return r;
	}
	*ret_doors = all;
	return 0;
}

static bool wait_for_visits(struct lbc_doors *all, uint64_t ms)
{
	uint64_t until = ab_now_ms() + ms;

	while (__atomic_load_n(&all->connections, __ATOMIC_ACQUIRE) && ab_now_ms() < until)
		poll(NULL, 0, 10);
	return !__atomic_load_n(&all->connections, __ATOMIC_ACQUIRE);
}

void ab_lbc_drain(struct lbc_doors *all, unsigned seconds)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->doors[i].http)
			MHD_quiesce_daemon(all->doors[i].http);
	/* A build goes on to its end; a client that only waits is sent away. */
	ab__close(&all->stop[1]);
	for (size_t i = 0; i < all->n; i++) {
		if (all->doors[i].has_thread)
			pthread_join(all->doors[i].thread, NULL);
		ab__close(&all->doors[i].fd);
	}
	(void)wait_for_visits(all, seconds * 1000ull);
}

void ab_lbc_close(struct lbc_doors *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->doors[i].http)
			MHD_stop_daemon(all->doors[i].http);
	(void)wait_for_visits(all, UINT32_MAX);
	ab__close(&all->stop[0]);
	free(all->doors);
	free(all);
}
