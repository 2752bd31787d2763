/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a crawl remembers between runs (docs/format-sources.md): a SQLite file. */
#include <sqlite3.h>
#include <time.h>
#include <unistd.h>
#include "crawl.h"

#define FIRST_DELAY 3600
#define LAST_DELAY (7 * 24 * 3600)
#define VERSION "1"

struct state {
	sqlite3 *db;
	pthread_mutex_t lock;
};

int64_t ab_retry_delay(int64_t attempts)
{
	int64_t delay = FIRST_DELAY;

	while (--attempts > 0 && delay < LAST_DELAY)
		delay *= 4;
	return MIN(delay, LAST_DELAY);
}

static int fail(struct state *s, struct ab_error *err)
{
	int code = sqlite3_errcode(s->db);

	if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "the crawl's state is damaged: %s; without the file, all is fetched again",
			       sqlite3_errmsg(s->db));
	if (code == SQLITE_FULL)
		return ab_fail(err, AB_ERROR_IO, -ENOSPC, "cannot write the crawl's state: the disk is full");
	return ab_fail(err, AB_ERROR_IO, -EIO, "the crawl's state: %s", sqlite3_errmsg(s->db));
}

static int run(struct state *s, const char *sql, struct ab_error *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, err);
}

/* Binds texts in their order; NULL ends them. */
static sqlite3_stmt *prepare(struct state *s, const char *sql, const char *const *texts, struct ab_error *err)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
		fail(s, err);
		return NULL;
	}
	for (int i = 0; texts && texts[i]; i++)
		sqlite3_bind_text(stmt, i + 1, texts[i], -1, SQLITE_TRANSIENT);
	return stmt;
}

/* ---- opening ---- */

int ab_state_open(const char *path, bool create, struct state **ret_state, struct ab_error *err)
{
	struct state *s;
	int r;

	if (!create && access(path, R_OK) < 0)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there was no crawl yet: no '%s'", path);
	s = calloc(1, sizeof(*s));
	if (!s)
		return ab_fail_memory(err);
	pthread_mutex_init(&s->lock, NULL);
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0), NULL) !=
	    SQLITE_OK) {
		r = ab_fail(err, AB_ERROR_IO, -EIO, "'%s': %s", path, s->db ? sqlite3_errmsg(s->db) : "memory ran out");
	} else {
		sqlite3_busy_timeout(s->db, 10000);
		r = run(s,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			"CREATE TABLE IF NOT EXISTS package (id TEXT PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT "
			"NULL, version TEXT NOT NULL,"
			" status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, retry_at INTEGER NOT NULL DEFAULT "
			"0,"
			" error TEXT NOT NULL DEFAULT '', updated INTEGER NOT NULL) WITHOUT ROWID;"
			"PRAGMA user_version = " VERSION ";",
			err);
	}
	if (r < 0) {
		ab_error_prefix(err, "'%s'", path);
		ab_state_close(s);
		return r;
	}
	*ret_state = s;
	return 0;
}

