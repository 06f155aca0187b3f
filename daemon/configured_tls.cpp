#include "daemon/configured_tls.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

namespace sluice {

namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 2s;  // for the second file of a pair that is copied one after the other
constexpr auto kLookAgain = 100ms;
constexpr std::int64_t kSoonDays = 14;

// Complete, because the client has no session that could make an answer.
std::string plain_http_answer() {
    constexpr std::string_view kBody = "This port speaks HTTPS: use https:// in the address.\n";
    return fmt::format(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n"
        "connection: close\r\n\r\n{}",
        kBody.size(), kBody);
}

std::string date_text(std::int64_t unix_seconds) {
    return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(unix_seconds)));
}

std::string digits(const std::string& hex) { return hex.substr(0, 8) + "…"; }

std::string summary(const CertificateInfo& certificate) {
    return fmt::format("{}, expires {}, {}", certificate.file, date_text(certificate.not_after),
                       digits(certificate.fingerprint));
}

// The first certificate is the main one (config::TlsConfig).
std::string certificate_key(std::size_t index) {
    return index == 0 ? "certificate" : fmt::format("certificates[{}].certificate", index - 1);
}

}  // namespace

RunningTls RunningTls::of(const TlsContext* context) {
    if (!context) return {};
    return {context->memory(), context->digest(), context->certificates()};
}

ConfiguredTls::ConfiguredTls(std::string file, Patience patience)
    : file_(std::move(file)),
      deadline_(std::chrono::steady_clock::now() + (patience == Patience::none ? 0s : kPatience)) {}

// Again while half of a pair of files seems to be replaced, and patience lasts. It notes what each file was before.
template <class Load>
auto ConfiguredTls::load_whole(const std::vector<std::string>& paths, const Load& load) {
    for (;;) {
        for (const std::string& path : paths) files[path] = FileState::of(path);
        auto loaded = load();
        if (!loaded.torn || std::chrono::steady_clock::now() >= deadline_) return loaded;
        std::this_thread::sleep_for(kLookAgain);
    }
}

Ref<const TlsContext> ConfiguredTls::load(const config::ListenerConfig& listener, std::size_t index,
                                          std::vector<std::string> alpn, std::shared_ptr<TlsMemory> memory) {
    if (!listener.tls) return {};
    const config::TlsConfig& config = *listener.tls;
    const TlsContext::Options options{listener.name, std::move(alpn), plain_http_answer()};
    auto loaded = load_whole(tls_files(config), [&] { return TlsContext::load(config, options, memory); });
    const std::string section = fmt::format("listeners[{}].tls", index);
    tell(loaded.errors, section, config.where, problems);
    tell(loaded.warnings, section, config.where, warnings);
    return std::move(loaded.context);
}

Ref<const TlsClientContext> ConfiguredTls::load(const config::UpstreamConfig& upstream, std::size_t index,
                                                std::string_view alpn) {
    if (!upstream.tls) return {};
    const config::UpstreamTls& config = *upstream.tls;
    auto loaded = load_whole(tls_files(config), [&] { return TlsClientContext::load(config, alpn); });
    const std::string section = fmt::format("upstreams[{}].tls", index);
    tell(loaded.errors, section, config.where, problems);
    tell(loaded.warnings, section, config.where, warnings);
    return std::move(loaded.context);
}

void ConfiguredTls::tell(std::vector<TlsProblem>& found, const std::string& section, config::Position where,
                         config::Diagnostics& all) const {
    for (TlsProblem& problem : found)
        all.push_back({file_, problem.where.line > 0 ? problem.where : where, section + "." + problem.key,
                       std::move(problem.message)});
}

std::vector<config::Change> changed_files(const std::string& listener, const RunningTls& from, const TlsContext& to) {
    const std::string tls = "listeners." + listener + ".tls";
    std::vector<config::Change> changes;
    const auto add = [&](std::string key, std::string before, std::string after) {
        changes.push_back(
            {std::move(key), std::move(before), std::move(after), config::ReloadClass::new_connections, listener});
    };
    for (std::size_t i = 0; i < std::min(from.certificates.size(), to.certificates().size()); ++i) {
        const CertificateInfo &before = from.certificates[i], &after = to.certificates()[i];
        if (before.file == after.file && before.fingerprint != after.fingerprint)
            add(tls + "." + certificate_key(i), summary(before), summary(after));
    }
    // Another file: client certificates' issuers, a stapled response.
    if (changes.empty() && from.digest != to.digest()) add(tls, digits(from.digest), digits(to.digest()));
    return changes;
}

config::Change changed_tls_files(const std::string& upstream, const std::string& from, const std::string& to) {
    return {.key = "upstreams." + upstream + ".tls",
            .from = digits(from),
            .to = digits(to),
            .reload_class = config::ReloadClass::new_connections,
            .upstream = upstream};
}

std::vector<std::string> expiring(const std::string& owner, const std::vector<CertificateInfo>& certificates) {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::vector<std::string> texts;
    for (const CertificateInfo& certificate : certificates) {
        if (certificate.not_after - now > kSoonDays * 86400) continue;
        texts.push_back(fmt::format("{}: the certificate {} ({}) {} on {}", owner, certificate.file,
                                    certificate.subject, certificate.not_after < now ? "expired" : "expires",
                                    date_text(certificate.not_after)));
    }
    return texts;
}

}  // namespace sluice
