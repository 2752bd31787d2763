/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The shared cache (shared.h): one thread, one connection. In Redis, for a result KEY:
 *
 *	anybpf:1:r:KEY       the record, behind a line that signs it
 *	anybpf:1:a:DIGEST    an artifact
 *	anybpf:1:l:KEY       the name of the server that compiles it; it runs out soon after that server has stopped to renew it
 *
 * Artifacts prove themselves by their digest. A record is believed when one of our keys has signed it, so who can write to
 * Redis cannot make us sign what he likes.
 */
#include <hiredis/hiredis.h>
#include <unistd.h>
#include "build.h"
#include "keyring.h"
#include "server.h"
#include "shared.h"

#define PREFIX "anybpf:1:"

enum { CONNECT_MS = 500, COMMAND_MS = 2000, RETRY_MS = 1000, TICK_MS = 1000, LOOK_AGAIN_MS = 20, LOCK_MS = 4000,
       VALUE_LIMIT = 64 << 20 };

/* What is to be done, not before `due`. */
struct task {
	struct task *next;
	uint64_t due;
	struct job *job;     /* to look for; NULL: to publish */
	char key[HEX_DIGEST_SIZE];
	struct blob *record;
};

struct shared {
	struct server *server;
	char *host, *password, *path; /* path: a unix socket, in place of host and port */
	int port, db;
	char name[17];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct task *tasks;
	struct lru locks;             /* keys that this server compiles; of the thread alone */
	bool is_ending, is_running;
	bool is_connected;            /* atomic */
	redisContext *redis;
	uint64_t connect_at;
};

/* ---- the connection ---- */

static void note_state(struct shared *s, bool is_connected, const char *why)
{
	bool was = __atomic_exchange_n(&s->is_connected, is_connected, __ATOMIC_RELAXED);

	if (was != is_connected)
		ab_log(is_connected ? "info" : "warning", "shared", "%s", is_connected ? "connected" : why);
}

static void disconnect(struct shared *s, const char *why)
{
	_text_ struct text message = {};

	text_printf(&message, "away, this server works alone: %s", why);
	note_state(s, false, message.p ? message.p : "away");
	if (s->redis)
		redisFree(s->redis);
	s->redis = NULL;
	s->connect_at = ab_now_ms() + RETRY_MS;
	ab_count(COUNT_SHARED_ERRORS);
}

/* One command; NULL: the connection is gone. The caller frees the reply. */
static redisReply *command(struct shared *s, const char *fmt, ...)
{
	redisReply *reply;
	va_list args;

	va_start(args, fmt);
	reply = redisvCommand(s->redis, fmt, args);
	va_end(args);
	if (reply && reply->type != REDIS_REPLY_ERROR)
		return reply;
	disconnect(s, reply ? reply->str : s->redis->errstr);
	if (reply)
		freeReplyObject(reply);
	return NULL;
}

static bool run_command(struct shared *s, redisReply *reply)
{
	if (reply)
		freeReplyObject(reply);
	return reply != NULL;
}

static bool greet(struct shared *s)
{
	if (s->password && !run_command(s, command(s, "AUTH %s", s->password)))
		return false;
	if (s->db && !run_command(s, command(s, "SELECT %d", s->db)))
		return false;
	return run_command(s, command(s, "PING"));
}

static bool connected(struct shared *s)
{
	struct timeval connect = { CONNECT_MS / 1000, CONNECT_MS % 1000 * 1000 }, time = { COMMAND_MS / 1000, 0 };

	if (s->redis)
		return true;
	if (ab_now_ms() < s->connect_at)
		return false;
	s->redis = s->path ? redisConnectUnixWithTimeout(s->path, connect) : redisConnectWithTimeout(s->host, s->port, connect);
	if (!s->redis || s->redis->err) {
		disconnect(s, s->redis ? s->redis->errstr : "out of memory");
		return false;
	}
	(void)redisSetTimeout(s->redis, time);
	if (!greet(s))
		return false;
	note_state(s, true, NULL);
	return true;
}

bool ab_shared_connected(const struct shared *s)
{
	return s && __atomic_load_n(&s->is_connected, __ATOMIC_RELAXED);
}

/* ---- records ---- */

