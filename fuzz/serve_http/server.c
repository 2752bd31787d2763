/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The server that every input meets: small kernels with all kinds of types, tokens whose secrets are known, nothing random. */
#include <bpf/btf.h>
#include <ftw.h>
#include <serve/jobs.h>
#include <serve/kernels.h>
#include <serve/keyring.h>
#include <sys/stat.h>
#include <unistd.h>
#include "serve_http.h"

uint64_t fuzz_now_ms = 1000;

uint64_t __wrap_ab_now_ms(void);
uint64_t __wrap_ab_now_us(void);
void __wrap_ab_random_hex(char *out, size_t n);
void __wrap_ab_log_end(struct log_line *line);

/* ---- what is the fuzzer's own: time, chance, the log ---- */

uint64_t __wrap_ab_now_ms(void)
{
	return fuzz_now_ms;
}

uint64_t __wrap_ab_now_us(void)
{
	return fuzz_now_ms * 1000;
}

/* The n-th number is n: the first token's secret ends with 1. */
void __wrap_ab_random_hex(char *out, size_t n)
{
	static unsigned long last;

	snprintf(out, 2 * n + 1, "%0*lx", (int)(2 * n), ++last);
}

void __wrap_ab_log_end(struct log_line *line)
{
	text_puts(&line->text, "}\n");
	MUST(!line->text.failed);
	check_lines(line->text.p, line->text.n);
	text_clear(&line->text);
}

/* ---- kernels ---- */

/* A later kernel has moved and renamed some of it. */
static struct btf *make_btf(bool is_later)
{
	struct btf *btf = btf__new_empty();
	int i_int = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), inner, sock, proto, choice;

	inner = btf__add_union(btf, NULL, 8);
	btf__add_field(btf, "head", i_int, 0, 0);
	btf__add_field(btf, "tail", i_int, 0, 5);
	sock = btf__add_struct(btf, "sock", is_later ? 16 : 12);
	btf__add_field(btf, is_later ? "sk_kind" : "sk_family", i_int, 0, 0);
	btf__add_field(btf, "sk_backlog", inner, is_later ? 64 : 32, 0);
	choice = btf__add_enum(btf, "state", 4);
	btf__add_enum_value(btf, "OPEN", 1);
	btf__add_enum_value(btf, "CLOSED", is_later ? 3 : 2);
	proto = btf__add_func_proto(btf, i_int);
	btf__add_func_param(btf, "sk", btf__add_ptr(btf, sock));
	if (is_later)
		btf__add_func_param(btf, "state", choice);
	btf__add_func(btf, "tcp_sendmsg", BTF_FUNC_GLOBAL, proto);
	btf__add_typedef(btf, "pid_t", i_int);
	return btf;
}

static void add_kernel(struct ab_pack_writer *w, const char *release, bool is_later)
{
	struct ab_kernel kernel = { .release = release, .arch = "x86_64", .distribution = "debian", .flavour = "", .module = "",
				    .build_id = { 0xab, is_later }, .build_id_size = 20 };
	struct btf *btf = make_btf(is_later);
	const void *data;
	uint32_t size;

	data = btf__raw_data(btf, &size);
	MUST(ab_pack_writer_add(w, &kernel, data, size, NULL, 0, NULL) == 1);
	btf__free(btf);
}

static void write_kernels(const char *file, const char *pack)
{
	struct btf *btf = make_btf(true);
	struct ab_pack_writer *w;
	const void *data;
	uint32_t size;

	data = btf__raw_data(btf, &size);
	MUST(!file_write(file, data, size, 0600, NULL));
	btf__free(btf);
	MUST(!ab_pack_writer_open(pack, &w, NULL));
	add_kernel(w, "5.10.0-8-amd64", false);
	add_kernel(w, "6.1.0-1-amd64", true);
	MUST(!ab_pack_writer_commit(w, NULL));
	ab_pack_writer_free(w);
}

/* ---- the server ---- */

