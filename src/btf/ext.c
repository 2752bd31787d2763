/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The reader of .BTF.ext. After a header come three tables; each begins with the size of its records and goes on with blocks: the
 * name of an ELF section, a count, and that many records. Records may be longer than what is known of them.
 */
#include <byteswap.h>
#include "ext.h"

#define DAMAGED(err, ...) ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, ".BTF.ext: " __VA_ARGS__)
#define MAX_RECORD 1024
#define MAX_FIELDS 4

struct header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, func_off, func_len, line_off, line_len, core_off, core_len;
};

struct reader {
	const uint8_t *data;
	size_t size;
	bool swap;
	struct header h;
	const struct ab_btf *btf;
	struct ab_ext *ext;
	struct ab_error *err;
};

/* One of the tables: what its records are called and how many words of them are known. */
struct table {
	const char *what;
	uint32_t offset, length, n_fields;
	int (*add)(struct reader *r, size_t i, const char *section, const uint32_t *fields); /* the i-th record of the table */
	int (*reserve)(struct ab_ext *ext, size_t n);
};

static void read_words(const struct reader *r, size_t at, uint32_t *ret, size_t n)
{
	memcpy(ret, r->data + at, 4 * n);
	for (size_t i = 0; r->swap && i < n; i++)
		ret[i] = bswap_32(ret[i]);
}

/* ---- records ---- */

static int reserve_funcs(struct ab_ext *ext, size_t n)
{
	ext->funcs = array_new(n, sizeof(*ext->funcs));
	ext->n_funcs = n;
	return ext->funcs ? 0 : -ENOMEM;
}

static int add_func(struct reader *r, size_t i, const char *section, const uint32_t *f)
{
	if (f[1] >= ab_btf_count(r->btf))
		return DAMAGED(r->err, "function of type %u, which does not exist", f[1]);
	r->ext->funcs[i] = (struct ab_ext_func){ section, f[0], f[1] };
	return 0;
}

static int reserve_lines(struct ab_ext *ext, size_t n)
{
	ext->lines = array_new(n, sizeof(*ext->lines));
	ext->n_lines = n;
	return ext->lines ? 0 : -ENOMEM;
}

static int add_line(struct reader *r, size_t i, const char *section, const uint32_t *f)
{
	r->ext->lines[i] = (struct ab_ext_line){
		.section = section, .insn_off = f[0], .line = f[3] >> 10, .column = f[3] & 1023,
		.file = ab_btf_str(r->btf, f[1]), .text = ab_btf_str(r->btf, f[2]),
	};
	return 0;
}

static int reserve_relos(struct ab_ext *ext, size_t n)
{
	ext->relos = array_new(n, sizeof(*ext->relos));
	ext->n_relos = n;
	return ext->relos ? 0 : -ENOMEM;
}

/* Numbers joined by ':', which libbpf reads as int without asking for a sign. */
static bool is_access(const char *p)
{
	size_t digits = 0;

	for (; *p; p++) {
		if (*p == ':' && !digits)
			return false;
		digits = *p == ':' ? 0 : digits + 1;
		if ((*p != ':' && (*p < '0' || *p > '9')) || digits > 9)
			return false;
	}
	return digits > 0;
}

static int add_relo(struct reader *r, size_t i, const char *section, const uint32_t *f)
{
	if (f[1] >= ab_btf_count(r->btf))
		return DAMAGED(r->err, "relocation of type %u, which does not exist", f[1]);
	if (!is_access(ab_btf_str(r->btf, f[2])))
		return DAMAGED(r->err, "relocation of no member");
	r->ext->relos[i] = (struct ab_ext_relo){ section, { f[0], f[1], f[2], (enum bpf_core_relo_kind)f[3] } };
	return 0;
}

/* ---- tables ---- */

static int read_block(struct reader *r, const struct table *t, size_t at, uint32_t record, const char *section, uint32_t n,
		      size_t *count, bool add)
{
	uint32_t fields[MAX_FIELDS];

	for (uint32_t i = 0; i < n; i++, at += record, ++*count) {
		int code = 0;

		read_words(r, at, fields, t->n_fields);
		if (fields[0] % sizeof(struct bpf_insn))
			return DAMAGED(r->err, "%s record inside an instruction", t->what);
		if (add)
			code = t->add(r, *count, section, fields);
		if (code < 0)
			return code;
	}
	return 0;
}

