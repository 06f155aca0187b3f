// The events of one daemon or of several: sorted by time where they end, as they come where they are followed.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/ctl/asking.h"
#include "daemon/ctl/commands.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

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

int follow(Screen& screen, const Place& place, const Request& request) {
    const auto answer = read_events(
        place, request, [&](std::string_view line) { print_line(screen, event_text(screen, place, line)); });
    const std::lock_guard lock(screen.mutex);
    return complain(answer, screen.asked);
}

// A thread for each, since a daemon may be silent for any time.
int follow_all(Screen& screen, const Places& places, const Request& request) {
    std::vector<int> codes(places.size(), kDone);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < places.size(); ++i)
        threads.emplace_back([&, i] { codes[i] = follow(screen, places[i], request); });
    threads.clear();
    return std::ranges::max(codes);
}

int show_sorted(Screen& screen, const Places& places, const Request& request) {
    std::vector<Event> events;
    std::vector<Answer> answers;
    for (const auto& place : places)
        answers.push_back(read_events(place, request, [&](std::string_view line) {
            const auto event = Json::parse(line, nullptr, false);
            events.push_back({text_of(event, "time"), event_text(screen, place, line)});
        }));
    std::ranges::stable_sort(events, {}, &Event::time);
    for (const auto& event : events) print_line(screen, event.text);
    return complain(answers);
}

}  // namespace

int run_events(const Options& options) {
    const bool follows = options.follow == Follow::yes;
    const Request request{"GET", follows ? "/v1/events?follow=true" : "/v1/events", "", follows};
    const auto places = places_of(options);
    Screen screen{options, places.size() > 1 ? Asked::several : Asked::one};
    for (const auto& place : places) screen.name_width = std::max(screen.name_width, shown_name(place.instance).size());
    if (places.size() == 1) return follow(screen, places.front(), request);
    return follows ? follow_all(screen, places, request) : show_sorted(screen, places, request);
}

}  // namespace sluice::ctl
