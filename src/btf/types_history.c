/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types across kernels: how one differs between two of them, and since when and till when something was as it was.
 * Kernels that share all definitions of a type share its answer: it is looked at once.
 */
#include "types.h"

/* ---- differences ---- */

enum change_kind { ADDED, REMOVED, MOVED, RETYPED, REVALUED };
static const char *const change_words[] = { "added", "removed", "moved", "retyped", "changed" };

struct change {
	enum change_kind kind;
	const struct field *from, *to;
	char *went; /* of what was removed: where it seems to be */
};

struct diff {
	struct fields from, to;
	struct change *v;
	size_t n;
};

static bool is_placed(uint32_t kind)
{
	return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_TYPEDEF;
}

static void compare_field(struct diff *d, const struct field *from, const struct field *to)
{
	struct change *c = &d->v[d->n];

	if (strcmp(from->type, to->type) || from->bits != to->bits)
		*c = (struct change){ RETYPED, from, to };
	else if (from->at != to->at)
		*c = (struct change){ is_placed(d->to.kind) ? MOVED : REVALUED, from, to };
	else
		return;
	d->n++;
}

/* Changes in the order of the new type, with what was removed at the place where it was. */
static void compare_fields(struct diff *d)
{
	size_t done = 0;

	for (size_t i = 0; i < d->to.n; i++) {
		const struct field *from = ab_fields_find(&d->from, d->to.v[i].path);

		if (!from) {
			d->v[d->n++] = (struct change){ ADDED, NULL, &d->to.v[i] };
			continue;
		}
		for (; done < (size_t)(from - d->from.v); done++)
			if (!ab_fields_find(&d->to, d->from.v[done].path))
				d->v[d->n++] = (struct change){ REMOVED, &d->from.v[done], NULL };
		done = MAX(done, (size_t)(from - d->from.v) + 1);
		compare_field(d, from, &d->to.v[i]);
	}
	for (; done < d->from.n; done++)
		if (!ab_fields_find(&d->to, d->from.v[done].path))
			d->v[d->n++] = (struct change){ REMOVED, &d->from.v[done], NULL };
}

static void clear_diff(struct diff *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->v[i].went);
	free(d->v);
	ab_fields_clear(&d->from);
	ab_fields_clear(&d->to);
}

static int make_diff(struct diff *d, const struct ab_btf *from, const struct ab_btf *to, const char *name,
		     struct ab_error *err)
{
	ab_fields_read(from, name, &d->from);
	ab_fields_read(to, name, &d->to);
	d->v = array_new(d->from.n + d->to.n, sizeof(*d->v));
	if (!d->v || d->from.failed || d->to.failed)
		return ab_fail_memory(err);
	compare_fields(d);
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].kind == REMOVED && is_placed(d->from.kind) && d->to.kind)
			d->v[i].went = ab_field_went(from, &d->from, to, &d->to, name, d->v[i].from->path);
	return 0;
}

/* "at 16", "at 16:3", "= 5" */
static void put_place(struct text *out, uint32_t kind, const struct field *f)
{
	if (is_placed(kind) && f->bits)
		text_printf(out, "%lld:%lld", (long long)f->at / 8, (long long)f->at % 8);
	else
		text_printf(out, "%lld", is_placed(kind) ? (long long)f->at / 8 : (long long)f->at);
}

static void put_bits(struct text *out, const struct field *f)
{
	if (f->bits)
		text_printf(out, ":%u", f->bits);
}

static void put_change(struct text *out, uint32_t kind, const struct change *c)
{
	const struct field *f = c->to ? c->to : c->from;
	static const char signs[] = "+->~~";

	text_printf(out, "%c %s", signs[c->kind], *f->path ? f->path : "(type)");
	if (*f->type) {
		text_printf(out, "  %s", c->from ? c->from->type : f->type);
		put_bits(out, c->from ? c->from : f);
		if (c->kind == RETYPED) {
			text_printf(out, " -> %s", f->type);
			put_bits(out, f);
		}
	}
	if (*f->type && !is_placed(kind)) {
		text_putc(out, '\n');
		return;
	}
	text_puts(out, *f->type ? "  at " : "  = ");
	put_place(out, kind, c->from ? c->from : f);
	if (c->from && c->to && c->from->at != c->to->at) {
		text_puts(out, " -> ");
		put_place(out, kind, c->to);
	}
	if (c->went)
		text_printf(out, "  (now %s?)", c->went);
	text_putc(out, '\n');
}

