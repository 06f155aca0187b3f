#include "core/net/tls_digest.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstdlib>

namespace sluice {

namespace {

const unsigned char* unsigned_of(const char* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }
unsigned char* unsigned_of(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace

std::string sha1(std::string_view text) {
    std::string digest(SHA_DIGEST_LENGTH, '\0');
    SHA1(unsigned_of(text.data()), text.size(), unsigned_of(digest.data()));
    return digest;
}

std::string base64(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4, '\0');  // the terminating 0 goes where the string's own is
    EVP_EncodeBlock(unsigned_of(text.data()), unsigned_of(bytes.data()), static_cast<int>(bytes.size()));
    return text;
}

void fill_random(std::span<char> bytes) {
    if (RAND_bytes(unsigned_of(bytes.data()), static_cast<int>(bytes.size())) != 1) std::abort();
}

}  // namespace sluice
