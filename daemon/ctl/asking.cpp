#include "daemon/ctl/asking.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/text.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

using OrderedJson = nlohmann::ordered_json;  // as the daemon sends it

bool says_no(const Json& answer) { return member(answer, "ok") == false; }

// A file name or a value in a reason may hold anything, but a reason may have lines.
std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    if (!text.empty()) lines.emplace_back(text);
    return lines;
}

std::vector<std::string> complaints_of(const Json& answer, int status) {
    std::vector<std::string> all;
    for (const auto& reason : reasons(answer))
        for (auto& line : lines_of(reason)) all.push_back(std::move(line));
    if (all.empty()) all.push_back(fmt::format("refused with status {}", status));
    return all;
}

Answer not_understood(const Place& place) {
    return {place, kNotReached, "", nullptr, {"the answer is not understood: is this the admin socket of sluiced?"}};
}

Json parse(const std::string& body) {
    auto json = Json::parse(body, nullptr, false);
    return json.is_object() ? json : Json(nullptr);
}

OrderedJson labelled(const Place& place, std::string_view body) {
    OrderedJson row = {{"instance", place.instance}};
    const auto answer = OrderedJson::parse(body, nullptr, false);
    if (answer.is_object()) row.update(answer);
    row["instance"] = place.instance;
    return row;
}

OrderedJson labelled(const Answer& answer) {
    auto row = labelled(answer.place, answer.body);
    if (answer.json.is_null())
        row.update({{"ok", false}, {"error", fmt::format("{}", fmt::join(answer.complaints, "\n"))}});
    return row;
}

std::string text_of(const OrderedJson& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

Answer not_reached(const Place& place, const Unreachable& why) {
    Answer answer{place, kNotReached, "", nullptr, {why.reason}};
    if (!why.hint.empty()) answer.complaints.push_back(why.hint);
    return answer;
}

Answer refused(const Place& place, const Reply& reply) {
    auto json = parse(reply.body);
    auto complaints = complaints_of(json, reply.status);
    return {place, kRefused, reply.body, std::move(json), std::move(complaints)};
}

Answer ask(const Place& place, const Request& request) {
    const auto reply = exchange(place.socket, request);
    if (!reply) return not_reached(place, reply.error());
    auto json = parse(reply->body);
    if (json.is_null()) return not_understood(place);
    if (!reply->ok() || says_no(json)) return refused(place, *reply);
    return {place, kDone, reply->body, std::move(json), {}};
}

std::vector<Answer> ask_each(const Places& places, const Request& request) {
    return all_at_once(places, [&](const Place& place) { return ask(place, request); });
}

std::vector<Said> good_ones(const std::vector<Answer>& answers) {
    std::vector<Said> said;
    for (const auto& answer : answers)
        if (answer.code == kDone) said.push_back({answer.place.instance, answer.json});
    return said;
}

void complain(std::string_view text) { fmt::print(stderr, "sluicectl: {}\n", escape_control(text)); }

int complain(const Answer& answer, Asked asked) {
    for (const auto& complaint : answer.complaints) complain(label(answer.place, asked) + complaint);
    return answer.code;
}

int complain(const std::vector<Answer>& answers) {
    int code = kDone;
    for (const auto& answer : answers) code = std::max(code, complain(answer, Asked::several));
    return code;
}

std::string label(const Place& place, Asked asked) {
    return asked == Asked::several ? fmt::format("instance {}: ", shown_name(place.instance)) : "";
}

std::string labelled_json(const Place& place, std::string_view body) { return text_of(labelled(place, body)); }

void print_json(const Answer& answer) {
    if (!answer.json.is_null()) fmt::print("{}{}", answer.body, answer.body.ends_with('\n') ? "" : "\n");
}

void print_json(const std::vector<Answer>& answers) {
    auto rows = OrderedJson::array();
    for (const auto& answer : answers) rows.push_back(labelled(answer));
    fmt::print("{}\n", text_of(OrderedJson{{"instances", std::move(rows)}}));
}

}  // namespace sluice::ctl
