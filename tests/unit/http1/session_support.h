#pragma once
// What the tests of the HTTP/1 session share: a session in a fake host, and what came of a text.
// A Talk is owned by the test; its memory must be back when it ends.

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/answers.h"
#include "tests/support/contexts.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"

namespace sluice::test {

struct Talk {
    explicit Talk(const config::PoolSettings& pool = {}, std::uint64_t memory = 64 * 1024 * 1024)
        : host(served.context(pool), memory) {}
    ~Talk() {
        host.end_session();
        CHECK(host.worker().memory.used() == 0);
    }
    std::string answers() const { return plain_answers(host.output); }
    Reason reason() const { return host.finished ? host.finished->reason : Reason::none; }
    bool ends_with(CloseMode mode) const { return host.finished && host.finished->mode == mode; }

    Served served;
    FakeHost host;
};

inline std::string ok(const std::string& body, const std::string& fields = {}) {
    return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body;
}

// As echo answers.
inline std::string echoed(const std::string& body, const std::string& fields = {}) {
    return "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body;
}

inline std::string echoed_chunks(const std::string& body, const std::string& fields = {}) {
    return "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n" + fields +
           "\r\n" + body;
}

inline std::string post(const std::string& path, const std::string& body, const std::string& fields = {}) {
    return "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields +
           "\r\n" + body;
}

}  // namespace sluice::test
