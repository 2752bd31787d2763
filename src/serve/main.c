/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpfd: the build and type service. This file is the process: options, the commands that manage a server's directory, start,
 * signals, reload and the end.
 */
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "cgroups.h"
#include "http.h"
#include "jobs.h"
#include "keyring.h"
#include "lbc.h"
#include "owner.h"
#include "server.h"
#include "shared.h"
#include "tls.h"

enum { TICK_MS = 1000, DRAIN_POLL_MS = 20, LAST_ANSWERS_MS = 2000, LARGE_BYTES = 512 << 10 };

static const char usage[] =
	"Usage: anybpfd [--config FILE] [--KEY VALUE]...\n"
	"       anybpfd [...] --check-config | --print-config\n"
	"       anybpfd [...] token add NAME [--scopes read,build] [--rate N] [--quota N] [--days N]\n"
	"       anybpfd [...] token list [--json] | token revoke NAME\n"
	"       anybpfd [...] key new\n"
	"Each key of the configuration is an option too: limits.body is --limits-body. See anybpfd(8) and --print-config.\n";

/* ---- the command line ---- */

struct command_line {
	const char *config_path;
	bool check, print, help, version;
	int argc; /* what stands behind the options */
	char **argv;
};

static int unknown_option(const char *option, const char *key, struct ab_error *err)
{
	const char *near = ab_config_nearest(key);
	_free_ char *other = near ? strdup(near) : NULL;

	for (char *p = other; p && *p; p++)
		*p = *p == '.' || *p == '_' ? '-' : *p;
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "there is no option '--%s'%s%s%s", option, other ? "; did you mean '--" : "",
		       other ? other : ": see --help", other ? "'?" : "");
}

/* "--limits-header-seconds" means limits.header_seconds: the first dash is the dot when there is such a section. */
static int set_option(struct config *config, const char *option, const char *value, struct ab_error *err)
{
	_free_ char *key = strdup(option);
	char *dash;
	int r;

	if (!key)
		return ab_fail_memory(err);
	for (char *p = key; *p; p++)
		*p = *p == '-' ? '_' : *p;
	r = ab_config_set(config, key, value, err);
	dash = strchr(key, '_');
	if (r == -ENOENT && !err->code && dash) {
		*dash = '.';
		r = ab_config_set(config, key, value, err);
	}
	if (r == -ENOENT && !err->code)
		r = unknown_option(option, key, err);
	return r;
}

/* An option without a value. */
static bool take_switch(struct command_line *line, const char *name)
{
	struct { const char *name; bool *at; } switches[] = {
		{ "check-config", &line->check }, { "print-config", &line->print },
		{ "help", &line->help }, { "version", &line->version },
	};

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (!strcmp(switches[i].name, name)) {
			*switches[i].at = true;
			return true;
		}
	return false;
}

/* Walks the options, into `config` unless that is NULL. */
static int read_options(int argc, char **argv, struct config *config, struct command_line *line, struct ab_error *err)
{
	int i = 1, r = 0;

	for (; i < argc && !r && (str_starts(argv[i], "--") || !strcmp(argv[i], "-h")); i++) {
		const char *equals = strchr(argv[i], '=');
		_free_ char *name = equals ? strndup(argv[i] + 2, equals - argv[i] - 2) : strdup(argv[i] + 2);
		const char *value = equals ? equals + 1 : NULL;

		if (!name)
			return ab_fail_memory(err);
		line->help |= argv[i][1] == 'h';
		if (argv[i][1] == 'h' || (!value && take_switch(line, name)))
			continue;
		if (!value && i + 1 >= argc)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "--%s needs a value", name);
		value = value ? value : argv[++i];
		if (!strcmp(name, "config"))
			line->config_path = value;
		else if (config)
			r = set_option(config, name, value, err);
	}
	line->argc = argc - MIN(i, argc);
	line->argv = argv + MIN(i, argc);
	return r;
}

