#pragma once
// The members of a list in a field's value (RFC 9110, 5.6.1). A function on a borrowed text, owned by nobody; it knows no
// quoted strings, in which a comma would be none of the list's.

#include <algorithm>
#include <string_view>

#include "core/base/text.h"

namespace sluice {

// Visits them, trimmed and without empty ones, until `visit` says true; whether it did.
template <class Visit>
bool any_item(std::string_view list, Visit&& visit) {
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        const std::string_view item = trim(list.substr(0, comma));
        if (!item.empty() && visit(item)) return true;
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return false;
}

}  // namespace sluice
