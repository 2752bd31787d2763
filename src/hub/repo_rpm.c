/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* RPM repositories: a signed repomd.xml, the primary list it vouches for, and the kernels in it. */
#include <libxml/xmlreader.h>
#include <unistd.h>
#include "crawl.h"

#define XML_OPTIONS (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

/* ---- XML: a reader of elements, whose names and attributes are taken without their namespaces ---- */

static bool is_element(xmlTextReader *xml, const char *name)
{
	return xmlTextReaderNodeType(xml) == XML_READER_TYPE_ELEMENT &&
	       !strcmp((const char *)xmlTextReaderConstLocalName(xml), name);
}

static bool is_end(xmlTextReader *xml, const char *name)
{
	return xmlTextReaderNodeType(xml) == XML_READER_TYPE_END_ELEMENT &&
	       !strcmp((const char *)xmlTextReaderConstLocalName(xml), name);
}

static void attribute(xmlTextReader *xml, const char *name, char *out, size_t cap)
{
	xmlChar *value = xmlTextReaderGetAttribute(xml, (const xmlChar *)name);

	snprintf(out, cap, "%s", value && strlen((char *)value) < cap ? (char *)value : "");
	xmlFree(value);
}

static void content(xmlTextReader *xml, char *out, size_t cap)
{
	xmlChar *value = xmlTextReaderReadString(xml);

	snprintf(out, cap, "%s", value && strlen((char *)value) < cap ? (char *)value : "");
	xmlFree(value);
}

/* repomd's words for hashes are nettle's but for one. */
static void checksum(xmlTextReader *xml, char algorithm[8], char hash[132])
{
	attribute(xml, "type", algorithm, 8);
	if (!strcmp(algorithm, "sha"))
		strcpy(algorithm, "sha1");
	content(xml, hash, 132);
	if (strspn(hash, "0123456789abcdef") != strlen(hash))
		*hash = '\0';
}

static bool is_safe(const char *href)
{
	return *href && *href != '/' && !strstr(href, "..") && !strstr(href, "://");
}

/* ---- repomd.xml ---- */

int ab_rpm_parse_repomd(const char *text, size_t size, struct repomd *repomd, struct ab_error *err)
{
	xmlTextReader *xml = xmlReaderForMemory(text, size, NULL, NULL, XML_OPTIONS);
	struct repomd now = {};
	bool primary = false, found = false;
	char number[32];
	int more;

	if (!xml)
		return ab_fail_memory(err);
	while (!found && (more = xmlTextReaderRead(xml)) == 1) {
		if (is_element(xml, "data")) {
			attribute(xml, "type", number, sizeof(number));
			primary = !strcmp(number, "primary");
			now = (struct repomd){};
		} else if (primary && is_element(xml, "checksum")) {
			checksum(xml, now.algorithm, now.hash);
		} else if (primary && is_element(xml, "location")) {
			attribute(xml, "href", now.href, sizeof(now.href));
		} else if (primary && is_element(xml, "size")) {
			content(xml, number, sizeof(number));
			now.size = strtoull(number, NULL, 10);
		}
		found = primary && is_end(xml, "data");
	}
	xmlFreeTextReader(xml);
	if (!found || !is_safe(now.href) || !*now.hash)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "repomd.xml is damaged, or names no primary list");
	*repomd = now;
	return 0;
}

/* ---- primary ---- */

struct entry {
	char name[128], arch[32], epoch[16], version[64], release[128], href[512], hash[132], algorithm[8];
	uint64_t size;
};

