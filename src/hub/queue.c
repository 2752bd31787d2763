/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The queue that several machines share: a Redis stream with one consumer group. An entry belongs to whom it was given
 * until it is acknowledged; what nobody touched for `silence` seconds is somebody else's.
 */
#include <hiredis/hiredis.h>
#include <time.h>
#include <unistd.h>
#include "crawl.h"

#define GROUP "crawl"
#define DEFAULT_NAME "anybpf-hub"
#define SILENT_SECONDS 120

struct queue {
	redisContext *redis;
	char *name, *items;     /* keys: the stream, and the hash of what was done */
	char consumer[128];
	char cursor[64];        /* of XAUTOCLAIM */
	long silent_ms;
	pthread_mutex_t lock;
};

static int fail(struct queue *q, const redisReply *reply, struct ab_error *err)
{
	const char *why = q->redis->err ? q->redis->errstr : "an answer that makes no sense";

	if (reply && reply->type == REDIS_REPLY_ERROR)
		why = reply->str;
	return ab_fail(err, AB_ERROR_IO, -EIO, "the queue: %s", why);
}

PRINTF_LIKE(3, 4) static redisReply *ask(struct queue *q, struct ab_error *err, const char *fmt, ...)
{
	redisReply *reply;
	va_list args;

	va_start(args, fmt);
	reply = redisvCommand(q->redis, fmt, args);
	va_end(args);
	if (!reply || reply->type == REDIS_REPLY_ERROR) {
		fail(q, reply, err);
		if (reply)
			freeReplyObject(reply);
		return NULL;
	}
	return reply;
}

static int failed(struct ab_error *err)
{
	return err && err->code ? err->code : -EIO;
}

/* ---- opening ---- */

/* redis://HOST[:PORT][/NAME][?silence=SECONDS] */
static int parse_url(struct queue *q, const char *url, char host[256], int *ret_port, struct ab_error *err)
{
	const char *p = url + strlen("redis://"), *slash, *colon, *query = strchr(url, '?');
	size_t n;
	char *end;

	*ret_port = 6379;
	if (!str_starts(url, "redis://"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "queue '%s': redis://HOST[:PORT][/NAME] is wanted", url);
	slash = strchr(p, '/');
	n = strcspn(p, "/?");
	q->silent_ms = query && str_starts(query, "?silence=") ? strtol(query + strlen("?silence="), &end, 10) * 1000
							       : SILENT_SECONDS * 1000;
	if (!n || n >= 256 || q->silent_ms < 1000 || q->silent_ms > 86400000)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "queue '%s': redis://HOST[:PORT][/NAME][?silence=SECONDS] is wanted", url);
	memcpy(host, p, n);
	host[n] = '\0';
	colon = strrchr(host, ':');
	if (colon && !strchr(colon, ']')) {
		*ret_port = strtol(colon + 1, &end, 10);
		if (*end || *ret_port < 1 || *ret_port > 65535)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "queue '%s': the port is no number", url);
		host[colon - host] = '\0';
	}
	n = slash ? strcspn(slash + 1, "?") : 0;
	q->name = n ? strndup(slash + 1, n) : strdup(DEFAULT_NAME);
	if (!q->name || asprintf(&q->items, "%s:items", q->name) < 0)
		return ab_fail_memory(err);
	return 0;
}

static int make_group(struct queue *q, struct ab_error *err)
{
	redisReply *reply = redisCommand(q->redis, "XGROUP CREATE %s " GROUP " 0 MKSTREAM", q->name);
	int r = 0;

	if (!reply || (reply->type == REDIS_REPLY_ERROR && !str_starts(reply->str, "BUSYGROUP")))
		r = fail(q, reply, err);
	if (reply)
		freeReplyObject(reply);
	return r;
}

