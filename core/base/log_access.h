#pragma once
// AccessWriter: collects access lines and writes them in batches, in a thread of its own; owned by the log.
// One system call a batch instead of a wake-up for each request, and a queue of its own, so that a flood of requests
// cannot push a warning out of the log's queue. It dies with stop(), after writing what it holds.
// The caller of add() never waits for the file; opening it is this thread's work too.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/log.h"

namespace sluice::log {

class AccessWriter {
public:
    AccessWriter();
    ~AccessWriter() { stop(); }
    AccessWriter(const AccessWriter&) = delete;
    AccessWriter& operator=(const AccessWriter&) = delete;

    void add(std::string_view line, std::initializer_list<Field> fields);
    void set_path(const std::string& path);
    void reopen();
    void stop();  // writes what it holds; nothing may be added after it
    std::uint64_t lost() const;

private:
    // Where to, then what.
    struct Batch {
        std::string path;
        bool reopen = false;
        std::string lines;

        void add(std::string_view line, std::initializer_list<Field> fields);
    };
    using Batches = std::vector<Batch>;

    Batch& begin_batch();
    void run();
    bool wait();
    Batches take();
    void write(const Batch& batch);
    void write_to_file(std::string_view lines);
    void open(const Batch& batch);
    int open_file() const;
    void close();
    void count_lost(std::size_t lines, int error);
    void report();

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    // Guarded by mutex_.
    Batches pending_{Batch{}};  // never empty: the last one takes what comes
    std::size_t pending_bytes_ = 0;
    bool ended_ = false;
    std::uint64_t lost_ = 0;

    // The thread's own.
    std::string path_;
    int fd_ = -1;
    int open_error_ = 0;  // 0: fd_ is the file of that path
    int error_ = 0;       // of the last writing
    bool torn_ = false;   // the file ends in half a line
    std::uint64_t reported_ = 0;
    std::chrono::steady_clock::time_point next_report_;
    std::thread thread_;
};

}  // namespace sluice::log
