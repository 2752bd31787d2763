/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Debian-style archives: a signed Release file, the Packages lists it vouches for, and the kernels in them. */
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "crawl.h"

struct suite {
	struct listing *listing;
	const struct source *source;
	const char *name;
	char *url;              /* of the archive */
	char *release;          /* what was signed */
};

/* ---- where the archive is ---- */

static bool is_security(const char *suite)
{
	return str_ends(suite, "-security") || str_ends(suite, "/updates");
}

static bool is_relative(const char *configured, const char *suite)
{
	static const char *const aliases[] = { "stable",   "testing", "unstable", "oldstable", "oldoldstable", "sid",
					       "bookworm", "trixie",  "forky",    "bullseye",  "duke" };
	size_t n = strcspn(configured, "-/");

	if (!strncmp(configured, suite, n) && (!suite[n] || suite[n] == '-' || suite[n] == '/'))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strlen(aliases[i]) == n && !strncmp(configured, aliases[i], n))
			return true;
	return false;
}

/* The configured archive that has suites of this kind: of this very release if there is one, else of Debian's others.
 */
static int find_configured(const char *suite, char **ret_url, struct ab_error *err)
{
	static const char *const argv[] = { "apt-get",
					    "indextargets",
					    "--format",
					    "$(REPO_URI) $(RELEASE)",
					    "-o",
					    "APT::Get::IndexTargets::ReleaseInfo=false",
					    "Created-By: Packages",
					    NULL };
	_free_ char *out = NULL;
	int r = ab_command_run(argv, NULL, &out, NULL, err);

	if (r < 0) {
		ab_error_prefix(err, "url \"apt\" needs apt");
		return r;
	}
	for (char *p = out, *line; p && (line = strsep(&p, "\n"));) {
		char *release = strchr(line, ' ');

		if (!release)
			continue;
		*release++ = '\0';
		if (is_security(release) != is_security(suite) || !is_relative(release, suite))
			continue;
		*ret_url = strdup(line);
		return *ret_url ? 0 : ab_fail_memory(err);
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "apt's configuration names no archive with suites like '%s'",
		       suite);
}

/* ---- Release ---- */

static int fetch_index(struct suite *s, const char *path, const char *to, struct ab_error *err)
{
	_free_ char *url = ab_url_join(s->url, path);
	struct fetch fetch = { .url = url, .to = to, .limit = INDEX_LIMIT, .apt = s->source->apt };

	return url ? ab_fetch(s->listing->fetcher, &fetch, err) : ab_fail_memory(err);
}

static int fetch_detached(struct suite *s, const char *to, struct ab_error *err)
{
	_free_ char *path = NULL, *signature = NULL, *sig_path = NULL;
	int r;

	if (asprintf(&path, "dists/%s/Release", s->name) < 0 ||
	    asprintf(&sig_path, "dists/%s/Release.gpg", s->name) < 0 || asprintf(&signature, "%s.gpg", to) < 0)
		return ab_fail_memory(err);
	r = fetch_index(s, path, to, err);
	if (r == 0 && !s->source->unsigned_) {
		r = fetch_index(s, sig_path, signature, err);
		if (r == 0)
			r = ab_verify_detached(s->listing->fetcher, s->source->keyring, signature, to, err);
		unlink(signature);
	}
	return r;
}

/* The signed text goes to `to`. */
static int fetch_release(struct suite *s, const char *to, struct ab_error *err)
{
	_free_ char *path = NULL, *inline_ = NULL;
	int r;

	if (asprintf(&path, "dists/%s/InRelease", s->name) < 0 || asprintf(&inline_, "%s.signed", to) < 0)
		return ab_fail_memory(err);
	if (s->source->unsigned_)
		return fetch_detached(s, to, err);
	r = fetch_index(s, path, inline_, err);
	if (r == -ENOENT) {
		ab_error_clear(err);
		return fetch_detached(s, to, err);
	}
	if (r == 0)
		r = ab_verify_inline(s->listing->fetcher, s->source->keyring, inline_, to, err);
	unlink(inline_);
	return r;
}

static bool field_is(const char *text, const char *name, const char *value)
{
	const char *found;
	size_t n;

	return ab_stanza_field(text, text + strlen(text), name, &found, &n) && n == strlen(value) &&
	       !strncmp(found, value, n);
}

/* An old file, or another suite's, is signed just as well. */
static int check_release(struct suite *s, struct ab_error *err)
{
	const char *text = s->release, *value;
	struct tm until = {};
	size_t n;

	if (!field_is(text, "Codename", s->name) && !field_is(text, "Suite", s->name) && !s->source->unsigned_ &&
	    !(is_security(s->name) && ab_stanza_field(text, text + strlen(text), "Codename", &value, &n) &&
	      !strncmp(value, s->name, MIN(n, strcspn(s->name, "/-")))))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its Release file is for another suite");
	if (s->source->stale || !ab_stanza_field(text, text + strlen(text), "Valid-Until", &value, &n))
		return 0;
	if (!strptime(value, "%a, %d %b %Y %H:%M:%S", &until) || timegm(&until) < time(NULL))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "its Release file was valid until %.*s only (stale = true takes it)", (int)n, value);
	return 0;
}

