/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Functions: by name across kernels, and by the types of their result and parameters in one. */
#include <fnmatch.h>
#include "types.h"

struct search {
	const struct ab_btf *btf;
	const char *name, *returns, *takes; /* NULL: any */
	struct text *out;
	struct json *j;                     /* NULL: text */
	uint32_t count, limit;
};

static void put_func(struct search *s, uint32_t id)
{
	if (s->count++ >= s->limit)
		return;
	if (s->j) {
		json_open(s->j, '{');
		ab_types_print_json(s->btf, id, s->j);
		json_close(s->j, '}');
	} else {
		ab_types_prototype(s->btf, id, s->out);
		text_puts(s->out, ";\n");
	}
}

/* ---- types as people write them ---- */

static bool is_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Leaves white space between words only, and qualifiers out: "const struct sock*" and "struct sock *" are the same. */
static char *normalize_type(const char *type)
{
	static const char *const dropped[] = { "const", "volatile", "restrict" };
	struct text t = {};

	while (*type) {
		size_t n = 0;
		bool drop = false;

		while (is_word(type[n]))
			n++;
		if (!n) {
			if (*type != ' ' && *type != '\t')
				text_putc(&t, *type);
			type++;
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
			drop |= strlen(dropped[i]) == n && !memcmp(dropped[i], type, n);
		if (!drop) {
			if (t.n && is_word(t.p[t.n - 1]))
				text_putc(&t, ' ');
			text_add(&t, type, n);
		}
		type += n;
	}
	return text_take(&t);
}

static bool is_type(const struct ab_btf *btf, uint32_t id, const char *wanted)
{
	_text_ struct text name = {};
	_free_ char *normal = NULL;

	ab_btf_type_name(btf, id, &name);
	normal = name.p ? normalize_type(name.p) : NULL;
	return normal && !strcmp(normal, wanted);
}

/* Most types are told apart without writing them down: by the name at the end of the pointers. */
struct wanted {
	char *text;         /* normalized; NULL: any */
	int8_t *known;      /* by id: 0 not looked at, 1 it is, -1 it is not */
};

static bool is_wanted(const struct ab_btf *btf, uint32_t id, struct wanted *w)
{
	if (id >= ab_btf_count(btf))
		return false;
	if (!w->known[id])
		w->known[id] = is_type(btf, id, w->text) ? 1 : -1;
	return w->known[id] > 0;
}

static bool takes_type(const struct ab_btf *btf, const struct btf_type *proto, struct wanted *w)
{
	const struct btf_param *p = ab_btf_data(proto);

	for (uint32_t i = 0; i < ab_btf_vlen(proto); i++)
		if (p[i].type && is_wanted(btf, p[i].type, w))
			return true;
	return false;
}

static void search_funcs(struct search *s, struct wanted *returns, struct wanted *takes)
{
	for (uint32_t id = 1; id < ab_btf_count(s->btf) && !s->out->failed; id++) {
		const struct btf_type *t = ab_btf_type(s->btf, id), *proto;

		if (ab_btf_kind(t) != BTF_KIND_FUNC || (s->name && fnmatch(s->name, ab_btf_name(s->btf, t), 0)))
			continue;
		proto = ab_btf_type(s->btf, t->type);
		if (ab_btf_kind(proto) == BTF_KIND_FUNC_PROTO &&
		    (!returns->text || is_wanted(s->btf, proto->type, returns)) &&
		    (!takes->text || takes_type(s->btf, proto, takes)))
			put_func(s, id);
	}
}

static int make_wanted(struct wanted *w, const char *type, uint32_t n, struct ab_error *err)
{
	if (!type)
		return 0;
	w->text = normalize_type(type);
	w->known = array_new(n, 1);
	return w->text && w->known ? 0 : ab_fail_memory(err);
}

static void clear_wanted(struct wanted *w)
{
	free(w->text);
	free(w->known);
}

static int run_search(struct search *s, struct ab_error *err)
{
	struct wanted returns = {}, takes = {};
	int r = make_wanted(&returns, s->returns, ab_btf_count(s->btf), err);

	if (!r)
		r = make_wanted(&takes, s->takes, ab_btf_count(s->btf), err);
	if (!r)
		search_funcs(s, &returns, &takes);
	clear_wanted(&returns);
	clear_wanted(&takes);
	return r;
}

static void begin_answer(struct search *s, const struct ab_kernel *kernel)
{
	if (!s->j) {
		text_puts(s->out, "/* ");
		ab_types_put_kernel(kernel, s->out);
		text_puts(s->out, " */\n");
		return;
	}
	json_open(s->j, '{');
	ab_types_json_kernel(s->j, "kernel", kernel);
	json_key(s->j, "functions");
	json_open(s->j, '[');
}

static void end_answer(struct search *s)
{
	uint32_t left_out = s->count - MIN(s->count, s->limit);

	if (s->j) {
		json_close(s->j, ']');
		json_member_uint(s->j, "left_out", left_out);
		json_close(s->j, '}');
	} else if (left_out) {
		text_printf(s->out, "… and %u more\n", left_out);
	}
}

/* Whether some of the names occur decides whether all types are needed. */
static int find_funcs(const struct ab_types *types, size_t index, struct search *s, const char *const *names,
		      size_t n_names, struct ab_error *err)
{
	struct ab_btf *btf = NULL;
	int r = ab_types_get(types, index, names, n_names, NULL, &btf, NULL, err);

	if (r < 0)
		return r;
	s->btf = btf;
	begin_answer(s, ab_types_kernel(types, index));
	r = run_search(s, err);
	end_answer(s);
	ab_types_put(types, btf);
	if (!r && !s->count)
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel %s has no such function",
			    ab_types_kernel(types, index)->release);
	return r;
}

