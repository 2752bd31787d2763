/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A pack as it lies in its file (docs/format-pack.md). The directory is checked when it is opened, a chunk when it is
 * first asked for; it then stays in memory. Several threads may ask for a chunk at a time: each loads it, one wins.
 */
#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "pack_internal.h"

#define DIRECTORY_HEAD 24

int ab_pack_damaged(const struct ab_pack *pack, uint64_t offset, const char *what, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged pack '%s': %s at offset %llu", pack->path, what,
		       (unsigned long long)offset);
}

/* ---- chunks ---- */

static void free_loaded(struct loaded *l)
{
	if (!l)
		return;
	free(l->data);
	free(l->at);
	free(l->name);
	free(l);
}

/* A decompressor is made once, and by threads that find it in use. */
static bool decompress(const struct ab_pack *pack, uint8_t *data, size_t raw, const uint8_t *p, size_t size)
{
	struct ZSTD_DCtx_s **slot = (struct ZSTD_DCtx_s **)&pack->zstd;
	ZSTD_DCtx *zstd = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);
	bool whole;

	if (!zstd)
		zstd = ZSTD_createDCtx();
	whole = zstd && ZSTD_decompressDCtx(zstd, data, raw, p, size) == raw;
	ZSTD_freeDCtx(__atomic_exchange_n(slot, zstd, __ATOMIC_ACQ_REL));
	return whole;
}

static int inflate(const struct ab_pack *pack, uint64_t offset, size_t size, size_t raw, uint64_t sum, uint8_t **ret,
		   struct ab_error *err)
{
	uint8_t *data;

	if (ab_pack_hash(pack->map + offset, size, 0) != sum)
		return ab_pack_damaged(pack, offset, "a wrong checksum", err);
	if (ZSTD_getFrameContentSize(pack->map + offset, size) != raw)
		return ab_pack_damaged(pack, offset, "a chunk of another size", err);
	data = malloc(raw + 1);
	if (!data)
		return ab_fail_memory(err);
	if (!decompress(pack, data, raw, pack->map + offset, size)) {
		free(data);
		return ab_pack_damaged(pack, offset, "a chunk that cannot be decompressed", err);
	}
	data[raw] = 0;
	*ret = data;
	return 0;
}

/* What is behind the string at p, of which there is all. Most are short, and a call of memchr() would take longer. */
static const uint8_t *skip_string(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t word, zeros;

		memcpy(&word, p, 8);
		word = le64toh(word);
		zeros = (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
		if (zeros)
			return p + __builtin_ctzll(zeros) / 8 + 1;
	}
	while (*p)
		p++;
	return p + 1;
}

/* Where each string begins. */
static bool index_strings(struct loaded *l, const struct chunk *c)
{
	const uint8_t *p = l->data, *end = l->data + c->raw;

	if (!c->raw || end[-1])
		return false;
	for (uint32_t i = 0; i < c->count; i++) {
		if (p == end)
			return false;
		l->at[i] = p - l->data;
		p = skip_string(p, end);
	}
	l->at[c->count] = c->raw;
	return p == end;
}

/* Three columns: kind bytes, names, sizes. */
static bool index_heads(struct loaded *l, const struct chunk *c, uint32_t n_strings)
{
	struct cursor cursor = { l->data, l->data + c->raw, false };
	uint64_t name = 0, at = 0;

	if (c->raw < c->count)
		return false;
	l->kind = l->data;
	cursor.p += c->count;
	for (uint32_t i = 0; i < c->count; i++) {
		name += (uint64_t)unzigzag(take_varint(&cursor));
		if (name >= n_strings)
			return false;
		l->name[i] = name;
	}
	for (uint32_t i = 0; i < c->count; i++) {
		l->at[i] = at;
		at += take_varint(&cursor);
		if (at > UINT32_MAX)
			return false;
	}
	l->at[c->count] = at;
	return !cursor.bad && cursor.p == cursor.end;
}

