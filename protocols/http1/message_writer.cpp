#include "protocols/http1/message_writer.h"

#include <iterator>

namespace sluice::http1 {

void write_field(ByteQueue& out, std::string_view name, std::string_view value) {
    out.append(name);
    out.append(": ");
    out.append(value);
    out.append("\r\n");
}

void write_fields(ByteQueue& out, const HeaderMap& fields) {
    for (const auto field : fields) write_field(out, field.name, field.value);
}

void write_length(ByteQueue& out, std::uint64_t length) {
    out.append("content-length: ");
    out.append_number(length);
    out.append("\r\n");
}

void begin_chunk(ByteQueue& out, std::size_t size) {
    char line[18];
    char* at = std::end(line);
    *--at = '\n';
    *--at = '\r';
    do *--at = "0123456789abcdef"[size % 16];
    while (size /= 16);
    out.append(Bytes(at, static_cast<std::size_t>(std::end(line) - at)));
}

void write_last_chunk(ByteQueue& out, const HeaderMap& trailers) {
    out.append("0\r\n");
    write_fields(out, trailers);
    out.append("\r\n");
}

}  // namespace sluice::http1
