#include "daemon/ctl/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "daemon/ctl/client.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

using View = std::string (*)(const Json&, Colours);
// What a sum needs that is not in the answers.
using Finish = Json (*)(Json sum, const Options& options, const Places& places);

// An upgraded daemon starts anew, reads its files and binds what is new, which may take a minute.
constexpr int kUpgradePatience = 120;     // s
constexpr std::size_t kUsualLimit = 100;  // of connections shown, the daemon's own

int tell(const Options& options, const Answer& answer, View view) {
    if (options.output == Output::json) print_json(answer);
    else if (answer.code == kDone) fmt::print("{}", view(answer.json, options.colours));
    return complain(answer, Asked::one);
}

// Those that answer are asked more, for others have been waited for long enough.
Places answered(const std::vector<Answer>& answers) {
    Places places;
    for (const auto& answer : answers)
        if (answer.code == kDone) places.push_back(answer.place);
    return places;
}

// What the figures leave out.
std::string absent_lines(const std::vector<Answer>& answers, Colours colours) {
    std::string text;
    for (const auto& answer : answers) {
        if (answer.code == kDone) continue;
        const auto line = fmt::format("instance {} {}", shown_name(answer.place.instance),
                                      answer.code == kRefused ? "refuses" : "does not answer");
        text += painted(line, Paint::bad, colours) + '\n';
    }
    return text;
}

Json as_it_is(Json sum, const Options&, const Places&) { return sum; }

int show(const Options& options, const Request& request, View view, Finish finish = as_it_is) {
    const auto places = places_of(options);
    if (places.size() == 1) return tell(options, ask(places.front(), request), view);
    const auto answers = ask_each(places, request);
    const auto good = good_ones(answers);
    if (options.output == Output::json) print_json(answers);
    else if (!good.empty())
        fmt::print("{}{}", absent_lines(answers, options.colours),
                   view(finish(sum_of(good), options, answered(answers)), options.colours));
    return complain(answers);
}

template <View kView>
std::string noted(const Json& answer, Colours colours) {
    return kView(answer, colours) + processes_note(answer);
}

// What is done with each daemon: `view` tells it of the only one, `line` of one of many.
struct Deed {
    Request request;
    View view;
    View line;
    Answer (*ask)(const Place&, const Request&) = ctl::ask;
};

int act(const Options& options, const Deed& deed) {
    const auto places = places_of(options);
    if (places.size() == 1) return tell(options, deed.ask(places.front(), deed.request), deed.view);
    std::vector<Answer> answers;
    int code = kDone;
    for (const auto& place : places) {
        const auto& answer = answers.emplace_back(deed.ask(place, deed.request));
        if (answer.code == kDone && options.output == Output::table)
            fmt::print("{}{}", label(place, Asked::several), deed.line(answer.json, options.colours));
        std::fflush(stdout);
        code = std::max(code, complain(answer, Asked::several));
    }
    if (options.output == Output::json) print_json(answers);
    return code;
}

int act(const Options& options, Request request, View view) { return act(options, {std::move(request), view, view}); }

// The daemon that is upgraded says who follows it, and its status who it is itself. One that hangs is not waited for.
Answer ask_upgrade(const Place& place, const Request& request) {
    auto before = ask(place, {"GET", "/v1/status"});
    if (before.code != kDone) return before;
    auto answer = ask(place, request);
    if (answer.json.is_object()) answer.json["predecessor_pid"] = member(before.json, "pid");
    return answer;
}

Json with_configurations(Json sum, const Options&, const Places& places) {
    const auto answers = ask_each(places, {"GET", "/v1/config"});
    sum["configurations"] = different_configurations(good_ones(answers));
    return sum;
}

Json up_to_limit(Json sum, const Options& options, const Places&) {
    const auto limit = options.limit.value_or(kUsualLimit);
    auto& rows = sum["connections"];
    if (!rows.is_array() || rows.size() <= limit) return sum;
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(limit), rows.end());
    sum["shown"] = rows.size();
    return sum;
}

// For answers that say no more than "done".
std::string done_text(const Json&, Colours) { return "done\n"; }

std::string restart_text(const Json& answer, Colours) {
    return fmt::format("generation {} started, the old one drains\n", text_of(answer, "generation"));
}

std::string drain_text(const Json&, Colours) { return "draining\n"; }

