/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The bundled headers as chunks: which of them a program reaches, and the headers with only these (bundle.h). */
#include "bundle.h"
#include "scan.h"

struct name {
	const char *p;
	uint32_t n;
	uint32_t chunk; /* definitions only: which chunk declares it */
};

struct names {
	struct name *v;
	size_t n, cap;
};

struct chunk {
	uint32_t header;
	uint32_t begin, end;            /* in the header's text */
	uint32_t first_ref, ref_count;  /* the identifiers in it */
	bool droppable;                 /* may go when nothing names what it declares */
	bool pinned;                    /* is in every program: its references always count */
};

enum { HEADERS_MAX = 64 };

struct bundle {
	uint64_t includes[HEADERS_MAX]; /* by header: a bit for each header that it includes */
	struct chunk *chunks;
	size_t chunk_count, chunk_cap;
	struct names refs;
	struct names defs; /* sorted by name */
	bool failed;
};

/* ---- cutting ---- */

static void add_to(struct bundle *b, struct names *to, const struct token *t, uint32_t chunk)
{
	if (to->n == to->cap) {
		size_t cap = to->cap ? 2 * to->cap : 4096;
		struct name *v = reallocarray(to->v, cap, sizeof(*v));

		if (!v) {
			b->failed = true;
			return;
		}
		to->v = v;
		to->cap = cap;
	}
	to->v[to->n++] = (struct name){ .p = t->p, .n = t->n, .chunk = chunk };
}

static struct chunk *add_chunk(struct bundle *b, uint32_t header, uint32_t begin)
{
	if (b->chunk_count == b->chunk_cap) {
		size_t cap = b->chunk_cap ? 2 * b->chunk_cap : 2048;
		struct chunk *v = reallocarray(b->chunks, cap, sizeof(*v));

		if (!v) {
			b->failed = true;
			return NULL;
		}
		b->chunks = v;
		b->chunk_cap = cap;
	}
	b->chunks[b->chunk_count] = (struct chunk){ .header = header, .begin = begin, .first_ref = b->refs.n };
	return &b->chunks[b->chunk_count++];
}

static bool is_parameter(const struct token *params, size_t count, const struct token *t)
{
	for (size_t i = 0; i < count; i++)
		if (params[i].n == t->n && !memcmp(params[i].p, t->p, t->n))
			return true;
	return false;
}

/* `#define NAME(a, b) body`: declares NAME; the identifiers of the body but for a and b count when NAME is reached. */
static void cut_macro(struct bundle *b, uint32_t header, const struct token *directive, struct lexer *rest)
{
	struct token params[32], t, name = lexer_next(rest);
	struct chunk *c = add_chunk(b, header, directive->p - ab_bundled_headers[header].text);
	size_t count = 0;

	if (!c || name.kind != TOKEN_NAME)
		return;
	c->end = c->begin + directive->n;
	add_to(b, &b->defs, &name, b->chunk_count - 1);
	if (rest->p < rest->end && *rest->p == '(') {
		while ((t = lexer_next(rest)).kind != TOKEN_END && !token_is(&t, ")"))
			if (t.kind == TOKEN_NAME && count < ARRAY_SIZE(params))
				params[count++] = t;
	}
	while ((t = lexer_next(rest)).kind != TOKEN_END)
		if (t.kind == TOKEN_NAME && !is_parameter(params, count, &t))
			add_to(b, &b->refs, &t, 0);
	c->ref_count = b->refs.n - c->first_ref;
}

/* Whether what stands behind #include names that header: as it is, or from a header beside it. */
static bool is_include_of(const char *p, const char *end, const char *header)
{
	const char *base = path_base(header);

	p = memchr(p, '"', end - p) ? memchr(p, '"', end - p) : memchr(p, '<', end - p);
	if (!p++)
		return false;
	return ((size_t)(end - p) > strlen(header) && !memcmp(p, header, strlen(header))) ||
	       ((size_t)(end - p) > strlen(base) && !memcmp(p, base, strlen(base)) && p[strlen(base)] == '"');
}

