// SPDX-License-Identifier: Apache-2.0
//
// copy_baseline: what programs do today, to measure devmem against. Receives one connection with
// the kernel's TCP, recv() of up to 256 KiB into one bounce buffer, and copies that into a 64 MiB
// region of the same kind of memory, populated and locked like devmem's:
//
//   rising   memcpy to rising offsets, wrapping at the region's end: the ring buffer that users
//            write;
//   lifo     memcpy to what devmem's page pool hands out, given back at once: the same hot memory
//            that devmem's stack uses;
//   cuda     to rising offsets in a GPU's memory: recv() into a ring of pinned buffers, and
//            asynchronous copies from there (copy_to_gpu.h).
//
// It has no device, no bookkeeping and no abstraction to pay for, so it is as fast as a copy can
// be.

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netmem/page_pool.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"
#include "tools/blocking_tcp.h"
#include "tools/copy_to_gpu.h"
#include "tools/exit_codes.h"
#include "tools/json_object.h"
#include "tools/long_options.h"
#include "tools/parse_values.h"
#include "tools/process_time.h"

namespace devmem {
namespace {

constexpr char kUsage[] =
    R"(usage: copy_baseline --mode rising|lifo|cuda --listen ADDRESS [--port PORT]
                     [--region-size BYTES] [--ready-fd FD]
Receives one connection with recv() into one bounce buffer and a copy, and prints one JSON object:
mode, bytes, seconds, gbit_per_s, cpu_s, cpu_s_per_gb, region_bytes; with cuda also device.
Defaults: port 5201, 64M. --ready-fd: one byte is written there, and it is closed, when listening.
)";

constexpr size_t kBounceBytes = 256u << 10;

enum class Mode { kRising, kLifo, kCuda };
// In the order of Mode.
constexpr absl::string_view kModes[] = {"rising", "lifo", "cuda"};

struct Options {
  Mode mode = Mode::kRising;
  std::string listen;
  uint16_t port = 5201;
  uint64_t region_bytes = 64u << 20;
  int ready_fd = -1;
};

absl::StatusOr<Options> ParseOptions(int argc, const char* const* argv) {
  Options options;
  const LongOptions handlers = {
      {"--mode",
       [&](const std::string& text) {
         const auto mode = ParseChoice(text, "--mode", kModes);
         if (mode.ok()) options.mode = static_cast<Mode>(*mode);
         return mode.status();
       }},
      {"--listen",
       [&](const std::string& text) {
         options.listen = text;
         return absl::OkStatus();
       }},
      {"--port",
       [&](const std::string& text) {
         const auto port = ParseNumber(text, {"--port", 1, 65535});
         if (port.ok()) options.port = static_cast<uint16_t>(*port);
         return port.status();
       }},
      {"--region-size",
       [&](const std::string& text) {
         const auto bytes = ParseBytes(text, {"--region-size", 1u << 20, 1u << 30, "bytes"});
         if (bytes.ok()) options.region_bytes = *bytes;
         return bytes.status();
       }},
      {"--ready-fd",
       [&](const std::string& text) {
         const auto fd = ParseNumber(text, {"--ready-fd", 0, 1'000'000});
         if (fd.ok()) options.ready_fd = static_cast<int>(*fd);
         return fd.status();
       }},
  };
  const absl::Status parsed = ParseLongOptions(argc, argv, handlers);
  if (!parsed.ok()) return parsed;
  if (options.listen.empty()) return absl::InvalidArgumentError("--listen is missing");
  return options;
}

absl::StatusOr<uint8_t*> MapRegion(uint64_t bytes) {
  const UniqueFd memory(::memfd_create("copy_baseline", MFD_CLOEXEC));
  if (!memory.valid() || ::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "cannot make a memfd");
  }
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory.get(), 0);
  if (address == MAP_FAILED) {
    const int err = errno;
    return ErrnoToStatus(err, "cannot map a memfd");
  }
  (void)::mlock(address, bytes);
  return static_cast<uint8_t*>(address);
}

// Returns the number of bytes received, or -1 and errno.
int64_t ReceiveRising(int socket, uint8_t* region, uint64_t region_bytes, uint8_t* bounce) {
  int64_t total = 0;
  uint64_t offset = 0;
  for (;;) {
    const ssize_t got = ::recv(socket, bounce, kBounceBytes, 0);
    if (got <= 0) return got == 0 ? total : -1;
    const uint64_t bytes = static_cast<uint64_t>(got);
    const uint64_t before_end = std::min(bytes, region_bytes - offset);
    std::memcpy(region + offset, bounce, before_end);
    std::memcpy(region, bounce + before_end, bytes - before_end);
    offset = (offset + bytes) % region_bytes;
    total += got;
  }
}

