/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Type queries: which kernels there are, the types of one of them, names; and showing one type
 * (include/anybpf/types.h).
 */
#include <fnmatch.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <btf/pack.h>
#include "types.h"

#define RUNNING_KERNEL "/sys/kernel/btf/vmlinux"

/* ---- open ---- */

static int open_file(struct ab_types *types, const char *path, struct ab_error *err)
{
	struct utsname machine;
	int r;

	if (path) {
		r = ab_btf_open_file(path, &types->btf, err);
	} else {
		path = RUNNING_KERNEL;
		r = ab_btf_open_kernel(&types->btf, err);
	}
	if (r < 0)
		return r;
	/* A file is a kernel of its name; the running one says its release. */
	uname(&machine);
	types->release = strdup(strcmp(path, RUNNING_KERNEL) ? path_base(path) : machine.release);
	if (!types->release)
		return ab_fail_memory(err);
	types->own = (struct ab_kernel){ .release = types->release, .arch = "", .distribution = "", .flavour = "",
					 .module = "" };
	if (!strcmp(path, RUNNING_KERNEL))
		types->own.arch = types->machine;
	return 0;
}

static struct ab_types *new_types(struct ab_error *err)
{
	struct ab_types *types = array_new(1, sizeof(*types));
	struct utsname machine = {};

	if (!types) {
		ab_fail_memory(err);
		return NULL;
	}
	uname(&machine);
	snprintf(types->machine, sizeof(types->machine), "%s", machine.machine);
	return types;
}

/* A pack begins with bytes of its own; what is no pack has to be BTF. */
int ab_types_open(const char *path, struct ab_types **ret_types, struct ab_error *err)
{
	struct ab_types *types = new_types(err);
	int r;

	if (!types)
		return -ENOMEM;
	r = path && ab_is_pack(path) ? ab_pack_open(path, &types->own_pack, err) : open_file(types, path, err);
	types->pack = types->own_pack;
	if (r < 0) {
		ab_types_close(types);
		return r;
	}
	*ret_types = types;
	return 0;
}

int ab_types_open_pack(const struct ab_pack *pack, struct ab_types **ret_types, struct ab_error *err)
{
	struct ab_types *types = new_types(err);

	if (!types)
		return -ENOMEM;
	types->pack = pack;
	*ret_types = types;
	return 0;
}

void ab_types_close(struct ab_types *types)
{
	if (!types)
		return;
	if (types->own_pack)
		ab_pack_close(types->own_pack);
	ab_btf_close(types->btf);
	free(types->release);
	free(types);
}

/* ---- kernels ---- */

const struct ab_kernel *ab_types_kernel(const struct ab_types *types, size_t index)
{
	return types->pack ? ab_pack_kernel(types->pack, index) : &types->own;
}

static bool matches_glob(const char *pattern, size_t n, const char *s)
{
	_free_ char *part = strndup(pattern, n);

	return !n || (part && fnmatch(part, s, 0) == 0);
}

static bool has_build_id(const struct ab_kernel *k, const char *hex)
{
	char text[41] = "";

	for (unsigned i = 0; i < k->build_id_size && i < sizeof(k->build_id); i++)
		snprintf(text + 2 * i, 3, "%02x", k->build_id[i]);
	return strlen(hex) >= 8 && str_starts(text, hex);
}

/* "5.10" is a part of 5.10.0-8 and 5.10.1, but not of 5.100 or 4.5.10. */
static bool begins_release(const char *release, const char *pattern)
{
	size_t n = strlen(pattern);

	return str_starts(release, pattern) && !(release[n] >= '0' && release[n] <= '9' && pattern[n - 1] >= '0' &&
						 pattern[n - 1] <= '9');
}

