/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <base/base.h>
#include <anybpf/format.h>
#include "unit.h"

static char text[16384];

static const char *chart(const uint64_t *slots, size_t count, const struct ab_hist_opts *opts)
{
	size_t n = ab_hist_text(slots, count, opts, text, sizeof(text));

	ASSERT_INT(n, strlen(text));
	return text;
}

TEST(log2_from_the_first_to_the_last_slot_in_use)
{
	const uint64_t slots[64] = { [1] = 3, [3] = 24, [4] = 1 };
	AB_OPTS(ab_hist_opts, opts, .unit = "usecs");

	ASSERT_STR(chart(slots, 64, &opts),
		   "     usecs               : count    distribution\n"
		   "         2 -> 3          : 3        |*****                                   |\n"
		   "         4 -> 7          : 0        |                                        |\n"
		   "         8 -> 15         : 24       |****************************************|\n"
		   "        16 -> 31         : 1        |*                                       |\n");
}

TEST(slot_0_counts_0_and_1)
{
	const uint64_t slots[2] = { 1 };

	ASSERT_STR(chart(slots, 2, NULL),
		   "     value               : count    distribution\n"
		   "         0 -> 1          : 1        |****************************************|\n");
}

TEST(all_zero_is_nothing)
{
	const uint64_t slots[64] = {};

	ASSERT_STR(chart(slots, 64, NULL), "");
	ASSERT_STR(chart(slots, 0, NULL), "");
	ASSERT_INT(ab_hist_json(slots, 64, NULL, text, sizeof(text)), 2);
	ASSERT_STR(text, "[]");
}

TEST(the_last_slot_and_the_largest_count)
{
	const uint64_t slots[64] = { [62] = UINT64_MAX / 2, [63] = UINT64_MAX };

	ASSERT_STR(chart(slots, 64, NULL),
		   "     value                                   : count    distribution\n"
		   " 4611686018427387904 -> 9223372036854775807  : 9223372036854775807 "
		   "|*******************                     |\n"
		   " 9223372036854775808 -> 18446744073709551615 : 18446744073709551615 "
		   "|****************************************|\n");
	ab_hist_json(slots, 64, NULL, text, sizeof(text));
	ASSERT_STR(text, "[{\"from\":4611686018427387904,\"to\":9223372036854775808,\"count\":9223372036854775807},"
			 "{\"from\":9223372036854775808,\"to\":18446744073709551616,\"count\":18446744073709551615}]");
}

TEST(linear_slots)
{
	const uint64_t slots[4] = { 0, 2, 1, 0 };
	AB_OPTS(ab_hist_opts, opts, .linear = true, .base = 100, .step = 10, .unit = "bytes");
	AB_OPTS(ab_hist_opts, by_one, .linear = true);

	ASSERT_STR(chart(slots, 4, &opts),
		   "     bytes               : count    distribution\n"
		   "       110 -> 119        : 2        |****************************************|\n"
		   "       120 -> 129        : 1        |********************                    |\n");
	ASSERT_STR(chart(slots, 4, &by_one),
		   "     value               : count    distribution\n"
		   "         1 -> 1          : 2        |****************************************|\n"
		   "         2 -> 2          : 1        |********************                    |\n");
	ab_hist_json(slots, 4, &opts, text, sizeof(text));
	ASSERT_STR(text, "[{\"from\":110,\"to\":120,\"count\":2},{\"from\":120,\"to\":130,\"count\":1}]");
}

TEST(log10_slots)
{
	const uint64_t slots[20] = { [0] = 1, [1] = 2, [19] = 1 };
	AB_OPTS(ab_hist_opts, opts, .log10 = true);

	ab_hist_json(slots, 20, &opts, text, sizeof(text));
	ASSERT_STR(text, "[{\"from\":0,\"to\":10,\"count\":1},{\"from\":10,\"to\":100,\"count\":2},"
			 "{\"from\":10000000000000000000,\"to\":100000000000000000000,\"count\":1}]");
	ASSERT_STR(chart(slots, 2, &opts),
		   "     value               : count    distribution\n"
		   "         0 -> 9          : 1        |********************                    |\n"
		   "        10 -> 99         : 2        |****************************************|\n");
}

TEST(options_of_an_older_caller)
{
	const uint64_t slots[4] = { 0, 2 };
	struct ab_hist_opts old = { .sz = offsetof(struct ab_hist_opts, linear), .linear = true, .unit = "bytes" };

	ASSERT(strstr(chart(slots, 4, &old), "     value "));
	ASSERT(strstr(text, " 2 -> 3 "));
}

TEST(every_cap_cuts_and_says_the_whole_length)
{
	const uint64_t slots[4] = { 5, 2, 0, 1 };
	size_t n = strlen(chart(slots, 4, NULL));
	char whole[1024];

	memcpy(whole, text, n + 1);
	for (size_t cap = 0; cap <= n + 1; cap++) {
		char *buf = malloc(cap + 1);

		buf[cap] = 'U';
		ASSERT_INT(ab_hist_text(slots, 4, NULL, buf, cap), n);
		ASSERT(buf[cap] == 'U' && (!cap || (strlen(buf) == MIN(cap - 1, n) && !strncmp(buf, whole, strlen(buf)))));
		free(buf);
	}
}
