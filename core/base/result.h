#pragma once
// Result<T> and Status: how core and protocols report failure. No exceptions are thrown there.
// An Error is a small value: what kind of failure, and the native code (errno, libuv, parser) behind it.

#include <string>
#include <tl/expected.hpp>

namespace sluice {

enum class Errc {
    closed,  // the peer ended the stream
    reset,   // the peer or the network cut the connection
    timed_out,
    refused,   // a limit or a rule said no
    protocol,  // the peer broke the protocol
    too_large,
    unsupported,
    address,  // not an address, or not available
    system,   // see native: an errno
};

struct Error {
    Errc code = Errc::system;
    int native = 0;  // errno (positive), 0 if there is none
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Errc code, int native = 0) { return tl::unexpected(Error{code, native}); }

// "connection reset (Connection reset by peer)", for logs.
std::string describe(const Error& error);

}  // namespace sluice
