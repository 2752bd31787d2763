/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Programs that do not load: for the verifier's reasons, and for this kernel's types. */
#include "test.h"

struct {
	__uint(type, 1);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} table SEC(".maps");

struct task_struct {
	int pid;
	int no_such_member;
} __attribute__((preserve_access_index));

enum mode___here {
	NO_SUCH_MODE___here = 7,
};

SEC("raw_tp/sys_enter")
int unchecked(void *ctx)
{
	u32 key = 1;
	u64 *value = map_lookup(&table, &key);

	*value = 1; /* may be NULL */
	return 0;
}

SEC("tp_btf/sched_switch")
int unknown_member(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1];

	return task->no_such_member;
}

SEC("raw_tp/sys_exit")
int fine(void *ctx)
{
	return 0;
}

SEC("?raw_tp/sys_enter")
int optional_refused(void *ctx)
{
	u32 key = 2;

	return *(u64 *)map_lookup(&table, &key);
}

struct task_struct___old {
	int gone;
} __attribute__((preserve_access_index));

SEC("tp_btf/sched_switch")
int unknown_member_of_flavour(u64 *ctx)
{
	struct task_struct___old *task = (void *)ctx[1];

	return task->gone;
}

LICENSE;
