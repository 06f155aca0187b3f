#include "core/http/header_map.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice;

TEST_CASE("fields keep their order, names are lower case and values trimmed", "[header_map]") {
    HeaderMap map{{"Content-Type", " text/plain\t"}, {"X-A", "1"}, {"x-a", "2"}, {"Empty", ""}};
    REQUIRE(map.size() == 4);
    CHECK(map[0].name == "content-type");
    CHECK(map[0].value == "text/plain");
    CHECK(map.get("x-a") == "1");
    CHECK(map.count("x-a") == 2);
    CHECK(map.has("empty"));
    CHECK(map.get("empty").empty());
    CHECK(map.get("missing").data() == nullptr);
    CHECK(map.bytes() == 12 + 10 + 4 + 4 + 5);
    std::string order;
    for (const auto field : map) order += std::string(field.name) + "=" + std::string(field.value) + ";";
    CHECK(order == "content-type=text/plain;x-a=1;x-a=2;empty=;");
}

TEST_CASE("capitals and nothing else are lowered, wherever they stand in a name", "[header_map]") {
    for (std::size_t before = 0; before < 17; ++before)
        for (int c = 0; c < 256; ++c) {
            const std::string name = std::string(before, '@') + static_cast<char>(c) + "[`{Z";
            HeaderMap map;
            map.add(name, "");
            std::string wanted = std::string(before, '@') + static_cast<char>(c) + "[`{z";
            if (c >= 'A' && c <= 'Z') wanted[before] = static_cast<char>(c + 32);
            REQUIRE(map[0].name == wanted);
        }
}

TEST_CASE("stored text is indexed in place, names lowered in the copy", "[header_map]") {
    const std::string source = "Host: Example.com\r\nX-Empty:\r\n";
    HeaderMap map;
    const auto text = map.store(source);
    CHECK(text.data() != source.data());
    map.add_stored(text.substr(0, 4), text.substr(5, 12));
    map.add_stored(text.substr(19, 7), std::string_view());
    CHECK(map.get("host") == "Example.com");
    CHECK(map.get("host").data() == text.data() + 6);
    CHECK(map.has("x-empty"));
    CHECK(map[1].value.empty());
    CHECK(source[0] == 'H');
}

TEST_CASE("a cleared map is empty and keeps its room", "[header_map]") {
    HeaderMap map;
    for (int i = 0; i < 100; ++i) map.add("name", "some value");
    const std::size_t room = map.capacity();
    map.clear();
    CHECK(map.empty());
    CHECK_FALSE(map.has("name"));
    CHECK(map.capacity() == room);
}

TEST_CASE("a map takes over of another what it keeps, and can go on from there", "[header_map]") {
    HeaderMap from{{"a", "1"}, {"drop", "2"}, {"c", ""}, {"drop", "3"}, {"e", "5"}};
    HeaderMap map{{"old", "field"}};
    map.assign_if(from, [](HeaderMap::Field field) { return field.name != "drop"; });
    map.add("New", "6");
    std::string order;
    for (const auto field : map) order += std::string(field.name) + "=" + std::string(field.value) + ";";
    CHECK(order == "a=1;c=;e=5;new=6;");
    CHECK(from.size() == 5);
    CHECK(map.get("a").data() != from.get("a").data());
}

TEST_CASE("what is removed leaves the others where they stand", "[header_map]") {
    HeaderMap map{{"a", "1"}, {"b", "2"}, {"a", "3"}};
    const auto kept = map.get("b");
    map.remove_if([](HeaderMap::Field field) { return field.name == "a"; });
    CHECK(map.size() == 1);
    CHECK(map.get("b").data() == kept.data());
    CHECK_FALSE(map.has("a"));
    CHECK(map.bytes() >= 2);
}