int64_t ReceiveLifo(int socket, uint8_t* region, PagePool* pool, uint8_t* bounce) {
  std::array<Piece, kPostedRunsMax> pieces;
  int64_t total = 0;
  for (;;) {
    const ssize_t got = ::recv(socket, bounce, kBounceBytes, 0);
    if (got <= 0) return got == 0 ? total : -1;
    const uint32_t count = pool->Take(static_cast<uint32_t>(got), pieces);
    const uint8_t* from = bounce;
    for (uint32_t i = 0; i < count; ++i) {
      std::memcpy(region + pool->RegionOffset(pieces[i]), from, pieces[i].length_bytes);
      from += pieces[i].length_bytes;
    }
    for (uint32_t i = 0; i < count; ++i) pool->Put(pieces[i]);
    total += got;
  }
}

// A way to receive: from the connection's first byte to its end.
using Receiver = std::function<absl::StatusOr<uint64_t>(int socket)>;

absl::StatusOr<uint64_t> ReceivedOrErrno(int64_t bytes) {
  if (bytes >= 0) return static_cast<uint64_t>(bytes);
  const int err = errno;
  return ErrnoToStatus(err, "receiving broke off");
}

// Everything that is made before the peer connects.
absl::StatusOr<Receiver> MakeReceiver(const Options& options, std::string* device) {
  if (options.mode == Mode::kCuda) {
    absl::StatusOr<std::unique_ptr<CopyToGpu>> copy = CopyToGpu::Create(options.region_bytes);
    if (!copy.ok()) return copy.status();
    *device = (*copy)->device();
    return Receiver([copy = std::shared_ptr<CopyToGpu>(*std::move(copy))](int socket) {
      return copy->Receive(socket);
    });
  }
  const absl::StatusOr<uint8_t*> region = MapRegion(options.region_bytes);
  if (!region.ok()) return region.status();
  auto bounce = std::make_shared<std::vector<uint8_t>>(kBounceBytes);
  if (options.mode == Mode::kRising) {
    return Receiver([=, to = *region, bytes = options.region_bytes](int socket) {
      return ReceivedOrErrno(ReceiveRising(socket, to, bytes, bounce->data()));
    });
  }
  auto made = PagePool::Create({.bytes = options.region_bytes, .device = true}, kBounceBytes);
  if (!made.ok()) return made.status();
  return Receiver(
      [=, to = *region, pool = std::shared_ptr<PagePool>(*std::move(made))](int socket) {
        return ReceivedOrErrno(ReceiveLifo(socket, to, pool.get(), bounce->data()));
      });
}

absl::StatusOr<JsonObject> Receive(const Options& options) {
  std::string device;
  const absl::StatusOr<Receiver> receiver = MakeReceiver(options, &device);
  if (!receiver.ok()) return receiver.status();
  const auto socket = AcceptOne(options.listen, options.port, options.ready_fd);
  if (!socket.ok()) return socket.status();
  const double start = MonotonicSeconds();
  const double cpu_start = ProcessCpuSeconds();
  const absl::StatusOr<uint64_t> bytes = (*receiver)(socket->get());
  if (!bytes.ok()) return bytes.status();
  const double seconds = MonotonicSeconds() - start;
  const double cpu_s = ProcessCpuSeconds() - cpu_start;
  const double gb = static_cast<double>(*bytes) / 1e9;
  JsonObject json;
  json.Text("mode", std::string(kModes[static_cast<size_t>(options.mode)]));
  json.Number("bytes", *bytes);
  json.Fraction("seconds", seconds).Fraction("gbit_per_s", gb * 8 / seconds);
  json.Fraction("cpu_s", cpu_s).Fraction("cpu_s_per_gb", gb > 0 ? cpu_s / gb : 0);
  json.Number("region_bytes", options.region_bytes);
  if (!device.empty()) json.Text("device", device);
  return json;
}

int Main(int argc, const char* const* argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(kUsage, stdout);
    return kExitOk;
  }
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) {
    std::fprintf(stderr, "copy_baseline: %s\nTry copy_baseline --help\n",
                 std::string(options.status().message()).c_str());
    return kExitUsage;
  }
  const absl::StatusOr<JsonObject> report = Receive(*options);
  if (!report.ok()) {
    std::fprintf(stderr, "copy_baseline: %s\n", std::string(report.status().message()).c_str());
    return kExitFailed;
  }
  std::printf("%s\n", report->ToString().c_str());
  return kExitOk;
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) { return devmem::Main(argc, argv); }