/* How well a pattern fits, 0 not at all: of all kernels those count that fit best. */
static int rank(const struct ab_kernel *k, const char *pattern)
{
	const char *slash = strchr(pattern, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;

	if (slash) {
		size_t n = second ? (size_t)(second - slash - 1) : strlen(slash + 1);

		return matches_glob(pattern, slash - pattern, k->distribution) &&
				matches_glob(slash + 1, n, k->release) &&
		       (!second || matches_glob(second + 1, strlen(second + 1), k->arch)) ? 5 : 0;
	}
	if (!strcmp(k->release, pattern))
		return 5;
	if (begins_release(k->release, pattern))
		return 4;
	if (fnmatch(pattern, k->release, 0) == 0)
		return 3;
	if (has_build_id(k, pattern))
		return 2;
	return strstr(k->release, pattern) ? 1 : 0;
}

static int compare_kernels(const void *a, const void *b, void *ctx)
{
	const struct ab_kernel *x = ab_types_kernel(ctx, *(const size_t *)a),
			*y = ab_types_kernel(ctx, *(const size_t *)b);
	int r = strverscmp(x->release, y->release);

	if (!r)
		r = strcmp(x->distribution, y->distribution);
	if (!r)
		r = strcmp(x->arch, y->arch);
	return r ? r : strcmp(x->flavour, y->flavour);
}

static size_t kernel_count(const struct ab_types *types)
{
	return types->pack ? ab_pack_count(types->pack) : 1;
}

/* The machine's architecture where the pack has any of it. */
static const char *choose_arch(const struct ab_types *types, const char *arch)
{
	for (size_t i = 0; !arch && i < kernel_count(types); i++)
		if (!strcmp(ab_types_kernel(types, i)->arch, types->machine))
			return types->machine;
	return arch;
}

static void take_best(const struct ab_types *types, const char *pattern, const char *arch, struct kernels *ret)
{
	int best = 1;

	for (size_t i = 0; i < kernel_count(types); i++) {
		const struct ab_kernel *k = ab_types_kernel(types, i);
		int r = pattern ? rank(k, pattern) : 1;

		if (*k->module || (arch && *k->arch && strcmp(k->arch, arch)) || r < best)
			continue;
		ret->n = r > best ? 0 : ret->n;
		best = r;
		ret->v[ret->n++] = i;
	}
}

static int fail_kernel(const struct ab_types *types, const char *pattern, const char *arch, struct ab_error *err)
{
	struct nearest nearest = { .wanted = pattern, .limit = 7 };

	if (!pattern)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the pack has no kernels%s%s", arch ? " of " : "",
			       arch ? arch : "");
	for (size_t i = 0; i < kernel_count(types); i++)
		nearest_try(&nearest, ab_types_kernel(types, i)->release);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "there is no kernel '%s'%s%s%s%s%s", pattern,
		       arch ? " of " : "", arch ? arch : "", DID_YOU_MEAN(nearest.name));
}

int ab_types_select(const struct ab_types *types, const char *pattern, const char *arch, struct kernels *ret,
		    struct ab_error *err)
{
	struct kernels found = { .v = array_new(kernel_count(types), sizeof(*found.v)) };

	if (!found.v)
		return ab_fail_memory(err);
	pattern = pattern && *pattern ? pattern : NULL;
	arch = choose_arch(types, arch);
	take_best(types, types->pack ? pattern : NULL, arch, &found);
	if (!found.n) {
		free(found.v);
		return fail_kernel(types, pattern, arch, err);
	}
	qsort_r(found.v, found.n, sizeof(*found.v), compare_kernels, (void *)types);
	*ret = found;
	return 0;
}

int ab_types_select_one(const struct ab_types *types, const char *pattern, const char *arch, size_t *ret_index,
			struct ab_error *err)
{
	struct kernels found;
	int r = ab_types_select(types, pattern, arch, &found, err);

	if (r < 0)
		return r;
	/* Of equals the plain one, not the one for clouds or real time. */
	*ret_index = found.v[found.n - 1];
	for (size_t i = found.n; i-- > 0;)
		if (!*ab_types_kernel(types, found.v[i])->flavour) {
			*ret_index = found.v[i];
			break;
		}
	free(found.v);
	return 0;
}

