#pragma once
// Answers as a test expects them: Date fields cut out, chunked bodies put together.
// Pure functions on values, owned by nobody.
// Not a client: the text is taken to be what a server of ours writes.

#include <string>
#include <string_view>

namespace sluice::test {

// All answers in a row, without their Date fields, and with each chunked body as its plain bytes (trailers follow
// them as they came). What is broken off stays as it is.
std::string plain_answers(std::string_view text);

// "HTTP/1.1 400 Bad Request" with the fields and the body of a refusal.
std::string refusal_text(int status);

}  // namespace sluice::test
