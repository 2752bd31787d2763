/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Attributes of perf events as coolbpf's clients send them: a flat JSON object of field names and numbers, most of them
 * as strings.
 */
#include <linux/perf_event.h>
#include "lbc.h"

struct field {
	const char *name;
	uint16_t offset; /* of a number */
	uint8_t size;    /* 0: bits of the word behind read_format */
	uint8_t bit, bits;
};

#define NUMBER(name) \
	{ #name, offsetof(struct perf_event_attr, name), sizeof(((struct perf_event_attr *)0)->name), 0, 0 }
#define FLAG(name, bit) { #name, 0, 0, bit, 1 }

/* Bits count from the least significant on little-endian machines, from the most significant on others. */
static const struct field fields[] = {
	NUMBER(type), NUMBER(size), NUMBER(config), NUMBER(sample_period), NUMBER(sample_freq), NUMBER(sample_type),
	NUMBER(read_format), NUMBER(wakeup_events), NUMBER(wakeup_watermark), NUMBER(bp_type), NUMBER(bp_addr),
	NUMBER(bp_len), NUMBER(config1), NUMBER(config2), NUMBER(branch_sample_type), NUMBER(sample_regs_user),
	NUMBER(sample_stack_user), NUMBER(clockid), NUMBER(sample_regs_intr), NUMBER(aux_watermark),
	NUMBER(sample_max_stack), NUMBER(aux_sample_size), FLAG(disabled, 0), FLAG(inherit, 1), FLAG(pinned, 2),
	FLAG(exclusive, 3), FLAG(exclude_user, 4), FLAG(exclude_kernel, 5), FLAG(exclude_hv, 6),
	FLAG(exclude_idle, 7), FLAG(mmap, 8), FLAG(comm, 9), FLAG(freq, 10), FLAG(inherit_stat, 11),
	FLAG(enable_on_exec, 12), FLAG(task, 13), FLAG(watermark, 14), { "precise_ip", 0, 0, 15, 2 },
	FLAG(mmap_data, 17), FLAG(sample_id_all, 18), FLAG(exclude_host, 19), FLAG(exclude_guest, 20),
	FLAG(exclude_callchain_kernel, 21), FLAG(exclude_callchain_user, 22), FLAG(mmap2, 23), FLAG(comm_exec, 24),
	FLAG(use_clockid, 25), FLAG(context_switch, 26), FLAG(write_backward, 27), FLAG(namespaces, 28),
	FLAG(ksymbol, 29), FLAG(bpf_event, 30), FLAG(aux_output, 31), FLAG(cgroup, 32), FLAG(text_poke, 33),
	FLAG(build_id, 34), FLAG(inherit_thread, 35), FLAG(remove_on_exec, 36), FLAG(sigtrap, 37),
};

enum { FLAGS_OFFSET = offsetof(struct perf_event_attr, read_format) + 8 };

static void set_bits(struct perf_event_attr *attr, const struct field *f, uint64_t value)
{
	unsigned shift = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? f->bit : 64 - f->bit - f->bits;
	uint64_t word, mask = ((1ull << f->bits) - 1) << shift;

	memcpy(&word, (char *)attr + FLAGS_OFFSET, sizeof(word));
	word = (word & ~mask) | ((value << shift) & mask);
	memcpy((char *)attr + FLAGS_OFFSET, &word, sizeof(word));
}

static int set_field(struct perf_event_attr *attr, const char *name, size_t n, uint64_t value, struct ab_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];
		uint32_t word = value;
		uint16_t half = value;

		if (strlen(f->name) != n || memcmp(f->name, name, n))
			continue;
		if (f->size == 8)
			memcpy((char *)attr + f->offset, &value, 8);
		else if (f->size == 4)
			memcpy((char *)attr + f->offset, &word, 4);
		else if (f->size == 2)
			memcpy((char *)attr + f->offset, &half, 2);
		else
			set_bits(attr, f, value);
		return 0;
	}
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "perf events have no attribute '%.*s'", (int)MIN(n, (size_t)64),
		       name);
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* A number, which may stand in quotation marks; moves *p behind it. */
static bool read_number(const char **p, uint64_t *ret)
{
	bool quoted = **p == '"';
	const char *from = *p + quoted;
	char *end;

	errno = 0;
	*ret = *from == '-' ? (uint64_t)strtoll(from, &end, 0) : strtoull(from, &end, 0);
	if (end == from || errno || (quoted && *end != '"'))
		return false;
	*p = end + quoted;
	return true;
}

int ab_lbc_perf_attr(const char *json, struct perf_event_attr *ret_attr, struct ab_error *err)
{
	struct perf_event_attr attr = {};
	const char *p = skip_space(json);
	bool good = *p == '{';

	for (p = skip_space(p + good); good && *p == '"'; p = skip_space(p + (*p == ','))) {
		const char *name = p + 1, *end = strchr(name, '"');
		uint64_t value;
		int r;

		good = false;
		if (!end)
			break;
		p = skip_space(end + 1);
		if (*p != ':')
			break;
		p = skip_space(p + 1);
		if (!read_number(&p, &value))
			break;
		r = set_field(&attr, name, end - name, value, err);
		if (r < 0)
			return r;
		p = skip_space(p);
		good = *p == ',' || *p == '}';
	}
	if (!good || *p != '}')
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%.100s' is not a JSON object of perf event attributes",
			       json);
	attr.size = sizeof(attr);
	*ret_attr = attr;
	return 0;
}
