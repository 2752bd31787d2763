/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The configuration: one table says every key, its type, range, default and meaning. The file, the options, `--check-config`
 * and the manual follow from it.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <unistd.h>
#include "config.h"
#include "place.h"
#include "shared.h"
#include "toml/toml.h"

enum { FILE_LIMIT = 1 << 20, LIST_LIMIT = 1024 };
enum key_type { KEY_STRING, KEY_NUMBER, KEY_SWITCH, KEY_LIST };

struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	int64_t value, min, max; /* of numbers and switches: the default and its range */
	const char *meaning;
	bool is_fixed; /* a reload does not change it */
	int (*check)(const char *value, struct ab_error *err); /* of a string, or NULL */
};

static int check_scopes(const char *value, struct ab_error *err)
{
	unsigned bits;

	return ab_scopes_parse(value, &bits, err);
}

/* In the one form that addresses of connections are written in, which it is compared with. */
static int check_proxy(const char *value, struct ab_error *err)
{
	const int family = strchr(value, ':') ? AF_INET6 : AF_INET;
	char text[INET6_ADDRSTRLEN] = "";
	struct in6_addr address;

	if (!strcmp(value, "unix"))
		return 0;
	if (inet_pton(family, value, &address) != 1)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "trusted_proxies: '%s' is not an address, nor unix", value);
	inet_ntop(family, &address, text, sizeof(text));
	return strcmp(text, value) ? ab_fail(err, AB_ERROR_USAGE, -EINVAL, "trusted_proxies: '%s' has to be written '%s'", value,
					     text) : 0;
}

