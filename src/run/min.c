/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Minimized BTF of objects (include/anybpf/min.h), and the section in which they carry it (docs/format-min.md). */
#include <zlib.h>
#include <anybpf/min.h>
#include <btf/core.h>
#include <btf/min.h>
#include "min.h"

#define SECTION ".anybpf.btf"
#define MAX_KERNELS 65536
#define MAX_NAMES (16u << 20)
#define MAX_BTFS (64u << 20)

enum { HEADER = 32, KERNEL = 36, BTF = 8, VERSION = 1 };

static const char magic[] = { 'A', 'B', 'P', 'F', 'M', 'I', 'N', '\n' };

/* ---- objects ---- */

static int open_object(struct ab_min *min, struct ab_error *err)
{
	int r = ab_elf_embedded(min->data, min->size, &min->object, &min->object_size, err);

	min->is_library = min->object;
	if (!min->object) {
		min->object = min->data;
		min->object_size = min->size;
	} else if (!r) {
		memmove(min->data, min->object, min->object_size); /* which is not aligned in a library */
		min->object = min->data;
	}
	if (!r)
		r = ab_elf_check(min->object, min->object_size, &min->info, err);
	if (!r)
		r = ab_btf_open_mem(min->info.btf, min->info.btf_size, &min->btf, err);
	return r ? r : ab_ext_open(min->info.btf_ext, min->info.btf_ext_size, min->btf, &min->ext, err);
}

int ab_min_new(const void *object, size_t size, struct ab_min **ret_min, struct ab_error *err)
{
	struct ab_min *min = array_new(1, sizeof(*min));
	int r;

	if (!min)
		return ab_fail_memory(err);
	min->data = malloc(size ? size : 1);
	min->size = size;
	if (min->data && size)
		memcpy(min->data, object, size);
	r = min->data ? open_object(min, err) : ab_fail_memory(err);
	if (r < 0) {
		ab_min_free(min);
		return r;
	}
	*ret_min = min;
	return 0;
}

void ab_min_free(struct ab_min *min)
{
	if (!min)
		return;
	ab_ext_close(min->ext);
	ab_btf_close(min->btf);
	free(min->data);
	free(min);
}

bool ab_min_needed(const struct ab_min *min)
{
	for (size_t i = 0; i < min->ext->n_relos; i++)
		if (min->ext->relos[i].relo.kind != BPF_CORE_TYPE_ID_LOCAL)
			return true;
	return false;
}

uint64_t ab_min_hash(const struct ab_min *min)
{
	uint64_t h = crc32_z(0, min->info.btf, min->info.btf_size);

	return h << 32 | crc32_z(0, min->info.btf_ext, min->info.btf_ext_size);
}

int ab_min_btf(const struct ab_min *min, const void *btf, size_t size, void **ret_btf, size_t *ret_size, struct ab_error *err)
{
	struct ab_btf *kernel;
	int r = ab_btf_open_mem(btf, size, &kernel, err);

	if (r < 0)
		return r;
	r = ab_btf_minimize(min->btf, min->ext, kernel, NULL, 0, ret_btf, ret_size, err);
	ab_btf_close(kernel);
	return r;
}

/* ---- writing the section ---- */

struct writer {
	struct text kernels, table, names, btfs;
	struct strmap known_names, known_btfs;
	uint32_t n_btfs;
};

static void put(struct text *t, uint32_t v)
{
	const char bytes[4] = { (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24) };

	text_add(t, bytes, sizeof(bytes));
}

