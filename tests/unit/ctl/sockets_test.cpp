#include "daemon/ctl/sockets.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "daemon/ctl/asking.h"
#include "tests/unit/ctl/socket_support.h"

using namespace sluice::ctl;
using sluice::test::BoundSocket;
using sluice::test::Folder;

namespace {

std::vector<std::string> names(const std::vector<Place>& places) {
    std::vector<std::string> names;
    for (const auto& place : places) names.push_back(shown_name(place.instance));
    return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("ctl: sockets beside the base, the base first, 2 before 10", "[ctl]") {
    const auto places = places_among("/run/sluice/admin.sock",
                                     {"admin@10.sock", "admin@2.sock", "admin@web-10.sock", "other.sock", "admin.sock",
                                      "admin@1.sock", "admin@web-9.sock", "admin@a.sock", "admin@02.sock"});
    CHECK(names(places) == Names{"-", "1", "02", "2", "10", "a", "web-9", "web-10"});
    CHECK(places[0].socket == "/run/sluice/admin.sock");
    CHECK(places[4].socket == "/run/sluice/admin@10.sock");
}

TEST_CASE("ctl: what is not an instance of this socket", "[ctl]") {
    CHECK(places_among("/r/admin.sock", {"admin@.sock", "admin@A.sock", "admin@a.sock.lock", "xadmin@a.sock",
                                         "admin@a@b.sock", "admin@a", "admin2.sock"})
              .empty());
    CHECK(names(places_among("/r/admin@1.sock", {"admin@1.sock", "admin@2.sock", "admin.sock"})) == Names{"-"});
    CHECK(names(places_among("/r/admin", {"admin@1", "admin@2.sock"})) == Names{"1"});
}

TEST_CASE("ctl: leftovers are passed over where others listen", "[ctl]") {
    const Folder folder;
    const auto base = folder.file("admin.sock");
    CHECK(names(find_places(base, std::nullopt)) == Names{"-"});

    const BoundSocket dead(folder.file("admin@1.sock"), BoundSocket::Kind::leftover);
    const BoundSocket dead_too(folder.file("admin@2.sock"), BoundSocket::Kind::leftover);
    CHECK(names(find_places(base, std::nullopt)) == Names{"1"});

    const BoundSocket third(folder.file("admin@3.sock"), BoundSocket::Kind::listens);
    CHECK(names(find_places(base, std::nullopt)) == Names{"3"});
    const BoundSocket itself(base, BoundSocket::Kind::listens);
    CHECK(names(find_places(base, std::nullopt)) == Names{"-", "3"});
}

TEST_CASE("ctl: an instance that is named is the only one, whether it is there or not", "[ctl]") {
    const auto places = find_places("/nonexistent/admin.sock", "b");
    REQUIRE(places.size() == 1);
    CHECK(places[0].socket == "/nonexistent/admin@b.sock");
    CHECK(find_places("/nonexistent/admin.sock", "")[0].socket == "/nonexistent/admin.sock");
    CHECK(find_places("/nonexistent/admin.sock", std::nullopt)[0].socket == "/nonexistent/admin.sock");
}

TEST_CASE("ctl: among several, an answer is told with its instance and else as it came", "[ctl]") {
    CHECK(labelled_json({"2", "x"}, R"({"z":1,"a":{"c":[1.50],"b":"ü"}})") ==
          R"({"instance":"2","z":1,"a":{"c":[1.5],"b":"ü"}})");
    CHECK(labelled_json({"2", "x"}, R"({"instance":"","pid":7})") == R"({"instance":"2","pid":7})");
    CHECK(labelled_json({"", "x"}, "no JSON") == R"({"instance":""})");
    CHECK(label({"", "x"}, Asked::several) == "instance -: ");
    CHECK(label({"a", "x"}, Asked::one).empty());
}

TEST_CASE("ctl: who cannot be reached is no sum, and the worst exit code", "[ctl]") {
    const auto answers = ask_each({{"1", "/nonexistent/1"}, {"2", "/nonexistent/2"}}, {"GET", "/v1/status"});
    REQUIRE(answers.size() == 2);
    CHECK(answers[1].code == kNotReached);
    CHECK(answers[1].place.instance == "2");
    CHECK_FALSE(answers[1].complaints.empty());
    CHECK(good_ones(answers).empty());
    CHECK(refused({"1", "x"}, {422, R"({"ok":false,"errors":["a:1:2: b\nc","d"]})"}).complaints ==
          Names{"a:1:2: b", "c", "d"});
    CHECK(refused({"1", "x"}, {500, "?"}).complaints == Names{"refused with status 500"});
}
