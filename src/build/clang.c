/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Compiling with a clang of the system, where the worker is not installed or another compiler was asked for. The virtual
 * files lie in a private directory for the time of the run; diagnostics and objects show none of it.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <base/clang.h>
#include "compiler.h"
#include "protocol.h"

enum { LOG_LIMIT = 4 << 20 };

struct words {
	char *v[512];
	size_t n;
	bool failed;
};

static void add_word(struct words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_word(struct words *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (w->n + 1 >= ARRAY_SIZE(w->v) || vasprintf(&w->v[w->n], fmt, args) < 0)
		w->failed = true;
	else
		w->v[++w->n] = NULL;
	va_end(args);
}

static void free_words(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
}

struct clang {
	char *path, *name;
	struct words args; /* path, "-cc1" and what its driver passes for every source */
};

/* ---- running a program ---- */

static int wait_until(pid_t pid, int64_t deadline)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (cc_now() >= deadline) {
			(void)kill(pid, SIGKILL);
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
			return -ETIMEDOUT;
		}
		usleep(500); /* its output is at an end: it is about to exit */
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static int spawn(const char *path, char *const *argv, int in, int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, out, 2);
	r = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Collects what a child prints until it closes its end or time is up. */
static int collect(int fd, int64_t deadline, struct text *out)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];

	for (;;) {
		int64_t left = deadline - cc_now();
		int n = left <= 0 ? 0 : poll(&p, 1, MIN(left, INT_MAX));
		ssize_t got;

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		got = read(fd, buf, sizeof(buf));
		if (got <= 0)
			return 0;
		if (out->n < LOG_LIMIT)
			text_add(out, buf, got);
	}
}

/* Runs a program and gives its exit status, 256 when a signal ended it, or a negative errno. */
static int run_program(const char *path, char *const *argv, int in, int64_t deadline, struct text *out)
{
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(path, argv, in, ends[1], &pid);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return r;
	}
	r = collect(ends[0], deadline, out);
	close(ends[0]);
	if (r) {
		(void)wait_until(pid, 0);
		return r;
	}
	r = wait_until(pid, deadline);
	return out->failed ? -ENOMEM : r;
}

/* ---- finding clang ---- */

static char *search_path(const char *name)
{
	const char *path = getenv("PATH"), *p, *end;
	char *full;

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? strdup(name) : NULL;
	for (p = path ? path : "/usr/bin:/bin"; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, ':');
		if (end == p)
			continue;
		if (asprintf(&full, "%.*s/%s", (int)(end - p), p, name) < 0)
			return NULL;
		if (access(full, X_OK) == 0)
			return full;
		free(full);
	}
	return NULL;
}

/* Takes the next word of a line of `clang -###`, unquoted in place; NULL at its end. */
static char *next_word(char **line)
{
	char *p = *line + strspn(*line, " "), *out, *word;

	if (!*p)
		return NULL;
	word = out = p + (*p == '"');
	if (*p != '"') {
		*line = p + strcspn(p, " ");
	} else {
		for (p++; *p && *p != '"'; p++) {
			if (*p == '\\' && p[1])
				p++;
			*out++ = *p;
		}
		*line = *p ? p + 1 : p;
		*out = '\0';
		return word;
	}
	if (**line)
		*(*line)++ = '\0';
	return word;
}

/* Keeps of what the driver would pass to clang -cc1 all that does not depend on the source; cc/args.py does the same. */
static void take_args(struct clang *c, char *line)
{
	static const char *const with_value[] = { "-triple", "-main-file-name", "-target-cpu", "-o", "-x" };
	char *word;

	(void)next_word(&line);
	(void)next_word(&line);
	add_word(&c->args, "%s", c->path);
	add_word(&c->args, "-cc1");
	while ((word = next_word(&line))) {
		bool dropped = !strcmp(word, "/dev/null") || str_starts(word, "-fdebug-compilation-dir=") ||
			       str_starts(word, "-fcoverage-compilation-dir=") ||
			       !strcmp(word, "-gkey-instructions");

		for (size_t i = 0; i < ARRAY_SIZE(with_value); i++)
			if (!strcmp(word, with_value[i])) {
				dropped = true;
				(void)next_word(&line);
			}
		if (!dropped)
			add_word(&c->args, "%s", word);
	}
}

