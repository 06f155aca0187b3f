#include "core/net/tls_memory.h"

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstring>
#include <ctime>
#include <type_traits>

namespace sluice {

namespace {

constexpr long kRenewBefore = 30L * 24 * 60 * 60;  // of a self-signed certificate, seconds
constexpr std::string_view kBlobMark = "sluice tickets 1";

template <class T>
void wipe(T& object) {
    OPENSSL_cleanse(&object, sizeof object);
}

bool make_key(TicketKeys::Key& key, std::uint64_t now_us) {
    key.born_us = now_us;
    return RAND_bytes(key.name.data(), key.name.size()) == 1 &&
           RAND_priv_bytes(key.cipher.data(), key.cipher.size()) == 1 &&
           RAND_priv_bytes(key.mac.data(), key.mac.size()) == 1;
}

}  // namespace

// --- ticket keys ---

TicketKeys::~TicketKeys() { wipe(keys_); }

bool TicketKeys::rotate(std::uint64_t now_us, std::uint64_t lifetime_us) {
    auto& [current, previous] = keys_;
    const auto age = [now_us](const Key& key) { return now_us - std::min(now_us, key.born_us); };
    // The last ticket of a key is as old as its successor.
    if (previous.born_us != 0 && age(current) >= lifetime_us) wipe(previous);
    if (current.born_us != 0 && age(current) < lifetime_us) return true;
    if (current.born_us != 0 && age(current) < 2 * lifetime_us) previous = current;
    if (make_key(current, now_us)) return true;
    wipe(current);
    return false;
}

const TicketKeys::Key* TicketKeys::current(std::uint64_t now_us, std::uint64_t lifetime_us) {
    return rotate(now_us, lifetime_us) ? &keys_[0] : nullptr;
}

const TicketKeys::Key* TicketKeys::find(const unsigned char* name, std::uint64_t now_us, std::uint64_t lifetime_us) {
    rotate(now_us, lifetime_us);
    for (const Key& key : keys_)
        if (key.born_us != 0 && std::memcmp(key.name.data(), name, key.name.size()) == 0) return &key;
    return nullptr;
}

std::string TicketKeys::export_keys() const {
    static_assert(std::is_trivially_copyable_v<Key>);
    std::string text(kBlobMark);
    text.append(reinterpret_cast<const char*>(keys_.data()), sizeof keys_);
    return text;
}

bool TicketKeys::import_keys(std::string_view text) {
    if (text.size() != kBlobMark.size() + sizeof keys_ || !text.starts_with(kBlobMark)) return false;
    std::memcpy(keys_.data(), text.data() + kBlobMark.size(), sizeof keys_);
    return true;
}

// --- sessions ---

SessionCache::~SessionCache() {
    while (!entries_.empty()) drop(entries_.begin());
}

void SessionCache::drop(Entries::iterator entry) {
    index_.erase(entry->id);
    OPENSSL_cleanse(entry->der.data(), entry->der.size());
    entries_.erase(entry);
}

void SessionCache::put(ssl_session_st& session, std::size_t limit) {
    unsigned length = 0;
    const auto* bytes = SSL_SESSION_get_id(&session, &length);
    Entry entry{std::string(reinterpret_cast<const char*>(bytes), length), ""};
    const int size = i2d_SSL_SESSION(&session, nullptr);
    if (size <= 0) return;
    entry.der.resize(static_cast<std::size_t>(size));
    auto* to = reinterpret_cast<unsigned char*>(entry.der.data());
    i2d_SSL_SESSION(&session, &to);
    remove(entry.id);
    entries_.push_front(std::move(entry));
    index_.emplace(entries_.front().id, entries_.begin());
    while (index_.size() > limit) drop(std::prev(entries_.end()));
}

TlsPtr<ssl_session_st> SessionCache::get(std::string_view id) {
    const auto found = index_.find(id);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    const std::string& der = found->second->der;
    const auto* from = reinterpret_cast<const unsigned char*>(der.data());
    return TlsPtr<SSL_SESSION>(d2i_SSL_SESSION(nullptr, &from, static_cast<long>(der.size())));
}

void SessionCache::remove(std::string_view id) {
    if (const auto found = index_.find(id); found != index_.end()) drop(found->second);
}

// --- the self-signed certificate ---

TlsKeyPair TlsMemory::self_signed() {
    const std::lock_guard lock(mutex_);
    std::time_t soon = std::time(nullptr) + kRenewBefore;
    const bool usable = own_.certificate && X509_cmp_time(X509_get0_notAfter(own_.certificate.get()), &soon) > 0;
    if (!usable) own_ = make_self_signed();
    if (!own_.certificate) return {};
    X509_up_ref(own_.certificate.get());
    EVP_PKEY_up_ref(own_.key.get());
    return {TlsPtr<X509>(own_.certificate.get()), TlsPtr<EVP_PKEY>(own_.key.get())};
}

}  // namespace sluice
