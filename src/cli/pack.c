/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf pack: packs of many kernels' types. What is not plain BTF is added by anybpf-hub, which this starts. */
#include <anybpf/anybpf.h>
#include <linux/btf.h>
#include <unistd.h>
#include "cli.h"

#define FILE_LIMIT ((size_t)1 << 30) /* a vmlinux with debug information */

struct pack_opts {
	struct common_opts common;
	const char *release, *arch, *distribution, *flavour, *module, *output;
	int64_t jobs;
	bool modules;
};

#define O(field) offsetof(struct pack_opts, field)

enum { VERB_ADD, VERB_LIST, VERB_EXTRACT, VERB_VERIFY, VERB_MERGE, VERB_STAT, VERB_DROP, VERB_DIFF };

static const struct verb verbs[] = {
	[VERB_ADD] = { "add", "PACK FILE...", 2, SIZE_MAX },
	[VERB_LIST] = { "list", "PACK", 1, 1 },
	[VERB_EXTRACT] = { "extract", "PACK KERNEL", 2, 2 },
	[VERB_VERIFY] = { "verify", "PACK", 1, 1 },
	[VERB_MERGE] = { "merge", "PACK OTHER...", 2, SIZE_MAX },
	[VERB_STAT] = { "stat", "PACK", 1, 1 },
	[VERB_DROP] = { "drop", "PACK KERNEL...", 2, SIZE_MAX },
	[VERB_DIFF] = { "diff", "PACK (OTHER | KERNEL KERNEL | KERNEL OTHER KERNEL)", 2, 4 },
	{},
};

