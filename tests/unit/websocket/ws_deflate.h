#pragma once
// permessage-deflate (RFC 7692) as a client does it, straight with zlib: for tests of what comes compressed. Owned by the
// test; one for each direction. Not for sizes that do not fit in memory.

#include <zlib.h>

#include <array>
#include <string>
#include <string_view>

namespace sluice::test::ws {

class ZlibClient {
public:
    explicit ZlibClient(int window_bits = 15, bool keeps_context = true) : keeps_context_(keeps_context) {
        deflateInit2(&packer_, 6, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY);
        inflateInit2(&unpacker_, -15);
    }
    ZlibClient(const ZlibClient&) = delete;
    ZlibClient& operator=(const ZlibClient&) = delete;
    ~ZlibClient() {
        deflateEnd(&packer_);
        inflateEnd(&unpacker_);
    }

    std::string pack(std::string_view text) {
        std::string out;
        run(packer_, text, out, [](z_stream* stream) { return deflate(stream, Z_SYNC_FLUSH); });
        if (out.empty()) return {"\0", 1};  // zlib does not flush twice: RFC 7692, 7.2.3.6
        out.resize(out.size() - 4);
        if (!keeps_context_) deflateReset(&packer_);
        return out;
    }
    // "!" if it does not inflate.
    std::string unpack(std::string_view packed) {
        std::string out;
        const std::string whole = std::string(packed).append(std::string_view("\0\0\xff\xff", 4));
        const bool good = run(unpacker_, whole, out, [](z_stream* stream) { return inflate(stream, Z_SYNC_FLUSH); });
        return good ? out : "!";
    }

private:
    template <class Step>
    static bool run(z_stream& stream, std::string_view text, std::string& out, Step&& step) {
        std::array<char, 4096> buffer;
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
        stream.avail_in = static_cast<uInt>(text.size());
        do {
            stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
            stream.avail_out = buffer.size();
            const int result = step(&stream);
            out.append(buffer.data(), buffer.size() - stream.avail_out);
            if (result != Z_OK && result != Z_BUF_ERROR) return false;
        } while (stream.avail_out == 0);
        return true;
    }

    z_stream packer_{}, unpacker_{};
    bool keeps_context_;
};

}  // namespace sluice::test::ws
