/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The lab without guests: versions, ranges, expectation files, verdicts, cpio. */
#include <fcntl.h>
#include <unistd.h>
#include "lab/expect.h"
#include "lab/lab.h"
#include "unit.h"

TEST(versions_are_ordered_as_debian_does)
{
	static const char *const rising[] = {
		"5.10.223-1",	      "5.10.262-1", "6.1.176-1",	 "6.1.192-2~deb11u1",
		"6.1.192-2",	      "6.12.9-1",   "6.12.43-1~bpo12+1", "6.12.107-1",
		"6.12.117-1~deb12u1", "6.12.117-1", "7.3~rc7-1~exp1",	 "7.3-1",
		"7.3.4-1~bpo13+1",    "1:1.0-1",    "1:1.00-2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rising); i++)
		for (size_t k = 0; k < ARRAY_SIZE(rising); k++) {
			int order = ab_version_compare(rising[i], rising[k]);

			if ((order > 0) - (order < 0) != (i > k) - (i < k))
				FAIL("%s and %s compare as %d", rising[i], rising[k], order);
		}
	ASSERT_INT(ab_version_compare("1.0", "1.00"), 0);
	ASSERT(ab_version_compare("1.0a", "1.0+") < 0);
}

TEST(ranges_of_kernels)
{
	static const struct { const char *range, *release; bool has;
	} rows[] = {
		{ "< 5.8", "5.10.0-30-amd64", false },
		{ "< 5.11", "5.10.0-30-amd64", true },
		{ ">= 5.5, < 6.1", "5.10.0-30-amd64", true },
		{ ">= 5.5, < 6.1", "6.1.0-56-amd64", false },
		{ "6.1", "6.1.0-56-amd64", true },
		{ "6.1", "6.12.107+deb13-amd64", false },
		{ "> 6.1", "6.1.50", false },
		{ "> 6.1", "6.2.0", true },
		{ "<= 6.1", "6.1.50", true },
		{ "!= 6.12", "6.12.1", false },
		{ "== 7.3.4", "7.3.4+deb13-amd64", true },
		{ ">=7", "7.3-rc7", true },
		{ "< 10", "9.99", true },
	};
	static const char *const bad[] = { "",		"x",	   "<",	   "< x",     "< 5.8,", "5.",	 ".5",
					   "< 5.8 6.1", "5.8-rc1", "=> 5", "< 5.8,,", ",",	"5..8 x" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (ab_range_has(rows[i].range, rows[i].release) != rows[i].has)
			FAIL("'%s' and %s: not %d", rows[i].range, rows[i].release, rows[i].has);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (ab_range_valid(bad[i]))
			FAIL("'%s' is taken for a range", bad[i]);
}

static struct expect parse(const char *toml)
{
	char path[] = "/tmp/unit-lab-XXXXXX";
	struct ab_error err = {};
	struct expect expect;
	int fd = mkstemp(path);

	ASSERT(fd >= 0);
	ASSERT_INT(fd_write_all(fd, toml, strlen(toml)), 0);
	close(fd);
	ASSERT_OK(ab_expect_open(path, &expect, &err), err);
	unlink(path);
	return expect;
}

static void refuse(const char *toml, const char *part)
{
	char path[] = "/tmp/unit-lab-XXXXXX";
	struct ab_error err = {};
	struct expect expect;
	int fd = mkstemp(path);

	ASSERT(fd >= 0);
	ASSERT_INT(fd_write_all(fd, toml, strlen(toml)), 0);
	close(fd);
	ASSERT_INT(ab_expect_open(path, &expect, &err), -EBADMSG);
	unlink(path);
	if (!strstr(err.msg, part))
		FAIL("'%s': the message is '%s'", toml, err.msg);
	ab_error_clear(&err);
}

TEST(mistakes_in_expectation_files_are_named)
{
	refuse("args = [", "line 1");
	refuse("\n\nworkloads = []", "no key 'workloads'; there are args, setup, workload");
	refuse("workload = 'x'", "'workload' takes an array of texts");
	refuse("workload = [1]", "'workload' takes an array of texts");
	refuse("[event]", "'event' takes tables");
	refuse("[[event]]\nwhat = 1", "event 1: no key 'what'");
	refuse("[[event]]\nwhere = 1", "event 1: 'where' takes a table");
	refuse("[[event]]\nwhere = { pid = { above = 1 } }", "no predicate 'above'");
	refuse("[[event]]\nwhere = { pid = { min = 'x' } }", "takes numbers");
	refuse("[[event]]\nwhere = { comm = { matches = '(' } }", "regular expression");
	refuse("[[event]]\nwhere = { comm = { matches = '((a{1,255}){1,255}){1,255}' } }", "without {n}");
	refuse("[[event]]\nwhere = { comm = [1] }", "one value or a predicate");
	refuse("[[event]]\n[[event]]\ncount = 'x'", "event 2: 'count' takes a number");
	refuse("[[map]]\nwhere = {}", "map 1: 'name' is missing");
	refuse("[[skip]]\nkernels = '< 5.8'", "skip 1: 'reason' is missing");
	refuse("[[skip]]\nreason = 'x'", "skip 1: 'kernels' is missing");
	refuse("[[skip]]\nkernels = 'old'\nreason = 'x'", "'kernels' takes a range");
	refuse("[[line]]\nprogram = 'p'", "line 1: 'text' is missing");
	refuse("[[line]]\ntext = { like = 'x' }", "no predicate 'like'");
	refuse("[[skip]]\nkernels = '5.8'\nreason = 'x'\narch = 64", "'arch' takes \"amd64\" or \"arm64\"");
	refuse("[[skip]]\nkernels = '5.8'\nreason = 'x'\narch = 'x86_64'", "'arch' takes \"amd64\" or \"arm64\"");
	refuse("[[skip]]\nkernels = '5.8'\nreason = ''", "'reason' takes a text that says why");
	refuse("[[missing]]\nprogram = 'p'\nreason = ''", "'reason' takes a text that says why");
	refuse("[[event]]\ncount = -1", "'count' takes a number");
	refuse("[[event]]\ncount = { min = 5, max = 1 }", "max no less than min");
	refuse("setup = 'x'", "'setup' takes an array of texts");
	refuse("minimum_kernel = '< 5.8'", "'minimum_kernel' takes a version");
	refuse("timeout_s = 0", "'timeout_s' takes a number from 1 to 3600");
	refuse("settle_ms = -1", "'settle_ms' takes a number");
}

#define SUMMARY(state)                                                                                               \
	"{\"type\":\"summary\",\"events\":3,\"lost\":0,\"duration_ns\":5,\"programs\":[{\"name\":\"p\",\"section\":" \
	"\"s\","                                                                                                     \
	"\"state\":\"" state "\",\"reason\":\"r\"}]}\n"

/* "VERDICT: REASON" */
static const char *judge(const char *toml, const char *out, const char *release)
{
	struct expect expect = parse(toml);
	struct run_output run = { .out = out,
				  .out_size = strlen(out),
				  .err = "anybpf: attached 1 program\n",
				  .ended = true,
				  .release = release,
				  .arch = "amd64" };
	static char text[1024];
	struct ab_error err = {};
	json_t *doc;

	ASSERT_OK(ab_expect_judge(&expect, &run, &doc, &err), err);
	snprintf(text, sizeof(text), "%s: %s", json_string_value(json_object_get(doc, "verdict")),
		 json_string_value(json_object_get(doc, "reason")));
	json_decref(doc);
	ab_expect_close(&expect);
	return text;
}

TEST(without_expectations_programs_have_to_attach)
{
	ASSERT_STR(judge("", SUMMARY("attached"), "6.1.0"), "pass: ");
	ASSERT_STR(judge("", SUMMARY("loaded"), "6.1.0"), "pass: ");
	ASSERT_STR(judge("", SUMMARY("skipped"), "6.1.0"), "fail: program 'p' is skipped: r");
	ASSERT_STR(judge("", "", "6.1.0"), "fail: anybpf run ended without a summary");
	ASSERT_STR(judge("", "{\"error\":{\"message\":\"no BTF\"}}\n", "6.1.0"), "fail: no BTF");
	ASSERT_STR(judge("", "{\"type\":\"failed\",\"programs\":[]}\n{\"error\":{\"message\":\"no BTF\"}}\n", "6.1.0"),
		   "fail: no BTF");
	ASSERT_STR(judge("", "not JSON\n{\"type\":\"summ", "6.1.0"), "fail: anybpf run ended without a summary");
}

TEST(missing_programs_are_allowed_by_name_and_kernel)
{
	const char *toml = "[[missing]]\nprogram = 'p'\nkernels = '< 5.11'\nreason = 'x'";

	ASSERT_STR(judge(toml, SUMMARY("skipped"), "5.10.0"), "pass: r");
	ASSERT_STR(judge(toml, SUMMARY("skipped"), "5.11.0"), "fail: program 'p' is skipped: r");
}

TEST(missing_programs_are_allowed_by_architecture)
{
	ASSERT_STR(judge("[[missing]]\nprogram = 'p'\narch = 'amd64'\nreason = 'x'", SUMMARY("skipped"), "5.10.0"), "pass: r");
	ASSERT_STR(judge("[[missing]]\nprogram = 'p'\narch = 'arm64'\nreason = 'x'", SUMMARY("skipped"), "5.10.0"),
		   "fail: program 'p' is skipped: r");
	ASSERT_STR(judge("[[skip]]\nkernels = '5.10'\narch = 'arm64'\nreason = 'x'", SUMMARY("attached"), "5.10.0"), "pass: ");
}

TEST(skips_are_tried)
{
	const char *toml = "[[skip]]\nkernels = '< 5.8'\nreason = 'no ring buffer'";

	ASSERT_STR(judge(toml, SUMMARY("skipped"), "5.4.0"), "skip: no ring buffer");
	ASSERT_STR(judge(toml, SUMMARY("attached"), "5.4.0"),
		   "fail: it works here, but the expectation file skips this kernel: no ring buffer");
	ASSERT_STR(judge(toml, SUMMARY("attached"), "5.8.0"), "pass: ");
	ASSERT_STR(judge("minimum_kernel = '5.8'", SUMMARY("skipped"), "5.4.0"), "skip: needs Linux 5.8");
}

static const char events[] =
	"{\"type\":\"event\",\"channel\":\"a\",\"data\":{\"pid\":7,\"comm\":\"ls\",\"up\":{\"port\":80},\"stack\":["
	"\"x\",\"y\"],"
	"\"big\":18446744073709551615,\"error\":{\"errno\":\"ENOENT\",\"value\":-2}}}\n"
	"{\"type\":\"event\",\"channel\":\"b\",\"data\":{\"pid\":8,\"comm\":\"cat\"}}\n"
	"{\"type\":\"map\",\"map\":\"m\",\"entries\":[{\"key\":{\"comm\":\"ls\"},\"value\":3},{\"key\":{\"comm\":\"x\"}"
	",\"value\":0}]}\n"
	"{\"type\":\"hist\",\"map\":\"h\",\"slots\":[{\"from\":4,\"to\":8,\"count\":2}]}\n" SUMMARY("attached");

TEST(predicates_on_events)
{
	static const struct { const char *where; int count;
	} rows[] = {
		{ "pid = 7", 1 },
		{ "pid = 9", 0 },
		{ "comm = 'ls'", 1 },
		{ "pid = { min = 8 }", 1 },
		{ "pid = { min = 7, max = 8 }", 2 },
		{ "comm = { contains = 'a' }", 1 },
		{ "comm = { matches = '^l.$' }", 1 },
		{ "comm = { not = 'ls' }", 1 },
		{ "'up.port' = 80", 1 },
		{ "'stack.1' = 'y'", 1 },
		{ "stack = { contains = 'x' }", 1 },
		{ "'stack.9' = 'y'", 0 },
		{ "up = { exists = true }", 1 },
		{ "up = { exists = false }", 1 },
		{ "error = 'ENOENT'", 1 },
		{ "error = -2", 1 },
		{ "'error.errno' = 'ENOENT'", 1 },
		{ "big = { min = 1.8e19 }", 1 },
		{ "pid = 7, comm = 'cat'", 0 },
		{ "none = 1", 0 },
		{ "comm = { min = 1 }", 0 },
		{ "none = { not = 1 }", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char toml[256];

		snprintf(toml, sizeof(toml), "[[event]]\nwhere = { %s }\ncount = %d", rows[i].where, rows[i].count);
		if (strcmp(judge(toml, events, "6.1.0"), "pass: "))
			FAIL("%s: %s", toml, judge(toml, events, "6.1.0"));
		snprintf(toml, sizeof(toml), "[[event]]\nwhere = { %s }\ncount = %d", rows[i].where, rows[i].count + 1);
		if (!strcmp(judge(toml, events, "6.1.0"), "pass: "))
			FAIL("%s passes", toml);
	}
}

TEST(channels_maps_and_counts)
{
	ASSERT_STR(judge("[[event]]\nchannel = 'a'\ncount = 1", events, "6.1"), "pass: ");
	ASSERT_STR(judge("[[event]]\ncount = { max = 1 }", events, "6.1"), "fail: 2 events where anything");
	ASSERT_STR(judge("[[event]]\nchannel = 'c'", events, "6.1"), "fail: 0 events of 'c' where anything");
	ASSERT_STR(judge("[[event]]\nchannel = 'c'\ncount = 0", events, "6.1"), "pass: ");
	ASSERT_STR(judge("[[map]]\nname = 'm'\nwhere = { 'key.comm' = 'ls', value = { min = 1 } }\ncount = 1", events,
			 "6.1"),
		   "pass: ");
	ASSERT_STR(judge("[[map]]\nname = 'm'\nwhere = { value = { min = 4 } }", events, "6.1"),
		   "fail: 0 entries of 'm' where {\"value\":{\"min\":4}}");
	ASSERT_STR(judge("[[map]]\nname = 'h'\nwhere = { 'slots.0.count' = 2 }", events, "6.1"), "pass: ");
}

TEST(lines_of_iterators)
{
	static const char text[] = "{\"type\":\"attached\",\"programs\":1}\n"
		"{\"type\":\"iter\",\"program\":\"p\",\"text\":\"PID COMM\\n1 init\\n2 init\\n\\nlast\"}\n" SUMMARY("attached");

	ASSERT_STR(judge("[[line]]\ntext = '1 init'\ncount = 1", text, "6.1"), "pass: ");
	ASSERT_STR(judge("[[line]]\nprogram = 'p'\ntext = { matches = '^[0-9] init$' }\ncount = 2", text, "6.1"), "pass: ");
	ASSERT_STR(judge("[[line]]\ntext = 'last'\n[[line]]\ntext = ''\ncount = 1", text, "6.1"), "pass: ");
	ASSERT_STR(judge("[[line]]\nprogram = 'q'\ntext = '1 init'", text, "6.1"), "fail: 0 lines of 'q' where \"1 init\"");
	ASSERT_STR(judge("[[line]]\ntext = 'init'", text, "6.1"), "fail: 0 lines where \"init\"");
}

TEST(cpio_has_every_folder_once)
{
	struct ab_error err = {};
	struct cpio cpio = {};
	size_t entries = 0;

	ASSERT_INT(ab_cpio_file(&cpio, "/a/b/c", 0755, "hello", 5), 0);
	ASSERT_INT(ab_cpio_file(&cpio, "/a/b/d", 0644, "", 0), 0);
	ASSERT_INT(ab_cpio_link(&cpio, "/a/e", "b/c"), 0);
	ASSERT_OK(ab_cpio_end(&cpio, &err), err);
	ASSERT_INT(cpio.text.n % 4, 0);
	for (const char *p = cpio.text.p; (p = memmem(p, cpio.text.p + cpio.text.n - p, "070701", 6)); p++)
		entries++;
	ASSERT_INT(entries, 6); /* a, a/b, a/b/c, a/b/d, a/e, the trailer */
	ASSERT(memmem(cpio.text.p, cpio.text.n, "a/b/c\0", 6));
	ab_cpio_clear(&cpio);
}

TEST(damaged_packages_are_refused)
{
	static const char *const contents[] = {
		"", "x", "!<arch>\n", "!<arch>\ndata.tar.xz     0           0     0     100644  9999      `\nxx"
	};
	char dir[] = "/tmp/unit-lab-XXXXXX", path[64];

	ASSERT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.deb", dir);
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		struct unpack unpack = { .dir = dir };
		struct ab_error err = {};
		int r;

		ASSERT_INT(file_write(path, contents[i], strlen(contents[i]), 0644, &err), 0);
		r = ab_package_unpack(path, &unpack, &err);
		ASSERT(r < 0 || !unpack.kernel);
		ab_error_clear(&err);
	}
	ASSERT_INT(ab_remove_tree(dir), 0);
}

TEST(what_is_no_kernel_is_refused)
{
	char dir[] = "/tmp/unit-lab-XXXXXX", path[64], to[64], data[2048] = "MZ";
	const char *arch;
	struct ab_error err = {};

	ASSERT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);
	snprintf(to, sizeof(to), "%s/y", dir);
	/* A bzImage whose payload is said to lie behind the file's end is booted as it is. */
	memcpy(data + 0x202, "HdrS", 4);
	memset(data + 0x248, 0xff, 8);
	ASSERT_INT(file_write(path, data, sizeof(data), 0644, &err), 0);
	ASSERT_OK(ab_kernel_convert(path, to, &arch, &err), err);
	ASSERT_STR(arch, "amd64");
	memset(data, 0, sizeof(data));
	ASSERT_INT(file_write(path, data, sizeof(data), 0644, &err), 0);
	ASSERT_INT(ab_kernel_convert(path, to, &arch, &err), -EBADMSG);
	ab_error_clear(&err);
	ASSERT_INT(ab_remove_tree(dir), 0);
}
