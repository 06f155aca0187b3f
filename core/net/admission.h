#pragma once
// Who may have a slot: asked when a connection is accepted, after its handshake, after a request's head, and when a
// request is dispatched upstream. A Limit says how many slots there are, a WaitQueue who is next when none is free.
// Both are interfaces, because limits that adapt and queues that are fair replace them without a change here.
// Not thread-safe; the Admission outlives its tickets and waiters.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/base/intrusive_list.h"
#include "core/net/reason.h"

namespace sluice {

// What became of the work that held a slot; limits may learn from it.
struct Outcome {
    int status = 0;                // of the protocol; 0 = none was reached
    std::uint64_t latency_us = 0;  // from admission to the end
    bool dropped = false;          // cut before it was done
};

class Limit {
public:
    virtual ~Limit() = default;
    virtual bool allows(std::uint64_t in_use) const = 0;  // may one more have a slot?
    virtual void observe(const Outcome& outcome) = 0;
};

class FixedLimit final : public Limit {
public:
    static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
    explicit FixedLimit(std::uint64_t slots = kUnlimited) : slots_(slots) {}
    bool allows(std::uint64_t in_use) const override { return in_use < slots_; }
    void observe(const Outcome&) override {}
    void set(std::uint64_t slots) { slots_ = slots; }
    std::uint64_t slots() const { return slots_; }

private:
    std::uint64_t slots_;
};

class Admission;

// A slot. Gives it back when it is destroyed or settled; an empty ticket holds none.
class Ticket {
public:
    Ticket() = default;
    explicit Ticket(Admission& admission) : admission_(&admission) {}
    Ticket(Ticket&& other) noexcept : admission_(other.admission_) { other.admission_ = nullptr; }
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { settle(Outcome{.dropped = true}); }

    explicit operator bool() const { return admission_ != nullptr; }
    void settle(const Outcome& outcome);

private:
    Admission* admission_ = nullptr;
};

struct WaitTag;
// Somebody in the queue. Leaves it when destroyed.
class Waiter : public ListNode<WaitTag> {
public:
    virtual void on_admitted(Ticket ticket) = 0;
    void leave();  // the queue, if it is in one

protected:
    ~Waiter() { leave(); }

private:
    friend class FifoQueue;
    using ListNode<WaitTag>::unlink;  // the queue is counted: see leave()
    std::size_t* length_ = nullptr;   // of the queue that it is in
};

class WaitQueue {
public:
    virtual ~WaitQueue() = default;
    virtual bool push(Waiter& waiter) = 0;  // false: full
    virtual Waiter* pop() = 0;              // the next to be served, or null
};

class FifoQueue final : public WaitQueue {
public:
    explicit FifoQueue(std::size_t capacity) : capacity_(capacity) {}
    bool push(Waiter& waiter) override;
    Waiter* pop() override;

private:
    IntrusiveList<Waiter, WaitTag> waiters_;
    std::size_t length_ = 0, capacity_;
};

class Admission {
public:
    enum class Verdict { admitted, queued, refused };
    struct Decision {
        Verdict verdict;
        Ticket ticket;  // when admitted
        Reason reason;  // when refused
    };

    // `full`: the reason given to those that are refused. queue may be null: nobody waits.
    Admission(Limit& limit, Reason full, std::unique_ptr<WaitQueue> queue = nullptr)
        : limit_(limit), full_(full), queue_(std::move(queue)) {}
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

    Decision admit(Waiter* waiter = nullptr);
    std::uint64_t in_use() const { return in_use_; }
    // Serves waiters while the limit allows it; to be called when the limit was raised.
    void serve_waiters();

private:
    friend class Ticket;
    void release(const Outcome& outcome);

    Limit& limit_;
    Reason full_;
    std::unique_ptr<WaitQueue> queue_;
    std::uint64_t in_use_ = 0;
};

}  // namespace sluice
