/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The BTF of an object in one order. LLVM numbers forward declarations in the order of their addresses in its memory,
 * which differs from run to run; here they get the order of their names, and the strings that of their first use.
 */
#include <btf/btf.h>
#include "internal.h"

struct btf_bytes {
	uint8_t *btf, *ext;
	size_t btf_size, ext_size;
	bool swap;                /* the object is of the other byte order */
	uint32_t types, types_end, strings, strings_end; /* offsets in btf */
	uint32_t *ids;            /* by old id: the new one */
	uint32_t *offsets;        /* by id: where its record is */
	size_t count;
	struct strmap seen;
	uint32_t *moved;          /* by offset of a string: the new one; 0: not moved yet */
	uint64_t read;            /* bytes of strings */
	struct text table;
};

static uint32_t get(const struct btf_bytes *b, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return b->swap ? __builtin_bswap32(v) : v;
}

static void set(const struct btf_bytes *b, uint8_t *p, uint32_t v)
{
	v = b->swap ? __builtin_bswap32(v) : v;
	memcpy(p, &v, sizeof(v));
}

static uint32_t kind_of(const struct btf_bytes *b, const uint8_t *record)
{
	return BTF_INFO_KIND(get(b, record + 4));
}

/* What follows a type's record: `count` entries of `size` bytes. */
static bool tail_of(const struct btf_bytes *b, const uint8_t *record, uint32_t *ret_size, uint32_t *ret_count)
{
	uint32_t vlen = BTF_INFO_VLEN(get(b, record + 4)), kind = kind_of(b, record);

	if (!kind || kind >= KNOWN_KINDS)
		return false;
	*ret_size = ab_btf_layouts[kind].fixed + ab_btf_layouts[kind].element;
	*ret_count = ab_btf_layouts[kind].fixed ? 1 : *ret_size ? vlen : 0;
	return true;
}

/* Finds every record; false when something is not as LLVM writes it, and then nothing is touched. */
static bool index_types(struct btf_bytes *b)
{
	uint32_t size, count;
	size_t n = 1;

	for (int pass = 0; pass < 2; pass++) {
		n = 1;
		for (uint32_t at = b->types; at < b->types_end; n++) {
			if (b->types_end - at < 12 || !tail_of(b, b->btf + at, &size, &count) ||
			    b->types_end - at - 12 < (uint64_t)size * count)
				return false;
			if (pass)
				b->offsets[n] = at;
			at += 12 + size * count;
		}
		if (!pass)
			b->offsets = array_new(n, sizeof(*b->offsets));
		if (!b->offsets)
			return false;
	}
	b->count = n;
	b->ids = array_new(n, sizeof(*b->ids));
	for (size_t i = 0; b->ids && i < n; i++)
		b->ids[i] = i;
	return b->ids != NULL;
}

static bool read_header(struct btf_bytes *b)
{
	uint16_t magic;
	uint32_t header;

	if (b->btf_size < sizeof(struct btf_header))
		return false;
	memcpy(&magic, b->btf, sizeof(magic));
	b->swap = magic == __builtin_bswap16(BTF_MAGIC);
	if (!b->swap && magic != BTF_MAGIC)
		return false;
	header = get(b, b->btf + 4);
	if (header > b->btf_size)
		return false;
	b->types = header + get(b, b->btf + 8);
	b->types_end = b->types + get(b, b->btf + 12);
	b->strings = header + get(b, b->btf + 16);
	b->strings_end = b->strings + get(b, b->btf + 20);
	return b->types <= b->types_end && b->types_end <= b->strings && b->strings < b->strings_end &&
	       b->strings_end <= b->btf_size && !b->btf[b->strings_end - 1];
}

static const char *string_at(const struct btf_bytes *b, uint32_t offset)
{
	return offset < b->strings_end - b->strings ? (const char *)b->btf + b->strings + offset : "";
}

/* ---- forward declarations by name ---- */

struct forward {
	const char *name;
	uint32_t id;
	uint8_t record[12];
};

static int compare_forwards(const void *a, const void *b)
{
	const struct forward *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : memcmp(x->record + 4, y->record + 4, 4);
}

static bool sort_forwards(struct btf_bytes *b)
{
	struct forward *sorted = array_new(b->count, sizeof(*sorted));
	size_t n = 0, next = 0;

	if (!sorted)
		return false;
	for (uint32_t id = 1; id < b->count; id++) {
		const uint8_t *record = b->btf + b->offsets[id];

		if (kind_of(b, record) != BTF_KIND_FWD)
			continue;
		sorted[n] = (struct forward){ .name = string_at(b, get(b, record)), .id = id };
		memcpy(sorted[n++].record, record, 12);
	}
	qsort(sorted, n, sizeof(*sorted), compare_forwards);
	for (uint32_t id = 1; id < b->count && next < n; id++) {
		if (kind_of(b, b->btf + b->offsets[id]) != BTF_KIND_FWD)
			continue;
		memcpy(b->btf + b->offsets[id], sorted[next].record, 12);
		b->ids[sorted[next++].id] = id;
	}
	free(sorted);
	return true;
}

static void renumber(const struct btf_bytes *b, uint8_t *p)
{
	uint32_t id = get(b, p);

	if (id < b->count)
		set(b, p, b->ids[id]);
}

