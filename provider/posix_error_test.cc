// SPDX-License-Identifier: Apache-2.0
// How a failed system call reads as a Status.
#include "provider/posix_error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace devmem {
namespace {

TEST(PosixErrorTest, TheMessageIsTheContextAndTheSystemsWords) {
  const absl::Status status = ErrnoToStatus(ENOENT, "open of /dev/net/tun");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "open of /dev/net/tun: No such file or directory");
}

TEST(PosixErrorTest, TheCodeTellsTheCallerWhatToDoNext) {
  EXPECT_EQ(ErrnoToStatus(EPERM, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoToStatus(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoToStatus(ENOMEM, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoToStatus(EINVAL, "x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrnoToStatus(EAGAIN, "x").code(), absl::StatusCode::kUnavailable);
}

TEST(PosixErrorTest, NoErrorNumberIsStillAFailure) {
  const absl::Status status = ErrnoToStatus(0, "ioctl");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(std::string(status.message()), "ioctl: failed with errno 0");
}

}  // namespace
}  // namespace devmem
