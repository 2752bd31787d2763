/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What bench/pack measures in one process:
 *
 *	add PACK FILE...        raw BTF files into a pack: prints kernels, seconds of CPU
 * Times are of CPU, so that others on the machine do not count.
 *
 *	open PACK               prints milliseconds to open
 *	extract PACK            writes each kernel out: prints the slowest and the median, milliseconds
 *	check PACK FILE...      compares each kernel with the file it came from, canonically
 *	modules PACK BTF BTF... one kernel's BTF and its modules' split BTFs: adds them, writes them out, compares;
 *				prints seconds of CPU to add
 *	defs PACK               milliseconds to make a kernel's set of definitions, the slowest
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <anybpf/pack.h>
#include <base/base.h>
#include <btf/pack.h>
#include "btf_canonical.h"

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const struct ab_error *err)
{
	fprintf(stderr, "bench/pack: %s\n", err->msg);
	exit(1);
}

/* The release is the file's name without ".btf". */
static struct ab_kernel kernel_of(const char *path, char *release, size_t cap)
{
	const char *base = path_base(path);

	snprintf(release, cap, "%.*s", (int)strlen(base) - 4, base);
	return (struct ab_kernel){ .release = release, .arch = strstr(base, "arm64") || strstr(base, "aarch64") ||
				  strstr(base, "ky10") ? "aarch64" : "x86_64",
				   .distribution = strstr(base, "amd64") ? "debian" : "other",
				   .flavour = strstr(base, "-cloud-") ? "cloud" : strstr(base, "-rt-") ? "rt" : "", .module = "" };
}

static int run_add(const char *pack, char **files, int n)
{
	struct ab_pack_writer *w;
	struct ab_error err = {};
	double begin = now(CLOCK_PROCESS_CPUTIME_ID), middle;

	if (ab_pack_writer_open(pack, &w, &err) < 0)
		die(&err);
	for (int i = 0; i < n; i++) {
		char release[256], *data;
		struct ab_kernel k = kernel_of(files[i], release, sizeof(release));
		size_t size;

		if (file_read(files[i], 256 << 20, &data, &size, &err) < 0 || ab_pack_writer_add(w, &k, data, size,
												 NULL, 0, &err) < 0)
			die(&err);
		free(data);
	}
	middle = now(CLOCK_PROCESS_CPUTIME_ID);
	if (ab_pack_writer_commit(w, &err) < 0)
		die(&err);
	ab_pack_writer_free(w);
	printf("%d %.4f %.4f\n", n, now(CLOCK_PROCESS_CPUTIME_ID) - begin, middle - begin);
	return 0;
}

static struct ab_pack *open_pack(const char *path)
{
	struct ab_error err = {};
	struct ab_pack *pack;

	if (ab_pack_open(path, &pack, &err) < 0)
		die(&err);
	return pack;
}

static int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_times(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare_times);
	printf("%.3f %.3f\n", times[n - 1], times[n / 2]);
}

