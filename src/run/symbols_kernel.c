/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Kernel addresses to names: /proc/kallsyms, with modules and BPF programs, read once.
 *
 * kallsyms has no sizes. A function ends where the next symbol of any type starts, so data symbols, which are not kept,
 * and the linker's end marks still bound the code before them. The last symbol of each module gets a bound of its own.
 */
#include "symbols.h"

/* Nothing is known of the end of a module's last symbol; few functions are larger. */
#define LAST_SYMBOL_MAX (64 << 10)
/* An address that is not found may belong to a module or BPF program that came later: read again, ever more rarely. */
#define RETRY_FIRST_NS 1000000000ull
#define RETRY_LAST_NS (64 * RETRY_FIRST_NS)

struct kallsyms_line {
	uint64_t address;
	char type;
	const char *name, *module;
	size_t name_len, module_len;
};

/* "ffffffff81000000 T name" or "... t name\t[module]" */
static bool parse_line(const char *p, const char *end, struct kallsyms_line *ret)
{
	const char *start = p;
	uint64_t address = 0;

	for (; p < end && *p != ' '; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) >= 'a' && (*p | 32) <= 'f' ? (*p | 32) - 'a' + 10 : -1;

		if (digit < 0 || p - start >= 16)
			return false;
		address = address << 4 | digit;
	}
	if (p == start || end - p < 4 || p[2] != ' ')
		return false;
	*ret = (struct kallsyms_line){ .address = address, .type = p[1], .name = p + 3 };
	for (p += 3; p < end && *p != '\t' && *p != '\n' && *p != ' '; p++)
		;
	ret->name_len = p - ret->name;
	while (p < end && (*p == '\t' || *p == ' '))
		p++;
	if (p < end && *p == '[') {
		ret->module = ++p;
		while (p < end && *p != ']' && *p != '\n')
			p++;
		ret->module_len = p - ret->module;
	}
	return ret->name_len > 0 && !memchr(ret->name, 0, ret->name_len) &&
	       !(ret->module && memchr(ret->module, 0, ret->module_len));
}

static bool is_end_mark(const struct kallsyms_line *line)
{
	static const char *const names[] = { "_etext", "_einittext", "_end", "__init_end" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == line->name_len && !memcmp(names[i], line->name, line->name_len))
			return true;
	return !strchr("tTwW", line->type);
}

static void add_line(struct ab_symtab *t, const struct kallsyms_line *line)
{
	int rank = line->type == 'T' ? SYM_GLOBAL : line->type == 't' ? SYM_LOCAL : SYM_WEAK;

	if (is_end_mark(line)) {
		/* Runs of data symbols are as good as their first one. */
		if (!t->n || t->syms[t->n - 1].name || t->syms[t->n - 1].start > line->address)
			ab_symtab_add_end(t, line->address);
		return;
	}
	ab_symtab_add(t, line->address, 0, rank, line->name, line->name_len);
	if (line->module)
		text_add(&t->names, line->module, line->module_len);
	text_putc(&t->names, '\0');
}

/* kallsyms lists module after module; what was added since `from` is one of them. */
static void end_module(struct ab_symtab *t, size_t from)
{
	uint64_t last = 0;

	for (size_t i = from; i < t->n; i++)
		last = MAX(last, t->syms[i].start);
	if (t->n > from && last < UINT64_MAX - LAST_SYMBOL_MAX)
		ab_symtab_add_end(t, last + LAST_SYMBOL_MAX);
}

int ab_kallsyms_parse(struct ab_symtab *t, FILE *in, const char *path, struct ab_error *err)
{
	_free_ char *buf = NULL, *module = NULL;
	struct kallsyms_line line;
	size_t cap = 0, from = 0, module_len = 0;
	bool visible = false;
	ssize_t n;

	while ((n = getline(&buf, &cap, in)) > 0) {
		if (!parse_line(buf, buf + n, &line))
			continue;
		if (line.module_len != module_len || (module_len && memcmp(line.module, module, module_len))) {
			end_module(t, from);
			from = t->n;
			free(module);
			module_len = line.module_len;
			module = strndup(line.module ? line.module : "", module_len);
			if (!module)
				return ab_fail_memory(err);
		}
		visible |= line.address && strchr("tTwW", line.type);
		add_line(t, &line);
	}
	if (ferror(in))
		return ab_fail_errno(err, -EIO, "cannot read '%s'", path);
	end_module(t, from);
	if (t->failed || t->names.failed)
		return ab_fail_memory(err);
	if (t->n && !visible)
		return ab_fail(err, AB_ERROR_PERMISSION, -EPERM,
			       "'%s' hides the kernel's addresses: needs root (CAP_SYSLOG) and sysctl kernel.kptr_restrict=1 or 0",
			       path);
	if (!t->n)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
			       "'%s' is empty: naming kernel addresses needs a kernel with CONFIG_KALLSYMS=y", path);
	ab_symtab_finish(t);
	return 0;
}

static int read_kallsyms(struct ab_symtab *t, struct ab_error *err)
{
	const char *path = "/proc/kallsyms";
	_fclose_ FILE *in = fopen(path, "re");

	if (!in && errno == ENOENT)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP,
			       "no '%s': naming kernel addresses needs /proc and a kernel with CONFIG_KALLSYMS=y", path);
	if (!in)
		return ab_fail_errno(err, -errno, "cannot open '%s'", path);
	setvbuf(in, NULL, _IOFBF, 1 << 16);
	return ab_kallsyms_parse(t, in, path, err);
}

/* Replaces the table only by a good one. A failure is remembered: stacks ask for thousands of addresses. */
static int load_kallsyms(struct ab_kallsyms *k)
{
	struct ab_error err = {};
	struct ab_symtab t = {};
	int ret = read_kallsyms(&t, &err);

	k->loaded_ns = ab_symbols_now();
	if (ret < 0) {
		ab_symtab_clear(&t);
		if (!k->state) {
			k->state = ret;
			k->error = err;
		}
		return ret;
	}
	ab_symtab_clear(&k->table);
	k->table = t;
	k->state = 1;
	return 0;
}

static bool worth_retry(struct ab_kallsyms *k)
{
	if (!k->retry_ns)
		k->retry_ns = RETRY_FIRST_NS;
	if (ab_symbols_now() - k->loaded_ns < k->retry_ns)
		return false;
	k->retry_ns = MIN(k->retry_ns * 2, RETRY_LAST_NS);
	return true;
}

AB_API int ab_symbols_kernel(struct ab_symbols *symbols, uint64_t address, struct ab_symbol *ret, struct ab_error *err)
{
	struct ab_kallsyms *k = &symbols->kernel;
	const struct ab_sym *sym;
	const char *name;

	if (!k->state)
		load_kallsyms(k);
	if (k->state < 0)
		return ab_fail(err, k->error.kind, k->state, "%s", k->error.msg);
	sym = ab_symtab_find(&k->table, address);
	if (!sym && worth_retry(k) && load_kallsyms(k) == 0) {
		sym = ab_symtab_find(&k->table, address);
		if (sym)
			k->retry_ns = RETRY_FIRST_NS;
	}
	if (!sym) {
		*ret = (struct ab_symbol){ .offset = address };
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel symbol at 0x%llx", (unsigned long long)address);
	}
	name = ab_sym_name(&k->table, sym);
	*ret = (struct ab_symbol){ .name = ab_symbols_intern(symbols, name, true), .offset = address - sym->start };
	name += strlen(name) + 1;
	ret->module = ab_symbols_intern(symbols, *name ? name : "kernel", false);
	return ret->name && ret->module ? 0 : ab_fail_memory(err);
}
