/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The writer: kernels are added in memory, and committed (pack_commit.c) as one new file. */
#include <fcntl.h>
#include <gelf.h>
#include <sys/file.h>
#include <unistd.h>
#include "pack_encode.h"

/* ---- what the pack has already ---- */

/* A body on its way from string numbers of the file to those of the writer. */
struct import {
	struct walk walk;
	const uint32_t *strings; /* by number in the file: number in the writer */
	uint32_t n_strings, fresh;
	struct buffer out;
};

static void import_raw(struct walk *w, const uint8_t *p, size_t n)
{
	buffer_add(&((struct import *)w)->out, p, n);
}

static void import_str(struct walk *w, uint64_t token)
{
	struct import *i = (struct import *)w;
	uint64_t number = token ? token - 1 : ++i->fresh;

	if (number >= i->n_strings) {
		w->c.bad = true;
		return;
	}
	buffer_varint(&i->out, i->strings[number]);
}

static int import_strings(struct ab_pack_writer *w, const struct ab_pack *pack, uint32_t *numbers, bool keep, struct ab_error *err)
{
	for (uint32_t i = 0; i < pack->n_strings; i++) {
		const char *s;
		size_t n;
		int r = ab_pack_string(pack, i, &s, &n, err);

		if (r < 0)
			return r;
		numbers[i] = n ? ab_table_put(&w->strings, ab_table_key(&w->strings, s, n), s, n, 0, 0) : 0;
		if (numbers[i] == NONE)
			return ab_fail_memory(err);
		if (keep)
			ab_table_item(&w->strings, numbers[i])->final = i + 1;
	}
	return 0;
}

static uint32_t put_def(struct ab_pack_writer *w, struct buffer *body, uint32_t name, uint8_t kind)
{
	uint8_t *p = body->p + TABLE_HEAD;
	size_t size = body->n - TABLE_HEAD;

	return body->failed ? NONE : ab_table_put(&w->defs, ab_table_def_key(&w->defs, p, size, name, kind), p, size, name, kind);
}

/* Takes over a pack's definitions: *ret_defs is by definition of the pack. `keep`: with the numbers that they have there. */
static int import_defs(struct ab_pack_writer *w, const struct ab_pack *pack, bool keep, uint32_t **ret_defs, struct ab_error *err)
{
	_free_ uint32_t *strings = array_new(pack->n_strings, sizeof(*strings)), *defs = array_new(pack->n_defs, sizeof(*defs));
	struct import i = { .walk = { .str = import_str, .raw = import_raw }, .strings = strings, .n_strings = pack->n_strings };
	int r = strings && defs ? import_strings(w, pack, strings, keep, err) : ab_fail_memory(err);

	for (uint32_t n = 0; n < pack->n_defs && r == 0; n++) {
		struct pack_def def;

		r = ab_pack_def(pack, n, &def, err);
		if (r < 0)
			break;
		i.fresh = def.name;
		i.out.n = 0;
		buffer_add(&i.out, (const uint8_t[TABLE_HEAD]){}, TABLE_HEAD);
		if (!ab_pack_walk(&i.walk, def.kind, def.body, def.size)) {
			r = ab_pack_bad_def(pack, n, err);
			break;
		}
		defs[n] = put_def(w, &i.out, strings[def.name], def.kind);
		if (defs[n] == NONE)
			r = ab_fail_memory(err);
		else if (keep)
			ab_table_item(&w->defs, defs[n])->final = n + 1;
	}
	buffer_clear(&i.out);
	if (r == 0)
		*ret_defs = TAKE(defs);
	return r;
}

static int load_old(struct ab_pack_writer *w, struct ab_error *err)
{
	return w->old && !w->old_defs ? import_defs(w, w->old, true, &w->old_defs, err) : 0;
}

/* ---- kernels ---- */

static void free_kernel(struct new_kernel *k)
{
	free((char *)k->key.release);
	free((char *)k->key.arch);
	free((char *)k->key.distribution);
	free((char *)k->key.flavour);
	free((char *)k->key.module);
	free(k->defs);
}

static bool copy_text(const char **to, const char *from)
{
	*to = strdup(from ? from : "");
	return *to;
}

static bool copy_key(struct ab_kernel *to, const struct ab_kernel *from)
{
	*to = (struct ab_kernel){ .build_id_size = MIN(from->build_id_size, sizeof(to->build_id)) };
	memcpy(to->build_id, from->build_id, to->build_id_size);
	return copy_text(&to->release, from->release) && copy_text(&to->arch, from->arch) &&
	       copy_text(&to->distribution, from->distribution) && copy_text(&to->flavour, from->flavour) &&
	       copy_text(&to->module, from->module);
}

