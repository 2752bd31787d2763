/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Words that say whose types they are: banners, vendors, paths of BTFHub's tree; string tables that are healed; RPM
 * headers. */
#include <hub/hub.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_word(const char *word)
{
	for (; *word; word++)
		if (*word <= ' ' || *word >= 0x7f || *word == '/')
			abort();
}

static void check_identity(const struct identity *id)
{
	struct ab_kernel k = ab_identity_kernel(id);

	check_word(k.release);
	check_word(k.arch);
	check_word(k.distribution);
	check_word(k.flavour);
}

static void heal(const uint8_t *data, size_t size)
{
	char *strings = malloc(size + 1);

	memcpy(strings, data, size);
	ab_dwarf_heal_names(strings, size);
	/* What was healed has nothing left to heal. */
	if (ab_dwarf_heal_names(strings, size))
		abort();
	free(strings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = strndup((const char *)data, size);
	struct identity banner = {}, path = {}, vendor = {};
	struct rpm rpm;

	ab_identity_banner(&banner, text);
	ab_identity_path(&path, text);
	identity_set(vendor.release, "4.18.0-147.el8.x86_64");
	ab_identity_vendor(&vendor, text);
	ab_identity_finish(&banner);
	ab_identity_finish(&path);
	ab_identity_finish(&vendor);
	check_identity(&banner);
	check_identity(&path);
	check_identity(&vendor);
	heal(data, size);
	if (ab_rpm_read((const char *)data, size, &rpm, NULL) == 0) {
		const char *value;
		uint32_t type, count;
		size_t n;

		if (rpm.header_start + rpm.header_size > size || rpm.signature_start + rpm.signature_size > size)
			abort();
		for (uint32_t tag = 256; tag < 300; tag++)
			if (ab_rpm_tag((const char *)data + rpm.signature_start, rpm.signature_size, tag, &type, &count,
				       &value, &n) &&
			    n && value[n - 1] == 1)
				(void)value;
	}
	return 0;
}
