/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Ways to attach, each tried for real with a program that does nothing, and undone at once. What would touch live network
 * traffic is only loaded, run on made-up packets or asked for.
 */
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "features.h"
#include "symbols.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS of newer headers */

/* Something that happens rarely: the program may run a few times before it is gone. */
#define RARE_TRACEPOINT "sched_process_exit"

static int open_perf(struct perf_event_attr *attr, int pid, int cpu)
{
	int fd;

	attr->size = sizeof(*attr);
	fd = syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int attach_perf(int prog, int event)
{
	return ioctl(event, PERF_EVENT_IOC_SET_BPF, prog) < 0 ? -errno : 1;
}

static int probe_tracepoint(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_TRACEPOINT, 0, NULL), event = -1;
	const char *tracefs = ab_probe_tracefs();
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT };
	_free_ char *id = NULL;
	char path[128];
	size_t size;
	int ret;

	if (prog < 0)
		return prog;
	if (!tracefs) {
		text_puts(detail, "tracefs is not mounted");
		return 0;
	}
	snprintf(path, sizeof(path), "%s/events/sched/" RARE_TRACEPOINT "/id", tracefs);
	ret = file_read(path, 64, &id, &size, NULL);
	if (ret < 0)
		return ret;
	attr.config = strtoul(id, NULL, 10);
	event = open_perf(&attr, -1, 0);
	return event < 0 ? event : attach_perf(prog, event);
}

static int attach_raw(int prog, const char *name)
{
	int fd = bpf_raw_tracepoint_open(name, prog);

	return fd < 0 ? -errno : close_yes(fd);
}

static int probe_raw_tracepoint(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_RAW_TRACEPOINT, 0, NULL);

	return prog < 0 ? prog : attach_raw(prog, RARE_TRACEPOINT);
}

/* Programs that the kernel ties to a function or type of its BTF; the first of `names` that there is. */
static int load_by_btf(struct probe *p, enum bpf_prog_type type, enum bpf_attach_type attach, uint32_t kind,
		       const char *const *names, struct text *detail)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int id = -ENOENT;

	for (; *names && id < 0; names++)
		id = ab_probe_btf_id(p, *names, kind);
	if (id < 0) {
		text_puts(detail, p->btf ? "this kernel's BTF does not have it" : "this kernel has no BTF");
		return 0;
	}
	opts.attach_btf_id = id;
	return ab_probe_load_return(p, type, 0, &opts);
}

static int probe_tp_btf(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const names[] = { "btf_trace_" RARE_TRACEPOINT, NULL };
	_close_ int prog = load_by_btf(p, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, BTF_KIND_TYPEDEF, names, detail);

	return prog <= 0 ? prog : attach_raw(prog, NULL);
}

static int probe_fentry(struct probe *p, const struct feature_row *row, struct text *detail)
{
	/* The first is there to be traced by the kernel's own tests; the others are called rarely. */
	static const char *const names[] = { "bpf_fentry_test1", "do_sys_settimeofday64", "ksys_sync_helper", NULL };
	_close_ int prog = load_by_btf(p, BPF_PROG_TYPE_TRACING, row->arg, BTF_KIND_FUNC, names, detail);

	return prog <= 0 ? prog : attach_raw(prog, NULL);
}

static int probe_lsm(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const names[] = { "bpf_lsm_syslog", "bpf_lsm_settime", NULL };
	_free_ char *active = NULL;
	_close_ int prog = -1;
	size_t size;

	prog = load_by_btf(p, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, BTF_KIND_FUNC, names, detail);
	if (prog <= 0)
		return prog;
	/* Programs attach even when nobody will ever call them. */
	if (file_read("/sys/kernel/security/lsm", 4096, &active, &size, NULL) == 0 && !strstr(active, "bpf")) {
		text_printf(detail, "active security modules: %s", active);
		return 0;
	}
	return attach_raw(prog, NULL);
}

static int probe_iter(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const names[] = { "bpf_iter_task", NULL };
	_close_ int prog = load_by_btf(p, BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, BTF_KIND_FUNC, names, detail), link = -1;
	int fd;

	if (prog <= 0)
		return prog;
	link = bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL);
	if (link < 0)
		return -errno;
	fd = bpf_iter_create(link);
	return fd < 0 ? -errno : close_yes(fd);
}

static int probe_struct_ops(struct probe *p, const struct feature_row *row, struct text *detail)
{
	int id = ab_probe_btf_id(p, "bpf_struct_ops_tcp_congestion_ops", BTF_KIND_STRUCT), fd;
	const struct btf_type *type = id > 0 ? btf__type_by_id(p->btf, id) : NULL;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_vmlinux_value_type_id = id);
	struct btf *own;

	if (!type) {
		text_puts(detail, p->btf ? "no struct bpf_struct_ops_tcp_congestion_ops" : "this kernel has no BTF");
		return 0;
	}
	/* The kernel wants the program's BTF too, whatever is in it. */
	own = btf__new_empty();
	if (!own)
		return -errno;
	fd = btf__add_int(own, "int", 4, BTF_INT_SIGNED) < 0 || btf__load_into_kernel(own) < 0 ? -1 : 0;
	opts.btf_fd = btf__fd(own);
	if (fd == 0)
		fd = bpf_map_create(BPF_MAP_TYPE_STRUCT_OPS, NULL, 4, type->size, 1, &opts);
	fd = fd < 0 ? -errno : close_yes(fd);
	btf__free(own);
	return fd;
}

