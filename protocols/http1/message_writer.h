#pragma once
// The parts that requests and answers are written from (RFC 9112, 5 and 7.1), appended to a queue. Nothing is checked:
// what is written has come through a parser, or is ours.

#include <cstdint>
#include <string_view>

#include "core/base/byte_queue.h"
#include "core/http/header_map.h"

namespace sluice::http1 {

void write_field(ByteQueue& out, std::string_view name, std::string_view value);
void write_fields(ByteQueue& out, const HeaderMap& fields);
void write_length(ByteQueue& out, std::uint64_t length);  // the Content-Length field
// What stands before the bytes of a chunk, which are not none, and after them.
void begin_chunk(ByteQueue& out, std::size_t size);
inline void end_chunk(ByteQueue& out) { out.append("\r\n"); }
// The last chunk, with its trailers.
void write_last_chunk(ByteQueue& out, const HeaderMap& trailers);
inline void write_last_chunk(ByteQueue& out) { out.append("0\r\n\r\n"); }

}  // namespace sluice::http1
