/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the bpf(2) of this kernel understands, by handing it small programs, maps and types; and what it is mounted and set to. */
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "features.h"

/* ---- settings ---- */

static int probe_release(struct probe *p, const struct feature_row *row, struct text *detail)
{
	struct utsname u;

	if (uname(&u) < 0)
		return -errno;
	text_printf(detail, "%s %s %s", u.sysname, u.release, u.machine);
	return 1;
}

static int probe_bpf(struct probe *p, const struct feature_row *row, struct text *detail)
{
	return p->has_bpf;
}

static int probe_may_load(struct probe *p, const struct feature_row *row, struct text *detail)
{
	return p->may_load;
}

static int probe_btf(struct probe *p, const struct feature_row *row, struct text *detail)
{
	const char *path = "/sys/kernel/btf/vmlinux";
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	text_printf(detail, "%s, %.1f MB", path, st.st_size / 1e6);
	return 1;
}

/* Reads a sysctl's number. */
static int read_setting(const char *path, int *ret_value)
{
	_free_ char *s = NULL;
	size_t size;
	int ret = file_read(path, 4096, &s, &size, NULL);

	if (ret == 0)
		*ret_value = atoi(s);
	return ret;
}

static int probe_jit(struct probe *p, const struct feature_row *row, struct text *detail)
{
	int value = 0, ret = read_setting("/proc/sys/net/core/bpf_jit_enable", &value);

	if (ret < 0)
		return ret;
	text_printf(detail, "net.core.bpf_jit_enable=%d", value);
	return value > 0;
}

static int probe_unprivileged(struct probe *p, const struct feature_row *row, struct text *detail)
{
	int value = 0, ret = read_setting("/proc/sys/kernel/unprivileged_bpf_disabled", &value);

	if (ret < 0)
		return ret;
	text_printf(detail, "kernel.unprivileged_bpf_disabled=%d", value);
	return value == 0;
}

/* Lockdown takes the helpers that read kernel memory away: whoever can load a program with one isn't locked down. */
static int probe_kernel_reads(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_free_ char *mode = NULL;
	struct bpf_insn insns[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -8),
		MOV_IMM(BPF_REG_2, 8),
		MOV_IMM(BPF_REG_3, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};
	size_t size;

	if (file_read("/sys/kernel/security/lockdown", 4096, &mode, &size, NULL) == 0) {
		mode[strcspn(mode, "\n")] = '\0';
		text_printf(detail, "lockdown %s", mode);
	}
	/* Architectures where user and kernel addresses overlap have it under its new name only. */
	if (close_yes(ab_probe_load(p, BPF_PROG_TYPE_TRACEPOINT, insns, ARRAY_SIZE(insns), NULL)) > 0)
		return 1;
	insns[4].imm = BPF_FUNC_probe_read_kernel;
	return close_yes(ab_probe_load(p, BPF_PROG_TYPE_TRACEPOINT, insns, ARRAY_SIZE(insns), NULL));
}

static bool is_mounted(const char *path, long magic)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == (uint32_t)magic;
}

const char *ab_probe_tracefs(void)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (is_mounted(places[i], TRACEFS_MAGIC) || is_mounted(places[i], DEBUGFS_MAGIC))
			return places[i];
	return NULL;
}

static int probe_tracefs(struct probe *p, const struct feature_row *row, struct text *detail)
{
	const char *path = ab_probe_tracefs();

	/* /sys/kernel/debug is closed to users, mounted or not. */
	if (!path && access("/sys/kernel/debug", X_OK) < 0 && errno == EACCES)
		return -EACCES;
	text_puts(detail, path ? path : "not mounted");
	return path != NULL;
}

static int probe_bpffs(struct probe *p, const struct feature_row *row, struct text *detail)
{
	const char *path = "/sys/fs/bpf";
	bool mounted = is_mounted(path, BPF_FS_MAGIC);

	text_puts(detail, mounted ? path : "not mounted");
	return mounted;
}

static int probe_cgroup2(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (is_mounted(places[i], CGROUP2_SUPER_MAGIC)) {
			text_puts(detail, places[i]);
			return 1;
		}
	text_puts(detail, "not mounted");
	return 0;
}