/* A line " HASH SIZE PATH" of the section "SHA256:". */
static bool find_hash(const char *release, const char *path, char hash[65], uint64_t *ret_size)
{
	const char *p = strstr(release, "\nSHA256:");

	p = p ? strchr(p + 1, '\n') : NULL;
	while (p && p[1] == ' ') {
		char found[65] = "", name[400] = "";
		unsigned long long size;

		p++;
		if (sscanf(p, " %64[0-9a-f] %llu %399[^ \n]", found, &size, name) == 3 && strlen(found) == 64 &&
		    !strcmp(name, path)) {
			strcpy(hash, found);
			*ret_size = size;
			return true;
		}
		p = strchr(p, '\n');
	}
	return false;
}

/* ---- Packages ---- */

/* linux-image-6.1.0-50-cloud-amd64-dbg: what is left is what uname -r says. */
static bool split_name(const char *name, size_t n, char *release, size_t cap, unsigned *ret_rank, bool *ret_debug)
{
	static const struct {
		const char *prefix;
		unsigned rank;
	} prefixes[] = {
		{ "linux-image-unsigned-", 2 },
		{ "linux-image-", 1 },
		{ "linux-binary-", 0 },
		{ "linux-modules-", 4 },
	};
	static const struct {
		const char *suffix;
		unsigned rank;
		bool debug;
	} suffixes[] = {
		{ "-dbgsym", 8, true },
		{ "-dbg", 8, true },
		{ "-unsigned", 2, false },
	};

	*ret_debug = false;
	*ret_rank = 3;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t length = strlen(prefixes[i].prefix);

		if (n <= length || strncmp(name, prefixes[i].prefix, length))
			continue;
		name += length;
		n -= length;
		*ret_rank = prefixes[i].rank;
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t length = strlen(suffixes[i].suffix);

		if (n <= length || strncmp(name + n - length, suffixes[i].suffix, length))
			continue;
		n -= length;
		*ret_rank += suffixes[i].rank;
		*ret_debug = suffixes[i].debug;
		break;
	}
	return n < cap && (memcpy(release, name, n), release[n] = '\0', true);
}

static bool is_wanted(const struct source *source, const char *name)
{
	static const char *const images[] = { "linux-image-[0-9]*", "linux-image-unsigned-[0-9]*",
					      "linux-binary-[0-9]*", NULL };
	bool debug = str_ends(name, "-dbg") || str_ends(name, "-dbgsym");

	if (ab_matches((const char *const *)source->exclude, name) || (debug && !source->debug))
		return false;
	return ab_matches(source->packages ? (const char *const *)source->packages : images, name);
}

static bool is_safe(const char *path)
{
	return *path && *path != '/' && !strstr(path, "..") && !strchr(path, '\\');
}

static int take_stanza(struct items *items, const struct source *source, const char *url, const char *stanza,
		       const char *end, struct ab_error *err)
{
	static const char *const names[] = { "Package", "Version", "Architecture", "Filename", "Size", "SHA256" };
	const char *value[ARRAY_SIZE(names)];
	size_t size[ARRAY_SIZE(names)];
	_free_ char *name = NULL, *key = NULL, *file = NULL;
	struct package_ref p = { .algorithm = "sha256" };
	char release[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!ab_stanza_field(stanza, end, names[i], &value[i], &size[i]))
			return 0;
	name = strndup(value[0], size[0]);
	file = strndup(value[3], size[3]);
	if (!name || !file)
		return ab_fail_memory(err);
	if (!is_wanted(source, name) || !is_safe(file) || size[5] != 64 ||
	    !split_name(name, strlen(name), release, sizeof(release), &p.rank, &p.debug))
		return 0;
	p.name = TAKE(name);
	p.version = strndup(value[1], size[1]);
	p.arch = strndup(value[2], size[2]);
	p.release = strdup(release);
	p.hash = strndup(value[5], size[5]);
	p.size = strtoull(value[4], NULL, 10);
	p.url = ab_url_join(url, file);
	p.path = strdup(path_base(file));
	if (asprintf(&key, "%s %s %s %s", source->name, release, p.version ? p.version : "", p.arch ? p.arch : "") < 0)
		key = NULL;
	if (!key || !p.hash) {
		ab_package_ref_clear(&p);
		return ab_fail_memory(err);
	}
	return ab_items_add(items, source, key, &p, err);
}

