/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The BTF reader. A BTF is indexed in one pass over its bytes (index_types: lengths, strings; foreign byte order is
 * converted on the way) and checked in one pass over its references (settle: targets, cycles, nesting, sizes, alignment).
 * What passes can be read without further checks, and recursion over it is bounded by MAX_HEIGHT.
 */
#include <byteswap.h>
#include <elf.h>
#include <fcntl.h>
#include <libelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"

#define MAX_SIZE ((size_t)256 << 20)
/* Real kernels reach some 30. Height of `id`: the longest way down by-value containment and unnamed pointees. */
#define MAX_HEIGHT 200
#define BUSY 255
#define DAMAGED(err, ...) ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, __VA_ARGS__)
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

const struct kind_layout ab_btf_layouts[KNOWN_KINDS] = {
	[BTF_KIND_INT] = { 4, 0 },
	[BTF_KIND_PTR] = { 0, 0 },
	[BTF_KIND_ARRAY] = { sizeof(struct btf_array), 0 },
	[BTF_KIND_STRUCT] = { 0, sizeof(struct btf_member) },
	[BTF_KIND_UNION] = { 0, sizeof(struct btf_member) },
	[BTF_KIND_ENUM] = { 0, sizeof(struct btf_enum) },
	[BTF_KIND_FUNC_PROTO] = { 0, sizeof(struct btf_param) },
	[BTF_KIND_VAR] = { sizeof(struct btf_var), 0 },
	[BTF_KIND_DATASEC] = { 0, sizeof(struct btf_var_secinfo) },
	[BTF_KIND_DECL_TAG] = { sizeof(struct btf_decl_tag), 0 },
	[BTF_KIND_ENUM64] = { 0, sizeof(struct btf_enum64) },
};

struct check {
	struct ab_btf *btf;
	struct ab_error *err;
};

/* As newer kernels write it: kinds with their lengths follow. */
struct long_header {
	struct btf_header h;
	uint32_t layout_off, layout_len;
};

static const struct btf_type void_type;

/* ---- reading ---- */

uint32_t ab_btf_count(const struct ab_btf *btf)
{
	return btf->n;
}

const void *ab_btf_raw(const struct ab_btf *btf, size_t *ret_size)
{
	*ret_size = btf->size;
	return btf->data;
}

uint32_t ab_btf_start(const struct ab_btf *btf)
{
	return btf->base ? btf->start : 1;
}

const struct btf_type *ab_btf_type(const struct ab_btf *btf, uint32_t id)
{
	uint32_t offset;

	if (!id || id >= btf->n)
		return &void_type;
	while (id < btf->start)
		btf = btf->base;
	offset = btf->slots[id - btf->start].offset;
	return offset == OPAQUE ? &void_type : (const struct btf_type *)(btf->types + offset);
}

const char *ab_btf_str(const struct ab_btf *btf, uint32_t offset)
{
	while (offset < btf->strings_start)
		btf = btf->base;
	return offset < btf->n_strings ? btf->strings + (offset - btf->strings_start) : "";
}

size_t ab_btf_pointer_size(const struct ab_btf *btf)
{
	return btf->pointer_size;
}

uint32_t ab_btf_member_offset(const struct btf_type *t, uint32_t i)
{
	const struct btf_member *m = ab_btf_data(t);

	return ab_btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m[i].offset) : m[i].offset;
}

uint32_t ab_btf_member_bits(const struct btf_type *t, uint32_t i)
{
	const struct btf_member *m = ab_btf_data(t);

	return ab_btf_kflag(t) ? BTF_MEMBER_BITFIELD_SIZE(m[i].offset) : 0;
}

static bool is_qualifier(uint32_t kind)
{
	return kind == BTF_KIND_CONST || kind == BTF_KIND_VOLATILE || kind == BTF_KIND_RESTRICT ||
	       kind == BTF_KIND_TYPE_TAG;
}

uint32_t ab_btf_unqualify(const struct ab_btf *btf, uint32_t id)
{
	while (id < btf->n && is_qualifier(ab_btf_slot(btf, id)->kind))
		id = ab_btf_type(btf, id)->type;
	return id;
}

