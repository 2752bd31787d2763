/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf lab and anybpf test: their option tables. */
#include "lab.h"

#define L(field) offsetof(struct lab_common, field)
#define O(field) offsetof(struct lab_opts, field)
#define T(field) offsetof(struct test_opts, field)

static const char *const arch_words[] = { "amd64", "arm64", NULL };
static const char *const accel_words[] = { "kvm", "tcg", NULL };
static const char *const hide_words[] = { "bpf", "btf", "ringbuf", "tracefs", NULL };
static const struct verb lab_verbs[] = {
	[LAB_KERNELS] = { "kernels", "[KERNEL...]", 0, SIZE_MAX },
	[LAB_FETCH] = { "fetch", "KERNEL...", 1, SIZE_MAX },
	[LAB_SHELL] = { "shell", "[KERNEL]", 0, 1 },
	[LAB_SURVEY] = { "survey", "[KERNEL...]", 0, SIZE_MAX },
	[LAB_CLEAN] = { "clean", "", 0, 0 },
	{},
};

#define LAB_OPTIONS                                                                                                     \
	{ "kernel", 'K', OPT_LIST, L(kernel_files), "FILE", "a kernel of your own: bzImage, vmlinux or Image; a .deb "  \
	  "or .rpm; a built kernel tree; with :MODULES-DIR behind it where its modules are elsewhere (repeatable)",     \
	  HINT_FILE },                                                                                                  \
	{ "arch", 0, OPT_WORD, L(arch), "ARCH", "architecture of the guests: amd64 or arm64; default: this machine's",  \
	  HINT_WORDS, arch_words },                                                                                     \
	{ "hide", 0, OPT_LIST, L(hide), "WHAT", "make guests look like a kernel without it: bpf, btf, ringbuf or "      \
	  "tracefs (repeatable)", HINT_WORDS, hide_words },                                                               \
	{ "jobs", 'j', OPT_NUMBER, L(jobs), "N", "guests at a time; default: as many as CPUs", .min = 1, .max = 1024 }, \
	{ "timeout", 0, OPT_DURATION, L(timeout), "TIME", "kill a guest after TIME; default: 60 s and more for many "   \
	  "objects" },                                                                                                  \
	{ "memory", 0, OPT_NUMBER, L(memory), "MIB", "memory of a guest; default: 512", .min = 128, .max = 1048576 },   \
	{ "accel", 0, OPT_WORD, L(accel), "HOW", "kvm or tcg; default: KVM if a guest turns out to run by it",          \
	  HINT_WORDS, accel_words },                                                                                    \
	{ "qemu", 0, OPT_STRING, L(qemu), "PROGRAM", "the QEMU to use; default: qemu-system-ARCH from the PATH",        \
	  HINT_FILE },                                                                                                  \
	{ "guest-dir", 0, OPT_STRING, L(guest_dir), "DIR", "where anybpf-static and anybpf-lab-init for the guests "    \
	  "are; default: beside anybpf", HINT_DIR },                                                                    \
	{ "cache", 0, OPT_STRING, L(cache), "DIR", "default: $XDG_CACHE_HOME/anybpf/lab, else ~/.cache/anybpf/lab",     \
	  HINT_DIR },                                                                                                   \
	{ "cache-limit", 0, OPT_NUMBER, L(cache_limit), "MIB", "remove what was not used for longest when the cache "    \
	  "gets larger; default: 8192, and for 'lab clean' all that is not in use", .min = 1, .max = 1ll << 32 },       \
	{ "offline", 0, OPT_FLAG, L(offline), NULL, "download nothing: what is not in the cache is an error" }

static const struct opt lab_options[] = {
	{ "kernels", 'k', OPT_LIST, L(kernels), "LIST", "the kernels to survey, as for 'anybpf test' (repeatable)" },
	{ "output", 'o', OPT_STRING, O(output), "FILE", "survey: write the database there instead of to standard "
	  "output", HINT_FILE },
	{ "share", 0, OPT_STRING, O(share), "DIR", "shell: the directory that is seen as /host, read-only; default: this "
	  "one", HINT_DIR },
	{ "module", 'm', OPT_LIST, O(modules), "NAME", "shell: load this kernel module too (repeatable)" },
	LAB_OPTIONS,
	JSON_OPTION("print one JSON object"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

const struct command cli_lab = {
	.name = "lab",
	.summary = "list, fetch, enter, survey and remove real kernels, in QEMU",
	.operands = "kernels|fetch|shell|survey|clean [KERNEL...]",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_WORDS,
	.verbs = lab_verbs,
	.options = lab_options,
	.opts_size = sizeof(struct lab_opts),
	.run = run_lab,
};

static const struct opt test_options[] = {
	{ "kernels", 'k', OPT_LIST, L(kernels), "LIST", "kernels of Debian's archive, separated by commas: 6.1, 6.12-cloud, "
	  "7.2.13+deb14-amd64, oldest, latest, all (the newest of each series), every (repeatable)" },
	{ "junit", 0, OPT_STRING, T(junit), "OUT.xml", "write a JUnit report", HINT_FILE },
	{ "html", 0, OPT_STRING, T(html), "OUT.html", "write a page that shows tools by kernels", HINT_FILE },
	{ "logs", 0, OPT_STRING, T(log_dir), "DIR", "keep the consoles of guests that failed there; default: log in the cache",
	  HINT_DIR },
	{ "cached", 0, OPT_FLAG, T(cached), NULL, "use verdicts of earlier runs with the same object, kernel and expectations" },
	LAB_OPTIONS,
	JSON_OPTION("print one JSON object"),
	VERBOSE_OPTION("show each program, and what was seen where something else was expected"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

const struct command cli_test = {
	.name = "test",
	.summary = "run BPF programs on many real kernels and check what they do",
	.operands = "FILE...",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_BPF,
	.options = test_options,
	.opts_size = sizeof(struct test_opts),
	.run = run_test,
};