static bool is_wanted(const struct source *source, const struct entry *e)
{
	static const char *const images[] = { "kernel",          "kernel-core",       "kernel-rt",    "kernel-rt-core",
					      "kernel-64k-core", "kernel-debug-core", "kernel-alt",   "kernel-uek",
					      "kernel-uek-core", "kernel-default",    "kernel-azure", "kernel-preempt",
					      "kernel-rt_debug", "kernel-64kb",       "kernel[0-9]*", NULL };
	static const char *const debug[] = {
		"kernel-debuginfo",       "kernel-rt-debuginfo",      "kernel-64k-debuginfo",
		"kernel-uek-debuginfo",   "kernel-alt-debuginfo",     "kernel-default-debuginfo",
		"kernel-azure-debuginfo", "kernel-preempt-debuginfo", NULL
	};

	if (!strcmp(e->arch, "src") || !strcmp(e->arch, "nosrc") || !strcmp(e->arch, "noarch") ||
	    ab_matches((const char *const *)source->exclude, e->name))
		return false;
	if (strstr(e->name, "-debuginfo") && !source->debug)
		return false;
	if (source->packages)
		return ab_matches((const char *const *)source->packages, e->name);
	return ab_matches(images, e->name) || ab_matches(debug, e->name);
}

static bool is_wanted_arch(const struct source *source, const char *arch)
{
	if (!source->architectures || !source->architectures[0])
		return true;
	for (char **a = source->architectures; *a; a++)
		if (!strcmp(*a, arch))
			return true;
	return false;
}

static int take_entry(struct items *items, const struct source *source, const struct entry *e, struct ab_error *err)
{
	bool core = str_ends(e->name, "-core"), debug = strstr(e->name, "-debuginfo");
	size_t n = strlen(e->name) - (core ? strlen("-core") : debug ? strlen("-debuginfo") : 0);
	struct package_ref p = { .size = e->size, .rank = debug ? 8 : !core, .debug = debug };
	_free_ char *key = NULL;

	if (!is_wanted(source, e) || !is_wanted_arch(source, e->arch) || !is_safe(e->href) || !*e->hash)
		return 0;
	strcpy(p.algorithm, e->algorithm);
	p.name = strdup(e->name);
	p.arch = strdup(e->arch);
	p.hash = strdup(e->hash);
	p.url = ab_url_join(source->url, e->href);
	p.path = strdup(path_base(e->href));
	if (asprintf(&p.version, "%s%s%s-%s", e->epoch, *e->epoch ? ":" : "", e->version, e->release) < 0)
		p.version = NULL;
	if (asprintf(&p.release, "%s-%s.%s", e->version, e->release, e->arch) < 0)
		p.release = NULL;
	if (asprintf(&key, "%s %.*s %s-%s %s", source->name, (int)n, e->name, e->version, e->release, e->arch) < 0)
		key = NULL;
	if (!key || !p.hash) {
		ab_package_ref_clear(&p);
		return ab_fail_memory(err);
	}
	return ab_items_add(items, source, key, &p, err);
}

static void take_field(xmlTextReader *xml, struct entry *e)
{
	char number[32];

	if (is_element(xml, "name")) {
		content(xml, e->name, sizeof(e->name));
	} else if (is_element(xml, "arch")) {
		content(xml, e->arch, sizeof(e->arch));
	} else if (is_element(xml, "version")) {
		attribute(xml, "epoch", e->epoch, sizeof(e->epoch));
		if (!strcmp(e->epoch, "0"))
			*e->epoch = '\0';
		attribute(xml, "ver", e->version, sizeof(e->version));
		attribute(xml, "rel", e->release, sizeof(e->release));
	} else if (is_element(xml, "checksum")) {
		checksum(xml, e->algorithm, e->hash);
	} else if (is_element(xml, "location")) {
		attribute(xml, "href", e->href, sizeof(e->href));
	} else if (is_element(xml, "size")) {
		attribute(xml, "package", number, sizeof(number));
		e->size = strtoull(number, NULL, 10);
	}
}

int ab_rpm_parse_primary(struct items *items, const struct source *source, const char *text, size_t size,
			 struct ab_error *err)
{
	xmlTextReader *xml = xmlReaderForMemory(text, size, NULL, NULL, XML_OPTIONS | XML_PARSE_HUGE);
	struct entry e = {};
	bool inside = false;
	int r = 0, more;