static void put_diff(struct text *out, const struct diff *d, const char *name, const struct ab_kernel *from,
		     const struct ab_kernel *to)
{
	text_printf(out, "%s: ", name);
	ab_types_put_kernel(from, out);
	text_puts(out, " -> ");
	ab_types_put_kernel(to, out);
	text_putc(out, '\n');
	if (!d->from.kind || !d->to.kind) {
		text_printf(out, "%s\n", d->to.kind ? "is new" : "is gone");
		return;
	}
	if (d->from.kind != d->to.kind)
		text_printf(out, "was a %s, is a %s\n", ab_types_kind_word(d->from.kind),
			    ab_types_kind_word(d->to.kind));
	if (d->from.size != d->to.size)
		text_printf(out, "size %llu -> %llu\n", (unsigned long long)d->from.size,
			    (unsigned long long)d->to.size);
	for (size_t i = 0; i < d->n; i++)
		put_change(out, d->to.kind, &d->v[i]);
	if (!d->n && d->from.size == d->to.size && d->from.kind == d->to.kind)
		text_puts(out, "the same\n");
}

static void json_field(struct json *j, const char *key, uint32_t kind, const struct field *f)
{
	json_key(j, key);
	if (!f) {
		json_null(j);
		return;
	}
	json_open(j, '{');
	if (*f->type)
		json_member_str(j, "type", f->type);
	json_key(j, is_placed(kind) ? "offset" : *f->type ? "index" : "value");
	json_int(j, is_placed(kind) ? f->at / 8 : f->at);
	if (is_placed(kind))
		json_member_uint(j, "size", f->size);
	if (f->bits) {
		json_member_int(j, "bit", f->at % 8);
		json_member_uint(j, "bits", f->bits);
	}
	json_close(j, '}');
}

static void json_side(struct json *j, const char *key, const struct ab_kernel *kernel, const struct fields *f)
{
	json_key(j, key);
	json_open(j, '{');
	ab_types_json_kernel(j, "kernel", kernel);
	json_member_str(j, "kind", f->kind ? ab_types_kind_word(f->kind) : NULL);
	json_member_uint(j, "size", f->size);
	json_close(j, '}');
}