static long find_old(const struct ab_pack_writer *w, const struct ab_kernel *key)
{
	for (uint32_t i = 0; w->old && i < w->old->n_kernels; i++)
		if (!w->dropped[i] && ab_kernel_compare(&w->old->kernels[i].key, key) == 0)
			return i;
	return -1;
}

static long find_added(const struct ab_pack_writer *w, const struct ab_kernel *key)
{
	for (size_t i = 0; i < w->n_added; i++)
		if (ab_kernel_compare(&w->added[i].key, key) == 0)
			return (long)i;
	return -1;
}

/* Whether an old kernel has just these definitions. -EBADMSG. */
static int old_has(const struct ab_pack_writer *w, uint32_t old, const uint32_t *defs, uint32_t n, struct ab_error *err)
{
	_free_ uint64_t *bits = NULL;
	int r;

	if (w->old->kernels[old].n_defs != n)
		return 0;
	r = ab_pack_set(w->old, old, &bits, err);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		uint32_t final = ab_table_item(&w->defs, defs[i])->final;

		if (!final || !(bits[(final - 1) / 64] >> (final - 1) % 64 & 1))
			return 0;
	}
	return r < 0 ? r : 1;
}

static bool added_has(const struct new_kernel *k, const uint32_t *defs, uint32_t n)
{
	return k->n_defs == n && !memcmp(k->defs, defs, n * sizeof(*defs));
}

/* A module's kernel has to be there, with the types that the module extends. `defs` NULL: they are known to be those. */
static int check_base(const struct ab_pack_writer *w, const struct ab_kernel *module, const uint32_t *defs, uint32_t n,
		      struct ab_error *err)
{
	bool any = false;

	for (uint32_t i = 0; w->old && i < w->old->n_kernels; i++) {
		int r;

		if (w->dropped[i] || !ab_kernel_is_base(&w->old->kernels[i].key, module))
			continue;
		any = true;
		r = defs ? old_has(w, i, defs, n, err) : 1;
		if (r)
			return r < 0 ? r : 0;
	}
	for (size_t i = 0; i < w->n_added; i++) {
		if (!ab_kernel_is_base(&w->added[i].key, module))
			continue;
		any = true;
		if (!defs || added_has(&w->added[i], defs, n))
			return 0;
	}
	if (any)
		return ab_fail(err, AB_ERROR_CONFLICT, -EEXIST, "module %s: '%s' has other types of its kernel %s (%s)",
			       module->module, w->path,
			       module->release, module->arch);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "module %s: its kernel %s (%s) is not in '%s'; add that first",
		       module->module,
		       module->release, module->arch, w->path);
}

static int fail_conflict(const struct ab_kernel *k, const char *path, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_CONFLICT, -EEXIST,
		       "'%s' has other types of %s%s%s (%s) already; drop those first, or tell the two "
		       "apart by flavour", path, k->release, *k->module ? " module " : "", k->module, k->arch);
}

/* 1: the very same types are there; 0: no such kernel. -EEXIST: others are. */
static int look_up(struct ab_pack_writer *w, const struct new_kernel *k, struct ab_error *err)
{
	long old = find_old(w, &k->key), added = find_added(w, &k->key);
	int r;

	if (old < 0 && added < 0)
		return 0;
	r = added >= 0 ? added_has(&w->added[added], k->defs, k->n_defs) : old_has(w, old, k->defs, k->n_defs, err);
	return r ? r : fail_conflict(&k->key, w->path, err);
}

/* Takes k's memory if it returns 1. */
static int add_kernel(struct ab_pack_writer *w, struct new_kernel *k, const uint32_t *base_defs, uint32_t n_base_defs,
		      struct ab_error *err)
{
	int r = *k->key.module ? check_base(w, &k->key, base_defs, n_base_defs, err) : 0;

	if (r == 0)
		r = look_up(w, k, err);
	if (r)
		return r < 0 ? r : 0;
	if (w->n_added == w->cap_added) {
		size_t cap = MAX(2 * w->cap_added, 16);
		struct new_kernel *added = realloc(w->added, cap * sizeof(*added));

		if (!added)
			return ab_fail_memory(err);
		w->added = added;
		w->cap_added = cap;
	}
	w->added[w->n_added++] = *k;
	*k = (struct new_kernel){};
	return 1;
}

static struct encoder *take_encoder(struct ab_pack_writer *w)
{
	struct encoder *e;

	pthread_mutex_lock(&w->mutex);
	e = w->idle;
	if (e)
		w->idle = e->next;
	pthread_mutex_unlock(&w->mutex);
	return e ? e : ab_encoder_new();
}

