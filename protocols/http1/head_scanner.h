#pragma once
// Finds the end of a request's head and checks what llhttp 8.1 lets pass even in strict mode (RFC 9112, 2.2, 3, 5):
// bare LF, obs-fold, an empty field name, and a request line that is not exactly three parts with single spaces.
// Pure; keeps only where it stopped.

#include <cstddef>
#include <string_view>

#include "core/base/byte_queue.h"

namespace sluice::http1 {

class HeadScanner {
public:
    enum class Verdict { incomplete, complete, bad };

    // `text` is the whole head so far; calls with more of it go on where the last one stopped.
    Verdict scan(Bytes text);
    std::size_t head_size() const { return line_; }                  // with the empty line; after `complete`
    bool in_request_line() const { return line_ == 0; }              // its end was not seen yet
    std::size_t request_line_size() const { return request_line_; }  // 0 while in it
    void reset() { line_ = request_line_ = 0; }

private:
    std::size_t request_line_ = 0;
    std::size_t line_ = 0;  // where the line that is being looked at begins
};

struct RequestLine {
    std::string_view method, target, version;
};
// Splits the first line of a complete head; all parts are empty if it has another shape.
RequestLine split_request_line(Bytes head);

}  // namespace sluice::http1
