/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Digests, base64, random names, and the keys that artifacts are signed with (docs/format-signature.md). */
#ifndef AB_SERVE_CRYPTO_H
#define AB_SERVE_CRYPTO_H

#include <base/base.h>

enum { DIGEST_SIZE = 32, HEX_DIGEST_SIZE = 65, KEY_ID_SIZE = 17 };

/* SHA-256 piece by piece: ab_digest_add() any number of times, then ab_digest_end(), which also frees. */
struct digest;
struct digest *ab_digest_begin(void);
void ab_digest_add(struct digest *digest, const void *data, size_t size);
/* Adds the length too, so that no two lists of strings run into each other. NULL is told from "". */
void ab_digest_add_string(struct digest *digest, const char *s);
void ab_digest_end(struct digest *digest, char hex[HEX_DIGEST_SIZE]);
void ab_digest_of(const void *data, size_t size, char hex[HEX_DIGEST_SIZE]);
/* Whether it is 64 lower-case hexadecimal digits. */
bool ab_is_hex_digest(const char *s);

int ab_base64_add(struct text *out, const void *data, size_t size);
/* -EBADMSG if it is not base64; the caller frees. */
int ab_base64_decode(const char *text, size_t n, char **ret_data, size_t *ret_size);
/* n random bytes as 2 * n hexadecimal digits and a NUL. */
void ab_random_hex(char *out, size_t n);

/* The keys in a directory: *.pem, the last by name signs. */
struct keyring;
/* Makes a first key when the directory has none. */
int ab_keyring_open(const char *dir, struct keyring **ret_keyring, struct ab_error *err);
struct keyring *ab_keyring_ref(struct keyring *keyring);
void ab_keyring_unref(struct keyring *keyring);
/* The id of the key that signs; belongs to the keyring. */
const char *ab_keyring_active(const struct keyring *keyring);
/* Appends the signature line for an artifact's digest. */
int ab_keyring_sign(struct keyring *keyring, const char *hex, struct text *out);
/* The same for a record of the shared cache: a line by which servers that have a key in common believe each other. */
int ab_keyring_seal(struct keyring *keyring, const char *hex, struct text *out);
bool ab_keyring_is_sealed(struct keyring *keyring, const char *line, size_t n, const char *hex);
/* The answer of GET /v1/keys. */
const struct text *ab_keyring_json(const struct keyring *keyring);
/* Makes a key file with a name after all that are there; appends its id and path to `out`. */
int ab_key_new(const char *dir, struct text *out, struct ab_error *err);

#endif