/* What a record's signature is about: the question and the answer. */
static void record_digest(const char *key, const char *record, size_t size, char hex[HEX_DIGEST_SIZE])
{
	struct digest *d = ab_digest_begin();

	ab_digest_add_string(d, key);
	ab_digest_add(d, record, size);
	ab_digest_end(d, hex);
}

static struct blob *open_record(struct shared *s, const char *key, const char *value, size_t size)
{
	const char *end = memchr(value, '\n', size);
	struct keyring *keyring;
	char hex[HEX_DIGEST_SIZE];
	struct blob *blob = NULL;

	if (!end)
		return NULL;
	record_digest(key, end + 1, value + size - end - 1, hex);
	keyring = ab_server_keyring(s->server);
	if (ab_keyring_is_sealed(keyring, value, end - value, hex))
		blob = ab_blob_new(end + 1, value + size - end - 1);
	else
		ab_log("warning", "shared", "the record %.16s… is not by a server with our keys and is not used", key);
	ab_keyring_unref(keyring);
	return blob;
}

/* Calls `fn` with the digest of each artifact of a record; false when one call gave false, or it is no record. */
static bool each_artifact(struct shared *s, const struct blob *record, bool (*fn)(struct shared *s, const char *hex))
{
	json_t *json = json_loadb(record->data, record->size, JSON_ALLOW_NUL, NULL), *artifact;
	bool ok = json != NULL;
	size_t i;

	json_array_foreach(json_object_get(json, "artifacts"), i, artifact) {
		const char *digest = json_string_value(json_object_get(artifact, "digest"));

		ok = ok && digest && str_starts(digest, "sha256:") && ab_is_hex_digest(digest + 7) && fn(s, digest + 7);
	}
	json_decref(json);
	return ok;
}

static bool fetch_artifact(struct shared *s, const char *hex)
{
	char digest[HEX_DIGEST_SIZE];
	redisReply *reply;
	bool ok = false;

	if (ab_store_has(s->server->store, STORE_ARTIFACT, hex))
		return true;
	reply = s->redis ? command(s, "GET " PREFIX "a:%s", hex) : NULL;
	if (reply && reply->type == REDIS_REPLY_STRING) {
		ab_digest_of(reply->str, reply->len, digest);
		ok = !strcmp(digest, hex);
		if (ok)
			ab_store_put(s->server->store, STORE_ARTIFACT, hex, reply->str, reply->len);
	}
	if (reply)
		freeReplyObject(reply);
	return ok;
}

static bool send_artifact(struct shared *s, const char *hex)
{
	struct config *config = ab_server_config(s->server);
	struct blob *blob = ab_artifact_get(s->server, hex);
	bool ok = blob && blob->size <= VALUE_LIMIT && s->redis &&
		  run_command(s, command(s, "SET " PREFIX "a:%s %b EX %lld", hex, blob->data, blob->size,
					 (long long)config->shared_days * 86400));

	ab_blob_unref(blob);
	ab_config_unref(config);
	return ok;
}

/* ---- looking and publishing ---- */

/* 1: the record, with its artifacts in our own store; 0: none; -1: Redis is away. */
static int look(struct shared *s, const char *key, struct blob **ret_record)
{
	redisReply *reply = command(s, "GET " PREFIX "r:%s", key);
	struct blob *record = NULL;

	if (!reply)
		return -1;
	if (reply->type == REDIS_REPLY_STRING)
		record = open_record(s, key, reply->str, reply->len);
	freeReplyObject(reply);
	if (record && each_artifact(s, record, fetch_artifact)) {
		ab_store_put(s->server->store, STORE_RESULT, key, record->data, record->size);
		*ret_record = record;
		return 1;
	}
	ab_blob_unref(record);
	return s->redis ? 0 : -1;
}

/* 1: it is ours to compile; 0: another server does; -1: Redis is away. */
static int take_lock(struct shared *s, const char *key)
{
	redisReply *reply = command(s, "SET " PREFIX "l:%s %s NX PX %d", key, s->name, LOCK_MS);
	int r = !reply ? -1 : reply->type == REDIS_REPLY_STATUS;
	struct lru_entry *e = r > 0 && !lru_find(&s->locks, key) ? array_new(1, sizeof(*e)) : NULL;

	if (e && lru_add(&s->locks, e, key, 1))
		free(e);
	if (reply)
		freeReplyObject(reply);
	return r;
}