void ab_types_put_kernel(const struct ab_kernel *k, struct text *out)
{
	text_puts(out, k->release);
	if (*k->distribution || *k->arch)
		text_printf(out, " (%s%s%s%s%s)", k->distribution, *k->distribution && *k->arch ? ", " : "", k->arch,
			    *k->flavour ? ", " : "", k->flavour);
}

void ab_types_json_kernel(struct json *j, const char *key, const struct ab_kernel *k)
{
	json_key(j, key);
	json_open(j, '{');
	json_member_str(j, "release", k->release);
	json_member_str(j, "arch", k->arch);
	json_member_str(j, "distribution", k->distribution);
	json_member_str(j, "flavour", k->flavour);
	json_close(j, '}');
}

/* ---- a kernel's types ---- */

static int get_whole(const struct ab_types *types, size_t index, struct ab_btf **ret_btf, struct ab_error *err)
{
	_free_ void *data = NULL;
	size_t size;
	int r = ab_pack_extract(types->pack, index, &data, &size, err);

	return r ? r : ab_btf_open_mem(data, size, ret_btf, err);
}

int ab_types_get(const struct ab_types *types, size_t index, const char *const *names, size_t n_names,
		 const struct seen_keys *seen, struct ab_btf **ret_btf, uint64_t *ret_key, struct ab_error *err)
{
	struct ab_pack_subset_opts opts = { .names = names, .n_names = n_names, .skip_keys = seen ? seen->v : NULL,
					    .n_skip = seen ? seen->n : 0 };
	struct ab_pack_defs *defs;
	int r;

	if (!types->pack) {
		*ret_btf = types->btf;
		if (ret_key)
			*ret_key = 1;
		return 0;
	}
	if (!names)
		return get_whole(types, index, ret_btf, err);
	r = ab_pack_defs_open(types->pack, index, &defs, err);
	if (r < 0)
		return r;
	r = ab_pack_subset(types->pack, defs, &opts, ret_btf, ret_key, err);
	ab_pack_defs_close(defs);
	return r;
}

void ab_types_put(const struct ab_types *types, struct ab_btf *btf)
{
	if (btf != types->btf)
		ab_btf_close(btf);
}

static bool is_asked_kind(uint32_t kind, uint32_t asked)
{
	if (asked)
		return kind == asked;
	return *ab_types_kind_word(kind) && kind != BTF_KIND_FWD;
}

struct each {
	const struct ab_pack_defs *defs;
	uint32_t kind;
	int (*fn)(void *ctx, uint32_t kind, const char *name);
	void *ctx;
};

static int each_def(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	struct each *e = ctx;

	if (!is_asked_kind(kind, e->kind) || !ab_pack_defs_has(e->defs, def))
		return 0;
	return e->fn(e->ctx, kind, name);
}

static int each_type(const struct ab_btf *btf, const char *glob, struct each *e)
{
	int r = 0;

	for (uint32_t id = 1; id < ab_btf_count(btf) && !r; id++) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const char *name = ab_btf_name(btf, t);

		if (*name && is_asked_kind(ab_btf_kind(t), e->kind) && fnmatch(glob, name, 0) == 0)
			r = e->fn(e->ctx, ab_btf_kind(t), name);
	}
	return r;
}

int ab_types_each(const struct ab_types *types, size_t index, uint32_t kind, const char *glob,
		  int (*fn)(void *ctx, uint32_t kind, const char *name), void *ctx, struct ab_error *err)
{
	struct each e = { .kind = kind, .fn = fn, .ctx = ctx };
	struct ab_pack_defs *defs;
	int r;

	if (!types->pack)
		return each_type(types->btf, glob, &e);
	r = ab_pack_defs_open(types->pack, index, &defs, err);
	if (r < 0)
		return r;
	e.defs = defs;
	r = ab_pack_each_def(types->pack, kind, glob, each_def, &e, err);
	ab_pack_defs_close(defs);
	return r;
}

