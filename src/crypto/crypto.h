/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Digests, base64 and random names, for the programs that have GnuTLS. */
#ifndef AB_CRYPTO_H
#define AB_CRYPTO_H

#include <base/base.h>

enum { DIGEST_SIZE = 32, HEX_DIGEST_SIZE = 65, KEY_ID_SIZE = 17 /* of signers' keys, with its NUL */ };

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
/*
 * Appends what is signed of types that were made of a kernel's for an object (docs/format-signature.md): the question and the
 * answer. NULL: was not asked. -ENOMEM.
 */
struct types_question {
	const char *kernel, *arch, *build_id;
	const void *object;
	size_t object_size;
};
int ab_types_message(const struct types_question *question, const void *types, size_t size, struct text *out);
/* n random bytes as 2 * n hexadecimal digits and a NUL. */
void ab_random_hex(char *out, size_t n);

#endif