static void json_diff(struct text *out, const struct diff *d, const char *name, const struct ab_kernel *from,
		      const struct ab_kernel *to)
{
	struct json j = { out };

	json_open(&j, '{');
	json_member_str(&j, "name", name);
	json_side(&j, "from", from, &d->from);
	json_side(&j, "to", to, &d->to);
	json_key(&j, "changes");
	json_open(&j, '[');
	for (size_t i = 0; i < d->n && d->from.kind && d->to.kind; i++) {
		const struct change *c = &d->v[i];

		json_open(&j, '{');
		json_member_str(&j, "change", change_words[c->kind]);
		json_member_str(&j, "name", c->to ? c->to->path : c->from->path);
		json_field(&j, "from", d->from.kind, c->from);
		json_field(&j, "to", d->to.kind, c->to);
		if (c->went)
			json_member_str(&j, "went_to", c->went);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
}

/* Kernels of one pack or of two. */
struct pair {
	const struct ab_types *from, *to;
	size_t from_index, to_index;
};

static int diff_kernels(const struct pair *pair, const char *name, bool as_json, struct text *out, struct ab_error *err)
{
	const char *names[] = { ab_types_bare(name) };
	struct ab_btf *from_btf = NULL, *to_btf = NULL;
	struct diff d = {};
	int r = ab_types_get(pair->from, pair->from_index, names, 1, NULL, &from_btf, NULL, err);

	if (!r)
		r = ab_types_get(pair->to, pair->to_index, names, 1, NULL, &to_btf, NULL, err);
	if (!r)
		r = make_diff(&d, from_btf, to_btf, name, err);
	if (!r && !d.from.kind && !d.to.kind)
		r = ab_types_missing(pair->to, pair->to_index, name, err);
	if (!r)
		(as_json ? json_diff : put_diff)(out, &d, name, ab_types_kernel(pair->from, pair->from_index),
						 ab_types_kernel(pair->to, pair->to_index));
	clear_diff(&d);
	ab_types_put(pair->from, from_btf);
	ab_types_put(pair->to, to_btf);
	return r;
}

int ab_types_diff(const struct ab_types *types, const char *name, const char *from, const char *to,
		  const struct ab_types_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err)
{
	const struct ab_types *other = OPT(opts, other);
	struct pair pair = { .from = types, .to = other ? other : types };
	_text_ struct text out = {};
	int r;

	if (!types->pack && !other)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "differences need a pack with both kernels, or two packs or files");
	r = ab_types_select_one(pair.from, from, OPT(opts, arch), &pair.from_index, err);
	if (!r)
		r = ab_types_select_one(pair.to, to, OPT(opts, arch), &pair.to_index, err);
	if (!r)
		r = diff_kernels(&pair, name, OPT(opts, form) == AB_TYPES_JSON, &out, err);
	return r < 0 ? r : ab_types_finish(&out, ret_text, ret_size, err);
}

/* ---- history ---- */

/* What something is in the kernels that share a key. */
struct state {
	uint64_t key;
	bool has_type, is_there;
	uint32_t kind;
	struct field field; /* type: what a span is told by; at, size: what varies in it */
	char *shape;        /* of a type by itself: its fields as text */
	size_t layout;      /* from 0 in the order in which they appear; the same where shape, place and size are */
};

struct states {
	struct state *v;
	size_t n, layouts;
	struct seen_keys keys;
	size_t *of; /* by position in the list of kernels */
};

struct subject {
	const char *name;   /* "struct task_struct" */
	const char *member; /* "se.vruntime", or NULL: the type by itself */
};

static void clear_states(struct states *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].field.path);
		free(s->v[i].field.type);
		free(s->v[i].shape);
	}
	free(s->v);
	free(s->keys.v);
	free(s->of);
}

static char *describe_type(const struct ab_btf *btf, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(btf, id);
	struct text text = {};

	if (ab_btf_kind(t) == BTF_KIND_FUNC)
		ab_types_prototype(btf, id, &text);
	else if (ab_btf_kind(t) == BTF_KIND_TYPEDEF || ab_btf_kind(t) == BTF_KIND_VAR)
		ab_btf_type_name(btf, t->type, &text);
	else
		text_puts(&text, ab_types_kind_word(ab_btf_kind(t)));
	return text_take(&text);
}

static bool find_enumerator(const struct ab_btf *btf, uint32_t id, const char *name, struct field *ret)
{
	const struct btf_type *t = ab_btf_type(btf, id);

	for (uint32_t i = 0; ab_btf_is_enum(t) && i < ab_btf_vlen(t); i++)
		if (!strcmp(ab_btf_str(btf, ab_btf_enumerator_name(t, i)), name)) {
			*ret = (struct field){ .path = strdup(name), .type = strdup("enumerator"),
					       .at = ab_btf_enumerator_value(t, i), .size = t->size };
			return true;
		}
	return false;
}

static char *describe_fields(const struct ab_btf *btf, const char *name)
{
	struct fields fields = {};
	struct text out = {};

	ab_fields_read(btf, name, &fields);
	for (size_t i = 0; i < fields.n; i++)
		text_printf(&out, "%s %s %lld %u\n", fields.v[i].path, fields.v[i].type, (long long)fields.v[i].at,
			    fields.v[i].bits);
	out.failed |= fields.failed;
	ab_fields_clear(&fields);
	return text_take(&out);
}

