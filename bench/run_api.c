/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Parts of bench/run that need C.
 *	run_api events OBJECT	reads full rings through libanybpf and through libbpf's ring_buffer in turn; prints both rates
 *	run_api emit		keeps the rings of all programs named "emit" full until it is killed
 */
#include <anybpf/anybpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 31

static uint64_t seen, sum;

static int on_event(const struct ab_event *event, void *ctx)
{
	seen++;
	sum += *(const uint64_t *)((const char *)event->data + 56);
	return 0;
}

static int on_sample(void *ctx, void *data, size_t size)
{
	seen++;
	sum += *(const uint64_t *)((const char *)data + 56);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int emit(int program, int repeat)
{
	char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = repeat);

	if (bpf_prog_test_run_opts(program, &opts) < 0)
		return -1;
	return (int)opts.retval;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int fail(const char *what, const struct ab_error *err)
{
	fprintf(stderr, "run_api: %s: %s\n", what, err && err->code ? err->msg : strerror(errno));
	return 1;
}

static int bench_events(const char *path)
{
	AB_OPTS(ab_events_opts, opts, .event = on_event);
	double ours[ROUNDS], peer[ROUNDS], begin;
	struct ab_error err = {};
	struct ring_buffer *ring;
	struct ab_events *events;
	struct ab_object *object;
	int program;

	if (ab_object_open_file(path, NULL, &object, &err) < 0 || ab_object_load(object, &err) < 0 ||
	    ab_events_open(object, &opts, &events, &err) < 0)
		return fail("load", &err);
	program = ab_program_fd(ab_object_find_program(object, "emit"));
	ring = ring_buffer__new(ab_map_fd(ab_object_find_map(object, "events")), on_sample, NULL, NULL);
	if (!ring)
		return fail("ring", NULL);
	for (int i = 0; i < 2 * ROUNDS; i++) {
		uint64_t all;

		while (emit(program, 256) == 1)
			;
		seen = 0;
		begin = now();
		if (i % 2)
			while (ring_buffer__poll(ring, 0) > 0)
				;
		else
			while (ab_events_poll(events, 0, &err) > 0)
				;
		all = seen;
		if (all < 50000)
			return fail("too few events", &err);
		(i % 2 ? peer : ours)[i / 2] = all / (now() - begin);
	}
	qsort(ours, ROUNDS, sizeof(*ours), compare);
	qsort(peer, ROUNDS, sizeof(*peer), compare);
	printf("%.0f %.0f %d\n", ours[ROUNDS / 2], peer[ROUNDS / 2], ROUNDS);
	ring_buffer__free(ring);
	ab_object_close(object);
	return 0;
}

/* The program of the consumer that runs now; it may not be there yet, and is another one in the next run. */
static int find_program(void)
{
	struct bpf_prog_info info;
	uint32_t id = 0, size;
	int fd;

	while (!bpf_prog_get_next_id(id, &id)) {
		fd = bpf_prog_get_fd_by_id(id);
		if (fd < 0)
			continue;
		memset(&info, 0, sizeof(info));
		size = sizeof(info);
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && !strcmp(info.name, "emit") && info.type == BPF_PROG_TYPE_SCHED_CLS)
			return fd;
		close(fd);
	}
	return -1;
}

static int keep_emitting(void)
{
	for (;;) {
		int fd = find_program(), idle = 0;

		/* Not for ever: holding it keeps the last consumer's maps. */
		for (int i = 0; fd >= 0 && idle < 50 && i < 2000; i++) {
			if (emit(fd, 64) == 1) {
				idle = 0;
				continue;
			}
			idle++;
			usleep(500);
		}
		if (fd >= 0)
			close(fd);
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "events"))
		return bench_events(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "emit"))
		return keep_emitting();
	fprintf(stderr, "usage: run_api events OBJECT | emit\n");
	return 2;
}
