/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf btf: the types that an object needs of other kernels, and kernel types as C headers. */
#include <sys/stat.h>
#include <unistd.h>
#include "btf_file.h"

#define OBJECT_LIMIT (64u << 20)

struct btf_opts {
	struct common_opts common;
	const char *output, *pack, *kernels, *source;
	struct list btf;
	bool embed;
};

#define O(field) offsetof(struct btf_opts, field)

enum { VERB_MIN, VERB_HEADER };

static const struct verb verbs[] = {
	[VERB_MIN] = { "min", "FILE -o OUT", 1, 1 },
	[VERB_HEADER] = { "header", "[KERNEL|FILE]", 0, 1 },
	{},
};

static const struct opt options[] = {
	{ "output", 'o', OPT_STRING, O(output), "OUT", "min: a directory for RELEASE.btf files, a file .btf for one "
	  "kernel, or with --embed the object to write; header: the file to write; - for standard output", HINT_FILE },
	{ "kernels", 'k', OPT_STRING, O(kernels), "SET", "min: kernels of the pack: versions, ranges (5.4..6.1), globs and "
	  "distribution/version/architecture, separated by commas; default: all of this machine's architecture" },
	{ "pack", 'p', OPT_STRING, O(pack), "PACK", "the pack; default: $ANYBPF_PACK, ~/.local/share/anybpf/kernels.pack, "
	  "/usr/share/anybpf/kernels.pack", HINT_FILE },
	{ "btf", 0, OPT_LIST, O(btf), "FILE", "min: a kernel's types in a file named RELEASE.btf, in place of a pack (repeatable)",
	  HINT_FILE },
	{ "embed", 0, OPT_FLAG, O(embed), NULL, "min: write the object with the types in it" },
	{ "source", 0, OPT_STRING, O(source), "FILE", "header: only what this C source needs", HINT_SOURCE },
	JSON_OPTION("print one JSON object"),
	VERBOSE_OPTION("say what was done"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

/* Minimized BTFs of many kernels. Their names belong to the pack; the release of a file is its own, and it has no distribution. */
struct job {
	struct cli *cli;
	const struct btf_opts *opts;
	struct ab_min *min;
	struct ab_pack *pack;
	struct ab_min_entry *entries;
	size_t n, cap, bytes;
};

/* ---- min ---- */

/* Takes over the types, minimized. */
static int add_entry(struct job *job, const struct ab_kernel *kernel, void *btf, size_t size, struct ab_error *err)
{
	if (job->n == job->cap) {
		size_t cap = job->cap ? 2 * job->cap : 16;
		struct ab_min_entry *more = realloc(job->entries, cap * sizeof(*more));

		if (!more) {
			free(btf);
			return ab_fail_memory(err);
		}
		job->entries = more;
		job->cap = cap;
	}
	job->entries[job->n++] = (struct ab_min_entry){ .kernel = *kernel, .btf = btf, .size = size };
	job->bytes += size;
	return 0;
}

/* "dir/5.10.0-8-amd64.btf" has the types of 5.10.0-8-amd64; the running kernel's say of which. */
static int add_file(struct job *job, const char *path, struct ab_error *err)
{
	AB_OPTS(ab_min_opts, opts, .types = path);
	const char *base = path_base(path);
	size_t n = strlen(base) - (str_ends(base, ".btf") ? 4 : 0), size;
	bool is_running = !strcmp(path, KERNEL_BTF);
	struct ab_kernel kernel = { .arch = ab_min_running()->arch, .distribution = "", .flavour = "", .module = "" };
	_free_ char *release = is_running ? strdup(ab_min_running()->release) : strndup(base, n), *source = NULL;
	void *btf = NULL;
	int r = release ? ab_min_find(job->min, &opts, &btf, &size, &source, err) : ab_fail_memory(err);

	if (r < 0)
		return r;
	if (is_running)
		kernel = *ab_min_running();
	kernel.release = release;
	r = add_entry(job, &kernel, btf, size, err);
	if (r == 0) {
		job->entries[job->n - 1].kernel.release = TAKE(release);
		job->entries[job->n - 1].kernel.distribution = NULL;
	}
	return r;
}

static int add_from_pack(struct job *job, const struct ab_kernel_set *set, struct ab_error *err)
{
	const char *arch = ab_min_running()->arch;
	int r = 0;

	for (size_t i = 0; !r && i < ab_pack_count(job->pack); i++) {
		const struct ab_kernel *kernel = ab_pack_kernel(job->pack, i);
		void *btf = NULL;
		size_t size;

		if (*kernel->module || (set ? !ab_kernel_set_has(set, kernel) : *kernel->arch && strcmp(kernel->arch, arch)))
			continue;
		r = ab_min_pack(job->min, job->pack, i, &btf, &size, err);
		if (r < 0)
			ab_error_prefix(err, "%s", kernel->release);
		else
			r = add_entry(job, kernel, btf, size, err);
	}
	if (!r && !job->n)
		r = ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "btf: the pack has no kernel of '%s'",
			    job->opts->kernels ? job->opts->kernels : arch);
	return r;
}

static int collect(struct job *job, struct ab_error *err)
{
	struct ab_kernel_set *set = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < job->opts->btf.count; i++)
		r = add_file(job, job->opts->btf.items[i], err);
	if (r || job->opts->btf.count)
		return r;
	r = ab_min_open_pack(job->opts->pack, &job->pack, err);
	if (!r && job->opts->kernels)
		r = ab_kernel_set_parse(job->opts->kernels, &set, err);
	if (!r)
		r = add_from_pack(job, set, err);
	ab_kernel_set_free(set);
	return r;
}

