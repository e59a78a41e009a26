// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as commands of the admin queue, with doorbells and packets between them: each command
// is answered, and nothing but the guest's memory is touched. Run by libFuzzer, and over its corpus
// by ctest.
//
// An action is a byte that says which: a command (its opcode, a mask of the 64-bit fields whose
// value is made an address in the guest's memory, and 56 bytes of body), a doorbell (its number and
// 2 bytes of value), or a packet of 64 bytes from the network.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "netmem/gvnic/gvnic_device.h"
#include "selftests/testing/gvnic_driver.h"
#include "selftests/testing/gvnic_guest.h"

namespace devmem {
namespace {

constexpr uint64_t kGuestBytes = 256u << 10;
constexpr size_t kCommandBytes = 2 + kAdminBodyBytes;
constexpr size_t kDoorbellActionBytes = 4;
constexpr size_t kPacketBytes = 64;

struct World {
  testing::GvnicGuest guest{kGuestBytes};
  std::unique_ptr<GvnicDevice> device;
  std::unique_ptr<testing::GvnicDriver> driver;

  World() {
    GvnicOptions options;
    options.mac = MacAddress({2, 0, 0, 0, 0, 1});
    options.queues = 2;
    device = *GvnicDevice::Create(options, [] { return Nanos{0}; });
    const uint64_t base = testing::GvnicGuest::kBase;
    if (!device->memory().Map(base, kGuestBytes, guest.fd(), 0, true).ok()) std::abort();
    driver = std::make_unique<testing::GvnicDriver>(testing::GvnicDriver::BusOf(*device), guest);
    driver->Start();
    if (driver->ConfigureResources(4) != testing::kAdminPassed) std::abort();
  }

  // Bytes that a guest would take from its own memory seldom come about by chance.
  void Command(std::span<const uint8_t> bytes) {
    testing::AdminBody body;
    for (size_t i = 0; i < kAdminBodyBytes; ++i) body.Byte(i, bytes[2 + i]);
    for (size_t field = 0; field < kAdminBodyBytes / 8; ++field) {
      if ((bytes[1] >> field & 1) == 0) continue;
      const uint64_t word = LoadBe64(&bytes[2 + 8 * field]);
      body.Be64(8 * field, testing::GvnicGuest::kBase + word % (kGuestBytes + 64) / 64 * 64);
    }
    const uint32_t before = driver->event_counter();
    driver->Put(bytes[0] == 0xfe ? 0x101 : bytes[0], body);
    driver->Ring();
    if (driver->event_counter() != before + 1) std::abort();
  }
  void Packet(std::span<const uint8_t> bytes) {
    device->data_path().Receive({.bytes = {bytes.begin(), bytes.end()}});
    device->data_path().EndBatch();
  }
};

// Returns how many bytes of `data` the action took; 0: too few are left.
size_t ActOnce(World& world, std::span<const uint8_t> data) {
  const uint8_t kind = data[0] & 3;
  const std::span<const uint8_t> rest = data.subspan(1);
  const size_t bytes = kind < 2 ? kCommandBytes : kind == 2 ? kDoorbellActionBytes : kPacketBytes;
  if (rest.size() < bytes) return 0;
  if (kind < 2) {
    world.Command(rest);
  } else if (kind == 2) {
    world.driver->WriteDoorbell((rest[0] + 256u * rest[1]) % (kBarBytes / kDoorbellBytes),
                                rest[2] + 256u * rest[3]);
  } else {
    world.Packet(rest.first(bytes));
  }
  return 1 + bytes;
}

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  World world;
  std::span<const uint8_t> rest(data, size);
  while (!rest.empty()) {
    const size_t taken = ActOnce(world, rest);
    if (taken == 0) break;
    rest = rest.subspan(taken);
  }
  world.driver->Reset();
  return 0;
}