	if (!xml)
		return ab_fail_memory(err);
	while (r == 0 && (more = xmlTextReaderRead(xml)) == 1) {
		if (is_element(xml, "package")) {
			e = (struct entry){};
			inside = true;
		} else if (inside && is_end(xml, "package")) {
			r = take_entry(items, source, &e, err);
			inside = false;
		} else if (inside && xmlTextReaderDepth(xml) == 2) {
			take_field(xml, &e);
		}
	}
	xmlFreeTextReader(xml);
	if (r == 0 && more < 0)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the primary list is damaged");
	return r;
}

/* ---- repositories ---- */

static int fetch_below(struct listing *listing, const struct source *source, const char *below, struct fetch *fetch,
		       struct ab_error *err)
{
	_free_ char *url = ab_url_join(source->url, below);

	if (!url)
		return ab_fail_memory(err);
	fetch->url = url;
	return ab_fetch(listing->fetcher, fetch, err);
}

static int fetch_repomd(struct listing *listing, const struct source *source, struct repomd *repomd,
			struct ab_error *err)
{
	_free_ char *name = NULL, *signature_name = NULL, *to = NULL, *signature = NULL, *text = NULL;
	size_t size;
	int r;

	if (asprintf(&name, "%s-repomd.xml", source->name) < 0 || asprintf(&signature_name, "%s.asc", name) < 0)
		return ab_fail_memory(err);
	to = ab_listing_path(listing, name, err);
	signature = to ? ab_listing_path(listing, signature_name, err) : NULL;
	if (!to || !signature)
		return -ENOMEM;
	r = fetch_below(listing, source, "repodata/repomd.xml", &(struct fetch){ .to = to, .limit = INDEX_LIMIT }, err);
	if (r == 0 && !source->unsigned_ && !source->signed_packages) {
		r = fetch_below(listing, source, "repodata/repomd.xml.asc",
				&(struct fetch){ .to = signature, .limit = INDEX_LIMIT }, err);
		if (r == -ENOENT)
			ab_error_prefix(err, "repomd.xml is not signed (signed = \"packages\", where packages are)");
		if (r == 0)
			r = ab_verify_detached(listing->fetcher, source->keyring, signature, to, err);
	}
	if (r == 0)
		r = file_read(to, INDEX_LIMIT, &text, &size, err);
	return r < 0 ? r : ab_rpm_parse_repomd(text, size, repomd, err);
}

static int list_repository(struct listing *listing, const struct source *source, struct ab_error *err)
{
	_free_ char *to = NULL, *text = NULL;
	struct repomd repomd;
	size_t size;
	int r = fetch_repomd(listing, source, &repomd, err);

	if (r < 0)
		return r;
	to = ab_listing_path(listing, repomd.hash, err);
	if (!to)
		return -ENOMEM;
	if (access(to, R_OK) < 0)
		r = fetch_below(listing, source, repomd.href,
				&(struct fetch){ .to = to,
						 .hash = repomd.hash,
						 .algorithm = repomd.algorithm,
						 .size = repomd.size,
						 .limit = LIST_LIMIT },
				err);
	if (r == 0)
		r = ab_inflate_file(to, LIST_LIMIT, &text, &size, err);
	return r < 0 ? r : ab_rpm_parse_primary(listing->items, source, text, MIN(size, INT32_MAX), err);
}

int ab_list_rpm(struct listing *listing, const struct source *source, struct ab_error *err)
{
	struct ab_error why = {};
	int r = list_repository(listing, source, &why);

	if (r == -ENOMEM || r == -EINTR)
		return ab_fail(err, why.kind, r, "%s", why.msg);
	if (r < 0)
		listing->failed(listing->ctx, source, "repodata", &why);
	ab_error_clear(&why);
	return 0;
}