static char state[] = "/dev/shm/anybpf-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

static void remove_state(void)
{
	(void)nftw(state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *path_of(const char *name, bool is_dir)
{
	char *path;

	MUST(asprintf(&path, "%s/%s", state, name) > 0);
	MUST(!is_dir || mkdir(path, 0700) == 0);
	return path;
}

/* `keys`: names and values, NULL at the end. */
static struct config *make_config(const char *file, const char *pack, const char *const *keys)
{
	struct config *config = ab_config_new();

	MUST(config && !ab_config_set(config, "state", state, NULL) && !ab_config_set(config, "kernels.btf", file, NULL) &&
	     !ab_config_set(config, "kernels.packs", pack, NULL) && !ab_config_set(config, "jobs", "1", NULL));
	for (; *keys; keys += 2)
		MUST(!ab_config_set(config, keys[0], keys[1], NULL));
	MUST(!ab_config_finish(config, NULL));
	return config;
}

static void make_configs(const char *file, const char *pack, struct config *configs[CONFIG_COUNT])
{
	static const char *const keys[CONFIG_COUNT][16] = {
		[CONFIG_OPEN] = { "anonymous", "read,build,metrics", "limits.rate", "0" },
		[CONFIG_CLOSED] = { "anonymous", "none" },
		[CONFIG_TIGHT] = { "anonymous", "read,build", "limits.rate", "3", "limits.body", "1024", "limits.files", "2",
				   "limits.queue", "1" },
		[CONFIG_PROXY] = { "trusted_proxies", "192.0.2.1", "limits.rate", "2", "limits.connections_per_address", "1" },
	};

	for (int i = 0; i < CONFIG_COUNT; i++)
		configs[i] = make_config(file, pack, keys[i]);
}

/* Secrets are "abt_" and 64 digits, zeros but for the last: all, read, build once a day, once a minute, expired. */
static void add_tokens(struct tokens *tokens)
{
	static const struct token all[] = {
		{ .name = "all", .scopes = SCOPE_READ | SCOPE_BUILD | SCOPE_METRICS },
		{ .name = "read", .scopes = SCOPE_READ },
		{ .name = "quota", .scopes = SCOPE_READ | SCOPE_BUILD, .quota = 1 },
		{ .name = "rate", .scopes = SCOPE_READ | SCOPE_BUILD, .rate = 1 },
		{ .name = "expired", .scopes = SCOPE_READ | SCOPE_BUILD },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_free_ char *secret = NULL;

		MUST(!ab_token_add(tokens, &all[i], i == ARRAY_SIZE(all) - 1 ? 1 : 0, &secret, NULL));
		MUST(secret[strlen(secret) - 1] == "12345"[i]);
	}
}

void make_server(struct server *server, struct config *configs[CONFIG_COUNT])
{
	_free_ char *file = NULL, *pack = NULL, *cache = NULL, *keys = NULL, *types = NULL;

	MUST(mkdtemp(state));
	atexit(remove_state);
	file = path_of("6.12.1.btf", false);
	pack = path_of("small.pack", false);
	cache = path_of("cache", true);
	keys = path_of("keys", true);
	types = path_of("types", true);
	write_kernels(file, pack);
	make_configs(file, pack, configs);
	pthread_rwlock_init(&server->lock, NULL);
	server->config = configs[CONFIG_OPEN];
	server->state = strdup(state);
	server->memory = ab_cache_new(1 << 20);
	server->connections = ab_connections_new(server);
	MUST(server->state && server->memory && server->connections);
	MUST(!ab_tokens_open(state, &server->tokens, NULL));
	add_tokens(server->tokens);
	MUST(!ab_store_open(cache, 1 << 20, &server->store, NULL) && !ab_keyring_open(keys, &server->keyring, NULL));
	MUST(!ab_kernels_open(server->config, types, &server->kernels, NULL) && !ab_jobs_new(server, &server->jobs, NULL));
}