#define AT(field) offsetof(struct config, field)
static const struct key keys[] = {
	{ "listen", KEY_LIST, AT(listen),
	  .meaning = "ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH; port 0 takes a free one (127.0.0.1:7600)",
	  .is_fixed = true, .check = ab_place_check_listen },
	{ "state", KEY_STRING, AT(state),
	  .meaning = "directory of the cache, the tokens and the keys (/var/lib/anybpf)", .is_fixed = true },
	{ "threads", KEY_NUMBER, AT(threads), 0, 0, 256, "threads that serve connections; 0: one a core",
	  .is_fixed = true },
	{ "jobs", KEY_NUMBER, AT(jobs), 0, 0, 256, "compiles at one time; 0: one a core", .is_fixed = true },
	{ "sandbox", KEY_SWITCH, AT(sandbox), 1, 0, 1,
	  "compile in a sandbox, as sources of strangers have to be; needs anybpf-cc", .is_fixed = true },
	{ "anonymous", KEY_LIST, AT(anonymous),
	  .meaning = "scopes of requests without a token: read, build, metrics, or none (read)", .check = check_scopes },
	{ "trusted_proxies", KEY_LIST, AT(trusted_proxies),
	  .meaning = "addresses whose X-Forwarded-For is believed; unix: the unix socket", .check = check_proxy },
	{ "lbc", KEY_LIST, AT(lbc),
	  .meaning = "ports for coolbpf's clients, who need no token to build: http:ADDRESS:PORT, tcp:ADDRESS:PORT",
	  .is_fixed = true, .check = ab_place_check_lbc },
	{ "tls.certificate", KEY_STRING, AT(tls_certificate),
	  .meaning = "chain in PEM; with it and tls.key all TCP ports speak TLS" },
	{ "tls.key", KEY_STRING, AT(tls_key), .meaning = "private key in PEM" },
	{ "tls.client_ca", KEY_STRING, AT(tls_client_ca),
	  .meaning = "CA in PEM: clients without a certificate by it are refused", .is_fixed = true },
	{ "limits.body", KEY_NUMBER, AT(body), 8 << 20, 1024, 1 << 30, "bytes of a request's body" },
	{ "limits.bodies_megabytes", KEY_NUMBER, AT(bodies_megabytes), 256, 1, 1 << 20,
	  "bodies of all requests that are not answered yet" },
	{ "limits.header", KEY_NUMBER, AT(header), 8 << 10, 2048, 1 << 20, "bytes of a request's line and headers",
	  .is_fixed = true },
	{ "limits.files", KEY_NUMBER, AT(files), 1024, 1, 65536, "files of one build" },
	{ "limits.connections", KEY_NUMBER, AT(connections), 16384, 1, 1 << 20, "connections in all" },
	{ "limits.connections_per_address", KEY_NUMBER, AT(connections_per_address), 512, 1, 1 << 20,
	  "connections of one address" },
	{ "limits.header_seconds", KEY_NUMBER, AT(header_seconds), 10, 1, 3600,
	  "time for a request's line and headers" },
	{ "limits.body_seconds", KEY_NUMBER, AT(body_seconds), 60, 1, 3600, "time for a request's body" },
	{ "limits.idle_seconds", KEY_NUMBER, AT(idle_seconds), 120, 1, 86400,
	  "time between two requests of a connection" },
	{ "limits.send_seconds", KEY_NUMBER, AT(send_seconds), 300, 1, 86400, "time for taking an answer" },
	{ "limits.drain_seconds", KEY_NUMBER, AT(drain_seconds), 60, 0, 3600,
	  "time that work has to end after SIGTERM" },
	{ "limits.queue", KEY_NUMBER, AT(queue), 256, 1, 65536, "compiles that wait" },
	{ "limits.compile_seconds", KEY_NUMBER, AT(compile_seconds), 30, 1, 3600, "time for one compile" },
	{ "limits.compiler_megabytes", KEY_NUMBER, AT(compiler_megabytes), 2048, 512, 1 << 20,
	  "memory of a warm compiler and its compile, where there are control groups", .is_fixed = true },
	{ "limits.compiler_tasks", KEY_NUMBER, AT(compiler_tasks), 512, 16, 1 << 20,
	  "processes and threads of a warm compiler and its compile, there", .is_fixed = true },
	{ "limits.compiler_percent", KEY_NUMBER, AT(compiler_percent), 200, 10, 100000,
	  "of one CPU that a warm compiler and its compile get, there", .is_fixed = true },
	{ "limits.rate", KEY_NUMBER, AT(rate), 600, 0, 1000000000,
	  "requests a minute of an address without token; 0: no limit" },
	{ "cache.megabytes", KEY_NUMBER, AT(cache_megabytes), 1024, 1, 1 << 24, "size of the cache on disk" },
	{ "cache.memory_megabytes", KEY_NUMBER, AT(memory_megabytes), 32, 1, 1 << 20, "size of the cache in memory" },
	{ "kernels.btf", KEY_LIST, AT(kernels),
	  .meaning = "\"host\" or files with BTF; the first is the default kernel (host)", .is_fixed = true },
	{ "kernels.packs", KEY_LIST, AT(packs), .meaning = "packs with the types of many kernels", .is_fixed = true },
	{ "kernels.warm", KEY_NUMBER, AT(builders), 4, 1, 256, "compilers kept warm for kernels, beyond one a job" },
	{ "shared.url", KEY_STRING, AT(shared),
	  .meaning = "redis://[:PASSWORD@]HOST[:PORT][/DB] or redis+unix:PATH: share results with other servers",
	  .is_fixed = true, .check = ab_shared_check },
	{ "shared.days", KEY_NUMBER, AT(shared_days), 7, 1, 3650, "how long results stay there" },
	{ "log.requests", KEY_SWITCH, AT(log_requests), 1, 0, 1, "a line for each request" },
	{ "log.audit", KEY_STRING, AT(audit),
	  .meaning = "file for the audit log: who built what, refused requests, changes of tokens and keys" },
};
#undef AT

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

/* ---- life ---- */

struct config *ab_config_new(void)
{
	struct config *c = array_new(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].type == KEY_NUMBER)
			*(int64_t *)((char *)c + keys[i].offset) = keys[i].value;
		else if (keys[i].type == KEY_SWITCH)
			*(bool *)((char *)c + keys[i].offset) = keys[i].value;
	return c;
}

struct config *ab_config_ref(struct config *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

static void clear_strings(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strings){};
}

void ab_config_unref(struct config *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].type == KEY_STRING)
			free(*(char **)((char *)c + keys[i].offset));
		else if (keys[i].type == KEY_LIST)
			clear_strings((struct strings *)((char *)c + keys[i].offset));
	free(c);
}

/* ---- values ---- */

static int add_string(struct strings *s, const char *text, struct ab_error *err)
{
	char **v;

	if (s->n == LIST_LIMIT)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "more than %d values", LIST_LIMIT);
	v = reallocarray(s->v, s->n + 2, sizeof(*v));
	if (!v)
		return ab_fail_memory(err);
	s->v = v;
	v[s->n] = strdup(text);
	if (!v[s->n])
		return ab_fail_memory(err);
	v[++s->n] = NULL;
	return 0;
}