/* Checks and counts the records of a table, or adds them. */
static int walk_table(struct reader *r, const struct table *t, size_t *ret_count, bool add)
{
	size_t at = (size_t)r->h.hdr_len + t->offset, end = at + t->length, count = 0;
	uint32_t record, head[2];

	read_words(r, at, &record, 1);
	if (record < 4 * t->n_fields || record % 4 || record > MAX_RECORD)
		return DAMAGED(r->err, "%s records of %u bytes", t->what, record);
	for (at += 4; at < end; at += (size_t)head[1] * record) {
		const char *section;
		int code;

		if (end - at < sizeof(head))
			return DAMAGED(r->err, "truncated %s records", t->what);
		read_words(r, at, head, 2);
		at += sizeof(head);
		if (!head[1] || head[1] > (end - at) / record)
			return DAMAGED(r->err, "truncated %s records", t->what);
		section = ab_btf_str(r->btf, head[0]);
		if (!*section)
			return DAMAGED(r->err, "%s records of no section", t->what);
		code = read_block(r, t, at, record, section, head[1], &count, add);
		if (code < 0)
			return code;
	}
	*ret_count = count;
	return 0;
}

static int read_table(struct reader *r, const struct table *t)
{
	size_t room = r->size - r->h.hdr_len, n;
	int code;

	if (!t->length)
		return 0;
	if (t->offset % 4 || t->offset > room || t->length > room - t->offset || t->length < 4)
		return DAMAGED(r->err, "%s records are beyond the end", t->what);
	code = walk_table(r, t, &n, false);
	if (code < 0)
		return code;
	if (t->reserve(r->ext, n) < 0)
		return ab_fail_memory(r->err);
	return walk_table(r, t, &n, true);
}

/* The header, with what an older, shorter one lacks as zero. */
static int read_header(struct reader *r)
{
	struct header h = {};
	size_t words;

	if (r->size < offsetof(struct header, func_off))
		return DAMAGED(r->err, "truncated");
	memcpy(&h, r->data, offsetof(struct header, func_off));
	r->swap = h.magic == bswap_16(BTF_MAGIC);
	h.hdr_len = r->swap ? bswap_32(h.hdr_len) : h.hdr_len;
	if ((h.magic != BTF_MAGIC && !r->swap) || h.version != BTF_VERSION)
		return DAMAGED(r->err, "unknown magic or version");
	if (h.hdr_len < offsetof(struct header, core_off) || h.hdr_len > r->size)
		return DAMAGED(r->err, "header length %u", h.hdr_len);
	words = (MIN(h.hdr_len, sizeof(h)) - offsetof(struct header, func_off)) / 4;
	read_words(r, offsetof(struct header, func_off), &h.func_off, words);
	r->h = h;
	return 0;
}

int ab_ext_open(const void *data, size_t size, const struct ab_btf *btf, struct ab_ext **ret_ext, struct ab_error *err)
{
	struct ab_ext *ext = array_new(1, sizeof(*ext));
	struct reader r = { .data = data, .size = size, .btf = btf, .ext = ext, .err = err };
	int code = ext ? 0 : ab_fail_memory(err);

	if (!code && size)
		code = read_header(&r);
	if (!code && size) {
		const struct table tables[] = {
			{ "function", r.h.func_off, r.h.func_len, 2, add_func, reserve_funcs },
			{ "line", r.h.line_off, r.h.line_len, 4, add_line, reserve_lines },
			{ "relocation", r.h.core_off, r.h.core_len, 4, add_relo, reserve_relos },
		};

		for (size_t i = 0; !code && i < ARRAY_SIZE(tables); i++)
			code = read_table(&r, &tables[i]);
	}
	if (code < 0) {
		ab_ext_close(ext);
		return code;
	}
	*ret_ext = ext;
	return 0;
}

void ab_ext_close(struct ab_ext *ext)
{
	if (!ext)
		return;
	free(ext->funcs);
	free(ext->lines);
	free(ext->relos);
	free(ext);
}

const struct ab_ext_line *ab_ext_find_line(const struct ab_ext *ext, const char *section, uint32_t insn_off)
{
	const struct ab_ext_line *found = NULL;

	for (size_t i = 0; i < ext->n_lines; i++) {
		const struct ab_ext_line *line = &ext->lines[i];

		if (line->insn_off <= insn_off && (!found || line->insn_off >= found->insn_off) && !strcmp(line->section, section))
			found = line;
	}
	return found;
}
