#include "daemon/ctl/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

namespace sluice::ctl {
namespace {

// A value of one answer. Valid as long as the answers.
struct Part {
    const Json* value;
    const Json* owner;  // the object that it is a member of
    std::string_view instance;
};
using Parts = std::vector<Part>;

Json merge_member(std::string_view parent, std::string_view key, Parts parts);

bool less(const Part& a, const Part& b) { return *a.value < *b.value; }

Json first(const Parts& parts) { return *parts.front().value; }
Json largest(const Parts& parts) { return *std::ranges::max_element(parts, less)->value; }
Json smallest(const Parts& parts) { return *std::ranges::min_element(parts, less)->value; }

// How bad a word is; one that is not known counts for nothing.
std::size_t badness(const Part& part) {
    constexpr std::array<std::string_view, 10> kFromBest = {"healthy",    "normal",     "degraded", "pressure",
                                                            "overloaded", "unhealthy",  "ejected",  "exhausted",
                                                            "panic",      "unavailable"};
    const auto found = std::ranges::find(kFromBest, scalar(*part.value));
    return found == kFromBest.end() ? 0 : static_cast<std::size_t>(found - kFromBest.begin());
}

Json worst(const Parts& parts) { return *std::ranges::max_element(parts, {}, badness)->value; }

// "2x1000", or "1000+500" where a listener is not configured alike everywhere.
Json per_process(const Parts& parts) {
    const auto other = [&](const Part& part) { return *part.value != *parts.front().value; };
    if (parts.size() == 1) return first(parts);
    if (std::ranges::none_of(parts, other)) return fmt::format("{}x{}", parts.size(), scalar(first(parts)));
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : "+") + scalar(*part.value);
    return text;
}

double total(const Parts& parts) {
    double sum = 0;
    for (const auto& part : parts) sum += part.value->is_number() ? part.value->get<double>() : 0;
    return sum;
}

// Of how many a rate is the rate of.
double weight(const Part& part) {
    for (const char* key : {"attempts", "requests", "calls"}) {
        const auto& value = member(*part.owner, key);
        if (value.is_number()) return value.get<double>();
        if (value.is_object()) return number(value, "total");
    }
    return 0;
}

Json weighted(const Parts& parts) {
    double sum = 0;
    double weights = 0;
    for (const auto& part : parts) {
        sum += total({part}) * weight(part);
        weights += weight(part);
    }
    return weights > 0 ? sum / weights : 0;
}

Json mean(const Parts& parts) { return total(parts) / static_cast<double>(parts.size()); }

struct Rule {
    std::string_view parent;  // "" = of whatever; counters are named by reasons, some of which are named like limits
    std::string_view key;
    Json (*merge)(const Parts&);
};

constexpr Rule kRules[] = {
    {"pool", "max_connections", per_process},
    {"pool", "min_connections", per_process},
    {"pool", "max_pending", per_process},
    {"memory", "limit", largest},
    {"memory", "level", worst},
    {"", "health", worst},
    {"", "p50", largest},
    {"", "p90", largest},
    {"", "p99", largest},
    {"", "p99_9", largest},
    {"", "error_rate", weighted},
    {"", "reuse_rate", weighted},
    {"endpoints", "share", mean},
    {"endpoints", "weight", largest},
    {"endpoints", "id", first},
    {"endpoints", "since_ms", smallest},
    {"endpoints", "since", largest},
    {"available", "endpoints", smallest},
    {"available", "of", largest},
    {"keep_alive", "timeout_ms", smallest},
    {"keep_alive", "retire_after_ms", smallest},
    {"backoff", "failures", largest},
    {"backoff", "wait_ms", largest},
    {"certificates", "days_left", smallest},
    {"listeners", "generation", largest},
    {"last_reload", "time", largest},
    {"", "pid", first},
    {"", "predecessor_pid", first},
    {"", "uptime_ms", largest},
    {"", "revision", largest},
};

const Rule* rule_of(std::string_view parent, std::string_view key) {
    const auto fits = [&](const Rule& rule) {
        return rule.key == key && (rule.parent.empty() || rule.parent == parent);
    };
    const auto found = std::ranges::find_if(kRules, fits);
    return found == std::end(kRules) ? nullptr : found;
}

Json sum(const Parts& parts) {
    const auto whole = [](const Part& part) { return part.value->is_number_integer(); };
    if (!std::ranges::all_of(parts, whole)) return total(parts);
    std::int64_t count = 0;
    for (const auto& part : parts) count += part.value->get<std::int64_t>();
    return count;
}

Json all_true(const Parts& parts) {
    return std::ranges::all_of(parts, [](const Part& part) { return *part.value == true; });
}

Json different_texts(const Parts& parts) {
    std::vector<std::string> texts;
    for (const auto& part : parts)
        if (const auto text = scalar(*part.value); std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
    return fmt::format("{}", fmt::join(texts, ", "));
}

Json merge_objects(std::string_view name, const Parts& objects) {
    std::map<std::string, Parts> members;
    for (const auto& object : objects)
        for (const auto& [key, value] : object.value->items())
            members[key].push_back({&value, object.value, object.instance});
    Json merged = Json::object();
    for (auto& [key, parts] : members) merged[key] = merge_member(name, key, std::move(parts));
    return merged;
}

// What tells rows of a list apart; "" for those that stand for themselves, such as connections.
std::string identity(const Json& row) {
    if (row.is_primitive()) return row.dump();
    for (const char* key : {"name", "method", "address", "fingerprint", "key"})
        if (const auto& value = member(row, key); value.is_string()) return value.get<std::string>();
    return "";
}

// The rows that are merged into one. Two of the same answer never are: an endpoint may come back while it still retires.
struct Group {
    std::string identity;
    std::size_t occurrence;
    Parts rows;
};

// Valid until groups are added.
Group* find(std::vector<Group>& groups, const std::string& identity, std::size_t occurrence) {
    const auto same = [&](const Group& group) { return group.identity == identity && group.occurrence == occurrence; };
    const auto found = std::ranges::find_if(groups, same);
    return found == groups.end() ? nullptr : &*found;
}

std::vector<Group> grouped(const Parts& lists) {
    std::vector<Group> groups;
    for (const auto& list : lists) {
        std::map<std::string, std::size_t> seen;
        for (const auto& row : *list.value) {
            auto name = identity(row);
            const auto occurrence = seen[name]++;
            const Part part{&row, list.owner, list.instance};
            Group* group = name.empty() ? nullptr : find(groups, name, occurrence);
            if (group) group->rows.push_back(part);
            else groups.push_back({std::move(name), occurrence, {part}});
        }
    }
    return groups;
}

Json with_instance(const Part& row) {
    Json copy = *row.value;
    if (copy.is_object()) copy["instance"] = row.instance;
    return copy;
}

Json merge_arrays(std::string_view name, const Parts& lists) {
    Json merged = Json::array();
    for (const auto& group : grouped(lists))
        merged.push_back(group.identity.empty() ? with_instance(group.rows.front())
                                                : merge_member(name, "", group.rows));
    return merged;
}

// `key`: "" for a row of a list, whose members then have the list's name for parent.
Json merge_member(std::string_view parent, std::string_view key, Parts parts) {
    std::erase_if(parts, [](const Part& part) { return part.value->is_null(); });
    if (parts.empty()) return nullptr;
    const auto& sample = *parts.front().value;
    const bool alike = std::ranges::all_of(parts, [&](const Part& part) {
        return part.value->type() == sample.type() || (part.value->is_number() && sample.is_number());
    });
    if (!alike) return sample;
    if (sample.is_object()) return merge_objects(key.empty() ? parent : key, parts);
    if (sample.is_array()) return merge_arrays(key, parts);
    if (const Rule* rule = rule_of(parent, key)) return rule->merge(parts);
    if (sample.is_number()) return sum(parts);
    return sample.is_boolean() ? all_true(parts) : different_texts(parts);
}

std::string without_admin_socket(std::string yaml) {
    const auto section = yaml.find("admin:\n");
    const auto start = yaml.find("  socket:", section);
    if (section == std::string::npos || start == std::string::npos) return yaml;
    return yaml.erase(start, yaml.find('\n', start) - start);
}

}  // namespace

Json sum_of(const std::vector<Said>& answers) {
    Parts parts;
    for (const auto& answer : answers) parts.push_back({&answer.json, nullptr, answer.instance});
    Json merged = merge_member("", "", parts);
    if (!merged.is_object()) merged = Json::object();
    merged["processes"] = Json::array();
    for (const auto& part : parts) merged["processes"].push_back(with_instance(part));
    return merged;
}

std::size_t different_configurations(const std::vector<Said>& answers) {
    std::set<std::string> different;
    for (const auto& answer : answers) different.insert(without_admin_socket(text_of(answer.json, "yaml")));
    return different.size();
}

}  // namespace sluice::ctl
