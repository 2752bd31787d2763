/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* SHA-256, base64 and random bytes by GnuTLS (crypto.h). */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include "crypto.h"

static void write_hex(const unsigned char *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * n] = '\0';
}

struct digest *ab_digest_begin(void)
{
	gnutls_hash_hd_t h;

	/* GnuTLS has SHA-256 or does not work at all. */
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		abort();
	return (struct digest *)h;
}

void ab_digest_add(struct digest *digest, const void *data, size_t size)
{
	(void)gnutls_hash((gnutls_hash_hd_t)digest, data, size);
}

void ab_digest_add_string(struct digest *digest, const char *s)
{
	uint64_t n = s ? strlen(s) : UINT64_MAX;

	ab_digest_add(digest, &n, sizeof(n));
	if (s)
		ab_digest_add(digest, s, n);
}

void ab_digest_end(struct digest *digest, char hex[HEX_DIGEST_SIZE])
{
	unsigned char bytes[DIGEST_SIZE];

	gnutls_hash_deinit((gnutls_hash_hd_t)digest, bytes);
	write_hex(bytes, sizeof(bytes), hex);
}

void ab_digest_of(const void *data, size_t size, char hex[HEX_DIGEST_SIZE])
{
	unsigned char bytes[DIGEST_SIZE];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data, size, bytes) < 0)
		abort();
	write_hex(bytes, sizeof(bytes), hex);
}

bool ab_is_hex_digest(const char *s)
{
	return strlen(s) == HEX_DIGEST_SIZE - 1 && strspn(s, "0123456789abcdef") == HEX_DIGEST_SIZE - 1;
}

int ab_types_message(const struct types_question *q, const void *types, size_t size, struct text *out)
{
	char object_hex[HEX_DIGEST_SIZE], types_hex[HEX_DIGEST_SIZE];

	ab_digest_of(q->object, q->object_size, object_hex);
	ab_digest_of(types, size, types_hex);
	text_printf(out, "anybpf-types-v1\n%s\n%s\n%s\nsha256:%s\nsha256:%s\n", q->kernel, q->arch ? q->arch : "",
		    q->build_id ? q->build_id : "", object_hex, types_hex);
	return out->failed ? -ENOMEM : 0;
}

int ab_base64_add(struct text *out, const void *data, size_t size)
{
	gnutls_datum_t in = { (unsigned char *)data, size }, encoded = {};

	if (size > UINT32_MAX / 2)
		return -EFBIG;
	if (gnutls_base64_encode2(&in, &encoded) < 0)
		return -ENOMEM;
	text_add(out, (char *)encoded.data, encoded.size);
	gnutls_free(encoded.data);
	return out->failed ? -ENOMEM : 0;
}

int ab_base64_decode(const char *text, size_t n, char **ret_data, size_t *ret_size)
{
	gnutls_datum_t in = { (unsigned char *)text, n }, decoded = {};
	char *copy;

	if (n > UINT32_MAX / 2 || (n && gnutls_base64_decode2(&in, &decoded) < 0))
		return -EBADMSG;
	copy = malloc(decoded.size + 1);
	if (copy) {
		if (decoded.size)
			memcpy(copy, decoded.data, decoded.size);
		copy[decoded.size] = '\0';
		*ret_data = copy;
		*ret_size = decoded.size;
	}
	gnutls_free(decoded.data);
	return copy ? 0 : -ENOMEM;
}

void ab_random_hex(char *out, size_t n)
{
	unsigned char bytes[64];

	if (n > sizeof(bytes) || gnutls_rnd(GNUTLS_RND_NONCE, bytes, n) < 0)
		abort();
	write_hex(bytes, n, out);
}
