#include "daemon/background.h"

#include <memory>

namespace sluice {

namespace {
struct Job {
    uv_work_t request;
    std::function<void()> work, done;
};
}  // namespace

void in_background(EventLoop& loop, std::function<void()> work, std::function<void()> done) {
    auto* job = new Job{{}, std::move(work), std::move(done)};
    job->request.data = job;
    uv_queue_work(
        loop.raw(), &job->request, [](uv_work_t* request) { static_cast<Job*>(request->data)->work(); },
        [](uv_work_t* request, int) {
            const std::unique_ptr<Job> finished(static_cast<Job*>(request->data));
            finished->done();
        });
}

}  // namespace sluice
