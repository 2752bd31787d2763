/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The identifiers of a program's own files: what the kernel header on demand is made from. All branches of conditions count (but
 * those that scan.conditions passes over), so the set can be too large but never too small, but for names that the preprocessor
 * pastes together.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bundle.h"
#include "conditions.h"
#include "scan.h"

#define READ_ONCE UINTPTR_MAX /* a file of the scan that says #pragma once */

/* ---- tokens ---- */

static bool is_name_start(unsigned char c)
{
	return (c | 32) - 'a' < 26u || c == '_' || c == '$' || c >= 0x80;
}

static bool is_digit(unsigned char c)
{
	return c - '0' < 10u;
}

struct lexer lexer_start(const char *text, size_t size)
{
	return (struct lexer){ .p = text, .end = text + size, .line_start = true };
}

static const char *skip_block_comment(const char *p, const char *end)
{
	for (p += 2; p < end; p++)
		if (*p == '*' && p + 1 < end && p[1] == '/')
			return p + 2;
	return end;
}

/* To the end of the line, over continuation lines; the newline itself stays. */
static const char *skip_line(const char *p, const char *end)
{
	for (; p < end && *p != '\n'; p++)
		if (*p == '\\' && p + 1 < end && (p[1] == '\n' || (p[1] == '\r' && p + 2 < end && p[2] == '\n')))
			p += p[1] == '\r' ? 2 : 1;
	return p;
}

static const char *skip_quoted(const char *p, const char *end)
{
	char quote = *p++;

	for (; p < end && *p != quote && *p != '\n'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end && *p == quote ? p + 1 : p;
}

static const char *skip_name(const char *p, const char *end)
{
	while (p < end && (is_name_start(*p) || is_digit(*p)))
		p++;
	return p;
}

static const char *skip_number(const char *p, const char *end)
{
	for (; p < end; p++) {
		bool exponent = (*p == '+' || *p == '-') && strchr("eEpP", p[-1]);

		if (!is_name_start(*p) && !is_digit(*p) && *p != '.' && !exponent)
			break;
	}
	return p;
}

/* A directive ends with its line, but a block comment in it may hold newlines. */
static const char *skip_directive(const char *p, const char *end)
{
	while (p < end && *p != '\n') {
		if (*p == '"' || *p == '\'')
			p = skip_quoted(p, end);
		else if (*p == '/' && p + 1 < end && p[1] == '*')
			p = skip_block_comment(p, end);
		else if (*p == '/' && p + 1 < end && p[1] == '/')
			return skip_line(p, end);
		else if (*p == '\\' && p + 1 < end)
			p += p[1] == '\r' && p + 2 < end && p[2] == '\n' ? 3 : 2;
		else
			p++;
	}
	return p;
}

static void skip_space(struct lexer *l)
{
	while (l->p < l->end) {
		char c = *l->p;
		char next = l->p + 1 < l->end ? l->p[1] : 0;

		if (c == '\n')
			l->line_start = true;
		if (c == '/' && next == '*')
			l->p = skip_block_comment(l->p, l->end);
		else if (c == '/' && next == '/')
			l->p = skip_line(l->p, l->end);
		else if (c == '\\' && (next == '\n' || next == '\r'))
			l->p += 2;
		else if (c == ' ' || (c >= '\t' && c <= '\r') || c == '\0')
			l->p++;
		else
			break;
	}
}

struct token lexer_next(struct lexer *l)
{
	struct token t = {};
	bool line_start;

	skip_space(l);
	t.p = l->p;
	line_start = l->line_start;
	l->line_start = false;
	if (l->p >= l->end)
		return t;
	if (*l->p == '#' && line_start) {
		t.kind = TOKEN_DIRECTIVE;
		l->p = skip_directive(l->p, l->end);
	} else if (is_name_start(*l->p)) {
		t.kind = TOKEN_NAME;
		l->p = skip_name(l->p, l->end);
	} else if (is_digit(*l->p) || (*l->p == '.' && l->p + 1 < l->end && is_digit(l->p[1]))) {
		t.kind = TOKEN_NUMBER;
		l->p = skip_number(l->p + 1, l->end);
	} else if (*l->p == '"' || *l->p == '\'') {
		t.kind = TOKEN_TEXT;
		l->p = skip_quoted(l->p, l->end);
	} else {
		t.kind = TOKEN_PUNCT;
		l->p++;
	}
	t.n = l->p - t.p;
	return t;
}

bool directive_split(const struct token *directive, struct token *ret_word, struct lexer *ret_rest)
{
	*ret_rest = lexer_start(directive->p + 1, directive->n - 1);
	ret_rest->line_start = false; /* a second '#' is punctuation */
	*ret_word = lexer_next(ret_rest);
	return ret_word->kind == TOKEN_NAME;
}

/* ---- identifiers ---- */

static int add_name(struct strmap *names, const struct token *t)
{
	return strmap_put(names, t->p, t->n, NULL) ? 0 : -ENOMEM;
}

int ab_scan_names(struct strmap *names, const char *text, size_t size)
{
	struct lexer l = lexer_start(text, size);
	struct token t;
	int r = 0;

	l.line_start = false;
	while (!r && (t = lexer_next(&l)).kind != TOKEN_END)
		if (t.kind == TOKEN_NAME)
			r = add_name(names, &t);
	return r;
}

/* Takes ".", ".." and empty parts out of a path, in place, as far as they lead anywhere. */
static void clean_path(char *path)
{
	bool is_absolute = *path == '/';
	char *out = path + is_absolute, *start = out;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		bool is_up = n == 2 && p[0] == '.' && p[1] == '.';
		bool has_parent = out > start && !(out - start >= 3 && !memcmp(out - 3, "../", 3));

		if (is_up && (has_parent || is_absolute)) {
			for (out -= out > start; out > start && out[-1] != '/'; out--)
				;
		} else if (n && !(n == 1 && *p == '.')) {
			memmove(out, p, n);
			out += n;
			if (p[n])
				*out++ = '/';
		}
		p += n + (p[n] == '/');
	}
	*out = '\0';
}

