#include "config/diagnostic.h"

namespace sluice::config {

std::string Diagnostic::text() const {
    std::string out = file;
    if (where.line > 0) out += ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
    if (!path.empty()) out += ": " + path;
    return out + ": " + message;
}

}  // namespace sluice::config