/* A server that compiles for long keeps its locks; those of one that died run out. */
static void renew_locks(struct shared *s)
{
	for (struct lru_entry *e = s->locks.oldest; e && s->redis; e = e->newer)
		(void)run_command(s, command(s, "SET " PREFIX "l:%s %s XX PX %d", e->key, s->name, LOCK_MS));
}

static void drop_lock(struct shared *s, const char *key)
{
	struct lru_entry *e = lru_find(&s->locks, key);

	if (!e)
		return;
	lru_remove(&s->locks, e);
	free(e);
	if (connected(s))
		(void)run_command(s, command(s, "DEL " PREFIX "l:%s", key));
}

static void publish(struct shared *s, const struct task *t)
{
	struct config *config = ab_server_config(s->server);
	struct keyring *keyring = ab_server_keyring(s->server);
	_text_ struct text value = {};
	char hex[HEX_DIGEST_SIZE];

	if (t->record && connected(s) && each_artifact(s, t->record, send_artifact)) {
		record_digest(t->key, t->record->data, t->record->size, hex);
		if (!ab_keyring_seal(keyring, hex, &value)) {
			text_putc(&value, '\n');
			text_add(&value, t->record->data, t->record->size);
			if (!value.failed)
				(void)run_command(s, command(s, "SET " PREFIX "r:%s %b EX %lld", t->key, value.p, value.n,
							     (long long)config->shared_days * 86400));
		}
	}
	drop_lock(s, t->key);
	ab_keyring_unref(keyring);
	ab_config_unref(config);
}

static void add_task(struct shared *s, struct task *t, uint64_t due)
{
	struct task **at = &s->tasks;

	t->due = due;
	while (*at && (*at)->due <= due)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	pthread_cond_signal(&s->more);
}

static void find(struct shared *s, struct task *t)
{
	struct jobs *jobs = s->server->jobs;
	struct blob *record;
	int r = connected(s) ? look(s, t->key, &record) : -1;

	if (r > 0) {
		ab_count(COUNT_HITS_SHARED);
		ab_job_done(jobs, t->job, ab_outcome_new(record, NULL, NULL));
		free(t);
		return;
	}
	if (!r)
		r = take_lock(s, t->key);
	if (!r) {
		pthread_mutex_lock(&s->lock);
		add_task(s, t, ab_now_ms() + LOOK_AGAIN_MS);
		pthread_mutex_unlock(&s->lock);
		return;
	}
	ab_job_compile(jobs, t->job);
	free(t);
}

/* ---- the thread ---- */

static struct task *take_task(struct shared *s)
{
	uint64_t now = ab_now_ms(), until = now + TICK_MS;
	struct task *t = s->tasks;
	struct timespec at;

	if (t && t->due <= now) {
		s->tasks = t->next;
		return t;
	}
	if (t && t->due < until)
		until = t->due;
	at = (struct timespec){ until / 1000, until % 1000 * 1000000 };
	pthread_cond_timedwait(&s->more, &s->lock, &at);
	return NULL;
}

static void do_task(struct shared *s, struct task *t)
{
	if (t->job) {
		find(s, t);
	} else {
		publish(s, t);
		ab_blob_unref(t->record);
		free(t);
	}
}

static void tick(struct shared *s)
{
	if (connected(s) && run_command(s, command(s, "PING")))
		renew_locks(s);
}

static void *run_shared(void *arg)
{
	struct shared *s = arg;
	uint64_t ticked = 0;
	bool is_ending;

	pthread_setname_np(pthread_self(), "shared");
	do {
		struct task *t;

		pthread_mutex_lock(&s->lock);
		t = s->is_ending ? NULL : take_task(s);
		is_ending = s->is_ending;
		pthread_mutex_unlock(&s->lock);
		if (t)
			do_task(s, t);
		if (ab_now_ms() - ticked >= TICK_MS) {
			tick(s);
			ticked = ab_now_ms();
		}
	} while (!is_ending);
	return NULL;
}

static bool submit_task(struct shared *s, struct job *job, const char *key, struct blob *record)
{
	struct task *t = array_new(1, sizeof(*t));
	bool ok;

	if (!t)
		return false;
	t->job = job;
	snprintf(t->key, sizeof(t->key), "%s", key);
	pthread_mutex_lock(&s->lock);
	ok = !s->is_ending;
	if (ok) {
		t->record = record ? ab_blob_ref(record) : NULL;
		add_task(s, t, ab_now_ms());
	}
	pthread_mutex_unlock(&s->lock);
	if (!ok)
		free(t);
	return ok;
}

