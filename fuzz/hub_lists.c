/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a crawl reads: lists of archives, files of sources, entries of the queue. The first byte says which. */
#include <hub/crawl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char any[] = "*", name[] = "x", url[] = "http://example.org/x", *names[] = { any, NULL };

static void check_items(struct items *items)
{
	struct sources sources = { .items = (struct source[]){ { .name = name, .url = url } },
				   .count = 1 };

	if (ab_items_finish(items, NULL) < 0)
		abort();
	for (size_t i = 0; i < items->count; i++) {
		_free_ char *json = NULL;
		struct item copy;

		for (size_t k = 0; k < items->items[i].count; k++)
			if (*items->items[i].packages[k].path == '/' || strstr(items->items[i].packages[k].path, "../"))
				abort();
		if (ab_item_to_json(&items->items[i], &json, NULL) == 0 &&
		    ab_item_from_json(json, strlen(json), &sources, &copy, NULL) == 0)
			ab_item_clear(&copy);
	}
	ab_items_clear(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source source = { .name = name, .url = url, .packages = names, .debug = true };
	struct items items = {};
	struct sources sources;
	struct repomd repomd;
	struct item item;
	_free_ char *text = NULL;

	if (!size)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[--size] = '\0';
	switch (*data % 6) {
	case 0: ab_deb_parse_packages(&items, &source, source.url, text, size, NULL); break;
	case 1:
		source.type = SOURCE_RPM;
		ab_rpm_parse_primary(&items, &source, text, size, NULL);
		break;
	case 2:
		if (ab_rpm_parse_repomd(text, size, &repomd, NULL) == 0 &&
		    (*repomd.href == '/' || strstr(repomd.href, "..")))
			abort();
		break;
	case 3:
		source.type = SOURCE_BTFHUB;
		ab_btfhub_parse_index(&items, &source, text, size, NULL);
		break;
	case 4:
		if (ab_sources_parse(text, size, "fuzz", &sources, NULL) == 0)
			ab_sources_clear(&sources);
		break;
	case 5:
		sources = (struct sources){ .items = &source, .count = 1 };
		if (ab_item_from_json(text, size, &sources, &item, NULL) == 0)
			ab_item_clear(&item);
		break;
	}
	check_items(&items);
	return 0;
}
