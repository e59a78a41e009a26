// SPDX-License-Identifier: Apache-2.0
// See udmabuf.h.
#include "provider/udmabuf.h"

#include <fcntl.h>
#include <linux/udmabuf.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr char kDevice[] = "/dev/udmabuf";
constexpr char kSizeLimit[] = "/sys/module/udmabuf/parameters/size_limit_mb";
constexpr char kListLimit[] = "/sys/module/udmabuf/parameters/list_limit";

// What the driver's parameters are where nobody set them.
constexpr uint64_t kSizeLimitDefaultMib = 64;
constexpr uint64_t kListLimitDefault = 1024;

uint64_t SizeLimitMib(const SystemCalls& calls) {
  return calls.ReadNumber(kSizeLimit).value_or(kSizeLimitDefaultMib);
}

uint64_t ListLimit(const SystemCalls& calls) {
  return calls.ReadNumber(kListLimit).value_or(kListLimitDefault);
}

absl::StatusOr<UniqueFd> OpenDriver(const SystemCalls& calls) {
  UniqueFd driver = calls.Open(kDevice, O_RDWR);
  if (driver.valid()) return driver;
  const int err = errno;
  if (err == ENOENT || err == ENODEV || err == ENXIO) {
    return absl::UnavailableError(absl::StrCat(
        "there is no ", kDevice, ": the kernel's driver udmabuf is not loaded; as root run ",
        "`modprobe udmabuf`, or use a kernel with CONFIG_UDMABUF"));
  }
  if (err == EACCES || err == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat("no right to open ", kDevice,
                     "; join the group that owns it (as a rule kvm), "
                     "or run as root"));
  }
  return ErrnoToStatus(err, absl::StrCat("opening ", kDevice));
}

// The driver says EINVAL for each of its conditions; all but those of the kernel's version were
// checked before.
absl::Status Refused(const SystemCalls& calls, int err, uint64_t bytes) {
  const std::string what = absl::StrCat("making a dma-buf of ", bytes, " bytes with ", kDevice);
  if (err == EINVAL || err == EBADFD) {
    return absl::FailedPreconditionError(absl::StrCat(
        ErrnoToStatus(err, what).message(), "; this kernel's driver does not take the memory: ",
        "some versions take no huge pages, and size_limit_mb (", SizeLimitMib(calls),
        ") and list_limit (", ListLimit(calls), ") bound it; allocate small pages"));
  }
  return ErrnoToStatus(err, what);
}

}  // namespace

absl::StatusOr<std::string> ProbeUdmabuf(const SystemCalls& calls) {
  const absl::StatusOr<UniqueFd> driver = OpenDriver(calls);
  if (!driver.ok()) return driver.status();
  return absl::StrCat(kDevice, ", at most ", SizeLimitMib(calls), " MiB a dma-buf (size_limit_mb) ",
                      "in ", ListLimit(calls), " pieces (list_limit)");
}

absl::Status CheckUdmabufBytes(const SystemCalls& calls, uint64_t bytes) {
  const uint64_t limit_mib = SizeLimitMib(calls);
  const uint64_t wanted_mib = (bytes >> 20) + ((bytes & ((1u << 20) - 1)) != 0 ? 1 : 0);
  if (wanted_mib <= limit_mib) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      "a dma-buf of ", bytes, " bytes is refused: the driver udmabuf makes at most ", limit_mib,
      " MiB; as root run `echo ", wanted_mib, " > ", kSizeLimit, "`, or ask for less"));
}

absl::StatusOr<UniqueFd> CreateUdmabuf(const SystemCalls& calls, int memfd, uint64_t offset,
                                       uint64_t bytes) {
  const absl::StatusOr<UniqueFd> driver = OpenDriver(calls);
  if (!driver.ok()) return driver.status();
  absl::Status fits = CheckUdmabufBytes(calls, bytes);
  if (!fits.ok()) return fits;
  // One piece, so that list_limit is of no matter.
  struct udmabuf_create request = {};
  request.memfd = static_cast<uint32_t>(memfd);
  request.flags = UDMABUF_FLAGS_CLOEXEC;
  request.offset = offset;
  request.size = bytes;
  const int result = calls.Ioctl(driver->get(), UDMABUF_CREATE, &request);
  if (result >= 0) return UniqueFd(result);
  const int err = errno;
  return Refused(calls, err, bytes);
}

}  // namespace devmem
