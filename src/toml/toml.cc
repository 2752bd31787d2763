/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What C wants of toml++, which has no C interface (toml.h). */
#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <toml++/toml.h>
#include "toml.h"

namespace {

struct walk {
	toml_take take;
	void *context;
	int result;
};

void visit(walk &w, const std::string &key, const toml::node &node);

void visit_table(walk &w, const std::string &prefix, const toml::table &table)
{
	for (auto &&[key, node] : table) {
		if (w.result)
			return;
		visit(w, prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str()), node);
	}
}

void give(walk &w, const std::string &key, const toml::node &node, toml_type type, const char *text, int64_t number)
{
	w.result = w.take(w.context, key.c_str(), (unsigned)node.source().begin.line, type, text, number);
}

void visit(walk &w, const std::string &key, const toml::node &node)
{
	if (auto table = node.as_table())
		visit_table(w, key, *table);
	else if (auto array = node.as_array())
		for (auto &&element : *array) {
			if (w.result)
				return;
			if (element.is_table() || element.is_array())
				give(w, key, element, TOML_OTHER, nullptr, 0);
			else
				visit(w, key, element);
		}
	else if (auto text = node.as_string())
		give(w, key, node, TOML_STRING, text->get().c_str(), 0);
	else if (auto number = node.as_integer())
		give(w, key, node, TOML_INTEGER, nullptr, number->get());
	else if (auto flag = node.as_boolean())
		give(w, key, node, TOML_BOOLEAN, nullptr, flag->get());
	else
		give(w, key, node, TOML_OTHER, nullptr, 0);
}

/* No exception may reach C: false with `error` written. */
template <typename Use> bool parse(const char *text, size_t size, char *error, size_t cap, Use use)
{
	try {
		use(toml::parse(std::string_view(text, size)));
		return true;
	} catch (const toml::parse_error &e) {
		auto what = e.description();

		snprintf(error, cap, "%u: %.*s", (unsigned)e.source().begin.line, (int)what.size(), what.data());
	} catch (const std::exception &e) {
		snprintf(error, cap, "1: %s", e.what());
	}
	return false;
}

}

extern "C" int ab_toml_walk(const char *text, size_t size, toml_take take, void *context, char *error, size_t cap)
{
	walk w = { take, context, 0 };

	if (!parse(text, size, error, cap, [&w](const toml::table &table) { visit_table(w, "", table); }))
		return -1;
	return w.result;
}

extern "C" char *ab_toml_to_json(const char *text, size_t size, char *error, size_t cap)
{
	char *json = nullptr;

	parse(text, size, error, cap, [&json](const toml::table &table) {
		std::ostringstream out;

		out << toml::json_formatter(table, toml::format_flags::quote_dates_and_times);
		json = strdup(out.str().c_str());
	});
	return json;
}