int ab_queue_open(const char *url, struct queue **ret_queue, struct ab_error *err)
{
	struct queue *q = calloc(1, sizeof(*q));
	struct timeval patience = { .tv_sec = 30 };
	char host[256], name[64] = "";
	int port, r;

	if (!q)
		return ab_fail_memory(err);
	pthread_mutex_init(&q->lock, NULL);
	strcpy(q->cursor, "0-0");
	gethostname(name, sizeof(name) - 1);
	snprintf(q->consumer, sizeof(q->consumer), "%s-%d-%llx", name, (int)getpid(), (unsigned long long)time(NULL));
	r = parse_url(q, url, host, &port, err);
	if (r == 0) {
		q->redis = redisConnectWithTimeout(host, port, patience);
		if (!q->redis || q->redis->err)
			r = ab_fail(err, AB_ERROR_IO, -ECONNREFUSED, "queue '%s': %s", url,
				    q->redis ? q->redis->errstr : "memory ran out");
		else
			redisSetTimeout(q->redis, patience);
	}
	if (r == 0)
		r = make_group(q, err);
	if (r < 0) {
		ab_queue_close(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

void ab_queue_close(struct queue *q)
{
	if (!q)
		return;
	if (q->redis)
		redisFree(q->redis);
	free(q->name);
	free(q->items);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* ---- adding ---- */

/* Atomically, for all machines list the same: a new item, or one that failed and is due, becomes queued. "failed AT
 * ATTEMPTS WHY" */
static const char add_script[] =
	"local was = redis.call('HGET', KEYS[2], ARGV[1])\n"
	"if was then\n"
	"  local at = string.match(was, '^failed (%d+)')\n"
	"  if not at or (ARGV[4] ~= '1' and tonumber(at) > tonumber(ARGV[3])) then return 0 end\n"
	"  redis.call('HSET', KEYS[2], ARGV[1], 'queued ' .. string.match(was, '^failed %d+ (%d+)'))\n"
	"else\n"
	"  redis.call('HSET', KEYS[2], ARGV[1], 'queued 0')\n"
	"end\n"
	"redis.call('XADD', KEYS[1], '*', 'item', ARGV[2])\n"
	"return 1";

int ab_queue_add(struct queue *q, const struct item *item, bool retry, bool *ret_added, struct ab_error *err)
{
	_free_ char *json = NULL;
	redisReply *reply;
	int r = ab_item_to_json(item, &json, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	reply = ask(q, err, "EVAL %s 2 %s %s %s %s %lld %d", add_script, q->name, q->items, item->key, json,
		    (long long)time(NULL), retry);
	pthread_mutex_unlock(&q->lock);
	if (!reply)
		return failed(err);
	*ret_added = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
	freeReplyObject(reply);
	return 0;
}

/* ---- taking ---- */

/* An entry: [id, [name, value, …]]. */
static int take_entry(const redisReply *entry, char **ret_json, char ret_entry[64], struct ab_error *err)
{
	const redisReply *fields;

	if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[0]->type != REDIS_REPLY_STRING)
		return -EAGAIN;
	fields = entry->element[1];
	if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
	    fields->element[1]->type != REDIS_REPLY_STRING)
		return -EAGAIN;
	snprintf(ret_entry, 64, "%s", entry->element[0]->str);
	*ret_json = strdup(fields->element[1]->str);
	return *ret_json ? 0 : ab_fail_memory(err);
}

/* What others left behind. */
static int claim(struct queue *q, char **ret_json, char ret_entry[64], struct ab_error *err)
{
	redisReply *reply = ask(q, err, "XAUTOCLAIM %s " GROUP " %s %ld %s COUNT 1", q->name, q->consumer, q->silent_ms,
				q->cursor);
	int r = -EAGAIN;

	if (!reply)
		return failed(err);
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
	    reply->element[1]->type == REDIS_REPLY_ARRAY) {
		snprintf(q->cursor, sizeof(q->cursor), "%s", reply->element[0]->str);
		if (reply->element[1]->elements)
			r = take_entry(reply->element[1]->element[0], ret_json, ret_entry, err);
	}
	freeReplyObject(reply);
	return r;
}

static int read_new(struct queue *q, char **ret_json, char ret_entry[64], struct ab_error *err)
{
	redisReply *reply = ask(q, err, "XREADGROUP GROUP " GROUP " %s COUNT 1 STREAMS %s >", q->consumer, q->name);
	int r = -EAGAIN;

	if (!reply)
		return failed(err);
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 && reply->element[0]->type == REDIS_REPLY_ARRAY &&
	    reply->element[0]->elements == 2 && reply->element[0]->element[1]->type == REDIS_REPLY_ARRAY &&
	    reply->element[0]->element[1]->elements == 1)
		r = take_entry(reply->element[0]->element[1]->element[0], ret_json, ret_entry, err);
	freeReplyObject(reply);
	return r;
}

/* Whether entries are given to somebody and not acknowledged. */
static int anything_pending(struct queue *q, bool *ret_pending, struct ab_error *err)
{
	redisReply *reply = ask(q, err, "XPENDING %s " GROUP, q->name);

	if (!reply)
		return failed(err);
	*ret_pending = reply->type == REDIS_REPLY_ARRAY && reply->elements &&
		       reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer > 0;
	freeReplyObject(reply);
	return 0;
}

int ab_queue_take(struct queue *q, char **ret_json, char ret_entry[64], struct ab_error *err)
{
	bool pending = false;
	int r;

	pthread_mutex_lock(&q->lock);
	r = claim(q, ret_json, ret_entry, err);
	if (r == -EAGAIN)
		r = read_new(q, ret_json, ret_entry, err);
	if (r == -EAGAIN && (r = anything_pending(q, &pending, err)) == 0)
		r = pending ? -EAGAIN : -ENOENT;
	pthread_mutex_unlock(&q->lock);
	return r;
}

int ab_queue_keep(struct queue *q, const char *const *entries, size_t count, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		redisReply *reply;

		pthread_mutex_lock(&q->lock);
		reply = ask(q, err, "XCLAIM %s " GROUP " %s 0 %s JUSTID", q->name, q->consumer, entries[i]);
		pthread_mutex_unlock(&q->lock);
		if (!reply)
			return failed(err);
		freeReplyObject(reply);
	}
	return r;
}

