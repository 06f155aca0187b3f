#pragma once
// The files that a TLS context is made from, each read once: what is used and what the digest says are the same bytes.
// Lives as long as one load; wipes what it read, for there are private keys among it.

#include <map>
#include <string>

namespace sluice {

struct TlsFile {
    std::string bytes;
    std::string problem;              // why it cannot be used; "" if it can
    bool readable_by_others = false;  // by everybody on the machine
};

class TlsFileSet {
public:
    TlsFileSet() = default;
    TlsFileSet(const TlsFileSet&) = delete;
    TlsFileSet& operator=(const TlsFileSet&) = delete;
    ~TlsFileSet();

    const TlsFile& read(const std::string& path);  // valid as long as the set
    std::string digest() const;                    // of all that was read: 64 hex digits

private:
    std::map<std::string, TlsFile> files_;
};

std::string to_hex(const unsigned char* bytes, std::size_t count);

}  // namespace sluice
