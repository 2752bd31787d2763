/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf run: the option table, and the way from FILE to attached programs. */
#include <sys/stat.h>
#include "remote.h"
#include "run.h"

#define O(field) offsetof(struct run_opts, field)

static const char *const sort_words[] = { "value", "key", "none", NULL };

static const struct opt options[] = {
	{ "pid", 'p', OPT_NUMBER, O(pid), "PID",
	  "this process only: sets the program's pid parameter, and restricts uprobes, "
	  "USDT and perf events",
	  .min = 1, .max = 4194304 },
	{ "cpu", 0, OPT_NUMBER, O(cpu), "CPU", "perf events of this CPU only", .min = 0, .max = 65535 },
	{ "duration", 'd', OPT_DURATION, O(duration), "TIME",
	  "end after TIME: seconds, or with a unit as in 500ms, 2m" },
	{ "count", 'c', OPT_NUMBER, O(count), "N", "end after N events", .min = 1, .max = INT64_MAX },
	{ "interval", 'i', OPT_DURATION, O(interval), "TIME", "print maps every TIME, and at the end" },
	{ "map", 'm', OPT_LIST, O(maps), "NAME",
	  "print this map, or 'all'; default: those that the program marks as shown, else "
	  "all when it has no events (repeatable)" },
	{ "per-cpu", 0, OPT_FLAG, O(per_cpu), NULL, "print each CPU's values of per-CPU maps instead of their sum" },
	{ "clear", 0, OPT_FLAG, O(clear), NULL, "empty the maps after each printing" },
	{ "top", 0, OPT_NUMBER, O(top), "N", "the first N entries of each map only", .min = 1, .max = INT64_MAX },
	{ "sort", 0, OPT_STRING, O(sort), "BY",
	  "order of map entries: value (largest first), key (smallest first), a column's "
	  "name, or none; default: value, for arrays key",
	  HINT_WORDS, sort_words },
	{ "flamegraph", 'f', OPT_STRING, O(flamegraph), "OUT.svg", "write a flame graph of all stacks at the end",
	  HINT_FILE },
	{ "folded", 0, OPT_STRING, O(folded), "OUT",
	  "write stacks as 'a;b;c COUNT' lines at the end; - for standard output", HINT_FILE },
	{ "trace", 't', OPT_FLAG, O(trace), NULL, "print the output of bpf_printk()" },
	{ "event", 'e', OPT_LIST, O(events), "MAP=TYPE", "the type of MAP's events, as in C: 'struct event' (repeatable)" },
	{ "attach", 'a', OPT_LIST, O(attach), "PROG=TARGET",
	  "attach a program to TARGET: an interface, cgroup, function, "
	  "path:symbol, event@frequency (repeatable)" },
	{ "interface", 'I', OPT_LIST, O(interfaces), "IFACE",
	  "attach XDP and tc programs to this interface (repeatable)", HINT_INTERFACE },
	{ "cgroup", 0, OPT_LIST, O(cgroups), "PATH", "attach cgroup programs to this cgroup (repeatable)", HINT_DIR },
	{ "only", 0, OPT_LIST, O(only), "PROG", "leave all other programs out (repeatable)" },
	{ "skip", 0, OPT_LIST, O(skip), "PROG", "leave this program out (repeatable)" },
	{ "set", 's', OPT_LIST, O(set), "NAME=VALUE", "set a parameter; the same as --NAME VALUE (repeatable)" },
	{ "btf", 0, OPT_STRING, O(btf), "FILE|KERNEL|auto", "the kernel's types: a file with BTF, a directory with RELEASE.btf, "
	  "a pack, or a kernel of the pack; auto: as if the kernel had none, from the object, the cache or a pack", HINT_FILE },
	SERVER_OPTION("compile on, and get types that this kernel lacks from,", O(server)),
	{ "define", 'D', OPT_LIST, O(defines), "NAME[=VALUE]", "define a macro when compiling (repeatable)",
	  .needs_compiler = true },
	{ "include", 0, OPT_LIST, O(include_dirs), "DIR", "look for #include files here when compiling (repeatable)",
	  HINT_DIR, .needs_compiler = true },
	JSON_OPTION("print one JSON object a line"),
	VERBOSE_OPTION("say more: whole verifier logs; twice: libbpf's debug output"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

static const struct run_opts defaults = { .cpu = -1 };

/* ---- programs and targets ---- */

static int fail_program(struct run *run, const char *name, struct ab_error *err)
{
	struct nearest nearest = { .wanted = name };

	for (size_t i = 0; i < ab_object_program_count(run->object); i++)
		nearest_try(&nearest, ab_program_name(ab_object_program(run->object, i)));
	if (nearest.name)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no program '%s' in '%s'; did you mean '%s'?", name,
			       ab_object_name(run->object), nearest.name);
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no program '%s' in '%s'", name, ab_object_name(run->object));
}

static int check_programs(struct run *run, const struct list *names, struct ab_error *err)
{
	for (size_t i = 0; i < names->count; i++)
		if (!ab_object_find_program(run->object, names->items[i]))
			return fail_program(run, names->items[i], err);
	return 0;
}

static int choose_programs(struct run *run, struct ab_error *err)
{
	const struct list *only = &run->opts->only, *skip = &run->opts->skip;
	int r = check_programs(run, only, err);

	if (r == 0)
		r = check_programs(run, skip, err);
	for (size_t i = 0; r == 0 && i < ab_object_program_count(run->object); i++) {
		struct ab_program *program = ab_object_program(run->object, i);
		const char *name = ab_program_name(program);

		if ((only->count && !list_has(only, name)) || list_has(skip, name))
			r = ab_program_set_enabled(program, false, err);
	}
	return r;
}

/* Splits "A=B", as `option` ("attach PROG=TARGET") takes it; A is the caller's to free. */
static int split_pair(const char *pair, const char *option, char **ret_left, const char **ret_right,
		      struct ab_error *err)
{
	const char *equals = strchr(pair, '=');
	char *left;

	if (!equals || equals == pair)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%.*s' takes%s, not '%s'",
			       (int)strcspn(option, " "), option, strchr(option, ' '), pair);
	left = strndup(pair, equals - pair);
	if (!left)
		return ab_fail_memory(err);
	*ret_left = left;
	*ret_right = equals + 1;
	return 0;
}