/* The section .BTF of an ELF file in memory; other bytes are what they are. */
static int find_btf(const void **btf, size_t *size, Elf **ret_elf, struct ab_error *err)
{
	size_t names;
	Elf *elf;

	if (*size < SELFMAG || memcmp(*btf, ELFMAG, SELFMAG))
		return 0;
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)*btf, *size);
	*ret_elf = elf;
	if (!elf || elf_getshdrstrndx(elf, &names))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "a damaged ELF file");
	for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn; scn = elf_nextscn(elf, scn)) {
		GElf_Shdr h;
		const char *name = gelf_getshdr(scn, &h) && h.sh_type != SHT_NOBITS ? elf_strptr(elf, names, h.sh_name) : NULL;
		Elf_Data *data = name && !strcmp(name, ".BTF") ? elf_rawdata(scn, NULL) : NULL;

		if (!data || !data->d_buf)
			continue;
		*btf = data->d_buf;
		*size = data->d_size;
		return 0;
	}
	return ab_fail(err, AB_ERROR_NO_TYPES, -ENOENT, "an ELF file without BTF (no .BTF section)");
}

/* What DISTRIBUTION/RELEASE/ARCH is made of, so that every kernel can be named. */
static int check_key(const struct ab_kernel *kernel, struct ab_error *err)
{
	const char *const parts[] = { kernel->release, kernel->arch, kernel->distribution, kernel->flavour };

	if (!kernel->release || !*kernel->release)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "a kernel without a release cannot be in a pack");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (const char *p = parts[i]; p && *p; p++)
			if (*p == '/' || (unsigned char)*p <= ' ' || *p == 0x7f)
				return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
					       "'%s' with a space or slash cannot name a kernel in a pack", parts[i]);
	return 0;
}

int ab_pack_writer_add(struct ab_pack_writer *w, const struct ab_kernel *kernel, const void *btf, size_t size, const void *base_btf,
		       size_t base_size, struct ab_error *err)
{
	struct new_kernel k = {};
	const uint32_t *base_defs;
	uint32_t n_base_defs;
	struct encoder *e;
	Elf *elf = NULL;
	int r;

	r = check_key(kernel, err);
	if (r < 0)
		return r;
	if ((kernel->module && *kernel->module) != (base_btf != NULL))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "types of a module come with those of its kernel, and only they do");
	r = find_btf(&btf, &size, &elf, err);
	pthread_mutex_lock(&w->mutex);
	if (r == 0)
		r = load_old(w, err);
	pthread_mutex_unlock(&w->mutex);
	e = r == 0 ? take_encoder(w) : NULL;
	if (r == 0 && (!e || !copy_key(&k.key, kernel)))
		r = ab_fail_memory(err);
	if (r == 0)
		r = ab_pack_encode(w, e, btf, size, base_btf, base_size, &k.defs, &k.n_defs, err);
	pthread_mutex_lock(&w->mutex);
	if (r == 0)
		base_defs = ab_encoder_base_defs(e, &n_base_defs);
	if (r == 0)
		r = add_kernel(w, &k, base_defs, n_base_defs, err);
	if (e) {
		e->next = w->idle;
		w->idle = e;
	}
	pthread_mutex_unlock(&w->mutex);
	free_kernel(&k);
	elf_end(elf);
	return r;
}

/* ---- whole packs ---- */

static int add_from_pack(struct ab_pack_writer *w, const struct ab_pack *pack, uint32_t kernel, const uint32_t *defs,
			 struct ab_error *err)
{
	struct new_kernel k = {};
	_free_ uint64_t *bits = NULL;
	int r = ab_pack_set(pack, kernel, &bits, err);

	if (r < 0)
		return r;
	k.defs = array_new(pack->kernels[kernel].n_defs, sizeof(*k.defs));
	if (!k.defs || !copy_key(&k.key, &pack->kernels[kernel].key)) {
		free_kernel(&k);
		return ab_fail_memory(err);
	}
	for (uint32_t i = 0; i < pack->n_defs; i++)
		if (bits[i / 64] >> i % 64 & 1)
			k.defs[k.n_defs++] = defs[i];
	ab_sort_numbers(k.defs, k.n_defs);
	r = add_kernel(w, &k, NULL, 0, err);
	free_kernel(&k);
	return r;
}

/* All kernels of a pack, except those that `leave_out` says; kernels before modules. */
static int add_pack(struct ab_pack_writer *w, const struct ab_pack *pack, const uint32_t *defs, const bool *leave_out,
		    struct ab_error *err)
{
	int r = 0;

	for (int modules = 0; modules < 2; modules++)
		for (uint32_t i = 0; i < pack->n_kernels && r >= 0; i++)
			if (!(leave_out && leave_out[i]) && !*pack->kernels[i].key.module == !modules)
				r = add_from_pack(w, pack, i, defs, err);
	return r < 0 ? r : 0;
}

