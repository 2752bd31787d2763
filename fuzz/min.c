/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* An object that carries types (docs/format-min.md): read, and written anew with what was found. */
#include <anybpf/min.h>
#include <base/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ab_kernel kernel = { .release = "6.1.0", .arch = "x86_64", .distribution = "", .flavour = "", .module = "" };
	struct ab_min_entry entry = { .kernel = kernel, .btf = "types", .size = 5 };
	void *btf = NULL, *object, *min_btf;
	size_t btf_size, object_size;
	struct ab_min *min;

	if (ab_min_new(data, size, &min, NULL) < 0)
		return 0;
	if (ab_min_embedded(min, &kernel, &btf, &btf_size, NULL) == 1) {
		entry.btf = btf;
		entry.size = btf_size;
		if (ab_min_btf(min, btf, btf_size, &min_btf, &btf_size, NULL) == 0)
			free(min_btf);
	}
	if (ab_min_embed(min, &entry, 1, &object, &object_size, NULL) == 0) {
		struct ab_min *again;
		void *found;

		if (ab_min_new(object, object_size, &again, NULL) == 0) {
			if (ab_min_embedded(again, &kernel, &found, &btf_size, NULL) != 1 || btf_size != entry.size ||
			    memcmp(found, entry.btf, btf_size))
				abort();
			free(found);
			ab_min_free(again);
		}
		free(object);
	}
	free(btf);
	ab_min_free(min);
	return 0;
}