/* Asks a clang for its release and its arguments; false if it is none, or too old. */
static bool ask_clang(struct clang *c)
{
	const char *argv[] = { c->path, "-###", "-g", "-O2", "--target=bpfel", "-mcpu=v1", "-x", "c", "-c", "/dev/null",
			       "-o", "object.o", NULL };
	_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_text_ struct text out = {};
	const char *version;
	char *line;

	if (null < 0 || run_program(c->path, (char *const *)argv, null, cc_now() + 10000, &out) != 0 || !out.p)
		return false;
	version = strstr(out.p, "clang version ");
	line = strstr(out.p, "\"-cc1\"");
	if (!version || !line || atoi(version + strlen("clang version ")) < CLANG_OLDEST)
		return false;
	version += strlen("clang version ");
	if (asprintf(&c->name, "clang %.*s (%s)", (int)strspn(version, "0123456789."), version, c->path) < 0) {
		c->name = NULL;
		return false;
	}
	while (line > out.p && line[-1] != '\n')
		line--;
	*strchrnul(line, '\n') = '\0';
	take_args(c, line);
	return !c->args.failed;
}

void ab_clang_free(struct clang *c)
{
	if (!c)
		return;
	free_words(&c->args);
	free(c->path);
	free(c->name);
	free(c);
}

static bool try_clang(const char *name, struct clang **ret_clang)
{
	struct clang *c = array_new(1, sizeof(*c));

	if (!c)
		return false;
	c->path = search_path(name);
	if (!c->path || !ask_clang(c)) {
		ab_clang_free(c);
		return false;
	}
	*ret_clang = c;
	return true;
}

int ab_clang_new(const char *wanted, struct clang **ret_clang, struct ab_error *err)
{
	char name[32];

	if (wanted) {
		if (try_clang(wanted, ret_clang))
			return 0;
		return ab_fail(err, AB_ERROR_NO_COMPILER, -ENOENT, "'%s' is not a clang of release %d or newer", wanted,
			       CLANG_OLDEST);
	}
	for (int v = CLANG_NEWEST; v >= CLANG_OLDEST; v--) {
		snprintf(name, sizeof(name), "clang-%d", v);
		if (try_clang(name, ret_clang))
			return 0;
	}
	if (try_clang("clang", ret_clang))
		return 0;
	return ab_fail(err, AB_ERROR_NO_COMPILER, -ENOENT,
		       "no compiler: neither anybpf-cc nor clang %d or newer in PATH (install clang)", CLANG_OLDEST);
}

const char *ab_clang_name(const struct clang *c)
{
	return c->name;
}

/* ---- the private directory ---- */

struct workspace {
	char dir[PATH_MAX]; /* "" while there is none */
	struct text made;   /* names of files and directories in it, NUL after each, parents first */
};

static void remove_workspace(struct workspace *w)
{
	if (!*w->dir)
		return;
	for (size_t left = w->made.n; left > 0;) {
		size_t start = left - 1;

		while (start > 0 && w->made.p[start - 1])
			start--;
		(void)remove(w->made.p + start);
		left = start;
	}
	(void)rmdir(w->dir);
	text_clear(&w->made);
}

static int make_workspace(struct workspace *w, struct ab_error *err)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(w->dir, sizeof(w->dir), "%s/anybpf.XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	if (!mkdtemp(w->dir)) {
		int r = ab_fail_errno(err, -errno, "unable to make '%s'", w->dir);

		*w->dir = '\0';
		return r;
	}
	return 0;
}

static int add_file(struct workspace *w, const char *name, const void *text, size_t size, struct ab_error *err)
{
	_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%.*s/%s", (int)sizeof(path) - 64, w->dir, name);
	text_add(&w->made, path, strlen(path) + 1);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : fd_write_all(fd, text, size);
	return r ? ab_fail_errno(err, r, "unable to write '%s'", path) : 0;
}

/*
 * Every virtual file lies in the directory under a number; clang's own overlay gives it the name that it has for the user, so
 * that nothing clang prints or writes knows the directory.
 */
