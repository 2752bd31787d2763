/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A file of pinned keys, and behind a NUL a signature line that is verified by them. */
#include <remote/remote.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char digest[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trust trust = { .path = strdup("trust") };
	_free_ char *text = strndup((const char *)data, size), *signature = NULL;
	size_t n = text ? strlen(text) : 0;
	struct ab_error err = {};

	if (!text || !trust.path)
		abort();
	signature = n < size ? strndup((const char *)data + n + 1, size - n - 1) : strdup("");
	if (!ab_trust_parse(&trust, text, n, &err)) {
		for (size_t i = 0; i < trust.n; i++) {
			char id[KEY_ID_SIZE];

			if (!ab_key_id(trust.pins[i].key, id) || strcmp(id, trust.pins[i].id))
				abort();
		}
		/* No random signature is good. */
		if (!ab_trust_verify(&trust, NULL, NULL, digest, signature, NULL) ||
		    !ab_trust_verify(&trust, "https://x", NULL, digest, signature, NULL))
			abort();
	}
	ab_error_clear(&err);
	ab_trust_close(&trust);
	return 0;
}
