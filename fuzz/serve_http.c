/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpfd's HTTP layer as a client meets it: bytes on a connection of the real HTTP library, run by hand, and behind it all
 * routes with their store, tokens, kernels and queue. The first byte of an input says what the server is like and when the
 * client leaves, the second how large the pieces are in which the rest is sent. Whatever comes, answers are those that the
 * description has, log lines are JSON, and the connection ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <serve/jobs.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "serve_http/serve_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWERED_MAX = 4096, ROUNDS_MAX = 100000, AN_HOUR = 3600 * 1000, MEMORY = 12 << 10 };
enum { FLAG_CONFIG = 3, FLAG_DRAINING = 4, FLAG_LEAVES = 8, FLAG_ADDRESS_FULL = 16, FLAG_LATE = 32 };

static struct server server;
static struct config *configs[CONFIG_COUNT];
static struct MHD_Daemon *mhd;
static int epoll_fd, audit_fd;

/* The connection of this input. */
static struct answered answered[ANSWERED_MAX];
static size_t n_answered;
static char method[sizeof(answered->method)];
static struct text received;

/* ---- the library's callbacks ---- */

static void notice_connection(void *cls, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = ab_connection_opened_mhd(server.connections, c, false);
	else if (*context)
		ab_connection_closed(*context);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url, const char *given, const char *version,
			      const char *upload, size_t *upload_size, void **request)
{
	if (!*request)
		snprintf(method, sizeof(method), "%s", given);
	return ab_request_handle(cls, c, url, given, version, upload, upload_size, request);
}

static void note_done(void *cls, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
	const struct request *q = *request;

	if (q && q->status && code == MHD_REQUEST_TERMINATED_COMPLETED_OK && n_answered < ANSWERED_MAX) {
		struct answered *a = &answered[n_answered++];

		*a = (struct answered){ .route = q->route, .status = q->status };
		memcpy(a->id, q->id, sizeof(a->id));
		memcpy(a->method, method, sizeof(a->method));
	}
	ab_request_done(cls, c, request, code);
}

static void drop_log(void *cls, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void drop_log(void *cls, const char *fmt, va_list args)
{
}

/* ---- the connection ---- */

/* Takes what the server has sent. */
static void receive(int fd)
{
	for (ssize_t n = 1; n > 0;) {
		MUST(text_reserve(&received, 65536));
		n = recv(fd, received.p + received.n, 65536, MSG_DONTWAIT);
		received.n += MAX(n, 0);
	}
}

static void run_library(int fd)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int rounds = 0;

	do {
		MUST(MHD_run(mhd) == MHD_YES && ++rounds < ROUNDS_MAX);
		if (fd >= 0)
			receive(fd);
	} while (MHD_get_timeout(mhd, &ms) == MHD_YES && !ms);
}

static bool has_jobs(void)
{
	struct jobs_stats stats;

	ab_jobs_stats(server.jobs, &stats);
	return stats.waiting + stats.running;
}

/* Until nobody has anything to do. */
static void settle(int fd)
{
	struct pollfd p = { .fd = epoll_fd, .events = POLLIN };
	bool had_jobs;

	do {
		had_jobs = has_jobs();
		run_library(fd);
		if (has_jobs())
			(void)poll(&p, 1, 1);
	} while (had_jobs || has_jobs() || poll(&p, 1, 0) > 0);
}

static int open_connection(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201) }; /* 192.0.2.1 */
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	MUST(MHD_add_connection(mhd, fds[1], (struct sockaddr *)&address, sizeof(address)) == MHD_YES);
	return fds[0];
}

/* False: the server takes no more. */
static bool send_piece(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return false;
		p += MAX(sent, 0);
		n -= MAX(sent, 0);
		run_library(fd);
		if (sent < 0)
			settle(fd);
	}
	return true;
}

static void converse(int fd, const char *p, size_t n, size_t piece, unsigned flags)
{
	for (size_t k; n; p += k, n -= k) {
		k = piece ? MIN(n, piece) : n;
		if (!send_piece(fd, p, k))
			break;
	}
	if (flags & FLAG_LEAVES)
		return;
	settle(fd);
	if (flags & FLAG_LATE) {
		fuzz_now_ms += AN_HOUR;
		ab_connections_expire(server.connections);
		settle(fd);
	}
	(void)shutdown(fd, SHUT_WR);
	settle(fd);
}

/* ---- inputs ---- */

static void start(void)
{
	char path[64];

	make_server(&server, configs);
	audit_fd = memfd_create("audit", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", audit_fd);
	MUST(audit_fd >= 0 && !ab_audit_open(path, NULL));
	mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL,
			       NULL, handle, &server,
			       MHD_OPTION_EXTERNAL_LOGGER, drop_log, NULL,
			       MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
			       MHD_OPTION_NOTIFY_COMPLETED, note_done, &server,
			       MHD_OPTION_NOTIFY_CONNECTION, notice_connection, NULL,
			       MHD_OPTION_URI_LOG_CALLBACK, ab_connection_request, NULL,
			       MHD_OPTION_UNESCAPE_CALLBACK, ab_request_unescape, NULL,
			       MHD_OPTION_STRICT_FOR_CLIENT, 1,
			       MHD_OPTION_END);
	MUST(mhd);
	epoll_fd = MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* Nothing of the input before is left. */
static void reset(unsigned flags)
{
	server.config = configs[flags & FLAG_CONFIG];
	server.draining = flags & FLAG_DRAINING;
	n_answered = 0;
	received.n = 0;
	fuzz_now_ms += AN_HOUR * 24; /* all rates are fresh */
	ab_cache_reset(server.memory, 1 << 20);
	ab_store_set_limit(server.store, 0);
	ab_store_set_limit(server.store, 1 << 20);
}

static void check_audit(void)
{
	off_t size = lseek(audit_fd, 0, SEEK_END);
	_free_ char *text = malloc(size + 1);

	MUST(text && pread(audit_fd, text, size, 0) == size && ftruncate(audit_fd, 0) == 0);
	check_lines(text, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd, other = -1;

	if (!mhd)
		start();
	if (size < 2)
		return 0;
	reset(*data);
	if (*data & FLAG_ADDRESS_FULL)
		other = open_connection();
	fd = open_connection();
	converse(fd, (const char *)data + 2, size - 2, data[1] & 31, *data);
	if (!(*data & FLAG_LEAVES))
		check_answers(received.p, received.n, answered, n_answered, *data & FLAG_LATE);
	close(fd);
	if (other >= 0)
		close(other);
	settle(-1);
	MUST(!ab_connections_count(server.connections) && !server.active);
	check_audit();
	return 0;
}
