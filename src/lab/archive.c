/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Debian's archive, through apt: the machine's configuration says where it is, a private set of lists in the cache covers
 * all suites beside the configured ones, and apt checks every signature and hash. The machine's own lists stay untouched.
 *
 * Options of apt.conf that steer it (APT_CONFIG=FILE works as for apt itself): AnyBPF::Lab::Keyring, the keyring for the
 * lists instead of Debian's; AnyBPF::Lab::Suites, the suites to look for, separated by blanks.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lab.h"

#define DEBIAN_KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"
#define SUITES "bullseye bullseye-updates bullseye-backports bookworm bookworm-updates bookworm-backports trixie " \
	       "trixie-updates trixie-backports forky forky-updates forky-backports sid experimental " \
	       "bullseye-security bookworm-security trixie-security forky-security"
#define LIST_LIMIT (512u << 20)
#define MAX_ARGS 48

/* ---- apt with the lab's own lists ---- */

struct apt {
	const char *argv[MAX_ARGS];
	char *options[16];
	size_t argc, option_count;
	bool failed;
};

static void apt_clear(struct apt *apt)
{
	for (size_t i = 0; i < apt->option_count; i++)
		free(apt->options[i]);
}

#define _apt_ __attribute__((cleanup(apt_clear)))

static void apt_arg(struct apt *apt, const char *arg)
{
	if (apt->argc + 1 < MAX_ARGS)
		apt->argv[apt->argc++] = arg;
	else
		apt->failed = true;
}

PRINTF_LIKE(2, 3) static void apt_option(struct apt *apt, const char *fmt, ...)
{
	char *option = NULL;
	va_list args;

	va_start(args, fmt);
	if (apt->option_count == ARRAY_SIZE(apt->options) || vasprintf(&option, fmt, args) < 0)
		apt->failed = true;
	va_end(args);
	if (apt->failed)
		return;
	apt->options[apt->option_count++] = option;
	apt_arg(apt, "-o");
	apt_arg(apt, option);
}

static void apt_begin(struct apt *apt, struct ab_lab *lab, const char *program)
{
	apt_arg(apt, program);
	apt_option(apt, "Dir::Etc::sourcelist=%s/apt-%s/lab.sources", lab->cache, lab->arch);
	apt_option(apt, "Dir::Etc::sourceparts=-");
	apt_option(apt, "Dir::State::lists=%s/apt-%s/lists", lab->cache, lab->arch);
	apt_option(apt, "Dir::State::status=/dev/null");
	apt_option(apt, "Dir::Cache=%s/apt-%s", lab->cache, lab->arch);
	/* The cache belongs to the user; apt's own sandbox user could not write there. */
	apt_option(apt, "APT::Sandbox::User=");
	apt_option(apt, "APT::Architecture=%s", lab->arch);
	apt_option(apt, "APT::Architectures=%s", lab->arch);
	apt_option(apt, "Acquire::Languages=none");
	apt_option(apt, "Acquire::GzipIndexes=true");
	apt_option(apt, "Acquire::Retries=2");
	apt_option(apt, "pkgCacheFile::Generate=false");
}

static int apt_run(struct apt *apt, const struct command_opts *opts, char **ret_out, char **ret_err, struct ab_error *err)
{
	int r;

	if (apt->failed)
		return ab_fail_memory(err);
	r = ab_command_run(apt->argv, opts, ret_out, ret_err, err);
	if (r == -ENOENT)
		ab_error_prefix(err, "kernels of Debian's archive need apt (or give --kernel FILE)");
	return r;
}

/* The first line of apt's complaints that begins with `mark`, without it; NULL. */
static char *find_complaint(const char *text, const char *mark)
{
	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (str_starts(p, mark))
			return strndup(p + strlen(mark), strcspn(p + strlen(mark), "\n"));
	return NULL;
}

/* ---- sources: from the machine's configuration ---- */

static char *read_option(const char *name, const char *fallback)
{
	const char *const argv[] = { "apt-config", "dump", "--format", "%v", name, NULL };
	_free_ char *out = NULL;

	if (ab_command_run(argv, NULL, &out, NULL, NULL) == 0 && out && *out)
		return strndup(out, strcspn(out, "\n"));
	return strdup(fallback);
}