static int probe_kallsyms(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_fclose_ FILE *in = fopen("/proc/kallsyms", "re");
	unsigned long long address = 0;
	int value = -1;

	if (!in)
		return -errno;
	for (int i = 0; i < 100 && !address; i++)
		if (fscanf(in, "%llx%*[^\n]", &address) != 1)
			break;
	if (read_setting("/proc/sys/kernel/kptr_restrict", &value) == 0)
		text_printf(detail, "kernel.kptr_restrict=%d", value);
	return address ? 1 : 0;
}

static int probe_perf_event(struct probe *p, const struct feature_row *row, struct text *detail)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK, .size = PERF_ATTR_SIZE_VER0, .disabled = 1,
	};
	int value, fd;

	if (read_setting("/proc/sys/kernel/perf_event_paranoid", &value) == 0)
		text_printf(detail, "kernel.perf_event_paranoid=%d", value);
	/* Of all processes on one processor, kernel included: what profiles and tracepoints need. */
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : close_yes(fd);
}

/* ---- maps and links ---- */

static int make_map(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries)
{
	int fd = bpf_map_create(type, NULL, key, value, entries, NULL);

	return fd < 0 ? -errno : fd;
}

static int probe_global_data(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 32, 1);
	struct bpf_insn insns[] = {
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, map),
		INSN(0, 0, 0, 0, 16),
		INSN(BPF_ST | BPF_DW | BPF_MEM, BPF_REG_1, 0, 0, 42),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	return map < 0 ? map : close_yes(ab_probe_load(p, BPF_PROG_TYPE_TRACEPOINT, insns, ARRAY_SIZE(insns), NULL));
}

static int probe_batch(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int map = make_map(BPF_MAP_TYPE_HASH, 4, 4, 4);
	uint32_t keys[2] = { 1, 2 }, values[2] = { 3, 4 }, count = 2;

	if (map < 0)
		return map;
	return bpf_map_update_batch(map, keys, values, &count, NULL) < 0 ? -errno : count == 2;
}

/* A kernel that knows links looks at the descriptor first. */
static int probe_link(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_TRACEPOINT, 0, NULL);
	int fd;

	if (prog < 0)
		return prog;
	fd = bpf_link_create(row->arg ? prog : -1, -1, row->arg, NULL);
	if (fd >= 0)
		return close_yes(fd);
	return errno == EBADF ? 1 : -errno;
}

static int probe_test_run(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_SCHED_CLS, 7, NULL);
	char packet[64] = "";
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1);

	if (prog < 0)
		return prog;
	return bpf_prog_test_run_opts(prog, &opts) < 0 ? -errno : opts.retval == 7;
}

/* ---- instructions ---- */

enum { ISA_LOOP, ISA_LARGE, ISA_V2, ISA_V3, ISA_ATOMIC, ISA_V4 };

static int load_large(struct probe *p)
{
	size_t n = BPF_MAXINSNS + 1;
	_free_ struct bpf_insn *insns = array_new(n, sizeof(*insns));

	if (!insns)
		return -ENOMEM;
	for (size_t i = 0; i < n - 1; i++)
		insns[i] = MOV_IMM(BPF_REG_0, 1);
	insns[n - 1] = EXIT();
	return ab_probe_load(p, BPF_PROG_TYPE_TRACEPOINT, insns, n, NULL);
}