int ab_scan_give(struct scan *s, const struct ab_build_file *files, size_t count, struct ab_error *err)
{
	s->given_files = files;
	for (size_t i = 0; i < count; i++) {
		_free_ char *path = files[i].path ? strdup(files[i].path) : NULL;
		struct strmap_entry *entry;
		bool is_new;

		if (!files[i].path || !*files[i].path || (!files[i].text && files[i].size))
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "file %zu in memory has no path or no text", i);
		if (!path)
			return ab_fail_memory(err);
		clean_path(path);
		entry = strmap_put(&s->given, path, strlen(path), &is_new);
		if (!entry)
			return ab_fail_memory(err);
		if (!is_new)
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "two files in memory are '%s'", files[i].path);
		entry->value = i;
	}
	return 0;
}

const struct ab_build_file *ab_scan_given(const struct scan *s, const char *path)
{
	_free_ char *clean = s->given.n ? strdup(path) : NULL;
	const struct strmap_entry *entry;

	if (!clean)
		return NULL;
	clean_path(clean);
	entry = strmap_find(&s->given, clean, strlen(clean));
	return entry ? &s->given_files[entry->value] : NULL;
}

/* What an #include leads to: a file in memory, or one that was opened. */
struct found {
	const struct ab_build_file *given;
	int fd;
	char *path;
};

/* A device or pipe, from which a compiler might read for ever, gives -EINVAL; a directory is left to the compiler to refuse. */
static int open_regular(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return S_ISDIR(st.st_mode) ? -ENOENT : -EINVAL;
}

/* Tries one place: 0 found, -ENOENT go on, or what is wrong. */
static int try_include(const struct scan *s, const char *path, struct found *found)
{
	found->given = ab_scan_given(s, path);
	if (found->given)
		return 0;
	if (s->given_only)
		return -ENOENT;
	found->fd = open_regular(path);
	return MIN(found->fd, 0);
}

/* Where an #include of the program's own leads: beside the file that has it, then along the -I directories. */
static int find_include(const struct scan *s, const char *from, const char *name, bool quoted, struct found *found)
{
	size_t dir = path_base(from) - from;
	const char *const *d = s->include_dirs;
	int r = -ENOENT;

	for (bool beside = quoted; r == -ENOENT && (beside || (d && *d)); beside = false) {
		char *path;
		int n;

		if (*name == '/')
			n = asprintf(&path, "%s", name);
		else if (beside)
			n = asprintf(&path, "%.*s%s", (int)dir, from, name);
		else
			n = asprintf(&path, "%s/%s", *d, name);
		if (!beside)
			d++;
		if (n < 0)
			return -ENOMEM;
		r = try_include(s, path, found);
		if (r)
			free(path);
		else
			found->path = path;
	}
	return r;
}

/* What is included again may have other branches taken, unless it says that once is enough. */
static bool is_read_again(struct scan *s, const struct strmap_entry *file)
{
	return s->conditions && file->value != READ_ONCE && s->conditions->scans < CONDITIONS_SCANS;
}

