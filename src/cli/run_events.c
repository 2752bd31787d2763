/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Events of ring and perf buffers, as rows of a live table or as JSON lines. JSON is the fast path: a constant prefix
 * per channel, then the library renders straight into the output buffer.
 */
#include "run.h"

static struct channel *find_channel(struct run *run, const char *name)
{
	for (size_t i = 0; i < run->channel_count; i++)
		if (run->channels[i].name == name)
			return &run->channels[i];
	for (size_t i = 0; i < run->channel_count; i++)
		if (!strcmp(run->channels[i].name, name))
			return &run->channels[i];
	return NULL;
}

/* ---- JSON ---- */

static size_t render_data(const struct ab_event *event, char *buf, size_t cap)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = event->data;
	size_t n = 2 * (size_t)event->size + 2;

	if (event->format)
		return ab_format_json(event->format, event->data, event->size, buf, cap);
	if (n >= cap)
		return n;
	*buf++ = '"';
	for (uint32_t i = 0; i < event->size; i++) {
		*buf++ = digits[p[i] >> 4];
		*buf++ = digits[p[i] & 15];
	}
	*buf = '"';
	return n;
}

static void print_json(struct out *out, const struct channel *channel, const struct ab_event *event)
{
	size_t head = channel->prefix_size + 24, want = 1024, n;
	char *w, *p;

	do {
		w = p = out_room(out, head + want + 3);
		if (!w)
			return;
		memcpy(p, channel->prefix, channel->prefix_size);
		p += channel->prefix_size;
		if (event->cpu >= 0)
			p += sprintf(p, "%d,\"data\":", event->cpu);
		n = want;
		want = render_data(event, p, n) + 1;
	} while (want > n);
	p += want - 1;
	*p++ = '}';
	*p++ = '\n';
	out->n += p - w;
}

static int make_prefix(struct channel *channel, bool cpu, struct ab_error *err)
{
	_text_ struct text t = {};

	text_puts(&t, "{\"type\":\"event\",\"channel\":");
	json_quote(&t, channel->name, strlen(channel->name));
	text_puts(&t, cpu ? ",\"cpu\":" : ",\"data\":");
	channel->prefix_size = t.n;
	channel->prefix = text_take(&t);
	return channel->prefix ? 0 : ab_fail_memory(err);
}

/* ---- table ---- */

struct row {
	struct text *line;
	size_t used, target; /* columns written; where the next cell should begin */
};

/* A cell that is too wide borrows from the blanks of the next ones, so rows fall back into line soon. */
static void add_cell(struct row *row, const char *cell, size_t n, size_t width, bool right)
{
	size_t own = utf8_width(cell, n);
	size_t start = row->used ? MAX(row->target, row->used + 1) : row->target;

	if (right && row->target + width > start + own)
		start = row->target + width - own;
	text_printf(row->line, "%*s", (int)(start - row->used), "");
	text_add(row->line, cell, n);
	row->used = start + own;
	row->target += width + 2;
}

static void begin_row(struct run *run, struct row *row, const char *channel)
{
	run->scratch.n = 0;
	*row = (struct row){ .line = &run->scratch };
	if (run->name_width)
		add_cell(row, channel, strlen(channel), run->name_width, false);
}

static void end_row(struct run *run, const char *before, const char *after)
{
	struct out *out = &run->cli->out;
	size_t n = run->scratch.n;

	while (n && run->scratch.p[n - 1] == ' ')
		n--;
	if (out->columns)
		n = utf8_fit(run->scratch.p, n, out->columns);
	out_puts(out, before);
	out_safe(out, run->scratch.p, n);
	out_puts(out, after);
	run->rows++;
}

static void print_header(struct run *run, struct channel *channel, const struct ab_format *format)
{
	bool color = run->cli->out.color;
	struct row row;

	begin_row(run, &row, "CHANNEL");
	for (size_t c = 0; format && c < ab_format_column_count(format); c++) {
		char name[64];
		size_t n = column_heading(format, c, "VALUE", name, sizeof(name));

		add_cell(&row, name, n, ab_format_column_width(format, c),
			 ab_format_column_is_right(format, c));
	}
	if (!format)
		add_cell(&row, "BYTES", 5, 5, false);
	channel->header_row = run->rows;
	end_row(run, color ? "\033[1m" : "", color ? "\033[0m\n" : "\n");
}

/* A chart does not fit into a row: it follows, under its column's name. */
static void print_charts(struct run *run, const struct ab_event *event)
{
	for (size_t c = 0; c < ab_format_column_count(event->format); c++) {
		_free_ char *cell = format_cell(event->format, c, event->data, event->size);

		if (!cell || !strchr(cell, '\n'))
			continue;
		out_printf(&run->cli->out, "  %s:\n", ab_format_column_name(event->format, c));
		out_safe(&run->cli->out, cell, strlen(cell));
	}
}