static int index_chunk(const struct ab_pack *pack, struct loaded *l, const struct chunk *c, struct ab_error *err)
{
	bool heads = c->kind == CHUNK_HEADS, sound = true;

	if (c->kind == CHUNK_STRINGS || heads)
		l->at = array_new((size_t)c->count + 1, sizeof(*l->at));
	if (heads)
		l->name = array_new(c->count, sizeof(*l->name));
	if ((!l->at && (c->kind == CHUNK_STRINGS || heads)) || (heads && !l->name))
		return ab_fail_memory(err);
	if (c->kind == CHUNK_STRINGS)
		sound = index_strings(l, c);
	else if (heads)
		sound = index_heads(l, c, pack->n_strings);
	return sound ? 0 : ab_pack_damaged(pack, c->offset, "a chunk that holds what it cannot", err);
}

int ab_pack_load(const struct ab_pack *pack, uint32_t chunk, const struct loaded **ret, struct ab_error *err)
{
	const struct chunk *c = &pack->chunks[chunk];
	struct loaded *l = __atomic_load_n(&pack->loaded[chunk], __ATOMIC_ACQUIRE), *none = NULL;
	int r;

	if (!l) {
		l = array_new(1, sizeof(*l));
		r = l ? inflate(pack, c->offset, c->size, c->raw, c->sum, &l->data, err) : ab_fail_memory(err);
		if (r == 0)
			r = index_chunk(pack, l, c, err);
		if (r < 0) {
			free_loaded(l);
			return r;
		}
		if (!__atomic_compare_exchange_n(&pack->loaded[chunk], &none, l, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			free_loaded(l);
			l = none;
		}
	}
	*ret = l;
	return 0;
}

/* The chunk of that kind that has string or definition `number`, which there is. */
static uint32_t find_chunk(const struct ab_pack *pack, enum chunk_kind kind, uint32_t number)
{
	const uint32_t *list = pack->of_kind[kind];
	uint32_t low = 0, high = pack->n_of_kind[kind];

	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (pack->chunks[list[middle]].first <= number)
			low = middle;
		else
			high = middle;
	}
	return list[low];
}

int ab_pack_text(const struct ab_pack *pack, uint32_t string, const struct loaded **ret, uint32_t *ret_first, uint32_t *ret_count,
		 struct ab_error *err)
{
	uint32_t chunk = find_chunk(pack, CHUNK_STRINGS, string);
	int r = ab_pack_load(pack, chunk, ret, err);

	if (r < 0)
		return r;
	*ret_first = pack->chunks[chunk].first;
	*ret_count = pack->chunks[chunk].count;
	return 0;
}

int ab_pack_string(const struct ab_pack *pack, uint32_t string, const char **ret, size_t *ret_size, struct ab_error *err)
{
	const struct loaded *l;
	uint32_t first, count;
	int r;

	*ret = "";
	*ret_size = 0;
	if (!string)
		return 0;
	if (string >= pack->n_strings)
		return ab_pack_damaged(pack, pack->directory, "a string that there is not", err);
	r = ab_pack_text(pack, string, &l, &first, &count, err);
	if (r < 0)
		return r;
	*ret = (const char *)l->data + l->at[string - first];
	*ret_size = l->at[string - first + 1] - l->at[string - first] - 1;
	return 0;
}

static int go_to_heads(const struct ab_pack *pack, struct def_reader *at, uint32_t def, struct ab_error *err)
{
	uint32_t chunk = find_chunk(pack, CHUNK_HEADS, def);
	int r = ab_pack_load(pack, chunk, &at->heads, err);

	if (r < 0)
		return r;
	at->heads_first = pack->chunks[chunk].first;
	at->heads_count = pack->chunks[chunk].count;
	at->bodies_count = 0;
	return 0;
}