static void cut_directive(struct bundle *b, uint32_t header, const struct token *t)
{
	struct token word;
	struct lexer rest;

	if (!directive_split(t, &word, &rest))
		return;
	if (token_is(&word, "define"))
		cut_macro(b, header, t, &rest);
	else if (token_is(&word, "include"))
		for (uint32_t i = 0; ab_bundled_headers[i].name; i++)
			if (is_include_of(rest.p, rest.end, ab_bundled_headers[i].name))
				b->includes[header] |= 1ull << i;
}

/* What is known of a declaration while its tokens pass. */
struct declaration {
	struct token first, last, name; /* name: what a function or variable is called */
	struct token tag;               /* of `struct TAG {` */
	int depth, tokens, parens;
	bool is_linkage;   /* begins with static or extern */
	bool is_pointer;   /* T (*name)(…) = …; only names types, needs none complete */
	bool is_record;
	bool is_kept;      /* placed in a section, or holds a directive */
	bool has_body, done;
};

static bool is_word(const struct token *t, const char *const *words)
{
	for (; *words; words++)
		if (token_is(t, *words))
			return true;
	return false;
}

static void see_name(struct declaration *d, const struct token *t)
{
	static const char *const placed[] = { "SEC", "section", "used", "_Static_assert", NULL };
	static const char *const not_names[] = {
		"__attribute__", "typeof", "__typeof__", "__alias", "__kconfig", "__ksym", "__weak", NULL
	};

	d->is_linkage |= d->tokens == 1 && (token_is(t, "static") || token_is(t, "extern"));
	d->is_record |= d->tokens == 1 && (token_is(t, "struct") || token_is(t, "union"));
	d->is_kept |= is_word(t, placed);
	if (d->tokens == 2 && d->is_record)
		d->tag = *t;
	if (d->depth == 0 && !d->parens && !is_word(t, not_names))
		d->name = *t;
	if (d->is_pointer && d->parens == 1 && token_is(&d->last, "*"))
		d->name = *t;
}

static void see_punct(struct declaration *d, char c)
{
	if (c == '(' && d->depth == 0 && !d->parens && !token_is(&d->last, "__attribute__"))
		d->parens = 1;
	else if (c == '*' && d->parens == 1 && token_is(&d->last, "("))
		d->is_pointer = true;
	else if (c == ')' && d->parens == 1)
		d->parens = 2;
	else if (c == '=' && d->depth == 0 && !d->parens)
		d->parens = 2;
	if (c == '{' || c == '(' || c == '[')
		d->depth++;
	if (c == '}' || c == ')' || c == ']')
		d->depth--;
	d->has_body |= c == '{' && d->parens && !d->is_record;
	d->done = d->depth <= 0 && (c == ';' || (c == '}' && d->has_body));
}

static void finish_chunk(struct bundle *b, const struct declaration *d)
{
	struct chunk *c = &b->chunks[b->chunk_count - 1];
	bool is_forward = d->is_record && d->tokens == 3;
	bool is_record = d->is_record && d->tag.n && d->depth == 0 && !is_forward;

	c->ref_count = b->refs.n - c->first_ref;
	if (is_forward)
		c->ref_count = 0;
	else if (d->is_linkage && !d->is_kept && d->name.n) {
		add_to(b, &b->defs, &d->name, b->chunk_count - 1);
		c->droppable = true;
	} else if (is_record && !d->is_kept) {
		add_to(b, &b->defs, &d->tag, b->chunk_count - 1);
		c->droppable = true;
	} else
		c->pinned = true;
}

