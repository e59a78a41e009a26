// SPDX-License-Identifier: Apache-2.0
// See fake_cuda_state.h and fake_cuda.h: what all calls share, and the table that tests steer by.
#include "provider/fake_cuda_state.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>

namespace devmem {

FakeState& TheFake() {
  static FakeState state;
  return state;
}

std::vector<CUcontext>& FakeCurrent() {
  thread_local std::vector<CUcontext> current;
  return current;
}

FakeCall::FakeCall(const char* name, Needs needs) : lock_(TheFake().mutex) {
  FakeState& fake = TheFake();
  ++fake.calls[name];
  const auto failure = fake.failures.find(name);
  if (failure != fake.failures.end() && failure->second.passing-- == 0) {
    result_ = failure->second.result;
    fake.failures.erase(failure);
  } else if (needs != kNothing && !fake.initialised) {
    result_ = CUDA_ERROR_NOT_INITIALIZED;
  } else if (needs == kContext && FakeCurrent().empty()) {
    result_ = FakeMisuse(CUDA_ERROR_INVALID_CONTEXT);
  } else if (needs == kContext) {
    ordinal_ = FakeCurrent().back()->ordinal;
    result_ = fake.lost[static_cast<size_t>(ordinal_)];
  }
}

CUresult FakeMisuse(CUresult result) {
  ++TheFake().counts.misuses;
  return result;
}

uint8_t* FakeAlias(CUdeviceptr address, size_t bytes) {
  auto& reservations = TheFake().reservations;
  auto after = reservations.upper_bound(address);
  if (after == reservations.begin()) return nullptr;
  const auto& [start, range] = *std::prev(after);
  const uint64_t offset = address - start;
  if (range.alias == nullptr || !range.accessible || offset > range.bytes ||
      bytes > range.bytes - offset) {
    return nullptr;
  }
  return range.alias + offset;
}

bool FakeIsRegistered(const void* address, size_t bytes) {
  const auto& ranges = TheFake().host_ranges;
  const uintptr_t start = reinterpret_cast<uintptr_t>(address);
  const auto after = ranges.upper_bound(start);
  if (after == ranges.begin()) return false;
  const auto& [base, length] = *std::prev(after);
  return start - base <= length && bytes <= length - (start - base);
}

int FakeWork(CUstream stream, int pieces) {
  int done = 0;
  while (done != pieces && !stream->work.empty()) {
    stream->work.front()();
    stream->work.pop_front();
    ++done;
  }
  return done;
}

namespace {

void Reset(int devices) {
  FakeState& fake = TheFake();
  const std::lock_guard<std::mutex> lock(fake.mutex);
  // Memory that a test lost on purpose is not given back by the code under test.
  for (auto& [address, range] : fake.reservations) {
    if (range.alias != nullptr) ::munmap(range.alias, range.bytes);
    ::munmap(reinterpret_cast<void*>(address), range.bytes);
  }
  for (auto& [handle, allocation] : fake.allocations) ::close(allocation.fd);
  for (const CUstream stream : fake.streams) delete stream;
  for (const CUevent event : fake.events) delete event;
  for (const CUmodule module : fake.modules) delete module;
  fake.reservations.clear();
  fake.allocations.clear();
  fake.streams.clear();
  fake.events.clear();
  fake.modules.clear();
  fake.host_ranges.clear();
  fake.failures.clear();
  fake.calls.clear();
  fake.counts = {};
  fake.pace = FakeCudaPace::kAtOnce;
  fake.driver_version = 13000;
  fake.devices.clear();
  fake.contexts.clear();
  const size_t count = static_cast<size_t>(devices);
  fake.lost.assign(count, CUDA_SUCCESS);
  fake.retained.assign(count, 0);
  for (int i = 0; i < devices; ++i) {
    FakeCudaDevice device = {};
    std::snprintf(device.name, sizeof(device.name), "Fake GPU %d", i);
    std::snprintf(device.pci_address, sizeof(device.pci_address), "0000:%dA:00.0", i + 1);
    device.uuid_first = static_cast<uint8_t>(0x10 * (i + 1));
    device.memory_bytes = uint64_t{64} << 20;
    device.virtual_memory = device.file_handles = device.dmabuf = true;
    fake.devices.push_back(device);
    fake.contexts.push_back(std::make_unique<CUctx_st>(CUctx_st{i}));
  }
}

FakeCudaDevice* Device(int ordinal) { return &TheFake().devices[static_cast<size_t>(ordinal)]; }

void SetDriverVersion(int version) { TheFake().driver_version = version; }

void SetPace(FakeCudaPace pace) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  TheFake().pace = pace;
}

void Run(int pieces) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  for (bool any = true; any && pieces > 0;) {
    any = false;
    for (const CUstream stream : TheFake().streams) {
      if (pieces > 0 && FakeWork(stream, 1) == 1) {
        --pieces;
        any = true;
      }
    }
  }
}

void Fail(const char* call, CUresult result, int passing) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  TheFake().failures[call] = {result, passing};
}

void Lose(int ordinal, CUresult result) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  TheFake().lost[static_cast<size_t>(ordinal)] = result;
  for (const CUstream stream : TheFake().streams) {
    if (stream->ordinal == ordinal) stream->work.clear();
  }
}

FakeCudaCounts Counts() {
  FakeState& fake = TheFake();
  const std::lock_guard<std::mutex> lock(fake.mutex);
  FakeCudaCounts counts = fake.counts;
  counts.contexts = 0;
  for (const int retained : fake.retained) counts.contexts += retained;
  counts.handles = static_cast<int>(fake.allocations.size());
  counts.reservations = counts.mappings = 0;
  for (const auto& [address, range] : fake.reservations) {
    if (range.by_alloc) continue;
    ++counts.reservations;
    if (range.alias != nullptr) ++counts.mappings;
  }
  counts.host_ranges = static_cast<int>(fake.host_ranges.size());
  counts.streams = static_cast<int>(fake.streams.size());
  counts.events = static_cast<int>(fake.events.size());
  counts.modules = static_cast<int>(fake.modules.size());
  return counts;
}

int Calls(const char* call) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  return TheFake().calls[call];
}

bool Peek(CUdeviceptr address, void* to, size_t bytes) {
  const std::lock_guard<std::mutex> lock(TheFake().mutex);
  const uint8_t* const from = FakeAlias(address, bytes);
  if (from != nullptr) std::memcpy(to, from, bytes);
  return from != nullptr;
}

}  // namespace
}  // namespace devmem

extern "C" [[gnu::visibility("default")]] const devmem::FakeCudaControl* fake_cuda_control() {
  static const devmem::FakeCudaControl control = {
      devmem::Reset, devmem::Device, devmem::SetDriverVersion, devmem::SetPace, devmem::Run,
      devmem::Fail,  devmem::Lose,   devmem::Counts,           devmem::Calls,   devmem::Peek};
  return &control;
}