static int run_open(const char *path)
{
	double times[21];

	for (int i = 0; i < 21; i++) {
		double begin = now(CLOCK_THREAD_CPUTIME_ID);
		struct ab_pack *pack = open_pack(path);

		times[i] = (now(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e3;
		ab_pack_close(pack);
	}
	print_times(times, 21);
	return 0;
}

/* A pack freshly opened each time, so that nothing is at hand. */
static double time_one(const char *path, size_t i, bool extract)
{
	struct ab_pack *pack = open_pack(path);
	struct ab_error err = {};
	struct ab_pack_defs *defs;
	double begin = now(CLOCK_THREAD_CPUTIME_ID);
	size_t size;
	void *btf;

	if (extract ? ab_pack_extract(pack, i, &btf, &size, &err) < 0 : ab_pack_defs_open(pack, i, &defs, &err) < 0)
		die(&err);
	begin = (now(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e3;
	if (extract)
		free(btf);
	else
		ab_pack_defs_close(defs);
	ab_pack_close(pack);
	return begin;
}

/* The median of five for each kernel. */
static int run_each(const char *path, bool extract)
{
	struct ab_pack *pack = open_pack(path);
	size_t n = ab_pack_count(pack);
	double *times = array_new(n, sizeof(*times)), five[5];

	ab_pack_close(pack);
	for (size_t i = 0; i < n; i++) {
		for (int k = 0; k < 5; k++)
			five[k] = time_one(path, i, extract);
		qsort(five, 5, sizeof(*five), compare_times);
		times[i] = five[2];
	}
	print_times(times, n);
	free(times);
	return 0;
}

static int run_check(const char *path, char **files, int n)
{
	struct ab_pack *pack = open_pack(path);
	struct ab_error err = {};
	int bad = 0;

	for (int i = 0; i < n; i++) {
		char release[256], *data, what[512];
		struct ab_kernel k = kernel_of(files[i], release, sizeof(release));
		size_t size, out_size;
		void *out;
		long index = ab_pack_find(pack, release, k.arch, &err);

		if (index < 0 || file_read(files[i], 256 << 20, &data, &size, &err) < 0 ||
		    ab_pack_extract(pack, index, &out, &out_size, &err) < 0)
			die(&err);
		if (!canonical_equal(data, size, out, out_size, what, sizeof(what))) {
			fprintf(stderr, "bench/pack: %s: %s\n", files[i], what);
			bad = 1;
		}
		free(data);
		free(out);
	}
	ab_pack_close(pack);
	return bad;
}

/* Base and split BTF as one. */
static void *join(const void *base, const void *split, size_t *ret_size)
{
	const struct btf_header *a = base, *b = split;
	struct btf_header h = { BTF_MAGIC, BTF_VERSION, 0, sizeof(h), 0, a->type_len + b->type_len, a->type_len + b->type_len,
				a->str_len + b->str_len };
	const struct { const struct btf_header *h; uint32_t at, n; } pieces[] = {
		{ a, a->type_off, a->type_len }, { b, b->type_off, b->type_len },
		{ a, a->str_off, a->str_len }, { b, b->str_off, b->str_len },
	};
	uint8_t *out = malloc(sizeof(h) + h.type_len + h.str_len), *p = out + sizeof(h);

	memcpy(out, &h, sizeof(h));
	for (int i = 0; i < 4; i++) {
		memcpy(p, (const uint8_t *)pieces[i].h + pieces[i].h->hdr_len + pieces[i].at, pieces[i].n);
		p += pieces[i].n;
	}
	*ret_size = p - out;
	return out;
}

static int run_modules(const char *path, char **files, int n)
{
	struct ab_kernel k = { .release = "1.0", .arch = "x86_64", .distribution = "", .flavour = "", .module = "" };
	char *data[n];
	size_t size[n];
	struct ab_error err = {};
	struct ab_pack_writer *w;
	struct ab_pack *pack;
	double begin;
	int bad = 0;

	if (ab_pack_writer_open(path, &w, &err) < 0)
		die(&err);
	for (int i = 0; i < n; i++)
		if (file_read(files[i], 256 << 20, &data[i], &size[i], &err) < 0)
			die(&err);
	begin = now(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < n; i++) {
		k.module = i ? path_base(files[i]) : "";
		if (ab_pack_writer_add(w, &k, data[i], size[i], i ? data[0] : NULL, i ? size[0] : 0, &err) < 0)
			die(&err);
	}
	if (ab_pack_writer_commit(w, &err) < 0)
		die(&err);
	printf("%d %.4f\n", n, now(CLOCK_PROCESS_CPUTIME_ID) - begin);
	ab_pack_writer_free(w);
	pack = open_pack(path);
	for (size_t m = 0; m < ab_pack_count(pack); m++) {
		const char *module = ab_pack_kernel(pack, m)->module;
		size_t base_size, split_size, a_size, b_size;
		void *base, *split;
		char what[512];

		if (!*module)
			continue;
		if (ab_pack_extract(pack, 0, &base, &base_size, &err) < 0 || ab_pack_extract(pack, m, &split,
											     &split_size, &err) < 0)
			die(&err);
		for (int i = 1; i < n; i++) {
			void *a, *b;

			if (strcmp(path_base(files[i]), module))
				continue;
			a = join(data[0], data[i], &a_size);
			b = join(base, split, &b_size);
			if (!canonical_equal(a, a_size, b, b_size, what, sizeof(what))) {
				fprintf(stderr, "bench/pack: %s: %s\n", files[i], what);
				bad = 1;
			}
			free(a);
			free(b);
		}
		free(base);
		free(split);
	}
	ab_pack_close(pack);
	for (int i = 0; i < n; i++)
		free(data[i]);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "add"))
		return run_add(argv[2], argv + 3, argc - 3);
	if (argc == 3 && !strcmp(argv[1], "open"))
		return run_open(argv[2]);
	if (argc == 3 && (!strcmp(argv[1], "extract") || !strcmp(argv[1], "defs")))
		return run_each(argv[2], argv[1][0] == 'e');
	if (argc > 3 && !strcmp(argv[1], "check"))
		return run_check(argv[2], argv + 3, argc - 3);
	if (argc > 4 && !strcmp(argv[1], "modules"))
		return run_modules(argv[2], argv + 3, argc - 3);
	fprintf(stderr, "bench/pack: add|modules|open|extract|defs|check PACK [FILE...]\n");
	return 2;
}