static int go_to_bodies(const struct ab_pack *pack, struct def_reader *at, uint32_t def, struct ab_error *err)
{
	uint32_t chunk = find_chunk(pack, CHUNK_BODIES, def);
	int r = ab_pack_load(pack, chunk, &at->bodies, err);

	if (r < 0)
		return r;
	at->bodies_first = pack->chunks[chunk].first;
	at->bodies_count = pack->chunks[chunk].count;
	at->bodies_size = pack->chunks[chunk].raw;
	return 0;
}

int ab_pack_read_head(const struct ab_pack *pack, struct def_reader *at, uint32_t def, uint8_t *ret_kind, uint32_t *ret_name,
		      struct ab_error *err)
{
	int r = def - at->heads_first < at->heads_count ? 0 : go_to_heads(pack, at, def, err);

	if (r < 0)
		return r;
	*ret_kind = at->heads->kind[def - at->heads_first];
	*ret_name = at->heads->name[def - at->heads_first];
	return 0;
}

int ab_pack_head(const struct ab_pack *pack, uint32_t def, uint8_t *ret_kind, uint32_t *ret_name, struct ab_error *err)
{
	struct def_reader at = {};

	return ab_pack_read_head(pack, &at, def, ret_kind, ret_name, err);
}

int ab_pack_bad_def(const struct ab_pack *pack, uint32_t def, struct ab_error *err)
{
	return ab_pack_damaged(pack, pack->chunks[find_chunk(pack, CHUNK_BODIES, def)].offset, "a definition that cannot be", err);
}

int ab_pack_read_def(const struct ab_pack *pack, struct def_reader *at, uint32_t def, struct pack_def *ret, struct ab_error *err)
{
	const uint32_t *starts;
	struct pack_def found;
	uint32_t start;
	int r = ab_pack_read_head(pack, at, def, &found.kind, &found.name, err);

	if (r == 0 && def - at->bodies_first >= at->bodies_count)
		r = go_to_bodies(pack, at, def, err);
	if (r < 0)
		return r;
	/* A chunk of bodies lies within one segment (check_chunks()). */
	starts = at->heads->at + (def - at->heads_first);
	start = at->heads->at[at->bodies_first - at->heads_first];
	if (starts[1] - start > at->bodies_size)
		return ab_pack_bad_def(pack, def, err);
	found.body = at->bodies->data + (starts[0] - start);
	found.size = starts[1] - starts[0];
	*ret = found;
	return 0;
}

int ab_pack_def(const struct ab_pack *pack, uint32_t def, struct pack_def *ret, struct ab_error *err)
{
	struct def_reader at = {};

	return ab_pack_read_def(pack, &at, def, ret, err);
}

/* ---- sets ---- */

static void flip(uint64_t *bits, uint64_t from, uint64_t n)
{
	uint64_t head = MIN(n, -from % 64);

	if (head)
		bits[from / 64] ^= ((1ull << head) - 1) << from % 64;
	from += head;
	n -= head;
	for (; n >= 64; n -= 64, from += 64)
		bits[from / 64] ^= ~0ull;
	if (n)
		bits[from / 64] ^= (1ull << n) - 1;
}

static int apply_set(const struct ab_pack *pack, uint32_t kernel, uint64_t *bits, struct ab_error *err)
{
	const struct kernel_row *row = &pack->kernels[kernel];
	const struct loaded *l;
	struct cursor c;
	uint64_t at = 0;
	int r = ab_pack_load(pack, row->chunk, &l, err);

	if (r < 0)
		return r;
	c = (struct cursor){ l->data + row->offset, l->data + row->offset + row->size, false };
	while (c.p < c.end) {
		uint64_t skip = take_varint(&c), n = take_varint(&c);

		if (c.bad || skip > pack->n_defs - at || n > pack->n_defs - at - skip)
			return ab_pack_damaged(pack, pack->chunks[row->chunk].offset, "a set that cannot be", err);
		flip(bits, at + skip, n);
		at += skip + n;
	}
	return 0;
}

