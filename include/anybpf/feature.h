/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Features: what this kernel and machine can do, found by trying it, never by version numbers.
 *
 * Threads: any; the result is immutable.
 */
#ifndef ANYBPF_FEATURE_H
#define ANYBPF_FEATURE_H

#include <anybpf/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ab_features;

enum ab_feature_state {
	AB_FEATURE_NO = 0,
	AB_FEATURE_YES = 1,
	AB_FEATURE_UNKNOWN = 2,  /* cannot be told without more privileges; advice says which */
};

struct ab_feature {
	const char *group;   /* in this order: "kernel", "attach", "program", "map", "helper", "capability", "tools" */
	const char *name;    /* stable key: "bpf", "btf", "kprobe", "ringbuf"… */
	enum ab_feature_state state;
	const char *detail;  /* version, path or error; of a helper: program types that may call it; "" if there is none */
	const char *advice;  /* how to get it when it is missing; "" otherwise */
};

/*
 * Probes everything: loads small programs and maps, attaches programs that do nothing to harmless places and detaches them,
 * starts clang and anybpf-cc for their versions. Takes some tenths of a second and leaves nothing behind. Works without
 * privileges, where much is UNKNOWN, and on kernels without bpf(2). Fails only when memory runs out (-ENOMEM).
 */
AB_API int ab_features_probe(struct ab_features **ret_features, struct ab_error *err);
AB_API void ab_features_free(struct ab_features *features);
AB_API size_t ab_features_count(const struct ab_features *features);
AB_API const struct ab_feature *ab_features_get(const struct ab_features *features, size_t index);
/* The feature of that group and name, or NULL. */
AB_API const struct ab_feature *ab_features_find(const struct ab_features *features, const char *group,
						 const char *name);

#ifdef __cplusplus
}
#endif
#endif