static int set_text(struct config *c, const struct key *key, const char *text, struct ab_error *err)
{
	char **at = (char **)((char *)c + key->offset), *copy;
	bool is_default = key->type == KEY_STRING && !*text;
	int r = key->check && !is_default ? key->check(text, err) : 0;

	if (r)
		return r;
	if (key->type == KEY_LIST)
		return add_string((struct strings *)((char *)c + key->offset), text, err);
	copy = is_default ? NULL : strdup(text);
	if (!copy && !is_default)
		return ab_fail_memory(err);
	free(*at);
	*at = copy;
	return 0;
}

static int set_number(struct config *c, const struct key *key, int64_t number, struct ab_error *err)
{
	if (number < key->min || number > key->max)
		return ab_fail(err, AB_ERROR_USAGE, -ERANGE, "%s: %lld is not in %lld to %lld", key->name, (long long)number,
			       (long long)key->min, (long long)key->max);
	if (key->type == KEY_SWITCH)
		*(bool *)((char *)c + key->offset) = number;
	else
		*(int64_t *)((char *)c + key->offset) = number;
	return 0;
}

static int parse_number(const char *text, int64_t *ret)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return -EINVAL;
	*ret = n;
	return 0;
}

int ab_config_set(struct config *c, const char *name, const char *value, struct ab_error *err)
{
	const struct key *key = find_key(name);
	int64_t number = 1;

	if (!key)
		return -ENOENT;
	if (key->type == KEY_STRING || key->type == KEY_LIST)
		return set_text(c, key, value, err);
	if (key->type == KEY_SWITCH && (!strcmp(value, "true") || !strcmp(value, "false")))
		number = !strcmp(value, "true");
	else if (key->type == KEY_SWITCH || parse_number(value, &number))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s: '%s' is not %s", name, value,
			       key->type == KEY_SWITCH ? "true or false" : "a number");
	return set_number(c, key, number, err);
}

/* ---- the file ---- */

struct reading {
	struct config *config;
	const char *path;
	struct ab_error *err;
};

const char *ab_config_nearest(const char *name)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		nearest_try(&nearest, keys[i].name);
	return nearest.name;
}

static int unknown_key(const struct reading *reading, const char *name, unsigned line)
{
	const char *near = ab_config_nearest(name);

	return ab_fail(reading->err, AB_ERROR_USAGE, -EINVAL, "%s:%u: there is no '%s'%s%s%s", reading->path, line, name,
		       DID_YOU_MEAN(near));
}

static int take_value(void *context, const char *name, unsigned line, enum toml_type type, const char *text, int64_t number)
{
	static const char *const wanted[] = { [KEY_STRING] = "a string",
					      [KEY_NUMBER] = "an integer",
					      [KEY_SWITCH] = "true or false",
					      [KEY_LIST] = "strings" };
	static const enum toml_type types[] = { [KEY_STRING] = TOML_STRING,
						[KEY_NUMBER] = TOML_INTEGER,
						[KEY_SWITCH] = TOML_BOOLEAN,
						[KEY_LIST] = TOML_STRING };
	struct reading *reading = context;
	const struct key *key = find_key(name);
	int r;

	if (!key)
		return unknown_key(reading, name, line);
	if (type != types[key->type])
		return ab_fail(reading->err, AB_ERROR_USAGE, -EINVAL, "%s:%u: %s takes %s", reading->path, line, name,
			       wanted[key->type]);
	r = type == TOML_STRING ? set_text(reading->config, key, text, reading->err) :
				  set_number(reading->config, key, number, reading->err);
	if (r)
		ab_error_prefix(reading->err, "%s:%u", reading->path, line);
	return r;
}

int ab_config_read(struct config *c, const char *path, struct ab_error *err)
{
	struct reading reading = { c, path, err };
	_free_ char *text = NULL;
	char error[256] = "";
	size_t size;
	int r = file_read(path, FILE_LIMIT, &text, &size, err);

	if (r)
		return r;
	r = ab_toml_walk(text, size, take_value, &reading, error, sizeof(error));
	if (r && *error)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "%s:%s", path, error);
	return r;
}

/* ---- what follows ---- */

static const struct { const char *name; unsigned bit; } scopes[] = {
	{ "read", SCOPE_READ }, { "build", SCOPE_BUILD }, { "metrics", SCOPE_METRICS },
};