uint32_t ab_btf_resolve(const struct ab_btf *btf, uint32_t id)
{
	while (id < btf->n && (is_qualifier(ab_btf_slot(btf, id)->kind) || ab_btf_slot(btf, id)->kind == BTF_KIND_TYPEDEF))
		id = ab_btf_type(btf, id)->type;
	return id < btf->n ? id : 0;
}

size_t ab_btf_size(const struct ab_btf *btf, uint32_t id)
{
	return id < btf->n ? ab_btf_slot(btf, id)->size : 0;
}

size_t ab_btf_align(const struct ab_btf *btf, uint32_t id)
{
	return id < btf->n ? ab_btf_slot(btf, id)->align : 1;
}

struct member ab_btf_member(const struct ab_btf *btf, const struct btf_type *t, uint32_t i)
{
	const struct btf_member *m = (const struct btf_member *)ab_btf_data(t) + i;
	struct member member = {
		.name = ab_btf_str(btf, m->name_off),
		.type = m->type,
		.offset = ab_btf_member_offset(t, i),
		.bits = ab_btf_member_bits(t, i),
		.size = ab_btf_size(btf, m->type),
	};

	/* Before BTF_INFO_KFLAG, a bit-field had an INT type of its own, with fewer bits than its size, maybe shifted. */
	if (btf->old_bit_fields && !ab_btf_kflag(t)) {
		uint32_t id = ab_btf_resolve(btf, m->type);

		if (id < btf->n && ab_btf_slot(btf, id)->kind == BTF_KIND_INT) {
			const struct btf_type *base = ab_btf_type(btf, id);
			uint32_t info = *(const uint32_t *)ab_btf_data(base);

			if (BTF_INT_BITS(info) != 8 * base->size) {
				member.bits = BTF_INT_BITS(info);
				member.offset += BTF_INT_OFFSET(info);
			}
		}
	}
	return member;
}

static bool is_aligned(const struct ab_btf *btf, const struct member *m)
{
	if (m->bits)
		return m->size && m->offset % (8 * m->size) + m->bits <= 8 * m->size;
	return !(m->offset & (8 * ab_btf_slot(btf, m->type)->align - 1));
}

bool ab_btf_packed(const struct ab_btf *btf, const struct btf_type *t)
{
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		struct member m = ab_btf_member(btf, t, i);

		if (!is_aligned(btf, &m) || t->size & (ab_btf_slot(btf, m.type)->align - 1))
			return true;
	}
	return false;
}

/* ---- checks ---- */

static struct slot *own_slot(const struct check *c, uint32_t id)
{
	return &c->btf->slots[id - c->btf->start];
}

static int fail_type(struct check *c, uint32_t id, const char *what)
{
	return DAMAGED(c->err, "damaged BTF: type %u: %s", id, what);
}

/* What may stand where a type is named; functions, variables, sections and tags may not. */
static bool is_data_type(const struct ab_btf *btf, uint32_t id)
{
	uint32_t kind;

	if (id >= btf->n)
		return false;
	kind = ab_btf_slot(btf, id)->kind;
	return kind != BTF_KIND_FUNC && kind != BTF_KIND_VAR && kind != BTF_KIND_DATASEC && kind != BTF_KIND_DECL_TAG;
}

static int settle(struct check *c, uint32_t id, unsigned depth);

/*
 * A type that is only pointed to or passed: what has a name is declared elsewhere and ends the way down. Behind
 * qualifiers and arrays, another pointer, prototype or anonymous struct is written in place, so it counts.
 */