int ab_deb_parse_packages(struct items *items, const struct source *source, const char *url, const char *text,
			  size_t size, struct ab_error *err)
{
	const char *p = text, *end = text + size;
	int r = 0;

	while (r == 0 && p < end && (p = memmem(p, end - p, "Package: ", 9))) {
		const char *last = memmem(p, end - p, "\n\n", 2);

		if (p == text || p[-1] == '\n')
			r = take_stanza(items, source, url, p, last ? last : end, err);
		p = last ? last : end;
	}
	return r;
}

static int fetch_list(struct suite *s, const char *path, const char *hash, uint64_t size, char **ret_path,
		      struct ab_error *err)
{
	const char *slash = strrchr(path, '/');
	_free_ char *to = ab_listing_path(s->listing, hash, err), *below = NULL, *url = NULL;
	struct fetch fetch = {
		.to = to, .hash = hash, .algorithm = "sha256", .size = size, .limit = LIST_LIMIT, .apt = s->source->apt
	};
	int r = 0;

	if (!to)
		return -ENOMEM;
	if (access(to, R_OK) < 0) {
		/* By its hash, so that an archive that is just being updated gives what this Release file means. */
		if (field_is(s->release, "Acquire-By-Hash", "yes"))
			r = asprintf(&below, "dists/%s/%.*s/by-hash/SHA256/%s", s->name, (int)(slash - path), path,
				     hash);
		else
			r = asprintf(&below, "dists/%s/%s", s->name, path);
		url = r < 0 ? NULL : ab_url_join(s->url, below);
		fetch.url = url;
		r = url ? ab_fetch(s->listing->fetcher, &fetch, err) : ab_fail_memory(err);
	}
	if (r == 0)
		*ret_path = TAKE(to);
	return r;
}

static int list_packages(struct suite *s, const char *component, const char *arch, struct ab_error *err)
{
	static const char *const suffixes[] = { ".xz", ".zst", ".gz", ".bz2", "" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_free_ char *path = NULL, *file = NULL, *text = NULL;
		uint64_t size;
		size_t n;
		char hash[65];
		int r;

		if (asprintf(&path, "%s/binary-%s/Packages%s", component, arch, suffixes[i]) < 0)
			return ab_fail_memory(err);
		if (!find_hash(s->release, path, hash, &size))
			continue;
		if (!size)
			return 0;
		r = fetch_list(s, path, hash, size, &file, err);
		if (r == 0)
			r = ab_inflate_file(file, LIST_LIMIT, &text, &n, err);
		return r < 0 ? r : ab_deb_parse_packages(s->listing->items, s->source, s->url, text, n, err);
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "it has no Packages list for %s/%s", component, arch);
}

/* ---- suites ---- */

static const char *own_arch(void)
{
	static struct utsname uts;

	uname(&uts);
	return !strcmp(uts.machine, "x86_64") ? "amd64" : !strcmp(uts.machine, "aarch64") ? "arm64" : uts.machine;
}

static int list_suite(struct suite *s, struct ab_error *err)
{
	const char *const main_[] = { "main", NULL }, *const own[] = { own_arch(), NULL };
	const char *const *components = s->source->components ? (const char *const *)s->source->components : main_;
	const char *const *architectures = s->source->architectures ? (const char *const *)s->source->architectures
								    : own;
	_free_ char *name = NULL, *path = NULL;
	size_t size;
	int r;

	if (asprintf(&name, "%s-%s-Release", s->source->name, s->name) < 0)
		return ab_fail_memory(err);
	path = ab_listing_path(s->listing, name, err);
	if (!path)
		return -ENOMEM;
	r = s->source->apt                      ? find_configured(s->name, &s->url, err)
	    : (s->url = strdup(s->source->url)) ? 0
						: ab_fail_memory(err);
	if (r == 0)
		r = fetch_release(s, path, err);
	if (r == 0)
		r = file_read(path, INDEX_LIMIT, &s->release, &size, err);
	if (r == 0)
		r = check_release(s, err);
	for (; r == 0 && *components; components++)
		for (const char *const *arch = architectures; r == 0 && *arch; arch++)
			r = list_packages(s, *components, *arch, err);
	return r;
}

int ab_list_deb(struct listing *listing, const struct source *source, struct ab_error *err)
{
	for (char **suite = source->suites; *suite; suite++) {
		struct suite s = { listing, source, *suite };
		struct ab_error why = {};
		int r = list_suite(&s, &why);

		free(s.url);
		free(s.release);
		if (r == -ENOMEM || r == -EINTR)
			return ab_fail(err, why.kind, r, "%s", why.msg);
		if (r < 0)
			listing->failed(listing->ctx, source, *suite, &why);
		ab_error_clear(&why);
	}
	return 0;
}