static bool is_directory(const char *path)
{
	struct stat st;
	size_t n = strlen(path);

	return (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* Kernels of one release differ by distribution or architecture, and then their names do. */
static bool is_ambiguous(const struct job *job, size_t at)
{
	for (size_t i = 0; i < job->n; i++)
		if (i != at && !strcmp(job->entries[i].kernel.release, job->entries[at].kernel.release))
			return true;
	return false;
}

static int write_directory(struct job *job, struct ab_error *err)
{
	const char *dir = job->opts->output;
	int r = 0;

	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return ab_fail_errno(err, -errno, "unable to make directory '%s'", dir);
	for (size_t i = 0; !r && i < job->n; i++) {
		const struct ab_kernel *k = &job->entries[i].kernel;
		bool has_distribution = k->distribution && *k->distribution;
		_text_ struct text path = {};

		if (strchr(k->release, '/') || *k->release == '.')
			return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is no release that a file could be named after",
				       k->release);
		text_printf(&path, "%s/%s", dir, k->release);
		if (is_ambiguous(job, i))
			text_printf(&path, ".%s%s%s%s%zu", has_distribution ? k->distribution : "", has_distribution ? "." : "",
				    k->arch, *k->arch ? "." : "", i);
		text_puts(&path, ".btf");
		r = path.failed ? ab_fail_memory(err) : file_write(path.p, job->entries[i].btf, job->entries[i].size, 0644, err);
	}
	return r;
}

static int write_file(struct job *job, const void *data, size_t size, unsigned mode, struct ab_error *err)
{
	if (!strcmp(job->opts->output, "-") && job->cli->out.tty)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "btf: that is nothing for a terminal: redirect the output");
	return cli_write(job->cli, job->opts->output, data, size, mode, err);
}

static int write_all(struct job *job, size_t *ret_size, struct ab_error *err)
{
	const char *output = job->opts->output;
	bool is_file = !strcmp(output, "-") || str_ends(output, ".btf") || job->opts->btf.count == 1;
	_free_ void *object = NULL;
	int r;

	*ret_size = job->bytes;
	if (job->opts->embed) {
		r = ab_min_embed(job->min, job->entries, job->n, &object, ret_size, err);
		return r < 0 ? r : write_file(job, object, *ret_size, 0644, err);
	}
	if (is_directory(job->opts->output) || !is_file)
		return write_directory(job, err);
	if (job->n > 1)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "btf: %zu kernels do not fit into '%s': name a directory", job->n,
			       job->opts->output);
	return write_file(job, job->entries[0].btf, job->entries[0].size, 0644, err);
}