static int set_targets(struct run *run, struct ab_error *err)
{
	for (size_t i = 0; i < run->opts->attach.count; i++) {
		_free_ char *name = NULL;
		struct ab_program *program;
		const char *target;
		int r = split_pair(run->opts->attach.items[i], "attach PROG=TARGET", &name, &target, err);

		if (r < 0)
			return r;
		program = ab_object_find_program(run->object, name);
		if (!program)
			return fail_program(run, name, err);
		r = ab_program_set_target(program, target, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool has_own_target(const struct run *run, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < run->opts->attach.count; i++)
		if (!strncmp(run->opts->attach.items[i], name, n) && run->opts->attach.items[i][n] == '=')
			return true;
	return false;
}

static bool has_section(const struct ab_program *program, const char *const *prefixes)
{
	const char *section = ab_program_section(program);

	section += *section == '?';
	for (; *prefixes; prefixes++)
		if (str_starts(section, *prefixes))
			return true;
	return false;
}

/* --interface and --cgroup: every program of these sections that --attach does not name gets the targets. */
static int set_targets_by_section(struct run *run, const struct list *targets, const char *const *prefixes,
				  const char *option, struct ab_error *err)
{
	size_t matched = 0;

	for (size_t i = 0; targets->count && i < ab_object_program_count(run->object); i++) {
		struct ab_program *program = ab_object_program(run->object, i);

		if (!has_section(program, prefixes) || has_own_target(run, ab_program_name(program)))
			continue;
		matched++;
		for (size_t k = 0; k < targets->count; k++) {
			int r = ab_program_set_target(program, targets->items[k], err);

			if (r < 0)
				return r;
		}
	}
	if (targets->count && !matched)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--%s': '%s' has no program of that kind", option,
			       ab_object_name(run->object));
	return 0;
}

static int set_event_types(struct run *run, struct ab_error *err)
{
	for (size_t i = 0; i < run->opts->events.count; i++) {
		_free_ char *channel = NULL;
		const char *type;
		int r = split_pair(run->opts->events.items[i], "event MAP=TYPE", &channel, &type, err);

		if (r == 0)
			r = ab_events_set_type(run->object, channel, type, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_pid(struct run *run, struct ab_error *err)
{
	static const char *const by_pid[] = { "uprobe", "uretprobe", "usdt", "perf_event", NULL };
	bool used = false;
	char text[24];
	int r = 0;

	if (!run->opts->pid)
		return 0;
	snprintf(text, sizeof(text), "%lld", (long long)run->opts->pid);
	for (size_t i = 0; r == 0 && i < ab_object_param_count(run->object); i++) {
		const struct ab_param *param = ab_object_param(run->object, i);

		if (!param->is_pid)
			continue;
		used = true;
		r = ab_object_set_param(run->object, param->name, text, err);
	}
	for (size_t i = 0; i < ab_object_program_count(run->object); i++)
		used |= has_section(ab_object_program(run->object, i), by_pid);
	if (r == 0 && !used)
		run_warn(run, "--pid has no effect: '%s' has no parameter for it, uprobe or perf event",
			 ab_object_name(run->object));
	return r;
}

static void check_cpu(struct run *run)
{
	static const char *const by_cpu[] = { "perf_event", NULL };
	bool used = run->opts->cpu < 0;

	for (size_t i = 0; i < ab_object_program_count(run->object); i++)
		used |= has_section(ab_object_program(run->object, i), by_cpu);
	if (!used)
		run_warn(run, "--cpu has no effect: '%s' has no program of a perf event", ab_object_name(run->object));
}

static int set_params(struct run *run, struct ab_error *err)
{
	for (size_t i = 0; i < run->opts->set.count; i++) {
		_free_ char *name = NULL;
		const char *value;
		int r = split_pair(run->opts->set.items[i], "set NAME=VALUE", &name, &value, err);

		if (r == 0)
			r = ab_object_set_param(run->object, name, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the run ---- */

static int prepare(struct run *run, struct ab_error *err)
{
	static const char *const interface_sections[] = { "xdp", "tc", "classifier", "action", "netkit", NULL };
	static const char *const cgroup_sections[] = { "cgroup", "sockops", "lsm_cgroup", NULL };
	const struct run_opts *opts = run->opts;
	int r;

	check_cpu(run);
	if ((r = set_pid(run, err)) < 0 || (r = set_params(run, err)) < 0 || (r = choose_programs(run, err)) < 0 ||
	    (r = set_targets(run, err)) < 0 || (r = set_event_types(run, err)) < 0 ||
	    (r = run_check_maps(run, err)) < 0 || (r = run_check_sort(run, err)) < 0)
		return r;
	r = set_targets_by_section(run, &opts->interfaces, interface_sections, "interface", err);
	if (r < 0)
		return r;
	return set_targets_by_section(run, &opts->cgroups, cgroup_sections, "cgroup", err);
}

static void count_attached(struct run *run)
{
	for (size_t i = 0; i < ab_object_program_count(run->object); i++) {
		struct ab_program *program = ab_object_program(run->object, i);

		if (ab_program_is_iterator(program))
			run->iterators += ab_program_state(program) == AB_PROGRAM_ATTACHED;
		else
			run->attached += ab_program_state(program) == AB_PROGRAM_ATTACHED;
	}
}

/*
 * Programs that have no place to attach to are for others to call, if there are others: where nothing is attached, a target
 * was forgotten.
 */
static int report_unattached(struct run *run, struct ab_error *err)
{
	for (size_t i = 0; i < ab_object_program_count(run->object); i++) {
		const struct ab_program *program = ab_object_program(run->object, i);
		const char *name = ab_program_name(program), *reason = ab_program_reason(program);

		if (ab_program_state(program) != AB_PROGRAM_LOADED || !*reason)
			continue;
		if (!run->attached && !run->iterators && !ab_program_is_optional(program))
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' (%s) %s: --attach %s=TARGET", name,
				       ab_program_section(program), reason, name);
		run_warn(run, "program '%s' (%s) is not attached: it %s: --attach %s=TARGET", name,
			 ab_program_section(program), reason, name);
	}
	return 0;
}

static int start(struct run *run, struct ab_error *err)
{
	int r;

	if ((r = prepare(run, err)) < 0 || (r = run_catch_signals(err)) < 0)
		return r;
	r = ab_symbols_new(&run->symbols, err);
	if (r < 0)
		return r;
	ab_object_set_symbols(run->object, run->symbols);
	if ((r = run_open_flame(run, err)) < 0)
		return r;
	if ((r = ab_object_load(run->object, err)) < 0 || (r = run_open_events(run, err)) < 0 ||
	    (r = run_open_trace(run, err)) < 0 || (r = ab_object_attach(run->object, err)) < 0) {
		run_print_failed(run);
		return r;
	}
	count_attached(run);
	r = report_unattached(run, err);
	if (r < 0)
		return r;
	if (run->opts->interval && !run->iterators && !run_shows_maps(run))
		run_warn(run, "--interval has no effect: no map is printed");
	if (!run->channel_count && !run->iterators && !run->opts->trace && !run->flame && !run->cli->quiet &&
	    !run_shows_maps(run))
		cli_say(NULL, "nothing will be printed: '%s' has no events and no maps to show; --trace shows what bpf_printk() "
			"says", ab_object_name(run->object));
	return 0;
}

/* Options that contradict each other. */
static int check_options(const struct run_opts *opts, struct ab_error *err)
{
	if (opts->flamegraph && opts->folded && !strcmp(opts->flamegraph, opts->folded))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "options '--flamegraph' and '--folded' name the same file");
	if (opts->clear && !opts->interval)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--clear' needs '--interval'");
	if (opts->common.json && ((opts->folded && !strcmp(opts->folded, "-")) ||
				  (opts->flamegraph && !strcmp(opts->flamegraph, "-"))))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
			       "'--json' needs standard output for itself: give a file instead of '-'");
	return 0;
}

static void free_run(struct run *run)
{
	run_close_events(run);
	ab_object_close(run->object);
	ab_symbols_free(run->symbols);
	ab_flame_free(run->flame);
	ab__close(&run->trace_fd);
	btf_file_close(&run->btf);
	text_clear(&run->trace_line);
	text_clear(&run->scratch);
}

static void print_file_help(struct run *run)
{
	help_print_command(&run->cli->out, run->cli->command);
	run_print_params(&run->cli->out, run->object);
}

static int run_run(struct cli *cli, struct ab_error *err)
{
	struct run run = { .cli = cli, .trace_fd = -1, .btf = NO_BTF_FILE };
	int r = run_find_file(cli, err);

	if (r < 0)
		return r;
	run.opts = cli->opts;
	cli->json = run.opts->common.json;
	cli->quiet = run.opts->common.quiet;
	cli->verbose = run.opts->common.verbose;
	if (!cli->operand_count) {
		help_print_command(&cli->out, cli->command);
		return 0;
	}
	r = check_options(run.opts, err);
	if (r == 0)
		r = run_open(&run, cli->operands[0], err);
	if (r == 0)
		r = run_parse_params(&run, cli->argc, cli->argv, err);
	if (r == 0 && run.opts->common.help)
		print_file_help(&run);
	else if (r == 0 && (r = start(&run, err)) == 0)
		r = run_loop(&run, err);
	free_run(&run);
	return r;
}

const struct command cli_run = {
	.name = "run",
	.summary = "load a BPF program, attach it and print its events and maps",
	.operands = "FILE [--PARAMETER VALUE...]",
	.hint = HINT_BPF,
	.options = options,
	.opts_size = sizeof(struct run_opts),
	.defaults = &defaults,
	.open_options = true,
	.run = run_run,
};
