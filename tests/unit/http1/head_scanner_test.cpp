#include "protocols/http1/head_scanner.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/fragments.h"

using namespace sluice;
using namespace sluice::http1;
using namespace sluice::test;
using Verdict = HeadScanner::Verdict;

namespace {

// What a growing head leads to.
Verdict scan(HeadScanner& scanner, const std::string& text, std::size_t fragment) {
    std::size_t size = 0;
    for (const auto piece : in_fragments(text, fragment)) {
        size += piece.size();
        const Verdict verdict = scanner.scan(Bytes(text).substr(0, size));
        if (verdict != Verdict::incomplete) return verdict;
    }
    return Verdict::incomplete;
}

}  // namespace

TEST_CASE("the scanner finds the end of a head and what llhttp lets pass", "[head_scanner]") {
    struct Row {
        std::string text;
        Verdict verdict;
        std::size_t size;
    };
    const auto row = GENERATE(values<Row>({
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Verdict::complete, 27},
        {"GET / HTTP/1.1\r\n\r\n", Verdict::complete, 18},
        {"GET / HTTP/1.1\r\nHost: a\r\n", Verdict::incomplete, 0},
        {"GET / HTTP/1.1", Verdict::incomplete, 0},
        {"", Verdict::incomplete, 0},
        {"GET / HTTP/1.1\r\nA: b\r\n\r", Verdict::incomplete, 0},
        {"GET / HTTP/1.1\n", Verdict::bad, 0},
        {"\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\nA: b\r\n\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\n A: b\r\n\r\n", Verdict::bad, 0},
        {"GET / HTTP/1.1\r\n: b\r\n\r\n", Verdict::bad, 0},
    }));
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    CAPTURE(row.text, fragment);
    HeadScanner scanner;
    CHECK(scan(scanner, row.text, fragment) == row.verdict);
    if (row.verdict == Verdict::complete) CHECK(scanner.head_size() == row.size);
    scanner.reset();
    CHECK(scanner.in_request_line());
}

TEST_CASE("what follows a head is not looked at", "[head_scanner]") {
    HeadScanner scanner;
    CHECK(scanner.scan("GET / HTTP/1.1\r\n\r\n\nnonsense\n") == Verdict::complete);
    CHECK(scanner.head_size() == 18);
}

TEST_CASE("a request line has three parts with single spaces", "[head_scanner]") {
    const auto line = split_request_line("GET /a?b HTTP/1.1\r\nHost: a b\r\n\r\n");
    CHECK(line.method == "GET");
    CHECK(line.target == "/a?b");
    CHECK(line.version == "HTTP/1.1");
    for (const char* bad : {"GET\r\n", "GET /\r\n", "GET  HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n",
                            "GET / a HTTP/1.1\r\n", "GET /\ta HTTP/1.1\r\n", "\r\n"}) {
        CAPTURE(bad);
        CHECK(split_request_line(bad).target.empty());
    }
}