static void read_state(struct state *s, const struct ab_btf *btf, const struct subject *subject)
{
	uint32_t id = ab_types_find_name(btf, subject->name);

	s->has_type = id && ab_btf_kind(ab_btf_type(btf, id)) != BTF_KIND_FWD;
	s->kind = s->has_type ? ab_btf_kind(ab_btf_type(btf, id)) : 0;
	if (!s->has_type)
		return;
	if (!subject->member) {
		s->is_there = true;
		s->field = (struct field){ .type = describe_type(btf, id), .size = ab_btf_size(btf, id) };
		s->shape = describe_fields(btf, subject->name);
	} else {
		s->is_there = ab_field_resolve(btf, id, subject->member, &s->field) ||
			      find_enumerator(btf, id, subject->member, &s->field);
	}
}

static bool is_same_layout(const struct state *a, const struct state *b)
{
	return a->is_there && a->kind == b->kind && a->field.at == b->field.at && a->field.size == b->field.size &&
	       a->field.bits == b->field.bits && !strcmp(a->field.type, b->field.type) &&
	       (!a->shape || !strcmp(a->shape, b->shape));
}

/* Of the last state, which is there. */
static void number_layout(struct states *s)
{
	struct state *last = &s->v[s->n - 1];

	for (size_t i = 0; i + 1 < s->n; i++)
		if (is_same_layout(&s->v[i], last)) {
			last->layout = s->v[i].layout;
			return;
		}
	last->layout = s->layouts++;
}

static int add_state(struct states *s, uint64_t key, const struct ab_btf *btf, const struct subject *subject,
		     struct ab_error *err)
{
	struct state *v = reallocarray(s->v, s->n + 1, sizeof(*v));
	uint64_t *keys = v ? reallocarray(s->keys.v, s->n + 1, sizeof(*keys)) : NULL;

	s->v = v ? v : s->v;
	s->keys.v = keys ? keys : s->keys.v;
	if (!v || !keys)
		return ab_fail_memory(err);
	keys[s->n] = key;
	s->keys.n = s->n + 1;
	v[s->n] = (struct state){ .key = key };
	v = &v[s->n++];
	read_state(v, btf, subject);
	if (!v->is_there)
		return 0;
	if (!v->field.type || (!subject->member && !v->shape))
		return ab_fail_memory(err);
	number_layout(s);
	return 0;
}

static int read_states(const struct ab_types *types, const struct kernels *kernels, const struct subject *subject,
		       struct states *s, struct ab_error *err)
{
	const char *names[] = { ab_types_bare(subject->name) };

	s->of = array_new(kernels->n, sizeof(*s->of));
	if (!s->of)
		return ab_fail_memory(err);
	for (size_t i = 0; i < kernels->n; i++) {
		struct ab_btf *btf = NULL;
		uint64_t key = 0;
		int r = ab_types_get(types, kernels->v[i], names, 1, &s->keys, &btf, &key, err);

		if (r < 0)
			return r;
		if (btf)
			r = add_state(s, key, btf, subject, err);
		ab_types_put(types, btf);
		if (r < 0)
			return r;
		for (s->of[i] = 0; s->of[i] < s->n && s->v[s->of[i]].key != key;)
			s->of[i]++;
	}
	return 0;
}

static bool is_same_span(const struct state *a, const struct state *b)
{
	return a->has_type == b->has_type && a->is_there == b->is_there &&
	       (!a->is_there || (!strcmp(a->field.type, b->field.type) && a->field.bits == b->field.bits));
}

/* Kernels from `first` to `last`, in which it is the same but for where it lies and how large it is. */
struct span {
	const struct state *state;
	size_t first, last;
	char *went, *came; /* the member that seems to be its successor in the next, its predecessor in the last */
};

struct history {
	const struct ab_types *types;
	const struct subject *subject;
	struct kernels kernels;
	struct states states;
	struct span *spans;
	size_t n;
};

static const struct state *state_of(const struct history *h, size_t i)
{
	return &h->states.v[h->states.of[i]];
}