int ab_pack_writer_merge(struct ab_pack_writer *w, const struct ab_pack *other, struct ab_error *err)
{
	_free_ uint32_t *defs = NULL;
	int r;

	pthread_mutex_lock(&w->mutex);
	r = load_old(w, err);
	if (r == 0)
		r = import_defs(w, other, false, &defs, err);
	if (r == 0)
		r = add_pack(w, other, defs, NULL, err);
	w->rewrite = true;
	pthread_mutex_unlock(&w->mutex);
	return r;
}

int ab_pack_writer_drop(struct ab_pack_writer *w, const struct ab_kernel *kernel, struct ab_error *err)
{
	long found;

	pthread_mutex_lock(&w->mutex);
	found = find_old(w, kernel);
	for (uint32_t i = 0; found >= 0 && i < w->old->n_kernels; i++)
		if (i == found || w->old->kernels[i].base == (uint32_t)found + 1)
			w->dropped[i] = w->rewrite = true;
	pthread_mutex_unlock(&w->mutex);
	return found >= 0 ? 0 : ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no kernel %s (%s) in '%s'", kernel->release,
					kernel->arch, w->path);
}

/* Everything anew, as one segment: what stays of the old pack is added like what is new. */
int ab_writer_take_old(struct ab_pack_writer *w, struct ab_error *err)
{
	struct ab_pack *old = w->old;
	bool *dropped = w->dropped;
	int r = load_old(w, err);

	if (r < 0 || !old)
		return r;
	w->old = NULL;
	r = add_pack(w, old, w->old_defs, dropped, err);
	w->old = old;
	return r;
}

/* ---- opening ---- */

static int lock_pack(struct ab_pack_writer *w, struct ab_error *err)
{
	w->lock = open(w->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (w->lock < 0)
		return ab_fail_errno(err, -errno, "'%s'", w->lock_path);
	while (flock(w->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return ab_fail_errno(err, -errno, "'%s'", w->lock_path);
	return 0;
}

static int open_old(struct ab_pack_writer *w, struct ab_error *err)
{
	int r = access(w->path, F_OK) < 0 && errno == ENOENT ? 0 : ab_pack_open(w->path, &w->old, err);

	if (r == 0)
		w->dropped = array_new(w->old ? w->old->n_kernels : 0, sizeof(*w->dropped));
	if (r == 0 && (!w->dropped || ab_table_init(&w->strings) < 0 || ab_table_init(&w->defs) < 0))
		r = ab_fail_memory(err);
	/* String 0 is "" from the start. */
	if (r == 0 && ab_table_put(&w->strings, (struct table_key){}, "", 0, 0, 0) != 0)
		r = ab_fail_memory(err);
	if (r == 0)
		ab_table_item(&w->strings, 0)->final = 1;
	return r;
}

static void close_old(struct ab_pack_writer *w)
{
	for (size_t i = 0; i < w->n_added; i++)
		free_kernel(&w->added[i]);
	w->n_added = 0;
	ab_pack_close(w->old);
	w->old = NULL;
	free(w->old_defs);
	w->old_defs = NULL;
	free(w->dropped);
	w->dropped = NULL;
	w->rewrite = false;
	ab_table_clear(&w->strings);
	ab_table_clear(&w->defs);
}

int ab_pack_writer_open(const char *path, struct ab_pack_writer **ret_writer, struct ab_error *err)
{
	struct ab_pack_writer *w = array_new(1, sizeof(*w));
	int r;

	if (!w)
		return ab_fail_memory(err);
	w->lock = -1;
	pthread_mutex_init(&w->mutex, NULL);
	w->path = strdup(path);
	if (!w->path || asprintf(&w->lock_path, "%s.lock", path) < 0) {
		w->lock_path = NULL;
		r = ab_fail_memory(err);
	} else {
		r = lock_pack(w, err);
	}
	if (r == 0)
		r = open_old(w, err);
	if (r < 0) {
		ab_pack_writer_free(w);
		return r;
	}
	*ret_writer = w;
	return 0;
}

/* The writer goes on with what it has written. */
int ab_pack_writer_commit(struct ab_pack_writer *w, struct ab_error *err)
{
	int r;

	if (!w->n_added && !w->rewrite)
		return 0;
	r = ab_pack_commit(w, err);
	if (r < 0)
		return r;
	close_old(w);
	return open_old(w, err);
}

void ab_pack_writer_free(struct ab_pack_writer *w)
{
	if (!w)
		return;
	close_old(w);
	free(w->added);
	for (struct encoder *e = w->idle, *next; e; e = next) {
		next = e->next;
		ab_encoder_free(e);
	}
	if (w->lock >= 0)
		close(w->lock);
	pthread_mutex_destroy(&w->mutex);
	free(w->lock_path);
	free(w->path);
	free(w);
}
