/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Counters as atomics, written in Prometheus' text format (metrics.h). */
#include "metrics.h"

enum { ROUTES = 64, STATUSES = 6 };

static uint64_t counters[COUNTER_COUNT];
static uint64_t requests[ROUTES][STATUSES];

static const uint32_t bounds_us[] = { 100,   250,   500,    1000,   2500,    5000,    10000,
				      25000, 50000, 100000, 250000, 1000000, 5000000, 30000000 };
static struct {
	uint64_t buckets[ARRAY_SIZE(bounds_us) + 1], sum, n;
} histograms[HISTOGRAM_COUNT];

static const struct { const char *name, *label, *meaning; } names[COUNTER_COUNT] = {
	[COUNT_HITS_MEMORY] = { "anybpfd_builds_total", "result=\"memory\"", "builds by where their result came from" },
	[COUNT_HITS_DISK] = { "anybpfd_builds_total", "result=\"disk\"" },
	[COUNT_HITS_SHARED] = { "anybpfd_builds_total", "result=\"shared\"" },
	[COUNT_MISSES] = { "anybpfd_builds_total", "result=\"new\"" },
	[COUNT_JOINED] = { "anybpfd_builds_total", "result=\"joined\"" },
	[COUNT_COMPILED] = { "anybpfd_compiles_total", "outcome=\"ok\"", "compiles by outcome" },
	[COUNT_REFUSED_SOURCE] = { "anybpfd_compiles_total", "outcome=\"refused\"" },
	[COUNT_COMPILER_FAILED] = { "anybpfd_compiles_total", "outcome=\"failed\"" },
	[COUNT_CONNECTIONS] = { "anybpfd_connections_opened_total", NULL, "connections since the start" },
	[COUNT_EXPIRED] = { "anybpfd_connections_expired_total", NULL, "connections ended because their time was up" },
	[COUNT_REFUSED_CONNECTION] = { "anybpfd_connections_refused_total", NULL, "connections over a limit" },
	[COUNT_RATE_LIMITED] = { "anybpfd_rate_limited_total", NULL, "requests refused by a rate limit or a quota" },
	[COUNT_UNAUTHORIZED] = { "anybpfd_unauthorized_total", NULL, "requests without the right to what they asked for" },
	[COUNT_SHARED_ERRORS] = { "anybpfd_shared_errors_total", NULL, "failed exchanges with the shared cache" },
};

static const struct { const char *name, *meaning; } histogram_names[HISTOGRAM_COUNT] = {
	[TIME_REQUEST] = { "anybpfd_request_seconds", "time from a request's headers to its answer" },
	[TIME_COMPILE] = { "anybpfd_compile_seconds", "time of one compile" },
	[TIME_QUEUE] = { "anybpfd_queue_seconds", "time that a compile waited for its turn" },
};

static void add_one(uint64_t *at)
{
	__atomic_add_fetch(at, 1, __ATOMIC_RELAXED);
}

static uint64_t read_one(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

void ab_count(enum counter counter)
{
	add_one(&counters[counter]);
}

void ab_count_request(size_t route, unsigned status)
{
	if (route < ROUTES && status / 100 < STATUSES)
		add_one(&requests[route][status / 100]);
}

void ab_observe(enum histogram h, uint64_t us)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(bounds_us) && us > bounds_us[i])
		i++;
	add_one(&histograms[h].buckets[i]);
	add_one(&histograms[h].n);
	__atomic_add_fetch(&histograms[h].sum, us, __ATOMIC_RELAXED);
}

static void write_head(struct text *out, const char *name, const char *meaning, const char *type)
{
	text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, meaning, name, type);
}

static void write_histogram(struct text *out, size_t h)
{
	const char *name = histogram_names[h].name;
	uint64_t sum = 0;

	write_head(out, name, histogram_names[h].meaning, "histogram");
	for (size_t i = 0; i < ARRAY_SIZE(bounds_us); i++) {
		sum += read_one(&histograms[h].buckets[i]);
		text_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds_us[i] / 1e6, (unsigned long long)sum);
	}
	sum += read_one(&histograms[h].buckets[ARRAY_SIZE(bounds_us)]);
	text_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %g\n%s_count %llu\n", name, (unsigned long long)sum, name,
		    read_one(&histograms[h].sum) / 1e6, name, (unsigned long long)sum);
}

void ab_metrics_write(struct text *out, const char *(*route_name)(size_t route), const struct gauge *gauges, size_t n_gauges)
{
	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		if (names[i].meaning)
			write_head(out, names[i].name, names[i].meaning, "counter");
		text_printf(out, "%s%s%s%s %llu\n", names[i].name, names[i].label ? "{" : "", names[i].label ? names[i].label : "",
			    names[i].label ? "}" : "", (unsigned long long)read_one(&counters[i]));
	}
	write_head(out, "anybpfd_requests_total", "answered requests", "counter");
	for (size_t i = 0; i < ROUTES && route_name(i); i++)
		for (unsigned s = 1; s < STATUSES; s++)
			if (read_one(&requests[i][s]))
				text_printf(out, "anybpfd_requests_total{route=\"%s\",status=\"%uxx\"} %llu\n", route_name(i), s,
					    (unsigned long long)read_one(&requests[i][s]));
	for (size_t h = 0; h < HISTOGRAM_COUNT; h++)
		write_histogram(out, h);
	for (size_t i = 0; i < n_gauges; i++) {
		write_head(out, gauges[i].name, gauges[i].meaning, gauges[i].is_total ? "counter" : "gauge");
		text_printf(out, "%s %.17g\n", gauges[i].name, gauges[i].value);
	}
}
