// The events of one daemon or of several: sorted by time where they end, as they come where they are followed.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ctl/asking.h"
#include "daemon/ctl/commands.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

const Request kWho{"GET", "/v1/status"};

struct Event {
    std::string time;
    std::string text;
};

// All that the threads of a command share: one line is printed at a time.
struct Screen {
    const Options& options;
    Asked asked;
    std::size_t name_width = 0;
    std::mutex mutex;
};

std::string event_text(const Screen& screen, const Place& place, std::string_view line) {
    const auto event = Json::parse(line, nullptr, false);
    const bool several = screen.asked == Asked::several;
    if (screen.options.output == Output::json && several) return labelled_json(place, line);
    if (screen.options.output == Output::json || event.is_discarded()) return std::string(line);
    const auto text = event_line(event, screen.options.colours);
    return several ? fmt::format("{:<{}}  {}", shown_name(place.instance), screen.name_width, text) : text;
}

void print_line(Screen& screen, std::string_view text) {
    const std::lock_guard lock(screen.mutex);
    fmt::print("{}\n", text);
    std::fflush(stdout);
}

Answer read_events(const Place& place, const Request& request, const LineSink& sink) {
    const auto reply = exchange_lines(place.socket, request, sink);
    if (!reply) return not_reached(place, reply.error());
    return reply->ok() ? Answer{place} : refused(place, *reply);
}

int tell(Screen& screen, const Answer& answer) {
    const std::lock_guard lock(screen.mutex);
    return complain(answer, screen.asked);
}

void tell(Screen& screen, const Place& place, const std::string& text) {
    const std::lock_guard lock(screen.mutex);
    complain(label(place, screen.asked) + text);
}

// Until nobody else takes over: the successor of a daemon that is upgraded listens at the same place at once. Its events
// are all new, while the same process again has cut us off for a reason.
int follow(Screen& screen, const Place& place) {
    const Request request{.method = "GET", .target = "/v1/events?follow=true", .body = "", .follows = true};
    auto process = ask(place, kWho);
    while (process.code == kDone) {
        const auto answer = read_events(
            place, request, [&](std::string_view line) { print_line(screen, event_text(screen, place, line)); });
        if (answer.code == kRefused) return tell(screen, answer);
        const auto pid = text_of(process.json, "pid");
        process = ask(place, kWho);
        const auto next = text_of(process.json, "pid");
        if (process.code != kDone || next == pid) {
            tell(screen, place, fmt::format("process {} sends no more events", pid));
            return std::max(tell(screen, process), kNotReached);
        }
        tell(screen, place, fmt::format("process {} sends no more events, process {} is followed now", pid, next));
    }
    return tell(screen, process);
}

struct History {
    Answer answer;
    std::vector<Event> events;
};

History read_history(const Screen& screen, const Place& place) {
    History history;
    history.answer = read_events(place, {"GET", "/v1/events"}, [&](std::string_view line) {
        const auto event = Json::parse(line, nullptr, false);
        history.events.push_back({text_of(event, "time"), event_text(screen, place, line)});
    });
    return history;
}

int show_sorted(Screen& screen, const Places& places) {
    const auto histories = all_at_once(places, [&](const Place& place) { return read_history(screen, place); });
    std::vector<Event> events;
    for (const auto& history : histories) events.insert(events.end(), history.events.begin(), history.events.end());
    std::ranges::stable_sort(events, {}, &Event::time);
    for (const auto& event : events) print_line(screen, event.text);
    int code = kDone;
    for (const auto& history : histories) code = std::max(code, tell(screen, history.answer));
    return code;
}

int follow_all(Screen& screen, const Places& places) {
    return std::ranges::max(all_at_once(places, [&](const Place& place) { return follow(screen, place); }));
}

}  // namespace

int run_events(const Options& options) {
    const auto places = places_of(options);
    Screen screen{options, places.size() > 1 ? Asked::several : Asked::one};
    for (const auto& place : places) screen.name_width = std::max(screen.name_width, shown_name(place.instance).size());
    return options.follow == Follow::yes ? follow_all(screen, places) : show_sorted(screen, places);
}

}  // namespace sluice::ctl
