/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Connections: how many there are of whom, and how long each may take for what it is doing. The HTTP library knows a timeout
 * between two bytes only, which a client that sends a byte now and then never meets; here a header, a body, an answer and the pause
 * between two requests each have their time in all.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include "place.h"
#include "server.h"

enum { GONE_MS = 500 };

struct address {
	struct lru_entry lru;
	unsigned connections;
};

struct connections {
	struct server *server;
	pthread_mutex_t lock;
	struct connection *first;
	struct lru addresses;
	unsigned n; /* atomic */
};

static const char too_late[] =
	"{\"type\":\"/problems/timeout\",\"title\":\"the request took too long to arrive\",\"status\":408,"
	"\"detail\":\"its header or its body was not whole when the time for it was up\"}\n";

struct connections *ab_connections_new(struct server *server)
{
	struct connections *all = array_new(1, sizeof(*all));

	if (all) {
		all->server = server;
		pthread_mutex_init(&all->lock, NULL);
	}
	return all;
}

void ab_connections_free(struct connections *all)
{
	if (!all)
		return;
	lru_clear(&all->addresses);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

unsigned ab_connections_count(struct connections *all)
{
	return __atomic_load_n(&all->n, __ATOMIC_RELAXED);
}

static void read_address(struct connection *c, const struct sockaddr *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;

	if (a && a->sa_family == AF_INET) {
		inet_ntop(AF_INET, &in4->sin_addr, c->address, sizeof(c->address));
		c->is_loopback = (ntohl(in4->sin_addr.s_addr) >> 24) == 127;
	} else if (a && a->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], c->address, sizeof(c->address));
		c->is_loopback = in6->sin6_addr.s6_addr[12] == 127;
	} else if (a && a->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, c->address, sizeof(c->address));
		c->is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	} else {
		strcpy(c->address, "unix");
		c->is_unix = c->is_loopback = true;
	}
}

static unsigned *count_of(struct connections *all, const char *address)
{
	struct address *a = (struct address *)lru_find(&all->addresses, address);

	if (!a) {
		a = array_new(1, sizeof(*a));
		if (!a || lru_add(&all->addresses, &a->lru, address, 1)) {
			free(a);
			return NULL;
		}
	}
	return &a->connections;
}

struct connection *ab_connection_opened(struct connections *all, const struct sockaddr *address, int fd, bool is_tls)
{
	struct connection *c = array_new(1, sizeof(*c));
	struct config *config = ab_server_config(all->server);
	unsigned *count;

	if (c) {
		read_address(c, address);
		ab_place_group(c->address, c->group);
		c->fd = fd;
		c->all = all;
		c->is_tls = is_tls;
		c->since = ab_now_ms();
		ab_count(COUNT_CONNECTIONS);
		pthread_mutex_lock(&all->lock);
		count = count_of(all, c->group);
		if (count && ++*count > config->connections_per_address && !c->is_unix &&
		    !ab_is_trusted_proxy(config, c->address))
			c->refusal = "address-connections";
		if (__atomic_add_fetch(&all->n, 1, __ATOMIC_RELAXED) > config->connections)
			c->refusal = "connections";
		c->next = all->first;
		if (c->next)
			c->next->prev = c;
		all->first = c;
		pthread_mutex_unlock(&all->lock);
		if (c->refusal)
			ab_count(COUNT_REFUSED_CONNECTION);
	}
	ab_config_unref(config);
	return c;
}

struct connection *ab_connection_opened_mhd(struct connections *all, struct MHD_Connection *mhd, bool is_tls)
{
	const union MHD_ConnectionInfo *address = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

	return ab_connection_opened(all, address ? address->client_addr : NULL, fd ? fd->connect_fd : -1, is_tls);
}

void ab_connection_closed(struct connection *c)
{
	struct connections *all = c->all;
	struct address *a;

	pthread_mutex_lock(&all->lock);
	a = (struct address *)lru_find(&all->addresses, c->group);
	if (a && !--a->connections) {
		lru_remove(&all->addresses, &a->lru);
		free(a);
	}
	*(c->prev ? &c->prev->next : &all->first) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	__atomic_sub_fetch(&all->n, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&all->lock);
	free(c);
}

bool ab_connection_enter(struct connection *c, enum phase phase)
{
	__atomic_store_n(&c->since, ab_now_ms(), __ATOMIC_RELAXED);
	return __atomic_exchange_n(&c->phase, phase, __ATOMIC_ACQ_REL) != PHASE_EXPIRED;
}

void *ab_connection_request(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	if (info && info->socket_context)
		(void)ab_connection_enter(info->socket_context, PHASE_HEADER);
	return NULL;
}

static uint64_t phase_ms(const struct config *config, int phase)
{
	switch (phase) {
	case PHASE_HEADER:
		return config->header_seconds * 1000;
	case PHASE_BODY:
		return config->body_seconds * 1000;
	case PHASE_SEND:
		return config->send_seconds * 1000;
	case PHASE_IDLE:
		return config->idle_seconds * 1000;
	}
	return UINT64_MAX; /* work ends by itself; what has expired is about to close */
}

static void send_too_late(int fd)
{
	char answer[512];
	int n = snprintf(answer, sizeof(answer), "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n"
			 "Connection: close\r\nContent-Length: %zu\r\n\r\n%s", sizeof(too_late) - 1, too_late);

	(void)!send(fd, answer, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void expire(struct connection *c, int phase)
{
	if (!__atomic_compare_exchange_n(&c->phase, &phase, PHASE_EXPIRED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	ab_count(COUNT_EXPIRED);
	/* Before the request is whole nothing else is sent. */
	if ((phase == PHASE_HEADER || phase == PHASE_BODY) && !c->is_tls)
		send_too_late(c->fd);
	(void)shutdown(c->fd, SHUT_RDWR);
}

/*
 * A client that ended in the middle of its request, or behind its last one. The HTTP library may not hear of it: epoll(7) tells
 * an edge once, and where the end came together with the last bytes, the library reads those and waits for more. What it has
 * read and not handled yet is no reason to close, hence the time.
 */
static bool is_client_gone(struct connection *c, int phase, uint64_t now)
{
	char byte;
	bool is_reading = phase == PHASE_HEADER || phase == PHASE_BODY || phase == PHASE_IDLE;

	if (!is_reading || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
		c->gone_since = 0;
		return false;
	}
	if (!c->gone_since)
		c->gone_since = now;
	return now - c->gone_since > GONE_MS;
}

void ab_connections_expire(struct connections *all)
{
	struct config *config = ab_server_config(all->server);
	uint64_t now = ab_now_ms();

	/* The library closes the descriptor only after ab_connection_closed(), which takes the lock. */
	pthread_mutex_lock(&all->lock);
	for (struct connection *c = all->first; c; c = c->next) {
		int phase = __atomic_load_n(&c->phase, __ATOMIC_ACQUIRE);
		uint64_t since = __atomic_load_n(&c->since, __ATOMIC_RELAXED), limit = phase_ms(config, phase);

		if ((now > since && now - since > limit) || is_client_gone(c, phase, now))
			expire(c, phase);
	}
	pthread_mutex_unlock(&all->lock);
	ab_config_unref(config);
}
