// SPDX-License-Identifier: Apache-2.0
// How tests steer the fake CUDA driver: a shared library with the driver's calls (fake_cuda_*.cc),
// whose devices live in host memory. What it gives out as a device address is a range that the
// processor cannot touch, so code that reads device memory directly crashes; copies run when the
// test says, take their bytes at that moment, and every object that is not given back is counted.
// Tests load it like the real driver and find this table under kFakeCudaSymbol. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "provider/cuda_abi.h"

namespace devmem {

inline constexpr char kFakeCudaSymbol[] = "fake_cuda_control";

// How many devices there are before a test says so: for programs that are given the fake driver by
// DEVMEM_CUDA_LIBRARY. None otherwise.
inline constexpr char kFakeCudaDevicesVariable[] = "FAKE_CUDA_DEVICES";

// What one device claims to be. Changed by a test before it is asked.
struct FakeCudaDevice {
  char name[64];
  char pci_address[32];  // As the driver spells it: "0000:65:00.0", in capitals.
  uint8_t uuid_first;    // The first of sixteen bytes; the others count up from it.
  uint64_t memory_bytes;
  bool virtual_memory;
  bool file_handles;
  bool dmabuf;
};

// Objects that exist now, and sums since reset().
struct FakeCudaCounts {
  int contexts;  // Retained and not released.
  int current;   // Pushed on some thread and not popped.
  int handles;
  int reservations;
  int mappings;
  int allocations;  // By cuMemAlloc.
  int host_ranges;  // Registered.
  int streams;
  int events;
  int modules;
  int copies;           // Queued since reset().
  int pageable_copies;  // Of these, from or to host memory that was not registered.
  int launches;
  int misuses;  // Calls that the driver would take for a broken program: unknown objects, memory
                // that is freed while mapped, copies outside a mapping.
};

// What has to be zero when everything was given back.
inline int LeftOver(const FakeCudaCounts& counts) {
  return counts.contexts + counts.current + counts.handles + counts.reservations + counts.mappings +
         counts.allocations + counts.host_ranges + counts.streams + counts.events + counts.modules +
         counts.misuses;
}

// How devices work through what is queued on their streams.
enum class FakeCudaPace {
  kAtOnce,   // Everything is done when somebody asks for an event, or waits.
  kStep,     // Each question about an event does one piece of work.
  kOnOrder,  // Only run() does, and who waits for a stream.
};

struct FakeCudaControl {
  // Forgets everything and offers so many devices, all of them able to do everything.
  void (*reset)(int devices);
  FakeCudaDevice* (*device)(int ordinal);
  void (*set_driver_version)(int version);
  void (*set_pace)(FakeCudaPace pace);
  // Does so many pieces of work, of all streams in turn.
  void (*run)(int pieces);
  // The call of that name fails with `result`, once, after `passing` calls of it that pass.
  void (*fail)(const char* call, CUresult result, int passing);
  // From now on every call that concerns the device answers `result`, and its work is dropped.
  void (*lose)(int ordinal, CUresult result);
  FakeCudaCounts (*counts)();
  // How often a call was made since reset().
  int (*calls)(const char* call);
  // Copies bytes of device memory out, as they are now. False: nothing is mapped there.
  bool (*peek)(CUdeviceptr address, void* to, size_t bytes);
};

}  // namespace devmem

extern "C" const devmem::FakeCudaControl* fake_cuda_control();
