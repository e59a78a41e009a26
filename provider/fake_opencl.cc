// SPDX-License-Identifier: Apache-2.0
// See fake_opencl.h. The functions of OpenCL that devmem calls, with a device of host memory. A
// command runs when it is enqueued, or, while commands are held, when the test lets it; in the
// order of enqueueing either way. Kernels do nothing.
#include "provider/fake_opencl.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "provider/opencl_api.h"

namespace devmem {

// Every object counts itself, so that a test finds what was not given back.
struct FakeObject {
  FakeObject() { Count(1); }
  FakeObject(const FakeObject&) = delete;
  FakeObject& operator=(const FakeObject&) = delete;
  ~FakeObject() { Count(-1); }
  static void Count(int change) {
    FakeOpenCl& fake = FakeOpenCl::Get();
    const std::lock_guard<std::mutex> lock(fake.mutex);
    fake.objects += change;
  }
};

struct ClContextObject : FakeObject {};
struct ClQueueObject : FakeObject {};
struct ClProgramObject : FakeObject {};
struct ClKernelObject : FakeObject {};
struct ClMemObject : FakeObject {
  int references = 1;
  std::vector<uint8_t> bytes;
};
// The status, under the fake's mutex, is its command's as well: an event may go before that runs.
struct ClEventObject : FakeObject {
  std::shared_ptr<int32_t> status = std::make_shared<int32_t>(kClQueued);
};

FakeOpenCl& FakeOpenCl::Get() {
  static FakeOpenCl& fake = *new FakeOpenCl;
  return fake;
}

std::string FakeOpenCl::LibraryPath() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&FakeOpenCl::LibraryPath), &info) == 0) return "";
  return info.dli_fname;
}

void FakeOpenCl::Reset() {
  LetGo();
  const std::lock_guard<std::mutex> lock(mutex);
  has_platform = true;
  devices = {{}};
  context_error = buffer_error = fill_error = queue_error = write_error = build_error = 0;
  kernel_error = 0;
  fail_write = 0;
  held = false;
  writes = bytes_written = event_waits = 0;
  contexts_made = 0;
}

void FakeOpenCl::LetGo() {
  const std::lock_guard<std::mutex> lock(mutex);
  held = false;
  for (; !waiting.empty(); waiting.pop_front()) waiting.front()();
  changed.notify_all();
}

void FakeOpenCl::LetOneGo() {
  const std::lock_guard<std::mutex> lock(mutex);
  if (waiting.empty()) return;
  waiting.front()();
  waiting.pop_front();
  changed.notify_all();
}

void FakeOpenCl::AwaitWaiters(int count) {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return waiters >= count; });
}

namespace {

FakeOpenCl& Fake() { return FakeOpenCl::Get(); }

// The platform and the devices are known by addresses that are never followed.
ClPlatform ThePlatform() { return reinterpret_cast<ClPlatform>(&Fake()); }
ClDevice DeviceAt(size_t index) { return reinterpret_cast<ClDevice>(index + 1); }
const FakeOpenClDevice& FactsOf(ClDevice device) {
  return Fake().devices.at(reinterpret_cast<size_t>(device) - 1);
}

int32_t Answer(const void* from, size_t bytes, size_t room, void* to, size_t* needed) {
  if (needed != nullptr) *needed = bytes;
  if (to == nullptr) return kClSuccess;
  if (room < bytes) return kClInvalidValue;
  std::memcpy(to, from, bytes);
  return kClSuccess;
}

int32_t AnswerText(const std::string& text, size_t room, void* to, size_t* needed) {
  return Answer(text.c_str(), text.size() + 1, room, to, needed);
}

// Runs a command now or later, and gives its event to who wants one. The command returns the
// status with which it ends.
void Run(std::function<int32_t()> command, ClEvent* out) {
  std::shared_ptr<int32_t> status;
  if (out != nullptr) {
    *out = new ClEventObject;
    status = (*out)->status;
  }
  auto whole = [command = std::move(command), status] {
    const int32_t ended = command();
    if (status != nullptr) *status = ended;
  };
  FakeOpenCl& fake = Fake();
  const std::lock_guard<std::mutex> lock(fake.mutex);
  if (fake.held) {
    fake.waiting.push_back(std::move(whole));
  } else {
    whole();
  }
  fake.changed.notify_all();
}

template <typename Done>
void WaitUntil(Done done) {
  FakeOpenCl& fake = Fake();
  std::unique_lock<std::mutex> lock(fake.mutex);
  ++fake.waiters;
  fake.changed.notify_all();
  fake.changed.wait(lock, done);
  --fake.waiters;
}

template <typename Object>
Object Made(Object object, int32_t error, int32_t* code) {
  *code = error;
  return object;
}

}  // namespace
}  // namespace devmem

