#pragma once
// What every HTTP session shares: the date line and the access log. Owned by the daemon, outlives all sessions.

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.h"
#include "core/http/exchange.h"

namespace sluice {

// The Date of an answer (RFC 9110, 6.6.1), rendered once a second.
class DateCache {
public:
    std::string_view at(std::int64_t now_ms);

private:
    std::int64_t second_ = -1;
    std::string text_;
};

class AccessLog {
public:
    void set_format(config::AccessFormat format) { format_ = format; }
    void write(const Exchange& exchange) const {
        if (format_ != config::AccessFormat::off) write_line(exchange);
    }

private:
    void write_line(const Exchange& exchange) const;
    config::AccessFormat format_ = config::AccessFormat::off;
};

// One line without its end, as the access log writes it.
std::string access_line(const Exchange& exchange, config::AccessFormat format, std::int64_t unix_seconds);

struct HttpServices {
    DateCache date;
    AccessLog access;
};

}  // namespace sluice
