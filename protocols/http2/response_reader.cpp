#include "protocols/http2/response_reader.h"

#include <charconv>

namespace sluice::http2 {

namespace {

template <class Number>
Number number_in(Bytes digits) {
    Number number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

}  // namespace

void ResponseReader::begin_head() {
    head_.status = 0;
    head_.content_length.reset();
    head_.headers.clear();
    head_.dated = false;
    trailers_.clear();
    list_size_ = fields_ = 0;
}

void ResponseReader::begin_trailers() { list_size_ = fields_ = 0; }

bool ResponseReader::keeps(Bytes name, Bytes value) {
    list_size_ += name.size() + value.size() + RequestReader::kFieldOverhead;
    ++fields_;
    return fits();
}

void ResponseReader::add(Bytes name, Bytes value) {
    if (!keeps(name, value)) return;
    if (name == "content-length") {
        head_.content_length = number_in<std::uint64_t>(value);
    } else if (!name.starts_with(':')) {
        head_.dated = head_.dated || name == "date";
        head_.headers.add(name, value);
    } else if (name == ":status") {
        head_.status = number_in<int>(value);
    }
}

void ResponseReader::add_trailer(Bytes name, Bytes value) {
    // RFC 9110, 6.5.1: what frames a message is no trailer.
    if (keeps(name, value) && name != "content-length") trailers_.add(name, value);
}

}  // namespace sluice::http2
