#pragma once
// One request to one daemon or to several, and what is told of it: JSON on stdout, reasons on stderr, an exit code.
// It knows neither commands nor how an answer looks as text.

#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "daemon/ctl/client.h"
#include "daemon/ctl/json_text.h"
#include "daemon/ctl/merge.h"
#include "daemon/ctl/sockets.h"

namespace sluice::ctl {

// Exit codes, the worst one last.
constexpr int kDone = 0;
constexpr int kRefused = 1;
constexpr int kNotReached = 2;

using Places = std::vector<Place>;
enum class Asked { one, several };  // with several each line says of whom it is

struct Answer {
    Place place;
    int code = kDone;
    std::string body;  // as it came
    Json json;         // an object, null if the body is none
    std::vector<std::string> complaints;
};

// What `ask` gives for each, in their order. A thread for each, so that one that hangs holds up no other.
template <class Ask>
auto all_at_once(const Places& places, const Ask& ask) {
    std::vector<std::invoke_result_t<Ask, const Place&>> results(places.size());
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < places.size(); ++i) threads.emplace_back([&, i] { results[i] = ask(places[i]); });
    for (auto& thread : threads) thread.join();
    return results;
}

Answer ask(const Place& place, const Request& request);
// All at the same time: for what changes nothing.
std::vector<Answer> ask_each(const Places& places, const Request& request);
Answer not_reached(const Place& place, const Unreachable& why);
Answer refused(const Place& place, const Reply& reply);

std::vector<Said> good_ones(const std::vector<Answer>& answers);

void complain(std::string_view text);
// Gives the code.
int complain(const Answer& answer, Asked asked);
// Gives the worst code.
int complain(const std::vector<Answer>& answers);

// "instance 2: " in front of what is told of it.
std::string label(const Place& place, Asked asked);
std::string labelled_json(const Place& place, std::string_view body);
void print_json(const Answer& answer);
// {"instances": [...]}: each answer as it came, with its instance.
void print_json(const std::vector<Answer>& answers);

}  // namespace sluice::ctl
