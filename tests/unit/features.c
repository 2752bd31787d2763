/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Features of this machine, as root, as nobody, and as if the kernel had no bpf(2). */
#include <anybpf/feature.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/base.h"
#include "unit.h"

static struct ab_error error;

static struct ab_features *probe(void)
{
	struct ab_features *features;

	ASSERT_OK(ab_features_probe(&features, &error), error);
	return features;
}

static const struct ab_feature *find(const struct ab_features *features, const char *group, const char *name)
{
	const struct ab_feature *feature = ab_features_find(features, group, name);

	if (!feature)
		FAIL("no %s %s", group, name);
	return feature;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

TEST(list_is_complete_and_consistent)
{
	int fds = count_fds();
	struct ab_features *features = probe();
	size_t n = ab_features_count(features);

	ASSERT_INT(count_fds(), fds);
	ASSERT(n > 250);
	ASSERT(!ab_features_get(features, n));
	ASSERT(!ab_features_find(features, "kernel", "no such thing"));
	for (size_t i = 0; i < n; i++) {
		const struct ab_feature *f = ab_features_get(features, i);

		if (ab_features_find(features, f->group, f->name) != f)
			FAIL("two of %s %s", f->group, f->name);
		if (f->state == AB_FEATURE_YES && *f->advice)
			FAIL("%s %s is there and has advice", f->group, f->name);
		if (f->state == AB_FEATURE_UNKNOWN && !strstr(f->advice, "CAP_"))
			FAIL("%s %s does not say which privilege it needs", f->group, f->name);
		if (!strcmp(f->group, "attach") && f->state == AB_FEATURE_NO && !*f->advice)
			FAIL("%s %s has no advice", f->group, f->name);
		if (strchr(f->detail, '\n') || strchr(f->advice, '\n'))
			FAIL("%s %s is not one line", f->group, f->name);
	}
	ab_features_free(features);
	ab_features_free(NULL);
}

TEST(answers_agree_with_what_can_be_done)
{
	struct ab_features *features = probe();
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, NULL);
	int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, getpagesize(), NULL);

	ASSERT_INT(find(features, "map", "hash")->state == AB_FEATURE_YES, map >= 0);
	ASSERT_INT(find(features, "map", "ringbuf")->state == AB_FEATURE_YES, ring >= 0);
	ASSERT_INT(find(features, "kernel", "btf")->state == AB_FEATURE_YES, access("/sys/kernel/btf/vmlinux", R_OK) == 0);
	if (map >= 0) {
		ASSERT_INT(find(features, "helper", "map_lookup_elem")->state, AB_FEATURE_YES);
		ASSERT(strstr(find(features, "helper", "map_lookup_elem")->detail, "sched_cls"));
		ASSERT(!strstr(find(features, "helper", "skb_store_bytes")->detail, "tracepoint"));
		ASSERT_INT(find(features, "program", "socket_filter")->state, AB_FEATURE_YES);
		close(map);
		close(ring);
	}
	ab_features_free(features);
}

/* Runs a check in a child that gave something up; the child's status is the verdict. */
static void in_child(void (*give_up)(void), void (*check)(const struct ab_features *))
{
	pid_t child = fork();
	int status;

	if (!child) {
		struct ab_features *features;

		give_up();
		features = probe();
		check(features);
		ab_features_free(features);
		_exit(0);
	}
	ASSERT(waitpid(child, &status, 0) == child);
	ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void become_nobody(void)
{
	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		_exit(3);
}

static void check_nobody(const struct ab_features *features)
{
	ASSERT_INT(find(features, "capability", "bpf")->state, AB_FEATURE_NO);
	ASSERT(find(features, "attach", "tracepoint")->state != AB_FEATURE_YES);
	ASSERT(*find(features, "attach", "tracepoint")->advice);
	ASSERT(find(features, "program", "kprobe")->state != AB_FEATURE_YES);
	ASSERT(find(features, "helper", "probe_read")->state != AB_FEATURE_YES);
	ASSERT_INT(find(features, "kernel", "release")->state, AB_FEATURE_YES);
}

TEST(without_privileges)
{
	in_child(become_nobody, check_nobody);
}

static void lose_bpf(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(3);
}

static void check_no_bpf(const struct ab_features *features)
{
	static const char *const groups[] = { "attach", "program", "map", "helper" };

	ASSERT_INT(find(features, "kernel", "bpf")->state, AB_FEATURE_NO);
	ASSERT(strstr(find(features, "kernel", "bpf")->advice, "CONFIG_BPF_SYSCALL"));
	for (size_t i = 0; i < ab_features_count(features); i++) {
		const struct ab_feature *f = ab_features_get(features, i);

		for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
			if (!strcmp(f->group, groups[g]) && f->state != AB_FEATURE_NO)
				FAIL("%s %s without bpf(2)", f->group, f->name);
	}
	ASSERT_INT(find(features, "kernel", "release")->state, AB_FEATURE_YES);
}

TEST(kernel_without_bpf)
{
	in_child(lose_bpf, check_no_bpf);
}

static void lose_clang(void)
{
	setenv("PATH", "/nonexistent::relative", 1);
}

static void check_no_clang(const struct ab_features *features)
{
	ASSERT_INT(find(features, "tools", "clang")->state, AB_FEATURE_NO);
	ASSERT(strstr(find(features, "tools", "clang")->advice, "install clang"));
}

TEST(machine_without_clang)
{
	in_child(lose_clang, check_no_clang);
}
