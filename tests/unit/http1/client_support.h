#pragma once
// What the tests of the HTTP/1 client session share: a session in a fake host, and requests to give it.
// An Asker is owned by the test; its memory must be back when it ends.

#include <catch2/catch.hpp>
#include <string>

#include "protocols/http1/module.h"
#include "tests/support/fake_client_host.h"
#include "tests/support/fragments.h"

namespace sluice::test::h1 {

struct Asker {
    Asker() = default;
    ~Asker() {
        host.end_session();
        CHECK(host.memory().used() == 0);
        CHECK(host.finishes <= 1);
    }
    ClientStream& ask(ResponseSink& sink, std::string_view method = "GET") {
        return host.open({.method = method, .scheme = "http", .authority = "a", .target = "/"}, End::yes, sink);
    }
    ClientStream& post(ResponseSink& sink, std::optional<std::uint64_t> length = {}) {
        const OutgoingRequest request{.method = "POST",
                                      .scheme = "http",
                                      .authority = "a",
                                      .target = "/",
                                      .has_body = true,
                                      .content_length = length};
        return host.open(request, End::no, sink);
    }
    bool ended_by(Fault fault) const { return host.finished == fault; }
    bool is_free() { return !host.finished && host.session().free_slots() == 1 && host.session().exchanges() == 0; }

    HttpServices services;
    http1::Http1Module module{services};
    FakeClientHost host{module};
};

inline const std::string kAsked = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
inline const std::string kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

}  // namespace sluice::test::h1
