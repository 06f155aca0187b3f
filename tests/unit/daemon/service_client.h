#pragma once
// A client of a ReloadService over a real socket, whose loop it turns while it waits. Owned by one test, and ends before
// its service.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

#include "tests/unit/daemon/reload_service.h"

namespace sluice::test {

class ServiceClient {
public:
    ServiceClient(ReloadService& service, std::uint16_t port)
        : service_(service), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    void send(const std::string& bytes) {
        REQUIRE(write(fd_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }
    void leave() { shutdown(fd_.get(), SHUT_WR); }
    // With an RST, which has arrived when this returns.
    void break_off() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        fd_ = Fd();
    }
    // What comes, until it is enough or the connection ends.
    template <class Enough>
    std::string receive_until(const Enough& enough) {
        std::string all;
        for (int i = 0; i < 500 && !enough(all); ++i) {
            service_.turn(1);
            pollfd ready{fd_.get(), POLLIN, 0};
            if (poll(&ready, 1, 10) == 0) continue;
            std::array<char, 4096> buffer;
            const ssize_t count = read(fd_.get(), buffer.data(), buffer.size());
            if (count <= 0) break;
            all.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return all;
    }
    // Turns the loop until it is so.
    template <class Condition>
    bool wait(const Condition& is_so) {
        for (int i = 0; i < 500 && !is_so(); ++i) {
            service_.turn(1);
            poll(nullptr, 0, 10);
        }
        return is_so();
    }

    // A WebSocket from here on. False if it was refused.
    bool open_websocket(const std::string& path) {
        send("GET " + path +
             " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        return receive_until([](const std::string& all) { return all.find("\r\n\r\n") != all.npos; })
            .starts_with("HTTP/1.1 101 ");
    }
    void send_text(const std::string& text) {
        send("\x81" + std::string(1, static_cast<char>(0x80 | text.size())) + std::string(4, '\0') + text);
    }
    // One of at most 125 bytes of payload.
    std::string receive_frame() {
        return receive_until([](const std::string& all) {
            return all.size() >= 2 && all.size() >= 2 + static_cast<std::size_t>(all[1]);
        });
    }
    // The code of the Close that comes; 0 if none does.
    unsigned receive_close() {
        const std::string frame = receive_frame();
        if (frame.size() < 4 || !frame.starts_with("\x88")) return 0;
        return static_cast<unsigned char>(frame[2]) * 256u + static_cast<unsigned char>(frame[3]);
    }
    // What comes back for it.
    std::string echo(const std::string& text) {
        send_text(text);
        const std::string frame = receive_frame();
        return frame.starts_with("\x81") ? frame.substr(2) : "no text";
    }

private:
    ReloadService& service_;
    Fd fd_;
};

}  // namespace sluice::test
