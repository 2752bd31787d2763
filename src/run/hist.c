/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Histograms as text, in the look that people know from bcc:
 *
 *	     usecs               : count    distribution
 *	         0 -> 1          : 3        |*****                                   |
 *	         2 -> 3          : 24       |****************************************|
 *
 * Ranges are inclusive at both ends. Slots before the first and behind the last in use are not printed.
 */
#include "format_plan.h"

#define BAR 40

struct hist_slot { unsigned __int128 from, to; }; /* [from, to): `to` may be 2^64 */

static struct hist_slot slot_range(const struct op *op, uint32_t i)
{
	unsigned __int128 one = 1, from = 1;
	uint32_t exponent = MIN(i, op->scale == SCALE_LOG2 ? 63u : 19u);

	if (op->scale == SCALE_LOG2)
		return (struct hist_slot){ exponent ? one << exponent : 0, one << (exponent + 1) };
	if (op->scale == SCALE_LOG10) {
		for (uint32_t e = 0; e < exponent; e++)
			from *= 10;
		return (struct hist_slot){ exponent ? from : 0, 10 * from };
	}
	from = op->base + (unsigned __int128)i * op->step;
	return (struct hist_slot){ from, from + op->step };
}

struct used {
	uint32_t first, last;
	uint64_t max;
};

static bool find_used(const struct op *op, const uint8_t *slots, uint32_t count, struct used *ret)
{
	struct used u = {};

	for (uint32_t i = 0; i < count; i++) {
		uint64_t n = hist_count(op, slots, i);

		if (!n)
			continue;
		if (!u.max)
			u.first = i;
		u.last = i;
		u.max = MAX(u.max, n);
	}
	*ret = u;
	return u.max;
}

/* In `width` columns, to the right when negative. */
static void add_number(struct out *o, unsigned __int128 v, int width)
{
	char digits[VALUE_MAX];
	int n = ab_put_u128(digits, v) - digits;

	for (int i = n; i < -width; i++)
		out_putc(o, ' ');
	out_add(o, digits, n);
	for (int i = n; i < width; i++)
		out_putc(o, ' ');
}

static void add_bar(struct out *o, uint64_t n, uint64_t max)
{
	char bar[BAR + 3];
	int stars = (unsigned __int128)n * BAR / max;

	bar[0] = '|';
	memset(bar + 1, '*', stars);
	memset(bar + 1 + stars, ' ', BAR - stars);
	bar[BAR + 1] = '|';
	bar[BAR + 2] = '\n';
	out_add(o, bar, sizeof(bar));
}

void ab_out_hist(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count, const char *unit)
{
	struct used u;
	char wide[VALUE_MAX];
	int width;

	if (!find_used(op, slots, count, &u))
		return;
	/* All numbers up to ten digits line up under the usual heading; longer ones widen both columns. */
	width = MAX(ab_put_u128(wide, slot_range(op, u.last).to - 1) - wide, 10);
	ab_out_printf(o, "     %-*.60s : count    distribution\n", 2 * width - 1, unit ? unit : "value");
	for (uint32_t i = u.first; i <= u.last; i++) {
		uint64_t n = hist_count(op, slots, i);
		struct hist_slot slot = slot_range(op, i);

		add_number(o, slot.from, -width);
		out_puts(o, " -> ");
		add_number(o, slot.to - 1, width);
		out_puts(o, " : ");
		add_number(o, n, 8);
		out_putc(o, ' ');
		add_bar(o, n, u.max);
	}
}

/* {0-1=3, 4-7=1} */
void ab_out_hist_line(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count)
{
	const char *comma = "";

	out_putc(o, '{');
	for (uint32_t i = 0; i < count; i++) {
		uint64_t n = hist_count(op, slots, i);
		struct hist_slot slot = slot_range(op, i);

		if (!n)
			continue;
		out_puts(o, comma);
		add_number(o, slot.from, 0);
		out_putc(o, '-');
		add_number(o, slot.to - 1, 0);
		out_putc(o, '=');
		add_number(o, n, 0);
		comma = ", ";
	}
	out_putc(o, '}');
}

void ab_out_hist_json(struct out *o, const struct op *op, const uint8_t *slots, uint32_t count)
{
	const char *open = "{\"from\":";

	out_putc(o, '[');
	for (uint32_t i = 0; i < count; i++) {
		uint64_t n = hist_count(op, slots, i);
		struct hist_slot slot = slot_range(op, i);

		if (!n)
			continue;
		out_puts(o, open);
		add_number(o, slot.from, 0);
		out_puts(o, ",\"to\":");
		add_number(o, slot.to, 0);
		out_puts(o, ",\"count\":");
		add_number(o, n, 0);
		out_putc(o, '}');
		open = ",{\"from\":";
	}
	out_putc(o, ']');
}

/* ---- public ---- */

static struct op op_of_opts(const struct ab_hist_opts *opts)
{
	struct op op = { .code = OP_HIST, .stride = 8 };

	op.scale = OPT(opts, linear) ? SCALE_LINEAR : OPT(opts, log10) ? SCALE_LOG10 : SCALE_LOG2;
	op.base = OPT(opts, base);
	op.step = OPT(opts, step) ? OPT(opts, step) : 1;
	return op;
}

size_t ab_hist_text(const uint64_t *slots, size_t count, const struct ab_hist_opts *opts, char *buf, size_t cap)
{
	struct op op = op_of_opts(opts);
	struct out o;

	out_init(&o, buf, cap);
	ab_out_hist(&o, &op, (const uint8_t *)slots, MIN(count, DATA_MAX / 8), OPT(opts, unit));
	return ab_out_finish(&o);
}

size_t ab_hist_json(const uint64_t *slots, size_t count, const struct ab_hist_opts *opts, char *buf, size_t cap)
{
	struct op op = op_of_opts(opts);
	struct out o;

	out_init(&o, buf, cap);
	ab_out_hist_json(&o, &op, (const uint8_t *)slots, MIN(count, DATA_MAX / 8));
	return ab_out_finish(&o);
}
