// SPDX-License-Identifier: Apache-2.0
//
// Making listening Unix sockets, and cleaning up after those whose owner was killed.

#include "netmem/gvnic/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr int kWaitingClientsMax = 8;

absl::StatusOr<UniqueFd> MakeSocket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.valid()) return socket;
  const int err = errno;
  return ErrnoToStatus(err, "making a Unix socket");
}

// Removes the file at `path` if it is a socket that refuses connections: its process is gone.
absl::Status RemoveAbandoned(const std::string& path, const sockaddr_un& address) {
  struct stat file;
  if (::lstat(path.c_str(), &file) != 0) return absl::OkStatus();
  if (!S_ISSOCK(file.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists and is no socket; choose another path, or remove it"));
  }
  absl::StatusOr<UniqueFd> probe = MakeSocket();
  if (!probe.ok()) return probe.status();
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(probe->get(), generic, sizeof(address)) != 0 && errno == ECONNREFUSED) {
    ::unlink(path.c_str());
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      absl::StrCat("a process listens at ", path, "; end it, or choose another path"));
}

}  // namespace

absl::StatusOr<UniqueFd> ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path \"", path, "\" has ",
                                                   path.size(), " bytes; it may have 1 to ",
                                                   sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const absl::Status removed = RemoveAbandoned(path, address);
  if (!removed.ok()) return removed;
  absl::StatusOr<UniqueFd> socket = MakeSocket();
  if (!socket.ok()) return socket.status();
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(socket->get(), generic, sizeof(address)) != 0 ||
      ::listen(socket->get(), kWaitingClientsMax) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("listening at ", path));
  }
  return socket;
}

UniqueFd AcceptUnix(int listening) {
  return UniqueFd(::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace devmem