/* ---- finishing ---- */

static const char finish_script[] = "local word = ARGV[3]\n"
				    "if word == 'failed' then\n"
				    "  local was = redis.call('HGET', KEYS[2], ARGV[2]) or 'queued 0'\n"
				    "  local attempts = tonumber(string.match(was, '^%a+ (%d+)') or '0') + 1\n"
				    "  local delay = tonumber(ARGV[5])\n"
				    "  for i = 2, attempts do delay = math.min(delay * 4, tonumber(ARGV[6])) end\n"
				    "  local at = tonumber(ARGV[4]) + delay\n"
				    "  word = string.format('failed %d %d %s', at, attempts, ARGV[7])\n"
				    "  redis.call('HSET', KEYS[2], ARGV[2], word)\n"
				    "  redis.call('XACK', KEYS[1], '" GROUP "', ARGV[1])\n"
				    "  redis.call('XDEL', KEYS[1], ARGV[1])\n"
				    "  return at\n"
				    "end\n"
				    "redis.call('HSET', KEYS[2], ARGV[2], word)\n"
				    "redis.call('XACK', KEYS[1], '" GROUP "', ARGV[1])\n"
				    "redis.call('XDEL', KEYS[1], ARGV[1])\n"
				    "return 0";

int ab_queue_finish(struct queue *q, const char *entry, const char *id, enum ab_crawl_status status,
		    const struct ab_error *why, int64_t *ret_retry_at, struct ab_error *err)
{
	const char *word = status == AB_CRAWL_FAILED ? "failed" : status == AB_CRAWL_DONE ? "done" : "none";
	redisReply *reply;

	pthread_mutex_lock(&q->lock);
	reply = ask(q, err, "EVAL %s 2 %s %s %s %s %s %lld %lld %lld %s", finish_script, q->name, q->items, entry, id,
		    word, (long long)time(NULL), (long long)ab_retry_delay(1), (long long)ab_retry_delay(64),
		    why ? why->msg : "");
	pthread_mutex_unlock(&q->lock);
	if (!reply)
		return failed(err);
	*ret_retry_at = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
	freeReplyObject(reply);
	return 0;
}
