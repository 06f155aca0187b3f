#pragma once
// How OpenSSL reads and writes: straight from the bytes that the transport below has lent, straight into a queue.
// One BIO serves all connections of a loop; whoever is about to call an SSL function points the TlsIo at its own
// buffers. Owned by the TlsEngine, outlives every SSL. Not to be asked between two such calls.

#include "core/base/byte_queue.h"
#include "core/net/tls_ptr.h"

namespace sluice {

struct TlsIo {
    ByteQueue* kept = nullptr;  // read first: what came earlier
    Bytes in;                   // then this; what is left of it stays here
    ByteQueue* out = nullptr;
    int hellos_left = 0;  // how many handshakes may still begin in this turn of the loop

    bool has_input() const { return !in.empty() || !kept->empty(); }
    // For OpenSSL's client hello callback: false if this one has to wait.
    bool take_hello() { return hellos_left > 0 && hellos_left-- > 0; }
};

class TlsBio {
public:
    TlsBio();
    TlsIo& io() { return io_; }
    void attach(ssl_st& ssl);
    static TlsIo& io_of(ssl_st& ssl);  // of one that was attached

private:
    TlsIo io_;
    TlsPtr<bio_method_st> method_;
    TlsPtr<bio_st> bio_;
};

}  // namespace sluice