/* The file first, then the options, so that these have the last word. */
static int read_config(int argc, char **argv, struct command_line *line, struct config **ret_config, struct ab_error *err)
{
	struct config *config = ab_config_new(), *options = ab_config_new();
	int r = config && options ? read_options(argc, argv, options, line, err) : ab_fail_memory(err);

	if (!r && line->config_path)
		r = ab_config_read(config, line->config_path, err);
	/* A list that an option gives replaces the file's. */
	if (!r)
		ab_config_drop_lists(config, options);
	if (!r)
		r = read_options(argc, argv, config, line, err);
	if (!r) {
		r = ab_config_finish(config, err);
		if (r && line->config_path)
			ab_error_prefix(err, "%s", line->config_path);
	}
	ab_config_unref(options);
	if (r) {
		ab_config_unref(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

/* ---- commands ---- */

static int need_state(const struct config *config, struct ab_error *err)
{
	return mkdir(config->state, 0700) < 0 && errno != EEXIST
		       ? ab_fail_errno(err, -errno, "unable to make '%s'", config->state)
		       : 0;
}

static int parse_count(const char *option, const char *text, int64_t *ret, struct ab_error *err)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (end == text || *end || n < 0 || n > 1000000000)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s: '%s' is not a number from 0 to 1000000000", option, text);
	*ret = n;
	return 0;
}

static int add_token(struct tokens *tokens, int argc, char **argv, struct ab_error *err)
{
	struct token token = { .scopes = SCOPE_READ | SCOPE_BUILD };
	_free_ char *secret = NULL;
	int64_t days = 0;
	int r = argc < 1 ? ab_fail(err, AB_ERROR_USAGE, -EINVAL, "token add needs a name") : 0;

	if (!r && strlen(argv[0]) >= sizeof(token.name))
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%.64s…' is longer than 64 bytes", argv[0]);
	if (!r)
		strcpy(token.name, argv[0]);
	for (int i = 1; i < argc && !r; i += 2) {
		if (i + 1 == argc)
			r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s needs a value", argv[i]);
		else if (!strcmp(argv[i], "--scopes"))
			r = ab_scopes_parse(argv[i + 1], &token.scopes, err);
		else if (!strcmp(argv[i], "--rate"))
			r = parse_count(argv[i], argv[i + 1], &token.rate, err);
		else if (!strcmp(argv[i], "--quota"))
			r = parse_count(argv[i], argv[i + 1], &token.quota, err);
		else if (!strcmp(argv[i], "--days"))
			r = parse_count(argv[i], argv[i + 1], &days, err);
		else
			r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "token add has no option '%s'", argv[i]);
	}
	if (!r)
		r = ab_token_add(tokens, &token, days ? time(NULL) + days * 86400 : 0, &secret, err);
	if (!r)
		printf("%s\n", secret);
	return r;
}

static int run_token(const struct config *config, int argc, char **argv, struct ab_error *err)
{
	const char *verb = argc ? argv[0] : "";
	struct tokens *tokens;
	_text_ struct text out = {};
	int r = need_state(config, err);

	if (!r)
		r = ab_tokens_open(config->state, &tokens, err);
	if (r)
		return r;
	if (!strcmp(verb, "add"))
		r = add_token(tokens, argc - 1, argv + 1, err);
	else if (!strcmp(verb, "list"))
		r = ab_token_list(tokens, argc > 1 && !strcmp(argv[1], "--json"), &out, err);
	else if (!strcmp(verb, "revoke") && argc == 2)
		r = ab_token_revoke(tokens, argv[1], err);
	else
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "token takes add NAME, list, or revoke NAME");
	if (!r && out.p)
		fputs(out.p, stdout);
	if (!r && argc > 1 && strcmp(verb, "list"))
		ab_audit(verb[0] == 'a' ? "token-add" : "token-revoke", argv[1], NULL, NULL, NULL);
	ab_tokens_close(tokens);
	return r;
}