static int fill_workspace(struct workspace *w, const struct compile_request *q, struct ab_error *err)
{
	_free_ char *cwd = getcwd(NULL, 0);
	_text_ struct text overlay = {};
	struct json j = { .out = &overlay };
	int r = make_workspace(w, err);

	json_open(&j, '{');
	json_key(&j, "version");
	json_int(&j, 0);
	json_key(&j, "use-external-names");
	json_bool(&j, false);
	json_key(&j, "roots");
	json_open(&j, '[');
	for (size_t i = 0; i < q->file_count && !r; i++) {
		char number[32], path[PATH_MAX + 64];
		_text_ struct text name = {};

		snprintf(number, sizeof(number), "%zu", i);
		snprintf(path, sizeof(path), "%s/%s", w->dir, number);
		if (q->files[i].path[0] != '/')
			text_printf(&name, "%s/", cwd ? cwd : "");
		text_puts(&name, q->files[i].path);
		json_open(&j, '{');
		json_key(&j, "type");
		json_str(&j, "file");
		json_key(&j, "name");
		json_str(&j, name.p);
		json_key(&j, "external-contents");
		json_str(&j, path);
		json_close(&j, '}');
		r = add_file(w, number, q->files[i].text, q->files[i].size, err);
	}
	json_close(&j, ']');
	json_close(&j, '}');
	if (!r)
		r = overlay.failed ? ab_fail_memory(err) : add_file(w, "overlay", overlay.p, overlay.n, err);
	return r ? r : w->made.failed ? ab_fail_memory(err) : 0;
}

/* ---- compiling ---- */

static void add_words(struct words *w, const struct clang *c, const char *dir, const struct compile_request *q)
{
	for (size_t i = 0; i < c->args.n; i++)
		add_word(w, "%s", c->args.v[i]);
	add_word(w, "-ivfsoverlay");
	add_word(w, "%s/overlay", dir);
	add_word(w, "-triple");
	add_word(w, "%s", q->triple);
	add_word(w, "-target-cpu");
	add_word(w, "%s", q->isa);
	add_word(w, "-main-file-name");
	add_word(w, "%s", path_base(q->main_name));
	for (size_t i = 0; i < q->arg_count; i++) {
		add_word(w, "%s", q->args[i]);
		/* In __FILE__ as in the debug information: the worker does so by itself. */
		if (str_starts(q->args[i], "-fdebug-prefix-map="))
			add_word(w, "-fmacro-prefix-map=%s", strchr(q->args[i], '=') + 1);
	}
	add_word(w, "-fmacro-prefix-map=./=");
	add_word(w, "-sys-header-deps");
	add_word(w, "-MT");
	add_word(w, "object");
	add_word(w, "-dependency-file");
	add_word(w, "%s/inputs", dir);
	add_word(w, "-o");
	add_word(w, "%s/object.o", dir);
	add_word(w, "-x");
	add_word(w, "c");
	add_word(w, "%s", q->main_name);
}

/* Leaves out clang's summary ("2 warnings generated."), which the worker does not print. */
static void clean_log(const struct text *raw, struct text *out)
{
	for (const char *p = raw->p ? raw->p : "", *end; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '\n');
		if (end - p > 10 && !strncmp(end - 10, "generated.", 10) && strspn(p, "0123456789") > 0)
			continue;
		text_add(out, p, end - p);
		text_putc(out, '\n');
	}
}

/* Splits a make rule "object: FILE FILE \\ NEWLINE FILE…", in which spaces and '#' have a backslash and '$' is doubled. */
static int take_inputs(const char *rule, struct compile_result *result)
{
	const char *p = strchr(rule, ':');
	int r = 0;

	for (p = p ? p + 1 : ""; *p && !r;) {
		_text_ struct text path = {};

		for (p += strspn(p, " \n"); *p && *p != ' ' && *p != '\n'; p++) {
			if ((*p == '\\' && p[1] && strchr(" #\n", p[1])) || (*p == '$' && p[1] == '$'))
				p++;
			if (*p != '\n')
				text_putc(&path, *p);
		}
		if (path.n && !str_starts(path.p, BUNDLE_DIR "/"))
			r = ab_compile_result_add_input(result, text_take(&path));
	}
	return r;
}

