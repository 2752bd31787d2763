/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* TOML to JSON: the one thing that is wanted of toml++, which has no C interface. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <toml++/toml.h>

extern "C" char *ab_toml_to_json(const char *text, size_t size, char *error, size_t cap);

/* Returns malloced JSON, or NULL with "line N: what" in `error`. */
extern "C" char *ab_toml_to_json(const char *text, size_t size, char *error, size_t cap)
{
	try {
		std::ostringstream out;
		auto table = toml::parse(std::string_view(text, size));

		out << toml::json_formatter(table, toml::format_flags::quote_dates_and_times);
		return strdup(out.str().c_str());
	} catch (const toml::parse_error &e) {
		auto what = e.description();

		snprintf(error, cap, "line %u: %.*s", (unsigned)e.source().begin.line, (int)what.size(), what.data());
	} catch (const std::exception &e) {
		snprintf(error, cap, "%s", e.what());
	}
	return nullptr;
}
