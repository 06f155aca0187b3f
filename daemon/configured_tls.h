#pragma once
// Makes the TLS contexts of one configuration from its files, and collects what is wrong with them. Lives as long as
// one preparation of a reload, one start or one check does, on whatever thread that runs; touches no live object.

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/diagnostic.h"
#include "config/diff.h"
#include "core/net/tls_client_context.h"
#include "core/net/tls_context.h"
#include "daemon/watcher.h"

namespace sluice {

// What a reload must know of a running context, safe on another thread; all empty without TLS.
struct RunningTls {
    static RunningTls of(const TlsContext* context);
    std::shared_ptr<TlsMemory> memory;
    std::string digest;
    std::vector<CertificateInfo> certificates;
};

class ConfiguredTls {
public:
    enum class Patience {
        none,
        half_replaced,  // waits a while for the other half of a certificate and its key
    };
    // `file`: the configuration, for the diagnostics.
    ConfiguredTls(std::string file, Patience patience);

    // Null if the listener has no TLS or a problem. `index`: its place in the file. `memory`: that of the running
    // context, or null.
    Ref<const TlsContext> load(const config::ListenerConfig& listener, std::size_t index, std::vector<std::string> alpn,
                               std::shared_ptr<TlsMemory> memory);
    // The client side, of an upstream.
    Ref<const TlsClientContext> load(const config::UpstreamConfig& upstream, std::size_t index, std::string_view alpn);

    // Collected by load(); to be taken when all is loaded.
    config::Diagnostics problems, warnings;
    std::map<std::string, FileState> files;  // which content each file had just before it was read

private:
    template <class Load>
    auto load_whole(const std::vector<std::string>& paths, const Load& load);
    // At the place of the section where they have none of their own. `section`: "listeners[0].tls".
    void tell(std::vector<TlsProblem>& found, const std::string& section, config::Position where,
              config::Diagnostics& all) const;

    std::string file_;
    std::chrono::steady_clock::time_point deadline_;
};

// What files that the configuration names as before have brought. Empty when their content is the same.
std::vector<config::Change> changed_files(const std::string& listener, const RunningTls& from, const TlsContext& to);
// The same of an upstream, whose files are told from each other by digest only.
config::Change changed_tls_files(const std::string& upstream, const std::string& from, const std::string& to);

// One text for each certificate that ends soon or has ended. `owner`: "listener web".
std::vector<std::string> expiring(const std::string& owner, const std::vector<CertificateInfo>& certificates);

}  // namespace sluice
