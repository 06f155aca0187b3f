#pragma once
// The answers of several daemons as one: numbers add, what has a name is put together by it, and a small table says of
// which members something else is true. Pure functions over JSON, which know no command; for people only, since what a
// program wants to add up it gets in single pieces.
// A sum has all members of an answer and one more, "processes": the answers themselves, each with its "instance".

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/ctl/json_text.h"

namespace sluice::ctl {

// What one daemon has said.
struct Said {
    std::string instance;
    Json json;
};

// A limit that is of each process reads "4x1000". Percentiles are those of the worst process, rates are weighted.
Json sum_of(const std::vector<Said>& answers);

// The answers are of GET /v1/config. The admin socket is of each daemon alone, so it does not count.
std::size_t different_configurations(const std::vector<Said>& answers);

}  // namespace sluice::ctl