/* Looks for a member of the kernel at `from` in the kernel at `to`. */
static char *look_for(const struct history *h, size_t from, size_t to)
{
	const char *names[] = { ab_types_bare(h->subject->name) };
	struct ab_btf *a = NULL, *b = NULL;
	struct fields fa = {}, fb = {};
	char *went = NULL;

	if (!ab_types_get(h->types, h->kernels.v[from], names, 1, NULL, &a, NULL, NULL) &&
	    !ab_types_get(h->types, h->kernels.v[to], names, 1, NULL, &b, NULL, NULL)) {
		ab_fields_read(a, h->subject->name, &fa);
		ab_fields_read(b, h->subject->name, &fb);
		if (!fa.failed && !fb.failed && is_placed(fb.kind))
			went = ab_field_went(a, &fa, b, &fb, h->subject->name, h->subject->member);
	}
	ab_fields_clear(&fa);
	ab_fields_clear(&fb);
	ab_types_put(h->types, a);
	ab_types_put(h->types, b);
	return went;
}

static int make_spans(struct history *h, struct ab_error *err)
{
	h->spans = array_new(h->kernels.n, sizeof(*h->spans));
	if (!h->spans)
		return ab_fail_memory(err);
	for (size_t i = 0; i < h->kernels.n; i++) {
		const struct state *s = state_of(h, i);

		if (h->n && is_same_span(s, h->spans[h->n - 1].state))
			h->spans[h->n - 1].last = i;
		else
			h->spans[h->n++] = (struct span){ .state = s, .first = i, .last = i };
	}
	for (size_t i = 0; i + 1 < h->n && h->subject->member; i++) {
		struct span *a = &h->spans[i], *b = &h->spans[i + 1];

		if (a->state->is_there && !b->state->is_there && b->state->has_type)
			a->went = look_for(h, a->last, b->first);
		if (!a->state->is_there && b->state->is_there && a->state->has_type)
			b->came = look_for(h, b->first, a->last);
	}
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The different offsets (in bits), values or sizes in a span, sorted; returns how many. */
static size_t read_places(const struct history *h, const struct span *span, bool sizes, int64_t **ret)
{
	int64_t *v = array_new(span->last - span->first + 1, sizeof(*v));
	size_t n = 0, kept = 0;

	for (size_t i = span->first; v && i <= span->last; i++)
		v[n++] = sizes ? (int64_t)state_of(h, i)->field.size : state_of(h, i)->field.at;
	if (v)
		qsort(v, n, sizeof(*v), compare_numbers);
	for (size_t i = 0; i < n; i++)
		if (!kept || v[kept - 1] != v[i])
			v[kept++] = v[i];
	*ret = v;
	return kept;
}

static bool has_offset(const struct history *h, const struct span *span)
{
	return h->subject->member && is_placed(span->state->kind);
}

static void put_places(struct text *out, const struct history *h, const struct span *span)
{
	bool sizes = !h->subject->member, offset = has_offset(h, span);
	int64_t *v;
	size_t n = read_places(h, span, sizes, &v);

	if (n == 1 && sizes && !v[0]) { /* functions have no size */
		free(v);
		return;
	}
	text_puts(out, sizes ? "  size " : offset ? "  at " : "  = ");
	for (size_t i = 0; i < n; i++) {
		if (n > 6 && i == 3) {
			text_puts(out, ", …");
			i = n - 2;
			continue;
		}
		text_printf(out, "%s%lld", i ? ", " : "", (long long)(offset ? v[i] / 8 : v[i]));
		if (offset && span->state->field.bits)
			text_printf(out, ":%lld", (long long)v[i] % 8);
	}
	free(v);
}

static void put_span(struct text *out, const struct history *h, const struct span *span)
{
	const struct state *s = span->state;

	text_puts(out, "  ");
	ab_types_put_kernel(ab_types_kernel(h->types, h->kernels.v[span->first]), out);
	if (span->last > span->first) {
		text_puts(out, " to ");
		ab_types_put_kernel(ab_types_kernel(h->types, h->kernels.v[span->last]), out);
		text_printf(out, ", %zu kernels", span->last - span->first + 1);
	}
	text_puts(out, "\n    ");
	if (!s->has_type)
		text_printf(out, "there is no %s", h->subject->name);
	else if (!s->is_there)
		text_puts(out, "not there");
	else
		text_puts(out, s->field.type);
	if (s->is_there && s->field.bits)
		text_printf(out, ":%u", s->field.bits);
	if (s->is_there)
		put_places(out, h, span);
	if (span->came)
		text_printf(out, "  (was %s?)", span->came);
	if (span->went)
		text_printf(out, "  (then %s?)", span->went);
	text_putc(out, '\n');
}

static void put_history(struct text *out, const struct history *h)
{
	text_printf(out, "%s%s%s\n", h->subject->name, h->subject->member ? "." : "",
		    h->subject->member ? h->subject->member : "");
	for (size_t i = 0; i < h->n; i++)
		put_span(out, h, &h->spans[i]);
}

static void json_places(struct json *j, const struct history *h, const struct span *span)
{
	bool sizes = !h->subject->member, offset = has_offset(h, span);
	int64_t *v;
	size_t n = read_places(h, span, sizes, &v);

	json_key(j, sizes ? "sizes" : offset ? "offsets" : "values");
	json_open(j, '[');
	for (size_t i = 0; i < n; i++)
		json_int(j, offset ? v[i] / 8 : v[i]);
	json_close(j, ']');
	free(v);
}

static void json_layout(struct json *j, const struct history *h, const struct span *span, size_t first, size_t last,
			size_t kernels)
{
	const struct state *s = state_of(h, first);
	bool offset = has_offset(h, span);

	json_open(j, '{');
	json_member_uint(j, "layout", s->layout);
	if (h->subject->member)
		json_member_int(j, offset ? "offset" : "value", offset ? s->field.at / 8 : s->field.at);
	json_member_uint(j, "size", s->field.size);
	if (offset && s->field.bits)
		json_member_int(j, "bit", s->field.at % 8);
	ab_types_json_kernel(j, "from", ab_types_kernel(h->types, h->kernels.v[first]));
	ab_types_json_kernel(j, "to", ab_types_kernel(h->types, h->kernels.v[last]));
	json_member_uint(j, "kernels", kernels);
	json_member_uint(j, "first", first);
	json_member_uint(j, "last", last);
	json_close(j, '}');
}

/* The kernels of a span by layout: the plain ones, those for clouds and those for real time have theirs side by side. */
static void json_layouts(struct json *j, const struct history *h, const struct span *span)
{
	struct { size_t kernels, first, last; } *found = array_new(h->states.layouts, sizeof(*found));

	if (!found) {
		j->out->failed = true;
		return;
	}
	for (size_t i = span->first; i <= span->last; i++) {
		size_t layout = state_of(h, i)->layout;

		if (!found[layout].kernels++)
			found[layout].first = i;
		found[layout].last = i;
	}
	json_key(j, "layouts");
	json_open(j, '[');
	for (size_t i = 0; i < h->states.layouts; i++)
		if (found[i].kernels)
			json_layout(j, h, span, found[i].first, found[i].last, found[i].kernels);
	json_close(j, ']');
	free(found);
}

static void json_span(struct json *j, const struct history *h, const struct span *span)
{
	const struct state *s = span->state;

	json_open(j, '{');
	ab_types_json_kernel(j, "from", ab_types_kernel(h->types, h->kernels.v[span->first]));
	ab_types_json_kernel(j, "to", ab_types_kernel(h->types, h->kernels.v[span->last]));
	json_member_uint(j, "kernels", span->last - span->first + 1);
	json_member_bool(j, "has_type", s->has_type);
	json_member_bool(j, "there", s->is_there);
	if (s->is_there) {
		json_member_str(j, "type", s->field.type);
		json_places(j, h, span);
		json_layouts(j, h, span);
	}
	if (s->is_there && s->field.bits)
		json_member_uint(j, "bits", s->field.bits);
	if (span->came)
		json_member_str(j, "came_from", span->came);
	if (span->went)
		json_member_str(j, "went_to", span->went);
	json_close(j, '}');
}

static void json_history(struct text *out, const struct history *h)
{
	struct json j = { out };

	json_open(&j, '{');
	json_member_str(&j, "name", h->subject->name);
	json_member_str(&j, "member", h->subject->member);
	json_key(&j, "spans");
	json_open(&j, '[');
	for (size_t i = 0; i < h->n; i++)
		json_span(&j, h, &h->spans[i]);
	json_close(&j, ']');
	json_close(&j, '}');
}

static void clear_history(struct history *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->spans[i].went);
		free(h->spans[i].came);
	}
	free(h->spans);
	clear_states(&h->states);
	free(h->kernels.v);
}

