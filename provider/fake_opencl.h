// SPDX-License-Identifier: Apache-2.0
// The controls of the fake OpenCL library (fake_opencl.cc), which tests load in place of the ICD
// loader's: a device with memory of its own, whose copies can be held back, fail or be counted. A
// test program links the library, so that both sides see the same device. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace devmem {

// One device of the fake platform.
struct FakeOpenClDevice {
  std::string name = "fake";
  std::string extensions = "";
  uint64_t type = 1u << 2;  // CL_DEVICE_TYPE_GPU
  uint64_t memory_bytes = 1 << 30;
  uint64_t buffer_bytes_max = 1 << 28;
  uint32_t available = 1;
  uint32_t pci_bus = 0;
};

struct FakeOpenCl {
  // The one that the library's functions use.
  static FakeOpenCl& Get();
  // What to give to an OpenClProvider.
  static std::string LibraryPath();

  // A platform with one device, nothing held back, nothing failing. Between tests.
  void Reset();

  // Lets the commands of all queues run; wakes who waits for them.
  void LetGo();
  // The same for the oldest command that waits.
  void LetOneGo();
  // Waits until so many threads wait for commands inside of Finish() and its like.
  void AwaitWaiters(int count);

  // --- What a test sets, under no lock before it starts threads ---
  bool has_platform = true;
  std::vector<FakeOpenClDevice> devices = {{}};
  int32_t context_error = 0;
  int32_t buffer_error = 0;
  int32_t fill_error = 0;  // The status with which the fill ends.
  int32_t queue_error = 0;
  int32_t write_error = 0;  // What the call of a write returns.
  int32_t build_error = 0;
  int32_t kernel_error = 0;  // The status with which kernels end.
  uint64_t fail_write = 0;   // The number (from 1) of the write that ends in an error.

  // --- What a test looks at, under mutex ---
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;  // Commands wait until told.
  std::deque<std::function<void()>> waiting;
  uint64_t writes = 0;  // Calls.
  uint64_t bytes_written = 0;
  uint64_t event_waits = 0;  // Calls of clWaitForEvents.
  int waiters = 0;
  int contexts_made = 0;
  int objects = 0;  // Alive, of every kind but devices.
};

}  // namespace devmem