static int settle_pointee(struct check *c, uint32_t holder, uint32_t id, unsigned depth)
{
	const struct ab_btf *btf = c->btf;

	for (unsigned steps = 1; steps < MAX_HEIGHT; steps++) {
		uint32_t kind;
		int height;

		if (!is_data_type(btf, id))
			return fail_type(c, holder, "refers to no type");
		kind = ab_btf_slot(btf, id)->kind;
		if (is_qualifier(kind)) {
			id = ab_btf_type(btf, id)->type;
		} else if (kind == BTF_KIND_ARRAY) {
			id = ((const struct btf_array *)ab_btf_data(ab_btf_type(btf, id)))->type;
		} else if (kind == BTF_KIND_PTR || kind == BTF_KIND_FUNC_PROTO ||
			   ((kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION) && !ab_btf_slot(btf, id)->named)) {
			height = settle(c, id, depth + steps);
			return height < 0 ? height : height + (int)steps;
		} else {
			return steps;
		}
	}
	return fail_type(c, holder, "nests without end or too deep");
}

/* A type that is contained; the result is its height. */
static int settle_value(struct check *c, uint32_t holder, uint32_t id, unsigned depth)
{
	if (!is_data_type(c->btf, id))
		return fail_type(c, holder, "refers to no type");
	return settle(c, id, depth + 1);
}

static int settle_array(struct check *c, uint32_t id, const struct btf_type *t, unsigned depth)
{
	const struct btf_array *array = ab_btf_data(t);
	int height = settle_value(c, id, array->type, depth);
	uint64_t size;

	if (height < 0)
		return height;
	if (!is_data_type(c->btf, array->index_type))
		return fail_type(c, id, "refers to no type");
	size = (uint64_t)array->nelems * ab_btf_size(c->btf, array->type);
	if (size > UINT32_MAX)
		return fail_type(c, id, "is larger than 4 GiB");
	own_slot(c, id)->size = size;
	own_slot(c, id)->align = ab_btf_align(c->btf, array->type);
	return height;
}

static int check_member(struct check *c, uint32_t id, const struct btf_type *t, const struct member *m)
{
	uint32_t kind;

	if (m->bits) {
		kind = ab_btf_slot(c->btf, ab_btf_resolve(c->btf, m->type))->kind;
		if (kind != BTF_KIND_INT && kind != BTF_KIND_ENUM && kind != BTF_KIND_ENUM64)
			return fail_type(c, id, "has a bit-field that is no integer");
		if (m->bits > 8 * m->size)
			return fail_type(c, id, "has a bit-field wider than its type");
	} else if (m->offset % 8) {
		return fail_type(c, id, "has a member that starts within a byte");
	}
	if (m->offset + (m->bits ? m->bits : 8 * m->size) > 8 * (uint64_t)t->size)
		return fail_type(c, id, "has a member beyond its end");
	return 0;
}

/* A struct is aligned as its members ask for, or not at all if they are not placed so, which is what `packed` looks like. */
static int settle_struct(struct check *c, uint32_t id, const struct btf_type *t, unsigned depth)
{
	const struct btf_member *members = ab_btf_data(t);
	uint8_t align = 1;
	bool packed = false;
	int highest = 0;

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		int height = settle_value(c, id, members[i].type, depth), r;
		struct member m;

		if (height < 0)
			return height;
		if (members[i].name_off >= c->btf->n_strings)
			return fail_type(c, id, "has a member whose name is out of bounds");
		m = ab_btf_member(c->btf, t, i);
		r = check_member(c, id, t, &m);
		if (r < 0)
			return r;
		packed |= !is_aligned(c->btf, &m);
		align = MAX(align, ab_btf_slot(c->btf, m.type)->align);
		highest = MAX(highest, height);
	}
	own_slot(c, id)->size = t->size;
	own_slot(c, id)->align = packed || t->size & (align - 1) ? 1 : align;
	return highest;
}

static int settle_proto(struct check *c, uint32_t id, const struct btf_type *t, unsigned depth)
{
	const struct btf_param *p = ab_btf_data(t);
	int highest = settle_pointee(c, id, t->type, depth);

	for (uint32_t i = 0; i < ab_btf_vlen(t) && highest >= 0; i++) {
		int height = settle_pointee(c, id, p[i].type, depth);

		if (p[i].name_off >= c->btf->n_strings)
			return fail_type(c, id, "has a parameter whose name is out of bounds");
		highest = height < 0 ? height : MAX(highest, height);
	}
	return highest;
}