static bool was_ever(const struct history *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->spans[i].state->is_there)
			return true;
	return false;
}

/* The newest kernel's member that is like one that was never there. */
static int fail_member(const struct history *h, size_t newest, struct ab_error *err)
{
	const char *names[] = { ab_types_bare(h->subject->name) };
	struct nearest nearest = { .wanted = h->subject->member, .limit = MAX((int)strlen(h->subject->member) / 3, 1) };
	struct fields fields = {};
	struct ab_btf *btf;
	int r = ab_types_get(h->types, newest, names, 1, NULL, &btf, NULL, err);

	if (r < 0)
		return r;
	ab_fields_read(btf, h->subject->name, &fields);
	for (size_t i = 0; i < fields.n; i++)
		nearest_try(&nearest, fields.v[i].path);
	r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' has no member '%s' in any of %zu kernels%s%s%s", h->subject->name,
		    h->subject->member, h->kernels.n, DID_YOU_MEAN(nearest.name));
	ab_fields_clear(&fields);
	ab_types_put(h->types, btf);
	return r;
}

static int fail_never(const struct history *h, struct ab_error *err)
{
	size_t newest = h->kernels.v[h->kernels.n - 1];
	_free_ char *meant = NULL;

	for (size_t i = 0; i < h->n; i++)
		if (h->spans[i].state->has_type)
			return fail_member(h, newest, err);
	if (h->kernels.n == 1)
		return ab_types_missing(h->types, newest, h->subject->name, err);
	meant = ab_types_nearest(h->types, newest, h->subject->name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "none of %zu kernels has a type or function '%s'%s%s%s",
		       h->kernels.n, h->subject->name, DID_YOU_MEAN(meant));
}