int ab_scopes_parse(const char *text, unsigned *ret_scopes, struct ab_error *err)
{
	unsigned bits = 0;

	while (*text) {
		size_t n = strcspn(text, ","), i;

		for (i = 0; i < ARRAY_SIZE(scopes); i++)
			if (strlen(scopes[i].name) == n && !memcmp(scopes[i].name, text, n))
				break;
		if (i < ARRAY_SIZE(scopes))
			bits |= scopes[i].bit;
		else if (n != 4 || memcmp(text, "none", 4))
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%.*s' is not a scope: read, build, metrics", (int)n, text);
		text += n + (text[n] == ',');
	}
	*ret_scopes = bits;
	return 0;
}

void ab_scopes_write(unsigned bits, struct text *out)
{
	bool is_first = true;

	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++)
		if (bits & scopes[i].bit) {
			text_printf(out, "%s%s", is_first ? "" : ",", scopes[i].name);
			is_first = false;
		}
	if (is_first)
		text_puts(out, "none");
}

void ab_config_drop_lists(struct config *c, const struct config *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].type == KEY_LIST && ((const struct strings *)((const char *)options + keys[i].offset))->n)
			clear_strings((struct strings *)((char *)c + keys[i].offset));
}

int ab_config_keep_fixed(struct config *c, const struct config *running, struct ab_error *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && !r; i++) {
		const struct key *key = &keys[i];
		void *to = (char *)c + key->offset;
		const void *from = (const char *)running + key->offset;

		if (!key->is_fixed)
			continue;
		if (key->type == KEY_NUMBER) {
			*(int64_t *)to = *(const int64_t *)from;
		} else if (key->type == KEY_SWITCH) {
			*(bool *)to = *(const bool *)from;
		} else if (key->type == KEY_STRING) {
			free(*(char **)to);
			*(char **)to = NULL;
			if (*(char *const *)from)
				r = set_text(c, key, *(char *const *)from, err);
		} else if (key->type == KEY_LIST) {
			clear_strings(to);
			for (size_t n = 0; n < ((const struct strings *)from)->n && !r; n++)
				r = set_text(c, key, ((const struct strings *)from)->v[n], err);
		}
	}
	return r;
}

static int default_string(char **at, const char *value)
{
	if (!*at)
		*at = strdup(value);
	return *at ? 0 : -ENOMEM;
}

static int default_list(struct strings *list, const char *value, struct ab_error *err)
{
	return list->n ? 0 : add_string(list, value, err);
}

int ab_config_finish(struct config *c, struct ab_error *err)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int r = default_list(&c->listen, "127.0.0.1:7600", err);

	if (!r)
		r = default_list(&c->anonymous, "read", err);
	if (!r)
		r = default_list(&c->kernels, "host", err);
	if (!r && default_string(&c->state, "/var/lib/anybpf"))
		r = ab_fail_memory(err);
	c->threads = c->threads ? c->threads : MAX(cores, 1);
	c->jobs = c->jobs ? c->jobs : MAX(cores, 1);
	c->anonymous_scopes = 0;
	for (size_t i = 0; i < c->anonymous.n && !r; i++) {
		unsigned bits = 0;

		r = ab_scopes_parse(c->anonymous.v[i], &bits, err);
		c->anonymous_scopes |= bits;
	}
	if (!r && !c->tls_certificate != !c->tls_key)
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "tls.certificate and tls.key go together");
	if (!r && c->tls_client_ca && !c->tls_key)
		r = ab_fail(err, AB_ERROR_USAGE, -EINVAL, "tls.client_ca needs tls.certificate and tls.key");
	return r;
}

void ab_config_describe(struct text *out)
{
	char section[32] = "";

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct key *key = &keys[i];
		const char *dot = strchr(key->name, '.');
		size_t n = dot ? dot - key->name : 0;

		if (n && (strlen(section) != n || memcmp(section, key->name, n))) {
			snprintf(section, sizeof(section), "%.*s", (int)n, key->name);
			text_printf(out, "\n[%s]\n", section);
		}
		text_printf(out, "# %s\n", key->meaning);
		if (key->type == KEY_NUMBER)
			text_printf(out, "#%s = %lld\n", dot ? dot + 1 : key->name, (long long)key->value);
		else if (key->type == KEY_SWITCH)
			text_printf(out, "#%s = %s\n", dot ? dot + 1 : key->name, key->value ? "true" : "false");
		else
			text_printf(out, "#%s = %s\n", dot ? dot + 1 : key->name, key->type == KEY_LIST ? "[]" : "\"\"");
	}
}