bool ab_shared_find(struct shared *s, struct job *job)
{
	return ab_shared_connected(s) && submit_task(s, job, ab_job_key(job), NULL);
}

void ab_shared_publish(struct shared *s, const char *key, struct blob *record)
{
	/* Also when Redis is away: the lock may be from before. */
	if (s)
		(void)submit_task(s, NULL, key, record);
}

/* ---- life ---- */

/* -1: it is none. */
static int read_number(const char *text)
{
	size_t n = strspn(text, "0123456789");

	return n && n < 6 && !text[n] ? strtol(text, NULL, 10) : -1;
}

static int parse_tcp(struct shared *s, char *rest)
{
	char *at = strrchr(rest, '@'), *slash, *colon, *end;

	if (at) {
		*at = '\0';
		if (*rest != ':')
			return -EINVAL;
		s->password = strdup(rest + 1);
		rest = at + 1;
	}
	slash = strchr(rest, '/');
	if (slash) {
		*slash = '\0';
		s->db = read_number(slash + 1);
	}
	end = *rest == '[' ? strchr(rest, ']') : NULL;
	colon = strrchr(end ? end : rest, ':');
	s->port = colon ? read_number(colon + 1) : 6379;
	if (colon)
		*colon = '\0';
	if (end)
		*end = '\0';
	rest += end != NULL;
	s->host = strdup(rest);
	return *rest && s->port > 0 && s->port <= UINT16_MAX && s->db >= 0 ? 0 : -EINVAL;
}

static int parse_url(struct shared *s, const char *url, struct ab_error *err)
{
	_free_ char *copy = strdup(url);
	int r = -EINVAL;

	if (!copy)
		return ab_fail_memory(err);
	if (str_starts(copy, "redis+unix:") && copy[strlen("redis+unix:")]) {
		s->path = strdup(copy + strlen("redis+unix:"));
		r = 0;
	} else if (str_starts(copy, "redis://")) {
		r = parse_tcp(s, copy + strlen("redis://"));
	}
	/* Without the URL, which may have a password. */
	return r ? ab_fail(err, AB_ERROR_USAGE, r,
			   "shared.url is not redis://[:PASSWORD@]HOST[:PORT][/DB] or redis+unix:PATH") : 0;
}

static void clear_url(struct shared *s)
{
	free(s->host);
	free(s->password);
	free(s->path);
}

int ab_shared_check(const char *url, struct ab_error *err)
{
	struct shared parsed = {};
	int r = parse_url(&parsed, url, err);

	clear_url(&parsed);
	return r;
}

int ab_shared_new(struct server *server, struct shared **ret_shared, struct ab_error *err)
{
	struct shared *s = array_new(1, sizeof(*s));
	pthread_condattr_t monotonic;
	int r;

	if (!s)
		return ab_fail_memory(err);
	s->server = server;
	ab_random_hex(s->name, 8);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->more, &monotonic);
	pthread_condattr_destroy(&monotonic);
	r = parse_url(s, server->config->shared, err);
	if (!r && pthread_create(&s->thread, NULL, run_shared, s))
		r = ab_fail(err, AB_ERROR_NO_MEMORY, -EAGAIN, "unable to start a thread");
	if (r) {
		ab_shared_free(s);
		return r;
	}
	s->is_running = true;
	*ret_shared = s;
	return 0;
}

void ab_shared_stop(struct shared *s)
{
	if (!s || !s->is_running)
		return;
	pthread_mutex_lock(&s->lock);
	s->is_ending = true;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->is_running = false;
	while (s->tasks) {
		struct task *t = s->tasks;

		s->tasks = t->next;
		if (t->job)
			ab_job_compile(s->server->jobs, t->job);
		else
			publish(s, t);
		ab_blob_unref(t->record);
		free(t);
	}
}

void ab_shared_free(struct shared *s)
{
	if (!s)
		return;
	ab_shared_stop(s);
	while (s->locks.oldest)
		drop_lock(s, s->locks.oldest->key);
	lru_clear(&s->locks);
	if (s->redis)
		redisFree(s->redis);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	clear_url(s);
	free(s);
}
