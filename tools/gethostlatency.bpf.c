/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gethostlatency: names that processes look up through the C library, how long that took and what came of it.
 *
 *	TIME             PID    COMM     CALL            RESULT  DURATION  NAME
 *	12:34:56.789012  4711   curl     getaddrinfo     0       23.41ms   example.org
 *
 * RESULT is what the call returned: 0 is success for getaddrinfo(), an EAI_ code otherwise; for the others 0 or -1.
 */
#include "anybpf.bpf.h"

enum call {
	getaddrinfo,
	gethostbyname,
	gethostbyname2,
};

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	char comm[16];
	enum call call;
	s32 result;
	u64 duration AB_AS(duration);
	char name[128];
};

struct lookup {
	u64 start;
	const char *name;
};

AB_EVENTS(events, struct event);
AB_HASH(lookups, u32, struct lookup, 10240);
AB_PARAM(u64, min_us, 0, "only what took longer");

static __always_inline int enter(const char *name)
{
	struct lookup lookup = { ab_ktime(), name };
	u32 tid = ab_tid();

	bpf_map_update_elem(&lookups, &tid, &lookup, BPF_ANY);
	return 0;
}

static __always_inline int leave(void *ctx, enum call call, int result)
{
	u32 tid = ab_tid();
	struct lookup *lookup = bpf_map_lookup_elem(&lookups, &tid);
	u64 now = ab_ktime();
	struct event *e = NULL;

	if (!lookup)
		return 0;
	if (now - lookup->start >= min_us * 1000)
		e = ab_reserve(events);
	if (e) {
		e->time = now;
		e->pid = ab_pid();
		ab_comm(e->comm);
		e->call = call;
		e->result = result;
		e->duration = now - lookup->start;
		ab_read_user_str(e->name, lookup->name);
		ab_submit(ctx, events, e);
	}
	bpf_map_delete_elem(&lookups, &tid);
	return 0;
}

SEC("uprobe/libc.so.6:getaddrinfo")
int BPF_UPROBE(getaddrinfo_enter, const char *name)
{
	return enter(name);
}

SEC("uretprobe/libc.so.6:getaddrinfo")
int BPF_URETPROBE(getaddrinfo_leave, int result)
{
	return leave(ctx, getaddrinfo, result);
}

SEC("uprobe/libc.so.6:gethostbyname") AB_OPTIONAL
int BPF_UPROBE(gethostbyname_enter, const char *name)
{
	return enter(name);
}

SEC("uretprobe/libc.so.6:gethostbyname") AB_OPTIONAL
int BPF_URETPROBE(gethostbyname_leave, void *host)
{
	return leave(ctx, gethostbyname, host ? 0 : -1);
}

SEC("uprobe/libc.so.6:gethostbyname2") AB_OPTIONAL
int BPF_UPROBE(gethostbyname2_enter, const char *name)
{
	return enter(name);
}

SEC("uretprobe/libc.so.6:gethostbyname2") AB_OPTIONAL
int BPF_URETPROBE(gethostbyname2_leave, void *host)
{
	return leave(ctx, gethostbyname2, host ? 0 : -1);
}

AB_LICENSE("GPL");
