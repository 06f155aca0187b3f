#include "core/base/instance.h"

#include <algorithm>

namespace sluice {

bool is_instance_name(std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    return !name.empty() && name.size() <= kMaxInstanceName && std::ranges::all_of(name, allowed);
}

std::string instance_path(std::string_view path, std::string_view instance) {
    if (instance.empty()) return std::string(path);
    const auto file = path.rfind('/') + 1;  // 0 without a folder
    const auto dot = path.rfind('.');
    const auto at = dot == path.npos || dot <= file ? path.size() : dot;
    return std::string(path.substr(0, at)) + "@" + std::string(instance) + std::string(path.substr(at));
}

}  // namespace sluice
