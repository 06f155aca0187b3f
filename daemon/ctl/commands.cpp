#include "daemon/ctl/commands.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/base/text.h"
#include "daemon/ctl/client.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

using View = std::string (*)(const Json&, Colours);

void complain(std::string_view text) { fmt::print(stderr, "sluicectl: {}\n", escape_control(text)); }

int not_reached(const Unreachable& why) {
    complain(why.reason);
    if (!why.hint.empty()) complain(why.hint);
    return kNotReached;
}

int not_understood() {
    complain("the answer is not JSON: is this the admin socket of sluiced?");
    return kNotReached;
}

// A file name or a value in a reason may hold anything, but a reason may have lines.
void complain_lines(const std::string& reason) {
    std::string_view rest = reason;
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        complain(rest.substr(0, end));
        rest.remove_prefix(end + 1);
    }
    if (!rest.empty()) complain(rest);
}

int refused(const Json& answer, int status) {
    const auto all = reasons(answer);
    for (const auto& reason : all) complain_lines(reason);
    if (all.empty()) complain(fmt::format("refused with status {}", status));
    return kRefused;
}

void print_json(const std::string& body) { fmt::print("{}{}", body, body.ends_with('\n') ? "" : "\n"); }

bool says_no(const Json& answer) {
    const auto ok = answer.is_object() ? answer.find("ok") : answer.end();
    return ok != answer.end() && *ok == false;
}

int show(const Options& options, const Request& request, View view) {
    const auto reply = exchange(options.socket, request);
    if (!reply) return not_reached(reply.error());
    const auto answer = Json::parse(reply->body, nullptr, false);
    if (answer.is_discarded()) return not_understood();
    if (options.output == Output::json) print_json(reply->body);
    if (!reply->ok() || says_no(answer)) return refused(answer, reply->status);
    if (options.output == Output::table) fmt::print("{}", view(answer, options.colours));
    return kDone;
}

// For answers that say no more than "done".
std::string done_text(const Json&, Colours) { return "done\n"; }

std::string restart_text(const Json& answer, Colours) {
    return fmt::format("generation {} started, the old one drains\n", text_of(answer, "generation"));
}

std::string drain_text(const Json&, Colours) { return "draining\n"; }

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

int run_status(const Options& options) { return show(options, {"GET", "/v1/status"}, status_text); }

std::string upstream_target(const Options& options, const std::string& verb) {
    auto target = "/v1/upstreams/" + percent_encode(options.name);
    if (!verb.empty()) target += "/" + verb;
    if (!options.address.empty()) target += "?address=" + percent_encode(options.address);
    return target;
}

int run_upstreams(const Options& options) { return show(options, {"GET", "/v1/upstreams"}, upstreams_text); }

int run_upstream(const Options& options) { return show(options, {"GET", upstream_target(options, "")}, upstream_text); }

int run_decisions(const Options& options) {
    return show(options, {"GET", upstream_target(options, "decisions")}, decisions_text);
}

int run_drain_endpoint(const Options& options) {
    return show(options, {"POST", upstream_target(options, "drain")}, drain_text);
}

int run_undrain_endpoint(const Options& options) {
    return show(options, {"POST", upstream_target(options, "undrain")}, done_text);
}

std::string connections_target(const Options& options) {
    const std::pair<const char*, const std::string*> filters[] = {
        {"listener", &options.name}, {"state", &options.state}, {"peer", &options.peer}, {"limit", &options.limit}};
    std::string target = "/v1/connections";
    char separator = '?';
    for (const auto& [key, value] : filters) {
        if (value->empty()) continue;
        target += fmt::format("{}{}={}", separator, key, percent_encode(*value));
        separator = '&';
    }
    return target;
}

int run_connections(const Options& options) {
    return show(options, {"GET", connections_target(options)}, connections_text);
}

std::string grpc_target(const Options& options) {
    return options.name.empty() ? "/v1/listeners" : "/v1/listeners/" + percent_encode(options.name);
}

int run_grpc(const Options& options) { return show(options, {"GET", grpc_target(options)}, grpc_text); }

int run_events(const Options& options) {
    const bool follow = options.follow == Follow::yes;
    const Request request{"GET", follow ? "/v1/events?follow=true" : "/v1/events", "", follow};
    const auto print = [&options](std::string_view line) {
        const auto event = Json::parse(line, nullptr, false);
        const bool raw = options.output == Output::json || event.is_discarded();
        fmt::print("{}\n", raw ? std::string(line) : event_line(event, options.colours));
        std::fflush(stdout);
    };
    const auto reply = exchange_lines(options.socket, request, print);
    if (!reply) return not_reached(reply.error());
    if (!reply->ok()) return refused(Json::parse(reply->body, nullptr, false), reply->status);
    return kDone;
}

int run_plan(const Options& options) {
    auto file = read_text(options.file);
    if (!file.problem.empty()) {
        complain(fmt::format("{}: {}", options.file, file.problem));
        return kRefused;
    }
    return show(options, {"POST", "/v1/plan?name=" + percent_encode(options.file), std::move(file.text)}, plan_text);
}

int run_reload(const Options& options) { return show(options, {"POST", "/v1/reload"}, reload_text); }

int run_restart(const Options& options) {
    return show(options, {"POST", "/v1/restart?listener=" + percent_encode(options.name)}, restart_text);
}

int run_drain(const Options& options) {
    const auto query = options.name.empty() ? "" : "?listener=" + percent_encode(options.name);
    return show(options, {"POST", "/v1/drain" + query}, drain_text);
}

int run_kill(const Options& options) {
    return show(options, {"DELETE", fmt::format("/v1/connections/{}", options.id)}, done_text);
}

}  // namespace sluice::ctl