static void print_row(struct run *run, struct channel *channel, const struct ab_event *event)
{
	const struct ab_format *format = event->format;
	bool charts = false;
	struct row row;

	/* On a terminal the heading comes again when the last one has scrolled away. */
	if (!channel->seen || (run->cli->out.tty && run->rows - channel->header_row >= run->cli->out.rows - 1u))
		print_header(run, channel, format);
	channel->seen = true;
	begin_row(run, &row, channel->name);
	for (size_t c = 0; format && c < ab_format_column_count(format); c++) {
		char cell[1024];
		size_t n = ab_format_cell(format, c, event->data, event->size, cell, sizeof(cell));

		n = utf8_fit(cell, MIN(n, sizeof(cell) - 1), sizeof(cell));
		if (memchr(cell, '\n', n)) {
			charts = true;
			n = 0;
		}
		add_cell(&row, cell, n, ab_format_column_width(format, c), ab_format_column_is_right(format, c));
	}
	if (!format) {
		_free_ char *bytes = format_cell(NULL, 0, event->data, event->size);

		if (bytes)
			add_cell(&row, bytes, strlen(bytes), 0, false);
	}
	end_row(run, "", "\n");
	if (charts)
		print_charts(run, event);
}

/* ---- callbacks ---- */

static int handle_event(const struct ab_event *event, void *ctx)
{
	struct run *run = ctx;
	struct channel *channel = run->last_channel;

	if (run->done)
		return 1;
	if (channel->name != event->channel) {
		channel = find_channel(run, event->channel);
		if (!channel)
			return 0;
		run->last_channel = channel;
	}
	run->event_count++;
	if (run_wants_flame(run) && event->format)
		run_add_stack(run, event->format, event->data, event->size, 1, NULL);
	if (!run->cli->json)
		print_row(run, channel, event);
	else if (channel->prefix || make_prefix(channel, event->cpu >= 0, NULL) == 0)
		print_json(&run->cli->out, channel, event);
	if (run->event_count == (uint64_t)run->opts->count || run->cli->out.error)
		run->done = true;
	if (run->done || run->ending)
		return run->done;
	/* A flood must not keep the loop from its other duties. */
	return run_interrupted() || (run->event_count % 1024 == 0 && now_ns() >= run->break_ns);
}

static void handle_lost(const char *name, uint64_t count, void *ctx)
{
	struct run *run = ctx;
	struct channel *channel = find_channel(run, name);
	_text_ struct text t = {};
	struct json j = { &t };

	run->lost_count += count;
	if (!run->cli->json) {
		if (channel)
			channel->lost += count;
		return;
	}
	json_open(&j, '{');
	json_member_str(&j, "type", "lost");
	json_member_str(&j, "channel", name);
	json_member_uint(&j, "count", count);
	json_close(&j, '}');
	cli_print_json(run->cli, &t, NULL);
}

void run_report_lost(struct run *run)
{
	for (size_t i = 0; i < run->channel_count; i++) {
		struct channel *channel = &run->channels[i];

		if (channel->lost && !run->cli->quiet)
			cli_say("warning", "%llu events of '%s' were lost: they came faster than they could be printed",
				(unsigned long long)channel->lost, channel->name);
		channel->lost = 0;
	}
}

/* ---- reader ---- */

static int list_channels(struct run *run, struct ab_error *err)
{
	size_t count = ab_object_map_count(run->object), width = strlen("CHANNEL");

	run->channels = array_new(count, sizeof(*run->channels));
	if (!run->channels)
		return ab_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct ab_map *map = ab_object_map(run->object, i);

		if (ab_map_kind(map) != AB_MAP_EVENTS)
			continue;
		run->channels[run->channel_count++].name = ab_map_name(map);
		width = MAX(width, strlen(ab_map_name(map)));
	}
	run->last_channel = run->channels;
	run->name_width = run->channel_count > 1 ? width : 0;
	return 0;
}

int run_open_events(struct run *run, struct ab_error *err)
{
	AB_OPTS(ab_events_opts, opts, .event = handle_event, .lost = handle_lost, .ctx = run);
	int r = list_channels(run, err);

	if (r < 0)
		return r;
	if (run->channel_count)
		return ab_events_open(run->object, &opts, &run->events, err);
	if (run->opts->count)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "option '--count' counts events, and '%s' sends none",
			       ab_object_name(run->object));
	return 0;
}

int run_poll_events(struct run *run, struct ab_error *err)
{
	int r = ab_events_poll(run->events, 0, err);

	return r < 0 && !run->done ? r : 0;
}

void run_repeat_headings(struct run *run)
{
	for (size_t i = 0; i < run->channel_count; i++)
		run->channels[i].seen = false;
}

void run_close_events(struct run *run)
{
	ab_events_close(run->events);
	run->events = NULL;
	for (size_t i = 0; i < run->channel_count; i++)
		free(run->channels[i].prefix);
	free(run->channels);
	run->channels = NULL;
	run->channel_count = 0;
}
