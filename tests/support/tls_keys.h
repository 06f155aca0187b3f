#pragma once
// Certificates, keys and OCSP responses for tests, made in memory, and a folder to put them in. An Authority and a
// TlsFolder are owned by the test; the folder is removed with it.

#include <filesystem>
#include <string>
#include <vector>

#include "core/net/tls_ptr.h"

namespace sluice::test {

struct Pem {
    std::string certificate, key;
};

enum class KeyKind { ecdsa, rsa, weak_rsa, ed25519 };

struct Wish {
    std::string common_name = "localhost";
    std::vector<std::string> hosts = {};  // DNS names and IP addresses; empty = no alternative names at all
    KeyKind kind = KeyKind::ecdsa;
    int from_days = -1, until_days = 90;  // from now
};

class Authority {
public:
    explicit Authority(const std::string& name = "Test Authority");
    Pem issue(const Wish& wish = {});
    const std::string& pem() const { return pem_; }
    // DER: that the certificate is good, for `seconds` from now.
    std::string ocsp_response(const std::string& certificate, long seconds = 3600) const;

private:
    TlsPtr<evp_pkey_st> key_;
    TlsPtr<x509_st> certificate_;
    std::string pem_;
    long next_serial_ = 100;
};

std::string encrypted_key(const std::string& pem);

class TlsFolder {
public:
    TlsFolder();
    TlsFolder(const TlsFolder&) = delete;
    TlsFolder& operator=(const TlsFolder&) = delete;
    ~TlsFolder();
    std::string write(const std::string& name, const std::string& content);  // its path; nobody else may read it
    std::string path(const std::string& name) const { return (folder_ / name).string(); }

private:
    std::filesystem::path folder_;
};

}  // namespace sluice::test
