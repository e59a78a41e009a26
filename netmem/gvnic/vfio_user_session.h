// SPDX-License-Identifier: Apache-2.0
//
// What a vfio-user server does with each command: it turns a message into calls of a PCI device and
// their outcome into an answer. It knows no socket, so that tests and fuzzers hand it messages.
// Called by the server on the thread of the device. QEMU, docs/interop/vfio-user.rst.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/vfio_user_connection.h"
#include "provider/unique_fd.h"

namespace devmem {

// A PCI device as vfio sees it. Offsets and sizes come checked: an access lies in its region.
class VfioUserDevice {
 public:
  virtual ~VfioUserDevice() = default;

  // Bytes of a BAR (0 to 5) or the configuration space (kVfioConfigRegion); 0: there is none.
  virtual uint64_t region_bytes(uint32_t region) const = 0;
  virtual void ReadRegion(uint32_t region, uint64_t offset, std::span<uint8_t> out) = 0;
  virtual void WriteRegion(uint32_t region, uint64_t offset, std::span<const uint8_t> in) = 0;

  virtual uint32_t vector_count() const = 0;  // Of MSI-X.
  // Where a vector's interrupts go from now on; a descriptor that owns nothing: nowhere.
  virtual void SetVector(uint32_t vector, UniqueFd eventfd) = 0;

  virtual GuestMemory& memory() = 0;
  // The reset of the whole machine: as new, but for the guest's memory.
  virtual void ResetDevice() = 0;
};

class VfioUserSession {
 public:
  // `device` outlives this object.
  explicit VfioUserSession(VfioUserDevice& device) : device_(device) {}

  // Does what the message asks for and returns the body of the answer, good until the next call.
  // Descriptors that are kept are taken out of the message.
  //
  // Errors: kFailedPrecondition  a command before VERSION.
  //         kUnimplemented       a command that this server does not know.
  //         kInvalidArgument     a body too short for its command, or one that says nonsense.
  //         kOutOfRange          a region, a vector or bytes of them that do not exist.
  //         others               as GuestMemory has them. Nothing is changed after any error.
  absl::StatusOr<std::span<const uint8_t>> Handle(VfioUserMessage& message);

  // The errno that says `status` to the client.
  static uint32_t ErrnoOf(const absl::Status& status);

 private:
  absl::Status HandleVersion(const VfioUserMessage& message);
  absl::Status HandleDmaMap(const VfioUserMessage& message);
  absl::Status HandleDmaUnmap(const VfioUserMessage& message);
  absl::Status HandleDeviceInfo();
  absl::Status HandleRegionInfo(const VfioUserMessage& message);
  absl::Status HandleIrqInfo(const VfioUserMessage& message);
  absl::Status HandleSetIrqs(VfioUserMessage& message);
  absl::Status HandleRegionRead(const VfioUserMessage& message);
  absl::Status HandleRegionWrite(const VfioUserMessage& message);
  absl::Status CheckAccess(const VfioUserRegionAccess& access) const;

  template <typename Body>
  void Answer(const Body& body) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&body);
    answer_.insert(answer_.end(), bytes, bytes + sizeof(body));
  }

  VfioUserDevice& device_;
  bool has_version_ = false;
  std::vector<uint8_t> answer_;
};

}  // namespace devmem