static int check_enum(struct check *c, uint32_t id, const struct btf_type *t)
{
	const struct btf_enum *e = ab_btf_data(t);
	const struct btf_enum64 *e64 = ab_btf_data(t);
	bool wide = ab_btf_kind(t) == BTF_KIND_ENUM64;

	/* clang gives an enum that is declared only no size. */
	if ((t->size || ab_btf_vlen(t)) && t->size != 1 && t->size != 2 && t->size != 4 && t->size != 8)
		return fail_type(c, id, "is an enum whose size is not 1, 2, 4 or 8");
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		if ((wide ? e64[i].name_off : e[i].name_off) >= c->btf->n_strings)
			return fail_type(c, id, "has an enumerator whose name is out of bounds");
	own_slot(c, id)->size = t->size;
	own_slot(c, id)->align = t->size ? t->size : 1;
	return 0;
}

static int check_number(struct check *c, uint32_t id, const struct btf_type *t)
{
	uint32_t info;

	if (t->size < 1 || t->size > 16)
		return fail_type(c, id, "is a number whose size is not 1 to 16");
	if (ab_btf_kind(t) == BTF_KIND_INT) {
		info = *(const uint32_t *)ab_btf_data(t);
		if (!BTF_INT_BITS(info) || BTF_INT_OFFSET(info) + BTF_INT_BITS(info) > 8 * t->size)
			return fail_type(c, id, "is an integer with more bits than bytes for them");
	}
	/* 12 and 10 bytes (long double of old machines) are printed as arrays of what fits. */
	own_slot(c, id)->size = t->size;
	own_slot(c, id)->align = t->size & -t->size;
	return 0;
}

static int check_section(struct check *c, uint32_t id, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = ab_btf_data(t);

	own_slot(c, id)->size = t->size;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		uint32_t kind = v[i].type < c->btf->n ? ab_btf_slot(c->btf, v[i].type)->kind : 0;

		if (kind != BTF_KIND_VAR && kind != BTF_KIND_FUNC)
			return fail_type(c, id, "is a section of something else than variables and functions");
	}
	return 0;
}

static int check_tag(struct check *c, uint32_t id, const struct btf_type *t)
{
	if (!t->type || t->type >= c->btf->n || ab_btf_slot(c->btf, t->type)->kind == BTF_KIND_DECL_TAG)
		return fail_type(c, id, "is a tag on no type");
	c->btf->n_tags++;
	return 0;
}

static int settle_body(struct check *c, uint32_t id, unsigned depth)
{
	struct ab_btf *btf = c->btf;
	const struct btf_type *t = ab_btf_type(btf, id);
	int height;

	switch (ab_btf_slot(btf, id)->kind) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		return check_number(c, id, t);
	case BTF_KIND_PTR:
		own_slot(c, id)->size = own_slot(c, id)->align = btf->pointer_size;
		return settle_pointee(c, id, t->type, depth);
	case BTF_KIND_ARRAY:
		return settle_array(c, id, t, depth);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return settle_struct(c, id, t, depth);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return check_enum(c, id, t);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR:
		height = settle_value(c, id, t->type, depth);
		if (height >= 0) {
			own_slot(c, id)->size = ab_btf_slot(btf, t->type)->size;
			own_slot(c, id)->align = ab_btf_slot(btf, t->type)->align;
		}
		return height;
	case BTF_KIND_FUNC_PROTO:
		return settle_proto(c, id, t, depth);
	case BTF_KIND_FWD:
		return t->name_off ? 0 : fail_type(c, id, "is a forward declaration of nothing");
	case BTF_KIND_FUNC:
		if (t->type >= btf->n || ab_btf_slot(btf, t->type)->kind != BTF_KIND_FUNC_PROTO)
			return fail_type(c, id, "is a function without prototype");
		return 0;
	case BTF_KIND_DATASEC:
		return check_section(c, id, t);
	case BTF_KIND_DECL_TAG:
		return check_tag(c, id, t);
	}
	return 0;
}

/*
 * Checks a type after everything that it contains, so that each is looked at once. `depth` is the length of the way that
 * led here, so a way of more than MAX_HEIGHT shows itself on the way down or by the height that is known already.
 */
