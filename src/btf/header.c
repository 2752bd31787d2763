/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which types a source needs of a kernel's, going by the identifiers in it (docs/header.md). Needs spread from the types that
 * are named: containment spreads the need for a definition, a pointer spreads it only when its member is named, all else
 * spreads the need for a name. They only ever grow, so each type is looked at three times at most.
 */
#include <ctype.h>
#include "internal.h"

struct search {
	const struct ab_btf *btf;
	const struct name_index *index;
	const struct strmap *names;
	uint8_t *need;    /* enum need, by id */
	uint32_t *queue;  /* ids whose need grew: a stack */
	size_t n_queue, cap_queue;
	bool failed;
};

static void want(struct search *s, uint32_t id, enum need need)
{
	if (!id || s->need[id] >= need)
		return;
	s->need[id] = need;
	if (s->n_queue == s->cap_queue) {
		size_t cap = s->cap_queue ? 2 * s->cap_queue : 4096;
		uint32_t *queue = realloc(s->queue, cap * sizeof(*queue));

		if (!queue) {
			s->failed = true;
			return;
		}
		s->queue = queue;
		s->cap_queue = cap;
	}
	s->queue[s->n_queue++] = id;
}

static bool is_named(const struct search *s, const char *name)
{
	return strmap_find(s->names, name, strlen(name));
}

static void spread_members(struct search *s, const struct btf_type *t)
{
	const struct btf_member *m = ab_btf_data(t);

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		enum need had = s->need[m[i].type];

		if (had < NEED_FOLLOW)
			want(s, m[i].type, is_named(s, ab_btf_str(s->btf, m[i].name_off)) ? NEED_FOLLOW : NEED_VALUE);
	}
}

static void spread_proto(struct search *s, const struct btf_type *t)
{
	const struct btf_param *p = ab_btf_data(t);

	want(s, t->type, NEED_NAME);
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
		want(s, p[i].type, NEED_NAME);
}

static void spread(struct search *s, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(s->btf, id);
	enum need need = s->need[id];
	uint32_t definition;

	switch (ab_btf_kind(t)) {
	case BTF_KIND_PTR:
		want(s, t->type, need == NEED_FOLLOW ? NEED_FOLLOW : NEED_NAME);
		break;
	case BTF_KIND_ARRAY: /* C wants its element defined even behind a pointer */
		want(s, ((const struct btf_array *)ab_btf_data(t))->type, MAX(need, NEED_VALUE));
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		if (need >= NEED_VALUE || !t->name_off)
			spread_members(s, t);
		break;
	case BTF_KIND_FUNC_PROTO:
		spread_proto(s, t);
		break;
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		want(s, t->type, need);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		definition = ab_btf_definition(s->btf, s->index, id);
		if (definition != id && definition != CLASHES && definition != NO_DEFINITION)
			want(s, definition, need);
		break;
	}
}

/* The types and enumerators that a name can mean. Of those that are there more than once, it is the first. */
static void want_name(struct search *s, const char *name)
{
	for (const struct name_entry *e = NULL; (e = ab_btf_lookup(s->btf, s->index, name, e));) {
		if (e->ordinal == 1 || ab_btf_is_forward(ab_btf_type(s->btf, e->id)))
			want(s, e->id, NEED_FOLLOW);
	}
}

/* NAME___2, as headers call the second type of a name: all of the name are wanted then. */
static void want_numbered(struct search *s, const char *name)
{
	const char *suffix = strstr(name, "___");
	char base[256];

	if (!suffix || suffix == name || (size_t)(suffix - name) >= sizeof(base) || !isdigit((unsigned char)suffix[3]))
		return;
	snprintf(base, sizeof(base), "%.*s", (int)(suffix - name), name);
	for (const struct name_entry *e = NULL; (e = ab_btf_lookup(s->btf, s->index, base, e));)
		if (e->ordinal)
			want(s, e->id, NEED_FOLLOW);
}

static int find_needs(struct search *s, struct ab_error *err)
{
	for (size_t i = 0; i < s->names->n; i++) {
		want_name(s, s->names->entries[i].key);
		want_numbered(s, s->names->entries[i].key);
	}
	while (s->n_queue && !s->failed)
		spread(s, s->queue[--s->n_queue]);
	free(s->queue);
	return s->failed ? ab_fail_memory(err) : 0;
}

int ab_btf_header(const struct ab_btf *btf, const struct strmap *names, struct text *out, struct ab_error *err)
{
	_free_ uint8_t *need = NULL;
	struct search s = { .btf = btf, .names = names };
	int r;

	if (!names)
		return ab_btf_print(btf, NULL, out, err);
	s.index = ab_btf_index(btf);
	s.need = need = array_new(btf->n, 1);
	if (!s.index || !need)
		return ab_fail_memory(err);
	r = find_needs(&s, err);
	return r < 0 ? r : ab_btf_print(btf, need, out, err);
}