static int probe_insns(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const struct bpf_insn programs[][5] = {
		[ISA_LOOP] = {
			MOV_IMM(BPF_REG_0, 10),
			INSN(BPF_ALU64 | BPF_SUB | BPF_K, BPF_REG_0, 0, 0, 1),
			INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, -2, 0),
			EXIT(),
			EXIT(),
		},
		[ISA_V2] = {
			MOV_IMM(BPF_REG_0, 0),
			INSN(BPF_JMP | BPF_JLT | BPF_K, BPF_REG_0, 0, 1, 1),
			MOV_IMM(BPF_REG_0, 1),
			EXIT(),
			EXIT(),
		},
		[ISA_V3] = {
			MOV_IMM(BPF_REG_0, 0),
			INSN(BPF_JMP32 | BPF_JLT | BPF_K, BPF_REG_0, 0, 1, 1),
			MOV_IMM(BPF_REG_0, 1),
			EXIT(),
			EXIT(),
		},
		[ISA_ATOMIC] = {
			MOV_IMM(BPF_REG_0, 1),
			INSN(BPF_STX | BPF_DW | BPF_MEM, BPF_REG_10, BPF_REG_0, -8, 0),
			INSN(BPF_STX | BPF_DW | BPF_ATOMIC, BPF_REG_10, BPF_REG_0, -8, BPF_ADD | BPF_FETCH),
			MOV_IMM(BPF_REG_0, 0),
			EXIT(),
		},
		[ISA_V4] = {
			MOV_IMM(BPF_REG_0, 1),
			INSN(BPF_ALU64 | BPF_END | BPF_TO_LE, BPF_REG_0, 0, 0, 32), /* bswap */
			INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_0, BPF_REG_0, 8, 0), /* sign extension */
			INSN(BPF_JMP32 | BPF_JA | BPF_K, 0, 0, 0, 0), /* 32-bit offset */
			EXIT(),
		},
	};

	if (row->arg == ISA_LARGE)
		return close_yes(load_large(p));
	/* The shorter ones end before the second EXIT: verifiers refuse dead code. */
	return close_yes(ab_probe_load(p, BPF_PROG_TYPE_TRACEPOINT, programs[row->arg], row->arg < ISA_ATOMIC ? 4 : 5, NULL));
}

/* ---- kinds of BTF ---- */

#define INFO(kind, vlen) ((uint32_t)(kind) << 24 | (vlen))
#define INT_TYPE 1, INFO(BTF_KIND_INT, 0), 4, BTF_INT_SIGNED << 24 | 32

static int probe_btf_kind(struct probe *p, const struct feature_row *row, struct text *detail)
{
	/* Type 1 is always an int; a variable (the name at 3) needs it, tags and functions point to it or type 2. */
	static const struct {
		uint32_t n, types[16];
	} blobs[] = {
		[BTF_KIND_INT] = { 4, { INT_TYPE } },
		[BTF_KIND_FUNC] = { 10, { INT_TYPE, 0, INFO(BTF_KIND_FUNC_PROTO, 0), 0, 3, INFO(BTF_KIND_FUNC, 1), 2 } },
		[BTF_KIND_DATASEC] = { 14, { INT_TYPE, 3, INFO(BTF_KIND_VAR, 0), 1, 0, 5, INFO(BTF_KIND_DATASEC, 1), 4, 2, 0, 4 } },
		[BTF_KIND_FLOAT] = { 7, { INT_TYPE, 3, INFO(BTF_KIND_FLOAT, 0), 4 } },
		[BTF_KIND_DECL_TAG] = { 12, { INT_TYPE, 3, INFO(BTF_KIND_VAR, 0), 1, 0, 3, INFO(BTF_KIND_DECL_TAG, 0), 2, -1u } },
		[BTF_KIND_TYPE_TAG] = { 10, { INT_TYPE, 3, INFO(BTF_KIND_TYPE_TAG, 0), 1, 0, INFO(BTF_KIND_PTR, 0), 2 } },
		[BTF_KIND_ENUM64] = { 10, { INT_TYPE, 0, INFO(BTF_KIND_ENUM64, 1), 8, 3, 1, 1 } },
	};
	static const char strings[8] = "\0a\0x\0.d";
	uint32_t types_size = blobs[row->arg].n * 4;
	struct btf_header header = {
		.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(header),
		.type_len = types_size, .str_off = types_size, .str_len = sizeof(strings),
	};
	_text_ struct text blob = {};
	int fd;

	text_add(&blob, (const char *)&header, sizeof(header));
	text_add(&blob, (const char *)blobs[row->arg].types, types_size);
	text_add(&blob, strings, sizeof(strings));
	fd = blob.failed ? -1 : bpf_btf_load(blob.p, blob.n, NULL);
	return fd < 0 ? -errno : close_yes(fd);
}

#define KERNEL(name, probe, need, arg, advice) { "kernel", name, probe, advice, need, arg }
#define NEWER "needs a newer kernel; `anybpf check` names the first one"