/* A declaration begins at `t`; takes its tokens up to the `;` or `}` that ends it. */
static void cut_declaration(struct bundle *b, uint32_t header, struct lexer *l, struct token t)
{
	struct chunk *c = add_chunk(b, header, t.p - ab_bundled_headers[header].text);
	uint32_t index = b->chunk_count - 1;
	struct declaration d = { .first = t };

	if (!c)
		return;
	for (; t.kind != TOKEN_END && !d.done && !b->failed; t = lexer_next(l)) {
		d.tokens++;
		if (t.kind == TOKEN_DIRECTIVE)
			d.is_kept = true;
		else if (t.kind == TOKEN_NAME) {
			bool only_named = d.is_pointer && (token_is(&d.last, "struct") || token_is(&d.last, "union"));

			see_name(&d, &t);
			if (!only_named)
				add_to(b, &b->refs, &t, 0);
		} else if (t.kind == TOKEN_PUNCT)
			see_punct(&d, *t.p);
		d.last = t;
		b->chunks[index].end = t.p + t.n - ab_bundled_headers[header].text;
		if (d.done)
			break;
	}
	if (!b->failed)
		finish_chunk(b, &d);
}

static void cut_header(struct bundle *b, uint32_t header)
{
	struct lexer l = lexer_start(ab_bundled_headers[header].text, ab_bundled_headers[header].size);
	struct token t;

	while (!b->failed && (t = lexer_next(&l)).kind != TOKEN_END) {
		if (t.kind == TOKEN_DIRECTIVE)
			cut_directive(b, header, &t);
		else if (!token_is(&t, ";"))
			cut_declaration(b, header, &l, t);
	}
}

static int compare_names(const char *a, size_t an, const char *b, size_t bn)
{
	int r = memcmp(a, b, MIN(an, bn));

	return r ? r : (an > bn) - (an < bn);
}

static int compare_defs(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return compare_names(x->p, x->n, y->p, y->n);
}

int ab_bundle_new(struct bundle **ret_bundle, struct ab_error *err)
{
	struct bundle *b = array_new(1, sizeof(*b));

	if (!b)
		return ab_fail_memory(err);
	for (uint32_t i = 0; ab_bundled_headers[i].name; i++)
		cut_header(b, i);
	if (b->failed) {
		ab_bundle_free(b);
		return ab_fail_memory(err);
	}
	qsort(b->defs.v, b->defs.n, sizeof(*b->defs.v), compare_defs);
	*ret_bundle = b;
	return 0;
}

void ab_bundle_free(struct bundle *b)
{
	if (!b)
		return;
	free(b->chunks);
	free(b->refs.v);
	free(b->defs.v);
	free(b);
}

/* ---- reaching ---- */

struct walk {
	const struct bundle *b;
	struct strmap *names;
	const char **todo; /* keys of names whose definitions are still to be followed */
	size_t n, cap;
	bool *seen;        /* per chunk */
	bool failed;
};

static void push(struct walk *w, const char *p, size_t n)
{
	bool is_new = false;
	struct strmap_entry *e = strmap_put(w->names, p, n, &is_new);

	if (e && !is_new)
		return;
	if (e && w->n == w->cap) {
		const char **todo = reallocarray(w->todo, 2 * w->cap, sizeof(*todo));

		if (todo)
			w->todo = todo;
		w->cap = todo ? 2 * w->cap : w->cap;
	}
	if (!e || w->n == w->cap)
		w->failed = true;
	else
		w->todo[w->n++] = e->key;
}

