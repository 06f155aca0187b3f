#pragma once
// One problem in a configuration, as a person should read it: `file:line:column: path: message`.

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "config/config.h"

namespace sluice::config {

struct Diagnostic {
    std::string file;
    Position where;       // {0,0} when the whole file is meant: printed as `file: message`
    std::string path;     // listeners[0].pool.max_connections; "" when the whole file is meant
    std::string message;  // what is wrong, and what was expected
    std::string text() const;
};

using Diagnostics = std::vector<Diagnostic>;

template <class T>
using Checked = tl::expected<T, Diagnostics>;

}  // namespace sluice::config
