/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Since when BPF has what: helpers, program, map and attach types, instructions.
 *
 * What a kernel's enums list is taken from them. What they do not list (instructions, limits of the verifier) follows
 * from the version of upstream's kernel that its BPF is like: its own release, or that of the newest helper or attach
 * type that it has, since distributions take over BPF whole (RHEL 8 calls itself 4.18 and has the BPF of 5.10 and
 * later).
 */
#include <ctype.h>
#include "check.h"

struct since {
	uint16_t last; /* the largest value that came with the version */
	uint8_t major, minor;
	const char *text;
};

#define SINCE(last, major, minor) { last, major, minor, #major "." #minor }

static const struct since helpers[] = {
	SINCE(3, 3, 19),   SINCE(11, 4, 1),   SINCE(16, 4, 2),	 SINCE(22, 4, 3),   SINCE(25, 4, 4),
	SINCE(26, 4, 5),   SINCE(30, 4, 6),   SINCE(36, 4, 8),	 SINCE(41, 4, 9),   SINCE(44, 4, 10),
	SINCE(45, 4, 11),  SINCE(47, 4, 12),  SINCE(50, 4, 13),	 SINCE(53, 4, 14),  SINCE(57, 4, 15),
	SINCE(59, 4, 16),  SINCE(64, 4, 17),  SINCE(80, 4, 18),	 SINCE(83, 4, 19),  SINCE(90, 4, 20),
	SINCE(92, 5, 0),   SINCE(97, 5, 1),   SINCE(108, 5, 2),	 SINCE(110, 5, 3),  SINCE(115, 5, 5),
	SINCE(118, 5, 6),  SINCE(124, 5, 7),  SINCE(135, 5, 8),	 SINCE(141, 5, 9),  SINCE(155, 5, 10),
	SINCE(162, 5, 11), SINCE(163, 5, 12), SINCE(165, 5, 13), SINCE(168, 5, 14), SINCE(175, 5, 15),
	SINCE(179, 5, 16), SINCE(185, 5, 17), SINCE(193, 5, 18), SINCE(203, 5, 19), SINCE(207, 6, 0),
	SINCE(209, 6, 1),  SINCE(211, 6, 2),
};

static const struct since programs[] = {
	SINCE(1, 3, 19),  SINCE(4, 4, 1),   SINCE(5, 4, 7),   SINCE(6, 4, 8),	SINCE(7, 4, 9),	  SINCE(12, 4, 10),
	SINCE(13, 4, 13), SINCE(14, 4, 14), SINCE(15, 4, 15), SINCE(18, 4, 17), SINCE(20, 4, 18), SINCE(21, 4, 19),
	SINCE(22, 4, 20), SINCE(24, 5, 2),  SINCE(25, 5, 3),  SINCE(26, 5, 5),	SINCE(28, 5, 6),  SINCE(29, 5, 7),
	SINCE(30, 5, 9),  SINCE(31, 5, 14), SINCE(32, 6, 4),
};

static const struct since maps[] = {
	SINCE(2, 3, 19),  SINCE(3, 4, 2),   SINCE(4, 4, 3),   SINCE(7, 4, 6),	SINCE(8, 4, 8),	  SINCE(10, 4, 10),
	SINCE(11, 4, 11), SINCE(13, 4, 12), SINCE(15, 4, 14), SINCE(16, 4, 15), SINCE(18, 4, 18), SINCE(20, 4, 19),
	SINCE(23, 4, 20), SINCE(24, 5, 2),  SINCE(25, 5, 4),  SINCE(26, 5, 6),	SINCE(27, 5, 8),  SINCE(28, 5, 10),
	SINCE(29, 5, 11), SINCE(30, 5, 16), SINCE(31, 6, 1),  SINCE(32, 6, 2),	SINCE(33, 6, 9),  SINCE(34, 6, 19),
};