std::string upgrade_text(const Json& answer, Colours) {
    return fmt::format("process {} serves, the old one ({}) drains\n", text_of(answer, "pid"),
                       text_of(answer, "predecessor_pid"));
}

struct FileText {
    std::string text;
    std::string problem;
};

FileText read_text(const std::string& path) {
    if (path == "-") return {{std::istreambuf_iterator<char>(std::cin), {}}, ""};
    // A directory opens like a file, and reads as an empty one.
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return {"", "is a directory"};
    std::ifstream file(path, std::ios::binary);
    if (!file) return {"", std::error_code(errno, std::generic_category()).message()};
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) return {"", "cannot be read"};
    return {std::move(text), ""};
}

}  // namespace

Places places_of(const Options& options) { return find_places(options.socket, options.instance); }

int run_status(const Options& options) {
    return show(options, {"GET", "/v1/status"}, status_text, with_configurations);
}

std::string upstream_target(const Options& options, const std::string& verb) {
    auto target = "/v1/upstreams/" + percent_encode(options.name);
    if (!verb.empty()) target += "/" + verb;
    if (!options.address.empty()) target += "?address=" + percent_encode(options.address);
    return target;
}

int run_upstreams(const Options& options) { return show(options, {"GET", "/v1/upstreams"}, noted<upstreams_text>); }

int run_upstream(const Options& options) {
    return show(options, {"GET", upstream_target(options, "")}, noted<upstream_text>);
}

int run_decisions(const Options& options) {
    return show(options, {"GET", upstream_target(options, "decisions")}, decisions_text);
}

int run_drain_endpoint(const Options& options) {
    return act(options, {"POST", upstream_target(options, "drain")}, drain_text);
}

int run_undrain_endpoint(const Options& options) {
    return act(options, {"POST", upstream_target(options, "undrain")}, done_text);
}

std::string connections_target(const Options& options) {
    const std::pair<const char*, std::string> filters[] = {
        {"listener", options.name},
        {"state", options.state},
        {"peer", options.peer},
        {"limit", options.limit ? std::to_string(*options.limit) : ""}};
    std::string target = "/v1/connections";
    char separator = '?';
    for (const auto& [key, value] : filters) {
        if (value.empty()) continue;
        target += fmt::format("{}{}={}", separator, key, percent_encode(value));
        separator = '&';
    }
    return target;
}

int run_connections(const Options& options) {
    return show(options, {"GET", connections_target(options)}, connections_text, up_to_limit);
}

std::string grpc_target(const Options& options) {
    return options.name.empty() ? "/v1/listeners" : "/v1/listeners/" + percent_encode(options.name);
}

int run_grpc(const Options& options) { return show(options, {"GET", grpc_target(options)}, noted<grpc_text>); }

int run_plan(const Options& options) {
    auto file = read_text(options.file);
    if (!file.problem.empty()) {
        complain(fmt::format("{}: {}", options.file, file.problem));
        return kRefused;
    }
    const Request request{"POST", "/v1/plan?name=" + percent_encode(options.file), std::move(file.text)};
    const auto places = places_of(options);
    const int code = tell(options, ask(places.front(), request), plan_text);
    if (places.size() > 1 && code == kDone && options.output == Output::table)
        fmt::print("{}connections are its own, the others have more\n", label(places.front(), Asked::several));
    return code;
}

int run_reload(const Options& options) { return act(options, {{"POST", "/v1/reload"}, reload_text, reload_line}); }

int run_upgrade(const Options& options) {
    const Request request{.method = "POST", .target = "/v1/upgrade", .patience_seconds = kUpgradePatience};
    return act(options, {request, upgrade_text, upgrade_text, ask_upgrade});
}

int run_restart(const Options& options) {
    return act(options, {"POST", "/v1/restart?listener=" + percent_encode(options.name)}, restart_text);
}

int run_drain(const Options& options) {
    const auto query = options.name.empty() ? "" : "?listener=" + percent_encode(options.name);
    return act(options, {"POST", "/v1/drain" + query}, drain_text);
}

// Each daemon counts its connections for itself, so a number may be known to several.
int run_kill(const Options& options) {
    const auto places = places_of(options);
    if (places.size() > 1) {
        complain("there are several daemons: say with --instance which of them (INSTANCE of `sluicectl connections`)");
        return kRefused;
    }
    return tell(options, ask(places.front(), {"DELETE", fmt::format("/v1/connections/{}", options.id)}), done_text);
}

}  // namespace sluice::ctl