/* ---- names ---- */

static const struct { const char *word; uint32_t kind, other; } keywords[] = {
	{ "struct ", BTF_KIND_STRUCT, 0 }, { "union ", BTF_KIND_UNION, 0 }, { "enum ", BTF_KIND_ENUM, BTF_KIND_ENUM64 },
	{ "typedef ", BTF_KIND_TYPEDEF, 0 }, { "func ", BTF_KIND_FUNC, 0 }, { "var ", BTF_KIND_VAR, 0 },
};

const char *ab_types_bare(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (str_starts(name, keywords[i].word))
			return name + strlen(keywords[i].word) + strspn(name + strlen(keywords[i].word), " ");
	return name;
}

bool ab_types_is_glob(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

uint32_t ab_types_find_name(const struct ab_btf *btf, const char *name)
{
	static const uint32_t order[] = { BTF_KIND_STRUCT, BTF_KIND_UNION, BTF_KIND_TYPEDEF, BTF_KIND_ENUM,
					  BTF_KIND_ENUM64, BTF_KIND_INT,
					  BTF_KIND_FLOAT, BTF_KIND_FUNC, BTF_KIND_VAR, BTF_KIND_FWD };
	const char *bare = ab_types_bare(name);
	uint32_t id = 0;

	for (size_t i = 0; bare != name && i < ARRAY_SIZE(keywords); i++)
		if (str_starts(name, keywords[i].word)) {
			id = ab_btf_find(btf, bare, keywords[i].kind);
			return !id && keywords[i].other ? ab_btf_find(btf, bare, keywords[i].other) : id;
		}
	id = ab_btf_find_c(btf, name);
	for (size_t i = 0; !id && i < ARRAY_SIZE(order); i++)
		id = ab_btf_find(btf, name, order[i]);
	return id;
}

/* The nearest of all names, found once something has failed anyway. */
struct nearest_name {
	const char *wanted;
	char *name;
	uint32_t kind;
	int distance;
};

static int try_name(void *ctx, uint32_t kind, const char *name)
{
	struct nearest_name *n = ctx;
	int distance = str_distance(name, n->wanted, n->distance - 1);

	if (distance < n->distance) {
		free(n->name);
		n->name = strdup(name);
		n->kind = kind;
		n->distance = distance;
	}
	return 0;
}

char *ab_types_nearest(const struct ab_types *types, size_t index, const char *name)
{
	struct nearest_name nearest = { .wanted = ab_types_bare(name),
					.distance = (int)strlen(ab_types_bare(name)) / 4 + 2 };
	struct text meant = {};

	ab_types_each(types, index, 0, "*", try_name, &nearest, NULL);
	if (!nearest.name)
		return NULL;
	ab_types_put_name(nearest.kind, nearest.name, &meant);
	free(nearest.name);
	return text_take(&meant);
}

/* 1: it is what was asked for, and not a type of another kind, or only declared. */
static int is_wanted(void *ctx, uint32_t def, uint32_t kind, const char *name)
{
	const char *wanted = ctx;
	_text_ struct text as_c = {};

	if (kind == BTF_KIND_FWD)
		return 0;
	ab_types_put_name(kind, name, &as_c);
	return wanted == ab_types_bare(wanted) || (as_c.p && !strcmp(as_c.p, wanted));
}

int ab_types_missing(const struct ab_types *types, size_t index, const char *name, struct ab_error *err)
{
	const char *release = ab_types_kernel(types, index)->release;
	_free_ char *meant = NULL;

	if (types->pack && ab_pack_each_def(types->pack, 0, ab_types_bare(name), is_wanted, (void *)name, NULL) > 0)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "kernel %s has no type or function '%s', but others of the pack have: history says which",
			       release, name);
	meant = ab_types_nearest(types, index, name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel %s has no type or function '%s'%s%s%s", release, name,
		       DID_YOU_MEAN(meant));
}