/* The kernels whose differences make up the set of this one, itself first. */
static uint32_t list_links(const struct ab_pack *pack, uint32_t kernel, uint32_t links[PACK_MAX_LINKS + 1])
{
	uint32_t n = 0;

	for (uint32_t k = kernel + 1; k; k = pack->kernels[k - 1].relative)
		links[n++] = k - 1;
	return n;
}

/* Differences commute: to go from one kernel's set to another's, those are enough that only one of the two chains has. */
static int go_to_set(const struct ab_pack *pack, struct recent_set *set, uint32_t kernel, struct ab_error *err)
{
	uint32_t from[PACK_MAX_LINKS + 1], to[PACK_MAX_LINKS + 1];
	uint32_t n_from = set->is_empty ? 0 : list_links(pack, set->kernel, from), n_to = list_links(pack, kernel, to);
	uint32_t n = 0;
	int r = 0;

	while (n_from && n_to && from[n_from - 1] == to[n_to - 1]) {
		n_from--;
		n_to--;
	}
	while (n_from && r == 0)
		r = apply_set(pack, from[--n_from], set->bits, err);
	while (n_to && r == 0)
		r = apply_set(pack, to[--n_to], set->bits, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < PACK_BITS(pack->n_defs); i++)
		n += __builtin_popcountll(set->bits[i]);
	if (n != pack->kernels[kernel].n_defs)
		return ab_pack_damaged(pack, pack->chunks[pack->kernels[kernel].chunk].offset, "a set of another size", err);
	set->kernel = kernel;
	set->is_empty = false;
	return 0;
}

int ab_pack_set(const struct ab_pack *pack, uint32_t kernel, uint64_t **ret_bits, struct ab_error *err)
{
	/* The pack is constant in what it says, not in what it has at hand. Another thread makes a set of its own meanwhile. */
	struct recent_set **recent = (struct recent_set **)&pack->recent;
	struct recent_set *set = __atomic_exchange_n(recent, NULL, __ATOMIC_ACQ_REL);
	size_t size = PACK_BITS(pack->n_defs) * sizeof(uint64_t);
	uint64_t *bits = NULL;
	int r = 0;

	if (!set) {
		set = calloc(1, sizeof(*set) + size);
		if (set)
			set->is_empty = true;
	}
	r = set ? go_to_set(pack, set, kernel, err) : ab_fail_memory(err);
	if (r == 0) {
		bits = malloc(size ? size : 1);
		r = bits ? 0 : ab_fail_memory(err);
	}
	if (r < 0) {
		free(set);
		return r;
	}
	memcpy(bits, set->bits, size);
	free(__atomic_exchange_n(recent, set, __ATOMIC_ACQ_REL));
	*ret_bits = bits;
	return 0;
}

/* ---- the directory ---- */

static void read_chunk(struct chunk *c, const uint8_t *p)
{
	*c = (struct chunk){
		.offset = get_le64(p), .size = get_le32(p + 8), .raw = get_le32(p + 12), .sum = get_le64(p + 16),
		.kind = get_le32(p + 24), .first = get_le32(p + 28), .count = get_le32(p + 32),
	};
}

/* Chunks lie one behind the other, and number strings and definitions without gaps. */
static int check_chunks(struct ab_pack *pack, struct ab_error *err)
{
	uint32_t next[CHUNK_SETS + 1] = { [CHUNK_STRINGS] = 1 };
	uint64_t at = PACK_HEADER;

	for (uint32_t i = 0; i < pack->n_chunks; i++) {
		const struct chunk *c = &pack->chunks[i];

		if (c->offset != at || !c->size || c->size > pack->directory - at || c->raw > PACK_MAX_CHUNK ||
		    c->kind < CHUNK_STRINGS || c->kind > CHUNK_SETS)
			return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
		if (c->kind != CHUNK_SETS && (c->first != next[c->kind] || !c->count || c->count > PACK_MAX_IDS))
			return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
		/* The bodies of a segment follow its heads. */
		if (c->kind == CHUNK_BODIES && c->first + c->count > next[CHUNK_HEADS])
			return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
		if (c->kind == CHUNK_HEADS && next[CHUNK_BODIES] != c->first)
			return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
		next[c->kind] += c->count;
		pack->n_of_kind[c->kind]++;
		at += c->size;
	}
	if (at != pack->directory || next[CHUNK_STRINGS] != pack->n_strings || next[CHUNK_HEADS] != pack->n_defs ||
	    next[CHUNK_BODIES] != pack->n_defs || pack->n_strings > PACK_MAX_IDS || pack->n_defs > PACK_MAX_IDS)
		return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
	return 0;
}

