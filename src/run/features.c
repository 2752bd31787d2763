/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Runs the tables of probes and keeps what they found. The tables: features_{kernel,types,attach,machine}.c. */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "features.h"

struct ab_features {
	struct ab_feature *list;
	size_t n, cap;
	struct strmap strings; /* owns details and advice */
};

static const char no_bpf_advice[] = "needs a kernel built with CONFIG_BPF_SYSCALL=y";
static const char refused_advice[] = "bpf(2) is refused: allow it in the container's seccomp profile";
static const char privilege_advice[] =
	"cannot be told without privileges: run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";

int ab_features_add(struct ab_features *f, const char *group, const char *name, enum ab_feature_state state, const char *detail,
		    const char *advice)
{
	struct strmap_entry *entry;
	const char *kept[3];
	const char *given[3] = { name, detail ? detail : "", state == AB_FEATURE_UNKNOWN ? privilege_advice : advice };

	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 256;
		struct ab_feature *list = realloc(f->list, cap * sizeof(*list));

		if (!list)
			return -ENOMEM;
		f->list = list;
		f->cap = cap;
	}
	for (int i = 0; i < 3; i++) {
		entry = strmap_put(&f->strings, given[i], strlen(given[i]), NULL);
		if (!entry)
			return -ENOMEM;
		kept[i] = entry->key;
	}
	f->list[f->n++] = (struct ab_feature){ group, kept[0], state, kept[1], kept[2] };
	return 0;
}

bool ab_probe_has_cap(const struct probe *p, int cap)
{
	return p->caps >> cap & 1;
}

static bool is_privileged(const struct probe *p)
{
	return ab_probe_has_cap(p, CAP_SYS_ADMIN) || (ab_probe_has_cap(p, CAP_BPF) && ab_probe_has_cap(p, CAP_PERFMON));
}

enum ab_feature_state ab_probe_state(const struct probe *p, int answer)
{
	if (answer > 0)
		return AB_FEATURE_YES;
	return (answer == -EPERM || answer == -EACCES) && !is_privileged(p) ? AB_FEATURE_UNKNOWN : AB_FEATURE_NO;
}

/* Why nothing that needs bpf(2) can be said or done; NULL when it can. */
static const char *missing_need(const struct probe *p, int need, int *ret_answer)
{
	if (need >= NEED_BPF && p->has_bpf < 0) {
		*ret_answer = p->has_bpf;
		return p->has_bpf == -ENOSYS ? no_bpf_advice : refused_advice;
	}
	if (need >= NEED_LOAD && p->may_load < 0) {
		*ret_answer = p->may_load;
		return is_privileged(p) ? "the kernel refuses to load any program" : privilege_advice;
	}
	return NULL;
}

static int run_row(struct probe *p, const struct feature_row *row)
{
	_text_ struct text detail = {};
	enum ab_feature_state state;
	const char *advice;
	int answer = 0;

	advice = missing_need(p, row->need, &answer);
	if (!advice) {
		answer = row->probe(p, row, &detail);
		advice = row->advice;
	}
	state = ab_probe_state(p, answer);
	if (answer < 0 && !detail.n)
		text_printf(&detail, "%s%s", strerror(-answer),
			    (answer == -EPERM || answer == -EACCES) && state == AB_FEATURE_NO ? ", whatever the privileges" : "");
	return ab_features_add(p->features, row->group, row->name, state, detail.p, state == AB_FEATURE_YES ? "" : advice);
}

static int run_rows(struct probe *p, const struct feature_row *rows)
{
	int ret = 0;

	for (; rows->name && ret == 0; rows++)
		ret = run_row(p, rows);
	return ret;
}

/* ---- what the probes need to know first ---- */

static uint64_t read_caps(void)
{
	_free_ char *status = NULL;
	size_t size;
	char *p;

	if (file_read("/proc/self/status", 1 << 20, &status, &size, NULL) < 0)
		return 0;
	p = strstr(status, "\nCapEff:");
	return p ? strtoull(p + strlen("\nCapEff:"), NULL, 16) : 0;
}

