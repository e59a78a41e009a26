// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as messages of a vfio-user client to a whole device: nothing outside the device's
// regions and the shared memory may be touched, and every refusal has an answer. Run by libFuzzer,
// and over its corpus by ctest.
//
// A message is a command (1 byte), its flags and how many descriptors of the guest's memory it
// brings (1 byte), the length of its body (2 bytes), and the body.

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "netmem/gvnic/gvnic_device.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/vfio_user_session.h"
#include "selftests/testing/gvnic_guest.h"

namespace devmem {
namespace {

constexpr size_t kHeadBytes = 4;
constexpr uint64_t kGuestBytes = 64u << 10;

std::unique_ptr<GvnicDevice> MakeDevice() {
  GvnicOptions options;
  options.mac = MacAddress({2, 0, 0, 0, 0, 1});
  options.queues = 2;
  return *GvnicDevice::Create(options, [] { return Nanos{0}; });
}

void Greet(VfioUserSession& session) {
  VfioUserMessage message{.header = {.command = 1}, .body = std::vector<uint8_t>(5)};
  if (!session.Handle(message).ok()) std::abort();
}

// Returns how many bytes of `data` the message took.
size_t HandleOne(VfioUserSession& session, int memory_fd, std::span<const uint8_t> data) {
  VfioUserMessage message;
  message.header.command = data[0];
  message.header.flags = data[1] & 0x3f;
  const size_t fds = data[1] >> 6;
  for (size_t i = 0; i < fds; ++i) message.fds.emplace_back(::dup(memory_fd));
  const size_t body_bytes =
      std::min<size_t>(data.size() - kHeadBytes, data[2] + 256u * (data[3] & 0x3u));
  const auto body = data.subspan(kHeadBytes, body_bytes);
  message.body.assign(body.begin(), body.end());
  message.header.bytes = static_cast<uint32_t>(sizeof(VfioUserHeader) + body_bytes);
  const auto answer = session.Handle(message);
  if (!answer.ok() && VfioUserSession::ErrnoOf(answer.status()) == 0) std::abort();
  if (answer.ok() && answer->size() > kVfioUserMessageBytesMax) std::abort();
  return kHeadBytes + body_bytes;
}

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  testing::GvnicGuest guest(kGuestBytes);
  const std::unique_ptr<GvnicDevice> device = MakeDevice();
  VfioUserSession session(*device);
  // One input in two begins as every client should.
  if (size > 0 && (data[0] & 0x80) == 0) Greet(session);
  std::span<const uint8_t> rest(data, size);
  if (!rest.empty()) rest = rest.subspan(1);
  while (rest.size() >= kHeadBytes) rest = rest.subspan(HandleOne(session, guest.fd(), rest));
  device->ResetDevice();
  return 0;
}