static int run_key(const struct config *config, int argc, char **argv, struct ab_error *err)
{
	_free_ char *dir = NULL;
	_text_ struct text out = {};
	int r = argc == 1 && !strcmp(argv[0], "new") ? need_state(config, err)
						     : ab_fail(err, AB_ERROR_USAGE, -EINVAL, "key takes new");

	if (!r && asprintf(&dir, "%s/keys", config->state) < 0) {
		dir = NULL;
		r = ab_fail_memory(err);
	}
	if (!r && mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = ab_fail_errno(err, -errno, "unable to make '%s'", dir);
	if (!r)
		ab_give_to_owner(dir);
	if (!r)
		r = ab_key_new(dir, &out, err);
	if (!r) {
		printf("%s\n", out.p);
		ab_audit("key-new", NULL, NULL, NULL, out.p);
	}
	return r;
}

static int run_command(const struct config *config, struct command_line *line, struct ab_error *err)
{
	int r = ab_audit_open(config->audit, err);

	if (r)
		return r;
	if (!strcmp(line->argv[0], "token"))
		return run_token(config, line->argc - 1, line->argv + 1, err);
	if (!strcmp(line->argv[0], "key"))
		return run_key(config, line->argc - 1, line->argv + 1, err);
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "there is no command '%s': token, key", line->argv[0]);
}

/* ---- the server ---- */

