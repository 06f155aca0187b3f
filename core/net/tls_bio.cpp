#include "core/net/tls_bio.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

namespace sluice {

namespace {

TlsIo& io_of_bio(BIO* bio) { return *static_cast<TlsIo*>(BIO_get_data(bio)); }

std::size_t read_kept(ByteQueue& kept, char* to, std::size_t count) {
    std::array<iovec, 1> first;
    kept.gather(first);
    count = std::min(count, first[0].iov_len);
    std::memcpy(to, first[0].iov_base, count);
    kept.consume(count);
    return count;
}

int read_bio(BIO* bio, char* to, int size) {
    TlsIo& io = io_of_bio(bio);
    BIO_clear_retry_flags(bio);
    if (!io.has_input()) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const auto wanted = static_cast<std::size_t>(size);
    if (!io.kept->empty()) return static_cast<int>(read_kept(*io.kept, to, wanted));
    const std::size_t count = std::min(wanted, io.in.size());
    std::memcpy(to, io.in.data(), count);
    io.in.remove_prefix(count);
    return static_cast<int>(count);
}

int write_bio(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    io_of_bio(bio).out->append(Bytes(from, static_cast<std::size_t>(size)));
    return size;
}

// A flush has nothing to do; everything else that OpenSSL asks a BIO for does not apply.
long control_bio(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

}  // namespace

TlsBio::TlsBio() : method_(BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "sluice")) {
    if (!method_) throw std::bad_alloc();
    BIO_meth_set_read(method_.get(), read_bio);
    BIO_meth_set_write(method_.get(), write_bio);
    BIO_meth_set_ctrl(method_.get(), control_bio);
    bio_.reset(BIO_new(method_.get()));
    if (!bio_) throw std::bad_alloc();
    BIO_set_data(bio_.get(), &io_);
    BIO_set_init(bio_.get(), 1);
}

void TlsBio::attach(ssl_st& ssl) {
    BIO_up_ref(bio_.get());
    SSL_set_bio(&ssl, bio_.get(), bio_.get());  // takes one reference for both
}

TlsIo& TlsBio::io_of(ssl_st& ssl) { return io_of_bio(SSL_get_rbio(&ssl)); }

}  // namespace sluice
