/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * core-apply OBJECT BTF OUT [OBJECT BTF OUT…]: relocates an object for the kernel whose types the file has ("-": this
 * machine's) and writes it without its relocations, so that libbpf finds nothing left to do. Types that are named again next
 * are read once. Exit 0; 1 with the reason if a relocation cannot be satisfied; 2 if a file cannot be used.
 */
#include <stddef.h>
#include <btf/core.h>
#include <btf/ext.h>
#include <run/run.h>

/* In the header of .BTF.ext: where the length of the relocations is. */
#define RELOS_LENGTH 28

struct kernel {
	const char *path;
	struct ab_btf *btf;
};

struct job {
	char *data;
	size_t size;
	struct ab_elf_info info;
	struct ab_btf *local;
	struct ab_ext *ext;
	struct ab_core_target *target;
};

static void close_kernel(struct kernel *kernel)
{
	ab_btf_close(kernel->btf);
	*kernel = (struct kernel){};
}

static int open_kernel(struct kernel *kernel, const char *path, struct ab_error *err)
{
	if (kernel->btf && !strcmp(kernel->path, path))
		return 0;
	close_kernel(kernel);
	kernel->path = path;
	return strcmp(path, "-") ? ab_btf_open_file(path, &kernel->btf, err) : ab_btf_open_kernel(&kernel->btf, err);
}

static int open_job(struct job *job, const char *object, const struct kernel *kernel, struct ab_error *err)
{
	int r = file_read(object, SIZE_MAX / 2, &job->data, &job->size, err);

	if (!r)
		r = ab_elf_check(job->data, job->size, &job->info, err);
	if (!r)
		r = ab_btf_open_mem(job->info.btf, job->info.btf_size, &job->local, err);
	if (!r)
		r = ab_ext_open(job->info.btf_ext, job->info.btf_ext_size, job->local, &job->ext, err);
	return r ? r : ab_core_target_new(kernel->btf, NULL, 0, &job->target, err);
}

static void close_job(struct job *job)
{
	ab_core_target_free(job->target);
	ab_ext_close(job->ext);
	ab_btf_close(job->local);
	free(job->data);
}

static int apply(struct job *job, const struct ab_ext_relo *relo, struct ab_error *err)
{
	_text_ struct text why = {};
	struct ab_core_value value;
	struct ab_core_spec spec;
	size_t size = 0;
	char *code = (char *)ab_elf_section(job->data, job->size, relo->section, &size);
	int r = ab_core_parse(job->local, &relo->relo, &spec, err);

	if (!r)
		r = ab_core_target_resolve(job->target, &spec, &value, &why, err);
	if (!r && (!code || relo->relo.insn_off >= size))
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "no section '%s'", relo->section);
	if (!r && (value.status == AB_CORE_AMBIGUOUS || value.status == AB_CORE_UNSUITED))
		r = ab_fail(err, AB_ERROR_RELOCATION, -EINVAL, "%s", why.p);
	if (!r)
		r = ab_core_patch((struct bpf_insn *)(code + relo->relo.insn_off),
				  (size - relo->relo.insn_off) / sizeof(struct bpf_insn), &spec, &value, err);
	return MIN(r, 0);
}

/* The exit status. */
static int apply_all(struct kernel *kernel, const char *object, const char *btf, const char *out, struct ab_error *err)
{
	struct job job = {};
	int status = 2;

	if (!open_kernel(kernel, btf, err) && !open_job(&job, object, kernel, err)) {
		status = 0;
		for (size_t i = 0; !status && i < job.ext->n_relos; i++)
			status = apply(&job, &job.ext->relos[i], err) < 0;
		if (job.ext->n_relos)
			memset((char *)job.info.btf_ext + RELOS_LENGTH, 0, 4);
		if (!status && file_write(out, job.data, job.size, 0644, err) < 0)
			status = 2;
	}
	if (status)
		fprintf(stderr, "core-apply: %s: %s\n", object, err->msg);
	close_job(&job);
	return status;
}

int main(int argc, char **argv)
{
	struct ab_error err = {};
	struct kernel kernel = {};
	int status = 0;

	if (argc < 4 || argc % 3 != 1) {
		fprintf(stderr, "usage: core-apply OBJECT BTF OUT [OBJECT BTF OUT...]\n");
		return 2;
	}
	for (int i = 1; !status && i < argc; i += 3)
		status = apply_all(&kernel, argv[i], argv[i + 1], argv[i + 2], &err);
	close_kernel(&kernel);
	return status;
}
