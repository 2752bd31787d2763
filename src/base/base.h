/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What every other folder uses and what knows nothing of BPF: errors, growing text, JSON, string sets, files. */
#ifndef AB_BASE_H
#define AB_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <anybpf/error.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* The value of `opts->field` for an ab_*_opts of any age: zero when opts is NULL or older than the field. */
#define OPT(opts, field)                                                                                    \
	((opts) && (opts)->sz >= offsetof(__typeof__(*(opts)), field) + sizeof((opts)->field) ? (opts)->field \
											      : (__typeof__((opts)->field))0)

/* ---- ownership: _free_ char *p; _close_ int fd = -1; _fclose_ FILE *f; return TAKE(p); ---- */

static inline void ab__free(void *p) { free(*(void **)p); }
void ab__close(int *fd);
void ab__fclose(FILE **f);
#define _free_ __attribute__((cleanup(ab__free)))
#define _close_ __attribute__((cleanup(ab__close)))
#define _fclose_ __attribute__((cleanup(ab__fclose)))
#define TAKE(p) ({ __typeof__(p) _taken = (p); (p) = NULL; _taken; })
#define TAKE_FD(fd) ({ int _taken = (fd); (fd) = -1; _taken; })

/* ---- errors (include/anybpf/error.h) ---- */

/* Fills `err` unless it already says something, and returns `code`, so that report and return are one statement. */
int ab_fail(struct ab_error *err, enum ab_error_kind kind, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with ": strerror" appended and the kind derived from the code; `code` is a negative errno. */
int ab_fail_errno(struct ab_error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int ab_fail_memory(struct ab_error *err);
/* Puts "prefix: " before the message that is there. */
void ab_error_prefix(struct ab_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Copies `log` into err->log, replacing what is there. */
void ab_error_set_log(struct ab_error *err, const char *log);

/* ---- text: a string that grows; after a failed allocation it stays as it was and `failed` is set ---- */

struct text {
	char *p;     /* NUL-terminated, or NULL while empty */
	size_t n, cap;
	bool failed;
};

#define _text_ __attribute__((cleanup(text_clear)))
void text_clear(struct text *t);
bool text_reserve(struct text *t, size_t more);
void text_add(struct text *t, const char *p, size_t n);
void text_puts(struct text *t, const char *s);
void text_putc(struct text *t, char c);
void text_printf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Gives the string away, never NULL unless memory ran out. */
char *text_take(struct text *t);

/* ---- JSON writer over a text: commas and escaping are its business ---- */

struct json {
	struct text *out;
	uint64_t comma; /* bit per depth: an element was already written there */
	int depth;
	bool after_key;
};

void json_open(struct json *j, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s); /* NULL: null */
void json_strn(struct json *j, const char *s, size_t n);
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
void json_raw(struct json *j, const char *json, size_t n); /* a complete value made elsewhere */
/* A key and its value. */
void json_member_str(struct json *j, const char *key, const char *s);
void json_member_int(struct json *j, const char *key, int64_t v);
void json_member_uint(struct json *j, const char *key, uint64_t v);
void json_member_bool(struct json *j, const char *key, bool v);
/* Appends s[0..n) as a quoted JSON string; bytes that are not UTF-8 become \u00XX. */
void json_quote(struct text *out, const char *s, size_t n);
/* Length of the sequence of 2 to 4 bytes at s[0..n), n > 0; 0 if it is not UTF-8 (RFC 3629: no overlong forms, no surrogates). */
size_t utf8_length(const unsigned char *s, size_t n);

/* ---- a set of strings with a number each: identifiers, interned names; keys are copied ---- */

struct strmap {
	struct strmap_entry *entries; /* in the order in which they came */
	size_t n, cap;                /* cap: a power of two, or 0 */
	uint32_t *slots;              /* twice as many, by hash: the entry's number from 1 on, or 0 */
	bool failed;
};

struct strmap_entry {
	char *key; /* NUL-terminated */
	uint32_t len, hash;
	uintptr_t value;
};

#define _strmap_ __attribute__((cleanup(strmap_clear)))
/* Another in each process: nobody can choose strings that fall on one slot. For tables, never for what is written. */
uint32_t str_hash(const char *s, size_t n);
struct strmap_entry *strmap_find(const struct strmap *m, const char *s, size_t n);
/* Finds or makes the entry; NULL when memory ran out. Entries move when others are added. */
struct strmap_entry *strmap_put(struct strmap *m, const char *s, size_t n, bool *ret_new);
void strmap_clear(struct strmap *m);

/* ---- "did you mean" ---- */

/* Edit distance capped at `limit` + 1; case matters little. */
int str_distance(const char *a, const char *b, int limit);

/* The nearest in spelling of the names that were tried. */
struct nearest {
	const char *wanted;
	int limit;        /* how many edits away it may be; 0: by its length */
	const char *name; /* NULL: none is near enough */
	int distance;
};

void nearest_try(struct nearest *nearest, const char *name);
/* Three arguments for "%s%s%s": "; did you mean 'NAME'?", or nothing where it is NULL. */
#define DID_YOU_MEAN(name) (name) ? "; did you mean '" : "", (name) ? (name) : "", (name) ? "'?" : ""

/* ---- files ---- */

/* Reads a whole file, at most `limit` bytes (-EFBIG beyond); adds a NUL that is not counted. The caller frees *ret_data. */
int file_read(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err);
/* The same from a descriptor that is read to its end; `path` names it in messages. */
int file_read_fd(int fd, const char *path, size_t limit, char **ret_data, size_t *ret_size, struct ab_error *err);
/*
 * Writes beside `path`, syncs, and renames over it: kill -9 at any point leaves the old file or the new one. Links stay; pipes,
 * devices and /dev/stdout are written to.
 */
int file_write(const char *path, const void *data, size_t size, unsigned mode, struct ab_error *err);
/* Fails as file_write() will where the place does not permit it: for who has long work to do before. */
int file_writable(const char *path, struct ab_error *err);
/* Writes all of it, whatever write(2) takes at a time. */
int fd_write_all(int fd, const void *data, size_t size);
/* The part behind the last '/'. */
const char *path_base(const char *path);
bool str_ends(const char *s, const char *suffix);
static inline bool str_starts(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

/* Memory that does not return uninitialised: zeroed array with overflow check; NULL when memory ran out. */
static inline void *array_new(size_t n, size_t size) { return calloc(n ? n : 1, size); }

#endif
