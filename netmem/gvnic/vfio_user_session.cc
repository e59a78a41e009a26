// SPDX-License-Identifier: Apache-2.0
//
// The commands of vfio-user, one function each. Runs on the thread of the device.

#include "netmem/gvnic/vfio_user_session.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/limits.h"

namespace devmem {
namespace {

constexpr uint16_t kMajorVersion = 0;

absl::Status TooShort(const VfioUserMessage& message, size_t bytes_min) {
  return absl::InvalidArgumentError(absl::StrCat("vfio-user command ", message.header.command,
                                                 " has a body of ", message.body.size(),
                                                 " bytes; it needs ", bytes_min));
}

}  // namespace

absl::StatusOr<std::span<const uint8_t>> VfioUserSession::Handle(VfioUserMessage& message) {
  answer_.clear();
  const auto command = static_cast<VfioUserCommand>(message.header.command);
  if ((message.header.flags & VfioUserHeader::kTypeMask) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a vfio-user message with the flags 0x", absl::Hex(message.header.flags),
        " is no command, and this server has asked for nothing that could be answered"));
  }
  if (!has_version_ && command != VfioUserCommand::kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("vfio-user command ", message.header.command,
                                                      " came before VERSION; send that first"));
  }
  absl::Status done = absl::UnimplementedError(absl::StrCat(
      "vfio-user command ", message.header.command, " is none that this server knows"));
  switch (command) {
    case VfioUserCommand::kVersion: done = HandleVersion(message); break;
    case VfioUserCommand::kDmaMap: done = HandleDmaMap(message); break;
    case VfioUserCommand::kDmaUnmap: done = HandleDmaUnmap(message); break;
    case VfioUserCommand::kDeviceGetInfo: done = HandleDeviceInfo(); break;
    case VfioUserCommand::kGetRegionInfo: done = HandleRegionInfo(message); break;
    case VfioUserCommand::kGetIrqInfo: done = HandleIrqInfo(message); break;
    case VfioUserCommand::kSetIrqs: done = HandleSetIrqs(message); break;
    case VfioUserCommand::kRegionRead: done = HandleRegionRead(message); break;
    case VfioUserCommand::kRegionWrite: done = HandleRegionWrite(message); break;
    case VfioUserCommand::kDeviceReset:
      device_.ResetDevice();
      done = absl::OkStatus();
      break;
  }
  if (!done.ok()) return done;
  return std::span<const uint8_t>(answer_);
}

uint32_t VfioUserSession::ErrnoOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return 0;
    case absl::StatusCode::kAlreadyExists: return EEXIST;
    case absl::StatusCode::kNotFound: return ENOENT;
    case absl::StatusCode::kResourceExhausted: return ENOSPC;
    case absl::StatusCode::kUnimplemented: return ENOTSUP;
    case absl::StatusCode::kPermissionDenied: return EPERM;
    default: return EINVAL;
  }
}

// The client's capabilities are of no interest: this server sends no commands of its own and reads
// guest memory directly. What it says of itself keeps the client's messages within its bounds.
absl::Status VfioUserSession::HandleVersion(const VfioUserMessage& message) {
  const auto version = LoadVfioUser<VfioUserVersion>(message.body);
  if (!version) return TooShort(message, sizeof(VfioUserVersion));
  if (version->major != kMajorVersion) {
    return absl::InvalidArgumentError(absl::StrCat("vfio-user version ", version->major, ".",
                                                   version->minor, " is not version ",
                                                   kMajorVersion, ", which this server speaks"));
  }
  const std::string text =
      absl::StrCat("{\"capabilities\":{\"max_msg_fds\":", kVfioUserFdsMax,
                   ",\"max_data_xfer_size\":", kVfioUserTransferBytesMax, "}}");
  Answer(VfioUserVersion{kMajorVersion, 0});
  answer_.insert(answer_.end(), text.begin(), text.end());
  answer_.push_back(0);
  has_version_ = true;
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleDmaMap(const VfioUserMessage& message) {
  const auto map = LoadVfioUser<VfioUserDmaMap>(message.body);
  if (!map) return TooShort(message, sizeof(VfioUserDmaMap));
  if (message.fds.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("DMA_MAP came with ", message.fds.size(),
                                                   " descriptors; a range lies in one file"));
  }
  const bool is_shared = !message.fds.empty() && (map->flags & VfioUserDmaMap::kRead) != 0;
  const int fd = is_shared ? message.fds.front().get() : -1;
  const bool writable = (map->flags & VfioUserDmaMap::kWrite) != 0;
  const absl::Status mapped = device_.memory().Map(map->address, map->bytes, fd,
                                                   is_shared ? map->file_offset : 0, writable);
  if (mapped.ok()) Answer(*map);
  return mapped;
}