static const struct since attaches[] = {
	SINCE(2, 4, 10),  SINCE(3, 4, 13),  SINCE(5, 4, 14),  SINCE(6, 4, 15),	SINCE(13, 4, 17), SINCE(16, 4, 18),
	SINCE(17, 4, 20), SINCE(20, 5, 2),  SINCE(22, 5, 3),  SINCE(25, 5, 5),	SINCE(27, 5, 7),  SINCE(33, 5, 8),
	SINCE(37, 5, 9),  SINCE(38, 5, 13), SINCE(40, 5, 14), SINCE(41, 5, 15), SINCE(42, 5, 18), SINCE(43, 6, 0),
	SINCE(45, 6, 4),  SINCE(48, 6, 6),  SINCE(55, 6, 7),  SINCE(56, 6, 10), SINCE(57, 6, 13),
};

static const struct since *find_since(const struct since *rows, size_t n, uint32_t value)
{
	for (size_t i = 0; i < n; i++)
		if (value <= rows[i].last)
			return &rows[i];
	return NULL;
}

static const char *since_text(const struct since *rows, size_t n, uint32_t value)
{
	const struct since *row = find_since(rows, n, value);

	return row ? row->text : NULL;
}

const char *ab_check_since_helper(uint32_t helper) { return since_text(helpers, ARRAY_SIZE(helpers), helper); }
const char *ab_check_since_program(uint32_t type) { return since_text(programs, ARRAY_SIZE(programs), type); }
const char *ab_check_since_map(uint32_t type) { return since_text(maps, ARRAY_SIZE(maps), type); }
const char *ab_check_since_attach(uint32_t type) { return since_text(attaches, ARRAY_SIZE(attaches), type); }

const char *ab_check_helper_name(uint32_t helper)
{
#define NAME(name) "bpf_" #name
	static const char *const names[] = { __BPF_FUNC_MAPPER(NAME) };
#undef NAME

	return helper && helper < ARRAY_SIZE(names) ? names[helper] : NULL;
}

/* ---- versions ---- */

bool ab_check_parse_version(const char *release, struct version *ret)
{
	struct version v = {};
	uint16_t *const parts[] = { &v.major, &v.minor, &v.patch };
	const char *p = release;
	size_t n = 0;

	while (n < ARRAY_SIZE(parts) && isdigit((unsigned char)*p)) {
		unsigned long value = 0;

		for (; isdigit((unsigned char)*p); p++)
			value = MIN(value * 10 + (unsigned)(*p - '0'), 65535u);
		*parts[n++] = (uint16_t)value;
		if (*p != '.')
			break;
		p++;
	}
	if (n < 2)
		return false;
	*ret = v;
	return true;
}

static uint32_t newest(const struct since *rows, size_t n, const uint64_t *set)
{
	uint32_t level = 0;

	for (size_t i = 0; i < n; i++)
		if (abi_has(set, rows[i].last))
			level = MAX(level, VERSION(rows[i].major, rows[i].minor));
	return level;
}

uint32_t ab_check_level(const char *release, const struct abi *abi)
{
	uint32_t level = newest(helpers, ARRAY_SIZE(helpers), abi->helpers);
	uint32_t attach = newest(attaches, ARRAY_SIZE(attaches), abi->attaches);
	struct version v;

	level = MAX(level, attach);
	if (release && ab_check_parse_version(release, &v))
		level = MAX(level, VERSION(v.major, v.minor));
	return level;
}

/* ---- features ---- */

