// SPDX-License-Identifier: Apache-2.0
// The inside of the fake CUDA driver: what it remembers, shared by the files that answer its calls.
// Everything is guarded by one lock, which each call holds through a FakeCall.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "provider/cuda_abi.h"
#include "provider/fake_cuda.h"

// What the driver's opaque objects are here.
struct CUctx_st {
  int ordinal = 0;
};

struct CUevent_st {
  int ordinal = 0;
  // Records of it that are queued and not reached; the queue may outlive the event.
  std::shared_ptr<int> pending = std::make_shared<int>(0);
};

struct CUstream_st {
  int ordinal = 0;
  std::deque<std::function<void()>> work;
};

struct CUfunc_st {
  std::string name;
};

struct CUmod_st {
  std::string image;
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

namespace devmem {

// The unit in which the fake gives memory, the real driver's.
inline constexpr size_t kFakeCudaGranuleBytes = size_t{2} << 20;

struct FakeAllocation {
  int fd = -1;  // A memfd, which another process can import.
  size_t bytes = 0;
  int ordinal = 0;
  bool shareable = false;
};

// A range of device addresses: of the processor's address space, but out of its reach.
struct FakeReservation {
  size_t bytes = 0;
  // The same bytes where only the fake looks; null while nothing is mapped.
  uint8_t* alias = nullptr;
  int ordinal = 0;
  bool accessible = false;
  bool by_alloc = false;  // Of cuMemAlloc: goes as a whole.
};

struct FakeFailure {
  CUresult result = CUDA_SUCCESS;
  int passing = 0;
};

struct FakeState {
  std::mutex mutex;
  std::vector<FakeCudaDevice> devices;
  std::vector<CUresult> lost;                       // By ordinal; CUDA_SUCCESS while it is there.
  std::vector<std::unique_ptr<CUctx_st>> contexts;  // By ordinal, for ever.
  std::vector<int> retained;                        // By ordinal.
  std::map<uint64_t, FakeAllocation> allocations;   // By handle.
  std::map<CUdeviceptr, FakeReservation> reservations;
  std::map<uintptr_t, size_t> host_ranges;
  std::set<CUstream> streams;
  std::set<CUevent> events;
  std::set<CUmodule> modules;
  std::map<std::string, FakeFailure> failures;
  std::map<std::string, int> calls;
  FakeCudaPace pace = FakeCudaPace::kAtOnce;
  FakeCudaCounts counts = {};
  uint64_t last_handle = 0;
  int driver_version = 13000;
  bool initialised = false;
};

FakeState& TheFake();

// One call of the driver: holds the lock, counts the call, and finds out whether it fails.
class FakeCall {
 public:
  // Whether a call works without a context that is current on its thread.
  enum Needs { kNothing, kInit, kContext };

  explicit FakeCall(const char* name, Needs needs = kContext);

  // Anything but CUDA_SUCCESS is the answer of the call.
  CUresult result() const { return result_; }
  // Of the context that is current; only with kContext.
  int ordinal() const { return ordinal_; }

 private:
  const std::lock_guard<std::mutex> lock_;
  CUresult result_ = CUDA_SUCCESS;
  int ordinal_ = 0;
};

// Contexts that are current on this thread, the newest last.
std::vector<CUcontext>& FakeCurrent();

// A mistake of the program under test; answers with `result`.
CUresult FakeMisuse(CUresult result);

// Where [address, address + bytes) can be read and written here; null when it is not all mapped.
uint8_t* FakeAlias(CUdeviceptr address, size_t bytes);

// Whether [address, address + bytes) is registered as a whole.
bool FakeIsRegistered(const void* address, size_t bytes);

// Does up to `pieces` pieces of one stream's work, all of it with -1. Returns how many.
int FakeWork(CUstream stream, int pieces);

// Runs a kernel of the module on the processor.
CUresult FakeLaunch(const std::string& name, void** parameters, CUstream stream);

}  // namespace devmem
