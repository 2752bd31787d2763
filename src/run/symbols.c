/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The parts of the symbolizer that kernel and processes share: sorted tables, demangling, the names handed out. */
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <time.h>
#undef ARRAY_SIZE /* the same in base.h */
#include "symbols.h"

/* How far back a lookup goes for a longer entry around the nearest one: labels inside of a function written in assembly. */
#define NESTED_MAX 32
/* Demangled output grows exponentially for names that are made for it; real ones end long before. */
#define DEMANGLED_MAX 8192

void ab_symtab_clear(struct ab_symtab *t)
{
	free(t->syms);
	text_clear(&t->names);
	*t = (struct ab_symtab){ .newest_wins = t->newest_wins };
}

static struct ab_sym *add_entry(struct ab_symtab *t)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		struct ab_sym *syms = realloc(t->syms, cap * sizeof(*syms));

		if (!syms) {
			t->failed = true;
			return NULL;
		}
		t->syms = syms;
		t->cap = cap;
	}
	return &t->syms[t->n++];
}

void ab_symtab_add(struct ab_symtab *t, uint64_t start, uint64_t size, int rank, const char *name, size_t len)
{
	struct ab_sym *sym;
	size_t at;

	if (!t->names.n)
		text_putc(&t->names, '\0');
	at = t->names.n + 1;
	if (len > UINT32_MAX / 2 || at > UINT32_MAX / 2)
		return;
	if (!text_reserve(&t->names, len + 2)) {
		t->failed = true;
		return;
	}
	sym = add_entry(t);
	if (!sym)
		return;
	text_putc(&t->names, (char)rank);
	text_add(&t->names, name, len);
	text_putc(&t->names, '\0');
	*sym = (struct ab_sym){ start, MIN(size, UINT32_MAX), at };
}

void ab_symtab_add_end(struct ab_symtab *t, uint64_t address)
{
	struct ab_sym *sym = add_entry(t);

	if (sym)
		*sym = (struct ab_sym){ address, 0, 0 };
}

static int sym_rank(const struct ab_symtab *t, const struct ab_sym *sym)
{
	return sym->name ? t->names.p[sym->name - 1] : SYM_END;
}

/* Of several names of one address, the one that people know: global before local and weak, fewer underscores in front. */
static int compare_syms(const void *pa, const void *pb, void *ctx)
{
	const struct ab_sym *a = pa, *b = pb;
	const struct ab_symtab *t = ctx;
	int rank_a, rank_b;
	size_t under_a, under_b;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (t->newest_wins)
		return a->name > b->name ? -1 : a->name < b->name;
	rank_a = sym_rank(t, a);
	rank_b = sym_rank(t, b);
	if (rank_a != rank_b)
		return rank_b - rank_a;
	if (!a->name || !b->name)
		return !a->name - !b->name;
	under_a = strspn(ab_sym_name(t, a), "_");
	under_b = strspn(ab_sym_name(t, b), "_");
	if (under_a != under_b)
		return under_a < under_b ? -1 : 1;
	return strcmp(ab_sym_name(t, a), ab_sym_name(t, b));
}

static bool is_sorted(const struct ab_symtab *t)
{
	for (size_t i = 1; i < t->n; i++)
		if (t->syms[i].start < t->syms[i - 1].start)
			return false;
	return true;
}

/* Tables that come in order, as the kernel's mostly does, need only the entries of one address put in order. */
static void sort_syms(struct ab_symtab *t)
{
	if (!is_sorted(t)) {
		qsort_r(t->syms, t->n, sizeof(*t->syms), compare_syms, t);
		return;
	}
	for (size_t i = 0, end; i < t->n; i = end) {
		for (end = i + 1; end < t->n && t->syms[end].start == t->syms[i].start; end++)
			;
		if (end - i > 1)
			qsort_r(t->syms + i, end - i, sizeof(*t->syms), compare_syms, t);
	}
}

void ab_symtab_finish(struct ab_symtab *t)
{
	size_t kept = 0;

	if (!t->n)
		return;
	sort_syms(t);
	for (size_t i = 0, next; i < t->n; i = next) {
		struct ab_sym sym = t->syms[i];

		for (next = i + 1; next < t->n && t->syms[next].start == sym.start; next++)
			sym.size = MAX(sym.size, t->newest_wins ? 0 : t->syms[next].size);
		if (!sym.size && next < t->n)
			sym.size = MIN(t->syms[next].start - sym.start, UINT32_MAX);
		if (sym.name && sym.size)
			t->syms[kept++] = sym;
	}
	t->n = kept;
	if (kept && kept < t->cap) {
		struct ab_sym *syms = realloc(t->syms, kept * sizeof(*syms));

		if (syms) {
			t->syms = syms;
			t->cap = kept;
		}
	}
}

const struct ab_sym *ab_symtab_find(const struct ab_symtab *t, uint64_t address)
{
	const struct ab_sym *best = NULL;
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->syms[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i > 0 && low - i < NESTED_MAX; i--) {
		const struct ab_sym *sym = &t->syms[i - 1];

		if (address - sym->start >= sym->size)
			continue;
		if (!t->newest_wins)
			return sym;
		if (!best || sym->name > best->name)
			best = sym;
	}
	return best;
}

/* ---- names ---- */

struct demangled {
	struct text out;
	jmp_buf too_long;
};

static void take_demangled(const char *p, size_t n, void *ctx)
{
	struct demangled *d = ctx;

	text_add(&d->out, p, n);
	if (d->out.n > DEMANGLED_MAX || d->out.failed)
		longjmp(d->too_long, 1);
}

char *ab_demangle(const char *name)
{
	struct demangled d = {};
	volatile int ok = 0;

	/* The callback variants keep what they build on the stack, so that a jump out of them loses nothing. */
	if (!str_starts(name, "_Z") && !str_starts(name, "_R") && !str_starts(name, "__Z"))
		return NULL;
	if (!setjmp(d.too_long)) {
		ok = rust_demangle_callback(name, DMGL_NO_OPTS, take_demangled, &d);
		if (!ok) {
			d.out.n = 0;
			ok = cplus_demangle_v3_callback(name, DMGL_NO_OPTS, take_demangled, &d);
		}
	}
	if (!ok || !d.out.n) {
		text_clear(&d.out);
		return NULL;
	}
	return text_take(&d.out);
}

const char *ab_symbols_intern(struct ab_symbols *s, const char *name, bool demangle)
{
	struct strmap_entry *entry;
	bool is_new;

	entry = strmap_put(&s->names, name, strlen(name), &is_new);
	if (!entry)
		return NULL;
	if (is_new)
		entry->value = (uintptr_t)ab_demangle(name);
	return demangle && entry->value ? (const char *)entry->value : entry->key;
}

uint64_t ab_symbols_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

AB_API int ab_symbols_new(struct ab_symbols **ret_symbols, struct ab_error *err)
{
	struct ab_symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return ab_fail_memory(err);
	*ret_symbols = s;
	return 0;
}

AB_API void ab_symbols_free(struct ab_symbols *symbols)
{
	if (!symbols)
		return;
	ab_processes_free(symbols);
	ab_symtab_clear(&symbols->kernel.table);
	for (size_t i = 0; i < symbols->names.n; i++)
		free((void *)symbols->names.entries[i].value);
	strmap_clear(&symbols->names);
	free(symbols);
}
