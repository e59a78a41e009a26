// SPDX-License-Identifier: Apache-2.0
//
// See examine_machine.h.

#include "tools/doctor/examine_machine.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/provider.h"
#include "provider/unique_fd.h"
#include "tools/doctor/examine_nics.h"
#include "uapi/abi/devmem_socket.h"

namespace devmem {
namespace {

// Providers whose memory the kernel's NICs can write: it travels as a dma-buf.
constexpr std::array<absl::string_view, 3> kDmabufProviders = {"udmabuf", "dma-heap", "cuda"};

// Gives back an empty run of tokens: a kernel with devmem TCP agrees, another knows no such option.
// An empty array would be refused by every kernel, before it looks at which option it is.
int AskDevmemSocket() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  const abi::dmabuf_token none = {};
  return setsockopt(socket.get(), SOL_SOCKET, SO_DEVMEM_DONTNEED, &none, sizeof none) >= 0 ? 0
                                                                                           : errno;
}

int OpenTun() {
  const UniqueFd tun(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  return tun.valid() ? 0 : errno;
}

std::vector<MemoryFacts> ProbeMemory() {
  std::vector<MemoryFacts> memory;
  for (Provider* const provider : AllProviders()) {
    absl::StatusOr<std::string> found = provider->Probe();
    MemoryFacts& facts = memory.emplace_back();
    facts.name = std::string(provider->name());
    facts.usable = found.ok();
    facts.detail = found.ok() ? *std::move(found) : std::string(found.status().message());
    for (const absl::string_view name : kDmabufProviders) {
      facts.exports_dmabuf = facts.exports_dmabuf || name == facts.name;
    }
  }
  return memory;
}

}  // namespace

Machine ExamineMachine(const MachineFiles& files) {
  Machine machine;
  machine.kernel = ReadKernelFacts(files);
  machine.permissions = ReadPermissionFacts(files);
  machine.io_uring = AskIoUring(files);
  machine.devmem_errno = AskDevmemSocket();
  machine.tun_errno = OpenTun();
  machine.memory = ProbeMemory();
  ExamineNics(files, &machine);
  return machine;
}

}  // namespace devmem
