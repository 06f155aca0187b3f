#pragma once
// Owns a libuv handle. Two lifetimes never mix: the C++ owner may die at any time; the C struct lives on until libuv's
// close callback, which frees it and nothing else. After the owner's death `data` is null and no callback reaches it.

#include <uv.h>

#include <memory>

namespace sluice {

template <class Handle>
struct UvClose {
    void operator()(Handle* handle) const {
        handle->data = nullptr;
        uv_close(reinterpret_cast<uv_handle_t*>(handle), [](uv_handle_t* h) { delete reinterpret_cast<Handle*>(h); });
    }
};

// Only for handles that were initialised: uv_*_init must have succeeded before the UvPtr takes them.
template <class Handle>
using UvPtr = std::unique_ptr<Handle, UvClose<Handle>>;

}  // namespace sluice