static const struct {
	uint8_t major, minor;
	const char *text;
} features[FEATURE_COUNT] = {
	[FEATURE_CALLS] = { 4, 16, "4.16" },
	[FEATURE_JMP32] = { 5, 1, "5.1" },
	[FEATURE_LARGE] = { 5, 2, "5.2" },
	[FEATURE_GLOBAL_DATA] = { 5, 2, "5.2" },
	[FEATURE_LOOPS] = { 5, 3, "5.3" },
	[FEATURE_CONSTANTS] = { 5, 5, "5.5" },
	[FEATURE_SLEEPABLE] = { 5, 10, "5.10" },
	[FEATURE_FETCH] = { 5, 12, "5.12" },
	[FEATURE_KFUNC] = { 5, 13, "5.13" },
	[FEATURE_KFUNC_ADDRESS] = { 6, 4, "6.4" },
	[FEATURE_V4] = { 6, 6, "6.6" },
	[FEATURE_MAY_GOTO] = { 6, 9, "6.9" },
	[FEATURE_ARENA] = { 6, 9, "6.9" },
	[FEATURE_ACQUIRE] = { 6, 15, "6.15" },
	[FEATURE_FRAGS] = { 5, 18, "5.18" },
	[FEATURE_TRAMPOLINE] = { 5, 5, "5.5" },
	[FEATURE_SLEEPABLE_MORE] = { 6, 0, "6.0" }, /* uprobes and iterators */
	[FEATURE_SLEEPABLE_SYSCALLS] = { 7, 1, "7.1" },
	[FEATURE_NATIVE] = { 5, 2, "5.2" },         /* the driver is for what is older */
};

/* Where an architecture got something later than x86. */
static const struct {
	const char *arch;
	enum feature feature;
	uint8_t major, minor;
} later[] = {
	/* ftrace calls a trampoline of one function directly: fentry, fexit and LSM programs attach by that */
	{ "aarch64", FEATURE_TRAMPOLINE, 6, 4 },
	{ "s390x", FEATURE_TRAMPOLINE, 6, 3 },
	{ "riscv64", FEATURE_TRAMPOLINE, 6, 5 },
	{ "loongarch64", FEATURE_TRAMPOLINE, 6, 17 },
	{ "ppc64le", FEATURE_TRAMPOLINE, 6, 13 },
	{ "aarch64", FEATURE_FETCH, 5, 18 },
};

uint32_t ab_check_features(uint32_t level, const char *arch)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < FEATURE_COUNT; i++)
		if (level >= VERSION(features[i].major, features[i].minor))
			bits |= 1u << i;
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (arch && !strcmp(arch, later[i].arch) && level < VERSION(later[i].major, later[i].minor))
			bits &= ~(1u << later[i].feature);
	return bits;
}

const char *ab_check_since_feature(enum feature feature)
{
	return features[feature].text;
}

void ab_check_set_release(const struct ab_check *check, struct kernel *kernel, const char *release, const char *arch)
{
	struct version v = {};

	kernel->features = ab_check_features(ab_check_level(release, &kernel->abi), arch);
	/* KERNEL_VERSION(major, minor, patch) */
	if (check->asks_version && release && ab_check_parse_version(release, &v))
		kernel->version = (uint32_t)v.major << 16 | (uint32_t)v.minor << 8 | MIN(v.patch, 255u);
}

/* ---- the driver ---- */

bool ab_check_driver_program(uint32_t type)
{
	return type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT || type == BPF_PROG_TYPE_PERF_EVENT ||
	       type == BPF_PROG_TYPE_RAW_TRACEPOINT;
}

bool ab_check_driver_map(uint32_t type)
{
	switch (type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_STACK_TRACE:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return true;
	default: return false;
	}
}

bool ab_check_driver_helper(uint32_t helper)
{
	switch (helper) {
	case BPF_FUNC_map_lookup_elem:
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
	case BPF_FUNC_probe_read:
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_trace_printk:
	case BPF_FUNC_get_prandom_u32:
	case BPF_FUNC_get_smp_processor_id:
	case BPF_FUNC_tail_call:
	case BPF_FUNC_get_current_pid_tgid:
	case BPF_FUNC_get_current_uid_gid:
	case BPF_FUNC_get_current_comm:
	case BPF_FUNC_perf_event_output:
	case BPF_FUNC_get_stackid:
	case BPF_FUNC_get_current_task:
	case BPF_FUNC_probe_read_str:
	case BPF_FUNC_get_stack:
	case BPF_FUNC_probe_read_user:
	case BPF_FUNC_probe_read_kernel:
	case BPF_FUNC_probe_read_user_str:
	case BPF_FUNC_probe_read_kernel_str: return true;
	default: return false;
	}
}
