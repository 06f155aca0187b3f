#include "daemon/ctl/sockets.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/base/instance.h"
#include "daemon/ctl/client.h"

namespace sluice::ctl {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view digits_at(std::string_view text, std::size_t start) {
    const auto end = std::find_if_not(text.begin() + static_cast<std::ptrdiff_t>(start), text.end(), is_digit);
    return text.substr(start, static_cast<std::size_t>(end - text.begin()) - start);
}

// "web-2" as "web-" and a "2" in front of which stands how long it is, so that "web-10" comes after it.
std::string natural_key(std::string_view name) {
    std::string key;
    for (std::size_t i = 0; i < name.size();) {
        if (!is_digit(name[i])) {
            key += name[i++];
            continue;
        }
        const auto digits = digits_at(name, i);
        const auto figures = digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
        key += static_cast<char>('0' + figures.size());
        key += figures;
        i += digits.size();
    }
    return key;
}

bool naturally_less(const Place& a, const Place& b) {
    const auto left = natural_key(a.instance);
    const auto right = natural_key(b.instance);
    return left != right ? left < right : a.instance < b.instance;
}

// The instance whose socket is called `file` where the one without a name has `base`; "" when it is another file.
std::string instance_of(const std::string& file, const std::string& base) {
    const auto start = file.rfind('@') + 1;
    const auto name = file.substr(start, file.find('.', start) - start);
    return is_instance_name(name) && instance_path(base, name) == file ? name : "";
}

std::vector<std::string> files_beside(const std::filesystem::path& base) {
    std::error_code failed;
    const auto folder = base.has_parent_path() ? base.parent_path() : std::filesystem::path(".");
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator entry(folder, failed), end; !failed && entry != end;
         entry.increment(failed))
        names.push_back(entry->path().filename().string());
    return names;
}

std::vector<Place> listened_on(const std::vector<Place>& places) {
    std::vector<Place> chosen;
    for (const auto& place : places)
        if (!is_abandoned(place.socket)) chosen.push_back(place);
    return chosen;
}

}  // namespace

std::string shown_name(const std::string& instance) { return instance.empty() ? "-" : instance; }

std::vector<Place> places_among(const std::string& base, const std::vector<std::string>& files) {
    const auto itself = std::filesystem::path(base).filename().string();
    std::vector<Place> places;
    if (std::ranges::find(files, itself) != files.end()) places.push_back({"", base});
    for (const auto& file : files)
        if (auto name = instance_of(file, itself); !name.empty()) places.push_back({name, instance_path(base, name)});
    std::ranges::sort(places, naturally_less);
    return places;
}

std::vector<Place> find_places(const std::string& base, const std::optional<std::string>& instance) {
    if (instance) return {{*instance, instance_path(base, *instance)}};
    const auto all = places_among(base, files_beside(base));
    if (all.empty()) return {{"", base}};
    if (all.size() == 1) return all;
    const auto alive = listened_on(all);
    return alive.empty() ? std::vector<Place>{all.front()} : alive;
}

}  // namespace sluice::ctl
