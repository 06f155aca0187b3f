#include "protocols/http1/head_scanner.h"

namespace sluice::http1 {

HeadScanner::Verdict HeadScanner::scan(Bytes text) {
    for (std::size_t lf; (lf = text.find('\n', line_)) != text.npos; line_ = lf + 1) {
        if (lf == line_ || text[lf - 1] != '\r') return Verdict::bad;
        const std::string_view line = text.substr(line_, lf - 1 - line_);
        if (line.empty()) {
            line_ = lf + 1;
            return Verdict::complete;
        }
        if (line_ == 0) request_line_ = lf + 1;
        if (line_ > 0 && (line[0] == ' ' || line[0] == '\t' || line[0] == ':')) return Verdict::bad;
    }
    return Verdict::incomplete;
}

RequestLine split_request_line(Bytes head) {
    const std::string_view line = head.substr(0, head.find('\r'));
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == line.npos || first == last) return {};
    const std::string_view target = line.substr(first + 1, last - first - 1);
    if (target.empty() || target.find_first_of(" \t") != target.npos) return {};
    return {line.substr(0, first), target, line.substr(last + 1)};
}

}  // namespace sluice::http1
