#include "core/net/tls_context.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/net/tls_memory.h"

namespace sluice {

namespace {

// RFC 7301, 3.1: each name with its length before it.
std::string wire_of(const std::vector<std::string>& protocols) {
    std::string wire;
    for (const std::string& protocol : protocols) {
        wire += static_cast<char>(protocol.size());
        wire += protocol;
    }
    return wire;
}

}  // namespace

TlsContext::TlsContext(const Options& options, std::shared_ptr<TlsMemory> memory)
    : options_(options), alpn_wire_(wire_of(options.alpn)), memory_(std::move(memory)) {}

TlsContext::~TlsContext() = default;

TlsPtr<ssl_st> TlsContext::new_connection() const {
    TlsPtr<SSL> ssl(SSL_new(contexts_.front().get()));
    if (ssl) SSL_set_accept_state(ssl.get());
    return ssl;
}

std::string_view TlsContext::protocol_name(std::string_view protocol) const {
    const auto found = std::find(options_.alpn.begin(), options_.alpn.end(), protocol);
    return found == options_.alpn.end() ? std::string_view() : *found;
}

// The exact name, then a wildcard, which stands for one label (RFC 6125, 6.4.3).
ssl_ctx_st& TlsContext::choose(std::string_view host) const {
    if (host.ends_with('.')) host.remove_suffix(1);
    std::string name = to_lower(host);
    if (const auto exact = by_host_.find(name); exact != by_host_.end()) return *exact->second;
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos) return *contexts_.front();
    const auto wild = by_host_.find(name.replace(0, dot, "*"));
    return wild != by_host_.end() ? *wild->second : *contexts_.front();
}

const TlsStaple* TlsContext::staple_of(const x509_st* certificate) const {
    const auto found = staples_.find(certificate);
    return found == staples_.end() ? nullptr : &found->second;
}

}  // namespace sluice
