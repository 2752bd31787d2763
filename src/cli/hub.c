/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf hub: its option table. */
#include "hub.h"

#define O(field) offsetof(struct hub_opts, field)

static const struct verb verbs[] = {
	[HUB_IMPORT] = { "import", "FILE...", 1, SIZE_MAX },
	[HUB_CRAWL] = { "crawl", "SOURCES", 1, 1 },
	[HUB_STATUS] = { "status", "", 0, 0 },
	{},
};

static const struct opt options[] = {
	{ "pack", 'p', OPT_STRING, O(pack), "PACK", "add what is found to this pack, which need not exist", HINT_FILE },
	{ "output", 'o', OPT_STRING, O(output), "DIR", "import: write raw BTF files there, as DISTRIBUTION/ARCH/RELEASE.btf",
	  HINT_DIR },
	{ "modules", 'm', OPT_FLAG, O(modules), NULL, "take the types of kernel modules too" },
	{ "release", 0, OPT_STRING, O(release), "RELEASE", "import: the kernel's release, where nothing in the file says it" },
	{ "arch", 0, OPT_STRING, O(arch), "ARCH", "import: its architecture, as uname -m says it" },
	{ "distribution", 0, OPT_STRING, O(distribution), "NAME", "import: its distribution, such as debian or centos-8" },
	{ "flavour", 0, OPT_STRING, O(flavour), "NAME", "import: its flavour, such as cloud or rt" },
	{ "jobs", 'j', OPT_NUMBER, O(jobs), "N", "files that are read at a time; default: as many as CPUs", .min = 1,
	  .max = 256 },
	{ "tmp-dir", 0, OPT_STRING, O(tmp_dir), "DIR", "where DWARF is unpacked for pahole; default: $TMPDIR, else /var/tmp",
	  HINT_DIR },
	{ "state", 0, OPT_STRING, O(state), "FILE", "crawl: what was done and what failed; default: PACK.state", HINT_FILE },
	{ "cache", 0, OPT_STRING, O(cache), "DIR", "crawl: where downloads lie until they are read; default: PACK.cache",
	  HINT_DIR },
	{ "queue", 0, OPT_STRING, O(queue), "URL", "crawl: share the work with other machines through "
	  "redis://HOST[:PORT][/NAME]" },
	{ "only", 0, OPT_LIST, O(only), "NAME", "crawl: this source of the file only (repeatable)" },
	{ "downloads", 0, OPT_NUMBER, O(downloads), "N", "crawl: downloads at a time; default: 4", .min = 1, .max = 64 },
	{ "limit-rate", 0, OPT_NUMBER, O(rate), "KB", "crawl: kilobytes a second for all downloads together; default: no "
	  "limit", .min = 1, .max = INT64_MAX / 1024 },
	{ "list", 'n', OPT_FLAG, O(list), NULL, "crawl: only list what would be fetched" },
	{ "retry", 0, OPT_FLAG, O(retry), NULL, "crawl: try now what failed, also before its time" },
	JSON_OPTION("print JSON lines, one for each kernel or failure, and one summary"),
	QUIET_OPTION("no messages on standard error but errors"),
	HELP_OPTION,
	{},
};

const struct command cli_hub = {
	.name = "hub",
	.summary = "collect the types of kernels: from files and packages, and from the archives of distributions",
	.operands = "import FILE... | crawl SOURCES | status",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.hint = HINT_WORDS,
	.verbs = verbs,
	.options = options,
	.opts_size = sizeof(struct hub_opts),
	.run = run_hub,
};