static int say_result(struct job *job, size_t size, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!job->cli->json) {
		if (!job->cli->quiet && strcmp(job->opts->output, "-"))
			cli_say(NULL, "%s: %zu bytes of types for %zu kernel%s%s", job->opts->output, job->bytes, job->n,
				job->n == 1 ? "" : "s", job->opts->embed ? ", in the object" : "");
		return 0;
	}
	json_open(&j, '{');
	json_member_str(&j, "output", job->opts->output);
	json_member_uint(&j, "size", size);
	json_key(&j, "kernels");
	json_open(&j, '[');
	for (size_t i = 0; i < job->n; i++) {
		json_open(&j, '{');
		json_member_str(&j, "release", job->entries[i].kernel.release);
		json_member_str(&j, "arch", job->entries[i].kernel.arch);
		json_member_uint(&j, "size", job->entries[i].size);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	return cli_print_json(job->cli, &t, err);
}

static void free_job(struct job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		if (!job->entries[i].kernel.distribution)
			free((void *)job->entries[i].kernel.release);
		free((void *)job->entries[i].btf);
	}
	free(job->entries);
	if (job->pack)
		ab_pack_close(job->pack);
	ab_min_free(job->min);
}

static int run_min(struct cli *cli, struct ab_error *err)
{
	struct job job = { .cli = cli, .opts = cli->opts };
	_free_ char *object = NULL;
	size_t size = 0, written;
	int r;

	if (!job.opts->output)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "btf: option '--output' is missing: where the types are to go");
	if (cli->json && !strcmp(job.opts->output, "-"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "btf: '--json' and '--output -' both want standard output");
	if (job.opts->btf.count && (job.opts->pack || job.opts->kernels))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "btf: '--btf' names kernels by files, '--pack' and '--kernels' in a pack: choose one");
	if (str_ends(cli->operands[1], ".c"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "'%s' is source: make an object with 'anybpf build', and minimize types for that", cli->operands[1]);
	r = file_read(cli->operands[1], OBJECT_LIMIT, &object, &size, err);
	if (!r) {
		r = ab_min_new(object, size, &job.min, err);
		if (r < 0)
			ab_error_prefix(err, "%s", cli->operands[1]);
	}
	if (!r)
		r = collect(&job, err);
	if (!r)
		r = write_all(&job, &written, err);
	if (!r)
		r = say_result(&job, written, err);
	free_job(&job);
	return r;
}

/* ---- header ---- */

#ifdef ANYBPF_NO_COMPILER
static int run_header(struct cli *cli, struct ab_error *err)
{
	return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "this anybpf prints no C headers: use a full installation");
}
#else
static int run_header(struct cli *cli, struct ab_error *err)
{
	const struct btf_opts *opts = cli->opts;
	AB_OPTS(ab_builder_opts, builder_opts, .one_shot = true);
	struct ab_builder *builder = NULL;
	struct btf_file btf;
	_free_ char *text = NULL;
	size_t size;
	int r;

	r = btf_file_whole(cli, cli->operand_count == 2 ? cli->operands[1] : NULL, opts->pack, &btf, err);
	builder_opts.btf_path = btf.path;
	if (!r)
		r = ab_builder_new(&builder_opts, &builder, err);
	if (!r)
		r = ab_builder_header(builder, opts->source, NULL, 0, NULL, &text, &size, err);
	ab_builder_free(builder);
	btf_file_close(&btf);
	return r < 0 ? r : cli_write(cli, opts->output, text, size, 0644, err);
}
#endif

static int run_btf(struct cli *cli, struct ab_error *err)
{
	int verb = verb_find(cli->command, cli->operands[0], cli->operand_count - 1, err);

	if (verb < 0)
		return verb;
	return verb == VERB_MIN ? run_min(cli, err) : run_header(cli, err);
}

const struct command cli_btf = {
	.name = "btf",
	.summary = "types for kernels that have none: minimized for an object; and kernel types as C headers",
	.operands = "min FILE | header [KERNEL|FILE]",
	.min_operands = 1,
	.max_operands = 2,
	.hint = HINT_WORDS,
	.verbs = verbs,
	.options = options,
	.opts_size = sizeof(struct btf_opts),
	.run = run_btf,
};
