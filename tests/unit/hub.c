/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "hub/crawl.h"
#include "unit.h"

static const char *distribution_of(const char *banner)
{
	static struct identity id;

	id = (struct identity){};
	ab_identity_banner(&id, banner);
	ab_identity_finish(&id);
	return id.distribution;
}

TEST(banners_say_the_distribution)
{
	ASSERT_STR(distribution_of("Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org) (gcc-12) #1 SMP"),
		   "debian");
	ASSERT_STR(distribution_of("Linux version 5.15.0-100-generic (buildd@host) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) "
				   "11.4.0) #110-Ubuntu SMP"),
		   "ubuntu-22.04");
	ASSERT_STR(distribution_of("Linux version 4.18.0-553.el8_10.x86_64 (mockbuild@iad1.rockylinux.org) (gcc 8)"),
		   "rocky-8");
	ASSERT_STR(distribution_of("Linux version 3.10.0-1160.el7.x86_64 (mockbuild@kbuilder.bsys.centos.org)"),
		   "centos-7");
	ASSERT_STR(distribution_of("Linux version 5.14.0-1.el9.x86_64 (somebody@example.org)"), "el-9");
	ASSERT_STR(distribution_of("Linux version 6.8.5-301.fc40.x86_64 (mockbuild@x)"), "fedora-40");
	ASSERT_STR(distribution_of("Linux version 5.10.0-60.18.0.50.oe2203.x86_64 (abuild@x)"), "openeuler-22.03");
	ASSERT_STR(distribution_of("Linux version 4.19.90-2107.6.0.oe1.x86_64 (abuild@x)"), "openeuler-20.03");
	ASSERT_STR(distribution_of("Linux version 5.10.134-16.al8.x86_64 (mockbuild@x)"), "alinux-3");
	ASSERT_STR(distribution_of("Linux version 4.19.91-27.an8.x86_64 (mockbuild@x)"), "anolis-8");
	ASSERT_STR(distribution_of("Linux version 5.10.210-201.855.amzn2.x86_64 (mockbuild@x)"), "amazon-2");
	ASSERT_STR(distribution_of("Linux version 6.6.0 (me@mine) (gcc 13) #1"), "");
}

static const char *flavour_of(const char *release)
{
	static struct identity id;

	id = (struct identity){};
	identity_set(id.release, release);
	ab_identity_finish(&id);
	return id.flavour;
}

TEST(releases_say_the_flavour)
{
	ASSERT_STR(flavour_of("6.1.0-50-amd64"), "");
	ASSERT_STR(flavour_of("6.1.0-50-cloud-amd64"), "cloud");
	ASSERT_STR(flavour_of("6.1.0-50-rt-amd64"), "rt");
	ASSERT_STR(flavour_of("4.18.0-553.rt7.342.el8_10.x86_64+debug"), "rt-debug");
	ASSERT_STR(flavour_of("5.4.17-2136.el8uek.x86_64"), "uek");
	ASSERT_STR(flavour_of("5.14.0-1.el9.aarch64+64k"), "64k");
	ASSERT_STR(flavour_of("5.15.0-1050-azure"), "azure");
	ASSERT_STR(flavour_of("5.10.0-sport7"), "");
}

static struct identity of_path(const char *path)
{
	struct identity id = {};

	ab_identity_path(&id, path);
	return id;
}

TEST(paths_of_btfhub)
{
	struct identity id = of_path("/srv/btfhub/ubuntu/20.04/arm64/5.4.0-100-generic.btf.tar.xz");

	ASSERT_STR(id.distribution, "ubuntu-20.04");
	ASSERT_STR(id.arch, "aarch64");
	ASSERT_STR(id.release, "5.4.0-100-generic");
	id = of_path("debian/10/x86_64/4.19.0-18-amd64.btf.tar.xz");
	ASSERT_STR(id.distribution, "debian");
	/* Any file's directories are not a tree's. */
	id = of_path("/home/me/kernels/mine.btf");
	ASSERT_STR(id.distribution, "");
	ASSERT_STR(id.arch, "");
	id = of_path("../../x86_64/x.btf");
	ASSERT_STR(id.distribution, "");
	id = of_path("/boot/vmlinuz-6.1");
	ASSERT_STR(id.release, "");
}

