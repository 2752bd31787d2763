/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Inside of feature probing. A probe answers 1: yes, 0: no, or the negative errno of what it tried; it may say more in
 * `detail`. features.c makes states and advice of that.
 */
#ifndef AB_RUN_FEATURES_H
#define AB_RUN_FEATURES_H

#include <anybpf/feature.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include "base/base.h"

struct probe {
	int has_bpf;       /* of bpf(2): 1, or the negative errno with which it refuses everything */
	int may_load;      /* of the smallest program: 1 or a negative errno */
	uint64_t caps;     /* effective */
	uint32_t kern_version; /* what old kernels want to see in kprobe programs */
	struct btf *btf;   /* of this kernel, when somebody asked; btf_error: why there is none */
	int btf_error;
	struct ab_features *features;
};

/* Needs: what a row is pointless without. */
enum { NEED_NOTHING, NEED_BPF, NEED_LOAD };

struct feature_row {
	const char *group, *name;
	int (*probe)(struct probe *p, const struct feature_row *row, struct text *detail);
	const char *advice; /* when it is missing */
	int need;
	long arg;
};

extern const struct feature_row ab_kernel_rows[], ab_attach_rows[], ab_machine_rows[]; /* ended by a row without name */

int ab_features_add(struct ab_features *f, const char *group, const char *name, enum ab_feature_state state, const char *detail,
		    const char *advice);
/* The state that a probe's answer means for a process with these privileges. */
enum ab_feature_state ab_probe_state(const struct probe *p, int answer);

/* All program types, map types and helpers. */
int ab_probe_types(struct probe *p);

/* ---- tools of probes ---- */

/* A descriptor that the caller closes, or a negative errno. */
int ab_probe_load(struct probe *p, enum bpf_prog_type type, const struct bpf_insn *insns, size_t n,
		  struct bpf_prog_load_opts *opts);
/* The smallest program of a type: returns `r0`. */
int ab_probe_load_return(struct probe *p, enum bpf_prog_type type, int r0, struct bpf_prog_load_opts *opts);
/* The id of a type in this kernel's BTF, or a negative errno. */
int ab_probe_btf_id(struct probe *p, const char *name, uint32_t kind);
bool ab_probe_has_cap(const struct probe *p, int cap);
/* Where tracefs is mounted, or NULL. */
const char *ab_probe_tracefs(void);
static inline int close_yes(int fd)
{
	if (fd < 0)
		return fd;
	ab__close(&fd);
	return 1;
}

#define INSN(op, d, s, o, i) ((struct bpf_insn){ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV_IMM(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

#endif
