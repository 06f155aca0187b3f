#pragma once
// What of a request consistent_hash looks at: the client's address, a header field or a cookie. A value.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/http/message.h"
#include "core/net/address.h"

namespace sluice {

class HashKey {
public:
    // "client", "header:NAME" or "cookie:NAME"; "" is client.
    explicit HashKey(std::string_view text = {});
    // A request without the field or the cookie goes by its client.
    std::uint64_t of(const RequestHead& head, const PeerAddress& client) const;

private:
    enum class Kind : std::uint8_t { client, header, cookie } kind_ = Kind::client;
    std::string name_;
};

}  // namespace sluice