TEST(names_with_a_number_of_the_compiler_are_healed)
{
	char strings[] =
		"\0a\0__UNIQUE_ID_rh_kabi_hide42\0x__UNIQUE_ID_alias7\0__UNIQUE_ID_12\0__UNIQUE_ID_plain\0end12";

	ASSERT_INT(ab_dwarf_heal_names(strings, sizeof(strings)), 2);
	ASSERT_STR(strings + 3, "__UNIQUE_ID_rh_kabi_hide0");
	ASSERT_STR(strings + 30, "x__UNIQUE_ID_alias0");
	ASSERT_STR(strings + 50, "__UNIQUE_ID_12");
	ASSERT_STR(strings + sizeof(strings) - 6, "end12");
	/* A string that does not end. */
	ASSERT_INT(ab_dwarf_heal_names(strings + 50, 13), 0);
}

TEST(delays_grow_to_a_week)
{
	ASSERT_INT(ab_retry_delay(1), 3600);
	ASSERT_INT(ab_retry_delay(2), 4 * 3600);
	ASSERT_INT(ab_retry_delay(3), 16 * 3600);
	ASSERT_INT(ab_retry_delay(9), 7 * 24 * 3600);
	ASSERT_INT(ab_retry_delay(1000000), 7 * 24 * 3600);
}

TEST(items_survive_the_queue)
{
	struct source source = { .name = (char[]){ "s" }, .url = (char[]){ "http://example.org" } };
	struct sources sources = { &source, 1 };
	struct items items = {};
	struct ab_error err = {};
	struct item back;
	char *json;
	static const char list[] =
		"Package: linux-image-6.1.0-5-amd64-dbg\nVersion: 1\nArchitecture: amd64\nFilename: pool/d.deb\nSize: "
		"7\n"
		"SHA256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\n"
		"Package: linux-image-6.1.0-5-amd64\nVersion: 1\nArchitecture: amd64\nFilename: pool/\"x\".deb\nSize: "
		"9\n"
		"SHA256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\n"
		"Package: linux-image-6.1.0-6-amd64\nVersion: 1\nArchitecture: amd64\nFilename: ../x.deb\nSize: 9\n"
		"SHA256: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\n";

	source.debug = true;
	source.packages = (char *[]){ (char[]){ "linux-image-*" }, NULL };
	ASSERT_OK(ab_deb_parse_packages(&items, &source, source.url, list, sizeof(list) - 1, &err), err);
	ASSERT_OK(ab_items_finish(&items, &err), err);
	ASSERT_INT(items.count, 1);
	ASSERT_OK(ab_item_to_json(&items.items[0], &json, &err), err);
	ASSERT_OK(ab_item_from_json(json, strlen(json), &sources, &back, &err), err);
	ASSERT_INT(back.count, 2);
	ASSERT_STR(back.packages[0].url, "http://example.org/pool/\"x\".deb");
	ASSERT_STR(back.packages[0].release, "6.1.0-5-amd64");
	ASSERT(!back.packages[0].debug && back.packages[1].debug && back.packages[1].size == 7);
	ab_item_clear(&back);
	ab_items_clear(&items);
	free(json);
	json = strdup("{\"id\":\"x\",\"source\":\"s\",\"packages\":[{\"name\":\"a\",\"version\":\"1\",\"release\":"
		      "\"6\",\"arch\":\"amd64\","
		      "\"url\":\"http://example.org/a\",\"path\":\"../../etc/x\"}]}");
	ASSERT_INT(ab_item_from_json(json, strlen(json), &sources, &back, &err), -EBADMSG);
	free(json);
	ab_error_clear(&err);
}
