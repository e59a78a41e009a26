// SPDX-License-Identifier: Apache-2.0
//
// The loop of a worker's thread, and how it is woken.

#include "netmem/stack/worker_thread.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "provider/posix_error.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<WorkerThread>> WorkerThread::Create(Worker* worker, Clock* clock,
                                                                   Owner* owner) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoToStatus(errno, "eventfd for a worker's thread");
  return std::unique_ptr<WorkerThread>(new WorkerThread(worker, clock, owner, std::move(wake)));
}

void WorkerThread::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void WorkerThread::Stop() {
  stop_.store(true, std::memory_order_seq_cst);
  Wake();
  if (thread_.joinable()) thread_.join();
}

void WorkerThread::Wake() {
  if (!asleep_.exchange(false, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

void WorkerThread::Run(const std::function<void()>& step) {
  Step entry{&step};
  std::unique_lock<std::mutex> lock(mutex_);
  steps_.push_back(&entry);
  lock.unlock();
  Wake();
  lock.lock();
  step_done_.wait(lock, [&entry] { return entry.done; });
}

void WorkerThread::Post(std::function<void()> step) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    posted_.push_back(std::move(step));
  }
  Wake();
}

bool WorkerThread::RunSteps() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (steps_.empty() && posted_.empty()) return false;
  while (!posted_.empty()) {
    const std::function<void()> step = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    step();
    lock.lock();
  }
  while (!steps_.empty()) {
    Step* step = steps_.front();
    steps_.pop_front();
    lock.unlock();
    (*step->run)();
    lock.lock();
    step->done = true;
    step_done_.notify_all();
  }
  return true;
}

void WorkerThread::Loop() {
  while (!stop_.load(std::memory_order_seq_cst)) {
    bool busy = RunSteps();
    const Nanos now = clock_->Now();
    busy |= worker_->Run(now) != 0;
    busy |= owner_->AfterRun(*worker_, now);
    if (!busy) Sleep();
  }
}

void WorkerThread::Sleep() {
  (void)asleep_.exchange(true, std::memory_order_acq_rel);
  // A last look, now that wakers see the flag.
  const Nanos now = clock_->Now();
  const bool found = RunSteps() || worker_->Run(now) != 0 || owner_->AfterRun(*worker_, now);
  if (!found && !stop_.load(std::memory_order_seq_cst)) {
    const std::array<int, 2> fds = {worker_->fd(), wake_.get()};
    clock_->Wait(fds, std::min(worker_->NextDeadline(), owner_->NextCall(*worker_, now)));
  }
  (void)asleep_.exchange(false, std::memory_order_acq_rel);
  uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof(count));
}

}  // namespace devmem