static void renumber_type(const struct btf_bytes *b, uint8_t *record)
{
	uint32_t size = 0, count = 0, at;
	uint8_t *tail = record + 12;

	tail_of(b, record, &size, &count);
	switch (kind_of(b, record)) {
	case BTF_KIND_PTR: case BTF_KIND_TYPEDEF: case BTF_KIND_VOLATILE: case BTF_KIND_CONST: case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: case BTF_KIND_TYPE_TAG:
		renumber(b, record + 8);
		break;
	case BTF_KIND_ARRAY:
		renumber(b, tail);
		renumber(b, tail + 4);
		break;
	case BTF_KIND_FUNC_PROTO:
		renumber(b, record + 8);
		/* fall through */
	case BTF_KIND_STRUCT: case BTF_KIND_UNION:
		for (at = 0; at < count; at++)
			renumber(b, tail + at * size + 4);
		break;
	case BTF_KIND_DATASEC:
		for (at = 0; at < count; at++)
			renumber(b, tail + at * size);
		break;
	}
}

/* ---- strings by first use ---- */

/*
 * A line of megabytes is named by each instruction of it, so a string is read once, wherever it is named. The compiler names no
 * parts of strings; of an object that names them all, more would be read than there is.
 */
static void move_string(struct btf_bytes *b, uint8_t *p)
{
	uint32_t offset = get(b, p), size = b->strings_end - b->strings;
	const char *s = string_at(b, offset);
	struct strmap_entry *e = NULL;
	bool is_new = false;

	if (*s && !b->moved[offset] && b->read <= size) {
		size_t n = strlen(s);

		b->read += n + 1;
		e = strmap_put(&b->seen, s, n, &is_new);
		if (is_new && e) {
			e->value = b->table.n;
			text_add(&b->table, s, n + 1);
		}
		b->moved[offset] = e ? e->value : 0;
	}
	set(b, p, *s ? b->moved[offset] : 0);
}

static void move_type_strings(struct btf_bytes *b, uint8_t *record)
{
	uint32_t kind = kind_of(b, record), size = 0, count = 0;
	bool has_names = kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM ||
			 kind == BTF_KIND_ENUM64 || kind == BTF_KIND_FUNC_PROTO;

	tail_of(b, record, &size, &count);
	move_string(b, record);
	for (uint32_t i = 0; has_names && i < count; i++)
		move_string(b, record + 12 + i * size);
}

/* One of the three tables of .BTF.ext: u32 record size, then sections: name, count, records. */
static bool move_table(struct btf_bytes *b, uint32_t at, uint32_t length, const uint8_t *string_fields, bool has_type)
{
	uint32_t size, end = at + length;

	if (length < 4)
		return length == 0;
	if (at > b->ext_size || length > b->ext_size - at)
		return false;
	size = get(b, b->ext + at);
	if (size < 16 - 8 * !string_fields || size > 256)
		return false;
	for (at += 4; at < end;) {
		uint32_t count = end - at >= 8 ? get(b, b->ext + at + 4) : 0;

		if (end - at < 8 || (uint64_t)count * size > end - at - 8)
			return false;
		move_string(b, b->ext + at);
		at += 8;
		for (; count; count--, at += size) {
			if (has_type)
				renumber(b, b->ext + at + 4);
			for (const uint8_t *f = string_fields; f && *f; f++)
				move_string(b, b->ext + at + *f);
		}
	}
	return true;
}

static bool move_ext(struct btf_bytes *b)
{
	static const uint8_t line_fields[] = { 4, 8, 0 }, core_fields[] = { 8, 0 };
	uint32_t header, words[6] = {};

	if (b->ext_size < 24)
		return b->ext_size == 0;
	header = get(b, b->ext + 4);
	if (header > b->ext_size)
		return false;
	for (uint32_t i = 0; i < 6 && 8 + 4 * i + 4 <= header; i++)
		words[i] = get(b, b->ext + 8 + 4 * i);
	return move_table(b, header + words[0], words[1], NULL, true) &&
	       move_table(b, header + words[2], words[3], line_fields, false) &&
	       move_table(b, header + words[4], words[5], core_fields, true);
}

static bool normalize(struct btf_bytes *b)
{
	if (!read_header(b) || !index_types(b) || !sort_forwards(b))
		return false;
	b->moved = array_new(b->strings_end - b->strings, sizeof(*b->moved));
	if (!b->moved)
		return false;
	text_add(&b->table, "", 1);
	for (uint32_t id = 1; id < b->count; id++) {
		renumber_type(b, b->btf + b->offsets[id]);
		move_type_strings(b, b->btf + b->offsets[id]);
	}
	if (!move_ext(b) || b->table.failed || b->seen.failed || b->read > b->strings_end - b->strings)
		return false;
	memcpy(b->btf + b->strings, b->table.p, b->table.n);
	set(b, b->btf + 20, b->table.n);
	b->btf_size = b->strings + b->table.n;
	return true;
}

bool ab_btf_normalize(void *btf, size_t *size, void *ext, size_t ext_size)
{
	struct btf_bytes b = { .btf = btf, .btf_size = *size, .ext = ext, .ext_size = ext_size };
	bool ok = normalize(&b);

	if (ok)
		*size = b.btf_size;
	free(b.ids);
	free(b.offsets);
	free(b.moved);
	strmap_clear(&b.seen);
	text_clear(&b.table);
	return ok;
}
