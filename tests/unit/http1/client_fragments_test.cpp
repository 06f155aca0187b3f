// Every answer here must come out the same for all fragment sizes.

#include <string>

#include "tests/unit/http1/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h1;

namespace {

enum class After { free, ended };

struct Row {
    std::string text, heard;
    After after = After::free;
};

void check(const Row& row, std::string_view method = "GET", bool then_end = false) {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(row.text.substr(0, 200), fragment);
        Asker asker;
        TakenAnswer answer;
        asker.ask(answer, method);
        asker.host.feed(row.text, fragment);
        if (then_end) asker.host.end_read();
        CHECK(answer.text() == row.heard);
        CHECK(asker.is_free() == (row.after == After::free));
        CHECK(asker.host.finished.has_value() == (row.after == After::ended));
        if (row.after == After::free) CHECK(asker.host.session().held_bytes() == 0);
    }
}

const std::string kOk = "HTTP/1.1 200 OK\r\n";
const std::string kChunked = kOk + "Transfer-Encoding: chunked\r\n\r\n";

std::string many_fields(std::size_t count) {
    std::string fields;
    for (std::size_t i = 0; i < count; ++i) fields += "X: y\r\n";
    return fields;
}

}  // namespace

TEST_CASE("good answers under every fragment size", "[http1][client]") {
    const auto row = GENERATE_COPY(values<Row>({
        {kHello, "200 (5)\nhello\ncomplete\n"},
        {kOk + "Content-Length: 0\r\nX-Two:  spaces \r\nDate: now\r\n\r\n",
         "200 (0) x-two=spaces; date=now;\ncomplete\n"},
        {"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", "200 (1)\nx\ncomplete\n"},
        {"HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n", "404 (0)\ncomplete\n"},
        {"HTTP/1.1 999 Odd\r\nContent-Length:0\r\n\r\n", "999 (0)\ncomplete\n"},
        {"HTTP/1.1 204 No Content\r\n\r\n", "204\ncomplete\n"},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204\ncomplete\n"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", "304 (5) etag=x;\ncomplete\n"},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
         "200 (2) connection=keep-alive;\nok\ncomplete\n"},
        {kChunked + "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "200\nhello world\ncomplete\n"},
        {kOk + "TRANSFER-ENCODING: \t Chunked \r\n\r\n0\r\n\r\n", "200\ncomplete\n"},
        {kChunked + "1\r\nx\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n", "200\nx\ntrailers x-sum=7;\ncomplete\n"},
        {kOk + "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
         "200 (0) set-cookie=a=b; set-cookie=c=d;\ncomplete\n"},
        {kOk + "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
         "200 (2) upgrade=h2c; connection=Upgrade;\nok\ncomplete\n"},
        {kOk + many_fields(199) + "Content-Length: 0\r\n\r\n",
         [] {
             std::string text = "200 (0)";
             for (int i = 0; i < 199; ++i) text += " x=y;";
             return text + "\ncomplete\n";
         }()},
    }));
    check(row);
}