static uint32_t get(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t put_name(struct writer *w, const char *name)
{
	struct strmap_entry *e;
	bool is_new;

	e = strmap_put(&w->known_names, name, strlen(name), &is_new);
	if (!e)
		return 0;
	if (is_new) {
		e->value = w->names.n;
		text_add(&w->names, name, strlen(name) + 1);
	}
	return e->value;
}

/* Equal ones are found by size and checksum; others with the same are merely kept beside each other. */
static uint32_t put_btf(struct writer *w, const void *btf, size_t size)
{
	struct strmap_entry *e;
	bool is_new;
	char key[32];

	snprintf(key, sizeof(key), "%zx-%08lx", size, (unsigned long)crc32_z(0, btf, size));
	e = strmap_put(&w->known_btfs, key, strlen(key), &is_new);
	if (!e || w->table.failed)
		return 0;
	if (!is_new && !memcmp(w->btfs.p + get((const uint8_t *)w->table.p + BTF * e->value), btf, size))
		return e->value;
	put(&w->table, w->btfs.n);
	put(&w->table, size);
	text_add(&w->btfs, btf, size);
	return e->value = w->n_btfs++;
}

static void put_kernel(struct writer *w, const struct ab_min_entry *entry)
{
	const struct ab_kernel *k = &entry->kernel;
	uint8_t build_id[20] = {};

	memcpy(build_id, k->build_id, MIN(k->build_id_size, sizeof(build_id)));
	put(&w->kernels, put_name(w, k->release));
	put(&w->kernels, put_name(w, k->arch ? k->arch : ""));
	put(&w->kernels, put_btf(w, entry->btf, entry->size));
	put(&w->kernels, MIN(k->build_id_size, sizeof(build_id)));
	text_add(&w->kernels, (const char *)build_id, sizeof(build_id));
}

static int put_section(const struct writer *w, size_t n, struct text *out, struct ab_error *err)
{
	uLongf packed = compressBound(w->btfs.n);
	_free_ Bytef *bytes = malloc(packed);
	_text_ struct text rest = {};

	if (w->names.n > MAX_NAMES || w->btfs.n > MAX_BTFS || n > MAX_KERNELS)
		return ab_fail(err, AB_ERROR_LIMIT, -EFBIG, "types of too many kernels for one object: %zu kernels, %zu MiB", n,
			       w->btfs.n >> 20);
	if (!bytes || compress2(bytes, &packed, (const Bytef *)w->btfs.p, w->btfs.n, Z_BEST_COMPRESSION) != Z_OK)
		return ab_fail_memory(err);
	text_add(&rest, w->kernels.p, w->kernels.n);
	text_add(&rest, w->table.p, w->table.n);
	text_add(&rest, w->names.p, w->names.n);
	text_add(&rest, (const char *)bytes, packed);
	text_add(out, magic, sizeof(magic));
	put(out, VERSION);
	put(out, n);
	put(out, w->n_btfs);
	put(out, w->names.n);
	put(out, w->btfs.n);
	put(out, crc32_z(0, (const Bytef *)rest.p, rest.n));
	text_add(out, rest.p, rest.n);
	return rest.failed || out->failed ? ab_fail_memory(err) : 0;
}

int ab_min_embed(const struct ab_min *min, const struct ab_min_entry *entries, size_t n, void **ret_object, size_t *ret_size,
		 struct ab_error *err)
{
	_text_ struct text section = {}, object = {};
	struct writer w = {};
	int r = 0;

	if (min->is_library)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "types are put into an object, before a library is made of it");
	if (!n)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "no kernels whose types are to be embedded");
	for (size_t i = 0; i < n; i++)
		put_kernel(&w, &entries[i]);
	if (w.kernels.failed || w.table.failed || w.names.failed || w.btfs.failed || w.known_names.failed || w.known_btfs.failed)
		r = ab_fail_memory(err);
	if (!r)
		r = put_section(&w, n, &section, err);
	if (!r)
		r = ab_elf_set_section(min->object, min->object_size, SECTION, section.p, section.n, &object, err);
	if (!r) {
		*ret_size = object.n;
		*ret_object = text_take(&object);
	}
	text_clear(&w.kernels);
	text_clear(&w.table);
	text_clear(&w.names);
	text_clear(&w.btfs);
	strmap_clear(&w.known_names);
	strmap_clear(&w.known_btfs);
	return r;
}

/* ---- reading it ---- */

struct section {
	const uint8_t *kernels, *table, *packed;
	const char *names;
	uint32_t n_kernels, n_btfs, names_size, btfs_size;
	size_t packed_size;
};

static int refuse(struct ab_error *err, const char *what)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the types that the object carries (%s) %s", SECTION, what);
}

static bool is_kernel(const struct section *s, uint32_t i)
{
	const uint8_t *k = s->kernels + KERNEL * (size_t)i;

	return get(k) < s->names_size && get(k + 4) < s->names_size && get(k + 8) < s->n_btfs && get(k + 12) <= 20;
}