static int settle(struct check *c, uint32_t id, unsigned depth)
{
	struct slot *slot;
	int height;

	if (id < c->btf->start)
		return ab_btf_slot(c->btf, id)->height;
	slot = own_slot(c, id);
	if (slot->height && slot->height != BUSY)
		return slot->height;
	if (slot->height == BUSY)
		return fail_type(c, id, "contains itself");
	if (depth > MAX_HEIGHT)
		return fail_type(c, id, "nests too deep");
	slot->height = BUSY;
	height = settle_body(c, id, depth);
	if (height < 0)
		return height;
	if (height >= MAX_HEIGHT)
		return fail_type(c, id, "nests too deep");
	return slot->height = height + 1;
}

static int compare_tags(const void *a, const void *b)
{
	const struct tag_entry *x = a, *y = b;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	if (x->component != y->component)
		return x->component < y->component ? -1 : 1;
	return x->id < y->id ? -1 : 1;
}

static int index_tags(struct ab_btf *btf, struct ab_error *err)
{
	uint32_t n = 0;

	if (!btf->n_tags)
		return 0;
	btf->tags = array_new(btf->n_tags, sizeof(*btf->tags));
	if (!btf->tags)
		return ab_fail_memory(err);
	for (uint32_t id = ab_btf_start(btf); id < btf->n; id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const struct btf_decl_tag *tag = ab_btf_data(t);

		if (ab_btf_slot(btf, id)->kind == BTF_KIND_DECL_TAG)
			btf->tags[n++] = (struct tag_entry){ t->type, id, tag->component_idx };
	}
	qsort(btf->tags, n, sizeof(*btf->tags), compare_tags);
	return 0;
}

static int check_references(struct ab_btf *btf, struct ab_error *err)
{
	struct check c = { .btf = btf, .err = err };
	int r = 0;

	for (uint32_t id = ab_btf_start(btf); id < btf->n && r >= 0; id++)
		r = own_slot(&c, id)->height ? 0 : settle(&c, id, 0);
	return r < 0 ? r : index_tags(btf, err);
}

static void swap_words(void *p, size_t n)
{
	uint32_t *words = p;

	for (size_t i = 0; i < n; i++)
		words[i] = bswap_32(words[i]);
}

/* `long` is as wide as a pointer in every kernel. GCC and clang write its name differently. */
static void note_integer(struct ab_btf *btf, const struct btf_type *t)
{
	const char *name = ab_btf_str(btf, t->name_off);

	btf->old_bit_fields |= BTF_INT_BITS(*(const uint32_t *)ab_btf_data(t)) != 8 * t->size;
	if ((!strcmp(name, "long int") || !strcmp(name, "long") || !strcmp(name, "long unsigned int") ||
	     !strcmp(name, "unsigned long")) && (t->size == 4 || t->size == 8))
		btf->pointer_size = t->size;
}