static bool has_word(const char *words, const char *word, size_t n)
{
	for (const char *p = words; *p;) {
		size_t len = strcspn(p, " ");

		if (len == n && !strncmp(p, word, n))
			return true;
		p += len + strspn(p + len, " ");
	}
	return false;
}

/* Whether a configured source is Debian's, by its suite. */
static bool is_debian(const char *suites, const char *release)
{
	static const char aliases[] = "stable testing unstable oldstable oldoldstable";
	size_t n = strcspn(release, "-");

	return has_word(suites, release, strlen(release)) || has_word(aliases, release, n) || has_word(suites, release, n);
}

static bool is_security(const char *suite)
{
	return str_ends(suite, "-security") || str_ends(suite, "/updates");
}

static void add_source(struct text *t, const char *uri, bool security, const char *suites, const char *keyring)
{
	text_printf(t, "Types: deb\nURIs: %s%s\nSuites:", uri, str_ends(uri, "/") ? "" : "/");
	for (const char *p = suites; *p;) {
		size_t n = strcspn(p, " ");
		_free_ char *suite = strndup(p, n);

		if (suite && is_security(suite) == security)
			text_printf(t, " %s", suite);
		p += n + strspn(p + n, " ");
	}
	text_printf(t, "\nComponents: main\nTargets: Packages\nSigned-By: %s\n\n", keyring);
}

/* A line "URI RELEASE" for each configured source. */
static int write_sources(struct ab_lab *lab, struct ab_error *err)
{
	static const char *const argv[] = { "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)",
					    "-o", "APT::Get::IndexTargets::ReleaseInfo=false", "Created-By: Packages", NULL };
	_free_ char *out = NULL, *complaint = NULL, *path = NULL;
	_free_ char *keyring = read_option("AnyBPF::Lab::Keyring", DEBIAN_KEYRING);
	_free_ char *suites = read_option("AnyBPF::Lab::Suites", SUITES);
	_strmap_ struct strmap seen = {};
	_text_ struct text t = {};
	int r;

	if (!keyring || !suites)
		return ab_fail_memory(err);
	r = ab_lab_path(lab, &path, err, "apt-%s/lab.sources", lab->arch);
	if (r < 0)
		return r;
	r = ab_command_run(argv, NULL, &out, &complaint, err);
	if (r < 0) {
		ab_error_prefix(err, "kernels of Debian's archive need apt (or give --kernel FILE)");
		return r;
	}
	for (char *p = out, *line; p && (line = strsep(&p, "\n"));) {
		char *release = strchr(line, ' ');
		bool new;

		if (!release)
			continue;
		*release++ = '\0';
		if (!is_debian(suites, release) || !strmap_put(&seen, line, strlen(line), &new) || !new)
			continue;
		add_source(&t, line, is_security(release), suites, keyring);
	}
	if (t.failed || seen.failed)
		return ab_fail_memory(err);
	if (!t.n)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "apt's configuration names no Debian archive that kernels could come from; --kernel "
			       "FILE takes others");
	return file_write(path, t.p, t.n, 0644, err);
}

/* ---- lists ---- */

static const char *const wanted_prefixes[] = { "linux-image-", "linux-binary-", "linux-modules-" };

static bool is_wanted(const char *package, size_t n)
{
	if (n == 14 && !strncmp(package, "busybox-static", n))
		return true;
	if (n > 4 && !strncmp(package + n - 4, "-dbg", 4))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(wanted_prefixes); i++) {
		size_t prefix = strlen(wanted_prefixes[i]);

		if (n > prefix && !strncmp(package, wanted_prefixes[i], prefix) && package[prefix] >= '0' && package[prefix] <= '9')
			return true;
	}
	return false;
}

static void add_stanza(struct text *t, const char *stanza, const char *end, const char *suite, const char *repo)
{
	static const char *const names[] = { "Package", "Version", "Architecture", "Size", "SHA256", "Filename", "Depends" };
	const char *value[ARRAY_SIZE(names)] = {};
	size_t size[ARRAY_SIZE(names)] = {};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!ab_stanza_field(stanza, end, names[i], &value[i], &size[i]) && i < 6)
			return;
	if (memchr(stanza, '\t', end - stanza))
		return;
	text_printf(t, "%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%s%.*s\t%s\t%.*s\n", (int)size[0], value[0], (int)size[1], value[1],
		    (int)size[2], value[2], (int)size[3], value[3], (int)size[4], value[4], repo, (int)size[5], value[5], suite,
		    (int)size[6], value[6] ? value[6] : "");
}