static bool is_btf(const struct section *s, uint32_t i)
{
	const uint8_t *b = s->table + BTF * (size_t)i;

	return get(b) <= s->btfs_size && get(b + 4) <= s->btfs_size - get(b);
}

static int read_section(const uint8_t *p, size_t size, struct section *s, struct ab_error *err)
{
	size_t tables;

	if (size < HEADER || memcmp(p, magic, sizeof(magic)))
		return refuse(err, "do not begin as such");
	if (get(p + 8) != VERSION)
		return refuse(err, "have a version that this anybpf does not know");
	*s = (struct section){ .kernels = p + HEADER, .n_kernels = get(p + 12), .n_btfs = get(p + 16), .names_size = get(p + 20),
			       .btfs_size = get(p + 24) };
	if (s->n_kernels > MAX_KERNELS || s->n_btfs > s->n_kernels || s->names_size > MAX_NAMES || s->btfs_size > MAX_BTFS)
		return refuse(err, "claim to be too many");
	tables = KERNEL * (size_t)s->n_kernels + BTF * (size_t)s->n_btfs + s->names_size;
	if (tables > size - HEADER)
		return refuse(err, "are cut off");
	if (crc32_z(0, p + HEADER, size - HEADER) != get(p + 28))
		return refuse(err, "are damaged: the checksum differs");
	s->table = s->kernels + KERNEL * (size_t)s->n_kernels;
	s->names = (const char *)s->table + BTF * (size_t)s->n_btfs;
	s->packed = (const uint8_t *)s->names + s->names_size;
	s->packed_size = size - HEADER - tables;
	if (s->n_kernels && (!s->names_size || s->names[s->names_size - 1]))
		return refuse(err, "have names without end");
	for (uint32_t i = 0; i < s->n_kernels; i++)
		if (!is_kernel(s, i))
			return refuse(err, "have a kernel out of bounds");
	for (uint32_t i = 0; i < s->n_btfs; i++)
		if (!is_btf(s, i))
			return refuse(err, "are out of bounds");
	return 0;
}

/* 2: the same build; 1: the same release, and nothing speaks against it; 0: another kernel. */
static int fits(const struct section *s, uint32_t i, const struct ab_kernel *kernel)
{
	const uint8_t *k = s->kernels + KERNEL * (size_t)i;
	uint32_t size = get(k + 12);

	if (size && size == kernel->build_id_size)
		return memcmp(k + 16, kernel->build_id, size) ? 0 : 2;
	return !strcmp(s->names + get(k), kernel->release) && !strcmp(s->names + get(k + 4), kernel->arch);
}

static int unpack(const struct section *s, const uint8_t *entry, void **ret_btf, size_t *ret_size, struct ab_error *err)
{
	uLongf size = s->btfs_size;
	_free_ Bytef *all = malloc(size ? size : 1);
	char *btf;

	if (!all)
		return ab_fail_memory(err);
	if (uncompress(all, &size, s->packed, s->packed_size) != Z_OK || size != s->btfs_size)
		return refuse(err, "are damaged: they do not unpack");
	btf = malloc(get(entry + 4) + 1);
	if (!btf)
		return ab_fail_memory(err);
	memcpy(btf, all + get(entry), get(entry + 4));
	*ret_btf = btf;
	*ret_size = get(entry + 4);
	return 1;
}

int ab_min_embedded_in(const void *object, size_t size, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size,
		       struct ab_error *err)
{
	size_t section_size;
	const void *data = ab_elf_section(object, size, SECTION, &section_size);
	const uint8_t *found = NULL;
	struct section s = {};
	int best = 0, r;

	if (!data)
		return 0;
	r = read_section(data, section_size, &s, err);
	for (uint32_t i = 0; !r && i < s.n_kernels; i++) {
		int fit = fits(&s, i, kernel);

		if (fit > best) {
			best = fit;
			found = s.kernels + KERNEL * (size_t)i;
		}
	}
	return r || !found ? r : unpack(&s, s.table + BTF * (size_t)get(found + 8), ret_btf, ret_size, err);
}

int ab_min_embedded(const struct ab_min *min, const struct ab_kernel *kernel, void **ret_btf, size_t *ret_size,
		    struct ab_error *err)
{
	return ab_min_embedded_in(min->object, min->object_size, kernel, ret_btf, ret_size, err);
}
