/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf run: the state of one run, and what its parts offer each other. */
#ifndef AB_CLI_RUN_H
#define AB_CLI_RUN_H

#include <anybpf/anybpf.h>
#include "btf_file.h"
#include "cli.h"

struct run_opts {
	struct common_opts common;
	int64_t pid, cpu;             /* cpu -1: all */
	int64_t count, top;
	uint64_t duration, interval;
	struct list maps;
	bool per_cpu, clear, trace;
	const char *sort;
	const char *flamegraph, *folded;
	struct list events, attach, interfaces, cgroups, only, skip, set;
	const char *btf, *server;
	struct list defines, include_dirs;
};

/* How events of one channel are printed. */
struct channel {
	const char *name;
	char *prefix;          /* JSON up to the data, or to the CPU's number */
	size_t prefix_size;
	bool seen;             /* had an event: its heading is printed */
	uint64_t header_row;   /* run->rows when the heading was printed last */
	uint64_t lost;         /* not reported yet */
};

struct run {
	struct cli *cli;
	const struct run_opts *opts;
	struct ab_object *object;
	struct btf_file btf;   /* open until the object is loaded */
	struct ab_symbols *symbols;
	struct ab_events *events;
	struct ab_flame *flame;
	struct channel *channels;
	size_t channel_count;
	struct channel *last_channel;
	size_t name_width;     /* of the channel column; 0: one channel, no such column */
	uint64_t rows;         /* table rows printed so far */
	uint64_t event_count, lost_count;
	uint64_t started_ns;
	size_t attached;       /* programs attached, iterators not counted */
	size_t iterators;
	uint64_t break_ns;     /* when a poll has to come back */
	bool has_stacks;       /* the object has a stack map */
	int trace_fd;
	struct text trace_line;
	bool ending;           /* detached: what is printed now is the last */
	bool done;             /* --count is reached, or output failed */
	struct text scratch;
};

/* run_input.c: FILE, whatever it is, to an object; nothing in the kernel yet. */
int run_open(struct run *run, const char *file, struct ab_error *err);

/* run_params.c: parameters of the object as options. */
int run_parse_params(struct run *run, int argc, char **argv, struct ab_error *err);
/* The first parse, before the object is known: says which operand is FILE. */
int run_find_file(struct cli *cli, struct ab_error *err);
void run_print_params(struct out *out, struct ab_object *object);

/* run_events.c: events as table rows or JSON lines. */
int run_open_events(struct run *run, struct ab_error *err);
int run_poll_events(struct run *run, struct ab_error *err);
/* Text mode: says what was lost since the last call. */
void run_report_lost(struct run *run);
/* Other output came between: the next row has its heading again. */
void run_repeat_headings(struct run *run);
void run_close_events(struct run *run);

/* run_table.c: text tables. */
struct table {
	char **cells;          /* row by row */
	size_t columns, count, cap;
	int *widths;
	bool *right;
};

int table_new(struct table *table, size_t columns);
void table_free(struct table *table);
/* Takes the string over; false when memory ran out. */
bool table_add(struct table *table, char *cell);
void table_print(struct out *out, const struct table *table);
/* "PID", "LAT(us)"; `scalar` heads a column that has no name. Returns the length. */
size_t column_heading(const struct ab_format *format, size_t column, const char *scalar, char *buf, size_t cap);
/* One cell as a string that the caller frees; NULL when memory ran out. */
char *format_cell(const struct ab_format *format, size_t column, const void *data, size_t size);
char *format_line(const struct ab_format *format, const void *data, size_t size);
void format_json(struct json *j, const struct ab_format *format, const void *data, size_t size);

/* run_maps.c */
int run_check_maps(struct run *run, struct ab_error *err);
/* --sort names a column of a map, or is a word. */
int run_check_sort(struct run *run, struct ab_error *err);
bool run_shows_maps(const struct run *run);
int run_print_maps(struct run *run, bool clear, struct ab_error *err);

/* run_flame.c: stacks of events and maps, folded. */
int run_open_flame(struct run *run, struct ab_error *err);
bool run_wants_flame(const struct run *run);
/* Adds the call path that the value names; 1 if it had one, 0 if not. */
int run_add_stack(struct run *run, const struct ab_format *format, const void *data, size_t size, uint64_t weight,
		  struct ab_error *err);
/* Adds a map's stacks if its keys have any; 1 if so. */
int run_add_map_stacks(struct run *run, const struct ab_map *map, bool clear, struct ab_error *err);
/* Looks at the processes in the keys of maps while they live, so that their stacks can be named at the end. */
bool run_has_stacks(const struct run *run);
void run_remember_stacks(struct run *run);
int run_write_flame(struct run *run, struct ab_error *err);

/* run_trace.c: bpf_printk. */
int run_open_trace(struct run *run, struct ab_error *err);
int run_read_trace(struct run *run, struct ab_error *err);

/* run_loop.c: from attached to the end. */
int run_loop(struct run *run, struct ab_error *err);
/* What became of each program when not all could be loaded and attached; for --json only. */
void run_print_failed(struct run *run);
int run_catch_signals(struct ab_error *err);
bool run_interrupted(void);
void run_warn(struct run *run, const char *fmt, ...) PRINTF_LIKE(2, 3);

uint64_t now_ns(void);

#endif
