/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Listeners (http.h): sockets are made here, connections are the HTTP library's. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "http.h"
#include "place.h"
#include "tls.h"

/* The library's memory for a connection holds the header, what it makes of it, and the header of the answer. */
enum { LISTENERS_LIMIT = 64, BACKLOG = 1024, FIRST_ACTIVATED_FD = 3, MEMORY_BESIDE_HEADER = 4 << 10, SPARE_CONNECTIONS = 64 };

struct listener {
	struct server *server;
	struct MHD_Daemon *daemon;
	int fd;
	bool is_tls;
	char *unix_path; /* to be removed at the end */
};

struct http {
	struct server *server;
	struct tls *tls;
	struct listener listeners[LISTENERS_LIMIT];
	size_t n;
};

/* ---- the library's callbacks ---- */

static void notice_connection(void *cls, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct listener *l = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = ab_connection_opened_mhd(l->server->connections, c, l->is_tls);
	else if (*context)
		ab_connection_closed(*context);
}

static void log_library(void *cls, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void log_library(void *cls, const char *fmt, va_list args)
{
	char message[512];
	size_t n;

	vsnprintf(message, sizeof(message), fmt, args);
	n = strcspn(message, "\n");
	message[n] = '\0';
	ab_log("debug", "http", "%s", message);
}

/* ---- sockets ---- */

static int listen_unix(const char *path, struct ab_error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path); /* it fits: ab_place_check_listen() */
	if (fd < 0)
		return ab_fail_errno(err, -errno, "listen: unix:%s", path);
	/* Only a socket that nobody serves any more is removed. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno != ECONNREFUSED)
			return ab_fail(err, AB_ERROR_BUSY, -EADDRINUSE, "listen: 'unix:%s' is served by somebody else", path);
		(void)unlink(path);
	}
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
		return ab_fail_errno(err, -errno, "listen: unix:%s", path);
	return TAKE_FD(fd);
}

static int open_tcp(const struct addrinfo *a, const char *place, struct ab_error *err)
{
	_close_ int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "listen: %s", place);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return ab_fail_errno(err, -errno, "listen: %s", place);
	return TAKE_FD(fd);
}

static int listen_tcp(const char *place, struct ab_error *err)
{
	struct addrinfo *found;
	int r;

	if (!ab_place_parse(place, &found))
		return ab_place_check_listen(place, err);
	r = open_tcp(found, place, err);
	freeaddrinfo(found);
	return r;
}

static void describe_socket(int fd, char *out, size_t cap)
{
	struct sockaddr_storage a = {};
	socklen_t n = sizeof(a);
	char host[INET6_ADDRSTRLEN], port[8];

	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0 || a.ss_family == AF_UNIX)
		snprintf(out, cap, "unix:%s", n > sizeof(sa_family_t) ? ((struct sockaddr_un *)&a)->sun_path : "");
	else if (getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
			     NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(out, cap, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	else
		snprintf(out, cap, "?");
}

static bool is_unix_socket(int fd)
{
	struct sockaddr_storage a = {};
	socklen_t n = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &n) == 0 && a.ss_family == AF_UNIX;
}

/* ---- daemons ---- */

static int start_daemon(struct http *http, struct listener *l, const struct config *config, struct ab_error *err)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	unsigned limit = config->connections + SPARE_CONNECTIONS;
	size_t memory = config->header + MEMORY_BESIDE_HEADER;
	struct MHD_OptionItem tls[4] = {};

	if (l->is_tls) {
		flags |= MHD_USE_TLS;
		ab_tls_options(http->tls, tls);
	}
	l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, ab_request_handle, l->server,
				     MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
				     MHD_OPTION_LISTEN_SOCKET, l->fd,
				     MHD_OPTION_THREAD_POOL_SIZE, (unsigned)config->threads,
				     MHD_OPTION_CONNECTION_LIMIT, MAX(limit, (unsigned)config->threads),
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
				     MHD_OPTION_NOTIFY_COMPLETED, ab_request_done, l->server,
				     MHD_OPTION_NOTIFY_CONNECTION, notice_connection, l,
				     MHD_OPTION_URI_LOG_CALLBACK, ab_connection_request, NULL,
				     MHD_OPTION_UNESCAPE_CALLBACK, ab_request_unescape, l->server,
				     MHD_OPTION_STRICT_FOR_CLIENT, 1,
				     MHD_OPTION_ARRAY, tls,
				     MHD_OPTION_END);
	return l->daemon ? 0
			 : ab_fail(err, AB_ERROR_INTERNAL, -EIO, "the HTTP library does not start%s",
				   l->is_tls ? " with this TLS key" : "");
}