static void scan_list(struct text *t, const char *data, size_t size, const char *suite, const char *repo)
{
	const char *p = data, *end = data + size;

	/* Stanzas begin with their package name in the archive's lists. */
	while (p < end && (p = memmem(p, end - p, "Package: ", 9))) {
		const char *name = p + 9;
		const char *stop = memchr(name, '\n', end - name);

		if (stop && (p == data || p[-1] == '\n') && is_wanted(name, stop - name)) {
			const char *last = memmem(stop, end - stop, "\n\n", 2);

			add_stanza(t, p, last ? last : end, suite, repo);
		}
		p = stop ? stop : end;
	}
}

/* apt names its lists by their address with '/' as '_'; the suite and what follows it identify one well enough. */
static int scan_suite(struct ab_lab *lab, struct text *t, const char *repo, const char *suite, struct ab_error *err)
{
	_text_ struct text pattern = {};
	glob_t found;
	int r = 0;

	text_printf(&pattern, "%s/apt-%s/lists/*_dists_%s_main_binary-%s_Packages*", lab->cache, lab->arch,
		    suite, lab->arch);
	for (char *c = pattern.p ? strstr(pattern.p, "_dists_") : NULL; c && *c; c++)
		*c = *c == '/' ? '_' : *c;
	if (pattern.failed || !pattern.p)
		return ab_fail_memory(err);
	if (glob(pattern.p, GLOB_NOSORT, NULL, &found))
		return 0;
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
		_free_ char *data = NULL;
		size_t size;

		r = ab_inflate_file(found.gl_pathv[i], LIST_LIMIT, &data, &size, err);
		if (r == 0)
			scan_list(t, data, size, suite, repo);
	}
	globfree(&found);
	return r;
}

/* Goes through the lists that apt has fetched and checked, and writes down what the lab may want of them. */
static int index_lists(struct ab_lab *lab, struct ab_error *err)
{
	_free_ char *path = NULL, *from = NULL, *sources = NULL;
	_text_ struct text t = {};
	const char *repo = NULL;
	size_t size;
	int r = ab_lab_path(lab, &path, err, "apt-%s/packages", lab->arch);

	if (r == 0)
		r = ab_lab_path(lab, &from, err, "apt-%s/lab.sources", lab->arch);
	if (r == 0)
		r = file_read(from, LIST_LIMIT, &sources, &size, err);
	for (char *p = sources, *line; r == 0 && p && (line = strsep(&p, "\n"));) {
		if (str_starts(line, "URIs: "))
			repo = line + strlen("URIs: ");
		if (!repo || !str_starts(line, "Suites: "))
			continue;
		line += strlen("Suites: ");
		for (char *suite; r == 0 && (suite = strsep(&line, " "));)
			r = scan_suite(lab, &t, repo, suite, err);
	}
	if (r < 0)
		return r;
	return t.failed ? ab_fail_memory(err) : file_write(path, t.p ? t.p : "", t.n, 0644, err);
}

static void tick_update(void *ctx)
{
	struct ab_lab *lab = ctx;

	if (lab->progress)
		lab->progress("lists of Debian's archive", 0, 0, lab->ctx);
}

static int fetch_lists(struct ab_lab *lab, struct ab_error *err)
{
	_free_ char *complaints = NULL, *first = NULL, *lists = NULL;
	struct command_opts opts = { .tick = tick_update, .ctx = lab };
	_apt_ struct apt apt = {};
	int r = ab_lab_path(lab, &lists, err, "apt-%s/lists/partial/x", lab->arch); /* makes the directories */

	if (r < 0)
		return r;
	apt_begin(&apt, lab, "apt-get");
	apt_arg(&apt, "-q");
	apt_arg(&apt, "update");
	r = apt_run(&apt, &opts, NULL, &complaints, err);
	if (r < 0)
		return r;
	for (char *p = complaints, *line; p && (line = strsep(&p, "\n"));) {
		/* Not every suite has every sibling; what is missing altogether is found when nothing is left. */
		if (strstr(line, "does not have a Release file") || strstr(line, "404") || !str_starts(line, "E: "))
			continue;
		if (!first)
			first = strdup(line + 3);
		ab_lab_warn(lab, "apt: %s", line + 3);
	}
	r = index_lists(lab, err);
	if (r < 0)
		return r;
	free(lab->rows);
	lab->rows = NULL;
	r = ab_archive_read(lab, err);
	if (r == 0 && lab->row_count == 0)
		return ab_fail(err, AB_ERROR_IO, -EIO, "no list of Debian's archive has a kernel%s%s", first ? ": " : "",
			       first ? first : "; is it reachable?");
	return r;
}

