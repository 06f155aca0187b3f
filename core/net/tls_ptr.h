#pragma once
// Owning pointers to OpenSSL's objects, for headers that must not include it: the deleter knows which free belongs to
// which type. Null is allowed, as with any unique_ptr.

#include <memory>

struct bio_st;
struct bio_method_st;
struct evp_cipher_st;
struct evp_md_ctx_st;
struct evp_pkey_st;
struct ocsp_basic_response_st;
struct ocsp_response_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;
struct stack_st_GENERAL_NAME;
struct stack_st_X509_NAME;
struct x509_st;
struct x509_store_st;

namespace sluice {

struct TlsFree {
    void operator()(bio_st* object) const;
    void operator()(bio_method_st* object) const;
    void operator()(evp_cipher_st* object) const;
    void operator()(evp_md_ctx_st* object) const;
    void operator()(evp_pkey_st* object) const;
    void operator()(ocsp_basic_response_st* object) const;
    void operator()(ocsp_response_st* object) const;
    void operator()(ssl_ctx_st* object) const;
    void operator()(ssl_session_st* object) const;
    void operator()(ssl_st* object) const;
    void operator()(stack_st_GENERAL_NAME* object) const;
    void operator()(stack_st_X509_NAME* object) const;
    void operator()(x509_st* object) const;
    void operator()(x509_store_st* object) const;
};

template <class T>
using TlsPtr = std::unique_ptr<T, TlsFree>;

}  // namespace sluice