static int add_slot(struct ab_btf *btf, size_t *cap, const struct btf_type *t, bool known)
{
	if (btf->n - btf->start == *cap) {
		struct slot *more = realloc(btf->slots, 2 * *cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		btf->slots = more;
		*cap *= 2;
	}
	btf->slots[btf->n++ - btf->start] = (struct slot){
		.offset = known ? (const uint8_t *)t - btf->types : OPAQUE, .kind = known ? ab_btf_kind(t) : BTF_KIND_UNKN,
		.align = 1, .height = !known, .named = known && t->name_off,
	};
	return 0;
}

/* How long a type of that kind is; kinds from the future are described in the BTF itself, or in its base. */
static int find_layout(const struct ab_btf *btf, uint32_t kind, struct kind_layout *ret, struct ab_error *err)
{
	const struct ab_btf *holder = btf->n_layout || !btf->base ? btf : btf->base;

	if (kind && kind < KNOWN_KINDS) {
		*ret = ab_btf_layouts[kind];
		return 0;
	}
	if (!kind || kind >= holder->n_layout)
		return DAMAGED(err, "BTF has a type of unknown kind %u (type %u) and does not say how long it is", kind, btf->n);
	*ret = (struct kind_layout){ holder->layout[kind][0], holder->layout[kind][1] };
	if (ret->fixed % 4 || ret->element % 4)
		return DAMAGED(err, "damaged BTF: types of kind %u are not aligned", kind);
	return 0;
}

/* Finds where each type begins, checking that it and its name are inside; `swap` also converts it. */
static int index_types(struct ab_btf *btf, size_t len, bool swap, struct ab_error *err)
{
	size_t cap = len / 24 + 16;

	btf->slots = malloc(cap * sizeof(*btf->slots));
	if (!btf->slots)
		return ab_fail_memory(err);
	btf->n = btf->start;
	if (!btf->base)
		btf->slots[btf->n++] = (struct slot){ .align = 1, .height = 1 };
	for (size_t at = 0; at < len;) {
		struct btf_type *t = (struct btf_type *)(btf->types + at);
		size_t body, left = len - at;
		struct kind_layout layout = {};
		uint32_t kind;
		bool known;
		int r;

		if (left < sizeof(*t))
			return DAMAGED(err, "damaged BTF: type %u is cut off", btf->n);
		if (swap)
			swap_words(t, sizeof(*t) / 4);
		kind = ab_btf_kind(t);
		known = kind < KNOWN_KINDS;
		r = find_layout(btf, kind, &layout, err);
		if (r < 0)
			return r;
		body = layout.fixed + (size_t)layout.element * ab_btf_vlen(t);
		if (left - sizeof(*t) < body)
			return DAMAGED(err, "damaged BTF: type %u is cut off", btf->n);
		if (swap && known)
			swap_words(t + 1, body / 4);
		if (t->name_off >= btf->n_strings)
			return DAMAGED(err, "damaged BTF: the name of type %u is out of bounds", btf->n);
		if (kind == BTF_KIND_INT)
			note_integer(btf, t);
		if (add_slot(btf, &cap, t, known) < 0)
			return ab_fail_memory(err);
		at += sizeof(*t) + body;
	}
	return 0;
}

static int check_header(const struct btf_header *h, size_t size, struct ab_error *err)
{
	size_t room = size - h->hdr_len;

	if (h->version != BTF_VERSION)
		return DAMAGED(err, "BTF version %u is not supported", h->version);
	if (h->hdr_len < sizeof(*h) || h->hdr_len > size)
		return DAMAGED(err, "damaged BTF: header of %u bytes", h->hdr_len);
	if (h->type_off > room || h->type_len > room - h->type_off ||
	    h->str_off > room || h->str_len > room - h->str_off)
		return DAMAGED(err, "BTF is cut off: %zu bytes are not all that its header names", size);
	if ((h->hdr_len + h->type_off) % 4)
		return DAMAGED(err, "damaged BTF: types are not aligned");
	/* Conversion in place relies on it. */
	if (h->type_off < h->str_off + (uint64_t)h->str_len && h->str_off < h->type_off + (uint64_t)h->type_len)
		return DAMAGED(err, "damaged BTF: types and strings overlap");
	return 0;
}

/* The lengths of kinds, which newer kernels add, if they are there. */
static int find_layouts(struct ab_btf *btf, const struct btf_header *h, struct ab_error *err)
{
	size_t room = btf->size - h->hdr_len;
	struct long_header l;

	if (h->hdr_len < sizeof(l))
		return 0;
	memcpy(&l, btf->data, sizeof(l));
	if (l.layout_off > room || l.layout_len > room - l.layout_off || l.layout_len % sizeof(*btf->layout))
		return DAMAGED(err, "damaged BTF: the lengths of kinds are out of bounds");
	btf->layout = (const void *)(btf->data + h->hdr_len + l.layout_off);
	btf->n_layout = l.layout_len / sizeof(*btf->layout);
	return 0;
}

/* Strings begin with "", unless they go on from those of a base. */
static int find_strings(struct ab_btf *btf, const struct btf_header *h, struct ab_error *err)
{
	btf->strings = (const char *)btf->data + h->hdr_len + h->str_off;
	btf->strings_start = btf->base ? btf->base->n_strings : 0;
	if (h->str_len > UINT32_MAX - btf->strings_start)
		return DAMAGED(err, "damaged BTF: more than 4 GiB of strings");
	btf->n_strings = btf->strings_start + h->str_len;
	if ((!h->str_len && btf->base) || (h->str_len && !btf->strings[h->str_len - 1] && (btf->base || !btf->strings[0])))
		return 0;
	if (h->str_len && !btf->strings[h->str_len - 1])
		return DAMAGED(err, "split BTF, as modules have it: its kernel's BTF is needed too");
	return DAMAGED(err, "damaged BTF: the string section does not begin and end with NUL");
}

/* Of a copy, as only files come in the other byte order. */
static void convert_header(struct ab_btf *btf, struct btf_header *h)
{
	struct long_header l = {};
	size_t size = h->hdr_len < sizeof(l) ? sizeof(*h) : sizeof(l);

	memcpy(&l, btf->data, size);
	h->magic = BTF_MAGIC;
	l.h = *h;
	swap_words(&l.layout_off, 2);
	memcpy((void *)btf->data, &l, size);
}

static int parse(struct ab_btf *btf, struct ab_error *err)
{
	const struct ab_btf *base = btf->base;
	struct btf_header h;
	bool swap;
	int r;

	if (btf->size < sizeof(h))
		return DAMAGED(err, "not BTF: only %zu bytes", btf->size);
	memcpy(&h, btf->data, sizeof(h));
	swap = h.magic == bswap_16(BTF_MAGIC);
	if (h.magic != BTF_MAGIC && !swap)
		return DAMAGED(err, "neither BTF nor an ELF file with BTF; 'anybpf pack add' finds it in kernel images "
				    "and packages");
	if (swap)
		swap_words(&h.hdr_len, (sizeof(h) - offsetof(struct btf_header, hdr_len)) / 4);
	r = check_header(&h, btf->size, err);
	if (r < 0)
		return r;
	btf->swapped = swap;
	if (swap)
		convert_header(btf, &h);
	btf->types = btf->data + h.hdr_len + h.type_off;
	btf->start = base ? base->n : 0;
	btf->pointer_size = base ? base->pointer_size : 8;
	btf->old_bit_fields = base && base->old_bit_fields;
	r = find_layouts(btf, &h, err);
	if (!r)
		r = find_strings(btf, &h, err);
	if (!r)
		r = index_types(btf, h.type_len, swap, err);
	return r < 0 ? r : check_references(btf, err);
}

/* ---- opening ---- */

static int fail_size(struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "BTF of more than %zu MiB", MAX_SIZE >> 20);
}