/* Waits for other labs that use the same cache. */
static int lock_file(struct ab_lab *lab, const char *name, int *ret_fd, struct ab_error *err)
{
	_free_ char *path = NULL;
	int fd, r = ab_lab_path(lab, &path, err, "%s", name);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR) {
			close(fd);
			return ab_fail_errno(err, -errno, "'%s'", path);
		}
	}
	*ret_fd = fd;
	return 0;
}

static bool is_fresh(const char *path, unsigned max_age)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size && time(NULL) - st.st_mtime < (time_t)max_age;
}

int ab_lab_update(struct ab_lab *lab, unsigned max_age, struct ab_error *err)
{
	_free_ char *path = NULL;
	_close_ int lock = -1;
	int r = ab_lab_path(lab, &path, err, "apt-%s/packages", lab->arch);

	if (r < 0)
		return r;
	if (is_fresh(path, max_age) || (lab->offline && access(path, R_OK) == 0))
		return 0;
	if (lab->offline)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "the archive's lists are not in the cache; 'anybpf lab kernels' fetches them");
	r = lock_file(lab, "lists.lock", &lock, err);
	if (r < 0 || is_fresh(path, max_age))
		return r;
	r = write_sources(lab, err);
	if (r == 0)
		r = fetch_lists(lab, err);
	if (lab->progress)
		lab->progress(NULL, 0, 0, lab->ctx);
	return r;
}

/* ---- rows ---- */

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

int ab_archive_read(struct ab_lab *lab, struct ab_error *err)
{
	_free_ char *path = NULL;
	size_t size;
	int r;

	if (lab->rows)
		return 0;
	free(lab->row_text);
	lab->row_text = NULL;
	r = ab_lab_path(lab, &path, err, "apt-%s/packages", lab->arch);
	if (r == 0)
		r = file_read(path, LIST_LIMIT, &lab->row_text, &size, err);
	if (r < 0)
		return r;
	lab->rows = array_new(count_lines(lab->row_text), sizeof(*lab->rows));
	if (!lab->rows)
		return ab_fail_memory(err);
	lab->row_count = 0;
	for (char *p = lab->row_text, *line; (line = strsep(&p, "\n")) && p;) {
		char *field[8];
		size_t n = 0;

		while (n < ARRAY_SIZE(field) && (field[n] = strsep(&line, "\t")))
			n++;
		if (n != ARRAY_SIZE(field) || strlen(field[4]) != 64 || strspn(field[4], "0123456789abcdef") != 64)
			continue;
		lab->rows[lab->row_count++] = (struct archive_row){
			.package = field[0], .version = field[1], .arch = field[2], .size = strtoull(field[3], NULL, 10),
			.sha256 = field[4], .uri = field[5], .suite = field[6], .depends = field[7],
		};
	}
	return 0;
}

const struct archive_row *ab_archive_find(struct ab_lab *lab, const char *package, const char *version)
{
	const struct archive_row *best = NULL;

	for (size_t i = 0; i < lab->row_count; i++) {
		const struct archive_row *row = &lab->rows[i];

		if (strcmp(row->package, package) || strcmp(row->arch, lab->arch) || (version && strcmp(row->version, version)))
			continue;
		if (!best || ab_version_compare(row->version, best->version) > 0)
			best = row;
	}
	return best;
}

/* ---- packages ---- */

static int find_deb(struct ab_lab *lab, const struct archive_row *row, const char *dir, char **ret_path, struct ab_error *err)
{
	return ab_lab_path(lab, ret_path, err, "%s/%s.deb", dir, row->sha256);
}

