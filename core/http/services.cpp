#include "core/http/services.h"

#include <fmt/format.h>

#include <ctime>

#include "core/base/log.h"
#include "core/base/text.h"

namespace sluice {

namespace {

std::string formatted(const char* format, const std::tm& when) {
    char text[64];
    return std::string(text, std::strftime(text, sizeof text, format, &when));
}

std::tm utc(std::int64_t unix_seconds) {
    const auto time = static_cast<std::time_t>(unix_seconds);
    std::tm when{};
    gmtime_r(&time, &when);
    return when;
}

std::string_view version_text(HttpVersion version) {
    static constexpr std::string_view kTexts[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"};
    return kTexts[static_cast<int>(version)];
}

// The Apache format quotes with backslashes; control characters are escaped too.
std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : escape_control(text.empty() ? "-" : text)) (c == '"' ? result += '\\' : result) += c;
    return result += '"';
}

std::string combined_line(const Exchange& exchange, std::int64_t unix_seconds) {
    const RequestHead& head = *exchange.request;
    const std::string request =
        fmt::format("{} {}{} {}", head.method, head.path, head.query, version_text(head.version));
    return fmt::format("{} - - [{}] {} {} {} {} {}", exchange.peer.host(),
                       formatted("%d/%b/%Y:%H:%M:%S +0000", utc(unix_seconds)), quoted(request),
                       exchange.outcome.status, exchange.bytes_out, quoted(head.headers.get("referer")),
                       quoted(head.headers.get("user-agent")));
}

std::string json_line(const Exchange& exchange, std::int64_t unix_seconds) {
    const RequestHead& head = *exchange.request;
    std::string line = "{\"time\":\"" + formatted("%Y-%m-%dT%H:%M:%SZ", utc(unix_seconds)) + "\"";
    const auto text = [&line](std::string_view key, std::string_view value) {
        line += fmt::format(",\"{}\":", key);
        append_json_string(line, value);
    };
    const auto number = [&line](std::string_view key, std::uint64_t value) {
        line += fmt::format(",\"{}\":{}", key, value);
    };
    text("listener", exchange.config->name);
    text("peer", exchange.peer.text());
    number("connection", exchange.connection_id);
    number("trace_id", exchange.trace_id);
    text("method", head.method);
    text("host", head.host);
    text("path", head.path);
    text("query", head.query);
    text("version", version_text(head.version));
    number("status", static_cast<std::uint64_t>(exchange.outcome.status));
    if (exchange.grpc.status != GrpcCall::kNone)
        number("grpc_status", static_cast<std::uint64_t>(exchange.grpc.status));
    number("bytes_in", exchange.bytes_in);
    number("bytes_out", exchange.bytes_out);
    number("duration_us", exchange.outcome.latency_us);
    if (!exchange.upstream.empty()) text("upstream", exchange.upstream);
    if (!exchange.failure.empty()) text("failure", exchange.failure);
    text("referer", head.headers.get("referer"));
    text("user_agent", head.headers.get("user-agent"));
    line += exchange.outcome.dropped ? ",\"complete\":false}" : ",\"complete\":true}";
    return line;
}

}  // namespace

std::string_view DateCache::at(std::int64_t now_ms) {
    if (now_ms / 1000 != second_) {
        second_ = now_ms / 1000;
        text_ = formatted("%a, %d %b %Y %H:%M:%S GMT", utc(std::time(nullptr)));
    }
    return text_;
}

std::string access_line(const Exchange& exchange, config::AccessFormat format, std::int64_t unix_seconds) {
    return format == config::AccessFormat::json ? json_line(exchange, unix_seconds)
                                                : combined_line(exchange, unix_seconds);
}

void AccessLog::write_line(const Exchange& exchange) const {
    const fmt::format_int connection(exchange.connection_id);
    log::access(access_line(exchange, format_, std::time(nullptr)),
                {{"LISTENER", exchange.config->name},
                 {"CONNECTION_ID", {connection.data(), connection.size()}},
                 {"UPSTREAM", exchange.upstream},
                 {"REASON", exchange.failure}});
}

}  // namespace sluice
