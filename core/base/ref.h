#pragma once
// A counted reference for immutable snapshots that requests keep alive while they use them.
// Not thread-safe by design: a snapshot belongs to one loop. It is freed with its last reference.

#include <concepts>
#include <cstdint>
#include <utility>

namespace sluice {

class Counted {
public:
    Counted() = default;
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

private:
    template <class T>
    friend class Ref;
    mutable std::uint32_t references_ = 0;
};

template <class T>
class Ref {
public:
    Ref() = default;
    explicit Ref(T* object) : object_(object) { hold(); }
    Ref(const Ref& other) : object_(other.object_) { hold(); }
    template <class U>
    requires std::convertible_to<U*, T*> Ref(const Ref<U>& other) : object_(other.get()) { hold(); }
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() { release(); }

    T* get() const { return object_; }
    T* operator->() const { return object_; }
    T& operator*() const { return *object_; }
    explicit operator bool() const { return object_ != nullptr; }

private:
    void hold() {
        if (object_) ++object_->references_;
    }
    void release() {
        if (object_ && --object_->references_ == 0) delete object_;
    }
    T* object_ = nullptr;
};

template <class T, class... Args>
Ref<T> make_ref(Args&&... args) {
    return Ref<T>(new T{std::forward<Args>(args)...});
}

}  // namespace sluice
