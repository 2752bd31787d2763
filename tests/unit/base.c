/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <base/base.h>
#include "unit.h"

TEST(error_keeps_the_first_message_and_prefixes_it)
{
	struct ab_error err = {};

	ASSERT_INT(ab_fail(&err, AB_ERROR_NOT_FOUND, -ENOENT, "no map named '%s'", "x\ny"), -ENOENT);
	ASSERT_INT(ab_fail(&err, AB_ERROR_IO, -EIO, "later"), -EIO);
	ab_error_prefix(&err, "loading '%s'", "a.o");
	ASSERT_STR(err.msg, "loading 'a.o': no map named 'x?y'");
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
	ASSERT_INT(ab_error_exit_status(err.kind), 4);
	ab_error_clear(&err);
	ASSERT_INT(err.code, 0);
}

TEST(error_prefix_of_a_long_message_keeps_the_terminator)
{
	struct ab_error err = {};

	ab_fail(&err, AB_ERROR_IO, -EIO, "%0600d", 1);
	ab_error_prefix(&err, "p");
	ASSERT_INT(strlen(err.msg), sizeof(err.msg) - 1);
}

TEST(error_of_errno_has_its_kind)
{
	struct ab_error err = {};

	ab_fail_errno(&err, -EACCES, "unable to open '%s'", "f");
	ASSERT_STR(err.msg, "unable to open 'f': Permission denied");
	ASSERT_STR(ab_error_word(err.kind), "permission");
}

TEST(text_takes_nothing_from_nowhere)
{
	_text_ struct text t = {};

	text_add(&t, NULL, 0);
	ASSERT_STR(t.p, "");
	ASSERT(!t.failed);
}

TEST(json_escapes_and_separates)
{
	_text_ struct text t = {};
	struct json j = { .out = &t };

	json_open(&j, '{');
	json_key(&j, "a\"b");
	json_strn(&j, "x\n\x01\xff\xc3\xa9", 6);
	json_key(&j, "list");
	json_open(&j, '[');
	json_uint(&j, UINT64_MAX);
	json_int(&j, INT64_MIN);
	json_open(&j, '{');
	json_close(&j, '}');
	json_bool(&j, true);
	json_str(&j, NULL);
	json_close(&j, ']');
	json_close(&j, '}');
	ASSERT_STR(t.p, "{\"a\\\"b\":\"x\\n\\u0001\\u00ff\xc3\xa9\","
			"\"list\":[18446744073709551615,-9223372036854775808,{},true,null]}");
}

TEST(json_members_are_keys_with_values)
{
	_text_ struct text t = {};
	struct json j = { .out = &t };

	json_open(&j, '{');
	json_member_str(&j, "s", "x");
	json_member_str(&j, "none", NULL);
	json_member_int(&j, "i", -1);
	json_member_uint(&j, "u", UINT64_MAX);
	json_member_bool(&j, "b", true);
	json_close(&j, '}');
	ASSERT_STR(t.p, "{\"s\":\"x\",\"none\":null,\"i\":-1,\"u\":18446744073709551615,\"b\":true}");
}

TEST(json_refuses_overlong_and_surrogate_utf8)
{
	_text_ struct text t = {};

	json_quote(&t, "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80", 9);
	ASSERT_STR(t.p, "\"\\u00c0\\u0080\\u00ed\\u00a0\\u0080\\u00f4\\u0090\\u0080\\u0080\"");
}

TEST(strmap_finds_what_was_put)
{
	_strmap_ struct strmap m = {};
	char key[16];

	for (int i = 0; i < 1000; i++) {
		bool is_new;

		snprintf(key, sizeof(key), "key%d", i % 500);
		struct strmap_entry *e = strmap_put(&m, key, strlen(key), &is_new);
		ASSERT_INT(is_new, i < 500);
		e->value = i;
	}
	ASSERT_INT(m.n, 500);
	ASSERT_INT(strmap_find(&m, "key499", 6)->value, 999);
	ASSERT(!strmap_find(&m, "key500", 6));
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		ASSERT_STR(m.entries[i].key, key); /* in the order in which they came */
	}
}