/* Distributions' release strings lie about the sublevel; they have the true one elsewhere. */
static uint32_t read_kern_version(void)
{
	_free_ char *signature = NULL;
	struct utsname u;
	unsigned a = 0, b = 0, c = 0;
	const char *debian;
	size_t size;

	if (uname(&u) < 0)
		return 0;
	debian = strstr(u.version, "Debian ");
	if (file_read("/proc/version_signature", 4096, &signature, &size, NULL) == 0 &&
	    sscanf(signature, "%*s %*s %u.%u.%u", &a, &b, &c) == 3)
		;
	else if (!debian || sscanf(debian, "Debian %u.%u.%u", &a, &b, &c) != 3)
		sscanf(u.release, "%u.%u.%u", &a, &b, &c);
	return (a << 16) + (b << 8) + MIN(c, 255);
}

static void start_probe(struct probe *p)
{
	p->caps = read_caps();
	p->kern_version = read_kern_version();
	/* No kernel has this command: those with bpf(2) say EINVAL, or EPERM where only root may know. */
	p->has_bpf = 1;
	if (syscall(SYS_bpf, 0x7fff, NULL, 0) < 0 && errno == ENOSYS)
		p->has_bpf = -ENOSYS;
	p->may_load = p->has_bpf > 0 ? close_yes(ab_probe_load_return(p, BPF_PROG_TYPE_SOCKET_FILTER, 0, NULL)) : p->has_bpf;
	if (p->may_load == -EPERM && is_privileged(p))
		p->has_bpf = -EPERM;
}

/* ---- the library's interface ---- */

AB_API int ab_features_probe(struct ab_features **ret_features, struct ab_error *err)
{
	struct probe p = { .features = calloc(1, sizeof(struct ab_features)) };
	int ret = -ENOMEM;

	if (p.features) {
		start_probe(&p);
		ret = run_rows(&p, ab_kernel_rows);
		ret = ret ? ret : run_rows(&p, ab_attach_rows);
		ret = ret ? ret : ab_probe_types(&p);
		ret = ret ? ret : run_rows(&p, ab_machine_rows);
		btf__free(p.btf);
	}
	if (ret < 0) {
		ab_features_free(p.features);
		return ab_fail_memory(err);
	}
	*ret_features = p.features;
	return 0;
}

AB_API void ab_features_free(struct ab_features *features)
{
	if (!features)
		return;
	free(features->list);
	strmap_clear(&features->strings);
	free(features);
}

AB_API size_t ab_features_count(const struct ab_features *features)
{
	return features->n;
}

AB_API const struct ab_feature *ab_features_get(const struct ab_features *features, size_t index)
{
	return index < features->n ? &features->list[index] : NULL;
}

AB_API const struct ab_feature *ab_features_find(const struct ab_features *features, const char *group, const char *name)
{
	for (size_t i = 0; i < features->n; i++)
		if (!strcmp(features->list[i].group, group) && !strcmp(features->list[i].name, name))
			return &features->list[i];
	return NULL;
}

/* ---- tools of probes ---- */

int ab_probe_load(struct probe *p, enum bpf_prog_type type, const struct bpf_insn *insns, size_t n,
		  struct bpf_prog_load_opts *opts)
{
	LIBBPF_OPTS(bpf_prog_load_opts, defaults);
	int fd;

	opts = opts ? opts : &defaults;
	if (type == BPF_PROG_TYPE_KPROBE && !opts->kern_version)
		opts->kern_version = p->kern_version;
	fd = bpf_prog_load(type, NULL, "GPL", insns, n, opts);
	return fd < 0 ? -errno : fd;
}

int ab_probe_load_return(struct probe *p, enum bpf_prog_type type, int r0, struct bpf_prog_load_opts *opts)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, r0), EXIT() };

	return ab_probe_load(p, type, insns, ARRAY_SIZE(insns), opts);
}

int ab_probe_btf_id(struct probe *p, const char *name, uint32_t kind)
{
	/* Only types that the running kernel has itself have ids that it knows. libbpf warns aloud where there are none. */
	if (!p->btf && !p->btf_error && access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		p->btf_error = -errno;
	if (!p->btf && !p->btf_error) {
		p->btf = btf__load_vmlinux_btf();
		p->btf_error = p->btf ? 0 : -errno;
	}
	return p->btf ? btf__find_by_name_kind(p->btf, name, kind) : -ENOENT;
}