static int scan_found(struct scan *s, const struct found *found, struct ab_error *err)
{
	_free_ char *text = NULL;
	struct strmap_entry *file;
	bool is_new = false;
	size_t size;
	int r;

	file = strmap_put(&s->files, found->path, strlen(found->path), &is_new);
	if (!file)
		return ab_fail_memory(err);
	if (!is_new && !is_read_again(s, file))
		return 0;
	if (!is_new)
		s->bytes -= MIN(s->bytes, file->value);
	if (found->given)
		size = found->given->size;
	r = found->given ? 0 : file_read_fd(found->fd, found->path, SCAN_LIMIT, &text, &size, err);
	if (!r)
		r = ab_scan_text(s, found->path, text ? text : found->given->text, size, err);
	file = strmap_find(&s->files, found->path, strlen(found->path));
	if (!r && file->value != READ_ONCE)
		file->value = size;
	return r;
}

static int scan_include(struct scan *s, const char *from, struct lexer *rest, struct ab_error *err)
{
	_free_ char *name = NULL;
	struct token t = lexer_next(rest);
	bool quoted = t.kind == TOKEN_TEXT && t.n > 2;
	struct found found = { .fd = -1 };
	int r;

	if (quoted) {
		name = strndup(t.p + 1, t.n - 2);
	} else if (token_is(&t, "<")) {
		const char *close = memchr(t.p, '>', rest->end - t.p);

		name = close ? strndup(t.p + 1, close - t.p - 1) : NULL;
	} else if (t.kind == TOKEN_NAME) {
		return ab_scan_names(&s->names, t.p, rest->end - t.p);
	}
	if (!name)
		return 0;
	r = find_include(s, from, name, quoted, &found);
	if (r == -EINVAL)
		return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s: #include of '%s', which is not a file", from, name);
	if (r == -ENOENT)
		return strmap_put(&s->includes, name, strlen(name), NULL) ? 0 : ab_fail_memory(err);
	if (!r)
		r = scan_found(s, &found, err);
	ab__close(&found.fd);
	free(found.path);
	return r;
}

static bool is_include(const struct token *word)
{
	return token_is(word, "include") || token_is(word, "include_next") || token_is(word, "import");
}

/* Whether a directive that is no condition is in a branch that may be taken; notes what that says about the file. */
static bool is_compiled(struct scan *s, const char *path, const struct token *word, struct lexer rest)
{
	enum truth now = ab_conditions_now(s->conditions);
	struct token what = lexer_next(&rest);
	struct strmap_entry *file;

	s->conditions->left_out |= now == NO && is_include(word);
	if (now == YES && token_is(word, "pragma") && token_is(&what, "once")) {
		file = strmap_find(&s->files, path, strlen(path));
		if (file)
			file->value = READ_ONCE;
	}
	return now != NO;
}

static int scan_directive(struct scan *s, const char *path, const struct token *t, struct ab_error *err)
{
	struct token word;
	struct lexer rest;

	if (!directive_split(t, &word, &rest))
		return 0;
	if (s->conditions && !ab_conditions_take(s->conditions, &word, rest) && !is_compiled(s, path, &word, rest))
		return 0;
	if (is_include(&word))
		return scan_include(s, path, &rest, err);
	if (token_is(&word, "define") || token_is(&word, "if") || token_is(&word, "elif"))
		return ab_scan_names(&s->names, rest.p, rest.end - rest.p);
	return 0;
}

int ab_scan_text(struct scan *s, const char *path, const char *text, size_t size, struct ab_error *err)
{
	struct lexer l = lexer_start(text, size);
	struct token t;
	size_t branches = 0;
	int r = 0;

	if (s->depth >= SCAN_DEPTH)
		return ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "'%s': #include is nested deeper than %d", path, SCAN_DEPTH);
	if (size > SCAN_LIMIT - MIN(s->bytes, (size_t)SCAN_LIMIT))
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "'%s': the sources are larger than %d MiB", path,
			       SCAN_LIMIT >> 20);
	s->bytes += size;
	s->depth++;
	if (s->conditions) {
		branches = s->conditions->depth;
		s->conditions->scans++;
	}
	while (!r && (t = lexer_next(&l)).kind != TOKEN_END) {
		if (t.kind == TOKEN_NAME)
			r = add_name(&s->names, &t);
		else if (t.kind == TOKEN_DIRECTIVE)
			r = scan_directive(s, path, &t, err);
		else if (t.kind == TOKEN_TEXT)
			s->has_license |= token_is(&t, "\"license\"");
	}
	s->depth--;
	if (s->conditions) {
		s->conditions->depth = MIN(s->conditions->depth, branches);
		if (s->conditions->macros.failed || s->conditions->values.failed)
			r = -ENOMEM;
	}
	return r == -ENOMEM ? ab_fail_memory(err) : r;
}

void ab_scan_clear(struct scan *s)
{
	strmap_clear(&s->given);
	strmap_clear(&s->names);
	strmap_clear(&s->files);
	strmap_clear(&s->includes);
}