absl::Status VfioUserSession::HandleDmaUnmap(const VfioUserMessage& message) {
  const auto unmap = LoadVfioUser<VfioUserDmaUnmap>(message.body);
  if (!unmap) return TooShort(message, sizeof(VfioUserDmaUnmap));
  if ((unmap->flags & VfioUserDmaUnmap::kAll) != 0) {
    device_.memory().UnmapAll();
  } else {
    const absl::Status unmapped = device_.memory().Unmap(unmap->address, unmap->bytes);
    if (!unmapped.ok()) return unmapped;
  }
  Answer(*unmap);
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleDeviceInfo() {
  Answer(VfioUserDeviceInfo{.argument_bytes = sizeof(VfioUserDeviceInfo),
                            .flags = VfioUserDeviceInfo::kReset | VfioUserDeviceInfo::kPci,
                            .region_count = kVfioPciRegions,
                            .irq_count = kVfioPciIrqs});
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleRegionInfo(const VfioUserMessage& message) {
  const auto asked = LoadVfioUser<VfioUserRegionInfo>(message.body);
  if (!asked) return TooShort(message, sizeof(VfioUserRegionInfo));
  if (asked->region >= kVfioPciRegions) {
    return absl::OutOfRangeError(absl::StrCat("region ", asked->region, " does not exist; a PCI ",
                                              "device has regions 0 to ", kVfioPciRegions - 1));
  }
  const uint64_t bytes = device_.region_bytes(asked->region);
  constexpr uint32_t kBoth = VfioUserRegionInfo::kRead | VfioUserRegionInfo::kWrite;
  Answer(VfioUserRegionInfo{.argument_bytes = sizeof(VfioUserRegionInfo),
                            .flags = bytes == 0 ? 0 : kBoth,
                            .region = asked->region,
                            .bytes = bytes});
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleIrqInfo(const VfioUserMessage& message) {
  const auto asked = LoadVfioUser<VfioUserIrqInfo>(message.body);
  if (!asked) return TooShort(message, sizeof(VfioUserIrqInfo));
  if (asked->irq >= kVfioPciIrqs) {
    return absl::OutOfRangeError(absl::StrCat("interrupt kind ", asked->irq, " does not exist; a ",
                                              "PCI device has kinds 0 to ", kVfioPciIrqs - 1));
  }
  VfioUserIrqInfo info{.argument_bytes = sizeof(VfioUserIrqInfo), .irq = asked->irq};
  if (asked->irq == kVfioMsixIrq) {
    info.flags = VfioUserIrqInfo::kEventFd | VfioUserIrqInfo::kNoResize;
    info.count = device_.vector_count();
  }
  Answer(info);
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleSetIrqs(VfioUserMessage& message) {
  const auto set = LoadVfioUser<VfioUserSetIrqs>(message.body);
  if (!set) return TooShort(message, sizeof(VfioUserSetIrqs));
  // Kinds without vectors have nothing to set or to take away.
  const uint32_t vectors = set->irq == kVfioMsixIrq ? device_.vector_count() : 0;
  if (set->start > vectors || set->count > vectors - set->start) {
    return absl::OutOfRangeError(absl::StrCat("SET_IRQS names ", set->count, " vectors from ",
                                              set->start, " of interrupt kind ", set->irq,
                                              ", which has ", vectors));
  }
  if ((set->flags & VfioUserSetIrqs::kActionTrigger) == 0) {
    return absl::UnimplementedError(
        absl::StrCat("SET_IRQS with flags 0x", absl::Hex(set->flags),
                     " would mask vectors; the client keeps the MSI-X table and masks by itself"));
  }
  const bool takes_fds = (set->flags & VfioUserSetIrqs::kDataEventFd) != 0;
  const bool disables_all = (set->flags & VfioUserSetIrqs::kDataNone) != 0 && set->count == 0;
  if (!takes_fds && !disables_all) {
    return absl::UnimplementedError(absl::StrCat(
        "SET_IRQS with flags 0x", absl::Hex(set->flags), " and count ", set->count,
        " is neither an eventfd for a vector nor the end of all; it asks for a test interrupt"));
  }
  if (takes_fds && !message.fds.empty() && message.fds.size() != set->count) {
    return absl::InvalidArgumentError(absl::StrCat("SET_IRQS names ", set->count, " vectors and ",
                                                   "brings ", message.fds.size(), " eventfds"));
  }
  const uint32_t first = disables_all ? 0 : set->start;
  const uint32_t end = disables_all ? vectors : set->start + set->count;
  for (uint32_t vector = first; vector < end; ++vector) {
    UniqueFd eventfd;
    if (!message.fds.empty() && takes_fds) eventfd = std::move(message.fds[vector - first]);
    device_.SetVector(vector, std::move(eventfd));
  }
  return absl::OkStatus();
}

absl::Status VfioUserSession::CheckAccess(const VfioUserRegionAccess& access) const {
  const uint64_t bytes = access.region < kVfioPciRegions ? device_.region_bytes(access.region) : 0;
  if (access.bytes <= bytes && access.offset <= bytes - access.bytes &&
      access.bytes <= kVfioUserTransferBytesMax) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat("access to ", access.bytes, " bytes at offset ",
                                            access.offset, " of region ", access.region,
                                            ", which has ", bytes, " bytes"));
}

absl::Status VfioUserSession::HandleRegionRead(const VfioUserMessage& message) {
  const auto access = LoadVfioUser<VfioUserRegionAccess>(message.body);
  if (!access) return TooShort(message, sizeof(VfioUserRegionAccess));
  const absl::Status checked = CheckAccess(*access);
  if (!checked.ok()) return checked;
  Answer(*access);
  answer_.resize(sizeof(VfioUserRegionAccess) + access->bytes);
  device_.ReadRegion(access->region, access->offset,
                     std::span(answer_).subspan(sizeof(VfioUserRegionAccess)));
  return absl::OkStatus();
}

absl::Status VfioUserSession::HandleRegionWrite(const VfioUserMessage& message) {
  const auto access = LoadVfioUser<VfioUserRegionAccess>(message.body);
  if (!access) return TooShort(message, sizeof(VfioUserRegionAccess));
  const absl::Status checked = CheckAccess(*access);
  if (!checked.ok()) return checked;
  const auto data = std::span(message.body).subspan(sizeof(VfioUserRegionAccess));
  if (data.size() < access->bytes) {
    return TooShort(message, sizeof(VfioUserRegionAccess) + access->bytes);
  }
  device_.WriteRegion(access->region, access->offset, data.first(access->bytes));
  Answer(*access);
  return absl::OkStatus();
}

}  // namespace devmem
