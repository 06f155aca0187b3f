#pragma once
// Sec-WebSocket-Extensions (RFC 6455, 9.1), of which permessage-deflate (RFC 7692, 7.1) is understood: the part of the
// handshake that needs a grammar. Read from left to right, each byte once. Functions on fields; nothing is kept here.

#include <string_view>

#include "core/http/header_map.h"

namespace sluice::websocket {

bool well_formed_extensions(const HeaderMap& headers);
// What an answer chose, if anything, is permessage-deflate as one of `offers` allows it.
bool chooses_offered_extension(const HeaderMap& answer, std::string_view offers);

}  // namespace sluice::websocket