static void list_chunks(struct ab_pack *pack)
{
	uint32_t *p = pack->lists;

	for (uint32_t kind = CHUNK_STRINGS; kind <= CHUNK_SETS; kind++) {
		pack->of_kind[kind] = p;
		for (uint32_t i = 0; i < pack->n_chunks; i++)
			if (pack->chunks[i].kind == kind)
				*p++ = i;
	}
}

static bool read_kernel(const struct ab_pack *pack, struct kernel_row *row, const uint8_t *p, const char *text, uint32_t text_size)
{
	const char **const fields[] = { &row->key.release, &row->key.arch, &row->key.distribution, &row->key.flavour,
				       &row->key.module };
	const struct chunk *c;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (get_le32(p + 4 * i) >= text_size)
			return false;
		*fields[i] = text + get_le32(p + 4 * i);
	}
	memcpy(row->key.build_id, p + 20, sizeof(row->key.build_id));
	if (get_le32(p + 40) > sizeof(row->key.build_id))
		return false;
	row->key.build_id_size = get_le32(p + 40);
	row->n_defs = get_le32(p + 44);
	row->chunk = get_le32(p + 48);
	row->offset = get_le32(p + 52);
	row->size = get_le32(p + 56);
	row->relative = get_le32(p + 60);
	row->base = get_le32(p + 64);
	if (row->chunk >= pack->n_chunks || row->relative > pack->n_kernels || row->base > pack->n_kernels || !*row->key.release)
		return false;
	c = &pack->chunks[row->chunk];
	return c->kind == CHUNK_SETS && row->offset <= c->raw && row->size <= c->raw - row->offset;
}

static bool check_kernels(const struct ab_pack *pack)
{
	for (uint32_t i = 0; i < pack->n_kernels; i++) {
		const struct kernel_row *row = &pack->kernels[i];
		unsigned links = 0;

		for (uint32_t k = row->relative; k; k = pack->kernels[k - 1].relative)
			if (++links > PACK_MAX_LINKS)
				return false;
		if (!*row->key.module != !row->base || (row->base && *pack->kernels[row->base - 1].key.module))
			return false;
		if (i && ab_kernel_compare(&row[-1].key, &row->key) >= 0)
			return false;
	}
	return true;
}

