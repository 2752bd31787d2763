/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The peer of bench/run: what a tool author writes with libbpf and a skeleton. `run_peer first` prints the first event and goes
 * on; `run_peer count N` prints N events as JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "run.skel.h"

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

static long seen, limit = -1;

static int handle_event(void *ctx, void *data, size_t size)
{
	const struct event *e = data;

	printf("{\"type\":\"event\",\"channel\":\"events\",\"data\":{\"ts\":%llu,\"pid\":%u,\"tgid\":%u,\"uid\":%u,\"ret\":%d,"
	       "\"lat\":%llu,\"comm\":\"%s\",\"daddr\":\"%u.%u.%u.%u\",\"dport\":%u,\"family\":%u,\"bytes\":%llu}}\n",
	       (unsigned long long)e->ts, e->pid, e->tgid, e->uid, e->ret, (unsigned long long)e->lat, e->comm, e->daddr[0],
	       e->daddr[1], e->daddr[2], e->daddr[3], ntohs(e->dport), e->family, (unsigned long long)e->bytes);
	return ++seen == limit ? -ECANCELED : 0;
}

int main(int argc, char **argv)
{
	struct run_bpf *skel = run_bpf__open();
	struct ring_buffer *ring;

	if (!skel)
		return 1;
	if (argc == 3) {
		limit = atol(argv[2]);
		bpf_program__set_autoload(skel->progs.first, false);
	}
	if (run_bpf__load(skel))
		return 1;
	ring = ring_buffer__new(bpf_map__fd(skel->maps.events), handle_event, NULL, NULL);
	if (!ring || (argc < 3 && run_bpf__attach(skel)))
		return 1;
	while (ring_buffer__poll(ring, 100) >= 0)
		fflush(stdout);
	fflush(stdout);
	return seen == limit ? 0 : 1;
}
