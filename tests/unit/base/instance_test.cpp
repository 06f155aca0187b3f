#include "core/base/instance.h"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("an instance's path stands beside that of the only one", "[instance]") {
    CHECK(instance_path("/run/sluice/admin.sock", "") == "/run/sluice/admin.sock");
    CHECK(instance_path("/run/sluice/admin.sock", "2") == "/run/sluice/admin@2.sock");
    CHECK(instance_path("/run/a.b/admin", "2") == "/run/a.b/admin@2");
    CHECK(instance_path("/run/.admin", "2") == "/run/.admin@2");
    CHECK(instance_path("admin.sock", "x-y") == "admin@x-y.sock");
}

TEST_CASE("names of instances", "[instance]") {
    CHECK(is_instance_name("0"));
    CHECK(is_instance_name("blue_2-x"));
    CHECK(is_instance_name(std::string(kMaxInstanceName, 'a')));
    for (const char* bad : {"", "A", "a.b", "a/b", "a@b", "a b"}) CHECK_FALSE(is_instance_name(bad));
    CHECK_FALSE(is_instance_name(std::string(kMaxInstanceName + 1, 'a')));
}