static int parse_directory(struct ab_pack *pack, size_t size, struct ab_error *err)
{
	const uint8_t *p = pack->raw;
	uint64_t text_size, need;

	if (size < DIRECTORY_HEAD)
		return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
	pack->n_chunks = get_le32(p);
	pack->n_kernels = get_le32(p + 4);
	pack->n_strings = get_le32(p + 8);
	pack->n_defs = get_le32(p + 12);
	pack->n_segments = get_le32(p + 16);
	text_size = get_le32(p + 20);
	need = DIRECTORY_HEAD + (uint64_t)pack->n_chunks * PACK_CHUNK_ROW + (uint64_t)pack->n_kernels * PACK_KERNEL_ROW + text_size;
	if (need != size || !text_size || p[size - 1])
		return ab_pack_damaged(pack, pack->directory, "a directory that cannot be", err);
	pack->chunks = array_new(pack->n_chunks, sizeof(*pack->chunks));
	pack->loaded = array_new(pack->n_chunks, sizeof(*pack->loaded));
	pack->lists = array_new(pack->n_chunks, sizeof(*pack->lists));
	pack->kernels = array_new(pack->n_kernels, sizeof(*pack->kernels));
	if (!pack->chunks || !pack->loaded || !pack->lists || !pack->kernels)
		return ab_fail_memory(err);
	p += DIRECTORY_HEAD;
	for (uint32_t i = 0; i < pack->n_chunks; i++, p += PACK_CHUNK_ROW)
		read_chunk(&pack->chunks[i], p);
	for (uint32_t i = 0; i < pack->n_kernels; i++, p += PACK_KERNEL_ROW)
		if (!read_kernel(pack, &pack->kernels[i], p, (const char *)pack->raw + size - text_size, text_size))
			return ab_pack_damaged(pack, pack->directory, "a kernel that cannot be", err);
	if (check_chunks(pack, err) < 0)
		return -EBADMSG;
	list_chunks(pack);
	return check_kernels(pack) ? 0 : ab_pack_damaged(pack, pack->directory, "kernels that cannot be", err);
}

static int open_map(struct ab_pack *pack, struct ab_error *err)
{
	const uint8_t *h = pack->map;
	uint32_t size, raw;
	int r;

	if (pack->size < PACK_HEADER || memcmp(h, PACK_MAGIC, 8))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not a pack", pack->path);
	if (get_le32(h + 8) != PACK_VERSION)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "'%s' is a pack of version %u; this anybpf reads version %u",
			       pack->path, get_le32(h + 8), PACK_VERSION);
	if (ab_pack_hash(h, 56, 0) != get_le64(h + 56) || get_le32(h + 12) != PACK_HEADER)
		return ab_pack_damaged(pack, 0, "a wrong header", err);
	if (get_le64(h + 16) != pack->size)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "damaged pack '%s': it is %s at offset %zu, not %llu", pack->path,
			       get_le64(h + 16) > pack->size ? "cut off" : "followed by other bytes",
			       MIN(pack->size, (size_t)get_le64(h + 16)), (unsigned long long)get_le64(h + 16));
	pack->directory = get_le64(h + 24);
	size = get_le32(h + 32);
	raw = get_le32(h + 36);
	if (pack->directory < PACK_HEADER || pack->directory > pack->size || size != pack->size - pack->directory ||
	    raw > PACK_MAX_CHUNK)
		return ab_pack_damaged(pack, 24, "a wrong header", err);
	r = inflate(pack, pack->directory, size, raw, get_le64(h + 40), &pack->raw, err);
	return r < 0 ? r : parse_directory(pack, raw, err);
}

/* ---- opening ---- */

static struct ab_pack *new_pack(const char *path)
{
	struct ab_pack *pack = array_new(1, sizeof(*pack));

	if (pack && !(pack->path = strdup(path))) {
		free(pack);
		pack = NULL;
	}
	return pack;
}

int ab_pack_open_mem(const void *data, size_t size, struct ab_pack **ret_pack, struct ab_error *err)
{
	struct ab_pack *pack = new_pack("memory");
	uint8_t *copy = malloc(size ? size : 1);
	int r;

	if (!pack || !copy) {
		free(copy);
		ab_pack_close(pack);
		return ab_fail_memory(err);
	}
	memcpy(copy, data, size);
	pack->map = copy;
	pack->size = size;
	pack->mapped = false;
	r = open_map(pack, err);
	if (r < 0) {
		ab_pack_close(pack);
		return r;
	}
	*ret_pack = pack;
	return 0;
}

