/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The pages for people: one document, whatever the path, and the files that it names by their version. */
#include "pages.h"
#include "server.h"

/* Nothing runs or is shown but what this server sent as a file, and no text ever becomes markup or code. */
#define POLICY                                                                                                       \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "              \
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "          \
	"trusted-types 'none'"

static const struct page_file *find_file(const char *name)
{
	for (const struct page_file *f = ab_page_files; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

static enum MHD_Result answer_file(struct request *q, const struct page_file *file, const char *cache_control)
{
	const struct header headers[] = {
		{ MHD_HTTP_HEADER_CACHE_CONTROL, cache_control },
		{ "Content-Security-Policy", POLICY },
		{ "Cross-Origin-Opener-Policy", "same-origin" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Referrer-Policy", "no-referrer" },
		{},
	};
	struct blob *blob = ab_blob_new(file->data, file->size);

	if (!blob)
		return ab_problem(q, "no-memory", NULL, "a page");
	return ab_answer_bytes(q, blob, file->type, file->etag, headers);
}

enum MHD_Result ab_route_page(struct request *q)
{
	return answer_file(q, find_file("index.html"), "no-cache");
}

/*
 * /web/VERSION/NAME. Another version is another server's of a fleet, or was this one's before: its page gets what there
 * is, and does not keep it.
 */
enum MHD_Result ab_route_page_file(struct request *q)
{
	const char *slash = strchrnul(q->argument, '/');
	const struct page_file *file = *slash ? find_file(slash + 1) : NULL;
	bool is_current = (size_t)(slash - q->argument) == strlen(ab_pages_version) && str_starts(q->argument, ab_pages_version);

	if (!file)
		return ab_problem(q, "not-found", NULL, "the pages have no file '%.64s'", q->argument);
	return answer_file(q, file, is_current ? "max-age=31536000, immutable" : "no-cache");
}
