/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Downloads, by libcurl or by apt: continued where they ended, no larger than announced, and in place only when size
 * and hash are right.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <nettle/nettle-meta.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "crawl.h"

#define TRIES 3
#define SILENCE_SECONDS 60
#define PATIENCE_SECONDS 20

static void init_once(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

void ab_fetch_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
}

char *ab_url_join(const char *url, const char *path)
{
	struct text t = {};

	text_printf(&t, "%s%s%s", url, str_ends(url, "/") ? "" : "/", path);
	return text_take(&t);
}

/* ---- hashes ---- */

int ab_hash_check(const char *path, const char *algorithm, const char *hash, struct ab_error *err)
{
	const struct nettle_hash *kind = nettle_lookup_hash(algorithm);
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t digest[128];
	char text[257];
	_free_ void *ctx = NULL;
	_free_ char *block = malloc(1 << 20);
	ssize_t n;

	if (!kind || kind->digest_size > sizeof(digest) || strlen(hash) != 2 * kind->digest_size)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its list has no usable hash");
	if (fd < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	ctx = malloc(kind->context_size);
	if (!ctx || !block)
		return ab_fail_memory(err);
	kind->init(ctx);
	while ((n = read(fd, block, 1 << 20)) > 0)
		kind->update(ctx, n, (uint8_t *)block);
	if (n < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	kind->digest(ctx, kind->digest_size, digest);
	for (size_t i = 0; i < kind->digest_size; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	if (strcasecmp(text, hash))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "its hash is not what its list says: it was damaged or changed");
	return 0;
}

/* ---- libcurl ---- */

struct transfer {
	struct fetcher *fetcher;
	const struct fetch *fetch;
	CURL *curl;
	int fd, write_error;
	uint64_t at;            /* bytes in the file */
	bool checked;           /* the answer's start was looked at */
	bool too_large;
};

static uint64_t bound(const struct fetch *fetch)
{
	return fetch->size ? fetch->size : fetch->limit;
}

/* All transfers wait in one line, so that together they are as slow as was asked for. */
static void slow_down(struct fetcher *f, size_t n)
{
	struct timespec t;
	uint64_t now, at;

	if (!f->rate)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	now = t.tv_sec * 1000000000ull + t.tv_nsec;
	pthread_mutex_lock(&f->lock);
	at = MAX(now, f->next_ns);
	f->next_ns = at + n * 1000000000ull / f->rate;
	pthread_mutex_unlock(&f->lock);
	t = (struct timespec){ (at - now) / 1000000000, (at - now) % 1000000000 };
	nanosleep(&t, NULL);
}

static size_t take_block(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	long status = 0;
	int r;

	n *= size;
	if (!t->checked) {
		/* A server that cannot continue sends all of it. */
		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
		if (t->at && status == 200) {
			t->at = 0;
			if (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0)
				return 0;
		}
		t->checked = true;
	}
	if (t->at + n > bound(t->fetch)) {
		t->too_large = true;
		return 0;
	}
	r = fd_write_all(t->fd, data, n);
	if (r < 0) {
		t->write_error = r;
		return 0;
	}
	t->at += n;
	__atomic_fetch_add(&t->fetcher->fetched, n, __ATOMIC_RELAXED);
	slow_down(t->fetcher, n);
	return n;
}

static int tick(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
	struct transfer *t = ctx;

	return t->fetcher->stopped && t->fetcher->stopped(t->fetcher->ctx);
}

static void set_options(struct transfer *t, char *why)
{
	bool file = str_starts(t->fetch->url, "file:");

	curl_easy_setopt(t->curl, CURLOPT_URL, t->fetch->url);
	curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(t->curl, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, file ? "file" : "http,https");
	curl_easy_setopt(t->curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "anybpf/" ANYBPF_VERSION);
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, (long)PATIENCE_SECONDS);
	curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_SECONDS);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_block);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, tick);
	curl_easy_setopt(t->curl, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(t->curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->at);
}

static int explain(struct transfer *t, CURLcode code, const char *why, struct ab_error *err)
{
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->write_error)
		return ab_fail_errno(err, t->write_error, "cannot write the download");
	if (t->too_large)
		return ab_fail(err, t->fetch->size ? AB_ERROR_FORMAT : AB_ERROR_LIMIT,
			       t->fetch->size ? -EBADMSG : -EFBIG, "the server sends more than the %llu bytes that %s",
			       (unsigned long long)bound(t->fetch), t->fetch->size ? "its list says" : "are allowed");
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return ab_fail(err, AB_ERROR_IO, -EINTR, "stopped");
	if (status == 404 || status == 410 || code == CURLE_FILE_COULDNT_READ_FILE)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the server has no '%s'", t->fetch->url);
	return ab_fail(err, AB_ERROR_IO, -EIO, "'%s': %s", t->fetch->url, *why ? why : curl_easy_strerror(code));
}