TEST(hashes_spread)
{
	unsigned slots[64] = {};
	char key[24] = "", shifted[25] = "";

	for (int i = 0; i < 6400; i++) {
		int n = snprintf(key, sizeof(key), "name_of_many_%d", i);

		slots[str_hash(key, n) % 64]++;
		memcpy(shifted + 1, key, n);
		ASSERT_INT(str_hash(shifted + 1, n), str_hash(key, n)); /* wherever it lies */
	}
	for (int i = 0; i < 64; i++)
		ASSERT(slots[i] > 40 && slots[i] < 180);
	memset(key, 0, sizeof(key));
	for (int i = 0; i < 24; i++)
		for (int j = 0; j < i; j++)
			ASSERT(str_hash(key, i) != str_hash(key, j));
}

TEST(distance_is_capped)
{
	ASSERT_INT(str_distance("task_strct", "task_struct", 2), 1);
	ASSERT_INT(str_distance("Pid", "pid", 2), 0);
	ASSERT_INT(str_distance("abc", "xyz", 2), 3);
}

TEST(nearest_is_the_first_of_the_nearest_that_are_near_enough)
{
	struct nearest nearest = { .wanted = "extrakt" }, close = { .wanted = "extrakt", .limit = 1 };
	char said[64];

	nearest_try(&nearest, "list");
	ASSERT(!nearest.name);
	nearest_try(&nearest, "extra");
	nearest_try(&nearest, "extract");
	nearest_try(&nearest, "extrakts");
	nearest_try(&nearest, "add");
	ASSERT_STR(nearest.name, "extract");
	nearest_try(&nearest, "extrakt");
	nearest_try(&nearest, "Extrakt");
	ASSERT_STR(nearest.name, "extrakt");
	nearest_try(&close, "extra");
	ASSERT(!close.name);
	snprintf(said, sizeof(said), "%s%s%s", DID_YOU_MEAN(nearest.name));
	ASSERT_STR(said, "; did you mean 'extrakt'?");
	snprintf(said, sizeof(said), "%s%s%s", DID_YOU_MEAN(close.name));
	ASSERT_STR(said, "");
}

TEST(file_write_leaves_links_alone)
{
	char dir[] = "/tmp/anybpf-unit-XXXXXX", file[64], link[64], open_already[64];
	_free_ char *data = NULL;
	struct ab_error err = {};
	struct stat st;
	size_t size;
	int fd;

	ASSERT(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/f", dir);
	snprintf(link, sizeof(link), "%s/l", dir);
	ASSERT_INT(symlink("f", link), 0);
	ASSERT_OK(file_writable(link, &err), err);
	ASSERT_OK(file_write(file, "old", 3, 0644, &err), err);
	ASSERT_OK(file_write(link, "new", 3, 0644, &err), err);
	ASSERT_INT(lstat(link, &st), 0);
	ASSERT(S_ISLNK(st.st_mode));
	/* As /dev/stdout stands for a file that output goes to: it goes on there. */
	fd = open(file, O_RDWR | O_APPEND | O_CLOEXEC);
	snprintf(open_already, sizeof(open_already), "/proc/self/fd/%d", fd);
	ASSERT_OK(file_writable(open_already, &err), err);
	ASSERT_OK(file_write(open_already, "er", 2, 0644, &err), err);
	close(fd);
	ASSERT_OK(file_read(file, 100, &data, &size, &err), err);
	ASSERT_STR(data, "newer");
	unlink(link);
	unlink(file);
	ASSERT_INT(rmdir(dir), 0);
	snprintf(file, sizeof(file), "%s/f", dir);
	ASSERT_INT(file_writable(file, &err), -ENOENT);
	ab_error_clear(&err);
}

TEST(file_write_replaces_whole_and_leaves_nothing_on_failure)
{
	char dir[] = "/tmp/anybpf-unit-XXXXXX", path[64];
	_free_ char *data = NULL;
	struct ab_error err = {};
	size_t size;

	ASSERT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	ASSERT_OK(file_write(path, "one", 3, 0644, &err), err);
	ASSERT_OK(file_write(path, "second", 6, 0600, &err), err);
	ASSERT_OK(file_read(path, 100, &data, &size, &err), err);
	ASSERT_STR(data, "second");
	ASSERT_INT(file_read(path, 5, &data, &size, &err), -EFBIG);
	unlink(path);
	ASSERT_INT(rmdir(dir), 0); /* fails if a temporary file was left */
	ab_error_clear(&err);
	ASSERT_INT(file_write(path, "x", 1, 0644, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
}