/* A clang that crashed may have left no rule. */
static int read_inputs(struct workspace *w, const char *path, struct compile_result *result)
{
	_free_ char *rule = NULL;
	size_t size;

	text_add(&w->made, path, strlen(path) + 1);
	return file_read(path, CC_LIMIT, &rule, &size, NULL) ? 0 : take_inputs(rule, result);
}

static int run_in(struct workspace *w, const struct clang *c, const struct compile_request *q,
		  struct compile_result *result, struct ab_error *err)
{
	struct words words = {};
	_text_ struct text raw = {};
	_close_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char object[PATH_MAX], inputs[PATH_MAX];
	int r = fill_workspace(w, q, err);

	if (r)
		return r;
	snprintf(object, sizeof(object), "%.*s/object.o", (int)sizeof(object) - 16, w->dir);
	text_add(&w->made, object, strlen(object) + 1);
	add_words(&words, c, w->dir, q);
	r = words.failed ? -E2BIG : run_program(c->path, words.v, in, q->deadline, &raw);
	snprintf(inputs, sizeof(inputs), "%.*s/inputs", (int)sizeof(inputs) - 16, w->dir);
	if (read_inputs(w, inputs, result))
		r = -ENOMEM;
	free_words(&words);
	if (r == -ETIMEDOUT)
		return ab_fail(err, AB_ERROR_LIMIT, -ETIMEDOUT, "%s: the compiler was not done after %u ms", q->main_name,
			       q->timeout_ms);
	if (r < 0)
		return ab_fail_errno(err, r, "unable to run '%s'", c->path);
	clean_log(&raw, &result->log);
	if (r > 1)
		return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s: the compiler crashed on this source", q->main_name);
	if (r == 0) {
		char *data;

		r = file_read(object, CC_LIMIT, &data, &result->object_size, err);
		if (r)
			return r;
		result->object = data;
		result->ok = true;
	}
	r = ab_diagnostics_parse(result);
	return r ? ab_fail_memory(err) : 0;
}

int ab_clang_run(const struct clang *c, const struct compile_request *q, struct compile_result *result,
		 struct ab_error *err)
{
	struct workspace w = {};
	int r = run_in(&w, c, q, result, err);

	remove_workspace(&w);
	return r;
}

/* ---- diagnostics as text ---- */

static uint32_t word_severity(const char *p, size_t *ret_length)
{
	static const struct { const char *word; uint32_t severity; } words[] = {
		{ ": fatal error: ", CC_FATAL }, { ": error: ", CC_ERROR }, { ": warning: ", CC_WARNING },
		{ ": remark: ", CC_REMARK }, { ": note: ", CC_NOTE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_starts(p, words[i].word)) {
			*ret_length = strlen(words[i].word);
			return words[i].severity;
		}
	return 0;
}

/* Where a message ends: before the option that it is due to, " [-Wsomething]". */
static const char *without_option(const char *message, const char *end)
{
	const char *at = end;

	while (at > message && *at != '[')
		at--;
	return end > message && end[-1] == ']' && at > message && at[-1] == ' ' && at[1] == '-' ? at - 1 : end;
}

static bool parse_line(const char *p, const char *end, struct ab_diagnostic *d)
{
	for (const char *at = p; (at = memchr(at, ':', end - at)); at++) {
		unsigned line = 0, column = 0;
		int used = 0;
		size_t n = 0;

		if (sscanf(at, ":%u:%u%n", &line, &column, &used) < 2)
			used = 0;
		d->severity = word_severity(at + used, &n);
		if (!d->severity)
			continue;
		d->line = used ? line : 0;
		d->column = used ? column : 0;
		d->file = used ? strndup(p, at - p) : strdup("");
		at += used + n;
		d->message = strndup(at, without_option(at, end) - at);
		return true;
	}
	return false;
}

int ab_diagnostics_parse(struct compile_result *result)
{
	for (const char *p = result->log.p ? result->log.p : "", *end; *p; p = *end ? end + 1 : end) {
		struct ab_diagnostic d = {};

		end = strchrnul(p, '\n');
		if (parse_line(p, end, &d) && ab_compile_result_add(result, result->diagnostic_count, d))
			return -ENOMEM;
	}
	return 0;
}
