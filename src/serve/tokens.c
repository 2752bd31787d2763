/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Tokens and rates (tokens.h). A token's secret is 32 random bytes, so one SHA-256 is a safe way to keep it. The database is asked
 * for every request with a token: what is revoked by another process is revoked at once.
 */
#include <pthread.h>
#include <sqlite3.h>
#include <time.h>
#include <crypto/crypto.h>
#include "log.h"
#include "lru.h"
#include "owner.h"
#include "place.h"
#include "tokens.h"

enum { SECRET_BYTES = 32, BUCKETS_LIMIT = 1 << 16, DAY = 86400 };
#define SECRET_PREFIX "abt_"

/* A rate limit's account: `level` requests were made, which run off at the rate. */
struct bucket {
	struct lru_entry lru;
	double level;
	uint64_t at; /* ms */
};

/* What a token compiled today, and how much of it the database knows. */
struct spending {
	struct lru_entry lru;
	int64_t id, day, used, saved;
};

struct tokens {
	pthread_mutex_t lock;
	sqlite3 *db;
	sqlite3_stmt *find;
	struct lru buckets, spendings;
	bool failed;
};

static const char schema[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;"
			     "CREATE TABLE IF NOT EXISTS token (id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest "
			     "TEXT NOT NULL UNIQUE, scopes INTEGER NOT NULL,"
			     " rate INTEGER NOT NULL, quota INTEGER NOT NULL, created INTEGER NOT NULL, expires "
			     "INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);"
			     "CREATE UNIQUE INDEX IF NOT EXISTS token_name ON token (name) WHERE revoked = 0;"
			     "CREATE TABLE IF NOT EXISTS spending (token INTEGER NOT NULL REFERENCES token (id), day "
			     "INTEGER NOT NULL, used INTEGER NOT NULL,"
			     " PRIMARY KEY (token, day)) WITHOUT ROWID;";

static int fail_db(struct tokens *t, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_IO, -EIO, "the token database: %s", sqlite3_errmsg(t->db));
}