static size_t first_def(const struct bundle *b, const char *p, size_t n)
{
	size_t low = 0, high = b->defs.n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare_names(b->defs.v[middle].p, b->defs.v[middle].n, p, n) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_prefix(const struct name *d, const char *p, size_t n)
{
	return d->n >= n && memcmp(d->p, p, n) == 0;
}

/*
 * A name in a bundled macro that declares nothing itself may be the first half of names that the macro pastes together,
 * ___core_read with a number behind it: these are reached too.
 */
static void push_pasted(struct walk *w, const struct name *ref)
{
	const struct names *defs = &w->b->defs;
	size_t i = first_def(w->b, ref->p, ref->n);

	if (ref->n < 6 || i == defs->n || defs->v[i].n == ref->n)
		return;
	for (; i < defs->n && has_prefix(&defs->v[i], ref->p, ref->n); i++)
		push(w, defs->v[i].p, defs->v[i].n);
}

static void follow_chunk(struct walk *w, uint32_t chunk)
{
	const struct chunk *c = &w->b->chunks[chunk];

	if (w->seen[chunk])
		return;
	w->seen[chunk] = true;
	for (uint32_t i = 0; i < c->ref_count; i++) {
		const struct name *ref = &w->b->refs.v[c->first_ref + i];

		push(w, ref->p, ref->n);
		push_pasted(w, ref);
	}
}

static void follow_name(struct walk *w, const char *p, size_t n)
{
	const struct names *defs = &w->b->defs;

	for (size_t i = first_def(w->b, p, n); i < defs->n && defs->v[i].n == n && has_prefix(&defs->v[i], p, n); i++)
		follow_chunk(w, defs->v[i].chunk);
}

/* The headers that a program includes, through each other too, as bits. */
static uint64_t find_included(const struct bundle *b, const struct strmap *includes)
{
	uint64_t all = 0, before = 1;

	for (uint32_t i = 0; ab_bundled_headers[i].name; i++)
		if (strmap_find(includes, ab_bundled_headers[i].name, strlen(ab_bundled_headers[i].name)))
			all |= 1ull << i;
	while (all != before) {
		before = all;
		for (uint32_t i = 0; ab_bundled_headers[i].name; i++)
			all |= all >> i & 1 ? b->includes[i] : 0;
	}
	return all;
}

int ab_bundle_reach(const struct bundle *b, const struct strmap *includes, struct strmap *names, struct ab_error *err)
{
	struct walk w = { .b = b, .names = names, .cap = names->n + 1024 };
	uint64_t included = find_included(b, includes);

	w.todo = reallocarray(NULL, w.cap, sizeof(*w.todo));
	w.seen = array_new(b->chunk_count, sizeof(*w.seen));
	w.failed = !w.todo || !w.seen;
	for (size_t i = 0; i < names->n && !w.failed; i++)
		w.todo[w.n++] = names->entries[i].key;
	for (uint32_t i = 0; i < b->chunk_count && !w.failed; i++)
		if (b->chunks[i].pinned && included >> b->chunks[i].header & 1)
			follow_chunk(&w, i);
	while (w.n && !w.failed) {
		const char *key = w.todo[--w.n];

		follow_name(&w, key, strlen(key));
	}
	free(w.todo);
	free(w.seen);
	return w.failed ? ab_fail_memory(err) : 0;
}

/* ---- writing ---- */

static void add_blank_lines(struct text *out, const char *p, const char *end)
{
	while ((p = memchr(p, '\n', end - p))) {
		text_putc(out, '\n');
		p++;
	}
}

/* Which chunks nothing reaches. */
static bool *find_dropped(const struct bundle *b, size_t header, const struct strmap *names)
{
	bool *dropped = array_new(b->chunk_count, sizeof(*dropped));

	for (uint32_t i = 0; dropped && i < b->chunk_count; i++)
		dropped[i] = names && b->chunks[i].droppable && b->chunks[i].header == header;
	for (size_t i = 0; dropped && i < b->defs.n; i++) {
		const struct name *d = &b->defs.v[i];

		if (dropped[d->chunk] && strmap_find(names, d->p, d->n))
			dropped[d->chunk] = false;
	}
	return dropped;
}

int ab_bundle_write(const struct bundle *b, size_t index, const struct strmap *names, struct text *out,
		    struct ab_error *err)
{
	const struct bundled_header *h = &ab_bundled_headers[index];
	_free_ bool *dropped = find_dropped(b, index, names);
	size_t done = 0;

	if (!dropped)
		return ab_fail_memory(err);
	for (uint32_t i = 0; i < b->chunk_count; i++) {
		const struct chunk *c = &b->chunks[i];

		if (!dropped[i])
			continue;
		text_add(out, h->text + done, c->begin - done);
		add_blank_lines(out, h->text + c->begin, h->text + c->end);
		done = c->end;
	}
	text_add(out, h->text + done, h->size - done);
	return out->failed ? ab_fail_memory(err) : 0;
}
