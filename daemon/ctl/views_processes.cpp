#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "daemon/ctl/sockets.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

std::string instance_of(const Json& one) {
    const auto& instance = member(one, "instance");
    return shown_name(instance.is_string() ? instance.get<std::string>() : "");
}

std::uint64_t connections_of(const Json& process) {
    std::uint64_t sum = 0;
    for (const auto& listener : member(process, "listeners")) sum += millis(member(listener, "pool"), "active");
    return sum;
}

Table process_table(const Json& processes) {
    Table table{{{"INSTANCE"},
                 {"PID", Align::right},
                 {"VERSION"},
                 {"REVISION", Align::right},
                 {"UP", Align::right},
                 {"STATE"},
                 {"CONNECTIONS", Align::right}},
                {}};
    for (const auto& one : processes)
        table.rows.push_back({{instance_of(one)},
                              {text_of(one, "pid")},
                              {text_of(one, "version")},
                              {text_of(one, "revision")},
                              {human_age(millis(one, "uptime_ms"))},
                              word(one, "state"),
                              {std::to_string(connections_of(one))}});
    return table;
}

std::string predecessor_lines(const Json& processes) {
    std::string text;
    for (const auto& one : processes)
        if (number(one, "predecessor_pid") > 0)
            text += fmt::format("instance {}: predecessor: process {} still drains\n", escape_control(instance_of(one)),
                                text_of(one, "predecessor_pid"));
    return text;
}

// A process that started later counts its revisions anew, so that alone says little.
std::string differences(const Json& sum, Colours colours) {
    const auto& processes = member(sum, "processes");
    const auto configurations = millis(sum, "configurations");
    if (configurations > 1)
        return painted(fmt::format("warning  the processes run {} different configurations", configurations),
                       Paint::warning, colours) +
               '\n';
    for (const auto& one : processes)
        if (member(one, "revision") != member(processes.front(), "revision"))
            return "config   revisions differ, " +
                   std::string(configurations == 1 ? "the configuration is the same\n" : "nothing more is known\n");
    return "";
}

}  // namespace

std::string processes_text(const Json& sum, Colours colours) {
    const auto& processes = member(sum, "processes");
    const auto& memory = member(sum, "memory");
    auto text = fmt::format("sluiced  {}, {}", text_of(sum, "version"), processes_note(sum));
    text += fmt::format("config   {}, {}\n", escape_control(text_of(sum, "config_file")),
                        reload_summary(member(sum, "last_reload")));
    text += differences(sum, colours);
    text += fmt::format("memory   {} in buffers, {} allowed to each, level {}\n", human_bytes(number(memory, "used")),
                        human_bytes(number(memory, "limit")), text_of(memory, "level"));
    text += problem_lines(sum, colours);
    return text + '\n' + render(process_table(processes), colours) + predecessor_lines(processes);
}

std::string processes_note(const Json& answer) {
    const auto& processes = member(answer, "processes");
    if (!processes.is_array()) return "";
    if (processes.size() == 1) return "1 process answers\n";
    return fmt::format("{} processes; limits are for each of them, percentiles are the worst of them\n",
                       processes.size());
}

std::string holders_label(const Json& answer, const std::function<bool(const Json&)>& holds) {
    const auto& processes = member(answer, "processes");
    std::vector<std::string> names;
    for (const auto& one : processes)
        if (holds(one)) names.push_back(instance_of(one));
    if (names.empty() || names.size() == processes.size()) return "";
    return fmt::format("instance {}: ", fmt::join(names, ", "));
}

Table with_instances(const Json& rows, Table table) {
    if (rows.empty() || !rows.is_array() || !rows.front().contains("instance")) return table;
    table.columns.insert(table.columns.begin(), {"INSTANCE"});
    for (std::size_t i = 0; i < table.rows.size(); ++i)
        table.rows[i].insert(table.rows[i].begin(), Cell{instance_of(rows[i])});
    return table;
}

}  // namespace sluice::ctl