static int tell_history(const struct ab_types *types, const struct subject *subject, const struct ab_types_opts *opts,
			struct text *out, struct ab_error *err)
{
	struct history h = { .types = types, .subject = subject };
	int r = ab_types_select(types, OPT(opts, kernel), OPT(opts, arch), &h.kernels, err);

	if (!r)
		r = read_states(types, &h.kernels, subject, &h.states, err);
	if (!r)
		r = make_spans(&h, err);
	if (!r && !was_ever(&h))
		r = fail_never(&h, err);
	if (!r)
		(OPT(opts, form) == AB_TYPES_JSON ? json_history : put_history)(out, &h);
	clear_history(&h);
	return r;
}

int ab_types_history(const struct ab_types *types, const char *path, const struct ab_types_opts *opts, char **ret_text,
		     size_t *ret_size, struct ab_error *err)
{
	const char *dot = strchr(path, '.');
	_free_ char *name = dot ? strndup(path, dot - path) : strdup(path);
	struct subject subject = { .name = name, .member = dot ? dot + 1 : NULL };
	_text_ struct text out = {};
	int r;

	if (!name)
		return ab_fail_memory(err);
	if (!*name || (dot && !dot[1]))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not TYPE or TYPE.MEMBER", path);
	r = tell_history(types, &subject, opts, &out, err);
	return r < 0 ? r : ab_types_finish(&out, ret_text, ret_size, err);
}