TEST_CASE("interim answers under every fragment size", "[http1][client]") {
    const std::string interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        "HTTP/1.1 102 Processing\r\n\r\n";
    check({interim + kHello, "103 link=x;\n102\n200 (5)\nhello\ncomplete\n"});
    check({interim + "HTTP/1.1 204 No Content\r\n\r\n", "103 link=x;\n102\n204\ncomplete\n"});
    check({interim + "HTTP/1.1 101 Switching Protocols\r\n\r\n", "103 link=x;\n102\nfailed: protocol, begun\n",
           After::ended});
    check({"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + kHello, "103\n200 (5)\nhello\ncomplete\n"});
}

TEST_CASE("answers to HEAD under every fragment size", "[http1][client]") {
    const auto row = GENERATE_COPY(values<Row>({
        {kOk + "Content-Length: 5\r\n\r\n", "200 (5)\ncomplete\n"},
        {kChunked, "200\ncomplete\n"},
        {kOk + "\r\n", "200\ncomplete\n"},
        {"HTTP/1.1 103 Early Hints\r\n\r\n" + kOk + "Content-Length: 5\r\n\r\n", "103\n200 (5)\ncomplete\n"},
        {kOk + "Connection: close\r\n\r\n", "200 connection=close;\ncomplete\n", After::ended},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "200 (5)\ncomplete\n", After::ended},
    }));
    check(row, "HEAD");
}

TEST_CASE("last answers under every fragment size", "[http1][client]") {
    const auto row = GENERATE_COPY(values<Row>({
        {kOk + "Connection: close\r\nContent-Length: 2\r\n\r\nok", "200 (2) connection=close;\nok\ncomplete\n",
         After::ended},
        {kOk + "Connection: X, CLOSE\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "200 connection=X, CLOSE;\nok\ncomplete\n", After::ended},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 (2)\nok\ncomplete\n", After::ended},
        {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "204 connection=close;\ncomplete\n", After::ended},
    }));
    check(row);
    Asker asker;
    TakenAnswer answer;
    asker.ask(answer);
    asker.host.feed(row.text);
    CHECK(asker.ended_by(Fault::none));
    CHECK(asker.host.retirements == 1);
}

TEST_CASE("a body without a length ends with the connection, under every fragment size", "[http1][client]") {
    const bool then_end = true;
    check({kOk + "\r\nuntil the end\r\n\r\n", "200\nuntil the end\r\n\r\n\ncomplete\n", After::ended}, "GET", then_end);
    check({kOk + "\r\n", "200\ncomplete\n", After::ended}, "GET", then_end);
    check({"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx", "200 connection=keep-alive;\nx\ncomplete\n",
           After::ended},
          "GET", then_end);
}

TEST_CASE("answers that break off under every fragment size", "[http1][client]") {
    const auto row = GENERATE_COPY(values<Row>({
        {"", "failed: closed\n", After::ended},
        {"HTTP/1.1 2", "failed: closed, begun\n", After::ended},
        {kOk + "Content-Length: 5\r\n", "failed: closed, begun\n", After::ended},
        {kOk + "Content-Length: 5\r\n\r\n", "200 (5)\nfailed: closed, begun\n", After::ended},
        {kOk + "Content-Length: 5\r\n\r\nhell", "200 (5)\nhell\nfailed: closed, begun\n", After::ended},
        {kChunked + "5\r\nhello\r\n", "200\nhello\nfailed: closed, begun\n", After::ended},
        {kChunked + "5\r\nhello\r\n0\r\n", "200\nhello\nfailed: closed, begun\n", After::ended},
        {kChunked + "5\r\nhello\r\n0\r\nX: y\r\n", "200\nhello\nfailed: closed, begun\n", After::ended},
        {"HTTP/1.1 100 Continue\r\n\r\n", "failed: closed, begun\n", After::ended},
    }));
    check(row, "GET", true);
}

TEST_CASE("what is no answer fails under every fragment size", "[http1][client]") {
    const auto text = GENERATE_COPY(values<std::string>({
        "\r\n" + kHello,
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 020 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        kOk + "Content-Length: 0\n\r\n",
        kOk + "X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        kOk + "X : a\r\nContent-Length: 0\r\n\r\n",
        kOk + ": a\r\nContent-Length: 0\r\n\r\n",
        kOk + "NoColon\r\nContent-Length: 0\r\n\r\n",
        kOk + "X: a" + std::string(1, '\0') + "b\r\nContent-Length: 0\r\n\r\n",
        kOk + "X: a\rb\r\nContent-Length: 0\r\n\r\n",
        kOk + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        kOk + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        kOk + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        kOk + "Content-Length: 5, 6\r\n\r\n",
        kOk + "Content-Length: -5\r\n\r\n",
        kOk + "Content-Length: +5\r\n\r\n",
        kOk + "Content-Length: 0x5\r\n\r\n",
        kOk + "Content-Length:\r\n\r\n",
        kOk + "Content-Length: 99999999999999999999\r\n\r\n",
        kOk + "Transfer-Encoding: gzip\r\n\r\n",
        kOk + "Transfer-Encoding: gzip, chunked\r\n\r\n",
        kOk + "Transfer-Encoding: chunked, gzip\r\n\r\n",
        kOk + "Transfer-Encoding: xchunked\r\n\r\n",
        kOk + "Transfer-Encoding:\r\n\r\n",
        kOk + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        kOk + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    }));
    check({text, "failed: protocol, begun\n", After::ended});
    Asker asker;
    TakenAnswer answer;
    asker.ask(answer);
    asker.host.feed(text);
    CHECK(asker.ended_by(Fault::protocol));
}

TEST_CASE("bad chunks fail under every fragment size", "[http1][client]") {
    const auto chunk = GENERATE_COPY(values<std::string>({
        "x\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "fffffffffffffffff\r\n",
        "5\nhello\r\n",
        "5;" + std::string(5000, 'e') + "\r\n",
    }));
    check({kChunked + chunk, "200\nfailed: protocol, begun\n", After::ended});
    check({kChunked + "5\r\nhello!\r\n", "200\nhello\nfailed: protocol, begun\n", After::ended});
    check({kChunked + "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n", "200\nhello\nfailed: protocol, begun\n", After::ended});
    check({kChunked + "5\r\nhello\r\n0\r\nX Y: a\r\n\r\n", "200\nhello\nfailed: protocol, begun\n", After::ended});
}

TEST_CASE("large heads and trailers fail under every fragment size", "[http1][client]") {
    const std::string rest = kOk + "Content-Length: 0\r\nX: \r\n\r\n";
    const std::string value(ClientSession::kMaxResponseHead - rest.size(), 'x');
    const std::string fits = kOk + "Content-Length: 0\r\nX: " + value + "\r\n\r\n";
    check({fits, "200 (0) x=" + value + ";\ncomplete\n"});
    check({kOk + "Content-Length: 0\r\nX: x" + value + "\r\n\r\n", "failed: header_too_large, begun\n", After::ended});
    check({kOk + "X: x" + value + std::string(100, 'y'), "failed: header_too_large, begun\n", After::ended});
    check({kOk + many_fields(200) + "Content-Length: 0\r\n\r\n", "failed: header_too_large, begun\n", After::ended});
    const std::string trailer = "0\r\nX: " + std::string(ClientSession::kMaxResponseHead, 't');
    check({kChunked + trailer, "200\nfailed: header_too_large, begun\n", After::ended});
}

TEST_CASE("junk after an answer ends the connection, under every fragment size", "[http1][client]") {
    const auto junk = GENERATE_COPY(values<std::string>({"\r\n", "x", kHello}));
    check({kHello + junk, "200 (5)\nhello\ncomplete\n", After::ended});
    check({kChunked + "0\r\n\r\n" + junk, "200\ncomplete\n", After::ended});
    check({"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" + junk, "204\ncomplete\n", After::ended});
    check({kOk + "Content-Length: 5\r\n\r\n" + junk, "200 (5)\ncomplete\n", After::ended}, "HEAD");
}