const struct feature_row ab_kernel_rows[] = {
	KERNEL("release", probe_release, NEED_NOTHING, 0, ""),
	KERNEL("bpf", probe_bpf, NEED_BPF, 0, ""),
	KERNEL("load", probe_may_load, NEED_LOAD, 0, ""),
	KERNEL("unprivileged", probe_unprivileged, NEED_NOTHING, 0, ""),
	KERNEL("kernel_reads", probe_kernel_reads, NEED_LOAD, 0,
	       "programs may not read kernel memory: lockdown mode 'confidentiality'"),
	KERNEL("btf", probe_btf, NEED_NOTHING, 0,
	       "needs CONFIG_DEBUG_INFO_BTF=y, and /sys mounted; else give this kernel's types with --btf PATH, or name a "
	       "server that has them"),
	KERNEL("jit", probe_jit, NEED_NOTHING, 0,
	       "needs CONFIG_BPF_JIT=y, and sysctl net.core.bpf_jit_enable=1: programs are interpreted"),
	KERNEL("tracefs", probe_tracefs, NEED_NOTHING, 0, "mount -t tracefs tracefs /sys/kernel/tracing"),
	KERNEL("bpffs", probe_bpffs, NEED_NOTHING, 0, "mount -t bpf bpf /sys/fs/bpf"),
	KERNEL("cgroup2", probe_cgroup2, NEED_NOTHING, 0, "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"),
	KERNEL("kallsyms", probe_kallsyms, NEED_NOTHING, 0,
	       "kernel stacks have no names: needs CONFIG_KALLSYMS=y, root (CAP_SYSLOG) and sysctl kernel.kptr_restrict=1 or 0"),
	KERNEL("perf_event_open", probe_perf_event, NEED_NOTHING, 0,
	       "needs CONFIG_PERF_EVENTS=y, and CAP_PERFMON or sysctl kernel.perf_event_paranoid=-1"),
	KERNEL("global_data", probe_global_data, NEED_LOAD, 0, NEWER),
	KERNEL("batch", probe_batch, NEED_LOAD, 0, NEWER),
	KERNEL("link", probe_link, NEED_LOAD, 0, NEWER),
	KERNEL("perf_link", probe_link, NEED_LOAD, BPF_PERF_EVENT, NEWER),
	KERNEL("test_run", probe_test_run, NEED_LOAD, 0, NEWER),
	KERNEL("bounded_loops", probe_insns, NEED_LOAD, ISA_LOOP, NEWER "; unroll loops until then"),
	KERNEL("large_programs", probe_insns, NEED_LOAD, ISA_LARGE, NEWER "; programs end at 4096 instructions"),
	KERNEL("isa_v2", probe_insns, NEED_LOAD, ISA_V2, NEWER "; compile with -mcpu=v1"),
	KERNEL("isa_v3", probe_insns, NEED_LOAD, ISA_V3, NEWER "; compile with -mcpu=v2"),
	KERNEL("isa_v4", probe_insns, NEED_LOAD, ISA_V4, NEWER "; compile with -mcpu=v3"),
	KERNEL("atomics", probe_insns, NEED_LOAD, ISA_ATOMIC, NEWER),
	KERNEL("btf_load", probe_btf_kind, NEED_LOAD, BTF_KIND_INT, NEWER),
	KERNEL("btf_global_func", probe_btf_kind, NEED_LOAD, BTF_KIND_FUNC, NEWER),
	KERNEL("btf_datasec", probe_btf_kind, NEED_LOAD, BTF_KIND_DATASEC, NEWER),
	KERNEL("btf_float", probe_btf_kind, NEED_LOAD, BTF_KIND_FLOAT, NEWER),
	KERNEL("btf_decl_tag", probe_btf_kind, NEED_LOAD, BTF_KIND_DECL_TAG, NEWER),
	KERNEL("btf_type_tag", probe_btf_kind, NEED_LOAD, BTF_KIND_TYPE_TAG, NEWER),
	KERNEL("btf_enum64", probe_btf_kind, NEED_LOAD, BTF_KIND_ENUM64, NEWER),
	{},
};