static int prepare(struct tokens *t, const char *sql, sqlite3_stmt **ret, struct ab_error *err)
{
	return sqlite3_prepare_v2(t->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail_db(t, err);
}

int ab_tokens_open(const char *dir, struct tokens **ret_tokens, struct ab_error *err)
{
	struct tokens *t = array_new(1, sizeof(*t));
	_free_ char *path = NULL;
	int r = 0;

	if (!t || asprintf(&path, "%s/tokens.db", dir) < 0) {
		path = NULL;
		free(t);
		return ab_fail_memory(err);
	}
	pthread_mutex_init(&t->lock, NULL);
	if (sqlite3_open_v2(path, &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(t->db, 5000) != SQLITE_OK || sqlite3_exec(t->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
		r = fail_db(t, err);
		ab_error_prefix(err, "%s", path);
	}
	ab_give_to_owner(path);
	if (!r)
		r = prepare(
			t, "SELECT id, name, scopes, rate, quota, expires FROM token WHERE digest = ?1 AND revoked = 0",
			&t->find, err);
	if (r) {
		ab_tokens_close(t);
		return r;
	}
	*ret_tokens = t;
	return 0;
}

static void clear_lru(struct lru *lru)
{
	while (lru->oldest) {
		struct lru_entry *e = lru->oldest;

		lru_remove(lru, e);
		free(e);
	}
	lru_clear(lru);
}

void ab_tokens_close(struct tokens *t)
{
	if (!t)
		return;
	if (t->db)
		ab_tokens_flush(t);
	clear_lru(&t->buckets);
	clear_lru(&t->spendings);
	sqlite3_finalize(t->find);
	sqlite3_close(t->db);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- finding ---- */

static int read_token(struct tokens *t, struct token *ret, struct ab_error *err)
{
	int r = sqlite3_step(t->find);
	int64_t expires;

	if (r == SQLITE_DONE)
		return ab_fail(err, AB_ERROR_PERMISSION, -EACCES, "this token is not known or was revoked");
	if (r != SQLITE_ROW)
		return fail_db(t, err);
	expires = sqlite3_column_int64(t->find, 5);
	if (expires && expires <= time(NULL))
		return ab_fail(err, AB_ERROR_PERMISSION, -EACCES, "this token has expired");
	*ret = (struct token){ .id = sqlite3_column_int64(t->find, 0), .scopes = sqlite3_column_int(t->find, 2),
			       .rate = sqlite3_column_int64(t->find, 3), .quota = sqlite3_column_int64(t->find, 4) };
	snprintf(ret->name, sizeof(ret->name), "%s", (const char *)sqlite3_column_text(t->find, 1));
	return 0;
}

int ab_tokens_find(struct tokens *t, const char *secret, struct token *ret_token, struct ab_error *err)
{
	char digest[HEX_DIGEST_SIZE];
	int r;

	ab_digest_of(secret, strlen(secret), digest);
	pthread_mutex_lock(&t->lock);
	sqlite3_bind_text(t->find, 1, digest, -1, SQLITE_STATIC);
	r = read_token(t, ret_token, err);
	t->failed = r == -EIO;
	sqlite3_reset(t->find);
	pthread_mutex_unlock(&t->lock);
	return r;
}

bool ab_tokens_healthy(struct tokens *t)
{
	return !__atomic_load_n(&t->failed, __ATOMIC_RELAXED);
}

/* ---- rates ---- */

static struct bucket *find_bucket(struct tokens *t, const char *key)
{
	struct bucket *b = (struct bucket *)lru_find(&t->buckets, key);

	if (b) {
		lru_touch(&t->buckets, &b->lru);
		return b;
	}
	if (t->buckets.n >= BUCKETS_LIMIT) {
		b = (struct bucket *)t->buckets.oldest;
		lru_remove(&t->buckets, &b->lru);
		*b = (struct bucket){};
	} else {
		b = array_new(1, sizeof(*b));
	}
	if (b && lru_add(&t->buckets, &b->lru, key, 1)) {
		free(b);
		b = NULL;
	}
	return b;
}

unsigned ab_tokens_take(struct tokens *t, const struct token *token, const char *address, int64_t rate)
{
	unsigned wait = 0;
	uint64_t now = ab_now_ms();
	char key[96], group[INET6_ADDRSTRLEN];
	struct bucket *b;

	if (!rate)
		return 0;
	ab_place_group(address, group);
	if (token->id)
		snprintf(key, sizeof(key), "t%lld", (long long)token->id);
	else
		snprintf(key, sizeof(key), "a%s", group);
	pthread_mutex_lock(&t->lock);
	b = find_bucket(t, key);
	if (b) {
		b->level -= MIN(b->level, (now - b->at) * (double)rate / 60000);
		b->at = now;
		if (b->level + 1 > rate)
			wait = (b->level + 1 - rate) * 60 / rate + 1;
		else
			b->level++;
	}
	pthread_mutex_unlock(&t->lock);
	return wait;
}

/* ---- quotas ---- */

static int64_t read_spending(struct tokens *t, int64_t id, int64_t day)
{
	sqlite3_stmt *s;
	int64_t used = 0;

	if (prepare(t, "SELECT used FROM spending WHERE token = ?1 AND day = ?2", &s, NULL))
		return 0;
	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_int64(s, 2, day);
	if (sqlite3_step(s) == SQLITE_ROW)
		used = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return used;
}

static struct spending *find_spending(struct tokens *t, int64_t id)
{
	int64_t day = time(NULL) / DAY;
	struct spending *p;
	char key[32];

	snprintf(key, sizeof(key), "%lld", (long long)id);
	p = (struct spending *)lru_find(&t->spendings, key);
	if (!p) {
		p = array_new(1, sizeof(*p));
		if (!p || lru_add(&t->spendings, &p->lru, key, 1)) {
			free(p);
			return NULL;
		}
		p->id = id;
	}
	if (p->day != day) {
		p->day = day;
		p->used = p->saved = read_spending(t, id, day);
	}
	return p;
}

int ab_tokens_spend(struct tokens *t, const struct token *token)
{
	struct spending *p;
	int r = 0;

	if (!token->id)
		return 0;
	pthread_mutex_lock(&t->lock);
	p = find_spending(t, token->id);
	if (p && token->quota && p->used >= token->quota)
		r = -EDQUOT;
	else if (p)
		p->used++;
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void save_spending(struct tokens *t, struct spending *p)
{
	sqlite3_stmt *s;

	if (p->used == p->saved || prepare(t,
					   "INSERT INTO spending (token, day, used) VALUES (?1, ?2, ?3) ON CONFLICT "
					   "(token, day) DO UPDATE SET used = ?3",
					   &s, NULL))
		return;
	sqlite3_bind_int64(s, 1, p->id);
	sqlite3_bind_int64(s, 2, p->day);
	sqlite3_bind_int64(s, 3, p->used);
	if (sqlite3_step(s) == SQLITE_DONE)
		p->saved = p->used;
	sqlite3_finalize(s);
}

void ab_tokens_flush(struct tokens *t)
{
	pthread_mutex_lock(&t->lock);
	for (struct lru_entry *e = t->spendings.oldest; e; e = e->newer)
		save_spending(t, (struct spending *)e);
	pthread_mutex_unlock(&t->lock);
}

/* ---- the commands ---- */

static bool is_token_name(const char *name)
{
	return *name && strlen(name) < TOKEN_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") == strlen(name);
}

int ab_token_add(struct tokens *t, const struct token *token, int64_t expires, char **ret_secret, struct ab_error *err)
{
	char hex[2 * SECRET_BYTES + 1], digest[HEX_DIGEST_SIZE];
	_free_ char *secret = NULL;
	sqlite3_stmt *s;
	int r;

	if (!is_token_name(token->name))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "'%s' is not a token's name: 1 to 64 of A-Z a-z 0-9 . _ @ -", token->name);
	ab_random_hex(hex, SECRET_BYTES);
	if (asprintf(&secret, "%s%s", SECRET_PREFIX, hex) < 0) {
		secret = NULL;
		return ab_fail_memory(err);
	}
	ab_digest_of(secret, strlen(secret), digest);
	r = prepare(t,
		    "INSERT INTO token (name, digest, scopes, rate, quota, created, expires) VALUES (?1, ?2, ?3, ?4, "
		    "?5, ?6, ?7)",
		    &s, err);
	if (r)
		return r;
	sqlite3_bind_text(s, 1, token->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, digest, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, token->scopes);
	sqlite3_bind_int64(s, 4, token->rate);
	sqlite3_bind_int64(s, 5, token->quota);
	sqlite3_bind_int64(s, 6, time(NULL));
	sqlite3_bind_int64(s, 7, expires);
	r = sqlite3_step(s);
	if (r == SQLITE_CONSTRAINT)
		r = ab_fail(err, AB_ERROR_CONFLICT, -EEXIST, "there is a token '%s' already: revoke it first", token->name);
	else
		r = r == SQLITE_DONE ? 0 : fail_db(t, err);
	sqlite3_finalize(s);
	if (!r)
		*ret_secret = TAKE(secret);
	return r;
}

int ab_token_revoke(struct tokens *t, const char *name, struct ab_error *err)
{
	sqlite3_stmt *s;
	int r = prepare(t, "UPDATE token SET revoked = ?2 WHERE name = ?1 AND revoked = 0", &s, err);

	if (r)
		return r;
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, time(NULL));
	if (sqlite3_step(s) != SQLITE_DONE)
		r = fail_db(t, err);
	else if (!sqlite3_changes(t->db))
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there is no token '%s'", name);
	sqlite3_finalize(s);
	return r;
}

static void write_date(struct text *out, int64_t when)
{
	time_t at = when;
	struct tm tm;

	gmtime_r(&at, &tm);
	text_printf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void list_json(sqlite3_stmt *s, struct text *out)
{
	static const char *const numbers[] = { "rate", "quota", "created", "expires", "used_today" };
	struct json j = { .out = out };
	_text_ struct text scopes = {};

	ab_scopes_write(sqlite3_column_int(s, 1), &scopes);
	json_open(&j, '{');
	json_member_str(&j, "name", (const char *)sqlite3_column_text(s, 0));
	json_member_str(&j, "scopes", scopes.p);
	for (int i = 0; i < (int)ARRAY_SIZE(numbers); i++)
		json_member_int(&j, numbers[i], sqlite3_column_int64(s, 2 + i));
	json_close(&j, '}');
	text_putc(out, '\n');
}

static void list_text(sqlite3_stmt *s, struct text *out)
{
	_text_ struct text scopes = {}, expires = {};

	ab_scopes_write(sqlite3_column_int(s, 1), &scopes);
	if (sqlite3_column_int64(s, 5))
		write_date(&expires, sqlite3_column_int64(s, 5));
	text_printf(out, "%-24s %-20s %8lld %8lld %8lld  ", sqlite3_column_text(s, 0), scopes.p ? scopes.p : "",
		    (long long)sqlite3_column_int64(s, 2), (long long)sqlite3_column_int64(s, 3),
		    (long long)sqlite3_column_int64(s, 6));
	write_date(out, sqlite3_column_int64(s, 4));
	text_printf(out, "  %s\n", expires.p ? expires.p : "never");
}

int ab_token_list(struct tokens *t, bool json, struct text *out, struct ab_error *err)
{
	sqlite3_stmt *s;
	int r = prepare(t,
			"SELECT name, scopes, rate, quota, created, expires, coalesce((SELECT used FROM spending WHERE "
			"token = token.id"
			" AND day = ?1), 0) FROM token WHERE revoked = 0 ORDER BY name",
			&s, err);

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, time(NULL) / DAY);
	if (!json)
		text_printf(out, "%-24s %-20s %8s %8s %8s  %-10s  %s\n", "NAME", "SCOPES", "RATE", "QUOTA", "TODAY",
			    "CREATED", "EXPIRES");
	while ((r = sqlite3_step(s)) == SQLITE_ROW)
		(json ? list_json : list_text)(s, out);
	r = r == SQLITE_DONE ? 0 : fail_db(t, err);
	sqlite3_finalize(s);
	return r;
}