/* ---- probes of functions ---- */

static int read_pmu_type(const char *pmu)
{
	_free_ char *type = NULL;
	char path[128];
	size_t size;
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", pmu);
	ret = file_read(path, 64, &type, &size, NULL);
	return ret < 0 ? ret : atoi(type);
}

/* Kernels without the perf interface to probes have the files of tracefs. */
static int probe_by_tracefs(const char *file, struct text *detail)
{
	const char *tracefs = ab_probe_tracefs();
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", tracefs ? tracefs : "/sys/kernel/tracing", file);
	if (access(path, W_OK) < 0) {
		text_printf(detail, "neither a perf event type nor %s", path);
		return errno == EACCES ? -EACCES : 0;
	}
	text_puts(detail, "by tracefs");
	return 1;
}

static int probe_kprobe(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const functions[] = { "bpf_fentry_test1", "do_sys_settimeofday64", "sys_sync", "__x64_sys_sync" };
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_KPROBE, 0, NULL);
	struct perf_event_attr attr = { .type = read_pmu_type("kprobe") };
	int ret = -ENOENT;

	if (prog < 0)
		return prog;
	if ((int)attr.type < 0)
		return probe_by_tracefs("kprobe_events", detail);
	for (size_t i = 0; i < ARRAY_SIZE(functions) && ret == -ENOENT; i++) {
		_close_ int event = -1;

		attr.config1 = (uintptr_t)functions[i];
		event = open_perf(&attr, -1, 0);
		ret = event < 0 ? event : attach_perf(prog, event);
	}
	return ret;
}

static int probe_kprobe_multi(struct probe *p, const struct feature_row *row, struct text *detail)
{
	LIBBPF_OPTS(bpf_prog_load_opts, load_opts, .expected_attach_type = BPF_TRACE_KPROBE_MULTI);
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_KPROBE, 0, &load_opts);
	const char *function = "bpf_fentry_test1";
	LIBBPF_OPTS(bpf_link_create_opts, opts, .kprobe_multi.syms = &function, .kprobe_multi.cnt = 1);
	int fd;

	if (prog < 0)
		return prog;
	fd = bpf_link_create(prog, 0, BPF_TRACE_KPROBE_MULTI, &opts);
	return fd < 0 ? -errno : close_yes(fd);
}

/* Where the code of this function lies, in which file. */
static bool find_own_code(char *ret_path, size_t size, uint64_t *ret_offset)
{
	_fclose_ FILE *in = fopen("/proc/self/maps", "re");
	uint64_t address = (uintptr_t)find_own_code;
	_free_ char *line = NULL;
	struct ab_mapping m;
	size_t cap = 0;
	char *path;

	while (in && getline(&line, &cap, in) > 0)
		if (ab_mapping_parse(line, &m, &path) && address >= m.start && address < m.end) {
			/* By the link of the process itself where it can: the file may have been replaced. */
			*ret_offset = address - m.start + m.offset;
			return !m.deleted && snprintf(ret_path, size, "%s", path) < (int)size;
		}
	return false;
}

static int probe_uprobe(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_KPROBE, 0, NULL), event = -1;
	struct perf_event_attr attr = { .type = read_pmu_type("uprobe") };
	char path[4096];
	uint64_t offset;

	if (prog < 0)
		return prog;
	if ((int)attr.type < 0)
		return probe_by_tracefs("uprobe_events", detail);
	if (!find_own_code(path, sizeof(path), &offset)) {
		text_puts(detail, "the file of this program was replaced: nothing to try it on");
		return 0;
	}
	attr.config1 = (uintptr_t)path;
	attr.config2 = offset;
	event = open_perf(&attr, getpid(), -1);
	return event < 0 ? event : attach_perf(prog, event);
}

static int probe_perf(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_PERF_EVENT, 0, NULL), event = -1;
	struct perf_event_attr attr = {
		.type = row->arg, .sample_period = 1000000000, .disabled = 1,
		.config = row->arg == PERF_TYPE_HARDWARE ? PERF_COUNT_HW_CPU_CYCLES : PERF_COUNT_SW_CPU_CLOCK,
	};

	if (prog < 0)
		return prog;
	event = open_perf(&attr, getpid(), -1);
	return event < 0 ? event : attach_perf(prog, event);
}

/* ---- network and cgroup ---- */

static int probe_packet(struct probe *p, const struct feature_row *row, struct text *detail)
{
	_close_ int prog = ab_probe_load_return(p, row->arg, 2, NULL);
	char packet[64] = "";
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1);

	if (prog < 0)
		return prog;
	if (bpf_prog_test_run_opts(prog, &opts) == 0)
		text_puts(detail, "loaded and run on a made-up packet");
	else
		text_puts(detail, "loaded");
	return 1;
}

