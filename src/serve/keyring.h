/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The keys that artifacts are signed with (docs/format-signature.md). */
#ifndef AB_SERVE_KEYRING_H
#define AB_SERVE_KEYRING_H

#include <base/base.h>

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
/* The same for a message as ab_types_message() makes it. */
int ab_keyring_sign_types(struct keyring *keyring, const char *message, struct text *out);
/* The same for a record of the shared cache: a line by which servers that have a key in common believe each other. */
int ab_keyring_seal(struct keyring *keyring, const char *hex, struct text *out);
bool ab_keyring_is_sealed(struct keyring *keyring, const char *line, size_t n, const char *hex);
/* The answer of GET /v1/keys. */
const struct text *ab_keyring_json(const struct keyring *keyring);
/* Makes a key file with a name after all that are there; appends its id and path to `out`. */
int ab_key_new(const char *dir, struct text *out, struct ab_error *err);

#endif
