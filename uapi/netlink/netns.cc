// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/netlink_error.h"

namespace devmem {

absl::Status InNetns(absl::string_view path, const std::function<absl::Status()>& function) {
  if (path.empty()) return function();
  const int fd = open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(absl::StrCat("network namespace ", path, ": ", ErrnoName(errno),
                                            "; name a file such as /run/netns/NAME"));
  }
  absl::Status status;
  std::thread([&] {
    if (setns(fd, CLONE_NEWNET) == 0) {
      status = function();
    } else if (errno == EPERM) {
      status = absl::PermissionDeniedError(
          absl::StrCat("entering the network namespace ", path,
                       " needs CAP_SYS_ADMIN, here and in the namespace's owner"));
    } else {
      status = absl::InvalidArgumentError(
          absl::StrCat(path, " is no network namespace (", ErrnoName(errno), ")"));
    }
  }).join();
  close(fd);
  return status;
}

}  // namespace devmem
