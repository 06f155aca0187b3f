#pragma once
// A certificate for `certificate: self-signed`: good for a first look and for tests, trusted by nobody. Made in memory;
// the caller owns it.

#include "core/net/tls_ptr.h"

namespace sluice {

struct TlsKeyPair {
    TlsPtr<x509_st> certificate;
    TlsPtr<evp_pkey_st> key;
};

// ECDSA P-256 for localhost, 127.0.0.1 and ::1, valid for a year. Both null if OpenSSL fails.
TlsKeyPair make_self_signed();

}  // namespace sluice