static int map_file(struct ab_pack *pack, struct ab_error *err)
{
	_close_ int fd = open(pack->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ab_fail_errno(err, -errno, "unable to open '%s'", pack->path);
	if (!S_ISREG(st.st_mode) || st.st_size < PACK_HEADER)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not a pack", pack->path);
	map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return ab_fail_errno(err, -errno, "unable to map '%s'", pack->path);
	pack->map = map;
	pack->size = st.st_size;
	pack->mapped = true;
	return 0;
}

bool ab_is_pack(const char *path)
{
	_fclose_ FILE *f = fopen(path, "re");
	char magic[sizeof(PACK_MAGIC) - 1] = "";

	return f && fread(magic, 1, sizeof(magic), f) == sizeof(magic) && !memcmp(magic, PACK_MAGIC, sizeof(magic));
}

int ab_pack_open(const char *path, struct ab_pack **ret_pack, struct ab_error *err)
{
	struct ab_pack *pack = new_pack(path);
	int r = pack ? map_file(pack, err) : ab_fail_memory(err);

	if (r == 0)
		r = open_map(pack, err);
	if (r < 0) {
		ab_pack_close(pack);
		return r;
	}
	*ret_pack = pack;
	return 0;
}

void ab_pack_close(struct ab_pack *pack)
{
	if (!pack)
		return;
	for (uint32_t i = 0; pack->loaded && i < pack->n_chunks; i++)
		free_loaded(pack->loaded[i]);
	if (pack->mapped)
		munmap((void *)pack->map, pack->size);
	else
		free((void *)pack->map);
	ab_pack_names_free(pack->names);
	free(pack->recent);
	ZSTD_freeDCtx(pack->zstd);
	free(pack->loaded);
	free(pack->chunks);
	free(pack->lists);
	free(pack->kernels);
	free(pack->raw);
	free(pack->path);
	free(pack);
}

size_t ab_pack_count(const struct ab_pack *pack)
{
	return pack->n_kernels;
}

const struct ab_kernel *ab_pack_kernel(const struct ab_pack *pack, size_t index)
{
	return &pack->kernels[index].key;
}

size_t ab_pack_definitions(const struct ab_pack *pack, size_t index)
{
	return pack->kernels[index].n_defs;
}

void ab_pack_stat(const struct ab_pack *pack, struct ab_pack_stat *ret_stat)
{
	struct ab_pack_stat stat = { .definitions = pack->n_defs, .strings = pack->n_strings - 1,
				    .segments = pack->n_segments, .size = pack->size };
	uint64_t *const sizes[] = {
		[CHUNK_STRINGS] = &stat.strings_size, [CHUNK_HEADS] = &stat.heads_size, [CHUNK_BODIES] = &stat.bodies_size,
		[CHUNK_SETS] = &stat.sets_size,
	};

	for (uint32_t i = 0; i < pack->n_kernels; i++)
		*(*pack->kernels[i].key.module ? &stat.modules : &stat.kernels) += 1;
	for (uint32_t i = 0; i < pack->n_chunks; i++)
		*sizes[pack->chunks[i].kind] += pack->chunks[i].size;
	*ret_stat = stat;
}

/* ---- verifying ---- */

static void ignore_str(struct walk *w, uint64_t token)
{
	struct verify { struct walk walk; uint64_t n_strings; } *v = (void *)w;

	if (token > v->n_strings)
		w->c.bad = true;
}

int ab_pack_verify(const struct ab_pack *pack, struct ab_error *err)
{
	struct { struct walk walk; uint64_t n_strings; } v = { { .str = ignore_str }, pack->n_strings };
	const struct loaded *l;
	struct pack_def def;
	int r = 0;

	for (uint32_t i = 0; i < pack->n_chunks && r == 0; i++)
		r = ab_pack_load(pack, i, &l, err);
	for (uint32_t i = 0; i < pack->n_defs && r == 0; i++) {
		r = ab_pack_def(pack, i, &def, err);
		if (r == 0 && !ab_pack_walk(&v.walk, def.kind, def.body, def.size))
			r = ab_pack_bad_def(pack, i, err);
	}
	for (uint32_t i = 0; i < pack->n_kernels && r == 0; i++) {
		uint64_t *bits = NULL;

		r = ab_pack_set(pack, i, &bits, err);
		free(bits);
	}
	return r;
}
