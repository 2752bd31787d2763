/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Minimized BTF out of a pack. Libraries have all of run but this, as they have no packs. */
#include <btf/core.h>
#include <btf/min.h>
#include <btf/pack.h>
#include "min.h"

/* A kernel and those of its modules whose types the object may need. */
struct source {
	const struct ab_pack *pack;
	size_t kernel, *modules, n_modules;
	struct ab_btf *btf, **module_btfs;
};

/* What the object asks for: the root of each relocation, once. */
static int find_modules(const struct ab_min *min, struct source *s, struct ab_error *err)
{
	_free_ struct ab_pack_type *types = array_new(min->ext->n_relos, sizeof(*types));
	_free_ bool *seen = array_new(ab_btf_count(min->btf), sizeof(*seen));
	struct ab_pack_defs *defs;
	size_t n = 0;
	int r;

	if (!types || !seen)
		return ab_fail_memory(err);
	for (size_t i = 0; i < min->ext->n_relos; i++) {
		const struct bpf_core_relo *relo = &min->ext->relos[i].relo;
		const struct btf_type *t = ab_btf_type(min->btf, relo->type_id);

		if (relo->kind == BPF_CORE_TYPE_ID_LOCAL || relo->type_id >= ab_btf_count(min->btf) || seen[relo->type_id])
			continue;
		seen[relo->type_id] = true;
		types[n++] = (struct ab_pack_type){ ab_btf_kind(t), ab_btf_name(min->btf, t) };
	}
	r = ab_pack_defs_open(s->pack, s->kernel, &defs, err);
	if (r < 0)
		return r;
	r = ab_pack_modules(defs, types, n, &s->modules, &s->n_modules, err);
	ab_pack_defs_close(defs);
	return r;
}

static int open_extracted(const struct source *s, size_t index, struct ab_btf **ret_btf, struct ab_error *err)
{
	_free_ void *data = NULL;
	size_t size;
	int r = ab_pack_extract(s->pack, index, &data, &size, err);

	if (r < 0)
		return r;
	return index == s->kernel ? ab_btf_open_mem(data, size, ret_btf, err) :
				    ab_btf_open_split_mem(data, size, s->btf, ret_btf, err);
}

static int open_source(const struct ab_min *min, struct source *s, struct ab_error *err)
{
	int r = find_modules(min, s, err);

	if (!r)
		r = open_extracted(s, s->kernel, &s->btf, err);
	s->module_btfs = array_new(s->n_modules, sizeof(*s->module_btfs));
	if (!r && !s->module_btfs)
		r = ab_fail_memory(err);
	for (size_t i = 0; !r && i < s->n_modules; i++)
		r = open_extracted(s, s->modules[i], &s->module_btfs[i], err);
	return r;
}

static void close_source(struct source *s)
{
	for (size_t i = 0; s->module_btfs && i < s->n_modules; i++)
		ab_btf_close(s->module_btfs[i]);
	ab_btf_close(s->btf);
	free(s->module_btfs);
	free(s->modules);
}

int ab_min_pack(const struct ab_min *min, const struct ab_pack *pack, size_t kernel, void **ret_btf, size_t *ret_size,
		struct ab_error *err)
{
	struct source s = { .pack = pack, .kernel = kernel };
	int r = open_source(min, &s, err);

	if (!r)
		r = ab_btf_minimize(min->btf, min->ext, s.btf, (const struct ab_btf *const *)s.module_btfs, s.n_modules, ret_btf,
				    ret_size, err);
	close_source(&s);
	return r;
}
