// SPDX-License-Identifier: Apache-2.0
//
// A thread that runs one worker: turn after turn while there is work, asleep on the queue's
// descriptor and an eventfd while there is none. Everything of the worker belongs to this thread;
// others hand it steps to run (control path) or fill rings and wake it.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/stack/clock.h"
#include "netmem/stack/worker.h"
#include "provider/unique_fd.h"

namespace devmem {

class WorkerThread {
 public:
  // What the owner does between turns, on the worker's thread.
  class Owner {
   public:
    virtual ~Owner() = default;
    // After each turn: pass on what arrived, take what came back. Returns whether there was any.
    virtual bool AfterRun(Worker& worker, Nanos now) = 0;
    // When AfterRun() wants to be called next although nothing else happens; kNever as a rule.
    virtual Nanos NextCall(const Worker& worker, Nanos now) = 0;
  };

  // Makes the object; Start() makes the thread. All pointers outlive it. Errors: the eventfd's.
  static absl::StatusOr<std::unique_ptr<WorkerThread>> Create(Worker* worker, Clock* clock,
                                                              Owner* owner);
  ~WorkerThread() { Stop(); }
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  void Start();
  // Ends the thread after the turn that it is in, and waits for that. Waking it stays allowed.
  void Stop();

  // Runs `step` on the thread between two turns, and waits for it. Any other thread.
  void Run(const std::function<void()>& step);
  // The same without waiting for it; never run when the thread stops first.
  void Post(std::function<void()> step);
  // Makes a sleeping thread take a turn. Any thread. A ring that was filled before this call is
  // seen by that turn.
  void Wake();

 private:
  struct Step {
    const std::function<void()>* run;
    bool done = false;
  };

  WorkerThread(Worker* worker, Clock* clock, Owner* owner, UniqueFd wake)
      : worker_(worker), clock_(clock), owner_(owner), wake_(std::move(wake)) {}

  void Loop();
  bool RunSteps();
  void Sleep();

  Worker* const worker_;
  Clock* const clock_;
  Owner* const owner_;
  const UniqueFd wake_;
  std::atomic<bool> stop_{false};
  // True from before the thread's last look at its rings until it is awake again. Written by
  // exchanges only, so that each one sees what came before the ones before it: either the waker's
  // comes first, and the sleeper's last look sees the filled ring, or the waker finds the flag up.
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable step_done_;
  std::deque<Step*> steps_;                   // Guarded by mutex_.
  std::deque<std::function<void()>> posted_;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace devmem
