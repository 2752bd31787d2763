/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Bytes that have an entity tag: ranges and conditions (RFC 9110, sections 13 and 14). */
#include "server.h"

/* Digits and nothing else; past what fits, the largest number. */
static bool read_number(const char **text, unsigned long long *ret)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*ret = strtoull(*text, &end, 10);
	*text = end;
	return true;
}

/* One range "bytes=A-B", "bytes=A-" or "bytes=-N". 1: *first to *last; 0: none, or several, all of it is sent; -ERANGE. */
static int parse_range(const char *text, uint64_t size, uint64_t *first, uint64_t *last)
{
	unsigned long long a, b = UINT64_MAX;

	if (!text || strncmp(text, "bytes=", 6))
		return 0;
	text += 6;
	if (*text == '-') {
		text++;
		if (!read_number(&text, &a) || *text)
			return 0;
		if (!a || !size)
			return -ERANGE;
		*first = a < size ? size - a : 0;
		*last = size - 1;
		return 1;
	}
	if (!read_number(&text, &a) || *text++ != '-')
		return 0;
	if (*text && (!read_number(&text, &b) || *text || b < a))
		return 0;
	if (a >= size)
		return -ERANGE;
	*first = a;
	*last = MIN(b, size - 1);
	return 1;
}

/* Whether a list of entity tags has this one. */
static bool has_etag(const char *list, const char *etag)
{
	size_t n = strlen(etag);

	for (; list && *list; list += strcspn(list, ",")) {
		list += strspn(list, ", \t");
		if (*list == '*')
			return true;
		if (!strncmp(list, "W/", 2))
			list += 2;
		if (!strncmp(list, etag, n))
			return true;
	}
	return false;
}

static void release_blob(void *blob)
{
	ab_blob_unref(blob);
}

static const char *header(struct request *q, const char *name)
{
	return MHD_lookup_connection_value(q->mhd, MHD_HEADER_KIND, name);
}

static enum MHD_Result refuse_range(struct request *q, struct blob *blob)
{
	snprintf(q->content_range, sizeof(q->content_range), "bytes */%zu", blob->size);
	ab_blob_unref(blob);
	return ab_problem(q, "range", NULL, "no byte is in '%.64s'", header(q, MHD_HTTP_HEADER_RANGE));
}

enum MHD_Result ab_answer_bytes(struct request *q, struct blob *blob, const char *type, const char *etag,
				const struct header *headers)
{
	const char *if_range = header(q, MHD_HTTP_HEADER_IF_RANGE);
	bool is_known = has_etag(header(q, MHD_HTTP_HEADER_IF_NONE_MATCH), etag);
	uint64_t first = 0, last = 0, size = blob->size;
	bool has_parts = !strcmp(type, "application/octet-stream"); /* a part of a document is of no use */
	int part = is_known || !has_parts || (if_range && strcmp(if_range, etag))
			   ? 0
			   : parse_range(header(q, MHD_HTTP_HEADER_RANGE), size, &first, &last);
	struct MHD_Response *response;
	char text[96];

	if (part < 0)
		return refuse_range(q, blob);
	q->size = is_known ? 0 : part ? last - first + 1 : size;
	response = MHD_create_response_from_buffer_with_free_callback_cls(q->size, blob->data + first, release_blob, blob);
	if (!response) {
		ab_blob_unref(blob);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
	for (; headers->name; headers++)
		(void)MHD_add_response_header(response, headers->name, headers->value);
	if (is_known)
		return ab_answer(q, MHD_HTTP_NOT_MODIFIED, response);
	if (has_parts)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (!part)
		return ab_answer(q, MHD_HTTP_OK, response);
	snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
		 (unsigned long long)size);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	return ab_answer(q, MHD_HTTP_PARTIAL_CONTENT, response);
}
