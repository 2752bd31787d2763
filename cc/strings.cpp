/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * LLVM looks each string of an object's BTF up by comparing it with all others so far, which is a tenth of a compile. This does
 * what its function does, by hash; it is linked in its place (-z muldefs). The class is private to LLVM: it is declared here as
 * releases up to the newest known one have it.
 */
#include <llvm/ADT/StringMap.h>
#include <llvm/ADT/StringRef.h>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace llvm {

class BTFStringTable {
	uint32_t size; /* in bytes */
	std::map<uint32_t, uint32_t> index_by_offset;
	std::vector<std::string> strings;

    public:
	uint32_t addString(StringRef s);
};

uint32_t BTFStringTable::addString(StringRef s)
{
	static StringMap<uint32_t> offsets;
	static const BTFStringTable *owner;

	if (owner != this || offsets.size() != strings.size()) {
		if (size || !index_by_offset.empty() || !strings.empty())
			abort(); /* another class of the same name */
		offsets.clear();
		owner = this;
	}

	auto found = offsets.try_emplace(s, size);

	if (found.second) {
		index_by_offset.emplace_hint(index_by_offset.end(), size, strings.size());
		strings.push_back(s.str());
		size += s.size() + 1;
	}
	return found.first->second;
}

} // namespace llvm