/* Takes `data`, also on failure: allocated, or mapped. */
static int open_take(void *data, size_t size, bool mapped, const struct ab_btf *base, struct ab_btf **ret_btf,
		     struct ab_error *err)
{
	struct ab_btf *btf = array_new(1, sizeof(*btf));
	int r;

	if (!btf) {
		if (mapped)
			munmap(data, size);
		else
			free(data);
		return ab_fail_memory(err);
	}
	btf->data = data;
	btf->size = size;
	btf->mapped = mapped;
	btf->base = base;
	r = size > MAX_SIZE ? fail_size(err) : parse(btf, err);
	if (r < 0) {
		ab_btf_close(btf);
		return r;
	}
	*ret_btf = btf;
	return 0;
}

int ab_btf_open_mem(const void *data, size_t size, struct ab_btf **ret_btf, struct ab_error *err)
{
	return ab_btf_open_split_mem(data, size, NULL, ret_btf, err);
}

int ab_btf_open_split_mem(const void *data, size_t size, const struct ab_btf *base, struct ab_btf **ret_btf,
			  struct ab_error *err)
{
	void *copy;

	if (size > MAX_SIZE)
		return fail_size(err);
	copy = malloc(size ? size : 1);
	if (!copy)
		return ab_fail_memory(err);
	memcpy(copy, data, size);
	return open_take(copy, size, false, base, ret_btf, err);
}