/* Connections are descriptors: as many as the system lets us have. What is large goes back to the system when it is freed. */
static void raise_limits(void)
{
	struct rlimit limit;

	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int make_dir(const char *state, const char *name, char **ret, struct ab_error *err)
{
	char *path;

	if (asprintf(&path, "%s/%s", state, name) < 0)
		return ab_fail_memory(err);
	*ret = path;
	return mkdir(path, 0700) < 0 && errno != EEXIST ? ab_fail_errno(err, -errno, "unable to make '%s'", path) : 0;
}

/* Limits of the kernel's for compilers, where it gives us any. */
static void open_cgroups(struct server *s)
{
	const struct config *config = s->config;
	struct cgroup_limits limits = { .memory = (uint64_t)config->compiler_megabytes << 20, .tasks = config->compiler_tasks,
					.cpu_percent = config->compiler_percent };
	struct ab_error err = {};

	if (!config->sandbox)
		return;
	if (ab_cgroups_open(&limits, &s->cgroups, &err))
		s->no_cgroups = strdup(err.msg);
	ab_error_clear(&err);
}

static void log_ready(const struct server *s)
{
	if (s->cgroups)
		ab_log("info", "cgroups", "each compiler has a control group");
	else if (s->no_cgroups)
		ab_log("info", "cgroups", "compilers have no control groups: %s", s->no_cgroups);
	ab_log("info", "ready", "anybpfd %s, %s, key %s", ANYBPF_VERSION, ab_jobs_compiler(s->jobs),
	       ab_keyring_active(s->keyring));
}

static int open_parts(struct server *s, struct ab_error *err)
{
	_free_ char *cache = NULL, *keys = NULL, *types = NULL;
	const struct config *config = s->config;
	int r = need_state(config, err);

	if (!r)
		r = make_dir(config->state, "cache", &cache, err);
	if (!r)
		r = make_dir(config->state, "keys", &keys, err);
	if (!r)
		r = make_dir(config->state, "types", &types, err);
	if (!r)
		r = ab_audit_open(config->audit, err);
	if (!r)
		r = ab_store_open(cache, config->cache_megabytes << 20, &s->store, err);
	if (!r)
		r = ab_tokens_open(config->state, &s->tokens, err);
	if (!r)
		r = ab_keyring_open(keys, &s->keyring, err);
	if (!r)
		r = ab_kernels_open(config, types, &s->kernels, err);
	s->state = strdup(config->state);
	s->memory = ab_cache_new(config->memory_megabytes << 20);
	s->connections = ab_connections_new(s);
	if (!r && (!s->state || !s->memory || !s->connections))
		r = ab_fail_memory(err);
	open_cgroups(s);
	if (!r)
		r = ab_jobs_new(s, &s->jobs, err);
	if (!r && config->shared)
		r = ab_shared_new(s, &s->shared, err);
	return r;
}

static void close_parts(struct server *s)
{
	ab_shared_free(s->shared);
	ab_jobs_free(s->jobs);
	ab_kernels_close(s->kernels);
	ab_connections_free(s->connections);
	ab_cache_free(s->memory);
	ab_tokens_close(s->tokens);
	ab_store_close(s->store);
	ab_keyring_unref(s->keyring);
	ab_config_unref(s->config);
	ab_cgroups_close(s->cgroups);
	free(s->no_cgroups);
	free(s->state);
	pthread_rwlock_destroy(&s->lock);
}

static int read_again(struct server *s, struct http *http, struct config *config, struct keyring **ret_keyring,
		      struct ab_error *err)
{
	_free_ char *keys = NULL;
	int r;

	if (asprintf(&keys, "%s/keys", s->state) < 0) {
		keys = NULL;
		return ab_fail_memory(err);
	}
	r = ab_audit_open(config->audit, err);
	if (!r)
		r = ab_http_reload(http, config, err);
	return r ? r : ab_keyring_open(keys, ret_keyring, err);
}

/* sd_notify(3): tells systemd, if it is that which started us. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_close_ int fd = -1;
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
			     offsetof(struct sockaddr_un, sun_path) + n);
}

/* SIGHUP: either all of the new configuration or none. Addresses, directory, threads and kernels stay as they were started. */
static void reload(struct server *s, struct http *http, int argc, char **argv)
{
	struct command_line line = {};
	struct config *config = NULL, *old;
	struct keyring *keyring, *old_keyring;
	struct ab_error err = {};

	if (read_config(argc, argv, &line, &config, &err) || ab_config_keep_fixed(config, s->config, &err) ||
	    read_again(s, http, config, &keyring, &err)) {
		ab_log("error", "reload", "nothing was changed: %s", err.msg);
		ab_error_clear(&err);
		ab_config_unref(config);
		return;
	}
	pthread_rwlock_wrlock(&s->lock);
	old = s->config;
	old_keyring = s->keyring;
	s->config = config;
	s->keyring = keyring;
	pthread_rwlock_unlock(&s->lock);
	/* Answers in memory have signatures of the key before. */
	ab_cache_reset(s->memory, config->memory_megabytes << 20);
	ab_store_set_limit(s->store, config->cache_megabytes << 20);
	ab_config_unref(old);
	ab_keyring_unref(old_keyring);
	ab_log("info", "reload", "configuration, certificate and keys were read again; %s signs", ab_keyring_active(keyring));
	ab_audit("reload", NULL, NULL, NULL, ab_keyring_active(keyring));
}

static void wait_until_idle(struct server *s, uint64_t ms)
{
	uint64_t end = ab_now_ms() + ms;

	while (__atomic_load_n(&s->active, __ATOMIC_RELAXED) && ab_now_ms() < end) {
		ab_connections_expire(s->connections);
		usleep(DRAIN_POLL_MS * 1000);
	}
}

/* SIGTERM: no new work, what was begun is finished and answered. What is not done in time is answered with a problem. */
static void drain(struct server *s)
{
	__atomic_store_n(&s->draining, true, __ATOMIC_RELAXED);
	ab_log("info", "drain", "%u requests are active", __atomic_load_n(&s->active, __ATOMIC_RELAXED));
	wait_until_idle(s, s->config->drain_seconds * 1000);
	ab_shared_stop(s->shared);
	ab_jobs_stop(s->jobs);
	wait_until_idle(s, LAST_ANSWERS_MS);
}

static void housekeep(struct server *s)
{
	ab_connections_expire(s->connections);
	ab_streams_keep_alive();
	ab_tokens_flush(s->tokens);
}

static void serve(struct server *s, struct http *http, const sigset_t *signals, int argc, char **argv)
{
	const struct timespec tick = { TICK_MS / 1000, TICK_MS % 1000 * 1000000L };

	for (;;) {
		int signal = sigtimedwait(signals, NULL, &tick);

		if (signal == SIGHUP)
			reload(s, http, argc, argv);
		else if (signal == SIGTERM || signal == SIGINT)
			return;
		else
			housekeep(s);
	}
}

/* coolbpf's protocols, if they are asked for. */
static int open_lbc(struct server *s, struct lbc **ret_lbc, struct lbc_doors **ret_doors, struct ab_error *err)
{
	struct lbc_backend backend = ab_lbc_backend(s);
	int r;

	if (!s->config->lbc.n)
		return 0;
	r = ab_lbc_new(&backend, ret_lbc, err);
	return r ? r : ab_lbc_open(s, *ret_lbc, ret_doors, err);
}

static int run_server(struct config *config, int argc, char **argv, struct ab_error *err)
{
	struct server server = { .config = config };
	struct http *http = NULL;
	struct lbc *lbc = NULL;
	struct lbc_doors *doors = NULL;
	sigset_t signals;
	int r;

	pthread_rwlock_init(&server.lock, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	r = open_parts(&server, err);
	if (!r)
		r = ab_http_start(&server, &http, err);
	if (!r)
		r = open_lbc(&server, &lbc, &doors, err);
	if (!r) {
		log_ready(&server);
		notify("READY=1");
		serve(&server, http, &signals, argc, argv);
		notify("STOPPING=1");
		ab_lbc_drain(doors, server.config->drain_seconds);
		drain(&server);
	}
	ab_http_stop(http);
	ab_lbc_close(doors);
	ab_lbc_free(lbc);
	close_parts(&server);
	return r;
}

/* What a server with this configuration would not start without. */
static int check_files(const struct config *config, struct ab_error *err)
{
	const struct { const char *key; const struct strings *paths; } lists[] = {
		{ "kernels.btf", &config->kernels }, { "kernels.packs", &config->packs },
	};
	struct tls *tls = NULL;
	int r = config->tls_key ? ab_tls_new(config, &tls, err) : 0;

	ab_tls_free(tls);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t n = 0; n < lists[i].paths->n && !r; n++) {
			const char *path = lists[i].paths->v[n];

			if (strcmp(path, "host") && access(path, R_OK) < 0)
				r = ab_fail_errno(err, -errno, "%s: '%s'", lists[i].key, path);
		}
	return r;
}

static int run(int argc, char **argv, struct ab_error *err)
{
	struct command_line line = {};
	struct config *config = NULL;
	/* Help is for those who do not know what to say. */
	int r = read_options(argc, argv, NULL, &line, err);

	if (line.help || line.version) {
		ab_error_clear(err);
		fputs(line.help ? usage : "anybpfd " ANYBPF_VERSION "\n", stdout);
		return 0;
	}
	line = (struct command_line){};
	if (!r)
		r = read_config(argc, argv, &line, &config, err);

	if (r)
		return r;
	if (line.argc) {
		r = run_command(config, &line, err);
		ab_config_unref(config);
	} else if (line.print) {
		_text_ struct text out = {};

		ab_config_describe(&out);
		fputs(out.p ? out.p : "", stdout);
		ab_config_unref(config);
	} else if (line.check) {
		r = check_files(config, err);
		if (!r)
			printf("%s: good\n", line.config_path ? line.config_path : "options");
		ab_config_unref(config);
	} else {
		r = run_server(config, argc, argv, err);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct ab_error err = {};
	int status = 0;

	if (run(argc, argv, &err)) {
		fprintf(stderr, "anybpfd: %s\n", err.msg);
		status = ab_error_exit_status(err.kind);
	}
	ab_error_clear(&err);
	return status;
}
