#pragma once
// What the crypto library gives to protocols that have nothing to do with TLS: SHA-1 (as RFC 6455 wants it: no secret
// depends on it), base64 and random bytes. Pure functions, owned by nobody. Not to be asked for passwords or signatures.

#include <span>
#include <string>
#include <string_view>

namespace sluice {

std::string sha1(std::string_view text);  // 20 bytes
std::string base64(std::string_view bytes);
// Nobody can predict them. Ends the process if the system has none: no mask and no key would be safe any more.
void fill_random(std::span<char> bytes);

}  // namespace sluice