static Elf_Data *find_section(Elf *elf, const char *name)
{
	size_t names;

	if (!elf || elf_kind(elf) != ELF_K_ELF || elf_getshdrstrndx(elf, &names))
		return NULL;
	for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn; scn = elf_nextscn(elf, scn)) {
		Elf64_Shdr *h64 = elf64_getshdr(scn);
		Elf32_Shdr *h32 = h64 ? NULL : elf32_getshdr(scn);
		const char *this_name;

		if (!h64 && !h32)
			continue;
		this_name = elf_strptr(elf, names, h64 ? h64->sh_name : h32->sh_name);
		if (this_name && !strcmp(this_name, name) && (h64 ? h64->sh_type : h32->sh_type) != SHT_NOBITS)
			return elf_rawdata(scn, NULL);
	}
	return NULL;
}

/* Ends `elf`. */
static int open_elf(Elf *elf, const struct ab_btf *base, struct ab_btf **ret_btf, struct ab_error *err)
{
	Elf_Data *data = find_section(elf, ".BTF");
	int r;

	if (data && data->d_buf && data->d_size)
		r = ab_btf_open_split_mem(data->d_buf, data->d_size, base, ret_btf, err);
	else
		r = ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "an ELF file without BTF (no .BTF section)");
	if (elf)
		elf_end(elf);
	return r;
}

static int open_fd(int fd, const char *path, struct ab_btf **ret_btf, struct ab_error *err)
{
	char magic[SELFMAG];
	size_t size;
	char *data;
	int r;

	elf_version(EV_CURRENT);
	/* A vmlinux with debug information is much larger than its BTF: libelf reads what is asked for. */
	if (pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, ELFMAG, SELFMAG))
		return open_elf(elf_begin(fd, ELF_C_READ, NULL), NULL, ret_btf, err);
	r = file_read_fd(fd, path, MAX_SIZE, &data, &size, err);
	if (r < 0)
		return r;
	if (size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG)) {
		r = open_elf(elf_memory(data, size), NULL, ret_btf, err);
		free(data);
		return r;
	}
	return open_take(data, size, false, NULL, ret_btf, err);
}

int ab_btf_open_file(const char *path, struct ab_btf **ret_btf, struct ab_error *err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "unable to open '%s'", path);
	r = open_fd(fd, path, ret_btf, err);
	if (r == -EBADMSG || r == -ENOENT)
		ab_error_prefix(err, "'%s'", path);
	return r;
}

int ab_btf_fail_none(struct ab_error *err, const char *why)
{
	if (access("/sys/kernel", F_OK) < 0)
		return ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "/sys is not mounted, where this kernel's types would be: "
			       "mount -t sysfs sysfs /sys");
	return ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "this kernel has no BTF (%s): give that of its build with --btf PATH", why);
}

int ab_btf_open_kernel(struct ab_btf **ret_btf, struct ab_error *err)
{
	_close_ int fd = open(KERNEL_BTF, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;
	int r;

	if (fd < 0)
		return errno == ENOENT ? ab_btf_fail_none(err, "'" KERNEL_BTF "' is not there") :
					 ab_fail_errno(err, -errno, "unable to open '%s'", KERNEL_BTF);
	/* Kernels from 6.16 on can map it. It never changes, unlike a file, which is therefore copied. */
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		r = map == MAP_FAILED ? -1 : open_take(map, st.st_size, true, NULL, ret_btf, err);
		if (map != MAP_FAILED)
			goto out;
	}
	r = open_fd(fd, KERNEL_BTF, ret_btf, err);
out:
	if (r == -EBADMSG)
		ab_error_prefix(err, "'%s'", KERNEL_BTF);
	return r;
}

void ab_btf_close(struct ab_btf *btf)
{
	if (!btf)
		return;
	if (btf->mapped)
		munmap((void *)btf->data, btf->size);
	else
		free((void *)btf->data);
	ab_btf_index_free(btf->index);
	free(btf->slots);
	free(btf->tags);
	free(btf);
}