int ab_types_find(const struct ab_types *types, const char *name, const char *returns, const char *takes,
		  const struct ab_types_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err)
{
	_text_ struct text out = {};
	struct json j = { &out };
	struct search s = { .name = name, .returns = returns, .takes = takes, .out = &out,
			    .j = OPT(opts, form) == AB_TYPES_JSON ? &j : NULL,
					    .limit = OPT(opts, limit) ? opts->limit : TYPES_LIMIT };
	size_t index;
	int r = ab_types_select_one(types, OPT(opts, kernel), OPT(opts, arch), &index, err);

	if (!r)
		r = find_funcs(types, index, &s, NULL, 0, err);
	return r < 0 ? r : ab_types_finish(&out, ret_text, ret_size, err);
}

/* ---- func ---- */

struct names {
	char **v;
	size_t n;
	bool failed;
};

static int take_name(void *ctx, uint32_t kind, const char *name)
{
	struct names *names = ctx;
	char **v = reallocarray(names->v, names->n + 1, sizeof(*v));

	names->v = v ? v : names->v;
	if (v)
		v[names->n] = strdup(name);
	names->failed |= !v || !v[names->n];
	names->n += v != NULL;
	return names->failed;
}

static int find_matching(const struct ab_types *types, const char *glob, struct search *s,
			 const struct ab_types_opts *opts, struct ab_error *err)
{
	struct names names = {};
	size_t index;
	int r = ab_types_select_one(types, OPT(opts, kernel), OPT(opts, arch), &index, err);

	if (!r)
		r = ab_types_each(types, index, BTF_KIND_FUNC, glob, take_name, &names, err);
	if (names.failed)
		r = ab_fail_memory(err);
	if (!r && !names.n)
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel %s has no function that matches '%s'",
			    ab_types_kernel(types, index)->release, glob);
	if (!r)
		r = find_funcs(types, index, s, (const char *const *)names.v, names.n, err);
	for (size_t i = 0; i < names.n; i++)
		free(names.v[i]);
	free(names.v);
	return r;
}

int ab_types_func(const struct ab_types *types, const char *name, const struct ab_types_opts *opts, char **ret_text,
		  size_t *ret_size, struct ab_error *err)
{
	_text_ struct text out = {}, path = {};
	struct json j = { &out };
	struct search s = { .name = ab_types_bare(name), .out = &out, .j = OPT(opts, form) == AB_TYPES_JSON ? &j : NULL,
			    .limit = OPT(opts, limit) ? opts->limit : TYPES_LIMIT };
	int r;

	if (!ab_types_is_glob(name)) {
		text_printf(&path, "func %s", ab_types_bare(name));
		return path.failed ? ab_fail_memory(err) :
				     ab_types_history(types, path.p, opts, ret_text, ret_size, err);
	}
	r = find_matching(types, s.name, &s, opts, err);
	return r < 0 ? r : ab_types_finish(&out, ret_text, ret_size, err);
}