using namespace devmem;  // NOLINT: the functions below are C's, in no namespace.

extern "C" {

int32_t clGetPlatformIDs(uint32_t room, ClPlatform* platforms, uint32_t* count) {
  if (!Fake().has_platform) return kClPlatformNotFound;
  if (room > 0) platforms[0] = ThePlatform();
  *count = 1;
  return kClSuccess;
}

int32_t clGetPlatformInfo(ClPlatform, uint32_t, size_t room, void* to, size_t* needed) {
  return AnswerText("Fake Platform", room, to, needed);
}

int32_t clGetDeviceIDs(ClPlatform, uint64_t, uint32_t room, ClDevice* devices, uint32_t* count) {
  *count = static_cast<uint32_t>(Fake().devices.size());
  if (*count == 0) return kClDeviceNotFound;
  for (uint32_t i = 0; i < std::min(room, *count); ++i) devices[i] = DeviceAt(i);
  return kClSuccess;
}

int32_t clGetDeviceInfo(ClDevice device, uint32_t what, size_t room, void* to, size_t* needed) {
  const FakeOpenClDevice& facts = FactsOf(device);
  const uint32_t yes = 1;
  const ClPciBusInfo place = {0, facts.pci_bus, 0, 0};
  const uint32_t slot = 2 << 3 | 1;
  const uint32_t domain = 0x10;
  switch (what) {
    case kClDeviceName: return AnswerText(facts.name, room, to, needed);
    case kClDeviceExtensions: return AnswerText(facts.extensions, room, to, needed);
    case kClDeviceType: return Answer(&facts.type, 8, room, to, needed);
    case kClDeviceGlobalMemSize: return Answer(&facts.memory_bytes, 8, room, to, needed);
    case kClDeviceMaxMemAllocSize: return Answer(&facts.buffer_bytes_max, 8, room, to, needed);
    case kClDeviceAvailable: return Answer(&facts.available, 4, room, to, needed);
    case kClDeviceEndianLittle: return Answer(&yes, 4, room, to, needed);
    case kClDevicePciBusInfo: return Answer(&place, sizeof(place), room, to, needed);
    case kClDevicePciDomainIdNv: return Answer(&domain, 4, room, to, needed);
    case kClDevicePciBusIdNv: return Answer(&facts.pci_bus, 4, room, to, needed);
    case kClDevicePciSlotIdNv: return Answer(&slot, 4, room, to, needed);
    default: return kClInvalidValue;
  }
}

ClContext clCreateContext(const intptr_t*, uint32_t, const ClDevice*,
                          void (*)(const char*, const void*, size_t, void*), void*, int32_t* code) {
  if (Fake().context_error != 0) return Made<ClContext>(nullptr, Fake().context_error, code);
  ++Fake().contexts_made;
  return Made(new ClContextObject, kClSuccess, code);
}

int32_t clReleaseContext(ClContext context) {
  delete context;
  return kClSuccess;
}

ClQueue clCreateCommandQueue(ClContext, ClDevice, uint64_t, int32_t* code) {
  if (Fake().queue_error != 0) return Made<ClQueue>(nullptr, Fake().queue_error, code);
  return Made(new ClQueueObject, kClSuccess, code);
}

int32_t clReleaseCommandQueue(ClQueue queue) {
  delete queue;
  return kClSuccess;
}

ClMem clCreateBuffer(ClContext, uint64_t, size_t bytes, void*, int32_t* code) {
  if (Fake().buffer_error != 0) return Made<ClMem>(nullptr, Fake().buffer_error, code);
  ClMem memory = new ClMemObject;
  memory->bytes.assign(bytes, 0xDD);
  return Made(memory, kClSuccess, code);
}

int32_t clRetainMemObject(ClMem memory) {
  const std::lock_guard<std::mutex> lock(Fake().mutex);
  ++memory->references;
  return kClSuccess;
}

int32_t clReleaseMemObject(ClMem memory) {
  bool last = false;
  {
    const std::lock_guard<std::mutex> lock(Fake().mutex);
    last = --memory->references == 0;
  }
  if (last) delete memory;
  return kClSuccess;
}

int32_t clEnqueueFillBuffer(ClQueue, ClMem memory, const void* pattern, size_t, size_t offset,
                            size_t bytes, uint32_t, const ClEvent*, ClEvent* event) {
  const uint8_t value = *static_cast<const uint8_t*>(pattern);
  const int32_t status = Fake().fill_error;
  Run(
      [=] {
        if (status == kClSuccess) std::memset(&memory->bytes.at(offset), value, bytes);
        return status;
      },
      event);
  return kClSuccess;
}

int32_t clEnqueueWriteBuffer(ClQueue, ClMem memory, uint32_t, size_t offset, size_t bytes,
                             const void* from, uint32_t, const ClEvent*, ClEvent* event) {
  FakeOpenCl& fake = Fake();
  if (fake.write_error != 0) return fake.write_error;
  uint64_t number = 0;
  {
    const std::lock_guard<std::mutex> lock(fake.mutex);
    number = ++fake.writes;
  }
  if (bytes == 0 || offset + bytes > memory->bytes.size()) return kClInvalidValue;
  const int32_t status = number == fake.fail_write ? kClOutOfResources : kClSuccess;
  Run(
      [=, &fake] {
        if (status == kClSuccess) std::memcpy(&memory->bytes[offset], from, bytes);
        fake.bytes_written += bytes;
        return status;
      },
      event);
  return kClSuccess;
}

int32_t clFinish(ClQueue) {
  WaitUntil([] { return Fake().waiting.empty(); });
  return kClSuccess;
}

int32_t clEnqueueReadBuffer(ClQueue queue, ClMem memory, uint32_t, size_t offset, size_t bytes,
                            void* to, uint32_t, const ClEvent*, ClEvent*) {
  (void)clFinish(queue);
  const std::lock_guard<std::mutex> lock(Fake().mutex);
  std::memcpy(to, &memory->bytes.at(offset), bytes);
  return kClSuccess;
}

int32_t clFlush(ClQueue) { return kClSuccess; }

int32_t clWaitForEvents(uint32_t count, const ClEvent* events) {
  const auto ended = [](ClEvent event) { return *event->status <= kClComplete; };
  WaitUntil([=] { return std::all_of(events, events + count, ended); });
  const std::lock_guard<std::mutex> lock(Fake().mutex);
  ++Fake().event_waits;
  const bool bad = std::any_of(events, events + count, [](ClEvent e) { return *e->status < 0; });
  return bad ? kClErrorInWaitList : kClSuccess;
}

int32_t clGetEventInfo(ClEvent event, uint32_t, size_t room, void* to, size_t* needed) {
  const std::lock_guard<std::mutex> lock(Fake().mutex);
  return Answer(event->status.get(), sizeof(int32_t), room, to, needed);
}

int32_t clReleaseEvent(ClEvent event) {
  delete event;
  return kClSuccess;
}

ClProgram clCreateProgramWithSource(ClContext, uint32_t, const char**, const size_t*,
                                    int32_t* code) {
  return Made(new ClProgramObject, kClSuccess, code);
}

int32_t clBuildProgram(ClProgram, uint32_t, const ClDevice*, const char*,
                       void (*)(ClProgram, void*), void*) {
  return Fake().build_error;
}

int32_t clGetProgramBuildInfo(ClProgram, ClDevice, uint32_t, size_t room, void* to,
                              size_t* needed) {
  return AnswerText("line 7: no such intrinsic", room, to, needed);
}

int32_t clReleaseProgram(ClProgram program) {
  delete program;
  return kClSuccess;
}

ClKernel clCreateKernel(ClProgram, const char*, int32_t* code) {
  return Made(new ClKernelObject, kClSuccess, code);
}

int32_t clReleaseKernel(ClKernel kernel) {
  delete kernel;
  return kClSuccess;
}

int32_t clSetKernelArg(ClKernel, uint32_t, size_t, const void*) { return kClSuccess; }

int32_t clEnqueueNDRangeKernel(ClQueue, ClKernel, uint32_t, const size_t*, const size_t*,
                               const size_t*, uint32_t, const ClEvent*, ClEvent* event) {
  const int32_t status = Fake().kernel_error;
  Run([status] { return status; }, event);
  return kClSuccess;
}

}  // extern "C"