static int probe_tcx(struct probe *p, const struct feature_row *row, struct text *detail)
{
	uint32_t ids[1], flags, n = 0;

	return bpf_prog_query(1, TCX_INGRESS, 0, &flags, ids, &n) < 0 && errno != ENOSPC ? -errno : 1;
}

static int probe_sk_lookup(struct probe *p, const struct feature_row *row, struct text *detail)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_SK_LOOKUP);

	return close_yes(ab_probe_load_return(p, BPF_PROG_TYPE_SK_LOOKUP, 1, &opts));
}

/* In a group of its own, which nobody is in. */
static int probe_cgroup(struct probe *p, const struct feature_row *row, struct text *detail)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	_close_ int prog = ab_probe_load_return(p, BPF_PROG_TYPE_CGROUP_SKB, 1, NULL), dir = -1;
	struct statfs fs;
	char path[128] = "";
	int ret;

	if (prog < 0)
		return prog;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !*path; i++)
		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			snprintf(path, sizeof(path), "%s/anybpf-probe-%d-%ld", places[i], getpid(), (long)syscall(SYS_gettid));
	if (!*path) {
		text_puts(detail, "cgroup2 is not mounted");
		return 0;
	}
	if (mkdir(path, 0700) < 0)
		return -errno;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = dir < 0 || bpf_prog_attach(prog, dir, BPF_CGROUP_INET_EGRESS, 0) < 0 ? -errno : 1;
	if (ret > 0)
		bpf_prog_detach2(prog, dir, BPF_CGROUP_INET_EGRESS);
	rmdir(path);
	return ret;
}

#define ATTACH(name, probe, arg, advice) { "attach", name, probe, advice, NEED_LOAD, arg }
#define NET "needs CONFIG_NET=y and a newer kernel"

const struct feature_row ab_attach_rows[] = {
	ATTACH("tracepoint", probe_tracepoint, 0,
	       "needs CONFIG_BPF_EVENTS=y, and tracefs: mount -t tracefs tracefs /sys/kernel/tracing"),
	ATTACH("raw_tracepoint", probe_raw_tracepoint, 0, "needs a newer kernel with CONFIG_BPF_EVENTS=y; use tracepoints"),
	ATTACH("tp_btf", probe_tp_btf, 0, "needs CONFIG_DEBUG_INFO_BTF=y; use raw_tp or tp"),
	ATTACH("fentry", probe_fentry, BPF_TRACE_FENTRY,
	       "needs CONFIG_DEBUG_INFO_BTF=y, CONFIG_FUNCTION_TRACER=y and CONFIG_BPF_JIT=y; use kprobes or tracepoints"),
	ATTACH("fexit", probe_fentry, BPF_TRACE_FEXIT,
	       "needs CONFIG_DEBUG_INFO_BTF=y, CONFIG_FUNCTION_TRACER=y and CONFIG_BPF_JIT=y; use kretprobes or tracepoints"),
	ATTACH("kprobe", probe_kprobe, 0, "needs CONFIG_KPROBES=y and CONFIG_KPROBE_EVENTS=y; use tracepoints"),
	ATTACH("kprobe_multi", probe_kprobe_multi, 0, "needs CONFIG_FPROBE=y in a newer kernel; use kprobes"),
	ATTACH("uprobe", probe_uprobe, 0, "needs CONFIG_UPROBES=y and CONFIG_UPROBE_EVENTS=y"),
	ATTACH("perf_software", probe_perf, PERF_TYPE_SOFTWARE, "needs CONFIG_PERF_EVENTS=y and CONFIG_BPF_EVENTS=y"),
	ATTACH("perf_hardware", probe_perf, PERF_TYPE_HARDWARE,
	       "this machine gives no hardware counters (virtual machines often don't); use software events"),
	ATTACH("iter", probe_iter, 0, "needs CONFIG_DEBUG_INFO_BTF=y in a newer kernel"),
	ATTACH("lsm", probe_lsm, 0, "needs CONFIG_BPF_LSM=y and 'bpf' in the boot option lsm="),
	ATTACH("struct_ops", probe_struct_ops, 0, "needs CONFIG_DEBUG_INFO_BTF=y and CONFIG_BPF_JIT=y in a newer kernel"),
	ATTACH("xdp", probe_packet, BPF_PROG_TYPE_XDP, NET),
	ATTACH("tc", probe_packet, BPF_PROG_TYPE_SCHED_CLS, "needs CONFIG_NET_CLS_BPF and CONFIG_NET_CLS_ACT"),
	ATTACH("tcx", probe_tcx, 0, "needs a newer kernel with CONFIG_NET_XGRESS=y; use tc"),
	ATTACH("cgroup", probe_cgroup, 0,
	       "needs CONFIG_CGROUP_BPF=y, and cgroup2: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"),
	ATTACH("sk_lookup", probe_sk_lookup, 0, NET),
	{},
};
