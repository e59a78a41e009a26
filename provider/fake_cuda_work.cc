// SPDX-License-Identifier: Apache-2.0
// See fake_cuda.h: the fake driver's streams, events, copies and kernels. Work waits in its stream
// until the pace lets it run, and a copy takes its bytes only then: whoever changes them before has
// a wrong result, as on the real device.
#include <cstring>

#include "provider/fake_cuda_state.h"

#pragma GCC visibility push(default)

namespace devmem {
namespace {

bool IsOf(CUstream stream, int ordinal) {
  return TheFake().streams.count(stream) == 1 && stream->ordinal == ordinal;
}

// The legacy default stream, made when it is first used.
CUstream Default(int ordinal) {
  static std::map<int, CUstream_st> streams;
  return &streams.try_emplace(ordinal, CUstream_st{ordinal, {}}).first->second;
}

// The work of a stream that is known here; null for a stranger's.
CUstream Known(CUstream stream, int ordinal) {
  if (stream == nullptr) return Default(ordinal);
  return IsOf(stream, ordinal) ? stream : nullptr;
}

void Queue(CUstream stream, std::function<void()> work) {
  stream->work.push_back(std::move(work));
  // Nobody steers the default stream: what is given to it is done.
  if (TheFake().streams.count(stream) == 0) FakeWork(stream, -1);
}

CUresult QueueCopy(CUstream stream, int ordinal, CUdeviceptr device, void* to, const void* from,
                   size_t bytes) {
  const CUstream known = Known(stream, ordinal);
  uint8_t* const alias = FakeAlias(device, bytes);
  if (known == nullptr || alias == nullptr) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  void* const target = to == nullptr ? alias : to;
  const void* const source = from == nullptr ? alias : from;
  ++TheFake().counts.copies;
  const bool pinned = FakeIsRegistered(to == nullptr ? from : to, bytes);
  if (!pinned) ++TheFake().counts.pageable_copies;
  Queue(known, [target, source, bytes] { std::memcpy(target, source, bytes); });
  // The real driver, too, is done with pageable memory when it returns.
  if (!pinned) FakeWork(known, -1);
  return CUDA_SUCCESS;
}

}  // namespace

extern "C" {

CUresult cuStreamCreate(CUstream* stream, unsigned /*flags*/) {
  const FakeCall call("cuStreamCreate");
  if (call.result() != CUDA_SUCCESS) return call.result();
  *stream = new CUstream_st{call.ordinal(), {}};
  TheFake().streams.insert(*stream);
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  const FakeCall call("cuStreamSynchronize");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const CUstream known = Known(stream, call.ordinal());
  if (known == nullptr) return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
  FakeWork(known, -1);
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  const FakeCall call("cuStreamDestroy", FakeCall::kInit);
  if (TheFake().streams.erase(stream) == 0) return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
  delete stream;
  return call.result();
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  const FakeCall call("cuEventCreate");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (flags != kCuEventDisableTiming) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  *event = new CUevent_st{.ordinal = call.ordinal()};
  TheFake().events.insert(*event);
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  const FakeCall call("cuEventRecord");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const CUstream known = Known(stream, call.ordinal());
  if (known == nullptr || TheFake().events.count(event) == 0 || event->ordinal != known->ordinal) {
    return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
  }
  ++*event->pending;
  Queue(known, [pending = event->pending] { --*pending; });
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
  const FakeCall call("cuEventQuery");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (TheFake().events.count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
  if (*event->pending > 0 && TheFake().pace != FakeCudaPace::kOnOrder) {
    const int pieces = TheFake().pace == FakeCudaPace::kStep ? 1 : -1;
    for (const CUstream stream : TheFake().streams) {
      if (stream->ordinal == event->ordinal) FakeWork(stream, pieces);
    }
  }
  return *event->pending > 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
  const FakeCall call("cuEventDestroy", FakeCall::kInit);
  if (TheFake().events.erase(event) == 0) return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
  delete event;
  return call.result();
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  const FakeCall call("cuMemcpyHtoDAsync");
  if (call.result() != CUDA_SUCCESS) return call.result();
  return QueueCopy(stream, call.ordinal(), to, nullptr, from, bytes);
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  const FakeCall call("cuMemcpyDtoHAsync");
  if (call.result() != CUDA_SUCCESS) return call.result();
  return QueueCopy(stream, call.ordinal(), from, to, nullptr, bytes);
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
  const FakeCall call("cuMemsetD8");
  if (call.result() != CUDA_SUCCESS) return call.result();
  uint8_t* const alias = FakeAlias(to, bytes);
  if (alias == nullptr) return FakeMisuse(CUDA_ERROR_ILLEGAL_ADDRESS);
  std::memset(alias, value, bytes);
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  const FakeCall call("cuModuleLoadData");
  if (call.result() != CUDA_SUCCESS) return call.result();
  *module = new CUmod_st{static_cast<const char*>(image), {}};
  TheFake().modules.insert(*module);
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) {
  const FakeCall call("cuModuleUnload", FakeCall::kInit);
  if (TheFake().modules.erase(module) == 0) return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
  delete module;
  return call.result();
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  const FakeCall call("cuModuleGetFunction");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const std::string entry = std::string(".entry ") + name + "(";
  if (module->image.find(entry) == std::string::npos) return CUDA_ERROR_NOT_FOUND;
  auto& slot = module->functions[name];
  if (slot == nullptr) slot = std::make_unique<CUfunc_st>(CUfunc_st{name});
  *function = slot.get();
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned /*grid_y*/,
                        unsigned /*grid_z*/, unsigned block_x, unsigned /*block_y*/,
                        unsigned /*block_z*/, unsigned /*shared_bytes*/, CUstream stream,
                        void** parameters, void** /*extra*/) {
  const FakeCall call("cuLaunchKernel");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const CUstream known = Known(stream, call.ordinal());
  if (known == nullptr || grid_x != 1 || block_x != 1) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  ++TheFake().counts.launches;
  return FakeLaunch(function->name, parameters, known);
}

}  // extern "C"
}  // namespace devmem

#pragma GCC visibility pop