/* One try. -EAGAIN: another may do better. */
static int transfer_once(struct fetcher *fetcher, const struct fetch *fetch, const char *part, struct ab_error *err)
{
	struct transfer t = { .fetcher = fetcher, .fetch = fetch };
	char why[CURL_ERROR_SIZE] = "";
	uint64_t before;
	struct stat st;
	CURLcode code;
	int r = 0;

	t.fd = open(part, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (t.fd < 0 || fstat(t.fd, &st) < 0)
		return ab_fail_errno(err, -errno, "'%s'", part);
	before = t.at = st.st_size;
	t.curl = curl_easy_init();
	if (!t.curl) {
		ab__close(&t.fd);
		return ab_fail_memory(err);
	}
	if (t.at && t.at >= bound(fetch)) {
		before = t.at = 0;
		r = ftruncate(t.fd, 0) < 0 ? ab_fail_errno(err, -errno, "'%s'", part) : 0;
	}
	if (r == 0) {
		set_options(&t, why);
		code = curl_easy_perform(t.curl);
		if (code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME ||
		    (code == CURLE_HTTP_RETURNED_ERROR && before && strstr(why, "416"))) {
			unlink(part);
			r = ab_fail(err, AB_ERROR_IO, -EAGAIN, "the server cannot continue");
		} else if (code != CURLE_OK) {
			r = explain(&t, code, why, err);
			/* Worth another try when the connection broke. */
			if (r == -EIO && code != CURLE_HTTP_RETURNED_ERROR && code != CURLE_COULDNT_RESOLVE_HOST)
				r = -EAGAIN;
		}
	}
	curl_easy_cleanup(t.curl);
	ab__close(&t.fd);
	if (r < 0 && (t.write_error || t.too_large || !t.at))
		unlink(part);
	return r;
}

static int transfer(struct fetcher *fetcher, const struct fetch *fetch, const char *part, struct ab_error *err)
{
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
		if (i) {
			ab_error_clear(err);
			usleep(200000u << i);
		}
		r = transfer_once(fetcher, fetch, part, err);
	}
	return r == -EAGAIN ? -EIO : r;
}

/* ---- apt ---- */

/* apt's own downloader: with the machine's proxies, credentials and mirrors. */
static int fetch_by_apt(struct fetcher *fetcher, const struct fetch *fetch, const char *part, struct ab_error *err)
{
	_free_ char *limit = NULL, *hash = NULL, *complaint = NULL;
	const char *argv[16] = { "/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2" };
	const char *why;
	size_t n = 5;
	struct stat st;
	int r;

	if (fetcher->rate) {
		if (asprintf(&limit, "Acquire::http::Dl-Limit=%llu", (unsigned long long)MAX(fetcher->rate / 1024, 1)) <
		    0)
			return ab_fail_memory(err);
		argv[n++] = "-o";
		argv[n++] = limit;
	}
	argv[n++] = "download-file";
	argv[n++] = fetch->url;
	argv[n++] = part;
	if (fetch->hash && !strcmp(fetch->algorithm, "sha256")) {
		if (asprintf(&hash, "SHA256:%s", fetch->hash) < 0)
			return ab_fail_memory(err);
		argv[n++] = hash;
	}
	r = ab_command_run(argv, NULL, NULL, &complaint, err);
	if (r == -ENOENT)
		ab_error_prefix(err, "url \"apt\" needs apt");
	if (r < 0)
		return r;
	if (r == 0 && stat(part, &st) == 0) {
		__atomic_fetch_add(&fetcher->fetched, st.st_size, __ATOMIC_RELAXED);
		return 0;
	}
	why = complaint ? strstr(complaint, "E: ") : NULL;
	if (complaint && strstr(complaint, "404"))
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the archive has no '%s'", fetch->url);
	return ab_fail(err, AB_ERROR_IO, -EIO, "'%s': %.*s", fetch->url, why ? (int)strcspn(why + 3, "\n") : 19,
		       why ? why + 3 : "the download failed");
}

/* ---- both ---- */

static int check(const struct fetch *fetch, const char *part, struct ab_error *err)
{
	struct stat st;

	if (stat(part, &st) < 0)
		return ab_fail_errno(err, -errno, "'%s'", part);
	if ((fetch->size && (uint64_t)st.st_size != fetch->size) || (uint64_t)st.st_size > fetch->limit)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "it has %llu bytes, not the %llu that its list says",
			       (unsigned long long)st.st_size,
			       (unsigned long long)(fetch->size ? fetch->size : fetch->limit));
	return fetch->hash ? ab_hash_check(part, fetch->algorithm, fetch->hash, err) : 0;
}

int ab_fetch(struct fetcher *fetcher, const struct fetch *fetch, struct ab_error *err)
{
	_free_ char *part = NULL;
	int r;

	if (fetch->size > fetch->limit)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "it is larger than %llu MiB",
			       (unsigned long long)fetch->limit >> 20);
	if (asprintf(&part, "%s.part", fetch->to) < 0)
		return ab_fail_memory(err);
	if (fetcher->stopped && fetcher->stopped(fetcher->ctx))
		return ab_fail(err, AB_ERROR_IO, -EINTR, "stopped");
	/* What has no hash may have changed since the last try. */
	if (!fetch->hash)
		unlink(part);
	r = fetch->apt ? fetch_by_apt(fetcher, fetch, part, err) : transfer(fetcher, fetch, part, err);
	if (r < 0)
		return r;
	r = check(fetch, part, err);
	if (r < 0) {
		unlink(part);
		return r;
	}
	return rename(part, fetch->to) < 0 ? ab_fail_errno(err, -errno, "'%s'", fetch->to) : 0;
}