bool ab_archive_has(struct ab_lab *lab, const struct archive_row *row)
{
	_free_ char *path = NULL;

	return find_deb(lab, row, "deb", &path, NULL) == 0 && access(path, R_OK) == 0;
}

struct download {
	struct ab_lab *lab;
	const struct archive_row *row;
	const char *path;
};

static void tick_download(void *ctx)
{
	struct download *d = ctx;
	struct stat st;

	if (d->lab->progress && stat(d->path, &st) == 0)
		d->lab->progress(d->row->package, st.st_size, d->row->size, d->lab->ctx);
}

/* apt's own downloader: goes on with what is there, and checks the hash. */
static int download(struct ab_lab *lab, const struct archive_row *row, const char *partial, struct ab_error *err)
{
	_free_ char *complaints = NULL, *first = NULL;
	struct download d = { lab, row, partial };
	struct command_opts opts = { .tick = tick_download, .ctx = &d };
	_apt_ struct apt apt = {};
	char hash[80];
	struct stat st;
	int r;

	snprintf(hash, sizeof(hash), "SHA256:%s", row->sha256);
	apt_begin(&apt, lab, "/usr/lib/apt/apt-helper");
	apt_arg(&apt, "download-file");
	apt_arg(&apt, row->uri);
	apt_arg(&apt, partial);
	apt_arg(&apt, hash);
	r = apt_run(&apt, &opts, NULL, &complaints, err);
	if (lab->progress)
		lab->progress(NULL, 0, 0, lab->ctx);
	if (r < 0)
		return r;
	if (r == 0 && stat(partial, &st) == 0 && (uint64_t)st.st_size == row->size)
		return 0;
	first = find_complaint(complaints ? complaints : "", "E: ");
	if (complaints && (strstr(complaints, "Hash Sum mismatch") || strstr(complaints, "unexpected size"))) {
		unlink(partial);
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "%s: what the archive sent is not what its signed list says", row->package);
	}
	return ab_fail(err, AB_ERROR_IO, -EIO, "%s: %s; try again to go on where it ended", row->package,
		       first ? first : "the download failed");
}

/* Downloads, checks once more, so that the cache is sound whatever the downloader thinks of a file it resumed, and keeps. */
static int fetch_package(struct ab_lab *lab, const struct archive_row *row, const char *path, struct ab_error *err)
{
	_free_ char *partial = NULL;
	char hash[HASH_TEXT];
	int r = find_deb(lab, row, "partial", &partial, err);

	if (r == 0)
		r = download(lab, row, partial, err);
	if (r == 0)
		r = ab_hash_file(partial, hash, err);
	if (r < 0)
		return r;
	if (strcmp(hash, row->sha256)) {
		unlink(partial);
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s: the hash of what was downloaded is wrong; it is thrown away",
			       row->package);
	}
	return rename(partial, path) < 0 ? ab_fail_errno(err, -errno, "'%s'", path) : 0;
}

int ab_archive_fetch(struct ab_lab *lab, const struct archive_row *row, char **ret_path, int *ret_hold, struct ab_error *err)
{
	_free_ char *path = NULL;
	_close_ int lock = -1;
	char name[96];
	int r = find_deb(lab, row, "deb", &path, err), hold;

	if (r < 0)
		return r;
	hold = ab_cache_hold(path);
	if (hold < 0 && hold != -ENOENT)
		return ab_fail_errno(err, hold, "'%s'", path);
	if (hold < 0) {
		if (lab->offline)
			return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
				       "%s is not in the cache; 'anybpf lab fetch' gets it", row->package);
		snprintf(name, sizeof(name), "partial/%s.lock", row->sha256);
		r = lock_file(lab, name, &lock, err);
		if (r < 0)
			return r;
		/* Somebody else may have got it meanwhile. */
		hold = ab_cache_hold(path);
		if (hold < 0) {
			r = fetch_package(lab, row, path, err);
			hold = r < 0 ? -1 : ab_cache_hold(path);
		}
		if (r < 0)
			return r;
		if (hold < 0)
			return ab_fail_errno(err, hold, "'%s'", path);
	}
	*ret_path = TAKE(path);
	*ret_hold = hold;
	return 0;
}
