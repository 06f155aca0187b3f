#include "core/http/target.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice;

namespace {

struct Row {
    std::string from, to;  // to "": refused
};

std::string host(std::string text) {
    const auto found = normalise_host(text.data(), text.size());
    return found ? std::string(*found) : "refused";
}

}  // namespace

TEST_CASE("paths take their one form", "[target]") {
    const auto row = GENERATE(values<Row>({
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"//a//b", "//a//b"},
        {"/a/./b", "/a/b"},
        {"/a/.", "/a/"},
        {"/.", "/"},
        {"/./", "/"},
        {"/..", "/"},
        {"/../", "/"},
        {"/../../etc/passwd", "/etc/passwd"},
        {"/a/../b", "/b"},
        {"/a/..", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../../../c", "/c"},
        {"/a//../b", "/a/b"},
        {"/a/...", "/a/..."},
        {"/a/.b", "/a/.b"},
        {"/a/..b/c", "/a/..b/c"},
        {"/%2e%2e/x", "/x"},
        {"/a/%2E%2e/x", "/x"},
        {"/a/.%2e/x", "/x"},
        {"/a/%2e/x", "/a/x"},
        {"/%41%7a%30%2D%5F%7E", "/Az0-_~"},
        {"/a%2Fb", "/a%2Fb"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%2f..%2fb", "/a%2F..%2Fb"},
        {"/a%5cb", "/a%5Cb"},
        {"/%c3%a4", "/%C3%A4"},
        {"/%25", "/%25"},
        {"/%252e%252e/", "/%252e%252e/"},
        {"/a%20b", "/a%20b"},
        {"/%3f", "/%3F"},
        {"/%00", ""},
        {"/a%00b", ""},
        {"/%", ""},
        {"/%4", ""},
        {"/a%4/", ""},
        {"/%zz", ""},
        {"/%4g", ""},
        {"/%-1", ""},
        {"", ""},
        {"a", ""},
        {"*", ""},
        {"%2F", ""},
    }));
    CAPTURE(row.from);
    std::string buffer = "left over";
    const auto path = normalise_path(row.from, buffer);
    CHECK(path.has_value() == !row.to.empty());
    if (!path) return;
    CHECK(*path == row.to);
    std::string again;
    CHECK(*normalise_path(row.to, again) == row.to);  // the form is final
}

TEST_CASE("a path that is in its form already is not copied", "[target]") {
    const std::string path = "/static/site.css";
    std::string buffer;
    CHECK(normalise_path(path, buffer)->data() == path.data());
}

TEST_CASE("hosts take their one form", "[target]") {
    const auto row = GENERATE(values<Row>({
        {"example.com", "example.com"},
        {"EXAMPLE.Com", "example.com"},
        {"example.com:8080", "example.com"},
        {"example.com:", "example.com"},
        {"example.com.", "example.com"},
        {"example.com.:80", "example.com"},
        {"127.0.0.1:80", "127.0.0.1"},
        {"[::1]", "[::1]"},
        {"[::1]:80", "[::1]"},
        {"[2001:DB8::1]", "[2001:db8::1]"},
        {"a_b", "a_b"},
        {"", ""},
        {"example.com:80a", "refused"},
        {"example.com:800000", "refused"},
        {"example.com:-1", "refused"},
        {"a:80:90", "refused"},
        {"user@host", "refused"},
        {"a b", "refused"},
        {"a/b", "refused"},
        {"a\tb", "refused"},
        {"a\"b", "refused"},
        {"[::1", "refused"},
        {"[]", "refused"},
        {"[::1]x", "refused"},
        {"[zz]", "refused"},
        {"::1", "refused"},
        {"h\xc3\xb6st", "refused"},
    }));
    CAPTURE(row.from);
    CHECK(host(row.from) == row.to);
}