static const struct opt options[] = {
	{ "release", 0, OPT_STRING, O(release), "RELEASE", "add: the kernel's release, where nothing in the file says it" },
	{ "arch", 0, OPT_STRING, O(arch), "ARCH", "the kernel's architecture, as uname -m says it" },
	{ "distribution", 0, OPT_STRING, O(distribution), "NAME", "add: the kernel's distribution, such as debian or centos-8" },
	{ "flavour", 0, OPT_STRING, O(flavour), "NAME", "add: the kernel's flavour, such as cloud or rt" },
	{ "modules", 'm', OPT_FLAG, O(modules), NULL, "add: the types of kernel modules too" },
	{ "module", 0, OPT_STRING, O(module), "NAME", "extract: the types of this module of the kernel" },
	{ "jobs", 'j', OPT_NUMBER, O(jobs), "N", "add: files that are read at a time; default: as many as CPUs",
	 .min = 1, .max = 256 },
	{ "output", 'o', OPT_STRING, O(output), "FILE", "extract: write there instead of to standard output", HINT_FILE },
	JSON_OPTION("print JSON: one object, and for 'add' one on each kernel's line"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

/* ---- what is shown ---- */

static void put(struct cli *cli, const char *s)
{
	out_safe(&cli->out, s, strlen(s));
}

static void put_kernel(struct cli *cli, const struct ab_kernel *k)
{
	put(cli, *k->distribution ? k->distribution : "-");
	put(cli, "/");
	put(cli, k->release);
	put(cli, "/");
	put(cli, k->arch);
	if (*k->flavour) {
		put(cli, " ");
		put(cli, k->flavour);
	}
	if (*k->module) {
		put(cli, " module ");
		put(cli, k->module);
	}
}

static void add_kernel(struct json *j, const struct ab_kernel *k)
{
	char build_id[2 * sizeof(k->build_id) + 1] = "";

	for (unsigned i = 0; i < k->build_id_size; i++)
		sprintf(build_id + 2 * i, "%02x", k->build_id[i]);
	json_member_str(j, "release", k->release);
	json_member_str(j, "arch", k->arch);
	json_member_str(j, "distribution", k->distribution);
	json_member_str(j, "flavour", k->flavour);
	json_member_str(j, "module", k->module);
	json_member_str(j, "build_id", build_id);
}

/* ---- add ---- */

/*
 * Whether anybpf can do it itself: raw BTF of this machine's architecture. What a file says of itself, as ELF files do,
 * the hub knows to read.
 */
static bool is_plain(const struct pack_opts *o, const char *path)
{
	_fclose_ FILE *f = NULL;
	uint16_t magic;

	if (!o->release || (o->arch && strcmp(o->arch, ab_min_running()->arch)))
		return false;
	f = fopen(path, "re");
	return f && fread(&magic, sizeof(magic), 1, f) == 1 && magic == BTF_MAGIC;
}

static int start_hub(struct cli *cli, struct ab_error *err)
{
	const struct pack_opts *o = cli->opts;
	const char **argv = array_new(cli->operand_count + 20, sizeof(*argv));
	struct cli hub = *cli;
	char jobs[24];
	int n = 0, r;

	if (!argv)
		return ab_fail_memory(err);
	snprintf(jobs, sizeof(jobs), "%lld", (long long)o->jobs);
	const char *const pairs[][2] = {
		{ "--pack", cli->operands[1] }, { "--release", o->release }, { "--arch", o->arch },
		{ "--distribution", o->distribution }, { "--flavour", o->flavour }, { "--jobs", o->jobs ? jobs : NULL },
	};

	argv[n++] = "import";
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (!pairs[i][1])
			continue;
		argv[n++] = pairs[i][0];
		argv[n++] = pairs[i][1];
	}
	if (o->modules)
		argv[n++] = "--modules";
	if (cli->json)
		argv[n++] = "--json";
	if (cli->quiet)
		argv[n++] = "--quiet";
	argv[n++] = "--";
	for (size_t i = 2; i < cli->operand_count; i++)
		argv[n++] = cli->operands[i];
	hub.command = &cli_hub;
	hub.argc = n;
	hub.argv = (char **)argv;
	r = hub.command->run(&hub, err);
	free(argv);
	return r;
}

static int add_file(struct cli *cli, struct ab_pack_writer *writer, const char *path, struct ab_error *err)
{
	const struct pack_opts *o = cli->opts;
	struct ab_kernel kernel = { .release = o->release, .arch = ab_min_running()->arch,
				    .distribution = o->distribution ? o->distribution : "",
				    .flavour = o->flavour ? o->flavour : "", .module = "" };
	_text_ struct text t = {};
	struct json j = { &t };
	size_t size;
	char *btf;
	int r;

	r = file_read(path, FILE_LIMIT, &btf, &size, err);
	if (r < 0)
		return r;
	r = ab_pack_writer_add(writer, &kernel, btf, size, NULL, 0, err);
	free(btf);
	if (r < 0) {
		ab_error_prefix(err, "'%s'", path);
		return r;
	}
	if (cli->json) {
		json_open(&j, '{');
		add_kernel(&j, &kernel);
		json_member_uint(&j, "bytes", size);
		json_member_str(&j, "input", path);
		json_member_bool(&j, "added", r > 0);
		json_close(&j, '}');
		return cli_print_json(cli, &t, err);
	}
	if (!cli->quiet) {
		out_puts(&cli->out, r ? "added " : "known ");
		put_kernel(cli, &kernel);
		out_puts(&cli->out, "\n");
	}
	return 0;
}

static int run_add(struct cli *cli, struct ab_error *err)
{
	const struct pack_opts *o = cli->opts;
	struct ab_pack_writer *writer;
	int r;

	if (cli->operand_count > 3 || !is_plain(o, cli->operands[2]))
		return start_hub(cli, err);
	r = ab_pack_writer_open(cli->operands[1], &writer, err);
	if (r < 0)
		return r;
	r = add_file(cli, writer, cli->operands[2], err);
	if (r == 0)
		r = ab_pack_writer_commit(writer, err);
	ab_pack_writer_free(writer);
	return r;
}

/* ---- list, stat, verify ---- */

static int run_list(struct cli *cli, struct ab_pack *pack, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (!cli->json) {
		for (size_t i = 0; i < ab_pack_count(pack); i++) {
			put_kernel(cli, ab_pack_kernel(pack, i));
			out_puts(&cli->out, "\n");
		}
		return 0;
	}
	json_open(&j, '{');
	json_key(&j, "kernels");
	json_open(&j, '[');
	for (size_t i = 0; i < ab_pack_count(pack); i++) {
		json_open(&j, '{');
		add_kernel(&j, ab_pack_kernel(pack, i));
		json_member_uint(&j, "definitions", ab_pack_definitions(pack, i));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

static int run_stat(struct cli *cli, struct ab_pack *pack, struct ab_error *err)
{
	struct ab_pack_stat stat;
	_text_ struct text t = {};
	struct json j = { &t };

	ab_pack_stat(pack, &stat);
	const struct { const char *key, *label; uint64_t value; } rows[] = {
		{ "kernels", "kernels", stat.kernels }, { "modules", "modules", stat.modules },
		{ "definitions", "definitions", stat.definitions }, { "strings", "strings", stat.strings },
		{ "segments", "segments", stat.segments }, { "bytes", "bytes", stat.size },
		{ "strings_bytes", "  of strings", stat.strings_size }, { "heads_bytes", "  of heads", stat.heads_size },
		{ "bodies_bytes", "  of bodies", stat.bodies_size }, { "sets_bytes", "  of sets", stat.sets_size },
	};

	if (cli->json)
		json_open(&j, '{');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (cli->json)
			json_member_uint(&j, rows[i].key, rows[i].value);
		else
			out_printf(&cli->out, "%-14s %12llu\n", rows[i].label, (unsigned long long)rows[i].value);
	}
	if (!cli->json)
		return 0;
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

static int run_verify(struct cli *cli, struct ab_pack *pack, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };
	int r = ab_pack_verify(pack, err);

	if (r < 0)
		return r;
	if (!cli->json) {
		if (!cli->quiet)
			out_printf(&cli->out, "sound: %zu kernels and modules\n", ab_pack_count(pack));
		return 0;
	}
	json_open(&j, '{');
	json_member_bool(&j, "sound", true);
	json_member_uint(&j, "kernels", ab_pack_count(pack));
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

/* ---- extract ---- */

static long find_module(const struct ab_pack *pack, long kernel, const char *name, struct ab_error *err)
{
	const struct ab_kernel *k = ab_pack_kernel(pack, kernel);

	for (size_t i = 0; i < ab_pack_count(pack); i++) {
		const struct ab_kernel *m = ab_pack_kernel(pack, i);

		if (!strcmp(m->module, name) && !strcmp(m->release, k->release) && !strcmp(m->arch, k->arch) &&
		    !strcmp(m->distribution, k->distribution) && !strcmp(m->flavour, k->flavour))
			return (long)i;
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no types of a module '%s' of %s", name, k->release);
}

static int run_extract(struct cli *cli, struct ab_pack *pack, struct ab_error *err)
{
	const struct pack_opts *o = cli->opts;
	long kernel;
	size_t size;
	void *btf;
	int r;

	if ((!o->output || !strcmp(o->output, "-")) && isatty(STDOUT_FILENO))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "BTF is nothing for a terminal: name a file with -o");
	if (o->output && ab_is_pack(o->output))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is a pack, and would be no more: name another file", o->output);
	kernel = ab_pack_find(pack, cli->operands[2], o->arch, err);
	if (kernel >= 0 && o->module)
		kernel = find_module(pack, kernel, o->module, err);
	r = kernel < 0 ? (int)kernel : ab_pack_extract(pack, kernel, &btf, &size, err);
	if (r < 0)
		return r;
	r = cli_write(cli, o->output, btf, size, 0644, err);
	free(btf);
	return r;
}

/* ---- merge, drop ---- */

static int merge_one(struct ab_pack_writer *writer, const char *path, struct ab_error *err)
{
	struct ab_pack *pack;
	int r = ab_pack_open(path, &pack, err);

	if (r == 0) {
		r = ab_pack_writer_merge(writer, pack, err);
		ab_pack_close(pack);
	}
	return r;
}

static int run_merge(struct cli *cli, struct ab_error *err)
{
	struct ab_pack_writer *writer;
	int r = ab_pack_writer_open(cli->operands[1], &writer, err);

	if (r < 0)
		return r;
	for (size_t i = 2; i < cli->operand_count && r == 0; i++)
		r = merge_one(writer, cli->operands[i], err);
	if (r == 0)
		r = ab_pack_writer_commit(writer, err);
	ab_pack_writer_free(writer);
	return r;
}

/* Drops the kernels that the operands name, and notes which these are. */
static int drop_named(struct cli *cli, struct ab_pack_writer *writer, const struct ab_pack *pack,
		      const struct ab_kernel **dropped, struct ab_error *err)
{
	const struct pack_opts *o = cli->opts;
	int r = 0;

	for (size_t i = 2; i < cli->operand_count && r == 0; i++) {
		long kernel = ab_pack_find(pack, cli->operands[i], o->arch, err);

		if (kernel < 0)
			return (int)kernel;
		dropped[i - 2] = ab_pack_kernel(pack, kernel);
		r = ab_pack_writer_drop(writer, dropped[i - 2], err);
	}
	return r < 0 ? r : ab_pack_writer_commit(writer, err);
}

static int show_dropped(struct cli *cli, const struct ab_kernel *const *dropped, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };

	if (cli->json) {
		json_open(&j, '{');
		json_key(&j, "dropped");
		json_open(&j, '[');
	}
	for (size_t i = 0; i < cli->operand_count - 2; i++) {
		if (cli->json) {
			json_open(&j, '{');
			add_kernel(&j, dropped[i]);
			json_close(&j, '}');
		} else if (!cli->quiet) {
			out_puts(&cli->out, "dropped ");
			put_kernel(cli, dropped[i]);
			out_puts(&cli->out, "\n");
		}
	}
	if (!cli->json)
		return 0;
	json_close(&j, ']');
	json_close(&j, '}');
	return cli_print_json(cli, &t, err);
}

static int run_drop(struct cli *cli, struct ab_error *err)
{
	_free_ const struct ab_kernel **dropped = array_new(cli->operand_count, sizeof(*dropped));
	struct ab_pack_writer *writer;
	struct ab_pack *pack;
	int r;

	if (!dropped)
		return ab_fail_memory(err);
	if (access(cli->operands[1], F_OK) < 0)
		return ab_fail_errno(err, -errno, "'%s'", cli->operands[1]);
	r = ab_pack_writer_open(cli->operands[1], &writer, err);
	if (r < 0)
		return r;
	/* Opened under the writer's lock: nobody changes it meanwhile. */
	r = ab_pack_open(cli->operands[1], &pack, err);
	if (r == 0) {
		r = drop_named(cli, writer, pack, dropped, err);
		if (r >= 0)
			r = show_dropped(cli, dropped, err);
		ab_pack_close(pack);
	}
	ab_pack_writer_free(writer);
	return r;
}

/* ---- diff ---- */

struct diff {
	struct cli *cli;
	struct json *j;
	size_t counts[AB_PACK_CHANGED + 1];
};

static const char *const change_words[] = { [AB_PACK_ADDED] = "added", [AB_PACK_REMOVED] = "removed",
					   [AB_PACK_CHANGED] = "changed" };

static const char change_marks[] = { [AB_PACK_ADDED] = '+', [AB_PACK_REMOVED] = '-', [AB_PACK_CHANGED] = '~' };

static int show_definition(void *ctx, enum ab_pack_change change, const char *kind, const char *name)
{
	struct diff *d = ctx;

	d->counts[change]++;
	if (!d->cli->json) {
		out_printf(&d->cli->out, "%c %s ", change_marks[change], kind);
		put(d->cli, name);
		out_puts(&d->cli->out, "\n");
		return 0;
	}
	json_open(d->j, '{');
	json_member_str(d->j, "change", change_words[change]);
	json_member_str(d->j, "kind", kind);
	json_member_str(d->j, "name", name);
	json_close(d->j, '}');
	return 0;
}

static void show_kernel_change(struct diff *d, enum ab_pack_change change, const struct ab_kernel *k)
{
	d->counts[change]++;
	if (!d->cli->json) {
		out_printf(&d->cli->out, "%c ", change_marks[change]);
		put_kernel(d->cli, k);
		out_puts(&d->cli->out, "\n");
		return;
	}
	json_open(d->j, '{');
	json_member_str(d->j, "change", change_words[change]);
	add_kernel(d->j, k);
	json_close(d->j, '}');
}

/* Kernels of two packs, both in order; of those that both have, which have other types. */
static int compare_packs(struct diff *d, const struct ab_pack *a, const struct ab_pack *b, struct ab_error *err)
{
	_free_ uint64_t *old = NULL, *new = NULL;
	size_t i = 0, j = 0;
	int r = ab_pack_digests(a, &old, err);

	if (r == 0)
		r = ab_pack_digests(b, &new, err);
	while (r == 0 && (i < ab_pack_count(a) || j < ab_pack_count(b))) {
		int order = i == ab_pack_count(a) ? 1 : j == ab_pack_count(b) ? -1 :
			    ab_kernel_compare(ab_pack_kernel(a, i), ab_pack_kernel(b, j));

		if (order < 0)
			show_kernel_change(d, AB_PACK_REMOVED, ab_pack_kernel(a, i));
		else if (order > 0)
			show_kernel_change(d, AB_PACK_ADDED, ab_pack_kernel(b, j));
		else if (old[i] != new[j])
			show_kernel_change(d, AB_PACK_CHANGED, ab_pack_kernel(a, i));
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* "diff A B", or "diff A KERNEL B KERNEL". */
static int diff_packs(struct diff *d, const struct ab_pack *a, struct ab_error *err)
{
	const char **operands = d->cli->operands, *arch = ((const struct pack_opts *)d->cli->opts)->arch;
	size_t n = d->cli->operand_count;
	struct ab_pack *b;
	long old, new;
	int r = ab_pack_open(operands[n == 3 ? 2 : 3], &b, err);

	if (r < 0)
		return r;
	if (n == 3) {
		r = compare_packs(d, a, b, err);
	} else {
		old = ab_pack_find(a, operands[2], arch, err);
		new = old < 0 ? old : ab_pack_find(b, operands[4], arch, err);
		r = new < 0 ? (int)new : ab_pack_diff_packs(a, old, b, new, show_definition, d, err);
	}
	ab_pack_close(b);
	return r;
}

static int diff_kernels(struct diff *d, const struct ab_pack *pack, struct ab_error *err)
{
	const struct pack_opts *o = d->cli->opts;
	long old = ab_pack_find(pack, d->cli->operands[2], o->arch, err), new;

	new = old < 0 ? old : ab_pack_find(pack, d->cli->operands[3], o->arch, err);
	return new < 0 ? (int)new : ab_pack_diff(pack, old, new, show_definition, d, err);
}

static int run_diff(struct cli *cli, struct ab_pack *pack, struct ab_error *err)
{
	_text_ struct text t = {};
	struct json j = { &t };
	struct diff d = { .cli = cli, .j = &j };
	int r;

	json_open(&j, '{');
	json_key(&j, "differences");
	json_open(&j, '[');
	r = cli->operand_count == 4 ? diff_kernels(&d, pack, err) : diff_packs(&d, pack, err);
	if (r < 0)
		return r;
	json_close(&j, ']');
	for (int i = AB_PACK_ADDED; i <= AB_PACK_CHANGED; i++)
		json_member_uint(&j, change_words[i], d.counts[i]);
	json_close(&j, '}');
	if (cli->json)
		return cli_print_json(cli, &t, err);
	if (!cli->quiet)
		cli_say(NULL, "%zu added, %zu removed, %zu changed", d.counts[AB_PACK_ADDED], d.counts[AB_PACK_REMOVED],
			d.counts[AB_PACK_CHANGED]);
	return 0;
}

/* ---- which ---- */

static int run_pack(struct cli *cli, struct ab_error *err)
{
	static int (*const readers[])(struct cli *cli, struct ab_pack *pack, struct ab_error *err) = {
		[VERB_LIST] = run_list, [VERB_EXTRACT] = run_extract, [VERB_VERIFY] = run_verify, [VERB_STAT] = run_stat,
		[VERB_DIFF] = run_diff,
	};
	int verb = verb_find(cli->command, cli->operands[0], cli->operand_count - 1, err), r;
	struct ab_pack *pack;

	if (verb < 0)
		return verb;
	if (verb == VERB_ADD)
		return run_add(cli, err);
	if (verb == VERB_MERGE)
		return run_merge(cli, err);
	if (verb == VERB_DROP)
		return run_drop(cli, err);
	r = ab_pack_open(cli->operands[1], &pack, err);
	if (r == 0) {
		r = readers[verb](cli, pack, err);
		ab_pack_close(pack);
	}
	return r;
}

const struct command cli_pack = {
	.name = "pack",
	.summary = "keep the types of many kernels in one file",
	.operands = "add|list|extract|verify|merge|stat|drop|diff PACK [FILE...|KERNEL...]",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_WORDS,
	.verbs = verbs,
	.options = options,
	.opts_size = sizeof(struct pack_opts),
	.run = run_pack,
};
