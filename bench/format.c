/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Rendering of a 64-byte event as JSON by a format, against what a tool with snprintf() for this very struct writes. Both have to
 * write the same text. The medians of several rounds each, taken in turn.
 */
#include <arpa/inet.h>
#include <time.h>
#include <bpf/btf.h>
#include <run/format.h>

struct event {
	uint64_t ts;
	uint32_t pid, tgid, uid;
	int32_t ret;
	uint64_t lat;
	char comm[16];
	uint8_t daddr[4];
	uint16_t dport, family;
	uint64_t bytes;
};
_Static_assert(sizeof(struct event) == 64, "a 64-byte event");

enum { COUNT = 1024, ROUNDS = 15 };
static struct event events[COUNT];

static struct ab_format *make_format(void)
{
	struct btf *b = btf__new_empty();
	int u64 = btf__add_int(b, "unsigned long", 8, 0), u32 = btf__add_int(b, "unsigned int", 4, 0);
	int s32 = btf__add_int(b, "int", 4, BTF_INT_SIGNED), u16 = btf__add_int(b, "unsigned short", 2, 0);
	int ch = btf__add_int(b, "char", 1, BTF_INT_SIGNED), comm = btf__add_array(b, u32, ch, 16);
	int id = btf__add_struct(b, "event", sizeof(struct event));
	struct ab_error err = {};
	struct ab_format *format;
	struct ab_btf *types;
	uint32_t size;
	const void *raw;

	btf__add_field(b, "ts", u64, 0, 0);
	btf__add_field(b, "pid", u32, 64, 0);
	btf__add_field(b, "tgid", u32, 96, 0);
	btf__add_field(b, "uid", u32, 128, 0);
	btf__add_field(b, "ret", s32, 160, 0);
	btf__add_field(b, "lat", u64, 192, 0);
	btf__add_field(b, "comm", comm, 256, 0);
	btf__add_field(b, "daddr", u32, 384, 0);
	btf__add_field(b, "dport", u16, 416, 0);
	btf__add_field(b, "family", u16, 432, 0);
	btf__add_field(b, "bytes", u64, 448, 0);
	btf__add_decl_tag(b, "anybpf:as=ipv4", id, 7);
	btf__add_decl_tag(b, "anybpf:as=port", id, 8);
	raw = btf__raw_data(b, &size);
	if (ab_btf_open_mem(raw, size, &types, &err) < 0 || ab_format_make(NULL, types, id, NULL, NULL, &format, &err) < 0) {
		fprintf(stderr, "bench: %s\n", err.msg);
		exit(1);
	}
	return format;
}

static void make_events(void)
{
	static const char *const names[] = { "systemd-journal", "bash", "kworker/u8:3", "node", "nginx" };

	srand(1);
	for (int i = 0; i < COUNT; i++) {
		struct event *e = &events[i];

		*e = (struct event){
			.ts = 1700000000000000000 + i * 1234567ull, .pid = rand() % 4194304, .tgid = rand() % 4194304,
			.uid = rand() % 2 * 1000, .ret = -(rand() % 3), .lat = rand() % 100000000,
			.daddr = { 10, rand(), rand(), rand() }, .dport = rand(), .family = 2, .bytes = rand() % 65536,
		};
		strcpy(e->comm, names[i % 5]);
	}
}

/* What tools do: one format string, and a loop for the text that a process may have chosen. */
static size_t peer_json(const struct event *e, char *buf, size_t cap)
{
	char comm[6 * sizeof(e->comm) + 1], *w = comm;

	for (size_t i = 0; i < sizeof(e->comm) && e->comm[i]; i++) {
		unsigned char c = e->comm[i];

		if (c < ' ' || c >= 0x7f)
			w += snprintf(w, 7, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			*w++ = '\\', *w++ = c;
		else
			*w++ = c;
	}
	*w = '\0';
	return snprintf(buf, cap,
			"{\"ts\":%llu,\"pid\":%u,\"tgid\":%u,\"uid\":%u,\"ret\":%d,\"lat\":%llu,\"comm\":\"%s\","
			"\"daddr\":\"%u.%u.%u.%u\",\"dport\":%u,\"family\":%u,\"bytes\":%llu}",
			(unsigned long long)e->ts, e->pid, e->tgid, e->uid, e->ret, (unsigned long long)e->lat, comm, e->daddr[0],
			e->daddr[1], e->daddr[2], e->daddr[3], ntohs(e->dport), e->family, (unsigned long long)e->bytes);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* other load on the machine does not count */
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double round_ns(const struct ab_format *f, bool ours)
{
	char buf[1024];
	double start = now_ns();

	for (int again = 0; again < 20; again++)
		for (int i = 0; i < COUNT; i++) {
			if (ours)
				ab_format_json(f, &events[i], sizeof(events[i]), buf, sizeof(buf));
			else
				peer_json(&events[i], buf, sizeof(buf));
			__asm__ volatile("" : : "r"(buf) : "memory");
		}
	return (now_ns() - start) / (20 * COUNT);
}

static int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(void)
{
	struct ab_format *f = make_format();
	double ours[ROUNDS], peer[ROUNDS];
	char a[1024], b[1024];

	make_events();
	for (int i = 0; i < COUNT; i++) {
		ab_format_json(f, &events[i], sizeof(events[i]), a, sizeof(a));
		peer_json(&events[i], b, sizeof(b));
		if (strcmp(a, b)) {
			fprintf(stderr, "bench: the two differ:\n%s\n%s\n", a, b);
			return 1;
		}
	}
	for (int i = 0; i < ROUNDS; i++) {
		ours[i] = round_ns(f, true);
		peer[i] = round_ns(f, false);
	}
	qsort(ours, ROUNDS, sizeof(*ours), compare_times);
	qsort(peer, ROUNDS, sizeof(*peer), compare_times);
	printf("{\"bench\":\"format\",\"case\":\"event64\",\"metric\":\"json\",\"unit\":\"ns\","
	       "\"ours\":%.1f,\"peer\":%.1f,\"ratio\":%.3f,\"peer_name\":\"snprintf\",\"better\":\"less\",\"runs\":%d}\n",
	       ours[ROUNDS / 2], peer[ROUNDS / 2], ours[ROUNDS / 2] / peer[ROUNDS / 2], ROUNDS);
	return 0;
}