void ab_state_close(struct state *s)
{
	if (!s)
		return;
	sqlite3_close(s->db);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- use ---- */

int ab_state_forget(struct state *s, struct ab_error *err)
{
	return run(s, "DELETE FROM package WHERE status = 'done'", err);
}

int ab_state_clear_lists(struct state *s, const char *source, struct ab_error *err)
{
	sqlite3_stmt *stmt = prepare(s, "DELETE FROM package WHERE source = ? AND id LIKE 'list %'",
				     (const char *const[]){ source, NULL }, err);
	int r = stmt && sqlite3_step(stmt) == SQLITE_DONE ? 0 : fail(s, err);

	sqlite3_finalize(stmt);
	return r;
}

int ab_state_begin(struct state *s, struct ab_error *err)
{
	return run(s, "BEGIN IMMEDIATE", err);
}

int ab_state_commit(struct state *s, struct ab_error *err)
{
	int r = run(s, "COMMIT", err);

	if (r < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int ab_state_wants(struct state *s, const char *id, bool retry, bool *ret_wanted, bool *ret_none, struct ab_error *err)
{
	sqlite3_stmt *stmt;
	int r = 0, found;

	*ret_wanted = true;
	*ret_none = false;
	pthread_mutex_lock(&s->lock);
	stmt = prepare(s, "SELECT status, retry_at FROM package WHERE id = ?", (const char *const[]){ id, NULL }, err);
	found = stmt ? sqlite3_step(stmt) : SQLITE_ERROR;
	if (found == SQLITE_ROW) {
		const char *status = (const char *)sqlite3_column_text(stmt, 0);

		*ret_none = status && !strcmp(status, "none");
		*ret_wanted = status && !strcmp(status, "failed") &&
			      (retry || sqlite3_column_int64(stmt, 1) <= time(NULL));
	} else if (found != SQLITE_DONE) {
		r = fail(s, err);
	}
	sqlite3_finalize(stmt);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int64_t count_attempts(struct state *s, const char *id)
{
	sqlite3_stmt *stmt = prepare(s, "SELECT attempts FROM package WHERE id = ?", (const char *const[]){ id, NULL },
				     NULL);
	int64_t attempts = stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

	sqlite3_finalize(stmt);
	return attempts;
}

int ab_state_note(struct state *s, const char *id, const char *source, const char *name, const char *version,
		  enum ab_crawl_status status, const struct ab_error *why, int64_t *ret_retry_at, struct ab_error *err)
{
	static const char *const words[] = { "listed", "done", "none", "failed" };
	int64_t now = time(NULL), attempts, retry_at;
	sqlite3_stmt *stmt;
	int r;

	pthread_mutex_lock(&s->lock);
	attempts = count_attempts(s, id) + 1;
	retry_at = status == AB_CRAWL_FAILED ? now + ab_retry_delay(attempts) : 0;
	stmt = prepare(
		s,
		"INSERT OR REPLACE INTO package (id, source, name, version, status, error, attempts, retry_at, updated)"
		" VALUES (?, ?, ?, ?, ?, ?, ?7, ?8, ?9)",
		(const char *const[]){ id, source, name, version, words[status], why ? why->msg : "", NULL }, err);
	if (stmt) {
		sqlite3_bind_int64(stmt, 7, attempts);
		sqlite3_bind_int64(stmt, 8, retry_at);
		sqlite3_bind_int64(stmt, 9, now);
	}
	r = stmt && sqlite3_step(stmt) == SQLITE_DONE ? 0 : fail(s, err);
	sqlite3_finalize(stmt);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret_retry_at = retry_at;
	return r;
}

static void count_rest(struct state *s, struct ab_crawl_result *result)
{
	sqlite3_stmt *stmt = prepare(s, "SELECT CASE WHEN id LIKE 'list %' THEN 'list' ELSE status END AS what, count(*) "
				     "FROM package GROUP BY what", NULL, NULL);

	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *status = (const char *)sqlite3_column_text(stmt, 0);
		size_t n = sqlite3_column_int64(stmt, 1);

		if (!strcmp(status, "list")) {
			result->sources_failed = n;
			continue;
		}
		result->listed += n;
		if (!strcmp(status, "done"))
			result->done = n;
		else if (!strcmp(status, "none"))
			result->none = n;
		else
			result->failed += n;
	}
	sqlite3_finalize(stmt);
}

static int each_failed(struct state *s, void (*event)(void *ctx, const struct ab_crawl_event *event), void *ctx,
			 struct ab_crawl_result *result, struct ab_error *err)
{
	sqlite3_stmt *stmt = prepare(
		s,
		"SELECT source, name, version, error, CASE WHEN id LIKE 'list %' THEN 0 ELSE retry_at END "
		"FROM package WHERE status = 'failed' ORDER BY updated",
		NULL, err);

	if (!stmt)
		return err && err->code ? err->code : -EIO;
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		struct ab_error why = { .code = -EIO, .kind = AB_ERROR_IO };
		struct ab_crawl_event e = { .status = AB_CRAWL_FAILED,
					    .source = (const char *)sqlite3_column_text(stmt, 0),
					    .name = (const char *)sqlite3_column_text(stmt, 1),
					    .arch = "",
					    .version = (const char *)sqlite3_column_text(stmt, 2),
					    .why = &why,
					    .retry_at = sqlite3_column_int64(stmt, 4) };

		snprintf(why.msg, sizeof(why.msg), "%s", sqlite3_column_text(stmt, 3));
		if (event)
			event(ctx, &e);
	}
	sqlite3_finalize(stmt);
	count_rest(s, result);
	return 0;
}

int ab_crawl_status(const char *path, void (*event)(void *ctx, const struct ab_crawl_event *event), void *ctx,
		    struct ab_crawl_result *ret_result, struct ab_error *err)
{
	struct ab_crawl_result result = {};
	struct state *s;
	int r = ab_state_open(path, false, &s, err);

	if (r < 0)
		return r;
	r = each_failed(s, event, ctx, &result, err);
	ab_state_close(s);
	if (r == 0)
		*ret_result = result;
	return r;
}
