#include "protocols/http2/request_reader.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace sluice;
using namespace sluice::http2;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
constexpr std::size_t kMax = 1000;
const Fields kGet = {{":method", "GET"}, {":scheme", "http"}, {":path", "/a/./b?c=d"}, {":authority", "A.example.:80"}};

Reason read(RequestReader& reader, const Fields& fields, bool has_body = false) {
    for (const auto& [name, value] : fields) reader.add(name, value, kMax);
    return reader.finish(kMax, has_body);
}

Fields with(const Fields& more) {
    Fields fields = kGet;
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

std::size_t list_size(const Fields& fields) {
    std::size_t size = 0;
    for (const auto& [name, value] : fields) size += name.size() + value.size() + 32;
    return size;
}

}  // namespace

TEST_CASE("pseudo-header fields become method, target and host", "[http2][reader]") {
    RequestReader reader;
    REQUIRE(read(reader, with({{"accept", "*/*"}})) == Reason::none);
    const RequestHead& head = reader.head();
    CHECK(head.method == "GET");
    CHECK(head.path == "/a/b");
    CHECK(head.query == "?c=d");
    CHECK(head.host == "a.example");
    CHECK(head.version == HttpVersion::http2);
    CHECK_FALSE(head.has_body);
    CHECK_FALSE(head.content_length);
    CHECK(head.headers.size() == 1);
    CHECK(head.headers.get("accept") == "*/*");
}

TEST_CASE("cookie crumbs go on as one field", "[http2][reader]") {
    RequestReader reader;
    REQUIRE(read(reader, with({{"cookie", "a=b"}, {"x", "y"}, {"cookie", "c=d"}, {"cookie", "e=f"}})) == Reason::none);
    CHECK(reader.head().headers.count("cookie") == 1);
    CHECK(reader.head().headers.get("cookie") == "a=b; c=d; e=f");
    CHECK(reader.head().headers.size() == 2);
}

TEST_CASE("the host is told once, or twice alike", "[http2][reader]") {
    struct Row {
        Fields fields;
        Reason reason;
        std::string host, authority;
    };
    const auto row = GENERATE(values<Row>({
        {{{":authority", "B.c:8080"}}, Reason::none, "b.c", "b.c:8080"},
        {{{"host", "B.c."}}, Reason::none, "b.c", "b.c."},
        {{{":authority", "b.c"}, {"host", "B.C"}}, Reason::none, "b.c", "b.c"},
        {{{":authority", "[::1]:80"}}, Reason::none, "[::1]", "[::1]:80"},
        {{}, Reason::bad_request, "", ""},
        {{{":authority", "b.c"}, {"host", "b.d"}}, Reason::bad_request, "", ""},
        {{{":authority", "b.c"}, {"host", "b.c:80"}}, Reason::bad_request, "", ""},
        {{{"host", "b.c"}, {"host", "b.c"}}, Reason::bad_request, "", ""},
        {{{":authority", "user@b.c"}}, Reason::bad_request, "", ""},
        {{{":authority", "b.c:x"}}, Reason::bad_request, "", ""},
        {{{":authority", "b/c"}}, Reason::bad_request, "", ""},
    }));
    CAPTURE(row.fields);
    Fields fields = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}};
    fields.insert(fields.end(), row.fields.begin(), row.fields.end());
    RequestReader reader;
    CHECK(read(reader, fields) == row.reason);
    if (row.reason != Reason::none) return;
    CHECK(reader.head().host == row.host);
    CHECK(reader.head().authority == row.authority);
}

TEST_CASE("what cannot be served has its reason", "[http2][reader]") {
    RequestReader connect, expects, path, hopes;
    CHECK(read(connect, {{":method", "CONNECT"}, {":authority", "a:443"}}) == Reason::not_implemented);
    CHECK(read(expects, with({{"expect", "tea"}}), true) == Reason::expectation_failed);
    CHECK(read(path, {{":method", "GET"}, {":scheme", "http"}, {":path", "/%zz"}, {":authority", "a"}}) ==
          Reason::bad_request);
    CHECK(read(hopes, with({{"expect", "100-Continue"}}), true) == Reason::none);
    CHECK(hopes.expects_continue());
}