/* ---- show ---- */

static int show_one(const struct ab_types *types, size_t index, const char *name, bool as_json, struct text *out,
		    struct ab_error *err)
{
	const char *names[] = { ab_types_bare(name) };
	struct json j = { out };
	struct ab_btf *btf = NULL;
	int r = ab_types_get(types, index, names, 1, NULL, &btf, NULL, err);
	uint32_t id = r < 0 ? 0 : ab_types_find_name(btf, name);

	if (!r && !id) {
		ab_types_put(types, btf);
		return ab_types_missing(types, index, name, err);
	}
	if (!r && as_json) {
		json_open(&j, '{');
		ab_types_json_kernel(&j, "kernel", ab_types_kernel(types, index));
		ab_types_print_json(btf, id, &j);
		json_close(&j, '}');
	} else if (!r) {
		text_puts(out, "/* ");
		ab_types_put_kernel(ab_types_kernel(types, index), out);
		text_puts(out, " */\n");
		ab_types_print(btf, id, out);
	}
	ab_types_put(types, btf);
	return r;
}

struct list {
	struct text *out;
	struct json *j;      /* NULL: text */
	const char *keyword; /* "" for any */
	uint32_t count, limit;
};

static int list_name(void *ctx, uint32_t kind, const char *name)
{
	const char *word = ab_types_kind_word(kind);
	struct list *l = ctx;

	if ((*l->keyword && strcmp(word, l->keyword)) || l->count++ >= l->limit)
		return 0;
	if (!l->j) {
		text_printf(l->out, "%s %s\n", word, name);
		return 0;
	}
	json_open(l->j, '{');
	json_member_str(l->j, "name", name);
	json_member_str(l->j, "kind", word);
	json_close(l->j, '}');
	return 0;
}

static int show_list(const struct ab_types *types, size_t index, const char *glob, const struct ab_types_opts *opts,
		     struct text *out, struct ab_error *err)
{
	bool as_json = OPT(opts, form) == AB_TYPES_JSON;
	const char *bare = ab_types_bare(glob);
	_free_ char *keyword = strndup(glob, bare == glob ? 0 : strcspn(glob, " "));
	struct json j = { out };
	struct list list = { .out = out, .j = as_json ? &j : NULL, .keyword = keyword,
			     .limit = OPT(opts, limit) ? opts->limit : TYPES_LIMIT };
	int r;

	if (!keyword)
		return ab_fail_memory(err);
	if (as_json) {
		json_open(&j, '{');
		ab_types_json_kernel(&j, "kernel", ab_types_kernel(types, index));
		json_key(&j, "names");
		json_open(&j, '[');
	}
	r = ab_types_each(types, index, 0, bare, list_name, &list, err);
	if (r < 0)
		return r;
	if (as_json) {
		json_close(&j, ']');
		json_member_uint(&j, "left_out", list.count - MIN(list.count, list.limit));
		json_close(&j, '}');
	} else if (list.count > list.limit) {
		text_printf(out, "… and %u more\n", list.count - list.limit);
	}
	if (!list.count)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "kernel %s has no type or function that matches '%s'",
			       ab_types_kernel(types, index)->release, glob);
	return 0;
}

int ab_types_show(const struct ab_types *types, const char *name, const struct ab_types_opts *opts, char **ret_text,
		  size_t *ret_size, struct ab_error *err)
{
	_text_ struct text out = {};
	size_t index;
	int r = ab_types_select_one(types, OPT(opts, kernel), OPT(opts, arch), &index, err);

	if (r < 0)
		return r;
	r = ab_types_is_glob(name) ? show_list(types, index, name, opts, &out, err) :
				     show_one(types, index, name, OPT(opts, form) == AB_TYPES_JSON, &out, err);
	return r < 0 ? r : ab_types_finish(&out, ret_text, ret_size, err);
}
