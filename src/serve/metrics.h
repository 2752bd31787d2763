/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Counters and histograms of the process, as Prometheus reads them. All functions may be called by any thread. */
#ifndef AB_SERVE_METRICS_H
#define AB_SERVE_METRICS_H

#include <base/base.h>

enum counter {
	COUNT_HITS_MEMORY,
	COUNT_HITS_DISK,
	COUNT_HITS_SHARED,
	COUNT_MISSES,
	COUNT_JOINED, /* builds by where their result came from */
	COUNT_COMPILED,
	COUNT_REFUSED_SOURCE,
	COUNT_COMPILER_FAILED,
	COUNT_CONNECTIONS,
	COUNT_EXPIRED,
	COUNT_REFUSED_CONNECTION,
	COUNT_RATE_LIMITED,
	COUNT_UNAUTHORIZED,
	COUNT_SHARED_ERRORS,
	COUNTER_COUNT,
};

enum histogram { TIME_REQUEST, TIME_COMPILE, TIME_QUEUE, HISTOGRAM_COUNT };

void ab_count(enum counter counter);
void ab_observe(enum histogram histogram, uint64_t us);
/* One answered request of a route. */
void ab_count_request(size_t route, unsigned status);

struct gauge {
	const char *name, *meaning;
	double value;
	bool is_total; /* it only grows */
};

/* `routes`: the names by index. */
void ab_metrics_write(struct text *out, const char *(*route_name)(size_t route), const struct gauge *gauges, size_t n_gauges);

#endif