TEST_CASE("100 (Continue) is expected only for a body", "[http2][reader]") {
    RequestReader reader;
    CHECK(read(reader, with({{"expect", "100-continue"}}), false) == Reason::none);
    CHECK_FALSE(reader.expects_continue());
}

TEST_CASE("a list counts as RFC 9113 says, up to its last byte", "[http2][reader]") {
    const std::size_t rest = list_size(with({{"x", ""}}));
    RequestReader fits, exceeds;
    CHECK(read(fits, with({{"x", std::string(kMax - rest, 'y')}})) == Reason::none);
    CHECK(fits.list_size() == kMax);
    CHECK(read(exceeds, with({{"x", std::string(kMax - rest + 1, 'y')}})) == Reason::header_too_large);
    CHECK(exceeds.list_size() == kMax + 1);
    CHECK_FALSE(exceeds.head().headers.has("x"));
}

TEST_CASE("a list may have a hundred fields", "[http2][reader]") {
    constexpr std::size_t kRoom = 100'000;
    for (const std::size_t count : {100, 101}) {
        RequestReader reader;
        for (const auto& [name, value] : kGet) reader.add(name, value, kRoom);
        for (std::size_t i = kGet.size(); i < count; ++i) reader.add("x", "y", kRoom);
        CHECK(reader.finish(kRoom, false) == (count == 100 ? Reason::none : Reason::header_too_large));
    }
}

TEST_CASE("a length is read where there is one", "[http2][reader]") {
    RequestReader reader;
    REQUIRE(read(reader, with({{"content-length", "9223372036854775807"}}), true) == Reason::none);
    CHECK(reader.head().content_length == std::uint64_t{9223372036854775807u});
    CHECK(reader.head().has_body);
}

TEST_CASE("trailers have a list of their own, without what frames or routes", "[http2][reader]") {
    RequestReader reader;
    REQUIRE(read(reader, with({{"x", std::string(700, 'y')}}), true) == Reason::none);
    reader.begin_trailers();
    reader.add_trailer("x-sum", std::string(700, 'z'), kMax);
    reader.add_trailer("content-length", "5", kMax);
    reader.add_trailer("host", "b", kMax);
    CHECK(reader.trailers().size() == 1);
    CHECK(reader.trailers().get("x-sum").size() == 700);
}

TEST_CASE("nothing of a request is left for the next", "[http2][reader]") {
    RequestReader reader;
    REQUIRE(read(reader, with({{"cookie", "a=b"}, {"expect", "100-continue"}, {"content-length", "3"}}), true) ==
            Reason::none);
    reader.begin_trailers();
    reader.add_trailer("x", "y", kMax);
    reader.reset();
    const RequestHead& head = reader.head();
    CHECK(head.method == "");
    CHECK(head.path == "");
    CHECK(head.query == "");
    CHECK(head.host == "");
    CHECK(reader.trailers().empty());
    CHECK(reader.list_size() == 0);
    CHECK_FALSE(reader.expects_continue());
    // Refused before it was read: a log line must not tell of the one before.
    REQUIRE(read(reader, {{":method", "PUT"}, {":path", "/" + std::string(kMax, 'x')}}) == Reason::header_too_large);
    CHECK(head.path == "");
    CHECK(head.host == "");
    CHECK(head.headers.empty());
    CHECK_FALSE(head.content_length);
}

TEST_CASE("crumbs of a cookie are one field, however many", "[http2][reader]") {
    RequestReader reader;
    for (const auto& [name, value] : kGet) reader.add(name, value, 100'000);
    for (int i = 0; i < 200; ++i) reader.add("cookie", "a=b", 100'000);
    CHECK(reader.finish(100'000, false) == Reason::none);
    CHECK(reader.head().headers.size() == 1);
}

TEST_CASE("what is no http URI is a bad request", "[http2][reader]") {
    const auto fields = GENERATE(values<Fields>({
        {{":method", "GET"}, {":scheme", "ftp"}, {":path", "/"}, {":authority", "a"}},
        {{":method", "GET"}, {":scheme", "http"}, {":path", "?x"}, {":authority", "a"}},
        {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", ":80"}},
    }));
    RequestReader reader;
    for (const auto& [name, value] : fields) reader.add(name, value, 1000);
    CHECK(reader.finish(1000, false) == Reason::bad_request);
}
