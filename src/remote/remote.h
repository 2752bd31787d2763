/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * anybpf-remote: has a server build, and give types (docs/service.md), and trusts what is signed (docs/format-trust.md).
 * A program of its own, started by anybpf, so that nothing else needs an HTTP client and cryptography. What it has to say it writes
 * to standard output as frames: "WORD LENGTH\n" and LENGTH bytes (answer.c; src/cli/remote.c reads them).
 */
#ifndef AB_REMOTE_H
#define AB_REMOTE_H

#define json_null jansson_null /* both jansson and our JSON writer have one; jansson's is not used */
#include <jansson.h>
#undef json_null
#include <base/base.h>
#include <crypto/crypto.h>

enum { ANSWER_LIMIT = 256 << 20 };

/* ---- frames (frame.c) ---- */
void ab_frame(const char *word, const void *data, size_t size);
void ab_frame_text(const char *word, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An error, with its log; returns the exit status. */
int ab_frame_error(struct ab_error *err);

/* ---- HTTP (http.c) ---- */
struct http;
struct http_answer {
	long status;
	struct text body;
	char *signature;  /* Anybpf-Signature, or NULL */
	char *type;       /* Content-Type, or NULL */
};
/* `url`: the server's; checked. Errors: USAGE. */
int ab_http_open(const char *url, struct http **ret_http, struct ab_error *err);
void ab_http_close(struct http *http);
/* "https://host:port", in canonical form. */
const char *ab_http_origin(const struct http *http);
/* One request, its body JSON; `body` NULL: GET. Errors: -EHOSTUNREACH/IO the server is not there or does not answer. */
int ab_http_ask(struct http *http, const char *path, const char *body, size_t size, struct http_answer *ret,
		struct ab_error *err);
/* The same with a body of bytes. */
int ab_http_post(struct http *http, const char *path, const void *bytes, size_t size, struct http_answer *ret,
		 struct ab_error *err);
/* Appends a part of a path or an argument, as a URL has it. */
int ab_http_escape(struct http *http, const char *s, struct text *out, struct ab_error *err);
void ab_http_answer_clear(struct http_answer *answer);
/* What a problem document says, as an error. */
int ab_http_problem(const struct http *http, const struct http_answer *answer, struct ab_error *err);

/* ---- files of a build (bundle.c) ---- */
struct remote_file {
	char *path;      /* in the bundle */
	char *own_path;  /* as the user has it, for diagnostics */
	char *data;
	size_t size;
	char digest[HEX_DIGEST_SIZE];
};

struct remote_bundle {
	struct remote_file *files; /* the source is the first */
	size_t n;
	char **include_dirs;       /* in the bundle, NULL-terminated */
	bool left_out;             /* there are #includes in branches that are not taken */
};
/*
 * The source and all files of the user's that it includes, in branches that may be taken with these defines, or in all. `text`
 * NULL: read `path`.
 */
int ab_bundle_gather(const char *path, const char *text, size_t size, const char *const *include_dirs,
		     const char *const *defines, bool all_branches, struct remote_bundle *ret, struct ab_error *err);
void ab_bundle_clear(struct remote_bundle *bundle);
/* Appends diagnostics with the user's own paths. */
void ab_bundle_translate(const struct remote_bundle *bundle, const char *log, struct text *out);

/* ---- cache (cache.c): answers by question and artifacts by digest ---- */
/* Reads; what does not have the digest is removed and not there. The caller frees. */
bool ab_cache_read(const char *kind, const char *hex, char **ret_data, size_t *ret_size);
/* Failing harms nobody. */
void ab_cache_write(const char *kind, const char *hex, const void *data, size_t size);

/* ---- trust (trust.c) ---- */
struct pin {
	char *origin; /* or "*" */
	char key[45]; /* base64 */
	char id[KEY_ID_SIZE];
	char *remark;
};

struct trust {
	char *path;
	struct pin *pins;
	size_t n;
};
int ab_trust_open(struct trust *trust, struct ab_error *err);
void ab_trust_close(struct trust *trust);
/* Adds the pins of a file's text, which ends in a NUL; trust->path names it in messages. */
int ab_trust_parse(struct trust *trust, const char *text, size_t size, struct ab_error *err);
/* Pins a key unless it is pinned already, and writes the file. */
int ab_trust_add(struct trust *trust, const char *origin, const char *key, const char *remark, struct ab_error *err);
/* Unpins by key id or key. Errors: -ENOENT. */
int ab_trust_remove(struct trust *trust, const char *what, struct ab_error *err);
/*
 * Whether any key could vouch for what a server sends: asked before anything is sent there. Errors:
 * -EKEYREJECTED/UNTRUSTED.
 */
int ab_trust_expect(const struct trust *trust, const char *origin, struct ab_error *err);
/*
 * Verifies a signature line over an artifact's digest. `origin` NULL: any pinned key will do. `http` (may be NULL):
 * where a new key's endorsement may be asked for. Errors: -EKEYREJECTED/UNTRUSTED with the reason.
 */
int ab_trust_verify(struct trust *trust, const char *origin, struct http *http, const char *hex, const char *signature,
		    struct ab_error *err);
/* The same of any message that is signed. */
int ab_trust_verify_message(struct trust *trust, const char *origin, struct http *http, const char *message, size_t size,
			    const char *signature, struct ab_error *err);
/* Checks the base64 of a public key and tells its id. */
bool ab_key_id(const char *key, char ret_id[KEY_ID_SIZE]);
/* A key as text "ed25519:…", bare base64, or a PEM file. Errors: USAGE. */
int ab_key_read(const char *text, char ret_key[45], struct ab_error *err);

/* ---- building (build.c) ---- */
struct remote_options {
	const char *server, *output; /* "o", "so", "skel.h" */
	const char *path;            /* of the source; "-": standard input */
	const char *arch, *isa, *kernel;
	const char **defines, **include_dirs; /* NULL-terminated */
	bool full_header;
};
int ab_remote_build(const struct remote_options *opts, struct ab_error *err);

/* ---- types (types.c) ---- */

/*
 * What the object on standard input needs of the types of a kernel that runs. Errors: NOT_FOUND the server has none of that
 * kernel; those of requests and signatures.
 */
int ab_remote_types(const char *server, const char *release, const char *arch, const char *build_id, struct ab_error *err);

#endif