/* Takes over the socket; it is served when all sockets are there. */
static int add_listener(struct http *http, int fd, const char *unix_path, struct ab_error *err)
{
	if (http->n == LISTENERS_LIMIT) {
		close(fd);
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "listen: more than %d places", LISTENERS_LIMIT);
	}
	http->listeners[http->n++] = (struct listener){ .server = http->server,
							.fd = fd,
							.is_tls = http->tls && !is_unix_socket(fd),
							.unix_path = unix_path ? strdup(unix_path) : NULL };
	return 0;
}

static int serve_listener(struct http *http, struct listener *l, const struct config *config, struct ab_error *err)
{
	int r = start_daemon(http, l, config, err);
	struct log_line line;
	char place[192];

	if (r)
		return r;
	describe_socket(l->fd, place, sizeof(place));
	ab_log_begin(&line, "info", "listening");
	json_member_str(&line.json, "address", place);
	json_member_bool(&line.json, "tls", l->is_tls);
	ab_log_end(&line);
	return 0;
}

static int add_places(struct http *http, const struct config *config, struct ab_error *err)
{
	for (size_t i = 0; i < config->listen.n; i++) {
		const char *place = config->listen.v[i], *path = str_starts(place, "unix:") ? place + 5 : NULL;
		int fd = path ? listen_unix(path, err) : listen_tcp(place, err), r;

		if (fd < 0)
			return fd;
		r = add_listener(http, fd, path, err);
		if (r)
			return r;
	}
	return 0;
}

/* sd_listen_fds(3): how many sockets systemd gave us; the variables are not for our children. */
static int count_activated(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int count = pid && n && strtol(pid, NULL, 10) == getpid() ? strtol(n, NULL, 10) : 0;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return MAX(count, 0);
}

int ab_http_start(struct server *server, struct http **ret_http, struct ab_error *err)
{
	struct http *http = array_new(1, sizeof(*http));
	const struct config *config = server->config;
	int activated = count_activated(), r = 0;

	if (!http)
		return ab_fail_memory(err);
	http->server = server;
	if (config->tls_key)
		r = ab_tls_new(config, &http->tls, err);
	for (int i = 0; i < activated && !r; i++) {
		int fd = FIRST_ACTIVATED_FD + i;

		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		r = add_listener(http, fd, NULL, err);
	}
	if (!r && !activated)
		r = add_places(http, config, err);
	for (size_t i = 0; i < http->n && !r; i++)
		r = serve_listener(http, &http->listeners[i], config, err);
	if (r) {
		ab_http_stop(http);
		return r;
	}
	*ret_http = http;
	return 0;
}

void ab_http_stop(struct http *http)
{
	if (!http)
		return;
	for (size_t i = 0; i < http->n; i++) {
		struct listener *l = &http->listeners[i];

		/* The library would shut the socket down, also for systemd, whose it may be. */
		if (l->daemon) {
			(void)MHD_quiesce_daemon(l->daemon);
			MHD_stop_daemon(l->daemon);
		}
		close(l->fd);
		if (l->unix_path)
			(void)unlink(l->unix_path);
		free(l->unix_path);
	}
	ab_tls_free(http->tls);
	free(http);
}

int ab_http_reload(struct http *http, const struct config *config, struct ab_error *err)
{
	if (!http->tls != !config->tls_key)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "TLS is switched %s by a restart only", http->tls ? "off" : "on");
	return http->tls ? ab_tls_reload(http->tls, config, err) : 0;
}
